"""Golden ids for the text room: small tokenizers trained here, and SmolLM2's, all encoded by Hugging Face's own code.

usage: python tokenizers.py PATH_TO_SmolLM2-135M-Instruct.Q4_1.gguf
needs: transformers 5, tokenizers 0.23, gguf. Writes byte-level.json, sentencepiece.json and smollm2.json beside itself.
"""
import json
import os
import random
import sys

sys.path = [p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(os.path.abspath(__file__))]
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer
from transformers.tokenization_utils_base import generate_merges

HERE = os.path.dirname(os.path.abspath(__file__))

CORPUS = [
    "Hello, my order 10452 hasn't arrived yet. Can you check where it is?",
    "I'm sorry to hear that. Your parcel left our warehouse on 12 May 2024 and should arrive within 3 working days.",
    "I'd like to return the kettle; it doesn't work and I've already tried another plug.",
    "No problem at all! We'll send you a free label, and we'll refund $49.90 as soon as it's back with us.",
    "Could you change the delivery address to 27 Harbour Street, please?",
    "They're asking whether the jacket you'd ordered in size 38 can be exchanged for a 40.",
    "您好,我的订单还没有收到,请帮我查一下物流。",
    "非常抱歉给您带来不便,您的包裹预计三天之内送达。",
    "我想退货,水壶坏了,可以退款吗?",
    "可以的,退货运费由我们承担,退款会在五个工作日内到账。",
    "请问有没有大一号的外套?我想换货。谢谢!",
    "Thanks 😊 that's great! 👍🏽 See you soon 🎉",
    "Refund policy:\n\n1. Keep the receipt.\n2. Pack the item.\n3. Send it back.\n",
    "   indented text\twith\ttabs and    runs of   spaces   ",
]

TEXTS = [
    "", " ", "a", "Hello", " Hello", "Hello ", "Hello world", "hello   world", "  two leading", "trailing two  ",
    "\n", "\n\n", "\n\n\n1. list\n\n2. more", "tab\there", "\r\nwindows\r\n", " \n \n ", "a\n b\n  c",
    "don't, I'm, we'll, they've, you're, he'd, it's", "DON'T I'M WE'LL", "'s 't 're", "x's  y's",
    "1", "12", "123", "1234", "1234567890", "order 10452 costs $49.90", "3.14159 1,000,000 50%", " 7  8   9",
    "²³ ½ ⅓ ① ② Ⅷ ١٢٣ １２３ 四五六",
    "您好", "您好,我的订单 10452 还没有收到。", "中文English混排123測試", "繁體字與简体字", "こんにちは、世界", "안녕하세요 세계",
    "😊", "😊👍🏽🎉", "👨‍👩‍👧‍👦 family", "flags 🇩🇪🇨🇳", "text😀text 😀 text",
    "naïve café résumé Ünïcödé", "e\u0301 decomposed cafe\u0301 \u1112\u1161\u11ab", "ﬁ ligature ① ㈱", "Zürich Straße ßẞ",
    "Привет, как дела?", "مرحبا بالعالم", "שלום עולם", "ไทยภาษา", "हिन्दी भाषा",
    "\u00a0nbsp\u00a0here", "\u3000ideographic\u3000space", "\ufeffbom \ufeff inside", "\u0085next line\u0085", "\u200bzero\u200bwidth", "\u2028line\u2029para",
    "_underscore_ __init__", "snake_case camelCase PascalCase", "foo(bar)[0]{x}<y>", "https://example.com/a?b=c&d=e#f", "a@b.co",
    "!!!???...", "—–-", "“quotes” ‘single’ «guillemets»", "\\n literal \\t", "<|im_start|", "|im_end|>", "< |im_end|>",
    "▁ ▁▁ word▁word", "Ġ Ċ ĠĠ", "\x00\x01\x02 control \x7f", "\U0001d54f\U0001d550 math", "a" * 70, "ab" * 40, " " * 40 + "x", "哈" * 50,
    "=" * 33 + " " + "-" * 17, "0" * 31,
]

