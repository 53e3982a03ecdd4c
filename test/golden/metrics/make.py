"""Makes own-lines.json and real-pairs.json: figures of sacreBLEU, rouge_score, NLTK and jieba.

python make.py PATH_OF_THE_SHARED_DATA   (the folder that holds bitext.test.jsonl.gz and so on)
Needs: sacrebleu 2.6, rouge_score 0.1.2, nltk 3, jieba 0.42, regex, numpy.
The real lines stay outside the repository: real-pairs.json holds their places alone.
"""

import gzip
import json
import logging
import os
import random
import runpy
import sys

import jieba
import numpy as np
import regex
from nltk.stem.porter import PorterStemmer
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import _compute_p_value, estimate_ci

jieba.setLogLevel(logging.CRITICAL)
HERE = os.path.dirname(os.path.abspath(__file__))
TYPES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
CJK = regex.compile(r"[a-z0-9]+|[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Bopomofo}]")


class CjkTokenizer:
    """rouge_score's words, and each CJK character by itself."""

    def __init__(self, stem):
        self.stemmer = PorterStemmer() if stem else None

    def tokenize(self, text):
        tokens = CJK.findall(text.lower())
        return [self.stemmer.stem(t) if self.stemmer and len(t) > 3 else t for t in tokens]


ROUGE = {
    "cjk": rouge_scorer.RougeScorer(TYPES, tokenizer=CjkTokenizer(False)),
    "cjkStem": rouge_scorer.RougeScorer(TYPES, tokenizer=CjkTokenizer(True)),
    "pure": rouge_scorer.RougeScorer(TYPES),
    "pureStem": rouge_scorer.RougeScorer(TYPES, use_stemmer=True),
}
BLEUS = [
    {"tokenize": tok, "smooth_method": smooth, "lowercase": lower}
    for tok, smooth, lower in [
        ("13a", "exp", False), ("13a", "floor", False), ("13a", "add-k", False), ("13a", "none", False),
        ("zh", "exp", False), ("char", "exp", False), ("intl", "exp", False), ("13a", "exp", True),
        ("none", "exp", False), ("zh", "add-k", True), ("intl", "floor", True), ("char", "none", False),
    ]
]
CHRFS = [{}, {"word_order": 2}, {"lowercase": True, "whitespace": True}, {"char_order": 4, "word_order": 1, "beta": 3}]


def r(x, digits=7):
    x = round(float(x), digits)
    return int(x) if x == int(x) else x


def columns(references):
    most = max(map(len, references))
    return [[refs[k] if k < len(refs) else None for refs in references] for k in range(most)]


def nltk(pred, ref):
    return 100 * sentence_bleu([ref], pred, smoothing_function=SmoothingFunction().method3)


def corpus(preds, refs):
    cols = columns(refs)
    firsts = [x[0] for x in refs]
    words = [[[w.strip(" ") for w in jieba.cut(t) if w.strip(" ")] for t in pair] for pair in zip(preds, firsts)]
    kept = [(p, t) for p, t in words if p and t]
    chars = [(list(p), list(t)) for p, t in zip(preds, firsts)]
    return {
        "bleu": [
            [r(BLEU(**c).corpus_score(preds, cols).score), r(BLEU(**c, effective_order=True).corpus_score(preds, cols).score)]
            for c in BLEUS
        ],
        "chrf": [r(CHRF(**c).corpus_score(preds, cols).score) for c in CHRFS],
        "rouge": {
            k: {t: [r(np.mean([getattr(s[t], f) for s in scores])) for f in ("precision", "recall", "fmeasure")] for t in TYPES}
            for k, scorer in ROUGE.items()
            for scores in [[scorer.score_multi(x, p) for p, x in zip(preds, refs)]]
        },
        "llamafactoryChar": r(np.mean([round(nltk(p, t), 4) for p, t in chars])),
        "swiftChar": r(np.mean([nltk(p, t) for p, t in chars if p and t])),
        "swiftJieba": r(np.mean([nltk(p, t) for p, t in kept])),
        "swiftJiebaCounted": len(kept),
    }


def sentence_figures(pred, refs, configs):
    eff = [r(BLEU(**c, effective_order=True).sentence_score(pred, refs).score) for c in configs]
    chrf = [r(CHRF(**c).sentence_score(pred, refs).score) for c in CHRFS[:2]]
    rouge = [r(ROUGE["cjk"].score_multi(refs, pred)[t].fmeasure) for t in TYPES]
    stem = r(ROUGE["pureStem"].score_multi(refs, pred)["rougeL"].fmeasure)
    return eff + chrf + rouge + [stem, r(nltk(list(pred), list(refs[0])))]


