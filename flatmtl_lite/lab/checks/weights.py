"""Exercise of notebook 05: the weights that direct and decomposed give to the loss parts and flat parts."""

import torch
from torch import Tensor

from ...aggregation import MGDA, CAGrad, GramianAggregator, Mean, UPGrad
from ...decomposition import coefficients
from .exercise import Exercise
from .vectors import vector


def _gramian(*rows: Tensor) -> Tensor:
    R = torch.stack(rows)
    return R @ R.T


# the loss parts cancel, the flat parts cancel, but their sums do not
TRADE = _gramian(vector(2, 0), vector(-1, 0), vector(0, 1), vector(0, -3))
PLANE = _gramian(vector(3, 1), vector(-1, 2), vector(0.5, -0.4), vector(-0.3, 1))
THREE_TASKS = _gramian(
    *(vector(1, 0, 2), vector(-1, 1, 0.3), vector(0.2, -2, 1)),
    *(vector(0.3, 1, -0.5), vector(0.4, 0.1, 0.9), vector(-1, 0.7, 0.2)),
)


def _blocks(M: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the Gramians of the loss parts, of the sums, and of the flat parts."""
    T = len(M) // 2
    loss, flat = M[:T, :T], M[T:, T:]
    return loss, loss + M[:T, T:] + M[T:, :T] + flat, flat


def _both(A: GramianAggregator, sums: Tensor, loss: Tensor, flat: Tensor) -> Tensor:
    """Return the weights of direct and of decomposed, (2, 2T), from the Gramians that a learner took."""
    direct = A.weights(sums)
    return torch.stack([torch.cat([direct, direct]), torch.cat([A.weights(loss), A.weights(flat)])])


def _without_cross_terms(M: Tensor, A: GramianAggregator) -> Tensor:
    loss, _, flat = _blocks(M)
    return _both(A, loss + flat, loss, flat)


def _one_cross_term(M: Tensor, A: GramianAggregator) -> Tensor:
    loss, _, flat = _blocks(M)
    T = len(loss)
    return _both(A, loss + 2 * M[:T, T:] + flat, loss, flat)


def _interleaved(M: Tensor, A: GramianAggregator) -> Tensor:
    k = torch.arange(len(M)).view(-1, 2).T.reshape(-1)
    loss, sums, flat = _blocks(M[k][:, k])
    return _both(A, sums, loss, flat)


def _from_the_loss(M: Tensor, A: GramianAggregator) -> Tensor:
    loss, _, flat = _blocks(M)
    return _both(A, loss, loss, flat)


def _one_weighting(M: Tensor, A: GramianAggregator) -> Tensor:
    loss, sums, _ = _blocks(M)
    return _both(A, sums, loss, loss)


def _right(M: Tensor, A: GramianAggregator) -> Tensor:
    return torch.stack([coefficients(M, A, rule) for rule in ("direct", "decomposed")])


rule_weights = Exercise(
    arguments=("M", "A"),
    cases=[(TRADE, MGDA()), (PLANE, MGDA()), (THREE_TASKS, UPGrad()), (PLANE, CAGrad(0.4)), (PLANE, Mean())],
    right=_right,
    mistakes={
        "the inner product of two sums has four terms: ⟨l₁ + f₁, l₂ + f₂⟩ also holds ⟨l₁, f₂⟩ and ⟨f₁, l₂⟩. "
        "You leave these two out.": _without_cross_terms,
        "the two cross terms differ. Add the block M[:T, T:] and its transpose, not one block twice.": (
            _one_cross_term
        ),
        "direct takes its weights from the sums loss + flat, not from the loss parts.": _from_the_loss,
        "decomposed asks A twice. The flat parts get weights of their own, from the flat block of M.": (
            _one_weighting
        ),
        "the first row of your answer is decomposed and the second is direct. Swap them.": (
            lambda M, A: _right(M, A).flip(0)
        ),
        "you give all 2T rows to A in one call. Decomposed makes two calls, each with T rows.": (
            lambda M, A: torch.stack([_right(M, A)[0], A.weights(M)])
        ),
        "M holds all loss parts first and then all flat parts. You read it as loss 1, flat 1, loss 2, "
        "flat 2.": _interleaved,
        "your weights are half as large. Both rules add the loss part and the flat part: they do not "
        "average them.": (lambda M, A: _right(M, A) / 2),
    },
    praise=(
        "direct gives the two parts of a task one weight. Decomposed gives each part its own. This is the "
        "whole difference."
    ),
)
