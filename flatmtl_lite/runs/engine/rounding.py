"""Round numbers for logs, results and records."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor


def rounded(values: Any, digits: int = 4) -> Any:
    """Round numbers, and tensors, lists and dicts of numbers, to significant digits, for a JSON file.

    A number that is not finite becomes None, because JSON has no word for it.

    Example:
        >>> import torch
        >>> rounded({"losses": torch.tensor([2 / 3, float("inf")]), "count": 12345})
        {'losses': [0.6667, None], 'count': 12345}
    """
    if isinstance(values, Mapping):
        return {key: rounded(value, digits) for key, value in values.items()}
    values = values.tolist() if isinstance(values, Tensor) else values
    if isinstance(values, (list, tuple)):
        return [rounded(value, digits) for value in values]
    if isinstance(values, int):
        return values
    return float(f"{values:.{digits}g}") if math.isfinite(values) else None
