"""Golden loss and LoRA gradient of a tiny model with dropout on attention's probabilities and on what attention and MLP add to
the residual stream, from PyTorch in float32. PyTorch's own modules run; the masks they draw are replaced by masks of a formula.

needs: torch, transformers 5, peft. Model, rows and weights are those of ../parity/llama3.1.json. Writes dropout.json.
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
RESIDUAL, ATTENTION = 0.25, 0.125
rows, weights = golden["rows"], golden["weights"]
config = AutoConfig.for_model(**golden["config"])
L, H, K, D = config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads, config.hidden_size
S, T, B = max(map(len, rows)), sum(map(len, rows)), len(rows)
selected = [[s for s in range(len(r) - 1) if w[s + 1] > 0] for r, w in zip(rows, weights)]
R = sum(map(len, selected))


def keep(name, shape, p):
    """True where the formula keeps the element: the same numbers on the other side."""
    return (uniform(name, int(np.prod(shape))) >= 2 * p - 1).reshape(shape)


current = dict(row=0, layer=0)
model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)
for name, p in model.named_parameters():
    p.data = torch.from_numpy(formula(name, p.shape))


def residual_hook(layer, part):
    name = f"residualDropout:model.layers.{layer}.{part}"
    last = layer == L - 1
    mask = keep(name, (R if last else T, D), RESIDUAL)

    def hook(module, args, output):
        b = current["row"]
        length = len(rows[b])
        if last:
            kept = np.ones((length, D))
            first = sum(map(len, selected[:b]))
            kept[selected[b]] = mask[first : first + len(selected[b])]
        else:
            first = sum(map(len, rows[:b]))
            kept = mask[first : first + length]
        x = output[0] if isinstance(output, tuple) else output
        x = x * torch.from_numpy(kept.astype(np.float32)) / (1 - RESIDUAL)
        return (x, *output[1:]) if isinstance(output, tuple) else x

    return hook


for i, layer in enumerate(model.model.layers):
    layer.self_attn.attention_dropout = ATTENTION
    layer.self_attn.register_forward_hook(residual_hook(i, "self_attn"))
    layer.mlp.register_forward_hook(residual_hook(i, "mlp"))
    layer.register_forward_pre_hook(lambda module, args, i=i: current.update(layer=i))


def dropout(x, p=0.5, training=True, inplace=False):
    if p == 0 or not training:
        return x
    assert p == ATTENTION and x.shape[1] == H
    mask = keep(f"attentionDropout:model.layers.{current['layer']}.self_attn.0", (B, K, H // K, S, S), p)
    length = x.shape[-1]
    kept = mask[current["row"]].reshape(H, S, S)[:, :length, :length]
    return x * torch.from_numpy(kept.astype(np.float32)) / (1 - p)


torch.nn.functional.dropout = dropout
model = get_peft_model(model, LoraConfig(r=golden["rank"], lora_alpha=golden["alpha"], lora_dropout=0.0, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
trained = [(n.replace("base_model.model.", "").replace(".default", ""), p) for n, p in model.named_parameters() if p.requires_grad]
for name, p in trained:
    p.data = torch.from_numpy(formula(name, p.shape))
model.train()
loss = 0
for b in range(B):
    current["row"] = b
    ids = torch.tensor([rows[b]])
    w = torch.tensor(weights[b], dtype=torch.float32)[1:]
    logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
    loss = loss + (torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none") * w).sum()
loss.backward()
gradient = np.concatenate([p.grad.numpy().reshape(-1) for _, p in trained]).astype("<f4")
json.dump(dict(residual=RESIDUAL, attention=ATTENTION, loss=loss.item(), gradient=base64.b64encode(gradient.tobytes()).decode()), open(f"{HERE}/dropout.json", "w"))
print(loss.item(), np.linalg.norm(gradient), len(gradient))
