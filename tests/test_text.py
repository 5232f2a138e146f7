# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Prompts: cleaning against the recorded strings, tokens, and the encoder that comes and goes."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lingbot_core.errors import Cancelled, InputError, WeightsError, stop_if
from lingbot_core.models.umt5 import encode_tokens
from lingbot_core.text import TEXT_TOKENS, PromptTokenizer, TextEncoder, clean_prompt, read_prompt_file
from lingbot_core.tiny_tokenizer import write_test_tokenizer
from tests.tiny_umt5 import TINY, make_tiny_umt5

CPU = torch.device("cpu")
CLEANING_CASES = json.loads((Path(__file__).parent / "golden/prompt_cleaning.json").read_text("utf-8"))["cases"]


class Builder:
    """Makes the encoder and remembers how often, and whether the models are still alive."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype
        self.models: list[weakref.ref[Any]] = []

    def __call__(self, cancelled: Callable[[], bool] | None = None) -> Any:
        stop_if(cancelled, "Stopped while weights were read.")
        model = make_tiny_umt5()
        torch.nn.Module.to(model, self.dtype)
        self.models.append(weakref.ref(model))
        return model


@pytest.fixture
def tokenizer(tmp_path: Path) -> PromptTokenizer:
    write_test_tokenizer(tmp_path / "tokenizer", TINY.vocab_size)
    return PromptTokenizer(tmp_path / "tokenizer")


def make_encoder(tokenizer: PromptTokenizer, builder: Builder | None = None) -> TextEncoder:
    return TextEncoder(builder or Builder(), tokenizer, CPU, torch.float32, weights_identity="tiny")


@pytest.mark.parametrize("case", CLEANING_CASES, ids=lambda case: case["raw"][:24].encode("ascii", "replace").decode())
def test_clean_prompt_equals_the_recorded_string(case: dict[str, str]) -> None:
    assert clean_prompt(case["raw"]) == case["cleaned"]


def test_clean_prompt_replaces_lone_surrogates_which_no_tokenizer_takes(tokenizer: PromptTokenizer) -> None:
    tokenizer.encode(clean_prompt("half an emoji \ud83d here"))


def test_import_of_text_loads_no_heavy_library() -> None:
    heavy = "{'transformers', 'tokenizers', 'sentencepiece', 'ftfy'}"
    code = f"import sys, lingbot_core.text; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("content", "prompt"),
    [
        (b"  A street. \nSecond line.", "A street."),
        (b"No newline at the end", "No newline at the end"),
        (b"\r\nignored", ""),
        (b"", ""),
        ("\ufeffWith a byte order mark é\r\n".encode(), "With a byte order mark é"),
    ],
)
def test_read_prompt_file_gives_the_first_line_stripped(tmp_path: Path, content: bytes, prompt: str) -> None:
    (tmp_path / "prompt.txt").write_bytes(content)
    assert read_prompt_file(tmp_path / "prompt.txt") == prompt


def test_read_prompt_file_when_unreadable_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.txt cannot be read"):
        read_prompt_file(tmp_path / "missing.txt")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(InputError, match=r"photo\.jpg is not UTF-8"):
        read_prompt_file(tmp_path / "photo.jpg")


def test_tokens_of_the_empty_prompt_are_the_end_mark_alone(tokenizer: PromptTokenizer) -> None:
    tokens = tokenizer.encode("")
    assert tokens.ids.tolist() == [1] + [0] * (TEXT_TOKENS - 1)
    assert tokens.mask.tolist() == [1] + [0] * (TEXT_TOKENS - 1)
    assert (tokens.num_tokens, tokens.is_truncated) == (1, False)


@pytest.mark.parametrize(("num_words", "is_truncated"), [(511, False), (512, True), (2000, True)])
def test_tokens_of_a_long_prompt_keep_the_end_mark_last(
    tokenizer: PromptTokenizer, num_words: int, is_truncated: bool
) -> None:
    tokens = tokenizer.encode(" ".join(["the"] * num_words))
    assert tokens.ids.shape == tokens.mask.shape == (TEXT_TOKENS,)
    assert tokens.ids[-1] == 1 and tokens.ids[:-1].unique().numel() == 1
    assert tokens.mask.all()
    assert (tokens.num_tokens, tokens.is_truncated) == (num_words + 1, is_truncated)


def test_tokenizer_from_its_file_or_its_folder_is_the_same(tokenizer: PromptTokenizer, tmp_path: Path) -> None:
    from_file = PromptTokenizer(tmp_path / "tokenizer/tokenizer.json")
    assert from_file.identity == tokenizer.identity
    assert torch.equal(from_file.encode("a quiet street").ids, tokenizer.encode("a quiet street").ids)


def test_tokenizer_when_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no tokenizer at"):
        PromptTokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"tokenizer\.json cannot be used"):
        PromptTokenizer(tmp_path).encode("text")


def test_tokenizer_in_sentencepiece_format_without_the_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="pip install sentencepiece"):
        PromptTokenizer(torch.zeros(4, dtype=torch.uint8))


def test_tokenizer_in_sentencepiece_format_from_a_file_or_a_tensor(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    sentences = iter(["a quiet street at dawn", "the camera moves forward", "snow on the mountains"] * 20)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=sentences,
        model_prefix=str(tmp_path / "spiece"),
        vocab_size=40,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    from_folder = PromptTokenizer(tmp_path)
    content = bytearray((tmp_path / "spiece.model").read_bytes())
    from_tensor = PromptTokenizer(torch.frombuffer(content, dtype=torch.uint8))
    assert from_folder.identity == from_tensor.identity
    tokens = from_tensor.encode("snow at dawn")
    assert torch.equal(tokens.ids, from_folder.encode("snow at dawn").ids)
    assert tokens.ids[tokens.num_tokens - 1] == 1 and tokens.ids[tokens.num_tokens :].eq(0).all()
    assert from_tensor.encode("").num_tokens == 1
    with pytest.raises(WeightsError, match="text encoder file cannot be used"):
        PromptTokenizer(torch.zeros(4, dtype=torch.uint8)).encode("text")


def test_encode_is_lazy_builds_once_and_release_frees(tokenizer: PromptTokenizer) -> None:
    builder = Builder()
    encoder = make_encoder(tokenizer, builder)
    encoder.release()
    assert encoder.identity and not builder.models and not encoder.is_loaded
    first = encoder.encode(["a quiet street"])
    encoder.encode(["snow"])
    assert len(builder.models) == 1 and encoder.is_loaded
    encoder.release()
    assert builder.models[0]() is None and not encoder.is_loaded
    assert torch.equal(encoder.encode(["a quiet street"]), first)
    assert len(builder.models) == 2


def test_encode_gives_512_rows_that_are_zero_after_the_end_mark(tokenizer: PromptTokenizer) -> None:
    encoding = make_encoder(tokenizer).encode(["a  quiet \n street", ""])
    assert encoding.shape == (2, TEXT_TOKENS, TINY.dim) and encoding.dtype == torch.float32
    tokens = tokenizer.encode("a quiet street")
    expected = encode_tokens(make_tiny_umt5(), tokens.ids, tokens.mask)
    assert torch.equal(encoding[0], expected)
    for row, num_tokens in zip(encoding, (tokens.num_tokens, 1), strict=True):
        assert row[:num_tokens].ne(0).any(-1).all()
        assert row[num_tokens:].eq(0).all()


def test_encode_does_not_depend_on_the_other_prompts(tokenizer: PromptTokenizer) -> None:
    encoder = make_encoder(tokenizer)
    together = encoder.encode(["snow", "the bridge and the tower in the evening sun", "snow"])
    assert torch.equal(together[0], encoder.encode(["snow"])[0])
    assert torch.equal(together[0], together[2])


def test_encode_in_bfloat16_is_near_float32(tokenizer: PromptTokenizer) -> None:
    rounded = TextEncoder(Builder(torch.bfloat16), tokenizer, CPU, torch.bfloat16, "tiny").encode(["snow falls"])
    exact = make_encoder(tokenizer).encode(["snow falls"])
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).norm() / exact.norm() < 0.03


def test_warning_of_too_long_a_prompt_has_the_numbers(tokenizer: PromptTokenizer) -> None:
    encoder, long_prompt = make_encoder(tokenizer), " ".join(["the"] * 600)
    warning = encoder.truncation_warning(long_prompt)
    assert "601 tokens and the model reads 512: its last 89 tokens are ignored" in warning
    assert not encoder.truncation_warning("snow") and not encoder.is_loaded, "known without the encoder"
    assert encoder.encode([long_prompt])[0].ne(0).any(-1).all()


def test_loading_is_logged_and_its_memory_counted(tokenizer: PromptTokenizer, caplog: pytest.LogCaptureFixture) -> None:
    encoder = make_encoder(tokenizer)
    with caplog.at_level(logging.INFO, logger="lingbot_core.text"):
        for prompt in ("snow", "rain"):
            encoder.encode([prompt])
    assert caplog.text.count("Loading the text encoder") == 1
    assert encoder.num_bytes == sum(weight.nbytes for weight in make_tiny_umt5().parameters()) > 0
    encoder.release()
    assert encoder.num_bytes == 0


def test_encode_when_cancelled_while_loading_keeps_no_model(tokenizer: PromptTokenizer) -> None:
    encoder = make_encoder(tokenizer)
    with pytest.raises(Cancelled, match="weights were read"):
        encoder.encode(["snow"], lambda: True)
    assert not encoder.is_loaded
    assert encoder.encode(["snow"], lambda: False).isfinite().all()


def test_encode_when_cancelled_stops_before_the_next_layer_and_keeps_the_model(tokenizer: PromptTokenizer) -> None:
    encoder = make_encoder(tokenizer)
    whole, num_asked = encoder.encode(["snow"]), 0

    def cancelled() -> bool:
        nonlocal num_asked
        num_asked += 1
        return num_asked == 2

    with pytest.raises(Cancelled, match="a prompt was encoded"):
        encoder.encode(["snow"], cancelled)
    assert num_asked == 2 and encoder.is_loaded
    assert torch.equal(encoder.encode(["snow"]), whole) and num_asked == 2, "nothing asks any more"


def test_encode_with_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    for vocab_size in (TINY.vocab_size - 20, TINY.vocab_size + 1):
        write_test_tokenizer(tmp_path / str(vocab_size), vocab_size)
        with pytest.raises(WeightsError, match=f"tokenizer of {vocab_size} tokens and an encoder of 128"):
            make_encoder(PromptTokenizer(tmp_path / str(vocab_size))).encode(["snow"])


def test_encode_with_weights_that_overflow_is_refused(tokenizer: PromptTokenizer) -> None:
    def build_damaged(_: object) -> Any:
        model = make_tiny_umt5()
        model.encoder.final_layer_norm.weight.fill_(float("nan"))
        return model

    encoder = TextEncoder(build_damaged, tokenizer, CPU, torch.float32, "tiny")
    with pytest.raises(WeightsError, match="not finite"):
        encoder.encode(["snow"])


def test_identity_tells_weights_tokenizers_and_dtypes_apart(tokenizer: PromptTokenizer, tmp_path: Path) -> None:
    write_test_tokenizer(tmp_path / "other", TINY.vocab_size + 1)
    other = PromptTokenizer(tmp_path / "other")
    encoders = [
        TextEncoder(Builder(), tokenizer, CPU, torch.float32, "a"),
        TextEncoder(Builder(), tokenizer, CPU, torch.float32, "b"),
        TextEncoder(Builder(), other, CPU, torch.float32, "a"),
        TextEncoder(Builder(), tokenizer, CPU, torch.bfloat16, "a"),
    ]
    assert len({encoder.identity for encoder in encoders}) == len(encoders)
    assert TextEncoder(Builder(), tokenizer, CPU, torch.float32, "a").identity == encoders[0].identity
