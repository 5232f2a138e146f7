# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Several ranks on the CPU, as processes that talk by Gloo, against one."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from subprocess import Popen

import pytest
import torch
from safetensors.torch import load_file

from lingbot_core import convert, options
from lingbot_core.context_parallel import ONE_RANK
from lingbot_core.executor.local import LocalExecutor
from lingbot_core.executor.rank_group import RankGroup
from lingbot_core.journal import Journal
from lingbot_core.loader import random_model
from tests import rank_programs
from tests.rank_programs import ROLLOUTS, finish, rollout, start
from tests.tiny_engine import FOUR_HEADS, build_model

MAX_ERROR = {"bf16": 1e-2, "fp8": 1e-2}
"""Relative L2 error of a chunk's latents; of others, 5e-6."""

NUM_JOURNAL_CHUNKS = 4
"""Made by one rank before others go on."""

ON_TWO = list(ROLLOUTS)
ON_FOUR = ["sink", "long_window", "few_tokens"]

WAITING = ["damaged", "idle", "silence"]
"""Programs that mostly sleep."""

SILENCE_SEC = 3.0
"""Patience of those."""


@cache
def made_by_one_rank(name: str) -> rank_programs.Latents:
    """What one rank makes of a program."""
    make_model, make, snapshot_gib = ROLLOUTS[name]
    return make(LocalExecutor(make_model(), snapshot_budget_gib=snapshot_gib))


@pytest.fixture(scope="module", autouse=True)
def waiting(tmp_path_factory: pytest.TempPathFactory):
    """Processes that sleep beside the other tests, and the folder of their results."""
    folder = tmp_path_factory.mktemp("waiting")
    processes = start(2, folder, WAITING, LINGBOT_TEST_SILENCE_SEC=str(SILENCE_SEC))
    yield processes, folder
    for process in processes:
        process.kill()


@pytest.fixture(scope="module")
def waited(waiting: tuple[list[Popen[str]], Path]) -> Path:
    """The folder of results of those that sleep."""
    for code, errors in finish(waiting[0]):
        assert code == 0, errors
    return waiting[1]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path):
    """Folder of what 2 and 4 ranks have made, by their number."""
    folders = {size: tmp_path_factory.mktemp(f"ranks{size}") for size in (2, 4)}
    journal = Journal(folders[2] / "journal")
    rollout(LocalExecutor(build_model(config=FOUR_HEADS), journal), num_chunks=NUM_JOURNAL_CHUNKS)
    for size, names in ((2, [*ON_TWO, "random", "load"]), (4, ON_FOUR)):
        for code, errors in finish(start(size, folders[size], names, LINGBOT_TEST_CHECKPOINT=str(tiny_checkpoint))):
            assert code == 0, errors
    return folders


@pytest.mark.parametrize(
    ("name", "num_ranks"), [(name, 2) for name in ON_TWO] + [(name, 4) for name in ON_FOUR], ids=str
)
def test_latents_equal_those_of_one_rank(results: dict[int, Path], name: str, num_ranks: int) -> None:
    actual, expected = load_file(results[num_ranks] / f"{name}.safetensors"), made_by_one_rank(name)
    assert actual.keys() == expected.keys()
    errors = {part: relative_error(actual[part], expected[part]) for part in expected}
    print(f"{name}, {num_ranks} ranks: {max(errors.values()):.1e}")
    assert max(errors.values()) <= MAX_ERROR.get(name, 5e-6), errors


def test_rollout_begun_on_one_rank_goes_on_from_its_journal(results: dict[int, Path]) -> None:
    """Known chunks are taken as they are, bit for bit; that the rest fits is shown above."""
    actual, expected = load_file(results[2] / "journal.safetensors"), made_by_one_rank("journal")
    same = [torch.equal(actual[f"chunk{index}"], expected[f"chunk{index}"]) for index in range(len(expected))]
    assert same[:NUM_JOURNAL_CHUNKS] == [True] * NUM_JOURNAL_CHUNKS


