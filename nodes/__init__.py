# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""ComfyUI nodes: schema in, core call, ComfyUI type out. Empty, so that its parts import without ComfyUI."""
