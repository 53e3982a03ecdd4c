"""Weights from a formula that test/fixtures/formula-weights.ts repeats bit for bit, so that golden files need not store them.

Element i of the tensor `name` is scale * u, where u in [-1, 1) has 24 bits out of a hash of i and the name.
"""
import numpy as np


def name_hash(name):
    h = 2166136261
    for byte in name.encode():
        h = (h ^ byte) * 16777619 & 0xFFFFFFFF
    return h


def uniform(name, count):
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(name_hash(name))
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x85EBCA6B)
        x ^= x >> np.uint32(13)
        x *= np.uint32(0xC2B2AE35)
        x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)).astype(np.float64) / 2**23 - 1


def formula(name, shape):
    u = uniform(name, int(np.prod(shape)))
    if "norm" in name:
        values = 1 + 0.25 * u
    elif name.endswith("bias"):
        values = 0.25 * u
    elif "embed_tokens" in name:
        values = u
    elif "lora_B" in name:
        values = 0.25 * u
    else:
        values = u * 2 / np.sqrt(shape[-1])
    return values.astype(np.float32).reshape(shape)
