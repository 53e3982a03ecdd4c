"""Golden training of a tiny adapted model: five AdamW steps with clipping and weight decay, from PyTorch and PEFT in float32.

needs: torch, transformers 5, peft. Model, rows and weights are those of ../parity/llama3.1.json. Writes steps.json beside this file.
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
from formula import formula
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

torch.set_num_threads(1)
golden = json.load(open(f"{PARITY}/llama3.1.json"))
settings = dict(golden["config"])
model = AutoModelForCausalLM.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings), attn_implementation="eager", dtype=torch.float32)
model.config.use_cache = False
for name, p in model.named_parameters():
    p.data = torch.from_numpy(formula(name, p.shape))
adapted = get_peft_model(model, LoraConfig(r=golden["rank"], lora_alpha=golden["alpha"], lora_dropout=0.0, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
plain = lambda name: name.replace("base_model.model.", "").replace(".default", "")
trained = [(plain(n), p) for n, p in adapted.named_parameters() if p.requires_grad]
for name, p in trained:
    p.data = torch.from_numpy(formula(name, p.shape))
params = [p for _, p in trained]

RATES, DECAY, MAX_NORM = [2e-3, 4e-3, 6e-3, 3e-3, 1e-3], 0.05, 0.4
opt = torch.optim.AdamW(params, lr=RATES[0], weight_decay=DECAY)


def losses(i):
    """Summed weighted loss and weight of row i, alone."""
    ids = torch.tensor([golden["rows"][i]])
    w = torch.tensor(golden["weights"][i], dtype=torch.float32)[1:]
    logits = adapted(input_ids=ids).logits[0, :-1]
    return (torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none") * w).sum(), w.sum()


out = dict(names=[n for n, _ in trained], rates=RATES, weightDecay=DECAY, maxNorm=MAX_NORM, batches=[[0, 1], [2], [1, 2], [0, 1, 2], [2, 0]], losses=[], norms=[])
for rate, batch in zip(RATES, out["batches"]):
    for group in opt.param_groups:
        group["lr"] = rate
    parts = [losses(i) for i in batch]
    # Divided by the weights of the whole accumulated batch, never by micro-batch.
    loss = sum(l for l, _ in parts) / sum(w for _, w in parts)
    opt.zero_grad(set_to_none=True)
    loss.backward()
    out["norms"].append(torch.nn.utils.clip_grad_norm_(params, MAX_NORM).item())
    opt.step()
    out["losses"].append(loss.item())
pack = lambda tensors: base64.b64encode(np.concatenate([t.detach().numpy().reshape(-1) for t in tensors]).astype("<f4").tobytes()).decode()
out["parameters"] = pack(params)
out["firstMoment"] = pack([opt.state[p]["exp_avg"] for p in params])
out["secondMoment"] = pack([opt.state[p]["exp_avg_sq"] for p in params])
with torch.no_grad():
    parts = [losses(i) for i in range(3)]
out["validationLoss"] = (sum(l for l, _ in parts) / sum(w for _, w in parts)).item()
json.dump(out, open(f"{HERE}/steps.json", "w"), separators=(",", ":"))
print(out["losses"], out["norms"], out["validationLoss"])