def own():
    pairs = runpy.run_path(os.path.join(HERE, "own-lines.py"))["PAIRS"]
    preds, refs = [p for p, _ in pairs], [x for _, x in pairs]
    stemmer = PorterStemmer()
    vocabulary = sorted({w for t in preds + [y for x in refs for y in x] for w in CJK.findall(t.lower()) if w.isascii()})
    cuts = {t: list(jieba.cut(t)) for t in preds + [x[0] for x in refs]}
    out = {
        "pairs": [
            {"prediction": p, "references": x, "figures": sentence_figures(p, x, BLEUS)} for p, x in pairs
        ],
        "bleuConfigs": BLEUS, "chrfConfigs": CHRFS,
        "corpus": corpus(preds, refs),
        "cuts": cuts,
        "stems": {w: stemmer.stem(w) for w in vocabulary},
        "paired": paired(preds, refs),
    }
    write("own-lines.json", out)


def paired(preds, refs):
    """sacreBLEU's paired bootstrap with the draws written down: the system's replies are the references, cut."""
    draws = np.random.default_rng(12345).choice(len(preds), size=(60, len(preds)), replace=True)
    system = [x[-1][: max(1, len(x[-1]) * 2 // 3)] for x in refs]
    out = {"draws": draws.tolist(), "system": system}
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        base_stats = np.array(metric._extract_corpus_statistics(preds, columns(refs)), dtype="float64")
        sys_stats = np.array(metric._extract_corpus_statistics(system, columns(refs)), dtype="float64")
        score = lambda rows: metric._compute_score_from_stats(list(rows.sum(0))).score
        a, b = score(base_stats), score(sys_stats)
        sa = np.array([score(base_stats[d]) for d in draws])
        sb = np.array([score(sys_stats[d]) for d in draws])
        diffs = np.abs(sb - sa)
        mean, ci = estimate_ci(sb)
        out[name] = [r(a), r(b), r(mean), r(ci), r(_compute_p_value(diffs - diffs.mean(), abs(a - b)))]
    return out


REAL_CONFIGS = [BLEUS[0], BLEUS[4], BLEUS[5], BLEUS[10]]
EDITS = {
    "same": lambda a, b: a,
    "half": lambda a, b: a[: len(a) // 2],
    "swap": lambda a, b: a[len(a) // 2 :] + a[: len(a) // 2],
    "mix": lambda a, b: a[: len(a) // 2] + b[len(b) // 2 :],
    "word": lambda a, b: a[:1],
    "empty": lambda a, b: "",
}


def real(folder):
    rng = random.Random(7)
    pairs, groups = [], []
    for name, count in (("bitext.test", 350), ("sgd.test", 800), ("crosswoz.test", 850)):
        with gzip.open(os.path.join(folder, name + ".jsonl.gz"), "rt") as f:
            rows = [json.loads(line) for line in f]
        by_intent = {}
        for i, row in enumerate(rows):
            by_intent.setdefault(row["intent"], []).append(i)
        chosen = sorted(rng.sample(range(len(rows)), count))
        preds, refs, figures = [], [], []
        for i in chosen:
            other = rng.choice(by_intent[rows[i]["intent"]])
            edit = rng.choices(list(EDITS), weights=[40, 8, 10, 34, 4, 4])[0]
            two = rng.random() < 0.2
            second = rng.choice(by_intent[rows[i]["intent"]])
            pred = EDITS[edit](rows[other]["response"], rows[i]["response"])
            ref = [rows[i]["response"]] + ([rows[second]["response"]] if two else [])
            preds.append(pred)
            refs.append(ref)
            pairs.append([i, other, list(EDITS).index(edit), second if two else -1] + sentence_figures(pred, ref, REAL_CONFIGS))
        groups.append({"file": name + ".jsonl.gz", "count": count, "corpus": corpus(preds, refs)})
    write("real-pairs.json", {"edits": list(EDITS), "configs": REAL_CONFIGS, "bleuConfigs": BLEUS, "chrfConfigs": CHRFS, "groups": groups, "pairs": pairs})


def write(name, value):
    with open(os.path.join(HERE, name), "w") as f:
        json.dump(value, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)
    own()
    if len(sys.argv) > 1:
        real(sys.argv[1])
