# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Encodings of prompts: from the store, and from the text encoder where the store has none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lingbot_core.journal import RecordStore
from lingbot_core.text import TextEncoder, text_key

_log = logging.getLogger(__name__)


def encode_texts(
    encoder: TextEncoder,
    store: RecordStore,
    prompts: Sequence[str],
    on_warning: Callable[[str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[Tensor]:
    """Encode prompts and keep their encodings; see ``Executor.encode_texts``. The encoder stays in memory."""
    keys = [text_key(encoder.identity, prompt) for prompt in prompts]
    embeddings = {key: embedding for key in keys if (embedding := store.read_text(key)) is not None}
    missing = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in embeddings}
    if missing:
        encoded = encoder.encode(list(missing.values()), cancelled).to("cpu", torch.bfloat16)
        for key, embedding in zip(missing, encoded, strict=True):
            embeddings[key] = embedding.contiguous()
            store.write_text(key, embeddings[key])
    for prompt in dict.fromkeys(prompts):  # now, so that nothing that is said while loading covers it
        if warning := encoder.truncation_warning(prompt):
            (on_warning or _log.warning)(warning)
    return [embeddings[key] for key in keys]
