"""Round numbers for logs, results and records."""

import math
from collections.abc import Mapping

from torch import Tensor


def rounded(values, digits: int = 4):
    """Numbers, tensors, lists and dicts of them to so many significant digits, as JSON can hold them.

    None stands where a number is not finite: JSON has no word for it.

    Example:
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
