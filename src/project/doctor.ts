/** What this machine has for Attune, what is missing, and what to do about it; one finding a matter. */
import { readdir, statfs } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { dirname, resolve } from "node:path";
import { type Provider, onnxRuntime } from "../compute/runtime/index.ts";
import { type HubSettings, hubSettings } from "../model/hub/index.ts";
import { UserError, errorMessage, formatBytes, formatCount } from "../util/index.ts";
import { availableMemoryBytes, glibcVersion, processor, totalMemoryBytes } from "./machine.ts";

export interface Finding {
  /** Stable machine name, such as `node` or `provider.cuda`. */
  readonly name: string;
  /** `missing` is what one may do without; a `problem` stops the work. */
  readonly status: "ok" | "missing" | "problem";
  /** What is there. */
  readonly found: string;
  /** What to do. */
  readonly advice?: string;
  /** Figures for programs, units in the names. */
  readonly figures?: Readonly<Record<string, number | string | boolean | readonly string[]>>;
}

export interface DoctorOptions {
  /** Asks the hub for an answer; default true. */
  readonly network?: boolean;
  /** Says why a provider cannot be used, or nothing when it works. Default: tries it within this process. */
  readonly probe?: (provider: Provider) => Promise<string | undefined>;
}

/** Tries a provider within this process. Its libraries may write to standard error, or even crash. */
export async function probeProvider(provider: Provider): Promise<string | undefined> {
  try {
    await using _ = await onnxRuntime({ provider });
    return undefined;
  } catch (error) {
    return (error instanceof UserError ? error.message : errorMessage(error)).split(". ")[0]!;
  }
}

/** Looks at one matter after the other; none of them throws. */
export async function* examine(options: DoctorOptions = {}): AsyncGenerator<Finding> {
  yield nodeVersion();
  yield cLibrary();
  yield processorFinding();
  yield memoryFinding();
  yield* runtimeFindings(options.probe ?? probeProvider);
  yield await diskFinding("disk.here", process.cwd(), "this folder, where runs go");
  yield* hubFindings(options.network ?? true);
}

function nodeVersion(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const fits = major > 20 || (major === 20 && minor >= 19);
  return {
    name: "node",
    status: fits ? "ok" : "problem",
    found: `Node ${process.versions.node} on ${process.platform}-${process.arch}`,
    ...(fits ? {} : { advice: "Install Node 20.19 or newer." }),
    figures: { version: process.versions.node, platform: process.platform, architecture: process.arch },
  };
}

function cLibrary(): Finding {
  if (process.platform !== "linux")
    return { name: "libc", status: "ok", found: "not asked for on this system" };
  const version = glibcVersion();
  if (version === undefined) {
    return {
      name: "libc",
      status: "problem",
      found: "no glibc (Alpine's musl?)",
      advice:
        "onnxruntime has no binary for musl: use a Debian, Ubuntu or Fedora image, such as node:22-slim.",
    };
  }
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const fits = major > 2 || (major === 2 && minor >= 27);
  return {
    name: "libc",
    status: fits ? "ok" : "problem",
    found: `glibc ${version}`,
    ...(fits ? {} : { advice: "onnxruntime needs glibc 2.27 or newer: update the system." }),
  };
}

/** By the kernel's text on the processor, of this machine when absent. */
export function processorFinding(cpuInfo?: string, x64 = process.arch === "x64"): Finding {
  const { name, logicalCores, features } = processor(cpuInfo);
  const usable = availableParallelism();
  const slow = x64 && features !== undefined && !features.includes("AVX2");
  const list =
    features === undefined ? "features not told by this system" : features.join(", ") || "none known";
  const byteProducts = !x64 || features === undefined || features.some((one) => one.endsWith("VNNI"));
  const note = byteProducts ? "" : "; no VNNI: an 8-bit base saves memory, but little time";
  return {
    name: "processor",
    status: slow ? "missing" : "ok",
    found: `${name}, ${logicalCores} logical cores${usable < logicalCores ? `, ${usable} of them usable` : ""}; ${list}${note}`,
    ...(slow
      ? { advice: "Without AVX2 matrix products take many times longer; a newer processor helps most." }
      : {}),
    figures: { logicalCores, usableCores: usable, ...(features === undefined ? {} : { features }) },
  };
}

function memoryFinding(): Finding {
  const available = availableMemoryBytes();
  const total = totalMemoryBytes();
  const enough = available >= 1.5e9;
  return {
    name: "memory",
    status: enough ? "ok" : "missing",
    found: `${formatBytes(available)} free of ${formatBytes(total)}`,
    ...(enough
      ? {}
      : {
          advice:
            "The quick start fits; a model of 135 million parameters wants 2.5 GB free. Close other programs.",
        }),
    figures: { availableBytes: available, totalBytes: total },
  };
}

