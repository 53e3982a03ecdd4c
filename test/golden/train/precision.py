"""Golden mixed precision: loss and LoRA gradients of a tiny Llama 3.1 under torch.autocast on the CPU, and traces of
torch.amp.GradScaler over sequences of overflows.

needs: torch, transformers 5, peft. Model, rows and weights are those of ../parity/llama3.1.json. Writes precision.json.
"""
import base64
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PARITY = os.path.join(HERE, "..", "parity")
sys.path.insert(0, PARITY)
import torch
from formula import formula, uniform
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

torch.set_num_threads(1)
golden = json.load(open(f"{PARITY}/llama3.1.json"))
SCALE = 1024.0
plain = lambda name: name.replace("base_model.model.", "").replace(".default", "")
encoded = lambda p: base64.b64encode(p.detach().numpy().reshape(-1).astype("<f4").tobytes()).decode()


def adapted():
    settings = dict(golden["config"])
    settings.pop("architectures")
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings), attn_implementation="eager", dtype=torch.float32)
    model.config.use_cache = False
    for name, p in model.named_parameters():
        p.data = torch.from_numpy(formula(name, p.shape))
    model = get_peft_model(model, LoraConfig(r=golden["rank"], lora_alpha=golden["alpha"], lora_dropout=0.0, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
    trained = {plain(n): p for n, p in model.named_parameters() if p.requires_grad}
    for name, p in trained.items():
        p.data = torch.from_numpy(formula(name, p.shape))
    return model, trained


def gradients(dtype, scale):
    model, trained = adapted()
    total = weight = 0
    for ids, w in zip(golden["rows"], golden["weights"]):
        ids = torch.tensor([ids])
        w = torch.tensor(w, dtype=torch.float32)[1:]
        with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            logits = model(input_ids=ids).logits[0, :-1]
            total = total + (torch.nn.functional.cross_entropy(logits.float(), ids[0, 1:], reduction="none") * w).sum()
        weight = weight + w.sum()
    loss = total / weight
    (loss * scale).backward()
    return dict(loss=loss.item(), gradient={n: encoded(p.grad / scale) for n, p in trained.items()})


def trace(label, overflows, interval, initial=65536.0, n=6):
    """AdamW under a scaler: the gradient of step t is a formula, with an infinity or NaN where told."""
    p = torch.nn.Parameter(torch.from_numpy(uniform("parameters", n)).float())
    opt = torch.optim.AdamW([p], lr=0.01, weight_decay=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=initial, growth_interval=interval)
    out = dict(label=label, overflows=overflows, interval=interval, initial=initial, scales=[], goodSteps=[], parameters=[])
    for t, bad in enumerate(overflows):
        g = torch.from_numpy(uniform(f"gradient {t}", n)).float()
        opt.zero_grad()
        scaler.scale((p * g).sum()).backward()
        if bad != 0:
            p.grad[t % n] = [0, float("inf"), float("-inf"), float("nan")][bad]
        scaler.unscale_(opt)
        torch.nn.utils.clip_grad_norm_([p], 0.5)
        scaler.step(opt)
        scaler.update()
        out["scales"].append(scaler.get_scale())
        out["goodSteps"].append(scaler._get_growth_tracker())
        out["parameters"].append([float(x) for x in p.detach()])
    return out


result = dict(
    float32=gradients(None, 1.0),
    fp16=gradients(torch.float16, SCALE),
    bf16=gradients(torch.bfloat16, 1.0),
    traces=[
        trace("grows after three good steps", [0, 0, 0, 0, 0, 0, 0], 3),
        trace("overflows at once, twice, and between", [1, 3, 0, 0, 2, 0, 0, 0, 0, 1, 0], 3),
        trace("every step overflows", [1, 2, 3, 1, 2], 2),
        trace("grows until the scale would not be finite", [0, 0, 0, 0], 1, initial=2.0**126),
    ],
)
json.dump(result, open(f"{HERE}/precision.json", "w"), separators=(",", ":"))
print({k: result[k]["loss"] for k in ("float32", "fp16", "bf16")}, [t["scales"] for t in result["traces"]])
