/** llama.cpp's tensor names and row order → the Hugging Face checkpoint's. */

const outer: Readonly<Record<string, string>> = {
  token_embd: "model.embed_tokens",
  output_norm: "model.norm",
  output: "lm_head",
};

const inBlock: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

/** `blk.3.attn_q.weight` → `model.layers.3.self_attn.q_proj.weight`; a name without a counterpart is kept. */
export function checkpointName(ggufName: string): string {
  const match = /^(?:blk\.(\d{1,6})\.)?(\w+)\.(weight|bias)$/.exec(ggufName);
  if (match === null) return ggufName;
  const [, layer, part, suffix] = match as unknown as [string, string | undefined, string, string];
  const names = layer === undefined ? outer : inBlock;
  if (!Object.hasOwn(names, part)) return ggufName;
  return `${layer === undefined ? "" : `model.layers.${Number(layer)}.`}${names[part]}.${suffix}`;
}

/**
 * For architecture `llama`, llama.cpp stores the rows of q and k so that the two halves of each head interleave
 * (its rotation pairs neighbours; the checkpoint's pairs row i with row i + E/2). Returns the checkpoint's row for
 * a row of the file. Source: `LlamaModel.permute` in convert_hf_to_gguf.py.
 */
export function uninterleaveRows(rows: number, heads: number): (row: number) => number {
  const headWidth = rows / heads;
  const half = headWidth / 2;
  return (row) => {
    const within = row % headWidth;
    return row - within + (within % 2) * half + Math.floor(within / 2);
  };
}
