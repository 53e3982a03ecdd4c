"""The peer of bench/train-step.ts: PyTorch + transformers + PEFT on the same weights and batches, a step a turn.

Reads WORK/model, WORK/adapter.safetensors and WORK/batches.json; answers lines of JSON. Needs torch, transformers,
peft and safetensors.
"""
import argparse
import json
import os
import sys
import time
import warnings

warnings.filterwarnings("ignore")
parser = argparse.ArgumentParser()
parser.add_argument("work")
parser.add_argument("--batches", default="batches.json")
parser.add_argument("--threads", type=int, required=True)
parser.add_argument("--rank", type=int, required=True)
parser.add_argument("--alpha", type=float, required=True)
parser.add_argument("--targets", required=True)
parser.add_argument("--dropout", type=float, default=0.0)
parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "nf4"])
parser.add_argument("--attention", default="eager")
parser.add_argument("--precision", default="medium")  # on this kind of processor still float32: oneDNN's product
parser.add_argument("--compile", action="store_true")
parser.add_argument("--head", default="labels", choices=["all", "labels"])
parser.add_argument("--micro", type=int, default=4)
parser.add_argument("--learning-rate", type=float, default=3e-4)
a = parser.parse_args()

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

torch.set_num_threads(a.threads)
torch.manual_seed(0)
torch.set_float32_matmul_precision(a.precision)
dtype = {"dtype": torch.float32} if a.dtype == "nf4" else {"dtype": getattr(torch, a.dtype)}
if a.dtype == "nf4":  # bitsandbytes' kernels, blocks of 64, products in float32
    dtype["quantization_config"] = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
    )
model = AutoModelForCausalLM.from_pretrained(os.path.join(a.work, "model"), attn_implementation=a.attention, **dtype)
model.config.use_cache = False
model = get_peft_model(
    model,
    LoraConfig(r=a.rank, lora_alpha=a.alpha, lora_dropout=a.dropout, target_modules=a.targets.split(","), task_type="CAUSAL_LM"),
)
state = model.state_dict()
with torch.no_grad():
    for name, value in load_file(os.path.join(a.work, "adapter.safetensors")).items():
        state[name.replace(".weight", ".default.weight")].copy_(value)
model.train()
parameters = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(parameters, lr=a.learning_rate, weight_decay=0.01)
forward = torch.compile(model) if a.compile else model
batches = json.load(open(os.path.join(a.work, a.batches)))


def tensors(rows):
    width = max(len(r["ids"]) for r in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full((len(rows), width), -100)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        n = len(row["ids"])
        ids[i, :n] = torch.tensor(row["ids"])
        mask[i, :n] = 1
        at = torch.tensor(row["targets"])
        labels[i, at] = ids[i, at]
    return ids, labels, mask


training = [tensors(rows) for rows in batches["training"]]
validation = [tensors(rows) for rows in batches["validation"]]


def loss_sum(ids, labels, mask):
    if a.head == "all":
        n = (labels[:, 1:] != -100).sum()
        return forward(input_ids=ids, attention_mask=mask, labels=labels).loss.float() * n
    core = forward.get_base_model() if forward is model else None
    if core is None:
        raise SystemExit("--head labels cannot be compiled; use --head all")
    hidden = core.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    keep = wanted != -100
    return F.cross_entropy(core.lm_head(hidden[keep]).float(), wanted[keep], reduction="sum")


def micro_batches(batch):
    """Rows sorted by length, in micro-batches cut to their own longest row; a dense batch stays whole."""
    ids, labels, mask = batch
    if batches["kind"] == "dense":
        return [batch]
    order = torch.argsort(mask.sum(1))
    cut = []
    for part in order.split(a.micro):
        width = int(mask[part].sum(1).max())
        cut.append((ids[part, :width], labels[part, :width], mask[part, :width]))
    return cut


def step(index):
    batch = training[index % len(training)]
    marks = [time.perf_counter()]
    targets = int((batch[1][:, 1:] != -100).sum())
    loss = 0.0
    for part in micro_batches(batch):
        scaled = loss_sum(*part) / targets
        scaled.backward()
        loss += scaled.detach()
        marks.append(time.perf_counter())
    norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    loss = float(loss)
    marks[-1] = time.perf_counter()  # the update goes with the last micro-batch
    seconds = [end - begin for begin, end in zip(marks, marks[1:])]
    return {"seconds": seconds, "loss": loss, "gradientNorm": float(norm), "tokens": int(batch[2].sum())}


def gradient(name, file):
    """Writes the gradient of the summed losses of these batches as little-endian float32, in the adapter file's order."""
    optimizer.zero_grad(set_to_none=True)
    loss = 0.0
    for rows in json.load(open(os.path.join(a.work, name)))["training"]:
        for part in micro_batches(tensors(rows)):
            total = loss_sum(*part)
            total.backward()
            loss += float(total.detach())
    named = {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}
    with open(file, "wb") as out:
        for name in gradient_order:
            out.write(named[name].grad.float().numpy().astype("<f4").tobytes())
    optimizer.zero_grad(set_to_none=True)
    return {"loss": loss}


def validate():
    if a.dropout > 0:  # never for NF4: bitsandbytes then repacks the weights for a product without a gradient
        model.eval()
    total = count = 0
    with torch.no_grad():
        for batch in validation:
            total += loss_sum(*batch).item()
            count += int((batch[1][:, 1:] != -100).sum())
    model.train()
    return {"loss": total / count}


def peak_bytes():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def say(message):
    print("@" + json.dumps(message), flush=True)


import peft
import transformers

say({
    "version": f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}",
    "trainableParameters": sum(p.numel() for p in parameters),
})
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "step":
        say(step(request["step"]))
    elif request["do"] == "validate":
        say(validate())
    elif request["do"] == "gradient":
        gradient_order = request["order"]
        say(gradient(request["batches"], request["file"]))
    elif request["do"] == "peak":
        say({"peakBytes": peak_bytes()})
