"""Pictures of toy problems."""

import numpy as np
import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.toy import PROBLEMS, Method, descend


def test_where_starts_end_draws_the_ends():
    methods = {"mean": Method(fm.Mean(), "erm"), "PCGrad": Method(fm.PCGrad(), "erm")}
    starts = torch.tensor([[1.0, 2.0], [-3.0, 4.0]])
    figure = lab.where_starts_end(PROBLEMS["ridges"], methods, starts)
    ends = descend(PROBLEMS["ridges"], starts, 0.0, list(methods.values()))[..., -1, :]
    drawn = [trace for trace in figure.data if trace.name == "end"]
    for trace, end in zip(drawn, ends, strict=True):
        assert np.stack([trace.x, trace.y], -1) == pytest.approx(end.numpy(), abs=1e-3)
