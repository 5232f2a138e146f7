# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""How a model is loaded and run: what the user chose, and what follows from it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from lingbot_core.convert import Kind as CopyKind
from lingbot_core.errors import InputError
from lingbot_core.folders import default_cache_dir
from lingbot_core.image_latents import MODES
from lingbot_core.kernels.attention import AUTO, choose
from lingbot_core.kernels.fp8 import fp8_failure
from lingbot_core.preflight import RunMemory
from lingbot_core.schedule import Schedule, make_schedule
from lingbot_core.timeline import CHUNK_LATENT_FRAMES
from lingbot_core.variants import Role, Variant
from lingbot_core.weights import Places

if TYPE_CHECKING:
    from lingbot_core.models.dit_config import DiTConfig

PRECISIONS: dict[str, torch.dtype] = {"bf16": torch.bfloat16, "fp32": torch.float32, "fp8": torch.bfloat16}
"""Dtype of activations by name of the precision; of weights too, unless that is ``fp8``."""

PRECISION_HELP = "default: bf16 on a GPU, fp32 on the CPU; fp8: faster and smaller, slightly inexact, newer GPUs only"
"""For command lines."""

ATTENTION_HELP = "how attention is computed (default: auto, the best exact way); sage: 8 bits, slightly inexact"
"""For command lines."""

OFFLOADS = ("none", "weights")
"""What may wait in host memory."""

OFFLOAD_HELP = "weights: keep the network's matrices in host memory, for smaller GPUs; slower (default: none)"
"""For command lines."""

_HEAD_DIM = 128
"""Of the published networks."""

_COPIES: dict[str, tuple[CopyKind, ...]] = {"bf16": ("bf16",), "fp32": (), "fp8": ("fp8", "bf16")}
"""Our copies of the weights that each precision can be loaded from, best first."""

_DEVICES = "cpu or cuda, with a number where there are several GPUs, such as cuda:1"


@dataclass(frozen=True)
class Machines:
    """Several machines that work on one video; the one that is asked is number 0."""

    num_machines: int
    """How many."""

    endpoint: str
    """``HOST:PORT`` of machine 0, where all of them meet."""

    index: int = 0
    """Number of this one."""

    def __post_init__(self) -> None:
        host, _, port = self.endpoint.rpartition(":")
        if self.num_machines < 2 or not 0 <= self.index < self.num_machines or not host or not port.isdigit():
            raise InputError(
                "The machines are not named as they should be.",
                got=f"machine {self.index} of {self.num_machines}, meeting at {self.endpoint!r}",
                need="2 machines or more, numbered from 0, and HOST:PORT of machine 0",
                do="Correct --nnodes, --node-rank and --rdzv-endpoint.",
            )


