# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lingbot_core.errors import InputError, OutputError
from lingbot_core.make_checkpoint import make_checkpoint
from lingbot_core.random_weights import SIZES, fill_random, random_tensor
from lingbot_core.readers import SafetensorsReader, open_weights
from lingbot_core.variants import DIT_V1, VARIANTS


def num_parameters(root: Path) -> int:
    """Elements of all tensors below a folder."""
    files = [*root.rglob("*.safetensors"), *root.rglob("*.pth")]
    return sum(torch.Size(shape).numel() for file in files for shape in open_weights(file).shapes().values())


def test_make_checkpoint_when_tiny_has_the_published_layout(tiny_checkpoint: Path):
    for variant in VARIANTS.values():
        for weights in variant.weights:
            assert (tiny_checkpoint / weights.repo / weights.path).is_file()
        reader = SafetensorsReader(tiny_checkpoint / variant.dit.repo / variant.dit.path)
        assert [file.name for file in reader.files] == [
            "diffusion_pytorch_model-00001-of-00002.safetensors",
            "diffusion_pytorch_model-00002-of-00002.safetensors",
        ]
        assert set(reader.dtypes().values()) == {torch.float32}
        assert reader.shapes()["patch_embedding.weight"] == (256, 36, 1, 2, 2)
        assert len(reader.shapes()) == 21 + 35 * 3
        config = json.loads(
            (tiny_checkpoint / variant.dit.repo / variant.dit.path).with_name("config.json").read_text()
        )
        assert config["num_heads"] == 2
    readme = (tiny_checkpoint / "README.md").read_text()
    assert "noise" in readme and str(tiny_checkpoint) not in readme


def test_make_checkpoint_when_repeated_gives_the_same_values_and_versions_differ(tiny_checkpoint: Path, tmp_path: Path):
    make_checkpoint(tmp_path, "tiny")
    names = "diffusion_pytorch_model-00001-of-00002.safetensors", "Wan2.1_VAE.pth"
    for path in (path for name in names for path in sorted(tmp_path.rglob(name))):
        first, again = open_weights(tiny_checkpoint / path.relative_to(tmp_path)), open_weights(path)
        assert all(torch.equal(first.read(key), again.read(key)) for key in first.shapes())
    dits = [load_file(path)["patch_embedding.bias"] for path in sorted(tmp_path.rglob(names[0]))]
    assert not torch.equal(*dits)


def test_make_checkpoint_when_seed_differs_has_another_identity(tiny_checkpoint: Path, tmp_path: Path):
    make_checkpoint(tmp_path, "tiny", seed=7)
    index = Path("robbyant/lingbot-world-fast/diffusion_pytorch_model.safetensors.index.json")
    assert SafetensorsReader(tmp_path / index).identity() != SafetensorsReader(tiny_checkpoint / index).identity()


def test_make_checkpoint_when_small_is_within_its_limits():
    sizes = SIZES["small"]
    assert sizes.vae.base_dim <= 24 and sizes.dit.head_dim == 128


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_make_checkpoint_has_at_most_100_million_parameters(size: str, tiny_checkpoint: Path, tmp_path: Path):
    root = tiny_checkpoint
    if size == "small":
        make_checkpoint(tmp_path, size)
        root = tmp_path
    assert num_parameters(root) <= 100e6


def test_make_checkpoint_when_size_is_unknown_lists_them(tmp_path: Path):
    with pytest.raises(InputError, match="tiny or small"):
        make_checkpoint(tmp_path, "huge")


def test_make_checkpoint_when_folder_cannot_be_made_says_so(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        make_checkpoint(tmp_path / "file" / "below", "tiny")


def test_random_tensor_when_matrix_keeps_the_variance():
    generator = torch.Generator().manual_seed(0)
    assert random_tensor("a.weight", (200, 400), generator).std() == pytest.approx(400**-0.5, rel=0.02)
    assert random_tensor("norm.weight", (4000,), generator).mean() == pytest.approx(1, abs=0.01)
    assert random_tensor("a.bias", (4000,), generator).std() == pytest.approx(0.02, rel=0.05)


def test_fill_random_when_repeated_gives_the_same_values():
    from lingbot_core.layouts.base import CheckpointView

    targets = [torch.empty(3, 4, dtype=torch.bfloat16) for _ in range(2)]
    for target in targets:
        fill_random({"a.weight": CheckpointView((4, 3), target.T)}, seed=1)
    assert torch.equal(*targets) and targets[0].isfinite().all()


def test_make_checkpoint_where_real_weights_are_refuses_and_leaves_them(tmp_path: Path):
    weights = tmp_path / DIT_V1.repo / DIT_V1.path
    weights.parent.mkdir(parents=True)
    weights.write_text("precious")
    with pytest.raises(InputError, match=r"has not made.*lingbot-world-fast.*--out"):
        make_checkpoint(tmp_path)
    assert weights.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["robbyant"]
