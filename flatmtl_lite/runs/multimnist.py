"""Multi-MNIST: two overlapping source images on one 36x36 canvas, and a label for each.

Built as the Pareto MTL paper (Lin et al. 2019, https://arxiv.org/abs/1912.12854) says. No generator was
released; ours lets overlaps keep the brighter pixel and uses every source image equally often.
"""

import math
import numbers
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .sources import load_source

CLASSES = 10
CANVAS, ITEM = 36, 28  # pixels a side
TEST_SEED = 2019  # any number: every seed of an experiment is judged on the same test pairs
Items = tuple[Tensor, Tensor]  # images and labels


@dataclass(frozen=True, eq=False)
class MultiTaskData:
    """Images with one label per task, in three splits that share no source image.

    Attributes:
        train_images, val_images, test_images: ``(N, 36, 36)`` uint8.
        train_labels, val_labels: ``(N, T)`` int64, 0..9, noisy if asked for: selection sees noise too.
        train_clean_labels, test_labels: ``(N, T)`` int64, never noisy.
        task_names: One name per column of the labels.
        origin: One line: where the source images came from.
    """

    train_images: Tensor
    train_labels: Tensor
    train_clean_labels: Tensor
    val_images: Tensor
    val_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    task_names: tuple[str, ...]
    origin: str


def pairs(
    first: Items, second: Items, n: int | None, generator: torch.Generator, max_shift: int = 4
) -> Items:
    """Draw pairs of source images: the first at the top left, the second at the bottom right.

    Each moves inward by 0..``max_shift`` pixels, row and column drawn uniformly; where they overlap the
    brighter pixel stays. On each side the uses of any two source images differ by at most one.

    Args:
        first, second: Images ``(K, 28, 28)`` uint8 and labels ``(K,)`` int64; each has its own K.
        n: Number of pairs; ``None``: twice the larger set, as in the published 120k/20k.
        max_shift: 0 (in the corners) to 8 (anywhere on the canvas), in pixels.

    Returns:
        Images ``(n, 36, 36)`` uint8 and labels ``(n, 2)`` int64.

    Raises:
        ValueError: ``n``, ``max_shift`` or a set's shape or type is not as above.

    Example:
        >>> items = torch.ones(5, 28, 28, dtype=torch.uint8), torch.arange(5)
        >>> images, labels = pairs(items, items, n=10, generator=torch.Generator())
        >>> images.shape, labels[:, 0].bincount()
        (torch.Size([10, 36, 36]), tensor([2, 2, 2, 2, 2]))
    """
    _check_items("first", *first)
    _check_items("second", *second)
    n = 2 * max(len(first[0]), len(second[0])) if n is None else n
    _check_count("n", n, 1)
    _check_count("max_shift", max_shift, 0, CANVAS - ITEM)

    canvas = torch.zeros(n, CANVAS, CANVAS, dtype=torch.uint8)
    labels = []
    for (images, classes), corner, inward in ((first, 0, 1), (second, CANVAS - ITEM, -1)):
        chosen = _equal_use(len(images), n, generator)
        shift = torch.randint(max_shift + 1, (n, 2), generator=generator)
        _stamp(canvas, images, chosen, corner + inward * shift)
        labels.append(classes[chosen])
    return canvas, torch.stack(labels, dim=1)


