# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs graphs on a real server and tells everything that was heard while they ran."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.comfy.comfy_host import ComfyServer

RUN_SEC = 120
"""A run that has not ended after so long has failed."""

Graph = dict[str, dict[str, Any]]


@dataclass
class Run:
    """What was heard of one run."""

    prompt_id: str = ""
    events: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    """Seconds since it was queued, type and data of every message."""
    texts: list[str] = field(default_factory=list)
    """Lines of text that nodes showed."""
    previews: list[bytes] = field(default_factory=list)
    """Pictures that nodes showed while they ran, JPEG."""
    outputs: dict[str, Any] = field(default_factory=dict)
    """Output of every node that has one, by node id."""
    log: str = ""
    """What the server has logged since."""
    refusal: dict[str, Any] = field(default_factory=dict)
    """Body of the answer with which the graph was refused."""

    def of_type(self, type_: str) -> list[dict[str, Any]]:
        """Data of all messages of a type."""
        return [data for _, name, data in self.events if name == type_]

    @property
    def end(self) -> str:
        """How it ended: execution_success, execution_error or execution_interrupted."""
        ends = ("execution_success", "execution_error", "execution_interrupted")
        return next((name for _, name, _ in self.events if name in ends), "refused" if self.refusal else "")

    @property
    def error(self) -> str:
        """Message of the failure."""
        return self.of_type("execution_error")[0]["exception_message"] if self.end == "execution_error" else ""

    @property
    def executed(self) -> set[str]:
        """Ids of the nodes that really ran."""
        return {data["node"] for data in self.of_type("executing") if data.get("node") is not None}

    @property
    def chunks(self) -> list[tuple[int, int]]:
        """Chunks known and computed, for every time that a sampler ran to its end."""
        found = re.findall(r"(\d+) known, (\d+) computed", self.log)
        return [(int(known), int(computed)) for known, computed in found]

    def progress_at_interrupt(self, node_id: str) -> tuple[int, int]:
        """How far a node had come when the interrupt was sent, and in the end; a sampler counts passes."""
        sent = next(index for index, (_, name, _) in enumerate(self.events) if name == "sent_interrupt")
        before, after = (
            [data["value"] for _, name, data in events if name == "progress" and data["node"] == node_id]
            for events in (self.events[:sent], self.events)
        )
        return max(before), max(after)

    @property
    def num_loads(self) -> int:
        """How often weights were loaded."""
        return len(re.findall(r"Loading lingbot-world", self.log))


class Client:
    """Talks to one server.

    Args:
        server: Which.
    """

    def __init__(self, server: ComfyServer) -> None:
        self.server = server

    def get(self, path: str) -> Any:
        """JSON of a GET request."""
        return json.loads(self.get_bytes(path))

    def get_bytes(self, path: str) -> bytes:
        """Body of a GET request."""
        return asyncio.run(self._request("GET", path))

    def post(self, path: str, body: object) -> None:
        """POST a JSON object."""
        asyncio.run(self._request("POST", path, json=body))

    def free(self, **flags: bool) -> None:
        """Ask the server to free memory, and wait until it has."""
        mark = len(self.server.log)
        self.post("/free", flags)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.get("/lingbot_test/state")["num_bytes"]:
            time.sleep(0.1)
        assert not self.get("/lingbot_test/state")["num_bytes"], self.server.log[mark:]

    def stop_everything(self) -> None:
        """Interrupt what runs, and wait until nothing does."""
        self.post("/interrupt", {})
        deadline = time.monotonic() + 20
        while self.get("/queue")["queue_running"]:
            assert time.monotonic() < deadline, self.server.log[-2000:]
            time.sleep(0.1)

    def run(self, graph: Graph, interrupt_at: float | None = None, disturb: Callable[[], None] | None = None) -> Run:
        """Queue a graph and wait until it has ended.

        Args:
            graph: In API format.
            interrupt_at: Interrupt it when its progress has reached this value; None lets it run.
            disturb: Called then in place of that.
        """
        mark = len(self.server.log)
        run = asyncio.run(asyncio.wait_for(self._run(graph, interrupt_at, disturb), RUN_SEC))
        run.log = self.server.log[mark:]
        return run

    async def _run(self, graph: Graph, interrupt_at: float | None, disturb: Callable[[], None] | None) -> Run:
        run, client_id = Run(), uuid.uuid4().hex
        async with (
            aiohttp.ClientSession(self.server.url) as session,
            session.ws_connect("/ws", params={"clientId": client_id}, max_msg_size=1 << 26) as socket,
        ):
            start = time.monotonic()
            async with session.post("/prompt", json={"prompt": graph, "client_id": client_id}) as response:
                body = await response.json()
                if response.status == 400:
                    run.refusal = body
                    return run
                assert response.status == 200, body
            run.prompt_id = body["prompt_id"]
            async for message in socket:
                if message.type == aiohttp.WSMsgType.BINARY:
                    _read_binary(message.data, run)
                    continue
                event = json.loads(message.data)
                data = event["data"]
                if data.get("prompt_id", run.prompt_id) != run.prompt_id:
                    continue
                run.events.append((time.monotonic() - start, event["type"], data))
                if event["type"] == "progress" and interrupt_at is not None and data["value"] >= interrupt_at:
                    interrupt_at = None
                    if disturb is not None:
                        disturb()
                        continue
                    run.events.append((time.monotonic() - start, "sent_interrupt", {}))
                    async with session.post("/interrupt", json={}):
                        pass
                if event["type"] == "executing" and data["node"] is None:
                    break
                if event["type"] in ("execution_error", "execution_interrupted"):
                    break
            for _ in range(100):  # the history is filled a little later
                async with session.get(f"/history/{run.prompt_id}") as response:
                    history = (await response.json()).get(run.prompt_id)
                if history is not None:
                    run.outputs = history["outputs"]
                    return run
                await asyncio.sleep(0.05)
        raise AssertionError("the run is not in the history")

    async def _request(self, method: str, path: str, **options: Any) -> bytes:
        async with (
            aiohttp.ClientSession(self.server.url) as session,
            session.request(method, path, **options) as response,
        ):
            body = await response.read()
            assert response.status == 200, (path, response.status, body[:500])
            return body


def _read_binary(data: bytes, run: Run) -> None:
    """Keep a node's text, or the picture that it shows."""
    (kind,) = struct.unpack_from(">I", data)
    if kind == 3:
        (length,) = struct.unpack_from(">I", data, 4)
        run.texts.append(data[8 + length :].decode("utf-8"))
    elif kind == 1:
        run.previews.append(data[8:])
