# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What is recognised as a LingBot-World network, and how a wrong file is named."""

from __future__ import annotations

import pytest
import torch

from lingbot_core.errors import WeightsError
from lingbot_core.layouts.dit import identify
from lingbot_core.models.dit import LingBotDiT
from lingbot_core.models.dit_config import DiTConfig

CONFIG = DiTConfig(dim=256, ffn_dim=384, num_heads=2, num_layers=3)


def shapes_of(config: DiTConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {key: view.shape for key, view in LingBotDiT(config).checkpoint_views().items()}


@pytest.fixture
def shapes() -> dict[str, tuple[int, ...]]:
    return shapes_of(CONFIG)


def test_identify_native_checkpoint_derives_its_sizes(shapes: dict[str, tuple[int, ...]]) -> None:
    layout = identify(shapes)
    assert layout.config == CONFIG
    assert layout.name == "native"
    assert layout.sources.keys() == shapes.keys()
    assert all(source.key == key for key, source in layout.sources.items())


def test_identify_published_sizes_gives_published_config() -> None:
    config = DiTConfig.lingbot_14b()
    assert identify(shapes_of(config)).config == config


def test_identify_when_heads_are_given_uses_them(shapes: dict[str, tuple[int, ...]]) -> None:
    assert identify(shapes, num_heads=4).config.head_dim == 64


def test_identify_when_heads_do_not_divide_the_width_raises(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(WeightsError, match="256, cannot be divided into 3 heads"):
        identify(shapes, num_heads=3)


@pytest.mark.parametrize(
    "key", ["patch_embedding_wancamctrl.weight", "blocks.2.ffn.2.bias", "blocks.1.cross_attn.norm_k.weight"]
)
def test_identify_when_a_tensor_is_missing_names_it(shapes: dict[str, tuple[int, ...]], key: str) -> None:
    del shapes[key]
    with pytest.raises(WeightsError, match=f"{key} is missing"):
        identify(shapes)


def test_identify_when_a_tensor_is_unexpected_names_it(shapes: dict[str, tuple[int, ...]]) -> None:
    shapes["blocks.0.cross_attn.k_img.weight"] = (256, 256)
    with pytest.raises(WeightsError, match="blocks.0.cross_attn.k_img.weight does not belong"):
        identify(shapes)


def test_identify_when_a_tensor_is_misshaped_names_it(shapes: dict[str, tuple[int, ...]]) -> None:
    shapes["blocks.1.modulation"] = (6, 256)
    with pytest.raises(WeightsError, match=r"blocks.1.modulation has the wrong shape. Got: \(6, 256\)"):
        identify(shapes)
    shapes["patch_embedding.weight"] = (256, 144)
    with pytest.raises(WeightsError, match="patch_embedding.weight has the wrong number of axes"):
        identify(shapes)


def test_identify_when_control_is_by_actions_says_so(shapes: dict[str, tuple[int, ...]]) -> None:
    shapes["patch_embedding_wancamctrl.weight"] = (256, 1792)
    with pytest.raises(WeightsError, match="control type act"):
        identify(shapes)
