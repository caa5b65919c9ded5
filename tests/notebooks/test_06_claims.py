"""Every figure that notebook 06 quotes is the formula's, or what the recorded runs say."""

import math
import re
from pathlib import Path
from statistics import mean

import nbformat
import pytest
import torch

from flatmtl_lite import lab
from flatmtl_lite.lab.instruments import scale
from flatmtl_lite.runs.records import flatness

RECORD = flatness.recorded()
LS, DECAY, SAM = flatness.LABELS
PLAIN, ADAPTIVE = flatness.RADII.index(0.05), flatness.ADAPTIVE_RADII.index(1.0)


def means(key: str, task: int = 0, radius: int | None = None) -> list[float]:
    """Of LS, weight decay and F-LS over the five seeds."""
    return [mean(values) for values in flatness.of_task(RECORD, key, task, radius).values()]


@pytest.fixture(scope="module")
def prose() -> str:
    path = Path(__file__).parents[2] / "notebooks" / "instructor" / "06_why_flat_generalises.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    return re.sub(r"[*>\s]+", " ", " ".join(cell.source for cell in cells if cell.cell_type == "markdown"))


CLAIMS = {
    "plain sharpness": "{:.3f} and {:.3f} for the digit".format(*means("sharpness", 0, PLAIN)),
    "top eigenvalue": "{:.0f}, {:.0f} and {:.0f}".format(*means("top_eigenvalue")),
    "adaptive sharpness": "weight decay ({1:.3f}) is close to F-LS ({2:.3f}), and LS ({0:.3f})".format(
        *means("adaptive_sharpness", 0, ADAPTIVE)
    ),
    "norms": "‖θ‖² = {1:.0f} instead of {0:.0f}".format(*means("norm_squared")),
    "small radius": "at 0.2: {:.4f}, {:.4f}, {:.4f}".format(*means("adaptive_sharpness", 0, 0)),
    "training loss": "LS stands at a training loss of {0:.2f}, the other two at {2:.1f}".format(
        *means("train_loss")
    ),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_quoted_figures_are_the_recorded_ones(claim, prose):
    assert CLAIMS[claim] in prose


def test_accuracies_and_ratios_in_words(prose):
    accuracy = means("test")
    assert accuracy[1] - accuracy[0] == pytest.approx(15, abs=0.5)
    assert "15 points of accuracy apart" in prose
    assert 4.5 < means("sharpness", 0, PLAIN)[0] / means("sharpness", 0, PLAIN)[2] < 5.5  # five times flatter
    assert 0 < accuracy[2] - accuracy[1] < 2  # hardly more accurate
    for task in (0, 1):
        ls, decay, sam = means("trace", task)
        assert sam < decay < ls
        by_seed = flatness.of_task(RECORD, "test", task)
        for better in (DECAY, SAM):  # five seeds of five
            assert all(b > a + 10 for a, b in zip(by_seed[LS], by_seed[better], strict=True))


def test_plain_sharpness_of_ls_and_weight_decay_at_every_radius(prose):
    assert "within a factor of 1.5 of each other at every radius" in prose
    for radius in range(len(flatness.RADII)):
        ls, decay, _ = means("sharpness", 0, radius)
        assert 1 / 1.5 < ls / decay < 1.5


@pytest.mark.parametrize("task", [0, 1])
def test_weight_decay_changes_sides_with_the_ball(task):
    ls, decay, sam = means("sharpness", task, PLAIN)
    assert decay**2 > ls * sam
    ls, decay, sam = means("adaptive_sharpness", task, ADAPTIVE)
    assert decay**2 < ls * sam


def test_calibration_depends_on_the_labels(prose):
    assert "their ECE is 6 to 8 %. LS is sure of everything, and its ECE is 36 to 37 %" in prose
    for task in (0, 1):
        clean, noisy = means("ece", task), means("ece_noisy", task)
        assert min(clean[1:]) > clean[0]
        assert 5.5 < min(noisy[1:]) <= max(noisy[1:]) < 8.5
        assert 35.5 < noisy[0] < 37.5
        for key in ("nll", "nll_noisy"):
            ls, *others = means(key, task)
            assert max(others) < ls


def test_the_size_of_the_bound(prose):
    f = sum(lab.bound_terms(402_964, 2000).values()).item()
    assert f"a loss of {round(f, -3):,.0f} on new data" in prose
    assert 18_000 < f / math.log(10) < 20_000  # "nearly 20,000", "four orders of magnitude"
    largest = lab.bound_terms(402_964, 2000)["½ P log(1 + ‖θ‖²/ρ² …)"].item() * math.sqrt(2000)
    assert 4.5 < largest / 402_964 < 5  # "nearly five nats for every weight"
    assert largest == pytest.approx(1.9e6, rel=0.03)
    images = torch.logspace(3, 16, 10_000, dtype=torch.float64)
    enough = images[sum(lab.bound_terms(402_964, images).values()) < math.log(10)][0].item()
    assert enough == pytest.approx(7e11, rel=0.05)
    assert means("norm_squared")[2] == pytest.approx(289, rel=0.03)


def test_examples_in_numbers(prose):
    assert "the loss rises there by 3 · 0.1² = 0.03" in prose
    w = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    H = torch.autograd.functional.hessian(lambda w: 3 * w[0] ** 2 + w[1] ** 2, w)
    assert torch.linalg.eigvalsh(H).max() == 6
    assert H.trace() == 8
    assert "(60 · 0.2 + 40 · 0)/100 = 0.12" in prose
    count, confidence, accuracy = torch.tensor([[60, 40], [0.9, 0.5], [42 / 60, 20 / 40]])
    ece = lab.checks.expected_calibration_error.right(count, confidence, accuracy)
    assert ece.item() == pytest.approx(0.12)


def test_the_rescaled_network(prose):
    assert "85 at α = 0.1" in prose
    alphas = torch.logspace(-1, 1, 81, dtype=torch.float64)
    theta = scale.rescaled(scale.trained(), alphas)
    found = scale.measured(theta, lambda weights: scale.losses(weights).mean(-1))
    assert found["sharpness"][0] / found["sharpness"][40] == pytest.approx(85, abs=1)
    assert "α = 1.41 is flatter by all three numbers" in prose
    wider = scale.measured(
        scale.rescaled(scale.trained(), torch.tensor([1.41], dtype=torch.float64)),
        lambda weights: scale.losses(weights).mean(-1),
    )
    for name in ("sharpness", "top", "trace"):
        assert wider[name][0] < 0.95 * found[name][40]
