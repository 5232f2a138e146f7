# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lingbot_core import convert, weights
from lingbot_core.errors import Cancelled, InputError, ResourceError, WeightsError
from lingbot_core.readers import IDENTITY_KEY
from lingbot_core.variants import DIT_V1, DIT_V2, LIGHT_TAE, UMT5, UMT5_TOKENIZER, WAN_VAE, get_variant
from tests.fake_hub import FakeHub, serve
from tests.test_hub import point_to

VARIANT = get_variant("lingbot-world-fast-taehv-window15-sink3")


def write_dit(index: Path, *, num_shards: int = 2, skip: int | None = None) -> None:
    """Write an index and its shards (all but ``skip``) with a tensor each."""
    index.parent.mkdir(parents=True, exist_ok=True)
    stem = index.name.removesuffix(".safetensors.index.json")
    names = [f"{stem}-{n:05d}-of-{num_shards:05d}.safetensors" for n in range(1, num_shards + 1)]
    for n, name in enumerate(names):
        if n != skip:
            save_file({f"t{n}": torch.zeros(8)}, index.parent / name)
    index.write_text(json.dumps({"weight_map": {f"t{n}": name for n, name in enumerate(names)}}))


def write_repositories(root: Path) -> Path:
    """A hub's worth of files of both versions, with some that nobody needs."""
    for dit in (DIT_V1, DIT_V2):
        write_dit(root / dit.repo / dit.path)
        (root / dit.repo / dit.path).with_name("config.json").write_text("{}")
        save_file({"z": torch.zeros(8)}, root / dit.repo / "unrelated.safetensors")
    write_dit(root / UMT5.repo / UMT5.path)
    for remote in (WAN_VAE, LIGHT_TAE):
        (root / remote.repo).mkdir(parents=True, exist_ok=True)
        torch.save({"a": torch.zeros(3)}, root / remote.repo / remote.path)
    (root / WAN_VAE.repo / "lightvaew2_1.pth").write_bytes(bytes(5))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = root / UMT5_TOKENIZER.repo / "tokenizer" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"name": name}))
    return root


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point_to("http://127.0.0.1:9", tmp_path / "hub_cache", monkeypatch)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with serve(write_repositories(tmp_path / "hub")) as fake:
        point_to(fake.endpoint, tmp_path / "hub_cache", monkeypatch)
        yield fake


@pytest.fixture
def places(tmp_path: Path) -> weights.Places:
    return weights.Places(cache_dir=tmp_path / "cache", model_dirs=(tmp_path / "models",))


def test_find_when_checkpoint_root_has_the_files_uses_only_them(tmp_path: Path, places: weights.Places):
    root = write_repositories(tmp_path / "root")
    save_file({}, tmp_path / "lingbot-world-fast.safetensors")
    places = replace(places, checkpoint_root=root, model_dirs=(tmp_path,))
    for remote in VARIANT.weights:
        found = weights.find(remote, places)
        assert found is not None and found.path == root / remote.repo / remote.path
        assert found.origin == "checkpoint root"


def test_find_when_checkpoint_root_lacks_a_file_names_it(tmp_path: Path, places: weights.Places):
    root = write_repositories(tmp_path / "root")
    (root / WAN_VAE.repo / WAN_VAE.path).unlink()
    with pytest.raises(WeightsError, match=r"lacks lightx2v/Autoencoders/Wan2\.1_VAE\.pth"):
        weights.find_all(VARIANT, replace(places, checkpoint_root=root))
    with pytest.raises(InputError, match="not a folder"):
        weights.find(DIT_V1, replace(places, checkpoint_root=tmp_path / "none"))


