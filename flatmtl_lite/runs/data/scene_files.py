"""The files of a scene data set: each is checked when it is read, and an error says how to repair it."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...files import is_system_file
from ..rooms.labels import CLASSES

# part -> channels (the label has none), smallest and largest value
PARTS = {
    "image": ((3,), 0, 1),
    "label": ((), -1, len(CLASSES) - 1),
    "depth": ((1,), 0, 1000),  # metres; a depth in millimetres is larger
    "normal": ((3,), -1, 1),
}
SLACK = 0.01  # rounding of half precision and of resized images
LENGTH_SLACK = 0.05  # the same, for the length of a normal
SHOWN = 5  # wrong labels in a message
NYU_CLASSES = 40  # of the finer set, from which the 13 are made


def count_scenes(folder: Path) -> int:
    """Count the files 0.npy, 1.npy, ... of a folder; files of the system are ignored.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the files are not numbered without a gap, or there are others.
    """
    names = {file.name for file in folder.glob("*.npy") if not is_system_file(file)}
    if not names:
        raise FileNotFoundError(
            f"Got no .npy files in {folder}; expected root/{{train,val}}/{{{','.join(PARTS)}}}/0.npy, 1.npy, "
            "... Name the folder that holds train and val."
        )
    for name in sorted(names):
        if not re.fullmatch(r"(0|[1-9][0-9]*)\.npy", name, re.ASCII):
            remedy = "It looks like a copy: remove it, or move it to another folder."
            if name[:-4].isdecimal():  # 0007.npy
                remedy = f"Rename all files, this one to {int(name[:-4])}.npy."
            raise ValueError(f"Got {folder / name}; expected nothing but 0.npy, 1.npy, ... {remedy}")
    missing = [f"{i}.npy" for i in range(len(names)) if f"{i}.npy" not in names]
    if missing:
        raise ValueError(
            f"Got {len(names)} files in {folder} without {missing[0]}; expected 0.npy to "
            f"{len(names) - 1}.npy. Copy or make the data again."
        )
    return len(names)


def label_size(path: Path) -> tuple[int, int]:
    """Return height and width of a file of labels.

    Raises:
        ValueError: the file cannot be read, or its array has another number of dimensions.
    """
    shape = _open(path).shape
    if len(shape) != 2 or 0 in shape:
        remedy = " Remove the axis of length 1: np.squeeze(label)." if len(shape) == 3 and 1 in shape else ""
        raise ValueError(f"Got {path} of shape {shape}; expected (H, W), one class per pixel.{remedy}")
    return shape


def read_part(path: Path, part: str, size: tuple[int, int]) -> Tensor:
    """Read and check the file of one part of a scene: channels first, float32.

    Args:
        path: the file.
        part: key in ``PARTS``.
        size: (H, W) that the file must have.

    Raises:
        ValueError: the file cannot be read, or its shape, its type or a value is not as in ``PARTS``.
    """
    channels, low, high = PARTS[part]
    stored = _open(path)
    if stored.shape != (*size, *channels):
        raise ValueError(
            f"Got {path} of shape {stored.shape}; expected {(*size, *channels)}, channels last, in the size "
            f"of the first label. {_shape_remedy(stored.shape, size, part)}"
        )
    if part == "depth" and stored.dtype.kind in "iu":
        raise ValueError(
            f"Got {path} of type {stored.dtype}; expected metres in a float type. Divide millimetres by 1000."
        )
    if stored.dtype.kind not in "fiu":
        raise ValueError(f"Got {path} of type {stored.dtype}; expected numbers. Copy or make the data again.")
    values = np.array(stored, np.float32)
    if part == "label":
        _check_labels(path, values)
    least, most = float(values.min()), float(values.max())
    if not (low - SLACK <= least and most <= high + SLACK):  # in this form NaN is refused too
        raise ValueError(
            f"Got {path} with values from {least:g} to {most:g}; expected {low} to {high}. "
            f"{_range_remedy(part, least, most)}"
        )
    if part == "normal":
        _check_lengths(path, values)
    tensor = torch.from_numpy(values).clamp_(low, high)
    return tensor.movedim(-1, 0).contiguous() if channels else tensor


def _open(path: Path) -> np.ndarray:
    """Map an array. Unlike np.load this reads nothing but .npy, and never unpickles."""
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"Got {path}, which cannot be read ({error}); expected a .npy file of numbers. It is damaged: "
            "copy or make it again."
        ) from error


def _shape_remedy(shape: tuple[int, ...], size: tuple[int, int], part: str) -> str:
    channels = PARTS[part][0]
    if channels and shape == (*channels, *size):
        return "Move the channels: np.moveaxis(x, 0, -1)."
    if shape == size:
        last = "x[..., None]" if channels == (1,) else "np.repeat(x[..., None], 3, -1)"
        return f"Add the last axis: {last}."
    if not channels and len(shape) == 3 and 1 in shape:
        return "Remove the axis of length 1: np.squeeze(x)."
    if part == "image" and shape == (*size, 4):
        return "Leave out the fourth channel: x[..., :3]."
    if shape[:2] != size and len(shape) == 2 + len(channels):
        return "Bring all parts of all scenes to one size, or copy the data again."
    return "Copy or make the data again."


def _range_remedy(part: str, least: float, most: float) -> str:
    """Return what to do about values out of range; NaN makes both NaN."""
    is_finite = bool(np.isfinite([least, most]).all())
    if part == "image":
        if not is_finite:
            return "Copy or make the file again."
        return "Divide 0..255 by 255." if most > 1 + SLACK and least >= 0 else "Undo its normalisation."
    if part == "depth":
        if is_finite and least >= 0:
            return "Depth is in metres: divide millimetres by 1000."
        return "Write unknown depth as 0."
    if not is_finite:
        return "Write an unknown normal as three zeros."
    if least >= 0 and most > 2:
        return "Undo the coding as an image: x / 127.5 - 1."
    return "Divide each normal by its length."


def _check_labels(path: Path, values: np.ndarray) -> None:
    """Raise ValueError unless all labels are classes or -1."""
    wrong = np.unique(values[~((values == np.rint(values)) & (values >= -1) & (values < len(CLASSES)))])
    if len(wrong):
        raise ValueError(f"Got {path} with {explain_labels(wrong.tolist())}")


def explain_labels(wrong: Sequence[float]) -> str:
    """Return the end of a message about labels that are neither a class nor -1: what they are, what to do.

    Example:
        >>> explain_labels([2.5])[:64]
        'the label 2.5; expected whole numbers, -1 (undefined) to 12. Wri'
    """
    values = ", ".join(f"{value:g}" for value in wrong[:SHOWN]) + ", ..." * (len(wrong) > SHOWN)
    expected = f"expected whole numbers, -1 (undefined) to {len(CLASSES) - 1}"
    return f"the label{'s' * (len(wrong) > 1)} {values}; {expected}. {_label_remedy(wrong)}"


def _label_remedy(wrong: Sequence[float]) -> str:
    if not all(math.isfinite(value) and value == round(value) for value in wrong):
        return "Write undefined pixels as -1, and resize labels without interpolation."
    undefined = [value for value in wrong if not -1 <= value <= NYU_CLASSES]
    if len(undefined) > 3:  # too many for marks of undefined pixels
        return f"Map the classes of the file to these {len(CLASSES)} first."
    remedies = []
    if undefined:
        rules = ", ".join(f"{value:g} -> -1" for value in undefined)
        remedies.append(f"Write undefined pixels as -1 ({rules}), in a signed type.")
    if len(CLASSES) in wrong and len(wrong) == len(undefined) + 1:
        remedies.append("Count classes from 0: if they are 1 to 13 and 0 is undefined, subtract 1.")
    elif len(wrong) > len(undefined):
        remedies.append(f"Map NYU's {NYU_CLASSES} classes to these {len(CLASSES)} first.")
    return " ".join(remedies)


def _check_lengths(path: Path, normals: np.ndarray) -> None:
    """Raise ValueError if a normal is too long, or most are too short.

    Where an image was resized across an edge, the mean of two normals is shorter than 1. So a minority of
    short normals is accepted.
    """
    lengths = np.linalg.norm(normals, axis=-1)
    known = lengths[lengths > 0]
    too_short = known < 1 - LENGTH_SLACK
    if len(known) and (known.max() > 1 + LENGTH_SLACK or too_short.mean() > 0.5):
        raise ValueError(
            f"Got {path} with normals of length {known.min():.3g} to {known.max():.3g}, median "
            f"{np.median(known):.3g}; expected length 1, or three zeros where the normal is unknown. Divide "
            "each normal by its length. If they are coded as 0..1, take 2 x - 1 first."
        )
