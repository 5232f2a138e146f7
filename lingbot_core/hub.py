# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The Hugging Face hub: what its cache holds, what a repository holds, and downloads.

All access goes through ``huggingface_hub``, so ``HF_HOME``, ``HF_HUB_CACHE``, ``HF_TOKEN``,
``HF_ENDPOINT`` and ``HF_HUB_OFFLINE`` mean what they mean everywhere. Its errors are
turned into one sentence each that says what to do. Its HTTP client and with it the
classes of its errors changed between versions (requests, httpx, xet), so errors are told
apart by HTTP status and class name, and every ``Exception`` it raises is one of the hub's.
"""

from __future__ import annotations

import errno
import importlib
import inspect
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

from lingbot_core.errors import Cancelled, LingBotError, ResourceError, WeightsError

_log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

_ASK_SEC = 0.1
"""Between two looks at whether the user wants to stop."""

_LEAVE_SEC = 0.3
"""A download that is stopped gets so long to end before its caller goes on."""


def cache_folder() -> Path:
    """Where the hub's cache is on this machine."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def cached_file(repo: str, path: str) -> Path | None:
    """A file of a repository in the hub's cache; None when it is not there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, path)
    return Path(found) if isinstance(found, str) and Path(found).is_file() else None


def list_files(repo: str, cancelled: Callable[[], bool] | None = None) -> dict[str, int]:
    """Size in bytes of every file of a repository, by path.

    Raises:
        Cancelled: ``cancelled`` returned True.
        ResourceError: There is no network, or access is refused.
        WeightsError: The hub has no such repository.
    """
    from huggingface_hub import HfApi

    def ask(_: object = None) -> list[Any]:
        return HfApi().model_info(repo, files_metadata=True).siblings or []

    try:
        siblings = ask() if cancelled is None else _Stoppable(ask).result(cancelled, f"Stopped while {repo} was asked.")
    except Cancelled:
        raise
    except Exception as error:
        raise explain(error, repo) from error
    return {file.rfilename: file.size or 0 for file in siblings}


def download(repo: str, paths: Sequence[str], cancelled: Callable[[], bool] | None = None) -> list[Path]:
    """Bring files of a repository into the hub's cache; those that are there already are not fetched again.

    Args:
        repo: ``<org>/<name>``.
        paths: Paths in the repository; files that are already there cost nothing.
        cancelled: Asked all along; files that have arrived by then are kept.

    Returns:
        Where each file is, in order.

    Raises:
        Cancelled: ``cancelled`` returned True.
        ResourceError: No network, access refused, or the disk ran full.
        WeightsError: The repository or a file in it does not exist.
    """
    try:
        if cancelled is None:
            folder = _fetch(repo, paths)
        else:
            what = f"Stopped while {repo} was downloaded; files that have arrived are kept."
            folder = _Stoppable(lambda stopped: _fetch_until(repo, paths, stopped)).result(cancelled, what)
    except Cancelled:
        raise
    except Exception as error:
        raise explain(error, repo) from error
    files = [folder / PurePosixPath(path) for path in paths]
    # Without a network the hub's client may return an incomplete folder with no more than a warning.
    absent = [path for path, file in zip(paths, files, strict=True) if not file.is_file()]
    if absent:
        unknown = set(absent) - set(list_files(repo))
        raise WeightsError(
            f"{repo} on the Hugging Face hub lacks {sorted(unknown)[0]}."
            if unknown
            else f"{absent[0]} of {repo} could not be downloaded completely.",
            do="Update this package." if unknown else "Run again: files that have arrived are kept.",
        )
    return files


def _fetch(repo: str, paths: Sequence[str], bar: type | None = None) -> Path:
    """Download files with a progress bar of this class, one at a time if one is given; the folder that has them."""
    from huggingface_hub import snapshot_download

    patterns, num_workers = [_escape(path) for path in paths], 8 if bar is None else 1
    return Path(snapshot_download(repo, allow_patterns=patterns, tqdm_class=bar, max_workers=num_workers))


def _fetch_until(repo: str, paths: Sequence[str], stopped: threading.Event) -> Path:
    """Download files until ``stopped`` is set: the progress bar raises at the next bytes that arrive.

    One by one, because newer versions of ``huggingface_hub`` keep whole files only. Those before 1.0 show bytes on a
    bar of their own: with them the file that is on its way is still finished.
    """
    from huggingface_hub import hf_hub_download

    bar = _stoppable_bar(stopped)
    if "tqdm_class" in inspect.signature(hf_hub_download).parameters:
        return _fetch(repo, paths, bar)
    folders = [_fetch(repo, [path], bar) for path in paths if not stopped.is_set()]
    return folders[-1]


class _Stoppable(threading.Thread, Generic[ResultT]):
    """Something that takes long in a thread, so that nobody has to wait for its end.

    Args:
        work: Called with an event that is set when the result is not wanted any more.
    """

    def __init__(self, work: Callable[[threading.Event], ResultT]) -> None:
        super().__init__(name="hub", daemon=True)
        self._work, self._stopped = work, threading.Event()
        self._results: list[ResultT] = []
        self._error: Exception | None = None

    def run(self) -> None:
        """Do it, and keep what comes of it."""
        try:
            self._results.append(self._work(self._stopped))
        except Exception as error:
            self._error = error

    def result(self, cancelled: Callable[[], bool], what: str) -> ResultT:
        """Wait for the result; raises what was raised, or ``Cancelled`` with the sentence ``what``."""
        self.start()
        while self.is_alive():
            if cancelled():
                self._stop_soon()
                raise Cancelled(what)
            self.join(_ASK_SEC)
        if self._error is not None:
            raise self._error
        return self._results[0]

    def _stop_soon(self) -> None:
        """Have it end, and wait a moment for that."""
        self._stopped.set()
        self.join(_LEAVE_SEC)
        if self.is_alive():
            _abort_xet()
            self.join(_LEAVE_SEC)


def _stoppable_bar(stopped: threading.Event) -> type:
    """The hub's own progress bar, which raises once ``stopped`` is set."""
    from huggingface_hub.utils import tqdm

    class StoppableBar(tqdm):
        def update(self, n: float | None = 1) -> Any:
            if stopped.is_set():
                raise Cancelled("The download was stopped.")
            return super().update(n)

    return StoppableBar


