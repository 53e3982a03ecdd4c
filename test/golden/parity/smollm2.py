"""Golden numbers of the real SmolLM2-135M-Instruct: losses, LoRA gradients and greedy tokens from PyTorch in float32.

needs: torch, transformers 5, peft, gguf. Usage: smollm2.py PATH_OF_THE_Q4_1_GGUF. Adapter weights come from formula.py
(B times 0.04). Writes smollm2-real.json beside this file.
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import numpy as np
import torch
from formula import formula
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_num_threads(2)
folder, file = os.path.split(os.path.abspath(sys.argv[1]))
tok = AutoTokenizer.from_pretrained(folder, gguf_file=file)
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
assert model.config.rms_norm_eps == np.float32(1e-5) or model.config.rms_norm_eps == 1e-5, model.config.rms_norm_eps

PROMPTS = ["Hello, I want to cancel my order 12345.", "你好，我想退货。", "Name three colours of tea and say one word about each."]
greedy = []
for prompt in PROMPTS:
    text = tok.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False)
    ids = tok(text, add_special_tokens=False)["input_ids"]
    past, margins, new, feed = None, [], [], torch.tensor([ids])
    with torch.no_grad():
        for _ in range(32):
            out = model(input_ids=feed, past_key_values=past, use_cache=True)
            past, top = out.past_key_values, out.logits[0, -1].topk(2)
            margins.append((top.values[0] - top.values[1]).item())
            new.append(top.indices[0].item())
            if new[-1] == 2:
                break
            feed = torch.tensor([[new[-1]]])
    greedy.append(dict(prompt=prompt, ids=ids, tokens=new, text=tok.decode(new, skip_special_tokens=True), margin=min(margins)))
    print(greedy[-1]["text"], min(margins))

DIALOGUES = [
    [("user", "Where is my parcel?"), ("assistant", "It left our store on Monday and arrives tomorrow.")],
    [("user", "我的茶壶裂了。"), ("assistant", "很抱歉，我们会给您换一个新的。"), ("user", "谢谢"), ("assistant", "不客气！")],
]
rows, weights = [], []
for dialogue in DIALOGUES:
    ids, w = [], []
    for role, content in dialogue:
        head = tok(f"<|im_start|>{role}\n", add_special_tokens=False)["input_ids"]
        body = tok(f"{content}<|im_end|>", add_special_tokens=False)["input_ids"]
        tail = tok("\n", add_special_tokens=False)["input_ids"]
        ids += head + body + tail
        w += [0] * len(head) + [int(role == "assistant")] * len(body) + [0] * len(tail)
    rows.append(ids)
    weights.append(w)

model.config.use_cache = False
adapted = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
plain = lambda name: name.replace("base_model.model.", "").replace(".default", "")
trained = [(plain(n), p) for n, p in adapted.named_parameters() if p.requires_grad]
S = max(map(len, rows))
IDS = torch.tensor([r + [2] * (S - len(r)) for r in rows])
MASK = torch.tensor([[1] * len(r) + [0] * (S - len(r)) for r in rows])
W = torch.tensor([w + [0] * (S - len(w)) for w in weights], dtype=torch.float32)[:, 1:]


def nll():
    logits = adapted(input_ids=IDS, attention_mask=MASK).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), IDS[:, 1:].reshape(-1), reduction="none").reshape(W.shape)


with torch.no_grad(), adapted.disable_adapter():
    each = nll()
    base = ((each * W).sum() / W.sum()).item()
    base_each = each[W > 0].tolist()
for name, p in trained:
    p.data = torch.from_numpy(formula(name, p.shape)) * (0.04 if "lora_B" in name else 1)
loss = (nll() * W).sum() / W.sum()
loss.backward()
PICK = 4
gradients = []
for name, p in trained:
    g = p.grad.reshape(-1)
    at = [int(i) for i in g.abs().topk(PICK).indices]
    gradients.append(dict(name=name, norm=g.norm().item(), at=at, values=[g[i].item() for i in at]))
norm = torch.cat([p.grad.reshape(-1) for _, p in trained]).norm().item()
json.dump(dict(greedy=greedy, rows=rows, weights=weights, baseLoss=base, baseLosses=base_each, loss=loss.item(), gradientNorm=norm, gradients=gradients),
          open(f"{HERE}/smollm2-real.json", "w"), ensure_ascii=False, separators=(",", ":"))
print(base, loss.item(), norm, [len(r) for r in rows])
