# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What a precision costs in accuracy: errors against another one, on the same inputs and weights.

Errors are relative L2 distances. The two models are never in memory together.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from lingbot_core import preflight
from lingbot_core.bench.report import table
from lingbot_core.bench.rollouts import OwnRollouts, Say
from lingbot_core.kernels.fp8 import RowScaled, quantise_rows
from lingbot_core.kv_cache import SinkWindowKVCache
from lingbot_core.loader import LoadedModel
from lingbot_core.models.dit_config import PATCH_CELLS
from lingbot_core.timeline import chunk_tokens, token_grid

NUM_CHUNKS = 22
"""Chunks of the rollouts that are compared."""

CAMERA_STRENGTH = 0.125
"""Factor on the weights that give camera scale and shift, a power of two so that it is exact in all precisions.

At full strength, random ones multiply the residual stream in every block, and what the other layers add, errors
included, drowns in it.
"""

BRANCHES = ("self_attn", "cross_attn", "ffn")
"""Modules of a block whose results are compared; the camera branch comes on top."""


@dataclass(frozen=True)
class BranchRun:
    """What a module of a block got, and what it gave."""

    inputs: tuple[Tensor, ...]
    """Tokens ``[L, C]``; for attention to the text also its keys and values."""

    output: Tensor
    """``[L, C]``."""


@dataclass(frozen=True)
class PassRun:
    """One pass of the network."""

    branches: list[BranchRun]
    """The modules named in ``BRANCHES``, block after block."""

    cameras: Tensor
    """Camera scale and shift, ``[layers, L, 2, C]``."""

    flow: Tensor
    """``[L, 64]``."""


@dataclass(frozen=True)
class BlockError:
    """Errors in one block; each of its modules gets the inputs that it has in the other precision."""

    layer: int
    self_attn: float
    cross_attn: float
    ffn: float
    camera: float


@dataclass(frozen=True)
class PrecisionError:
    """Errors of a precision against another."""

    precision: str
    reference_precision: str
    blocks: list[BlockError]
    flow: float
    """Result of one whole pass on the same inputs."""

    latents: list[float]
    """Clean latents of each chunk of a rollout of the same request."""


def relative_l2(value: Tensor, reference: Tensor) -> float:
    """``|value - reference| / |reference|``."""
    return float((value.float() - reference.float()).norm() / reference.float().norm())


def measure(
    build_reference: Callable[[], LoadedModel],
    build: Callable[[], LoadedModel],
    frame_size: tuple[int, int],
    num_chunks: int,
    say: Say,
) -> PrecisionError:
    """Compare two models of the same weights.

    Args:
        build_reference: Builds the exact one.
        build: Builds the one whose errors are wanted.
        frame_size: Height and width in pixels.
        num_chunks: Chunks of the rollouts.
        say: Told how it goes on.
    """
    reference = build_reference()
    weaken_cameras(reference)
    reference_precision, device = reference.precision, reference.device
    say(f"  {reference_precision}: a rollout of {num_chunks} chunks")
    expected_latents = _latents(reference, num_chunks, frame_size)
    say(f"  {reference_precision}: one pass")
    expected = run_pass(reference, frame_size)
    del reference
    _free(device)
    model = build()
    weaken_cameras(model)
    say(f"  {model.precision}: one pass, module by module and as a whole")
    blocks = _block_errors(run_pass(model, frame_size, expected.branches), expected)
    flow = relative_l2(run_pass(model, frame_size).flow, expected.flow)
    del expected
    _free(device)
    say(f"  {model.precision}: a rollout of {num_chunks} chunks")
    latents = _latents(model, num_chunks, frame_size)
    errors = [relative_l2(*pair) for pair in zip(latents, expected_latents, strict=True)]
    return PrecisionError(model.precision, reference_precision, blocks, flow, errors)


def weaken_cameras(model: LoadedModel) -> None:
    """Apply :data:`CAMERA_STRENGTH`."""
    with torch.no_grad():
        for name, view in model.dit.checkpoint_views().items():
            if ".cam_scale_layer." in name or ".cam_shift_layer." in name:
                (view.target if view.scale is None else view.scale).mul_(CAMERA_STRENGTH)


def _block_errors(run: PassRun, expected: PassRun) -> list[BlockError]:
    """Error of each module of each block."""
    pairs = zip(run.branches, expected.branches, strict=True)
    errors = [relative_l2(got.output, wanted.output) for got, wanted in pairs]
    cameras = [relative_l2(*pair) for pair in zip(run.cameras, expected.cameras, strict=True)]
    by_module = (errors[index :: len(BRANCHES)] for index in range(len(BRANCHES)))
    return [BlockError(*row) for row in zip(range(len(cameras)), *by_module, cameras, strict=True)]


