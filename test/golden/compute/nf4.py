"""NF4 as bitsandbytes quantises on the CPU: codes, largest magnitudes and the values they stand for.

pip install torch bitsandbytes; python nf4.py writes nf4.json beside this file.
"""

import base64
import json
from pathlib import Path

import bitsandbytes as bnb
import bitsandbytes.functional as F
import torch


def text(tensor):
    return base64.b64encode(tensor.contiguous().numpy().tobytes()).decode()


torch.manual_seed(7)
weight = torch.randn(6, 256) * torch.logspace(-3, 0, 6)[:, None]
weight[1, :128] = 0
weight[2, 3] = 40.0
code = F.get_4bit_type("nf4", device="cpu")
# Every value of the code, and every middle between two, as a row of its own.
weight[3, :16] = code
weight[3, 16:31] = (code[:-1] + code[1:]) / 2
weight[3, 31:] = 0

cases = []
for block in (32, 64, 128):
    packed, state = F.quantize_4bit(weight, blocksize=block, quant_type="nf4", compress_statistics=False)
    packed = packed.flatten()
    # bitsandbytes puts the even element into the high half of a byte.
    codes = torch.stack([packed >> 4, packed & 15], 1).flatten().to(torch.uint8)
    values = (state.code[codes.long()].view(-1, block) * state.absmax[:, None]).view_as(weight)
    assert torch.equal(values, F.dequantize_4bit(packed[:, None], state)), block
    cases.append(
        {"block": block, "codes": text(codes), "absmax": text(state.absmax), "values": text(values)}
    )

Path(__file__).with_suffix(".json").write_text(
    json.dumps(
        {
            "madeBy": f"bitsandbytes {bnb.__version__}, torch {torch.__version__}",
            "shape": list(weight.shape),
            "weight": text(weight),
            "cases": cases,
        },
        indent=1,
    )
    + "\n"
)
