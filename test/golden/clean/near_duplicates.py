"""Near duplicates among 2,000 real replies: exact Jaccard pairs, and what datasketch's MinHashLSH finds.

Writes near_duplicates.json beside itself (line numbers only, no text). Needs the shared corpora and datasketch.
Run: python near_duplicates.py PATH_TO_SHARED_DATA
"""

import gzip
import json
import pathlib
import re
import sys
import time
import unicodedata

from datasketch import MinHash, MinHashLSH

THRESHOLD = 0.8
TOKEN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]|[a-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f]+")


def replies(shared: pathlib.Path, corpus: str, count: int) -> list[str]:
    """The first distinct replies of at least five tokens."""
    seen: dict[str, None] = {}
    with gzip.open(shared / "jsonl" / f"{corpus}.train.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            text = json.loads(line)["response"]
            if len(tokens(text)) >= 5:
                seen.setdefault(text)
            if len(seen) == count:
                break
    return list(seen)


def tokens(text: str) -> list[str]:
    return TOKEN.findall(unicodedata.normalize("NFKC", text).lower())


def shingles(text: str) -> set[str]:
    found = tokens(text)
    return {f"{a} {b}" for a, b in zip(found, found[1:])}


def main() -> None:
    shared = pathlib.Path(sys.argv[1])
    texts = replies(shared, "sgd", 1000) + replies(shared, "crosswoz", 1000)
    sets = [shingles(text) for text in texts]
    exact = {}
    for j in range(len(sets)):
        for i in range(j):
            a, b = sets[i], sets[j]
            if min(len(a), len(b)) < THRESHOLD * max(len(a), len(b)):
                continue
            common = len(a & b)
            similarity = common / (len(a) + len(b) - common)
            if similarity >= THRESHOLD:
                exact[i, j] = similarity

    begin = time.perf_counter()
    lsh = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    hashes = []
    candidates = set()
    estimated = set()
    for j, each in enumerate(sets):
        mine = MinHash(num_perm=128)
        mine.update_batch([shingle.encode() for shingle in sorted(each)])
        for i in lsh.query(mine):
            candidates.add((i, j))
            if hashes[i].jaccard(mine) >= THRESHOLD:
                estimated.add((i, j))
        lsh.insert(j, mine)
        hashes.append(mine)
    seconds = time.perf_counter() - begin

    def against_exact(found: set) -> dict:
        right = len(found & exact.keys())
        return {"pairs": len(found), "precision": right / max(1, len(found)), "recall": right / len(exact)}

    result = {
        "lines": len(texts),
        "threshold": THRESHOLD,
        "exactPairs": sorted([i, j, round(s, 4)] for (i, j), s in exact.items()),
        "datasketch": {
            "candidates": against_exact(candidates),
            "estimatedAboveThreshold": against_exact(estimated),
            "seconds": round(seconds, 2),
        },
    }
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(result) + "\n", encoding="utf-8")
    print(len(exact), "exact pairs;", json.dumps(result["datasketch"]))


main()
