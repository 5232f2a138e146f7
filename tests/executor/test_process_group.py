# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The life of a group of processes: how it starts, idles, ends with its host, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from lingbot_core.errors import Cancelled, InputError, WeightsError
from lingbot_core.executor.failures import Timeouts
from lingbot_core.executor.process_group import ProcessGroupExecutor
from lingbot_core.executor.processes import ProcessId, children_of
from lingbot_core.options import ModelOptions
from lingbot_core.variants import VARIANTS
from tests.tiny_engine import assert_same_chunks, make_request, run
from tests.worker_models import SLOW_VARIABLE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="several GPUs need Linux")

ROOT = Path(__file__).parents[2]
VARIANT = VARIANTS["lingbot-world-fast-taehv-window15-sink3"]
TWO = ModelOptions(device="cpu", num_gpus=2)

HOST_GONE_SEC = 10.0
"""Nothing is left by then after a host was killed."""

IDLE_SEC = 8.0
"""Longer than any time that a silent host gets below."""

HOST_SCRIPT = """
import sys, time
from lingbot_core.executor.process_group import ProcessGroupExecutor
from tests.executor.test_process_group import TWO, VARIANT
from tests.tiny_engine import make_request
executor = ProcessGroupExecutor(VARIANT, TWO, models_module="tests.worker_models")
executor.start()
print(*executor._group.processes, executor._group._folder, executor._group._arrays, flush=True)
if sys.argv[1] == "runs":
    for chunk in executor.stream(make_request(1000)):
        print(chunk.index, flush=True)
elif sys.argv[1] == "idles":
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def executor() -> Iterator[ProcessGroupExecutor]:
    """A group that most tests share, with short times for everything that a silent process gets."""
    others = children_of(os.getpid())  # a ComfyUI server of other tests, for example
    timeouts = Timeouts(first_pass_sec=IDLE_SEC - 2, heartbeat_sec=5, load_sec=60)
    executor = ProcessGroupExecutor(VARIANT, TWO, timeouts=timeouts, models_module="tests.worker_models")
    executor.start()
    yield executor
    assert executor._group is not None
    processes = executor._group.processes
    executor.close()
    assert len(processes) == 3 and not any(process.is_running() for process in processes)
    assert set(children_of(os.getpid())) <= set(others)


def start_host(what: str) -> tuple[subprocess.Popen[str], list[ProcessId], list[Path]]:
    """A host process with a group of its own; its processes and its private folders."""
    host = subprocess.Popen(
        [sys.executable, "-c", HOST_SCRIPT, what],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert host.stdout is not None
    parts = host.stdout.readline().split()
    return host, [ProcessId.parse(text) for text in parts[:3]], [Path(text) for text in parts[3:]]


def seconds_until_gone(processes: list[ProcessId]) -> float:
    start_sec = time.monotonic()
    while any(process.is_running() for process in processes):
        assert time.monotonic() - start_sec < 3 * HOST_GONE_SEC, processes
        time.sleep(0.05)
    return time.monotonic() - start_sec


@pytest.mark.parametrize("what", ["runs", "idles"])
def test_host_that_is_killed_takes_its_processes_with_it_and_another_host_is_not_touched(
    executor: ProcessGroupExecutor, what: str
):
    first = run(executor, make_request(2))
    host, processes, folders = start_host(what)
    assert len(processes) == 3 and all(process.is_running() for process in processes)
    assert len(folders) == 2 and all(folder.is_dir() for folder in folders)
    if what == "runs":
        assert host.stdout is not None and host.stdout.readline().strip() == "0"
    assert_same_chunks(run(executor, make_request(2)), first)  # both at once
    host.kill()
    assert seconds_until_gone(processes) < HOST_GONE_SEC
    host.wait(5)
    assert not any(folder.exists() for folder in folders)
    assert executor.is_ready
    assert_same_chunks(run(executor, make_request(2)), first)


def test_host_that_ends_by_itself_takes_its_processes_with_it():
    host, processes, folders = start_host("ends")
    assert host.wait(30) == 0
    assert seconds_until_gone(processes) < HOST_GONE_SEC
    assert not any(folder.exists() for folder in folders)


def test_idle_group_uses_next_to_no_processor_and_works_after_a_long_time(executor: ProcessGroupExecutor):
    executor.start()
    group = executor._group
    assert group is not None
    first, before = run(executor, make_request(2)), group.processes
    processes = [psutil.Process(process.pid) for process in before]

    def used_sec() -> list[float]:
        return [times.user + times.system for times in (process.cpu_times() for process in processes)]

    time.sleep(0.5)  # what the request left to do
    start_sec, start_used = time.monotonic(), used_sec()
    time.sleep(IDLE_SEC)
    shares = [(end - start) / (time.monotonic() - start_sec) for start, end in zip(start_used, used_sec(), strict=True)]
    assert max(shares[1:]) < 0.02, "a rank"
    assert shares[0] < 0.1, "the elastic agent, which looks at its children ten times a second"
    assert_same_chunks(run(executor, make_request(2)), first)
    assert group.processes == before, "the same processes"


def test_consumer_that_takes_long_over_a_chunk_is_waited_for(executor: ProcessGroupExecutor):
    stream = executor.stream(replace(make_request(5), seed=7))
    assert next(stream).index == 0
    time.sleep(IDLE_SEC)
    assert [chunk.index for chunk in stream] == [1, 2, 3, 4]


def test_ranks_are_a_session_of_their_own_with_a_silent_standard_input(executor: ProcessGroupExecutor):
    executor.start()
    assert executor._group is not None
    agent, *ranks = executor._group.processes
    assert len(ranks) == 2
    for process in (agent, *ranks):
        assert os.getsid(process.pid) == process.pid != os.getsid(0)
        assert os.readlink(f"/proc/{process.pid}/fd/0") == "/dev/null" if sys.platform == "linux" else True


def test_host_is_not_signalled_and_its_handlers_are_its_own(executor: ProcessGroupExecutor):
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


def test_room_is_made_and_progress_of_loading_is_told():
    said, rooms = [], []
    executor = ProcessGroupExecutor(
        VARIANT, TWO, say=said.append, make_room=rooms.append, models_module="tests.worker_models"
    )
    assert executor.num_bytes == 0 and not said, "nothing is started before it is needed"
    executor.start()
    assert said == ["Loading the tiny model"] and rooms == [1000]
    executor.close()
    executor.close()
    assert executor.num_bytes == 0 and not executor.is_ready


def test_start_when_cancelled_ends_the_processes_at_once_and_the_next_one_works(monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    executor = ProcessGroupExecutor(VARIANT, TWO, say=said.append, models_module="tests.worker_models")
    monkeypatch.setenv(SLOW_VARIABLE, "1")
    groups, asked_sec = [], 0.0

    def cancelled() -> bool:
        nonlocal asked_sec
        if said and not asked_sec:
            assert executor._group is not None
            groups.extend(executor._group.processes)
            asked_sec = time.monotonic()
        return bool(said)

    with pytest.raises(Cancelled, match="the model was loaded"):
        executor.start(cancelled)
    assert time.monotonic() - asked_sec < 4
    assert groups and not any(process.is_running() for process in groups)
    assert not executor.is_ready and executor.num_bytes == 0
    monkeypatch.delenv(SLOW_VARIABLE)
    assert len(run(executor, make_request(1), cancelled=lambda: False)) == 1
    executor.close()


def test_model_that_cannot_be_shared_or_found_is_refused_before_anything_starts(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("lingbot_core.executor.process_group.WorkerGroup", lambda *_: pytest.fail("started"))
    three = ModelOptions(device="cpu", num_gpus=7, checkpoint_root=tiny_checkpoint)
    with pytest.raises(InputError, match=r"cannot be shared by 7 GPUs.*attention heads.*divides them: 1, "):
        ProcessGroupExecutor(VARIANT, three).start()
    missing = replace(TWO, checkpoint_root=tmp_path)
    with pytest.raises(WeightsError):
        ProcessGroupExecutor(VARIANT, missing).start()
