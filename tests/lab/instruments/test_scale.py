"""The scale instrument shows the core's numbers."""

import numpy as np
import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.lab.instruments import scale
from tests.lab.traces import shown


@pytest.mark.parametrize("loss", scale.SCALED)
@pytest.mark.parametrize("alpha", [0.1, 1.0, 4.0])
def test_the_scale_instrument_shows_the_core(loss, alpha):
    stage = lab.scale_instrument(alpha, loss)
    task = scale.SCALED[loss]

    def measured(at):
        factor = torch.logspace(-1, 1, 81, dtype=torch.float64)[stage.index] if at is None else at
        w, b, heads, biases = scale.trained().split([8, 8, 16, 2])
        weights = [torch.nn.Parameter(p) for p in (factor * w, factor * b, heads / factor, biases)]

        def value():
            x, targets = scale.points()
            first, shift, last, offset = weights
            output = (x[:, None] * first + shift).relu() @ last.view(8, 2) + offset
            losses = (output - targets).square().mean(0)
            return losses.mean() if task is None else losses[task]

        D = fm.diagnostics
        return {
            "sharpness": D.sharpness(value, weights, scale.RHO),
            "adaptive": D.sharpness(value, weights, scale.RHO_ADAPTIVE, adaptive=True),
            "top": D.top_eigenvalue(value, weights, 200),
            "loss": value().item(),
        }

    here, before = measured(None), measured(1.0)
    ratios = dict(zip(scale.MEASURES, shown(stage, "sharpness-here")[:-2:2, 1].tolist(), strict=True))
    for uid in ("sharpness", "adaptive", "top"):
        assert ratios[uid] == pytest.approx(here[uid] / before[uid], rel=1e-5)
    assert ratios["adaptive"] == pytest.approx(1)
    assert here["loss"] == pytest.approx(before["loss"])
    line = shown(stage, "now")
    assert line[30].tolist() == pytest.approx([0, here["loss"]], abs=1e-9)
    at_rho = np.interp([-scale.RHO, scale.RHO], line[:, 0], line[:, 1]).max()
    assert at_rho <= here["loss"] + here["sharpness"] * 1.05
    assert at_rho >= here["loss"] + here["sharpness"] * 0.9


def test_the_scaled_network_computes_the_same():
    stages = [lab.scale_instrument(alpha) for alpha in (0.1, 1, 10)]
    for uid in ("task-0", "task-1", "before"):
        one, other, third = (shown(stage, uid) for stage in stages)
        assert torch.allclose(one, other, atol=1e-9)
        assert torch.allclose(third, other, atol=1e-9)
    sizes = [shown(stage, "first")[:, 1] for stage in stages]
    assert torch.allclose(sizes[2], 100 * sizes[0])


def test_the_curvature_of_all_scales_at_once_is_exact():
    theta = scale.rescaled(scale.trained(), torch.tensor([0.5, 2.0], dtype=torch.float64))
    found = scale.measured(theta, lambda weights: scale.losses(weights).mean(-1))
    for k, weights in enumerate(theta):
        hessian = torch.autograd.functional.hessian(lambda w: scale.losses(w).mean(), weights)
        assert found["trace"][k].item() == pytest.approx(hessian.trace().item())
        assert found["top"][k].item() == pytest.approx(torch.linalg.eigvalsh(hessian)[-1].item())
