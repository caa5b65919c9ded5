"""The published Multi-MNIST sets, from plain arrays that the user made of the pickles."""

import hashlib
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError

import numpy as np
import torch

from ..rooms.checks import check_count
from .multimnist import MultiTaskData, item_tasks
from .pairs import CANVAS, CLASSES

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
IMAGE_SHAPES = ((CANVAS, CANVAS), (1, CANVAS, CANVAS), (CANVAS**2,))
REMEDY = "Convert the pickle as data/README.md says."
# what zipfile and numpy raise when bits of a file are flipped
READ_ERRORS = (ValueError, OSError, EOFError, RuntimeError, TokenError, zipfile.BadZipFile, zlib.error)


def load_published(path: str | Path, variant: str, seed: int, n_val: int = 20_000) -> MultiTaskData:
    """Read a published set (Lin et al. 2019) that was converted to an .npz file as ``data/README.md`` says.

    The authors published neither hashes of the pickles nor the script that made them. So this function
    checks form and values, and ``origin`` names the SHA-256 of the pixels and labels. It keeps all test
    pairs.

    Validation pairs are drawn from the 120,000 training pairs, which were made of 60,000 source images. So
    unlike in ``multi_mnist`` the two splits share source images, and validation may flatter a network that
    has learnt images by heart.

    Args:
        path: An .npz file with ``train_images``, ``train_labels``, ``test_images`` and ``test_labels``:
            images (N, 36, 36), (N, 1, 36, 36) or (N, 1296), whole numbers from 0 to 255 or these divided by
            255; labels (N, 2), the class 0..9 of the item at the top left, then of the other item.
        variant: "mnist", "fashion" or "fashion+mnist" (digit first): names the tasks.
        seed: Decides which training pairs are held out for validation.
        n_val: Number of validation pairs, or 0 for none. The other pairs are for training; the seed decides
            their order.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: An argument, or the file's form or a value in it, is not as above.
    """
    tasks = item_tasks(variant)
    check_count("seed", seed, 0)
    path = Path(path)
    arrays = _read(path)
    _check_form(path, arrays)
    pixels = arrays["train_images"]
    scale = 255 if pixels.dtype.kind == "f" and pixels.max() <= 1 else 1
    for part, array in arrays.items():
        is_image = part.endswith("images")
        array = array.reshape(-1, CANVAS, CANVAS) if is_image else array
        arrays[part] = _bytes(f"{path}, {part}", array, *((255, scale) if is_image else (CLASSES - 1, 1)))
    check_count("n_val", n_val, 0, len(pixels) - 1)
    digest = hashlib.sha256()
    for array in arrays.values():
        digest.update(array.data)

    x, y, x_test, y_test = (torch.from_numpy(arrays[part]) for part in ARRAYS)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(int(seed)))
    val, train = order[:n_val], order[n_val:]
    return MultiTaskData(
        *(x[train], y[train].long(), y[train].long(), x[val], y[val].long(), x_test, y_test.long()),
        task_names=tuple(tasks),
        classes=(CLASSES, CLASSES),
        origin=f"{path.name}, converted from a published pickle: {len(x):,} train and {len(x_test):,} test "
        f"pairs, sha256 {digest.hexdigest()}",
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file. {REMEDY}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: expected a whole .npz file; a pickle is never opened here. {REMEDY}")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {part: np.asarray(file[part]) for part in ARRAYS if part in file}
            names = ", ".join(file) or "nothing"
    except READ_ERRORS as error:
        raise ValueError(f"{path}: could not be read as plain arrays ({error}). {REMEDY}") from error
    if missing := [part for part in ARRAYS if part not in arrays]:
        raise ValueError(f"{path}: no {', '.join(missing)} in it, found {names}. {REMEDY}")
    return arrays


def _check_form(path: Path, arrays: dict[str, np.ndarray]) -> None:
    for split in ("train", "test"):
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        shaped = images.shape[1:] in IMAGE_SHAPES and len(images) > 0 and labels.shape == (len(images), 2)
        if not (shaped and images.dtype.kind in "uif" and labels.dtype.kind in "uif"):
            raise ValueError(
                f"{path}: found {split}_images {images.dtype} {images.shape} and {split}_labels "
                f"{labels.dtype} {labels.shape}; expected numbers, images (N, 36, 36), (N, 1, 36, 36) or "
                f"(N, 1296) and labels (N, 2), N >= 1. {REMEDY}"
            )


def _bytes(where: str, array: np.ndarray, most: int, scale: int) -> np.ndarray:
    """Return ``scale * array`` as uint8, if that loses nothing and no value is above ``most``."""
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= most / scale):
        raise ValueError(
            f"{where}: found values from {low} to {high}; expected 0 to {most // scale}. {REMEDY}"
        )
    if array.dtype.kind != "f":
        return np.ascontiguousarray(array, np.uint8)
    whole = np.empty(array.shape, np.uint8)
    for start in range(0, len(array), 4096):  # in parts: float64 takes eight times the room
        values = array[start : start + 4096] * np.float64(scale)
        whole[start : start + 4096] = np.rint(values)
        if (loss := np.abs(values - whole[start : start + 4096])).max() > 1e-3:
            value = values.flat[loss.argmax()] / scale
            raise ValueError(
                f"{where}: found {value}; expected whole numbers from 0 to {most}"
                f"{', each divided by 255' if scale > 1 else ''}: resized or normalised images are not the "
                f"published ones. {REMEDY}"
            )
    return whole
