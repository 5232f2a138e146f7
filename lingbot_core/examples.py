# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Upstream's example inputs: read from a folder, fetched into it when missing."""

from __future__ import annotations

import logging
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

from lingbot_core.errors import InputError, OutputError, ResourceError

log = logging.getLogger(__name__)

NUM_EXAMPLES = 6
"""Upstream's example folders: 00 to 05."""

EXAMPLES_WITHOUT_PROMPT = frozenset({3, 4})
"""Examples that have no prompt.txt."""

DEFAULT_ASSETS_DIR = Path("assets/example_data/lingbot_world")
"""Where examples are looked for and kept, below the current directory."""

BASE_URL = "https://raw.githubusercontent.com/Robbyant/lingbot-world-v2/main/examples"
"""Upstream's example folders."""

_TIMEOUT_SEC = 30.0
_READ_BYTES = 1 << 16


@dataclass(frozen=True)
class _ExampleFile:
    """What is known about one file of an example before it is fetched."""

    name: str
    max_bytes: int
    """More is not read: it would be something else."""
    starts_with: bytes = b""
    """First bytes; a log-in page in place of the file does not have them."""


_IMAGE = _ExampleFile("image.jpg", 32 << 20, b"\xff\xd8\xff")
_POSES = _ExampleFile("poses.npy", 32 << 20, b"\x93NUMPY")
_INTRINSICS = _ExampleFile("intrinsics.npy", 32 << 20, b"\x93NUMPY")
_PROMPT = _ExampleFile("prompt.txt", 64 << 10)


@dataclass(frozen=True)
class ExampleInputs:
    """Files of one example."""

    image: Path
    """The photo, JPEG."""

    poses: Path
    """Camera-to-world poses, .npy."""

    intrinsics: Path
    """Intrinsics for 480x832, .npy."""

    prompt: Path | None
    """Prompt file, one line; None for the examples that have none."""


def example_inputs(index: int, assets_dir: Path = DEFAULT_ASSETS_DIR, base_url: str = BASE_URL) -> ExampleInputs:
    """Files of one of upstream's examples; what is missing in ``assets_dir/<NN>`` is fetched into it.

    Args:
        index: 0 to 5.
        assets_dir: Folder of the example folders.
        base_url: Where the example folders are fetched from.

    Raises:
        InputError: There is no such example.
        ResourceError: A file is not there and cannot be fetched.
        OutputError: A fetched file cannot be kept.
    """
    if not 0 <= index < NUM_EXAMPLES:
        raise InputError("There is no such example.", got=f"--example-idx {index}", need=f"0 to {NUM_EXAMPLES - 1}")
    folder = Path(assets_dir) / f"{index:02d}"
    url = f"{base_url.rstrip('/')}/{index:02d}"
    prompt = None if index in EXAMPLES_WITHOUT_PROMPT else _ensure(folder, url, _PROMPT)
    image, poses, intrinsics = (_ensure(folder, url, file) for file in (_IMAGE, _POSES, _INTRINSICS))
    return ExampleInputs(image, poses, intrinsics, prompt)


def _ensure(folder: Path, url: str, file: _ExampleFile) -> Path:
    """The path of a file of an example, fetched when it is not there."""
    path = folder / file.name
    if path.is_file():
        return path
    source = f"{url}/{file.name}"
    do = f"Put the file at {path} by hand, or try again with a network connection."
    log.info("Fetching %s", source)
    try:
        with urllib.request.urlopen(source, timeout=_TIMEOUT_SEC) as response:
            data = _read_whole(response, response.headers.get("Content-Length"), file)
    except urllib.error.HTTPError as error:
        raise ResourceError(f"The example file {source} is not there.", got=f"HTTP {error.code}", do=do) from error
    except (OSError, HTTPException, ValueError) as error:  # OSError covers no network, a timeout and a broken line
        got = str(getattr(error, "reason", error))
        raise ResourceError(f"The example file {source} cannot be fetched.", got=got, do=do) from error
    _write_whole(path, data)
    return path


def _read_whole(response: BinaryIO, stated_length: str | None, file: _ExampleFile) -> bytes:
    """The body of a response.

    Raises:
        ValueError: It is too long, cut short, or not the file that was asked for.
    """
    data = bytearray()
    while piece := response.read(_READ_BYTES):
        data += piece
        if len(data) > file.max_bytes:
            raise ValueError(f"{file.name} is longer than {file.max_bytes >> 10} KiB")
    if stated_length is not None and len(data) != int(stated_length):
        raise ValueError(f"{file.name} ends after {len(data)} of {stated_length} bytes")
    if not data.startswith(file.starts_with):
        raise ValueError(f"what came is not the {file.name} asked for: it begins with {bytes(data[:16])!r}")
    return bytes(data)


def _write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(data)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        do = "Run in another folder, or change its permissions."
        raise OutputError(f"The example file {path} cannot be kept.", got=str(error), do=do) from error
