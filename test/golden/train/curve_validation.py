"""Golden validation loss of SmolLM2-135M on a subset of the curve's validation batches, from PyTorch in float32.

needs: torch, transformers 5. Usage: curve_validation.py MODEL_FOLDER BATCHES_NPZ, the model being the GGUF's values as a
Hugging Face folder. Writes curve_validation.json beside this file.
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
import numpy as np
import torch
from transformers import AutoModelForCausalLM

torch.set_num_threads(2)
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
z = np.load(sys.argv[2])
batches = ["val00", "val10"]
total = count = 0
with torch.no_grad():
    for name in batches:
        ids, labels, mask = (torch.from_numpy(z[f"{name}_{part}"].astype(np.int64)) for part in ("ids", "labels", "mask"))
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        total += torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]).float(), labels[:, 1:].reshape(-1), ignore_index=-100, reduction="sum").item()
        count += int((labels[:, 1:] != -100).sum())
json.dump(dict(batches=batches, tokens=count, loss=total / count), open(f"{HERE}/curve_validation.json", "w"))
print(total / count, count)
