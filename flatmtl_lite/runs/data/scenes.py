"""Indoor scenes with class labels, depth and surface normals, in the folder layout of MTAN's NYUv2.

The layout is ``root/{train,val}/{image,label,depth,normal}/{0,1,...,N-1}.npy``. MTAN (Liu et al. 2019,
https://arxiv.org/abs/1803.10704) distributes real NYUv2 in it. Any other set in this layout can be read too.
"""

import signal
import sys
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from operator import index as as_index
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize
from torch.utils.data import DataLoader, Dataset, default_collate

from .scene_files import PARTS, count_scenes, label_size, read_part

SCALES = (1.0, 1.2, 1.5)

Scene = dict[str, Tensor]


class Scenes(Dataset):
    """One split of a scene data set. ``scenes[i]`` is a dict of tensors, read when asked for.

    ``image`` (3, H, W) float32 in [0, 1]; ``label`` (H, W) int64, 0..12 or -1 where undefined; ``depth``
    (1, H, W) float32 in metres, 0 where unknown; ``normal`` (3, H, W) float32 of length 1, all 0 where
    unknown. Normals of files that were resized may be shorter where two surfaces meet. On disk the channels
    come last. Any float type is read, and for the label any integer type too. Files of the system, such as
    ``._0.npy`` and ``.DS_Store``, are ignored.

    Args:
        root: the folder that holds ``train`` and ``val``.
        split: "train" or "val".

    Attributes:
        size: (H, W) in pixels.

    Raises:
        FileNotFoundError: a folder is missing or empty.
        ValueError: the files are not numbered 0 to N-1 in each folder, or a file does not have the shape
            or the values above; the message says how to repair it. Structure and the first scene are checked
            at once, other scenes when read.
    """

    def __init__(self, root: str | Path, split: str = "train"):
        if split not in ("train", "val"):
            raise ValueError(f"Got split={split!r}; expected 'train' or 'val'.")
        self.folder = Path(root).expanduser() / split
        counts = {part: count_scenes(self.folder / part) for part in PARTS}
        if len(set(counts.values())) > 1:
            raise ValueError(
                f"Got {counts} files in {self.folder}; expected the same number of each. "
                "The copy is incomplete: copy or make the data again."
            )
        self._length = counts["image"]
        self.size = label_size(self.folder / "label" / "0.npy")
        self[0]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Scene:
        i = as_index(index)
        if not 0 <= i < len(self):
            raise IndexError(f"Got scene {i} of {self.folder}; expected 0 to {len(self) - 1}.")
        scene = {part: read_part(self.folder / part / f"{i}.npy", part, self.size) for part in PARTS}
        scene["label"] = scene["label"].long()
        return scene


class Augmented(Dataset):
    """Scenes zoomed, cropped and flipped. The result for scene i depends on (seed, epoch, i) alone.

    Scale 1, 1.2 or 1.5 and the place of the crop are drawn evenly, the flip with probability 1/2; see
    :func:`augment`. No generator is kept, so a run that is resumed sees the same scenes.

    Args:
        scenes: the scenes to change.
        seed, epoch: whole numbers >= 0.
    """

    def __init__(self, scenes: Dataset, seed: int, epoch: int):
        self.scenes, count = scenes, len(cast(Sized, scenes))
        self.draws = np.random.default_rng([seed, epoch]).random((count, 4)).tolist()

    def __len__(self) -> int:
        return len(self.draws)

    def __getitem__(self, index: int) -> Scene:
        scale, top, left, flip = self.draws[as_index(index)]
        return augment(self.scenes[index], SCALES[int(scale * len(SCALES))], top, left, flip < 0.5)


