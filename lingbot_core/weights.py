# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a variant's weights are, and getting those that are not there.

Order: files named by the user, the local checkpoint root (then nothing else and no
network), ComfyUI's model folders, our own copy, the Hugging Face cache, download.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lingbot_core import convert, hub, preflight
from lingbot_core.errors import InputError, ResourceError, WeightsError
from lingbot_core.folders import PACKAGE_FOLDER, default_cache_dir
from lingbot_core.readers import read_weight_map
from lingbot_core.variants import RemoteWeights, Role, Variant

_log = logging.getLogger(__name__)

HUB_CACHE, DOWNLOAD = "Hugging Face cache", "download"
"""Origins of weights that are the hub's."""

COPIES: dict[convert.Kind, str] = {"bf16": "bf16 copy", "fp8": "fp8 copy"}
"""Origins of weights that are the hub's, by the kind of our copy that they were found in."""

_INDEX_SUFFIX = ".safetensors.index.json"

_SUBFOLDERS: dict[Role, tuple[str, ...]] = {
    "dit": ("diffusion_models", "unet"),
    "vae": ("vae",),
    "taehv": ("vae_approx", "vae"),
    "text_encoder": ("text_encoders", "clip"),
    "tokenizer": ("text_encoders", "clip"),
}


@dataclass(frozen=True)
class Places:
    """Where weights are looked for."""

    checkpoint_root: Path | None = None
    """Folder with ``<org>/<repo>/<path in repo>``; when given, nothing else is looked at. None: the other places."""

    model_dirs: tuple[Path, ...] = ()
    """ComfyUI ``models`` folders, or subfolders of one; searched in this order."""

    files: Mapping[Role, Path] = field(default_factory=dict)
    """Files that the user named; they win over everything."""

    cache_dir: Path = field(default_factory=default_cache_dir)
    """Where our copies are kept."""

    allow_download: bool = True
    """False: raise instead of downloading."""

    copies: tuple[convert.Kind, ...] = ("bf16",)
    """Kinds of our copy that will do when the original is gone, best first."""


@dataclass(frozen=True)
class Found:
    """Weights on this machine."""

    weights: RemoteWeights
    """What they are."""

    path: Path
    """The file, the index, or the tokenizer's main file."""

    origin: str
    """In words, where they were found."""

    @property
    def from_hub(self) -> bool:
        """Whether they are just what the hub has under this name."""
        return self.origin in (HUB_CACHE, DOWNLOAD, *COPIES.values())


@dataclass(frozen=True)
class FileStatus:
    """One file of a variant, for ``download --dry-run``."""

    repo: str
    """Repository."""

    path: str
    """Path in the repository; a pattern when the shards are not known."""

    num_bytes: int
    """Size."""

    exact: bool
    """False when the size is computed from the number of parameters: show it as 'about'."""

    licence: str
    """Licence of the weights."""

    where: Path | None
    """The file on this machine; None when it is not there."""

    origin: str = ""
    """In words, where it was found; empty when it is not there."""

    @property
    def present(self) -> bool:
        """Whether it is on this machine."""
        return self.where is not None


def find(weights: RemoteWeights, places: Places) -> Found | None:
    """Look for weights on this machine, complete ones only. Touches no network.

    Returns:
        Where they are; None when they would have to be downloaded.

    Raises:
        WeightsError: A file named by the user or the checkpoint root does not have them.
    """
    named = places.files.get(weights.role)
    if named is not None:
        if not named.is_file():
            raise WeightsError(f"The file {named} does not exist.", do="Correct the path.")
        return Found(weights, named, "named file")
    if weights.role == "tokenizer" and "text_encoder" in places.files:
        folder = places.files["text_encoder"].parent
        beside_text = [folder / "tokenizer.json", folder.parent / weights.path]
        for path in (*beside_text, *(folder / name for name in weights.accepted_names)):
            if path.is_file():
                return Found(weights, path, "beside the text encoder")
    if places.checkpoint_root is not None:
        return Found(weights, _in_checkpoint_root(weights, places.checkpoint_root), "checkpoint root")
    for path in _model_folder_candidates(weights, places.model_dirs):
        if path.is_file() and not absent_shards(path):
            return Found(weights, path, "model folder")
    cached = _in_hub_cache(weights)
    if weights.role == "dit" and cached is None:
        # The original may be deleted once a copy exists; with the original there, the loader matches them.
        for kind in places.copies:
            copy = convert.newest_copy(places.cache_dir, kind, weights.repo)
            if copy is not None:
                return Found(weights, copy, COPIES[kind])
    return Found(weights, cached, HUB_CACHE) if cached is not None else None


