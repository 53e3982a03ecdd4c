/** Facts for the pre-training dialogues: shops, people, goods and policies drawn anew for every dialogue. */
import type { Random } from "../../src/util/index.ts";
import type { Language } from "./compose.ts";
import type { Slots } from "./phrase-book.ts";

/** `name: products` of one fictional shop. */
type Shop = readonly [name: string, ...products: string[]];

const SHOPS: { readonly [L in Language]: readonly Shop[] } = {
  en: [
    ["Pedal & Pine", "bike light", "saddle", "helmet", "rain cover", "chain lock", "air pump"],
    ["Northlamp", "desk lamp", "floor lamp", "light bulb", "lamp shade", "string lights"],
    ["Bookwell", "travel guide", "cookbook", "novel", "notebook", "calendar", "puzzle"],
    ["Soundgarden Audio", "headphones", "speaker", "microphone", "audio cable", "record player"],
    ["Little Fern", "plant pot", "watering can", "garden hose", "seed box", "plant lamp"],
    ["Paw House", "dog bed", "cat tree", "leash", "food bowl", "fish tank filter"],
    ["Summit Outfitters", "tent", "sleeping bag", "rain jacket", "hiking boots", "backpack", "camp stove"],
    ["Homebase Linen", "bed sheet", "pillow", "blanket", "bath towel", "curtain"],
    ["Brightbyte", "phone case", "charger", "keyboard", "mouse", "tablet cover", "webcam"],
    ["Toy Harbour", "toy train", "board game", "teddy bear", "kite", "building blocks"],
    ["Bean Street Coffee", "coffee beans", "coffee grinder", "espresso cup", "milk jug", "paper filter"],
    ["Mill Kitchen", "frying pan", "chopping board", "knife set", "kettle", "baking tin", "teapot"],
    ["Fitfield", "yoga mat", "dumbbell", "running shoes", "water bottle", "jump rope"],
    ["Ink & Paper", "fountain pen", "sketchbook", "ink bottle", "pencil case", "gift wrap"],
    ["Cedar Furniture", "bookshelf", "side table", "office chair", "coat rack", "drawer unit"],
    ["Greenleaf Tea House", "green tea", "black tea", "oolong tea", "tea strainer", "tea cup", "thermos"],
    ["Glow Beauty", "hand cream", "shampoo", "soap set", "hair dryer", "face mask"],
    ["Old Town Clothing", "sweater", "raincoat", "scarf", "leather belt", "wool socks", "shirt"],
  ],
  zh: [
    ["骑行驿站", "车灯", "坐垫", "头盔", "雨罩", "车锁", "打气筒"],
    ["北辰灯饰", "台灯", "落地灯", "灯泡", "灯罩", "串灯"],
    ["书香阁", "旅行指南", "菜谱", "小说", "笔记本", "日历", "拼图"],
    ["乐声数码", "耳机", "音箱", "麦克风", "音频线", "唱片机"],
    ["小蕨园艺", "花盆", "喷壶", "水管", "种子盒", "植物灯"],
    ["萌宠之家", "狗窝", "猫爬架", "牵引绳", "食盆", "鱼缸过滤器"],
    ["登峰户外", "帐篷", "睡袋", "冲锋衣", "登山鞋", "背包", "炉头"],
    ["安睡家纺", "床单", "枕头", "毛毯", "浴巾", "窗帘"],
    ["明亮数码", "手机壳", "充电器", "键盘", "鼠标", "平板保护套", "摄像头"],
    ["玩具港湾", "小火车", "桌游", "毛绒熊", "风筝", "积木"],
    ["豆街咖啡", "咖啡豆", "磨豆机", "咖啡杯", "奶缸", "滤纸"],
    ["磨坊厨具", "平底锅", "砧板", "刀具套装", "水壶", "烤盘", "茶壶"],
    ["健行运动", "瑜伽垫", "哑铃", "跑步鞋", "运动水壶", "跳绳"],
    ["墨与纸", "钢笔", "速写本", "墨水", "笔袋", "包装纸"],
    ["雪松家具", "书架", "边桌", "办公椅", "衣帽架", "抽屉柜"],
    ["绿叶茶舍", "绿茶", "红茶", "乌龙茶", "茶漏", "茶杯", "保温杯"],
    ["晶莹美妆", "护手霜", "洗发水", "香皂礼盒", "吹风机", "面膜"],
    ["老城服饰", "毛衣", "雨衣", "围巾", "皮带", "羊毛袜", "衬衫"],
  ],
};