SPECIAL_TEXTS = [
    "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nHi!<|im_end|>\n", "<|im_end|>", "a<|im_end|>b", "<|im_end|><|im_end|>",
    " <|im_end|> ", "<|im_end|>\n\n", "x <strip> y", "x  <strip>  y", "<strip>", "a<word>b <word> c,<word>.", "<word>",
    "call <tool> now", "<tool><tool>", "a<too<tool>l>", "<pad><|endoftext|>text", "Hello<|im_end|>您好<tool>再见",
]


def fragments(seed, count):
    """Mixed texts out of pieces of all kinds, the same on every run."""
    rng = random.Random(seed)
    pieces = [t for t in TEXTS if 0 < len(t) < 30] + [w for s in CORPUS for w in s.split(" ")] + [" ", "  ", "\n", "\n\n", "\t", "'s", "1", "23", ",", "。"]
    return ["".join(rng.choice(pieces) for _ in range(rng.randint(2, 9))) for _ in range(count)]


ADDED = [
    AddedToken("<|endoftext|>", special=True, normalized=False),
    AddedToken("<|im_start|>", special=True, normalized=False),
    AddedToken("<|im_end|>", special=True, normalized=False),
    AddedToken("<pad>", special=True, normalized=False),
    AddedToken("<strip>", special=True, normalized=False, lstrip=True, rstrip=True),
    AddedToken("<word>", special=True, normalized=False, single_word=True),
    AddedToken("<tool>", special=False, normalized=False),
]

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"


def regex_words(*patterns):
    splits = [pre_tokenizers.Split(Regex(p), behavior="isolated") for p in patterns]
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def encoded(tok, texts, **options):
    return [tok.encode(t, add_special_tokens=False, **options).ids for t in texts]


def record(tok, texts, **extra):
    """The tokenizer's file and everything it makes of the texts."""
    ids = encoded(tok, texts)
    special = encoded(tok, SPECIAL_TEXTS)
    tok.encode_special_tokens = True
    plain = encoded(tok, SPECIAL_TEXTS)
    tok.encode_special_tokens = False
    return {
        "tokenizer": json.loads(tok.to_str()),
        "ids": ids,
        "specialIds": special,
        "plainIds": plain,
        "decoded": [tok.decode(i, skip_special_tokens=False) for i in ids],
        "specialDecoded": [tok.decode(i, skip_special_tokens=False) for i in special],
        "specialSkipped": [tok.decode(i, skip_special_tokens=True) for i in special],
        "withSpecialTokens": [tok.encode(t).ids for t in ("Hello", "<|im_end|>")],
        **extra,
    }


def byte_level(name, pre, normalizer=None, ignore_merges=False, pre_name=None):
    tok = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tok.normalizer = normalizer
    tok.pre_tokenizer = pre
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=640, special_tokens=ADDED[:4], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tok.train_from_iterator(CORPUS, trainer)
    if ignore_merges:
        # A token no merge makes: only looking the whole word up finds it.
        file = json.loads(tok.to_str())
        file["model"]["vocab"]["Ġwarehouse"] = len(file["model"]["vocab"])
        tok = Tokenizer.from_str(json.dumps(file))
    tok.add_tokens(ADDED)
    tok.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]),
    ])
    return {"name": name, "pre": pre_name, **record(tok, ALL)}


def sentencepiece(name, normalizer, pre, base, decoder):
    tok = Tokenizer(models.BPE(vocab=base["vocab"], merges=base["merges"], unk_token="<unk>", fuse_unk=True, byte_fallback=base["bytes"]))
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    tok.normalizer = normalizer
    if pre is not None:
        tok.pre_tokenizer = pre
    tok.decoder = decoder
    tok.add_tokens([a for a in ADDED if a.content in ("<|im_start|>", "<|im_end|>", "<tool>")])
    tok.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return {"name": name, **record(tok, ALL)}


def sentencepiece_base():
    """Pieces with scores as SentencePiece's BPE has them: the later a merge was learned, the lower its score."""
    tok = Tokenizer(models.BPE(unk_token="<unk>"))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tok.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=520, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    file = json.loads(tok.to_str())["model"]
    by_id = sorted(file["vocab"], key=file["vocab"].get)
    learned = ["".join(m) for m in file["merges"]]
    characters = [t for t in by_id[3:] if t not in set(learned)]
    # Runs of spaces are merges too, as in Llama's vocabulary.
    learned += [t for t in ("▁▁", "▁▁▁▁") if t not in learned]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *learned, *characters]
    scores = [0.0] * 259 + [-float(i) for i in range(len(learned))] + [-float(len(learned) + i) for i in range(len(characters))]
    types = [2, 3, 3] + [6] * 256 + [1] * (len(learned) + len(characters))
    return tokens, scores, types


