/** Event files read back by a reader of their own, by protobufjs from the published messages, and by TensorBoard itself. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import protobuf from "protobufjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RunEvent } from "./events.ts";
import { crc32c, frame, maskedCrc } from "./tensorboard-format.ts";
import { eventFileName, summariesOf, tensorboardLog } from "./tensorboard.ts";

/** The parts of TensorBoard's messages that matter here, with their published field numbers. */
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Event { double wall_time = 1; int64 step = 2; oneof what { string file_version = 3; Summary summary = 5; SessionLog session_log = 7; } }
  message SessionLog { int32 status = 1; string checkpoint_path = 2; }
  message Summary { repeated Value value = 1;
    message Value { string tag = 1; SummaryMetadata metadata = 9; oneof value { float simple_value = 2; HistogramProto histo = 5; TensorProto tensor = 8; } } }
  message SummaryMetadata { PluginData plugin_data = 1; int32 data_class = 4; message PluginData { string plugin_name = 1; bytes content = 2; } }
  message HistogramProto { double min = 1; double max = 2; double num = 3; double sum = 4; double sum_squares = 5; repeated double bucket_limit = 6; repeated double bucket = 7; }
  message TensorProto { int32 dtype = 1; TensorShapeProto tensor_shape = 2; repeated bytes string_val = 8; }
  message TensorShapeProto { repeated Dim dim = 2; message Dim { int64 size = 1; } }
  message HParamsPluginData { int32 version = 1; oneof data { Experiment experiment = 2; SessionStartInfo session_start_info = 3; SessionEndInfo session_end_info = 4; } }
  message Experiment { double time_created_secs = 3; repeated HParamInfo hparam_infos = 4; repeated MetricInfo metric_infos = 5; }
  message HParamInfo { string name = 1; int32 type = 4; }
  message MetricInfo { MetricName name = 1; string display_name = 3; int32 dataset_type = 5; }
  message MetricName { string group = 1; string tag = 2; }
  message SessionStartInfo { map<string, Value> hparams = 1; double start_time_secs = 5; }
  message Value { oneof kind { double number_value = 2; string string_value = 3; bool bool_value = 4; } }
  message SessionEndInfo { int32 status = 1; double end_time_secs = 2; }
