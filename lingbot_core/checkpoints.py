# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoint files whose names and shapes were checked, and the modules made from them.

The network's have smaller copies in our cache: :func:`open_network` takes the smallest that is there
and will do, :func:`build_network` writes one while it reads the original.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from lingbot_core import convert, preflight, weights
from lingbot_core.context_parallel import ONE_RANK, ContextParallel
from lingbot_core.errors import WeightsError
from lingbot_core.layouts import dit as dit_layout
from lingbot_core.layouts.base import CheckpointView, Layout, Shapes, scale_name
from lingbot_core.models.dit import LingBotDiT
from lingbot_core.models.dit_config import DiTConfig
from lingbot_core.models.offload import OffloadedWeights
from lingbot_core.options import RunSettings
from lingbot_core.readers import IDENTITY_KEY, TensorReader, open_weights
from lingbot_core.weight_stream import SpokenProgress, materialize, stream_tensors

_log = logging.getLogger(__name__)

_HEADS_KEY = "num_heads"

ConfigT = TypeVar("ConfigT")
ModuleT = TypeVar("ModuleT", bound=nn.Module)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Checkpoint(Generic[ConfigT]):
    """A file, or the shards of an index, that holds what it should."""

    reader: TensorReader
    """Its tensors."""

    layout: Layout[ConfigT]
    """Which is which."""

    @property
    def num_parameters(self) -> int:
        """Elements of the tensors that the model needs."""
        shapes = self.reader.shapes()
        return sum(torch.Size(shapes[source.key]).numel() for source in self.layout.sources.values())


def open_checkpoint(path: Path, identify: Callable[[Shapes], Layout[ConfigT]]) -> Checkpoint[ConfigT]:
    """Open a file and recognise what it holds.

    Raises:
        WeightsError: It is something else; names the file.
    """
    reader = open_weights(path)
    try:
        layout = identify(reader.shapes())
    except WeightsError as error:
        raise WeightsError(f"{path}: {error.what}", got=error.got, need=error.need, do=error.do) from error
    _log.info("%s holds %s (%s)", path, type(layout.config).__name__, layout.name)
    return Checkpoint(reader, layout)


def views_of(module: Any) -> dict[str, CheckpointView]:
    """Where each tensor of the published checkpoint goes in one of our modules."""
    return module.checkpoint_views()


def build(
    checkpoint: Checkpoint[ConfigT],
    make: Callable[[ConfigT], ModuleT],
    run: RunSettings,
    view: Callable[[ModuleT], Mapping[str, CheckpointView]] = views_of,
    **streaming: Any,
) -> ModuleT:
    """Make a module on ``meta``, give it memory on the run's device, and stream its weights in."""
    module = build_empty(make, checkpoint.layout.config, run)
    stream_tensors(checkpoint.reader, checkpoint.layout, view(module), **streaming)
    finish(module)
    return module


def build_empty(make: Callable[[ConfigT], ModuleT], config: ConfigT, run: RunSettings) -> ModuleT:
    """A module with uninitialised memory on the run's device; matrices of the network in the host's if the run says so.

    To be followed by :func:`finish`.

    Raises:
        ResourceError: There is not enough.
    """
    # outside of inference mode, so that state made later in that mode may be written to it
    with torch.inference_mode(False):
        with torch.device("meta"):
            module = make(config)
        elsewhere = partial(_host_memory, module, run.device) if run.offload else dict
        with preflight.explain_out_of_memory(run.device, f"{type(module).__name__} was loaded"):
            materialize(module, run.device, run.dtype, elsewhere)
    return module


def finish(module: nn.Module) -> None:
    """Make a module from :func:`build_empty` ready to run, now that it has its weights."""
    if isinstance(module, LingBotDiT) and module.offloaded is not None:
        with torch.inference_mode(False):
            module.offloaded.attach()


def _host_memory(module: nn.Module, device: torch.device) -> dict[int, Tensor]:
    """Host memory for the matrices of the network; nothing for other modules."""
    if not isinstance(module, LingBotDiT):
        return {}
    module.offloaded = OffloadedWeights([*module.blocks], device)
    return module.offloaded.host_memory()


# --- the network ------------------------------------------------------------------------


