"""The lens for several steps from one point."""

import pytest
import torch

from flatmtl_lite.lab.instruments.parts.arrows import along
from flatmtl_lite.lab.instruments.parts.lens import RIM, TIPS_SHOWN, Steps
from flatmtl_lite.lab.instruments.parts.picture import Picture

RATIO = 1.6  # width of the frame divided by its height
LOOKS = {"a": ("first", "#000000"), "b": ("second", "#0072B2")}


def drawn(steps, **options):
    looks = {uid: (*LOOKS[uid], step) for uid, step in steps.items()}
    picture = Picture(None, [[Steps("the steps", looks, **options)]])
    return picture.figure(), picture.traces()


def test_the_steps_fill_the_frame_and_keep_their_proportions():
    steps = {"a": torch.tensor([[1.0, 0.0], [0.02, 0.01]]), "b": torch.tensor([[0.5, 0.2], [-0.01, 0.05]])}
    figure, points = drawn({uid: step.double() for uid, step in steps.items()})
    assert {trace.uid for trace in figure.data if trace.uid} == points.keys()
    corners = torch.cat([points["a"], points["b"]], 1)
    size = (corners.amax(1) - corners.amin(1)) / torch.tensor([2 * RATIO, 2])
    assert size.amax(-1).tolist() == pytest.approx([1 - RIM] * 2)
    middle = (corners.amax(1) + corners.amin(1)) / 2
    assert middle.abs().max() < 1e-9
    one, other = (points[uid][:, 1] - points[uid][:, 0] for uid in LOOKS)
    for k in range(2):
        assert torch.allclose(one[k] / other[k].norm(), (steps["a"][k] / steps["b"][k].norm()).double())
    assert torch.equal(points["steps-from"][:, 0], points["a"][:, 0])


def test_the_names_stand_at_the_tips():
    figure, points = drawn(
        {"a": torch.tensor([[1.0, 0.0]]).double(), "b": torch.tensor([[0.0, 1.0]]).double()}
    )
    names = next(trace for trace in figure.data if trace.uid == "steps-names")
    assert names.text[:2] == ("<b>second</b>", "<b>first</b>")  # the uppermost arrow is named first
    for k, uid in enumerate(reversed(LOOKS)):
        away = (points["steps-names"][0][0, k] - torch.stack([points["b"][0, 1], points["a"][0, 1]])).norm(
            dim=-1
        )
        assert away.argmin() == k, uid


def test_a_step_of_nothing_is_not_drawn():
    _, points = drawn({"a": torch.tensor([[1.0, 0.0]]).double(), "b": torch.zeros(1, 2).double()})
    assert points["b"].isnan().all()
    assert points["a"].isfinite().all()


def test_along_goes_to_the_tip():
    points = along(torch.tensor([[1.0, 1.0]]), [torch.tensor([[2.0, 0.0]])])
    assert points[0, :, 1].tolist() == [1] * points.shape[1]
    assert points[0, -1].tolist() == [3, 1]


def test_the_tips_are_enlarged_when_they_lie_close_together():
    steps = {"a": torch.tensor([[1.0, 0.0], [1.0, 0.0]]), "b": torch.tensor([[1.0, 0.1], [1.0, 0.0]])}
    _, points = drawn({uid: step.double() for uid, step in steps.items()}, zoom=6.0)
    tips = torch.stack([points["a"][:, 1], points["b"][:, 1]], 1)
    assert (tips[0, 0] - tips[0, 1]).norm().item() == pytest.approx(2 * TIPS_SHOWN)
    length = 2 * RATIO * (1 - RIM)  # of the whole step
    zooms = (points["a"][:, 1] - points["a"][:, 0]).norm(dim=-1) / length
    assert 1 < zooms[0] < zooms[1] == pytest.approx(6)  # the tips of equal steps are enlarged the most
    titles = [words[-1] for words in points["steps-names"][1]]
    assert titles == [f"the steps<br>tips × {zoom:.1f}" for zoom in zooms.tolist()]
    assert (tips.abs() < torch.tensor([RATIO, 1.0])).all()
