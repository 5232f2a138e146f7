# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Programs that tests run on several ranks, each in a process of its own: ``python -m tests.rank_programs``.

Arguments: the folder for results, then names of programs, which run one after the other in one group.
Rank and address come in torch elastic's environment variables. Rank 0 writes what it has made to
``<folder>/<program>.safetensors``.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import Tensor

from lingbot_core import convert, readers
from lingbot_core import options as run_options
from lingbot_core.camera.presets import make_preset
from lingbot_core.errors import Cancelled, LingBotError, WeightsError
from lingbot_core.executor import rank_group
from lingbot_core.executor.base import ChunkResult, PassProgress, TextEvent
from lingbot_core.executor.local import LocalExecutor
from lingbot_core.executor.ranks import GroupStopped, RankGroup, follow, lead, load_on_ranks
from lingbot_core.journal import Journal
from lingbot_core.loader import (
    LoadedModel,
    LoadedNetwork,
    ModelOptions,
    load_model,
    load_network,
    random_model,
    random_network,
)
from lingbot_core.models.dit import LingBotDiT
from lingbot_core.random_weights import fill_random
from lingbot_core.variants import VARIANTS
from lingbot_core.weight_stream import materialize
from tests.tiny_engine import FOUR_HEADS, bent_path, build_model, make_request

ROOT = Path(__file__).parent.parent
NUM_CHUNKS = 9
ODD_SIZE = (48, 48)
"""27 tokens: neither 2 nor 4 ranks divide them."""
GPU_SIZE = (48, 80)
"""45 tokens."""
GPU_VARIANT = VARIANTS["lingbot-world-fast-taehv-window15-sink3"]
FEW_TOKENS = (16, 48)
"""9 tokens: of four ranks, the last one has none but padding."""

Latents = dict[str, Tensor]


def photo(height: int, width: int) -> Tensor:
    """A noisy photo."""
    return torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def latents(chunks: list[ChunkResult]) -> Latents:
    """Latents by chunk index."""
    return {f"chunk{chunk.index}": chunk.latents.clone() for chunk in chunks}


# --- rollouts: the same functions make what a single rank makes --------------------------


def rollout(executor: LocalExecutor, size: tuple[int, int] = ODD_SIZE, num_chunks: int = NUM_CHUNKS) -> Latents:
    """A rollout in one call."""
    path = make_preset("walk-forward", NUM_CHUNKS)
    return latents(list(executor.stream(make_request(num_chunks, path, photo=photo(*size)))))


def events(executor: LocalExecutor) -> Latents:
    """Another text from chunk 2 on, then the first one again."""
    text = TextEvent(0, "a street"), TextEvent(2, "a storm"), TextEvent(4, "a street")
    return latents(list(executor.stream(make_request(5, text=text))))


def wandering(executor: LocalExecutor) -> Latents:
    """A bend past eviction, by way of a snapshot or a replay; the newest chunk redone; another size; and back."""
    straight = make_preset("walk-forward", 8)
    list(executor.stream(make_request(5, straight)))
    list(executor.stream(make_request(8, straight)))
    bent = latents(list(executor.stream(make_request(8, bent_path(8, 5)))))
    redone = latents(list(executor.stream(make_request(8, bent_path(8, 7)))))
    rollout(executor, FEW_TOKENS, 2)
    again = latents(list(executor.stream(make_request(9, bent_path(9, 5)))))
    parts = {"bent": bent, "redone": redone, "again": again}
    return {f"{part}.{name}": x for part, values in parts.items() for name, x in values.items()}


def interrupted(executor: LocalExecutor) -> Latents:
    """Stopped between passes in chunk 1, in the middle of listening in chunk 2, then made to the end."""
    passes: list[PassProgress] = []
    try:
        list(executor.stream(make_request(4), on_progress=passes.append, cancelled=lambda: len(passes) == 7))
    except Cancelled:
        assert len(passes) == 7, passes
    stream = executor.stream(make_request(4))
    next(stream)
    next(stream)
    stream.close()
    executor.close()
    return latents(list(executor.stream(make_request(4))))


def fp8_model() -> LoadedModel:
    """A model with random weights in 8 bits, which the CPU multiplies by way of float32."""
    model = build_model(dtype=torch.bfloat16, config=FOUR_HEADS)
    with torch.device("meta"):
        dit = LingBotDiT(FOUR_HEADS, fp8=True)
    materialize(dit, torch.device("cpu"), torch.bfloat16)
    fill_random(dit.checkpoint_views(), 0)
    return replace(model, dit=dit, precision="fp8")