def open_network(found: weights.Found, run: RunSettings, cache_dir: Path) -> Checkpoint[DiTConfig]:
    """Open the network, or in its place our smallest copy of just these files.

    Raises:
        WeightsError: The file is of another model, or is in 8 bits and the run is not.
    """
    identify = partial(dit_layout.identify, num_heads=_read_num_heads(found.path))
    original = open_checkpoint(found.path, identify)
    if _is_fp8(original) and not run.fp8:
        raise WeightsError(
            f"{found.path} holds the network in 8 bits.",
            need=f"bf16 or fp32 for precision {run.precision}",
            do="Choose precision fp8, or another file.",
        )
    for kind in run.copies:
        copy = convert.matching_copy(cache_dir, kind, _copy_group(found), original.reader.identity())
        if copy is not None:
            return original if copy == found.path else open_checkpoint(copy, identify)
    return original


def build_network(
    checkpoint: Checkpoint[DiTConfig],
    found: weights.Found,
    run: RunSettings,
    cache_dir: Path,
    say: Say,
    parallel: ContextParallel = ONE_RANK,
    cancelled: Callable[[], bool] | None = None,
) -> LingBotDiT:
    """Load the network; keep a smaller copy when it was read from files that are worth it.

    Args:
        checkpoint: From :func:`open_network`.
        found: The original files.
        run: Where, and in which precision.
        cache_dir: Where the copy is kept.
        say: Told how far it is.
        parallel: The ranks that load it together; the first one keeps the copy.
        cancelled: As of :func:`stream_tensors`.
    """
    shapes, dtypes = checkpoint.reader.shapes(), checkpoint.reader.dtypes()
    num_bytes = sum(torch.Size(shapes[key]).numel() * dtypes[key].itemsize for key in shapes)
    would_shrink = not _is_fp8(checkpoint) if run.fp8 else set(dtypes.values()) == {torch.float32}
    make = partial(LingBotDiT, fp8=run.fp8, attention=run.attention)
    copy = nullcontext()
    if parallel.rank == 0 and run.copies and would_shrink and num_bytes >= convert.MIN_BYTES:
        kind, identity, config = run.copies[0], checkpoint.reader.identity(), checkpoint.layout.config
        with torch.device("meta"):
            table = _copy_table(make(config).checkpoint_views())
        metadata = {IDENTITY_KEY: identity, _HEADS_KEY: str(config.num_heads)}
        path = convert.copy_path(cache_dir, kind, _copy_group(found), identity)
        copy = convert.WeightCopy(path, kind, table, metadata)
    say(f"Loading the network, {num_bytes / 1e9:.1f} GB from {checkpoint.reader.files[0].parent}")
    with copy as writer:
        return build(
            checkpoint,
            make,
            run,
            on_tensor=writer.add if writer is not None else None,
            on_progress=SpokenProgress(say, "Loading the network"),
            cancelled=cancelled,
            parallel=parallel,
        )


def _is_fp8(checkpoint: Checkpoint[DiTConfig]) -> bool:
    """Whether it holds matrices in 8 bits."""
    return any(source.scale_key is not None for source in checkpoint.layout.sources.values())


def _read_num_heads(path: Path) -> int | None:
    """Heads from ``config.json`` beside an index, or from the header of a copy; None when neither tells."""
    if path.suffix != ".json":
        stored = open_weights(path).metadata.get(_HEADS_KEY)
        return int(stored) if stored is not None else None
    config = path.with_name("config.json")
    if not config.is_file():
        return None
    try:
        num_heads = json.loads(config.read_text(encoding="utf-8")).get("num_heads")
        return None if num_heads is None else int(num_heads)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"{config} cannot be used.", got=str(error), do="Download it again.") from error


def _copy_group(found: weights.Found) -> str:
    """Copies of what came from the hub are told from those of local files."""
    return found.weights.repo if found.from_hub else convert.LOCAL


def _copy_table(views: Mapping[str, CheckpointView]) -> dict[str, convert.TableEntry]:
    """What a copy holds: what the model has in 8 bits with its scales, the rest in bf16."""
    table: dict[str, convert.TableEntry] = {}
    for name, view in views.items():
        table[name] = view.shape, torch.bfloat16 if view.scale is None else view.target.dtype
        if view.scale is not None:
            table[scale_name(name)] = tuple(view.scale.shape), view.scale.dtype
    return table
