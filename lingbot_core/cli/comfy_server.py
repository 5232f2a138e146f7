# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A running ComfyUI, spoken to over HTTP and its websocket. Needs aiohttp, but not ComfyUI."""

from __future__ import annotations

import asyncio
import json
import os
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import aiohttp

from lingbot_core.errors import InputError, LingBotError, OutputError, ResourceError

_CONNECT_SEC = 10.0
_QUIET_SEC = 5.0
"""After so long without a message the history is asked whether the run has ended."""

_RETRY_SEC = 0.5
"""Pause before a lost connection is made again."""

_TEXT_EVENT = 3
"""Number of the binary message that carries a node's line of text."""

_MAX_MESSAGE_BYTES = 1 << 26
"""Previews are in messages too."""

_DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
"""Type of an input that brings further ones with each of its options."""

_DYNAMIC = "COMFY_"
"""How the types of all inputs begin that may bring further ones."""


@dataclass(frozen=True)
class ServerFile:
    """A file in a folder of the server."""

    filename: str
    """Its name."""

    subfolder: str
    """Path below the folder; empty for none."""

    type: str
    """Which folder: output, input or temp."""


class ComfyServer:
    """One server.

    Args:
        session: Open HTTP session.
        url: Address, such as ``http://127.0.0.1:8188``.

    Every method raises ``ResourceError`` where nobody answers.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url.rstrip("/")

    async def upload(self, path: Path) -> str:
        """Put a file into the server's input folder.

        Returns:
            The name under which nodes find it.

        Raises:
            InputError: The file cannot be read.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"The file {path} cannot be uploaded.", got=str(error)) from error
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("image", data, filename=path.name)
        answer = await self._json("POST", "/upload/image", data=form)
        return str(PurePosixPath(answer.get("subfolder", ""), answer["name"]))

    async def input_names(self, node: dict[str, Any]) -> list[str]:
        """Names of the inputs that a node of a graph can have; ``images.*`` is any name that begins so.

        Empty where the server does not know the class.
        """
        name = node["class_type"]
        schema = (await self._json("GET", f"/object_info/{quote(name, safe='')}")).get(name, {})
        return list(_input_names(schema.get("input") or {}, node["inputs"]))

    async def submit(self, prompt: dict[str, Any], client_id: str) -> tuple[str, list[str]]:
        """Queue a graph in API format.

        Returns:
            The id of the run; what is wrong with those branches that the server leaves out, empty when it runs all.

        Raises:
            InputError: The server refuses the whole graph; says which nodes are wrong.
        """
        async with self._request("POST", "/prompt", json={"prompt": prompt, "client_id": client_id}) as response:
            if response.status == 400:
                raise InputError(_refusal(await _body(response), prompt))
            await self._check(response)
            body = await _body(response)
            return body["prompt_id"], _faults(body, prompt)

    async def history(self, prompt_id: str) -> dict[str, Any] | None:
        """What the server keeps of a run that has ended; None before that."""
        return (await self._json("GET", f"/history/{prompt_id}")).get(prompt_id)

    async def is_queued(self, prompt_id: str) -> bool:
        """Whether a run is waiting or going on."""
        queue = await self._json("GET", "/queue")
        return any(entry[1] == prompt_id for entry in (*queue["queue_running"], *queue["queue_pending"]))

    async def cancel(self, prompt_id: str) -> None:
        """Take a run out of the queue, or stop it."""
        for path, body in (("/queue", {"delete": [prompt_id]}), ("/interrupt", {"prompt_id": prompt_id})):
            async with self._request("POST", path, json=body) as response:
                await self._check(response)

    async def events(self, client_id: str, prompt_id: str) -> AsyncIterator[dict[str, Any]]:
        """Messages of the server about a run, until the server has it in its history.

        Each has ``type`` and ``data``; a node's line of text comes as type ``progress_text``. A lost
        connection is made again.

        Raises:
            ResourceError: The server no longer knows the run.
        """
        while True:
            try:
                async with self._session.ws_connect(
                    f"{self.url}/ws", params={"clientId": client_id}, max_msg_size=_MAX_MESSAGE_BYTES
                ) as socket:
                    if await self._has_ended(prompt_id):  # before anybody listened
                        return
                    async for event in _messages(socket):
                        if event is not None:
                            yield event
                        elif await self._has_ended(prompt_id):
                            return
            except (aiohttp.ClientError, ConnectionError):
                pass  # the next question says whether the server is gone
            if await self._has_ended(prompt_id):
                return
            await asyncio.sleep(_RETRY_SEC)

    async def _has_ended(self, prompt_id: str) -> bool:
        """Whether a run is in the history.

        Raises:
            ResourceError: It is neither there nor in the queue.
        """
        if await self.history(prompt_id) is not None:
            return True
        if await self.is_queued(prompt_id):
            return False
        if await self.history(prompt_id) is not None:  # ended between the two questions
            return True
        raise ResourceError(
            f"ComfyUI at {self.url} no longer knows this run; it was restarted or its queue was cleared.",
            do="Queue it again: finished chunks are kept.",
        )

    async def download(self, file: ServerFile, folder: Path) -> Path:
        """Copy a file of the server into a folder, below the subfolder it has there.

        Returns:
            Where it is.

        Raises:
            OutputError: It cannot be written.
        """
        parts = [part for part in PurePosixPath(file.subfolder, file.filename).parts if part not in ("..", "/")]
        path = folder.joinpath(*parts)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        query = {"filename": file.filename, "subfolder": file.subfolder, "type": file.type}
        async with self._request("GET", "/view", params=query) as response:
            await self._check(response)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    with part.open("wb") as target:
                        async for piece in response.content.iter_chunked(1 << 20):
                            target.write(piece)
                    os.replace(part, path)
                finally:
                    part.unlink(missing_ok=True)
            except aiohttp.ClientError:
                raise
            except OSError as error:
                raise OutputError(f"The result {path} cannot be written.", got=str(error)) from error
        return path

    async def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        async with self._request(method, path, **options) as response:
            await self._check(response)
            return await _body(response)

    @asynccontextmanager
    async def _request(self, method: str, path: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SEC, sock_read=60)
        try:
            async with self._session.request(method, self.url + path, timeout=timeout, **options) as response:
                yield response
        except (aiohttp.ClientError, asyncio.TimeoutError, ConnectionError) as error:
            raise ResourceError(
                f"No ComfyUI answers at {self.url}.",
                got=str(error) or type(error).__name__,
                do="Start it, or give its address with --server.",
            ) from error

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        """Raise unless the server did what was asked."""
        if response.status != 200:
            where = f"{response.method} {response.url.path}"
            text = (await response.text())[:200].strip()
            raise LingBotError(f"ComfyUI at {self.url} answered HTTP {response.status} to {where}.", got=text)


