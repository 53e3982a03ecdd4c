/** Hashes of all that decides a reply or a loss: a record that carries another one is of another evaluation. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { ChatModel } from "../../model/index.ts";
import { sha256OfFile } from "../../util/index.ts";
import { type EvaluationItem, contextKey } from "./items.ts";
import type { Records } from "./records.ts";
import type {
  EvaluationOptions,
  LookupSystem,
  LossRecord,
  ModelSystem,
  PredictionRecord,
  System,
} from "./types.ts";

export function isLookup(system: System): system is LookupSystem {
  return system.kind === "retrieval" || system.kind === "frequent";
}

const short = (hash: string): string => hash.slice(0, 16);
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

export async function systemFingerprint(
  system: ModelSystem,
  model: ChatModel,
  options: EvaluationOptions,
): Promise<string> {
  const adapter =
    system.adapter === undefined
      ? ""
      : (await sha256OfFile(join(system.adapter, "adapter_model.safetensors"))) +
        (await sha256OfFile(join(system.adapter, "adapter_config.json")));
  const decides = [
    model.opened.fingerprint,
    model.renderer.fingerprint,
    adapter,
    options.maxNewTokens,
    options.maxTokens,
    ...(system.slidingWindow === undefined ? [] : [system.slidingWindow]),
  ];
  return sha256(JSON.stringify(decides));
}

export function fingerprintsOf(
  groups: readonly { readonly systems: readonly { readonly name: string; readonly fingerprint: string }[] }[],
  options: EvaluationOptions,
): Map<string, string> {
  const fingerprints = new Map<string, string>();
  for (const { systems } of groups)
    for (const { name, fingerprint } of systems) fingerprints.set(name, fingerprint);
  if (options.systems.some(isLookup)) {
    const hash = createHash("sha256");
    for (const { messages } of options.training) hash.update(JSON.stringify(messages));
    const training = hash.digest("hex");
    for (const system of options.systems)
      if (isLookup(system)) fingerprints.set(system.name, sha256(`${system.kind} ${training}`));
  }
  return fingerprints;
}

/** What a record of this system on this item must carry. */
export function recordFingerprint(system: string, item: EvaluationItem): string {
  const asked = contextKey(item.dialogueId, item.context);
  return short(sha256(JSON.stringify([system, asked, item.references[0]])));
}

export function itemsKey(items: readonly EvaluationItem[]): string {
  return short(sha256(items.map((item) => recordFingerprint("", item)).join()));
}

export function wantedRecords(
  items: readonly EvaluationItem[],
  fingerprints: ReadonlyMap<string, string>,
): (record: { id: string; system: string; fingerprint: string }) => boolean {
  const byId = new Map(items.map((item) => [item.id, item]));
  return ({ id, system, fingerprint }) => {
    const item = byId.get(id);
    const print = fingerprints.get(system);
    return item !== undefined && print !== undefined && recordFingerprint(print, item) === fingerprint;
  };
}

export function missing<R extends LossRecord | PredictionRecord>(
  records: Records<R>,
  system: string,
  print: string,
  items: readonly EvaluationItem[],
): EvaluationItem[] {
  return items.filter(
    (item) => !records.has({ id: item.id, system, fingerprint: recordFingerprint(print, item) }),
  );
}
