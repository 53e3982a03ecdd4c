/** `attune chat`: a conversation with a run's model or any other, word by word; a pipe gives one user line a turn. */
import { createInterface } from "node:readline";
import { Command } from "commander";
import type { ReplyEvent, ReplyOptions } from "../../model/generate/index.ts";
import type { Message } from "../../model/text/index.ts";
import { type Responder, openModelSource, startResponder } from "../../project/index.ts";
import { CancelledError, UserError, formatCount } from "../../util/index.ts";
import { wholeNumber } from "../arguments.ts";
import { hubReporter } from "../hub-events.ts";
import { interruptSignal, interruptedExitCode } from "../interrupt.ts";
import { type SamplingFlags, describeSampling, samplingOf, withSamplingOptions } from "../sampling.ts";
import { type Output, bold, cyan, dim, green, terminalOutput } from "../terminal.ts";

interface ChatFlags extends SamplingFlags {
  readonly systemPrompt?: string;
  readonly base?: string;
  readonly threads?: number;
  readonly json?: boolean;
}

export function chatCommand(): Command {
  const command = new Command("chat")
    .description("talk to a run's model, or to any model")
    .argument(
      "<run|model>",
      "the folder of a run or an adapter, a model folder, a .gguf file, or owner/name[@revision]",
    )
    .option("--system-prompt <text>", "stands before the conversation")
    .option("--base <model>", "the base model, when it is not where the run says");
  return withSamplingOptions(command)
    .option("--threads <n>", "default: the machine's physical cores", wholeNumber(1, 1024))
    .option("--json", "print replies as JSON lines; the last is the result")
    .action(async (reference: string, flags: ChatFlags) => {
      process.exitCode = await chat(reference, flags, terminalOutput({ json: flags.json ?? false }));
    });
}

const help = `  /reset          forget the conversation
  /system TEXT    start anew with this system prompt
  /exit           leave (also Ctrl-D)
  Ctrl-C          stop a reply; at the prompt, leave`;

async function chat(reference: string, flags: ChatFlags, output: Output): Promise<number> {
  await using source = await openModelSource(reference, {
    onEvent: hubReporter(output),
    ...(flags.base === undefined ? {} : { base: flags.base }),
  });
  const options = samplingOf(flags, source.chat.opened.generationConfig);
  await using responder = await startResponder(source, {
    slots: 1,
    capacity: 1024,
    ...(flags.threads === undefined ? {} : { threads: flags.threads }),
    // Nothing but replies goes into a pipe.
    onWeight: (done, total) => output.isTerminal && output.live(`reading weights ${done} of ${total}`),
  });
  output.clear();
  const conversation = new Conversation(responder, options, flags.systemPrompt);
  const interactive = process.stdin.isTTY === true && output.isTerminal;
  if (interactive) {
    output.line(`${bold(source.name)} ${dim(source.adapter === undefined ? "" : `on ${source.base}`)}`);
    output.line(dim(`${describeSampling(options)}; /help lists what can be typed`));
  }
  return interactive ? await converse(conversation, output) : await answerLines(conversation, output);
}

/** Messages so far, and what of them the model still sees. */
class Conversation {
  readonly #responder: Responder;
  readonly #options: ReplyOptions;
  #system: string | undefined;
  #messages: Message[] = [];

  constructor(responder: Responder, options: ReplyOptions, system: string | undefined) {
    this.#responder = responder;
    this.#options = options;
    this.#system = system;
    this.reset();
  }

  reset(system = this.#system): void {
    this.#system = system;
    this.#messages = system === undefined ? [] : [{ role: "system", content: system }];
  }

