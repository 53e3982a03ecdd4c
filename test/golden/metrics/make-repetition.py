"""Makes repetition.json: distinct-n, rep-n, phrases in a row and length ratio, spelt out over sacreBLEU's tokens.

python make-repetition.py PATH_OF_THE_SHARED_DATA
Needs: sacrebleu 2.6, nltk 3. The pairs are those of own-lines.py and real-pairs.json.
"""

import gzip
import json
import os
import runpy
import sys

from nltk.util import ngrams
from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

HERE = os.path.dirname(os.path.abspath(__file__))
tokenizer = TokenizerZh()
edits = runpy.run_path(os.path.join(HERE, "make.py"))["EDITS"]


def tokens(text):
    return tokenizer(text).split()


def distinct(texts, n):
    grams = [g for t in texts for g in ngrams(tokens(t), n)]
    return len(set(grams)) / len(grams) if grams else 0


def repetition(text, n):
    grams = list(ngrams(tokens(text), n))
    return 1 - len(set(grams)) / len(grams) if grams else 0


def in_a_row(text, longest=16):
    """Of all phrases that follow themselves: how often the one stands there that covers the most repeated tokens."""
    words = tokens(text)
    best = (0, 1)
    for width in range(1, longest + 1):
        for start in range(len(words) - 2 * width + 1):
            times = 1
            while words[start + times * width : start + (times + 1) * width] == words[start : start + width]:
                times += 1
            if (times - 1) * width > best[0]:
                best = ((times - 1) * width, times)
    return best[1], best[0] / len(words) if words else 0


def figures(preds, refs):
    count = len(preds)
    rows = [in_a_row(p) for p in preds]
    return {
        "count": count,
        "distinct": [distinct(preds, n) for n in (1, 2, 3, 4)],
        "repetition": [sum(repetition(p, n) for p in preds) / count for n in (1, 2, 3, 4)],
        "stuck": sum(times >= 3 for times, _ in rows) / count,
        "timesInARow": sum(times for times, _ in rows) / count,
        "shareInARow": sum(share for _, share in rows) / count,
        "lengthRatio": sum(len(tokens(p)) for p in preds) / sum(len(tokens(r)) for r in refs),
        "empty": sum(not p.strip() for p in preds),
        "oneWord": sum(len(tokens(p)) == 1 for p in preds),
    }


def main(folder):
    pairs = runpy.run_path(os.path.join(HERE, "own-lines.py"))["PAIRS"]
    out = {"own": figures([p for p, _ in pairs], [x[0] for _, x in pairs]), "groups": []}
    with open(os.path.join(HERE, "real-pairs.json")) as f:
        real = json.load(f)
    start = 0
    for group in real["groups"]:
        with gzip.open(os.path.join(folder, group["file"]), "rt") as f:
            replies = [json.loads(line)["response"] for line in f]
        chosen = real["pairs"][start : start + group["count"]]
        preds = [edits[real["edits"][e]](replies[other], replies[i]) for i, other, e, *_ in chosen]
        out["groups"].append(figures(preds, [replies[i] for i, *_ in chosen]))
        start += group["count"]
    with open(os.path.join(HERE, "repetition.json"), "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
