"""Products of long rows that keep the digits of their dtype and compute each inner product once."""

from collections.abc import Callable
from functools import cache, wraps

import torch
from torch import Tensor

PIECE = 5_000  # a float32 sum of that many terms of one sign is off by 4e-7, a sum of a million by 2e-5
FEW = 6  # up to that many rows, each row is a strip


def without_autocast(product: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Keep a product of tensors on one device from autocast, which rounds float32 to bfloat16."""

    @wraps(product)
    def run(*tensors: Tensor) -> Tensor:
        device = tensors[0].device.type
        # asking is quicker than entering a block
        if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
            return product(*tensors)
        with torch.autocast(device, enabled=False):
            return product(*tensors)

    return run


matmul = without_autocast(torch.matmul)


@without_autocast
def inner_products(*blocks: Tensor) -> Tensor:
    """Return the inner products (..., T, T) of all rows of the blocks (..., T_k, P), T = Σ T_k."""
    rows: list[list[Tensor]] = []
    for i, a in enumerate(blocks):
        mirrored = [rows[j][i].mT for j in range(i)]
        rows.append([*mirrored, _within(a), *(_between(a, b) for b in blocks[i + 1 :])])
    return torch.cat([torch.cat(row, -1) for row in rows], -2) if len(blocks) > 1 else rows[0][0]


def _within(a: Tensor) -> Tensor:
    """Return A Aᵀ. Long rows are multiplied in strips, each from the diagonal to the right."""
    T, P = a.shape[-2:]
    if P < 2 * PIECE or len(a) == 0:
        return a @ a.mT
    if a.ndim > 2:  # pieces of a batch would be copied
        return torch.stack([_within(matrix) for matrix in a])
    pieces, rest = _in_pieces(a)
    height = 1 if T <= FEW else 4 * -(-T // 12)  # multiples of four are quickest; at most three strips
    columns = pieces.mT
    strips = [rows @ columns[..., i * height :] for i, rows in enumerate(torch.split(pieces, height, 1))]
    M = torch.cat([strip.flatten(1) for strip in strips], 1).sum(0).take(_mirror(T, height, a.device))
    return M + rest @ rest.mT if rest.shape[1] else M


@cache
@torch.inference_mode(False)  # the cached tensor serves callers inside and outside of inference mode
def _mirror(T: int, height: int, device: torch.device) -> Tensor:
    """Return the place (T, T) of each inner product in the row that holds all strips."""
    places, start = torch.empty(T, T, dtype=torch.long, device="cpu"), 0
    for i in range(0, T, height):
        strip = places[i : i + height, i:]
        strip.copy_(torch.arange(start, start + strip.numel(), device="cpu").view_as(strip))
        places[i:, i : i + height] = strip.mT.clone()
        start += strip.numel()
    return places.to(device)


def _between(a: Tensor, b: Tensor) -> Tensor:
    """Return A Bᵀ."""
    if a.shape[-1] < 2 * PIECE or len(a) == 0:
        return a @ b.mT
    if a.ndim > 2:
        return torch.stack([_between(*pair) for pair in zip(a, b, strict=True)])
    (a, rest_a), (b, rest_b) = _in_pieces(a), _in_pieces(b)
    return (a @ b.mT).sum(0) + rest_a @ rest_b.mT


def _in_pieces(a: Tensor) -> tuple[Tensor, Tensor]:
    """Return views of a (T, P): its columns in K equal pieces (K, T, P // K), and the rest (T, P % K)."""
    K = a.shape[-1] // PIECE
    length, (row, column) = a.shape[-1] // K, a.stride()
    return a.as_strided((K, len(a), length), (length * column, row, column)), a[:, K * length :]