def augment(scene: Scene, scale: float, top: float, left: float, flip: bool) -> Scene:
    """Zoom into a scene, and mirror it: the augmentation of CAGrad and the papers that follow it.

    A crop of H/scale by W/scale is resized to H by W: image and normals bilinearly, label and depth from
    the nearest pixel. A zoomed scene is nearer, so depth is divided by the scale. The mirror negates the
    normals' x. The published code leaves interpolated normals shorter than 1 and lets them leak into
    unknown pixels. Here normals are normalised, and the nearest pixel decides whether a normal is known.

    Args:
        scene: an item of :class:`Scenes`.
        scale: 1 or more.
        top, left: place of the crop, each in [0, 1): a share of all possible places.
        flip: whether to mirror.

    Example:
        >>> scene = {"image": torch.rand(3, 4, 6), "label": torch.ones(4, 6, dtype=torch.long)}
        >>> scene |= {"depth": torch.full((1, 4, 6), 3.0), "normal": torch.eye(3)[:, [0] * 24].view(3, 4, 6)}
        >>> near = augment(scene, scale=1.5, top=0.5, left=0.0, flip=True)
        >>> near["depth"].unique(), near["normal"][:, 0, 0]
        (tensor([2.]), tensor([-1.,  0.,  0.]))
    """
    if scale != 1:
        height, width = scene["label"].shape
        h, w = int(height / scale), int(width / scale)
        row, column = int(top * (height - h + 1)), int(left * (width - w + 1))

        def zoom(layers: list[Tensor], mode: str) -> Tensor:
            crop = torch.cat(layers)[None, :, row : row + h, column : column + w]
            return interpolate(crop, size=(height, width), mode=mode)[0]

        image, normal = zoom([scene["image"], scene["normal"]], "bilinear").split(3)
        is_known = (scene["normal"] != 0).any(0, keepdim=True)
        label, depth, is_known = zoom(
            [scene["label"][None].float(), scene["depth"], is_known], "nearest-exact"
        )
        scene = {
            "image": image,
            "label": label.long(),
            "depth": depth[None] / scale,
            "normal": normalize(normal, dim=0) * is_known,
        }
    if flip:
        scene = {part: values.flip(-1) for part, values in scene.items()}
        scene["normal"][0].neg_()
    return scene


class _Batches(Dataset):
    """Stacked batches of scenes, one for each list of indices; each holds an error in place of a batch."""

    def __init__(self, scenes: Dataset, lists: list[Tensor], layout: torch.memory_format):
        self.scenes, self.lists, self.layout = scenes, lists, layout

    def __len__(self) -> int:
        return len(self.lists)

    def __getitem__(self, k: int) -> Scene | Exception:
        try:
            batch = default_collate([self.scenes[i] for i in self.lists[k].tolist()])
        except Exception as error:  # a DataLoader would raise it with the traceback of its process as message
            return error
        # the networks' convolutions have this layout; without it every pass of a step would change it again
        batch["image"] = batch["image"].contiguous(memory_format=self.layout)
        return batch


def scene_batches(
    scenes: Dataset,
    batches: Iterable[Tensor],
    device: str | torch.device = "cpu",
    ahead: int = 2,
    workers: int = 0,
    layout: torch.memory_format = torch.channels_last,
) -> Iterator[Scene]:
    """Yield one stacked batch for each list of indices: each part (N, ...), on the device.

    A thread, or processes, read and augment the next batches meanwhile. Batches go to a GPU from pinned
    memory without waiting. To begin at batch k, leave the first k lists out: the other batches stay the same.
    They are the same with any number of workers too.

    Args:
        scenes: :class:`Scenes` or :class:`Augmented`.
        batches: (N,) int64 each, indices of scenes.
        device: the device of the batches.
        ahead: how many batches are made in advance; with workers, by each of them, and at least one.
        workers: number of processes that make batches; 0: a thread of this process.
        layout: the memory format of the images.

    Raises:
        ValueError: a file is not as :class:`Scenes` expects; raised at the batch that needs it.
    """
    pinned = torch.device(device).type == "cuda"
    source = _Batches(scenes, list(batches), layout)
    how = source, ahead, pinned
    with closing(_by_processes(*how, workers) if workers else _by_thread(*how)) as made:
        for batch in made:
            if isinstance(batch, Exception):
                raise batch
            yield {part: values.to(device, non_blocking=True) for part, values in batch.items()}


def _by_thread(source: _Batches, ahead: int, pinned: bool) -> Generator[Scene | Exception, None, None]:
    def load(k: int) -> Scene | Exception:
        batch = source[k]
        if pinned and not isinstance(batch, Exception):
            return {part: values.pin_memory() for part, values in batch.items()}
        return batch

    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[Scene | Exception]] = deque()
        for k in range(len(source)):
            waiting.append(thread.submit(load, k))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _leave_signals(_: int) -> None:
    """Ignore signals to the group of processes: the training process hears them and ends its loaders."""
    for name in ("SIGINT", "SIGTERM", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _by_processes(
    source: _Batches, ahead: int, pinned: bool, workers: int
) -> Generator[Scene | Exception, None, None]:
    with warnings.catch_warnings():
        # the new processes run the code of no other thread, and there may be more of them than cores
        for message in (".*multi-threaded, use of fork", "This DataLoader will create"):
            warnings.filterwarnings("ignore", message=message)
        loader = DataLoader(
            source,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=max(ahead, 1),
            pin_memory=pinned,
            worker_init_fn=_leave_signals,
            generator=torch.Generator(),  # else the loader would draw its seed from the run's generator
            # a new process, not a fork, would run the caller's script again
            multiprocessing_context="fork" if sys.platform == "linux" else None,
        )
        made = iter(loader)
    yield from made
