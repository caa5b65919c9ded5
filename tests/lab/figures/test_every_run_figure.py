"""Every figure of runs draws real short runs, and names runs that did not measure it."""

import pytest

from flatmtl_lite.lab.figures import calibration, trained, training
from tests.lab.run_lines import TASKS

EMPTY = {"kind": "epoch", "epoch": 1, "losses": [], "conflict": {}, "histograms": {}}
DRAWN = {
    "progress": lambda runs: training.progress_curves(runs, TASKS),
    "conflict": training.conflict_curves,
    "ridges": training.cosine_ridges,
    "norms": lambda runs: training.norm_curves(runs, TASKS),
    "agreement": training.agreement_curves,
    "reliability": lambda runs: calibration.reliability_diagrams(runs, TASKS),
    "entropy": lambda runs: trained.entropy_histograms(runs, TASKS),
    "sharpness": lambda runs: trained.sharpness_curves(runs, TASKS),
    "line": lambda runs: trained.slice_curves(runs, TASKS),
    "plane": lambda runs: trained.slice_planes(runs, TASKS),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_real_runs_are_drawn_and_nothing_to_draw_is_named(draw, runs):
    figure = draw(runs)
    assert any(trace.x is not None and len(trace.x) > 1 for trace in figure.data)
    named = [trace.name for trace in figure.data if trace.showlegend is not False and trace.name]
    assert len(named) == len(set(named))  # once in the legend
    for empty in ({}, {"LS": []}, {"LS": [[]]}, {"LS": [[EMPTY]]}):
        with pytest.raises(ValueError, match=r"Got runs .*expected") as error:
            draw(empty)
        assert str(list(empty)) in str(error.value)
