"""Writes the small Parquet files of the reading tests with Apache Arrow's own writer (pyarrow 26.0.1)."""

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent

ROWS = [
    {
        "context": f"Where is parcel {i}? 包裹在哪里？",
        "response": f"It is on its way, dear customer {i % 7}.",
        "intent": ["track", "refund", None][i % 3],
        "dialogue_id": i // 2,
        "turn": i % 2,
    }
    for i in range(50)
]
flat = pa.Table.from_pylist(ROWS)
for codec in ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]:
    pq.write_table(flat, HERE / f"native.{codec}.parquet", compression=codec, row_group_size=20)

nested = pa.Table.from_pylist(
    [
        {
            "messages": [
                {"role": "user", "content": f"Question {i}"},
                {"role": "assistant", "content": f"Answer {i}"},
            ]
        }
        for i in range(5)
    ]
)
pq.write_table(nested, HERE / "messages.parquet")

# Bytes that are no UTF-8 in one row of a text column.
damaged = pa.table(
    {
        "context": pa.array([b"fine", b"caf\xe9", b"fine too"], pa.binary()),
        "response": pa.array(["a reply"] * 3, pa.string()),
    }
)
pq.write_table(damaged, HERE / "damaged.parquet")
