# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The list of the pack's nodes."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import host
from .camera import LingBotCameraFrom3DViewer, LingBotCameraFromPoses, LingBotCameraPreview, LingBotCameraTrajectory
from .decoder import LingBotDecoder
from .loader import LingBotExample, LingBotWorldLoader
from .output import LingBotSaveRollout
from .sampler import LingBotStreamingSampler
from .text import LingBotTextEncode, LingBotTextEvents


class LingBotExtension(ComfyExtension):
    """The pack, as ComfyUI sees it."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes. Their ids are frozen: saved workflows name them."""
        host.add_camera_routes()
        return [
            LingBotWorldLoader,
            LingBotExample,
            LingBotCameraTrajectory,
            LingBotCameraFromPoses,
            LingBotCameraFrom3DViewer,
            LingBotCameraPreview,
            LingBotTextEncode,
            LingBotTextEvents,
            LingBotStreamingSampler,
            LingBotDecoder,
            LingBotSaveRollout,
        ]