ROLLOUTS: dict[str, tuple[Callable[[], LoadedModel], Callable[[LocalExecutor], Latents], float]] = {
    "sink": (lambda: build_model(15, 3, config=FOUR_HEADS), rollout, 0),
    "long_window": (lambda: build_model(63, 0, config=FOUR_HEADS), rollout, 0),
    "bf16": (
        lambda: build_model(dtype=torch.bfloat16, config=FOUR_HEADS),
        lambda executor: rollout(executor, num_chunks=5),
        0,
    ),
    "fp8": (fp8_model, lambda executor: rollout(executor, num_chunks=3), 0),
    "few_tokens": (lambda: build_model(config=FOUR_HEADS), lambda executor: rollout(executor, FEW_TOKENS, 4), 0),
    "events": (lambda: build_model(config=FOUR_HEADS), events, 0),
    "replay": (lambda: build_model(config=FOUR_HEADS), wandering, 0),
    "snapshot": (lambda: build_model(config=FOUR_HEADS), wandering, 1.0),
    "interrupted": (lambda: build_model(config=FOUR_HEADS), interrupted, 0),
    "journal": (lambda: build_model(config=FOUR_HEADS), rollout, 0),
}
"""Model, what is made with it, and GiB for snapshots, by name of the program."""


def run_rollout(name: str, group: RankGroup, folder: Path) -> None:
    make_model, make, snapshot_gib = ROLLOUTS[name]
    model = make_model()
    if group.rank > 0:
        follow(group, LoadedNetwork(*(getattr(model, field) for field in LoadedNetwork.__dataclass_fields__)))
        return
    store = Journal(folder / "journal") if name == "journal" else None
    executor = lead(group, model, store, snapshot_gib)
    save_file(make(executor), folder / f"{name}.safetensors")
    assert not group.is_broken
    executor.stop()


# --- loading ----------------------------------------------------------------------------


def load(group: RankGroup, folder: Path) -> None:
    """Load a checkpoint; each rank writes what it read, and its weights. The first keeps a copy."""
    variant = VARIANTS["lingbot-world-fast"]
    options = ModelOptions(
        precision="fp8",
        device="cpu",
        checkpoint_root=Path(os.environ["LINGBOT_TEST_CHECKPOINT"]),
        cache_dir=folder / f"cache{group.size}",
        frame_size=(32, 48),
    )
    num_read: Counter[str] = Counter()
    read = readers.SafetensorsReader.read

    def counting(self: readers.SafetensorsReader, key: str, cancelled: Callable[[], bool] | None = None) -> Tensor:
        num_read[f"{self.files[0].name} {key}"] += 1
        return read(self, key, cancelled)

    readers.SafetensorsReader.read, convert.MIN_BYTES = counting, 0
    run_options._check_fp8 = lambda device: None  # the CPU may, here
    try:
        for _ in range(2):  # from the original, then from the copy
            if group.rank == 0:
                model: Any = load_on_ranks(group, lambda: load_model(variant, options, parallel=group.parallel))
            else:
                model = load_on_ranks(group, lambda: load_network(variant, options, group.parallel))
            save_file(
                {name: parameter.float() for name, parameter in model.dit.named_parameters()},
                folder / f"weights{group.size}.{group.rank}.safetensors",
            )
    finally:
        readers.SafetensorsReader.read = read
    (folder / f"read{group.size}.{group.rank}.json").write_text(json.dumps(num_read))


def damaged(group: RankGroup, folder: Path) -> None:
    """Rank 0 does not find the files: it says so, and the others leave quietly."""

    def find() -> None:
        time.sleep(0.5)
        raise WeightsError("The file x is missing.")

    try:
        load_on_ranks(group, lambda: None, find)
    except (WeightsError, GroupStopped) as error:
        (folder / f"damaged.{group.rank}.txt").write_text(f"{type(error).__name__}: {error}")


def random(group: RankGroup, folder: Path) -> None:
    """Random weights are the same on all ranks."""
    variant, options = VARIANTS["lingbot-world-fast"], ModelOptions(device="cpu", frame_size=(32, 48))
    if group.rank == 0:
        model: Any = random_model(variant, options, size="tiny", parallel=group.parallel)
    else:
        torch.rand(3)  # the global generator has no part in it
        model = random_network(variant, options, group.parallel, size="tiny")
    whole = {name: view.target.contiguous() for name, view in model.dit.checkpoint_views().items()}
    save_file(whole, folder / f"random.{group.rank}.safetensors")


# --- waiting and failing ----------------------------------------------------------------


