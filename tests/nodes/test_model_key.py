# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import pytest

from lingbot_core.errors import InputError, WeightsError
from lingbot_core.options import Machines, ModelOptions
from lingbot_core.variants import WAN_VAE
from nodes.model_key import ModelKey, model_key
from nodes.tokens import ModelToken

SLUG = "lingbot-world-fast-taehv-window15-sink3"


@pytest.fixture
def vae_file(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    """A VAE in a models folder."""
    path = tmp_path / "models" / "vae" / "wan_2.1_vae.safetensors"
    path.parent.mkdir(parents=True)
    shutil.copyfile(tiny_checkpoint / WAN_VAE.repo / WAN_VAE.path, path)
    return path


def key(root: Path | None, slug: str = SLUG, **options: Any) -> ModelKey:
    return model_key(ModelToken(slug, ModelOptions(**{"device": "cpu", "checkpoint_root": root, **options})))


SAME: dict[str, Any] = {
    "precision": "fp32",
    "schedule": "bf16",
    "attention": "sdpa",
    "window_frames": 15,
    "sink_frames": 3,
    "frame_size": (64, 96),
    "model_dirs": (Path("models"),),
    "cache_dir": Path("cache"),
    "allow_download": False,
}
"""Options that change nothing about the model that is loaded on the CPU."""

OTHER: dict[str, Any] = {
    "precision": "bf16",
    "schedule": "fp32",
    "image_mode": "repeat",
    "window_frames": 18,
    "sink_frames": 0,
    "num_gpus": 2,
    "offload": "weights",
    "machines": Machines(2, "host:1"),
}
"""Options that change it."""

FILES = ("dit_file", "vae_file", "decoder_file", "text_file")


@pytest.mark.parametrize("name", SAME)
def test_key_when_an_option_only_spells_or_finds_the_same_model_is_the_same(name: str, tiny_checkpoint: Path):
    assert key(tiny_checkpoint, **{name: SAME[name]}) == key(tiny_checkpoint)


@pytest.mark.parametrize("name", OTHER)
def test_key_when_an_option_makes_another_model_is_another(name: str, tiny_checkpoint: Path):
    assert key(tiny_checkpoint, **{name: OTHER[name]}) != key(tiny_checkpoint)


@pytest.mark.parametrize("name", FILES)
def test_key_when_a_file_is_chosen_is_another(name: str, tiny_checkpoint: Path, vae_file: Path):
    assert key(tiny_checkpoint, **{name: cast(Any, vae_file)}) != key(tiny_checkpoint)


def test_key_when_the_variant_or_the_root_is_another_is_another(tiny_checkpoint: Path, tmp_path: Path):
    keys = {key(tiny_checkpoint), key(tiny_checkpoint, slug="lingbot-world-fast")}
    shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    assert len(keys | {key(tmp_path / "copy")}) == 3


def test_every_option_is_known_to_matter_or_not():
    names = {field.name for field in fields(ModelOptions)}
    assert names == {*SAME, *OTHER, *FILES, "device", "checkpoint_root"}


def test_key_when_a_file_is_found_by_its_usual_name_is_that_of_choosing_it(tmp_path: Path, vae_file: Path):
    found = key(None, model_dirs=(tmp_path / "models",))
    assert ("vae", vae_file) in found.files
    assert found == key(None, model_dirs=(tmp_path / "models",), vae_file=vae_file)


def test_key_when_the_decoder_is_the_vae_that_would_be_taken_is_the_same(tmp_path: Path, vae_file: Path):
    slug, folders = "lingbot-world-fast", (tmp_path / "models",)
    assert key(None, slug, model_dirs=folders, decoder_file=vae_file) == key(None, slug, model_dirs=folders)


def test_key_when_a_named_file_is_gone_or_an_option_is_impossible_says_so(tiny_checkpoint: Path, tmp_path: Path):
    with pytest.raises(WeightsError, match=r"gone\.safetensors does not exist"):
        key(tiny_checkpoint, vae_file=tmp_path / "gone.safetensors")
    with pytest.raises(InputError, match="Unknown attention"):
        key(tiny_checkpoint, attention="none")