const FIRST =
  "Adam Alice Amir Anna Ben Bella Carlos Clara Daniel Diana Edward Elena Fatima Felix Grace Henry Irene Ivan Jack Jane Kofi Karen Leo Linda Marco Maria Nadia Nathan Oliver Olga Paul Priya Quinn Rosa Ryan Sara Sam Tina Tom Uma Victor Wendy Will Yara Zoe George Helen Peter Julia Mark Nina Simon Emma Lucas Kate Martin Eva Robert Lily David Chloe".split(
    " ",
  );
const LAST =
  "Adams Baker Brown Carter Clark Cole Cooper Cruz Davis Diaz Evans Fisher Ford Garcia Gray Green Hall Harris Hill Hughes Jackson Jones Kelly Khan King Lee Lewis Long Martin Miller Moore Morgan Murphy Nelson Owens Parker Patel Perez Quinn Reed Rivera Ross Scott Shaw Silva Smith Stone Taylor Turner Walker Ward Watson White Wilson Wood Wright Young".split(
    " ",
  );
const SURNAMES = [
  ..."王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严",
];
const GIVEN =
  "伟 芳 娜 敏 静 丽 强 磊 军 洋 勇 艳 杰 涛 明 超 秀兰 霞 平 刚 桂英 文 云 建华 建国 晓明 晓红 小燕 志强 志远 雨欣 雨桐 子涵 子轩 浩然 浩宇 思远 思琪 佳怡 佳琪 梦瑶 梦洁 嘉豪 嘉欣 俊杰 俊熙 欣怡 欣然 一鸣 一诺 天宇 天佑 婷婷 丹丹 海燕 海涛 国强 国华 春梅 玉兰 晨 鑫 宁 琳 雪 倩 凯 斌 波 鹏 飞 博文 若曦 诗涵 宇航 泽宇 奕辰 沐阳".split(
    " ",
  );
const CITIES: { readonly [L in Language]: readonly string[] } = {
  en: "Bristol Leeds Portland Austin Dublin Denver Boston Cardiff Oxford Seattle Chicago Exeter Norwich Tampa Dayton Glasgow Durham Phoenix Albany Madison Salem Boulder Bath York Newport Camden Auburn Concord".split(
    " ",
  ),
  zh: "北京 上海 广州 深圳 天津 重庆 武汉 西安 青岛 大连 厦门 郑州 长沙 昆明 合肥 济南 沈阳 福州 南昌 贵阳 太原 石家庄 哈尔滨 南宁 无锡 宁波 佛山 东莞 烟台 珠海".split(
    " ",
  ),
};
const STREETS: { readonly [L in Language]: readonly string[] } = {
  en: "Mill Lane|High Street|Station Road|Park Avenue|Church Street|Oak Drive|River Road|Bridge Street|Maple Court|King Street|Hill View|Garden Row|Lake Street|Elm Grove|Queens Road|North Street".split(
    "|",
  ),
  zh: "人民路 中山路 解放路 建设路 和平街 长江路 文化路 新华街 光明路 学府路 滨河路 胜利街 朝阳路 友谊路 东风路 花园街".split(
    " ",
  ),
};
const DAYS: { readonly [L in Language]: readonly string[] } = {
  en: "Monday Tuesday Wednesday Thursday Friday Saturday".split(" "),
  zh: "星期一 星期二 星期三 星期四 星期五 星期六 周一 周二 周三 周四 周五 周六".split(" "),
};
const MONTHS = "January February March April May June July August September October November December".split(
  " ",
);
const CARRIERS: { readonly [L in Language]: readonly string[] } = {
  en: "FastPost|BlueVan|ParcelOne|Citycourier|Swift Mail|RoadRunner Express|Postline".split("|"),
  zh: "飞达快递 蓝箭速运 一路通 城际快运 迅风物流 四方快递".split(" "),
};
const METHODS: { readonly [L in Language]: readonly string[] } = {
  en: "credit card|bank account|debit card|online wallet|gift card".split("|"),
  zh: "信用卡 银行卡 微信 支付宝 储蓄卡 礼品卡".split(" "),
};
const COLORS: { readonly [L in Language]: readonly string[] } = {
  en: "black white grey blue green red yellow brown beige orange".split(" "),
  zh: "黑色 白色 灰色 蓝色 绿色 红色 黄色 棕色 米色 橙色".split(" "),
};

