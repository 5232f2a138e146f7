# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Nodes that only the tests use, loaded by the server beside the pack."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from typing import Any

if "server" in sys.modules:  # the test runner imports this file as well, outside ComfyUI
    import comfy.model_management as mm  # pyright: ignore[reportMissingImports]
    import folder_paths  # pyright: ignore[reportMissingImports]
    import torch
    from aiohttp import web
    from safetensors.torch import save_file
    from server import PromptServer  # pyright: ignore[reportMissingImports]

    def _engines() -> Any:
        """The registry of the pack, whatever name ComfyUI gave to its modules."""
        name = next(name for name in sys.modules if name.endswith("LingBot-World.nodes.host"))
        return sys.modules[name].ENGINES

    @PromptServer.instance.routes.get("/lingbot_test/state")
    async def state(_: web.Request) -> web.Response:
        """What the pack holds, and what the host knows of it."""
        engines = list(_engines()._engines.values())
        registered = [entry for entry in mm.current_loaded_models if "Engine" in type(entry.model).__name__]
        return web.json_response(
            {
                "num_bytes": sum(engine.num_bytes for engine in engines),
                "num_engines": len(engines),
                "num_registered": len(registered),
                "holds_text_encoder": any(getattr(engine._executor, "holds_text_encoder", 0) for engine in engines),
                "processes": [str(process) for engine in engines for process in _processes(engine)],
                "gpu": _gpu_state() if mm.get_torch_device().type == "cuda" else None,
            }
        )

    _pretended: dict[str, float] = {}

    @PromptServer.instance.routes.post("/lingbot_test/pretend")
    async def pretend(request: web.Request) -> web.Response:
        """Change what the pack finds here: ``free_disk`` and ``free_memory`` in bytes, ``pause_sec`` per tensor read.

        What is not named is as it is.
        """
        _pretended.clear()
        _pretended.update(await request.json())
        if not hasattr(shutil.disk_usage, "is_pretended"):
            _install_pretences()
        return web.json_response({})

    def _install_pretences() -> None:
        from lingbot_core import preflight, readers

        disk_usage, free_memory, read_tensor = shutil.disk_usage, preflight.free_memory, readers.read_tensor

        def pretended_usage(path: Any) -> Any:
            usage = disk_usage(path)
            return usage._replace(free=int(_pretended.get("free_disk", usage.free)))

        def slow_read(*args: Any) -> Any:
            time.sleep(_pretended.get("pause_sec", 0))
            return read_tensor(*args)

        pretended_usage.is_pretended = True  # pyright: ignore[reportFunctionMemberAccess]
        shutil.disk_usage, readers.read_tensor = pretended_usage, slow_read
        preflight.free_memory = lambda device: _pretended.get("free_memory", free_memory(device))

    def _processes(engine: Any) -> list[Any]:
        """The elastic agent and the ranks of an engine on several GPUs."""
        group = getattr(engine._executor, "_group", None)
        return group.processes if group is not None else []

    def _gpu_state() -> dict[str, Any]:
        """Memory of the GPU in bytes, and how the host manages it."""
        device = mm.get_torch_device()
        dynamic = getattr(sys.modules.get("comfy.memory_management"), "aimdo_enabled", False)
        return {
            "free": torch.cuda.mem_get_info(device)[0],
            "allocated": torch.cuda.memory_allocated(device),
            "unused": torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device),
            "kept_for_inference": mm.minimum_inference_memory(),
            "allocator": torch.cuda.get_allocator_backend(),
            "vram_state": mm.vram_state.name,
            "dynamic_vram": bool(dynamic),
        }

    class Conditioning:
        """An encoding in exactly the form of core CLIP Text Encode with a wan CLIP."""

        RETURN_TYPES = ("CONDITIONING",)
        FUNCTION = "execute"
        CATEGORY = "test"

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            width = ("INT", {"default": 4096, "min": 1, "max": 8192})
            return {
                "required": {"num_tokens": ("INT", {"default": 7}), "width": width, "seed": ("INT", {"default": 0})}
            }

        def execute(self, num_tokens: int, width: int, seed: int) -> tuple[Any]:
            encoding = torch.zeros(1, 512, width)
            generator = torch.Generator().manual_seed(seed)
            encoding[:, :num_tokens] = torch.randn(1, num_tokens, width, generator=generator) * 0.1
            return ([[encoding, {"pooled_output": None}]],)

    class SaveConditioning:
        """Keeps an encoding as a file, and tells the page what came with it."""

        RETURN_TYPES = ()
        FUNCTION = "execute"
        CATEGORY = "test"
        OUTPUT_NODE = True

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"conditioning": ("CONDITIONING",), "name": ("STRING", {"default": "encoding"})}}

        def execute(self, conditioning: Any, name: str) -> dict[str, Any]:
            ((encoding, extra),) = conditioning
            path = os.path.join(folder_paths.get_output_directory(), f"{name}.safetensors")
            save_file({"encoding": encoding.contiguous()}, path)
            return {"ui": {"keys": sorted(extra)}}

    class Picture:
        """Pictures of any number, size and number of channels."""

        RETURN_TYPES = ("IMAGE",)
        FUNCTION = "execute"
        CATEGORY = "test"

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            number = ("INT", {"default": 1})
            return {"required": dict.fromkeys(("batch", "height", "width", "channels"), number)}

        def execute(self, batch: int, height: int, width: int, channels: int) -> tuple[Any]:
            ramp = torch.linspace(0, 1, height * width * channels).reshape(1, height, width, channels)
            return (torch.cat([ramp, 1 - ramp.expand(batch - 1, -1, -1, -1)]) if batch > 1 else ramp,)

    class FreeMemory:
        """Takes all memory from other models, as a large model does before it is loaded."""

        RETURN_TYPES = ()
        FUNCTION = "execute"
        CATEGORY = "test"
        OUTPUT_NODE = True

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"count": ("INT", {"default": 0})}}

        def execute(self, count: int) -> tuple[()]:
            mm.free_memory(1e30, mm.get_torch_device())
            return ()

    class Fingerprint:
        """Tells the page a hash of the values of latents or pictures."""

        RETURN_TYPES = ()
        FUNCTION = "execute"
        CATEGORY = "test"
        OUTPUT_NODE = True

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {}, "optional": {"latent": ("LATENT",), "image": ("IMAGE",)}}

        def execute(self, latent: Any = None, image: Any = None) -> dict[str, Any]:
            tensors = [*([latent["samples"]] if latent is not None else []), *([image] if image is not None else [])]
            assert tensors and all(tensor.isfinite().all() for tensor in tensors)
            values = b"".join(tensor.detach().cpu().float().contiguous().numpy().tobytes() for tensor in tensors)
            return {"ui": {"fingerprint": [hashlib.sha256(values).hexdigest()]}}

    class Camera:
        """Tells the page which poses it was given."""

        RETURN_TYPES = ()
        FUNCTION = "execute"
        CATEGORY = "test"
        OUTPUT_NODE = True

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"camera": ("CAMERA_TRAJECTORY",)}}

        def execute(self, camera: Any) -> dict[str, Any]:
            return {"ui": {"lingbot_camera": [camera.c2w.tolist()]}}

    NODE_CLASS_MAPPINGS = {
        "LingBotTestCamera": Camera,
        "LingBotTestConditioning": Conditioning,
        "LingBotTestFingerprint": Fingerprint,
        "LingBotTestPicture": Picture,
        "LingBotTestSaveConditioning": SaveConditioning,
        "LingBotTestFreeMemory": FreeMemory,
    }
