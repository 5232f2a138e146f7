# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The passes over fixed memory against recorded rollouts: on a GPU with its kernels and CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from lingbot_core.models.tokens import unpatchify
from lingbot_core.passes import VARIABLE, NetworkPasses
from lingbot_core.sampler import sample_chunk
from lingbot_core.schedule import make_schedule
from tests.golden import dit_tiny

WINDOWS = {"window63_sink0": (63, 0), "window15_sink3": (15, 3)}


def relative_errors(window: str, name: str, device: str) -> list[float]:
    """Relative L2 distance of each chunk's clean latents from a recording."""
    recorded, schedule, dtype = RECORDED[name]
    expected = dit_tiny.recorded("chunk_tiny")[f"{window}.{recorded}"]
    network = dit_tiny.build_network(dtype=dtype).to(device)
    cache = dit_tiny.build_cache(network.config, *WINDOWS[window], dtype, device)
    levels = make_schedule(schedule)
    passes = NetworkPasses(network, cache, levels, dit_tiny.GRID)
    noise = dit_tiny.recorded("chunk_tiny")["noise"].to(device, dtype)

    def generate(chunk_index: int) -> Tensor:
        cache.begin_chunk(chunk_index)
        passes.set_text("recorded", dit_tiny.text_embedding())
        shared = dit_tiny.condition_tokens(chunk_index), dit_tiny.camera_tokens(chunk_index)
        passes.begin_chunk(chunk_index, *(tokens.to(device, dtype) for tokens in shared))
        draws = iter(noise[chunk_index])
        *_, clean = sample_chunk(passes.denoise, levels, lambda: next(draws))
        passes.update_cache(clean)
        cache.commit_chunk()
        return unpatchify(clean, dit_tiny.GRID).float().cpu()

    with torch.inference_mode():
        return [dit_tiny.relative_l2(generate(index), chunk) for index, chunk in enumerate(expected)]


RECORDED = {
    "fp32": ("clean", "fp32", torch.float32),
    "fp32 with levels of bf16": ("clean_bf16_schedule_values", "bf16", torch.float32),
    "bf16": ("clean_bf16_run", "bf16", torch.bfloat16),
}
"""Name of a recording -> its tensor, schedule and dtype."""


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", RECORDED)
def test_rollout_matches_the_recording(window: str, name: str) -> None:
    errors = relative_errors(window, name, "cpu")
    assert max(errors) <= (2e-2 if name == "bf16" else 1e-5), errors


# --- which graphs are recorded, and when -------------------------------------------------


class GraphLog:
    """Stands in for the graphs of a GPU: notes what is recorded and what would be replayed; passes run without."""

    def __init__(self) -> None:
        self.recorded: list[tuple[str, int]] = []
        self.runs: list[tuple[str, int, bool]] = []
        """Kind, visible chunks, and whether there was a graph for it."""

    def replay(self, kind: str, visible_chunks: int) -> bool:
        self.runs.append((kind, visible_chunks, (kind, visible_chunks) in self.recorded))
        return False

    def record(self, kind: str, visible_chunks: int, launch: Callable[[], None]) -> bool:
        if (kind, visible_chunks) in self.recorded:
            return False
        assert any(run[0] == kind for run in self.runs), f"{kind} is recorded before its kernels are loaded"
        self.recorded.append((kind, visible_chunks))
        return True

    @contextmanager
    def running(self) -> Iterator[list[tuple[str, int, bool]]]:
        """The runs within."""
        before = len(self.runs)
        runs: list[tuple[str, int, bool]] = []
        yield runs
        runs += self.runs[before:]


class Driver:
    """Small passes with a :class:`GraphLog`, run chunk by chunk."""

    def __init__(self) -> None:
        network = dit_tiny.build_network()
        self.cache = dit_tiny.build_cache(network.config, 6, 3, torch.float32)
        self.passes = NetworkPasses(network, self.cache, make_schedule("fp32"), dit_tiny.GRID)
        self.log = GraphLog()
        self.passes._graphs = self.log  # pyright: ignore[reportAttributeAccessIssue] - no GPU here

    @torch.inference_mode()
    def chunk(self, index: int, *, text: str = "first", replayed: bool = False) -> None:
        """All passes of a chunk; of a replayed one only the cache update."""
        noisy = torch.zeros(dit_tiny.NUM_TOKENS, 64)
        self.cache.begin_chunk(index)
        self.passes.set_text(text, dit_tiny.text_embedding())
        self.passes.begin_chunk(index, dit_tiny.condition_tokens(0), dit_tiny.camera_tokens(0))
        for step in range(0 if replayed else 4):
            self.passes.denoise(noisy, step)
        self.passes.update_cache(noisy)
        self.cache.commit_chunk()


ALL_GRAPHS = {(kind, visible) for kind in ("denoise", "update_cache") for visible in (1, 2, 3)}


def test_two_graphs_per_visible_length_serve_all_later_chunks_texts_and_rollouts() -> None:
    driver = Driver()
    for index in range(6):
        driver.chunk(index)
    assert set(driver.log.recorded) == ALL_GRAPHS
    without = [(kind, visible) for kind, visible, has_graph in driver.log.runs if not has_graph]
    assert without == [("denoise", 1), ("update_cache", 1)], "only the first pass of each kind runs before its graph"
    with driver.log.running() as runs:
        for index in range(6, 9):
            driver.chunk(index, text="second")
        driver.cache.reset()
        for index in range(6):
            driver.chunk(index, text="third")
    assert len(runs) == 9 * 5 and all(has_graph for _, _, has_graph in runs)
    assert len(driver.log.recorded) == len(ALL_GRAPHS)


def test_replayed_chunks_get_graphs_and_none_is_recorded_before_its_kernels_have_run() -> None:
    driver = Driver()
    for index in range(4):
        driver.chunk(index, replayed=True)
    assert driver.log.recorded == [("update_cache", visible) for visible in (1, 2, 3)]
    driver.chunk(4)
    assert driver.log.recorded[3:] == [("denoise", 3)]
    with driver.log.running() as runs:
        driver.chunk(5)
    assert all(has_graph for _, _, has_graph in runs)


@pytest.mark.gpu
@pytest.mark.parametrize("graphs", ["1", "0"], ids=["graphs", "no graphs"])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", RECORDED)
def test_rollout_on_a_gpu_matches_the_recording(
    monkeypatch: pytest.MonkeyPatch, window: str, name: str, graphs: str
) -> None:
    assert not torch.backends.cuda.matmul.allow_tf32
    monkeypatch.setenv(VARIABLE, graphs)
    errors = relative_errors(window, name, "cuda")
    print(f"{window}, {name}, {'graphs' if graphs == '1' else 'no graphs'}: largest error {max(errors):.1e}")
    assert max(errors) <= (2e-2 if name == "bf16" else 1e-4), errors
