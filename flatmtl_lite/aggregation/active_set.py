"""The active-set method that the exact solvers share: it finds which gradients carry weight."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from .base import identity

FEW = 3  # up to here all faces are tried at once
GUESSES = 8
ENTERS = -1e-11  # a slope above this is rounding: its row stays out


def active_set(
    face: Tensor,
    u: Tensor,
    toward: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]],
) -> Tensor:
    """Minimise a convex f over u >= 0, and whatever ``toward`` keeps to, given its minima over faces.

    First it guesses: rows that are negative at the minimum over the face leave it, rows that would
    descend enter, all at once. Mostly two or three rounds find the optimality conditions; what is
    left after ``GUESSES`` walks, where f falls in every round, and so gets there surely.

    Args:
        face: the rows that are free to be above 0 at first (n, T), bool.
        u: a feasible start (n, T), 0 outside the face.
        toward: (face, u) -> the step (n, T) from u to the minimum over the face, True (n, 1), and the
            slopes of f there (n, T), scale-free; or a ray along which f falls for ever, False, and
            anything.

    Returns:
        The minimum, u (n, T).
    """
    guess, best, done = face, u, torch.zeros_like(face[:, :1])
    for _ in range(GUESSES):
        step, bounded, slopes = toward(guess, u)
        point = u + step
        wrong = torch.where(guess, torch.where(bounded, point, step) < 0, bounded & (slopes < ENTERS))
        best = torch.where(done, best, point)
        done = done | (bounded & ~wrong.any(-1, keepdim=True))
        if bool(done.all()):
            return best
        guess = guess ^ wrong
    return torch.where(done, best, _walk(face, u, toward, done))


def _walk(face: Tensor, u: Tensor, toward: Callable, done: Tensor) -> Tensor:
    """Go to the minimum over the face or to the first side on the way, which then leaves the face; at
    a minimum the row of the steepest descent enters.
    """
    newest = torch.full_like(done, -1, dtype=torch.long)
    for _ in range(10 + 8 * u.shape[-1]):
        step, bounded, slopes = toward(face, u)
        reach = torch.where(face & (step < 0), u / -step, torch.inf)
        limit, side = reach.min(-1, keepdim=True)
        blocked = limit.isfinite() & ((limit < 1) | ~bounded) & ~done
        fraction = torch.where(blocked, limit, bounded.to(u.dtype)).masked_fill(done, 0.0)
        u = (u + fraction * step).clamp_min(0.0)

        # a row that entered and leaves at once was let in by rounding
        done = done | (blocked & (side == newest) & (limit == 0))
        on_side = torch.zeros_like(face).scatter_(-1, side, blocked)
        face, u = face & ~on_side, u.masked_fill(on_side, 0.0)

        steepest, entering = slopes.masked_fill(face, torch.inf).min(-1, keepdim=True)
        enters = (steepest < ENTERS) & ~blocked & ~done
        done = done | (~enters & ~blocked)
        face = face | torch.zeros_like(face).scatter_(-1, entering, enters)
        newest = torch.where(enters, entering, torch.where(blocked, -1, newest))
        if bool(done.all()):
            break
    return u


def on_face(C: Tensor, face: Tensor) -> Tensor:
    """``C`` (n, T, T) with the rows and columns outside the face (n, T) replaced by the identity's."""
    return torch.where(face.unsqueeze(-1) & face.unsqueeze(-2), C, identity(C.shape[-1]))


@cache
@torch.inference_mode(False)  # kept for callers in and out of it
def all_faces(T: int) -> tuple[Tensor, Tensor]:
    """All 2^T faces, as rows of 0 and 1 (2^T, T), and for each the identity outside it (2^T, T, T)."""
    faces = (torch.arange(2**T, device="cpu").unsqueeze(-1) >> torch.arange(T, device="cpu") & 1).double()
    return faces, torch.diag_embed(1 - faces)


def on_all_faces(C: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`on_face` for every face: C (..., T, T) -> (..., 2^T, T, T), and the faces (2^T, T), 0 and 1."""
    faces, outside = all_faces(C.shape[-1])
    rows = faces.unsqueeze(-1)
    return torch.addcmul(outside, rows * rows.mT, C.unsqueeze(-3)), faces


def best_face(u: Tensor, slopes: Tensor) -> Tensor:
    """Of the minima over the faces (..., 2^T, T) the one, (..., T), that is best at the conditions of the
    minimum over u >= 0: neither an entry nor a slope is below 0. A face without a minimum holds NaN.
    """
    worst = torch.minimum(u, slopes).amin(-1, keepdim=True).nan_to_num(-torch.inf)
    best = worst.argmax(-2, keepdim=True)
    return u.gather(-2, best.expand(*best.shape[:-1], u.shape[-1])).squeeze(-2).clamp_min(0.0)
