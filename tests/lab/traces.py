"""The points of a stage as drawn now, for the tests of instruments."""

import numpy as np
import torch


def shown(stage, uid: str) -> torch.Tensor:
    """The points of a trace as drawn now, (n, 2)."""
    trace = next(trace for trace in stage.drawn().data if trace.uid == uid)
    return torch.tensor(np.stack([trace.x, trace.y], -1).astype(float))


def drawn(stage) -> dict[str, torch.Tensor]:
    """The points of each trace as drawn now, (n, 2)."""
    traces = [trace for trace in stage.drawn().data if trace.uid]
    return {t.uid: torch.tensor(np.stack([t.x, t.y], -1).astype(float)) for t in traces}
