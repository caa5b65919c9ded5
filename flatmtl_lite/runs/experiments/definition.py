"""The definition of an experiment that can be started by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

from ..engine.config import Config
from ..engine.experiment import Experiment


class Settings(Protocol):
    """The settings of an experiment: a dataclass of options that makes data and network."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def experiment(
        self, seed: int, device: torch.device | str, root: str | Path | None = None, download: bool = False
    ) -> tuple[Experiment, str]:
        """Return data and network on a device, and one line on where the data came from.

        Args:
            seed: seed of the data.
            device: device of data and network.
            root: folder of the source files; None: the folder in FLATMTL_DATA, then the user's cache.
            download: whether to fetch source files that are missing.
        """
        ...


@dataclass(frozen=True)
class Definition:
    """An experiment that can be started by name.

    Attributes:
        settings: class of its settings.
        presets: by name a set of options: values of the settings and of :class:`Config`.
        defaults: values of :class:`Config` that differ from the usual ones.
    """

    settings: type[Settings]
    presets: Mapping[str, Mapping[str, Any]]
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def config(self, **options: Any) -> Config:
        """Return the configuration with these options; the experiment's defaults fill the gaps."""
        return Config(**{**self.defaults, **options})
