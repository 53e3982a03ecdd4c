/** Long dialogues: worse with depth on the reference history, worse still on the model's own, early facts lost. */
import { type Markup, lineChart } from "../../../util/html/index.ts";
import { excerpt } from "../../../util/index.ts";
import { depthGroups } from "../../evaluate/index.ts";
import { corpusBleu, isMostlyCjk } from "../../metrics/index.ts";
import { factRecall } from "../facts.ts";
import { clamp, trainingTimes } from "../helpers.ts";
import type { Detector, Diagnosed, Figure, OwnHistoryReply, Remedy } from "../types.ts";

const fewestReplies = 8;
const places: Readonly<Record<string, number>> = { "1–2": 1.5, "3–5": 4, "6+": 7 };

export const longDialogues: Detector = {
  id: "long-dialogues",
  about: { en: "long dialogues fail", zh: "长对话表现差" },
  detect: (run) => {
    const own = run.evaluation?.systems.find(({ kind }) => kind === "tuned");
    const slices = own?.slices.filter(({ by, count }) => by === "depth" && count >= fewestReplies) ?? [];
    const [short, long] = [
      slices.find(({ name }) => name === "1–2"),
      slices.findLast(({ name }) => name !== "1–2"),
    ];
    const evidence: Figure[] = [];
    let score = 0;
    if (short !== undefined && long !== undefined) {
      const bleu = 1 - long.bleu4.score / Math.max(1e-9, short.bleu4.score);
      if (short.bleu4.score > 2 && bleu > 0.4 && long.bleu4.high < short.bleu4.score) {
        score += 0.4;
        evidence.push({
          name: `BLEU-4 at turns ${long.name}`,
          value: long.bleu4.score,
          unit: "score",
          expected: `turns 1–2: ${short.bleu4.score.toFixed(2)}`,
        });
      }
      if (
        short.perplexity !== undefined &&
        long.perplexity !== undefined &&
        long.perplexity.low > 1.5 * short.perplexity.score
      ) {
        score += 0.3;
        evidence.push({
          name: `perplexity at turns ${long.name}`,
          value: long.perplexity.score,
          unit: "score",
          expected: `turns 1–2: ${short.perplexity.score.toFixed(2)}`,
        });
      }
    }
    const late = (run.ownHistory ?? []).filter(
      ({ depth, onReference }) => depth >= 3 && onReference !== undefined,
    );
    if (late.length >= fewestReplies) {
      const [onOwn, onReference] = [bleuOf(late, (r) => r.prediction), bleuOf(late, (r) => r.onReference!)];
      if (onReference > 2 && onOwn < 0.7 * onReference) {
        score += 0.3;
        evidence.push({
          name: "BLEU-4 from turn 3 on its own history",
          value: onOwn,
          unit: "score",
          expected: `on the data's history: ${onReference.toFixed(2)}`,
        });
      }
    }
    const recall = recallOf(run);
    if (recall !== undefined && recall.asked >= 5) {
      evidence.push({
        name: `early facts recalled from turn 3 on (${recall.asked})`,
        value: recall.share,
        unit: "share",
        expected: "above 50 %",
      });
      if (recall.share < 0.5) score += 0.35;
    }
    if (score < 0.3) return undefined;
    return {
      title: {
        en: "Long dialogues fail: replies get worse as a dialogue goes on",
        zh: "长对话表现差：对话越长回复越差",
      },
      evidence,
      picture: picture(run),
      examples: [...(recall?.missed ?? []), ...late, ...deepReplies(run)]
        .slice(0, 3)
        .map(({ said, reference, prediction }) => ({
          context: excerpt(said.at(-1) ?? "", 240),
          reference: excerpt(reference, 240),
          prediction: excerpt(prediction, 240),
          note: `early: ${excerpt(said[0] ?? "", 120)}`,
        })),
      confidence: clamp(0.35 + score / 2, 0, 0.97),
      severity: score > 0.7 ? "high" : "medium",
      remedy: remedyOf(run, recall !== undefined && recall.share < 0.5),
    };
  },
};

/** Tokens within which a small model answers well; a window of so many keeps longer dialogues like those it knows. */
const window = 512;

