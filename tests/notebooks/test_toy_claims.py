"""What notebooks 00, 01 and 02 say in words is what the toy problems do."""

import re
from pathlib import Path

import nbformat
import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.toy import LINE, PROBLEMS, Method, decompose, descend

RIDGES, VALLEYS = PROBLEMS["ridges"], PROBLEMS["valleys"]
PLAIN = [Method(fm.Mean(), "erm")]
SAM, ADAPTIVE = Method(fm.Mean(), "direct"), Method(fm.Mean(), "direct", adaptive=True)


FOLDER = Path(__file__).parents[2] / "notebooks" / "instructor"


def prose(name: str) -> str:
    cells = nbformat.read(FOLDER / name, as_version=4).cells
    return re.sub(r"[*>\s]+", " ", " ".join(cell.source for cell in cells))


def says(name: str, sentence: str) -> None:
    assert sentence in prose(name), f"{name} no longer says: {sentence}"


def test_00_the_ball_has_momentum_and_only_with_sam_it_leaves():
    says("00_start_here.ipynb", "each step adds 80 % of the step before")
    says("00_start_here.ipynb", "(The plain ball has the same momentum, and stays.)")
    assert LINE.optimizer.keywords["momentum"] == 0.8
    plain, sam = (descend(LINE, torch.tensor(LINE.starts[0]), rho, [SAM])[0, :, 0] for rho in (0.0, 0.5))
    assert plain.max() > -0.8  # up the far wall, and back
    assert plain[-1].item() == pytest.approx(-1, abs=0.1)
    assert sam[-1].item() == pytest.approx(1.15, abs=0.1)


def test_01_task_2_pays_on_a_third_of_the_steps():
    says("01_two_tasks_one_landscape.ipynb", "On a third of the steps task 2 got worse")
    path = descend(RIDGES, torch.tensor(RIDGES.starts[0]), 0.0, PLAIN)[0]
    losses = RIDGES.losses(path.unsqueeze(-2))
    share = (losses[1:] > losses[:-1]).double().mean(0)
    assert 0.3 < share[1] < 0.37
    assert losses[:, 1].min() < losses[-1, 1] - 1  # it had come further down than it ends


def test_01_the_mean_goes_to_one_point_and_pcgrad_spreads():
    says("01_two_tasks_one_landscape.ipynb", "The mean loss has one lowest point on the front.")
    side = torch.linspace(-10, 10, 10, dtype=torch.float64)
    methods = [*PLAIN, Method(fm.PCGrad(), "erm")]
    x = descend(RIDGES, torch.cartesian_prod(side, side), 0.0, methods)[..., -1, 0]
    assert x[0].abs().max() < 0.5
    assert x[1].min() < -5
    assert x[1].max() > 5


def test_01_small_steps_stay_in_the_narrow_valley():
    says("01_two_tasks_one_landscape.ipynb", "stuck in the narrow valley at the top")
    end = descend(RIDGES, torch.tensor(RIDGES.starts[0]), 0.0, PLAIN, lr=0.01, steps=2000)[0, -1]
    assert end[1] > 2


@pytest.fixture(scope="module")
def bottoms():
    near = torch.tensor([[-1.0, -0.1], [1.2, -0.8]])
    return descend(VALLEYS, near, 0.0, PLAIN, steps=300)[0, :, -1]


@pytest.fixture(scope="module")
def saddle():
    """Where the mean loss has no slope between the valleys, by Newton's method."""

    def mean(w):
        return VALLEYS.losses(w.unsqueeze(-2)).mean()

    point = torch.tensor([-0.3, -0.4], dtype=torch.float64)
    for _ in range(20):
        hessian = torch.autograd.functional.hessian(mean, point)
        point = point - torch.linalg.solve(hessian, VALLEYS.gradients(point[None]).mean(0))
    curvature = torch.linalg.eigvalsh(hessian)
    assert curvature[0] < 0 < curvature[1]
    return point


def hundred_starts() -> torch.Tensor:
    (left, right), (low, high) = VALLEYS.window
    x = torch.linspace(left + 0.2, right - 0.2, 10, dtype=torch.float64)
    y = torch.linspace(low + 0.2, high - 0.2, 10, dtype=torch.float64)
    return torch.cartesian_prod(x, y)


@pytest.fixture(scope="module")
def counts(bottoms):
    """Of 100 starts: (rule, ρ, [sharp, flat]), after 60 and after 200 steps."""
    rhos = torch.linspace(0, 1, 21, dtype=torch.float64)
    path = descend(VALLEYS, hundred_starts(), rhos[:, None], [SAM, ADAPTIVE], steps=200)
    near = [(path[..., step, None, :] - bottoms).norm(dim=-1) < 0.4 for step in (60, 200)]
    return [inside.sum(2) for inside in near]


def test_02_the_sharp_valley_empties_and_the_flat_one_hardly_fills(counts):
    says("02_sharp_and_flat.ipynb", "SAM empties the sharp valley")
    says("02_sharp_and_flat.ipynb", "68 of 100 starts")
    sam = counts[0][0]
    assert sam[0].tolist() == [32, 68]
    assert sam[16].tolist() == [0, 63]
    assert (sam[:, 1] <= 71).all()


def test_02_more_steps_hardly_change_the_counts(counts):
    says("02_sharp_and_flat.ipynb", "With 200 steps each changes by 6 at most")
    assert (counts[0] - counts[1]).abs().max() <= 6


def rise(point: torch.Tensor, steps: int) -> float:
    w = point.clone().requires_grad_()
    return fm.diagnostics.sharpness(lambda: VALLEYS.losses(w.unsqueeze(-2)).mean(), [w], rho=0.4, steps=steps)