def find_all(
    variant: Variant,
    places: Places,
    on_message: Callable[[str], None] | None = None,
    *,
    roles: Collection[Role] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[Role, Found]:
    """Locate what a variant needs; download what is missing.

    Nothing is downloaded before it is known to be allowed and to fit the disk.

    Args:
        variant: What to locate.
        places: Where to look.
        on_message: Told, before each download, what comes from where, its size and licence.
        roles: Weights that are wanted; None for all.
        cancelled: Asked while something is downloaded; files that have arrived are kept.

    Raises:
        Cancelled: ``cancelled`` returned True.
        WeightsError: Weights are missing and may not be downloaded, or the hub lacks them.
        ResourceError: No network, access refused, or not enough disk.
    """
    wanted = [weights for weights in variant.weights if roles is None or weights.role in roles]
    found: dict[Role, Found | None] = {weights.role: find(weights, places) for weights in wanted}
    missing = [weights for weights in wanted if found[weights.role] is None]
    if missing and not places.allow_download:
        raise WeightsError(
            f"Weights of {variant.slug} are not on this machine and may not be downloaded.",
            got=f"no {', no '.join(map(_name_and_size, missing))}",
            do=f"Run {_download_command(variant)}, or put them into a model folder.",
        )
    plans: dict[RemoteWeights, list[FileStatus]] = {}
    with _naming(missing, variant):
        for weights in missing:
            plans[weights] = _plan_download(weights, fetch_index=True, cancelled=cancelled)
    num_bytes = sum(file.num_bytes for plan in plans.values() for file in plan if not file.present)
    if num_bytes:
        preflight.check_disk(hub.cache_folder(), num_bytes, f"download {variant.slug}", "HF_HOME")
    for weights, plan in plans.items():
        size = sum(file.num_bytes for file in plan if not file.present)
        message = f"Downloading {weights.repo} ({size / 1e9:.2f} GB, licence of the weights: {weights.licence})"
        _log.info(message)
        if on_message is not None:
            on_message(message)
        with _naming([item for item in missing if found[item.role] is None], variant):
            paths = hub.download(weights.repo, [file.path for file in plan], cancelled)
        found[weights.role] = Found(weights, paths[0], DOWNLOAD)
    located: dict[Role, Found] = {role: item for role, item in found.items() if item is not None}
    for item in located.values():
        _log.info("%s: %s (%s)", item.weights.role, item.path, item.origin)
    return located


def plan_download(variant: Variant, places: Places) -> list[FileStatus]:
    """Every file of a variant: its size, and where it is or that it is missing.

    Sizes of missing files come from the hub; without a network they are about right
    and the shards are shown as one line. Never raises for want of a network.

    Raises:
        WeightsError: As :func:`find`.
    """
    statuses: list[FileStatus] = []
    for weights in variant.weights:
        found = find(weights, places)
        if found is not None:
            statuses += _present(found)
            continue
        try:
            statuses += _plan_download(weights)
        except (ResourceError, WeightsError) as error:
            _log.warning("Sizes of %s are not known exactly: %s", weights.repo, error.what)
            shards = weights.path.replace(_INDEX_SUFFIX, "-*.safetensors")
            statuses.append(FileStatus(weights.repo, shards, weights.about_bytes, False, weights.licence, None))
    return statuses


def absent_shards(path: Path) -> list[Path]:
    """Shards of an index that are not beside it; empty for a file that is no index."""
    if not path.name.endswith(_INDEX_SUFFIX):
        return []
    shards = sorted(set(read_weight_map(path).values()))
    return [path.parent / name for name in shards if not (path.parent / name).is_file()]


def beside(path: Path, name: str) -> Path | None:
    """The file ``name`` in the folder of ``path``; None when there is none."""
    other = path.parent / name
    return other if other.is_file() else None


# --- on this machine --------------------------------------------------------------------


def _spellings(path: str) -> tuple[str, ...]:
    """Ways in which a repository may store the same weights: sharded with an index, or as one file."""
    if path.endswith(_INDEX_SUFFIX):
        return path, path.removesuffix(".index.json")
    return (path,)


def _in_checkpoint_root(weights: RemoteWeights, root: Path) -> Path:
    if not root.is_dir():
        raise InputError(f"The checkpoint root {root} is not a folder.", do="Correct --checkpoint-root.")
    candidates = [root / weights.repo / path for path in _spellings(weights.path)]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise WeightsError(
            f"The checkpoint root {root} lacks {weights.repo}/{weights.path}.",
            do="With --checkpoint-root nothing is downloaded: add the file, or leave the option out.",
        )
    return path


def _model_folder_candidates(weights: RemoteWeights, model_dirs: tuple[Path, ...]) -> Iterator[Path]:
    """Paths in ComfyUI's model folders, best first; a folder may be ``models`` or one of its subfolders."""
    folders = [base for top in model_dirs for base in (*(top / sub for sub in _SUBFOLDERS[weights.role]), top)]
    names = list(weights.accepted_names)
    for path in _spellings(weights.path):
        names += [f"{weights.repo}/{path}", f"{weights.repo_name}/{path}", f"{weights.repo_name}/{Path(path).name}"]
    if weights.role == "dit":
        names += [f"{weights.repo_name}{end}.safetensors" for end in ("-bf16", "_bf16", "", "-fp32", "_fp32")]
    for name in names:
        for folder in folders:
            yield folder / name
            if folder.is_dir() and "/" not in name:
                yield from sorted(folder.glob(f"*/{name}"))


def _in_hub_cache(weights: RemoteWeights) -> Path | None:
    """The weights in the Hugging Face cache, when no shard is missing."""
    for path in _spellings(weights.path):
        file = hub.cached_file(weights.repo, path)
        if file is not None and not absent_shards(file):
            return file
    return None


def _present(found: Found) -> list[FileStatus]:
    """Status of weights that are there."""
    weights, path = found.weights, found.path
    files = [path]
    if path.name.endswith(_INDEX_SUFFIX):
        files += [path.parent / name for name in sorted(set(read_weight_map(path).values()))]
    folder = PurePosixPath(weights.path).parent
    return [
        FileStatus(
            weights.repo, str(folder / file.name), file.stat().st_size, True, weights.licence, file, found.origin
        )
        for file in files
    ]


# --- on the hub -------------------------------------------------------------------------


@contextmanager
def _naming(missing: Collection[RemoteWeights], variant: Variant) -> Iterator[None]:
    """Have an error of the hub name all that is missing, its size, and the command that fetches it."""
    try:
        yield
    except ResourceError as error:
        names = ", ".join(map(_name_and_size, missing))
        do = f"{error.do} {_download_command(variant)} fetches what is missing: {names}."
        raise ResourceError(error.what, got=error.got, need=error.need, do=do) from error


def _plan_download(
    weights: RemoteWeights, *, fetch_index: bool = False, cancelled: Callable[[], bool] | None = None
) -> list[FileStatus]:
    """The files to fetch, the main one first, with the hub's sizes and what its cache already holds.

    Args:
        weights: What to fetch.
        fetch_index: Download the index of sharded weights first, so that exactly the
            shards it lists are planned; otherwise, unless it is cached, all that are named like them.
        cancelled: As of :func:`hub.download`.

    Raises:
        ResourceError, WeightsError: The hub cannot be asked, or lacks the weights.
    """
    sizes = hub.list_files(weights.repo, cancelled)
    main = next((path for path in _spellings(weights.path) if path in sizes), None)
    if main is None:
        raise WeightsError(f"{weights.repo} on the Hugging Face hub has no {weights.path}.", do="Update this package.")
    if main.endswith(_INDEX_SUFFIX):
        fetched = hub.download(weights.repo, [main], cancelled) if fetch_index else []
        index = fetched[0] if fetched else hub.cached_file(weights.repo, main)
        others = _shards(main, index, sizes)
    else:
        others = []
    if weights.role == "tokenizer":
        others = sorted(path for path in _neighbours(main, sizes))
    elif weights.role == "dit":
        others += [path for path in _neighbours(main, sizes) if PurePosixPath(path).name == "config.json"]
    statuses = []
    for path in [main, *others]:
        if path not in sizes:
            raise WeightsError(f"{weights.repo} on the Hugging Face hub lacks {path}, which its index lists.")
        where = hub.cached_file(weights.repo, path)
        origin = HUB_CACHE if where is not None else ""
        statuses.append(FileStatus(weights.repo, path, sizes[path], True, weights.licence, where, origin))
    return statuses


def _shards(main: str, index: Path | None, sizes: Mapping[str, int]) -> list[str]:
    """Paths of the shards of an index: those it lists, or all that are named like its shards."""
    if index is not None:
        folder = PurePosixPath(main).parent
        return [str(folder / name) for name in sorted(set(read_weight_map(index).values()))]
    stem = re.escape(PurePosixPath(main).name.removesuffix(_INDEX_SUFFIX))
    shard = re.compile(stem + r"-\d{5}-of-\d{5}\.safetensors")
    return sorted(path for path in _neighbours(main, sizes) if shard.fullmatch(PurePosixPath(path).name))


def _neighbours(main: str, sizes: Mapping[str, int]) -> list[str]:
    """The other files in the folder of ``main``."""
    folder = PurePosixPath(main).parent
    return [path for path in sizes if PurePosixPath(path).parent == folder and path != main]


def _name_and_size(weights: RemoteWeights) -> str:
    return f"{weights.repo}/{weights.path} (about {weights.about_bytes / 1e9:.2f} GB)"


def _download_command(variant: Variant) -> str:
    return f"`python -m lingbot_core download {variant.slug}` in {PACKAGE_FOLDER}"
