"""A mosaic: each image at its place, and what is said of it in its colour below it."""

import numpy as np
import pytest
import torch

from flatmtl_lite.lab.instruments.parts.mosaic import PITCH, Mosaic
from tests.lab.instruments.parts.pictures import drawn, moving, resting

CLASSES = {"digit": ["0", "1", "2"], "garment": ["shirt", "shoe"]}
LABELS = torch.tensor([[1, 0], [2, 1], [0, 0], [1, 1], [2, 0]])


def answers() -> torch.Tensor:
    """Right answers at three slider positions, each with 60 %."""
    return torch.stack([LABELS, torch.full_like(LABELS, 60)], -1)[None].repeat(3, 1, 1, 1)


@pytest.fixture
def images():
    return torch.randint(0, 256, (5, 36, 36), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_images_stand_in_rows_of_four(images):
    panel = Mosaic("title", images, LABELS, CLASSES, answers())
    canvas = np.array(resting(panel)[0].z, dtype=float)
    assert (canvas[:36, 2:38] == images[0].numpy()).all()
    assert (canvas[:36, 2 + PITCH : 38 + PITCH] == images[1].numpy()).all()
    top = len(canvas) // 2
    assert (canvas[top : top + 36, 2:38] == images[4].numpy()).all()
    assert np.isnan(canvas[top:, PITCH:]).all()


def test_right_and_wrong_answers_have_a_colour_and_a_mark(images):
    given = answers()
    given[1, 1, 0] = torch.tensor([0, 97])  # at the second position the second image is no longer a 2
    panel = Mosaic("title", images, LABELS, CLASSES, given)
    traces, points = drawn(panel), moving(panel)
    assert traces["right"].textfont.color != traces["wrong"].textfont.color
    places, right = points["right"]
    _, wrong = points["wrong"]
    assert right[0][2:4] == ["<b>2</b> 60 % ✓", "<b>shoe</b> 60 % ✓"]
    assert wrong[0] == [""] * 10
    assert (right[1][2], wrong[1][2]) == ("", "<b>0</b> 97 % ✗")
    assert all((one == "") != (other == "") for one, other in zip(right[1], wrong[1], strict=True))
    (low, high), (left, wide) = sorted(panel.y["range"]), panel.x["range"]
    assert places.shape == (3, 10, 2)
    assert ((places[..., 0] > left) & (places[..., 0] < wide)).all()
    assert ((places[..., 1] > low) & (places[..., 1] < high)).all()
    assert (places[0, 1] - places[0, 0]).tolist() == [0, pytest.approx(6.5)]
