"""Products of long rows that keep the digits of their dtype."""

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor

PIECE = 5_000  # a float32 sum of that many terms of one sign is off by 4e-7, a sum of a million by 2e-5


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
def inner_products(G: Tensor) -> Tensor:
    """Return G Gᵀ (..., T, T) for rows G (..., T, P). Long rows are multiplied in pieces."""
    T, P = G.shape[-2:]
    if P < 2 * PIECE or G.numel() == 0:
        return G @ G.mT
    if G.ndim > 2:  # pieces of a batch would be copied
        return torch.stack([inner_products(matrix) for matrix in G])
    K = P // PIECE
    length, (row, column) = P // K, G.stride()
    pieces, rest = G.as_strided((K, T, length), (length * column, row, column)), G[:, K * length :]
    M = (pieces @ pieces.mT).sum(0)
    return M + rest @ rest.mT if rest.shape[1] else M
