"""Writes model_specs.json: for small models of every family, the config.json that transformers saves (and the form older versions
wrote), the weights' names and shapes, the rotary frequencies, and what each layer attends to.

Usage: python model_specs.py   (transformers 5.24, torch 2.15)
"""
import json
import os
import tempfile

import transformers as t

base = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, vocab_size=50)
llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
cases = {
    "llama": ("Llama", dict(base)),
    "llama, biases and tied": ("Llama", dict(base, attention_bias=True, mlp_bias=True, tie_word_embeddings=True)),
    "llama, wide heads": ("Llama", dict(base, head_dim=10, num_key_value_heads=None)),
    "llama 3.1": ("Llama", dict(base, head_dim=16, rope_theta=500000.0, rope_scaling=llama3, max_position_embeddings=512, eos_token_id=[3, 4], bos_token_id=2)),
    "llama, linear": ("Llama", dict(base, rope_scaling={"rope_type": "linear", "factor": 2.5})),
    "mistral": ("Mistral", dict(base)),
    "mistral, no window": ("Mistral", dict(base, sliding_window=None, rope_theta=1e6)),
    "mistral, window 7": ("Mistral", dict(base, sliding_window=7, head_dim=8)),
    "qwen2": ("Qwen2", dict(base, rope_theta=1e6, tie_word_embeddings=True)),
    "qwen2, window from layer 1": ("Qwen2", dict(base, use_sliding_window=True, sliding_window=9, max_window_layers=1)),
    "qwen2, window but past the layers": ("Qwen2", dict(base, use_sliding_window=True, sliding_window=9, max_window_layers=28)),
    "qwen3": ("Qwen3", dict(base, head_dim=8)),
    "qwen3, layer types and biases": (
        "Qwen3",
        dict(base, head_dim=8, attention_bias=True, use_sliding_window=True, sliding_window=5, layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
    ),
}
out = {}
for name, (family, options) in cases.items():
    config = getattr(t, family + "Config")(**json.loads(json.dumps(options)))
    model = getattr(t, family + "ForCausalLM")(config)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        saved = json.load(open(os.path.join(folder, "config.json")))
    # The form of transformers 4: rope_theta and rope_scaling at the top, no rope_parameters.
    old = {k: v for k, v in saved.items() if k != "rope_parameters"}
    rope = dict(saved["rope_parameters"])
    old["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    old["rope_scaling"] = None if kind == "default" else {"type" if kind == "linear" else "rope_type": kind, **rope}
    tied = config.tie_word_embeddings
    window = getattr(config, "sliding_window", None)
    layers = getattr(config, "layer_types", None) or [("sliding_attention" if window else "full_attention")] * config.num_hidden_layers
    out[name] = {
        "config": saved,
        "oldConfig": old,
        "weights": {k: list(v.shape) for k, v in model.state_dict().items() if not (tied and k == "lm_head.weight")},
        "parameters": sum(p.numel() for p in model.parameters()),
        "frequencies": model.model.rotary_emb.inv_freq.double().tolist(),
        "layers": layers,
        "window": window,
        "eos": config.eos_token_id,
        "bos": config.bos_token_id,
    }
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "model_specs.json")
json.dump(out, open(path, "w"))
