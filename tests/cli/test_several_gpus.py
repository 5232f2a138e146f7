# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""``generate`` on several ranks of this machine, and together with ``worker`` as on several machines."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lingbot_core.cli import main
from lingbot_core.executor.processes import children_of
from tests.cli.test_generate import SLUG, read_stats

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="several GPUs need Linux")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(arguments: list[str], tiny_checkpoint: Path) -> list[str]:
    """A ``generate`` command that runs."""
    return [*arguments, "--checkpoint-root", str(tiny_checkpoint)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_generate_on_two_ranks_goes_on_from_what_one_has_made(command: list[str], tmp_path: Path) -> None:
    others = children_of(os.getpid())  # a ComfyUI server of other tests, for example
    assert main([*command, "--total-blocks", "1"]) == 0
    assert main([*command, "--total-blocks", "2", "--num-gpus", "2"]) == 0
    assert [chunk["reused"] for chunk in read_stats(tmp_path / "outputs")] == [True, False]
    assert set(children_of(os.getpid())) <= set(others)


def test_generate_together_with_a_worker_of_another_machine(
    command: list[str], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    machines = ["--nnodes", "2", "--rdzv-endpoint", f"127.0.0.1:{free_port()}"]
    model = [SLUG, "--device", "cpu", "--checkpoint-root", str(tiny_checkpoint)]
    log_path = tmp_path / "worker.log"
    with log_path.open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "lingbot_core", "worker", *model, *machines], cwd=ROOT, stdout=log, stderr=log
        )
    try:
        for total_blocks in ("1", "2"):  # the worker joins the second group as well
            assert main([*command, *machines, "--total-blocks", total_blocks]) == 0, log_path.read_text()
        assert [chunk["reused"] for chunk in read_stats(tmp_path / "outputs")] == [True, False]
        deadline = time.monotonic() + 30
        while "The group has ended." not in log_path.read_text():
            assert time.monotonic() < deadline, log_path.read_text()
            time.sleep(0.1)
        ranks = children_of(worker.pid)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(15) == 128 + signal.SIGTERM, log_path.read_text()
        assert not any(rank.is_running() for rank in ranks)
    finally:
        for process in children_of(worker.pid):
            process.kill()
        worker.kill()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-gpus", "0"], "At least one GPU is needed. Got: --num-gpus 0."),
        (["--num-gpus", "7"], "The work of this model cannot be shared by 7 GPUs."),
        (["--nnodes", "2"], "Several machines need to know where to meet. Got: --nnodes 2 and no --rdzv-endpoint."),
        (
            ["--rdzv-endpoint", "a:1"],
            "Several machines need to know where to meet. Got: --nnodes 1 and --rdzv-endpoint.",
        ),
        (["--nnodes", "2", "--rdzv-endpoint", "a"], "The machines are not named as they should be."),
    ],
)
def test_generate_with_a_number_that_cannot_be_exits_with_2(
    command: list[str], capsys: pytest.CaptureFixture, options: list[str], message: str
) -> None:
    assert main([*command, *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--nnodes", "2", "--rdzv-endpoint", "a:1", "--node-rank", "0"]])
def test_worker_alone_or_as_the_first_machine_exits_with_2(capsys: pytest.CaptureFixture, options: list[str]) -> None:
    assert main(["worker", SLUG, "--device", "cpu", *options]) == 2
    assert "A worker is one of several machines." in capsys.readouterr().err