def _abort_xet() -> None:
    """End transfers by xet as the hub's client does at Ctrl-C, because they ask no progress bar."""
    try:
        importlib.import_module("huggingface_hub.utils._xet").abort_xet_session()
    except (ImportError, AttributeError):
        _log.debug("This huggingface_hub cannot abort a transfer by xet; it ends by itself")


def explain(error: Exception, repo: str) -> LingBotError:
    """Say in our words why the hub could not be used.

    Args:
        error: What ``huggingface_hub`` raised; the whole chain behind it is looked at.
        repo: Repository that was asked for.
    """
    chain = list(_chain(error))
    names = {kind.__name__ for link in chain for kind in type(link).__mro__}
    statuses = {getattr(getattr(link, "response", None), "status_code", None) for link in chain}
    elsewhere = "put the files into a model folder, or pass --checkpoint-root with a local copy."
    full = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
    if any(isinstance(link, OSError) and link.errno in full for link in chain):
        return ResourceError(
            f"The disk ran full while {repo} was downloaded.",
            do=f"Free space below {cache_folder()} or set HF_HOME to a larger disk; what is there is kept.",
        )
    if "OfflineModeIsEnabled" in names:
        return ResourceError(
            f"{repo} is not in the Hugging Face cache, and offline mode is on.",
            do=f"Unset HF_HUB_OFFLINE to download it, {elsewhere}",
        )
    if statuses & {401, 403} or "GatedRepoError" in names:
        return ResourceError(
            f"The Hugging Face hub refused access to {repo}.",
            got=f"HTTP {', '.join(str(status) for status in sorted(s for s in statuses if s))}",
            do="Make a token on https://huggingface.co/settings/tokens and set HF_TOKEN to it; if the repository "
            f"asks for it, accept its terms on https://huggingface.co/{repo} first.",
        )
    if 404 in statuses or names & {"RepositoryNotFoundError", "EntryNotFoundError"} and "ConnectError" not in names:
        if "LocalEntryNotFoundError" not in names:
            return WeightsError(f"The Hugging Face hub does not have {repo} as expected.", got=_first_line(chain[0]))
    return ResourceError(
        f"The Hugging Face hub cannot be reached for {repo}.",
        got=_first_line(chain[-1]),
        do=f"Check the network and run again (files that have arrived are kept), {elsewhere}",
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those behind it."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _escape(path: str) -> str:
    """A pattern that matches one path only."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in path)