`);
const eventType = root.lookupType("Event");

interface ReadEvent {
  readonly wallTime: number;
  readonly step: number;
  readonly fileVersion?: string;
  readonly sessionLog?: { readonly status: number };
  readonly summary?: { readonly value: readonly Record<string, unknown>[] };
}

/** Every record of a file; a wrong length or checksum throws. */
function readRecords(bytes: Buffer): ReadEvent[] {
  const events: ReadEvent[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(at));
    if (bytes.readUInt32LE(at + 8) !== maskedCrc(bytes.subarray(at, at + 8)))
      throw new Error("length is damaged");
    const data = bytes.subarray(at + 12, at + 12 + length);
    if (bytes.readUInt32LE(at + 12 + length) !== maskedCrc(data)) throw new Error("data are damaged");
    events.push(eventType.toObject(eventType.decode(data), { longs: Number, arrays: false }) as ReadEvent);
    at += 16 + length;
  }
  return events;
}

const step = (number: number): RunEvent => ({
  type: "step",
  step: number,
  epoch: 0.5,
  loss: 1.5 - number / 10,
  gradientNorm: 0.25,
  learningRate: 3e-4,
  replies: 16,
  tokens: 300,
  supervisedTokens: 50,
  peakBytes: 5e9,
  seconds: 2,
});
const events: readonly RunEvent[] = [
  step(1),
  { type: "gradients", step: 1, norms: { a: 0.5, b: 1, c: 2 } },
  { type: "evaluation", step: 1, validationLoss: 1.75, best: true, patienceLeft: 3, seconds: 1 },
  {
    type: "probe",
    step: 1,
    replies: [{ prompt: "我的订单 #12 在哪里？", reply: "Let me *check*.", reference: "One | moment." }],
  },
  { type: "warning", step: 1, code: "loss-spike", message: "the loss is high" },
  { type: "checkpoint", step: 1, path: "x", seconds: 1 },
];
const hyperParameters = new Map<string, unknown>([
  ["lora.rank", 16],
  ["lora.targets", ["q_proj", "v_proj"]],
  ["method", "lora"],
  ["training.fold", true],
  ["training.steps", undefined],
]);
const finished: Extract<RunEvent, { type: "finished" }> = {
  type: "finished",
  reason: "completed",
  step: 2,
  validationLossBefore: 2,
  validationLossBest: 1.75,
  bestStep: 1,
  tokensPerSecond: 150,
  stepSeconds: 2,
  peakBytes: 5e9,
  seconds: 9,
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-tensorboard-"));
  {
    await using log = await tensorboardLog(folder, {
      hyperParameters,
    });
    for (const event of [...events, step(2), step(3)]) await log.add(event);
  }
  // A second process that goes on after step 1.
  await using log = await tensorboardLog(folder, { hyperParameters: new Map(), resumedAt: 1 });
  await log.add({ ...step(2), loss: 9 } as RunEvent);
  await log.add(finished);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const files = async (): Promise<string[]> => (await readdir(folder)).sort();

test("files of one second are in the order of their time", () => {
  const times = [
    1_700_000_000_007, 1_700_000_000_099, 1_700_000_000_100, 1_700_000_000_999, 1_700_000_001_000,
  ];
  const names = times.map(eventFileName);
  expect(names.toSorted()).toEqual(names);
  expect(new Set(names).size).toBe(times.length);
});

test("CRC-32C of the RFC's vectors", () => {
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
});

test("a damaged record is noticed by its checksum", () => {
  const bytes = Buffer.from(frame(Uint8Array.of(1, 2, 3)));
  bytes[13]! ^= 1;
  expect(() => readRecords(bytes)).toThrow("data are damaged");
});

describe("read back independently", () => {
  test("version, hyper-parameters, then every event's values", async () => {
    const [version, parameters, first, histogram, validation, replies, warning, second] = readRecords(
      await readFile(join(folder, (await files())[0]!)),
    );
    expect(version).toMatchObject({ fileVersion: "brain.Event:2" });
    expect(version!.wallTime).toBeGreaterThan(1.6e9);
    const text = (event: ReadEvent | undefined) => {
      const [value] = event!.summary!.value as [
        {
          tag: string;
          metadata: unknown;
          tensor: { dtype: number; tensorShape: unknown; stringVal: Buffer[] };
        },
      ];
      expect(value.metadata).toEqual({ pluginData: { pluginName: "text" }, dataClass: 2 });
      expect(value.tensor).toMatchObject({ dtype: 7, tensorShape: { dim: [{ size: 1 }] } });
      return `${value.tag}: ${Buffer.from(value.tensor.stringVal[0]!).toString("utf8")}`;
    };
    expect(text(parameters)).toContain(
      "hyper-parameters: | setting | value |\n|---|---|\n| lora.rank | 16 |\n",
    );
    expect(first).toMatchObject({
      step: 1,
      summary: {
        value: [
          { tag: "loss/train", simpleValue: Math.fround(1.4) },
          { tag: "learning_rate", simpleValue: Math.fround(3e-4) },
          { tag: "gradient_norm", simpleValue: 0.25 },
          { tag: "tokens_per_second", simpleValue: 150 },
          { tag: "memory/peak_bytes", simpleValue: 5e9 },
        ],
      },
    });
    const { histo } = histogram!.summary!.value[0]! as { histo: { bucketLimit: number[]; bucket: number[] } };
    expect(histo).toMatchObject({ min: 0.5, max: 2, num: 3, sum: 3.5, sumSquares: 5.25 });
    expect(histo.bucketLimit).toHaveLength(30);
    expect(histo.bucketLimit.at(-1)).toBe(2);
    expect(histo.bucket.reduce((a, b) => a + b, 0)).toBe(3);
    expect([histo.bucket[0], histo.bucket[10], histo.bucket[29]]).toEqual([1, 1, 1]);
    expect(validation!.summary!.value).toEqual([{ tag: "loss/validation", simpleValue: 1.75 }]);
    expect(text(replies)).toBe(
      String.raw`replies/1: **customer** 我的订单 \#12 在哪里？` +
        "\n\n" +
        String.raw`**model** Let me \*check\*.` +
        "\n\n" +
        String.raw`**data** One \| moment.`,
    );
    expect(text(warning)).toBe("warnings/loss-spike: the loss is high");
    expect(second!.step).toBe(2);
  });

  test("a resumed run opens a file of its own that makes later steps of the first void", async () => {
    const names = await files();
    expect(names).toHaveLength(2);
    const records = readRecords(await readFile(join(folder, names[1]!)));
    expect(records.map(({ step, sessionLog }) => [step, sessionLog?.status])).toEqual([
      [undefined, undefined],
      [2, 1],
      [2, undefined],
      [2, undefined],
    ]);
  });

  test("the hparams plugin's session: settings by type, figures to compare by, and its end", async () => {
    const names = await files();
    const [first, second] = await Promise.all(
      names.map(async (name) => readRecords(await readFile(join(folder, name)))),
    );
    const pluginData = (event: ReadEvent, tag: string): unknown => {
      const value = event.summary!.value.find((one) => one["tag"] === tag) as {
        metadata: { pluginData: { pluginName: string; content: Uint8Array } };
        tensor: unknown;
      };
      expect(value.metadata.pluginData.pluginName).toBe("hparams");
      expect(value.tensor).toMatchObject({ dtype: 1, tensorShape: { dim: [{}] } });
      const type = root.lookupType("HParamsPluginData");
      return type.toObject(type.decode(value.metadata.pluginData.content));
    };
    expect(pluginData(first![1]!, "_hparams_/experiment")).toMatchObject({
      experiment: {
        hparamInfos: [
          { name: "lora.rank", type: 3 },
          { name: "lora.targets", type: 1 },
          { name: "method", type: 1 },
          { name: "training.fold", type: 2 },
        ],
        metricInfos: [
          { name: { tag: "loss/validation" }, displayName: "validation loss", datasetType: 2 },
          { name: { tag: "loss/train" }, displayName: "training loss", datasetType: 1 },
        ],
      },
    });
    expect(pluginData(first![1]!, "_hparams_/session_start_info")).toMatchObject({
      sessionStartInfo: {
        hparams: {
          "lora.rank": { numberValue: 16 },
          "lora.targets": { stringValue: '["q_proj","v_proj"]' },
          method: { stringValue: "lora" },
          "training.fold": { boolValue: true },
        },
      },
    });
    expect(pluginData(second!.at(-1)!, "_hparams_/session_end_info")).toMatchObject({
      sessionEndInfo: { status: 1 },
    });
  });

  test("a run that starts over tells its settings again; one that is interrupted has not ended", async () => {
    const again = await mkdtemp(join(tmpdir(), "attune-tensorboard-"));
    try {
      await using log = await tensorboardLog(again, { hyperParameters, resumedAt: -1 });
      await log.add({ ...finished, reason: "interrupted" });
      const [name] = await readdir(again);
      const tags = readRecords(await readFile(join(again, name!))).flatMap(
        ({ summary }) => summary?.value.map((value) => value["tag"]) ?? [],
      );
      expect(tags).toEqual(["hyper-parameters", "_hparams_/experiment", "_hparams_/session_start_info"]);
    } finally {
      await rm(again, { recursive: true, force: true });
    }
  });

  test("loss scale, skipped steps and noise scale", async () => {
    const step16 = { ...step(1), lossScale: 1024, skippedSteps: 2 } as RunEvent;
    expect(summariesOf(step16)).toContainEqual({ kind: "scalar", tag: "loss_scale", value: 1024 });
    expect(summariesOf({ ...step(1), noiseScale: 40 } as RunEvent)).toContainEqual({
      kind: "scalar",
      tag: "gradient_noise_scale",
      value: 40,
    });
    const skipped = {
      type: "skipped",
      step: 4,
      lossScale: 512,
      skippedSteps: 3,
      tokens: 1,
      peakBytes: 1,
      seconds: 1,
    };
    expect(summariesOf(skipped as RunEvent)).toEqual([
      { kind: "scalar", tag: "loss_scale", value: 512 },
      { kind: "scalar", tag: "skipped_steps", value: 3 },
    ]);
  });
});

