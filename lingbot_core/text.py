# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""From a prompt to what the network reads: cleaning, tokens, encoding."""

from __future__ import annotations

import hashlib
import html
import importlib.util
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lingbot_core.errors import InputError, WeightsError, stop_if
from lingbot_core.models.umt5 import encode_tokens

if TYPE_CHECKING:
    from transformers import UMT5EncoderModel

logger = logging.getLogger(__name__)

TEXT_TOKENS = 512
"""Tokens of every encoded prompt, end mark and padding included."""

_MIN_VOCABULARY_SHARE = 0.9
"""A tokenizer that knows less than this share of the encoder's vocabulary is of another model."""


def clean_prompt(prompt: str) -> str:
    """Bring a prompt to the form that LingBot-World was trained with.

    Repairs mis-decoded text (ftfy), resolves HTML entities twice, makes every run of white
    space one space, and strips. Case and punctuation stay. As upstream's ``whitespace`` mode.
    """
    import ftfy

    unescaped = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return re.sub(r"\s+", " ", unescaped).strip()


def text_key(encoder: str, prompt: str) -> str:
    """Key under which the encoding of a prompt by an encoder of this identity is kept."""
    return hashlib.blake2b(f"{encoder}\n{clean_prompt(prompt)}".encode(), digest_size=20).hexdigest()


def read_prompt_file(path: Path) -> str:
    """First line of a UTF-8 text file, stripped; the other lines are ignored, as upstream does.

    Raises:
        InputError: The file cannot be read, or is not UTF-8 text.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.readline().strip()
    except OSError as error:
        raise InputError(
            f"The prompt file {path} cannot be read.", got=error.strerror or str(error), do="Correct the path."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"The prompt file {path} is not UTF-8 text.", do="Save it as UTF-8.") from error


@dataclass(frozen=True)
class PromptTokens:
    """A prompt as the encoder takes it."""

    ids: Tensor
    """Token ids, int64 ``[512]``: text, end mark, padding."""

    mask: Tensor
    """1 for text and end mark, 0 for padding, int64 ``[512]``."""

    num_tokens: int
    """Tokens of the whole prompt with its end mark; above 512 the excess was cut off."""

    @property
    def is_truncated(self) -> bool:
        """Whether the end of the prompt was cut off."""
        return self.num_tokens > TEXT_TOKENS


@dataclass(frozen=True)
class _Backend:
    """A loaded tokenizer, whichever library it is of."""

    encode: Callable[[str], list[int]]
    """Ids of a text without end mark."""

    vocab_size: int
    """Ids are below this."""

    pad_id: int
    """Id that fills up."""

    eos_id: int
    """Id of the end mark."""


class PromptTokenizer:
    """Turns cleaned prompts into 512 token ids. Loads the vocabulary on first use.

    Args:
        source: A folder with ``tokenizer.json`` (or else ``spiece.model``), one of these
            files, or the serialised SentencePiece model that ComfyUI's text encoder files
            carry (uint8 ``[n]``). SentencePiece models need the ``sentencepiece`` package.

    Raises:
        WeightsError: There is no tokenizer at that place, or the package is missing.
    """

    def __init__(self, source: Path | Tensor) -> None:
        if isinstance(source, Tensor):
            assert source.dtype == torch.uint8 and source.dim() == 1, f"{source.dtype} {tuple(source.shape)}"
            self._file: Path | None = None
            self._bytes = source.cpu().numpy().tobytes()
        else:
            self._file = _find_tokenizer_file(source)
            self._bytes = b""
        self._is_json = self._file is not None and self._file.suffix == ".json"
        if not self._is_json and importlib.util.find_spec("sentencepiece") is None:
            raise WeightsError(
                f"The tokenizer in {self._place} is a SentencePiece model, which needs the package sentencepiece.",
                do="Install it (pip install sentencepiece), or use a tokenizer folder with a tokenizer.json.",
            )

    @cached_property
    def identity(self) -> str:
        """Hash of the tokenizer's file."""
        return hashlib.sha256(self._read()).hexdigest()

    @property
    def vocab_size(self) -> int:
        """Ids are below this."""
        return self._backend.vocab_size

    def check_vocabulary(self, num_embeddings: int) -> None:
        """Check that this is the tokenizer of an encoder with so many embeddings.

        Raises:
            WeightsError: It is of another model, or cannot be used.
        """
        if not num_embeddings * _MIN_VOCABULARY_SHARE <= self.vocab_size <= num_embeddings:
            raise WeightsError(
                "The tokenizer and the text encoder are of different models.",
                got=f"a tokenizer of {self.vocab_size} tokens and an encoder of {num_embeddings}",
                do="Use the tokenizer folder of the same download (google/umt5-xxl).",
            )

    def encode(self, text: str) -> PromptTokens:
        """Tokenise one cleaned prompt.

        Longer prompts are cut to 512 tokens; the end mark stays the last one.
        """
        text_ids = self._backend.encode(text)
        ids = [*text_ids[: TEXT_TOKENS - 1], self._backend.eos_id]
        num_padding = TEXT_TOKENS - len(ids)
        return PromptTokens(
            ids=torch.tensor(ids + [self._backend.pad_id] * num_padding),
            mask=torch.tensor([1] * len(ids) + [0] * num_padding),
            num_tokens=len(text_ids) + 1,
        )

    @cached_property
    def _backend(self) -> _Backend:
        data = self._read()
        try:
            return _load_json(data) if self._is_json else _load_sentencepiece(data)
        except Exception as error:  # both libraries raise no narrower type than this
            raise WeightsError(
                f"The tokenizer in {self._place} cannot be used.", got=str(error), do="Download the tokenizer again."
            ) from error

    @property
    def _place(self) -> str:
        return "the text encoder file" if self._file is None else str(self._file)

    def _read(self) -> bytes:
        return self._bytes if self._file is None else self._file.read_bytes()


