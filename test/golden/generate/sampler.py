"""Golden probabilities of transformers' sampling warpers, in transformers' own order.

needs: torch, transformers 5. Logits come from ../parity/formula.py. Writes sampler.json beside this file.
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "parity"))
import torch
from formula import uniform
from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

V, SEEN = 40, [3, 17, 17, 30, 31]
cases = []
for temperature, top_k, top_p, penalty in [
    (1.0, 0, 1.0, 1.0), (0.7, 0, 1.0, 1.0), (1.5, 5, 1.0, 1.0), (1.0, 1, 1.0, 1.0), (1.0, 60, 1.0, 1.0), (1.0, 0, 0.9, 1.0), (0.5, 0, 0.3, 1.0),
    (1.0, 0, 0.01, 1.0), (0.8, 10, 0.8, 1.0), (1.0, 0, 1.0, 1.3), (0.7, 8, 0.95, 1.2), (2.0, 20, 0.5, 2.0), (1.0, 0, 0.9999, 1.0),
]:
    scores = torch.tensor(uniform("logits", V) * 5, dtype=torch.float32)[None]
    processors = LogitsProcessorList()
    if penalty != 1.0:
        processors.append(RepetitionPenaltyLogitsProcessor(penalty))
    if temperature != 1.0:
        processors.append(TemperatureLogitsWarper(temperature))
    if top_k:
        processors.append(TopKLogitsWarper(top_k))
    if top_p < 1.0:
        processors.append(TopPLogitsWarper(top_p))
    p = torch.softmax(processors(torch.tensor([SEEN]), scores), -1)[0]
    cases.append(dict(temperature=temperature, topK=top_k, topP=top_p, repetitionPenalty=penalty,
                      kept=[i for i in range(V) if p[i] > 0], probabilities=[round(p[i].item(), 9) for i in range(V) if p[i] > 0]))
json.dump(dict(vocabulary=V, seen=SEEN, scale=5, cases=cases), open(f"{HERE}/sampler.json", "w"), separators=(",", ":"))
