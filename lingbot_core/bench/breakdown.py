# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the time of a pass goes, by group of kernels, and how near each group is to what the card can do."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
from torch.profiler import ProfilerActivity, profile

from lingbot_core.bench import work
from lingbot_core.bench.ceilings import attention_ms, copy_tbps, linear_ms
from lingbot_core.bench.elementwise import cases, count_bytes
from lingbot_core.bench.probe import PassProbe
from lingbot_core.bench.report import table
from lingbot_core.loader import LoadedModel
from lingbot_core.stats import DeviceMark

LINEAR, ATTENTION, TEXT, ELEMENTWISE, COPIES = "linear layers", "attention", "text attention", "elementwise", "copies"
GAPS = "gaps"
"""Time between the first kernel and the last in which none ran."""

REPEATS = 7
"""Runs of a part; its time is their median."""

WARM_UP_MS = 500.0
"""About how long a part runs before it is timed or profiled: clocks fall under load, and rates are measured so, too."""

NAMED_KERNELS = 12
"""Kernels that are listed one by one."""

_COPY = re.compile(r"memcpy|memset|copy_kernel|FillFunctor", re.IGNORECASE)
_ATTENTION = re.compile(r"sdpa|flash|fmha|attn|attention", re.IGNORECASE)
_LINEAR = re.compile(r"gemm|nvjet|xmma|cutlass|cublas|splitk|gemv", re.IGNORECASE)


@dataclass(frozen=True)
class KernelRun:
    """One kernel, or copy, as the profiler saw it."""

    name: str
    start_us: float
    duration_us: float


def group_of(name: str) -> str:
    """Group of a kernel, by its name; attention to the text cannot be told by name."""
    if _COPY.search(name):
        return COPIES
    if _ATTENTION.search(name):
        return ATTENTION
    return LINEAR if _LINEAR.search(name) else ELEMENTWISE


def group_times_ms(runs: Sequence[KernelRun], num_layers: int) -> dict[str, float]:
    """Sum of each group in ms.

    Attention to the past and to the text take turns, once each in ``num_layers`` layers. They are one
    group where a backend launches other than one kernel for each.
    """
    runs = sorted(runs, key=lambda run: run.start_us)
    attention = [run for run in runs if group_of(run.name) == ATTENTION]
    to_text = set(attention[1::2]) if len(attention) == 2 * num_layers else set()
    times: defaultdict[str, float] = defaultdict(float)
    for run in runs:
        times[TEXT if run in to_text else group_of(run.name)] += run.duration_us / 1e3
    return dict(times)


def busy_ms(runs: Sequence[KernelRun]) -> float:
    """Time in which at least one of them ran."""
    total_us, until_us = 0.0, float("-inf")
    for run in sorted(runs, key=lambda run: run.start_us):
        end_us = run.start_us + run.duration_us
        total_us += max(0.0, end_us - max(run.start_us, until_us))
        until_us = max(until_us, end_us)
    return total_us / 1e3


def gaps_ms(runs: Sequence[KernelRun]) -> float:
    """Time from the first start to the last end in which none of them ran."""
    if not runs:
        return 0.0
    span_us = max(run.start_us + run.duration_us for run in runs) - min(run.start_us for run in runs)
    return span_us / 1e3 - busy_ms(runs)


@dataclass(frozen=True)
class GroupRow:
    """A group of kernels in one part of a chunk's work."""

    part: str
    group: str
    time_ms: float
    ceiling_ms: float | None
    """Time of the same work at the rates that the card was measured to reach; None where that means nothing."""

    amount: str
    """Work of the group, counted from the sizes of the network."""

    @property
    def fraction(self) -> float | None:
        """Part of what the card can do that is reached."""
        return None if self.ceiling_ms is None or self.time_ms <= 0 else self.ceiling_ms / self.time_ms


@dataclass(frozen=True)
class Breakdown:
    """Where the time of a chunk goes."""

    chunk_index: int
    visible_tokens: int
    rows: list[GroupRow]
    wall_ms: dict[str, float]
    """Time of each part, without the profiler; groups and gaps are those of one run with it."""

    kernels: dict[str, list[tuple[str, int, float]]]
    """Of each part: kernel, runs, ms together; the longest first."""

    rates: dict[str, float]
    """What the card was measured to reach."""


