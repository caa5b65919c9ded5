"""What notebook 03 says in words is what its network, and the recorded runs, do."""

import re
from pathlib import Path
from statistics import mean

import nbformat
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab, runs
from flatmtl_lite.runs.records import splitting
from flatmtl_lite.toy import ACTIVATIONS, TinyNet
from tests.notebooks.small_network import network, split

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "instructor" / "03_splitting_the_gradient.ipynb"
SEEN = {label: splitting.recorded_conflict(splitting.recorded(), label) for label in ("LS", "F-LS")}


def says(sentence: str) -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    prose = re.sub(r"[*>\s]+", " ", " ".join(cell.source for cell in cells))
    assert sentence in prose, f"notebook 03 no longer says: {sentence}"


def shown(stage, uid: str) -> torch.Tensor:
    """The points of a trace as drawn now, (n, 2)."""
    trace = next(trace for trace in stage.drawn().data if trace.uid == uid)
    return torch.stack([torch.tensor(trace.x), torch.tensor(trace.y)], -1)


def states(activation: str) -> dict[str, str]:
    stage = lab.split_instrument(activation=activation)
    return dict(zip(stage.values, stage.states[stage.choice], strict=True))


def test_one_kink_spoils_the_prediction_and_turns_the_flat_parts():
    says("it jumps within one press of a key (from 0.093 % to 95 % for task 2)")
    says("(0.0037). Then ask what the dial did: the flat parts went from 91° apart to 81°")
    says("At 0.00829 task 1 crosses a kink as well, and the flat parts are 22° apart")
    relu = states("ReLU")
    assert "and 0.093 % (0 and 0 of 768" in relu["0.00335"]
    assert "flat 91°" in relu["0.00335"]
    assert "and 95 % (0 and 1 of 768" in relu["0.0037"]
    assert "flat 81°" in relu["0.0037"]
    assert "(0 and 1 of 768" in relu["0.0075"]
    assert "(1 and 1 of 768" in relu["0.00829"]
    assert "flat 22°" in relu["0.00829"]


def test_both_tasks_cross_the_same_kink():
    says("It is the same unit on the same sample")
    net = TinyNet("ReLU")
    theta = net.theta.expand(1, -1)
    step = fm.perturbation.worst_case(net.gradients(theta), 0.00829)
    crossed = net.sides(net.theta + step) != net.sides(theta)
    assert crossed.sum(-1).tolist() == [1, 1]
    assert crossed[0].equal(crossed[1])


def test_up_to_a_tenth_the_smooth_nets_are_predicted_better():
    says("up to ρ = 0.1 neither ReLU curve comes down to the curves of the smooth nets")
    curves = {}
    for name in ACTIVATIONS:
        stage = lab.split_instrument(activation=name)
        curves[name] = torch.stack([shown(stage, f"error-{k}") for k in (0, 1)])
    rhos, curves = curves["ReLU"][0, :, 0], {name: points[..., 1] for name, points in curves.items()}
    between = (rhos > 0.008) & (rhos < 0.1)
    smooth = torch.maximum(curves["tanh"], curves["softplus"]).amax(0)
    assert (curves["ReLU"][:, between] > smooth[between]).all()


def test_task_2_of_the_tanh_net_conflicts_with_itself():
    says("going uphill along $g$ its slope falls")
    stage = lab.split_instrument(rho=0.01, activation="tanh")
    assert shown(stage, "within-1")[1, 0] < 0


def test_the_hessian_misses_all_of_the_real_flat_part(batch):
    says("the Hessian predicts nothing of the flat part, at any ρ that one would use")
    says("the Hessian misses all of the flat part at every ρ from 0.0001 to 1")
    net = network()
    features, losses = runs.task_closures(net, *batch)
    for rho in (0.0001, 0.01, 0.14, 1.0):
        flat = split(net, batch, rho, rho_heads=0.0).flat
        for i in (0, 1):
            predicted = fm.diagnostics.predicted_flat(
                lambda i=i: losses[i](features()), net.trunk.parameters(), rho
            )
            assert 0.95 < (flat[i] - predicted).norm() / flat[i].norm() < 1.1


def test_the_flat_part_grows_by_three_to_four_a_decade(batch):
    says("the flat part grows by a factor of 3 to 4 only")
    rhos = (0.0001, 0.001, 0.01, 0.1)
    lengths = torch.stack([split(network(), batch, rho, rho_heads=0.0).flat[0].norm() for rho in rhos])
    growth = lengths[1:] / lengths[:-1]
    assert ((growth > 2.8) & (growth < 4)).all()


def test_recorded_conflict():
    for kind, quoted in (
        ("loss parts", "between the loss parts does not fall: 0.38, 0.32, 0.49"),
        ("flat parts", "Conflict between the flat parts grows: 0.10, 0.18, 0.25"),
    ):
        says(quoted)
        assert ", ".join(f"{share:.2f}" for share in SEEN["F-LS"][kind]) in quoted
    with_sam, without = ([SEEN[label][f"within task {k}"] for k in (1, 2)] for label in ("F-LS", "LS"))
    says("conflict within a task starts high: 0.66 and 0.41 of the steps in the first third")
    says("Then it falls to nearly 0. Without SAM it is rare from the start")
    assert [f"{thirds[0]:.2f}" for thirds in with_sam] == ["0.66", "0.41"]
    assert max(thirds[-1] for thirds in with_sam) < 0.02
    assert max(map(max, without)) < 0.07
    says("54 % of the steps of the first third, against 38 % between loss parts and 10 %")
    assert f"{mean(thirds[0] for thirds in with_sam):.0%}" == "54%"


def test_recorded_conflict_within_a_task_falls_with_every_seed():
    for run in splitting.recorded()["runs"]:
        shares = run["conflict_by_third"]
        if run["label"] == "F-LS":
            for k in (1, 2):
                assert shares[f"within task {k}"][0] > 5 * max(shares[f"within task {k}"][1:])
            assert shares["flat parts"][0] < shares["flat parts"][-1] < shares["loss parts"][-1]
