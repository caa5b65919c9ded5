"""Reliability diagrams."""

import re

import pytest
import torch

from flatmtl_lite.lab.figures import calibration
from tests.lab.figures.panels import lines, titles
from tests.lab.run_lines import TASKS


def test_a_diagram_leaves_out_bins_with_few_images():
    bins = (torch.tensor([5.0, 50.0]), torch.tensor([0.3, 0.8]), torch.tensor([0.1, 0.6]))
    diagram = calibration.reliability_diagram({"clean": [bins, bins]}, ("digit", "garment"))
    assert [tuple(trace.x) for trace in diagram.data[1:]] == [(0.8,)] * 2  # five images are too few


def bins(count, confidence, accuracy) -> dict:
    return dict(count=count, confidence=confidence, accuracy=accuracy)


def test_reliability_pools_the_seeds():
    seeds = [bins([0, 1, 3], [0, 0.5, 0.9], [0, 1.0, 1.0]), bins([0, 3, 3], [0, 0.5, 0.8], [0, 0.0, 0.8])]
    log = [[dict(kind="final", reliability=[b])] for b in seeds]
    figure = calibration.reliability_diagrams({"LS": log}, ["digit"])
    _, points = figure.data
    assert list(points.x) == pytest.approx([0.5, 0.85])
    assert list(points.y) == pytest.approx([0.25, 0.9])
    assert points.marker.size == pytest.approx((4, 6))
    assert titles(figure) == ["LS<br>digit, ECE 13.0 %"]


def test_the_written_ece_is_that_of_the_evaluation(runs):
    figure = calibration.reliability_diagrams({"LS": runs["LS"][:1]}, TASKS)
    written = [float(re.search(r"ECE ([\d.]+)", title)[1]) for title in titles(figure)]
    recorded = lines(runs["LS"][0], "evaluation")[-1]["test"]["ece"]
    assert written == pytest.approx(recorded, abs=0.06)
