"""Steps in space, and the cone that is good for all."""

import math

import pytest
import torch

from flatmtl_lite.lab.instruments.parts.space import EDGE, Space, cone_edges, cone_rays, project
from tests.lab.instruments.parts.pictures import moving


def test_the_rays_bound_the_cone():
    steps = torch.randn(50, 3, 3, dtype=torch.float64)
    inner = steps @ cone_rays(steps).mT
    off = inner - torch.diag_embed(inner.diagonal(dim1=-2, dim2=-1))
    assert off.abs().max() < 1e-9
    assert (inner.diagonal(dim1=-2, dim2=-1) > 0).all()


def test_the_camera_looks_from_20_degrees_above():
    upright = torch.tensor([[[0.0, 0.0, 1.0]]]).double()
    across, up = project(upright, torch.tensor([70.0]).double()).flatten().tolist()
    assert across == pytest.approx(0, abs=1e-9)
    assert up == pytest.approx(math.cos(math.radians(20)))


def test_the_space_shows_steps_plumb_lines_and_faces():
    steps = torch.tensor([[[1.0, 0, 0.5], [0, 1, 0.2], [0.1, 0.1, 1]]]).double().expand(2, 3, 3)
    cameras = torch.tensor([0.0, 90.0]).double()
    points = moving(Space(steps, cameras))
    seen = project(steps, cameras)
    for k in range(3):
        assert torch.allclose(points[f"gradient-{k}"][:, 1], seen[:, k])
        top, foot = points[f"plumb-{k}"].unbind(1)
        assert torch.allclose(top, seen[:, k])
        assert torch.allclose(top[:, 0], foot[:, 0])  # a plumb line is upright for every camera
        corners = project(EDGE * cone_rays(steps), cameras)
        assert torch.allclose(points[f"face-{k}"][:, 1], corners[:, k])
    assert cone_edges(steps, cameras).abs().max() < 1.8
