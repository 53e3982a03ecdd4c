/** findings.json: what a diagnosis found, for people, for the report, and for `attune train --from-finding`. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { standaloneSvg } from "../../util/html/index.ts";
import {
  UserError,
  excerpt,
  formatBytes,
  parseJson,
  readTextFile,
  visible,
  writeFileAtomic,
} from "../../util/index.ts";
import { newSettings } from "./new-settings.ts";
import { detectors } from "./table.ts";
import type { Diagnosed, Finding } from "./types.ts";

export const findingsFile = "findings.json";

/** Runs every detector; strongest findings first. Pictures and findings.json are written into `folder`. */
export async function writeFindings(
  folder: string,
  run: Diagnosed,
  looked: { readonly run: string; readonly judged: number; readonly command?: string },
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const { id, about, detect } of detectors) {
    const found = detect(run);
    if (found === undefined) continue;
    const { picture, remedy, ...rest } = found;
    const name = `${id}.svg`;
    if (picture !== undefined) await writeFileAtomic(join(folder, name), standaloneSvg(picture));
    findings.push({
      id,
      about,
      ...rest,
      remedy: newSettings(remedy, run.settings),
      ...(picture === undefined ? {} : { picture: name }),
    });
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

// A findings file may come from anywhere: everything in it is bounded, and shown without control characters.
const line = (most: number) => z.string().max(most).transform(visible);
const text = z.object({ en: line(2000), zh: line(2000) });
const findingSchema = z.object({
  id: z.string().regex(/^[a-z][a-z-]{0,39}$/),
  about: text,
  title: text,
  evidence: z
    .array(
      z.object({
        name: line(200),
        value: z.number().nullable(),
        expected: line(200).optional(),
        unit: z.enum(["share", "nats", "count", "score"]).optional(),
      }),
    )
    .max(100),
  picture: z
    .string()
    .regex(/^[\w-]{1,60}\.svg$/)
    .optional(),
  examples: z
    .array(
      z.object({
        context: line(10_000),
        reference: line(10_000).optional(),
        prediction: line(10_000),
        note: line(10_000).optional(),
      }),
    )
    .max(10),
  confidence: z.number().min(0).max(1),
  severity: z.enum(["high", "medium", "low"]),
  remedy: z.object({
    text,
    set: z.array(z.string().max(500)).max(20),
    commands: z.array(line(500)).max(10).optional(),
  }),
});

const findingsSchema = z.object({
  kind: z.literal("attune-findings"),
  schemaVersion: z.literal(1),
  run: line(4096),
  judged: z.number(),
  /** The command that made it. */
  command: line(4000).optional(),
  lookedFor: z.array(z.object({ id: line(40), about: text })).max(200),
  findings: z.array(findingSchema).max(200),
});

export type Findings = z.output<typeof findingsSchema>;

const mostBytes = 8 * 2 ** 20;

/** The findings in `folder`; anything else than a findings file of ours is a `UserError`. */
export async function readFindings(folder: string): Promise<Findings> {
  const path = join(folder, findingsFile);
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  );
  const next = "Make them with attune diagnose RUN.";
  if (size > mostBytes) {
    throw new UserError(
      `not the findings of a diagnosis: ${formatBytes(size)} are more than they ever have`,
      {
        at: path,
        next,
      },
    );
  }
  const content = await readTextFile(path, "the findings");
  const parsed = findingsSchema.safeParse(parseJson(content, path));
  if (parsed.success) return parsed.data;
  const { path: key, message } = parsed.error.issues[0]!;
  throw new UserError(
    `not the findings of a diagnosis: ${key.length === 0 ? "" : `${key.join(".")}: `}${excerpt(message, 120)}`,
    { at: path, next },
  );
}
