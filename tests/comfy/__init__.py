# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests against a real ComfyUI server, see ``comfy_host.py`` for how one is found."""
