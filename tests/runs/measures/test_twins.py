"""Single-task twins are measured as if they were one network."""

import pytest
import torch

from flatmtl_lite.diagnostics import top_eigenvalue
from flatmtl_lite.runs import mlp, single_task, task_closures
from flatmtl_lite.runs.measures.landscape import landscape_of, line
from flatmtl_lite.runs.measures.snapshots import RADII, snapshot_of

IMAGES = torch.randint(256, (6, 36, 36), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([[k, 9 - k] for k in range(6)])


def closures(net, tasks):
    return task_closures(net, IMAGES, LABELS[:, list(tasks)])


@pytest.fixture(scope="module")
def twins():
    torch.manual_seed(0)
    return single_task(lambda classes: mlp(classes, width=4), (10, 10))


def test_a_snapshot_of_twins_has_one_number_per_task_and_no_gramians(twins):
    both, second = (
        snapshot_of(twins, closures),
        snapshot_of(twins.twins[1], lambda net, _: closures(net, [1])),
    )
    assert list(both) == ["rho", "losses", "perturbed_losses", "sharpness"]
    assert tuple(both["rho"]) == RADII
    assert both["losses"][1:] == second["losses"]
    for key in ("perturbed_losses", "sharpness"):
        assert [row[1:] for row in both[key]] == second[key]
        assert {len(row) for row in both[key]} == {2}
    assert "gramians" in second


def test_a_landscape_of_twins_has_the_axes_of_one_network(twins):
    landscape = landscape_of(twins, closures)
    slices = landscape["slices"]
    first = line(twins.twins[0], *closures(twins.twins[0], [0]))
    assert slices["line"]["alpha"] == first["alpha"]
    assert [row[:1] for row in slices["line"]["losses"]] == first["losses"]
    assert torch.tensor(slices["plane"]["losses"]).shape == (11, 11, 2)
    for task, twin in enumerate(twins.twins):
        features, [loss] = closures(twin, [task])
        exact = top_eigenvalue(lambda features=features, loss=loss: loss(features()), twin.parameters())
        assert landscape["top_eigenvalue"][task] == pytest.approx(exact, rel=1e-4)
