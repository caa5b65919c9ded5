"""Hold each task's SAM gradient as a loss part and a flat part, and combine them by a rule."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .aggregation import gramian, relative_accuracy, weighted_sum
from .aggregation.base import Aggregator, Direction, GramianAggregator, check_aggregator, in_rule
from .aggregation.checks import check_tasks_finite
from .aggregation.priority import Priority
from .aggregation.unit_rows import identity


class Decomposition:
    """Each task's SAM gradient, split: sam = loss + flat.

    Args:
        loss: g(θ), shape (..., T, P).
        flat: g(θ+ε) - g(θ), shape (..., T, P); None: no perturbation, so zeros.
        head_grads: per task a list of tensors, the head's SAM gradients.
        head_loss_grads: per task a list of tensors, the head's gradients at θ.
        losses: task losses at θ, (T,).
        perturbed_losses: task losses at θ+ε, (T,), or None.
        tasks: numbers of the T tasks, if some are absent; by default 0 to T - 1.

    Attributes: the arguments; ``flat`` is always a tensor.

    Raises:
        ValueError: loss and flat part have different shapes.

    Example:
        >>> Decomposition(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 0.0]])).sam
        tensor([[1.5000, 2.0000]])
    """

    def __init__(
        self,
        loss: Tensor,
        flat: Tensor | None = None,
        head_grads: Sequence[list[Tensor]] = (),
        head_loss_grads: Sequence[list[Tensor]] = (),
        losses: Tensor | None = None,
        perturbed_losses: Tensor | None = None,
        tasks: Sequence[int] | None = None,
    ) -> None:
        if flat is not None and flat.shape != loss.shape:
            raise ValueError(
                f"Got a flat part of shape {tuple(flat.shape)} for a loss part of shape "
                f"{tuple(loss.shape)}; expected equal shapes (..., T, P)."
            )
        self.loss = loss
        self.flat = loss.new_zeros(()).expand(loss.shape) if flat is None else flat
        self.has_flat = flat is not None
        self.head_grads, self.head_loss_grads = list(head_grads), list(head_loss_grads)
        self.losses, self.perturbed_losses = losses, perturbed_losses
        self.tasks = tuple(range(loss.shape[-2]) if tasks is None else tasks)
        self.known_gramian: Tensor | None = None
        self.losses_on_cpu: Tensor | None = None

    @property
    def sam(self) -> Tensor:
        """g(θ+ε), shape (..., T, P)."""
        return self.loss + self.flat

    @property
    def rows(self) -> Tensor:
        """[loss; flat], (..., 2T, P), or the loss part alone if no flat part was given.

        After :func:`decompose` the two parts lie next to each other in memory, and this is a view.
        """
        if not self.has_flat:
            return self.loss
        T, P = self.loss.shape[-2:]
        parts = self.loss, self.flat
        storages = {part.untyped_storage().data_ptr() for part in parts}
        offset = self.flat.storage_offset() - self.loss.storage_offset()
        adjacent = len(storages) == 1 and offset == T * P
        if self.loss.ndim == 2 and adjacent and all(part.is_contiguous() for part in parts):
            return self.loss.as_strided((2 * T, P), (P, 1))
        return torch.cat(parts, -2)

    @property
    def gramian(self) -> Tensor:
        """Inner products of the 2T rows [loss; flat], (..., 2T, 2T), on the CPU.

        This one product yields all norms, angles and weights. It is computed at the first use.

        Raises:
            NonFiniteGradient: a row holds NaN or infinity.
        """
        if self.known_gramian is None:
            self.known_gramian = self.products(Tensor.cpu)
        return self.known_gramian

    def check_finite(self) -> None:
        """Raise NonFiniteGradient, which names the tasks, unless both parts are finite."""
        if self.known_gramian is None:  # only finite rows have a Gramian
            finite = (self.loss.isfinite() & self.flat.isfinite()).all(-1)
            check_tasks_finite(finite.reshape(-1, finite.shape[-1]).all(0))

    def products(self, to_cpu: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the Gramian. ``to_cpu`` copies it to the CPU, perhaps with other numbers."""
        T, parts = self.loss.shape[-2], 2 if self.has_flat else 1
        M = gramian(self.rows, parts, to_cpu)
        return M if self.has_flat else torch.nn.functional.pad(M, (0, T, 0, T))


def _both(A: Direction, loss: Tensor, flat: Tensor) -> Tensor:
    return torch.stack([A(loss, "loss"), A(flat, "flat")], -2)


RULES: dict[str, Callable[[Direction, Tensor, Tensor], Tensor]] = {
    "erm": lambda A, loss, flat: A(loss, "loss"),
    "direct": lambda A, loss, flat: A(loss + flat, "sam"),
    "decomposed": lambda A, loss, flat: A(loss, "loss") + A(flat, "flat"),
    "second": lambda A, loss, flat: 2 * A(_both(A, loss, flat)),
    "each": lambda A, loss, flat: 2 * A(A(torch.stack([loss, flat], -2))),
    "loss_first": lambda A, loss, flat: A(_both(A, loss, flat), by=Priority()),
    "flat_first": lambda A, loss, flat: A(_both(A, loss, flat).flip(-2), by=Priority()),
}