@dataclass(frozen=True)
class ModelOptions:
    """What the user chose. Everything has a default that suits the variant and the machine."""

    precision: Literal["bf16", "fp32", "fp8"] | None = None
    """Dtype of weights and activations; None: bf16 on CUDA, fp32 elsewhere. ``fp8``: bf16 with the network's large
    matrix products in 8 bits, which is faster and slightly inexact."""

    schedule: Literal["bf16", "fp32"] | None = None
    """Rounding of the noise levels; None: the variant's, which is bf16."""

    attention: str = AUTO
    """How attention is computed, one of ``kernels.attention.NAMES``."""

    device: str | None = None
    """Device in torch's words, such as ``cuda:1``; None: cuda if there is one, else cpu."""

    offload: Literal["none", "weights"] = "none"
    """``weights``: the network's large matrices wait in host memory and come to the GPU layer by layer."""

    image_mode: Literal["exact", "repeat"] = "exact"
    """Photo latents: all of them, or upstream's repetition from chunk 5 on."""

    window_frames: int | None = None
    """Window in latent frames, without the sink; None: the variant's."""

    sink_frames: int | None = None
    """Sink in latent frames; None: the variant's."""

    frame_size: tuple[int, int] = (464, 832)
    """Height and width in pixels that the memory check assumes; a model runs at any size."""

    checkpoint_root: Path | None = None
    """Folder with ``<org>/<repo>/...``; when given, nothing else is looked at. None: see ``Places``."""

    model_dirs: tuple[Path, ...] = ()
    """ComfyUI ``models`` folders, or subfolders of one."""

    cache_dir: Path | None = None
    """Where smaller copies of the network are kept; None: ``default_cache_dir()``."""

    allow_download: bool = True
    """False: raise instead of downloading."""

    dit_file: Path | None = None
    """Network (file or index) to use in place of the variant's; None: the variant's."""

    vae_file: Path | None = None
    """Wan VAE to use; None: the variant's."""

    decoder_file: Path | None = None
    """Decoder weights to use: a Wan VAE or LightVAE for ``wan_vae`` variants, a TAEHV file for ``taehv``
    ones; None: the variant's."""

    text_file: Path | None = None
    """Text encoder to use; None: the variant's."""

    num_gpus: int = 1
    """GPUs of this machine that work on one video together; on the CPU processes, for tests."""

    machines: Machines | None = None
    """Other machines that take part with as many GPUs each; None: this one alone."""

    @property
    def num_ranks(self) -> int:
        """GPUs of all machines together."""
        return self.num_gpus * (1 if self.machines is None else self.machines.num_machines)

    def to_json(self) -> dict[str, Any]:
        """The options as JSON has them."""
        return json.loads(json.dumps(asdict(self), default=str))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ModelOptions:
        """The inverse of :meth:`to_json`."""
        restored = dict(values)
        for field in fields(cls):
            value = restored[field.name]
            if value is None:
                continue
            if field.name == "machines":
                restored[field.name] = Machines(**value)
            elif isinstance(value, list):
                restored[field.name] = tuple(map(Path, value)) if field.name == "model_dirs" else tuple(value)
            elif "Path" in str(field.type):
                restored[field.name] = Path(value)
        return cls(**restored)

    def places(self, variant: Variant, *, copies: tuple[CopyKind, ...] = ("bf16",)) -> Places:
        """Where the weights of a variant are looked for, our copies of these kinds among them."""
        named: dict[Role, Path | None] = {
            "dit": self.dit_file,
            "vae": self.vae_file,
            "text_encoder": self.text_file,
            "taehv": self.decoder_file if variant.decoder == "taehv" else None,
        }
        return Places(
            checkpoint_root=self.checkpoint_root,
            model_dirs=self.model_dirs,
            files={role: path for role, path in named.items() if path is not None},
            cache_dir=self.cache_dir or default_cache_dir(),
            allow_download=self.allow_download,
            copies=copies,
        )


