"""Two source images on one canvas with a label each, and noise on labels."""

import math
import numbers

import torch
from torch import Tensor

from ..rooms.checks import check_count

CLASSES = 10
CANVAS, ITEM = 36, 28  # pixels a side
Items = tuple[Tensor, Tensor]  # images and labels


def pairs(
    first: Items,
    second: Items,
    n: int | None,
    generator: torch.Generator,
    max_shift: int = 4,
    distinct: bool = False,
) -> Items:
    """Draw pairs of source images: the first at the top left, the second at the bottom right.

    Each item moves inward by 0..``max_shift`` pixels, with row and column drawn uniformly. Where two items
    overlap, the brighter pixel stays. On each side the uses of any two source images differ by at most one.

    Args:
        first, second: Images ``(K, 28, 28)`` uint8 and labels ``(K,)`` int64. K may differ between the two.
        n: Number of pairs; ``None``: twice the larger set, as in the published 120k/20k.
        max_shift: 0 (in the corners) to 8 (anywhere on the canvas), in pixels.
        distinct: Whether the two items of a pair must be of different classes.

    Returns:
        Images ``(n, 36, 36)`` uint8 and labels ``(n, 2)`` int64.

    Raises:
        ValueError: ``n``, ``max_shift`` or a set's shape or type is not as above, or the classes cannot
            be made distinct.

    Example:
        >>> items = torch.ones(5, 28, 28, dtype=torch.uint8), torch.arange(5)
        >>> images, labels = pairs(items, items, n=10, generator=torch.Generator())
        >>> images.shape, labels[:, 0].bincount()
        (torch.Size([10, 36, 36]), tensor([2, 2, 2, 2, 2]))
    """
    _check_items("first", *first)
    _check_items("second", *second)
    n = 2 * max(len(first[0]), len(second[0])) if n is None else n
    check_count("n", n, 1)
    check_count("max_shift", max_shift, 0, CANVAS - ITEM)

    canvas = torch.zeros(n, CANVAS, CANVAS, dtype=torch.uint8)
    labels: list[Tensor] = []
    for (images, classes), corner, inward in ((first, 0, 1), (second, CANVAS - ITEM, -1)):
        chosen = _equal_use(len(images), n, generator)
        if distinct and labels:
            chosen = _without_clashes(chosen, classes, labels[0], generator)
        shift = torch.randint(max_shift + 1, (n, 2), generator=generator)
        _stamp(canvas, images, chosen, corner + inward * shift)
        labels.append(classes[chosen])
    return canvas, torch.stack(labels, dim=1)


def with_label_noise(labels: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Replace each label with probability ``share`` by one of the other nine classes.

    Each label is hit independently of the others.

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


def _equal_use(size: int, n: int, generator: torch.Generator) -> Tensor:
    return torch.cat([torch.randperm(size, generator=generator) for _ in range(math.ceil(n / size))])[:n]


def _without_clashes(
    chosen: Tensor, classes: Tensor, taken_classes: Tensor, generator: torch.Generator
) -> Tensor:
    """Return the chosen images in an order in which no image has the class that its place already holds."""
    chosen = chosen.clone()
    for _ in range(100):
        clash = (classes[chosen] == taken_classes).nonzero().squeeze(1)
        if not len(clash):
            return chosen
        # the clashing images and as many others change places among themselves
        others = torch.randint(len(chosen), (len(clash) + 1,), generator=generator)
        places = torch.cat([clash, others]).unique()
        chosen[places] = chosen[places[torch.randperm(len(places), generator=generator)]]
    return _mended(chosen, classes, taken_classes, generator)


def _mended(chosen: Tensor, classes: Tensor, taken_classes: Tensor, generator: torch.Generator) -> Tensor:
    """Do the work of :func:`_without_clashes` where chance finds no order, by exchanging images if needed.

    That happens with few images, or if one class is very common. With n images for n places an order exists
    if and only if no class occurs more than n times in images and places together.
    """
    values, counts = torch.cat([classes[chosen], taken_classes]).unique(return_counts=True)
    excess, common = int(counts.max()) - len(chosen), values[counts.argmax()]
    if excess > 0:
        # only a more used image leaves, for a less used one: uses still differ by at most one
        uses = chosen.bincount(minlength=len(classes))
        leaving = ((classes == common) & (uses > uses.min())).nonzero().squeeze(1)
        coming = ((classes != common) & (uses == uses.min())).nonzero().squeeze(1)
        if excess > min(len(leaving), len(coming)):
            raise ValueError("distinct=True: the two sets leave no such pairs; give sets of more classes")
        leaving, coming = (
            images[torch.randperm(len(images), generator=generator)[:excess]] for images in (leaving, coming)
        )
        for old, new in zip(leaving, coming, strict=True):
            chosen[(chosen == old).nonzero()[0]] = new
    while len(clash := (classes[chosen] == taken_classes).nonzero()):
        place = clash[0]
        free = ((taken_classes != taken_classes[place]) & (classes[chosen] != taken_classes[place])).nonzero()
        other = free[torch.randint(len(free), (), generator=generator)]
        chosen[place], chosen[other] = chosen[other], chosen[place]
    return chosen


def _stamp(canvas: Tensor, images: Tensor, chosen: Tensor, corners: Tensor) -> None:
    """Lay image ``chosen[i]`` on canvas i with its top left at (row, column) ``corners[i]``.

    The brighter pixel stays.
    """
    side = torch.arange(ITEM)
    item = (CANVAS * side[:, None] + side).flatten()  # its pixels on a flattened canvas, from its top left
    # in parts: an index takes eight bytes, a pixel one
    for part, indices, offset in zip(*(x.split(1024) for x in (canvas, chosen, corners)), strict=True):
        places = item + (CANVAS * offset[:, :1] + offset[:, 1:])
        part.view(-1, CANVAS**2).scatter_reduce_(1, places, images[indices].flatten(1), "amax")


def _check_items(name: str, images: Tensor, labels: Tensor) -> None:
    typed = images.dtype == torch.uint8 and labels.dtype == torch.int64
    shaped = images.ndim == 3 and images.shape[1:] == (ITEM, ITEM) and labels.shape == images.shape[:1]
    if not (typed and shaped and len(images)):
        raise ValueError(
            f"{name}: found {images.dtype} {tuple(images.shape)} and {labels.dtype} {tuple(labels.shape)}: "
            f"give uint8 images (K, {ITEM}, {ITEM}) and int64 labels (K,), K >= 1, as load_source does"
        )