class TextEncoder:
    """Encodes prompts; builds its 11 GB model when first needed and frees it on request.

    Prompts run one by one, so an encoding does not depend on what is encoded with it.

    Args:
        build_model: Makes the loaded encoder, on ``device``; asks its argument, if not None, whether to stop. Called
            by the first ``encode``, and again after ``release``.
        tokenizer: The encoder's tokenizer.
        device: Where the encoder runs.
        dtype: Dtype of the encoder and of its result, bfloat16 or float32. UMT5-XXL
            overflows in float16.
        weights_identity: What tells the encoder's files from others.
    """

    def __init__(
        self,
        build_model: Callable[[Callable[[], bool] | None], UMT5EncoderModel],
        tokenizer: PromptTokenizer,
        device: torch.device,
        dtype: torch.dtype,
        weights_identity: str,
    ) -> None:
        assert dtype in (torch.bfloat16, torch.float32), f"text is encoded in bfloat16 or float32, not {dtype}"
        self.tokenizer, self.device, self.dtype = tokenizer, device, dtype
        self._build_model = build_model
        self._weights_identity = weights_identity
        self._model: UMT5EncoderModel | None = None

    @property
    def identity(self) -> str:
        """What decides an encoding besides the prompt: weights, tokenizer and dtype."""
        return f"{self._weights_identity}:{self.tokenizer.identity}:{self.dtype}"

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory now."""
        return self._model is not None

    @property
    def num_bytes(self) -> int:
        """Memory taken now."""
        return sum(weight.nbytes for weight in self._model.parameters()) if self._model is not None else 0

    def truncation_warning(self, prompt: str) -> str:
        """One sentence for the user when the end of a prompt will be ignored; empty when all of it is read."""
        text = clean_prompt(prompt)
        tokens = self.tokenizer.encode(text)
        if not tokens.is_truncated:
            return ""
        return (
            f"The prompt has {tokens.num_tokens} tokens and the model reads {TEXT_TOKENS}: its last "
            f"{tokens.num_tokens - TEXT_TOKENS} tokens are ignored. Shorten the prompt that begins with {text[:40]!r}."
        )

    @torch.inference_mode()
    def encode(self, prompts: Sequence[str], cancelled: Callable[[], bool] | None = None) -> Tensor:
        """Clean and encode prompts, at least one. The empty prompt is allowed.

        Args:
            prompts: As the user wrote them. Of a prompt of more than 512 tokens the end is
                ignored, see :meth:`truncation_warning`.
            cancelled: Asked all along while the model is loaded and run.

        Returns:
            ``[n, 512, dim]`` in ``dtype`` on ``device``; rows after the end mark are exact
            zeros. The network attends to these rows too, so they must be kept.

        Raises:
            Cancelled: ``cancelled`` returned True. A model that was being loaded is not kept; one that is there stays.
            WeightsError: The weights or the tokenizer cannot be used, or are of different models.
        """
        assert prompts, "no prompt to encode"
        prepared = [self.tokenizer.encode(clean_prompt(prompt)) for prompt in prompts]
        model = self.load(cancelled)
        self.tokenizer.check_vocabulary(model.shared.num_embeddings)
        with _stoppable(model, cancelled):
            return torch.stack([self._encode_tokens(model, tokens) for tokens in prepared])

    def load(self, cancelled: Callable[[], bool] | None = None) -> UMT5EncoderModel:
        """Bring the model into memory, where it stays until :meth:`release`; ``encode`` does so itself."""
        if self._model is None:
            logger.info("Loading the text encoder")
            self._model = self._build_model(cancelled)
        return self._model

    def release(self) -> None:
        """Free the model. The next ``encode`` builds it again."""
        if self._model is None:
            return
        self._model = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _encode_tokens(self, model: UMT5EncoderModel, tokens: PromptTokens) -> Tensor:
        """One prompt, ``[512, dim]``."""
        encoding = encode_tokens(model, tokens.ids.to(self.device), tokens.mask.to(self.device)).to(self.dtype)
        if not encoding.isfinite().all():
            raise WeightsError(
                "The text encoder returns numbers that are not finite.", do="Its file is damaged: download it again."
            )
        return encoding


@contextmanager
def _stoppable(model: UMT5EncoderModel, cancelled: Callable[[], bool] | None) -> Iterator[None]:
    """Have the model ask before each of its layers whether to stop: on a CPU it takes a while."""
    hooks = [
        layer.register_forward_pre_hook(lambda *_: stop_if(cancelled, "Stopped while a prompt was encoded."))
        for layer in (model.encoder.block if cancelled is not None else ())
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _find_tokenizer_file(place: Path) -> Path:
    """The file itself, or the first known one in a folder."""
    candidates = [place / "tokenizer.json", place / "spiece.model"] if place.is_dir() else [place]
    for file in candidates:
        if file.is_file() and file.suffix in (".json", ".model"):
            return file
    raise WeightsError(
        f"There is no tokenizer at {place}.",
        need="tokenizer.json of google/umt5-xxl, or a folder with it",
        do="Download the tokenizer folder of a Wan 2.1 checkpoint.",
    )


def _load_json(data: bytes) -> _Backend:
    """A ``tokenizer.json``; ids as transformers' fast tokenizers give them."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(data)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    pad_id, eos_id = (tokenizer.token_to_id(token) for token in ("<pad>", "</s>"))
    if pad_id is None or eos_id is None:
        raise ValueError("it has no <pad> or no </s> token")
    return _Backend(
        encode=lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        vocab_size=tokenizer.get_vocab_size(),
        pad_id=pad_id,
        eos_id=eos_id,
    )


def _load_sentencepiece(data: bytes) -> _Backend:
    """A serialised SentencePiece model."""
    from sentencepiece import SentencePieceProcessor  # pyright: ignore[reportMissingImports]

    processor = SentencePieceProcessor()
    processor.LoadFromSerializedProto(data)
    if min(processor.pad_id(), processor.eos_id()) < 0:
        raise ValueError("it has no padding or no end token")
    return _Backend(
        encode=lambda text: processor.EncodeAsIds(text),
        vocab_size=processor.GetPieceSize(),
        pad_id=processor.pad_id(),
        eos_id=processor.eos_id(),
    )
