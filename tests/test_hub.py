# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import errno
import inspect
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lingbot_core import hub
from lingbot_core.errors import Cancelled, ResourceError, WeightsError
from tests.fake_hub import PIECE_BYTES, FakeHub, serve


@pytest.fixture
def repos(tmp_path: Path) -> Path:
    for path, size in (("config.json", 10), ("folder/a.bin", 1000), ("folder/b.bin", 2000)):
        file = tmp_path / "repos" / "org" / "model" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(size))
    return tmp_path / "repos"


@pytest.fixture
def server(repos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with serve(repos) as fake:
        point_to(fake.endpoint, tmp_path / "cache", monkeypatch)
        yield fake


def point_to(endpoint: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``huggingface_hub`` use another server and cache, as the environment would at its import."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)


def test_list_files_when_reachable_gives_sizes(server: FakeHub):
    assert hub.list_files("org/model") == {"config.json": 10, "folder/a.bin": 1000, "folder/b.bin": 2000}


def test_download_when_part_is_wanted_fetches_only_that_and_only_once(server: FakeHub):
    assert hub.cached_file("org/model", "folder/a.bin") is None
    for _ in range(2):
        (path,) = hub.download("org/model", ["folder/a.bin"])
    assert path.stat().st_size == 1000 and hub.cached_file("org/model", "folder/a.bin") == path
    assert server.downloaded == ["org/model/folder/a.bin"]
    assert hub.cached_file("org/model", "folder/b.bin") is None


def test_download_when_server_is_gone_uses_the_cache(server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (path,) = hub.download("org/model", ["config.json"])
    point_to("http://127.0.0.1:9", tmp_path / "cache", monkeypatch)
    assert hub.download("org/model", ["config.json"]) == [path]


@pytest.mark.parametrize("status", [401, 403])
def test_hub_when_token_is_needed_says_how_to_get_one(server: FakeHub, monkeypatch: pytest.MonkeyPatch, status: int):
    server.token, server.refusal = "hf_secret", status
    for access in (lambda: hub.list_files("org/model"), lambda: hub.download("org/model", ["config.json"])):
        with pytest.raises(ResourceError, match=f"refused access.*{status}.*HF_TOKEN"):
            access()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert hub.download("org/model", ["config.json"])[0].is_file()


def test_hub_when_no_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    point_to("http://127.0.0.1:9", tmp_path / "cache", monkeypatch)
    for access in (lambda: hub.list_files("org/model"), lambda: hub.download("org/model", ["config.json"])):
        with pytest.raises(ResourceError, match="cannot be reached for org/model.*--checkpoint-root"):
            access()


def test_hub_when_offline_mode_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    point_to("http://127.0.0.1:9", tmp_path / "cache", monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ResourceError, match="HF_HUB_OFFLINE"):
        hub.download("org/model", ["config.json"])


def test_hub_when_repository_or_file_is_unknown_says_so(server: FakeHub):
    with pytest.raises(WeightsError, match="does not have org/other"):
        hub.list_files("org/other")
    with pytest.raises(WeightsError, match=r"lacks none\.bin"):
        hub.download("org/model", ["none.bin"])


def test_explain_when_disk_ran_full_says_where():
    error = RuntimeError("worker failed")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert "HF_HOME" in str(hub.explain(error, "org/model"))


def make_slow(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 100 pieces that takes 10 s, which the hub's client takes as they come."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", PIECE_BYTES)
    (server.root / "org" / "model" / "large.bin").write_bytes(os.urandom(100 * PIECE_BYTES))
    server.pause_sec = 0.1


def stop_after(sec: float) -> Callable[[], bool]:
    """Says True from then on."""
    end_sec = time.monotonic() + sec
    return lambda: time.monotonic() > end_sec


def test_download_when_cancelled_stops_within_a_second_and_keeps_whole_files(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch
):
    make_slow(server, monkeypatch)
    began_sec = time.monotonic()
    with pytest.raises(Cancelled, match=r"org/model was downloaded; files that have arrived are kept"):
        hub.download("org/model", ["config.json", "large.bin"], stop_after(1.0))
    assert time.monotonic() - began_sec < 2.0
    time.sleep(0.5)
    assert (
        4 * PIECE_BYTES < server.num_bytes_sent < 40 * PIECE_BYTES and hub.cached_file("org/model", "large.bin") is None
    )
    server.pause_sec = 0.0
    files = hub.download("org/model", ["config.json", "large.bin"], lambda: False)
    assert files[1].read_bytes() == (server.root / "org" / "model" / "large.bin").read_bytes()
    assert [path.rpartition("/")[2] for path in server.downloaded] == ["config.json", "large.bin", "large.bin"]


def test_download_when_the_hubs_client_counts_no_bytes_takes_files_one_by_one_and_leaves_the_last(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch
):
    """As ``huggingface_hub`` before 1.0."""
    make_slow(server, monkeypatch)
    server.pause_sec = 0.01
    monkeypatch.setattr(inspect, "signature", lambda _: inspect.Signature())
    monkeypatch.setattr(hub, "_stoppable_bar", lambda stopped: None)
    with pytest.raises(Cancelled):
        hub.download("org/model", ["large.bin", "folder/b.bin"], server.is_sending.is_set)
    assert hub.download("org/model", ["large.bin"], lambda: False)[0].stat().st_size == 100 * PIECE_BYTES
    assert server.downloaded == ["org/model/large.bin"], "finished in the background, and nothing after it"


def test_hub_when_asked_stoppably_answers_and_fails_as_ever(
    server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert hub.list_files("org/model", lambda: False)["config.json"] == 10
    with pytest.raises(Cancelled):
        hub.list_files("org/model", lambda: True)
    with pytest.raises(WeightsError, match=r"lacks none\.bin"):
        hub.download("org/model", ["none.bin"], lambda: False)
    point_to("http://127.0.0.1:9", tmp_path / "cache", monkeypatch)
    with pytest.raises(ResourceError, match="cannot be reached"):
        hub.download("org/model", ["config.json"], lambda: False)


def test_download_when_environment_is_set_obeys_it(repos: Path, tmp_path: Path):
    """HF_ENDPOINT, HF_HOME and HF_TOKEN work as everywhere; checked in a new process that reads them at import."""
    with serve(repos, token="hf_secret") as fake:
        environment = {**os.environ, "HF_ENDPOINT": fake.endpoint, "HF_HOME": str(tmp_path / "home")}
        environment |= {"HF_TOKEN": "hf_secret", "HF_HUB_OFFLINE": "0"}
        environment.pop("HF_HUB_CACHE", None)
        code = "from lingbot_core import hub; print(hub.download('org/model', ['config.json'])[0])"
        root = Path(__file__).parents[1]
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, env=environment, check=True
        )
    path = Path(result.stdout.strip())
    assert path.is_relative_to(tmp_path / "home" / "hub") and path.stat().st_size == 10