def erm(d: Decomposition, aggregate: Aggregator) -> Tensor:
    """A(loss): gradient-based multi-task learning without SAM. (..., P)"""
    return combine(d, aggregate, "erm")


def direct(d: Decomposition, aggregate: Aggregator) -> Tensor:
    """A(loss + flat): the SAM gradients, aggregated whole. (..., P)"""
    return combine(d, aggregate, "direct")


def decomposed(d: Decomposition, aggregate: Aggregator) -> Tensor:
    """A(loss) + A(flat): the F-method (arXiv 2211.13723, Alg. 1). (..., P)"""
    return combine(d, aggregate, "decomposed")


def second(d: Decomposition, aggregate: Aggregator) -> Tensor:
    """2 A([A(loss), A(flat)]): "second aggregation" of arXiv 2211.13723, Table 6. (..., P)"""
    return combine(d, aggregate, "second")


def each(d: Decomposition, aggregate: Aggregator) -> Tensor:
    """2 A over i of A([lossᵢ, flatᵢ]): "each aggregation" of arXiv 2211.13723, Table 6. (..., P)"""
    return combine(d, aggregate, "each")


def loss_first(d: Decomposition, aggregate: Aggregator) -> Tensor:
    """A(loss), and A(flat) as far as it does not oppose A(loss): see :class:`Priority`. (..., P)"""
    return combine(d, aggregate, "loss_first")


def flat_first(d: Decomposition, aggregate: Aggregator) -> Tensor:
    """A(flat), and A(loss) as far as it does not oppose A(flat): see :class:`Priority`. (..., P)"""
    return combine(d, aggregate, "flat_first")


def check_rule(rule: str) -> None:
    """Raise ValueError unless ``rule`` is a key of ``RULES``."""
    if rule not in RULES:
        raise ValueError(f"Got combine={rule!r}; expected one of {', '.join(RULES)}.")


def combine(d: Decomposition, aggregate: Aggregator, rule: str) -> Tensor:
    """Return the direction (..., P) by the rule of that name in ``RULES``.

    Raises:
        ValueError: the rule is unknown; ``aggregate`` is not an aggregator, reads losses and there are none,
            or cannot take the rule's rows.
        NonFiniteGradient: a row holds NaN or infinity.

    Example:
        >>> from flatmtl_lite import Mean
        >>> d = Decomposition(torch.tensor([[1.0, 2.0], [3.0, 0.0]]))
        >>> combine(d, Mean(), "erm")
        tensor([2., 1.])
    """
    check_rule(rule)
    check_aggregator(aggregate, rule)
    losses = d.losses if d.losses_on_cpu is None else d.losses_on_cpu
    if not isinstance(aggregate, GramianAggregator):
        d.check_finite()
        return RULES[rule](in_rule(aggregate.for_step(losses)), d.loss, d.flat)
    with aggregate.reading(losses):
        weights = coefficients(d.gramian, aggregate, rule, relative_accuracy(d.loss))
    rows = d.rows
    return weighted_sum(weights[..., : rows.shape[-2]], rows)


def coefficients(M: Tensor, aggregate: GramianAggregator, rule: str, eps: float | None = None) -> Tensor:
    """Return a rule's direction as coefficients of the 2T rows [loss; flat], (..., 2T), float64, on the CPU.

    Every vector of the rule is a combination of those rows. So the rule runs on coefficient vectors, and
    ``M`` gives their inner products. No vector has length P.

    Args:
        M: [loss; flat][loss; flat]ᵀ (..., 2T, 2T), finite.
        aggregate: the aggregator.
        rule: key of ``RULES``.
        eps: relative accuracy of ``M``, by default what its dtype allows. In float32, a sum of rows that
            cancels to less than about 1e-3 of its terms has weights that are mostly rounding.

    Example:
        >>> from flatmtl_lite import Mean
        >>> coefficients(torch.eye(4), Mean(), "decomposed")
        tensor([0.5000, 0.5000, 0.5000, 0.5000], dtype=torch.float64)
    """
    eps = torch.finfo(M.dtype).eps if eps is None else eps
    batch, n, M = M.shape[:-2], M.shape[-1], M.double()
    blocks = {"loss": M[..., : n // 2, : n // 2], "flat": M[..., n // 2 :, n // 2 :]}

    def A(rows: Tensor, part: str | None = None, by: GramianAggregator | None = None) -> Tensor:
        if part in blocks:
            inner = blocks[part]
        else:
            inner = rows @ M.reshape(*batch, *[1] * (rows.ndim - M.ndim), n, n) @ rows.mT
        return ((by or aggregate).weigh(inner, eps, part).unsqueeze(-2) @ rows).squeeze(-2)

    with torch.inference_mode(aggregate.is_function(n // 2)):  # makes small operations a tenth cheaper
        if rule == "decomposed" and aggregate.is_function(n // 2):  # two problems of one size are one batch
            both = aggregate.weigh(torch.stack(list(blocks.values()), -3), eps).flatten(-2)
        else:
            both = RULES[rule](A, *identity(n).expand(*batch, n, n).chunk(2, -2))
    return both.clone()  # a tensor that also works outside of inference mode
