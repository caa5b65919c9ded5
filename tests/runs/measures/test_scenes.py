"""Losses and metrics of scenes against their definitions, and Δm against the published tables."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from flatmtl_lite.runs import HIGHER_IS_BETTER, NYUV2_STL, SceneMetrics, delta_m
from flatmtl_lite.runs.engine.experiment import NonFiniteOutput
from flatmtl_lite.runs.networks.losses import LOSSES, depth_loss, label_loss, normal_loss

# Rows of Table 3 of the paper, in its units (mIoU, pixel accuracy and shares in per cent), with its Δm.
TABLE_3 = {
    "STL": (38.30, 63.76, 0.6754, 0.2780, 25.01, 19.21, 30.14, 57.20, 69.15, 0),
    "LS": (39.29, 65.33, 0.5493, 0.2263, 28.15, 23.96, 22.09, 47.50, 61.08, 5.59),
    "F-CAGrad": (40.93, 66.68, 0.5285, 0.2162, 25.43, 20.39, 27.99, 54.82, 67.56, -3.78),
}
PER_CENT = [100, 100, 1, 1, 1, 1, 100, 100, 100]


@pytest.mark.parametrize("method", TABLE_3)
def test_delta_m_of_the_published_rows(method):
    *row, published = TABLE_3[method]
    values = dict(zip(NYUV2_STL, (v / unit for v, unit in zip(row, PER_CENT, strict=True)), strict=True))
    result = delta_m(values, NYUV2_STL, HIGHER_IS_BETTER)
    assert result == pytest.approx(published, abs=0.02)
    in_order = delta_m(values.values(), NYUV2_STL.values(), HIGHER_IS_BETTER.values())
    assert in_order == result
    assert delta_m(torch.tensor(list(values.values())), NYUV2_STL.values(), HIGHER_IS_BETTER.values()) == (
        pytest.approx(result, abs=1e-4)
    )


@pytest.mark.parametrize(
    ("values", "base", "higher", "message"),
    [
        ([1, 2], [1], [True, False], "2 values, 1 of the base"),
        ([], [], [], "at least one"),
        ([1], [0], [True], "base of metric 1; expected no 0"),
        ([1, 1], [1, -0.0], [True, False], "base of metric 2; expected no 0"),
        ({"miou": 1}, {"miou": 0}, {"miou": True}, "Got 0 as the base of miou; expected no 0"),
        ([1], [math.nan], [True], "Got nan as the base of metric 1; expected a finite number"),
        ([1], [math.inf], [True], "Got inf as the base of metric 1"),
        ([1], ["1"], [True], "Got '1' as the base of metric 1"),
        ([math.nan], [1], [True], "Got nan as the value of metric 1"),
        ({"nll": -math.inf}, {"nll": 1}, {"nll": False}, "Got -inf as the value of nll"),
        (["0.5"], [1], [True], "Got '0.5' as the value of metric 1"),
        ([None], [1], [True], "Got None as the value of metric 1"),
        ([[1, 2]], [1], [True], r"Got \[1, 2\] as the value of metric 1"),
        ([1], [1], ["higher"], "Got 'higher' as the direction of metric 1; expected True if higher"),
        ([1], [1], ["False"], "Got 'False' as the direction of metric 1"),
        ([1], [1], [-1], "Got -1 as the direction of metric 1"),
        ([1], [1], [None], "Got None as the direction of metric 1"),
        ([1], [1], [math.nan], "Got nan as the direction of metric 1"),
        ([1], [1], "True", "4 directions"),
        ({"a": 1}, {"b": 1}, {"a": True}, "same names"),
        ({"a": 1}, [1], [True], "same names"),
    ],
)
def test_delta_m_refuses(values, base, higher, message):
    with pytest.raises(ValueError, match=message):
        delta_m(values, base, higher)


@pytest.mark.parametrize("base", [2.0, -2.0])
def test_delta_m_is_positive_where_a_metric_is_worse_whatever_the_sign_of_the_base(base):
    assert delta_m([base - 0.5], [base], [True]) == pytest.approx(25)
    assert delta_m([base + 0.5], [base], [True]) == pytest.approx(-25)
    assert delta_m([base - 0.5], [base], [False]) == pytest.approx(-25)


@pytest.mark.parametrize("kind", [bool, int, float, np.bool_, torch.tensor])
def test_a_direction_may_be_any_truth_value(kind):
    assert delta_m([3.0, 3.0, 3.0], [2.0, 2.0, 2.0], map(kind, (True, False, False))) == pytest.approx(50 / 3)


def test_numbers_of_any_library_are_taken():
    values = [np.float32(0.5), torch.tensor(0.25), 1]
    assert delta_m(values, np.array([1.0, 0.5, 2.0]), torch.tensor([True, True, True])) == pytest.approx(50)


def truth(n=4, size=(8, 10), seed=0):
    g = torch.Generator().manual_seed(seed)
    normal = torch.nn.functional.normalize(torch.randn(n, 3, *size, generator=g), dim=1)
    depth = 0.5 + 8 * torch.rand(n, 1, *size, generator=g)
    share = torch.linspace(0, 0.9, n).view(n, 1, 1, 1)  # unknown normals: batches differ in weight
    return {
        "label": torch.randint(-1, 13, (n, *size), generator=g),
        "depth": depth * (torch.rand(depth.shape, generator=g) > 0.2),
        "normal": normal * (torch.rand(n, 1, *size, generator=g) > share),
    }


def guess(n=4, size=(8, 10), seed=1, near=None):
    g = torch.Generator().manual_seed(seed)
    answer = {part: torch.randn(n, c, *size, generator=g) for part, c in (("label", 13), ("depth", 1))}
    answer["normal"] = torch.randn(n, 3, *size, generator=g) * 0.4 + near["normal"]
    answer["label"].scatter_add_(1, near["label"].clamp_min(0)[:, None], torch.full((n, 1, *size), 2.0))
    return answer


def rows(batch, indices):
    return {part: values[indices] for part, values in batch.items()}


def metrics_of(pred, target, batches, **options):
    metrics = SceneMetrics(**options)
    for indices in batches:
        metrics.update(rows(pred, indices), rows(target, indices))
    return metrics.compute()


def by_hand(pred, target):
    """Straight from the definitions, in numpy and float64."""
    answer, label = pred["label"].argmax(1).numpy().ravel(), target["label"].numpy().ravel()
    answer, label = answer[label >= 0], label[label >= 0]
    ious = [
        ((answer == c) & (label == c)).sum() / ((answer == c) | (label == c)).sum()
        for c in range(13)
        if ((answer == c) | (label == c)).any()
    ]
    depth = target["depth"].double().numpy()
    error = np.abs(pred["depth"].double().numpy() - depth)[depth > 0]
    a, b = (batch["normal"].double().movedim(1, -1).reshape(-1, 3).numpy() for batch in (pred, target))
    a, b = a[(b != 0).any(1)], b[(b != 0).any(1)]
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    angle = np.degrees(np.arccos(cosine.clip(-1, 1)))
    shares = [np.mean(angle < limit) for limit in (11.25, 22.5, 30)]
    values = [np.mean(ious), np.mean(answer == label), error.mean(), (error / depth[depth > 0]).mean()]
    return dict(zip(HIGHER_IS_BETTER, [*values, angle.mean(), np.median(angle), *shares], strict=True))


@pytest.mark.parametrize("batches", [[[0, 1, 2, 3]], [[3, 1, 0], [2]]])
def test_pooled_metrics_do_not_depend_on_the_batches(batches):
    target = truth()
    pred = guess(near=target)
    result = metrics_of(pred, target, batches)
    assert list(result) == list(NYUV2_STL)
    assert result == pytest.approx(by_hand(pred, target), rel=1e-5)
    jaccard = MulticlassJaccardIndex(13, ignore_index=-1)
    assert result["miou"] == pytest.approx(jaccard(pred["label"], target["label"]).item(), rel=1e-5)


def test_the_published_way_averages_batches():
    target = truth()
    pred = guess(near=target)
    batches = [[0, 1, 2], [3]]
    result = metrics_of(pred, target, batches, per_batch=True)
    parts = [by_hand(rows(pred, indices), rows(target, indices)) for indices in batches]
    whole = by_hand(pred, target)
    means = {name: (parts[0][name] + parts[1][name]) / 2 for name in whole}
    expected = {**means, "miou": whole["miou"], "pixacc": whole["pixacc"]}
    assert result == pytest.approx(expected, rel=1e-5)
    differs = {name for name in whole if result[name] != pytest.approx(whole[name], rel=1e-3)}
    assert {"abs_err", "rel_err", "mean", "median"} <= differs
    one = metrics_of(pred, target, [[0, 1, 2, 3]], per_batch=True)
    assert one == pytest.approx(whole, rel=1e-5)


def test_a_perfect_guess_is_perfect():
    target = truth()
    logits = torch.nn.functional.one_hot(target["label"].clamp_min(0), 13).movedim(-1, 1).float()
    pred = {"label": logits, "depth": target["depth"], "normal": 7 * target["normal"]}
    result = metrics_of(pred, target, [[0, 1], [2, 3]])
    best = {name: float(higher) for name, higher in HIGHER_IS_BETTER.items()}
    assert result == pytest.approx(best, abs=1e-4)  # float32 arc cosines would be 0.02 degrees off


def test_undefined_pixels_do_not_count():
    target = truth()
    pred = guess(near=target)
    other = {part: values.clone() for part, values in pred.items()}
    other["label"] = torch.where((target["label"] < 0)[:, None], -other["label"], other["label"])
    other["depth"] = torch.where(target["depth"] == 0, 99.0, other["depth"])
    other["normal"] = torch.where((target["normal"] == 0).all(1, keepdim=True), 5.0, other["normal"])
    assert metrics_of(other, target, [range(4)]) == metrics_of(pred, target, [range(4)])
    for part, loss in LOSSES.items():
        assert loss(other[part], target[part]) == loss(pred[part], target[part])


def test_a_vector_of_length_zero_is_not_a_hit():
    target = truth()
    pred = {**guess(near=target), "normal": torch.zeros(4, 3, 8, 10)}
    assert metrics_of(pred, target, [range(4)])["mean"] == pytest.approx(90)


@pytest.mark.parametrize("per_batch", [False, True])
def test_what_is_unknown_everywhere_is_nan_and_one_such_batch_does_no_harm(per_batch):
    target = truth()
    pred = guess(near=target)
    nothing = {part: torch.zeros_like(values) for part, values in target.items()}
    nothing["label"] -= 1
    metrics = SceneMetrics(per_batch)
    metrics.update(pred, nothing)
    assert all(math.isnan(value) for value in metrics.compute().values())
    assert metrics.class_iou().isnan().all()
    metrics.update(pred, target)
    assert metrics.compute() == pytest.approx(by_hand(pred, target), rel=1e-5)


def test_two_passes_are_never_mixed():
    target = truth()
    pred = guess(near=target)
    train = SceneMetrics()
    train.update(pred, target)
    before = train.compute()
    test = SceneMetrics()
    test.update(guess(seed=5, near=truth(seed=6)), target)
    assert test.compute() != before
    assert train.compute() == before


def test_metrics_refuse():
    target = truth()
    pred = guess(near=target)
    metrics = SceneMetrics()
    with pytest.raises(ValueError, match="Call update first"):
        metrics.compute()
    with pytest.raises(ValueError, match="expected label, depth, normal"):
        metrics.update({"label": pred["label"]}, target)
    with pytest.raises(ValueError, match="shapes"):
        metrics.update({**pred, "depth": pred["depth"][:, 0]}, target)
    with pytest.raises(ValueError, match="shapes"):
        metrics.update(pred, {**target, "normal": target["normal"][..., 1:]})
    with pytest.raises(ValueError, match="Call update first"):  # nothing was added
        metrics.compute()


def put(values, value, channel=slice(None)):
    """The same values, except at one pixel of the second scene."""
    values = values.clone()
    values[(1, channel, 2, 3) if values.ndim == 4 else (1, 2, 3)] = value
    return values


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("which", "part", "value", "message"),
    [
        ("target", "depth", NAN, "target depth of nan; expected metres >= 0, and 0 where unknown"),
        ("target", "depth", INF, "target depth of inf; expected metres >= 0, and 0 where unknown"),
        ("target", "depth", -INF, "target depth of -inf; expected metres >= 0"),
        ("target", "depth", -1.0, "target depth of -1; expected metres >= 0"),
        ("target", "normal", NAN, "target normal of nan; expected .* three zeros where unknown"),
        ("target", "normal", INF, "target normal of inf; expected"),
        ("target", "label", 255, r"target with the label 255; expected whole numbers, -1 .*255 -> -1"),
        ("target", "label", 13, r"target with the label 13; .* subtract 1"),
        ("target", "label", -100, r"target with the label -100; .*-100 -> -1"),
        ("target", "label", -2, r"target with the label -2; .*-2 -> -1"),
        ("pred", "depth", NAN, "predicted depth of nan.*finite.*training diverged"),
        ("pred", "depth", INF, "predicted depth of inf.*finite"),
        ("pred", "depth", -INF, "predicted depth of -inf.*finite"),
        ("pred", "normal", NAN, "predicted normal of nan.*finite"),
        ("pred", "normal", INF, "predicted normal of inf.*finite"),
        ("pred", "label", NAN, "label logit of nan.*finite"),
        ("pred", "label", INF, "label logit of inf.*finite"),
        ("pred", "label", -INF, "label logit of -inf.*finite"),
    ],
)
def test_metrics_refuse_a_value_without_meaning(which, part, value, message):
    target = truth()
    pred = guess(near=target)
    wrong = {"target": target, "pred": pred}
    wrong[which] = {**wrong[which], part: put(wrong[which][part], value)}
    metrics = SceneMetrics()
    metrics.update(pred, target)
    before = metrics.compute()
    with pytest.raises(ValueError, match=message) as refused:
        metrics.update(**wrong)
    assert isinstance(refused.value, NonFiniteOutput) == (which == "pred")
    assert metrics.compute() == before  # nothing of the batch was added


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (lambda label: put(label.float(), 2.5), "target with the label 2.5; .*without interpolation"),
        (lambda label: put(label.float(), NAN), "target with the label nan"),
        (lambda label: label.clamp_min(0).where(label >= 0, 255).byte(), "target with the label 255"),
        (
            lambda label: torch.arange(320).view_as(label),
            r"labels 13, 14, 15, 16, 17, \.\.\.; .*Map the classes",
        ),
    ],
)
def test_labels_of_any_type_are_checked(label, message):
    target = truth()
    with pytest.raises(ValueError, match=message):
        SceneMetrics().update(guess(near=target), {**target, "label": label(target["label"])})


def test_labels_of_any_type_count_alike():
    target = truth()
    pred = guess(near=target)
    expected = metrics_of(pred, target, [range(4)])
    for kind in (torch.int8, torch.int32, torch.float32):
        assert metrics_of(pred, {**target, "label": target["label"].to(kind)}, [range(4)]) == expected


def test_a_class_that_a_network_rules_out_is_no_fault():
    target = truth()
    pred = guess(near=target)
    pred["label"][:, 5] = -INF
    assert 0 < metrics_of(pred, target, [range(4)])["pixacc"] < 1


def test_losses_are_means_over_known_pixels():
    target = truth()
    pred = guess(near=target)
    ce = torch.nn.functional.cross_entropy(pred["label"], target["label"], ignore_index=-1)
    torch.testing.assert_close(label_loss(pred["label"], target["label"]), ce)
    reference = by_hand(pred, target)
    assert depth_loss(pred["depth"], target["depth"]).item() == pytest.approx(reference["abs_err"], rel=1e-5)
    cosine = torch.nn.functional.cosine_similarity(pred["normal"], target["normal"])
    known = (target["normal"] != 0).any(1)
    torch.testing.assert_close(normal_loss(pred["normal"], target["normal"]), 1 - cosine[known].mean())


@pytest.mark.parametrize("value", [255, 13, -100])
def test_the_loss_names_a_label_that_is_no_class(value):
    target = truth()
    with pytest.raises(ValueError, match=f"Got a target with the label {value}; expected whole numbers, -1"):
        label_loss(guess(near=target)["label"], put(target["label"], value))


def test_a_batch_without_a_known_pixel_gives_zero_with_a_graph():
    for part, channels in {"label": 13, "depth": 1, "normal": 3}.items():
        target = torch.full((2, 4, 4), -1) if part == "label" else torch.zeros(2, channels, 4, 4)
        pred = torch.randn(2, channels, 4, 4, requires_grad=True)
        loss = LOSSES[part](pred, target)
        assert loss == 0
        loss.backward()
        assert torch.equal(pred.grad, torch.zeros_like(pred))


def test_a_predicted_normal_of_length_zero_has_a_bounded_gradient():
    target = truth()["normal"]
    pred = torch.zeros_like(target, requires_grad=True)
    normal_loss(pred, target).backward()
    known = (target != 0).any(1).sum()
    assert 0 < pred.grad.abs().max() <= 1000 / known