@dataclass(frozen=True)
class RunSettings:
    """What the options come to on this machine. Made by :meth:`resolve`."""

    precision: str
    """Name of the precision, one of ``PRECISIONS``."""

    dtype: torch.dtype
    """Dtype of activations, and of weights that are not in 8 bits."""

    device: torch.device
    """Where the model runs, with its index on CUDA."""

    attention: str
    """How attention is computed; it works here for heads of the published size."""

    schedule: Schedule
    """Timesteps and noise levels."""

    window_chunks: int
    """Window, without the sink, in chunks."""

    sink_chunks: int
    """Sink in chunks."""

    frame_size: tuple[int, int]
    """Height and width in pixels that the memory check assumes."""

    offload: bool
    """Whether the network's large matrices wait in host memory."""

    @property
    def fp8(self) -> bool:
        """Whether the network multiplies in 8 bits."""
        return self.precision == "fp8"

    @property
    def attention_backend(self) -> str:
        """Name of what ``attention`` comes to for heads of the published size, never ``auto``."""
        return choose(self.attention, self.device, self.dtype, _HEAD_DIM).name

    @property
    def copies(self) -> tuple[CopyKind, ...]:
        """Our copies of the weights that this run can be loaded from, best first."""
        return _COPIES[self.precision]

    def memory(
        self, variant: Variant, config: DiTConfig, num_parameters: int, text_parameters: int, vae_base_dim: int
    ) -> RunMemory:
        """What a run takes with a network and encoders of these sizes."""
        return RunMemory(
            variant,
            config,
            num_parameters,
            text_parameters,
            self.dtype.itemsize,
            self.frame_size,
            self.window_chunks + self.sink_chunks,
            vae_base_dim,
            fp8=self.fp8,
            may_choose_fp8=not self.fp8 and fp8_failure(self.device) is None,
            offload=self.offload,
            may_choose_offload=not self.offload and self.device.type == "cuda",
        )

    @classmethod
    def resolve(cls, variant: Variant, options: ModelOptions) -> RunSettings:
        """Apply the defaults and check every choice.

        Raises:
            InputError: An option is not possible, or not on this machine.
        """
        device = _resolve_device(options.device)
        _check_num_gpus(options, device)
        precision = options.precision or ("bf16" if device.type == "cuda" else "fp32")
        if precision not in PRECISIONS:
            raise InputError("Unknown precision.", got=repr(precision), need=" or ".join(PRECISIONS))
        if precision == "fp8":
            _check_fp8(device)
        if options.attention != AUTO:
            choose(options.attention, device, PRECISIONS[precision], _HEAD_DIM)
        if options.offload not in OFFLOADS:
            raise InputError("Unknown offload.", got=repr(options.offload), need=" or ".join(OFFLOADS))
        if options.offload != "none" and options.num_ranks > 1:
            raise InputError(
                "Weights do not wait in host memory where several GPUs work together.",
                got=f"offload {options.offload} with {options.num_ranks} GPUs",
                do="Choose offload none, or one GPU.",
            )
        if options.image_mode not in MODES:
            raise InputError("Unknown image mode.", got=repr(options.image_mode), need=" or ".join(MODES))
        window = variant.window_frames if options.window_frames is None else options.window_frames
        sink = variant.sink_frames if options.sink_frames is None else options.sink_frames
        for name, frames, least in (("window", window, CHUNK_LATENT_FRAMES), ("sink", sink, 0)):
            if frames < least or frames % CHUNK_LATENT_FRAMES:
                raise InputError(
                    f"The {name} does not consist of whole chunks.",
                    got=f"{frames} latent frames",
                    need=f"a multiple of {CHUNK_LATENT_FRAMES}, at least {least}",
                )
        return cls(
            precision=precision,
            dtype=PRECISIONS[precision],
            device=device,
            attention=options.attention,
            schedule=make_schedule(options.schedule or variant.schedule),
            window_chunks=window // CHUNK_LATENT_FRAMES,
            sink_chunks=sink // CHUNK_LATENT_FRAMES,
            frame_size=options.frame_size,
            offload=options.offload == "weights",
        )


def _check_num_gpus(options: ModelOptions, device: torch.device) -> None:
    """Check that a group of processes can run here."""
    num_gpus = options.num_gpus
    if num_gpus < 1:
        raise InputError("At least one GPU is needed.", got=f"--num-gpus {num_gpus}", do="Choose 1 or more.")
    if options.num_ranks == 1:
        return
    if sys.platform == "win32" or not torch.distributed.is_available():
        raise InputError(
            "Several GPUs cannot work together here.",
            got="Windows" if sys.platform == "win32" else "a torch without torch.distributed",
            need="Linux, and a torch with torch.distributed",
            do="Set --num-gpus 1, or run under WSL 2.",
        )
    visible = torch.cuda.device_count() if device.type == "cuda" else num_gpus
    if num_gpus > visible:
        raise InputError(
            "There are not so many GPUs.",
            got=f"--num-gpus {num_gpus} with {visible} CUDA devices visible",
            do=f"Choose at most {visible}, or look at CUDA_VISIBLE_DEVICES.",
        )


def _check_fp8(device: torch.device) -> None:
    """Raise when a device does not compute in 8 bits."""
    failure = fp8_failure(device)
    if failure is not None:
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
        raise InputError(
            f"Precision fp8 is not possible on {device}.",
            got=f"{name} ({str(failure).splitlines()[0]})",
            need="an NVIDIA GPU of compute capability 8.9 or newer with a torch that multiplies in 8 bits there",
            do="Choose precision bf16.",
        ) from failure


def _resolve_device(name: str | None) -> torch.device:
    """A device that is there."""
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    try:
        device = torch.device(name or ("cuda" if num_gpus else "cpu"))
    except RuntimeError as error:
        raise InputError("Unknown device.", got=repr(name), need=_DEVICES) from error
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type != "cuda":
        raise InputError("This kind of device is not supported.", got=repr(name), need=_DEVICES)
    index = (torch.cuda.current_device() if num_gpus else 0) if device.index is None else device.index
    if index >= num_gpus:
        raise InputError(
            f"The device {device} is not there.",
            got=f"{num_gpus} CUDA devices",
            do="Choose another one, or run on the CPU with --device cpu.",
        )
    return torch.device("cuda", index)
