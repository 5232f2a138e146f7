# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoint files as tensors by key.

No reader ever runs code that a file contains: safetensors hold bytes only, and
``.pth`` files are opened with ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from lingbot_core.errors import WeightsError
from lingbot_core.safetensors_io import Header, TensorEntry, read_header, read_tensor

IDENTITY_KEY = "lingbot_identity"
"""Metadata key under which a converted copy carries the identity of its original."""

_PICKLE_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt")


class TensorReader(Protocol):
    """A checkpoint of one or several files, read tensor by tensor."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Its files, in the order in which they are read."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """Free text in the first file's header; empty when none."""
        ...

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape by key, in the order in which the tensors lie in the files."""
        ...

    def dtypes(self) -> dict[str, torch.dtype]:
        """Dtype by key, in the same order."""
        ...

    def read(self, key: str, cancelled: Callable[[], bool] | None = None) -> Tensor:
        """One tensor on the CPU, in the file's dtype; ``Cancelled`` is raised when ``cancelled`` returns True."""
        ...

    def identity(self) -> str:
        """What tells this checkpoint from another: a hash of file names, sizes and the first header."""
        ...


class SafetensorsReader:
    """A safetensors file, or the shards that an ``.index.json`` lists.

    All headers are read and checked at once; tensors only on demand.

    Args:
        path: The file or the index. Shards lie beside their index.

    Raises:
        WeightsError: A file is missing, truncated or no safetensors file, or the index
            and the shards disagree; the message names the file and the tensor.
    """

    def __init__(self, path: Path) -> None:
        self._sources: dict[str, tuple[Path, TensorEntry]] = {}
        weight_map = read_weight_map(path) if path.suffix == ".json" else None
        names = [path.name] if weight_map is None else sorted(set(weight_map.values()))
        self._files = tuple(path.parent / name for name in names)
        if weight_map is not None:
            _check_shards_exist(path, self._files, weight_map)
        headers: dict[str, Header] = {file.name: read_header(file) for file in self._files}
        for file in self._files:
            for key, entry in headers[file.name].entries.items():
                if weight_map is None or weight_map.get(key, file.name) == file.name:
                    self._sources[key] = file, entry
        for key, name in (weight_map or {}).items():
            if key not in headers[name].entries:
                raise WeightsError(
                    f"The shard {path.parent / name} does not hold the tensor {key} that the index promises.",
                    do="The shard is misnamed or of another checkpoint; download it again.",
                )
        first = headers[self._files[0].name]
        self._metadata, self._first_header = first.metadata, first.raw

    @property
    def files(self) -> tuple[Path, ...]:
        """Its shards by name."""
        return self._files

    @property
    def metadata(self) -> Mapping[str, str]:
        """Free text in the first shard's header."""
        return self._metadata

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape by key, in file order."""
        return {key: entry.shape for key, (_, entry) in self._sources.items()}

    def dtypes(self) -> dict[str, torch.dtype]:
        """Dtype by key, in file order."""
        return {key: entry.dtype for key, (_, entry) in self._sources.items()}

    def read(self, key: str, cancelled: Callable[[], bool] | None = None) -> Tensor:
        """One tensor on the CPU."""
        return read_tensor(*self._sources[key], cancelled)

    def identity(self) -> str:
        """The identity that a converted copy carries, else the hash of these files."""
        return self._metadata.get(IDENTITY_KEY) or _files_identity(self._files, self._first_header)


class PickleReader:
    """A ``.pth`` file with a flat state dict, memory-mapped.

    Args:
        path: The file. Tensors at the top level or below ``state_dict``.

    Raises:
        WeightsError: The file is missing, truncated, or holds anything but tensors and
            plain containers; such objects are refused, never run.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        state = _load_pickle(path)
        if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
            state = state["state_dict"]
        if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
            raise WeightsError(f"{path} holds no state dict.", need="a flat dictionary of tensors by name")
        self._tensors: dict[str, Tensor] = {str(key): value.detach() for key, value in state.items()}

    @property
    def files(self) -> tuple[Path, ...]:
        """The one file."""
        return (self._path,)

    @property
    def metadata(self) -> Mapping[str, str]:
        """Empty: the format has none."""
        return {}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape by key."""
        return {key: tuple(tensor.shape) for key, tensor in self._tensors.items()}

    def dtypes(self) -> dict[str, torch.dtype]:
        """Dtype by key."""
        return {key: tensor.dtype for key, tensor in self._tensors.items()}

    def read(self, key: str, cancelled: Callable[[], bool] | None = None) -> Tensor:
        """One tensor, a view into the mapped file, which takes no time; do not write to it."""
        return self._tensors[key]

    def identity(self) -> str:
        """Hash of the file's name, size and first 64 KiB."""
        with self._path.open("rb") as file:
            return _files_identity((self._path,), file.read(2**16))


def open_weights(path: Path) -> TensorReader:
    """Open a checkpoint by its file name.

    Args:
        path: ``.safetensors`` (or ``.sft``), ``.index.json`` or ``.pth`` (``.pt``, ``.bin``, ``.ckpt``).

    Raises:
        WeightsError: See the readers; also for other kinds of file.
    """
    if path.suffix in (".safetensors", ".sft") or path.name.endswith(".index.json"):
        return SafetensorsReader(path)
    if path.suffix in _PICKLE_SUFFIXES:
        return PickleReader(path)
    raise WeightsError(
        f"{path} is of a kind that cannot be read.", need="a .safetensors, .safetensors.index.json or .pth file"
    )


def read_weight_map(index: Path) -> dict[str, str]:
    """Shard file name by tensor key, from an ``.index.json``.

    Raises:
        WeightsError: The index is missing or malformed, or points outside its folder.
    """
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        entries = {str(key): str(name) for key, name in weight_map.items()}
    except FileNotFoundError as error:
        raise WeightsError(f"The index {index} is missing.", do="Download it again.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index} is no index of safetensors shards.", do="Download it again.") from error
    outside = next((name for name in entries.values() if Path(name).name != name), None)
    if not entries or outside is not None:
        raise WeightsError(f"{index} lists {'no shards' if outside is None else 'a shard outside its folder'}.")
    return entries


def describe(reader: TensorReader) -> str:
    """Its files in a few words."""
    first, *others = reader.files
    return f"{first} and {len(others)} more shards" if others else str(first)


def _check_shards_exist(index: Path, files: tuple[Path, ...], weight_map: Mapping[str, str]) -> None:
    """Name the first shard that is not there, with a tensor that it should hold."""
    for file in files:
        if not file.is_file():
            key = next(key for key, name in weight_map.items() if name == file.name)
            raise WeightsError(
                f"The shard {file.name} that {index} lists is missing; it should hold the tensor {key}, among others.",
                do="Download it, or correct its name.",
            )


def _files_identity(files: tuple[Path, ...], first_header: bytes) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
    digest.update(first_header)
    return digest.hexdigest()


def _load_pickle(path: Path) -> Any:
    """Open a pickle without running anything in it; mapped when its format allows."""
    do = "Download it again, or use a safetensors file."
    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # the format before torch 1.6 cannot be mapped
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"The file {path} is missing.", do=do) from error
    except pickle.UnpicklingError as error:
        if "global" not in str(error).lower():
            raise WeightsError(f"{path} is damaged or no PyTorch file.", do=do) from error
        raise WeightsError(
            f"{path} contains Python objects other than tensors, which could run code; refused.", do=do
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} is truncated or no PyTorch file.", do=do) from error
