"""What a step of each method costs: passes counted, time and memory measured.

``flatmtl-lite record cost FILE`` measures the methods of the frontier. They take turns, epoch by epoch, so
that all of them meet the same machine.
"""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..engine.model import MultiTaskNet
from ..engine.trainer import Trainer
from ..experiments.images import ImageTasks
from ..networks.images import parse_network
from .frontier import METHODS, SETTINGS, methods_of
from .record_file import RecordFile, load_record
from .tuning import SELECTION_SEED, Setting, config_of

ROUNDS = 6  # epochs of each method
TIMED_STEPS = 20  # the last ones of an epoch: whole cycles of every ``flat_every``
NETWORKS = {"mlp": "mlp-40", "lenet": "lenet-40"}  # network -> the setting whose methods are measured


class PassCounter:
    """Counts the passes through a trunk in forward-equivalents; a backward pass counts as two.

    A pass on a part of the batch counts as that part.

    Args:
        trunk: the module.
        batch_size: images per step.

    Attributes:
        passes: the count so far.
    """

    def __init__(self, trunk: nn.Module, batch_size: int):
        self.batch_size, self.passes = batch_size, 0.0
        trunk.register_forward_hook(self._forward)

    def _forward(self, module: nn.Module, args: tuple, z: Tensor) -> None:
        share = len(z) / self.batch_size
        self.passes += share
        if z.requires_grad:
            z.register_hook(lambda gradient: self._backward(share))

    def _backward(self, share: float) -> None:
        self.passes += 2 * share


class PeakMemory(TorchDispatchMode):
    """Notes the most bytes that the tensors made under it held at once, in ``peak``."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._alive[storage.data_ptr()] = StorageWeakRef(storage), storage.nbytes()
        self._alive = {key: value for key, value in self._alive.items() if not value[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return result


def recorded() -> dict:
    """Return the record ``data/results/cost.json``: ``costs``, command, ..."""
    return load_record("cost")


def costs_of(record: dict, network: str) -> dict[str, dict[str, float]]:
    """Return by method ``passes``, ``ms`` and ``peak_mb`` of a step.

    A method that perturbs in a share of the epochs alone costs that share of a perturbing step, and for the
    rest a step of LS.
    """
    measured = {entry["label"]: entry for entry in record["costs"] if entry["network"] == network}
    costs = {}
    for label, entry in measured.items():
        share = METHODS[label].options.get("sam_share", 1.0)
        base, keys = measured["LS"], ("passes", "ms")
        costs[label] = {key: share * entry[key] + (1 - share) * base[key] for key in keys}
        costs[label]["peak_mb"] = entry["peak_mb"]
    return costs


def _trainer(label: str, network: str, setting: Setting) -> Trainer:
    method = METHODS[label]
    value = {"rho": setting.radii[0], "weight_decay": setting.decays[0], None: None}[method.tunes]
    config = config_of(method, setting, SELECTION_SEED, value)
    config = type(config)(**{**vars(config), "epochs": ROUNDS, "sam_share": 1.0, "evaluate_every": ROUNDS})
    return Trainer(ImageTasks(setting.data(SELECTION_SEED), parse_network(network)), config)


def _peak_mb(trainer: Trainer, steps: int = 6) -> float:
    """Return the peak memory of a run's first steps, in MB, without weights and data."""
    advance = trainer.advance()
    with PeakMemory() as memory:
        for _ in range(steps):
            next(advance)
    return memory.peak / 1e6


def _epoch(trainer: Trainer, counter: PassCounter, advance: Any) -> tuple[float, float]:
    """Train for an epoch; return CPU seconds and passes of a step, means over the last steps."""
    seconds, passes = [], []
    for _ in range(trainer.steps_per_epoch):
        start, before = time.process_time(), counter.passes
        next(advance)
        seconds.append(time.process_time() - start)
        passes.append(counter.passes - before)
    next(advance)  # the end of the epoch
    return statistics.mean(seconds[-TIMED_STEPS:]), statistics.mean(passes[-TIMED_STEPS:])


def measure(network: str, labels: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Measure the methods of the frontier on one network, or some of them."""
    setting = SETTINGS[NETWORKS[network]]
    labels = list(methods_of(NETWORKS[network])) if labels is None else labels
    peaks = {label: _peak_mb(_trainer(label, network, setting)) for label in labels}
    courses = []
    for label in labels:
        trainer = _trainer(label, network, setting)
        counter = PassCounter(cast(MultiTaskNet, trainer.model).trunk, trainer.config.batch_size)
        courses.append((trainer, counter, trainer.advance()))
    rounds = [[_epoch(*course) for course in courses] for _ in range(ROUNDS)]
    entries = []
    for label, results in zip(labels, zip(*rounds, strict=True), strict=True):
        seconds, passes = zip(*results, strict=True)
        times = {"ms": round(1000 * statistics.median(seconds), 3), "passes": round(passes[-1], 3)}
        entries.append({"network": network, "label": label, **times, "peak_mb": round(peaks[label], 2)})
    return entries


def record(path: Path, seeds: list[int]) -> None:
    """Measure every method on every network.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    file = RecordFile("cost", path, [], (), costs=[])
    for network in NETWORKS:
        for entry in measure(network):
            file.append("costs", entry)
