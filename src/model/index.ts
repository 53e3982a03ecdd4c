/** A LLaMA-family model, from text to text. */
export { openChatModel } from "./chat-model.ts";
export type { ChatModel, ChatModelOptions } from "./chat-model.ts";
