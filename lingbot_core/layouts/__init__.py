# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoint layouts: which tensor of a file is which tensor of a model.

Each module here has ``identify(shapes) -> Layout``, which looks at names and shapes
only (never at data), so a wrong file is named before anything is read.
"""
