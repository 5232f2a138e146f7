# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What the nodes need of ComfyUI: folders, progress, interrupt, and its management of memory."""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import clear_frames
from typing import Any

import comfy.model_management as mm
import folder_paths
import numpy as np
import torch
from comfy.cli_args import args
from comfy.model_patcher import ModelPatcher
from comfy.utils import ProgressBar
from PIL import Image
from server import PromptServer

from lingbot_core.errors import Cancelled, InputError
from lingbot_core.executor.base import PassProgress
from lingbot_core.journal import Journal

from .engines import Engine, EngineRegistry
from .folder_files import FolderFiles
from .routes import CameraRoutes

log = logging.getLogger(__name__)

_MODEL_FOLDERS = ("diffusion_models", "vae", "vae_approx", "text_encoders")

_ARRAYS = FolderFiles(".npy")

# --- folders ----------------------------------------------------------------------------


def open_journal() -> Journal:
    """The journal of this ComfyUI. Folders of the user directory that begin with ``__`` are never served over HTTP."""
    return Journal(Path(folder_paths.get_user_directory()) / "__lingbot_world" / "journal")


def output_folder() -> Path:
    """Where results go."""
    return Path(folder_paths.get_output_directory())


def input_folder() -> Path:
    """Where uploads and inputs are."""
    return Path(folder_paths.get_input_directory())


def input_arrays() -> list[str]:
    """The ``.npy`` files below the input folder, as paths relative to it, sorted."""
    return _ARRAYS.list(input_folder())


def input_file(name: str) -> Path:
    """A file below the input folder, by the name that :func:`input_arrays` gave it; it may be gone by now.

    Raises:
        InputError: The name leads out of the input folder; ComfyUI 0.3.64 does not check what comes over HTTP.
    """
    folder = input_folder().resolve()
    path = Path(os.path.normpath(folder / name))
    if not path.is_relative_to(folder):
        raise InputError("The file is not in ComfyUI's input folder.", got=name, do="Copy it there and press R.")
    return path


def model_files(folder: str) -> list[str]:
    """Names of the files in one of ComfyUI's model folders."""
    return folder_paths.get_filename_list(folder)


def model_file(folder: str, name: str) -> Path | None:
    """Path of a file in one of ComfyUI's model folders; None when it is gone."""
    path = folder_paths.get_full_path(folder, name)
    return Path(path) if path is not None else None


def model_folders() -> tuple[Path, ...]:
    """ComfyUI's model folders, those from ``extra_model_paths.yaml`` included."""
    folders = [folder_paths.models_dir]
    for name in _MODEL_FOLDERS:
        folders += folder_paths.get_folder_paths(name)
    return tuple(dict.fromkeys(Path(folder) for folder in folders))


def torch_device() -> torch.device:
    """The device that ComfyUI runs on, with its index."""
    return mm.get_torch_device()


def workflow_metadata(prompt: Any, extra: Any) -> dict[str, str]:
    """What ComfyUI keeps in files it saves, so that dropping one on it brings the workflow back."""
    if args.disable_metadata:
        return {}
    return {name: json.dumps(value) for name, value in {**(extra or {}), "prompt": prompt}.items() if value}


# --- progress, text, previews, interrupt ------------------------------------------------


