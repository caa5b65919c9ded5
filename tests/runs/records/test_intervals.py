"""Intervals over seeds are Student's t intervals, and verdicts need every interval."""

import pytest
import torch

from flatmtl_lite.runs.records.intervals import (
    FAILS,
    HOLDS,
    OPEN,
    STUDENT,
    Interval,
    interval,
    joined,
    paired,
    verdict,
)


def test_student_is_what_samples_of_the_normal_distribution_do():
    generator = torch.Generator().manual_seed(0)
    for freedom, bound in STUDENT.items():
        x = torch.randn(40_000, freedom + 1, generator=generator, dtype=torch.float64)
        t = x.mean(1) / x.std(1) * (freedom + 1) ** 0.5
        assert (t.abs() < bound).double().mean().item() == pytest.approx(0.95, abs=0.005)


def test_no_interval_gives_no_verdict():
    with pytest.raises(ValueError, match="Got no interval"):
        verdict([])


def test_an_interval_covers_the_true_mean_nineteen_times_in_twenty():
    generator = torch.Generator().manual_seed(1)
    samples = (3 + 2 * torch.randn(4000, 5, generator=generator)).tolist()
    hits = sum(part.low < 3 < part.high for part in map(interval, samples))
    assert hits / 4000 == pytest.approx(0.95, abs=0.012)


def test_differences_are_taken_seed_by_seed():
    assert paired([2.0, 12.0, 22.0], [1.0, 11.0, 21.0]) == (1, 1, 1)
    with pytest.raises(ValueError, match="Got 1 seeds; expected 2 to 10"):
        paired([1.0], [2.0])


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ([(1, 0.5, 2), (3, 2, 4)], HOLDS),
        ([(1, 0.5, 2), (1, -0.1, 2)], OPEN),
        ([(1, 0.5, 2), (0.1, -0.1, 0.4)], FAILS),  # too small to matter
        ([(-1, -2, -0.5)], FAILS),
        ([(0.2, 0.1, 0.3)], HOLDS),  # small, and there
    ],
)
def test_a_claim_needs_every_interval(parts, word):
    assert verdict([Interval(*part) for part in parts]) == word


def test_settings_that_disagree_are_named():
    assert joined({"a": HOLDS, "b": HOLDS}) == HOLDS
    assert joined({"a": HOLDS, "b": OPEN, "c": OPEN}) == "holds here (a); open (b, c)"
