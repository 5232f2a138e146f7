# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Socket types of the pack, and the menu its nodes are in."""

from __future__ import annotations

from comfy_api.latest import io

CATEGORY = "LingBot World"
"""Root of the node menu's sub-levels."""

ModelSocket = io.Custom("LINGBOT_MODEL")
"""Carries a :class:`nodes.tokens.ModelToken`."""

RolloutSocket = io.Custom("LINGBOT_ROLLOUT")
"""Carries a :class:`nodes.tokens.RolloutToken`."""

CameraSocket = io.Custom("CAMERA_TRAJECTORY")
"""Carries a :class:`lingbot_core.camera.trajectory.CameraTrajectory`."""

ViewerCameraSocket = io.Custom("LOAD3D_CAMERA")
"""The camera of ComfyUI's 3D viewer, a dict."""
