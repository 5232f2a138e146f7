# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Write a complete checkpoint with random weights, in the layout of the published files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from lingbot_core.errors import InputError, OutputError
from lingbot_core.models.dit import LingBotDiT
from lingbot_core.models.dit_config import DiTConfig
from lingbot_core.models.taehv import TAEHVConfig, TAEHVDecoder
from lingbot_core.models.umt5 import UMT5EncoderConfig, native_shapes
from lingbot_core.models.wan_vae import WanVAEDecoder, WanVAEEncoder
from lingbot_core.random_weights import SIZES, ModelSizes, random_tensor
from lingbot_core.safetensors_io import SafetensorsWriter
from lingbot_core.tiny_tokenizer import write_test_tokenizer
from lingbot_core.variants import DIT_V1, DIT_V2, LIGHT_TAE, UMT5, UMT5_TOKENIZER, WAN_VAE

CHECKPOINT_SIZES = ("tiny", "small")
"""Sizes that can be written."""

NUM_SHARDS = 2
"""Files of each sharded checkpoint."""

Shapes = Mapping[str, tuple[int, ...]]

_README = """\
# A LingBot-World checkpoint with random weights ({size})

Made by `python -m lingbot_core make-checkpoint --size {size}` with seed {seed}. It has the layout of the published
files, and {millions:.0f} million random parameters. **Its pictures are noise**: it is for trying out and
testing the software, not for making videos.

Name this folder with `--checkpoint-root`, for any variant:

    python -m lingbot_core generate lingbot-world-fast --checkpoint-root THIS_FOLDER ...
"""


