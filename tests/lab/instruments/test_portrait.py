"""The portrait instrument counts the ends of 100 starts."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.decomposition import RULES
from flatmtl_lite.lab.instruments import portrait
from flatmtl_lite.toy import PROBLEMS, Method, descend
from tests.lab.instruments.parts import pictures
from tests.lab.traces import shown


@pytest.fixture(scope="module")
def whole_portrait():
    """The portrait that a learner sees: all 100 starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLATMTL_FAST", "0")
        return lab.portrait_instrument(rho=0.4, aggregate="MGDA")


def test_the_portrait_counts_the_ends(whole_portrait):
    valleys, counts = PROBLEMS["valleys"], {}
    bottoms = portrait.valley_bottoms()
    for rule in RULES:
        ends = shown(whole_portrait, f"ends-{rule}").reshape(100, 3, 2)[:, :2].mean(1)
        alone = descend(valleys, portrait.starts(), 0.4, [Method(fm.MGDA(), rule)])[0, :, -1]
        assert torch.allclose(ends, alone, atol=1e-6)
        sharp, flat = (((ends - bottom).norm(dim=-1) < 0.4).sum().item() for bottom in bottoms)
        counts[rule] = (sharp, flat, 100 - sharp - flat)
        curve = shown(whole_portrait, f"flat-{rule}")
        assert curve[whole_portrait.index].tolist() == pytest.approx([0.4, flat])
    titles = {trace.uid: trace.text for trace in whole_portrait.drawn().data}
    for rule, (sharp, flat, neither) in counts.items():
        words = f"<b>{rule}</b>: {sharp} sharp,<br>{flat} flat, {neither} neither"
        assert titles[f"title-{rule}"] == (words,)
        assert f"{rule} {flat}" in whole_portrait.state
    cursor = shown(whole_portrait, "flat-erm-here")[-2:].tolist()
    assert cursor == [[pytest.approx(0.4), 0], [pytest.approx(0.4), 100]]


def test_the_portrait_draws_every_other_start_of_both_sides(whole_portrait):
    paths = shown(whole_portrait, "paths-direct").reshape(25, len(portrait.PATH_STEPS) + 1, 2)
    grid = portrait.starts().reshape(10, 10, 2)[::2, ::2].reshape(25, 2)
    assert torch.equal(paths[:, 0], grid)
    assert paths[:, -1].isnan().all()  # the pen is lifted
    assert paths[:, :-1].isfinite().all()


def test_the_fast_mode_starts_from_fewer_points(monkeypatch):
    monkeypatch.setenv("FLATMTL_FAST", "1")
    stage = lab.portrait_instrument(rho=0.4, aggregate="mean")
    ends = shown(stage, "ends-erm").reshape(25, 3, 2)[:, :2].mean(1)
    start = portrait.starts(5)
    alone = descend(PROBLEMS["valleys"], start, 0.4, [Method(fm.Mean(), "erm")])[0, :, -1]
    assert torch.allclose(ends, alone, atol=1e-6)
    title = stage.drawn().layout.annotations[-1].text
    assert title == "in the flat valley, of 25"


def test_a_plane_has_rings_paths_ends_and_words():
    bottoms = torch.tensor([[-1.0, -0.1], [1.2, -0.8]])
    paths = torch.rand(2, 3, 4, 2)
    plane = portrait._plane("direct", bottoms, paths, paths[:, :, -1], ["1 flat", "2 flat"])
    ground, ring, name, *_ = pictures.resting(plane)
    assert ground.type == "contour"
    radii = (torch.tensor([ring.x, ring.y]).T - bottoms[0]).norm(dim=-1)
    assert torch.allclose(radii, torch.tensor(0.4))
    assert name.text == ("sharp",)
    assert pictures.drawn(plane)["paths-direct"].line.color == "#E69F00"
    points = pictures.moving(plane)
    lines = points["paths-direct"].reshape(2, 3, 5, 2)
    assert torch.equal(lines[:, :, :4], paths)
    assert lines[:, :, 4].isnan().all()  # the pen is lifted
    assert points["title-direct"][1] == [["<b>direct</b>: 1 flat"], ["<b>direct</b>: 2 flat"]]
