# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""ComfyUI's CONDITIONING to and from text events. Knows nothing else of ComfyUI.

CONDITIONING is a list of ``[encoding [1, tokens, dim], dict]``. An entry whose dict has ``CHUNK_KEY`` holds from
that chunk on; any other, such as those of core nodes, from the beginning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lingbot_core.errors import InputError
from lingbot_core.executor.base import TextEvent
from lingbot_core.text import TEXT_TOKENS

Conditioning = list[list[Any]]

CHUNK_KEY = "lingbot_chunk_index"
"""Where an entry keeps the chunk from which it holds."""

PROMPT_KEY = "lingbot_prompt"
"""Where an entry of ours keeps its prompt, to name it by."""


def from_embedding(embedding: Tensor, prompt: str = "") -> Conditioning:
    """CONDITIONING of one encoding ``[tokens, dim]``, in the form of core CLIP Text Encode."""
    return [[embedding.float()[None], {"pooled_output": None, PROMPT_KEY: prompt}]]


def add_event(conditioning: Conditioning, event: Conditioning, chunk_index: int) -> Conditioning:
    """Let another text hold from a chunk on.

    Raises:
        InputError: ``event`` is not one plain encoding, or there is already one at that chunk.
    """
    if len(event) != 1 or CHUNK_KEY in event[0][1]:
        raise InputError(
            "The input 'event' of LingBot Text Events is more than one prompt.",
            got=f"{len(event)} prompts" if len(event) != 1 else "a prompt with a chunk of its own",
            need="one encoded prompt",
            do="Chain several LingBot Text Events through the input 'conditioning'.",
        )
    if any(entry[1].get(CHUNK_KEY, 0) == chunk_index for entry in conditioning):
        raise InputError("Two text events are at the same chunk.", got=f"chunk {chunk_index} twice")
    encoding, values = event[0]
    return [*conditioning, [encoding, {**values, CHUNK_KEY: chunk_index}]]


def to_events(
    conditioning: Conditioning, num_chunks: int, text_dim: int, warn: Callable[[str], None]
) -> tuple[TextEvent, ...]:
    """The text by chunk.

    Args:
        conditioning: From our nodes or core ones.
        num_chunks: Chunks of the video; later events are left out.
        text_dim: Width of the encodings that the model reads.
        warn: Told in a sentence what is left out.

    Raises:
        InputError: An encoding is of another text encoder, or the entries are no schedule.
    """
    if not conditioning:
        raise InputError(
            "The conditioning is empty.", do="Connect LingBot Text Encode, or CLIP Text Encode of type wan."
        )
    events = []
    for encoding, values in sorted(conditioning, key=lambda entry: entry[1].get(CHUNK_KEY, 0)):
        chunk_index = values.get(CHUNK_KEY, 0)
        if events and events[-1].chunk_index == chunk_index:
            raise InputError(
                f"The conditioning has two prompts for chunk {chunk_index}.",
                do="Use LingBot Text Events in place of Conditioning Combine, Concat or Average.",
            )
        if chunk_index >= num_chunks:
            warn(f"The text event at chunk {chunk_index} is beyond the last chunk, {num_chunks - 1}; left out.")
            continue
        prompt = str(values.get(PROMPT_KEY, ""))
        events.append(TextEvent(chunk_index, prompt, _embedding(encoding, text_dim, warn)))
    if not events or events[0].chunk_index:
        raise InputError("The conditioning has no prompt for the beginning.", need="one that holds from chunk 0")
    return tuple(events)


def _embedding(encoding: Tensor, text_dim: int, warn: Callable[[str], None]) -> Tensor:
    """The encoding as the model reads it, ``[512, dim]``: zeros behind a shorter one, a longer one cut."""
    if encoding.ndim != 3 or encoding.shape[0] != 1 or encoding.shape[2] != text_dim:
        raise InputError(
            "The conditioning is of another text encoder.",
            got=f"an encoding of shape {list(encoding.shape)}",
            need=f"[1, {TEXT_TOKENS}, {text_dim}], as UMT5-XXL gives it",
            do="Use LingBot Text Encode, or Load CLIP with umt5_xxl and type wan.",
        )
    rows = encoding[0].to("cpu", torch.float32)
    if len(rows) > TEXT_TOKENS:
        warn(f"The prompt has {len(rows)} tokens and the model reads {TEXT_TOKENS}: its end is ignored.")
    embedding = rows.new_zeros(TEXT_TOKENS, text_dim)
    embedding[: len(rows)] = rows[:TEXT_TOKENS]
    return embedding
