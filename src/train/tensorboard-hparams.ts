/** What TensorBoard's hparams plugin reads: the settings of a run as a session, and the figures to compare it by. */
import { ProtobufWriter } from "../compute/onnx/index.ts";
import type { SummaryValue } from "./tensorboard-format.ts";

type Setting = string | number | boolean;

/** Lists as JSON; settings that are not set are left out. */
function settingsOf(parameters: ReadonlyMap<string, unknown>): readonly (readonly [string, Setting])[] {
  return [...parameters].flatMap(([key, value]) => {
    if (value === undefined || value === null) return [];
    const plain = ["string", "number", "boolean"].includes(typeof value);
    return [[key, plain ? (value as Setting) : JSON.stringify(value)] as const];
  });
}

// DataType in tensorboard/plugins/hparams/api.proto; the number of google.protobuf.Value's field in the second.
const dataTypes = { string: 1, boolean: 2, number: 3 } as const;
const valueFields = { number: 2, string: 3, boolean: 4 } as const;
const typeOf = (value: Setting): keyof typeof dataTypes => typeof value as keyof typeof dataTypes;

const TRAINING = 1;
const VALIDATION = 2;
const metrics = [
  { tag: "loss/validation", name: "validation loss", dataset: VALIDATION },
  { tag: "loss/train", name: "training loss", dataset: TRAINING },
] as const;

/** Source of the messages: tensorboard/plugins/hparams/{api,plugin_data}.proto. */
function hparams(tag: string, field: number, message: ProtobufWriter): SummaryValue {
  return {
    kind: "plugin",
    tag,
    plugin: "hparams",
    content: new ProtobufWriter().message(field, message).join(),
  };
}

/** Which settings and figures there are. */
function experiment(settings: readonly (readonly [string, Setting])[], wallTime: number): SummaryValue {
  const message = new ProtobufWriter().double(3, wallTime);
  for (const [key, value] of settings)
    message.message(4, new ProtobufWriter().string(1, key).int(4, dataTypes[typeOf(value)]));
  for (const { tag, name, dataset } of metrics) {
    const metricName = new ProtobufWriter().string(2, tag);
    message.message(5, new ProtobufWriter().message(1, metricName).string(3, name).int(5, dataset));
  }
  return hparams("_hparams_/experiment", 2, message);
}

/** The settings of this run, as the first record of it says them. `wallTime`: seconds since 1970. */
export function sessionStart(
  parameters: ReadonlyMap<string, unknown>,
  wallTime: number,
): readonly SummaryValue[] {
  const settings = settingsOf(parameters);
  const message = new ProtobufWriter();
  for (const [key, value] of settings) {
    const held = new ProtobufWriter();
    const field = valueFields[typeOf(value)];
    if (typeof value === "number") held.double(field, value);
    else if (typeof value === "string") held.string(field, value);
    else held.int(field, value ? 1 : 0);
    message.message(1, new ProtobufWriter().string(1, key).message(2, held));
  }
  message.double(5, wallTime);
  return [experiment(settings, wallTime), hparams("_hparams_/session_start_info", 3, message)];
}

/** The run came to its end. */
export function sessionEnd(wallTime: number): SummaryValue {
  // STATUS_SUCCESS
  return hparams("_hparams_/session_end_info", 4, new ProtobufWriter().int(1, 1).double(2, wallTime));
}
