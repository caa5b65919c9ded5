"""Exercises of notebook 07: two methods over several seeds, a score on wrong labels, and a verdict."""

from torch import Tensor

from .exercise import Exercise
from .vectors import vector

SEEDS = [
    (vector(70, 72, 68), vector(55, 58, 52)),
    (vector(80.2, 79.1, 81.4, 80), vector(80, 79.4, 81.7, 80.3)),
]


def _paired(one: Tensor, other: Tensor, spread: Tensor | None = None) -> tuple[Tensor, Tensor]:
    difference = one - other
    return difference.mean(), difference.std() if spread is None else spread


paired_difference = Exercise(
    arguments=("one", "other"),
    cases=SEEDS,
    right=_paired,
    mistakes={
        "you add the two variances, as for independent runs. Here each pair has the same seed. Take the "
        "standard deviation of the differences.": lambda one, other: _paired(
            one, other, (one.var() + other.var()).sqrt()
        ),
        "take the standard deviation of the differences. You take the one of the first method.": (
            lambda one, other: _paired(one, other, one.std())
        ),
        "you return the variance. Return its root, the standard deviation.": (
            lambda one, other: _paired(one, other, (one - other).var())
        ),
        "take the standard deviation of the differences, not the difference of two standard deviations.": (
            lambda one, other: _paired(one, other, one.std() - other.std())
        ),
        "you divide by n. With so few seeds divide by n - 1, as .std() does.": lambda one, other: _paired(
            one, other, (one - other).std(correction=0)
        ),
        "you return the standard error, which says how well the mean is known. Return the standard "
        "deviation, without the division by √n.": lambda one, other: _paired(
            one, other, (one - other).std() / len(one) ** 0.5
        ),
        "the sign is the other way round. Take one minus other.": lambda one, other: _paired(other, one),
        "the first number is the mean and the second is the standard deviation. Swap them.": (
            lambda one, other: _paired(one, other)[::-1]
        ),
        "you return the differences themselves. Return two numbers: their mean and their standard "
        "deviation.": lambda one, other: one - other,
        "return the standard deviation of the differences too, as a second number.": lambda one, other: (
            one - other
        ).mean(),
    },
    praise="what the two runs of a seed share cancels in the difference.",
)


def _noisy(accuracy: float, noise: float, classes: int, luck: float | None = None) -> float:
    by_luck = noise / (classes - 1) if luck is None else luck
    return accuracy * (1 - noise) + (1 - accuracy) * by_luck


noisy_accuracy = Exercise(
    arguments=("accuracy", "noise", "classes"),
    cases=[(0.7, 0.4, 10), (0.25, 0.3, 4), (0.9, 0.1, 2)],
    right=_noisy,
    mistakes={
        "you forget the wrong answers that agree with a wrong label by luck: add (1 - accuracy) times their "
        "chance.": lambda accuracy, noise, classes: _noisy(accuracy, noise, classes, luck=0),
        "a wrong label is one of the *other* classes, so divide by classes - 1.": (
            lambda accuracy, noise, classes: _noisy(accuracy, noise, classes, luck=noise / classes)
        ),
        "a wrong answer agrees with a wrong label only if both name the same class. Divide the noise by "
        "classes - 1.": lambda accuracy, noise, classes: _noisy(accuracy, noise, classes, luck=noise),
        "a wrong answer can agree only with a *wrong* label. Multiply its chance 1/(classes - 1) by the "
        "noise.": lambda accuracy, noise, classes: _noisy(accuracy, noise, classes, luck=1 / (classes - 1)),
        "only a wrong answer can agree by luck. Multiply this chance by 1 - accuracy.": (
            lambda accuracy, noise, classes: accuracy * (1 - noise) + noise / (classes - 1)
        ),
        "a right answer agrees with a right label. The share of right labels is 1 - noise, not noise.": (
            lambda accuracy, noise, classes: _noisy(accuracy, 1 - noise, classes)
        ),
        "9 is right only for ten classes. Divide by classes - 1.": (
            lambda accuracy, noise, classes: _noisy(accuracy, noise, classes, luck=noise / 9)
        ),
        "you subtract the noise. Of the right answers the share 1 - noise agrees, so multiply.": (
            lambda accuracy, noise, classes: accuracy - noise
        ),
        "return a share from 0 to 1, not per cent.": (
            lambda accuracy, noise, classes: 100 * _noisy(accuracy, noise, classes)
        ),
    },
    praise="a network that guesses scores 1/classes, whatever the noise.",
)


INTERVALS = [
    (0.2, 1.4, 0.5),
    (-0.3, 0.2, 0.5),
    (-0.4, 1.2, 0.5),
    (0.1, 0.3, 0.5),
    (-2.0, -0.6, 0.5),
    (0.7, 0.9, 0.5),
]

judge = Exercise(
    arguments=("low", "high", "matters"),
    cases=INTERVALS,
    right=lambda low, high, matters: (low > 0, low <= 0 and high < matters),
    mistakes={
        "an interval that holds 0 refutes nothing. A claim fails only if the whole interval lies below the "
        "smallest gain that matters.": lambda low, high, matters: (low > 0, low <= 0),
        "a claim also fails if a gain is possible but too small: compare high with matters, not with 0.": (
            lambda low, high, matters: (low > 0, high < 0)
        ),
        "a claim cannot hold and fail at once. If the interval lies above 0, it holds, even if the gain is "
        "small.": lambda low, high, matters: (low > 0, high < matters),
        "a claim holds if a gain is there. It need not be one that matters: compare low with 0.": (
            lambda low, high, matters: (low > matters, low <= 0 and high < matters)
        ),
        "a claim holds only if the whole interval lies above 0: compare low with 0, not high.": (
            lambda low, high, matters: (high > 0, low <= 0 and high < matters)
        ),
        "the middle of the interval is not enough. Use its ends.": lambda low, high, matters: (
            low + high > 0,
            low + high <= 0,
        ),
        "the first answer says whether the claim holds, the second whether it fails. Swap them.": (
            lambda low, high, matters: (low <= 0 and high < matters, low > 0)
        ),
        "return two answers: whether the claim holds, and whether it fails. If both are False, it is open.": (
            lambda low, high, matters: low > 0
        ),
    },
    praise="a claim that neither holds nor fails is open. More seeds can settle it.",
)
