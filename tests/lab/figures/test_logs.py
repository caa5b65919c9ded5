"""Lines of logs, over seeds and over stretches of training."""

import pytest

from flatmtl_lite.lab.figures import logs
from flatmtl_lite.lab.figures.style import METHODS


def test_seeds_of_different_length_are_averaged_where_they_are():
    rows = logs.over_seeds([[(1, 2.0), (2, 4.0)], [(1, 6.0)]])
    assert rows.tolist() == [[1, 2, 4, 6], [2, 4, 4, 4]]


def test_stretches_hold_all_steps():
    rows = logs.over_stretches([(k / 10, float(k)) for k in range(101)], stretches=5)
    assert rows[:, 0] == pytest.approx([1, 3, 5, 7, 9])
    assert rows[0].tolist() == pytest.approx([1, 1.9, 9.5, 17.1])
    assert rows[-1, 2] == 90  # the last step too
    assert len(logs.over_stretches([(0.0, 1.0)])) == 1


def test_every_method_has_a_look_of_its_own():
    names = ["F-CAGrad", "MGDA", "LS", *(f"method {k}" for k in range(20))]
    found = logs.looks(names)
    assert found["LS"] == METHODS["LS"]
    assert found["F-CAGrad"] == METHODS["F-CAGrad"]
    assert len({(look["color"], look["dash"]) for look in found.values()}) == len(names)