/** One customer of one shop: every slot that the generic phrase books name. */
export function drawGenericSlots(language: Language, rng: Random): Slots {
  const shop = rng.pick(SHOPS[language]);
  const [product, product2] = rng.shuffle(shop.slice(1)) as [string, string];
  const currency = language === "en" ? rng.pick(["£", "$", "€"]) : "";
  const money = (value: number, decimals = true): string =>
    language === "en"
      ? `${currency}${decimals ? `${value}.${rng.pick(["00", "50", "90", "95", "99"])}` : value}`
      : `${value}元`;
  const price = 5 + rng.integer(120);
  const [day, day2] = rng.shuffle(DAYS[language]) as [string, string];
  const open = 7 + rng.integer(4);
  const close = 5 + rng.integer(5);
  const [method, method2] = rng.shuffle(METHODS[language]) as [string, string];
  return {
    ...person(language, rng),
    shop: shop[0],
    product,
    product2,
    price: money(price),
    price2: money(price + 3 + rng.integer(40)),
    total: money(price + rng.integer(60)),
    order: orderNumber(rng),
    tracking: `${letters(2, rng)}${digits(9, rng)}`,
    city: rng.pick(CITIES[language]),
    street:
      language === "en"
        ? `${1 + rng.integer(180)} ${rng.pick(STREETS.en)}`
        : `${rng.pick(STREETS.zh)}${1 + rng.integer(300)}号`,
    day,
    day2,
    date: date(language, rng),
    time:
      language === "en"
        ? `${1 + rng.integer(11)} o'clock`
        : `${rng.pick(["上午", "下午"])}${1 + rng.integer(5)}点`,
    carrier: rng.pick(CARRIERS[language]),
    method,
    method2,
    color: rng.pick(COLORS[language]),
    returnDays: rng.pick(["7", "10", "14", "15", "20", "21", "28", "60", "90"]),
    refundDays: rng.pick(["2", "3", "4", "5", "6", "7", "8", "10"]),
    deliveryDays: rng
      .pick(["1 to 3", "2 to 4", "2 to 5", "3 to 6", "4 to 7"])
      .replace(" to ", language === "en" ? " to " : "到"),
    freeOver: money(20 + 5 * rng.integer(30), false),
    fee: language === "en" ? money(2 + rng.integer(6)) : money(4 + rng.integer(15)),
    hours: language === "en" ? `${open} am to ${close} pm` : `${open}点到${close + 12}点`,
    weekend:
      language === "en" ? `${open + 1} am to ${Math.max(1, close - 3)} pm` : `${open + 1}点到${close + 9}点`,
    phone:
      language === "en"
        ? `0800 ${digits(3, rng)} ${digits(4, rng)}`
        : `400-${digits(3, rng)}-${digits(4, rng)}`,
    mail: `${rng.pick(["help", "service", "info", "care", "kefu"])}@${rng.pick(["shop", "store", "mail"])}.example`,
    voucher: `${letters(4, rng)}${rng.pick(["10", "15", "20", "5"])}`,
    points: String(20 + rng.integer(3000)),
  };
}

/** A person: `name` in full, `first` and `call` for addressing them. */
export function person(language: Language, rng: Random): { name: string; first: string; call: string } {
  if (language === "en") {
    const first = rng.pick(FIRST);
    return { name: `${first} ${rng.pick(LAST)}`, first, call: first };
  }
  const surname = rng.pick(SURNAMES);
  const call = `${surname}${rng.pick(["先生", "女士"])}`;
  return { name: surname + rng.pick(GIVEN), first: call, call };
}

function orderNumber(rng: Random): string {
  switch (rng.integer(5)) {
    case 0:
      return digits(6, rng);
    case 1:
      return digits(8, rng);
    case 2:
      return `${letters(1, rng)}${digits(5, rng)}`;
    case 3:
      return `${letters(2, rng)}-${digits(5, rng)}`;
    default:
      return `${digits(4, rng)}-${digits(4, rng)}`;
  }
}

function date(language: Language, rng: Random): string {
  const month = rng.integer(12);
  const day = 1 + rng.integer(28);
  return language === "en" ? `${day} ${MONTHS[month]}` : `${month + 1}月${day}日`;
}

export function digits(count: number, rng: Random): string {
  return Array.from({ length: count }, (_, i) => (i === 0 ? 1 + rng.integer(9) : rng.integer(10))).join("");
}

export function letters(count: number, rng: Random): string {
  return Array.from({ length: count }, () => rng.pick([..."ABCDEFGHJKLMNPRSTUVWXYZ"])).join("");
}
