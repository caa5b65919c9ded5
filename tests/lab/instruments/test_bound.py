"""The bound instrument shows the formula."""

import math

import pytest

from flatmtl_lite import lab
from flatmtl_lite.lab.instruments import bound
from tests.lab.traces import shown


@pytest.mark.parametrize("network", bound.NETWORKS)
def test_the_bound_instrument_shows_the_formula(network):
    stage = lab.bound_instrument(2000, network, norm_squared=100.0)
    P, N = bound.NETWORKS[network], 2000
    largest = P / 2 * math.log(1 + 100 / 0.14**2 * (1 + math.sqrt(math.log(N) / P)) ** 2)
    bracket = 0.5 + largest + math.log(2 / 0.05) + 6 * math.log(N + P) + 100 / 8
    k = list(bound.NETWORKS).index(network)
    assert shown(stage, "LeNet-curve-here")[2 * k].tolist() == pytest.approx([N, bracket / math.sqrt(N)])
    assert shown(stage, "size")[k].tolist() == pytest.approx([P, bracket / math.sqrt(N)])
    bars = shown(stage, "terms")[1::3, 0]
    assert bars[0].item() == pytest.approx(largest / bracket)
    assert bars.sum().item() == pytest.approx(1)
    (names,) = (trace for trace in stage.drawn().data if trace.uid == "terms-names")
    for text, share in zip(names.text, bars.tolist(), strict=True):
        value = float(text.split(": ")[-1].split(", ")[0].replace(",", ""))
        assert value == pytest.approx(share * bracket / math.sqrt(N), rel=0.01)
    assert "promises nothing" in stage.state
    assert f"All terms but one make {100 * (bracket - largest) / bracket:.1g} % of it" in stage.state


def test_the_bound_says_something_where_its_curve_crosses_chance():
    for network in bound.NETWORKS:
        stage = lab.bound_instrument(1e15, network)
        says = ["says something" in state for state in stage.states[stage.choice]]
        curve = shown(stage, f"{network}-curve")[:, 1]
        assert says == (curve < math.log(10)).tolist()
        assert not says[0]
        assert says[-1]
