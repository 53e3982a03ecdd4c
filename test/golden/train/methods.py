"""Golden training of a tiny model by other methods than plain LoRA, from PyTorch and PEFT in float32: rank-stabilised
LoRA, LoRA+ (PEFT's own optimiser groups), noise on the embeddings, full fine-tuning, and the steps of pre-training (every
token a target, decay on matrices alone, a rate that warms up, stays and falls).

needs: torch, transformers 5, peft. Model, rows and weights are those of ../parity/llama3.1.json. Writes methods.json.
"""
import base64
import json
import math
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PARITY = os.path.join(HERE, "..", "parity")
sys.path.insert(0, PARITY)
import numpy as np
import torch
from formula import formula, uniform
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from transformers import AutoConfig, AutoModelForCausalLM, get_wsd_schedule

torch.set_num_threads(1)
golden = json.load(open(f"{PARITY}/llama3.1.json"))
RATE, DECAY, MAX_NORM, RATIO = 2e-3, 0.05, 0.4, 16
WHOLE = ["full", "pretrain"]
BATCHES = [[0, 1], [2], [1, 2], [0, 1, 2]]


def base_model():
    settings = dict(golden["config"])
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings), attn_implementation="eager", dtype=torch.float32)
    model.config.use_cache = False
    for name, p in model.named_parameters():
        p.data = torch.from_numpy(formula(name, p.shape))
    return model


def train(method):
    model = base_model()
    if method not in WHOLE:
        model = get_peft_model(model, LoraConfig(r=golden["rank"], lora_alpha=golden["alpha"], lora_dropout=0.0, target_modules=["q_proj", "v_proj"], use_rslora=method == "rslora", task_type="CAUSAL_LM"))
    plain = lambda name: name.replace("base_model.model.", "").replace(".default", "")
    trained = [(plain(n), p) for n, p in model.named_parameters() if p.requires_grad]
    for name, p in trained:
        p.data = torch.from_numpy(formula(name, p.shape))
    params = [p for _, p in trained]
    if method == "loraplus":
        opt = create_loraplus_optimizer(model, torch.optim.AdamW, lr=RATE, loraplus_lr_ratio=RATIO, loraplus_weight_decay=DECAY, weight_decay=DECAY)
    elif method == "pretrain":
        groups = [dict(params=[p for p in params if p.dim() > 1], weight_decay=DECAY), dict(params=[p for p in params if p.dim() == 1], weight_decay=0.0)]
        opt = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95))
    else:
        opt = torch.optim.AdamW(params, lr=RATE, weight_decay=DECAY)
    schedule = get_wsd_schedule(opt, 1, 2, len(BATCHES), decay_type="linear") if method == "pretrain" else None
    draw = [""]
    if method == "neftune":
        def add_noise(module, args, output):
            width = output.shape[-1]
            noise = uniform(draw[0], output.shape[1] * width).astype(np.float32).reshape(1, -1, width)
            return output + torch.from_numpy(noise) * (5 / math.sqrt(output.shape[1] * width))
        model.get_input_embeddings().register_forward_hook(add_noise)

    def losses(i, label):
        draw[0] = label
        ids = torch.tensor([golden["rows"][i]])
        w = torch.tensor(golden["weights"][i], dtype=torch.float32)[1:]
        if method == "pretrain":
            w = torch.ones_like(w)
        logits = model(input_ids=ids).logits[0, :-1]
        return (torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none") * w).sum(), w.sum()

    out = dict(losses=[], norms=[])
    for step, batch in enumerate(BATCHES):
        parts = [losses(i, f"noise {step} {i}") for i in batch]
        loss = sum(l for l, _ in parts) / sum(w for _, w in parts)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        out["norms"].append(torch.nn.utils.clip_grad_norm_(params, MAX_NORM).item())
        opt.step()
        if schedule is not None:
            schedule.step()
        out["losses"].append(loss.item())
    if method not in WHOLE:
        out["parameters"] = base64.b64encode(np.concatenate([p.detach().numpy().reshape(-1) for p in params]).astype("<f4").tobytes()).decode()
    else:
        out["parameterNorms"] = {n: p.detach().norm().item() for n, p in trained}
    return out


result = dict(rate=RATE, weightDecay=DECAY, maxNorm=MAX_NORM, ratio=RATIO, alpha=5, batches=BATCHES)
for method in ["rslora", "loraplus", "neftune", *WHOLE]:
    result[method] = train(method)
json.dump(result, open(f"{HERE}/methods.json", "w"), separators=(",", ":"))
print({m: (result[m]["losses"], result[m]["norms"]) for m in ["rslora", "loraplus", "neftune", *WHOLE]})
