"""Two operations of scene networks whose CUDA kernels do not repeat to the bit, replaced by ones that do.

The replacements run where ``torch.use_deterministic_algorithms`` is on, see
:func:`~flatmtl_lite.runs.engine.backend.numerics`. The kit needs no others on torch 2.13. The gradient of
``max_pool2d`` adds in a fixed order, and torch itself replaces bilinear upsampling then.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, max_unpool2d, pad


def summed_cross_entropy(logits: Tensor, label: Tensor, ignored: int = -1) -> Tensor:
    """Return the sum of the cross-entropy over pixels.

    Args:
        logits: (N, C, H, W).
        label: (N, H, W) int64; pixels of the class ``ignored`` do not count.

    Raises:
        IndexError: a label is neither a class nor ``ignored``. A GPU checks nothing.
    """
    if not torch.are_deterministic_algorithms_enabled():
        return cross_entropy(logits, label, ignore_index=ignored, reduction="sum")
    # without reduction, each pixel has its own place in the result and in the gradient
    return cross_entropy(logits, label, ignore_index=ignored, reduction="none").sum()


def unpooled(x: Tensor, places: Tensor, size: tuple[int, int]) -> Tensor:
    """Undo a max-pooling of 2x2 windows: put each value back to its place, and 0 elsewhere.

    Args:
        x: (N, C, H/2, W/2), rounded down.
        places: the indices that ``max_pool2d`` returned for the windows, in the shape of ``x``.
        size: H, W.
    """
    if not torch.are_deterministic_algorithms_enabled():
        return max_unpool2d(x, places, [2, 2], output_size=list(size))
    height, width = (2 * side for side in x.shape[-2:])
    values, at = (
        t[..., :, None, :, None].expand(-1, -1, -1, 2, -1, 2).reshape(*t.shape[:2], height, width)
        for t in (x, places)
    )
    own = torch.arange(size[0] * size[1], device=x.device).view(size)[:height, :width]
    return pad(torch.where(at == own, values, 0.0), (0, size[1] - width, 0, size[0] - height))
