"""The snapshot instrument: what it shows is computed here from the gradients themselves."""

import copy

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.diagnostics import angles
from flatmtl_lite.lab.publish.site import stage_of
from tests.lab.run_lines import RADII, TASKS, at, finished_run, trained
from tests.lab.traces import shown

METHODS = pytest.mark.parametrize("method", ["cagrad", "pcgrad", "mgda"])


def made(tasks: int, epoch: int, radii=(0.0, 0.02, 0.1, 0.5)) -> dict:
    """A snapshot of tasks with quadratic losses in 12 weights, whose flat parts are ρ A g/‖g‖."""
    draw = torch.Generator().manual_seed(epoch)
    loss = torch.randn(tasks, 12, generator=draw, dtype=torch.float64)
    A = torch.randn(tasks, 12, 12, generator=draw, dtype=torch.float64)
    unit = loss / loss.norm(dim=-1, keepdim=True)
    flat = (A @ unit.unsqueeze(-1)).squeeze(-1)
    grams = [torch.cat([loss, rho * flat]) @ torch.cat([loss, rho * flat]).T for rho in radii]
    losses = torch.arange(1.0, tasks + 1)
    return dict(
        kind="snapshot",
        epoch=epoch,
        rho=list(radii),
        losses=losses.tolist(),
        perturbed_losses=[(losses + rho).tolist() for rho in radii],
        gramians=[M.tolist() for M in grams],
    )


@pytest.fixture(scope="module")
def real() -> list[dict]:
    return [line for line in finished_run("f-cagrad")["log"] if line["kind"] == "snapshot"]


@METHODS
def test_it_shows_a_real_run(real, method):
    stage = lab.snapshot_instrument(real, TASKS, rho=0.04, method=method)
    assert stage.values[stage.index] == "0.05"
    d = at(trained("f-cagrad", 0), 0.05)
    between = angles(torch.cat([d.loss, d.flat]).double())
    assert shown(stage, "loss")[0, 0].item() == pytest.approx(between[0, 1].item(), abs=0.01)
    assert shown(stage, "flat")[0, 0].item() == pytest.approx(between[2, 3].item(), abs=0.01)
    within = [between[0, 2].item(), between[1, 3].item()]
    assert shown(stage, "intra")[:, 0].tolist() == pytest.approx(within, abs=0.01)
    for k in range(2):
        norm = d.flat[k].norm().item()
        assert shown(stage, "norms-0-here")[2 * k].tolist() == pytest.approx([0.05, norm], rel=1e-4)
        loss = d.perturbed_losses[k].item()
        assert shown(stage, "losses-0-here")[2 * k].tolist() == pytest.approx([0.05, loss], rel=1e-4)
        norm = d.loss[k].norm().item()
        assert shown(stage, f"loss-norm-{k}")[:, 1].tolist() == pytest.approx([norm] * len(RADII), rel=1e-4)
    one, other = (rule(d, fm.aggregator(method)) for rule in (fm.decomposed, fm.direct))
    cosine = torch.cosine_similarity(one, other, dim=0).item()
    assert shown(stage, "same-here")[0, 1].item() == pytest.approx(cosine, abs=1e-4)
    assert f"cos(decomposed, direct) {cosine:.3f}, {method}" in stage.state


@pytest.mark.parametrize("tasks", [2, 3, 4])
def test_every_choice_fills_every_trace(tasks):
    stage = lab.snapshot_instrument([made(tasks, 1), made(tasks, 9)])
    assert stage.choices == ["epoch 1", "epoch 9"]
    assert stage.choice == 1
    assert stage.values == ["0.02", "0.1", "0.5"]  # not 0
    stage.fill()
    for k in range(2):
        stage.choice = k
        assert len(set(stage.states[k])) == len(stage.values)
        assert all(len(t.x) == len(t.y) >= 1 for t in stage.drawn().data if t.uid)
    assert len(shown(stage, "flat")) == tasks * (tasks - 1) // 2
    assert len(shown(stage, "intra")) == tasks


def test_what_it_shows_lies_within_its_axes():
    stage = lab.snapshot_instrument([made(3, k) for k in (1, 2, 3)], method="upgrad")
    layout = stage.drawn().layout
    for uid, axis in (("norms-2", layout.yaxis2), ("losses-2", layout.yaxis3), ("same", layout.yaxis4)):
        low, high = axis.range
        for choice in range(3):
            stage.choice = choice
            y = shown(stage, uid)[:, 1]
            y = y.log10() if axis.type == "log" else y
            assert low <= y.min() <= y.max() <= high


def test_runs_can_be_compared():
    stage = lab.snapshot_instrument({"LS": made(2, 5), "F-LS": made(2, 6)}, shown="LS")
    assert (stage.choices, stage.choice) == (["LS", "F-LS"], 0)
    flat = shown(stage, "flat")
    stage.choice = 1
    assert not torch.equal(shown(stage, "flat"), flat)


def test_a_task_without_gradient_has_no_angle():
    line = made(2, 1)
    for M in line["gramians"]:
        for k in range(4):
            M[0][k] = M[k][0] = M[2][k] = M[k][2] = 0.0
    stage = lab.snapshot_instrument([line])
    assert shown(stage, "flat")[:, 0].isnan().all()
    assert "flat parts up to – apart" in stage.state


def test_the_call_opens_the_same_state(real):
    stage = lab.snapshot_instrument(real, TASKS, rho=0.2, method="mgda")
    again = stage_of(stage.call)
    assert (again.index, again.choice, again.tables) == (stage.index, stage.choice, stage.tables)
    for index in range(len(RADII)):
        stage.index = index
        assert stage_of(stage.call).index == index


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (dict(snapshots=[]), "Got no snapshot"),
        (dict(method="uw"), "method='uw'"),
        (dict(tasks=["digit"]), r"\['digit'\]"),
        (dict(rho=0.6), "rho=0.6"),
        (dict(shown="epoch 7"), "epoch 7"),
        (dict(snapshots=[made(5, 1)]), "5 tasks"),
        (dict(snapshots=[made(2, 1, radii=(0.0,))]), r"ρ = \[0.0\]"),
        (dict(snapshots=[made(2, 1), made(3, 2)]), "'epoch 2'"),
        (dict(snapshots=[made(2, 1), made(2, 2, radii=(0.0, 0.02, 0.1, 0.4))]), "'epoch 2'"),
    ],
)
def test_bad_input_is_named(change, word):
    with pytest.raises(ValueError, match=f"{word}.*expected"):
        lab.snapshot_instrument(**dict(snapshots=[made(2, 1)]) | change)


def test_the_lines_stay_as_they_are():
    line = made(2, 1)
    before = copy.deepcopy(line)
    lab.snapshot_instrument([line]).fill()
    assert line == before
