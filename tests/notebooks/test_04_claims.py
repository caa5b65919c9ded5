"""What notebook 04 says in words is what the aggregators do."""

import re
from pathlib import Path

import nbformat
import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.lab.instruments import cone, sweep
from flatmtl_lite.lab.instruments.gradients import TURNS, turned
from flatmtl_lite.lab.instruments.parts.weighing import METHODS, slopes, weigh_all

NOTEBOOK = nbformat.read(
    Path(__file__).parents[2] / "notebooks" / "instructor" / "04_aggregators.ipynb", as_version=4
)
PROSE = re.sub(r"[*>\s]+", " ", " ".join(cell.source for cell in NOTEBOOK.cells))
HALF = len(TURNS) // 2 + 1  # 0° to 180°


def says(*sentences: str) -> None:
    for sentence in sentences:
        assert sentence in PROSE, f"notebook 04 no longer says: {sentence}"


def directions(G: torch.Tensor) -> torch.Tensor:
    return (weigh_all(G).unsqueeze(-2) @ G).squeeze(-2)


def pair(one: float, two: float) -> torch.Tensor:
    return turned(torch.tensor([[one, 0.0], [two, 0.0]], dtype=torch.float64))[:HALF]


def who_pays(G: torch.Tensor) -> dict[str, torch.Tensor]:
    """Name -> (N, T), whether the method makes that task worse."""
    return dict(zip(METHODS, slopes(G, directions(G)) < -1e-6, strict=True))


def test_the_examples_with_two_gradients():
    says(
        "The mean of the two gradients is (1, 0.5). A method called MGDA takes (0.4, 0.8) instead.",
        "lowers the loss of task 1 four times as fast as the loss of task 2",
        "A small step against MGDA's direction lowers both equally fast, but more slowly.",
        "Half and half gives (1, 0.5), which is 1.12 long.",
        "The weights 0.2 and 0.8 give (0.4, 0.8), which is 0.89 long.",
    )
    G = torch.tensor([[2.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    mean, mgda = fm.Mean()(G), fm.MGDA()(G)
    assert (G @ mean).tolist() == pytest.approx([2, 0.5])
    assert mgda.tolist() == pytest.approx([0.4, 0.8])
    assert (G @ mgda).tolist() == pytest.approx([0.8, 0.8])
    assert [f"{d.norm():.2f}" for d in (mean, mgda)] == ["1.12", "0.89"]


def test_from_which_angle_on_each_method_pays():
    says(
        "the mean leaves the wedge above 120°, CAGrad at 145°, Aligned-MTL at 160°, ConicGrad at 165°.",
        "The other eight never do.",
    )
    worse = who_pays(pair(2.0, 1.0))
    first = {name: TURNS[:HALF][bad.any(-1)].tolist()[:1] for name, bad in worse.items() if bad.any()}
    assert first == {"mean": [125], "cagrad": [145], "aligned_mtl": [160], "conicgrad": [165]}


def test_the_shorter_gradient_has_the_larger_weight():
    says("MGDA, IMTL-G and NGDiff give the shorter gradient the larger weight.")
    weights = dict(zip(METHODS, weigh_all(pair(2.0, 1.0))[:, 24], strict=True))  # at 120°
    for name in ("mgda", "imtl_g", "ngdiff"):
        assert weights[name][1] > weights[name][0]


def test_equal_lengths_leave_the_bisector():
    says("With two equally long gradients all twelve point along the bisector")
    d = torch.nn.functional.normalize(directions(pair(1.5, 1.5))[:, : HALF - 1], dim=-1)
    half = torch.deg2rad(TURNS[: HALF - 1]) / 2
    assert torch.allclose(d, torch.stack([half.cos(), half.sin()], -1).expand_as(d), atol=1e-9)


def test_six_methods_make_task_3_worse_in_the_cone_instrument():
    says("six of the twelve dots lie left of 0. Each time task 3 pays, and its gradient is the shortest.")
    G = torch.tensor([cone.GRADIENTS], dtype=torch.float64)
    worse = {name: bad[0].tolist() for name, bad in who_pays(G).items() if bad.any()}
    assert len(worse) == 6
    assert all(bad == [False, False, True] for bad in worse.values())
    assert G.norm(dim=-1).argmin() == 2


def test_five_methods_never_make_a_task_worse():
    says("Five methods never make a task worse.")
    G = torch.randn(4000, 3, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    share = {name: bad.any(-1).double().mean().item() for name, bad in who_pays(G).items()}
    assert [name for name, value in share.items() if value == 0] == [
        *("mgda", "imtl_g", "nash_mtl", "fairgrad", "upgrad"),
    ]
    assert 1 / 10 < share["pcgrad"] < 1 / 6  # "in about one of eight draws"


def test_two_tasks_have_one_bisector_for_four_methods():
    says(
        "With two tasks, Nash-MTL, IMTL-G, ConFIG, DB-MTL without memory and the sum of unit "
        "gradients (NGDiff) share one direction"
    )
    G = torch.randn(200, 2, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    units = torch.nn.functional.normalize(G, dim=-1).sum(-2)
    for name in ("nash_mtl", "imtl_g", "config", "ngdiff"):
        d = fm.aggregator(name)(G)
        assert (torch.cosine_similarity(d, units, dim=-1) > 1 - 1e-9).all(), name


def test_two_tasks_never_suffer_from_pcgrad():
    says("With two tasks PCGrad makes neither worse.")
    G = torch.randn(2000, 2, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert not who_pays(G)["pcgrad"].any()


def test_the_corners():
    says("Six methods leave the zero row out and return 2.", "Eight methods stop. The mean, CAGrad,")
    zero, opposite = (
        [fm.aggregator(name)(torch.tensor([[2.0, 0.0], row]))[0].item() for name in METHODS]
        for row in ([0.0, 0.0], [-1.0, 0.0])
    )
    assert sum(value == pytest.approx(2) for value in zero) == 6
    assert [name for name, value in zip(METHODS, zero, strict=True) if value == 0] == ["mgda"]
    on = [name for name, value in zip(METHODS, opposite, strict=True) if value > 1e-6]
    assert on == ["mean", "cagrad", "aligned_mtl", "conicgrad"]


def test_the_committed_network_is_far_from_chance():
    says("all but a few are far outside the range that chance allows", "more than thirty times too wide")
    (figure,) = (
        output.data["application/vnd.plotly.v1+json"]
        for cell in NOTEBOOK.cells
        for output in cell.get("outputs", [])
        if "application/vnd.plotly.v1+json" in output.get("data", {})
    )
    cosine = torch.cos(torch.deg2rad(torch.tensor(figure["data"][0]["x"], dtype=torch.float64)))
    chance = 397_824**-0.5
    assert (cosine.abs() < 3 * chance).sum() <= 5
    assert cosine.square().mean().sqrt() > 30 * chance


def test_no_method_ends_where_no_fixed_weights_end():
    says("Each ends within 0.2 of the losses where some fixed weights end, and the curve is 20 wide")
    says("At 0.69, beyond the mean. No method ends where no fixed weights end", "The mean stays at 0.5")
    assert sweep.unreached() == []
    swept, ends = (
        sweep.losses_at(sweep.swept_paths()[:, :, -1]),
        sweep.losses_at(sweep.ends_of(("mean", "mgda"))),
    )
    places = [sweep.nearest_weights(ends[k], swept[k]).tolist() for k in (0, 2)]
    assert [*places[0], *places[1]] == pytest.approx([0.5, 0.295, 0.5, 0.685])
    assert (swept[0].amax(0) - swept[0].amin(0)).tolist() == pytest.approx([20, 20], abs=1)
