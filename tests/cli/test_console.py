# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What the user sees, and stopping."""

from __future__ import annotations

import logging
import os
import signal

import pytest

from lingbot_core.cli.console import ChunkBar, StopRequest, configure_logging
from lingbot_core.executor.base import PassProgress
from lingbot_core.stats import ChunkStats


def stats(reused: bool = False) -> ChunkStats:
    return ChunkStats(0, 1.0, 1500.0, 100.0, 200.0, 3.25, 4.0, 5.0, 2000.0, num_frames=12, reused=reused)


def test_stop_request_on_first_signal_sets_the_flag_and_restores_the_handler(capsys: pytest.CaptureFixture) -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        assert stop.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert "Stopping" in capsys.readouterr().err


def test_stop_request_on_second_signal_interrupts_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), StopRequest():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_stop_request_on_termination_gives_its_exit_code() -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop(), stop.exit_code) == (True, 143)


def test_chunk_bar_shows_chunk_time_rate_and_memory(capsys: pytest.CaptureFixture) -> None:
    with ChunkBar(2) as bar:
        bar.on_pass(PassProgress(chunk_index=0, num_chunks=2, pass_index=3, num_passes=5))
        bar.on_chunk(stats())
        bar.on_pass(PassProgress(1, 2, 1, 1, replaying=True))
        bar.on_chunk(stats(reused=True))
    shown = capsys.readouterr().err
    for text in ("2000 ms/chunk", "6.00 fps", "3.2 GiB", "from the journal", "2/2"):
        assert text in shown, shown


def test_configured_logging_shows_warnings_only_unless_verbose(capsys: pytest.CaptureFixture) -> None:
    configure_logging(verbose=False)
    logging.getLogger("lingbot_core.some").info("detail")
    logging.getLogger("lingbot_core.some").warning("look out")
    assert capsys.readouterr().err == "warning: look out\n"
    configure_logging(verbose=True)
    logging.getLogger("lingbot_core.some").info("detail")
    assert capsys.readouterr().err == "detail\n"
