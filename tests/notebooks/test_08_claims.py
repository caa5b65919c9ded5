"""What notebook 08 says in words is what the networks, the metrics, the tables and the record say."""

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.runs import SceneMetrics, Scenes, encoder_decoder, rooms, scene_batches, scene_closures
from flatmtl_lite.runs.paper.nyuv2 import NYUV2
from flatmtl_lite.runs.records import rooms as rooms_record

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "instructor" / "08_nyuv2.ipynb"
PLAIN = [name for name in NYUV2 if not name.startswith("F-")]


def says(sentence: str) -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    prose = re.sub(r"[*>`\s]+", " ", " ".join(cell.source for cell in cells))
    assert sentence in prose, f"notebook 08 no longer says: {sentence}"


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rooms")
    rooms.write_rooms(folder, train=8, val=0, height=48, width=64)
    return next(scene_batches(Scenes(folder, "train"), [torch.arange(8)]))


def gradients(batch, seed: int) -> torch.Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = encoder_decoder()
    shared, heads = model.shared_parameters(), model.head_parameters()
    return fm.decompose(*scene_closures(model, batch), shared, heads, rho=0).loss


def cosines(direction: torch.Tensor, G: torch.Tensor) -> torch.Tensor:
    return fm.diagnostics.cosines(torch.cat([direction[None], G]))[0, 1:]


def test_the_mean_is_nearly_the_gradient_of_the_normals(batch):
    says("nearly the gradient of the normals , with a cosine above 0.9 in all four")
    says("In three of them the cosine of another task is negative")
    says("normals, in all four networks")
    others = []
    for seed in range(4):
        G = gradients(batch, seed)
        assert G.shape[1] == 253_416
        assert G.norm(dim=1).argmax() == 2
        found = cosines(G.mean(0), G)
        assert found[2] > 0.9
        others.append(found[:2].min().item() < 0)
    assert sum(others) == 3


def test_what_other_aggregators_lean_to(batch):
    says("IMTL-G gives every task the same cosine, however long its gradient is")
    says("MGDA leans to the shortest gradient")
    says("CAGrad stands between the mean and MGDA")
    G = gradients(batch, 0)
    mean, mgda, cagrad, imtl = (
        cosines(fm.aggregator(name)(G), G) for name in ("mean", "mgda", "cagrad", "imtl_g")
    )
    assert imtl.max() - imtl.min() < 1e-3
    assert G.norm(dim=1).argmin() == mgda.argmax() == 0
    for k in (0, 2):
        assert min(mean[k], mgda[k]) < cagrad[k] < max(mean[k], mgda[k])


def test_colours_of_normals_and_what_is_unknown():
    says("The floor is purple, since its normal points up. A wall that faces the camera is olive")
    says("All 0 means unknown")
    room = rooms.render(seed=3)
    floor = room["normal"][(room["label"] == rooms.CLASSES.index("floor")) & (room["depth"][..., 0] > 0)]
    assert np.median(floor, axis=0) == pytest.approx([0, -1, 0], abs=0.3)  # the camera looks down a little
    assert ((room["normal"] == 0).all(-1) == (room["depth"][..., 0] == 0)).all()


def test_the_mean_of_a_long_and_a_short_gradient():
    says("Take the gradients (4, 0) and (0, 1). Their mean is (2, 0.5)")
    assert fm.Mean()(torch.tensor([[4.0, 0.0], [0.0, 1.0]])).tolist() == [2, 0.5]


def test_the_blind_answer(batch):
    says("has 46 % of the pixels right")
    known = batch["label"][batch["label"] != -1]
    assert round(100 * (known == 11).float().mean().item()) == 46


def test_by_pixels_and_by_batches():
    says("By pixels the error is (4 · 1 + 1 · 2)/5 = 1.2 m. By batches it is (1 + 2)/2 = 1.5 m")
    for per_batch, error in ((False, 1.2), (True, 1.5)):
        metrics = SceneMetrics(per_batch)
        for depths in ([2, 2, 2, 2], [0, 0, 0, 5]):
            truth = {
                "label": torch.zeros(1, 1, 4, dtype=torch.long),
                "depth": torch.tensor(depths, dtype=torch.float32).view(1, 1, 1, 4),
                "normal": torch.eye(3)[2].view(1, 3, 1, 1).expand(1, 3, 1, 4),
            }
            said = {"label": torch.zeros(1, 13, 1, 4), "depth": torch.full((1, 1, 1, 4), 3.0)}
            metrics.update({**said, "normal": truth["normal"]}, truth)
        assert metrics.compute()["abs_err"] == pytest.approx(error)


