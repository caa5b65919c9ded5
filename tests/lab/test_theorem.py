"""The bound of Theorem 1."""

import pytest
import torch

from flatmtl_lite import lab


def test_the_bound_grows_with_the_norm_and_falls_with_the_images():
    values = [sum(lab.bound_terms(1000, 1e4, norm_squared=n).values()) for n in (1.0, 10.0, 100.0)]
    assert values == sorted(values)
    values = sum(lab.bound_terms(1000, torch.logspace(2, 8, 20)).values())
    assert (values.diff() < 0).all()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (dict(weights=0), "weights=0.0"),
        (dict(images=float("nan")), "images=nan"),
        (dict(delta=1), "delta=1"),
        (dict(rho=0), "rho=0"),
        (dict(tasks=0), "tasks=0"),
        (dict(largest_loss=0), "largest_loss=0"),
    ],
)
def test_bad_input_is_named(options, word):
    with pytest.raises(ValueError, match=f"{word}; expected"):
        lab.bound_terms(**dict(weights=10, images=10) | options)
