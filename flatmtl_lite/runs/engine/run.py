"""The result of training: the network and the log of its training."""

from dataclasses import dataclass, field

from torch import nn

from .config import Config


@dataclass
class Run:
    """A run: its network and its log.

    Attributes:
        config: the settings of the run.
        model: the trained network.
        log: one dict per entry; ``kind`` is one of "step", "epoch", "evaluation", "snapshot", "final".
        sharpness: for each task the ten-step rise of the training loss within radius 0.05, from
            :func:`~flatmtl_lite.runs.train.train`.
        seconds: wall time of training, evaluations included.
    """

    config: Config
    model: nn.Module
    log: list[dict] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def accuracies(self) -> list[dict]:
        """Accuracy in per cent at each evaluation: ``epoch``, and for each data split one value per task."""
        return [
            {"epoch": entry["epoch"]}
            | {
                split: metrics["accuracy"]
                for split, metrics in entry.items()
                if isinstance(metrics, dict) and "accuracy" in metrics
            }
            for entry in self.entries("evaluation")
        ]

    @property
    def measured_steps(self) -> list[dict]:
        """The measured steps; :class:`~flatmtl_lite.runs.engine.epoch_log.EpochLog` lists their contents."""
        return self.entries("step")

    def entries(self, kind: str) -> list[dict]:
        """Return the log's entries of one kind."""
        return [entry for entry in self.log if entry["kind"] == kind]
