"""Passes are counted as a step runs them, and the record of costs is read as it was written."""

import json

import pytest
import torch

from flatmtl_lite.runs.records import cost
from flatmtl_lite.runs.records.cost import PassCounter, PeakMemory, costs_of, measure


@pytest.mark.parametrize(
    ("label", "passes"),
    [
        *(("LS", 3.0), ("CAGrad", 5.0), ("SAM on the mean", 6.0), ("F-LS", 11.0), ("SAMO", 13.0)),
        *(("SAMO, coin", 9.0), ("F-LS, every 5", 6.2), ("F-LS, quarter batch", 6.5)),
    ],
)
def test_a_method_costs_its_passes(label, passes, monkeypatch):
    monkeypatch.setattr(cost, "ROUNDS", 1)
    [entry] = measure("mlp", [label])
    assert entry["passes"] == passes
    assert (entry["network"], entry["label"]) == ("mlp", label)
    assert entry["ms"] > 0
    weights = 4 * 402_964 / 1e6  # momentum and gradients alone hold more
    assert 2 * weights < entry["peak_mb"] < 20 * weights


def test_a_pass_counts_once_forward_twice_backward_and_by_its_share():
    trunk = torch.nn.Linear(3, 2)
    counter = PassCounter(trunk, batch_size=8)
    z = trunk(torch.randn(4, 3))
    assert counter.passes == 0.5
    for retain in (True, False):
        torch.autograd.grad(z.sum(), trunk.weight, retain_graph=retain)
    assert counter.passes == 0.5 + 2 * 2 * 0.5
    with torch.no_grad():
        trunk(torch.randn(8, 3))
    assert counter.passes == 3.5


def test_peak_memory_is_the_most_at_once():
    with PeakMemory() as memory:
        one = torch.zeros(1000, dtype=torch.float64)
        del one
        torch.zeros(500, dtype=torch.float64)
    assert memory.peak == 8000


def test_a_share_of_the_epochs_costs_that_share():
    entries = [
        {"network": "mlp", "label": label, "passes": passes, "ms": ms, "peak_mb": 1.0}
        for label, passes, ms in (("LS", 3.0, 2.0), ("F-LS, last fifth", 11.0, 7.0), ("F-LS", 11.0, 7.0))
    ]
    costs = costs_of({"costs": [*entries, {**entries[0], "network": "lenet"}]}, "mlp")
    assert costs["F-LS, last fifth"] == pytest.approx({"passes": 4.6, "ms": 3.0, "peak_mb": 1.0})
    assert costs["F-LS"]["passes"] == 11.0


def test_the_record_is_written_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "measure", lambda network: [{"network": network, "label": "LS"}])
    cost.record(tmp_path / "cost.json", [])
    record = json.loads((tmp_path / "cost.json").read_text())
    assert [entry["network"] for entry in record["costs"]] == ["mlp", "lenet"]
    assert record["command"].startswith("flatmtl-lite record cost")
