"""What every aggregator shares: the contract, the Gramian, and its scale-free form."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

from .products import inner_products, matmul


class NonFiniteGradient(ValueError):
    """A task gradient (or loss) holds NaN or infinity; ``tasks`` lists the indices of the tasks."""

    def __init__(self, tasks: list[int], what: str = "gradient"):
        self.tasks = tasks
        super().__init__(
            f"The {what} of task {', '.join(map(str, tasks))} holds NaN or infinity; expected finite "
            "numbers. Look at the batch and that task's loss (log of 0, overflow, too large a learning "
            'rate or rho), or let FlatMTL pass over such steps with on_nonfinite="skip".'
        )


class Aggregator(nn.Module):
    """T task gradients in, one direction out.

    All aggregators keep two laws of scale. *Unanimity*: if every task has the gradient g, the
    direction is g. *Homogeneity*: A(sG) = s A(G) for s > 0.

    Attributes:
        needs_tasks: the rows must be the tasks, since the method reads their losses or remembers them;
            the rules "second" and "each", which aggregate other rows too, refuse it.
    """

    needs_tasks = False

    def forward(self, G: Tensor, losses: Tensor | None = None) -> Tensor:
        """Aggregate ``G`` of shape (..., T, P) to a direction of shape (..., P).

        Args:
            G: task gradients, one per row; leading dimensions are a batch of independent problems.
            losses: task losses (..., T), used by weightings that read them.

        Raises:
            ValueError: ``G`` has fewer than two dimensions, no row or no column, or is not floating.
            NonFiniteGradient: a row holds NaN or infinity.
        """
        raise NotImplementedError

    def loss_weights(self, losses: Tensor) -> Tensor | None:
        """Weights (T,), float64 on the CPU, if they are known before any gradient is, else None."""
        return None

    def for_step(self, losses: Tensor | None) -> Callable[[Tensor, str | None], Tensor]:
        """The map (rows known to be finite, name of the part) -> direction of one training step.

        What comes from the losses is fixed here, so that it is the same for every part of the step.
        """
        return lambda rows, part=None: self(rows, losses=losses)

    def is_function(self, tasks: int) -> bool:
        """Whether, of that many rows, the direction depends on the rows alone: on no loss, memory or draw."""
        return False

    def learn(self) -> None:
        """Fill ``.grad`` of the aggregator's own parameters, if it has any, for the last losses seen."""

    @classmethod
    def check_rule(cls, rule: str) -> None:
        """Raise ValueError if the rule of that name aggregates rows that this method cannot take."""
        if cls.needs_tasks and rule in ("second", "each"):
            raise ValueError(
                f'Got {cls.__name__} with the rule "{rule}", which aggregates rows that are no tasks; '
                "expected an aggregator that neither reads losses nor remembers gradients. Take the rule "
                '"decomposed", "direct" or "erm".'
            )


class Drawing(Aggregator):
    """An aggregator that draws from a generator, whose state is part of ``state_dict``.

    Args:
        generator: by default an own one with seed 0, whatever ``torch.manual_seed`` says: runs with other
            seeds need other generators, the processes of one run equal ones.

    Raises:
        ValueError: ``generator`` is not a ``torch.Generator``.
    """

    def __init__(self, generator: torch.Generator | None = None):
        super().__init__()
        if not isinstance(generator, torch.Generator | None):
            raise ValueError(f"Got generator={generator!r}; expected torch.Generator().manual_seed(a seed).")
        self.generator = torch.Generator().manual_seed(0) if generator is None else generator

    def draw(self, kind: Callable[..., Tensor], *shape: int) -> Tensor:
        """``torch.rand`` or ``torch.randn`` of that shape, float64, from the generator, on the CPU."""
        options = dict(generator=self.generator, device=self.generator.device, dtype=torch.float64)
        return kind(*shape, **options).cpu()

    def get_extra_state(self) -> Tensor:
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        self.generator.set_state(state.cpu())


@contextmanager
def state_kept(aggregate: Aggregator, only_on_error: bool = False) -> Iterator[None]:
    """Put the aggregator's state (memory, generators) back on leaving the block, or only if it raises."""
    before, failed = copy.deepcopy(aggregate.state_dict()), True
    try:
        yield
        failed = False
    finally:
        if failed or not only_on_error:
            aggregate.load_state_dict(before)


