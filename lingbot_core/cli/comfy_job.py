# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""One run of a graph on a ComfyUI server: uploads, progress, results. Needs aiohttp, but not ComfyUI."""

from __future__ import annotations

import difflib
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from tqdm import tqdm

from lingbot_core.cli.comfy_server import ComfyServer, ServerFile, node_name
from lingbot_core.cli.console import say
from lingbot_core.cli.prompt_graph import Change, Prompt
from lingbot_core.errors import InputError, LingBotError


class ComfyJob:
    """One graph on its way through a server.

    Phases: construct, :meth:`run` once; :meth:`cancel` when that was broken off.

    Args:
        prompt: The graph in API format.
        url: Address of the server.
        output_dir: Where results are downloaded to.
    """

    def __init__(self, prompt: Prompt, url: str, output_dir: Path) -> None:
        self._prompt, self._url, self._output_dir = prompt, url, output_dir
        self._client_id = uuid.uuid4().hex
        self._prompt_id = ""
        """The server's id of the run; empty before it is queued."""

    async def run(self, new_inputs: Sequence[Change], uploads: Sequence[Change]) -> list[Path]:
        """Check names, upload, queue, follow, download.

        Args:
            new_inputs: Inputs that were not in the graph, and so may be misspelt.
            uploads: Inputs that are files, which the server needs first.

        Returns:
            The files that were downloaded.

        Raises:
            InputError: The server refuses the graph or a part of it, a node has no such input, or a file cannot be
                read.
            LingBotError: The run has failed or was stopped; nobody answers; a result cannot be written.
        """
        async with aiohttp.ClientSession() as session:
            server = ComfyServer(session, self._url)
            for change in new_inputs:
                await self._check_name(server, change)
            for change in uploads:
                self._prompt[change.node_id]["inputs"][change.name] = await server.upload(Path(change.text))
            self._prompt_id, faults = await server.submit(self._prompt, self._client_id)
            if faults:
                await self.cancel()
                raise InputError(
                    f"ComfyUI accepts only a part of the graph, so the run was stopped. {' '.join(faults)}",
                    do="Correct this, or take the nodes that depend on it out of the graph.",
                )
            history = await self._follow(server)
            self._check(history)
            return [await server.download(file, self._output_dir) for file in result_files(history)]

    async def cancel(self) -> None:
        """Stop the run on the server, if it can be reached."""
        if not self._prompt_id:
            return
        async with aiohttp.ClientSession() as session:
            try:
                await ComfyServer(session, self._url).cancel(self._prompt_id)
            except LingBotError as error:
                say(f"The run may go on at the server. {error}")

    async def _check_name(self, server: ComfyServer, change: Change) -> None:
        """Raise unless the node can have such an input; the server would ignore it without a word."""
        known = await server.input_names(self._prompt[change.node_id])
        is_known = change.name in known or any(
            change.name.startswith(name[:-1]) for name in known if name.endswith(".*")
        )
        if is_known or not known:  # a class that the server does not know is refused with the graph
            return
        nearest = difflib.get_close_matches(change.name, known, n=1)
        raise InputError(
            f"The option {change.option} names an input that {node_name(self._prompt, change.node_id)} does not have.",
            got=change.name,
            need=f"one of {', '.join(known)}",
            do=f"Did you mean {nearest[0]}?" if nearest else "",
        )

    async def _follow(self, server: ComfyServer) -> dict[str, Any]:
        """Show progress until the run has ended."""
        with tqdm(total=0, dynamic_ncols=True, bar_format="{desc} {n_fmt}/{total_fmt} [{elapsed}{postfix}]") as bar:
            async for event in server.events(self._client_id, self._prompt_id):
                data = event["data"]
                if data.get("prompt_id", self._prompt_id) != self._prompt_id:
                    continue
                if event["type"] == "executing" and data.get("node") is not None:
                    bar.reset(total=0)
                    bar.set_description_str(node_name(self._prompt, data["node"]))
                elif event["type"] == "progress":
                    bar.total, bar.n = data["max"], data["value"]
                    bar.refresh()
                elif event["type"] == "progress_text":
                    bar.set_postfix_str(data["text"])
        history = await server.history(self._prompt_id)
        assert history is not None, self._prompt_id
        return history

    def _check(self, history: dict[str, Any]) -> None:
        """Raise when a run has failed or was stopped."""
        for kind, data in history.get("status", {}).get("messages", ()):
            if kind == "execution_error":
                where = node_name(self._prompt, str(data.get("node_id")))
                raise LingBotError(f"{where} failed: {' '.join(str(data.get('exception_message')).split())}")
            if kind == "execution_interrupted":
                raise LingBotError("The run was stopped at the server.", do="Queue it again: finished chunks are kept.")


def result_files(history: dict[str, Any]) -> Iterator[ServerFile]:
    """Files that a run has written into the server's output folder, each once."""
    seen = set()
    for output in history.get("outputs", {}).values():
        for entries in output.values():
            for entry in entries if isinstance(entries, list) else ():
                if not isinstance(entry, dict) or entry.get("type") != "output" or "filename" not in entry:
                    continue
                file = ServerFile(entry["filename"], entry.get("subfolder", ""), entry["type"])
                if file not in seen:
                    seen.add(file)
                    yield file
