/** Figures of a system that are measured once: speed and general text, kept by the system's fingerprint. */
import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "../../util/index.ts";
import type { SpeedFigures } from "./speed.ts";

export interface SystemMeasures {
  readonly speed?: SpeedFigures;
  readonly general?: Readonly<Record<string, { readonly perplexity: number; readonly tokens: number }>>;
  /** Names the items whose losses were asked for when the last measuring ended. */
  readonly lossItems?: string;
}

export interface MachineUse {
  readonly threads: number;
  readonly runtime: string;
  readonly peakBytes: number;
}

export interface Measures {
  of(fingerprint: string): SystemMeasures;
  /** Adds to what is known of a system; on disk when the promise resolves. */
  set(fingerprint: string, measures: SystemMeasures): Promise<void>;
  /** Losses of these items were measured; those that have none cannot be read. */
  lossesDone(fingerprint: string, items: string): boolean;
  machine(): MachineUse;
  setMachine(use: MachineUse): Promise<void>;
}

interface Content {
  machine: MachineUse;
  readonly systems: Record<string, SystemMeasures>;
}

const nothing: MachineUse = { threads: 0, runtime: "", peakBytes: 0 };

/** A file that cannot be read counts as empty: everything in it can be measured again. */
export async function openMeasures(path: string): Promise<Measures> {
  const content = await readFile(path, "utf8").then(
    (text): Content => {
      try {
        const { machine, systems } = JSON.parse(text) as Partial<Content>;
        return { machine: machine ?? nothing, systems: systems ?? {} };
      } catch {
        return { machine: nothing, systems: {} };
      }
    },
    (): Content => ({ machine: nothing, systems: {} }),
  );
  const save = (): Promise<void> => writeFileAtomic(path, `${JSON.stringify(content, null, 2)}\n`);
  const of = (fingerprint: string): SystemMeasures =>
    Object.hasOwn(content.systems, fingerprint) ? content.systems[fingerprint]! : {};
  return {
    of,
    set: async (fingerprint, measures) => {
      content.systems[fingerprint] = { ...of(fingerprint), ...measures };
      await save();
    },
    lossesDone: (fingerprint, items) => of(fingerprint).lossItems === items,
    machine: () => content.machine,
    setMachine: async (use) => {
      content.machine = { ...use, peakBytes: Math.max(use.peakBytes, content.machine.peakBytes) };
      await save();
    },
  };
}
