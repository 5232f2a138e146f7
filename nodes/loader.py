# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Nodes that bring in the model and upstream's examples."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal, cast

from comfy_api.latest import io

from lingbot_core.errors import InputError
from lingbot_core.image_latents import MODES
from lingbot_core.kernels.attention import NAMES as ATTENTIONS
from lingbot_core.options import OFFLOADS, PRECISIONS, ModelOptions
from lingbot_core.preflight import SMALLEST_FRAME
from lingbot_core.schedule import SCHEDULES
from lingbot_core.variants import VARIANTS, get_variant

from . import host
from .messages import plain_errors
from .tokens import ModelToken
from .types import CATEGORY, CameraSocket, ModelSocket

AUTO = "auto"
"""First choice of every menu: what suits the variant and the machine."""

MAX_GPUS = 10
"""The most GPUs of one machine among which the 40 attention heads can be shared out."""

EXAMPLES_FOLDER = "lingbot_world"
"""Below ComfyUI's input folder."""


class LingBotWorldLoader(io.ComfyNode):
    """Names a model; its weights are read when a node first needs them, and stay loaded."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LingBotWorldLoader",
            display_name="LingBot World Loader",
            category=f"{CATEGORY}/loaders",
            description="Chooses a LingBot-World model and finds its files, or downloads them. "
            "The weights are loaded once and stay loaded, whatever is queued.",
            inputs=[
                io.Combo.Input(
                    "variant",
                    options=list(VARIANTS),
                    default=next(iter(VARIANTS)),
                    tooltip="Which model. With -taehv-window15-sink3: a shorter memory and a small decoder, "
                    "for less GPU memory and more speed.",
                ),
                io.Combo.Input(
                    "network",
                    options=[AUTO, *host.model_files("diffusion_models")],
                    default=AUTO,
                    optional=True,
                    tooltip="File with the network in models/diffusion_models. auto: the variant's own.",
                ),
                io.Combo.Input(
                    "text_encoder",
                    options=[AUTO, *host.model_files("text_encoders")],
                    default=AUTO,
                    optional=True,
                    tooltip="UMT5-XXL in models/text_encoders, for LingBot Text Encode. auto: one that is there "
                    "under a usual name, else the variant's. An fp8 file changes the picture slightly.",
                ),
                io.Combo.Input(
                    "vae",
                    options=[AUTO, *host.model_files("vae")],
                    default=AUTO,
                    optional=True,
                    tooltip="Wan 2.1 VAE in models/vae; it encodes the photo. auto: one that is there under a usual "
                    "name, else the variant's.",
                ),
                io.Combo.Input(
                    "decoder",
                    options=[AUTO, *(f"{name}/{file}" for name in _DECODER_FOLDERS for file in host.model_files(name))],
                    default=AUTO,
                    optional=True,
                    tooltip="What turns latents into pictures: a TAEHV file for -taehv variants, a Wan 2.1 VAE for the "
                    "others. auto: one that is there under a usual name, else the variant's.",
                ),
                io.Combo.Input(
                    "precision",
                    options=[AUTO, *PRECISIONS],
                    default=AUTO,
                    optional=True,
                    tooltip="Numbers that the network computes with. auto: bf16 on a GPU, fp32 on the CPU. "
                    "fp8: faster and smaller, slightly inexact, newer GPUs only.",
                ),
                io.Combo.Input(
                    "schedule",
                    options=[AUTO, *SCHEDULES],
                    default=AUTO,
                    optional=True,
                    tooltip="Rounding of the noise levels. auto: as the model's makers run it (bf16).",
                ),
                io.Combo.Input(
                    "image_mode",
                    options=list(MODES),
                    default=MODES[0],
                    optional=True,
                    tooltip="How long the photo is seen. exact: as the model was trained. repeat: as FlashDreams "
                    "does, the latents of chunk 5 from there on.",
                ),
                io.Boolean.Input(
                    "download",
                    default=True,
                    optional=True,
                    tooltip="Download what is not on this machine (about 100 GB for a whole variant). "
                    "Off: say what is missing instead.",
                ),
                io.String.Input(
                    "checkpoint_root",
                    default="",
                    optional=True,
                    tooltip="Folder on the server with <org>/<repo>/... as on Hugging Face. If set, nothing else is "
                    "looked at and nothing is downloaded. Empty: the usual places.",
                ),
                io.Combo.Input(
                    "attention",
                    options=list(ATTENTIONS),
                    default=ATTENTIONS[0],
                    optional=True,
                    tooltip="How attention is computed. auto: the best exact way that works here. "
                    "sage: SageAttention in 8 bits, if installed; slightly inexact.",
                ),
                io.Int.Input(
                    "num_gpus",
                    default=1,
                    min=1,
                    max=MAX_GPUS,
                    optional=True,
                    tooltip="GPUs that work on one video together, of those that ComfyUI sees: 1, 2, 4, 5, 8 or 10, "
                    "the numbers that divide the model's 40 attention heads. More than 1 starts processes of their "
                    "own, which stay. Linux only.",
                ),
                io.Combo.Input(
                    "offload",
                    options=list(OFFLOADS),
                    default=OFFLOADS[0],
                    optional=True,
                    tooltip="weights: the network's matrices wait in the computer's memory (36 GB in bf16, 18 in fp8) "
                    "and come to the GPU layer by layer. For GPUs that are too small for them; slower, same picture.",
                ),
            ],
            outputs=[
                ModelSocket.Output("model", display_name="model", tooltip="The model, for the nodes of this pack.")
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @plain_errors
    def execute(
        cls,
        variant: str,
        network: str = AUTO,
        text_encoder: str = AUTO,
        vae: str = AUTO,
        decoder: str = AUTO,
        precision: str = AUTO,
        schedule: str = AUTO,
        image_mode: str = MODES[0],
        download: bool = True,
        checkpoint_root: str = "",
        attention: str = ATTENTIONS[0],
        num_gpus: int = 1,
        offload: str = OFFLOADS[0],
    ) -> io.NodeOutput:
        from lingbot_core.executor.checks import find_model

        checkpoint_root = checkpoint_root.strip()
        decoder_folder, _, decoder_name = decoder.partition("/")
        options = ModelOptions(
            precision=cast(Literal["bf16", "fp32", "fp8"] | None, _unless_auto(precision)),
            schedule=cast(Literal["bf16", "fp32"] | None, _unless_auto(schedule)),
            attention=attention,
            device=str(host.torch_device()),
            image_mode=cast(Literal["exact", "repeat"], image_mode),
            checkpoint_root=Path(checkpoint_root) if checkpoint_root else None,
            model_dirs=host.model_folders(),
            frame_size=SMALLEST_FRAME,  # its own size is checked when the sampler runs
            allow_download=download,
            dit_file=_chosen_file("diffusion_models", network),
            vae_file=_chosen_file("vae", vae),
            decoder_file=None if decoder == AUTO else _chosen_file(decoder_folder, decoder_name),
            text_file=_chosen_file("text_encoders", text_encoder),
            num_gpus=num_gpus,
            offload=cast(Literal["none", "weights"], offload),
        )
        reporter = host.Reporter(cls.hidden.unique_id)
        with reporter.interruptible():
            make_room = partial(host.MEMORY.make_room, None)
            find_model(get_variant(variant), options, reporter.text, make_room, lambda: reporter.interrupted)
        return io.NodeOutput(ModelToken(variant, options))


_DECODER_FOLDERS = ("vae_approx", "vae")


def _unless_auto(choice: str) -> str | None:
    return None if choice == AUTO else choice


def _chosen_file(folder: str, name: str) -> Path | None:
    """Path of a file chosen from a menu, None for the first choice."""
    if name == AUTO:
        return None
    known = folder in (*_DECODER_FOLDERS, "diffusion_models", "text_encoders")
    path = host.model_file(folder, name) if known else None
    if path is None:
        raise InputError(
            "A model file that was chosen is not there any more.",
            got=f"{folder}/{name}",
            do="Choose another one in LingBot World Loader, or put it back and press R.",
        )
    return path


class LingBotExample(io.ComfyNode):
    """One of upstream's examples: photo, camera path and prompt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        from lingbot_core.examples import NUM_EXAMPLES

        return io.Schema(
            node_id="LingBotExample",
            display_name="LingBot Example",
            category=f"{CATEGORY}/loaders",
            description="One of the examples that come with LingBot-World: a photo with a camera path and a prompt. "
            f"Fetched once into the input folder, below {EXAMPLES_FOLDER}.",
            inputs=[
                io.Int.Input(
                    "index", default=0, min=0, max=NUM_EXAMPLES - 1, tooltip="Which example. 3 and 4 have no prompt."
                )
            ],
            outputs=[
                io.Image.Output("image", display_name="image", tooltip="The photo."),
                CameraSocket.Output("camera", display_name="camera", tooltip="The camera path, as long as it is."),
                io.String.Output("prompt", display_name="prompt", tooltip="What the video shows; may be empty."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @plain_errors
    def execute(cls, index: int) -> io.NodeOutput:
        from lingbot_core.camera.files import load_pose_files
        from lingbot_core.examples import example_inputs
        from lingbot_core.photo import read_photo
        from lingbot_core.text import read_prompt_file

        host.Reporter(cls.hidden.unique_id).text(f"example {index}")
        example = example_inputs(index, host.input_folder() / EXAMPLES_FOLDER)
        image = read_photo(example.image)[None].float() / 255  # [1, H, W, 3]
        camera = load_pose_files(example.poses, example.intrinsics)
        prompt = read_prompt_file(example.prompt) if example.prompt is not None else ""
        return io.NodeOutput(image, camera, prompt)
