# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A ComfyUI for tests of its client: answers as the real one does, computes nothing."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import web

PROMPT_ID = "run-1"

Play = Callable[["FakeComfy"], Coroutine[Any, Any, None]]


class FakeComfy:
    """An HTTP server in a thread of its own.

    Phases: construct, enter the context, use :attr:`url`, leave it.

    Args:
        play: What happens once a graph is queued and somebody listens; it ends with :meth:`finish`.
        refusal: Answer to a queued graph, with HTTP 400; None accepts it.
        node_errors: What is wrong with branches that are left out of an accepted graph.
        classes: Inputs of each class, as ``/object_info`` tells them.
    """

    def __init__(
        self,
        play: Play | None = None,
        refusal: dict[str, Any] | None = None,
        node_errors: dict[str, Any] | None = None,
        classes: dict[str, Any] | None = None,
    ) -> None:
        self.url = ""
        self.prompts: list[dict[str, Any]] = []
        """Graphs that were queued."""
        self.uploads: dict[str, bytes] = {}
        """Files that were sent."""
        self.files: dict[tuple[str, str], bytes] = {}
        """What can be downloaded, by subfolder and name."""
        self.posted: list[tuple[str, Any]] = []
        """Requests to stop something."""
        self._history: dict[str, Any] = {}
        self._play, self._refusal = play, refusal
        self._node_errors, self._classes = node_errors or {}, classes or {}
        self._queued, self._listening, self._started = threading.Event(), asyncio.Event(), threading.Event()
        self._running = False
        self._socket: web.WebSocketResponse | None = None

    def __enter__(self) -> FakeComfy:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def send(self, type_: str, **data: Any) -> None:
        """Send a message to whoever listens."""
        assert self._socket is not None
        await self._socket.send_json({"type": type_, "data": data})

    async def send_text(self, text: str, node: str) -> None:
        """Send a node's line of text, as a binary message."""
        assert self._socket is not None
        await self._socket.send_bytes(struct.pack(">II", 3, len(node)) + node.encode() + text.encode())

    async def hang_up(self) -> None:
        """Close the websocket; the client may come back."""
        assert self._socket is not None
        self._listening.clear()
        await self._socket.close()
        await self._listening.wait()

    async def finish(self, outputs: dict[str, Any], *messages: tuple[str, dict[str, Any]]) -> None:
        """Say that all is done, and only then put it into the history, as the real server does."""
        await self.send("execution_success", prompt_id=PROMPT_ID)
        await asyncio.sleep(0.05)
        self.forget()
        self._history[PROMPT_ID] = {"outputs": outputs, "status": {"messages": list(messages)}}
        await self.send("executing", node=None, prompt_id=PROMPT_ID)

    def forget(self) -> None:
        """Drop the run from the queue."""
        self._running = False

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.add_routes(
            [
                web.get("/ws", self._on_socket),
                web.post("/prompt", self._on_prompt),
                web.get("/object_info/{name}", self._on_object_info),
                web.get("/history/{id}", self._on_history),
                web.get("/queue", self._on_queue),
                web.post("/queue", self._on_stop),
                web.post("/interrupt", self._on_stop),
                web.post("/upload/image", self._on_upload),
                web.get("/view", self._on_view),
            ]
        )
        runner = web.AppRunner(app)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _on_socket(self, request: web.Request) -> web.WebSocketResponse:
        self._socket = web.WebSocketResponse()
        await self._socket.prepare(request)
        self._listening.set()
        async for _ in self._socket:
            pass
        return self._socket

    async def _on_prompt(self, request: web.Request) -> web.Response:
        self.prompts.append((await request.json())["prompt"])
        if self._refusal is not None:
            return web.json_response(self._refusal, status=400)
        self._running = True
        self._task = asyncio.ensure_future(self._run())
        return web.json_response({"prompt_id": PROMPT_ID, "number": 0, "node_errors": self._node_errors})

    async def _on_object_info(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return web.json_response({name: {"input": self._classes[name]}} if name in self._classes else {})

    async def _run(self) -> None:
        await self._listening.wait()
        if self._play is not None:
            await self._play(self)

    async def _on_history(self, request: web.Request) -> web.Response:
        prompt_id = request.match_info["id"]
        return web.json_response({key: value for key, value in self._history.items() if key == prompt_id})

    async def _on_queue(self, request: web.Request) -> web.Response:
        return web.json_response({"queue_running": [[0, PROMPT_ID]] if self._running else [], "queue_pending": []})

    async def _on_stop(self, request: web.Request) -> web.Response:
        self.posted.append((request.path, await request.json()))
        return web.Response()

    async def _on_upload(self, request: web.Request) -> web.Response:
        field = (await request.post())["image"]
        assert isinstance(field, web.FileField)
        self.uploads[field.filename] = field.file.read()
        return web.json_response({"name": field.filename, "subfolder": "", "type": "input"})

    async def _on_view(self, request: web.Request) -> web.Response:
        data = self.files.get((request.query["subfolder"], request.query["filename"]))
        return web.Response(body=data) if data is not None else web.Response(status=404)
