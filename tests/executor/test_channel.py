# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The parts of a process group that need no ranks: the line, shared arrays, processes, how ranks are started."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from lingbot_core.errors import Cancelled, InputError, LingBotError, WorkerFailed
from lingbot_core.executor import channel as channel_module
from lingbot_core.executor.channel import ChannelClosed, Listener, call
from lingbot_core.executor.launch import PACK_FOLDER, exit_code_in_log, last_error_in_log, rank_environment
from lingbot_core.executor.messages import ErrorReport
from lingbot_core.executor.processes import ProcessId, children_of
from lingbot_core.executor.shared_arrays import ArrayFolder, make_private_folder, take
from lingbot_core.executor.worker import WorkerSettings
from lingbot_core.options import Machines, ModelOptions, RunSettings
from lingbot_core.variants import VARIANTS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="several GPUs need Linux")


@pytest.fixture(params=["socket", "loopback"])
def listener(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """A listener on a Unix socket, and where its path would be too long."""
    if request.param == "loopback":
        monkeypatch.setattr(channel_module, "_MAX_SOCKET_PATH", 0)
    listener = Listener(tmp_path)
    assert isinstance(listener.address, str) == (request.param == "socket")
    yield listener
    listener.close()


def accept_while(listener: Listener, client, timeout_sec: float = 5.0):
    """What the listener accepts while ``client`` runs in a thread."""
    thread = threading.Thread(target=client, daemon=True)
    thread.start()
    accepted = listener.accept(timeout_sec)
    thread.join(5)
    return accepted


def test_channel_carries_messages_of_both_ends_and_tells_when_the_other_is_gone(listener: Listener):
    lines = []
    host = accept_while(listener, lambda: lines.append(call(listener.address, listener.key)))
    (rank,) = lines
    assert host is not None
    for dtype in (torch.bfloat16, torch.float32, torch.uint8, torch.bool, torch.float64):
        sent = torch.arange(6).reshape(2, 3).to(dtype).T
        rank.send({"tensor": sent, "empty": torch.empty(0, 3, dtype=dtype)})
        received = host.receive()
        assert torch.equal(received["tensor"], sent) and received["tensor"].dtype == dtype
        assert received["empty"].shape == (0, 3)
    host.send("back")
    assert rank.receive() == "back" and not rank.has_message()
    host.close()
    with pytest.raises(ChannelClosed):
        rank.receive()
    rank.close()


@pytest.mark.parametrize("what", ["wrong key", "noise", "silence", "leaves"])
def test_channel_when_peer_does_not_know_the_key_refuses_it_and_goes_on(
    listener: Listener, what: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(channel_module, "_CHALLENGE_SEC", 1)
    peers = []

    def intrude() -> None:
        if what == "wrong key":
            with pytest.raises(Exception):  # noqa: B017 - whatever the library raises
                call(listener.address, b"guess")
            return
        peer = socket.socket(socket.AF_UNIX if isinstance(listener.address, str) else socket.AF_INET)
        peer.connect(listener.address)
        if what == "noise":
            peer.sendall(b"\x00\x00\x00\x04\x80\x04K\x01" * 4)
        if what == "leaves":
            peer.close()
        peers.append(peer)

    assert accept_while(listener, intrude) is None
    assert accept_while(listener, lambda: peers.append(call(listener.address, listener.key))) is not None


def test_channel_when_the_peer_stops_in_the_middle_of_a_message_does_not_wait_for_ever(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(channel_module, "_STALLED_SEC", 1)
    lines = []
    host = accept_while(listener, lambda: lines.append(call(listener.address, listener.key)))
    assert host is not None
    os.write(lines[0].fileno(), b"\x00\x00\x01\x00half")
    with pytest.raises(ChannelClosed, match="in the middle of a message"):
        host.receive()


def test_channel_when_nobody_calls_does_not_wait_for_ever(listener: Listener):
    assert listener.accept(0.05) is None


def test_private_folder_is_for_this_user_only_and_those_of_ended_hosts_are_removed():
    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    host = ProcessId.of(ended.pid)
    assert host is not None
    old = make_private_folder(host, in_memory=True)
    ended.communicate()
    own = [make_private_folder(ProcessId.own(), in_memory=True) for _ in range(40)]  # names are random
    assert not old.exists() and all(folder.exists() for folder in own)
    assert stat.S_IMODE(own[0].stat().st_mode) == 0o700
    for folder in own:
        folder.rmdir()


@pytest.mark.parametrize("is_full", [False, True])
def test_shared_array_arrives_and_leaves_no_file(tmp_path: Path, is_full: bool):
    spare = tmp_path / "spare"
    spare.mkdir()
    arrays = ArrayFolder(tmp_path / "gone" if is_full else tmp_path, spare)
    frames = np.random.default_rng(0).integers(0, 256, (9, 8, 6, 3), dtype=np.uint8)[:, ::2]
    taken = take(arrays.share(frames))
    assert np.array_equal(taken, frames) and taken.flags.writeable
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["spare"]


def test_process_is_told_from_another_and_from_its_remains():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = ProcessId.of(child.pid)
    assert process is not None and process.is_running() and ProcessId.parse(str(process)) == process
    assert process in children_of(os.getpid())
    assert not ProcessId(child.pid, "0").is_running(), "another process had this pid"
    ProcessId(child.pid, "0").kill()
    assert process.is_running()
    process.kill()
    child.wait(5)
    assert not process.is_running() and ProcessId.of(child.pid) is None


def test_errors_for_the_user_cross_processes_as_they_are():
    for error in (InputError("Wrong.", got="a", need="b", do="Do c."), Cancelled("Stopped."), LingBotError("What.")):
        report = ErrorReport.of(error)
        again = report.as_user_error()
        assert type(again) is type(error) and str(again) == str(error)
    assert ErrorReport.of(RuntimeError("x")).as_user_error() is None
    assert ErrorReport.of(torch.OutOfMemoryError("x")).is_out_of_memory


def test_worker_settings_are_private_and_come_back(tmp_path: Path):
    options = ModelOptions(
        device="cpu", num_gpus=2, model_dirs=(tmp_path,), dit_file=tmp_path / "x", frame_size=(64, 96)
    )
    settings = WorkerSettings("slug", options.to_json(), str(ProcessId.own()), ("127.0.0.1", 1), "00", ("a", "b"))
    settings.write(tmp_path / "settings.json")
    assert stat.S_IMODE((tmp_path / "settings.json").stat().st_mode) == 0o600
    again = WorkerSettings.read(tmp_path / "settings.json")
    assert again == settings and ModelOptions.from_json(again.options) == options
    several = ModelOptions(machines=Machines(2, "host:1234", 1), num_gpus=4)
    assert ModelOptions.from_json(several.to_json()) == several and several.num_ranks == 8


def test_environment_of_ranks_is_the_hosts_without_what_is_the_hosts_alone(tmp_path: Path):
    host = {
        "PATH": "/bin",
        "CUDA_VISIBLE_DEVICES": "2,3",
        "PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync",
        "RANK": "3",
        "TORCHELASTIC_RUN_ID": "x",
        "PYTHONPATH": "/elsewhere",
        "NCCL_SOCKET_IFNAME": "eth7",
    }
    environment = rank_environment(host, ModelOptions(num_gpus=2), tmp_path)
    assert environment["CUDA_VISIBLE_DEVICES"] == "2,3" and environment["PATH"] == "/bin"
    assert environment["PYTHONPATH"].split(os.pathsep) == [str(PACK_FOLDER), "/elsewhere"]
    assert environment["PYTORCH_CUDA_ALLOC_CONF"] == "backend:native"
    assert int(environment["OMP_NUM_THREADS"]) == max(1, (os.cpu_count() or 1) // 2)
    assert not {"RANK", "TORCHELASTIC_RUN_ID"} & set(environment)
    assert environment["GLOO_SOCKET_IFNAME"].startswith("lo") and environment["NCCL_SOCKET_IFNAME"] == "eth7"
    several = ModelOptions(num_gpus=2, machines=Machines(2, "host:1234"))
    assert "GLOO_SOCKET_IFNAME" not in rank_environment({}, several, tmp_path)


def test_exit_code_is_found_in_what_the_elastic_agent_writes():
    log = "E1126 api.py:984] failed (exitcode: -9) local_rank: 1 (pid: 8371) of binary: /usr/bin/python3\n"
    assert exit_code_in_log(log, 8371) == -9 and exit_code_in_log(log, 837) is None
    report = "  rank      : 1 (local_rank: 1)\n  exitcode  : -11 (pid: 45)  (SIGSEGV)\n  exitcode  : 1 (pid: 46) \n"
    assert exit_code_in_log(report, 45) == -11 and exit_code_in_log(report, 46) == 1


def test_last_error_of_a_rank_is_found_in_the_log():
    log = "Traceback (most recent call last):\n  File x\nModuleNotFoundError: No module named 'y'\n"
    log += "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n"
    assert last_error_in_log(log) == "ModuleNotFoundError: No module named 'y'" and not last_error_in_log("fine\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ModelOptions(device="cpu", num_gpus=0), "At least one GPU is needed.*0"),
        (ModelOptions(device="cpu", num_gpus=-2), "At least one GPU is needed.*-2"),
    ],
)
def test_number_of_gpus_that_is_none_gets_one_clear_error(options: ModelOptions, message: str):
    with pytest.raises(InputError, match=message):
        RunSettings.resolve(VARIANTS["lingbot-world-fast"], options)


def test_more_gpus_than_visible_get_one_clear_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    with pytest.raises(InputError, match=r"not so many GPUs.*--num-gpus 4 with 2 CUDA devices visible.*at most 2"):
        RunSettings.resolve(VARIANTS["lingbot-world-fast"], ModelOptions(num_gpus=4))


def test_windows_gets_one_clear_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(InputError, match="Several GPUs cannot work together here.*Windows.*WSL 2"):
        RunSettings.resolve(VARIANTS["lingbot-world-fast"], ModelOptions(device="cpu", num_gpus=2))


@pytest.mark.parametrize("machines", [(1, "host:1"), (2, "host"), (2, ":12"), (2, "host:x")])
def test_machines_that_cannot_meet_get_one_clear_error(machines: tuple[int, str]):
    with pytest.raises(InputError, match="--rdzv-endpoint"):
        Machines(*machines)


def test_worker_failed_says_what_got_and_do():
    assert (
        str(WorkerFailed("Rank 1 of 2 failed.", got="x", do="Run again.")) == "Rank 1 of 2 failed. Got: x. Run again."
    )
