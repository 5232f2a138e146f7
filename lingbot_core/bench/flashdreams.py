# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The network of a FlashDreams checkout, to be timed beside ours.

Taken as FlashDreams itself configures it for a variant: its diffusion model with its compiled
network, CUDA graphs, attention and KV cache. Replaced are the checkpoint, by random weights made
on the device, and sizes and window, by those of our run. Encoders and decoder are left out; their
results are random tensors.
"""

from __future__ import annotations

import gc
import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from lingbot_core.errors import InputError
from lingbot_core.layouts.base import CheckpointView
from lingbot_core.models.dit_config import DiTConfig
from lingbot_core.random_weights import fill_random
from lingbot_core.stats import DeviceMark, memory_gib
from lingbot_core.timeline import CHUNK_LATENT_FRAMES, latent_size

NAME = "FlashDreams"

_PACKAGES = ("flashdreams/flashdreams", "integrations/lingbot/lingbot")
"""Its packages that are needed, by their place in a checkout."""

_LATENT_CHANNELS = 16


@dataclass(frozen=True)
class ReferenceChunk:
    """What one chunk took, in ms."""

    diffuse_ms: float
    """The denoising passes, and whatever its diffusion model does around them."""

    finalize_ms: float
    """The pass that updates the cache."""

    peak_gib: float
    """Largest memory in use by the process so far."""


@dataclass(frozen=True)
class ReferenceSettings:
    """What its network is set to, for it to do the same work as ours."""

    slug: str
    """Its own configuration to start from; it uses the same slugs."""

    config: DiTConfig
    """Sizes of the network."""

    frame_size: tuple[int, int]
    """Height and width in pixels."""

    window_frames: int
    """Window in latent frames, without the sink."""

    sink_frames: int
    """Sink in latent frames."""

    device: torch.device
    """Where it runs."""

    compiled: bool = True
    """False: neither compiled nor in CUDA graphs, for tests without a GPU."""


def open_checkout(folder: Path) -> ModuleType:
    """Import the module with its LingBot configurations.

    Args:
        folder: A checkout of FlashDreams.

    Raises:
        InputError: The folder is none, or a package that it needs is not installed.
    """
    folder = folder.resolve()
    for package in _PACKAGES:
        if not (folder / package / "__init__.py").is_file():
            raise InputError(
                f"{folder} is not a checkout of {NAME}.",
                got=f"no {package}/__init__.py in it",
                need="its source tree; a bare git folder has to be cloned first",
                do="Correct --reference.",
            )
    for package in _PACKAGES:
        entry = str((folder / package).parent)
        if entry not in sys.path:
            sys.path.insert(0, entry)  # before an installed copy: the checkout is what was asked for
    try:
        module = importlib.import_module("lingbot.config")
    except ImportError as error:
        what = f"the package {error.name}" if isinstance(error, ModuleNotFoundError) else "something"
        raise InputError(
            f"{NAME} in {folder} cannot be imported: {what} is missing.",
            got=str(error),
            do=f"Install what {folder / 'flashdreams' / 'pyproject.toml'} and the one of the integration list.",
        ) from error
    origin = Path(module.__file__ or "")
    if folder not in origin.resolve().parents:
        raise InputError(
            f"Another module named lingbot is in the way of {NAME}.",
            got=str(origin),
            need=f"the one in {folder}",
            do="Run from another folder.",
        )
    return module


class FlashDreams:
    """Rollouts of its network.

    Args:
        module: From :func:`open_checkout`.
        settings: What to run.

    Raises:
        InputError: It has no configuration of that slug.
    """

    def __init__(self, module: ModuleType, settings: ReferenceSettings) -> None:
        self._settings = settings
        self.first_chunk_sec = 0.0
        """Time of the very first chunk, compilation included; 0 before it."""
        model: Any = _diffusion_model_config(module, settings).setup().to(settings.device)
        parameters = {name: parameter.data for name, parameter in model.transformer.network.named_parameters()}
        fill_random({name: CheckpointView(tuple(data.shape), data) for name, data in parameters.items()}, seed=0)
        self.num_parameters = sum(data.numel() for data in parameters.values())
        """Parameters of its network."""
        self._model: Any = model
        self._inputs: Any = _make_inputs(module, settings, model.dtype)
        self._cache: Any = None

    @torch.no_grad()
    def run(self, num_chunks: int) -> list[ReferenceChunk]:
        """Times of every chunk of one more rollout; the first one compiles."""
        height, width = latent_size(*self._settings.frame_size)
        device = self._settings.device
        if self._cache is None:
            config = self._settings.config
            text = _normal((config.text_len, config.text_dim), device, self._model.dtype)
            self._cache = self._model.transformer.initialize_autoregressive_cache(
                height=height, width=width, text_embeddings=text
            )
        else:
            self._cache.reset()  # same memory, so that its CUDA graph stays valid
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        return [self._run_chunk(index) for index in range(num_chunks)]

    def _run_chunk(self, index: int) -> ReferenceChunk:
        """One chunk; returns when the device is done with it, as its own pipeline does when it profiles."""
        device = self._settings.device
        began_sec = time.perf_counter()
        start = DeviceMark(device)
        _, state = self._model.generate(autoregressive_index=index, cache=self._cache, input=self._inputs(index))
        diffused = DeviceMark(device)
        self._model.finalize(state)
        finalized = DeviceMark(device)
        finalized.wait()
        if not self.first_chunk_sec:
            self.first_chunk_sec = time.perf_counter() - began_sec
            assert state.clean_latent.isfinite().all(), f"{NAME} computes numbers that are not finite"
        return ReferenceChunk(
            diffused.milliseconds_since(start), finalized.milliseconds_since(diffused), memory_gib(device)[2]
        )

    def close(self) -> None:
        """Free everything, compiled code included."""
        self._model = self._cache = self._inputs = None
        torch._dynamo.reset()
        gc.collect()
        if self._settings.device.type == "cuda":
            torch.cuda.empty_cache()


def _diffusion_model_config(module: ModuleType, settings: ReferenceSettings) -> Any:
    """Its configuration of the diffusion model, changed where it has to be."""
    pipelines: dict[str, Any] = module.PIPELINE_CONFIGS
    if settings.slug not in pipelines:
        raise InputError(
            f"{NAME} has no configuration of this variant.",
            got=settings.slug,
            need=" or ".join(pipelines),
            do="Choose another variant, or another checkout.",
        )
    config = settings.config
    transformer: dict[str, Any] = {
        "checkpoint_path": None,
        "init_device": str(settings.device),
        "window_size_t": settings.window_frames,
        "sink_size_t": settings.sink_frames,
        "network": {
            "dim": config.dim,
            "ffn_dim": config.ffn_dim,
            "num_heads": config.num_heads,
            "num_layers": config.num_layers,
            "text_dim": config.text_dim,
            "text_len": config.text_len,
        },
    }
    if not settings.compiled:
        transformer |= {"compile_network": False, "use_cuda_graph": False}
    return module.derive_config(pipelines[settings.slug].diffusion_model, transformer=transformer)


def _make_inputs(module: ModuleType, settings: ReferenceSettings, dtype: torch.dtype) -> Callable[[int], object]:
    """What its encoders would give for a chunk: photo latents with their mask, and the camera volume, once for all."""
    camera = sys.modules[module.I2VCamCtrlEncoderConfig.__module__]
    height, width = latent_size(*settings.frame_size)
    device, frames = settings.device, CHUNK_LATENT_FRAMES
    latents = _normal((frames, _LATENT_CHANNELS, height, width), device, dtype)
    rays = _normal((frames, settings.config.camera_channels, height, width), device, dtype)
    later_mask = torch.zeros_like(latents)
    first_mask = later_mask.clone()
    first_mask[0] = 1.0

    def inputs(chunk_index: int) -> object:
        mask = first_mask if chunk_index == 0 else later_mask
        return camera.I2VCamCtrlEmbeddings(i2v=camera.I2VCtrl(latent=latents, mask=mask), plucker=rays)

    return inputs


def _normal(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Random numbers, the same in every process."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device, dtype)
