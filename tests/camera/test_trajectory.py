# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Trajectories: chunks, causality, and upstream's recorded cameras of three real examples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from lingbot_core.camera.files import load_pose_files, trajectory_from_poses
from lingbot_core.camera.intrinsics import default_intrinsics
from lingbot_core.camera.rays import camera_volume, ray_map
from lingbot_core.camera.trajectory import CameraTrajectory, check_num_chunks
from lingbot_core.errors import InputError
from tests.camera.test_poses import curved_path

TESTS = Path(__file__).parent.parent
EXAMPLES = ("00", "01", "02")


def example(index: str) -> tuple[CameraTrajectory, dict[str, Tensor]]:
    """Our path of one of upstream's examples, and the recorded numbers."""
    folder = TESTS / "data" / f"example_{index}"
    golden = load_file(TESTS / "golden" / f"camera_{index}.safetensors")
    return load_pose_files(folder / "poses.npy", folder / "intrinsics.npy"), golden


@pytest.mark.parametrize("index", EXAMPLES)
def test_example_is_resampled_as_recorded(index: str) -> None:
    camera, golden = example(index)
    assert camera.c2w.shape == golden["poses_f64"].shape
    assert camera.num_chunks == {"00": 80, "01": 47, "02": 80}[index]
    torch.testing.assert_close(camera.c2w[:, :3, 3], golden["poses_f64"][:, :3, 3], atol=1e-9, rtol=0)
    torch.testing.assert_close(camera.c2w[:, :3, :3], golden["poses_f64"][:, :3, :3], atol=2e-6, rtol=0)
    assert camera.world_scale == pytest.approx(golden["world_scale_float64"].item(), rel=1e-9)
    assert camera.world_scale == pytest.approx(golden["world_scale"].item(), rel=5e-5)


@pytest.mark.parametrize("index", EXAMPLES)
def test_example_chunks_have_the_recorded_cameras(index: str) -> None:
    camera, golden = example(index)
    for chunk_index in range(4):
        chunk = camera.chunk(chunk_index, 464, 832)
        recorded = golden[f"chunk{chunk_index}.relative_poses"]
        torch.testing.assert_close(chunk.relative_poses[:, :3, 3], recorded[:, :3, 3], atol=5e-4, rtol=0)
        torch.testing.assert_close(chunk.relative_poses[:, :3, :3], recorded[:, :3, :3], atol=1e-6, rtol=0)
        in_float64 = golden["relative_poses_float64_12"][3 * chunk_index :][:3]
        torch.testing.assert_close(chunk.relative_poses.double(), in_float64, atol=1e-5, rtol=2e-5)
        torch.testing.assert_close(chunk.intrinsics, golden[f"chunk{chunk_index}.intrinsics"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("index", EXAMPLES)
@pytest.mark.parametrize("chunk_index", [0, 1])
def test_example_ray_volumes_are_the_recorded_ones(index: str, chunk_index: int) -> None:
    camera, golden = example(index)
    prefix = f"chunk{chunk_index}."

    def sampled(relative_poses: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
        volume = camera_volume(ray_map(relative_poses, intrinsics, 464, 832))
        rows, columns = golden["volume_rows"].long(), golden["volume_cols"].long()
        return volume[:, :, rows][..., columns], volume.mean((2, 3))

    values, means = sampled(golden[prefix + "relative_poses"], golden[prefix + "intrinsics"])
    torch.testing.assert_close(values, golden[prefix + "volume_fp32"], atol=1e-6, rtol=0)
    torch.testing.assert_close(means, golden[prefix + "volume_fp32_mean_per_channel"], atol=1e-6, rtol=0)
    torch.testing.assert_close(values.bfloat16(), golden[prefix + "volume_bf16"], atol=0, rtol=2**-7)

    chunk = camera.chunk(chunk_index, 464, 832)
    values, _ = sampled(chunk.relative_poses, chunk.intrinsics)
    torch.testing.assert_close(values, golden[prefix + "volume_fp32"], atol=5e-4, rtol=0)


@pytest.mark.parametrize("index", EXAMPLES)
def test_example_intrinsics_keep_their_rows(index: str) -> None:
    camera, golden = example(index)
    stretched = camera.intrinsics * torch.tensor([1, 464 / 480, 1, 464 / 480])
    recorded = golden["intrinsics_464x832"][: camera.num_frames]
    torch.testing.assert_close(stretched.float(), recorded, atol=1e-4, rtol=0)


def test_chunk_depends_only_on_the_path_up_to_it() -> None:
    camera = trajectory_from_poses(curved_path(81))
    bent_c2w = camera.c2w.clone()
    bent_c2w[33:, :3, 3] += 5  # chunk 3 begins at pixel frame 33
    bent = CameraTrajectory(bent_c2w, camera.intrinsics, camera.world_scale)
    for index in range(5):
        same = torch.equal(camera.chunk(index, 32, 48).relative_poses, bent.chunk(index, 32, 48).relative_poses)
        assert same == (index != 3)  # chunk 4 moves along with its anchor
    torch.testing.assert_close(camera.chunk(4, 32, 48).relative_poses, bent.chunk(4, 32, 48).relative_poses)


def test_first_chunk_begins_with_exactly_the_identity() -> None:
    camera = trajectory_from_poses(curved_path(9, offset=5000.3))
    assert torch.equal(camera.chunk(0, 32, 48).relative_poses[0], torch.eye(4))


def test_static_path_gives_no_nan() -> None:
    camera = trajectory_from_poses(curved_path(1, offset=5000.3).repeat(33, 1, 1))
    assert camera.world_scale == 1.0
    for index in range(camera.num_chunks):
        relative = camera.chunk(index, 32, 48).relative_poses
        torch.testing.assert_close(relative, torch.eye(4).repeat(3, 1, 1), atol=1e-7, rtol=0)


def test_truncated_keeps_the_beginning_and_the_world_scale() -> None:
    camera = trajectory_from_poses(curved_path(81))
    short = camera.truncated(2)
    assert (short.num_frames, short.num_chunks) == (21, 2)
    assert short.world_scale == camera.world_scale
    for index in range(2):
        assert torch.equal(short.chunk(index, 32, 48).relative_poses, camera.chunk(index, 32, 48).relative_poses)
    assert camera.truncated(99).num_frames == camera.num_frames


def test_truncated_when_nothing_would_be_left_raises() -> None:
    with pytest.raises(InputError, match="at least 1 chunk"):
        trajectory_from_poses(curved_path(9)).truncated(0)


@pytest.mark.parametrize("world_scale", [0.0, -1.0, float("nan"), float("inf")])
def test_trajectory_when_the_world_scale_is_not_positive_raises(world_scale: float) -> None:
    with pytest.raises(InputError, match="world scale"):
        CameraTrajectory(curved_path(9), default_intrinsics(9), world_scale)


def test_check_num_chunks_when_out_of_range_names_it() -> None:
    assert check_num_chunks(3, 40) == 33
    for num_chunks in (0, -2, 4):
        with pytest.raises(InputError, match=f"{num_chunks}.*1 to 3"):
            check_num_chunks(num_chunks, 40)
