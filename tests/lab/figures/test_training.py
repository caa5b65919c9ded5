"""Figures of runs draw what the logs say: real short runs, and hand-made lines where the drawing is meant."""

import re

import numpy as np
import pytest

from flatmtl_lite.lab.figures import logs, trained, training
from flatmtl_lite.lab.figures.style import METHODS
from tests.lab.run_lines import EPOCHS, RADII, TASKS, finished_run

EMPTY = {"kind": "epoch", "epoch": 1, "losses": [], "conflict": {}, "histograms": {}}
KEYS = {"LS": "mean", "F-CAGrad": "f-cagrad"}
DRAWN = {
    "progress": lambda runs: training.progress_curves(runs, TASKS),
    "conflict": training.conflict_curves,
    "ridges": training.cosine_ridges,
    "norms": lambda runs: training.norm_curves(runs, TASKS),
    "agreement": training.agreement_curves,
    "reliability": lambda runs: trained.reliability_diagrams(runs, TASKS),
    "entropy": lambda runs: trained.entropy_histograms(runs, TASKS),
    "sharpness": lambda runs: trained.sharpness_curves(runs, TASKS),
    "line": lambda runs: trained.slice_curves(runs, TASKS),
    "plane": lambda runs: trained.slice_planes(runs, TASKS),
}


@pytest.fixture(scope="module")
def runs():
    return {name: [finished_run(key, seed)["log"] for seed in (0, 1)] for name, key in KEYS.items()}


def curve(figure, name: str, column: int = 1, row: int = 1):
    """(x, y) of the line of that name in a panel."""
    number = column + (row - 1) * columns(figure)
    axis = "x" if number == 1 else f"x{number}"
    (found,) = [t for t in figure.data if t.name == name and t.xaxis == axis and "markers" in t.mode]
    return list(found.x), list(found.y)


def columns(figure) -> int:
    return len({figure.layout[axis].domain for axis in figure.layout if axis.startswith("xaxis")})


def titles(figure) -> list[str]:
    return [note.text for note in figure.layout.annotations]


def lines(run: list[dict], kind: str) -> list[dict]:
    return [line for line in run if line["kind"] == kind]


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_real_runs_are_drawn(draw, runs):
    figure = draw(runs)
    assert any(trace.x is not None and len(trace.x) > 1 for trace in figure.data)
    named = [trace.name for trace in figure.data if trace.showlegend is not False and trace.name]
    assert len(named) == len(set(named))  # once in the legend


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
@pytest.mark.parametrize("runs", [{}, {"LS": []}, {"LS": [[]]}, {"LS": [[EMPTY]]}])
def test_nothing_to_draw_is_named(draw, runs):
    with pytest.raises(ValueError, match=r"Got runs .*expected") as error:
        draw(runs)
    assert str(list(runs)) in str(error.value)


def test_progress_shows_means_over_seeds(runs):
    figure = training.progress_curves(runs, TASKS)
    seeds = [lines(log, "evaluation") for log in runs["F-CAGrad"]]
    x, y = curve(figure, "F-CAGrad", column=2)
    assert x == [1, 2, 3]
    expected = [sum(seed[k]["test"]["accuracy"][1] for seed in seeds) / 2 for k in range(EPOCHS)]
    assert y == pytest.approx(expected, rel=1e-4)
    assert curve(figure, "LS", column=1, row=2)[1] == pytest.approx([2.3, 1.15, 2.3 / 3], rel=1e-4)
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    highest = max(seed[-1]["test"]["accuracy"][1] for seed in seeds)
    assert any(highest == pytest.approx(trace.y[EPOCHS - 1], rel=1e-4) for trace in bands)


def test_progress_takes_any_metric(runs):
    figure = training.progress_curves(runs, TASKS, metric="ece")
    assert figure.layout.yaxis.title.text == "ECE, %"
    with pytest.raises(ValueError, match="without 'miou' in their 'test'"):
        training.progress_curves(runs, TASKS, metric="miou")
    with pytest.raises(ValueError, match="'clean'"):
        training.progress_curves(runs, TASKS, split="clean")


def test_seeds_of_different_length_are_averaged_where_they_are():
    rows = logs.over_seeds([[(1, 2.0), (2, 4.0)], [(1, 6.0)]])
    assert rows.tolist() == [[1, 2, 4, 6], [2, 4, 4, 4]]


