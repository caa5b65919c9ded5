"""Networks for scenes: SegNet with MTAN's attention, and a small encoder-decoder for a CPU."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from ..data.scene_files import CLASSES
from ..data.scenes import Scene
from ..engine.model import MultiTaskNet
from .layout import channels_last
from .losses import LOSSES
from .repeatable import unpooled

TASKS = {"label": len(CLASSES), "depth": 1, "normal": 3}  # name -> output channels
CONVOLUTIONS = (2, 2, 3, 3, 3)  # in each block of VGG-16
Stages = list[tuple[Tensor, Tensor]]


class SceneNet(MultiTaskNet):
    """A trunk and one head for each of the named tasks: x (N, 3, H, W) -> (N, C, H, W) per task.

    Args:
        tasks: names out of "label" (13 logits), "depth" (1 channel) and "normal" (3 channels, any length).
        trunk: x -> z.
        heads: per task z -> output.
    """

    def __init__(self, tasks: Sequence[str], trunk: nn.Module, heads: Sequence[nn.Module]):
        super().__init__(trunk, list(heads))
        self.tasks = tuple(tasks)


def scene_closures(model: SceneNet, batch: Scene) -> tuple[Callable[[], Any], list[Callable[[Any], Tensor]]]:
    """Return ``features`` and ``losses`` of one batch, as ``FlatMTL`` and ``decompose`` take them.

    Args:
        model: the network; its tasks choose the losses.
        batch: a batch of :func:`~flatmtl_lite.runs.data.scenes.scene_batches`.
    """
    losses: list[Callable[[Any], Tensor]] = [
        partial(_head_loss, head, task, batch[task])
        for task, head in zip(model.tasks, model.heads, strict=True)
    ]
    return lambda: model.trunk(batch["image"]), losses


def _head_loss(head: nn.Module, task: str, target: Tensor, z: Any) -> Tensor:
    return LOSSES[task](head(z), target)


# SegNet with attention ------------------------------------------------------------------------------------


class MTAN(SceneNet):
    """SegNet with an attention path per task (Liu et al. 2019, https://arxiv.org/abs/1803.10704, sec. 3).

    The trunk is SegNet (Badrinarayanan et al. 2017, https://arxiv.org/abs/1511.00561) on VGG-16. At each of
    its ten blocks a task has a mask, made from the block's first features and the path so far. The mask
    selects from the block's last features. ``heads[i]`` runs the whole path of task i and no other path.

    As in the published benchmark code, trunk *and* attention count as shared, though the masks of a task
    serve only that task. The two convolutions that predict belong to the task. All paths use the same
    convolutions between the masks.
    """

    def __init__(self, tasks: Sequence[str], widths: Sequence[int]):
        narrower = (widths[0], *widths)  # output widths of the decoder's blocks
        wider = (*widths[1:], widths[-1])
        passing = (
            nn.ModuleList(map(_conv, widths, wider)),
            nn.ModuleList(map(_conv, widths, narrower))[::-1],
        )
        paths = [AttentionPath(widths, passing, count) for count in _outputs(tasks)]
        super().__init__(tasks, SegNet(widths), paths)
        self.passing = nn.ModuleList(passing)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def head_parameters(self) -> list[list[nn.Parameter]]:
        """Return the parameters of the two convolutions that predict, per task."""
        return [list(path.get_submodule("predict").parameters()) for path in self.heads]


class SegNet(nn.Module):
    """x (N, 3, H, W) -> the features that attention reads: two lists, for the encoder's and decoder's blocks.

    An entry is (first features, last features) of a block, in the order in which they are computed. The
    decoder's first features are the unpooled features.

    Raises:
        ValueError: H or W is less than 2 to the number of blocks.
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        before, narrower = (3, *widths), (widths[0], *widths)
        self.encoder = nn.ModuleList(map(Block, before, widths, CONVOLUTIONS))
        self.decoder = nn.ModuleList(map(Block, widths, narrower, CONVOLUTIONS))[::-1]

    def forward(self, x: Tensor) -> tuple[Stages, Stages]:
        least = 2 ** len(self.encoder)
        if min(x.shape[-2:]) < least:
            raise ValueError(
                f"Got images of {tuple(x.shape[-2:])} pixels; expected at least {least} by {least}, since "
                "every block halves them. Take larger images or fewer widths."
            )
        encoder, decoder, pooled = [], [], []
        for block in self.encoder:
            first, last = block(x)
            encoder.append((first, last))
            x, places = max_pool2d(last, 2, return_indices=True)
            pooled.append((places, (last.shape[-2], last.shape[-1])))
        for block, (places, size) in zip(self.decoder, reversed(pooled), strict=True):
            first = unpooled(x, places, size)
            _, x = block(first)
            decoder.append((first, x))
        return encoder, decoder


class Block(nn.Module):
    """``count`` 3x3 convolutions with batch norm and ReLU; the first changes the width.

    Gives the features after the first convolution and after the last one.
    """

    def __init__(self, before: int, width: int, count: int):
        super().__init__()
        self.first = _conv(before, width)
        self.rest = nn.Sequential(*(_conv(width, width) for _ in range(count - 1)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.first(x)
        return first, self.rest(first)


class AttentionPath(nn.Module):
    """One task's way through SegNet's features: masks, and the two convolutions that predict.

    Args:
        widths: widths of SegNet's blocks.
        passing: the convolutions between the masks, of encoder and decoder. They belong to the network,
            since all paths use them.
        outputs: channels of the prediction.
    """

    def __init__(self, widths: Sequence[int], passing: Sequence[nn.ModuleList], outputs: int):
        super().__init__()
        narrower = (widths[0], *widths)
        path_widths = (0, *widths[1:])  # at the first block there is no path so far
        self._passing = tuple(passing)
        self.encoder = nn.ModuleList(_mask(w + c, w) for w, c in zip(widths, path_widths))
        self.decoder = nn.ModuleList(_mask(w + n, n) for w, n in zip(widths, narrower))[::-1]
        width = widths[0]
        self.predict = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, outputs, 1))

    def forward(self, z: tuple[Stages, Stages]) -> Tensor:
        encoder, decoder = z
        path = encoder[0][0][:, :0]  # before the first mask there is no path: no channels
        for (first, last), mask, passing in zip(encoder, self.encoder, self._passing[0], strict=True):
            path = mask(torch.cat([first, path], 1)) * last
            path = max_pool2d(passing(path), 2)
        for (first, last), mask, passing in zip(decoder, self.decoder, self._passing[1], strict=True):
            # corners aligned, as in the published network; the paper leaves this open
            path = passing(interpolate(path, first.shape[-2:], mode="bilinear", align_corners=True))
            path = mask(torch.cat([first, path], 1)) * last
        return self.predict(path)


def mtan(tasks: Sequence[str] = tuple(TASKS), widths: Sequence[int] = (64, 128, 256, 512, 512)) -> MTAN:
    """Make SegNet with MTAN's attention: 44,229,073 parameters for three tasks, 24,943,296 of them in SegNet.

    Args:
        tasks: names out of "label", "depth", "normal".
        widths: channels of the encoder's five blocks, outermost first.

    Raises:
        ValueError: a task is unknown or named twice, or no task is named.

    Example:
        >>> model = mtan()
        >>> sum(p.numel() for p in model.parameters()), sum(p.numel() for p in model.shared_parameters())
        (44229073, 44117184)
    """
    return channels_last(MTAN(tasks, widths))


# For a CPU ------------------------------------------------------------------------------------------------


class EncoderDecoder(nn.Module):
    """x (N, 3, H, W) -> z (N, widths[0], H/2, W/2): each width halves the size, then skips lead back up.

    It has group norm, not batch norm, which takes the same time. So a perturbed pass has no statistics to
    keep.

    Raises:
        ValueError: H or W is odd.
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.down = nn.ModuleList([_grouped(3, widths[0], stride=2)])
        self.down.extend(nn.Sequential(_grouped(b, w, stride=2), _grouped(w, w)) for b, w in pairwise(widths))
        self.up = nn.ModuleList(_grouped(w + below, w) for w, below in pairwise(widths))[::-1]

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2] % 2 or x.shape[-1] % 2:
            raise ValueError(
                f"Got images of {tuple(x.shape[-2:])} pixels; expected even numbers. Crop a row or a column."
            )
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        for up, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = up(torch.cat([interpolate(x, skip.shape[-2:], mode="bilinear"), skip], 1))
        return x


def encoder_decoder(
    tasks: Sequence[str] = tuple(TASKS), widths: Sequence[int] = (24, 32, 48, 48, 48)
) -> SceneNet:
    """Make a small encoder-decoder with skip connections: 285,497 parameters, for 96x128 on one CPU core.

    Args:
        tasks: names out of "label", "depth", "normal".
        widths: channels at 1/2, 1/4, ... of the size, each a multiple of 8.

    Raises:
        ValueError: a task is unknown or named twice, or no task is named.

    Example:
        >>> model = encoder_decoder()
        >>> sum(p.numel() for p in model.parameters())
        285497
    """
    width = widths[0]
    heads = [
        nn.Sequential(
            *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(2 * width, count, 1), nn.Upsample(scale_factor=2, mode="bilinear")),
        )
        for count in _outputs(tasks)
    ]
    return channels_last(SceneNet(tasks, EncoderDecoder(widths), heads))


def _outputs(tasks: Sequence[str]) -> list[int]:
    """Return the channels of each task's prediction."""
    if not tasks or isinstance(tasks, str) or len(set(tasks)) < len(tasks) or not set(tasks) <= set(TASKS):
        raise ValueError(f"Got tasks={tasks!r}; expected different names out of {', '.join(TASKS)}.")
    return [TASKS[task] for task in tasks]


def _grouped(before: int, width: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.GroupNorm(8, width), nn.ReLU(inplace=True)),
    )


def _conv(before: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def _mask(before: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(before, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
        *(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.Sigmoid()),
    )
