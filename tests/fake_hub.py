# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face hub on 127.0.0.1: serves a folder ``<org>/<repo>/<path>``, with or without a token."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

SHA = "0123456789abcdef0123456789abcdef01234567"
"""Commit of every repository."""


PIECE_BYTES = 1000
"""Sent at a time."""


class FakeHub:
    """What the server serves and what it was asked."""

    def __init__(self, root: Path, token: str | None = None) -> None:
        self.root = root
        """Folder with the repositories."""
        self.token = token
        """Token without which every request is refused; None lets everyone in."""
        self.refusal = 401
        """HTTP status of a refusal."""
        self.downloaded: list[str] = []
        """Paths of files that were sent, in order."""
        self.endpoint = ""
        """Address of the server."""
        self.pause_sec = 0.0
        """Rest after every piece of a file of more than one."""
        self.num_bytes_sent = 0
        """Of all files together."""
        self.is_sending = threading.Event()
        """Set when a second piece of a file is sent."""

    def files(self, repo: str) -> dict[str, Path]:
        """Files of a repository by path."""
        folder = self.root / repo
        return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def serve(root: Path, token: str | None = None) -> Iterator[FakeHub]:
    """Serve a folder until the block ends."""
    hub = FakeHub(root, token)

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: FakeHub
    protocol_version = "HTTP/1.0"  # no kept-alive connection that would outlive the server

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(send_body=False)

    def do_GET(self) -> None:
        self._answer(send_body=True)

    def _answer(self, send_body: bool) -> None:
        if self.state.token is not None and self.headers.get("Authorization") != f"Bearer {self.state.token}":
            self._send(
                self.state.refusal, b'{"error": "Access to this model is restricted"}', {"X-Error-Code": "GatedRepo"}
            )
            return
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        if parts[:2] == ["api", "models"]:
            self._api("/".join(parts[2:4]), parts[4:] or ["revision"], send_body)
        elif len(parts) > 4 and parts[2] == "resolve":
            self._file("/".join(parts[:2]), "/".join(parts[4:]), send_body)
        else:
            self._send(404, b"{}")

    def _api(self, repo: str, what: list[str], send_body: bool) -> None:
        files = self.state.files(repo)
        if not files:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif what[0] == "tree":
            listing = [
                {"type": "file", "path": path, "size": file.stat().st_size, "oid": _oid(file)}
                for path, file in files.items()
            ]
            self._send(200, json.dumps(listing).encode(), {"Content-Type": "application/json"})
        else:
            siblings = [{"rfilename": path, "size": file.stat().st_size} for path, file in files.items()]
            answer = {"id": repo, "modelId": repo, "sha": SHA, "siblings": siblings}
            self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _file(self, repo: str, path: str, send_body: bool) -> None:
        file = self.state.files(repo).get(path)
        if file is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": SHA})
            return
        data, status = file.read_bytes(), 200
        headers = {"X-Repo-Commit": SHA, "ETag": f'"{_oid(file)}"', "Accept-Ranges": "bytes"}
        begin = self.headers.get("Range", "")
        if begin.startswith("bytes="):
            start = int(begin.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            data, status = data[start:], 206
        if send_body:
            self.state.downloaded.append(f"{repo}/{path}")
        self._send(status, data, headers, send_body)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None, send_body: bool = True) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if send_body and self.command != "HEAD":
            for start in range(0, len(body), PIECE_BYTES):
                self._send_piece(body[start : start + PIECE_BYTES], start)

    def _send_piece(self, piece: bytes, start: int) -> None:
        if start:
            self.state.is_sending.set()
            time.sleep(self.state.pause_sec)
        try:
            self.wfile.write(piece)
        except OSError:  # who asked has left
            return
        self.state.num_bytes_sent += len(piece)


def _oid(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()
