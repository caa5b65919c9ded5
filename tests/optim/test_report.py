"""The report of a step against a direct computation."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.gradients import flatten
from tests.optim.nets import close, linear_tasks


def test_the_report_is_what_a_direct_computation_gives(net):
    features, losses = net.batch()
    z = features()
    rows = [flatten(torch.autograd.grad(loss(z), net.shared, retain_graph=True)) for loss in losses]
    expected_losses = torch.stack([loss(z).detach() for loss in losses])
    flat = fm.decompose(features, losses, net.shared, net.head_lists, rho=0.3).flat
    report = net.step(aggregate=fm.CAGrad(), rho=0.3)(features, losses)

    def cosine(a, b):
        return (a @ b / a.norm() / b.norm()).item()

    close(report.losses, expected_losses)
    for i in range(3):
        assert report.norms[i].item() == pytest.approx(rows[i].norm().item())
        assert report.flat_norms[i].item() == pytest.approx(flat[i].norm().item())
        assert report.intra_cosines[i].item() == pytest.approx(cosine(rows[i], flat[i]))
        for j in range(3):
            assert report.cosines[i, j].item() == pytest.approx(cosine(rows[i], rows[j]))
            assert report.flat_cosines[i, j].item() == pytest.approx(cosine(flat[i], flat[j]))
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert report.conflict_ratio == sum(cosine(rows[i], rows[j]) < 0 for i, j in pairs) / 3
    assert report.flat_conflict_ratio == sum(cosine(flat[i], flat[j]) < 0 for i, j in pairs) / 3
    shapes = {"norms": (3,), "flat_norms": (3,), "intra_cosines": (3,), "cosines": (3, 3)}
    shapes |= {"flat_cosines": (3, 3), "gramian": (6, 6), "losses": (3,), "perturbed_losses": (3,)}
    assert {name: tuple(getattr(report, name).shape) for name in shapes} == shapes
    assert bool((report.perturbed_losses > report.losses).all())
    assert not report.losses.requires_grad
    assert not report.perturbed_losses.requires_grad


def test_the_conflict_ratio_is_the_share_of_conflicting_pairs():
    G = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]])  # 1 and 3 conflict; 1 and 2 are at right angles
    w, features, losses = linear_tasks(G)
    step = fm.FlatMTL(torch.optim.SGD([w], 0.1), [w], [[], [], []], aggregate=fm.CAGrad())
    report = step(features, losses)
    assert report.conflict_ratio == pytest.approx(1 / 3)
    assert report.flat_conflict_ratio == 0
    assert report.flat_norms.tolist() == [0, 0, 0]
    assert report.flat_cosines[0, 1] == report.intra_cosines[0] == 0
    torch.testing.assert_close(report.norms, torch.tensor([1, 2, 2**0.5], dtype=torch.float64))


ANGLES = ["gramian", "cosines", "flat_cosines", "intra_cosines", "conflict_ratio", "flat_conflict_ratio"]
ANGLES += ["norms", "flat_norms"]


@pytest.mark.parametrize(
    ("options", "angles", "perturbed"),
    [
        ({"aggregate": fm.Mean(), "combine": "erm"}, False, False),
        ({"aggregate": fm.Mean(), "rho": 0.0}, False, False),
        ({"aggregate": fm.Mean(), "perturb": "mean"}, False, True),
        ({"aggregate": fm.Mean()}, True, True),
        ({"aggregate": fm.MGDA(), "combine": "erm"}, True, False),
        ({"aggregate": fm.MGDA(), "rho": 0.0}, True, False),
        ({"aggregate": fm.MGDA(), "rho": 0.0, "combine": "second"}, True, False),
        ({"aggregate": fm.MGDA(), "perturb": "mean"}, True, True),
        ({"aggregate": fm.MGDA()}, True, True),
    ],
)
def test_a_report_says_none_for_what_the_step_did_not_need(net, options, angles, perturbed):
    report = net.step(**options)(*net.batch())
    assert [getattr(report, name) is not None for name in ANGLES] == [angles] * len(ANGLES)
    assert (report.perturbed_losses is not None) == perturbed
    assert report.losses.shape == (3,)
    if angles and not perturbed:
        assert report.flat_norms.tolist() == [0, 0, 0]
