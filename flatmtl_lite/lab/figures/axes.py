"""Logarithmic axes."""

import math

from torch import Tensor


def decades(low: int, high: int, step: int = 1) -> dict:
    """Return a logarithmic axis with a tick at 10**low, 10**(low + step), ..., 10**high."""
    powers = range(low, high + 1, step)
    ticks = [f"{10**p:g}" if -2 <= p <= 3 else f"10<sup>{p}</sup>" for p in powers]
    return dict(type="log", tickvals=[10.0**p for p in powers], ticktext=ticks)


def whole_decades(values: Tensor) -> dict:
    """Return a logarithmic axis from power of ten to power of ten that holds all values, each above 0."""
    low, high = math.floor(values.min().log10().item()), math.ceil(values.max().log10().item())
    high = max(high, low + 1)
    return decades(low, high, -(-(high - low) // 6)) | dict(range=[low, high])
