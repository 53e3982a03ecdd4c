"""Writes smollm2.json: SHA-256 of every float32 weight of SmolLM2-135M-Instruct as transformers loads its GGUF.

Usage: python smollm2.py FOLDER_WITH_THE_GGUF FILE.gguf   (transformers 5.24, gguf 0.19, torch 2.15)
"""
import hashlib
import json
import os
import sys

import torch
from transformers import AutoModelForCausalLM

folder, file = sys.argv[1:3]
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
weights = {}
for name, value in model.state_dict().items():
    if name == "lm_head.weight" and model.config.tie_word_embeddings:
        continue
    raw = value.detach().float().contiguous().numpy().tobytes()
    weights[name] = [list(value.shape), hashlib.sha256(raw).hexdigest()]
config = {k: v for k, v in model.config.to_dict().items() if isinstance(v, (int, float, str, bool, dict)) and k not in ("_name_or_path", "name_or_path", "quantization_config")}
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "smollm2.json")
json.dump({"parameters": sum(p.numel() for p in model.parameters()), "config": config, "weights": weights}, open(path, "w"), indent=0)