def test_02_the_sharp_valley_is_about_four_times_as_sharp(bottoms):
    says("02_sharp_and_flat.ipynb", "about four times as sharp")
    ten = [rise(bottom + 0.02, steps=10) for bottom in bottoms]
    assert 3.5 < ten[0] / ten[1] < 4.5
    says("02_sharp_and_flat.ipynb", "this is less than 1 %. In the flat valley it is 9 %.")
    missed = [1 - rise(bottom + 0.02, steps=1) / best for bottom, best in zip(bottoms, ten, strict=True)]
    assert missed[0] < 0.01
    assert missed[1] == pytest.approx(0.09, abs=0.005)


def test_02_sam_rests_at_the_saddle_between_the_valleys(bottoms, saddle):
    says("02_sharp_and_flat.ipynb", "The path stops at the saddle between the valleys")
    says("02_sharp_and_flat.ipynb", "At ρ = 0.25 the path of the first instrument stops at the saddle too")
    ends = descend(VALLEYS, hundred_starts(), 0.8, [SAM])[0, :, -1]
    lost = ((ends.unsqueeze(-2) - bottoms).norm(dim=-1) > 0.4).all(-1)
    assert lost.sum() == 37
    assert ((ends[lost] - saddle).norm(dim=-1) < 0.15).all()
    for start, rho in (((-1.3, 0.9), 0.8), (VALLEYS.starts[0], 0.25)):
        assert (descend(VALLEYS, torch.tensor(start), rho, [SAM])[0, -1] - saddle).norm() < 0.15


def test_02_the_narrow_valley_is_a_little_deeper(bottoms):
    says("02_sharp_and_flat.ipynb", "(mean loss -0.999 against -0.986)")
    losses = VALLEYS.losses(bottoms.unsqueeze(-2)).mean(-1)
    assert [f"{loss:.3f}" for loss in losses] == ["-0.999", "-0.986"]


def test_02_going_uphill_task_1s_gradient_turns():
    says("02_sharp_and_flat.ipynb", "Now set ρ to 0.05 and look at the lens of task 1.")
    says("02_sharp_and_flat.ipynb", "It stands at about 97° to the loss part, nearly at a right angle.")
    says("02_sharp_and_flat.ipynb", "turns , and its length hardly changes.")
    d = decompose(VALLEYS, torch.tensor(VALLEYS.starts[0]).double(), 0.05, SAM)
    angle = fm.diagnostics.angles(torch.stack([d.loss[0], d.flat[0]]))[0, 1]
    assert angle.item() == pytest.approx(97, abs=0.5)
    assert (d.sam[0].norm() / d.loss[0].norm()).item() == pytest.approx(1, abs=0.005)


def test_02_the_path_is_held_on_the_crest_from_both_sides():
    says("02_sharp_and_flat.ipynb", "So the path is held on the crest from both sides")
    left, right = (
        decompose(VALLEYS, torch.tensor([x, -0.4], dtype=torch.float64), 0.8, SAM) for x in (-0.5, -0.1)
    )
    assert left.loss.mean(0)[0] > 0 > right.loss.mean(0)[0]  # downhill leads away from the crest
    assert left.sam.mean(0)[0] < 0 < right.sam.mean(0)[0]  # SAM's step leads back to it


def test_02_the_end_of_the_path_has_three_phases(bottoms):
    says("02_sharp_and_flat.ipynb", "in the sharp valley up to ρ = 0.15, on the crest from 0.1625 to 0.3125")
    says("02_sharp_and_flat.ipynb", "and in the flat valley from 0.325 on")
    rhos = torch.linspace(0, 1, 81, dtype=torch.float64)  # the positions of the slider
    ends = descend(VALLEYS, torch.tensor(VALLEYS.starts[0]), rhos, [SAM])[0, :, -1]
    sharp, flat = ((ends - bottom).norm(dim=-1) < 0.4 for bottom in bottoms)
    assert rhos[sharp].tolist() == rhos[:13].tolist()
    assert rhos[~(sharp | flat)].tolist() == rhos[13:26].tolist()
    assert rhos[flat].tolist() == rhos[26:].tolist()
    assert rhos[[12, 13, 25, 26]].tolist() == pytest.approx([0.15, 0.1625, 0.3125, 0.325])


def test_01_pcgrads_example():
    says("01_two_tasks_one_landscape.ipynb", "It becomes $(1.5, 1.5)$")
    G = torch.tensor([[3.0, 0.0], [-1.0, 1.0]])
    turned = G[0] - (G[0] @ G[1]) / (G[1] @ G[1]) * G[1]
    assert turned.tolist() == [1.5, 1.5]
    angle = fm.diagnostics.angles(torch.tensor([[2.0, 0.0], [-1.0, 1.0]]))[0, 1]
    says("01_two_tasks_one_landscape.ipynb", "The angle between them is 135°")
    assert angle.item() == pytest.approx(135)


def test_00_at_rho_1_the_two_steps_part():
    says("00_start_here.ipynb", "With `rho = 1` they lie over 140° apart.")
    cells = nbformat.read(FOLDER / "00_start_here.ipynb", as_version=4).cells
    source = next(cell.source for cell in cells if cell.source.startswith("w = torch.zeros"))
    names = {"torch": torch}
    exec(source, names)
    d = fm.decompose(lambda: names["w"], names["tasks"], rho=1.0)
    steps = torch.stack([fm.direct(d, fm.CAGrad(c=0.4)), fm.decomposed(d, fm.CAGrad(c=0.4))])
    assert fm.diagnostics.angles(steps)[0, 1] > 140
