/** Tokenizers, chat templates with their loss mask, conversations. */
export type { Example, Message, Role } from "./conversation.ts";
