"""Golden training of a tiny model by what PEFT and transformers offer beside plain LoRA: DoRA (with and without dropout),
modules_to_save, a sliding window.

needs: torch, transformers 5, peft. Model, rows and weights are those of ../parity/llama3.1.json. Writes adapted.json.
"""
import base64
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PARITY = os.path.join(HERE, "..", "parity")
sys.path.insert(0, PARITY)
import numpy as np
import torch
from formula import formula, uniform
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

torch.set_num_threads(1)
golden = json.load(open(f"{PARITY}/llama3.1.json"))
RATE, DECAY, MAX_NORM, P, WINDOW = 2e-3, 0.05, 0.4, 0.25, 5
BATCHES = [[0, 1], [2], [1, 2], [0, 1, 2]]
plain = lambda name: name.replace("base_model.model.", "").replace(".default", "").replace(".modules_to_save", "").replace("lora_magnitude_vector.weight", "lora_magnitude_vector")
encoded = lambda p: base64.b64encode(p.detach().numpy().reshape(-1).astype("<f4").tobytes()).decode()
row = 0


def keep(name, shape):
    """A keep mask and the factor that makes up for it: element i of `name`, row by row."""
    u = uniform(f"keep {name}", int(np.prod(shape)))
    return torch.from_numpy((u >= 2 * P - 1).astype(np.float32).reshape(shape)) / (1 - P)


class GivenDropout(torch.nn.Module):
    def __init__(self, path):
        super().__init__()
        self.path = path

    def forward(self, x):
        return x * keep(f"{self.path} {row}", x.shape)


def base_model(kind="llama", **changes):
    settings = {**golden["config"], "model_type": kind, **changes}
    settings.pop("architectures")
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings), attn_implementation="eager", dtype=torch.float32)
    model.config.use_cache = False
    for name, p in model.named_parameters():
        p.data = torch.from_numpy(formula(name, p.shape))
    return model


def train(method):
    global row
    model = base_model("mistral", sliding_window=WINDOW) if method == "window" else base_model()
    settings = dict(r=golden["rank"], lora_alpha=golden["alpha"], lora_dropout=0.0, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    if method.startswith("dora"):
        settings["use_dora"] = True
    if method == "modules":
        settings["modules_to_save"] = ["embed_tokens", "lm_head", "input_layernorm", "norm"]
    model = get_peft_model(model, LoraConfig(**settings))
    trained = {plain(n): p for n, p in model.named_parameters() if p.requires_grad}
    for name, p in trained.items():
        if "lora_A" in name or "lora_B" in name:
            p.data = torch.from_numpy(formula(name, p.shape))
    if method == "doraDropout":
        for name, module in model.base_model.model.named_modules():
            if hasattr(module, "lora_dropout"):
                module.lora_dropout["default"] = GivenDropout(name)
    model.train()
    params = list(trained.values())
    opt = torch.optim.AdamW(params, lr=RATE, weight_decay=DECAY)

    def losses(i):
        global row
        row = i
        ids = torch.tensor([golden["rows"][i]])
        w = torch.tensor(golden["weights"][i], dtype=torch.float32)[1:]
        logits = model(input_ids=ids).logits[0, :-1]
        return (torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none") * w).sum(), w.sum()

    out = dict(losses=[], norms=[])
    once = method == "doraDropout"
    for batch in [[0, 1, 2]] if once else BATCHES:
        parts = [losses(i) for i in batch]
        loss = sum(l for l, _ in parts) / sum(w for _, w in parts)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        if once:
            out["gradient"] = {n: encoded(p.grad) for n, p in trained.items()}
        out["norms"].append(torch.nn.utils.clip_grad_norm_(params, MAX_NORM).item())
        opt.step()
        out["losses"].append(loss.item())
    if not once:
        out["parameters"] = {n: encoded(p) for n, p in trained.items()}
    return out


METHODS = ["dora", "doraDropout", "modules", "window"]
result = dict(rate=RATE, weightDecay=DECAY, maxNorm=MAX_NORM, dropout=P, slidingWindow=WINDOW, batches=BATCHES, **{m: train(m) for m in METHODS})
json.dump(result, open(f"{HERE}/adapted.json", "w"), separators=(",", ":"))
print({m: (result[m]["losses"], result[m]["norms"]) for m in METHODS})
