# SPDX-License-Identifier: Apache-2.0
"""The folder of a tiny Llama: all that a server reads of a model but its weights, which are random then."""

import json
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "tiny-llama"
CONTEXT = 1024
"""Tokens."""
_BEGIN, _END = "<|begin|>", "<|end|>"
_TEMPLATE = "{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}\n{% endfor %}[assistant] "


def write(folder: Path) -> None:
    """Write it."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = _vocabulary()
    files = {
        "config.json": _config(len(vocabulary)),
        "generation_config.json": {"bos_token_id": vocabulary[_BEGIN], "eos_token_id": vocabulary[_END]},
        "tokenizer.json": _tokenizer(vocabulary),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": _BEGIN,
            "eos_token": _END,
            "model_max_length": CONTEXT,
            "chat_template": _TEMPLATE,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))


def _config(words: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "bfloat16",
        "vocab_size": words,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }


def _tokenizer(vocabulary: dict[str, int]) -> dict[str, Any]:
    """Make a byte-level BPE. It splits into bytes and joins every two letters: no training is needed for that."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "added_tokens": [{"id": vocabulary[one], "content": one, **flags} for one in (_BEGIN, _END)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocabulary,
            "merges": list(_pairs()),
        },
    }


def _vocabulary() -> dict[str, int]:
    """Number the words: 2962, for Dynamo's mocker, which answers with any up to about 2600."""
    words = [_BEGIN, _END, *_bytes(), *(pair.replace(" ", "") for pair in _pairs())]
    return {word: number for number, word in enumerate(words)}


def _bytes() -> Iterator[str]:
    """Give the letter that stands for each byte: itself if it can be printed, else one above 255, as GPT-2 has it."""
    unseen = 0
    for byte in range(256):
        if chr(byte) in string.printable[:-6] or 0xA1 <= byte <= 0xAC or byte >= 0xAE:
            yield chr(byte)
        else:
            yield chr(256 + unseen)
            unseen += 1


def _pairs() -> Iterator[str]:
    letters = string.ascii_letters
    for first in letters:
        for second in letters:
            yield f"{first} {second}"
