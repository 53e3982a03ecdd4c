"""Adapters beyond plain LoRA between Attune and PEFT, both ways, on a tiny LLaMA: DoRA, modules_to_save (tied and not), and rows
of added tokens (tied and not).

python adapter_kinds.py write         writes peft-KIND/ with save_pretrained and the logits that PEFT computes with it, and those
                                      with attune-KIND/ (which Attune wrote), into adapter_kinds.json
python adapter_kinds.py read FOLDER   loads an adapter that Attune wrote (FOLDER ends with its kind) and prints the logits as JSON

Weights are those of ../parity/formula.py. Made with peft 0.21, transformers 5.24, torch 2.15.
"""
import json
import os
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "parity"))
from formula import formula

IDS = [1, 5, 32, 31, 3, 32, 7]
KINDS = {
    "dora": dict(use_dora=True),
    "modules": dict(modules_to_save=["embed_tokens", "lm_head", "input_layernorm"]),
    "modules-tied": dict(modules_to_save=["embed_tokens"], ensure_weight_tying=True),
    "tokens": dict(trainable_token_indices={"embed_tokens": [32], "lm_head": [32]}),
    "tokens-tied": dict(trainable_token_indices=[32]),
}


def base(kind):
    model = LlamaForCausalLM(
        LlamaConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=4, vocab_size=33, tie_word_embeddings=kind.endswith("tied"))
    )
    for name, p in model.named_parameters():
        p.data = torch.from_numpy(formula(name, p.shape))
    return model


def logits(model):
    with torch.no_grad():
        return [round(x, 7) for x in model.eval()(torch.tensor([IDS])).logits.flatten().tolist()]


def value(name, shape):
    """What the adapter holds under the name of its file."""
    name = name.replace("base_model.model.", "")
    if name.endswith("lora_magnitude_vector"):
        return formula(f"norm {name}", shape)
    return formula(name if "lora_" in name else f"saved {name}", shape)


def plain(name):
    return name.replace(".default", "").replace(".modules_to_save", "").replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


def write():
    record = {}
    for kind, settings in KINDS.items():
        model = get_peft_model(base(kind), LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=3, target_modules=["k_proj", "down_proj"], **settings))
        for name, p in model.named_parameters():
            if p.requires_grad:
                p.data = torch.from_numpy(value(plain(name), p.shape))
        folder = os.path.join(here, f"peft-{kind}")
        model.save_pretrained(folder, save_embedding_layers=False)
        os.remove(os.path.join(folder, "README.md"))
        record[f"peft-{kind}"] = logits(model)
        ours = os.path.join(here, f"attune-{kind}")
        if os.path.exists(ours):
            record[f"attune-{kind}"] = logits(PeftModel.from_pretrained(base(kind), ours))
    json.dump(record, open(os.path.join(here, "adapter_kinds.json"), "w"), separators=(",", ":"))
    print({k: v[:3] for k, v in record.items()})


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write()
    else:
        kind = next(k for k in sorted(KINDS, key=len, reverse=True) if sys.argv[2].endswith(k))
        json.dump(logits(PeftModel.from_pretrained(base(kind), sys.argv[2])), sys.stdout)
