"""The cone of common descent in space."""

import torch

from flatmtl_lite.lab.instruments.parts.space import cone_rays


def test_the_rays_bound_the_cone():
    G = torch.randn(50, 3, 3, dtype=torch.float64)
    inner = G @ cone_rays(G).mT
    off = inner - torch.diag_embed(inner.diagonal(dim1=-2, dim2=-1))
    assert off.abs().max() < 1e-9
    assert (inner.diagonal(dim1=-2, dim2=-1) > 0).all()
