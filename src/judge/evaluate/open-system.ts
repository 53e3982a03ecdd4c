/** The model of a system, opened as its training opened it. */
import { type ChatModel, openChatModel } from "../../model/index.ts";
import type { ModelSystem } from "./types.ts";

/** Its adapter is left to the caller. Close the result when done. */
export function openSystem({
  model,
  separator,
  keepFirstTurns,
  slidingWindow,
}: ModelSystem): Promise<ChatModel> {
  return openChatModel(model, {
    ...(separator === undefined ? {} : { separator }),
    ...(keepFirstTurns === undefined ? {} : { keepFirstTurns }),
    ...(slidingWindow === undefined ? {} : { slidingWindow }),
  });
}
