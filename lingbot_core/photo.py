# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The photo that a video starts from, brought to the size of the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lingbot_core.camera.intrinsics import INTRINSICS_HEIGHT, INTRINSICS_WIDTH
from lingbot_core.errors import InputError
from lingbot_core.timeline import SIZE_MULTIPLE

FITS = ("stretch", "crop")
"""Ways to bring a photo of another aspect to the size of the run; the first is upstream's."""


@dataclass(frozen=True)
class CropInfo:
    """How a photo was scaled and cut, in pixels of the scaled photo."""

    scaled_height: int
    """Height of the whole photo after scaling."""

    scaled_width: int
    """Width of the whole photo after scaling."""

    top: int
    """Rows cut off above."""

    left: int
    """Columns cut off on the left."""

    height: int
    """Height that was kept: that of the run."""

    width: int
    """Width that was kept: that of the run."""

    def adjust_intrinsics(self, intrinsics: Tensor) -> Tensor:
        """Intrinsics of the cut frame from those of the whole photo.

        Only for intrinsics that were measured on this photo. The default ones describe the
        frame of the run and stay as they are.

        Args:
            intrinsics: (fx, fy, cx, cy) of the whole photo, stretched to 480x832, ``[..., 4]``.

        Returns:
            ``[..., 4]`` of the cut photo, stretched to 480x832.
        """
        across, down = self.scaled_width / self.width, self.scaled_height / self.height
        shift_x, shift_y = self.left * INTRINSICS_WIDTH / self.width, self.top * INTRINSICS_HEIGHT / self.height
        scale = intrinsics.new_tensor([across, down, across, down])
        shift = intrinsics.new_tensor([0.0, 0.0, shift_x, shift_y])
        return intrinsics * scale - shift


def check_size(height: int, width: int) -> None:
    """Raise unless frames of this size can be generated.

    Raises:
        InputError: Names the nearest sizes that can.
    """
    if all(side > 0 and side % SIZE_MULTIPLE == 0 for side in (height, width)):
        return
    nearest = [f"{h}x{w}" for h in _nearest_multiples(height) for w in _nearest_multiples(width)]
    raise InputError(
        "The frame size cannot be used.",
        got=f"{height}x{width} (height x width)",
        need=f"multiples of {SIZE_MULTIPLE}, for example {' or '.join(nearest)}",
        do="Set --pixel-height and --pixel-width accordingly.",
    )


def _nearest_multiples(side: int) -> list[int]:
    """The multiple at or below and the one at or above, at least one step."""
    below = side // SIZE_MULTIPLE * SIZE_MULTIPLE
    above = -(-side // SIZE_MULTIPLE) * SIZE_MULTIPLE
    return sorted({max(below, SIZE_MULTIPLE), max(above, SIZE_MULTIPLE)})


def load_photo(path: Path, height: int, width: int, fit: str = "stretch") -> tuple[Tensor, CropInfo | None]:
    """Read a photo and bring it to the size of the run.

    Transparency is dropped, as upstream does, and a camera's rotation mark is obeyed.

    Args:
        path: Any still image Pillow reads; of an animation the first picture.
        height: Height of the run in pixels.
        width: Width of the run in pixels.
        fit: See :func:`fit_photo`.

    Returns:
        uint8 ``[H, W, 3]``, RGB, and how it was cut (None when it was stretched).

    Raises:
        InputError: No such file, not an image, damaged, or too large to be meant.
    """
    return fit_photo(read_photo(path), height, width, fit)


def fit_photo(photo: Tensor, height: int, width: int, fit: str = "stretch") -> tuple[Tensor, CropInfo | None]:
    """Bring a photo to the size of the run.

    Args:
        photo: ``[H, W, 3]`` on 0..255, any dtype, any size.
        height: Height of the run in pixels.
        width: Width of the run in pixels.
        fit: ``stretch`` squeezes the whole photo into the frame as upstream does; ``crop`` keeps its
            aspect, fills the frame and cuts what stands over, evenly on both sides.

    Returns:
        uint8 ``[height, width, 3]`` and how it was cut (None when it was stretched).

    Raises:
        InputError: ``fit`` is unknown.
    """
    if fit == "stretch":
        return resize_photo(photo, height, width), None
    if fit != "crop":
        raise InputError("This way to fit the photo is unknown.", got=repr(fit), need=" or ".join(FITS))
    old_height, old_width = photo.shape[:2]
    scale = max(height / old_height, width / old_width)
    scaled_height, scaled_width = max(round(old_height * scale), height), max(round(old_width * scale), width)
    top, left = (scaled_height - height) // 2, (scaled_width - width) // 2
    scaled = resize_photo(photo, scaled_height, scaled_width)
    cut = scaled[top : top + height, left : left + width].contiguous()
    return cut, CropInfo(scaled_height, scaled_width, top, left, height, width)


def resize_photo(photo: Tensor, height: int, width: int) -> Tensor:
    """Stretch a photo: bicubic without antialias on 0..255, rounded, clamped.

    This is the closest to OpenCV's ``INTER_CUBIC`` on uint8, which upstream uses (both have a = -0.75).

    Args:
        photo: ``[H, W, 3]`` on 0..255, any dtype.
        height: New height in pixels.
        width: New width in pixels.

    Returns:
        uint8 ``[height, width, 3]`` on the CPU.
    """
    planes = photo.cpu().permute(2, 0, 1)[None].to(torch.float32)  # [1, 3, H, W]
    resized = torch.nn.functional.interpolate(planes, (height, width), mode="bicubic", align_corners=False)
    return resized[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous()


def read_photo(path: Path) -> Tensor:
    """The pixels of an image file, uint8 ``[H, W, 3]``, RGB; see :func:`load_photo`."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    path, do = Path(path), "Give a JPEG, PNG or WebP file with --image-path."
    if not path.is_file():
        raise InputError("There is no photo at the given place.", got=str(path), do=do)
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode == "F":  # whether black is 0 and white 1 or 255 is written nowhere
                raise ValueError("its pixels are floating-point numbers")
            if upright.mode.startswith("I"):  # 16 bits per pixel: Pillow's own conversion would clip them to 255
                upright = Image.fromarray((np.asarray(upright) // 256).clip(0, 255).astype(np.uint8))
            return torch.from_numpy(np.array(upright.convert("RGB")))
    except UnidentifiedImageError as error:
        raise InputError("The photo is not an image that can be read.", got=str(path), do=do) from error
    except Image.DecompressionBombError as error:
        raise InputError(f"The photo {path} is too large.", got=str(error), do="Scale it down first.") from error
    except (OSError, ValueError, SyntaxError) as error:  # Pillow raises all three for damaged files
        raise InputError(f"The photo {path} cannot be read.", got=str(error), do=do) from error
