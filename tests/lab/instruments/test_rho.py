"""The ρ instrument shows the core's numbers."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.lab.instruments.rho import FLAT_DESCENTS
from flatmtl_lite.toy import PROBLEMS, decompose, descend
from tests.lab.traces import shown


@pytest.mark.parametrize("problem", ["valleys", "triangle"])
@pytest.mark.parametrize("method", FLAT_DESCENTS)
def test_the_rho_instrument_shows_the_core(problem, method):
    landscape, start = PROBLEMS[problem], PROBLEMS[problem].starts[1]
    stage = lab.rho_instrument(problem, rho=0.35, start=start, method=method)
    rho = float(stage.values[stage.index])
    theta = torch.tensor(start, dtype=torch.float64)
    d = decompose(landscape, theta, rho, FLAT_DESCENTS[method]())
    path = descend(landscape, theta, rho, [FLAT_DESCENTS[method]()])[0]
    assert torch.allclose(shown(stage, "path"), path, atol=1e-9)
    lengths = [(shown(stage, f"sam-{k}")[1]).norm() for k in range(landscape.tasks)]
    assert torch.allclose(torch.stack(lengths) / lengths[0], d.sam.norm(dim=-1) / d.sam[0].norm())
    for k in range(landscape.tasks):
        loss, flat, sam = (shown(stage, f"{part}-{k}") for part in ("loss", "flat", "sam"))
        assert torch.allclose(loss[1], flat[0], atol=1e-9)  # head to tail ...
        assert torch.allclose(flat[1], sam[1], atol=1e-9)  # ... they make the sum
        step = shown(stage, f"perturbed-{k}")[1] - theta
        measure = theta.abs() if "adaptive" in method else torch.ones(2)
        assert (step / measure).norm().item() == pytest.approx(rho, abs=1e-9)
    angle = shown(stage, "between-sam-here")[0, 1]
    between = fm.diagnostics.angles(d.sam) * (1 - torch.eye(landscape.tasks))
    assert angle.item() == pytest.approx(between.max().item())
    assert f"SAM gradients {angle:.0f}° apart" in stage.state


def test_a_random_aggregator_shows_the_same_picture_again():
    first = lab.rho_instrument("triangle", method="PCGrad, decomposed")
    second = lab.rho_instrument("triangle", method="PCGrad, decomposed")
    assert first.tables[4] == second.tables[4]
