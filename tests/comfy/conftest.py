# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""One server for most tests; each test has a seed of its own, so that no two share chunks."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import Tensor

from tests.comfy.browser import Browser, find_browser
from tests.comfy.comfy_host import ComfyBase, ComfyHost, ComfyServer, find_host
from tests.comfy.model_files import ROLES, AddFile

SEEDS = itertools.count(1000)

VUE_VERSION = (0, 26, 0)
"""Older hosts never mount elements in nodes drawn by the newer renderer."""


@pytest.fixture(scope="session")
def comfy_host() -> ComfyHost:
    """The ComfyUI to test with; the marker has skipped tests where there is none."""
    host = find_host()
    assert isinstance(host, ComfyHost), host
    return host


@pytest.fixture(scope="session")
def comfy_base(tmp_path_factory: pytest.TempPathFactory) -> ComfyBase:
    """Folders of the server that most tests share."""
    return ComfyBase(tmp_path_factory.mktemp("comfy") / "base")


@pytest.fixture(scope="session")
def comfy_server(comfy_host: ComfyHost, comfy_base: ComfyBase) -> Iterator[ComfyServer]:
    """The server that most tests share."""
    server = ComfyServer(comfy_host, comfy_base)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def browser() -> Browser:
    """A browser, or the tests are skipped."""
    found = find_browser()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "vue"])
def vue(request: pytest.FixtureRequest, comfy_host: ComfyHost) -> bool:
    """Whether the newer renderer draws the nodes, which tests of the editor do with both."""
    if request.param and comfy_host.version < VUE_VERSION:
        pytest.skip("this host's newer renderer shows no elements in nodes")
    return request.param


@pytest.fixture(scope="module")
def shots(vue: bool, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder for pictures of a page in one renderer; the variable ``LINGBOT_SHOTS`` names one to keep them in."""
    return os.environ.get("LINGBOT_SHOTS") or str(tmp_path_factory.mktemp("vue" if vue else "canvas"))


@pytest.fixture
def client(comfy_server: ComfyServer):
    """A client of the shared server."""
    from tests.comfy.client import Client

    return Client(comfy_server)


@pytest.fixture
def seed() -> int:
    """A seed that no other test uses."""
    return next(SEEDS)


@pytest.fixture(scope="session")
def checkpoint(tiny_checkpoint: Path) -> str:
    """The tiny checkpoint, as the loader's ``checkpoint_root`` takes it."""
    return str(tiny_checkpoint)


@pytest.fixture
def add_file(comfy_base: ComfyBase) -> Iterator[AddFile]:
    """Writes into the models folder of the shared server, and clears up."""
    from safetensors.torch import save_file

    written: list[Path] = []

    def add(role: str, name: str, tensors: dict[str, Tensor]) -> str:
        folder = ROLES[role][0]
        path = comfy_base.models / folder / name
        path.parent.mkdir(exist_ok=True)
        written.append(path)
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
        return f"{folder}/{name}" if role == "decoder" else name

    yield add
    for path in written:
        path.unlink()
