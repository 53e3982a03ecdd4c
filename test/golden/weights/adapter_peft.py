"""Adapters between Attune and PEFT, both ways, on a tiny random LLaMA.

python adapter_peft.py write          writes peft-adapter/ and peft-rank-pattern/ with save_pretrained, loads attune-adapter/ (which
                                      Attune wrote), and records scale * B A of every layer of the three in adapter_peft.json
python adapter_peft.py read FOLDER    loads an adapter that Attune wrote and prints scale * B A of every layer as JSON

Made with peft 0.21, transformers 5.24, torch 2.15.
"""
import json
import os
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

here = os.path.dirname(os.path.abspath(__file__))


def base():
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=4, vocab_size=32)
    )


def deltas(model):
    out = {}
    for name, module in model.base_model.model.named_modules():
        if hasattr(module, "get_delta_weight"):
            delta = module.get_delta_weight("default")
            out[name] = {"shape": list(delta.shape), "values": [round(x, 9) for x in delta.flatten().tolist()]}
    return out


def write():
    record = {}
    configs = {
        "peft-adapter": dict(r=4, lora_alpha=8, lora_dropout=0.1, target_modules=["q_proj", "v_proj"]),
        "peft-rank-pattern": dict(
            r=3, lora_alpha=6, use_rslora=True, target_modules=["o_proj", "down_proj"],
            rank_pattern={"down_proj": 2}, alpha_pattern={"model.layers.1.self_attn.o_proj": 5},
        ),
    }
    for folder, config in configs.items():
        model = get_peft_model(base(), LoraConfig(task_type="CAUSAL_LM", **config))
        for name, value in model.named_parameters():
            if "lora_" in name:
                value.data.normal_(0, 0.3)
        model.save_pretrained(os.path.join(here, folder))
        os.remove(os.path.join(here, folder, "README.md"))
        record[folder] = deltas(model)
    record["attune-adapter"] = deltas(PeftModel.from_pretrained(base(), os.path.join(here, "attune-adapter")))
    json.dump(record, open(os.path.join(here, "adapter_peft.json"), "w"))


def read(folder):
    model = PeftModel.from_pretrained(base(), folder)
    json.dump(deltas(model), sys.stdout)


if __name__ == "__main__":
    write() if sys.argv[1] == "write" else read(sys.argv[2])
