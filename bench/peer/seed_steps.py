"""The steps most people write by hand: json, regular expressions, a set, scikit-learn. Peer of bench/data-peer.ts.

usage: seed_steps.py rows.jsonl.gz OUT            -> one JSON line with times and results
       seed_steps.py rows.jsonl.gz OUT --near     -> the same for near-duplicates with datasketch
"""

import gzip
import json
import os
import random
import re
import resource
import sys
import time
from collections import Counter

SENSITIVE = re.compile(r"\b(fuck|shit|damn|idiot|bitch|bastard)\w*|傻逼|操你|他妈的|骗子", re.IGNORECASE)
LIMIT = 0.3


def words(text):
    """What scripts do: split at spaces; Chinese by the character, or every reply would be one word."""
    return re.findall(r"[\u4e00-\u9fff]|[^\s\u4e00-\u9fff]+", text)


def read(path):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def steps(rows, out):
    from sklearn.model_selection import train_test_split

    kept = []
    seen = set()
    for row in rows:
        text = " ".join([m["content"] for m in row["context"]] + [row["response"]])
        if SENSITIVE.search(text):
            continue
        if not 10 <= len(words(row["response"])) <= 200:
            continue
        if text in seen:
            continue
        seen.add(text)
        kept.append(row)
    # The usual way: cut every intent to 30 % of the total as it was.
    random.seed(42)
    random.shuffle(kept)
    cap = int(LIMIT * len(kept))
    taken = Counter()
    balanced = []
    for row in kept:
        if taken[row["intent"]] < cap:
            taken[row["intent"]] += 1
            balanced.append(row)
    counts = Counter(row["intent"] for row in balanced)
    common = [row for row in balanced if counts[row["intent"]] >= 10]
    train, rest = train_test_split(common, test_size=0.2, random_state=42, stratify=[r["intent"] for r in common])
    counts = Counter(row["intent"] for row in rest)
    rest = [row for row in rest if counts[row["intent"]] >= 2]
    validation, test = train_test_split(rest, test_size=0.5, random_state=42, stratify=[r["intent"] for r in rest])
    os.makedirs(out, exist_ok=True)
    for name, part in (("train", train), ("validation", validation), ("test", test)):
        with open(os.path.join(out, name + ".jsonl"), "w", encoding="utf-8") as file:
            for row in part:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    ids = {row["dialogue_id"] for row in train}
    held = {row["dialogue_id"] for row in validation + test}
    shares = Counter(row["intent"] for row in train)
    return {
        "kept": len(kept),
        "splits": [len(train), len(validation), len(test)],
        "maxIntentShare": max(shares.values()) / len(train),
        "leaks": len(ids & held),
        "heldConversations": len(held),
    }


def by_conversation(rows):
    """Conversations dealt by scikit-learn, stratified by their most frequent intent: the better script."""
    from sklearn.model_selection import train_test_split

    intents = {}
    for row in rows:
        intents.setdefault(row["dialogue_id"], Counter())[row["intent"]] += 1
    ids = list(intents)
    label = {i: intents[i].most_common(1)[0][0] for i in ids}
    sizes = Counter(label.values())
    # train_test_split refuses classes that are too small to be cut twice.
    label = {i: label[i] if sizes[label[i]] >= 20 else "rare" for i in ids}
    train, rest = train_test_split(ids, test_size=0.2, random_state=42, stratify=[label[i] for i in ids])
    validation, test = train_test_split(rest, test_size=0.5, random_state=42, stratify=[label[i] for i in rest])
    return {"train": train, "validation": validation, "test": test}


def near(rows):
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(threshold=0.8, num_perm=128)
    duplicates = []
    for number, row in enumerate(rows):
        sketch = MinHash(num_perm=128, seed=1)
        grams = set()
        for message in row["context"] + [{"content": row["response"]}]:
            tokens = words(message["content"].lower())
            grams.update(" ".join(tokens[i : i + 2]) for i in range(max(1, len(tokens) - 1)))
        sketch.update_batch([gram.encode("utf-8") for gram in grams])
        # Rows of one dialogue repeat its history: they are no duplicates of each other.
        if any(key.split("\t")[0] != row["dialogue_id"] for key in lsh.query(sketch)):
            duplicates.append(number + 1)
        else:
            lsh.insert(f"{row['dialogue_id']}\t{number}", sketch)
    return {"duplicates": duplicates}


if __name__ == "__main__":
    started = time.time()
    rows = read(sys.argv[1])
    result = near(rows) if "--near" in sys.argv else steps(rows, sys.argv[2])
    result["seconds"] = time.time() - started
    result["cpuSeconds"] = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    result["peakBytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    result["rows"] = len(rows)
    if "--near" not in sys.argv:
        result["byConversation"] = by_conversation(rows)
    print(json.dumps(result))
