"""The descent instrument shows the core's numbers."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.lab.instruments.descent import DESCENTS
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
    assert shown(stage, "angle")[0, 1].item() == pytest.approx(fm.diagnostics.angles(G)[0, 1].item())
    direction = DESCENTS[method]().aggregate(G)
    longest = torch.stack([*G, direction]).norm(dim=-1).max()
    assert torch.allclose(shown(stage, "direction")[1], direction / longest)