/** Providers worth trying on each system, beside the processor. */
const providers: Readonly<Partial<Record<NodeJS.Platform, readonly Provider[]>>> = {
  linux: ["cuda", "webgpu"],
  win32: ["dml", "webgpu"],
  darwin: ["coreml", "webgpu"],
};

async function* runtimeFindings(probe: NonNullable<DoctorOptions["probe"]>): AsyncGenerator<Finding> {
  try {
    await using runtime = await onnxRuntime();
    yield {
      name: "onnxruntime",
      status: "ok",
      found: `${runtime.name}, ${formatCount(runtime.threads)} threads`,
      figures: { threads: runtime.threads },
    };
  } catch (error) {
    yield { name: "onnxruntime", status: "problem", found: errorMessage(error), advice: "Run npm ci again." };
    return;
  }
  for (const provider of providers[process.platform] ?? []) yield await providerFinding(provider, probe);
}

async function providerFinding(
  provider: Provider,
  probe: NonNullable<DoctorOptions["probe"]>,
): Promise<Finding> {
  const name = `provider.${provider}`;
  const reason = await probe(provider);
  if (reason === undefined) {
    const advice = `Use it with --set runtime.provider=${provider}.`;
    return { name, status: "ok", found: `${provider} works`, advice };
  }
  return {
    name,
    status: "missing",
    found: reason,
    advice:
      provider === "cuda"
        ? "With an NVIDIA GPU: npm_config_onnxruntime_node_install=cuda npm ci. Else compute on the CPU."
        : "Compute on the CPU, or install the driver of the GPU.",
  };
}

async function diskFinding(name: string, folder: string, what: string): Promise<Finding> {
  const path = await nearestFolder(folder);
  try {
    const { bavail, bsize } = await statfs(path);
    const free = Number(bavail) * Number(bsize);
    const enough = free >= 2e9;
    return {
      name,
      status: enough ? "ok" : "missing",
      found: `${formatBytes(free)} free for ${what} (${folder})`,
      ...(enough
        ? {}
        : { advice: "Models take gigabytes: free some space, or point HF_HOME to a larger disk." }),
      figures: { freeBytes: free },
    };
  } catch (error) {
    return {
      name,
      status: "missing",
      found: `${folder}: ${errorMessage(error)}`,
      advice: "Check the folder.",
    };
  }
}

async function nearestFolder(path: string): Promise<string> {
  for (let folder = resolve(path); ; folder = dirname(folder)) {
    if (
      await readdir(folder).then(
        () => true,
        () => false,
      )
    )
      return folder;
    if (folder === dirname(folder)) return folder;
  }
}

async function* hubFindings(network: boolean): AsyncGenerator<Finding> {
  let settings: HubSettings;
  try {
    settings = await hubSettings();
  } catch (error) {
    yield {
      name: "hub",
      status: "problem",
      found: errorMessage(error),
      advice: "Mend the variable or unset it.",
    };
    return;
  }
  const { cacheFolder, endpoint, kind, offline, token } = settings;
  yield await diskFinding("disk.cache", cacheFolder, "the cache of models");
  const models = await readdir(cacheFolder).then(
    (names) => names.filter((one) => one.startsWith("models--")),
    () => [] as string[],
  );
  yield {
    name: "cache",
    status: models.length > 0 ? "ok" : "missing",
    found: `${formatCount(models.length)} models in ${cacheFolder}`,
    ...(models.length > 0 ? {} : { advice: "Fetch one: attune pull HuggingFaceTB/SmolLM2-135M-Instruct." }),
    figures: { models: models.length, folder: cacheFolder },
  };
  yield {
    name: "hub",
    status: "ok",
    found: `${kind} at ${endpoint}, ${token === undefined ? "no token" : "with a token"}${offline ? ", offline by HF_HUB_OFFLINE" : ""}`,
    ...(token === undefined ? { advice: "Gated models want a token: set HF_TOKEN." } : {}),
    figures: { endpoint, hasToken: token !== undefined, offline },
  };
  if (network && !offline) yield await reachable(endpoint);
}

async function reachable(endpoint: string): Promise<Finding> {
  const name = "network";
  try {
    const { status } = await fetch(endpoint, {
      method: "HEAD",
      redirect: "manual",
      signal: AbortSignal.timeout(3000),
    });
    return { name, status: "ok", found: `${endpoint} answers (${status})` };
  } catch {
    return {
      name,
      status: "missing",
      found: `${endpoint} does not answer within 3 seconds`,
      advice:
        "Set HF_ENDPOINT to a mirror, such as https://hf-mirror.com, or name a model folder; training itself needs no network.",
    };
  }
}
