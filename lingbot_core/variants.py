# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The registered configurations, by their upstream slug: files, sizes, licences, window, decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lingbot_core.errors import InputError
from lingbot_core.timeline import CHUNK_LATENT_FRAMES

Role = Literal["dit", "vae", "taehv", "text_encoder", "tokenizer"]
"""What a set of weights is for."""


@dataclass(frozen=True)
class RemoteWeights:
    """One set of weights on the Hugging Face hub."""

    role: Role
    """What it is for."""

    repo: str
    """Repository, ``<org>/<name>``."""

    path: str
    """Path in the repository: a file, the index of a sharded one, or the tokenizer's main file."""

    licence: str
    """Licence of the weights as their publisher states it; not that of this code."""

    about_bytes: int
    """Expected size of all files together, computed from the number of parameters; the hub knows the exact one."""

    accepted_names: tuple[str, ...] = ()
    """File names under which the same weights are known in ComfyUI's model folders, best first."""

    @property
    def repo_name(self) -> str:
        """The repository without its organisation."""
        return self.repo.rpartition("/")[2]


_DIT_BYTES = 18_544_332_864 * 4
_INDEX = "diffusion_pytorch_model.safetensors.index.json"

DIT_V1 = RemoteWeights("dit", "robbyant/lingbot-world-fast", _INDEX, "Apache-2.0", _DIT_BYTES)

DIT_V2 = RemoteWeights(
    "dit",
    "robbyant/lingbot-world-v2-14b-causal-fast",
    f"transformers/{_INDEX}",
    "CC BY-NC-SA 4.0 (no commercial use)",
    _DIT_BYTES,
)

WAN_VAE = RemoteWeights(
    "vae",
    "lightx2v/Autoencoders",
    "Wan2.1_VAE.pth",
    "Apache-2.0",
    126_892_531 * 4,
    (
        "Wan2.1_VAE.pth",
        "Wan2.1_VAE.safetensors",
        "Wan2_1_VAE_fp32.safetensors",
        "Wan2_1_VAE_bf16.safetensors",
        "wan_2.1_vae.safetensors",
    ),
)

LIGHT_TAE = RemoteWeights(
    "taehv",
    "lightx2v/Autoencoders",
    "lighttaew2_1.pth",
    "Apache-2.0",
    11_315_539 * 4,
    ("lighttaew2_1.pth", "lighttaew2_1.safetensors", "taew2_1.safetensors", "taew2_1.pth"),
)

# The fp8 files are left out on purpose: they change the picture, so they are used only when named explicitly.
UMT5 = RemoteWeights(
    "text_encoder",
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    "text_encoder/model.safetensors.index.json",
    "Apache-2.0",
    5_680_910_336 * 4,
    (
        "umt5-xxl-enc-bf16.safetensors",
        "models_t5_umt5-xxl-enc-bf16.safetensors",
        "models_t5_umt5-xxl-enc-bf16.pth",
        "umt5_xxl_fp16.safetensors",
    ),
)

UMT5_TOKENIZER = RemoteWeights(
    "tokenizer",
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    "tokenizer/tokenizer.json",
    "Apache-2.0",
    21_400_000,
    ("google/umt5-xxl/tokenizer.json", "umt5-xxl/tokenizer.json"),
)


@dataclass(frozen=True)
class Variant:
    """A checkpoint with the window and decoder it is run with."""

    slug: str
    """Upstream's name of the configuration."""

    title: str
    """One line for menus and tables."""

    dit: RemoteWeights
    """The network."""

    window_frames: int
    """Most recent latent frames that attention sees, the current chunk included, the sink excluded."""

    sink_frames: int
    """First latent frames of the rollout that are never evicted; 0 for none."""

    decoder: Literal["wan_vae", "taehv"]
    """What turns latents into pixels: the full Wan VAE, or the tiny decoder."""

    vae: RemoteWeights = WAN_VAE
    """Encoder of the photo, and the decoder of ``wan_vae`` variants."""

    taehv: RemoteWeights | None = None
    """Tiny decoder; None when ``decoder`` is ``wan_vae``."""

    text_encoder: RemoteWeights = UMT5
    """Encoder of the prompt."""

    tokenizer: RemoteWeights = UMT5_TOKENIZER
    """Tokenizer of the prompt."""

    schedule: Literal["bf16", "fp32"] = "bf16"
    """Denoising schedule that upstream runs it with."""

    @property
    def weights(self) -> tuple[RemoteWeights, ...]:
        """All weights that the variant needs, largest first."""
        decoders = (self.taehv,) if self.taehv is not None else ()
        return (self.dit, self.text_encoder, self.vae, *decoders, self.tokenizer)

    @property
    def window_chunks(self) -> int:
        """``window_frames`` in chunks."""
        return self.window_frames // CHUNK_LATENT_FRAMES

    @property
    def sink_chunks(self) -> int:
        """``sink_frames`` in chunks."""
        return self.sink_frames // CHUNK_LATENT_FRAMES

    @property
    def about_bytes(self) -> int:
        """Size of the whole download, about."""
        return sum(weights.about_bytes for weights in self.weights)


def _pair(slug: str, title: str, dit: RemoteWeights) -> tuple[Variant, Variant]:
    """The two configurations in which upstream ships a checkpoint."""
    full = Variant(slug, f"{title}, Wan VAE decoder, window 63", dit, 63, 0, "wan_vae")
    light = Variant(
        f"{slug}-taehv-window15-sink3",
        f"{title}, tiny decoder, window 15 + sink 3",
        dit,
        15,
        3,
        "taehv",
        taehv=LIGHT_TAE,
    )
    return full, light


VARIANTS: dict[str, Variant] = {
    variant.slug: variant
    for variant in (
        *_pair("lingbot-world-fast", "LingBot-World fast", DIT_V1),
        *_pair("lingbot-world-v2-14b-causal-fast", "LingBot-World v2 14B causal fast", DIT_V2),
    )
}
"""Every variant by slug."""


def get_variant(slug: str) -> Variant:
    """Look a variant up.

    Raises:
        InputError: There is no such slug; the message lists those there are.
    """
    if slug not in VARIANTS:
        raise InputError("Unknown variant.", got=repr(slug), need="one of " + ", ".join(VARIANTS))
    return VARIANTS[slug]
