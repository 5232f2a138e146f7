# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The adapter to FlashDreams, on a real checkout where ``FLASHDREAMS_DIR`` names one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_core.bench.flashdreams import FlashDreams, ReferenceSettings, open_checkout
from lingbot_core.errors import InputError
from lingbot_core.models.dit_config import DiTConfig

SLUG = "lingbot-world-fast-taehv-window15-sink3"
CONFIG = DiTConfig(dim=96, ffn_dim=128, num_heads=2, num_layers=2, text_dim=16, text_len=8)
SETTINGS = ReferenceSettings(SLUG, CONFIG, (32, 48), 6, 3, torch.device("cpu"), compiled=False)
CHECKOUT = os.environ.get("FLASHDREAMS_DIR", "")

needs_checkout = pytest.mark.skipif(not CHECKOUT, reason="FLASHDREAMS_DIR names no FlashDreams checkout")


def test_folder_that_is_no_checkout_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a checkout of FlashDreams") as caught:
        open_checkout(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert str(tmp_path) not in sys.path


def test_checkout_without_its_requirements_names_the_missing_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("flashdreams/flashdreams", "integrations/lingbot/lingbot"):
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "integrations/lingbot/lingbot/config.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("lingbot", "lingbot.config"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(InputError, match="a_package_that_nobody_has is missing"):
        open_checkout(tmp_path)
    for name in ("lingbot", "lingbot.config"):
        sys.modules.pop(name, None)


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> FlashDreams:
    """Its network with two operators that need a GPU replaced by plain torch."""
    module = open_checkout(Path(CHECKOUT))

    def rotate(x: Tensor, freqs: Tensor, interleaved: bool = False, inplace: bool = True) -> Tensor:
        assert interleaved and inplace
        angles = freqs[:, 0, 0, ::2]  # [S, D/2]: pairs share an angle
        cos, sin = (f(angles)[None, :, None].to(x.dtype) for f in (torch.cos, torch.sin))
        first, second = x[..., ::2].clone(), x[..., 1::2].clone()
        x[..., ::2], x[..., 1::2] = first * cos - second * sin, second * cos + first * sin
        return x

    def attend(query: Tensor, key: Tensor, value: Tensor, return_lse: bool = False) -> tuple[Tensor, None]:
        assert not return_lse
        return F.scaled_dot_product_attention(query, key, value), None

    monkeypatch.setattr(sys.modules["flashdreams.core.attention.rope"], "apply_rotary_pos_emb", rotate)
    monkeypatch.setattr(sys.modules["flashdreams.core.attention.cp"], "torch_sdpa_cudnn", attend)
    return FlashDreams(module, SETTINGS)


@needs_checkout
def test_rollouts_pass_the_point_where_the_window_is_full_and_start_anew(reference: FlashDreams) -> None:
    assert reference.first_chunk_sec == 0
    first, second = reference.run(5), reference.run(4)
    assert [len(first), len(second)] == [5, 4]
    assert all(chunk.diffuse_ms > chunk.finalize_ms > 0 for chunk in first + second)
    assert reference.first_chunk_sec * 1e3 >= first[0].diffuse_ms
    block = reference._cache.network_cache.block_caches[0].self_attn
    assert tuple(block._k.shape) == (1, 9 * 6, 2, 48), "window and sink, 6 tokens per latent frame"
    assert block._n_cached == 9 * 6 and block._prev_chunk_idx == 3
    assert block._k.isfinite().all()


@needs_checkout
def test_its_network_has_the_sizes_of_ours_and_random_weights(reference: FlashDreams) -> None:
    network = reference._model.transformer.network
    assert len(network.blocks) == CONFIG.num_layers
    assert next(network.parameters()).dtype == torch.bfloat16
    weight = network.blocks[1].ffn[0].weight
    assert tuple(weight.shape) == (CONFIG.ffn_dim, CONFIG.dim)
    assert abs(weight.float().std().item() * CONFIG.dim**0.5 - 1) < 0.1
    assert abs(network.blocks[1].self_attn.norm_q.weight.float().mean().item() - 1) < 0.1
    timesteps = reference._model.scheduler.denoising_step_list
    assert timesteps.tolist() == [999, 978, 947, 825]


@needs_checkout
def test_variant_that_it_does_not_have_is_refused_with_those_it_has() -> None:
    module = open_checkout(Path(CHECKOUT))
    with pytest.raises(InputError, match=SLUG):
        FlashDreams(module, ReferenceSettings("lingbot-world-other", CONFIG, (32, 48), 6, 3, torch.device("cpu")))


@needs_checkout
def test_closing_gives_up_the_model(reference: FlashDreams) -> None:
    reference.run(1)
    reference.close()
    assert reference._model is None and reference._cache is None
