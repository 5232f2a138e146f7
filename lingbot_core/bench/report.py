# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What a measurement came to: statistics, Markdown, and what is needed to repeat it."""

from __future__ import annotations

import json
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import torch

from lingbot_core.errors import OutputError
from lingbot_core.kernels.attention import choose
from lingbot_core.kernels.choice import runs_triton
from lingbot_core.models.dit import LingBotDiT
from lingbot_core.options import RunSettings
from lingbot_core.passes import records_graphs
from lingbot_core.random_weights import SIZES
from lingbot_core.timeline import CHUNK_LATENT_FRAMES

_ATTENTION_PACKAGES = ("flash-attn-4", "flash-attn-3", "sageattention")
"""Named with their versions where they are installed."""


@dataclass(frozen=True)
class Section:
    """One measurement."""

    title: str
    """Heading."""

    facts: dict[str, object]
    """What was measured on what; see :func:`environment`."""

    body: str
    """Markdown: tables, and what they say."""

    data: dict[str, object] = field(default_factory=dict)
    """All figures, for programs."""

    def markdown(self) -> str:
        """The section as text."""
        facts = "\n".join(f"- {name}: {value}" for name, value in self.facts.items())
        return f"## {self.title}\n\n{facts}\n\n{self.body}"


def p90(values: Sequence[float]) -> float:
    """90th percentile, linear between neighbours."""
    return values[0] if len(values) == 1 else statistics.quantiles(values, n=10, method="inclusive")[-1]


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    assert all(len(row) == len(headings) for row in rows), (headings, rows)
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def hardware(device: torch.device) -> str:
    """Name of a device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def versions(device: torch.device) -> str:
    """Versions of all that decides speed."""
    named = f"Python {platform.python_version()}, torch {torch.__version__}"
    if device.type != "cuda":
        return named
    try:
        import triton

        named += f", Triton {triton.__version__}"
    except ImportError:
        named += ", no Triton"
    installed = [f", {name} {version}" for name in _ATTENTION_PACKAGES if (version := _version(name))]
    return f"{named}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}{''.join(installed)}"


def _version(package: str) -> str | None:
    """Version of a package; None when it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def command() -> str:
    """The command line that runs now."""
    return " ".join(["lingbot-world", *sys.argv[1:]])


def environment(settings: RunSettings, slug: str, size: str, frame_size: tuple[int, int]) -> dict[str, object]:
    """What a reader needs to repeat a measurement.

    Args:
        settings: How the model runs.
        slug: Its variant.
        size: Name of its size.
        frame_size: Height and width of the frames in pixels.
    """
    config, device = SIZES[size].dit, settings.device
    with torch.device("meta"):
        num_parameters = sum(parameter.numel() for parameter in LingBotDiT(config).parameters())
    attention = choose(settings.attention, device, settings.dtype, config.head_dim)
    window, sink = (chunks * CHUNK_LATENT_FRAMES for chunks in (settings.window_chunks, settings.sink_chunks))
    return {
        "variant": slug,
        "network": f"{size}, {num_parameters / 1e9:.2f} B parameters, random weights",
        "precision": settings.precision,
        "attention": attention.label,
        "kernels": "Triton" if runs_triton(device) else "torch",
        "CUDA graphs": "yes" if records_graphs(attention, device, offload=settings.offload) else "no",
        **({"offload": "weights"} if settings.offload else {}),
        "frame": "{}x{}".format(*frame_size),
        "window + sink": f"{window} + {sink} latent frames",
        "hardware": hardware(device),
        "versions": versions(device),
        "command": f"`{command()}`",
    }


def check_outputs(*paths: Path | None) -> None:
    """Raise when a file cannot be written, before anything is measured."""
    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise OutputError(f"The folder of {path} does not exist.", do="Make it first, or choose another file.")


def write(sections: Sequence[Section], json_path: Path | None, results_path: Path | None) -> None:
    """Write all figures to one file, and append the text to another."""
    if json_path is not None:
        merged = {key: value for section in sections for key, value in {**section.facts, **section.data}.items()}
        json_path.write_text(json.dumps(merged, indent=2) + "\n", encoding="utf-8")
    if results_path is not None:
        with results_path.open("a", encoding="utf-8") as file:
            file.writelines(f"\n{section.markdown()}\n" for section in sections)