def with_label_noise(labels: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Replace each label by itself, with probability ``share``, by one of the other nine classes.

    Args:
        labels: Any shape, int64, 0..9. It stays as it is; the noisy labels are a new tensor.
        share: 0..1. From the same generator state a larger share hits the same labels and more.

    Raises:
        ValueError: ``share`` is not in 0..1.
    """
    if not (isinstance(share, numbers.Real) and 0 <= share <= 1):
        raise ValueError(f"share of noisy labels = {share!r}: give a number from 0 to 1 (0.4 for 40 %)")
    hit = torch.rand(labels.shape, generator=generator) < share
    others = (labels + torch.randint(1, CLASSES, labels.shape, generator=generator)) % CLASSES
    return torch.where(hit, others, labels)


def fashion_and_mnist(
    seed: int,
    n_train: int = 2000,
    n_val: int = 2000,
    n_test: int | None = None,
    label_noise: float = 0.0,
    max_shift: int = 4,
    root: str | Path | None = None,
    download: bool = False,
    sample: bool = False,
) -> MultiTaskData:
    """Build Fashion+MNIST: a digit at the top left (task 0), a garment at the bottom right (task 1).

    Train and validation divide the training images in proportion to ``n_train`` and ``n_val``; none is used
    twice while these sum to at most 4,000 (sample) or 60,000 (full). Test pairs are the same for every seed.

    Args:
        seed: Decides division, pairs and noise; the images do not depend on ``label_noise``.
        n_train, n_val, n_test: Numbers of pairs; ``n_test=None``: 10,000 (full sets) or 4,000 (sample).
        label_noise: Share of train and validation labels to be wrong, 0..1, in each task by itself.
        max_shift: Largest move of an item out of its corner, 0..8 pixels.
        root, download, sample: Where the images come from: see ``load_source``.

    Raises:
        ValueError: A number is out of its range; and whatever ``load_source`` raises.
    """
    _check_count("seed", seed, 0)
    for name, count in (("n_train", n_train), ("n_val", n_val), ("n_test", 1 if n_test is None else n_test)):
        _check_count(name, count, 1)
    digits, garments = (
        load_source(name, root, download, sample=sample) for name in ("mnist", "fashion-mnist")
    )
    fewest = min(len(digits.test_labels), len(garments.test_labels))
    n_test = min(10_000, 2 * fewest) if n_test is None else n_test

    generator = torch.Generator().manual_seed(int(seed))
    train_sources, val_sources, test_sources = [], [], []
    for source in (digits, garments):
        images, labels = source.train_images, source.train_labels
        order = torch.randperm(len(labels), generator=generator)
        cut = min(max(round(len(labels) * n_train / (n_train + n_val)), 1), len(labels) - 1)
        train_sources.append((images[order[:cut]], labels[order[:cut]]))
        val_sources.append((images[order[cut:]], labels[order[cut:]]))
        test_sources.append((source.test_images, source.test_labels))

    x_train, clean = pairs(*train_sources, n_train, generator, max_shift)
    y_train = with_label_noise(clean, label_noise, generator)
    x_val, y_val = pairs(*val_sources, n_val, generator, max_shift)
    y_val = with_label_noise(y_val, label_noise, generator)
    x_test, y_test = pairs(*test_sources, n_test, torch.Generator().manual_seed(TEST_SEED), max_shift)
    origin = f"{digits.origin}; {garments.origin}"
    return MultiTaskData(x_train, y_train, clean, x_val, y_val, x_test, y_test, ("digit", "garment"), origin)


def _equal_use(size: int, n: int, generator: torch.Generator) -> Tensor:
    return torch.cat([torch.randperm(size, generator=generator) for _ in range(math.ceil(n / size))])[:n]


def _stamp(canvas: Tensor, images: Tensor, chosen: Tensor, at: Tensor) -> None:
    """Lay image ``chosen[i]`` on canvas i with its top left at row, column ``at[i]``; the brighter stays."""
    for row, column in at.unique(dim=0).tolist():
        # all canvases with this offset at once: at most 81 slices instead of an index per pixel
        here = ((at[:, 0] == row) & (at[:, 1] == column)).nonzero().squeeze(1)
        window = canvas[:, row : row + ITEM, column : column + ITEM]
        window[here] = torch.maximum(window[here], images[chosen[here]])


def _check_items(name: str, images: Tensor, labels: Tensor) -> None:
    typed = images.dtype == torch.uint8 and labels.dtype == torch.int64
    shaped = images.ndim == 3 and images.shape[1:] == (ITEM, ITEM) and labels.shape == images.shape[:1]
    if not (typed and shaped and len(images)):
        raise ValueError(
            f"{name}: found {images.dtype} {tuple(images.shape)} and {labels.dtype} {tuple(labels.shape)}: "
            f"give uint8 images (K, {ITEM}, {ITEM}) and int64 labels (K,), K >= 1, as load_source does"
        )


def _check_count(name: str, value: int, least: int, most: float = math.inf) -> None:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        limits = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{name}={value!r}: give a whole number {limits}")
