# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Processes that fail at any moment: one clear error in time, nothing left behind, and the next request goes on."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from lingbot_core.errors import LingBotError, WorkerFailed
from lingbot_core.executor.failures import Timeouts
from lingbot_core.executor.process_group import ProcessGroupExecutor
from lingbot_core.executor.processes import ProcessId, children_of
from lingbot_core.journal import Journal
from lingbot_core.options import ModelOptions
from lingbot_core.variants import VARIANTS
from tests.tiny_engine import assert_same_chunks, make_request, run
from tests.worker_models import FAULT_VARIABLE, write_fault

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="several GPUs need Linux")

NUM_CHUNKS = 4

REPORT_SEC = 15.0
"""A failure is told by then."""

TIMEOUTS = Timeouts(heartbeat_sec=6, pass_sec=4, standstill_sec=5)
"""Shorter than the usual ones, long for a busy machine."""


@pytest.fixture(scope="module")
def fault_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where processes look for a fault."""
    path = tmp_path_factory.mktemp("fault") / "fault.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FAULT_VARIABLE, str(path))
        yield path


@pytest.fixture(scope="module")
def executor(fault_path: Path) -> Iterator[ProcessGroupExecutor]:
    """The executor of all tests: each fault ends a group, and the check after it starts the next test's."""
    variant = VARIANTS["lingbot-world-fast-taehv-window15-sink3"]
    options = ModelOptions(device="cpu", num_gpus=2)
    others = children_of(os.getpid())  # a ComfyUI server of other tests, for example
    executor = ProcessGroupExecutor(variant, options, timeouts=TIMEOUTS, models_module="tests.worker_models")
    yield executor
    executor.close()
    assert set(children_of(os.getpid())) <= set(others)


@pytest.fixture(scope="module")
def whole(executor: ProcessGroupExecutor):
    """A rollout that nothing disturbed."""
    return run(executor, make_request(NUM_CHUNKS))


@pytest.fixture(autouse=True)
def fresh_journal(executor: ProcessGroupExecutor, whole, tmp_path: Path) -> None:
    """Nothing is known when a test begins."""
    executor.store = Journal(tmp_path / "journal")


def private_files() -> set[Path]:
    """Folders of ours in shared memory and in the temporary folder."""
    import tempfile

    return {
        path for parent in ("/dev/shm", tempfile.gettempdir()) for path in Path(parent).glob(f"*-{os.getpid()}-*_*")
    }


def fail_while_running(
    executor: ProcessGroupExecutor, num_chunks: int, do: Callable[[], None]
) -> tuple[LingBotError, float, list[ProcessId]]:
    """Run a request, do something behind the first chunk, and tell how and when the run failed, and who ran it."""
    done_sec, processes, num_seen = time.monotonic(), [], 0
    with pytest.raises(LingBotError) as caught:
        executor.start()
        processes = [] if executor._group is None else executor._group.processes
        done_sec = time.monotonic()
        for _ in executor.stream(make_request(num_chunks)):
            num_seen += 1
            if num_seen == 1:
                do()
                done_sec = time.monotonic()
    return caught.value, time.monotonic() - done_sec, processes


def expect_recovery(executor: ProcessGroupExecutor, whole, processes: list[ProcessId], least_known: int) -> None:
    """Nothing is left of a group, and the next request goes on from what it has finished, bit for bit."""
    assert not any(process.is_running() for process in processes)
    assert not executor.is_ready and executor.num_bytes == 0 and not private_files()
    chunks = run(executor, make_request(NUM_CHUNKS))
    assert_same_chunks(chunks, whole)
    assert sum(chunk.reused for chunk in chunks) >= least_known
    assert len(private_files()) == 2


@pytest.mark.parametrize(
    ("index", "signal_number", "message"),
    [
        (1, signal.SIGKILL, r"Rank 0 of 2 failed. Got: its process was ended by signal 9 \(SIGKILL\).*run again"),
        (2, signal.SIGKILL, r"Rank 1 of 2 failed. Got: its process was ended by signal 9 \(SIGKILL\).*run again"),
        (2, signal.SIGSTOP, r"Rank 1 of 2 failed. Got: it hangs: no sign of life for \d s"),
        (0, signal.SIGKILL, r"The process that starts the ranks failed. Got: .*signal 9 \(SIGKILL\)"),
    ],
    ids=["rank-0-killed", "rank-1-killed", "rank-1-stopped", "agent-killed"],
)
def test_process_that_is_killed_or_stopped_while_it_runs(executor, whole, index: int, signal_number: int, message: str):
    executor.start()
    victim = executor._group.processes[index]
    # long enough to be at work when it happens
    error, sec, processes = fail_while_running(executor, 300, lambda: os.kill(victim.pid, signal_number))
    assert isinstance(error, WorkerFailed) and sec < REPORT_SEC
    with pytest.raises(WorkerFailed, match=message):
        raise error
    expect_recovery(executor, whole, processes, 1)


