/** Facts for the embedded dialogues: products and policies from shop.json, a customer and an order drawn anew. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Random } from "../../src/util/index.ts";
import type { Language } from "./compose.ts";
import { digits } from "./generic-world.ts";
import type { Flow, Slots } from "./phrase-book.ts";
import { TEASHOP_PEOPLE, drawDates, drawTeashopPerson } from "./teashop-people.ts";

type Both = Readonly<Record<Language, string>>;
type Money = Readonly<Record<"GBP" | "CNY", number>>;

interface Product {
  readonly id: string;
  readonly name: Both;
  readonly category: string;
  readonly price: Money;
  readonly size: Both;
  readonly stock: number;
  readonly origin?: Both;
  readonly brewing?: { readonly celsius: number; readonly minutes: number };
  readonly taste?: Both;
  readonly caffeine?: keyof (typeof CAFFEINE)["en"];
  readonly material?: Both;
  readonly dishwasher?: boolean;
}

/** What shop.json holds, as far as dialogues need it. */
export interface Shop {
  readonly products: readonly Product[];
  readonly policies: {
    readonly return: { readonly days: number; readonly refundWorkingDays: number };
    readonly shipping: { readonly carrier: Both; readonly fee: Money; readonly freeFrom: Money };
    readonly express: { readonly fee: Money };
    readonly gift: { readonly wrap: Money };
    readonly points: { readonly hundredPoints: number; readonly silverFrom: number };
  };
  readonly relations: readonly {
    readonly subject: string;
    readonly predicate: string;
    readonly object: string;
  }[];
  readonly contact: { readonly phone: Both; readonly email: string; readonly store: Both };
}

export function readShop(): Shop {
  const path = join(import.meta.dirname, "..", "..", "assets", "quickstart", "shop.json");
  return JSON.parse(readFileSync(path, "utf8")) as Shop;
}

const CAFFEINE = {
  en: {
    none: "There is no caffeine in it, so you can enjoy it at any hour.",
    low: "It has little caffeine and is fine in the evening.",
    medium: "It has a medium amount of caffeine; we would not drink it late.",
    high: "It has a lot of caffeine, so it is best in the morning.",
  },
  zh: {
    none: "不含咖啡因，什么时候喝都可以。",
    low: "咖啡因很少，晚上喝也没问题。",
    medium: "咖啡因中等，不建议太晚喝。",
    high: "咖啡因比较高，适合早上喝。",
  },
} as const;

const WASH = {
  en: {
    yes: "Yes, it is dishwasher safe.",
    no: "Please rinse it by hand with warm water; it is not meant for the dishwasher.",
  },
  zh: { yes: "可以放洗碗机。", no: "请用温水手洗，不能放洗碗机。" },
} as const;

const METHODS = {
  en: {
    paid: ["credit card", "debit card", "PayWise account"],
    other: ["bank transfer", "PayWise", "debit card"],
  },
  zh: { paid: ["银行卡", "支付宝", "微信账户"], other: ["银行转账", "支付宝", "微信支付"] },
} as const;

/** £14.50, or 118元. */
export function priceText(price: Money, language: Language): string {
  return language === "en" ? pounds(price.GBP) : `${price.CNY}元`;
}

function pounds(value: number): string {
  return `£${Number.isInteger(value) ? value : value.toFixed(2)}`;
}

