"""Where every method goes, with its name, and the wedge that is good for all."""

import torch

from flatmtl_lite.lab.instruments.parts.arrows import draw_directions, wedges
from flatmtl_lite.lab.instruments.parts.panel import Panel
from flatmtl_lite.lab.instruments.parts.weighing import METHODS
from tests.lab.instruments.parts.pictures import moving

N = len(METHODS)


def drawn(steps, chosen):
    panel = Panel(x=dict(range=[-2, 2]), y=dict(range=[-2, 2]), room=0, ratio=1.0)
    far = torch.tensor([[1.9, 1.9]]).double()
    late = {"hull": ("#777777", -far)}
    draw_directions(panel, chosen, steps, {"task 1": ("#0072B2", far)}, far[:, None], late)
    return moving(panel)


def test_every_method_with_room_has_its_name_at_its_dot():
    turn = torch.linspace(0, 6, N, dtype=torch.float64)
    steps = 1.4 * torch.stack([turn.cos(), turn.sin()], -1)[:, None].expand(N, 3, 2)
    points = drawn(steps, chosen=4)
    assert torch.equal(points["others"], steps.transpose(0, 1))
    assert torch.equal(points["direction"][0], torch.stack([torch.zeros(2).double(), steps[4, 0]]))
    places, names = points["names"]
    assert names[0][:2] == ["<b>task 1</b>", f"<b>{METHODS[4]}</b>"]
    assert names[0][-1] == "hull"
    assert sorted(name.removeprefix("<b>").removesuffix("</b>") for name in names[0][1:-1]) == sorted(METHODS)
    named = ~places.isnan().any(-1)
    assert named.sum(-1).min() > N // 2
    for place, name in zip(places[0], names[0], strict=True):
        if (plain := name.strip("<b>/")) in METHODS and not place.isnan().any():
            nearest = (points["others"][0] - place).abs().mul(torch.tensor([0.4, 1])).sum(-1).argmin()
            assert METHODS[nearest] == plain


def test_names_without_room_are_left_out():
    points = drawn(torch.full((N, 1, 2), 0.5).double(), chosen=0)
    places, _ = points["names"]
    missing = places[0].isnan().any(-1)
    assert missing.sum() > 3
    assert not missing[:2].any()  # the tasks and the chosen method always have their names


def test_a_step_of_nothing_has_no_arrow():
    points = drawn(torch.zeros(N, 1, 2).double(), chosen=0)
    assert points["direction"].isnan().all()


def test_the_wedge_follows_the_steps():
    steps = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [-1.0, 0.0]]]).double()
    cone = wedges(steps, reach=2.0)
    first, last = cone[0, 1], cone[0, -2]  # steps good for both: the first quadrant
    assert torch.allclose(first, torch.tensor([4.0, 0.0]).double(), atol=1e-9)
    assert torch.allclose(last, torch.tensor([0.0, 4.0]).double(), atol=1e-9)
    assert cone[1].isnan().all()  # opposite steps: nothing is good for both
