"""Multi-MNIST: two overlapping source images on one 36x36 canvas, and a label for each.

Built as the Pareto MTL paper (Lin et al. 2019, https://arxiv.org/abs/1912.12854) says. No generator was
released; ours lets overlaps keep the brighter pixel and uses every source image equally often.
"""

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...names import did_you_mean
from .sources import load_source

CLASSES = 10
CANVAS, ITEM = 36, 28  # pixels a side
TEST_SEED = 2019  # any number: every seed of an experiment is judged on the same test pairs
Items = tuple[Tensor, Tensor]  # images and labels

# the item at the top left and the one at the bottom right
VARIANTS = {
    "mnist": ("mnist", "mnist"),
    "fashion": ("fashion-mnist", "fashion-mnist"),
    "fashion+mnist": ("mnist", "fashion-mnist"),
}
# what can be asked of an item: for each of its ten classes the answer
QUESTIONS = {
    "mnist": {
        "digit": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
        "parity": (0, 1, 0, 1, 0, 1, 0, 1, 0, 1),
        "size": (0, 0, 0, 0, 0, 1, 1, 1, 1, 1),  # below five, or not
        "prime": (0, 0, 1, 1, 0, 1, 0, 1, 0, 0),
    },
    "fashion-mnist": {
        "garment": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
        "group": (0, 1, 0, 2, 0, 3, 0, 3, 4, 3),  # top, trousers, dress, shoe, bag
        "footwear": (0, 0, 0, 0, 0, 1, 0, 1, 0, 1),
        "upper body": (1, 0, 1, 1, 1, 0, 1, 0, 0, 0),
    },
}


@dataclass(frozen=True, eq=False)
class MultiTaskData:
    """Images with one label per task, in three splits; those of :func:`multi_mnist` share no source image.

    Attributes:
        train_images, val_images, test_images: ``(N, 36, 36)`` uint8.
        train_labels, val_labels: ``(N, T)`` int64, noisy if asked for: selection sees noise too.
        train_clean_labels, test_labels: ``(N, T)`` int64, never noisy.
        task_names: One name per column of the labels.
        classes: The number of classes of each task.
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
    classes: tuple[int, ...]
    origin: str


def pairs(
    first: Items,
    second: Items,
    n: int | None,
    generator: torch.Generator,
    max_shift: int = 4,
    distinct: bool = False,
) -> Items:
    """Draw pairs of source images: the first at the top left, the second at the bottom right.

    Each moves inward by 0..``max_shift`` pixels, row and column drawn uniformly; where they overlap the
    brighter pixel stays. On each side the uses of any two source images differ by at most one.

    Args:
        first, second: Images ``(K, 28, 28)`` uint8 and labels ``(K,)`` int64; each has its own K.
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
    labels = []
    for (images, classes), corner, inward in ((first, 0, 1), (second, CANVAS - ITEM, -1)):
        chosen = _equal_use(len(images), n, generator)
        if distinct and labels:
            chosen = _without_clashes(chosen, classes, labels[0], generator)
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


def fashion_and_mnist(seed: int, *sizes: int, **options) -> MultiTaskData:
    """:func:`multi_mnist` of the variant "fashion+mnist": a digit at the top left, a garment opposite."""
    return multi_mnist("fashion+mnist", seed, *sizes, **options)


