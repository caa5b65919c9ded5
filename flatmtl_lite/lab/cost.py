"""What a training step costs, counted in passes through the network."""

from torch import Tensor

Number = float | Tensor


def step_costs(
    tasks: Number = 2, ratio: Number = 2.0, every: Number = 5, share: Number = 0.25
) -> dict[str, Number]:
    """Return what one step of each method costs, in forward passes of the trunk on the whole batch.

    A forward pass counts 1 and a backward pass counts b. Heads are small and count nothing. The base is a
    gradient-based method such as CAGrad: one forward pass, and one backward pass per task.

    ======================== =========================== ===================================================
    method                   passes                      why
    ======================== =========================== ===================================================
    ``base``                 1 + T b
    ``F``                    1 + T b + T (1 + b)         each task also has a forward and a backward at θ+ε
    ``F, every k``           1 + T b + T (1 + b) / k     every k-th step has the passes at θ+ε
    ``F, share``             1 + T b + T (1 + b) s       the passes at θ+ε see the share s of the batch
    ``SAMO``                 1 + b + 2 T + T (1 + b)     one backward for the mean loss, two forwards per task
    ``SAMO, one draw``       1 + b + 2 + n + T b         two forwards serve all tasks, n places θ+ε
    ``common ε``             1 + b + 1 + T b             G-SAM, polar: all tasks share one place θ+ε
    ``SAM on the mean``      2 + 2 b                     one backward at θ, one at θ+ε
    ======================== =========================== ===================================================

    With one draw there are at most two places θ+ε, one per sign. If the tasks' signs are independent, there
    are n = 2 - 2^(1-T) on average. With ``norm="together"`` the lengths of the tasks' ε differ. Then the two
    kinds of SAMO that share places, with one draw and with α = 1, have T of them.

    Args:
        tasks: T >= 1.
        ratio: b > 0, how many forward passes a backward pass takes.
        every: k >= 1.
        share: s, above 0 and at most 1.

    Returns:
        Method -> forward passes. Tensors broadcast.

    Raises:
        ValueError: a number is outside its range.

    Example:
        >>> step_costs(tasks=3)["F"]
        16.0
    """
    ranges = {"tasks": (tasks, 1, None), "ratio": (ratio, 0, None), "every": (every, 1, None)}
    for name, (value, low, high) in (ranges | {"share": (share, 0, 1)}).items():
        _check(name, value, low, high)
    base, perturbed = 1 + tasks * ratio, tasks * (1 + ratio)
    return {
        "base": base,
        "F": base + perturbed,
        "F, every k": base + perturbed / every,
        "F, share": base + perturbed * share,
        "SAMO": 1 + ratio + 2 * tasks + perturbed,
        "SAMO, one draw": 1 + ratio + 2 + (2 - 2.0 ** (1 - tasks)) + tasks * ratio,
        "common ε": 1 + ratio + 1 + tasks * ratio,
        "SAM on the mean": 2 + 2 * ratio + 0 * tasks,
    }


def relative_costs(
    tasks: Number = 2, ratio: Number = 2.0, every: Number = 5, share: Number = 0.25
) -> dict[str, Number]:
    """Return the costs of :func:`step_costs` relative to the base, without the base.

    Example:
        >>> relative_costs(tasks=2)["SAM on the mean"]
        1.2
    """
    costs = step_costs(tasks, ratio, every, share)
    base = costs.pop("base")
    return {name: cost / base for name, cost in costs.items()}


def _check(name: str, value: Number, low: float, high: float | None) -> None:
    """Raise ValueError unless all values are at least ``low`` (above it if it is 0) and at most ``high``."""
    bound = "above 0" if low == 0 else f"of at least {low}"
    bound += "" if high is None else f", at most {high}"
    for number in value.flatten().tolist() if isinstance(value, Tensor) else [value]:
        if not (max(low, 1e-300) <= number <= (high or 1e300)):
            raise ValueError(f"Got {name}={number}; expected a number {bound}.")
