# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What a layout is, and where a checkpoint tensor goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor shapes of a checkpoint by key, as read from its headers."""

ConfigT = TypeVar("ConfigT")


@dataclass(frozen=True)
class TensorSource:
    """Where in a checkpoint one native tensor is found, and how it is read."""

    key: str
    """Key in the file."""

    scale_key: str | None = None
    """Key of a scale that multiplies the tensor (fp8-scaled files); None when there is none."""

    last_rows: int | None = None
    """Keep only this many rows from the end of the first axis; None keeps all."""


@dataclass(frozen=True)
class Layout(Generic[ConfigT]):
    """A recognised checkpoint.

    ``sources`` covers every tensor that the model needs, by its native name.
    Keys of the file that ``sources`` does not use are either known to be unused
    (then ``identify`` accepted them) or made ``identify`` raise ``WeightsError``.
    """

    name: str
    """The layout in words, for the log: ``native``, ``diffusers``, ``ComfyUI fp8 scaled``, ..."""

    config: ConfigT
    """Sizes of the model, derived from the shapes."""

    sources: Mapping[str, TensorSource]
    """Native tensor name -> where it is in the file."""


@dataclass(frozen=True)
class CheckpointView:
    """Where one native checkpoint tensor goes in a live model.

    ``target`` is a view into a parameter with as many elements as the checkpoint
    tensor, in the checkpoint tensor's order: ``target.copy_(tensor.view(target.shape))``
    stores it. Re-layouts (permuted rows, fused projections) are thus part of the view
    and cost nothing.
    """

    shape: tuple[int, ...]
    """Shape of the tensor in a native checkpoint."""

    target: Tensor
    """View into the parameter."""

    scale: Tensor | None = None
    """Scale of each row of a target in 8 bits, ``[rows, 1]``, to be filled as well; None for other targets."""


def scale_name(name: str) -> str:
    """Native name of the scales of a tensor in 8 bits."""
    return f"{name}_scale"
