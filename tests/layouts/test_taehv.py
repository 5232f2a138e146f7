# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Which files are taken for the tiny decoder, and what is said about others."""

from __future__ import annotations

import pytest
import torch

from lingbot_core.errors import WeightsError
from lingbot_core.layouts.taehv import identify, needs_denormalised
from lingbot_core.models.taehv import TAEHVConfig, TAEHVDecoder


def decoder_shapes(widths: tuple[int, int, int] = (256, 128, 64)) -> dict[str, tuple[int, ...]]:
    """Shapes of a file's decoder half."""
    with torch.device("meta"):
        views = TAEHVDecoder(TAEHVConfig(widths), denormalize=False).checkpoint_views()
    return {name: view.shape for name, view in views.items()}


@pytest.mark.parametrize("widths", [(256, 128, 64), (16, 12, 8)])
def test_identify_when_encoder_is_there_too_takes_the_decoder(widths: tuple[int, int, int]) -> None:
    layout = identify(decoder_shapes(widths) | {"encoder.0.weight": (64, 3, 3, 3)})
    assert layout.config == TAEHVConfig(widths) and len(layout.sources) == 64
    assert all(source.key == name and source.last_rows is None for name, source in layout.sources.items())


def test_identify_when_time_grow_has_too_many_rows_keeps_the_last() -> None:
    layout = identify(decoder_shapes() | {"decoder.7.conv.weight": (512, 256, 1, 1)})
    assert layout.sources["decoder.7.conv.weight"].last_rows == 256
    assert layout.sources["decoder.13.conv.weight"].last_rows is None


@pytest.mark.parametrize(
    ("shapes", "named"),
    [
        ({"3.conv.0.weight": (64, 64, 3, 3)}, "still images"),
        ({"decoder.layers.0.weight": (64, 4, 3, 3)}, "still images"),
        ({"decoder.1.weight": (64, 16, 3, 3), "decoder.3.conv.0.weight": (64, 64, 3, 3)}, "still images"),
        (decoder_shapes() | {"decoder.1.weight": (256, 48, 3, 3)}, "48 latent channels .Wan 2.2"),
        ({"decoder.middle.0.residual.0.gamma": (384, 1, 1, 1)}, "a full VAE"),
        ({"blocks.0.self_attn.q.weight": (5120, 5120)}, "another kind of model"),
        ({}, "empty file"),
    ],
)
def test_identify_when_another_model_names_it(shapes: dict[str, tuple[int, ...]], named: str) -> None:
    with pytest.raises(WeightsError, match=f"not the tiny decoder of Wan 2.1.*{named}"):
        identify(shapes)


def test_identify_when_a_tensor_is_missing_misshaped_or_unexpected_names_it() -> None:
    shapes = decoder_shapes()
    with pytest.raises(WeightsError, match="decoder.22.bias .* missing"):
        identify({name: shape for name, shape in shapes.items() if name != "decoder.22.bias"})
    with pytest.raises(WeightsError, match=r"decoder.22.weight .* wrong shape.*\(12,"):
        identify(shapes | {"decoder.22.weight": (12, 64, 3, 3)})
    with pytest.raises(WeightsError, match="decoder.23.weight does not belong"):
        identify(shapes | {"decoder.23.weight": (3, 3)})


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [
        ("lighttaew2_1.pth", True),
        ("/models/vae_approx/LightTAEW2_1.safetensors", True),
        ("taew2_1.pth", False),
        ("/models/lighttae_old/taew2_1.pth", False),
        ("C:\\models\\lighttae_old\\taew2_1.pth", False),
    ],
)
def test_needs_denormalised_goes_by_the_file_name_alone(file_name: str, expected: bool) -> None:
    assert needs_denormalised(file_name) is expected
