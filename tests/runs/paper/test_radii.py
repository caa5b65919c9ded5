"""The radii of the paper: what its authors' code names, and nothing else."""

import pytest

from flatmtl_lite.runs.experiments.registry import read_options
from flatmtl_lite.runs.paper.nyuv2 import NYUV2, method_of
from flatmtl_lite.runs.paper.radii import RADII, published_radius


@pytest.mark.parametrize("experiment", RADII)
def test_the_preset_takes_the_published_radius(experiment):
    for method in ("f-pcgrad", "f-cagrad", "f-mean"):
        config = read_options(experiment, "paper", {"method": method}).config
        radius = published_radius(experiment, method)
        if radius is None:
            assert (experiment, config.rho) == ("nyuv2", 0.05)  # PCGrad's
        else:
            assert (radius.rho, radius.adaptive) == (config.rho, config.adaptive)


def test_a_method_without_a_perturbation_has_no_radius():
    assert [published_radius("multimnist", name) for name in ("mean", "stl", "noise-mean")] == [None] * 3
    assert published_radius("rooms", "f-mean") is None


def test_every_row_of_the_paper_has_a_method_here():
    for name in NYUV2:
        assert read_options("nyuv2", None, {"method": method_of(name)}).config.method == method_of(name)
