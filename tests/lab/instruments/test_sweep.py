"""The sweep instrument: every end of a method next to the fixed weights that end there too."""

import pytest
import torch

from flatmtl_lite import lab
from flatmtl_lite.aggregation import Constant, Mean
from flatmtl_lite.lab.instruments import sweep
from flatmtl_lite.toy import PROBLEMS, Method, descend

RIDGES = PROBLEMS["ridges"]


@pytest.fixture
def stage(monkeypatch):
    monkeypatch.setenv("FLATMTL_FAST", "1")
    return lab.sweep_instrument(weight=0.3)


def test_a_swept_end_is_that_of_a_descent_with_these_weights(stage):
    for k, start in enumerate(RIDGES.starts):
        for i in (20, 100, 175):
            w = sweep.SWEPT[i].item()
            path = descend(RIDGES, torch.tensor(start), 0.0, [Method(Constant([w, 1 - w]), "erm")])[0]
            torch.testing.assert_close(sweep.swept_paths()[k, i], path)
    here = sweep.losses_at(sweep.swept_paths()[0, 60, -1])
    sentence = f"Weights 0.3 and 0.7 from (-8.5, 7.5): losses {here[0]:.1f} and {here[1]:.1f}."
    assert sentence.replace("-", "−") in stage.state


def test_raised_losses_are_positive_and_change_no_gradient():
    points = (
        torch.cartesian_prod(*(torch.linspace(*ends, 30) for ends in RIDGES.window)).double().unsqueeze(-2)
    )
    raised = sweep.Raised()
    assert (raised.losses(points) > 0.9).all()
    assert raised.gradients(points).equal(RIDGES.gradients(points))


def test_the_nearest_weights_are_read_off_the_sweep():
    names = tuple(sweep.METHODS[:12])
    rows = sweep._draw(names, "(-8.5, 7.5)")[0].traces()["nearest"][0]
    assert rows[names.index("mean"), 0].item() == 0.5
    ends = sweep.ends_of(names)
    mean = descend(RIDGES, torch.tensor(RIDGES.starts), 0.0, [Method(Mean(), "erm")])[0, :, -1]
    torch.testing.assert_close(ends[:, names.index("mean")], mean)
    for name, (w, row) in zip(names, rows.tolist(), strict=True):
        k = names.index(name)
        assert row == k
        end, swept = sweep.losses_at(ends[0, k]), sweep.losses_at(sweep.swept_paths()[0, :, -1])
        distances = (swept - end).norm(dim=-1)
        assert distances[round(200 * w)] == distances.min()
        assert distances.min() < 0.2  # so every end lies on the front that the fixed weights draw


def test_no_method_ends_where_no_fixed_weights_end():
    names = tuple(sweep.METHODS[:12])
    assert sweep.unreached(names) == []
    assert set(sweep.unreached(names, within=0.05)) >= {"pcgrad", "nash_mtl"}


def test_the_sentence_names_the_methods_with_the_same_end(stage):
    states = stage.states[0]
    assert "The nearest row, at 0.5: mean, cagrad" in states[20]
    assert states[0].endswith("The nearest row, at 0.295: mgda.")
    assert sweep.place_of("mgda", start=0) == pytest.approx(0.295)