class GramianAggregator(Aggregator):
    """An aggregator whose weights depend on the inner products of the task gradients alone.

    A method implements :meth:`solve`; everything of length P is one product ``G Gᵀ`` and one ``w G``.
    It is exact as far as the rounding of ``G Gᵀ`` (eps) allows: where the direction cancels to a fraction δ
    of its terms, its conditions hold to about eps/δ².
    """

    @torch.no_grad()
    def forward(self, G: Tensor, losses: Tensor | None = None) -> Tensor:
        check_rows(G)
        with torch.inference_mode():  # many small operations, each a tenth cheaper
            weights = self.weigh(gramian(G), relative_accuracy(G))
        return weighted_sum(weights, G)

    def is_function(self, tasks: int) -> bool:
        return not self.needs_tasks

    @torch.no_grad()
    def weights(self, M: Tensor, eps: float | None = None, part: str | None = None) -> Tensor:
        """Weights (..., T) for a Gramian ``M`` = G Gᵀ of shape (..., T, T), in float64 on the CPU.

        ``eps`` is the relative accuracy of ``M``, by default that of its dtype; rank tolerances follow it.
        ``part`` names whose gradients these are ("loss", "flat", "sam") to a method that remembers them.

        Raises:
            ValueError: ``M`` is no symmetric floating (..., T, T), or not finite.
        """
        check_gramian(M)
        return self.weigh(M.cpu(), torch.finfo(M.dtype).eps if eps is None else eps, part)

    def weigh(self, M: Tensor, eps: float, part: str | None = None) -> Tensor:
        """:meth:`weights` for a Gramian that is known to be finite, and on the CPU."""
        C, norms = scale_free(M.double())
        return per_norm(self.solve(C, norms, eps), norms)

    def solve(self, C: Tensor, norms: Tensor, eps: float) -> Tensor:
        """The coefficients u (..., T) of the direction Σ uᵢ ĝᵢ, where ĝᵢ are the unit gradients.

        Args:
            C: cosines (..., T, T); rows and columns that belong to a zero gradient are 0.
            norms: row norms (..., T), the largest being 1; what u says of a zero row is not read.
            eps: relative accuracy of ``C``.
        """
        raise NotImplementedError


class InRandomOrder(Drawing, GramianAggregator):
    """A Gramian method that goes through the other tasks in a random order, for each task its own."""

    def is_function(self, tasks: int) -> bool:
        return tasks <= 2 and super().is_function(tasks)

    def others(self, T: int) -> Tensor:
        """(T - 1, T, T): row i of matrix k is 1 at the task that comes k-th for task i, and 0 elsewhere.

        One (T, T) draw; none for two tasks, which have one order.
        """
        itself = identity(T)
        if T <= 2:
            return itself.flip(0).expand(T - 1, T, T)
        order = (self.draw(torch.rand, T, T) + itself).argsort(-1)
        return itself[order[:, :-1].mT]  # the last is the task itself


@cache
@torch.inference_mode(False)  # kept for callers in and out of it
def identity(T: int) -> Tensor:
    """The identity (T, T) in float64; not to be written to."""
    return torch.eye(T, dtype=torch.float64, device="cpu")


def per_norm(u: Tensor, norms: Tensor) -> Tensor:
    """u / norms (..., T), and 0 for zero rows."""
    return u * norms.reciprocal().nan_to_num(0.0, 0.0, 0.0)


def zero_where_cancelling(u: Tensor, C: Tensor) -> Tensor:
    """u (..., T); 0 where Σ uᵢ ĝᵢ cancels to below 1e-7 of its terms, where only rounding is left."""
    return u.masked_fill(length(C, u) <= 1e-7 * u.abs().sum(-1, keepdim=True), 0.0)


def safe_length(C: Tensor, u: Tensor, eps: float) -> Tensor:
    """‖Σ uᵢ ĝᵢ‖ (..., 1); infinite if below √(45 eps) of its terms: 1e-7 in float64, 2e-3 in float32.

    A direction that is then stretched to a length of its own would be mostly rounding of ``C``.
    """
    size = length(C, u)
    return size.masked_fill(size <= (45 * eps) ** 0.5 * u.abs().sum(-1, keepdim=True), torch.inf)


