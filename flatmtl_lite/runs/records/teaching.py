"""The teaching setting: small, noisy, and the one place on a CPU where flatness visibly pays.

2,000 pairs of Fashion+MNIST, 40 % of the labels wrong, an MLP, SGD. ``comparison.py`` compares many methods
in it, and tuned those that the notebooks train.
"""

import os
from dataclasses import replace
from typing import Any

from ...names import check_name
from ..data.multimnist import MultiTaskData, fashion_and_mnist
from ..engine.config import Config

TEACHING_RHO = 0.14  # of F-LS, as the comparison tuned it
_SETTING: dict[str, Any] = dict(rho=TEACHING_RHO, norm="together")
METHODS = {
    "LS": Config("mean", **_SETTING),
    "LS + weight decay": Config("mean", **_SETTING, weight_decay=0.01),
    "SAM on the mean loss": Config("sam-mean", **_SETTING | dict(rho=0.2)),
    "F-LS": Config("f-mean", **_SETTING),
    "direct CAGrad": Config("direct-cagrad", **_SETTING),
    "F-CAGrad": Config("f-cagrad", **_SETTING),
}

GARMENTS = (
    *("T-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "boot"),
)


def teaching_data(seed: int, label_noise: float = 0.4) -> MultiTaskData:
    """Return the data of the teaching setting, from the shipped sample; digit and garment stay in place."""
    sizes: dict[str, Any] = dict(n_train=2000, n_val=2000)
    return fashion_and_mnist(seed, **sizes, label_noise=label_noise, max_shift=0, sample=True)


def teaching_config(label: str, seed: int) -> Config:
    """Return the configuration of one of ``METHODS``; three epochs instead of 40 if FLATMTL_FAST=1."""
    check_name("method", label, METHODS)
    epochs = 3 if os.environ.get("FLATMTL_FAST") == "1" else METHODS[label].epochs
    return replace(METHODS[label], seed=seed, epochs=epochs)


def title(true: tuple[int, int], given: tuple[int, int]) -> str:
    """Return digit and garment in words: "a as b" if the given label b is not the true label a."""
    names = [(str(label), GARMENTS[label]) for label in range(10)]
    words = [(names[t][task], names[g][task]) for task, (t, g) in enumerate(zip(true, given, strict=True))]
    return "<br>".join(name if name == label else f"{name} as {label}" for name, label in words)