@pytest.mark.parametrize(
    ("remote", "name"),
    [
        (WAN_VAE, "vae/wan_2.1_vae.safetensors"),
        (WAN_VAE, "vae/wan/Wan2_1_VAE_bf16.safetensors"),
        (WAN_VAE, "Wan2.1_VAE.pth"),
        (LIGHT_TAE, "vae_approx/lighttaew2_1.safetensors"),
        (LIGHT_TAE, "vae/taew2_1.pth"),
        (UMT5, "text_encoders/umt5_xxl_fp16.safetensors"),
        (UMT5, "clip/models_t5_umt5-xxl-enc-bf16.pth"),
        (UMT5_TOKENIZER, "text_encoders/umt5-xxl/tokenizer.json"),
        (DIT_V1, "diffusion_models/lingbot-world-fast_bf16.safetensors"),
        (DIT_V2, "diffusion_models/lingbot/lingbot-world-v2-14b-causal-fast.safetensors"),
    ],
)
def test_find_when_in_a_model_folder_takes_it(places: weights.Places, tmp_path: Path, remote, name: str):
    path = tmp_path / "models" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    found = weights.find(remote, places)
    assert found is not None and (found.path, found.origin) == (path, "model folder")


@pytest.mark.parametrize("folder", ["robbyant/lingbot-world-fast", "lingbot-world-fast"])
def test_find_when_sharded_in_a_model_folder_needs_every_shard(places: weights.Places, tmp_path: Path, folder: str):
    index = tmp_path / "models" / "diffusion_models" / folder / DIT_V1.path
    write_dit(index, skip=1)
    assert weights.find(DIT_V1, places) is None
    write_dit(index)
    found = weights.find(DIT_V1, places)
    assert found is not None and found.path == index
    assert weights.find(DIT_V2, places) is None


def test_find_when_model_folder_is_a_subfolder_of_the_host_takes_it(places: weights.Places, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "wan_2.1_vae.safetensors").write_bytes(b"x")
    found = weights.find(WAN_VAE, replace(places, model_dirs=(tmp_path / "elsewhere",)))
    assert found is not None and found.path.parent.name == "elsewhere"


def test_find_when_fp8_text_encoder_only_does_not_take_it_unasked(places: weights.Places, tmp_path: Path):
    path = tmp_path / "models" / "text_encoders" / "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    assert weights.find(UMT5, places) is None
    found = weights.find(UMT5, replace(places, files={"text_encoder": path}))
    assert found is not None and (found.path, found.origin) == (path, "named file")


def test_find_when_named_file_is_missing_says_so(places: weights.Places, tmp_path: Path):
    with pytest.raises(WeightsError, match="none.pth does not exist"):
        weights.find(WAN_VAE, replace(places, files={"vae": tmp_path / "none.pth"}))


def test_find_when_only_our_copy_is_left_takes_it(places: weights.Places):
    path = convert.copy_path(places.cache_dir, "bf16", DIT_V1.repo, "f" * 64)
    with convert.WeightCopy(path, "bf16", {"a": ((2,), torch.bfloat16)}, {IDENTITY_KEY: "f" * 64}) as copy:
        copy.add("a", torch.zeros(2))
    found = weights.find(DIT_V1, places)
    assert found is not None and (found.path, found.origin) == (path, "bf16 copy")
    assert weights.find(DIT_V2, places) is None


def test_find_all_when_nothing_is_there_downloads_only_what_is_needed(server: FakeHub, places: weights.Places):
    messages: list[str] = []
    found = weights.find_all(VARIANT, places, messages.append)
    assert set(found) == {"dit", "text_encoder", "vae", "taehv", "tokenizer"}
    assert all(item.path.is_file() and not weights.absent_shards(item.path) for item in found.values())
    assert weights.beside(found["dit"].path, "config.json") is not None
    names = {path.rpartition("/")[2] for path in server.downloaded}
    assert not names & {"unrelated.safetensors", "lightvaew2_1.pth"}
    assert not any("v2-14b" in path for path in server.downloaded)
    assert len(server.downloaded) == len(set(server.downloaded)) == 4 + 3 + 2 + 2
    assert any("robbyant/lingbot-world-fast" in message and "Apache-2.0" in message for message in messages)

    again = weights.find_all(VARIANT, places)
    assert {item.origin for item in again.values()} == {"Hugging Face cache"}
    assert len(server.downloaded) == 11


