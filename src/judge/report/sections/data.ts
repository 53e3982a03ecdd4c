/** The data: what came in, what was left out and why, how it was split, and whether anything leaks. */
import { type Markup, NOTHING, markup } from "../../../util/html/index.ts";
import { formatCount } from "../../../util/index.ts";
import { shareRows } from "../charts.ts";
import { dataCommand } from "../commands.ts";
import {
  type Section,
  card,
  missingNote,
  moreDetails,
  table,
  tile,
  tiles,
  warning,
  warningList,
} from "../parts.ts";
import { ruleName } from "../phrases.ts";
import type { DataFacts, ReportFacts } from "../types.ts";
import { both, code, given, share } from "../words.ts";

const shownIntents = 10;

export function dataSection(facts: ReportFacts): Section {
  const { data, origin } = facts;
  const command = dataCommand(facts);
  return {
    id: "data",
    title: { en: "The data", zh: "数据" },
    ...(data.found === undefined ? {} : { lead: lead(data.found) }),
    body:
      data.found === undefined
        ? markup`${missingNote(data.missing, command)}${sources(facts)}`
        : markup`${figures(data.found)}${remarks(data.found)}${rejected(data.found)}${intents(data.found)}${splits(data.found)}${origin.split === undefined ? NOTHING : sources(facts)}`,
    commands: data.found === undefined ? [] : [command],
  };
}

function lead({ manifest, path, hasReport }: DataFacts): Markup {
  const { rows, splits } = manifest;
  const kept = splits.train.replies + splits.validation.replies + splits.test.replies;
  const more = hasReport
    ? both(
        markup` ${code(`${path}/report.html`)} shows every rule with examples.`,
        markup`${code(`${path}/report.html`)} 中有每条规则及示例。`,
      )
    : NOTHING;
  return markup`${both(
    `${formatCount(kept)} replies to learn from and to measure by, out of ${formatCount(rows.read)} rows. Whole conversations are dealt to the splits, so that nothing that is measured was learned.`,
    `从 ${formatCount(rows.read)} 行原始数据中得到 ${formatCount(kept)} 条用于训练和评估的回复。按整段对话划分集合，评估内容不会出现在训练中。`,
  )}${more}`;
}

function figures({ manifest }: DataFacts): Markup {
  const { rows, splits, leaks, maxIntentShare, shape } = manifest;
  const leaked = leaks.dialogueId + leaks.conversation + leaks.nearDuplicate;
  return tiles([
    tile(formatCount(rows.read), both("rows read", "原始行数")),
    tile(
      formatCount(rows.kept),
      both(
        `rows kept (${share(rows.kept / Math.max(1, rows.read), 0)})`,
        `保留行数（${share(rows.kept / Math.max(1, rows.read), 0)}）`,
      ),
    ),
    tile(formatCount(splits.train.replies), both("replies to learn from", "训练回复")),
    tile(formatCount(splits.validation.replies + splits.test.replies), both("replies held out", "留出回复")),
    tile(
      share(maxIntentShare),
      both("share of the largest intent", "最大意图占比"),
      maxIntentShare <= shape.balance.maxShare + 1e-6 ? "good" : "warn",
    ),
    tile(formatCount(leaked), both("leaks between splits", "集合间泄漏"), leaked === 0 ? "good" : "bad"),
  ]);
}

function remarks({ manifest, changed }: DataFacts): Markup {
  const { splits, leaks } = manifest;
  const list: Markup[] = [];
  if (changed) {
    list.push(
      warning(
        both("The data set was made anew after this run was trained.", "该数据集在本次训练之后被重新生成。"),
        both("The figures below describe the new one.", "以下数字描述的是新的数据集。"),
      ),
    );
  }
  if (splits.train.replies < 10_000) {
    list.push(
      warning(
        both(
          `${formatCount(splits.train.replies)} replies to learn from; 10,000 or more are advised.`,
          `训练回复只有 ${formatCount(splits.train.replies)} 条，建议至少 10,000 条。`,
        ),
      ),
    );
  }
  if (leaks.sharedReplies > 0.1) {
    list.push(
      warning(
        both(
          `${share(leaks.sharedReplies)} of the held-out replies stand word for word in training.`,
          `留出回复中有 ${share(leaks.sharedReplies)} 与训练回复逐字相同。`,
        ),
        both(
          "That is usual for customer service; the scores on new replies are given apart.",
          "客服数据中这很常见；下文单独给出新回复上的得分。",
        ),
      ),
    );
  }
  return warningList(list);
}

