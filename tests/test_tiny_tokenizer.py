# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The tokenizer of test checkpoints is read by transformers as the published one is."""

from __future__ import annotations

from pathlib import Path

import pytest

from lingbot_core.text import PromptTokenizer
from lingbot_core.tiny_tokenizer import MIN_VOCAB_SIZE, write_test_tokenizer


@pytest.mark.parametrize("vocab_size", [MIN_VOCAB_SIZE, 120, 1000])
def test_written_tokenizer_has_the_size_asked_for(tmp_path: Path, vocab_size: int) -> None:
    write_test_tokenizer(tmp_path / "tokenizer", vocab_size)
    assert PromptTokenizer(tmp_path / "tokenizer").vocab_size == vocab_size


def test_written_tokenizer_when_written_twice_is_the_same_file(tmp_path: Path) -> None:
    for name in "ab":
        write_test_tokenizer(tmp_path / name, 200)
    assert (tmp_path / "a/tokenizer.json").read_bytes() == (tmp_path / "b/tokenizer.json").read_bytes()


def test_written_tokenizer_encodes_all_printable_ascii_without_unknowns(tmp_path: Path) -> None:
    write_test_tokenizer(tmp_path, MIN_VOCAB_SIZE)
    text = "".join(chr(code) for code in range(33, 127))
    tokens = PromptTokenizer(tmp_path).encode(text)
    assert tokens.num_tokens == 1 + len(text) + 1  # word start, characters, end mark
    assert 2 not in tokens.ids


def test_written_tokenizer_in_transformers_pads_and_truncates_as_ours(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    write_test_tokenizer(tmp_path, 150)
    ours, theirs = PromptTokenizer(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    for text in ("", "The camera moves slowly.", "Übermut & <3, 5 % (of 7)", "snow " * 600):
        expected = theirs(text.strip(), padding="max_length", truncation=True, max_length=512)
        tokens = ours.encode(text.strip())
        assert tokens.ids.tolist() == expected["input_ids"]
        assert tokens.mask.tolist() == expected["attention_mask"]
