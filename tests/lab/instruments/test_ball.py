"""The ball instrument shows the core's numbers."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.toy import PROBLEMS
from tests.lab.traces import shown


@pytest.mark.parametrize("loss", ["mean loss", "task 1", "task 2"])
def test_the_ball_instrument_measures_sharpness(loss):
    valleys, point = PROBLEMS["valleys"], (-0.9, 0.1)
    stage = lab.ball_instrument(rho=0.4, point=point, loss=loss)
    w = torch.tensor(point, dtype=torch.float64, requires_grad=True)

    def value():
        losses = valleys.losses(w.unsqueeze(-2))
        return losses.mean() if loss == "mean loss" else losses[int(loss[-1]) - 1]

    rho = float(stage.values[stage.index])
    ends = shown(stage, "one")[1], shown(stage, "ten-at")[0]
    for rise, end, steps in zip(shown(stage, "one-rise-here")[:4:2], ends, (1, 10), strict=True):
        assert rise.tolist() == pytest.approx([rho, fm.diagnostics.sharpness(value, [w], rho, steps)])
        assert (end - w.detach()).norm() <= rho + 1e-9
    one = shown(stage, "one-rise-here")[0, 1].item()
    foot, star = shown(stage, "cut-rises")[:2]
    assert (star - foot).tolist() == pytest.approx([0, one])  # the cut shows the same rise
    assert f"it rises by {one:.3f} after one step" in stage.state


def test_the_adaptive_ball_is_an_ellipse():
    point = (-0.5, 1.5)
    stage = lab.ball_instrument(rho=0.4, point=point, loss="mean loss, adaptive")
    theta = torch.tensor(point, dtype=torch.float64)
    for uid in ("ball", "one", "ten-at"):
        size = ((shown(stage, uid) - theta) / theta).norm(dim=-1)
        assert (size[size.isfinite()] <= 0.4 + 1e-9).all()
    assert torch.allclose(((shown(stage, "ball") - theta) / theta).norm(dim=-1), torch.tensor(0.4).double())
