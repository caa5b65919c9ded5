"""The active-set method that the exact solvers share: it finds the gradients that carry weight."""

from collections.abc import Callable
from functools import cache
from itertools import count

import torch
from torch import Tensor

from .unit_rows import identity

FEW = 3  # up to that many rows, all faces are tried at once
GUESSES = 8
ENTERS = -1e-11  # a slope above this is rounding, and its row stays out

Toward = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def active_set(face: Tensor, u: Tensor, toward: Toward) -> Tensor:
    """Minimise a convex f over u >= 0 and any equality that ``toward`` keeps, by its minima over faces.

    A face is the set of rows that may be above 0. The first ``GUESSES`` rounds guess: at the minimum over
    the face, all rows that are negative leave it and all rows that would descend enter it. Two or three
    rounds usually meet the optimality conditions. The remaining problems walk: f falls in every round of
    the walk, so the walk arrives. Rounding may make it go in circles. Its slopes are then no larger than
    their rounding, and it ends there. So every problem ends at a minimum, up to rounding.

    Args:
        face: the rows that may be above 0 at first (n, T), bool.
        u: a feasible start (n, T), 0 outside the face.
        toward: (face, u) -> three tensors. With a minimum over the face: the step (n, T) from u to it, True
            (n, 1), and the slopes of f there (n, T), scale-free. Without: a ray along which f falls for
            ever, False, and anything.

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


def _walk(face: Tensor, u: Tensor, toward: Toward, done: Tensor) -> Tensor:
    """Step to the minimum over the face, or to the first side in the way, whose row then leaves the face.

    At a minimum, the row of the steepest descent enters the face. A walk takes at most about 3 T rounds. A
    longer one goes in circles: there, the slope that counts as rounding grows tenfold every T rounds, until
    no row enters any more.
    """
    newest = torch.full_like(done, -1, dtype=torch.long)
    T, flattest = u.shape[-1], ENTERS
    for k in count():
        step, bounded, slopes = toward(face, u)
        reach = torch.where(face & (step < 0), u / -step, torch.inf)
        limit, side = reach.min(-1, keepdim=True)
        blocked = limit.isfinite() & ((limit < 1) | ~bounded) & ~done
        fraction = torch.where(blocked, limit, bounded.to(u.dtype)).masked_fill(done, 0.0)
        u = (u + fraction * step).clamp_min(0.0)

        # rounding let in a row that leaves as soon as it has entered
        done = done | (blocked & (side == newest) & (limit == 0))
        on_side = torch.zeros_like(face).scatter_(-1, side, blocked)
        face, u = face & ~on_side, u.masked_fill(on_side, 0.0)

        steepest, entrant = slopes.masked_fill(face, torch.inf).min(-1, keepdim=True)
        if k >= 3 * T and k % T == 0:
            flattest *= 10
        enters = (steepest < flattest) & ~blocked & ~done
        done = done | (~enters & ~blocked)
        face = face | torch.zeros_like(face).scatter_(-1, entrant, enters)
        newest = torch.where(enters, entrant, torch.where(blocked, -1, newest))
        if bool(done.all()):
            break
    return u


def on_face(C: Tensor, face: Tensor) -> Tensor:
    """Return ``C`` (n, T, T) with the identity's rows and columns outside of the face (n, T)."""
    return torch.where(face.unsqueeze(-1) & face.unsqueeze(-2), C, identity(C.shape[-1]))


@cache
@torch.inference_mode(False)  # the cached tensors serve callers inside and outside of inference mode
def all_faces(T: int) -> tuple[Tensor, Tensor]:
    """Return all 2^T faces as rows of 0 and 1 (2^T, T), and the identity outside of each (2^T, T, T)."""
    faces = (torch.arange(2**T, device="cpu").unsqueeze(-1) >> torch.arange(T, device="cpu") & 1).double()
    return faces, torch.diag_embed(1 - faces)


def on_all_faces(C: Tensor) -> tuple[Tensor, Tensor]:
    """Return :func:`on_face` of C (..., T, T) for every face (..., 2^T, T, T), and the faces (2^T, T)."""
    faces, outside = all_faces(C.shape[-1])
    rows = faces.unsqueeze(-1)
    return torch.addcmul(outside, rows * rows.mT, C.unsqueeze(-3)), faces


def best_face(u: Tensor, slopes: Tensor) -> Tensor:
    """Return the one minimum (..., T) among the minima over faces (..., 2^T, T) that is best over u >= 0.

    The best one has the largest worst value among its entries and slopes: at the true minimum, none is
    below 0. A face without a minimum holds NaN.
    """
    worst = torch.minimum(u, slopes).amin(-1, keepdim=True).nan_to_num(-torch.inf)
    best = worst.argmax(-2, keepdim=True)
    return u.gather(-2, best.expand(*best.shape[:-1], u.shape[-1])).squeeze(-2).clamp_min(0.0)
