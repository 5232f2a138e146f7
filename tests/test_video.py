# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Video files, checked by opening them again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from av.error import ExternalError

from lingbot_core.errors import InputError, OutputError
from lingbot_core.video import VideoWriter, part_path, read_metadata

HEIGHT, WIDTH = 64, 96


def moving_frames(num_frames: int, first: int = 0) -> np.ndarray:
    """A bright bar that moves to the right, uint8 ``[F, H, W, 3]``."""
    frames = np.full((num_frames, HEIGHT, WIDTH, 3), 40, np.uint8)
    for index in range(num_frames):
        start = (first + index) * 4 % WIDTH
        frames[index, :, start : start + 8] = (250, 200, 60)
    return frames


def top_level_boxes(path: Path) -> list[str]:
    """Names of an mp4's boxes in file order."""
    data, names, position = path.read_bytes(), [], 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        names.append(data[position + 4 : position + 8].decode("latin-1"))
        position += size
        assert size >= 8, (names, size)
    return names


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_video_writer_when_closed_leaves_one_faststart_file_of_all_frames(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "clip.mp4"
    with VideoWriter(path, HEIGHT, WIDTH, 16) as video:
        video.append(moving_frames(9))
        video.append(moving_frames(12, first=9))
    assert os.listdir(path.parent) == ["clip.mp4"]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.height, stream.width) == (HEIGHT, WIDTH)
        assert stream.average_rate == 16
        assert stream.frames == 21
        times_sec = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(times_sec, np.arange(21) / 16, atol=1e-6)
    boxes = top_level_boxes(path)
    assert boxes.index("moov") < boxes.index("mdat")
    assert "moof" not in boxes


def bt709(colour: tuple[int, int, int]) -> list[float]:
    """Y, Cb, Cr of an RGB colour in 8-bit limited range (ITU-R BT.709-6, section 3)."""
    red, green, blue = (channel / 255 for channel in colour)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return [16 + 219 * luma, 128 + 224 * (blue - luma) / 1.8556, 128 + 224 * (red - luma) / 1.5748]


