# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Options of commands that load a model."""

from __future__ import annotations

import argparse
from pathlib import Path

from lingbot_core.cli.console import say
from lingbot_core.cli.model_folders import add_models_dir, find_model_folders
from lingbot_core.errors import InputError
from lingbot_core.image_latents import MODES
from lingbot_core.kernels.attention import AUTO, NAMES
from lingbot_core.options import (
    ATTENTION_HELP,
    OFFLOAD_HELP,
    OFFLOADS,
    PRECISION_HELP,
    PRECISIONS,
    Machines,
    ModelOptions,
    RunSettings,
)
from lingbot_core.schedule import SCHEDULES
from lingbot_core.variants import Variant

_FILES = {
    "dit": "network, a file or an index,",
    "vae": "Wan VAE",
    "decoder": "decoder: Wan VAE, LightVAE or TAEHV, as the variant's,",
    "text": "text encoder",
}


def model_options(
    args: argparse.Namespace, variant: Variant, frame_size: tuple[int, int], machine_index: int = 0
) -> ModelOptions:
    """How to load the model, checked.

    Args:
        args: With the options of :func:`add_model_arguments`.
        variant: Which model.
        frame_size: Height and width of the video in pixels.
        machine_index: Number of this machine among several.

    Raises:
        InputError: An option is not possible.
    """
    is_alone = args.nnodes == 1
    if is_alone != (args.rdzv_endpoint is None):
        raise InputError(
            "Several machines need to know where to meet.",
            got=f"--nnodes {args.nnodes} and {'no ' if args.rdzv_endpoint is None else ''}--rdzv-endpoint",
            need="both --nnodes and --rdzv-endpoint HOST:PORT, or neither",
        )
    options = ModelOptions(
        precision=args.precision,
        offload=args.offload,
        attention=args.attention,
        schedule=args.schedule,
        device=args.device,
        image_mode=args.image_mode,
        checkpoint_root=args.checkpoint_root,
        model_dirs=find_model_folders(args.models_dir),
        frame_size=frame_size,
        dit_file=args.dit_file,
        vae_file=args.vae_file,
        decoder_file=args.decoder_file,
        text_file=args.text_file,
        num_gpus=args.num_gpus,
        machines=None if is_alone else Machines(args.nnodes, args.rdzv_endpoint, machine_index),
    )
    device = RunSettings.resolve(variant, options).device
    if args.device is None and device.type == "cpu":
        say("No CUDA device was found: running on the CPU.")
    return options


def add_model_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Declare the options; returns their group, for more of them."""
    model = parser.add_argument_group("with which model")
    model.add_argument("--device", help="default: cuda if there is one, else cpu")
    model.add_argument("--precision", choices=list(PRECISIONS), help=PRECISION_HELP)
    model.add_argument("--offload", choices=OFFLOADS, default="none", help=OFFLOAD_HELP)
    model.add_argument("--attention", choices=NAMES, default=AUTO, help=ATTENTION_HELP)
    model.add_argument("--schedule", choices=SCHEDULES, help="rounding of the noise levels (default: upstream's, bf16)")
    model.add_argument(
        "--image-mode",
        choices=MODES,
        default="exact",
        help="photo latents: all of them, or upstream's repetition from chunk 5 on",
    )
    model.add_argument(
        "--checkpoint-root", type=Path, metavar="DIR", help="local DIR/<org>/<repo>/... in place of everything else"
    )
    add_models_dir(model)
    for part, text in _FILES.items():
        model.add_argument(f"--{part}-file", type=Path, metavar="FILE", help=f"{text} to use in place of the variant's")
    several = parser.add_argument_group("on several GPUs")
    several.add_argument("--num-gpus", type=int, default=1, metavar="N", help="GPUs of this machine (default: 1)")
    several.add_argument(
        "--nnodes", type=int, default=1, metavar="K", help="machines with as many GPUs each (default: 1)"
    )
    several.add_argument(
        "--rdzv-endpoint", metavar="HOST:PORT", help="address of the machine that generates, for the others to call"
    )
    return model
