/** findings.json: what a diagnosis found, for people, for the report, and for `attune train --from-finding`. */
import { join } from "node:path";
import { z } from "zod";
import { standaloneSvg } from "../../util/html/index.ts";
import { UserError, nearest, parseJson, readTextFile, writeFileAtomic } from "../../util/index.ts";
import { detectors } from "./table.ts";
import type { Diagnosed, Finding } from "./types.ts";

export const findingsFile = "findings.json";

/** Runs every detector; strongest findings first. Pictures and findings.json are written into `folder`. */
export async function writeFindings(
  folder: string,
  run: Diagnosed,
  looked: { readonly run: string; readonly judged: number },
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const { id, about, detect } of detectors) {
    const found = detect(run);
    if (found === undefined) continue;
    const { picture, ...rest } = found;
    const name = `${id}.svg`;
    if (picture !== undefined) await writeFileAtomic(join(folder, name), standaloneSvg(picture));
    findings.push({ id, about, ...rest, ...(picture === undefined ? {} : { picture: name }) });
  }
  const weight = { high: 2, medium: 1, low: 0 };
  findings.sort((a, b) => weight[b.severity] - weight[a.severity] || b.confidence - a.confidence);
  const content = {
    kind: "attune-findings",
    schemaVersion: 1,
    ...looked,
    lookedFor: detectors.map(({ id, about }) => ({ id, about })),
    findings,
  };
  await writeFileAtomic(join(folder, findingsFile), `${JSON.stringify(content, null, 2)}\n`);
  return findings;
}

const text = z.object({ en: z.string(), zh: z.string() });
const findingSchema = z.object({
  id: z.string(),
  about: text,
  title: text,
  evidence: z.array(
    z.object({
      name: z.string(),
      value: z.number().nullable(),
      expected: z.string().optional(),
      unit: z.enum(["share", "nats", "count", "score"]).optional(),
    }),
  ),
  picture: z
    .string()
    .regex(/^[\w-]+\.svg$/)
    .optional(),
  examples: z.array(
    z.object({
      context: z.string(),
      reference: z.string().optional(),
      prediction: z.string(),
      note: z.string().optional(),
    }),
  ),
  confidence: z.number(),
  severity: z.enum(["high", "medium", "low"]),
  remedy: z.object({ text, set: z.array(z.string()), commands: z.array(z.string()).optional() }),
});

const findingsSchema = z.object({
  kind: z.literal("attune-findings"),
  schemaVersion: z.literal(1),
  run: z.string(),
  judged: z.number(),
  lookedFor: z.array(z.object({ id: z.string(), about: text })),
  findings: z.array(findingSchema),
});

export type Findings = z.output<typeof findingsSchema>;

export async function readFindings(folder: string): Promise<Findings> {
  const path = join(folder, findingsFile);
  const parsed = findingsSchema.safeParse(parseJson(await readTextFile(path, "the findings"), path));
  if (parsed.success) return parsed.data;
  throw new UserError("not the findings of a diagnosis", {
    at: path,
    next: "Make them with attune diagnose.",
  });
}

/** The settings that mend a finding, as `key=value` pairs for a training configuration. */
export async function remedyOf(folder: string, id: string): Promise<readonly string[]> {
  const { findings } = await readFindings(folder);
  const finding = findings.find((one) => one.id === id);
  if (finding === undefined) {
    const ids = findings.map((one) => one.id);
    const near = nearest(id, ids);
    throw new UserError(`the diagnosis has no finding ${JSON.stringify(id)}`, {
      at: join(folder, findingsFile),
      next:
        near === undefined
          ? `It found ${ids.length === 0 ? "nothing" : ids.join(", ")}.`
          : `Did you mean ${near}?`,
    });
  }
  if (finding.remedy.set.length === 0) {
    throw new UserError(`no setting of training mends ${id}: ${finding.remedy.text.en}`, {
      next: `Run ${finding.remedy.commands?.[0] ?? "attune data check DATA"} first.`,
    });
  }
  return finding.remedy.set;
}
