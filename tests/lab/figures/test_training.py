"""Figures of runs while they train draw the numbers of the logs."""

import numpy as np
import pytest

from flatmtl_lite.lab.figures import training
from tests.lab.figures.panels import curve, lines, titles
from tests.lab.run_lines import EPOCHS, TASKS


def test_progress_shows_means_over_seeds(runs):
    figure = training.progress_curves(runs, TASKS)
    seeds = [lines(log, "evaluation") for log in runs["F-CAGrad"]]
    x, y = curve(figure, "F-CAGrad", column=2)
    assert x == [1, 2, 3]
    expected = [sum(seed[k]["test"]["accuracy"][1] for seed in seeds) / 2 for k in range(EPOCHS)]
    assert y == pytest.approx(expected, rel=1e-4)
    assert curve(figure, "LS", column=1, row=2)[1] == pytest.approx([2.3, 1.15, 2.3 / 3], rel=1e-4)


def test_two_seeds_are_two_dots_and_three_a_band(runs):
    """A band over two values would promise more than there is."""
    seeds = [lines(log, "evaluation") for log in runs["F-CAGrad"]]
    both = [seed[k]["test"]["accuracy"][0] for seed in seeds for k in range(EPOCHS)]
    two = training.progress_curves({"F-CAGrad": runs["F-CAGrad"]}, TASKS)
    assert [trace for trace in two.data if trace.fill == "toself"] == []
    dots = next(trace for trace in two.data if trace.mode == "markers")
    assert sorted(dots.y) == pytest.approx(sorted(both), rel=1e-4)
    three = training.progress_curves({"F-CAGrad": [*runs["F-CAGrad"], runs["F-CAGrad"][0]]}, TASKS)
    band = next(trace for trace in three.data if trace.fill == "toself")
    highest = max(seed[-1]["test"]["accuracy"][0] for seed in seeds)
    assert band.y[EPOCHS - 1] == pytest.approx(highest, rel=1e-4)
    assert not any(trace.mode == "markers" for trace in three.data)


def test_progress_takes_any_metric(runs):
    figure = training.progress_curves(runs, TASKS, metric="ece")
    assert figure.layout.yaxis.title.text == "ECE, %"
    with pytest.raises(ValueError, match="without 'miou' in their 'test'"):
        training.progress_curves(runs, TASKS, metric="miou")
    with pytest.raises(ValueError, match="'clean'"):
        training.progress_curves(runs, TASKS, split="clean")


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