@dataclass(frozen=True)
class _Writer:
    """Where to write, and with which values."""

    root: Path
    """Folder that holds ``<org>/<repo>``."""

    seed: int
    """Seed of the values."""

    def path(self, repo: str, path: str) -> Path:
        """A file of a repository; its folder is made."""
        file = self.root / repo / path
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def write_sharded(self, index: Path, shapes: Shapes, seed_offset: int = 0) -> None:
        """Write float32 shards of about equal size, and the index that lists them."""
        generator = torch.Generator().manual_seed(self.seed + seed_offset)
        stem = index.name.removesuffix(".safetensors.index.json")
        total = sum(torch.Size(shape).numel() for shape in shapes.values())
        shards: list[dict[str, tuple[int, ...]]] = [{} for _ in range(NUM_SHARDS)]
        done = 0
        for name, shape in shapes.items():
            shards[done * NUM_SHARDS // total][name] = shape
            done += torch.Size(shape).numel()
        weight_map = {}
        for number, shard in enumerate(shards, start=1):
            file = index.with_name(f"{stem}-{number:05d}-of-{NUM_SHARDS:05d}.safetensors")
            table = {name: (shape, torch.float32) for name, shape in shard.items()}
            # the seed makes checkpoints that differ in nothing else different to the loader
            with SafetensorsWriter(file, table, {"seed": str(self.seed + seed_offset)}) as writer:
                for name, shape in shard.items():
                    writer.write(name, random_tensor(name, shape, generator))
            weight_map |= dict.fromkeys(shard, file.name)
        _write_json(index, {"metadata": {"total_size": 4 * total}, "weight_map": weight_map})

    def write_pickle(self, file: Path, shapes: Shapes) -> None:
        """Write a float32 state dict."""
        generator = torch.Generator().manual_seed(self.seed)
        torch.save({name: random_tensor(name, shape, generator) for name, shape in shapes.items()}, file)


def make_checkpoint(out: Path, size: str = "tiny", seed: int = 0) -> None:
    """Write the files of all variants below ``out``; the same arguments give the same values.

    Args:
        out: Becomes a ``--checkpoint-root``; files of an earlier one are replaced.
        size: One of ``CHECKPOINT_SIZES``.
        seed: Seed of the values.

    Raises:
        InputError: There is no such size, or the folder holds a checkpoint that was not made here.
        OutputError: The folder cannot be written to.
    """
    if size not in CHECKPOINT_SIZES:
        raise InputError("Unknown size of checkpoint.", got=repr(size), need=" or ".join(CHECKPOINT_SIZES))
    sizes, readme = SIZES[size], out / "README.md"
    dit, *others = _all_shapes(sizes)
    num_parameters = sum(torch.Size(shape).numel() for part in (dit, dit, *others) for shape in part.values())
    try:
        _check_is_ours(out, readme)
        out.mkdir(parents=True, exist_ok=True)
        text = _README.format(size=size, seed=seed, millions=num_parameters / 1e6)
        readme.write_text(text, encoding="utf-8")  # first, so that what an interrupted run leaves may be replaced
        _write_all(_Writer(out, seed), sizes)
    except OSError as error:
        raise OutputError(
            f"The checkpoint cannot be written to {out}.", got=error.strerror or str(error), do="Choose another folder."
        ) from error


def _check_is_ours(out: Path, readme: Path) -> None:
    """Raise rather than replace somebody's real weights by random ones."""
    repos = (DIT_V1.repo, DIT_V2.repo, WAN_VAE.repo, LIGHT_TAE.repo, UMT5.repo)
    there = next((repo for repo in repos if (out / repo).exists()), None)
    title = _README.partition(" (")[0]
    if there is not None and not (readme.is_file() and readme.read_text(encoding="utf-8").startswith(title)):
        raise InputError(
            f"The folder {out} holds weights that this command has not made.",
            got=str(out / there),
            do="Choose another folder with --out.",
        )


def _write_all(writer: _Writer, sizes: ModelSizes) -> None:
    """One repository after the other."""
    dit, vae, taehv, text = _all_shapes(sizes)
    for seed_offset, weights in enumerate((DIT_V1, DIT_V2)):
        index = writer.path(weights.repo, weights.path)
        writer.write_sharded(index, dit, seed_offset)
        _write_json(index.with_name("config.json"), _dit_json(sizes.dit))
    writer.write_pickle(writer.path(WAN_VAE.repo, WAN_VAE.path), vae)
    writer.write_pickle(writer.path(LIGHT_TAE.repo, LIGHT_TAE.path), taehv)
    index = writer.path(UMT5.repo, UMT5.path)
    writer.write_sharded(index, text)
    _write_json(index.with_name("config.json"), _text_json(sizes.text))
    tokenizer = writer.path(UMT5_TOKENIZER.repo, UMT5_TOKENIZER.path)
    write_test_tokenizer(tokenizer.parent, sizes.text.vocab_size)


def _all_shapes(sizes: ModelSizes) -> tuple[Shapes, Shapes, Shapes, Shapes]:
    """Native tensors of the network, the VAE, the tiny decoder's file and the text encoder."""
    with torch.device("meta"):
        dit = LingBotDiT(sizes.dit).checkpoint_views()
        vae = WanVAEEncoder(sizes.vae).checkpoint_views() | WanVAEDecoder(sizes.vae).checkpoint_views()
        taehv = TAEHVDecoder(sizes.taehv, denormalize=True).checkpoint_views()
    return (
        {name: view.shape for name, view in dit.items()},
        {name: view.shape for name, view in vae.items()},
        {**_taehv_encoder_shapes(sizes.taehv), **{name: view.shape for name, view in taehv.items()}},
        native_shapes(sizes.text),
    )


def _taehv_encoder_shapes(config: TAEHVConfig) -> dict[str, tuple[int, ...]]:
    """The other half of the published file, which nothing here reads."""
    width = config.widths[-1]
    shapes: dict[str, tuple[int, ...]] = {"encoder.0.weight": (width, 3, 3, 3), "encoder.0.bias": (width,)}
    for pool, num_frames in ((2, 2), (7, 2), (12, 1)):
        shapes[f"encoder.{pool}.conv.weight"] = (width, num_frames * width, 1, 1)
        shapes[f"encoder.{pool + 1}.weight"] = (width, width, 3, 3)
        for block in range(pool + 2, pool + 5):
            for layer, in_channels in ((0, 2 * width), (2, width), (4, width)):
                shapes[f"encoder.{block}.conv.{layer}.weight"] = (width, in_channels, 3, 3)
                shapes[f"encoder.{block}.conv.{layer}.bias"] = (width,)
    return {**shapes, "encoder.17.weight": (16, width, 3, 3), "encoder.17.bias": (16,)}


def _dit_json(config: DiTConfig) -> dict[str, object]:
    """``config.json`` beside the network's index; the loader reads ``num_heads``."""
    return {
        "_class_name": "WanModel",
        "model_type": "i2v",
        "control_type": "cam",
        "dim": config.dim,
        "ffn_dim": config.ffn_dim,
        "num_heads": config.num_heads,
        "num_layers": config.num_layers,
        "in_dim": config.in_channels,
        "out_dim": config.out_channels,
        "text_len": config.text_len,
        "freq_dim": config.freq_dim,
        "eps": config.eps,
    }


def _text_json(config: UMT5EncoderConfig) -> dict[str, object]:
    """``config.json`` of the text encoder, as transformers writes it."""
    return {
        "architectures": ["UMT5EncoderModel"],
        "model_type": "umt5",
        "vocab_size": config.vocab_size,
        "d_model": config.dim,
        "d_kv": config.head_dim,
        "d_ff": config.ffn_dim,
        "num_heads": config.num_heads,
        "num_layers": config.num_layers,
        "relative_attention_num_buckets": config.num_buckets,
        "feed_forward_proj": "gated-gelu",
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
