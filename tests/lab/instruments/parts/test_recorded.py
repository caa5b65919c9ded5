"""Snapshot lines of a log."""

import pytest

from flatmtl_lite.lab.instruments.parts.recorded import read_snapshots, shorten


def line(tasks: int) -> dict:
    gramian = [[1.0 / 3] * 2 * tasks] * 2 * tasks
    losses = [1.0] * tasks
    return dict(epoch=1, rho=[0.1], losses=losses, perturbed_losses=[losses], gramians=[gramian])


def test_recorded_numbers_keep_seven_digits():
    assert shorten([line(2)])["epoch 1"]["gramians"][0][0][0] == 0.3333333


def test_five_tasks_are_too_many():
    rhos, _ = read_snapshots(shorten([line(4)]))
    assert rhos.tolist() == [0.1]
    with pytest.raises(ValueError, match="Got snapshots of 5 tasks"):
        read_snapshots(shorten([line(5)]))
