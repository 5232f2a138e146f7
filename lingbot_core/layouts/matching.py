# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Checks that layouts have in common."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lingbot_core.errors import WeightsError
from lingbot_core.layouts.base import Shapes, TensorSource


def check_tensors(
    shapes: Shapes, sources: Mapping[str, TensorSource], needed: Mapping[str, tuple[int, ...]], model: str
) -> None:
    """Check that a file has every tensor a model needs, in the right shape.

    Args:
        shapes: Shape of every tensor of the file, by key.
        sources: Where each native tensor is.
        needed: Native shape of each native tensor.
        model: What the file should be, for the message: ``the Wan 2.1 VAE encoder``.

    Raises:
        WeightsError: Naming the first tensor that is missing or misshaped.
    """
    for name, shape in needed.items():
        source = sources[name]
        if source.key not in shapes:
            raise WeightsError(
                f"Tensor {source.key} of {model} is missing.",
                got=f"a file with {len(shapes)} other tensors",
                do="Download the file again, exactly as published.",
            )
        found = tuple(shapes[source.key])
        if source.last_rows is not None:
            found = (min(found[0], source.last_rows), *found[1:])
        if found != shape:
            raise WeightsError(
                f"Tensor {source.key} of {model} has the wrong shape.",
                got=str(tuple(shapes[source.key])),
                need=str(shape),
                do="Use the file exactly as published.",
            )


def check_no_others(shapes: Shapes, known: Collection[str], model: str) -> None:
    """Check that a file has no tensors but ``known`` ones.

    Raises:
        WeightsError: Naming the first unexpected tensor.
    """
    unexpected = sorted(shapes.keys() - set(known))
    if unexpected:
        raise WeightsError(
            f"Tensor {unexpected[0]} does not belong to {model}.",
            got=f"{len(unexpected)} such tensors",
            need="none",
            do="Use the file exactly as published.",
        )