def idle(group: RankGroup, folder: Path) -> None:
    """Longer than ranks wait for a word, between and within requests; then a request. Times are shortened."""
    model = build_model(config=FOUR_HEADS)
    before = time.process_time()
    if group.rank > 0:
        follow(group, model)
        (folder / f"idle.{group.rank}.txt").write_text(str(time.process_time() - before))
        return
    executor = lead(group, model)
    time.sleep(1.5 * rank_group.SILENCE_SEC)
    first = list(executor.stream(make_request(1)))
    time.sleep(1.5 * rank_group.SILENCE_SEC)
    save_file(latents(first), folder / "idle.safetensors")
    executor.stop()


def silence(group: RankGroup, folder: Path) -> None:
    """Rank 0 hangs: the others give up. Times are shortened."""
    if group.rank == 0:
        group._closing.set()  # its heart stops
        time.sleep(2.5 * rank_group.SILENCE_SEC)
        return
    began = time.monotonic()
    try:
        follow(group, build_model(config=FOUR_HEADS))
    except LingBotError as error:
        (folder / f"silence.{group.rank}.txt").write_text(f"{time.monotonic() - began} {error}")


def failure(group: RankGroup, folder: Path) -> None:
    """The last rank fails in its eighth pass and ends; rank 0 must not hang, nor go on as if nothing was."""
    model = build_model(config=FOUR_HEADS)
    if group.rank > 0:
        forward, calls = model.dit.forward, []

        def fail(*args: Any) -> Tensor:
            calls.append(args)
            if len(calls) == 7 and group.rank == group.size - 1:
                raise MemoryError("there is none left")
            return forward(*args)

        setattr(model.dit, "forward", fail)  # noqa: B010 - what it takes is checked by the one it stands for
        follow(group, model)
        return
    executor, began = lead(group, model), time.monotonic()
    try:
        list(executor.stream(make_request(4)))
    except RuntimeError as error:
        took = time.monotonic() - began
        try:
            list(executor.stream(make_request(4)))
        except LingBotError as later:
            (folder / "failure.txt").write_text(f"{took} {group.is_broken} {error} | {later}")
    os._exit(0)  # there is nobody left to part from


PROGRAMS: dict[str, Callable[[RankGroup, Path], None]] = {
    function.__name__: function for function in (load, damaged, random, idle, silence, failure)
}


# --- on GPUs ----------------------------------------------------------------------------


def gpu_options(precision: str, device: torch.device) -> ModelOptions:
    """A window that the rollout leaves."""
    return ModelOptions(cast(Any, precision), device=str(device), window_frames=6, sink_frames=3, frame_size=GPU_SIZE)


def gpu_rollout(precision: str, group: RankGroup, folder: Path) -> None:
    """A rollout with random weights; on GPUs also by CUDA graphs."""
    options = gpu_options(precision, group.device)
    if group.rank > 0:
        follow(group, random_network(GPU_VARIANT, options, group.parallel, size="small"))
        return
    executor = lead(group, random_model(GPU_VARIANT, options, size="small", parallel=group.parallel))
    save_file(rollout(executor, GPU_SIZE), folder / f"gpu_{precision}.safetensors")
    executor.stop()


PROGRAMS |= {f"gpu_{precision}": partial(gpu_rollout, precision) for precision in ("fp32", "bf16", "fp8")}


def main() -> None:
    """Meet the others and run the programs."""
    torch.set_num_threads(1)
    folder, *names = sys.argv[1:]
    rank_group.SILENCE_SEC = float(os.environ.get("LINGBOT_TEST_SILENCE_SEC", rank_group.SILENCE_SEC))
    rank_group.BEAT_SEC = rank_group.SILENCE_SEC / 3
    on_gpus = os.environ.get("LINGBOT_TEST_DEVICE") == "cuda"
    group = RankGroup.connect(torch.device("cuda", int(os.environ["RANK"])) if on_gpus else torch.device("cpu"))
    for name in names:
        if name in PROGRAMS:
            PROGRAMS[name](group, Path(folder))
        else:
            run_rollout(name, group, Path(folder))
    group.close()


# --- the test's side --------------------------------------------------------------------


def start(num_ranks: int, folder: Path, names: list[str], **environment: str) -> list[subprocess.Popen[str]]:
    """Start programs on as many processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "WORLD_SIZE": str(num_ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "tests.rank_programs", str(folder), *names]
    return [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **common, **environment, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(num_ranks)
    ]


def finish(processes: list[subprocess.Popen[str]], timeout_sec: float = 180) -> list[tuple[int, str]]:
    """Exit code and error output of each process; those that do not end are killed."""
    deadline, ends = time.monotonic() + timeout_sec, []
    for process in processes:
        try:
            _, errors = process.communicate(timeout=max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            errors = "did not end\n" + process.communicate()[1]
        ends.append((process.returncode, errors))
    return ends


if __name__ == "__main__":
    main()
