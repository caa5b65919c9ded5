"""Predictive entropy against torch's own, and histograms that lose no image."""

import math

import pytest
import torch

from flatmtl_lite.runs.measures.entropy import entropy, entropy_histograms

LOG_P = (3 * torch.randn(300, 10, generator=torch.Generator().manual_seed(0))).log_softmax(-1)


def test_entropy_is_that_of_torch_distributions():
    expected = torch.distributions.Categorical(logits=LOG_P).entropy()
    torch.testing.assert_close(entropy(LOG_P), expected, rtol=1e-4, atol=1e-5)
    assert (entropy(torch.full((3, 10), -200.0).scatter(1, torch.tensor([[1], [2], [3]]), 0.0)) >= 0).all()
    assert entropy(torch.tensor([[0.0, -math.inf]])).item() == 0


def test_entropy_histograms_count_every_image_on_one_scale():
    ten, two = LOG_P, torch.full((300, 2), -math.log(2))
    histograms = entropy_histograms({"mnist": [ten, two], "fashion": [ten[:50], two[:50]]}, bins=10)
    assert histograms["edges"][0] == 0
    assert histograms["edges"][-1] == pytest.approx(math.log(10), abs=1e-4)
    assert [[sum(task) for task in histograms[name]] for name in ("mnist", "fashion")] == [
        [300, 300],
        [50, 50],
    ]
    histc = torch.histc(entropy(ten), 10, 0, math.log(10)).int().tolist()
    assert histograms["mnist"][0] == histc
    assert histograms["mnist"][1] == [0, 0, 0, 300, *[0] * 6]  # log 2 lies in the fourth tenth of log 10
    undecided = torch.full((7, 5), -math.log(5))  # rounding puts their entropy on the last edge
    assert entropy_histograms({"mnist": [undecided]}, bins=10)["mnist"] == [[*[0] * 9, 7]]


def test_entropy_histograms_of_different_networks_are_refused():
    for data in ({}, {"a": []}, {"a": [torch.zeros(1, 10)], "b": [torch.zeros(1, 2)]}):
        with pytest.raises(ValueError, match="expected the classes of one network"):
            entropy_histograms(data)
