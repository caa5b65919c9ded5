"""Figures of trained networks draw the numbers of the logs."""

import numpy as np
import pytest

from flatmtl_lite.lab.figures import trained
from tests.lab.figures.panels import curve, lines
from tests.lab.run_lines import RADII, TASKS


def test_entropies_are_shares(runs):
    figure = trained.entropy_histograms(runs, TASKS)
    assert [t.name for t in figure.data[:2]] == ["fashion+mnist", "mnist"]
    for trace in figure.data:
        assert sum(trace.y[::2]) == pytest.approx(1, abs=2e-3)
        assert min(trace.x) == 0


def test_sharpness_is_drawn_where_it_is_above_zero(runs):
    figure = trained.sharpness_curves(runs, TASKS)
    x, y = curve(figure, "LS", column=2)
    found = [lines(log, "snapshot")[-1]["sharpness"] for log in runs["LS"]]
    assert x == RADII
    assert y == pytest.approx([np.mean([seed[k][1] for seed in found]) for k in range(3)], rel=1e-4)
    flat = dict(kind="snapshot", epoch=1, rho=[0.0, 0.1], sharpness=[[0.0], [0.0]])
    with pytest.raises(ValueError, match="0 everywhere"):
        trained.sharpness_curves({"LS": [[flat]]}, ["digit"])
    risen = flat | dict(sharpness=[[0.0], [0.2]])
    assert curve(trained.sharpness_curves({"LS": [[risen]]}, ["digit"]), "LS") == ([0.1], [0.2])


def test_slices_share_one_scale(runs):
    figure = trained.slice_planes(runs, TASKS)
    contours = [trace for trace in figure.data if trace.type == "contour"]
    assert len(contours) == 4
    assert len({(t.zmin, t.zmax, t.contours.size) for t in contours}) == 1
    assert contours[0].z[2][2] == pytest.approx(np.log10(0.5), abs=1e-3)
    along_x, along_y = contours[1].z[2][4], contours[1].z[4][2]
    assert [along_x, along_y] == pytest.approx(np.log10([2.4, 1.4]), abs=1e-3)
    assert curve(trained.slice_curves(runs, TASKS), "LS", column=2)[1][0] == pytest.approx(2.4)
    only_line = [dict(kind="final", slices=dict(line=dict(alpha=[0], losses=[[1.0]])))]
    with pytest.raises(ValueError, match="no 'plane'"):
        trained.slice_planes({"LS": [only_line]}, ["digit"])


def test_dots_show_seeds_means_and_the_paper():
    values = {"LS": [[80.0, 70.0], [82.0, 71.0]], "F-LS": [[90.0, 75.0]]}
    figure = trained.seed_dots(values, TASKS, "accuracy, %", {"F-LS": [91.0, 76.0], "MGDA": [85.0, 72.0]})
    drawn = [(t.name, t.xaxis, t.y[0], list(t.x)) for t in figure.data if t.showlegend is False]
    assert ("one seed", "x2", "LS", [70, 71]) in drawn
    assert ("mean", "x", "LS", [81]) in drawn
    assert ("published", "x2", "MGDA", [72]) in drawn
    assert list(figure.layout.yaxis.categoryarray) == ["MGDA", "F-LS", "LS"]
    assert not any(t.name == "published" for t in trained.seed_dots(values, TASKS, "accuracy, %").data)
    for nothing in ({}, {"LS": []}):
        with pytest.raises(ValueError, match="at least one seed"):
            trained.seed_dots(nothing, TASKS, "accuracy, %")
