"""Checks of input, each with a message that names the value, the expectation and the remedy."""

from numbers import Real

import torch
from torch import Tensor


class NonFiniteGradient(ValueError):
    """A task gradient or loss holds NaN or infinity. ``tasks`` lists the indices of the tasks."""

    def __init__(self, tasks: list[int], what: str = "gradient") -> None:
        self.tasks = tasks
        self.what = what
        super().__init__(
            f"The {what} of task {', '.join(map(str, tasks))} holds NaN or infinity; expected finite "
            "numbers. Look at the batch and at that task's loss (log of 0, overflow, too large a learning "
            'rate or rho), or let FlatMTL skip such steps with on_nonfinite="skip".'
        )


def check_tensor(value: object, what: str, example: str) -> None:
    """Raise ValueError unless ``value`` is a tensor."""
    if not isinstance(value, Tensor):
        raise ValueError(f"Got {type(value).__name__} as {what}; expected a tensor, such as {example}.")


def check_rows(G: Tensor) -> None:
    """Raise ValueError unless ``G`` is a floating tensor (..., T, P) with T, P >= 1."""
    check_tensor(G, "task gradients", "G = torch.stack(gradients)")
    if G.ndim < 2 or 0 in G.shape[-2:] or not G.is_floating_point():
        raise ValueError(
            f"Got task gradients of shape {tuple(G.shape)} and dtype {G.dtype}; expected a floating "
            "tensor (..., T, P), one task per row, T >= 1 and P >= 1. Stack the flattened gradients."
        )


def check_finite(G: Tensor, parts: int = 1) -> Tensor:
    """Return the largest absolute entry of each row of ``G``: (..., T, P) -> (..., T), on the CPU.

    ``parts`` blocks of rows lie below each other, each with one row per task.

    Raises:
        NonFiniteGradient: a row holds NaN or infinity. The error names the row's task.
    """
    largest = G.abs().amax(-1).cpu()
    finite = largest.isfinite().unflatten(-1, (parts, -1)).all(-2)
    if bad_tasks := tasks_where(~finite):
        raise NonFiniteGradient(bad_tasks)
    return largest


def check_tasks_finite(finite: Tensor, what: str = "gradient") -> None:
    """Raise NonFiniteGradient for the tasks whose entry of ``finite`` (T,) is False."""
    if bad_tasks := [i for i, is_finite in enumerate(finite.tolist()) if not is_finite]:
        raise NonFiniteGradient(bad_tasks, what)


def check_sum(G: Tensor) -> None:
    """Raise NonFiniteGradient as :func:`check_finite` does, in one pass over ``G`` if all is well."""
    # a sum shows every NaN and infinity; it may also overflow, and that is not an error
    if not bool(G.sum().isfinite()):
        check_finite(G)


def checked_losses(losses: Tensor | None, method: str) -> Tensor:
    """Return losses (..., T) in float64 on the CPU, for the method of that name.

    Raises:
        ValueError: they are missing, have no task dimension, or are not floating.
        NonFiniteGradient: a loss is NaN or infinite; ``tasks`` lists the indices of the tasks.
    """
    if losses is None:
        raise ValueError(
            f"Got no losses, which {method} needs; expected one per task. Call A(G, losses=...), or give the "
            "Decomposition its losses."
        )
    check_tensor(losses, "losses", "torch.stack(losses)")
    if losses.ndim == 0 or losses.shape[-1] == 0 or not losses.is_floating_point():
        raise ValueError(
            f"Got losses of shape {tuple(losses.shape)} and dtype {losses.dtype}; expected a floating "
            "tensor (..., T), T >= 1. Stack the task losses."
        )
    losses = losses.detach().to(device="cpu", dtype=torch.float64)
    if bad_tasks := tasks_where(~losses.isfinite()):
        raise NonFiniteGradient(bad_tasks, "loss")
    return losses


def check_one_loss_per_row(losses: Tensor | None, G: Tensor) -> None:
    """Raise ValueError unless losses (..., T), if there are any, fit task gradients ``G`` (..., T, P)."""
    if losses is None:
        return
    check_tensor(losses, "losses", "torch.stack(losses)")
    if losses.shape != G.shape[:-1]:
        raise ValueError(
            f"Got losses of shape {tuple(losses.shape)} for task gradients of shape "
            f"{tuple(G.shape)}; expected one loss per gradient, shape {tuple(G.shape[:-1])}."
        )


def check_call(G: Tensor, losses: Tensor | None) -> None:
    """Check the input of a method that reads the rows ``G`` (..., T, P), or losses (..., T), or both.

    Raises:
        ValueError: the rows are not as :func:`check_rows` says, or the losses do not fit them.
        NonFiniteGradient: a row holds NaN or infinity.
    """
    check_rows(G)
    check_sum(G)
    check_one_loss_per_row(losses, G)


def check_gramian(M: Tensor) -> None:
    """Raise ValueError unless ``M`` is a symmetric floating tensor (..., T, T), finite, T >= 1."""
    check_tensor(M, "a Gramian", "G @ G.mT")
    square = M.ndim >= 2 and M.shape[-1] == M.shape[-2] > 0
    if not (square and M.is_floating_point()):
        fault = f"of shape {tuple(M.shape)} and dtype {M.dtype}"
    elif not bool(M.isfinite().all()):
        fault = "with NaN or infinity"
    elif not bool(_symmetric(M).all()):
        fault = "that is not symmetric"
    else:
        return
    raise ValueError(
        f"Got a Gramian {fault}; expected (..., T, T), T >= 1, symmetric, of finite floating numbers. Pass "
        "G @ G.mT, where G holds one task gradient per row."
    )


def _symmetric(M: Tensor) -> Tensor:
    """Mark where opposite cosines of ``M`` (..., T, T) agree up to the rounding of any dtype: (..., T, T)."""
    M = M.cpu().double()
    norms = M.diagonal(dim1=-2, dim2=-1).abs().sqrt()
    return (M - M.mT).abs() <= 0.01 * norms.unsqueeze(-1) * norms.unsqueeze(-2)


def tasks_where(mask: Tensor) -> list[int]:
    """Return the indices of the tasks that a mask (..., T) marks anywhere in the batch."""
    indices: list[int] = mask.reshape(-1, mask.shape[-1]).any(0).nonzero().flatten().tolist()
    return indices


def is_number(value: object) -> bool:
    """Return whether the value is a real number: an int, a float or a NumPy scalar."""
    return isinstance(value, Real)


def check_positive_number(value: float, name: str) -> float:
    """Return the value of the option of that name, or raise ValueError unless it is finite and > 0."""
    if not (is_number(value) and 0 < value < float("inf")):
        raise ValueError(f"Got {name}={value!r}; expected a finite number > 0.")
    return value


def check_nonnegative_number(value: float, name: str) -> float:
    """Return the value of the option of that name, or raise ValueError unless it is finite and >= 0."""
    if not (is_number(value) and 0 <= value < float("inf")):
        raise ValueError(f"Got {name}={value!r}; expected a finite number >= 0.")
    return value
