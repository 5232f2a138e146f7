# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A small tokenizer in the published format, for checkpoints that only test code."""

from __future__ import annotations

import json
from collections import Counter
from math import log
from pathlib import Path

SPECIAL_TOKENS = ("<pad>", "</s>", "<unk>")
"""Their ids are their positions, as in UMT5."""

WORD_START = "▁"
"""Stands for the space before a word, as in SentencePiece."""

_CHARACTERS = WORD_START + "".join(chr(code) for code in range(33, 127))

MIN_VOCAB_SIZE = len(SPECIAL_TOKENS) + len(_CHARACTERS)
"""Special tokens and single characters; more room is filled with words."""

_SENTENCES = """
The camera moves slowly forward along the road between the houses and the trees.
A quiet street at dawn with soft light on the wet stones and mist over the river.
Snow falls on the mountains while the wind blows over the lake and through the forest.
The view turns to the left and shows a bridge, a tower and the old town in the evening sun.
Clouds drift over the green hills, birds fly above the water and the grass moves in the wind.
A narrow path leads down to the beach where small boats lie in the sand near the rocks.
"""


def write_test_tokenizer(folder: Path, vocab_size: int) -> None:
    """Write ``tokenizer.json`` and ``tokenizer_config.json``; the same arguments give the same bytes.

    A unigram model: any printable ASCII text can be encoded, other characters are ``<unk>``.
    ``</s>`` is appended by the post-processor.

    Args:
        folder: Where to write; made if missing.
        vocab_size: Number of tokens, at least ``MIN_VOCAB_SIZE``.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    assert vocab_size >= MIN_VOCAB_SIZE, f"{vocab_size} tokens, at least {MIN_VOCAB_SIZE} needed"
    tokenizer = Tokenizer(models.Unigram(_make_vocabulary(vocab_size), unk_id=SPECIAL_TOKENS.index("<unk>")))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", SPECIAL_TOKENS.index("</s>"))]
    )
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    pad, eos, unknown = SPECIAL_TOKENS
    settings = {
        "tokenizer_class": "T5Tokenizer",
        "extra_ids": 0,
        "pad_token": pad,
        "eos_token": eos,
        "unk_token": unknown,
        "model_max_length": 512,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _make_vocabulary(vocab_size: int) -> list[tuple[str, float]]:
    """Pieces with their log probabilities: special tokens, characters, words by frequency, fillers."""
    counts = Counter(WORD_START + word.strip(".,") for word in _SENTENCES.split())
    words = [(word, count) for word, count in counts.most_common() if word not in _CHARACTERS]
    total = sum(counts.values())
    vocabulary = [(token, 0.0) for token in SPECIAL_TOKENS]
    vocabulary += [(character, log(0.1 / total)) for character in _CHARACTERS]
    vocabulary += [(word, log(count / total)) for word, count in words[: vocab_size - len(vocabulary)]]
    unlikely = log(0.001 / total)
    vocabulary += [(f"{WORD_START}<unused{index}>", unlikely) for index in range(vocab_size - len(vocabulary))]
    return vocabulary
