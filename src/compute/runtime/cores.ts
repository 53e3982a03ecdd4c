/** How many threads a matrix product profits from: physical cores, within what this process may use. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/** Physical cores, no more than the process's processor share (affinity, container quota). */
export function physicalCores(): number {
  const usable = Math.max(1, Math.min(availableParallelism(), containerQuota()));
  return Math.min(usable, hardwareCores() ?? usable);
}

/** Cores by Linux's topology files; `undefined` where there are none. */
function hardwareCores(): number | undefined {
  if (process.platform !== "linux") return undefined;
  const cores = new Set<string>();
  for (let cpu = 0; ; cpu++) {
    const siblings = read(`/sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`);
    if (siblings === undefined) break;
    cores.add(siblings);
  }
  return cores.size === 0 ? undefined : cores.size;
}

/** The processor quota of a Linux container (cgroup v2 `cpu.max`), in whole processors. */
function containerQuota(): number {
  const [quota, period] = (read("/sys/fs/cgroup/cpu.max") ?? "max").split(" ").map(Number);
  return quota !== undefined && period !== undefined && quota > 0 ? Math.ceil(quota / period) : Infinity;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}
