"""The descent instrument shows the core's numbers."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.lab.instruments.descent import DESCENTS, REACH, STEPS
from flatmtl_lite.toy import PROBLEMS, descend
from tests.lab.traces import shown


@pytest.mark.parametrize("method", DESCENTS)
def test_the_descent_instrument_shows_the_core(method):
    ridges, start = PROBLEMS["ridges"], (9.0, 9.0)
    stage = lab.descent_instrument(step=50, start=start, method=method)
    path = descend(ridges, torch.tensor(start), 0.0, [DESCENTS[method]()])[0]
    step = int(stage.values[stage.index])
    assert step == 50
    assert torch.allclose(shown(stage, "here")[0], path[step])
    trail = shown(stage, "here-trail")  # what is not walked yet is not shown
    assert torch.allclose(trail[: stage.index + 1], path[: step + 1 : 2])
    assert trail[stage.index + 1 :].isnan().all()
    assert torch.allclose(shown(stage, "losses")[0], ridges.losses(path[step][None]))
    G = ridges.gradients(path[step][None])
    assert shown(stage, "angle-here")[0, 1].item() == pytest.approx(fm.diagnostics.angles(G)[0, 1].item())
    assert shown(stage, "angle")[stage.index + 1 :].isnan().all()
    gradients = dict(zip(STEPS, [*G, DESCENTS[method]().aggregate(G)], strict=True))
    longest = max(g.norm() for g in gradients.values())
    arrows = {name: shown(stage, name) for name in gradients}
    lens = {name: shown(stage, f"lens-{name}") for name in gradients}
    scale = max((tip - tail).norm() for tail, tip in lens.values())
    for name, gradient in gradients.items():
        tail, tip = arrows[name]
        assert torch.allclose(tail, path[step])
        assert torch.allclose(tip - tail, -REACH * 22 * gradient / longest)  # a step goes downhill
        tail, tip = lens[name]
        assert torch.allclose(tip - tail, -scale * gradient / longest)