class Ceilings:
    """Times of the counted work at the rates that the card reaches on it alone, each measured once."""

    def __init__(self, model: LoadedModel, num_tokens: int) -> None:
        self._model, self.num_tokens = model, num_tokens
        self._linear_ms: dict[tuple[int, int, torch.dtype], float] = {}
        self._attention_ms: dict[int, float] = {}
        self._copy_tbps = copy_tbps(model.device)

    def linears_ms(self, items: Sequence[work.Linear]) -> float:
        """Matrix products one by one."""
        return sum(item.count * self._one_linear_ms(item) for item in items)

    def attention_ms(self, item: work.Attention) -> float:
        """Attention alone."""
        config, model = self._model.dit.config, self._model
        if item.num_keys not in self._attention_ms:
            shape = self.num_tokens, item.num_keys, config.num_heads, config.head_dim
            self._attention_ms[item.num_keys] = attention_ms(model.attention.attend, model.device, model.dtype, *shape)
        return item.count * self._attention_ms[item.num_keys]

    def bytes_ms(self, num_bytes: float) -> float:
        """A large copy of as many bytes."""
        return num_bytes / self._copy_tbps / 1e9

    def rates(self) -> dict[str, float]:
        """Rates behind the times: 10^12 operations or bytes per second."""
        rows, config = self.num_tokens, self._model.dit.config
        rates = {"copy TB/s": self._copy_tbps}
        for (width, out, dtype), ms in self._linear_ms.items():
            name = f"[{rows}x{width}]·[{width}x{out}] {str(dtype).removeprefix('torch.')} TFLOP/s"
            rates[name] = 2e-9 * rows * width * out / ms
        for keys, ms in self._attention_ms.items():
            rates[f"attention to {keys} TFLOP/s"] = 4e-9 * rows * keys * config.dim / ms
        return rates

    def _one_linear_ms(self, item: work.Linear) -> float:
        fp8 = self._model.precision == "fp8" and item.may_be_fp8
        key = item.width, item.out, torch.float8_e4m3fn if fp8 else self._model.dtype
        if key not in self._linear_ms:
            self._linear_ms[key] = linear_ms(self._model.device, key[2], self.num_tokens, item.width, item.out)
        return self._linear_ms[key]


@torch.inference_mode()
def measure(model: LoadedModel, chunk_index: int, frame_size: tuple[int, int]) -> Breakdown:
    """Profile each part of a chunk's work, and measure what the card can do on the same work.

    Args:
        model: What runs; must be on a GPU.
        chunk_index: Which chunk.
        frame_size: Height and width in pixels.
    """
    probe = PassProbe(model, chunk_index, frame_size)
    wall = {part: _wall_ms(probe, part, model.device) for part in work.PARTS}
    runs = {part: _profile(probe, part, wall[part], model.device) for part in work.PARTS}
    visible = probe.num_visible_tokens
    num_tokens = probe.num_tokens
    del probe
    ceilings = Ceilings(model, num_tokens)
    rows = [row for part in work.PARTS for row in rows_of(model, part, runs[part], visible, ceilings)]
    kernels: dict[str, list[tuple[str, int, float]]] = {part: kernel_totals(runs[part]) for part in work.PARTS}
    return Breakdown(chunk_index, visible, rows, dict(wall), kernels, ceilings.rates())


def rows_of(
    model: LoadedModel,
    part: work.Part,
    runs: Sequence[KernelRun],
    visible_tokens: int,
    ceilings: Ceilings,
) -> list[GroupRow]:
    """Groups of one part, with what they would take at best."""
    config, num_tokens, fp8 = model.dit.config, ceilings.num_tokens, model.precision == "fp8"
    items = work.linears(config, part)
    past, text = work.attentions(config, part, visible_tokens)
    times = group_times_ms(runs, past.count)
    rows = [
        GroupRow(
            part,
            LINEAR,
            times.get(LINEAR, 0.0),
            ceilings.linears_ms(items),
            f"{work.linear_operations(items, num_tokens) / 1e12:.2f} TFLOP",
        )
    ]
    groups = {ATTENTION: [past], TEXT: [text]} if TEXT in times else {ATTENTION: [past, text]}
    for group, calls in groups.items():
        if past.count:
            operations = sum(call.operations(config, num_tokens) for call in calls)
            best_ms = sum(map(ceilings.attention_ms, calls))
            rows.append(GroupRow(part, group, times.get(group, 0.0), best_ms, f"{operations / 1e12:.2f} TFLOP"))
    num_bytes = 0
    if part != "camera branch":
        which = 0 if part == "denoising pass" else 1
        num_bytes = sum(
            count_bytes(case, config, num_tokens, model.dtype, fp8) * case.calls(config.num_layers, fp8)[which]
            for case in cases(fp8)
        )
    ceiling = ceilings.bytes_ms(num_bytes) if num_bytes else None
    amount = f"{num_bytes / 1e9:.2f} GB" if num_bytes else ""
    rows.append(GroupRow(part, ELEMENTWISE, times.get(ELEMENTWISE, 0.0), ceiling, amount))
    rows.append(GroupRow(part, COPIES, times.get(COPIES, 0.0), None, ""))
    rows.append(GroupRow(part, GAPS, gaps_ms(runs), None, ""))
    return rows


