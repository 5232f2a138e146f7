# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Safetensors files read and written one tensor at a time.

The ``safetensors`` package maps whole files into memory and writes whole
dictionaries. A 70 GB checkpoint is better served by plain reads and writes at known
offsets: memory in use is one tensor, whatever the file's size, and a file that was
cut short is found from its header, with the tensor that is no longer whole.

Format (https://github.com/huggingface/safetensors#format): 8 bytes little-endian
length of the header, the header as JSON, then the tensors' bytes without gaps.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import torch
from torch import Tensor

from lingbot_core.errors import WeightsError, stop_if

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Dtype names of the format that can be read."""

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_MAX_HEADER_BYTES = 100_000_000

_PIECE_BYTES = 2**26
"""Read at a time: the user may want to stop in the middle of a tensor of 4 GB."""


@dataclass(frozen=True)
class TensorEntry:
    """One line of a header."""

    shape: tuple[int, ...]
    """Shape of the tensor."""

    dtype: torch.dtype
    """Dtype in the file."""

    start: int
    """Offset of its first byte from the start of the file."""

    end: int
    """Offset after its last byte."""

    @property
    def num_bytes(self) -> int:
        """Bytes in the file."""
        return self.end - self.start


@dataclass(frozen=True)
class Header:
    """What a safetensors file holds."""

    entries: Mapping[str, TensorEntry]
    """Tensors by key, in the order of their bytes."""

    metadata: Mapping[str, str]
    """Free text that the writer put in; empty when none."""

    raw: bytes
    """The header as it stands in the file."""


def read_header(path: Path) -> Header:
    """Read a file's header and check that all its bytes are there.

    Raises:
        WeightsError: The file is missing, is no safetensors file or is truncated; a
            truncated file's message names the first tensor that is not whole.
    """
    try:
        file_bytes = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
            raw = file.read(length) if length <= _MAX_HEADER_BYTES else b""
    except FileNotFoundError as error:
        raise WeightsError(f"The file {path} is missing.", do="Download it again.") from error
    except OSError as error:
        raise WeightsError(f"The file {path} cannot be read.", got=str(error)) from error
    if prefix.startswith(b"version "):
        raise WeightsError(
            f"{path} is a Git LFS pointer, not the file itself.", do="Run `git lfs pull` there, or download the file."
        )
    if len(prefix) < 8 or 2 <= length <= _MAX_HEADER_BYTES and len(raw) < length:
        raise WeightsError(
            f"{path} is truncated: not even its header is whole.", got=f"{file_bytes} bytes", do="Download it again."
        )
    try:
        table = json.loads(raw)
        metadata = table.pop("__metadata__", {})
        entries = {
            key: _parse_entry(path, key, value, data_start=8 + length)
            for key, value in sorted(table.items(), key=lambda item: item[1]["data_offsets"])
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is not a safetensors file.", do="Download it again.") from error
    for key, entry in entries.items():
        if entry.end > file_bytes:
            raise WeightsError(
                f"{path} is truncated: the tensor {key} is not whole.",
                got=f"{file_bytes} bytes",
                need=f"{max(e.end for e in entries.values())} bytes",
                do="Delete the file and download it again.",
            )
    return Header(entries, metadata, prefix + raw)


def _parse_entry(path: Path, key: str, value: Mapping[str, object], data_start: int) -> TensorEntry:
    """Turn one header line into an entry, checking that its size is that of its shape."""
    shape = tuple(int(n) for n in value["shape"])  # type: ignore[attr-defined]
    start, end = (data_start + int(n) for n in value["data_offsets"])  # type: ignore[attr-defined]
    dtype = DTYPES.get(str(value["dtype"]))
    if dtype is None:
        raise WeightsError(
            f"The tensor {key} in {path} has a dtype that cannot be read.",
            got=str(value["dtype"]),
            need="one of " + ", ".join(DTYPES),
        )
    if end - start != dtype.itemsize * _num_elements(shape):
        raise WeightsError(
            f"The header of {path} contradicts itself: the tensor {key} has {end - start} bytes.",
            need=f"the bytes of shape {list(shape)}",
            do="Download the file again.",
        )
    return TensorEntry(shape, dtype, start, end)


def read_tensor(path: Path, entry: TensorEntry, cancelled: Callable[[], bool] | None = None) -> Tensor:
    """Read one tensor into memory of its own, on the CPU, in the file's dtype.

    Raises:
        Cancelled: ``cancelled``, which is asked all along, returned True.
        WeightsError: The file cannot be read or has become shorter.
    """
    buffer = torch.empty(entry.num_bytes, dtype=torch.uint8)
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(entry.start)
            view, done = buffer.numpy().data, 0
            while done < entry.num_bytes:
                stop_if(cancelled, "Stopped while weights were read.")
                count = file.readinto(view[done : done + _PIECE_BYTES])
                if not count:
                    raise WeightsError(f"{path} became shorter while it was read.", do="Download it again.")
                done += count
    except OSError as error:
        raise WeightsError(f"The file {path} cannot be read.", got=str(error)) from error
    return buffer.view(entry.dtype).view(entry.shape)


class SafetensorsWriter:
    """Writes a safetensors file tensor by tensor; the file appears when all are written.

    Use as a context manager. Names, shapes and dtypes are given first, then
    :meth:`write` is called once per name in any order. Bytes go to ``<path>.part``,
    which is renamed at the end, or removed when the block ends with an exception.

    Args:
        path: The file to write; its folder is made.
        tensors: Shape and dtype by name.
        metadata: Free text for the header.
    """

    def __init__(
        self,
        path: Path,
        tensors: Mapping[str, tuple[tuple[int, ...], torch.dtype]],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        table: dict[str, object] = {"__metadata__": {"format": "pt", **(metadata or {})}}
        offsets, end = {}, 0
        for name, (shape, dtype) in tensors.items():
            start, end = end, end + dtype.itemsize * _num_elements(shape)
            offsets[name] = start, end
            table[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
        header = json.dumps(table, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        self.path = path
        self._part = path.with_name(path.name + ".part")
        self._header = struct.pack("<Q", len(header)) + header
        self._tensors = dict(tensors)
        self._offsets = offsets
        self._missing = set(tensors)
        self._file: BinaryIO | None = None

    def __enter__(self) -> SafetensorsWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("wb")
        self._file.write(self._header)
        return self

    def write(self, name: str, tensor: Tensor) -> None:
        """Store one tensor; it must be on the CPU in the announced shape and dtype."""
        assert self._file is not None, "write() outside the `with` block"
        assert (tuple(tensor.shape), tensor.dtype) == self._tensors[name], (name, tensor.shape, tensor.dtype)
        self._file.seek(len(self._header) + self._offsets[name][0])
        self._file.write(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
        self._missing.discard(name)

    def discard(self) -> None:
        """Give up: remove what was written."""
        assert self._file is not None
        self._file.close()
        self._part.unlink(missing_ok=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        try:
            if kind is None:
                assert not self._missing, f"never written: {sorted(self._missing)[:3]}"
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                os.replace(self._part, self.path)
        finally:
            self.discard()


def _num_elements(shape: tuple[int, ...]) -> int:
    count = 1
    for n in shape:
        count *= n
    return count
