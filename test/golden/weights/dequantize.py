"""Writes dequantize.json: random blocks of each ggml storage type, and the float32 values gguf-py decodes them to.

Usage: python dequantize.py   (gguf 0.19, numpy 2.4)
"""
import base64
import json
import os

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

rng = np.random.default_rng(7)
scale_offsets = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
out = {}
for name in ["F32", "F16", "BF16", *scale_offsets]:
    kind = GGMLQuantizationType[name]
    block, size = GGML_QUANT_SIZES[kind]
    count = 6 if block == 32 else 2 if block == 256 else 96
    if name == "F32":
        raw = rng.standard_normal(count).astype(np.float32).view(np.uint8).reshape(1, -1)
    elif name == "F16":
        special = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x03FF, 0x0200]
        values = np.concatenate([np.array(special, np.uint16), rng.integers(0, 0x7C00, count - len(special)).astype(np.uint16)])
        raw = values.view(np.uint8).reshape(1, -1)
    else:
        raw = rng.integers(0, 256, (1, count * size)).astype(np.uint8)
        if name == "BF16":
            raw[0, 1::2] &= 0xBF  # no infinities, no NaN
        for i in range(count):
            for j, offset in enumerate(scale_offsets.get(name, [])):
                # A tiny scale (a subnormal half) in the last block, ordinary ones elsewhere.
                value = 3e-6 if i == count - 1 else rng.standard_normal() * 0.02 * (1 + 4 * j)
                raw[0, i * size + offset : i * size + offset + 2] = np.frombuffer(np.float16(value).tobytes(), np.uint8)
    data = raw.view({"F32": np.float32, "F16": np.float16}.get(name, np.uint8))
    with np.errstate(all="raise", under="ignore"):
        values = quants.dequantize(data, kind).astype(np.float32)
    out[name] = {
        "bytes": base64.b64encode(raw.tobytes()).decode(),
        "values": base64.b64encode(np.ascontiguousarray(values).tobytes()).decode(),
    }
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dequantize.json")
json.dump(out, open(path, "w"), indent=0)