ALL = TEXTS + fragments(1, 60)
write = lambda name, value: open(f"{HERE}/{name}", "w").write(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
write("byte-level.json", {
    "texts": ALL,
    "specialTexts": SPECIAL_TEXTS,
    "tokenizers": [
        byte_level("digits, then GPT-2's words", digits, pre_name="smollm"),
        byte_level("GPT-2's words", pre_tokenizers.ByteLevel(add_prefix_space=False), pre_name="gpt-2"),
        byte_level("Llama 3's expression, whole words first", regex_words(LLAMA3), ignore_merges=True, pre_name="llama-bpe"),
        byte_level("Qwen2's expression after NFC", regex_words(QWEN2), normalizers.NFC(), pre_name="qwen2"),
        byte_level("Tekken's expression", regex_words(TEKKEN), ignore_merges=True, pre_name="tekken"),
        byte_level("llama.cpp's default expressions", regex_words(r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"), pre_name="default"),
        byte_level("runs of digits, prefix space", pre_tokenizers.Sequence([pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(add_prefix_space=True)])),
        byte_level("every way to split", pre_tokenizers.Sequence([
            pre_tokenizers.Split(",", "merged_with_previous"), pre_tokenizers.Split("-", "merged_with_next"), pre_tokenizers.Split("=", "contiguous"),
            pre_tokenizers.Split("_", "removed"), pre_tokenizers.Split(Regex(r"\w+"), "isolated", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])),
    ],
})

tokens, scores, types = sentencepiece_base()
vocab = {t: i for i, t in enumerate(tokens)}
base = {"vocab": vocab, "merges": generate_merges(vocab, dict(zip(tokens, scores))), "bytes": True}
without_bytes = {**base, "bytes": False}
space = normalizers.Replace(" ", "▁")
legacy = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
keep = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
write("sentencepiece.json", {
    "texts": ALL,
    "specialTexts": SPECIAL_TEXTS,
    "gguf": {"tokens": tokens, "scores": scores, "tokenTypes": types},
    "tokenizers": [
        sentencepiece("prefix by normalizer (Llama 2)", normalizers.Sequence([normalizers.Prepend("▁"), space]), None, base, legacy),
        sentencepiece("no prefix", space, None, base, keep),
        sentencepiece("Metaspace first, unsplit", None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False), base, legacy),
        sentencepiece("Metaspace always, split", None, pre_tokenizers.Metaspace(prepend_scheme="always", split=True), base, decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always")])),
        sentencepiece("unknown tokens, no bytes", normalizers.Sequence([normalizers.Prepend("▁"), space]), None, without_bytes, legacy),
    ],
})

# SmolLM2: transformers reads the vocabulary from the GGUF but cuts words as GPT-2 does. The tokenizer.json that
# was published with the model cuts digits off first (as the file's own `tokenizer.ggml.pre` = smollm says).
folder, name = os.path.split(os.path.abspath(sys.argv[1]))
fast = AutoTokenizer.from_pretrained(folder, gguf_file=name)
as_gpt2 = encoded(fast.backend_tokenizer, ALL)
fast.backend_tokenizer.pre_tokenizer = digits
CHATS = [
    [{"role": "user", "content": "Hello"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is order 12?"}, {"role": "assistant", "content": "On its way.\n\n1. Wait."}, {"role": "user", "content": "谢谢 😊"}],
]
write("smollm2.json", {
    "texts": ALL,
    "specialTexts": SPECIAL_TEXTS,
    "ids": encoded(fast.backend_tokenizer, ALL),
    "idsWithGpt2Words": as_gpt2,
    "specialIds": encoded(fast.backend_tokenizer, SPECIAL_TEXTS),
    "chats": [{
        "messages": c,
        "ids": fast.apply_chat_template(c, add_generation_prompt=True, tokenize=True, return_dict=False),
    } for c in CHATS],
})
