"""The rules instrument shows the core's numbers."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.decomposition import RULES, combine
from flatmtl_lite.lab.instruments.rules import AGGREGATES, DRAWN
from flatmtl_lite.toy import PROBLEMS, Method, decompose, descend
from tests.lab.traces import shown


@pytest.mark.parametrize(("problem", "aggregate"), [("triangle", "PCGrad"), ("valleys", "CAGrad")])
def test_the_rules_instrument_shows_the_core(problem, aggregate):
    landscape, start = PROBLEMS[problem], PROBLEMS[problem].starts[0]
    stage = lab.rules_instrument(problem, rules=tuple(RULES), rho=0.7, point=start, aggregate=aggregate)
    rho, theta = float(stage.values[stage.index]), torch.tensor(start, dtype=torch.float64)
    loss = landscape.gradients(theta[None])
    moved = theta + rho * loss / loss.norm(dim=-1, keepdim=True)
    d = fm.Decomposition(loss, landscape.gradients(moved) - loss)
    by_rule = {rule: combine(d, AGGREGATES[aggregate](), rule) for rule in RULES}
    steps = {rule: shown(stage, f"arrow-{rule}").diff(dim=0)[0] for rule in by_rule}
    scale = steps["erm"].norm() / by_rule["erm"].norm()
    for rule, direction in by_rule.items():
        assert torch.allclose(steps[rule], -scale * direction, atol=1e-9)  # a step goes downhill
    angle = fm.diagnostics.angles(torch.stack([by_rule["direct"], by_rule["decomposed"]]))[0, 1].item()
    assert shown(stage, "angle-direct-here")[0].tolist() == pytest.approx([rho, angle], abs=1e-5)
    ends = shown(stage, "end")
    for k, rule in enumerate(DRAWN):
        alone = descend(landscape, theta, rho, [Method(AGGREGATES[aggregate](), rule)])[0]
        assert torch.allclose(ends[k], alone[-1], atol=1e-6)
        assert torch.allclose(shown(stage, f"path-{rule}"), alone, atol=1e-6)
    gap = (ends[DRAWN.index("direct")] - ends[DRAWN.index("decomposed")]).norm().item()
    assert shown(stage, "ends-here")[0].tolist() == pytest.approx([rho, gap])
    assert f"their ends {gap:.2f} apart" in stage.state
    halfway = decompose(landscape, shown(stage, "path-decomposed")[30], rho, Method())
    one, other = (combine(halfway, AGGREGATES[aggregate](), rule) for rule in ("direct", "decomposed"))
    angle = fm.diagnostics.angles(torch.stack([one, other]))[0, 1].item()
    way = shown(stage, "way")
    assert way[30].tolist() == pytest.approx([30, angle], abs=1e-4)
    assert shown(stage, "way-most")[0, 1] == way[:, 1].nan_to_num(0).max()


def test_the_curve_of_the_ends_grows_with_the_slider():
    stage = lab.rules_instrument(rho=0.25)
    drawn = ~shown(stage, "ends").isnan().any(-1)
    assert drawn.tolist() == [k <= stage.index for k in range(len(stage.values))]


def test_the_mean_leaves_direct_and_decomposed_together():
    stage = lab.rules_instrument("valleys", aggregate="mean")
    assert stage.states[4][-1].startswith("ρ = 1: direct and decomposed 0° apart at θ, up to 0°")


def test_by_default_only_the_compared_rules_are_drawn_and_others_on_request():
    uids = {trace.uid for trace in lab.rules_instrument().drawn().data}
    assert {f"path-{rule}" for rule in ("erm", "direct", "decomposed")} <= uids
    assert not uids & {"path-second", "path-each"}
    stage = lab.rules_instrument(rules=("direct", "decomposed", "second"))
    assert "path-second" in {trace.uid for trace in stage.drawn().data}
    assert "second" in stage.call
    for rules in (("erm", "direct"), ("direct", "decomposed", "magic")):
        with pytest.raises(ValueError, match="expected direct, decomposed"):
            lab.rules_instrument(rules=rules)
