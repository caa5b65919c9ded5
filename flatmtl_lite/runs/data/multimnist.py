"""Multi-MNIST: two overlapping source images on one 36x36 canvas, and one label per task.

Built as the Pareto MTL paper (Lin et al. 2019, https://arxiv.org/abs/1912.12854) says. No generator was
released. In ours the brighter pixel wins where two images overlap, and every source image is used equally
often.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...names import did_you_mean
from ..rooms.checks import check_count
from .pairs import CLASSES, Items, pairs, with_label_noise
from .sources import Source, load_source

TEST_SEED = 2019  # any number: every seed of an experiment is judged on the same test pairs

# the item at the top left and the item at the bottom right
VARIANTS = {
    "mnist": ("mnist", "mnist"),
    "fashion": ("fashion-mnist", "fashion-mnist"),
    "fashion+mnist": ("mnist", "fashion-mnist"),
}
# source -> task -> the answer for each of the ten classes of an item
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
Questions = dict[str, tuple[int, tuple[int, ...]]]  # task -> side of its item, and the answer for each class


@dataclass(frozen=True, eq=False)
class MultiTaskData:
    """Images with one label per task, in three splits.

    The splits that :func:`multi_mnist` makes share no source image.

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


def fashion_and_mnist(seed: int, *sizes: Any, **options: Any) -> MultiTaskData:
    """Build the variant "fashion+mnist" of :func:`multi_mnist`: a digit top left, a garment opposite."""
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
    """Build a Multi-MNIST set: pairs of items, one at the top left and one at the bottom right, and labels.

    Training and validation divide the training images in proportion to ``n_train`` and ``n_val``. No image
    is used twice while these sum to at most 4,000 (sample) or 60,000 (full). Test pairs are the same for
    every seed. Two items from the same set are of different classes.

    Args:
        variant: "mnist", "fashion" or "fashion+mnist".
        seed: Decides division, pairs and noise; the images do not depend on ``label_noise``.
        n_train, n_val, n_test: Numbers of pairs; ``n_test=None``: 10,000 (full sets) or 4,000 (sample).
            ``n_val=0``: no validation, and every training image is for training.
        label_noise: Share of training and validation items that get a wrong class, 0..1. Every task on such
            an item sees the same wrong class.
        max_shift: Largest move of an item out of its corner, 0..8 pixels.
        tasks: Up to 8 names out of :func:`task_names`; by default the class of each item.
        root, download, sample: Where the images come from: see ``load_source``.

    Raises:
        ValueError: A name is unknown or a number out of its range; and whatever ``load_source`` raises.
    """
    questions = _questions(variant)
    tasks = item_tasks(variant) if tasks is None else tasks
    _check_tasks(tasks, questions)
    check_count("seed", seed, 0)
    for name, count in (("n_train", n_train), ("n_test", 1 if n_test is None else n_test)):
        check_count(name, count, 1)
    check_count("n_val", n_val, 0)
    names = VARIANTS[variant]
    sources = {name: load_source(name, root, download, sample=sample) for name in set(names)}
    fewest = min(len(sources[name].test_labels) for name in names)
    n_test = min(10_000, 2 * fewest) if n_test is None else n_test

    generator = torch.Generator().manual_seed(int(seed))
    same = len(sources) == 1
    train, val = {}, {}
    for name in dict.fromkeys(names):
        train[name], val[name] = _divided(sources[name], n_train, n_val, generator)
    test = {name: (source.test_images, source.test_labels) for name, source in sources.items()}
    first, second = names

    x_train, clean = pairs(train[first], train[second], n_train, generator, max_shift, same)
    y_train = with_label_noise(clean, label_noise, generator)
    x_val, y_val = x_train[:0], clean[:0]
    if n_val:
        x_val, y_val = pairs(val[first], val[second], n_val, generator, max_shift, same)
        y_val = with_label_noise(y_val, label_noise, generator)
    test_generator = torch.Generator().manual_seed(TEST_SEED)
    x_test, y_test = pairs(test[first], test[second], n_test, test_generator, max_shift, same)

    def answers(items: Tensor) -> Tensor:
        columns = (torch.tensor(answer)[items[:, side]] for side, answer in map(questions.__getitem__, tasks))
        return torch.stack(list(columns), 1)

    return MultiTaskData(
        *(x_train, answers(y_train), answers(clean), x_val, answers(y_val), x_test, answers(y_test)),
        task_names=tuple(tasks),
        classes=tuple(1 + max(questions[name][1]) for name in tasks),
        origin="; ".join(sources[name].origin for name in dict.fromkeys(names)),
    )


def task_names(variant: str) -> list[str]:
    """Return the eight tasks of a variant, such as "digit", "parity" and "garment".

    Raises:
        ValueError: the variant is unknown.

    Example:
        >>> task_names("mnist")[:2]
        ['first digit', 'first parity']
    """
    return list(_questions(variant))


def task_classes(variant: str) -> dict[str, int]:
    """Return the number of classes of each task of a variant.

    Raises:
        ValueError: the variant is unknown.

    Example:
        >>> task_classes("mnist")["first parity"]
        2
    """
    return {name: 1 + max(answers) for name, (_, answers) in _questions(variant).items()}


def item_tasks(variant: str) -> list[str]:
    """Return the two tasks of the published sets: the class of each item, top left first.

    Raises:
        ValueError: the variant is unknown.

    Example:
        >>> item_tasks("fashion+mnist")
        ['digit', 'garment']
    """
    return [name for name, (_, answers) in _questions(variant).items() if len(set(answers)) == CLASSES]


def _questions(variant: str) -> Questions:
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


def _check_tasks(tasks: Sequence[str], questions: Questions) -> None:
    unknown = [tasks] if isinstance(tasks, str) else [name for name in tasks if name not in questions]
    if not tasks or unknown or len(set(tasks)) < len(tasks):
        hint = did_you_mean(unknown[0], questions) if unknown else ""
        raise ValueError(
            f"tasks={tasks!r}{hint}: give a list of different names out of {', '.join(questions)}"
        )


def _divided(source: Source, n_train: int, n_val: int, generator: torch.Generator) -> tuple[Items, Items]:
    """Divide the training images of a source between training and validation, in proportion to the sizes."""
    images, labels = source.train_images, source.train_labels
    order = torch.randperm(len(labels), generator=generator)
    if n_val == 0:
        return (images[order], labels[order]), (images[:0], labels[:0])
    cut = min(max(round(len(labels) * n_train / (n_train + n_val)), 1), len(labels) - 1)
    return (images[order[:cut]], labels[order[:cut]]), (images[order[cut:]], labels[order[cut:]])