function rejected({ manifest }: DataFacts): Markup {
  const { rows } = manifest;
  const rules = Object.entries(manifest.rejected)
    .filter(([, count]) => count > 0)
    .sort((a, b) => b[1] - a[1]);
  if (rules.length === 0) return NOTHING;
  const rowsOf = (list: typeof rules): Markup =>
    shareRows(
      list.map(([rule, count]) => ({
        name: ruleName(rule),
        value: count,
        shown: markup`${formatCount(count)} <small>${share(count / Math.max(1, rows.read))}</small>`,
        tone: "bad",
      })),
      rules[0]![1],
    );
  return card(
    both("What was left out", "剔除了什么"),
    markup`${rowsOf(rules.slice(0, 8))}${rules.length > 8 ? moreDetails(both(`${rules.length - 8} more reasons`, `另外 ${rules.length - 8} 种原因`), rowsOf(rules.slice(8))) : NOTHING}`,
    both(
      `${formatCount(rows.read)} read = ${formatCount(rows.kept)} kept + ${formatCount(rows.rejected)} left out; each stands in rejected.jsonl with its place and reason.`,
      `读入 ${formatCount(rows.read)} = 保留 ${formatCount(rows.kept)} + 剔除 ${formatCount(rows.rejected)}；每条剔除记录的位置和原因见 rejected.jsonl。`,
    ),
  );
}

function intents({ manifest }: DataFacts): Markup {
  const { train } = manifest.splits;
  const all = Object.entries(train.intents).sort((a, b) => b[1] - a[1]);
  const total = Math.max(
    1,
    all.reduce((sum, [, count]) => sum + count, 0),
  );
  if (all.length < 2) return NOTHING;
  const rowsOf = (list: typeof all): Markup =>
    shareRows(
      list.map(([intent, count]) => ({
        name: given(intent),
        value: count,
        shown: markup`${formatCount(count)} <small>${share(count / total)}</small>`,
      })),
      all[0]![1],
    );
  return card(
    both("Intents in training", "训练集中的意图"),
    markup`${rowsOf(all.slice(0, shownIntents))}${all.length > shownIntents ? moreDetails(both(`${all.length - shownIntents} rarer intents`, `另外 ${all.length - shownIntents} 个较少的意图`), rowsOf(all.slice(shownIntents, 200))) : NOTHING}`,
  );
}

function splits({ manifest }: DataFacts): Markup {
  const { leaks } = manifest;
  const names = {
    train: both("training", "训练"),
    validation: both("validation", "验证"),
    test: both("test", "测试"),
  };
  return card(
    both("Splits", "划分"),
    table(
      [
        { head: both("split", "集合") },
        { head: both("conversations", "对话"), number: true },
        { head: both("replies", "回复"), number: true },
        { head: both("intents", "意图"), number: true },
        { head: markup`SHA-256` },
      ],
      (["train", "validation", "test"] as const).map((name) => {
        const part = manifest.splits[name];
        return [
          names[name],
          markup`${formatCount(part.conversations)}`,
          markup`${formatCount(part.replies)}`,
          markup`${formatCount(Object.keys(part.intents).length)}`,
          code(part.sha256.slice(0, 12)),
        ];
      }),
    ),
    both(
      `Leak check on the files: ${formatCount(leaks.dialogueId)} shared conversation ids, ${formatCount(leaks.conversation)} identical conversations, ${formatCount(leaks.nearDuplicate)} near-duplicates (Jaccard ≥ ${leaks.threshold}).`,
      `对文件的泄漏检查：共享对话编号 ${formatCount(leaks.dialogueId)} 个，相同对话 ${formatCount(leaks.conversation)} 段，近似重复 ${formatCount(leaks.nearDuplicate)} 段（Jaccard ≥ ${leaks.threshold}）。`,
    ),
  );
}

/** What the run itself wrote down about what it read. */
function sources({ origin, settings }: ReportFacts): Markup {
  const list =
    origin.sources.length > 0
      ? origin.sources
      : [settings.data.train, settings.data.validation]
          .filter((path) => path !== undefined)
          .map((path) => ({ path, sha256: undefined, examples: undefined }));
  return card(
    both("What the run read", "训练读取的内容"),
    table(
      [
        { head: both("path", "路径") },
        { head: both("examples", "样本"), number: true },
        { head: markup`SHA-256` },
      ],
      list
        .slice(0, 50)
        .map(({ path, examples, sha256 }) => [
          given(path),
          markup`${examples === undefined ? "–" : formatCount(examples)}`,
          sha256 === undefined ? markup`–` : code(sha256.slice(0, 12)),
        ]),
    ),
    ...(origin.split === undefined ? [] : [given(origin.split)]),
    ...(origin.cut === undefined ? [] : [cut(origin.cut)]),
  );
}

/** What of the training set was too long or could not be learned; that nothing was is worth knowing too. */
function cut({ rows, messages, rejected }: NonNullable<ReportFacts["origin"]["cut"]>): Markup {
  return both(
    `Too long for one sequence: ${formatCount(rows)} conversations, which went without their oldest turns (${formatCount(messages)} messages); replies that could not be learned: ${formatCount(rejected)}.`,
    `超出序列长度：${formatCount(rows)} 段对话，省去了最早的轮次（共 ${formatCount(messages)} 条消息）；无法学习的回复：${formatCount(rejected)} 条。`,
  );
}
