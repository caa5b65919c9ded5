"""Every instrument: each choice fills each trace, its call opens the same state, bad input is named."""

import pytest

from flatmtl_lite import lab
from flatmtl_lite.lab.publish.site import stage_of

TRIPLE = ((1.5, 0.2), (-0.4, 1.2), (0.9, 0.3))
MAKERS = {
    "ball": lab.ball_instrument,
    "bound": lab.bound_instrument,
    "chance": lab.chance_instrument,
    "cone": lab.cone_instrument,
    "cost": lab.cost_instrument,
    "descent": lab.descent_instrument,
    "gradients": lab.gradients_instrument,
    "gradients, three tasks": lambda: lab.gradients_instrument(TRIPLE),
    "pole": lab.pole_instrument,
    "portrait": lab.portrait_instrument,
    "rho": lab.rho_instrument,
    "rho, three tasks": lambda: lab.rho_instrument("triangle"),
    "rules": lab.rules_instrument,
    "scale": lab.scale_instrument,
    "split": lab.split_instrument,
    "sweep": lab.sweep_instrument,
    "valley": lab.valley_instrument,
}
# each choice costs a family of descents, so the first and the last must do
WITH_PATHS = {"rho", "rho, three tasks", "rules", "portrait", "descent", "sweep"}


@pytest.mark.parametrize("name", MAKERS)
def test_every_choice_fills_every_trace_and_the_call_opens_it(name, monkeypatch):
    monkeypatch.setenv("FLATMTL_FAST", "1")
    stage = MAKERS[name]()
    stage.points = [[0.5 + k / 2, -1.25] for k in range(len(stage.points))]
    stage.index = min(17, len(stage.values) - 2)
    last = len(stage.choices) - 1
    for k in (0, last) if name in WITH_PATHS else range(last + 1):
        stage.choice = k
        if "gradients" not in name:  # a full turn ends where it began
            assert len(set(stage.states[k])) == len(stage.values)
        for trace in stage.drawn().data:
            assert trace.uid is None or len(trace.x) == len(trace.y) >= 1, trace.uid
    again = stage_of(stage.call)
    assert (again.index, again.choice, again.points) == (stage.index, stage.choice, stage.points)
    assert again.tables[last] == stage.tables[last]
    values = [float(value) for value in stage.values]
    assert values == sorted(set(values))  # every position can be written down


@pytest.mark.parametrize("name", ["bound", "pole", "scale", "split"])
def test_the_ends_of_a_rounded_scale_can_be_opened(name):
    stage = MAKERS[name]()
    for index in (0, len(stage.values) - 1):
        stage.index = index
        assert stage_of(stage.call).index == index


BAD_INPUT = [
    (lab.rho_instrument, dict(problem="hills"), "'hills'"),
    (lab.rho_instrument, dict(rho=-0.1), "-0.1"),
    (lab.rho_instrument, dict(rho=9), "rho=9"),
    (lab.rho_instrument, dict(rho=float("nan")), "nan"),
    (lab.rho_instrument, dict(start=(7, 0)), "(7, 0)"),
    (lab.rho_instrument, dict(method="magic"), "'magic'"),
    (lab.descent_instrument, dict(problem="triangle"), "'triangle'"),
    (lab.descent_instrument, dict(step=1000), "step=1000"),
    (lab.ball_instrument, dict(loss="task 3"), "'task 3'"),
    (lab.ball_instrument, dict(problem="triangle"), "'triangle'"),
    (lab.scale_instrument, dict(alpha=0), "alpha=0"),
    (lab.scale_instrument, dict(alpha=float("nan")), "alpha=nan"),
    (lab.scale_instrument, dict(loss="task 3"), "'task 3'"),
    (lab.bound_instrument, dict(images=10), "images=10"),
    (lab.bound_instrument, dict(network="VGG"), "'VGG'"),
    (lab.bound_instrument, dict(norm_squared=-1.0), "norm_squared=-1.0"),
    (lab.gradients_instrument, dict(gradients=[(1, 0)]), "1 gradients"),
    (lab.sweep_instrument, dict(weight=1.5), "weight=1.5"),
    (lab.sweep_instrument, dict(start="(1, 2)"), "'(1, 2)'"),
    (lab.gradients_instrument, dict(gradients=[(1, 0), (7, 0)]), "task 2=(7, 0)"),
    (lab.gradients_instrument, dict(method="graddrop"), "'graddrop'"),
    (lab.gradients_instrument, dict(turn=400), "turn=400"),
    (lab.cone_instrument, dict(gradients=((1, 0, 0), (0, 1, 0), (1, 1, 0))), "three independent"),
    (lab.cone_instrument, dict(gradients="abc"), "'abc'"),
    (lab.cone_instrument, dict(camera=-1), "camera=-1"),
    (lab.cone_instrument, dict(method="magic"), "'magic'"),
    (lab.pole_instrument, dict(length=0), "length=0"),
    (lab.chance_instrument, dict(parameters=1), "parameters=1"),
    (lab.rules_instrument, dict(problem="hills"), "'hills'"),
    (lab.rules_instrument, dict(rho=-0.1), "-0.1"),
    (lab.rules_instrument, dict(point=(7, 0)), "(7, 0)"),
    (lab.rules_instrument, dict(aggregate="magic"), "'magic'"),
    (lab.portrait_instrument, dict(rho=2), "rho=2"),
    (lab.portrait_instrument, dict(aggregate="magic"), "'magic'"),
    (lab.split_instrument, dict(rho=9), "rho=9"),
    (lab.split_instrument, dict(rho=0), "rho=0"),
    (lab.split_instrument, dict(activation="step"), "'step'"),
]


@pytest.mark.parametrize("make", dict.fromkeys(make for make, _, _ in BAD_INPUT), ids=lambda m: m.__name__)
def test_bad_input_is_named(make):
    for options, word in [(options, word) for other, options, word in BAD_INPUT if other is make]:
        with pytest.raises(ValueError, match="expected") as error:
            make(**options)
        assert word in str(error.value)