def test_stretches_hold_all_steps():
    rows = logs.over_stretches([(k / 10, float(k)) for k in range(101)], stretches=5)
    assert rows[:, 0] == pytest.approx([1, 3, 5, 7, 9])
    assert rows[0].tolist() == pytest.approx([1, 1.9, 9.5, 17.1])
    assert rows[-1, 2] == 90  # the last step too
    assert len(logs.over_stretches([(0.0, 1.0)])) == 1


def test_conflict_leaves_out_what_was_not_measured(runs):
    figure = training.conflict_curves(runs)
    assert len(titles(figure)) == 3
    assert len(titles(training.conflict_curves({"LS": runs["LS"]}))) == 1
    shares = [[line["conflict"]["intra"] for line in lines(log, "epoch")] for log in runs["F-CAGrad"]]
    assert curve(figure, "F-CAGrad", column=3)[1] == pytest.approx(np.mean(shares, 0).tolist(), rel=1e-4)


def epoch(number: int, counts: list[int]) -> dict:
    return dict(kind="epoch", epoch=number, losses=[1.0], histograms={"loss": counts})


def test_ridges_count_conflict_by_thirds():
    first, last = [0] * 9 + [3, 1] + [0] * 9, [0] * 19 + [5]
    log = [epoch(1, first), epoch(2, last), epoch(3, last)]
    figure = training.cosine_ridges({"LS": [log, log]})
    assert titles(figure) == ["LS<br>loss parts", "75% in conflict", "0% in conflict", "0% in conflict"]
    left, right = figure.data[:2]
    assert max(left.x) == min(right.x) == 0
    assert max(left.y) - min(left.y) == pytest.approx(0.6 * 0.75)
    assert max(right.y) - min(right.y) == pytest.approx(0.6 * 0.25)


def test_norms_are_in_the_colours_of_the_parts(runs):
    figure = training.norm_curves(runs, TASKS)
    assert titles(figure) == ["LS<br>digit", "LS<br>garment", "F-CAGrad<br>digit", "F-CAGrad<br>garment"]
    assert {t.name for t in figure.data if t.xaxis == "x" and t.name} == {"loss part"}
    step = lines(runs["F-CAGrad"][0], "step")[0]
    low, high = (10**edge for edge in figure.layout.yaxis.range)
    assert low <= min(step["flat_norms"]) < max(step["norms"]) <= high


def test_agreement_is_at_most_one(runs):
    (name,) = {t.name for t in training.agreement_curves(runs).data if t.name}
    assert name == "F-CAGrad"


def bins(count, confidence, accuracy) -> dict:
    return dict(count=count, confidence=confidence, accuracy=accuracy)


def test_reliability_pools_the_seeds():
    seeds = [bins([0, 1, 3], [0, 0.5, 0.9], [0, 1.0, 1.0]), bins([0, 3, 3], [0, 0.5, 0.8], [0, 0.0, 0.8])]
    log = [[dict(kind="final", reliability=[b])] for b in seeds]
    figure = trained.reliability_diagrams({"LS": log}, ["digit"])
    _, points = figure.data
    assert list(points.x) == pytest.approx([0.5, 0.85])
    assert list(points.y) == pytest.approx([0.25, 0.9])
    assert points.marker.size == pytest.approx((4, 6))
    assert titles(figure) == ["LS<br>digit, ECE 13.0 %"]


def test_the_written_ece_is_that_of_the_evaluation(runs):
    figure = trained.reliability_diagrams({"LS": runs["LS"][:1]}, TASKS)
    written = [float(re.search(r"ECE ([\d.]+)", title)[1]) for title in titles(figure)]
    recorded = lines(runs["LS"][0], "evaluation")[-1]["test"]["ece"]
    assert written == pytest.approx(recorded, abs=0.06)


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


def test_every_method_has_a_look_of_its_own():
    names = ["F-CAGrad", "MGDA", "LS", *(f"method {k}" for k in range(20))]
    found = logs.looks(names)
    assert found["LS"] == METHODS["LS"]
    assert found["F-CAGrad"] == METHODS["F-CAGrad"]
    assert len({(look["color"], look["dash"]) for look in found.values()}) == len(names)