def mean_norm(norms: Tensor) -> Tensor:
    """The mean norm of the rows that are not 0: (..., T) -> (..., 1)."""
    return norms.sum(-1, keepdim=True) / norms.sign().sum(-1, keepdim=True).clamp_min(1.0)


def along(C: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Of g = Σ uᵢ ĝᵢ the length (..., 1), and ⟨ĝᵢ, g/‖g‖⟩ (..., T), 0 where g is."""
    row = u.unsqueeze(-2)
    inner = row @ C
    size = (inner @ row.mT).squeeze(-1).clamp_min(0.0).sqrt()
    return size, inner.squeeze(-2) / size.masked_fill(size == 0, torch.inf)


def length(C: Tensor, u: Tensor) -> Tensor:
    """‖Σ uᵢ ĝᵢ‖ of unit rows ĝ with cosines ``C`` (..., T, T): (..., T) -> (..., 1)."""
    row = u.unsqueeze(-2)
    return (row @ C @ row.mT).squeeze(-1).clamp_min(0.0).sqrt()


def check_finite(*blocks: Tensor) -> Tensor:
    """The largest absolute entry of each row of the blocks (..., T_k, P): (..., T) on the CPU, one copy.

    Raises:
        NonFiniteGradient: a row holds NaN or infinity; names its index in its block.
    """
    largest = torch.cat([b.abs().amax(-1) for b in blocks], -1).cpu()
    bad = set()
    for part in largest.isfinite().split([b.shape[-2] for b in blocks], -1):
        finite = part.reshape(-1, part.shape[-1]).all(0)
        bad.update(i for i, is_finite in enumerate(finite.tolist()) if not is_finite)
    if bad:
        raise NonFiniteGradient(sorted(bad))
    return largest


def check_sum(G: Tensor) -> None:
    """Raise NonFiniteGradient as :func:`check_finite` does, in one pass over ``G`` if all is well."""
    # what is not finite shows in the sum; so does overflow, which is no fault
    if not bool(G.sum().isfinite()):
        check_finite(G)


def check_rows(G: Tensor) -> None:
    """Raise ValueError unless ``G`` is a floating tensor (..., T, P) with T, P >= 1."""
    check_tensor(G, "task gradients", "G = torch.stack(gradients)")
    if G.ndim < 2 or 0 in G.shape[-2:] or not G.is_floating_point():
        raise ValueError(
            f"Got task gradients of shape {tuple(G.shape)} and dtype {G.dtype}; expected a floating "
            "tensor (..., T, P), one task per row, T >= 1 and P >= 1. Stack the flattened gradients."
        )


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
        "G @ G.mT, G holding one task gradient per row."
    )


def _symmetric(M: Tensor) -> Tensor:
    """Where opposite cosines of ``M`` (..., T, T) are equal, up to the rounding of any dtype: (..., T, T)."""
    M = M.cpu().double()
    norms = M.diagonal(dim1=-2, dim2=-1).abs().sqrt()
    return (M - M.mT).abs() <= 0.01 * norms.unsqueeze(-1) * norms.unsqueeze(-2)


def check_aggregator(
    aggregate: Aggregator, rule: str, optimizer: torch.optim.Optimizer | None = None
) -> Aggregator:
    """``aggregate``, an aggregator that can take the rows of that rule.

    Raises:
        ValueError: it is not, or it learns and a given ``optimizer`` does not have its parameters.
    """
    if not isinstance(aggregate, Aggregator):
        raise ValueError(f"Got aggregate={aggregate!r}; expected an aggregator, such as CAGrad(c=0.4).")
    aggregate.check_rule(rule)
    if optimizer is not None:
        trained = {p for group in optimizer.param_groups for p in group["params"]}
        if any(p.requires_grad and p not in trained for p in aggregate.parameters()):
            raise ValueError(
                f"Got {type(aggregate).__name__}, which learns, and an optimizer without its parameters; "
                "expected them there. Add aggregate.parameters() to those that the optimizer is made with, "
                "or call step.backward(...) and step an optimizer of their own."
            )
    return aggregate


def check_tensor(value: object, what: str, example: str) -> None:
    """Raise ValueError unless ``value`` is a tensor."""
    if not isinstance(value, Tensor):
        raise ValueError(f"Got {type(value).__name__} as {what}; expected a tensor, such as {example}.")


def relative_accuracy(G: Tensor) -> float:
    """Relative accuracy of inner products of rows of ``G``, which are taken in float32 or better."""
    return torch.finfo(torch.promote_types(G.dtype, torch.float32)).eps


def weighted_sum(weights: Tensor, G: Tensor) -> Tensor:
    """w G: weights (..., T) in float64 and rows (..., T, P) -> (..., P) in the dtype of ``G``.

    A weight may lie outside the range of that dtype though the sum lies within; then the rows are
    rescaled first.
    """
    if G.dtype != weights.dtype:
        info = torch.finfo(G.dtype)
        if not torch.hardshrink(weights, info.tiny).clamp(-info.max, info.max).equal(weights):
            scale = G.abs().amax(-1, keepdim=True)
            G = G / torch.where(scale > 0, scale, 1.0)
            weights = weights * scale.squeeze(-1).to(weights)
    return matmul(weights.to(G).unsqueeze(-2), G).squeeze(-2)


def gramian(*blocks: Tensor, to_cpu: Callable[[Tensor], Tensor] = Tensor.cpu) -> Tensor:
    """Inner products of all rows of the blocks, on the CPU (one copy from the device).

    Args:
        blocks: tensors (..., T_k, P); together they are the rows of one matrix.
        to_cpu: copies the inner products to the CPU; a caller may send other numbers in the same copy.

    Returns:
        (..., T, T) with T the sum of the T_k, in the dtype of the blocks (at least float32); in float64
        if a square would overflow or underflow there, the rows having been rescaled first. A row without
        an entry of 1e-153 or so, whose square float64 cannot hold, counts as 0.

    Raises:
        NonFiniteGradient: a row holds NaN or infinity.
        ValueError: a square does not fit float64 either: an entry above 1e150 or so.

    Example:
        >>> gramian(torch.tensor([[4.0, 0.0], [0.0, 2.0**70]])).diagonal().log2().tolist()
        [4.0, 140.0]
    """
    blocks = tuple(b if b.dtype.itemsize >= 4 else b.float() for b in blocks)
    M = to_cpu(inner_products(*blocks))
    squares = M.diagonal(dim1=-2, dim2=-1)
    info = torch.finfo(M.dtype)
    smallest = blocks[0].shape[-1] * info.tiny / info.eps
    in_range = squares.clamp(smallest, info.max)
    if in_range.equal(squares):
        return M
    largest = check_finite(*blocks)
    if torch.where(largest > 0, in_range, 0.0).equal(squares):  # out of range are rows of zeros alone
        return M
    largest = largest.double().unsqueeze(-1)
    scales = torch.where(largest > 0, largest, 1.0).split([b.shape[-2] for b in blocks], -2)
    rescaled = tuple(b / scale.to(b) for b, scale in zip(blocks, scales, strict=True))
    held = largest.masked_fill(largest.square() < torch.finfo(torch.float64).tiny, 0.0)
    M = inner_products(*rescaled).cpu().double() * (held * held.mT)
    if not bool(M.isfinite().all()):
        raise ValueError(
            f"Got task gradients with entries up to {largest.max().item():.0e}; expected ones whose squares "
            "are within float64, below 1e150. Scale the losses down."
        )
    return M


def scale_free(M: Tensor) -> tuple[Tensor, Tensor]:
    """Split a Gramian into cosines (..., T, T) and row norms (..., T) relative to the largest.

    Cosines are clamped to [-1, 1]; those with a zero row are 0.
    """
    squares = M.diagonal(dim1=-2, dim2=-1).clamp_min(0.0)  # a row that is 0 may have less by rounding
    inverse = squares.rsqrt().nan_to_num(0.0, 0.0, 0.0)
    C = (M * inverse.unsqueeze(-1) * inverse.unsqueeze(-2)).clamp(-1.0, 1.0)
    norms = squares * inverse
    return C, norms / norms.amax(-1, keepdim=True).clamp_min(torch.finfo(M.dtype).tiny)
