"""The split instrument: what it shows is computed here another way."""

import pytest
import torch

from flatmtl_lite import lab
from flatmtl_lite.diagnostics import angles
from flatmtl_lite.toy import ACTIVATIONS, TinyNet
from tests.lab.traces import shown

ALL = pytest.mark.parametrize("activation", ACTIVATIONS)


def split(activation: str, rho: float) -> tuple:
    """Loss part, flat part, ρHg/‖g‖ and ε of each task, the Hessian written out in full."""
    net = TinyNet(activation)
    theta = net.theta
    loss = net.gradients(theta.expand(1, -1))
    eps = rho * loss / loss.norm(dim=-1, keepdim=True)
    flat = net.gradients(theta + eps) - loss
    predicted = []
    for k in (0, 1):
        H = torch.autograd.functional.hessian(lambda w, k=k: net.losses(w.expand(2, -1))[k], theta)
        predicted.append(H @ eps[k])
    return loss, flat, torch.stack(predicted), eps


@ALL
@pytest.mark.parametrize("position", [12, 45])
def test_it_shows_the_core(activation, position):
    stage = lab.split_instrument(activation=activation)
    stage.index = position
    rho = (10 ** torch.linspace(-3, 0.5, 81, dtype=torch.float64))[position].item()
    loss, flat, predicted, eps = split(activation, rho)
    missed = (flat - predicted).norm(dim=-1) / flat.norm(dim=-1)
    net = TinyNet(activation)
    for k in range(2):
        assert shown(stage, "error-0-here")[2 * k].tolist() == pytest.approx(
            [rho, missed[k].item()], rel=1e-6
        )
        length = flat[k].norm() / loss[k].norm()
        assert shown(stage, "length-0-here")[2 * k].tolist() == pytest.approx([rho, length.item()], rel=1e-6)
        curve, straight = shown(stage, f"slope-{k}"), shown(stage, f"straight-{k}")
        assert curve[0].tolist() == [0, 0]
        assert torch.cat([curve, straight])[:, 1].abs().max().item() == pytest.approx(1)
        unit = eps[k] / rho
        ratio = (flat[k] @ unit) / (predicted[k] @ unit)
        assert (curve[-1, 1] / straight[-1, 1]).item() == pytest.approx(ratio.item(), rel=1e-6)
        at, height = curve[60].tolist()
        growth = (net.gradients(net.theta + at * eps)[k] - loss[k]) @ unit
        assert height / curve[-1, 1].item() == pytest.approx((growth / (flat[k] @ unit)).item(), rel=1e-6)
    degrees = angles(torch.cat([loss, flat]))
    for uid, (i, j) in {"between-loss": (0, 1), "between-flat": (2, 3), "within-1": (1, 3)}.items():
        x, y = shown(stage, uid)[1]
        assert torch.rad2deg(torch.atan2(y, x)).item() == pytest.approx(degrees[i, j].item())
