"""Golden chat renderings: transformers' own ids and assistant masks for templates in the styles of the model families.

The templates are short ones of our own that do what the families' templates do. Here they carry {% generation %} tags,
which give transformers' mask; the product never needs them and is tested on the templates without the tags.
needs: transformers 5. Reads byte-level.json, writes templates.json, both beside this file.
"""
import datetime
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != HERE]
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

backend = Tokenizer.from_str(json.dumps(json.load(open(f"{HERE}/byte-level.json"))["tokenizers"][0]["tokenizer"]))
tok = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<|endoftext|>", eos_token="<|im_end|>", pad_token="<|im_end|>")

G, E = "{% generation %}", "{% endgeneration %}"
TURN = "{{ '<|im_start|>' + m['role'] + '\\n' }}"
ASK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
REPLY = "{% if m['role'] == 'assistant' %}" + G + "{{ m['content'] + '<|im_end|>' }}" + E + "{{ '\\n' }}{% else %}{{ m['content'] + '<|im_end|>\\n' }}{% endif %}"

TEMPLATES = {
    "ChatML with a system message of its own": "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}{{ '<|im_start|>system\\nYou are kind<|im_end|>\\n' }}{% endif %}" + TURN + REPLY + "{% endfor %}" + ASK,
    "brackets, trimmed, strict order": "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set system = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}{% else %}{% set rest = messages %}{% set system = '' %}{% endif %}"
        "{% for m in rest %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + (system if loop.first else '') + m['content'].strip() + ' [/INST]' }}{% else %}" + G + "{{ ' ' + m['content'].strip() + ' ' + eos_token }}" + E + "{% endif %}{% endfor %}",
    "headers, trimmed, dated": "{{- bos_token }}{%- if not date_string is defined %}{%- if strftime_now is defined %}{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}{%- endif %}{{- '<|im_start|>system\\n\\nToday Date: ' + date_string + '\\n\\n' }}"
        "{%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] | trim }}{%- set messages = messages[1:] %}{%- endif %}{{- '<|im_end|>' }}"
        "{%- for m in messages %}{{- '<|im_start|>' + m['role'] + '\\n' }}{%- if m['role'] == 'assistant' %}" + G + "{{- m['content'] | trim + '<|im_end|>' }}" + E + "{%- else %}{{- m['content'] | trim + '<|im_end|>' }}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}",
    "plain headers, end of sequence after every turn": "{% for m in messages %}\n{% if m['role'] == 'assistant' %}\n{{ '<|assistant|>\\n' }}" + G + "{{ m['content'] + eos_token }}" + E + "{{ '\\n' }}{% else %}\n{{ '<|' + m['role'] + '|>\\n' + m['content'] + eos_token }}\n{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}",
    "no generation prompt": "{% for m in messages %}" + TURN + REPLY + "{% endfor %}",
    "another token behind the conversation": "{% for m in messages %}" + TURN + REPLY + "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% else %}{{ '<|endoftext|>' }}{% endif %}",
    "reasoning only in the last turn": "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m['role'] == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
        "{% for m in messages %}" + TURN + "{% if m['role'] == 'assistant' %}{% set text = m['content'].split('</think>')[-1].lstrip('\\n') %}" + G + "{% if loop.index0 > ns.last %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{{ text + '<|im_end|>' }}" + E + "{{ '\\n' }}{% else %}{{ m['content'] + '<|im_end|>\\n' }}{% endif %}{% endfor %}" + ASK,
}

def chat(*texts, system=None):
    turns = [{"role": ("user", "assistant")[i % 2], "content": t} for i, t in enumerate(texts)]
    return ([{"role": "system", "content": system}] if system else []) + turns

CHATS = [
    chat("Hello", "Hi! How can I help?"),
    chat("Where is my order 10452?", "It left on 12 May.", "And the kettle?", "Not yet, sorry. 😊"),
    chat("您好,我想退货。", "可以的,请问订单号是多少?", "10452", "好的,已经为您办理。\n\n还有别的问题吗?", "没有了,谢谢!", "不客气!", system="你是客服。"),
    chat("a", "b", "c", "d", system="Be brief."),
    chat("Is it 3 < 4?", "1. Yes.\n2. Always.", "ok", "Thanks 👍🏽"),
]

cases = []
for name, template in TEMPLATES.items():
    per_reply = name.startswith("reasoning")
    for messages in CHATS:
        replies = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
        sequences = []
        for last in replies if per_reply else replies[-1:]:
            class Fixed(datetime.datetime):
                @classmethod
                def now(cls, tz=None):
                    return cls(2024, 7, 26)
            import transformers.utils.chat_template_utils as utils
            utils.datetime = Fixed
            out = tok.apply_chat_template(messages[: last + 1], chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
            ids, mask = out["input_ids"], out["assistant_masks"]
            if per_reply:
                # Only the last reply counts: what stands in the earlier ones is not what the model would have written.
                start = len(mask) - 1
                while mask[start] == 0: start -= 1
                while mask[start - 1] == 1: start -= 1
                mask = [m if i >= start else 0 for i, m in enumerate(mask)]
            end = len(mask) - mask[::-1].index(1)
            sequences.append({"ids": ids[:end], "targets": [i for i in range(end) if mask[i]]})
        prompt = tok.apply_chat_template(messages[:-1], chat_template=template, tokenize=True, add_generation_prompt=True, return_dict=False)
        text = tok.apply_chat_template(messages, chat_template=template, tokenize=False)
        cases.append({"template": name, "messages": messages, "text": text, "prompt": prompt, "sequences": sequences})

stripped = {n: t.replace(G, "").replace(E, "") for n, t in TEMPLATES.items()}
json.dump({"templates": stripped, "cases": cases}, open(f"{HERE}/templates.json", "w"), ensure_ascii=False, separators=(",", ":"))