def kernel_totals(runs: Sequence[KernelRun]) -> list[tuple[str, int, float]]:
    """Name, number of runs and ms together of each kernel, the longest first."""
    totals: defaultdict[str, list[float]] = defaultdict(list)
    for run in runs:
        totals[run.name].append(run.duration_us / 1e3)
    return sorted(((name, len(ms), sum(ms)) for name, ms in totals.items()), key=lambda item: -item[2])


def _wall_ms(probe: PassProbe, part: work.Part, device: torch.device) -> float:
    """Median time of a part, one run behind the other."""
    start = DeviceMark(device)
    probe.run(part)
    _warm_up(probe, part, DeviceMark(device).milliseconds_since(start))
    marks = [DeviceMark(device)]
    for _ in range(REPEATS):
        probe.run(part)
        marks.append(DeviceMark(device))
    return statistics.median(end.milliseconds_since(start) for start, end in pairwise(marks))


def _warm_up(probe: PassProbe, part: work.Part, part_ms: float) -> None:
    """Run a part, which takes so long, for a while."""
    for _ in range(max(1, round(WARM_UP_MS / max(part_ms, 1.0)))):
        probe.run(part)


def _profile(probe: PassProbe, part: work.Part, part_ms: float, device: torch.device) -> list[KernelRun]:
    """What ran on the GPU in one run of a part, which takes about so long."""
    for activities in ([ProfilerActivity.CUDA], [ProfilerActivity.CPU, ProfilerActivity.CUDA]):
        _warm_up(probe, part, part_ms)
        torch.cuda.synchronize(device)
        with profile(activities=activities) as profiler:
            probe.run(part)
            torch.cuda.synchronize(device)
        runs = [
            KernelRun(event.name, event.time_range.start, event.time_range.elapsed_us())
            for event in profiler.events() or ()
            if event.device_type.name == "CUDA" and not getattr(event, "is_user_annotation", False)
        ]
        if runs:  # the first profile of a process can come back empty
            return runs
    raise RuntimeError(f"the profiler has seen no kernel in a {part}")


def breakdown_markdown(found: Breakdown) -> str:
    """The breakdown as text."""
    cells = []
    for part in work.PARTS:
        cells.append([f"**{part}**", f"**{found.wall_ms[part]:.2f}**", "", "", ""])
        for row in (row for row in found.rows if row.part == part):
            fraction = row.fraction
            cells.append(
                [
                    row.group,
                    f"{row.time_ms:.2f}",
                    row.amount,
                    "" if row.ceiling_ms is None else f"{row.ceiling_ms:.2f}",
                    "" if fraction is None else f"{100 * fraction:.0f} %",
                ]
            )
    lines = [
        f"### Where the time goes: chunk {found.chunk_index}, {found.visible_tokens} visible tokens",
        "",
        "The camera branch runs once per chunk, the denoising pass four times, the cache update once. Their times are "
        "medians of runs one behind the other; groups, and gaps between kernels, are those of one run under the "
        "profiler. At best: the same work at the rates below, which the card reaches on each shape alone in the same "
        "process, attention by the same backend.",
        "",
        table(["part and group", "ms", "work", "at best ms", "of that"], cells),
        "",
        "Rates: " + "; ".join(f"{name} {rate:.4g}" for name, rate in found.rates.items()) + ".",
    ]
    for part in work.PARTS:
        longest = [[f"`{name[:90]}`", runs, f"{ms:.3f}"] for name, runs, ms in found.kernels[part][:NAMED_KERNELS]]
        lines += ["", f"Longest kernels of a {part}:", "", table(["kernel", "runs", "ms"], longest)]
    return "\n".join(lines)


def breakdown_data(found: Breakdown) -> dict[str, object]:
    """The breakdown for programs."""
    return {"breakdown": {**asdict(found), "rows": [{**asdict(row), "fraction": row.fraction} for row in found.rows]}}
