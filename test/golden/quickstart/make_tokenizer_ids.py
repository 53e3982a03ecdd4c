"""Writes tokenizer.json: ids of the embedded tokenizer by Hugging Face transformers, on texts that are hard to split.

Run from the repository's root: python test/golden/quickstart/make_tokenizer_ids.py
"""
import json
from transformers import AutoTokenizer

TEXTS = [
    "Hello, world! It's 12:30, I'LL pay £45.90 and you're LATE.",
    "您好，我的订单号是LL-48213，麻烦查一下。",
    "我想把Jasmine Pearls退掉，共98元（含运费）！",
    "emoji 😀👨‍👩‍👧🏽 and café, naïve, Straße",
    "  leading   spaces\n\n\ttabs \r\n end  ",
    "ＦＵＬＬ　ｗｉｄｔｈ１２３，全角字符。",
    "日本語テキスト 한국어 русский العربية",
    "cafe\u0301 decomposed",
    "\u200bzero\u200d width\ufeff",
    "snake_case, kebab-case, {braces} [brackets] <br/> &nbsp; https://lanternlane.example/help",
    "𠮷野家的龘字",
    "1234567890 3.14159 １２３",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    "'s 't 're 've 'm 'll 'd 'S don't",
    "",
]

tokenizer = AutoTokenizer.from_pretrained("assets/quickstart/model")
conversation = [
    {"role": "system", "content": "You are the assistant of Lantern Lane."},
    {"role": "user", "content": "龙井怎么泡？"},
    {"role": "assistant", "content": "80度，泡2分钟。"},
    {"role": "user", "content": "Thanks!"},
]
golden = {
    "texts": [{"text": t, "ids": tokenizer(t, add_special_tokens=False)["input_ids"]} for t in TEXTS],
    "conversation": conversation,
    "rendered": tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True),
}
golden["renderedIds"] = tokenizer(golden["rendered"], add_special_tokens=False)["input_ids"]
with open("test/golden/quickstart/tokenizer.json", "w", encoding="utf-8") as file:
    json.dump(golden, file, ensure_ascii=False)
    file.write("\n")