/** Each of the remedies where it is not in place already; longer training where early facts are lost, which are learned last. */
function remedyOf({ settings, tuned }: Diagnosed, forgets: boolean): Remedy {
  const { template, training, data } = settings;
  const trained = training.maxLength ?? 1024;
  const longest = Math.max(0, ...tuned.map(({ prompt_tokens, tokens }) => prompt_tokens + tokens));
  const long = tuned.filter(({ depth }) => depth > 5).length / Math.max(1, tuned.length);
  const shape = [
    ...(template.separator === undefined ? ["template.separator=<sep>"] : []),
    ...(longest > trained ? [`training.maxLength=${2 ** Math.ceil(Math.log2(longest))}`] : []),
    ...(data.longShare === undefined && long < 0.3 ? ["data.longShare=0.3"] : []),
    // A window would hide the very turns whose facts are lost, so it is for those that only get worse with length.
    ...(forgets
      ? template.keepFirstTurns === 0
        ? ["template.keepFirstTurns=1"]
        : []
      : training.slidingWindow === undefined && longest > window
        ? [`training.slidingWindow=${window}`]
        : []),
  ];
  // Measured on dialogues that ask at their end for the name said first: 21 % recalled after 300 steps, all after 700.
  const longer = forgets ? [trainingTimes(settings, 2)] : [];
  const commands = ["attune data prepare DATA --out data/long"];
  if (shape.length === 0) {
    return {
      text: {
        en: `Separator, length, share of long dialogues and what is kept of the beginning are set already. ${forgets ? "What is left is to train longer, since early facts are learned last, and data" : "What is left are data"} with more long dialogues whose late turns ask for what was said first.`,
        zh: `分隔符、长度、长对话占比和保留开头的设置都已就位。${forgets ? "剩下的办法是延长训练（早期信息最后才学会），并" : "剩下的办法是"}补充更多在后期追问早期信息的长对话数据。`,
      },
      set: longer,
      commands,
    };
  }
  return {
    text: {
      en: "Mark turns by a separator, leave room for whole dialogues, and repeat long ones in training. Where early facts are lost, keep the first turns when older ones must go, and train longer: they are learned last; where replies only get worse with length, let the layers see a window.",
      zh: "用分隔符标记轮次，为完整对话留出长度，并在训练中重复长对话。若丢失早期信息，截断时保留最初几轮并延长训练（早期信息最后才学会）；若只是越长越差，则使用滑动窗口注意力。",
    },
    set: [...shape, ...longer],
    commands,
  };
}

function bleuOf(replies: readonly OwnHistoryReply[], textOf: (reply: OwnHistoryReply) => string): number {
  const tokenizer = isMostlyCjk(replies.map(({ reference }) => reference)) ? "zh" : "13a";
  return corpusBleu(
    replies.map(textOf),
    replies.map(({ reference }) => [reference]),
    { tokenizer },
  ).score;
}

/** The latest replies of the run that are not their reference. */
function deepReplies({ tuned }: Diagnosed): OwnHistoryReply[] {
  return tuned
    .filter(({ depth }) => depth >= 3)
    .toSorted(
      (a, b) =>
        Number(a.prediction === a.reference) - Number(b.prediction === b.reference) || b.depth - a.depth,
    )
    .map(({ id, depth, context, reference, prediction }) => {
      const said = context.filter(({ role }) => role === "user").map(({ content }) => content);
      return { id, depth, reference, prediction, said };
    });
}

/** Facts of the first two customer turns that the reference names again from turn 3 on. */
function recallOf({
  tuned,
}: Diagnosed): { share: number; asked: number; missed: OwnHistoryReply[] } | undefined {
  let [asked, recalled] = [0, 0];
  const missed: OwnHistoryReply[] = [];
  for (const { id, depth, context, reference, prediction } of tuned) {
    if (depth < 3) continue;
    const said = context.filter(({ role }) => role === "user").map(({ content }) => content);
    const facts = factRecall(said.slice(0, 2), said.slice(2), reference, prediction);
    asked += facts.asked;
    recalled += facts.recalled;
    if (facts.asked > facts.recalled) missed.push({ id, depth, reference, prediction, said });
  }
  return asked === 0 ? undefined : { share: recalled / asked, asked, missed };
}

function picture({ evaluation, ownHistory = [] }: Diagnosed): Markup {
  const own = evaluation?.systems.find(({ kind }) => kind === "tuned");
  const points = depthGroups.flatMap((name) => {
    const slice = own?.slices.find((one) => one.by === "depth" && one.name === name);
    return slice === undefined ? [] : [[places[name]!, slice.bleu4.score] as const];
  });
  const byDepth = depthGroups.flatMap((name) => {
    const [from, to] = name === "1–2" ? [1, 2] : name === "3–5" ? [3, 5] : [6, Number.POSITIVE_INFINITY];
    const replies = ownHistory.filter(({ depth }) => depth >= from && depth <= to);
    return replies.length === 0
      ? []
      : [[places[name]!, bleuOf(replies, (reply) => reply.prediction)] as const];
  });
  return lineChart(
    [
      { name: "on the data's history", tone: 0, points, dots: true },
      { name: "on its own history", tone: 1, points: byDepth, dots: true, dashed: true },
    ],
    {
      label: "BLEU-4 by turn depth: on the data's history (blue) and on its own (orange)",
      xUnit: "turn of the dialogue",
      yUnit: "BLEU-4",
      fromZero: true,
    },
  );
}
