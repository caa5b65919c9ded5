"""The same measure of a network for all tasks and of single-task twins, in the same form."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from ..engine.model import MultiTaskNet, parts

# a network and its tasks -> features and losses, on data that stay the same
Closures = Callable[[MultiTaskNet, Sequence[int]], tuple[Callable, list[Callable]]]
Measure = Callable[[MultiTaskNet, Callable, list[Callable]], dict[str, Any]]


def measure_networks(model: nn.Module, closures: Closures, measure: Measure) -> dict[str, Any]:
    """Return ``measure(network, features, losses)`` of a model, or of each of its single-task twins, joined.

    Lists per task of the twins are joined as if one network had been measured. There are no angles between
    twins, so their Gramians are left out.
    """
    results = [measure(net, *closures(net, tasks)) for net, tasks in parts(model)]
    if len(results) == 1:
        return results[0]
    axes = {key: results[0][key] for key in ("rho", "alpha") if key in results[0]}
    joined = [key for key in results[0] if key not in axes and key != "gramians"]  # in the order of the first
    return axes | {key: _join([result[key] for result in results]) for key in joined}


def _join(values: list[list]) -> list:
    """Join lists of the same depth along their last axis, which is the tasks'."""
    if isinstance(values[0][0], list):
        return [_join(list(entries)) for entries in zip(*values, strict=True)]
    return [number for numbers in values for number in numbers]