def test_video_writer_keeps_order_and_colours(tmp_path: Path) -> None:
    colours = [(220, 30, 30), (30, 200, 40), (40, 60, 220), (128, 128, 128)]
    frames = np.stack([np.full((HEIGHT, WIDTH, 3), colour, np.uint8) for colour in colours])
    with VideoWriter(tmp_path / "colours.mp4", HEIGHT, WIDTH) as video:
        video.append(frames)
    with av.open(str(tmp_path / "colours.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        decoded = [frame.to_ndarray() for frame in container.decode(video=0)]  # Y, then Cb and Cr at half the size
    for planes, colour in zip(decoded, colours, strict=True):
        pixel = [int(planes[row, 0]) for row in (HEIGHT // 2, HEIGHT + HEIGHT // 8, HEIGHT + HEIGHT * 3 // 8)]
        np.testing.assert_allclose(pixel, bt709(colour), atol=2)


@pytest.mark.parametrize("fps", [24, 29.97, 12.5])
def test_video_writer_with_other_rates_stores_the_rate(tmp_path: Path, fps: float) -> None:
    with VideoWriter(tmp_path / "rate.mp4", HEIGHT, WIDTH, fps) as video:
        video.append(moving_frames(9))
    with av.open(str(tmp_path / "rate.mp4")) as container:
        assert float(container.streams.video[0].average_rate or 0) == pytest.approx(fps, rel=1e-3)


def test_video_writer_when_interrupted_finishes_the_file_and_passes_the_interrupt_on(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, HEIGHT, WIDTH) as video:
        video.append(moving_frames(9))
        raise KeyboardInterrupt
    assert len(decode(path)) == 9
    assert os.listdir(tmp_path) == ["clip.mp4"]


def test_video_writer_without_a_frame_leaves_an_older_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"older")
    with VideoWriter(path, HEIGHT, WIDTH):
        assert path.read_bytes() == b"older"
    assert path.read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["clip.mp4"]


def test_video_writer_over_an_older_file_replaces_it_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"older")
    with VideoWriter(path, HEIGHT, WIDTH) as video:
        video.append(moving_frames(9))
        assert path.read_bytes() == b"older"
    assert len(decode(path)) == 9


def test_video_writer_when_process_is_killed_leaves_a_playable_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from lingbot_core.video import VideoWriter\n"
        "from tests.test_video import HEIGHT, WIDTH, moving_frames\n"
        "video = VideoWriter(Path(sys.argv[1]), HEIGHT, WIDTH)\n"
        "for chunk in range(4):\n"
        "    video.append(moving_frames(12, first=12 * chunk))\n"
        "video._wait()\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], cwd=root, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not path.exists()
    frames = decode(part_path(path))
    assert 48 - 12 <= len(frames) <= 48  # all but at most one chunk
    expected = moving_frames(len(frames))
    assert np.abs(np.stack(frames).astype(int) - expected).mean() < 12


def test_video_writer_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    process = psutil.Process()
    frames = moving_frames(12)
    with VideoWriter(tmp_path / "long.mp4", HEIGHT, WIDTH) as video:
        for _ in range(10):
            video.append(frames)
        start_bytes = process.memory_info().rss
        for _ in range(150):
            video.append(frames)
        grown_bytes = process.memory_info().rss - start_bytes
    assert grown_bytes < 16 * 2**20 < 150 * frames.nbytes


def test_video_writer_in_a_place_that_is_a_file_raises_before_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match=r"cannot be written.*--output-dir"):
        VideoWriter(tmp_path / "file" / "clip.mp4", HEIGHT, WIDTH)


def test_video_writer_onto_a_folder_raises_before_work(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        VideoWriter(tmp_path / "clip.mp4", HEIGHT, WIDTH)


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_video_writer_in_a_protected_folder_raises_before_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            VideoWriter(tmp_path / "clip.mp4", HEIGHT, WIDTH)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_video_writer_on_a_full_disk_raises_output_error(tmp_path: Path) -> None:
    part_path(tmp_path / "clip.mp4").symlink_to("/dev/full")
    noise = np.random.default_rng(0).integers(0, 256, (24, HEIGHT, WIDTH, 3), dtype=np.uint8)
    with pytest.raises(OutputError, match="No space left"), VideoWriter(tmp_path / "clip.mp4", HEIGHT, WIDTH) as video:
        for _ in range(8):
            video.append(noise)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_video_writer_with_unusable_rate_raises_input_error(tmp_path: Path, fps: float) -> None:
    with pytest.raises(InputError, match="frame rate"):
        VideoWriter(tmp_path / "clip.mp4", HEIGHT, WIDTH, fps)


def test_metadata_is_kept_in_the_finished_file(tmp_path: Path) -> None:
    metadata = {"lingbot_rollout": "key 1", "prompt": '{"1": {"text": "gr\u00fcn; a=b"}}'}
    with VideoWriter(tmp_path / "video.mp4", 16, 16, metadata=metadata) as writer:
        writer.append(moving_frames(3)[:, :16, :16])
    found = read_metadata(tmp_path / "video.mp4")
    assert metadata.items() <= found.items()


def test_read_metadata_when_file_is_no_video_is_empty(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_text("nothing")
    assert read_metadata(tmp_path / "video.mp4") == {} == read_metadata(tmp_path / "missing.mp4")


def test_video_writer_of_a_size_that_x264_cannot_encode_raises_input_error(tmp_path: Path) -> None:
    for height, width in ((16, 16386), (16386, 16), (17, 16), (0, 16)):
        with pytest.raises(InputError, match=r"cannot be encoded.*16384"):
            VideoWriter(tmp_path / "clip.mp4", height, width)


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
def test_video_writer_onto_what_another_one_is_writing_raises_and_harms_nothing(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, HEIGHT, WIDTH) as writer:
        writer.append(moving_frames(5))
        with pytest.raises(OutputError, match="being written by another run"):
            VideoWriter(path, HEIGHT, WIDTH)
        writer.append(moving_frames(4))
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 9
    VideoWriter(path, HEIGHT, WIDTH).close()


def test_video_writer_when_the_encoder_fails_raises_output_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ExternalError(1, "Generic error in an external library")

    writer = VideoWriter(tmp_path / "clip.mp4", HEIGHT, WIDTH)
    monkeypatch.setattr(writer, "_encode", fail)
    writer.append(moving_frames(1))
    with pytest.raises(OutputError, match="external library"):
        writer.close()
