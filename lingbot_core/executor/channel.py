# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The line between the host process and its ranks: local, authenticated, one message at a time.

Both ends prove that they know a random key before anything is read as a message, because messages
are pickles. Light on purpose: a rank opens its line before it imports torch.
"""

from __future__ import annotations

import io
import logging
import os
import pickle
import secrets
import socket
import struct
import sys
import threading
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, answer_challenge, deliver_challenge, wait
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

Address = str | tuple[str, int]
"""Path of a Unix socket, or host and port."""

_CHALLENGE_SEC = 5
"""A peer that has not proved itself by then is turned away."""

_STALLED_SEC = 5
"""A peer that stops for so long in the middle of a message has stopped for good."""

_MAX_SOCKET_PATH = 100
"""Systems take 104 bytes or a few more."""


class ChannelClosed(Exception):
    """The other end is gone, or does not answer any more."""


class Channel:
    """One open line. :meth:`send` may be called from any thread, :meth:`receive` from one.

    Args:
        connection: With a peer that has proved itself.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, message: object) -> None:
        """Send a message.

        Raises:
            ChannelClosed: The other end is gone.
        """
        data = _dump(message)
        try:
            with self._sending:
                self._connection.send_bytes(data)
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def receive(self) -> Any:
        """Wait for a message.

        Raises:
            ChannelClosed: The other end is gone, or has stopped while the host was reading; the message says so then.
        """
        try:
            return pickle.loads(self._connection.recv_bytes())
        except BlockingIOError as error:
            raise ChannelClosed("it stopped in the middle of a message") from error
        except (EOFError, OSError) as error:
            raise ChannelClosed from error

    def has_message(self) -> bool:
        """Whether :meth:`receive` would return at once, or raise."""
        try:
            return self._connection.poll()
        except OSError:
            return True

    def fileno(self) -> int:
        """For ``multiprocessing.connection.wait``."""
        return self._connection.fileno()

    def close(self) -> None:
        """Close this end."""
        with suppress(OSError):
            self._connection.close()


class Listener:
    """Where ranks call the host: a Unix socket in a private folder, else a port of the loopback.

    Args:
        folder: Only this user may open it.
    """

    def __init__(self, folder: Path) -> None:
        self.key = secrets.token_bytes(32)
        """What a peer has to know."""
        path = folder / "channel"
        if hasattr(socket, "AF_UNIX") and len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.bind(str(path))
            self.address: Address = str(path)
        else:
            self._socket = socket.socket(socket.AF_INET)
            self._socket.bind(("127.0.0.1", 0))
            self.address = self._socket.getsockname()
        self._socket.listen(64)

    def accept(self, timeout_sec: float = 0.0) -> Channel | None:
        """The next peer that knows the key; None when nobody called in time, or who called did not know it."""
        if not wait([self._socket], timeout_sec):
            return None
        peer, _ = self._socket.accept()
        _limit_receive(peer, _CHALLENGE_SEC)
        connection = Connection(peer.detach())
        try:
            deliver_challenge(connection, self.key)
            answer_challenge(connection, self.key)
        except (AuthenticationError, EOFError, OSError, AssertionError) as error:
            _log.warning("A process that is none of ours called the workers' channel and was refused: %s", error)
            connection.close()
            return None
        same = socket.socket(fileno=connection.fileno())
        _limit_receive(same, _STALLED_SEC)
        same.detach()
        return Channel(connection)

    def fileno(self) -> int:
        """For ``multiprocessing.connection.wait``."""
        return self._socket.fileno()

    def close(self) -> None:
        """Take no more calls."""
        self._socket.close()
        if isinstance(self.address, str):
            Path(self.address).unlink(missing_ok=True)


def call(address: Address, key: bytes) -> Channel:
    """Call the host."""
    connection = Client(address, authkey=key)
    assert isinstance(connection, Connection)
    return Channel(connection)


def _limit_receive(peer: socket.socket, seconds: int) -> None:
    """Let a blocking read end with an error after so long."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, 0))


# --- messages as bytes ------------------------------------------------------------------


class _Pickler(pickle.Pickler):
    """Tensors as plain bytes; torch's own way would open a second, unauthenticated channel for them."""

    def reducer_override(self, value: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(value, torch.Tensor):
            return NotImplemented
        data = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return _tensor, (data, str(value.dtype).removeprefix("torch."), tuple(value.shape))


def _tensor(data: bytes, dtype: str, shape: tuple[int, ...]) -> Any:
    import torch

    if not data:
        return torch.empty(shape, dtype=getattr(torch, dtype))
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).view(getattr(torch, dtype)).reshape(shape)


def _dump(message: object) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(message)
    return buffer.getvalue()