def test_delta_m_of_ls_by_hand():
    says("so LS is better by 2.6 %")
    says("so LS is better by 18.7 %")
    says("(39.29 - 38.30)/38.30 = -2.6 | | pixel accuracy, % | 63.76 | 65.33 | -2.5 |")
    says("(0.5493 - 0.6754)/0.6754 = -18.7 | | relative error | 0.2780 | 0.2263 | -18.6 |")
    says("(28.15 - 25.01)/25.01 = +12.6 |")
    says("The two missing cells are +24.7 and +26.7")
    says("| 57.20 | 47.50 | +17.0 | | within 30°, % | 69.15 | 61.08 | +11.7 |")
    found = [f"{change:+.1f}" for change in NYUV2["LS"].changes.values()]
    assert found == ["-2.6", "-2.5", "-18.7", "-18.6", "+12.6", "+24.7", "+26.7", "+17.0", "+11.7"]


def by_task(name: str) -> float:
    changes = list(NYUV2[name].changes.values())
    return sum(sum(part) / len(part) for part in (changes[:2], changes[2:4], changes[4:])) / 3


def test_means_over_metrics_and_over_tasks():
    says("LS has +5.6 over metrics and -0.9 over tasks")
    assert (round(NYUV2["LS"].delta_m, 1), round(by_task("LS"), 1)) == (5.6, -0.9)
    says("MGDA has the worst classes of all rows without F-")
    says("It comes out before LS by Δm, and behind LS by tasks")
    assert min(PLAIN, key=lambda name: NYUV2[name].values["miou"]) == "MGDA"
    assert NYUV2["MGDA"].delta_m < NYUV2["LS"].delta_m
    assert by_task("MGDA") > by_task("LS")


def test_what_table_3_shows():
    says("Every F-X lies left of its X , by 0.8 (PCGrad) to 4.2 (IMTL)")
    gains = {x: NYUV2[x].delta_m - NYUV2[f"F-{x}"].delta_m for x in PLAIN if f"F-{x}" in NYUV2}
    assert len(gains) == 5
    assert (min(gains, key=gains.get), max(gains, key=gains.get)) == ("PCGrad", "IMTL")
    assert [f"{gains[x]:.1f}" for x in ("PCGrad", "IMTL")] == ["0.8", "4.2"]
    says("has -3.2. So SAM alone gives 3.2, in one seed")
    says("Of the rows with F-, only F-CAGrad and F-IMTL do better")
    with_f = {name: row.delta_m for name, row in NYUV2.items() if name.startswith("F-") and name != "F-STL"}
    assert {name for name, value in with_f.items() if value < NYUV2["F-STL"].delta_m} == {
        "F-CAGrad",
        "F-IMTL",
    }


def test_the_record_says_what_it_is_of():
    record = rooms_record.recorded()
    assert record["what"].startswith("synthetic rooms")
    says("few rooms, never augmented, many epochs")
    assert record["settings"]["n_train"] <= 64
    assert not record["settings"]["augment"]
    says("with a seed of its own")
    assert {one["seed"] for one in record["selection"]}.isdisjoint({run["seed"] for run in record["runs"]})
    says("each triangle lies straight below its cross")
    changes = rooms_record.by_method(record, "delta_m")
    assert changes["direct-mean"] == pytest.approx(changes["f-mean"], abs=0.01)


def gramian(method: str, epoch: int, rho: float) -> torch.Tensor:
    """Of the three loss and three flat parts; ``epoch`` is the place among the recorded ones."""
    line = rooms_record.recorded()["snapshots"][method][epoch]
    return torch.tensor(line["gramians"][line["rho"].index(rho)], dtype=torch.float64)


def angles(M: torch.Tensor) -> torch.Tensor:
    """Degrees between the loss parts: classes and depth, classes and normals, depth and normals."""
    return fm.diagnostics.cosines_of_gramian(M)[(0, 0, 1), (1, 2, 2)].acos().rad2deg()


def agreement(M: torch.Tensor) -> float:
    return fm.diagnostics.rule_cosine(M, fm.CAGrad(c=0.4), "decomposed", "direct")