class Reporter:
    """Talks to the user about one running node, and listens for the interrupt.

    ComfyUI keeps a single flag for the interrupt, which the first one to see it clears, and every
    progress message looks at it too. So all of it goes through here, from any thread, and what was
    seen is remembered: ask :attr:`interrupted`, clean up, then call :meth:`check_interrupt`.

    Args:
        node_id: The node, as the hidden input ``unique_id`` gives it.
        total: Steps of the progress bar.
    """

    def __init__(self, node_id: str, total: int = 1) -> None:
        self._node_id, self._total, self._value = node_id, total, 0
        self._bar = ProgressBar(total, node_id=node_id)
        self._seen_interrupt = False

    @property
    def interrupted(self) -> bool:
        """Whether the user wants to stop."""
        return self._seen_interrupt or mm.processing_interrupted()

    def check_interrupt(self) -> None:
        """Raise ComfyUI's own exception if the user wants to stop."""
        if self._seen_interrupt:
            raise mm.InterruptProcessingException()
        mm.throw_exception_if_processing_interrupted()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Raise ComfyUI's own exception when the body stops because :attr:`interrupted` told it to."""
        try:
            yield
        except Cancelled as error:
            clear_frames(error.__traceback__)  # they may hold half a model, and ComfyUI keeps its exception a while
            self.check_interrupt()
            raise

    def progress(self, value: int) -> None:
        """Move the bar."""
        self._value = value
        self._update()

    def preview(self, frame: np.ndarray) -> None:
        """Show a frame, uint8 ``[H, W, 3]``, in the node."""
        self._update(("JPEG", Image.fromarray(np.ascontiguousarray(frame)), args.preview_size))

    def text(self, text: str) -> None:
        """Show a line of text in the node."""
        PromptServer.instance.send_progress_text(text, self._node_id)

    def warn(self, text: str) -> None:
        """Show a line that is worth keeping: in the node and in the log."""
        log.warning(text)
        self.text(text)

    def on_pass(self, progress: PassProgress) -> None:
        """Report a pass of the network."""
        if progress.replaying:
            self.text(f"restoring chunk {progress.chunk_index + 1} of {progress.num_chunks}")
        else:
            self.progress(progress.chunk_index * progress.num_passes + progress.pass_index)

    def _update(self, preview: tuple[str, Image.Image, int] | None = None) -> None:
        try:
            self._bar.update_absolute(self._value, self._total, preview)
        except mm.InterruptProcessingException:
            self._seen_interrupt = True


# --- memory -----------------------------------------------------------------------------


class LingBotWorld(torch.nn.Module):
    """Stands for an engine where ComfyUI wants a module; its name appears in ComfyUI's log."""


class _EnginePatcher(ModelPatcher):
    """An engine, as ComfyUI's memory management sees it.

    Not ``CoreModelPatcher``: on the CPU that makes a plain ModelPatcher and drops these overrides.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        super().__init__(LingBotWorld(), load_device=torch_device(), offload_device=torch.device("cpu"))

    def model_size(self) -> int:
        return self._engine.num_bytes

    def loaded_size(self) -> int:
        return self._engine.num_bytes

    def current_loaded_device(self) -> torch.device:
        return self.load_device

    def partially_load(self, device_to: Any, extra_memory: float = 0, force_patch_weights: bool = False) -> int:
        """Nothing: an engine loads what it needs when its session begins."""
        return 0

    def partially_unload(self, device_to: Any, memory_to_free: float = 0, force_patch_weights: bool = False) -> int:
        """Free caches, then weights."""
        return self._engine.free(int(memory_to_free))

    def detach(self, unpatch_all: bool = True) -> torch.nn.Module:
        """Free everything. With ``unpatch_all`` False the host only takes the entry out to put it back in."""
        if unpatch_all:
            self._engine.free_all()
        return self.model


class ComfyMemory:
    """ComfyUI's memory management, as engines see it: a :class:`nodes.engines.MemoryHost`."""

    def __init__(self) -> None:
        self._patchers: dict[Engine, _EnginePatcher] = {}

    def make_room(self, engine: Engine | None, num_bytes: int) -> None:
        """Have other models leave the device until so much is free; with None all may have to."""
        keep = [mm.LoadedModel(self._patchers[engine])] if engine is not None and engine in self._patchers else []
        mm.free_memory(num_bytes + mm.extra_reserved_memory(), torch_device(), keep_loaded=keep)

    def hold(self, engine: Engine) -> None:
        """Register what an engine holds; it stays registered as long as it holds anything."""
        if not engine.num_bytes:
            return
        if engine not in self._patchers:
            self._patchers[engine] = _EnginePatcher(engine)
        mm.load_models_gpu([self._patchers[engine]])


MEMORY = ComfyMemory()
"""Memory of this process, as engines see it."""

ENGINES = EngineRegistry(open_journal, MEMORY)
"""All engines of this process."""

# --- routes -----------------------------------------------------------------------------


@functools.cache
def add_camera_routes() -> None:
    """Register what the camera path editor asks for. ComfyUI serves what is registered while packs are loaded."""
    if (server := getattr(PromptServer, "instance", None)) is not None:  # none where nodes are loaded without a server
        CameraRoutes(ENGINES.recent).add_to(server.routes)
