"""The instruments of notebook 05: five rules at one point, and 100 starts for every ρ."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.decomposition import RULES, combine
from flatmtl_lite.lab.figures.style import RULES as LOOKS
from flatmtl_lite.lab.instruments import portrait
from flatmtl_lite.lab.instruments.rules import AGGREGATES, DRAWN
from flatmtl_lite.toy import PROBLEMS, Method, decompose, descend
from tests.lab.traces import shown


def test_every_rule_has_a_look_of_its_own():
    assert list(LOOKS) == list(RULES)
    for key in ("color", "dash", "symbol"):
        assert len({look[key] for look in LOOKS.values()}) == len(RULES)


@pytest.mark.parametrize(("problem", "aggregate"), [("triangle", "PCGrad"), ("valleys", "CAGrad")])
def test_the_rules_instrument_shows_the_core(problem, aggregate):
    landscape, start = PROBLEMS[problem], PROBLEMS[problem].starts[0]
    stage = lab.rules_instrument(problem, rho=0.7, point=start, aggregate=aggregate)
    rho, theta = float(stage.values[stage.index]), torch.tensor(start, dtype=torch.float64)
    loss = landscape.gradients(theta[None])
    moved = theta + rho * loss / loss.norm(dim=-1, keepdim=True)
    d = fm.Decomposition(loss, landscape.gradients(moved) - loss)
    by_rule = {rule: combine(d, AGGREGATES[aggregate](), rule) for rule in RULES}
    longest = shown(stage, "arrow-erm")[1].norm() / by_rule["erm"].norm()
    for rule, direction in by_rule.items():
        assert torch.allclose(shown(stage, f"arrow-{rule}")[1], longest * direction, atol=1e-9)
    angle = fm.diagnostics.angles(torch.stack([by_rule["direct"], by_rule["decomposed"]]))[0, 1].item()
    assert shown(stage, "angle-here")[0].tolist() == pytest.approx([rho, angle], abs=1e-5)
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
    assert shown(stage, "way")[30].tolist() == pytest.approx([30, angle], abs=1e-4)


def test_the_curve_of_the_ends_grows_with_the_slider():
    stage = lab.rules_instrument(rho=0.25)
    drawn = ~shown(stage, "ends").isnan().any(-1)
    assert drawn.tolist() == [k <= stage.index for k in range(len(stage.values))]


@pytest.fixture(scope="module")
def whole_portrait():
    return lab.portrait_instrument(rho=0.4, aggregate="MGDA")


def test_the_portrait_counts_the_ends(whole_portrait):
    valleys, counts = PROBLEMS["valleys"], {}
    bottoms = portrait.valley_bottoms()
    for rule in RULES:
        ends = shown(whole_portrait, f"ends-{rule}").reshape(100, 3, 2)[:, :2].mean(1)
        alone = descend(valleys, portrait.starts(), 0.4, [Method(fm.MGDA(), rule)])[0, :, -1]
        assert torch.allclose(ends, alone, atol=1e-6)
        sharp, flat = (((ends - bottom).norm(dim=-1) < 0.4).sum().item() for bottom in bottoms)
        counts[rule] = (sharp, flat, 100 - sharp - flat)
        curve = shown(whole_portrait, f"flat-{rule}")
        assert curve[whole_portrait.index].tolist() == pytest.approx([0.4, flat])
    for rule, (sharp, flat, neither) in counts.items():
        assert f"{rule} {sharp}/{flat}/{neither}" in whole_portrait.state
    assert shown(whole_portrait, "cursor").tolist() == [[pytest.approx(0.4), 0], [pytest.approx(0.4), 100]]


def test_the_portrait_draws_every_other_start_of_both_sides(whole_portrait):
    paths = shown(whole_portrait, "paths-direct").reshape(25, len(portrait.PATH_STEPS) + 1, 2)
    grid = portrait.starts().reshape(10, 10, 2)[::2, ::2].reshape(25, 2)
    assert torch.equal(paths[:, 0], grid)
    assert paths[:, -1].isnan().all()  # the pen is lifted
    assert paths[:, :-1].isfinite().all()


@pytest.mark.parametrize("name", ["rules", "portrait"])
def test_the_recipe_opens_the_same_state(name):
    stage = {"rules": lab.rules_instrument, "portrait": lab.portrait_instrument}[name]()
    stage.index, stage.choice = 7, 4
    if name == "rules":
        stage.points = [[0.5, -1.25]]
    again = eval(stage.call, {"lab": lab})
    assert (again.index, again.choice, again.points) == (stage.index, stage.choice, stage.points)
    assert again.tables[4] == stage.tables[4]


def test_the_mean_leaves_direct_and_decomposed_together():
    stage = lab.rules_instrument("valleys", aggregate="mean")
    assert stage.states[4][-1].startswith("ρ = 1, mean: direct and decomposed 0° apart at θ, up to 0°")


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: lab.rules_instrument("hills"), "'hills'"),
        (lambda: lab.rules_instrument(rho=-0.1), "-0.1"),
        (lambda: lab.rules_instrument(point=(7, 0)), "(7, 0)"),
        (lambda: lab.rules_instrument(aggregate="magic"), "'magic'"),
        (lambda: lab.portrait_instrument(rho=2), "rho=2"),
        (lambda: lab.portrait_instrument(aggregate="magic"), "'magic'"),
    ],
)
def test_bad_input_is_named(make, word):
    with pytest.raises(ValueError, match="expected") as error:
        make()
    assert word in str(error.value)