@pytest.mark.parametrize(
    ("rank", "where", "what", "count", "message"),
    [
        (1, "pass", "raise", 7, r"Rank 1 of 2 failed. Got: RuntimeError: something broke"),
        (0, "pass", "raise", 8, r"Rank 0 of 2 failed. Got: RuntimeError: something broke"),
        (1, "exchange", "kill", 60, r"Rank 1 of 2 failed. Got: its process was ended by signal 9"),
        (1, "pass", "hang", 7, r"Rank 1 of 2 failed. Got: it hangs in _fail: nothing was done for \d+ s"),
        (0, "decode", "memory", 1, r"Rank 0 of 2 failed. Got: OutOfMemoryError: CUDA out of memory.*more GPUs"),
    ],
    ids=["raise-on-rank-1", "raise-on-rank-0", "killed-in-exchange", "hang-in-pass", "out-of-memory-in-decode"],
)
def test_fault_in_a_chunk(executor, whole, fault_path: Path, rank, where, what, count, message: str):
    if what == "hang":  # what a pass takes has to be known
        run(executor, replace(make_request(3), seed=9))
    write_fault(fault_path, rank, where, what, count)
    start_sec = time.monotonic()
    error, _, processes = fail_while_running(executor, NUM_CHUNKS, lambda: None)
    assert time.monotonic() - start_sec < REPORT_SEC
    with pytest.raises(WorkerFailed, match=message):
        raise error
    if what in ("raise", "memory"):
        assert "_fail" in str(error.__cause__), "the traceback of the process is the cause"
    expect_recovery(executor, whole, processes, 1)


@pytest.mark.parametrize(
    ("rank", "what", "message"),
    [
        (1, "memory", r"Rank 1 of 2 failed. Got: OutOfMemoryError: CUDA out of memory"),
        (0, "kill", r"Rank 0 of 2 failed. Got: its process was ended by signal 9"),
        (1, "hang", r"Rank 1 of 2 failed. Got: it hangs in _fail: nothing was done for \d s"),
    ],
    ids=["out-of-memory", "killed", "hang"],
)
def test_fault_while_loading(executor, whole, fault_path: Path, rank: int, what: str, message: str):
    executor.close()
    write_fault(fault_path, rank, "load", what)
    with pytest.raises(WorkerFailed, match=message):
        run(executor, make_request(NUM_CHUNKS))
    expect_recovery(executor, whole, [], 0)


@pytest.mark.parametrize(("rank", "where"), [(0, "pass"), (1, "exchange"), (0, "decode")])
def test_hang_in_the_first_chunk_when_nothing_is_known_of_how_long_it_takes(
    executor, whole, fault_path: Path, rank: int, where: str
):
    executor.close()
    executor.start()
    assert TIMEOUTS.first_pass_sec > 60 and executor._pace.num_chunks == 0
    write_fault(fault_path, rank, where, "hang")
    start_sec = time.monotonic()
    with pytest.raises(WorkerFailed, match=rf"Rank {rank} of 2 failed. Got: it hangs in _fail: nothing was done"):
        run(executor, make_request(NUM_CHUNKS))
    assert time.monotonic() - start_sec < REPORT_SEC
    expect_recovery(executor, whole, [], 0)


@pytest.mark.parametrize("index", [0, 2], ids=["agent", "rank-1"])
def test_process_that_is_killed_while_idle_costs_the_next_request_nothing(executor, whole, index: int, caplog):
    run(executor, make_request(2))
    processes = executor._group.processes
    processes[index].kill()
    time.sleep(0.2)
    with caplog.at_level(logging.WARNING):
        chunks = run(executor, make_request(NUM_CHUNKS))
    assert "failed. Got: its process was ended by signal 9" in caplog.text and "started anew" in caplog.text
    assert_same_chunks(chunks, whole)
    assert not any(process.is_running() for process in processes)


def test_group_when_closed_while_a_request_runs_ends_it_with_one_error(executor, whole):
    stream = executor.stream(make_request(NUM_CHUNKS))
    next(stream)
    processes = executor._group.processes
    executor._group.close()
    with pytest.raises(WorkerFailed), suppress(StopIteration):
        while True:
            next(stream)
    expect_recovery(executor, whole, processes, 1)