def multi_mnist(
    variant: str,
    seed: int,
    n_train: int = 2000,
    n_val: int = 2000,
    n_test: int | None = None,
    label_noise: float = 0.0,
    max_shift: int = 4,
    tasks: Sequence[str] | None = None,
    root: str | Path | None = None,
    download: bool = False,
    sample: bool | None = None,
) -> MultiTaskData:
    """Build one of the Multi-MNIST sets: the items at the top left and at the bottom right, and their labels.

    Train and validation divide the training images in proportion to ``n_train`` and ``n_val``; none is used
    twice while these sum to at most 4,000 (sample) or 60,000 (full). Test pairs are the same for every seed.
    Two items from the same set are of different classes.

    Args:
        variant: "mnist", "fashion" or "fashion+mnist".
        seed: Decides division, pairs and noise; the images do not depend on ``label_noise``.
        n_train, n_val, n_test: Numbers of pairs; ``n_test=None``: 10,000 (full sets) or 4,000 (sample).
        label_noise: Share of train and validation items to get a wrong class, 0..1; every task that asks
            for such an item hears of the wrong one.
        max_shift: Largest move of an item out of its corner, 0..8 pixels.
        tasks: What to ask, at most 8 names of :func:`task_names`; by default the class of each item.
        root, download, sample: Where the images come from: see ``load_source``.

    Raises:
        ValueError: A name is unknown or a number out of its range; and whatever ``load_source`` raises.
    """
    questions = _questions(variant)
    tasks = item_tasks(variant) if tasks is None else tasks
    unknown = [tasks] if isinstance(tasks, str) else [name for name in tasks if name not in questions]
    if not tasks or unknown or len(set(tasks)) < len(tasks):
        hint = did_you_mean(unknown[0], questions) if unknown else ""
        raise ValueError(
            f"tasks={tasks!r}{hint}: give a list of different names out of {', '.join(questions)}"
        )
    check_count("seed", seed, 0)
    for name, count in (("n_train", n_train), ("n_val", n_val), ("n_test", 1 if n_test is None else n_test)):
        check_count(name, count, 1)
    names = VARIANTS[variant]
    loaded = {name: load_source(name, root, download, sample=sample) for name in set(names)}
    sides = [loaded[name] for name in names]
    fewest = min(len(source.test_labels) for source in sides)
    n_test = min(10_000, 2 * fewest) if n_test is None else n_test

    generator = torch.Generator().manual_seed(int(seed))
    same = len(loaded) == 1
    divided = []
    for source in sides[:1] if same else sides:
        images, labels = source.train_images, source.train_labels
        order = torch.randperm(len(labels), generator=generator)
        cut = min(max(round(len(labels) * n_train / (n_train + n_val)), 1), len(labels) - 1)
        parts = [(images[kept], labels[kept]) for kept in (order[:cut], order[cut:])]
        divided.append([*parts, (source.test_images, source.test_labels)])
    train_sources, val_sources, test_sources = zip(*(divided * 2 if same else divided), strict=True)

    x_train, clean = pairs(*train_sources, n_train, generator, max_shift, same)
    y_train = with_label_noise(clean, label_noise, generator)
    x_val, y_val = pairs(*val_sources, n_val, generator, max_shift, same)
    y_val = with_label_noise(y_val, label_noise, generator)
    fixed = torch.Generator().manual_seed(TEST_SEED)
    x_test, y_test = pairs(*test_sources, n_test, fixed, max_shift, same)

    def answers(items: Tensor) -> Tensor:
        columns = (torch.tensor(answer)[items[:, side]] for side, answer in map(questions.get, tasks))
        return torch.stack(list(columns), 1)

    return MultiTaskData(
        *(x_train, answers(y_train), answers(clean), x_val, answers(y_val), x_test, answers(y_test)),
        task_names=tuple(tasks),
        classes=tuple(1 + max(questions[name][1]) for name in tasks),
        origin="; ".join(loaded[name].origin for name in dict.fromkeys(names)),
    )


def task_names(variant: str) -> list[str]:
    """What can be asked in a variant, such as "digit", "parity", "garment"; eight names.

    Raises:
        ValueError: the variant is unknown.

    Example:
        >>> task_names("mnist")[:2]
        ['first digit', 'first parity']
    """
    return list(_questions(variant))


def item_tasks(variant: str) -> list[str]:
    """The two tasks of the published sets: the class of the item at the top left, and of the other.

    Raises:
        ValueError: the variant is unknown.

    Example:
        >>> item_tasks("fashion+mnist")
        ['digit', 'garment']
    """
    return [name for name, (_, answers) in _questions(variant).items() if len(set(answers)) == CLASSES]


