# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The executor of several GPUs with a checkpoint from files, on two GPUs; on two CPU ranks the same code is checked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from lingbot_core.camera.presets import make_preset
from lingbot_core.errors import WorkerFailed
from lingbot_core.executor.base import RolloutRequest, TextEvent
from lingbot_core.executor.local import LocalExecutor
from lingbot_core.executor.process_group import ProcessGroupExecutor
from lingbot_core.journal import Journal
from lingbot_core.loader import load_model
from lingbot_core.options import ModelOptions
from lingbot_core.variants import VARIANTS

VARIANT = VARIANTS["lingbot-world-fast-taehv-window15-sink3"]
NUM_CHUNKS = 4
IDLE_SEC = 5.0

MIB = 2**20


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.multigpu)])
def options(request: pytest.FixtureRequest, tiny_checkpoint: Path) -> ModelOptions:
    """Two ranks, in the usual precision of the device."""
    return ModelOptions(device=request.param, num_gpus=2, checkpoint_root=tiny_checkpoint, frame_size=(64, 96))


@pytest.fixture(scope="module")
def executor(options: ModelOptions) -> Iterator[ProcessGroupExecutor]:
    executor = ProcessGroupExecutor(VARIANT, options)
    yield executor
    executor.close()


def make_request(seed: int, num_chunks: int = NUM_CHUNKS) -> RolloutRequest:
    photo = torch.randint(0, 256, (64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    camera = make_preset("walk-forward", NUM_CHUNKS)
    return RolloutRequest(photo, camera, (TextEvent(0, "a street"),), num_chunks, seed)


def free_bytes(options: ModelOptions) -> list[int]:
    """Free memory of each GPU."""
    assert options.device is not None
    return [torch.cuda.mem_get_info(index)[0] for index in range(2)] if options.device == "cuda" else []


def test_two_ranks_give_what_one_device_gives(executor: ProcessGroupExecutor, options: ModelOptions, tmp_path: Path):
    alone_options = ModelOptions(
        device=options.device, checkpoint_root=options.checkpoint_root, frame_size=options.frame_size
    )
    alone = list(LocalExecutor(load_model(VARIANT, alone_options)).stream(make_request(1)))
    executor.store = Journal(tmp_path / "journal")
    together = list(executor.stream(make_request(1)))
    assert [chunk.key for chunk in together] == [chunk.key for chunk in alone]
    for chunk, other in zip(together, alone, strict=True):
        error = float((chunk.latents.double() - other.latents.double()).norm() / other.latents.double().norm())
        print(f"{options.device}, chunk {chunk.index}: {error:.1e}")
        assert error <= (1e-2 if options.device == "cuda" else 5e-6)
        assert chunk.frames.shape == other.frames.shape


def test_idle_ranks_sleep_and_close_gives_everything_back(executor: ProcessGroupExecutor, options: ModelOptions):
    executor.close()
    before = free_bytes(options)
    list(executor.stream(make_request(2)))
    assert executor._group is not None
    ranks = [psutil.Process(process.pid) for process in executor._group.processes[1:]]
    assert len(ranks) == 2

    def cpu_sec() -> list[float]:
        return [sum(rank.cpu_times()[:2]) for rank in ranks]

    first = cpu_sec()
    time.sleep(IDLE_SEC)
    used = [(now - then) / IDLE_SEC for now, then in zip(cpu_sec(), first, strict=True)]
    print(f"{options.device}: idle ranks use {', '.join(f'{share:.1%}' for share in used)} of a core")
    assert max(used) < 0.02
    executor.close()
    assert not any(rank.is_running() and rank.status() != psutil.STATUS_ZOMBIE for rank in ranks)
    for now, then in zip(free_bytes(options), before, strict=True):
        assert now > then - 16 * MIB


def test_killed_rank_is_told_and_the_next_request_goes_on(executor: ProcessGroupExecutor, tmp_path: Path):
    executor.store = Journal(tmp_path / "journal")
    whole = list(executor.stream(make_request(3)))
    executor.store = Journal(tmp_path / "other")
    executor.start()
    assert executor._group is not None
    victim, killed_sec = executor._group.processes[2], 0.0
    with pytest.raises(WorkerFailed, match="Rank 1 of 2 failed.*signal 9"):
        for chunk in executor.stream(make_request(3)):
            if chunk.index == 0:
                victim.kill()
                killed_sec = time.monotonic()
    assert time.monotonic() - killed_sec < 15
    again = list(executor.stream(make_request(3)))
    assert again[0].reused and len(again) == NUM_CHUNKS
    for chunk, other in zip(again, whole, strict=True):
        assert torch.equal(chunk.latents, other.latents)
