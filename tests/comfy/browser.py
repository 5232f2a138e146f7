# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""ComfyUI's page in a headless Chromium, driven by ``browser.cjs`` through playwright-core."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.comfy.client import Client
from tests.comfy.comfy_host import PACK_NAME, ROOT, reason_to_skip

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
MODULE_FOLDERS = (ROOT / "build" / "node_modules", ROOT / "node_modules")
NO_MODULE = "no playwright-core; run: npm install --prefix build playwright-core"
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,
    "LiteGraph.Canvas.LowQualityRenderingZoomThreshold": 0.1,
}
"""No dialogs in the way, and pictures without the page's own decoration, sharp when small."""


@dataclass(frozen=True)
class Browser:
    """What is needed to open a page."""

    node: str
    """Node.js."""

    chromium: str
    """The browser."""

    module: str
    """playwright-core."""

    def visit(self, client: Client, graphs: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
        """Load graphs one after the other.

        Args:
            client: Of the server.
            graphs: Each with ``name`` and ``ui``; with ``shot`` a JPEG is written there, with ``run`` once a
                preview is seen; with ``toEnd`` the run is then waited for.
            options: ``templates``, where to write a JPEG of the list of templates; ``width`` and ``height`` of the
                page; ``vue``, whether nodes are drawn by the newer renderer.

        Returns:
            ``graphs`` by name, each with ``missing`` types, ``count`` of nodes, ``api`` and the run's ``end``;
            ``problems``, errors of the page with their source; ``templates``.
        """
        settings = {**SETTINGS, "Comfy.VueNodes.Enabled": bool(options.pop("vue", False))}
        client.post("/settings", settings)
        job = {
            "url": client.server.url,
            "chromium": self.chromium,
            "module": self.module,
            "graphs": graphs,
            "width": 1600,
            "height": 1000,
            **options,
        }
        done = subprocess.run(
            [self.node, str(Path(__file__).parent / "browser.cjs"), json.dumps(job)],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def use(self, client: Client, spec: str, shots: str, vue: bool, **job: Any) -> dict[str, Any]:
        """Let a script use the page as a person does.

        Args:
            client: Of the server.
            spec: The script, beside this file.
            shots: Folder for its pictures.
            vue: Whether nodes are drawn by the newer renderer.
            job: What the script is given besides.

        Returns:
            What it printed; ``problems``, errors of the page with their source.
        """
        client.post("/settings", {**SETTINGS, "Comfy.VueNodes.Enabled": vue})
        job = {"url": client.server.url, "chromium": self.chromium, "module": self.module, "shots": shots, **job}
        done = subprocess.run(
            [self.node, str(Path(__file__).parent / spec), json.dumps(job)],
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout.splitlines()[-1])
        assert "failure" not in result, f"{result['failure']}\npictures in {shots}\n{our_problems(result)}"
        return result


def our_problems(result: dict[str, Any]) -> list[Any]:
    """Errors of the page whose source or text is the pack's."""
    return [problem for problem in result["problems"] if PACK_NAME in problem["source"] + problem["text"]]


def find_browser() -> Browser | str:
    """What is on this machine, or one line that says what is missing.

    Chromium is taken from ``CHROMIUM`` or ``PATH``; playwright-core from ``PLAYWRIGHT_CORE`` or ``build/node_modules``,
    where ``make browser``, a part of ``make test``, puts it.
    """
    node = shutil.which("node")
    if node is None:
        return "no node on PATH"
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if chromium is None:
        return "no Chromium on PATH; set CHROMIUM"
    given = os.environ.get("PLAYWRIGHT_CORE")
    modules = [Path(given)] if given else [folder / "playwright-core" for folder in MODULE_FOLDERS]
    module = next((folder for folder in modules if folder.is_dir()), None)
    if module is None:
        return NO_MODULE
    return Browser(node, chromium, str(module))


if __name__ == "__main__":  # `make browser` asks whether playwright-core is all that is missing
    sys.exit(bool(reason_to_skip()) or find_browser() != NO_MODULE or "PLAYWRIGHT_CORE" in os.environ)