/** One customer with one order; every slot that the tea shop's phrase books name. */
export function drawTeashopSlots(shop: Shop, flow: Flow, language: Language, rng: Random): Slots {
  const { products, policies, contact, relations } = shop;
  const currency = language === "en" ? "GBP" : "CNY";
  const inStock = products.filter(({ stock }) => stock > 0);
  const [tea, tea2] = rng.shuffle(inStock.filter(({ brewing }) => brewing !== undefined)) as [
    Product,
    Product,
  ];
  const pairs = relations.filter(
    ({ subject, predicate }) => subject === tea.id && predicate === "pairs_with",
  );
  const wares = inStock.filter(({ category }) => category === "tea-ware");
  // What arrives broken can break; what is recommended with a tea goes with it.
  const ware = rng.pick(
    flow.item === "ware"
      ? wares.filter(({ material }) => /glass|porcelain|clay/.test(material!.en))
      : wares.filter(({ id }) => pairs.some(({ object }) => object === id)),
  );
  const device = rng.pick(products.filter(({ id }) => id === "gooseneck-kettle" || id === "kitchen-scale"));
  const small = rng.pick(
    products.filter(({ id }) => ["tea-strainer", "tea-tin", "bamboo-whisk"].includes(id)),
  );
  const soldOut = products.find(({ stock }) => stock === 0)!;
  const { shipping, express, gift } = policies;
  // Who waits for a late parcel may ask for the shipping fee, so there must have been one.
  const limit = flow.late ? shipping.freeFrom[currency] / 2 : Number.POSITIVE_INFINITY;
  const orderable = inStock.filter(({ price }) => price[currency] < limit);
  const item = flow.item === "ware" ? ware : flow.item === "device" ? device : rng.pick(orderable);
  const item2 = rng.pick(orderable.filter((product) => product !== item));
  const goods = item.price[currency] + item2.price[currency];
  const total =
    Math.round((goods < shipping.freeFrom[currency] ? goods + shipping.fee[currency] : goods) * 100) / 100;
  const points = 40 + rng.integer(language === "en" ? 700 : 1_200);
  const { hundredPoints } = policies.points;
  const money = (value: number): string => (language === "en" ? pounds(value) : `${value}元`);
  const paid = rng.pick(METHODS[language].paid);
  const method2 = rng.pick(METHODS[language].other.filter((name) => !paid.startsWith(name.slice(0, 2))));
  const people = TEASHOP_PEOPLE[language];
  const [city, newCity] = rng.shuffle(people.cities) as [string, string];
  return {
    ...drawTeashopPerson(language, rng),
    ...drawDates(language, flow.late, rng),
    order: `LL-${digits(5, rng)}`,
    tracking: `HP${digits(8, rng)}`,
    city,
    newCity,
    street: street(language, rng),
    newStreet: street(language, rng),
    item: item.name[language],
    itemPrice: priceText(item.price, language),
    item2: item2.name[language],
    item2Price: priceText(item2.price, language),
    total: money(total),
    earned: String(Math.floor(total)),
    method: paid,
    method2,
    tea: tea.name[language],
    teaPrice: priceText(tea.price, language),
    teaSize: tea.size[language],
    teaOrigin: tea.origin![language],
    teaTaste: tea.taste![language],
    teaTemp: String(tea.brewing!.celsius),
    teaMinutes: minutes(tea.brewing!.minutes, language),
    teaCaffeine: CAFFEINE[language][tea.caffeine!],
    tea2: tea2.name[language],
    tea2Price: priceText(tea2.price, language),
    tea2Size: tea2.size[language],
    tea2Taste: tea2.taste![language],
    ware: ware.name[language],
    warePrice: priceText(ware.price, language),
    wareSize: ware.size[language],
    wareMaterial: ware.material![language],
    wareWash: WASH[language][ware.dishwasher === true ? "yes" : "no"],
    small: small.name[language],
    smallPrice: priceText(small.price, language),
    device: device.name[language],
    soldOut: soldOut.name[language],
    points: String(points),
    pointsValue: money(Math.floor(points / 100) * hundredPoints),
    hundred: money(hundredPoints),
    silver: silver(points, policies.points.silverFrom, language),
    company: rng.pick(people.companies),
    taxNumber: language === "en" ? `GB${digits(9, rng)}` : `9133${digits(14, rng)}`,
    carrier: shipping.carrier[language],
    fee: priceText(shipping.fee, language),
    freeFrom: priceText(shipping.freeFrom, language),
    expressFee: priceText(express.fee, language),
    wrap: priceText(gift.wrap, language),
    returnDays: String(policies.return.days),
    refundDays: String(policies.return.refundWorkingDays),
    hours: language === "en" ? "9 am to 6 pm" : "9点到18点",
    satHours: language === "en" ? "10 am to 4 pm" : "10点到16点",
    phone: contact.phone[language],
    email: contact.email,
    store: contact.store[language],
  };
}

function minutes(count: number, language: Language): string {
  return language === "en" ? `${count} minute${count === 1 ? "" : "s"}` : `${count}分钟`;
}

function silver(points: number, from: number, language: Language): string {
  if (points >= from) {
    return language === "en"
      ? `You are a silver member already, {call}; shipping is free for you all year.`
      : `您已经是银叶会员了，{call}，全年包邮。`;
  }
  return language === "en"
    ? `Silver starts at ${from} points, so you need ${from - points} more; then shipping is free all year.`
    : `满${from}分就是银叶会员，您还差${from - points}分，升级后全年包邮。`;
}

function street(language: Language, rng: Random): string {
  const name = rng.pick(TEASHOP_PEOPLE[language].streets);
  const number = 1 + rng.integer(120);
  return language === "en" ? `${number} ${name}` : `${name}${number}号`;
}
