# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Time to the first frame in a new process, with an empty and with a filled cache of compiled kernels.

The process is started twice, both times with the same cache folder, which is empty at first. In
it, all weights are made and brought to the device before the clock starts: it counts what follows
the call, not the reading of files.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lingbot_core.bench.processes import run_module
from lingbot_core.bench.report import table
from lingbot_core.bench.rollouts import Say

TIMEOUT_SEC = 900.0

_PROCESS = "lingbot_core.bench.first_frame_process"

_CACHES = {
    "TRITON_CACHE_DIR": "triton",
    "CUDA_CACHE_PATH": "cuda",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "FLASH_ATTENTION_CUTE_DSL_CACHE_DIR": "flash-attention-4",
}
"""Environment variable -> where in the cache folder compiled kernels go."""


@dataclass(frozen=True)
class Setup:
    """What a process needs to know."""

    slug: str
    size: str
    text_size: str
    precision: str | None
    attention: str
    device: str | None
    window: int | None
    sink: int | None
    height: int
    width: int


@dataclass(frozen=True)
class FirstFrame:
    """Times of one process, in seconds."""

    first_frame_sec: float
    """From the call to the frames of the first chunk in host memory."""

    text_sec: float
    """Part of it: encoding of the prompt."""

    process_sec: float
    """From the start of the process to its first frames, the making of the weights included."""

    device_ms: dict[str, float]
    """Stages of the first chunk on the device, in ms."""


def measure(setup: Setup, say: Say) -> dict[str, FirstFrame]:
    """Times with an empty and with a filled cache.

    Raises:
        LingBotError: A process failed; its last words are in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for cache in ("cold", "warm"):
            found[cache] = _run_process(setup, Path(folder))
            say(f"  {cache} cache: first frames after {found[cache].first_frame_sec:.2f} s")
        return found


def _run_process(setup: Setup, cache_dir: Path) -> FirstFrame:
    """Start a process and read its times."""
    caches = {variable: str(cache_dir / name) for variable, name in _CACHES.items()}
    arguments = [_PROCESS, json.dumps(asdict(setup)), str(time.time())]
    printed = run_module(arguments, "The process that was to make the first frame", TIMEOUT_SEC, caches)
    return FirstFrame(**json.loads(printed.strip().splitlines()[-1]))


def first_frame_markdown(found: dict[str, FirstFrame], text_size: str) -> str:
    """The times as text."""
    headings = ["cache of compiled kernels", "first frames", "of it text", "photo", "4 passes", "decode", "process"]
    cells = [
        [
            {"cold": "empty", "warm": "filled by the process before"}[cache],
            f"{times.first_frame_sec:.2f} s",
            f"{times.text_sec:.2f} s",
            *(f"{times.device_ms[stage] / 1e3:.2f} s" for stage in ("encode", "diffuse", "decode")),
            f"{times.process_sec:.1f} s",
        ]
        for cache, times in found.items()
    ]
    return (
        "### First frames in a new process\n\n"
        f"From the call until the frames of chunk 0 are in host memory: prompt encoded (text encoder: {text_size}), "
        "photo encoded, arena made, four passes, frames decoded and, as it happens before they are handed out, the "
        "cache updated; libraries started and kernels compiled on the way. When the clock starts the model is loaded: "
        "weights are in the memory of the device, and attention was chosen and tried. Process: since it was started, "
        "Python, imports, the making of random weights and that choice included.\n\n" + table(headings, cells)
    )
