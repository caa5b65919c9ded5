"""The ρ instrument shows the core's numbers."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.decomposition import combine
from flatmtl_lite.lab.instruments.rho import FLAT_DESCENTS
from flatmtl_lite.toy import PROBLEMS, decompose, descend
from tests.lab.traces import shown


@pytest.mark.parametrize("problem", ["valleys", "triangle"])
@pytest.mark.parametrize("method", FLAT_DESCENTS)
def test_the_rho_instrument_shows_the_core(problem, method):
    landscape, start = PROBLEMS[problem], PROBLEMS[problem].starts[1]
    stage = lab.rho_instrument(problem, rho=0.35, start=start, method=method)
    rho = float(stage.values[stage.index])
    theta = torch.tensor(start, dtype=torch.float64)
    d = decompose(landscape, theta, rho, FLAT_DESCENTS[method]())
    path = descend(landscape, theta, rho, [FLAT_DESCENTS[method]()])[0]
    assert torch.allclose(shown(stage, "path"), path, atol=1e-9)
    step = -combine(d, FLAT_DESCENTS[method]().aggregate, FLAT_DESCENTS[method]().combine)
    plain = -fm.erm(d, FLAT_DESCENTS[method]().aggregate)
    scale = (shown(stage, "sam")[1] - theta).norm() / step.norm()
    for uid, way in (("loss", plain), ("sam", step), ("flat", step - plain)):  # downhill
        tail, tip = shown(stage, uid)
        assert torch.allclose(tip - tail, scale * way, atol=1e-9)
    assert torch.allclose(shown(stage, "loss")[1], shown(stage, "flat")[0], atol=1e-9)  # head to tail ...
    assert torch.allclose(shown(stage, "flat")[1], shown(stage, "sam")[1], atol=1e-9)  # ... they make the sum
    for k in range(landscape.tasks):
        look = shown(stage, f"look-{k}")[2] - theta
        measure = theta.abs() if "adaptive" in method else torch.ones(2)
        if look.isfinite().all() or problem == "triangle":  # within the map
            assert (look / measure).norm().item() == pytest.approx(rho, abs=1e-9)
        loss, flat, sam = (shown(stage, f"task-{k + 1}-{part}") for part in ("loss", "flat", "sam"))
        assert torch.allclose(loss[1], flat[0], atol=1e-9)
        assert torch.allclose(flat[1], sam[1], atol=1e-9)
        ratio = (flat[1] - flat[0]).norm() / (loss[1] - loss[0]).norm()
        assert ratio.item() == pytest.approx((d.flat[k].norm() / d.loss[k].norm()).item())
        assert torch.cosine_similarity(sam[1] - sam[0], -d.sam[k], dim=-1).item() == pytest.approx(1)
        words = stage.drawn().data[stage._traces[f"task-{k + 1}-labels"]].text[-1]
        assert f"{100 * ratio:.0f} %" in words
    angle = shown(stage, "between-loss-here")[4, 1]  # the last of loss, flat and SAM
    between = fm.diagnostics.angles(d.sam) * (1 - torch.eye(landscape.tasks))
    assert angle.item() == pytest.approx(between.max().item())
    assert f"SAM {angle:.0f}°" in stage.state


def test_at_rho_0_there_is_neither_a_flat_arrow_nor_a_label_for_it():
    stage = lab.rho_instrument("valleys")
    assert shown(stage, "flat").isnan().all()
    labels = shown(stage, "labels")
    assert labels.isnan().all(-1).tolist() == [False, True, True, True, True]
    assert "no flat part" in stage.drawn().data[stage._traces["task-1-labels"]].text[-1]


def test_a_random_aggregator_shows_the_same_picture_again():
    first = lab.rho_instrument("triangle", method="PCGrad, decomposed")
    second = lab.rho_instrument("triangle", method="PCGrad, decomposed")
    assert first.tables[4] == second.tables[4]


def test_a_look_beyond_the_map_says_so():
    stage = lab.rho_instrument("valleys", rho=0.5, start=(-2.0, 1.8))
    left, top = stage.bounds[0][0], stage.bounds[1][1]
    for k in range(2):
        theta, end, star = shown(stage, f"look-{k}")
        assert star.isnan().all()
        assert end[0] == pytest.approx(left) or end[1] == pytest.approx(top)
        assert torch.equal(shown(stage, "beyond")[2 * k : 2 * k + 2], torch.stack([theta, end]))
    names = next(trace for trace in stage.drawn().data if trace.uid == "labels")
    assert "<b>task 1 looks out</b>" in names.text
    assert shown(stage, "labels")[3].isfinite().all()
    stars, beyond = shown(stage, "cut-stars").split(2)
    high = stage.drawn().layout.yaxis4.range[1]
    assert (beyond[:, 1].isfinite() == (stars[:, 1] > high)).all()
    assert beyond.isfinite().any()
    stage.points = [list(PROBLEMS["valleys"].starts[0])]
    names = next(trace for trace in stage.drawn().data if trace.uid == "labels")
    assert "<b>task 1 looks here</b>" in names.text
    assert shown(stage, "cut-stars")[2:].isnan().all()
