/** What the machine says of a process and of itself. */
import { existsSync, readFileSync } from "node:fs";
import { cpus } from "node:os";

/** Most bytes this process has had resident (VmHWM); on systems without /proc what Node reports. */
export function peakBytes(): number {
  return peakOf("self") ?? process.resourceUsage().maxRSS * 1024;
}

/** The same of another process; absent where the system does not tell. */
export function peakOf(process: number | "self"): number | undefined {
  try {
    const kibibytes = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${process}/status`, "utf8"))?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  } catch {
    return undefined;
  }
}

export function processorName(): string {
  return cpus()[0]?.model.trim() ?? "unknown processor";
}

/** The load average of the last minute: what else was running. */
export function loadAverage(): string {
  try {
    return readFileSync("/proc/loadavg", "utf8").split(" ")[0]!;
  } catch {
    return "unknown";
  }
}

/** Google's allocator where it is installed; PyTorch gains a third by it on Linux. */
export function tcmalloc(): string | undefined {
  return ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]
    .flatMap((folder) => [4, 3].map((version) => `${folder}/libtcmalloc_minimal.so.${version}`))
    .find((path) => existsSync(path));
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