def _latents(model: LoadedModel, num_chunks: int, frame_size: tuple[int, int]) -> list[Tensor]:
    """Latents of each chunk of a rollout, on the CPU."""
    own = OwnRollouts(model, num_chunks, frame_size)
    latents = [chunk.latents for chunk in own.stream()]
    own.close()
    _free(model.device)
    return latents


def _free(device: torch.device) -> None:
    gc.collect()
    preflight.release_unused_memory(device)


@torch.inference_mode()
def run_pass(model: LoadedModel, frame_size: tuple[int, int], given: Sequence[BranchRun] | None = None) -> PassRun:
    """Run the first pass of chunk 0 on random inputs.

    Args:
        model: Whose network.
        frame_size: Height and width in pixels.
        given: Inputs for each module, in place of what those before it give; None for an ordinary pass.
    """
    dit, config = model.dit, model.dit.config
    num_tokens = chunk_tokens(*frame_size)
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(model.device, model.dtype)

    cache = SinkWindowKVCache(
        config.num_layers, config.num_heads, config.head_dim, num_tokens, 1, 0, model.dtype, model.device
    )
    cache.begin_chunk(0)
    tokens = normal(num_tokens, config.in_channels * PATCH_CELLS)
    camera = dit.encode_camera(normal(num_tokens, config.camera_channels * PATCH_CELLS))
    text = dit.encode_text(normal(config.text_len, config.text_dim))
    modulation = dit.modulation(model.schedule.timesteps[0])
    tap = _Tap(given)
    modules = [block.get_submodule(name) for block in dit.blocks for name in BRANCHES]
    handles = [handle for module in modules for handle in tap.attach(module)]
    try:
        flow = dit(tokens, modulation, camera, text, dit.rope(0, token_grid(*frame_size)), cache.view())
    finally:
        for handle in handles:
            handle.remove()
    return PassRun(tap.runs, camera.scale_shift, flow)


class _Tap:
    """Records, and if wanted replaces, what modules get; in the order in which they run."""

    def __init__(self, given: Sequence[BranchRun] | None) -> None:
        self.runs: list[BranchRun] = []
        self._given = given
        self._inputs: tuple[Tensor, ...] = ()

    def attach(self, module: nn.Module) -> list[torch.utils.hooks.RemovableHandle]:
        """Listen to a module."""
        return [module.register_forward_pre_hook(self._before), module.register_forward_hook(self._after)]

    def _before(self, module: nn.Module, args: tuple) -> tuple:
        if self._given is not None:
            wanted, *others = self._given[len(self.runs)].inputs
            tokens = quantise_rows(wanted) if isinstance(args[0], RowScaled) else wanted
            args = (tokens, *others, *args[1 + len(others) :])
        # behind the tokens, attention to the text has tensors, attention to the past does not
        inputs = args[:1] + tuple(arg for arg in args[1:] if isinstance(arg, Tensor))
        self._inputs = inputs
        return args

    def _after(self, module: nn.Module, args: tuple, output: Tensor) -> None:
        self.runs.append(BranchRun(self._inputs, output))


def error_markdown(found: PrecisionError) -> str:
    """The errors as text."""
    named = {
        "attention to the past": [block.self_attn for block in found.blocks],
        "attention to the text": [block.cross_attn for block in found.blocks],
        "feed-forward": [block.ffn for block in found.blocks],
        "camera scale and shift": [block.camera for block in found.blocks],
    }
    cells = [
        [name, f"{min(values):.2e}", f"{statistics.median(values):.2e}", f"{max(values):.2e}"]
        for name, values in named.items()
    ]
    summary = table(["error over all blocks", "least", "median", "largest"], cells)
    columns = list(zip(*named.values(), strict=True))
    blocks = table(["block", *named], [[i, *(f"{value:.1e}" for value in row)] for i, row in enumerate(columns)])
    latents = table(["chunk", "error of its latents"], [[i, f"{error:.2e}"] for i, error in enumerate(found.latents)])
    return (
        f"### Errors of {found.precision} against {found.reference_precision}\n\n"
        f"Relative L2 distances, same random weights, those of camera scale and shift times {CAMERA_STRENGTH}. In the "
        f"first two tables each module gets the inputs that it has in {found.reference_precision}, in the first pass "
        "of chunk 0; a rollout runs freely, so errors add up over passes and chunks.\n\n"
        f"{summary}\n\n{blocks}\n\nFlow of one pass on the same inputs: {found.flow:.2e}.\n\n{latents}"
    )


def error_data(found: PrecisionError) -> dict[str, object]:
    """The errors for programs."""
    return {"error": asdict(found)}
