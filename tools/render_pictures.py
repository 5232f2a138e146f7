# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures from a real ComfyUI: ``python -m tools.render_pictures [NAME ...]``.

Writes ``workflows/*.jpg``, for the README ``assets/screenshots/*.jpg``, and for the registry ``assets/icon.png``; with
names, such as ``core-nodes``, ``templates``, ``running`` or ``icon``, only those. Needs what ``tests/comfy`` needs for
its browser tests. The running graph uses a tiny checkpoint with random weights, so its picture is noise.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from lingbot_core.make_checkpoint import make_checkpoint
from tests.comfy.browser import find_browser
from tests.comfy.client import Client
from tests.comfy.comfy_host import ROOT, ComfyBase, ComfyServer, find_host
from tools.build_workflows import FOLDER

SCREENSHOTS = ROOT / "assets" / "screenshots"
"""Pictures of the README."""

ICON = ROOT / "assets" / "icon.svg"
"""400 units wide and high."""

CHECKPOINT = "checkpoint"
"""The tiny checkpoint, as seen from the server's folder."""

CHOSEN_FILES = ("text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors",)
"""Files of the models folder that a graph names."""

RUN_SIZE = (240, 432)
"""Height and width of the video in the picture of a running graph: a CPU makes it in seconds."""

PAGE = {"width": 2200, "height": 1500}
"""Of the page that is photographed, in pixels."""

PICTURE_WIDTH = 1280
"""Of what is kept, in pixels."""


def main(names: Sequence[str] = ()) -> int:
    """Write the pictures of these names, or all."""
    stills = [path for path in sorted(FOLDER.glob("*.json")) if not names or path.stem in names]
    screenshots = [name for name in ("templates", "running") if not names or name in names]
    unknown = set(names) - {path.stem for path in stills} - {*screenshots, "icon"}
    if unknown:
        print(f"there are no pictures of {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    host, browser = find_host(), find_browser()
    if isinstance(host, str) or isinstance(browser, str):
        print(host if isinstance(host, str) else browser, file=sys.stderr)
        return 1
    if not names or "icon" in names:
        _draw_icon(browser.chromium)
    if not stills and not screenshots:
        return 0
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        base = ComfyBase(Path(folder) / "base")
        make_checkpoint(base.folder / CHECKPOINT, "tiny")
        for path in CHOSEN_FILES:  # only offered, never read
            (base.models / path).parent.mkdir(exist_ok=True)
            (base.models / path).touch()
        server = ComfyServer(host, base)
        try:
            client = Client(server)
            if stills:
                browser.visit(client, [_still(path) for path in stills], **PAGE)
            if "templates" in screenshots:
                browser.visit(client, [], templates=str(SCREENSHOTS / "templates.jpg"))
            if "running" in screenshots:
                browser.visit(client, [_running()], **PAGE)
        finally:
            server.stop()
    for path in (
        *(path.with_suffix(".jpg") for path in stills),
        *(SCREENSHOTS / f"{name}.jpg" for name in screenshots),
    ):
        _shrink(path)
    return 0


def _draw_icon(chromium: str) -> None:
    """Turn the drawing into the picture that the registry shows."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=400,400"]
    options += ["--default-background-color=00000000", f"--screenshot={ICON.with_suffix('.png')}", ICON.as_uri()]
    subprocess.run([chromium, *options], check=True, capture_output=True, timeout=60)


def _still(path: Path) -> dict[str, Any]:
    """A graph as it looks when opened."""
    return {"name": path.stem, "ui": json.loads(path.read_text("utf-8")), "shot": str(path.with_suffix(".jpg"))}


def _running() -> dict[str, Any]:
    """A graph while it runs."""
    ui = json.loads((FOLDER / "own-photo-preset-path.json").read_text("utf-8"))
    for node in ui["nodes"]:
        if node["type"] == "LingBotWorldLoader":
            names = [socket["name"] for socket in node["inputs"]]  # all are widgets
            node["widgets_values"][names.index("checkpoint_root")] = CHECKPOINT
        elif node["type"] == "LingBotStreamingSampler":
            node["widgets_values"] = [42, "fixed", 10, *RUN_SIZE, "stretch"]
    return {"name": "running", "ui": ui, "shot": str(SCREENSHOTS / "running.jpg"), "run": True}


def _shrink(path: Path) -> None:
    """Bring a picture to the width that is kept."""
    with Image.open(path) as picture:
        if picture.width <= PICTURE_WIDTH:
            return
        height = round(picture.height * PICTURE_WIDTH / picture.width)
        small = picture.convert("RGB").resize((PICTURE_WIDTH, height), Image.Resampling.LANCZOS)
    small.save(path, quality=85)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
