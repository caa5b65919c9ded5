"""The exercises of notebook 07 agree with the records and with a simulation."""

import pytest
import torch

from flatmtl_lite.lab import checks
from flatmtl_lite.runs.records import comparison
from flatmtl_lite.runs.records.intervals import FAILS, HOLDS, OPEN, STUDENT, Interval, paired, verdict


def test_the_paired_difference_is_the_one_of_the_record():
    accuracy = comparison.accuracy(comparison.recorded())
    one, other = (torch.tensor(accuracy[name], dtype=torch.float64) for name in ("F-LS", "LS"))
    mean, sd = (value.item() for value in checks.paired_difference.right(one, other))
    found = paired(accuracy["F-LS"], accuracy["LS"])
    assert mean == pytest.approx(found.mean)
    assert STUDENT[4] * sd / 5**0.5 == pytest.approx(found.high - found.mean)  # five seeds


def test_the_noisy_accuracy_is_that_of_a_simulation():
    generator = torch.Generator().manual_seed(0)
    n, classes, accuracy, noise = 400_000, 10, 0.7, 0.4

    def spoiled(labels, share):
        """Replace a share of the labels by one of the other classes."""
        others = (labels + torch.randint(1, classes, (n,), generator=generator)) % classes
        return torch.where(torch.rand(n, generator=generator) < share, others, labels)

    true = torch.randint(classes, (n,), generator=generator)
    answers, given = spoiled(true, 1 - accuracy), spoiled(true, noise)
    agrees = (answers == given).double().mean().item()
    assert checks.noisy_accuracy.right(accuracy, noise, classes) == pytest.approx(agrees, abs=0.003)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda one, other: ((one - other).mean(), (one.var() + other.var()).sqrt()), "two variances"),
        (lambda one, other: ((one - other).mean(), (one - other).std(unbiased=False)), "n - 1"),
        (lambda one, other: (one - other).mean(), "second number"),
    ],
)
def test_mistakes_in_the_paired_difference_are_named(answer, word):
    feedback = checks.paired_difference(answer)
    assert (feedback.state, word in feedback.message) == ("almost", True)


def test_mistakes_in_the_noisy_accuracy_are_named():
    for answer, word in (
        (lambda accuracy, noise, classes: accuracy * (1 - noise), "by luck"),
        (lambda a, n, k: a * (1 - n) + (1 - a) * n / k, "classes - 1"),
    ):
        feedback = checks.noisy_accuracy(answer)
        assert (feedback.state, word in feedback.message) == ("almost", True)


def test_a_verdict_is_the_one_of_the_table_of_claims():
    words = {(True, False): HOLDS, (False, True): FAILS, (False, False): OPEN}
    found = []
    for low, high, matters in checks.judge.cases:
        found.append(words[checks.judge.right(low, high, matters)])
        assert found[-1] == verdict([Interval((low + high) / 2, low, high)], matters)
    assert set(found) == set(words.values())


def test_absence_of_evidence_is_no_refutation():
    feedback = checks.judge(lambda low, high, matters: (low > 0, not low > 0))
    assert (feedback.state, "holds 0 refutes nothing" in feedback.message) == ("almost", True)