def _questions(variant: str) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Name of a task -> side of its item, and the answer for each class."""
    if variant not in VARIANTS:
        raise ValueError(
            f"variant={variant!r}{did_you_mean(variant, VARIANTS)}: give one of {', '.join(VARIANTS)}"
        )
    first, second = VARIANTS[variant]
    prefixes = ("first ", "second ") if first == second else ("", "")
    return {
        f"{prefix}{name}": (side, answers)
        for side, (prefix, source) in enumerate(zip(prefixes, (first, second), strict=True))
        for name, answers in QUESTIONS[source].items()
    }


def _without_clashes(chosen: Tensor, classes: Tensor, taken: Tensor, generator: torch.Generator) -> Tensor:
    """The same images in an order in which none has the class that its place is ``taken`` by."""
    chosen = chosen.clone()
    for _ in range(100):
        clash = (classes[chosen] == taken).nonzero().squeeze(1)
        if not len(clash):
            return chosen
        # the clashing ones and as many others change places among themselves
        others = torch.randint(len(chosen), (len(clash) + 1,), generator=generator)
        places = torch.cat([clash, others]).unique()
        chosen[places] = chosen[places[torch.randperm(len(places), generator=generator)]]
    return _mended(chosen, classes, taken, generator)


def _mended(chosen: Tensor, classes: Tensor, taken: Tensor, generator: torch.Generator) -> Tensor:
    """:func:`_without_clashes` where chance finds no order: few or one-sided images, some to be others.

    With n images for n places an order exists if and only if no class has more than n of both together.
    """
    values, counts = torch.cat([classes[chosen], taken]).unique(return_counts=True)
    excess, common = counts.max().item() - len(chosen), values[counts.argmax()]
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
    while len(clash := (classes[chosen] == taken).nonzero()):
        place = clash[0]
        free = ((taken != taken[place]) & (classes[chosen] != taken[place])).nonzero()
        other = free[torch.randint(len(free), (), generator=generator)]
        chosen[place], chosen[other] = chosen[other], chosen[place]
    return chosen


def _equal_use(size: int, n: int, generator: torch.Generator) -> Tensor:
    return torch.cat([torch.randperm(size, generator=generator) for _ in range(math.ceil(n / size))])[:n]


def _stamp(canvas: Tensor, images: Tensor, chosen: Tensor, at: Tensor) -> None:
    """Lay image ``chosen[i]`` on canvas i with its top left at row, column ``at[i]``; the brighter stays."""
    side = torch.arange(ITEM)
    item = (CANVAS * side[:, None] + side).flatten()  # its pixels on a flattened canvas, from its top left
    # in parts: a place takes eight bytes, a pixel one
    for some, source, offset in zip(*(x.split(1024) for x in (canvas, chosen, at)), strict=True):
        places = item + (CANVAS * offset[:, :1] + offset[:, 1:])
        some.view(-1, CANVAS**2).scatter_reduce_(1, places, images[source].flatten(1), "amax")


def _check_items(name: str, images: Tensor, labels: Tensor) -> None:
    typed = images.dtype == torch.uint8 and labels.dtype == torch.int64
    shaped = images.ndim == 3 and images.shape[1:] == (ITEM, ITEM) and labels.shape == images.shape[:1]
    if not (typed and shaped and len(images)):
        raise ValueError(
            f"{name}: found {images.dtype} {tuple(images.shape)} and {labels.dtype} {tuple(labels.shape)}: "
            f"give uint8 images (K, {ITEM}, {ITEM}) and int64 labels (K,), K >= 1, as load_source does"
        )


def check_count(name: str, value: int, least: int, most: float = math.inf) -> None:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        limits = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{name}={value!r}: give a whole number {limits}")