async def _messages(socket: aiohttp.ClientWebSocketResponse[Any]) -> AsyncIterator[dict[str, Any] | None]:
    """What comes over a websocket until it closes; None when nothing has come for a while."""
    while True:
        try:
            message = await socket.receive(timeout=_QUIET_SEC)
        except asyncio.TimeoutError:
            yield None
            continue
        if message.type == aiohttp.WSMsgType.TEXT:
            event = json.loads(message.data)
            yield event
            if event["type"] == "executing" and event["data"].get("node") is None:
                return
        elif message.type == aiohttp.WSMsgType.BINARY:
            text = _progress_text(message.data)
            if text is not None:
                yield {"type": "progress_text", "data": {"text": text}}
        else:
            return


def _progress_text(data: bytes) -> str | None:
    """The line of text in a binary message; None for pictures."""
    if len(data) < 8 or struct.unpack_from(">I", data)[0] != _TEXT_EVENT:
        return None
    (id_length,) = struct.unpack_from(">I", data, 4)
    return data[8 + id_length :].decode("utf-8", "replace")


async def _body(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The JSON object of an answer."""
    try:
        body = await response.json(content_type=None)
    except ValueError as error:
        raise LingBotError(f"What answers at {response.url.origin()} is not ComfyUI.", got=str(error)) from error
    if not isinstance(body, dict):
        raise LingBotError(f"What answers at {response.url.origin()} is not ComfyUI.", got=type(body).__name__)
    return body


def _input_names(schema: dict[str, Any], values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Names of a schema's inputs, of a dynamic one those that its value brings."""
    for section in ("required", "optional"):
        for name, (kind, *options) in (schema.get(section) or {}).items():
            name = prefix + name
            yield name
            if kind == _DYNAMIC_COMBO:
                for option in options[0]["options"]:
                    if option["key"] == values.get(name):
                        yield from _input_names(option["inputs"], values, f"{name}.")
            elif isinstance(kind, str) and kind.startswith(_DYNAMIC):
                yield f"{name}.*"


def _faults(body: dict[str, Any], prompt: dict[str, Any]) -> list[str]:
    """What is wrong with nodes: node, message, input; each fault once."""
    found = []
    for node_id, node in (body.get("node_errors") or {}).items():
        for fault in node.get("errors", ()):
            text = f"{fault.get('message', '')}: {fault.get('details', '')}"
            name = (fault.get("extra_info") or {}).get("input_name", "")
            where = "" if name in text else f", input {name}"
            found.append(f"{node_name(prompt, node_id)}: {text.rstrip('.: ')}{where}.")
    return list(dict.fromkeys(found))


def _refusal(body: dict[str, Any], prompt: dict[str, Any]) -> str:
    """Why a graph was refused, in one line."""
    error = body.get("error") or {}
    parts = _faults(body, prompt)
    text = error.get("message", "no reason given") if isinstance(error, dict) else str(error)
    details = error.get("details", "") if isinstance(error, dict) and not parts else ""
    return " ".join(["ComfyUI refuses the graph:", *(parts or [f"{text}. {details}".strip()])])


def node_name(prompt: dict[str, Any], node_id: str) -> str:
    """What to call a node in messages: its title and number."""
    node = prompt.get(node_id, {})
    title = node.get("_meta", {}).get("title") or node.get("class_type", "node")
    return f"{title} ({node_id})"
