"""LLM.int8() as bitsandbytes computes it on the CPU: codes of a weight, and a product whose input has loud channels.

pip install torch bitsandbytes; python llm_int8.py writes llm_int8.json beside this file. The float part of the product
reads the weight's own columns, and a token's step comes from its regular channels alone, as the paper has both;
bitsandbytes reads the columns from the 8-bit weight, and its step minds what is quiet in a loud channel too.
"""

import base64
import json
from pathlib import Path

import bitsandbytes as bnb
import bitsandbytes.functional as F
import torch


def text(tensor):
    return base64.b64encode(tensor.contiguous().numpy().tobytes()).decode()


torch.manual_seed(11)
tokens, inner, outer = 7, 48, 20
x = torch.randn(tokens, inner)
x[:, 5] *= 9
x[2, 17] = -6.0
weight = torch.randn(outer, inner) * 0.1
dy = torch.randn(tokens, outer)

codes, largest, _ = F.int8_vectorwise_quant(weight.clone())
_, _, outliers = F.int8_vectorwise_quant(x.clone(), threshold=6.0)
without = x.clone()
without[:, outliers] = 0
x_codes, x_largest, _ = F.int8_vectorwise_quant(without)
regular = F.int8_mm_dequant(F.int8_linear_matmul(x_codes, codes), x_largest, largest).float()
y = regular + x[:, outliers] @ weight[:, outliers].T
dx = dy @ (codes.float() * (largest / 127)[:, None])

Path(__file__).with_suffix(".json").write_text(
    json.dumps(
        {
            "madeBy": f"bitsandbytes {bnb.__version__}, torch {torch.__version__}",
            "sizes": [tokens, inner, outer],
            "outliers": outliers.tolist(),
            **{
                name: text(value)
                for name, value in dict(
                    x=x, weight=weight, dy=dy, codes=codes, largest=largest, y=y, dx=dx
                ).items()
            },
        },
        indent=1,
    )
    + "\n"
)
print(outliers.tolist(), regular.dtype)
