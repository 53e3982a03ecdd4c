/** A LLaMA-family model, from text to text. */
export { chatModelOf, openChatModel } from "./chat-model.ts";
export type { ChatModel, ChatModelOptions } from "./chat-model.ts";
export { freshModel } from "./fresh-model.ts";
export type { FreshModelFiles, Initialisation } from "./fresh-model.ts";
