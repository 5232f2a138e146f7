# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""HTTP routes of the camera path editor, below ``/lingbot_world/camera``.

Every answer is worked out in a thread of our own, so that the host's event loop never waits. Files come as
contents and go as contents: no name or path that a client sends is ever opened here. What is wrong with a request is
answered with status 400 and ``{"error": message}``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import torch
from aiohttp import BodyPartReader, web

from lingbot_core.errors import InputError, LingBotError

from .messages import in_graph_words
from .recent import RecentRollouts

PREFIX = "/lingbot_world/camera"

MAX_BYTES = 64 * 2**20
"""Most bytes of one request."""

MAX_FILES = 16
"""Most files in one import."""

ROWS_PER_PIECE = 1000
"""Long lists are encoded so many rows at a time: the encoder stops all other threads while it runs."""


class CameraRoutes:
    """Handlers of the editor's requests.

    Args:
        recent: What was computed lately.
    """

    def __init__(self, recent: RecentRollouts) -> None:
        self._recent = recent
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="lingbot-editor")

    def add_to(self, routes: web.RouteTableDef) -> None:
        """Register all routes in the host's table."""
        routes.get(f"{PREFIX}/presets")(self.presets)
        routes.post(f"{PREFIX}/sample")(self.sample)
        routes.post(f"{PREFIX}/preset")(self.preset)
        routes.post(f"{PREFIX}/fly")(self.fly)
        routes.post(f"{PREFIX}/import")(self.import_files)
        routes.post(f"{PREFIX}/export")(self.export)

    async def presets(self, request: web.Request) -> web.StreamResponse:
        """All presets with their parameters."""
        return await self._answer(lambda: _json(_server().presets()))

    async def sample(self, request: web.Request) -> web.StreamResponse:
        """The path frame by frame."""
        return await self._answer_body(request, lambda body: _server().sample(body, self._recent))

    async def preset(self, request: web.Request) -> web.StreamResponse:
        """A preset as keyframes."""
        return await self._answer_body(request, lambda body: _server().preset_path(body))

    async def fly(self, request: web.Request) -> web.StreamResponse:
        """A recorded flight as keyframes."""
        return await self._answer_body(request, lambda body: _server().fly(body))

    async def import_files(self, request: web.Request) -> web.StreamResponse:
        """Files of other programs as a path."""
        try:
            files, options = await _read_files(request)
        except (LingBotError, ValueError) as error:  # aiohttp reports damaged multipart data as ValueError
            return _refusal(error)
        return await self._answer(lambda: _json(_server().import_files(files, options)))

    async def export(self, request: web.Request) -> web.StreamResponse:
        """The path as a file to be saved."""

        def respond(data: bytes) -> web.Response:
            name, media_type, contents = _server().export_path(_read_json(data))
            headers = {"Content-Disposition": f'attachment; filename="{name}"'}
            return web.Response(body=contents, content_type=media_type, headers=headers)

        try:
            data = await _read_body(request)
        except LingBotError as error:
            return _refusal(error)
        return await self._answer(lambda: respond(data))

    async def _answer_body(self, request: web.Request, work: Callable[[Mapping[str, Any]], Any]) -> web.Response:
        """Answer a JSON request with JSON."""
        try:
            data = await _read_body(request)
        except LingBotError as error:
            return _refusal(error)
        return await self._answer(lambda: _json(work(_read_json(data))))

    async def _answer(self, work: Callable[[], web.Response]) -> web.Response:
        """Do work in a thread; our errors become status 400."""

        def run() -> web.Response:
            with torch.inference_mode():  # the mode is per thread
                return work()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, run)
        except LingBotError as error:
            return _refusal(error)


def _server() -> ModuleType:
    """What answers; imported by the first request, as ComfyUI's start should not wait for it."""
    from . import editor_server

    return editor_server


def _json(value: Any) -> web.Response:
    return web.Response(text=encode_json(value), content_type="application/json")


def encode_json(value: Any) -> str:
    """The JSON of a value, without stopping other threads for long where an object holds long lists."""
    if not isinstance(value, dict):
        return json.dumps(value, allow_nan=False)
    items = []
    for name, item in value.items():
        if isinstance(item, list):
            starts = range(0, len(item), ROWS_PER_PIECE)
            pieces = [json.dumps(item[start : start + ROWS_PER_PIECE], allow_nan=False)[1:-1] for start in starts]
            items.append(f"{json.dumps(name)}: [{', '.join(pieces)}]")
        else:
            items.append(f"{json.dumps(name)}: {json.dumps(item, allow_nan=False)}")
    return f"{{{', '.join(items)}}}"


def _refusal(error: Exception) -> web.Response:
    return web.json_response({"error": in_graph_words(str(error))}, status=400)


def _read_json(data: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError("The request is not JSON.", got=str(error)[:60], need="a JSON object") from error
    if not isinstance(body, dict):
        raise InputError("The request cannot be used.", got=type(body).__name__, need="a JSON object")
    return body


async def _read_body(request: web.Request) -> bytes:
    """The whole body, within the limit."""
    return await _read_limited(request.content.readany, MAX_BYTES)


async def _read_limited(read: Callable[[], Any], limit: int) -> bytes:
    """Pieces until there are none.

    Raises:
        InputError: There are more bytes than ``limit``.
    """
    data = bytearray()
    while piece := await read():
        data += piece
        if len(data) > limit:
            raise InputError("The request is too large.", need=f"at most {MAX_BYTES >> 20} MiB in all")
    return bytes(data)


async def _read_files(request: web.Request) -> tuple[dict[str, bytes], dict[str, str]]:
    """Files by name and other fields by name, of a form that was sent as multipart.

    Raises:
        InputError: It is no such form, or there is too much in it.
    """
    if not request.content_type.startswith("multipart/"):
        raise InputError("The request holds no files.", got=request.content_type, need="multipart/form-data")
    files: dict[str, bytes] = {}
    fields: dict[str, str] = {}
    left = MAX_BYTES
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader):
            raise InputError("The form is nested.", need="files and fields side by side")
        data = await _read_limited(part.read_chunk, left)
        left -= len(data)
        if part.filename is None:
            fields[part.name or ""] = data[:1000].decode("utf-8", errors="replace")
        elif len(files) == MAX_FILES:
            raise InputError("There are too many files.", need=f"at most {MAX_FILES}")
        else:
            files[f"{part.filename[-100:]}"] = data
    return files, fields
