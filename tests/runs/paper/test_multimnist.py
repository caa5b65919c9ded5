"""The paper's figures: every method is one of ours, and the sums agree but for a known misprint."""

import torch

from flatmtl_lite import CAGrad, FlatMTL
from flatmtl_lite.runs import parse_method
from flatmtl_lite.runs.data.multimnist import VARIANTS
from flatmtl_lite.runs.networks.images import lenet, task_closures
from flatmtl_lite.runs.paper.multimnist import MISPRINTS, PUBLISHED_ROWS, published_row


def test_a_row_is_of_a_variant_and_a_method_of_ours():
    for variant, method in PUBLISHED_ROWS:
        assert variant in VARIANTS
        if method != "stl":
            parse_method(method)


def test_averages_agree_with_the_tasks_but_for_the_known_misprints():
    wrong = set()
    for key, row in PUBLISHED_ROWS.items():
        if None not in row.tasks:
            mean = sum(task.mean for task in row.tasks) / 2
            if abs(mean - row.average.mean) > 0.0151:  # two roundings: of the tasks and of the average
                wrong.add(key)
    assert wrong == MISPRINTS.keys()
    assert all(PUBLISHED_ROWS[key].misprint for key in wrong)


def test_every_variant_has_every_row():
    assert len(PUBLISHED_ROWS) == 3 * (13 + 2 + 9 + 4)


def test_a_row_names_its_source():
    for method, average, source in (
        ("f-cagrad", 87.82, "Table 1"),
        ("second-cagrad", 87.90, "Table 6"),
        ("f-mean", 87.72, "the authors' rebuttal"),
        ("f-rlw", 87.80, "recomputed from the authors' logs"),
    ):
        row = published_row("multimnist", {"variant": "fashion"}, method)
        assert (row.average.mean, row.source) == (average, source)


def test_what_was_not_published_is_none():
    mnist = {"variant": "mnist", "tasks": None, "label_noise": 0.0}
    assert published_row("multimnist", mnist, "cagrad")
    assert published_row("multimnist", mnist, "f-upgrad") is None
    assert published_row("multimnist", {**mnist, "label_noise": 0.4}, "cagrad") is None
    assert published_row("multimnist", {**mnist, "tasks": ["digit", "parity"]}, "cagrad") is None
    assert published_row("rooms", {}, "cagrad") is None


def test_the_two_adams_of_the_authors_take_the_steps_of_one():
    """One for the trunk and one for the heads, with one learning rate: each weight has its own moments."""

    def trained(optimizers_of):
        torch.manual_seed(0)
        net = lenet()
        images, labels = torch.randint(256, (16, 36, 36), dtype=torch.uint8), torch.randint(10, (16, 2))
        heads = net.head_parameters()
        one = torch.optim.Adam(net.parameters(), lr=1e-3)
        step = FlatMTL(one, net.shared_parameters(), heads, CAGrad(c=0.4), rho=2.0, adaptive=True)
        optimizers = optimizers_of(one, net.shared_parameters(), [p for head in heads for p in head])
        for _ in range(3):
            step.backward([task_closures(net, images, labels)])
            for optimizer in optimizers:
                optimizer.step()
        return list(net.parameters())

    both = trained(lambda one, shared, heads: [torch.optim.Adam(part, lr=1e-3) for part in (shared, heads)])
    assert all(map(torch.equal, both, trained(lambda one, shared, heads: [one])))