def test_what_the_snapshots_show():
    says("at the ρ that F-CAGrad was trained with (0.02)")
    assert rooms_record.recorded()["config"]["rho"] == 0.02
    found = {
        (method, epoch): gramian(method, epoch, 0.02) for method in ("mean", "f-cagrad") for epoch in (0, -1)
    }
    lengths = {key: M.diagonal().sqrt() for key, M in found.items()}
    says("After one epoch it is the shortest, and depth is longest. LS ends with 1.9, 3.5 and 0.5")
    assert rooms_record.recorded()["snapshots"]["mean"][0]["epoch"] == 1
    for method in ("mean", "f-cagrad"):
        assert (lengths[method, 0][:3].argmin(), lengths[method, 0][:3].argmax()) == (2, 1)
    assert [f"{v:.1f}" for v in lengths["mean", -1][:3].tolist()] == ["1.9", "3.5", "0.5"]
    says("F-CAGrad ends with classes (1.5) before depth (1.3)")
    assert [f"{v:.1f}" for v in lengths["f-cagrad", -1][:2].tolist()] == ["1.5", "1.3"]
    says("After the first epoch the loss part of depth is in conflict with both others")
    says("At the end no pair of loss parts is in conflict, in either run")
    for (_, epoch), M in found.items():
        conflicts = (angles(M) > 90).tolist()
        assert conflicts == ([True, False, True] if epoch == 0 else [False] * 3)
    says("Each of its flat parts is less than a quarter as long as the same part of LS")
    assert (lengths["f-cagrad", -1][3:] < lengths["mean", -1][3:] / 4).all()
    says("In LS the flat parts are longer than the loss parts. In F-CAGrad they are shorter")
    assert (lengths["mean", -1][3:] > lengths["mean", -1][:3]).all()
    assert (lengths["f-cagrad", -1][3:] < lengths["f-cagrad", -1][:3]).all()
    says("Their cosine is 0.997 or more in all four rows")
    assert min(map(agreement, found.values())) > 0.9965
    says("After one epoch the flat parts are small, at most a fifth of the loss parts")
    for method in ("mean", "f-cagrad"):
        first = lengths[method, 0]
        assert (first[3:] / first[:3]).max() < 0.205
    says("08-trained: depth. 08-agree: above 0.99 (0.9999). For LS, last epoch, move ρ to 0.5")
    says("Only there do the rules differ visibly (0.96)")
    assert lengths["mean", -1][:3].argmax() == 1
    assert f"{agreement(found['f-cagrad', -1]):.4f}" == "0.9999"
    assert f"{agreement(gramian('mean', -1, 0.5)):.2f}" == "0.96"
    assert agreement(gramian("f-cagrad", -1, 0.5)) > 0.99


def test_what_three_seeds_of_rooms_say():
    changes = rooms_record.by_method(rooms_record.recorded(), "delta_m")
    assert {len(values) for values in changes.values()} == {3}

    def minus(one: str, other: str) -> list[float]:
        return [a - b for a, b in zip(changes[one], changes[other], strict=True)]

    says("LS is 6.7 to 13.1 % worse than single-task networks")
    assert [f"{v:.1f}" for v in sorted(changes["mean"])[::2]] == ["6.7", "13.1"]
    says("Of the plain methods only MGDA comes out even (-3.8 to +1.9). It listens to the shortest gradient")
    assert [f"{v:+.1f}" for v in sorted(changes["mgda"])[::2]] == ["-3.8", "+1.9"]
    assert all(min(changes[name]) > 1 for name in ("mean", "cagrad", "imtl_g"))
    says("LS gains 5.8, 5.2 and nothing")
    assert minus("f-mean", "mean") == pytest.approx([-5.8, -5.2, 0], abs=0.06)
    says("at least one seed speaks for F- and at least one against it")
    for name in ("mgda", "cagrad", "imtl_g"):
        found = minus(f"f-{name}", name)
        assert min(found) < 0 < max(found)
    says("better in all three seeds with MGDA and with IMTL-G. It is worse in two of three with CAGrad")
    for name, worse in (("mgda", 0), ("imtl_g", 0), ("cagrad", 2)):
        assert sum(value > 0 for value in minus(f"f-{name}", f"direct-{name}")) == worse
    says("In nine of the twelve methods Δm moves by 3 to 7.3 points from the best seed to the worst")
    spans = [max(values) - min(values) for name, values in changes.items() if name != "stl"]
    assert sum(span > 3 for span in spans) == 9
    assert f"{max(spans):.1f}" == "7.3"
    says("The means of the three rules of one aggregator lie at most 4.8 points apart")
    for name in ("mean", "mgda", "cagrad", "imtl_g"):
        means = [sum(changes[rule + name]) / 3 for rule in ("", "direct-", "f-")]
        assert max(means) - min(means) < 4.85