test("TensorBoard's own reader", async (context) => {
  const python = process.env["ATTUNE_PYTHON"];
  if (python === undefined) return context.skip("ATTUNE_PYTHON names no Python with tensorboard installed");
  const script = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator, TENSORS, SCALARS, HISTOGRAMS
a = EventAccumulator(sys.argv[1], size_guidance={TENSORS: 0, SCALARS: 0, HISTOGRAMS: 0})
a.Reload()
from tensorboard.plugins.hparams import metadata
session = metadata.parse_session_start_info_plugin_data(a.SummaryMetadata("_hparams_/session_start_info").plugin_data.content)
experiment = metadata.parse_experiment_plugin_data(a.SummaryMetadata("_hparams_/experiment").plugin_data.content)
end = metadata.parse_session_end_info_plugin_data(a.SummaryMetadata("_hparams_/session_end_info").plugin_data.content)
h = a.Histograms("gradient_norm/by_layer")[0].histogram_value
print(json.dumps({
  "tags": {k: sorted(v) for k, v in a.Tags().items() if k in ("scalars", "histograms", "tensors")},
  "loss": [[e.step, e.value] for e in a.Scalars("loss/train")],
  "text": a.Tensors("replies/1")[0].tensor_proto.string_val[0].decode(),
  "plugin": a.SummaryMetadata("replies/1").plugin_data.plugin_name,
  "histogram": [h.min, h.max, h.num, h.sum],
  "hparams": {k: getattr(v, v.WhichOneof("kind")) for k, v in sorted(session.hparams.items())},
  "metrics": [m.name.tag for m in experiment.metric_infos],
  "status": end.status,
}))`;
  const { stdout } = await promisify(execFile)(python, ["-c", script, folder], { timeout: 100_000 });
  const read = JSON.parse(stdout.trim().split("\n").at(-1)!) as Record<string, unknown>;
  expect(read).toMatchObject({
    tags: {
      scalars: [
        "gradient_norm",
        "learning_rate",
        "loss/train",
        "loss/validation",
        "memory/peak_bytes",
        "tokens_per_second",
      ],
      histograms: ["gradient_norm/by_layer"],
      tensors: [
        "_hparams_/experiment",
        "_hparams_/session_end_info",
        "_hparams_/session_start_info",
        "hyper-parameters",
        "replies/1",
        "warnings/loss-spike",
      ],
    },
    // Steps 2 and 3 of the first process are gone: the second went on after step 1.
    loss: [
      [1, Math.fround(1.4)],
      [2, 9],
    ],
    plugin: "text",
    histogram: [0.5, 2, 3, 3.5],
    hparams: {
      "lora.rank": 16,
      "lora.targets": '["q_proj","v_proj"]',
      method: "lora",
      "training.fold": true,
    },
    metrics: ["loss/validation", "loss/train"],
    status: 1,
  });
  expect(read["text"]).toContain("我的订单");
});
