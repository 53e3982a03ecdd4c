"""Golden numbers of tiny models of every family: logits, loss and gradients from PyTorch, transformers and PEFT in float32.

needs: torch, transformers 5, peft. Weights come from formula.py. Writes one JSON file a family beside this file;
float arrays are base64 of little-endian float32.
"""
import base64
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import numpy as np
import torch
from formula import formula
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

torch.set_num_threads(1)
V = 96
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def config(model_type, architecture, **rest):
    return dict(model_type=model_type, architectures=[architecture], vocab_size=V, num_hidden_layers=2,
                max_position_embeddings=128, rms_norm_eps=1e-5, hidden_act="silu", bos_token_id=1, eos_token_id=2, **rest)


LLAMA = ("llama", "LlamaForCausalLM")
FAMILIES = {
    "llama2": (config(*LLAMA, hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=False), True),
    "llama3.1": (config(*LLAMA, hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False, rope_theta=500000.0,
        rope_scaling=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)), False),
    "mistral": (config("mistral", "MistralForCausalLM", hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2, head_dim=8, tie_word_embeddings=False, sliding_window=4), False),
    "qwen2": (config("qwen2", "Qwen2ForCausalLM", hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True, rope_theta=1000000.0, use_sliding_window=False), True),
    "qwen2-mixed-window": (config("qwen2", "Qwen2ForCausalLM", hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False, use_sliding_window=True, sliding_window=5, max_window_layers=1), False),
    "qwen3": (config("qwen3", "Qwen3ForCausalLM", hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2, head_dim=16, tie_word_embeddings=True, rope_theta=1000000.0, attention_bias=False), True),
    "smollm2": (config(*LLAMA, hidden_size=72, intermediate_size=96, num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True, rope_theta=100000.0), False),
    "tinyllama": (config(*LLAMA, hidden_size=64, intermediate_size=88, num_attention_heads=8, num_key_value_heads=1, tie_word_embeddings=False, rope_theta=10000.0), False),
    "llama-biases": (config(*LLAMA, hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True, attention_bias=True, mlp_bias=True,
        rope_scaling=dict(rope_type="linear", factor=2.0)), True),
}
TARGETS = {"q_proj,v_proj": ["q_proj", "v_proj"], "o_proj,down_proj": ["o_proj", "down_proj"], "all-linear": LINEAR}
RANK, ALPHA = 3, 6

# Three rows of unequal length; id 2 is end of sequence, padding and an ordinary target alike. Weight 2: a token that two folded rows supervise.
LENGTHS = [5, 14, 9]
rng = np.random.RandomState(7)
ROWS = [[int(i) for i in rng.randint(0, V, n)] for n in LENGTHS]
ROWS[0][4] = ROWS[1][3] = ROWS[1][13] = ROWS[2][8] = 2
WEIGHTS = [[0, 0, 1, 1, 1], [0, 0, 1, 2, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1], [0, 1, 0, 0, 0, 1, 1, 1, 1]]
S = max(LENGTHS)
IDS = torch.tensor([row + [2] * (S - len(row)) for row in ROWS])
MASK = torch.tensor([[1] * n + [0] * (S - n) for n in LENGTHS])
WEIGHT = torch.tensor([w + [0] * (S - len(w)) for w in WEIGHTS], dtype=torch.float32)


def pack(x):
    return base64.b64encode(np.ascontiguousarray(x.detach().float().numpy(), dtype="<f4").tobytes()).decode()


def build(settings):
    settings = dict(settings)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings), attn_implementation="eager", dtype=torch.float32)
    model.config.use_cache = False
    for name, p in model.named_parameters():
        p.data = torch.from_numpy(formula(name, p.shape))
    return model


def loss_of(model):
    logits = model(input_ids=IDS, attention_mask=MASK).logits
    nll = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, V), IDS[:, 1:].reshape(-1), reduction="none").reshape(len(ROWS), -1)
    return (nll * WEIGHT[:, 1:]).sum() / WEIGHT.sum(), logits


for family, (settings, full) in FAMILIES.items():
    out = dict(config=settings, rank=RANK, alpha=ALPHA, rows=ROWS, weights=WEIGHTS)
    model = build(settings)
    loss, logits = loss_of(model)
    out["base"] = dict(loss=loss.item(), logits=pack(logits[MASK.bool()]))
    if full:
        loss.backward()
        # One vector of all gradients in the order of `names`.
        names = [name for name, _ in model.named_parameters()]
        out["full"] = dict(names=names, gradient=pack(torch.cat([p.grad.reshape(-1) for p in model.parameters()])))
    out["lora"] = {}
    for label, targets in TARGETS.items():
        adapted = get_peft_model(build(settings), LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM"))
        plain = lambda name: name.replace("base_model.model.", "").replace(".default", "")
        trained = [(plain(n), p) for n, p in adapted.named_parameters() if p.requires_grad]
        for name, p in trained:
            p.data = torch.from_numpy(formula(name, p.shape))
        loss, logits = loss_of(adapted)
        loss.backward()
        out["lora"][label] = dict(loss=loss.item(), names=[n for n, _ in trained], gradient=pack(torch.cat([p.grad.reshape(-1) for _, p in trained])))
        if label == "all-linear":
            out["lora"][label]["logits"] = pack(logits[MASK.bool()])
    # Greedy continuations of each row by the adapted model (all-linear), past a sliding window.
    out["greedy"] = []
    with torch.no_grad():
        for row in ROWS:
            ids, margins = list(row), []
            for _ in range(8):
                last = adapted(input_ids=torch.tensor([ids])).logits[0, -1]
                top = last.topk(2)
                margins.append((top.values[0] - top.values[1]).item())
                ids.append(top.indices[0].item())
            out["greedy"].append(dict(ids=ids[len(row):], margin=min(margins)))
    path = f"{HERE}/{family}.json"
    json.dump(out, open(path, "w"), separators=(",", ":"))
    print(family, os.path.getsize(path), out["base"]["loss"], [g["margin"] for g in out["greedy"]])
