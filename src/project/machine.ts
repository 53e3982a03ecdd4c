/** What the machine offers: memory that may still be taken, processor features, C library. */
import { readFileSync } from "node:fs";
import { cpus, freemem, totalmem } from "node:os";

/** Bytes of memory that a program may still take without swapping or being killed: the system's view and the container's. */
export function availableMemoryBytes(): number {
  const free = memoryAvailable() ?? (process.platform === "darwin" ? totalmem() * 0.7 : freemem());
  return Math.max(0, Math.min(free, containerRoom()));
}

/** Bytes of memory that this process could have at best: the machine's, or its container's. */
export function totalMemoryBytes(): number {
  return Math.min(totalmem(), containerLimit() ?? Number.POSITIVE_INFINITY);
}

/** Linux counts what caches would give back as available; free memory alone would turn people away. */
function memoryAvailable(): number | undefined {
  const kibibytes = /^MemAvailable:\s+(\d+) kB$/m.exec(read("/proc/meminfo") ?? "")?.[1];
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
}

/** The memory limit of a Linux container (cgroup v2, else v1). */
function containerLimit(): number | undefined {
  const text = read("/sys/fs/cgroup/memory.max") ?? read("/sys/fs/cgroup/memory/memory.limit_in_bytes");
  const limit = Number(text ?? "max");
  // Without a limit version 1 gives a number near 2^63.
  return Number.isFinite(limit) && limit < 2 ** 60 ? limit : undefined;
}

function containerRoom(): number {
  const limit = containerLimit();
  if (limit === undefined) return Number.POSITIVE_INFINITY;
  const used = Number(
    read("/sys/fs/cgroup/memory.current") ?? read("/sys/fs/cgroup/memory/memory.usage_in_bytes") ?? 0,
  );
  const statistics = read("/sys/fs/cgroup/memory.stat") ?? read("/sys/fs/cgroup/memory/memory.stat") ?? "";
  // File pages that nobody has used lately are given back when memory is wanted.
  const cached = Number(/^(?:total_)?inactive_file (\d+)$/m.exec(statistics)?.[1] ?? 0);
  return limit - Math.max(0, used - cached);
}

export interface Processor {
  readonly name: string;
  readonly logicalCores: number;
  /** Instruction sets that matter for matrix products; `undefined` where the system does not tell. */
  readonly features: readonly string[] | undefined;
}

/** Names of the kernel's flags → as people write them. The first are the most useful. */
const knownFeatures: Readonly<Record<string, string>> = {
  avx2: "AVX2",
  fma: "FMA",
  avx512f: "AVX-512",
  avx512_vnni: "AVX-512 VNNI",
  avx_vnni: "AVX-VNNI",
  amx_int8: "AMX",
  asimd: "NEON",
  asimddp: "dot products",
  i8mm: "int8 products",
  bf16: "bfloat16",
};

export function processor(cpuInfo: string | undefined = read("/proc/cpuinfo")): Processor {
  const all = cpus();
  const flags = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuInfo ?? "")?.[1]?.split(/\s+/);
  return {
    name: all[0]?.model.trim() || "unknown",
    logicalCores: all.length,
    features:
      flags === undefined
        ? undefined
        : Object.entries(knownFeatures).flatMap(([flag, name]) => (flags.includes(flag) ? [name] : [])),
  };
}

/** The version of glibc; `undefined` on Linux means another C library (musl), for which onnxruntime has no binary. */
export function glibcVersion(): string | undefined {
  const { header } = process.report.getReport() as unknown as {
    header: { glibcVersionRuntime?: string };
  };
  return header.glibcVersionRuntime;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}
