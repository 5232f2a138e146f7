# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What one chunk cost: stage times and memory, in the field names existing tools read."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields

import torch

GIB = 2**30


@dataclass(frozen=True)
class ChunkStats:
    """Times in milliseconds and memory in GiB of one chunk.

    The first ten fields of :meth:`as_dict` carry the names of FlashDreams' stats
    file, so tools written for it read ours. Stage times are device times on the
    stream the stage ran on; stages may overlap, so ``wall_ms`` can be below
    ``total_ms``. On the CPU they are wall times and memory is resident memory.
    """

    autoregressive_index: int
    """Chunk index, from 0."""

    encode_ms: float
    """Photo latents and ray maps of this chunk."""

    diffuse_ms: float
    """The four denoising passes, the chunk's camera branch included."""

    decode_ms: float
    """Latents to pixels."""

    finalize_ms: float
    """The cache-update pass."""

    mem_alloc_gib: float
    """Memory in use by tensors at the end of the chunk."""

    mem_reserved_gib: float
    """Memory held by the allocator at the end of the chunk."""

    mem_peak_gib: float
    """Largest ``mem_alloc_gib`` since the process started."""

    wall_ms: float
    """Until the chunk's frames were in host memory: since those of the chunk before it were, for the first one of a
    request since it began. Chunks overlap, so this is what a chunk adds to the duration of the whole."""

    num_frames: int
    """Pixel frames of this chunk: 9 or 12."""

    pass_ms: tuple[float, ...] = ()
    """Each denoising pass; empty when passes were not timed one by one."""

    attention: str = ""
    """Attention backend that ran."""

    reused: bool = False
    """True when the chunk was read from the journal; the times are those of its making."""

    @property
    def total_ms(self) -> float:
        """Sum of the stages."""
        return self.encode_ms + self.diffuse_ms + self.decode_ms + self.finalize_ms

    @classmethod
    def from_dict(cls, stats: Mapping[str, object]) -> ChunkStats:
        """Stats from their fields, as a record keeps them; fields that this version does not know are left out."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in stats.items() if name in known}
        passes = values.pop("pass_ms", ())
        assert isinstance(passes, (list, tuple)), passes
        return cls(**values, pass_ms=tuple(passes))  # pyright: ignore[reportArgumentType]

    def as_dict(self) -> dict[str, object]:
        """The stats as one JSON object, ``total_ms``, ``total_ms_wo_finalize`` and ``fps`` included."""
        fields = asdict(self)
        stages = {name: fields.pop(name) for name in list(fields)[:5]}
        totals = {"total_ms": self.total_ms, "total_ms_wo_finalize": self.total_ms - self.finalize_ms}
        fps = 1000.0 * self.num_frames / self.wall_ms if self.wall_ms > 0 else 0.0
        fields["pass_ms"] = [round(value, 4) for value in self.pass_ms]
        merged = {**stages, **totals, **fields, "fps": fps}
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in merged.items()}


class DeviceMark:
    """A moment in the work of a device: when its current stream gets to where it stands now.

    Args:
        device: On the CPU the moment is now.
    """

    def __init__(self, device: torch.device) -> None:
        self._event: torch.cuda.Event | None = None
        self._sec = 0.0
        if device.type == "cuda":
            self._event = torch.cuda.Event(enable_timing=True)
            self._event.record(torch.cuda.current_stream(device))
        else:
            self._sec = time.perf_counter()

    def is_past(self) -> bool:
        """Whether the device has got there."""
        return self._event is None or self._event.query()

    def wait(self) -> None:
        """Return when the device has got there."""
        if self._event is not None:
            self._event.synchronize()

    def milliseconds_since(self, earlier: DeviceMark) -> float:
        """Time between two moments on one device, once both are past."""
        if self._event is None or earlier._event is None:
            return (self._sec - earlier._sec) * 1e3
        self.wait()
        return earlier._event.elapsed_time(self._event)


class StageTimer:
    """Times named stages on a device without stopping it.

    Use ``with timer.stage("diffuse"):`` around the work, any number of times per name,
    on any stream; then :meth:`milliseconds` once the work is needed anyway (it waits).
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._spans: list[tuple[str, DeviceMark, DeviceMark]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the enclosed work under ``name``, on the device's current stream."""
        start = DeviceMark(self._device)
        try:
            yield
        finally:
            self._spans.append((name, start, DeviceMark(self._device)))

    def is_done(self) -> bool:
        """Whether the device has finished all that was timed so far."""
        return all(end.is_past() for _, _, end in self._spans)

    def milliseconds(self, name: str) -> float:
        """Sum of all spans of ``name``; 0 when there was none."""
        return sum(self.spans(name))

    def spans(self, name: str) -> tuple[float, ...]:
        """Each span of ``name`` in milliseconds, in order."""
        return tuple(end.milliseconds_since(start) for span, start, end in self._spans if span == name)


def memory_gib(device: torch.device) -> tuple[float, float, float]:
    """Memory (in use, reserved, peak) in GiB; on the CPU resident memory of this process."""
    if device.type == "cuda":
        return (
            torch.cuda.memory_allocated(device) / GIB,
            torch.cuda.memory_reserved(device) / GIB,
            torch.cuda.max_memory_allocated(device) / GIB,
        )
    resident = resident_bytes() / GIB
    return resident, resident, max(peak_resident_bytes() / GIB, resident)


def resident_bytes() -> int:
    """Resident memory of this process in bytes."""
    import psutil

    return psutil.Process().memory_info().rss


def peak_resident_bytes() -> int:
    """Largest resident memory of this process so far in bytes; 0 where the system does not tell."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # kilobytes everywhere but on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
