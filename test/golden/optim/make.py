"""Golden AdamW states after five steps with clipping and weight decay, and learning-rate factors, from PyTorch and transformers.

needs: torch, transformers 5. Writes adamw.json and schedules.json beside this file.
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "parity"))
import torch
from formula import uniform
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup, get_wsd_schedule, get_linear_schedule_with_warmup

N, STEPS = 24, 5
cases = []
for label, lr, decay, max_norm, betas, eps, scale in [
    ("clipping active, decay", 3e-4, 0.01, 1.0, (0.9, 0.999), 1e-8, 3.0),
    ("clipping idle, decay", 3e-3, 0.1, 1.0, (0.9, 0.999), 1e-8, 0.01),
    ("no clipping, no decay", 1e-2, 0.0, None, (0.9, 0.999), 1e-8, 2.0),
    ("other betas, large epsilon", 1e-2, 0.3, 0.5, (0.8, 0.95), 1e-3, 1.0),
]:
    p = torch.nn.Parameter(torch.tensor(uniform("parameters", N), dtype=torch.float32))
    opt = torch.optim.AdamW([p], lr=lr, weight_decay=decay, betas=betas, eps=eps, foreach=False)
    norms, first = [], None
    for step in range(1, STEPS + 1):
        # The gradient's size changes from step to step, so that clipping is not one constant factor.
        p.grad = torch.tensor(uniform(f"gradient {step}", N) * scale * step, dtype=torch.float32)
        norms.append(torch.nn.utils.clip_grad_norm_([p], float("inf") if max_norm is None else max_norm).item())
        for group in opt.param_groups:
            group["lr"] = lr * step / STEPS
        opt.step()
    state = opt.state[p]
    cases.append(dict(label=label, learningRate=lr, weightDecay=decay, maxNorm=max_norm, beta1=betas[0], beta2=betas[1], epsilon=eps, gradientScale=scale,
                      norms=norms, parameters=p.tolist(), firstMoment=state["exp_avg"].tolist(), secondMoment=state["exp_avg_sq"].tolist()))
json.dump(dict(elements=N, steps=STEPS, cases=cases), open(f"{HERE}/adamw.json", "w"), indent=1)

schedules = []
for warmup, total in [(0, 10), (3, 10), (10, 10), (1, 40), (7, 100), (0, 1)]:
    decay = (total - warmup) // 3
    for kind, make in [
        ("constant", lambda o: get_constant_schedule_with_warmup(o, warmup)),
        ("linear", lambda o: get_linear_schedule_with_warmup(o, warmup, total)),
        ("cosine", lambda o: get_cosine_schedule_with_warmup(o, warmup, total)),
        ("wsd", lambda o: get_wsd_schedule(o, warmup, decay, total, decay_type="linear")),
    ]:
        opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = make(opt)
        factors = []
        for _ in range(total):
            factors.append(schedule.get_last_lr()[0])
            opt.step()
            schedule.step()
        extra = dict(decaySteps=decay) if kind == "wsd" else {}
        schedules.append(dict(kind=kind, warmupSteps=warmup, totalSteps=total, **extra, factors=factors))
json.dump(schedules, open(f"{HERE}/schedules.json", "w"), separators=(",", ":"))
