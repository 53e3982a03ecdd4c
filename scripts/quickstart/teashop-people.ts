/** Invented customers of the embedded shop, their cities and companies, and the calendar of an order. */
import type { Random } from "../../src/util/index.ts";
import type { Language } from "./compose.ts";

interface People {
  readonly women: readonly string[];
  readonly men: readonly string[];
  readonly surnames: readonly string[];
  readonly cities: readonly string[];
  readonly streets: readonly string[];
  readonly companies: readonly string[];
}

export const TEASHOP_PEOPLE: { readonly [L in Language]: People } = {
  en: {
    women:
      "Abigail Beatrice Charlotte Daphne Eleanor Florence Georgia Hannah Imogen Josephine Laura Matilda Naomi Ophelia Phoebe Rebecca Sophie Tabitha Violet Winifred".split(
        " ",
      ),
    men: "Alistair Benedict Callum Dominic Edmund Frederick Gareth Hugo Isaac Jonathan Kenneth Lawrence Malcolm Nigel Oscar Patrick Rupert Stephen Theodore Vincent".split(
      " ",
    ),
    surnames:
      "Abbott Ashworth Bennett Blackwood Chapman Crawford Dawson Ellison Fairchild Fletcher Goodwin Hartley Holloway Ingram Jennings Kirkland Lambert Langley Marlowe Norwood Osborne Pemberton Prescott Quigley Redmond Sinclair Thornton Underwood Vaughan Whitaker Winslow Yardley".split(
        " ",
      ),
    cities:
      "London Manchester Birmingham Liverpool Sheffield Nottingham Leicester Coventry Plymouth Brighton Cambridge Edinburgh Aberdeen Swansea Lincoln Winchester Chester Lancaster Carlisle Worcester".split(
        " ",
      ),
    streets:
      "Rosehill Terrace|Lavender Close|Old Mill Road|Foxglove Way|Harbour View|Chestnut Avenue|Beacon Hill|Meadow Walk|Priory Gardens|Canal Street|Orchard Lane|Weaver Row".split(
        "|",
      ),
    companies:
      "Fenwick Design Ltd|Harrow Books Ltd|Bluebell Catering Ltd|Northgate Dental Ltd|Tidewater Studios Ltd|Oakfield Legal Ltd".split(
        "|",
      ),
  },
  zh: {
    women:
      "雅琴 慧敏 淑华 美玲 诗雨 晓彤 可欣 若兰 婉清 思雨 梦琪 佩珊 静怡 雪莹 语嫣 舒婷 宛如 念慈 秋月 依依".split(
        " ",
      ),
    men: "建平 文博 志明 立群 振宇 家辉 承志 景行 少华 永康 光耀 明轩 德厚 子谦 修远 启航 正阳 安邦 伯言 怀远".split(
      " ",
    ),
    surnames: [..."陈林黄周吴徐孙胡朱高郭何罗宋郑谢韩唐冯于董程曹袁邓许傅沈曾彭"],
    cities:
      "杭州 南京 苏州 成都 北京 上海 广州 武汉 西安 长沙 厦门 青岛 昆明 合肥 福州 宁波 重庆 天津 济南 郑州".split(
        " ",
      ),
    streets: "梧桐路 桂花巷 望江路 书院街 翠竹路 荷塘街 银杏路 古楼街 清风路 沿湖路 柳岸街 晨曦路".split(" "),
    companies:
      "杭州青石设计有限公司 南京云帆文化有限公司 成都锦里餐饮有限公司 苏州木林家居有限公司 厦门海岸传媒有限公司 武汉江城教育有限公司".split(
        " ",
      ),
  },
};

/** `name` in full and `call`, how the assistant addresses the customer. */
export function drawTeashopPerson(
  language: Language,
  rng: Random,
): { name: string; first: string; call: string } {
  const people = TEASHOP_PEOPLE[language];
  const isWoman = rng.next() < 0.5;
  const given = rng.pick(isWoman ? people.women : people.men);
  const surname = rng.pick(people.surnames);
  if (language === "en") {
    const call = `${isWoman ? "Ms" : "Mr"} ${surname}`;
    return { name: `${given} ${surname}`, first: call, call };
  }
  const call = `${surname}${isWoman ? "女士" : "先生"}`;
  return { name: surname + given, first: call, call };
}

const WEEKDAYS = {
  en: ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"],
  zh: ["周日", "周一", "周二", "周三", "周四", "周五", "周六"],
} as const;
const MONTHS = "January February March April May June July August September October November December".split(
  " ",
);

/** The days of one order: sent `shipDay`, expected `eta` (2 to 4 working days later), another day `newDay`, `restock`. */
export function drawDates(language: Language, late: boolean, rng: Random): Readonly<Record<string, string>> {
  const today = workingDays(new Date(Date.UTC(2026, 1, 2)), rng.integer(200));
  const sent = workingDays(today, late ? -6 - rng.integer(3) : -1 - rng.integer(2));
  const expected = late
    ? workingDays(today, 1 + rng.integer(2))
    : later(today, workingDays(sent, 2 + rng.integer(3)));
  return {
    shipDay: dayText(sent, language),
    eta: dayText(expected, language),
    etaDay: WEEKDAYS[language][expected.getUTCDay()]!,
    newDay: dayText(workingDays(expected, 1 + rng.integer(3)), language),
    restock: dayText(workingDays(today, 5 + rng.integer(12)), language),
  };
}

/** The delivery lies after today. */
function later(today: Date, date: Date): Date {
  return date > today ? date : workingDays(today, 1);
}

function workingDays(from: Date, count: number): Date {
  const date = new Date(from);
  for (let left = Math.abs(count); left > 0;) {
    date.setUTCDate(date.getUTCDate() + Math.sign(count));
    if (date.getUTCDay() !== 0 && date.getUTCDay() !== 6) left -= 1;
  }
  return date;
}

function dayText(date: Date, language: Language): string {
  const weekday = WEEKDAYS[language][date.getUTCDay()]!;
  return language === "en"
    ? `${weekday}, ${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]!}`
    : `${date.getUTCMonth() + 1}月${date.getUTCDate()}日${weekday}`;
}