def test_find_all_when_a_shard_is_missing_from_the_cache_fetches_that_one(server: FakeHub, places: weights.Places):
    found = weights.find_all(VARIANT, places)
    shard = found["dit"].path.with_name("diffusion_pytorch_model-00002-of-00002.safetensors")
    shard.resolve().unlink()
    shard.unlink()
    server.downloaded.clear()
    assert weights.find_all(VARIANT, places)["dit"].origin == "download"
    assert [path.rpartition("/")[2] for path in server.downloaded] == [shard.name]


@pytest.mark.filterwarnings("ignore:Not enough free disk space")
def test_find_all_when_disk_is_too_small_downloads_nothing_but_indices(
    server: FakeHub, places: weights.Places, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("shutil.disk_usage", lambda path: namedtuple("Usage", "total used free")(100, 90, 10))
    with pytest.raises(ResourceError, match=f"disk space to download {VARIANT.slug}.*HF_HOME"):
        weights.find_all(VARIANT, places)
    assert all(path.endswith(".index.json") for path in server.downloaded)


def test_find_all_when_no_network_or_no_download_allowed_names_files_sizes_and_command(
    places: weights.Places, tmp_path: Path
):
    vae = tmp_path / "models" / "vae" / "wan_2.1_vae.safetensors"
    vae.parent.mkdir(parents=True)
    vae.write_bytes(b"12345")
    for kind, what, allowed in ((ResourceError, "cannot be reached", True), (WeightsError, "may not be", False)):
        with pytest.raises(kind, match=what) as caught:
            weights.find_all(VARIANT, replace(places, allow_download=allowed))
        message = str(caught.value)
        assert f"`python -m lingbot_core download {VARIANT.slug}` in {Path(weights.__file__).parents[1]}" in message
        assert f"{DIT_V1.repo}/{DIT_V1.path} (about 74.18 GB)" in message and "(about 22.72 GB)" in message
        assert WAN_VAE.path not in message, "it is there"


def test_find_all_when_network_is_lost_on_the_way_names_what_is_still_missing(
    server: FakeHub, places: weights.Places, monkeypatch: pytest.MonkeyPatch
):
    download = weights.hub.download

    def lose(repo: str, *others):
        if repo == WAN_VAE.repo:
            raise ResourceError("The network is gone.")
        return download(repo, *others)

    monkeypatch.setattr(weights.hub, "download", lose)
    with pytest.raises(ResourceError, match=r"network is gone.*missing: lightx2v/Autoencoders/Wan2\.1_VAE") as caught:
        weights.find_all(VARIANT, places)
    assert DIT_V1.repo not in str(caught.value), "it has arrived"


def test_find_all_when_cancelled_downloads_no_more(server: FakeHub, places: weights.Places):
    with pytest.raises(Cancelled):
        weights.find_all(VARIANT, places, cancelled=lambda: len(server.downloaded) >= 3)
    assert 3 <= len(server.downloaded) < 11
    assert len(weights.find_all(VARIANT, places, cancelled=lambda: False)) == 5


def test_plan_download_when_reachable_lists_every_file_with_the_hubs_size(
    server: FakeHub, places: weights.Places, tmp_path: Path
):
    vae = tmp_path / "models" / "vae" / "wan_2.1_vae.safetensors"
    vae.parent.mkdir(parents=True)
    vae.write_bytes(b"12345")
    plan = {(status.repo, status.path): status for status in weights.plan_download(VARIANT, places)}
    assert server.downloaded == []
    assert len(plan) == 4 + 3 + 1 + 1 + 2 and all(status.exact for status in plan.values())
    shard = plan[DIT_V1.repo, "diffusion_pytorch_model-00002-of-00002.safetensors"]
    assert shard.num_bytes == (tmp_path / "hub" / shard.repo / shard.path).stat().st_size and not shard.present
    present = [status for status in plan.values() if status.present]
    assert [(status.where, status.num_bytes, status.origin) for status in present] == [(vae, 5, "model folder")]


def test_plan_download_when_no_network_shows_about(places: weights.Places):
    plan = weights.plan_download(VARIANT, places)
    assert len(plan) == len(VARIANT.weights)
    assert not any(status.exact or status.present for status in plan)
    assert sum(status.num_bytes for status in plan) == VARIANT.about_bytes
