# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Photos: reading, fitting, and every way in which one can be unusable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lingbot_core.camera.intrinsics import INTRINSICS_HEIGHT, INTRINSICS_WIDTH
from lingbot_core.errors import InputError
from lingbot_core.photo import check_size, fit_photo, load_photo, resize_photo


def gradient(height: int, width: int) -> np.ndarray:
    """Red grows to the right, green downwards; blue is constant."""
    rows, columns = np.mgrid[0:height, 0:width]
    channels = [columns * 255 // max(width - 1, 1), rows * 255 // max(height - 1, 1), np.full_like(rows, 90)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def cubic_weights(distance: float) -> float:
    """Keys' cubic kernel with a = -0.75."""
    a, x = -0.75, abs(distance)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def test_load_photo_at_its_own_size_returns_its_pixels(tmp_path: Path) -> None:
    pixels = gradient(32, 48)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    photo, crop = load_photo(tmp_path / "photo.png", 32, 48)
    assert photo.dtype == torch.uint8
    assert crop is None
    np.testing.assert_array_equal(photo.numpy(), pixels)


def test_resize_photo_is_bicubic_without_antialias() -> None:
    row = np.random.default_rng(1).integers(0, 256, 40)
    photo = torch.from_numpy(row.astype(np.uint8))[None, :, None].expand(8, -1, 3)
    resized = resize_photo(photo, 8, 16)
    for column in range(16):
        centre = (column + 0.5) * 40 / 16 - 0.5
        taps = range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3)
        value = sum(cubic_weights(centre - tap) * row[min(max(tap, 0), 39)] for tap in taps)
        assert resized[0, column, 0].item() == pytest.approx(np.clip(value, 0, 255), abs=0.51)


def test_resize_photo_when_bicubic_overshoots_clamps() -> None:
    photo = torch.zeros(4, 8, 3)
    photo[:, 4:] = 255
    resized = resize_photo(photo, 4, 32)
    assert resized.min() == 0
    assert resized.max() == 255
    assert resized[0, 14, 0] < 128 < resized[0, 17, 0]  # no wrap-around at the edge


def test_load_photo_with_transparency_drops_it(tmp_path: Path) -> None:
    rgba = np.dstack([gradient(16, 16), np.zeros((16, 16), np.uint8)])
    Image.fromarray(rgba, "RGBA").save(tmp_path / "photo.png")
    photo, _ = load_photo(tmp_path / "photo.png", 16, 16)
    np.testing.assert_array_equal(photo.numpy(), rgba[..., :3])


def test_load_photo_with_rotation_mark_turns_it_upright(tmp_path: Path) -> None:
    pixels = gradient(32, 16)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned clockwise by a quarter
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=exif)
    photo, _ = load_photo(tmp_path / "photo.png", 16, 32)
    np.testing.assert_array_equal(photo.numpy(), np.rot90(pixels, -1))


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK"])
def test_load_photo_in_other_colour_modes_returns_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / f"photo.{'jpg' if mode == 'CMYK' else 'png'}"
    Image.fromarray(gradient(16, 32)).convert(mode).save(path)
    assert load_photo(path, 16, 32)[0].shape == (16, 32, 3)


def test_load_photo_with_16_bits_keeps_its_tones(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 32).astype(np.uint16)
    Image.fromarray(np.tile(levels, (16, 1))).save(tmp_path / "photo.png")
    photo, _ = load_photo(tmp_path / "photo.png", 16, 32)
    np.testing.assert_array_equal(photo[0, :, 0].numpy(), (levels // 256).astype(np.uint8))


def test_load_photo_of_floating_point_pixels_is_refused_not_black(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 6), 0.5, np.float32)).save(tmp_path / "photo.tif")
    with pytest.raises(InputError, match=r"photo.tif cannot be read.*floating-point"):
        load_photo(tmp_path / "photo.tif", 16, 16)


def test_fit_photo_crop_keeps_aspect_and_centre() -> None:
    photo = torch.from_numpy(gradient(100, 400))
    cut, crop = fit_photo(photo, 64, 64, "crop")
    assert cut.shape == (64, 64, 3)
    assert crop is not None
    assert (crop.scaled_height, crop.scaled_width, crop.top, crop.left) == (64, 256, 0, 96)
    assert cut[:, :, 1].float().mean().item() == pytest.approx(127.5, abs=1)
    assert cut[:, :, 0].float().mean().item() == pytest.approx(127.5, abs=1)
    assert cut[0, 0, 0] > 90  # the left quarter of the photo is gone


def test_fit_photo_of_the_right_aspect_cuts_nothing() -> None:
    photo = torch.from_numpy(gradient(96, 160))
    cut, crop = fit_photo(photo, 48, 80, "crop")
    assert crop is not None
    assert (crop.top, crop.left, crop.scaled_height, crop.scaled_width) == (0, 0, 48, 80)
    torch.testing.assert_close(cut, fit_photo(photo, 48, 80)[0])


def test_crop_adjusts_intrinsics_so_that_points_land_on_the_same_pixels() -> None:
    """A point seen at a photo pixel is seen at the pixel's place in the cut frame."""
    frame_height, frame_width = INTRINSICS_HEIGHT, INTRINSICS_WIDTH
    intrinsics = torch.tensor([[500.0, 510.0, 416.0, 240.0], [450.0, 470.0, 400.0, 250.0]], dtype=torch.float64)
    _, crop = fit_photo(torch.zeros(600, 1500, 3), 464, 832, "crop")
    assert crop is not None
    adjusted = crop.adjust_intrinsics(intrinsics)
    direction = torch.tensor([0.2, -0.1], dtype=torch.float64)  # x/z and y/z of the point
    stretched = intrinsics[:, :2] * direction + intrinsics[:, 2:]  # in the stretched frame
    scaled = stretched * torch.tensor([crop.scaled_width / frame_width, crop.scaled_height / frame_height])
    in_run = scaled - torch.tensor([crop.left, crop.top])
    expected = in_run * torch.tensor([frame_width / crop.width, frame_height / crop.height])
    torch.testing.assert_close(adjusted[:, :2] * direction + adjusted[:, 2:], expected)


def test_load_photo_when_missing_raises_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no photo.*nothing\.png.*--image-path"):
        load_photo(tmp_path / "nothing.png", 16, 16)


def test_load_photo_that_is_no_image_raises_input_error(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("not a picture")
    with pytest.raises(InputError, match=r"not an image.*photo\.jpg"):
        load_photo(tmp_path / "photo.jpg", 16, 16)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_load_photo_when_truncated_raises_input_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="photo"):
        load_photo(path, 16, 16)


def test_load_photo_of_enormous_size_raises_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    with pytest.raises(InputError, match="too large"):
        load_photo(tmp_path / "photo.png", 16, 16)


def test_fit_photo_with_unknown_fit_raises_input_error() -> None:
    with pytest.raises(InputError, match="stretch or crop"):
        fit_photo(torch.zeros(16, 16, 3), 16, 16, "zoom")


def test_check_size_with_good_sizes_passes() -> None:
    for height, width in [(464, 832), (480, 832), (16, 16)]:
        check_size(height, width)


@pytest.mark.parametrize(
    ("height", "width", "named"),
    [(465, 832, ["464x832", "480x832"]), (464, 830, ["464x816", "464x832"]), (0, 832, ["16x832"]), (-5, 7, ["16x16"])],
)
def test_check_size_with_bad_size_names_the_nearest(height: int, width: int, named: list[str]) -> None:
    with pytest.raises(InputError, match="multiples of 16") as caught:
        check_size(height, width)
    for size in named:
        assert size in str(caught.value)
