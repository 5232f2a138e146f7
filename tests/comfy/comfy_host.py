# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Finds a ComfyUI checkout on this machine and runs its server with the pack, leaving the checkout as it is."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
"""The pack."""

PACK_NAME = "ComfyUI-LingBot-World"
"""Folder name of the pack in custom_nodes, which is also the title of its group of templates."""

START_SEC = 180
"""A server that has not answered after so long is given up."""

PHOTO_SIZE = (208, 120)
"""Width and height of the test photo; its shape is not that of the videos."""


@dataclass(frozen=True)
class ComfyHost:
    """A ComfyUI checkout with the Python that runs it."""

    folder: Path
    """The checkout."""

    python: Path
    """Python with its requirements."""

    @property
    def version(self) -> tuple[int, ...]:
        """Such as ``(0, 3, 64)``."""
        text = (self.folder / "comfyui_version.py").read_text("utf-8")
        match = re.search(r'"(\d+)\.(\d+)\.(\d+)', text)
        assert match, text
        return tuple(int(part) for part in match.groups())


def find_host() -> ComfyHost | str:
    """The ComfyUI to test with, or one line that says why there is none.

    Looked for in ``COMFYUI_PATH``, ``~/comfy/ComfyUI``, and the folder whose ``custom_nodes`` holds this pack;
    its Python in ``COMFYUI_PYTHON``, ``<parent>/venv`` and the checkout's ``.venv`` and ``venv``.
    """
    given = os.environ.get("COMFYUI_PATH", "")
    places = [Path(given)] if given else [Path.home() / "comfy" / "ComfyUI", ROOT.parent.parent]
    folder = next((place for place in places if (place / "main.py").is_file() and (place / "comfy").is_dir()), None)
    if folder is None:
        return f"no ComfyUI found at {' or '.join(str(place) for place in places)}; set COMFYUI_PATH"
    python = os.environ.get("COMFYUI_PYTHON", "")
    pythons = [Path(python)] if python else [_python_of(venv) for venv in _venvs(folder)]
    found = next((path for path in pythons if path.is_file()), None)
    if found is None:
        return f"no Python for {folder} at {' or '.join(str(path) for path in pythons)}; set COMFYUI_PYTHON"
    return ComfyHost(folder.resolve(), found)


def reason_to_skip() -> str:
    """Why tests with ComfyUI cannot run here; empty when they can."""
    host = find_host()
    return host if isinstance(host, str) else ""


def _venvs(folder: Path) -> list[Path]:
    return [folder.parent / "venv", folder / ".venv", folder / "venv"]


def _python_of(venv: Path) -> Path:
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


class ComfyBase:
    """Folders of a server of its own: input with the test's files, output, models, user, custom_nodes.

    Args:
        folder: Where they are made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.input, self.output = folder / "input", folder / "output"
        self.user, self.models = folder / "user", folder / "models"
        for name in ("custom_nodes", "input", "output", "temp", "user", "models"):
            (folder / name).mkdir(parents=True)
        (folder / "custom_nodes" / PACK_NAME).symlink_to(ROOT, target_is_directory=True)
        tests = Path(__file__).parent / "test_pack"
        (folder / "custom_nodes" / "lingbot_test_pack").symlink_to(tests, target_is_directory=True)
        _write_inputs(self.input)

    @property
    def journal(self) -> Path:
        """Where the pack keeps finished chunks."""
        return self.user / "__lingbot_world" / "journal"


def _write_inputs(folder: Path) -> None:
    """The photo of the graphs, example 0 with poses of upstream's, and poses that are too short."""
    with Image.open(ROOT / "assets" / "demo" / "image.jpg") as photo:
        photo.resize(PHOTO_SIZE).save(folder / "example.png")
    example = folder / "lingbot_world" / "00"
    example.mkdir(parents=True)
    for name in ("image.jpg", "prompt.txt"):
        shutil.copyfile(ROOT / "assets" / "demo" / name, example / name)
    for name in ("poses.npy", "intrinsics.npy"):
        shutil.copyfile(ROOT / "tests" / "data" / "example_00" / name, example / name)
    np.save(folder / "short.npy", np.load(example / "poses.npy", allow_pickle=False)[:5])


class ComfyServer:
    """A running server.

    Phases: construct (it starts and answers), use, :meth:`stop` or :meth:`kill`.

    Args:
        host: What to run.
        base: Its folders; only one server at a time.
        options: More options of the command line.
        gpu: Run on the GPU.
        environment: More environment variables.
    """

    def __init__(
        self,
        host: ComfyHost,
        base: ComfyBase,
        options: Sequence[str] = (),
        *,
        gpu: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.host, self.base = host, base
        self.url = f"http://127.0.0.1:{(port := _free_port())}"
        self.log_path = base.folder / f"server_{port}.log"
        command = [str(host.python), "-u", str(host.folder / "main.py"), "--port", str(port)]
        command += [] if gpu else ["--cpu"]
        command += ["--base-directory", str(base.folder), "--disable-api-nodes", "--disable-auto-launch"]
        command += ["--database-url", "sqlite:///:memory:", *options]
        environment = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",
            "LINGBOT_CACHE_DIR": str(base.folder / "cache"),
            "HF_HOME": str(base.folder / "hf"),
            "HF_HUB_OFFLINE": "1",
            **(environment or {}),
        }
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=base.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    @property
    def log(self) -> str:
        """All it has said, without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.log_path.read_text("utf-8", errors="replace"))

    @property
    def pid(self) -> int:
        """Number of its process."""
        return self._process.pid

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT if sys.platform != "win32" else signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait(30)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SEC
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"ComfyUI ended with code {self._process.returncode}:\n{self.log[-3000:]}")
            try:
                with urllib.request.urlopen(f"{self.url}/system_stats", timeout=5):
                    return
            except (OSError, urllib.error.URLError):
                time.sleep(0.2)
        raise RuntimeError(f"ComfyUI did not answer within {START_SEC} s:\n{self.log[-3000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
