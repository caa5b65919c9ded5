"""The valley instrument rolls the core's own descent."""

import pytest
import torch

from flatmtl_lite import Mean, lab
from flatmtl_lite.toy import LINE, Method, descend
from tests.lab.traces import shown


@pytest.mark.parametrize(("method", "rho"), [("plain step", 0.0), ("SAM, ρ = 0.5", 0.5)])
def test_the_ball_lies_on_the_curve_where_the_core_takes_it(method, rho):
    path = descend(LINE, torch.tensor(LINE.starts[0]), rho, [Method(Mean(), "direct")])[0]
    stage = lab.valley_instrument(step=17, method=method)
    ((x, height),) = shown(stage, "ball").tolist()
    assert x == pytest.approx(path[17, 0].item())
    assert height == pytest.approx(LINE.losses(path[17].unsqueeze(0)).item())
    (star,) = shown(stage, "star")
    assert star.isnan().all() if rho == 0 else (star[0] - x).abs().item() == pytest.approx(rho)
    tail, tip = shown(stage, "step")
    look = path[17] + torch.tensor([0.0 if rho == 0 else star[0] - x, 0.0])
    slope = LINE.gradients(look.unsqueeze(0))[0, 0].item()
    assert (tip - tail)[0].item() == pytest.approx(-0.25 * slope)  # downhill
    assert f"lies at {x:.2f}".replace("-", "−") in stage.state


def test_plain_descent_ends_in_the_sharp_valley_and_sam_in_the_flat_one():
    last = LINE.steps
    for method, low, high in (("plain step", -1.05, -0.95), ("SAM, ρ = 0.5", 1.0, 1.3)):
        ((x, _),) = shown(lab.valley_instrument(step=last, method=method), "ball").tolist()
        assert low < x < high


@pytest.mark.parametrize(("options", "word"), [(dict(step=999), "999"), (dict(method="magic"), "'magic'")])
def test_bad_input_is_named(options, word):
    with pytest.raises(ValueError, match="expected") as error:
        lab.valley_instrument(**options)
    assert word in str(error.value)