def test_random_weights_are_equal_on_all_ranks(results: dict[int, Path]) -> None:
    first, second = (load_file(results[2] / f"random.{rank}.safetensors") for rank in range(2))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_checkpoint_is_read_once_by_all_ranks_together(
    results: dict[int, Path], tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINGBOT_TEST_CHECKPOINT", str(tiny_checkpoint))
    for module, name in ((convert, "MIN_BYTES"), (options, "_check_fp8")):
        monkeypatch.setattr(module, name, getattr(module, name))  # what the program sets is undone behind the test
    folder = results[2]
    rank_programs.load(RankGroup(ONE_RANK, None, torch.device("cpu")), folder)
    alone, first, second = (
        Counter(json.loads((folder / f"read{name}.json").read_text())) for name in ("1.0", "2.0", "2.1")
    )
    network = {name for name in alone if "blocks." in name and "encoder" not in name} & second.keys()
    assert len(network) > 20 and set(second) <= set(alone)
    assert first + second == alone, "every tensor is read as often as by one rank"
    assert not first.keys() & second.keys()
    weights = [load_file(folder / f"weights{name}.safetensors") for name in ("1.0", "2.0", "2.1")]
    assert all(torch.equal(weights[0][name], other[name]) for other in weights[1:] for name in weights[0])
    copies = [next((folder / f"cache{size}").rglob("*.safetensors")).read_bytes() for size in (1, 2)]
    assert copies[0] == copies[1]


def test_failing_rank_ends_the_request_and_no_other_is_begun(tmp_path: Path) -> None:
    (code, errors), (other_code, other_errors) = finish(start(2, tmp_path, ["failure"]))
    assert code == 0, errors
    assert other_code != 0 and "MemoryError: there is none left" in other_errors
    took_sec, is_broken, message = (tmp_path / "failure.txt").read_text().split(" ", 2)
    assert float(took_sec) < 20 and is_broken == "True" and "out of step" in message


def test_first_rank_that_finds_no_files_says_so_and_the_others_leave(waited: Path) -> None:
    assert (waited / "damaged.0.txt").read_text() == "WeightsError: The file x is missing."
    assert (waited / "damaged.1.txt").read_text().startswith("GroupStopped")


def test_ranks_outlast_idle_times_beyond_their_patience_asleep(waited: Path) -> None:
    assert len(load_file(waited / "idle.safetensors")) == 1
    assert float((waited / "idle.1.txt").read_text()) < 0.7 * SILENCE_SEC  # of 3 * SILENCE_SEC, all when spinning


def test_rank_gives_up_when_the_first_one_is_silent(waited: Path) -> None:
    took_sec, message = (waited / "silence.1.txt").read_text().split(" ", 1)
    assert 0.5 * SILENCE_SEC < float(took_sec) < 2 * SILENCE_SEC and "cannot be heard" in message


@pytest.mark.multigpu
@pytest.mark.parametrize("graphs", ["1", "0"])
def test_latents_of_two_gpus_equal_those_of_one(tmp_path: Path, monkeypatch, graphs: str) -> None:
    limits = {"fp32": 5e-6, "bf16": 1e-2} | ({"fp8": 5e-2} if torch.cuda.get_device_capability() >= (8, 9) else {})
    monkeypatch.setenv("LINGBOT_CUDA_GRAPHS", graphs)
    names = [f"gpu_{precision}" for precision in limits]
    for code, errors in finish(start(2, tmp_path, names, LINGBOT_TEST_DEVICE="cuda")):
        assert code == 0 and "graphs do not work" not in errors, errors
    for precision, limit in limits.items():
        choices = rank_programs.gpu_options(precision, torch.device("cuda", 0))
        executor = LocalExecutor(random_model(rank_programs.GPU_VARIANT, choices, size="small"))
        expected = rollout(executor, rank_programs.GPU_SIZE)
        actual = load_file(tmp_path / f"gpu_{precision}.safetensors")
        error = max(relative_error(actual[part], expected[part].cpu()) for part in expected)
        print(f"{precision}, 2 GPUs, graphs {graphs}: {error:.1e}")
        assert error <= limit


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual.double() - expected.double()).norm() / expected.double().norm())