  /** Answers `text`; what was said until `signal` aborts stays said. `onDropped` hears how many messages went. */
  async *say(
    text: string,
    signal: AbortSignal | undefined,
    onDropped: (count: number) => void,
  ): AsyncGenerator<ReplyEvent<undefined>> {
    const messages: Message[] = [...this.#messages, { role: "user", content: text }];
    const { contextLength } = this.#responder;
    const room = Math.min(this.#options.maxNewTokens, Math.floor(contextLength / 2));
    const { ids, dropped } = this.#responder.fit(messages, room);
    if (dropped > 0) onDropped(dropped);
    const longest = Math.min(contextLength, ids.length + this.#options.maxNewTokens);
    let said = "";
    try {
      for await (const event of this.#responder.reply(
        [{ key: undefined, ids }],
        this.#options,
        longest,
        signal,
      )) {
        if (event.type === "text") said += event.text;
        yield event;
      }
    } finally {
      this.#messages = [...messages, { role: "assistant", content: said }];
    }
  }
}

/** What a line asks for that is no message. */
function command(line: string, conversation: Conversation): "exit" | "done" | "help" | "unknown" | "message" {
  const [word, ...rest] = line.trim().split(/\s+/);
  switch (word) {
    case "/exit":
    case "/quit":
      return "exit";
    case "/reset":
      conversation.reset();
      return "done";
    case "/system":
      conversation.reset(rest.length === 0 ? undefined : line.trim().slice("/system".length).trim());
      return "done";
    case "/help":
      return "help";
    default:
      // A message may begin with a slash, such as a path; a lone word is a mistyped command.
      return word !== undefined && /^\/[a-z]+$/.test(word) && rest.length === 0 ? "unknown" : "message";
  }
}

async function converse(conversation: Conversation, output: Output): Promise<number> {
  const lines = createInterface({ input: process.stdin, output: process.stdout, prompt: cyan("you  ") });
  let replying: AbortController | undefined;
  let interrupted = false;
  lines.on("SIGINT", () => {
    if (replying !== undefined) replying.abort();
    else {
      interrupted = true;
      lines.close();
    }
  });
  lines.prompt();
  for await (const line of lines) {
    const kind = line.trim() === "" ? "done" : command(line, conversation);
    if (kind === "exit") break;
    if (kind === "help") output.line(dim(help));
    if (kind === "unknown") output.line(dim(`${line.trim()} is not a command.\n${help}`));
    if (kind === "message") {
      replying = new AbortController();
      try {
        await showReply(conversation, line, replying.signal, output);
      } finally {
        replying = undefined;
      }
    } else if (kind === "done" && line.trim() !== "") output.line(dim("a new conversation"));
    lines.prompt();
  }
  process.stdout.write("\n");
  return interrupted ? interruptedExitCode : 0;
}

async function showReply(
  conversation: Conversation,
  line: string,
  signal: AbortSignal,
  output: Output,
): Promise<void> {
  const { stdout } = process;
  stdout.write(green("bot  "));
  try {
    const dropped = (count: number): boolean =>
      stdout.write(dim(`(the oldest ${formatCount(count)} messages no longer fit) `));
    for await (const event of conversation.say(line, signal, dropped)) {
      if (event.type === "text") stdout.write(event.text.replaceAll("\n", "\n     "));
      else if (event.stoppedBy === "length")
        stdout.write(dim(" … (longest reply reached; --max-new-tokens)"));
    }
  } catch (error) {
    if (error instanceof UserError) stdout.write(error.message);
    else if (error instanceof CancelledError) stdout.write(dim(" (stopped)"));
    else throw error;
  }
  output.line("");
}

/** One reply a line of standard input. */
async function answerLines(conversation: Conversation, output: Output): Promise<number> {
  const interrupt = interruptSignal();
  const { signal } = interrupt;
  const lines = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY });
  signal.addEventListener("abort", () => lines.close(), { once: true });
  let turns = 0;
  let tokens = 0;
  let seconds = 0;
  try {
    for await (const line of lines) {
      if (line.trim() === "") continue;
      const kind = command(line, conversation);
      if (kind === "exit") break;
      if (kind === "help") output.notice(help);
      if (kind === "unknown") output.notice(`${line.trim()} is not a command.\n${help}`);
      if (kind !== "message") continue;
      const dropped = (count: number): void =>
        output.notice(`the oldest ${formatCount(count)} messages no longer fit and were left out`);
      for await (const event of conversation.say(line, signal, dropped)) {
        if (event.type === "text") {
          if (!output.isJson) process.stdout.write(event.text);
          continue;
        }
        turns += 1;
        tokens += event.ids.length;
        seconds += event.seconds;
        output.line("");
        output.json({
          type: "reply",
          message: line,
          reply: event.text,
          stoppedBy: event.stoppedBy,
          promptTokens: event.promptTokens,
          replyTokens: event.ids.length,
          seconds: event.seconds,
        });
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    lines.close();
    interrupt.dispose();
  }
  output.json({
    type: "result",
    turns,
    replyTokens: tokens,
    tokensPerSecond: seconds === 0 ? 0 : tokens / seconds,
  });
  return signal.aborted ? interruptedExitCode : 0;
}
