# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Example inputs, fetched from a server on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lingbot_core.errors import InputError, OutputError, ResourceError
from lingbot_core.examples import example_inputs

FILES = {
    "image.jpg": b"\xff\xd8\xff\xe0 a photo",
    "poses.npy": b"\x93NUMPY poses",
    "intrinsics.npy": b"\x93NUMPY intrinsics",
    "prompt.txt": b"A quiet street.\n",
}


class ExampleServer(ThreadingHTTPServer):
    """Serves what is in ``files`` and records what was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.stated_lengths: dict[str, int] = {}
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/examples/"

    def put_example(self, index: int, prompt: bool = True) -> None:
        for name, data in FILES.items():
            if prompt or name != "prompt.txt":
                self.files[f"/examples/{index:02d}/{name}"] = data


class _Handler(BaseHTTPRequestHandler):
    server: ExampleServer

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        data = self.server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(self.server.stated_lengths.get(self.path, len(data))))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[ExampleServer]:
    with ExampleServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_example_when_missing_is_fetched_once(server: ExampleServer, tmp_path: Path) -> None:
    server.put_example(5)
    inputs = example_inputs(5, tmp_path, server.url)
    paths = (inputs.image, inputs.poses, inputs.intrinsics, inputs.prompt)
    assert paths == tuple(tmp_path / "05" / name for name in FILES)
    for name, data in FILES.items():
        assert (tmp_path / "05" / name).read_bytes() == data
    assert len(server.requests) == 4
    assert example_inputs(5, tmp_path, server.url) == inputs
    assert len(server.requests) == 4
    assert sorted(path.name for path in (tmp_path / "05").iterdir()) == sorted(FILES)


@pytest.mark.parametrize("index", [3, 4])
def test_examples_3_and_4_have_no_prompt(server: ExampleServer, tmp_path: Path, index: int) -> None:
    server.put_example(index, prompt=False)
    assert example_inputs(index, tmp_path, server.url).prompt is None


def test_example_in_the_assets_folder_needs_no_network(tmp_path: Path) -> None:
    (tmp_path / "00").mkdir()
    for name, data in FILES.items():
        (tmp_path / "00" / name).write_bytes(data)
    assert example_inputs(0, tmp_path, "http://127.0.0.1:9/").image == tmp_path / "00" / "image.jpg"


def test_example_with_some_files_there_fetches_the_rest(server: ExampleServer, tmp_path: Path) -> None:
    server.put_example(1)
    (tmp_path / "01").mkdir()
    (tmp_path / "01" / "image.jpg").write_bytes(b"my own")
    example_inputs(1, tmp_path, server.url)
    assert (tmp_path / "01" / "image.jpg").read_bytes() == b"my own"
    assert len(server.requests) == 3


@pytest.mark.parametrize("index", [-1, 6])
def test_example_of_unknown_index_raises_input_error(tmp_path: Path, index: int) -> None:
    with pytest.raises(InputError, match="0 to 5"):
        example_inputs(index, tmp_path)


def test_example_without_network_raises_resource_error(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"cannot be fetched.*by hand"):
        example_inputs(0, tmp_path, "http://127.0.0.1:9/")
    assert not list(tmp_path.rglob("*.*"))


def test_example_when_the_server_lacks_it_raises_resource_error(server: ExampleServer, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="HTTP 404"):
        example_inputs(0, tmp_path, server.url)


def test_example_when_cut_short_raises_and_keeps_nothing(server: ExampleServer, tmp_path: Path) -> None:
    server.put_example(0)
    server.stated_lengths["/examples/00/poses.npy"] = 10_000
    with pytest.raises(ResourceError, match=r"poses\.npy"):
        example_inputs(0, tmp_path, server.url)
    assert not (tmp_path / "00" / "poses.npy").exists()
    assert not list(tmp_path.rglob("*.part"))


def test_example_that_is_another_page_raises(server: ExampleServer, tmp_path: Path) -> None:
    server.put_example(0)
    server.files["/examples/00/image.jpg"] = b"<html>Please log in</html>"
    with pytest.raises(ResourceError, match=r"not the image\.jpg"):
        example_inputs(0, tmp_path, server.url)


def test_example_that_is_too_long_raises(server: ExampleServer, tmp_path: Path) -> None:
    server.put_example(0)
    server.files["/examples/00/prompt.txt"] = b"x" * (65 << 10)
    with pytest.raises(ResourceError, match="longer than 64 KiB"):
        example_inputs(0, tmp_path, server.url)


def test_example_that_cannot_be_kept_raises_output_error(server: ExampleServer, tmp_path: Path) -> None:
    server.put_example(0)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be kept"):
        example_inputs(0, tmp_path / "file", server.url)
