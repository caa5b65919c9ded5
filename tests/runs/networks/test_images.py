"""Networks: sizes, shapes, and that a trunk and its heads divide the parameters."""

import pytest
import torch

from flatmtl_lite.runs import (
    lenet,
    mlp,
    multi_mnist,
    parse_network,
    resnet18,
    single_task,
    task_closures,
    task_names,
)
from flatmtl_lite.runs.data.multimnist import VARIANTS
from flatmtl_lite.runs.measures.evaluation import accuracy, outputs
from flatmtl_lite.runs.networks.images import NETWORKS, ResidualBlock

SIZES = {"mlp": 402_964, "lenet": 31_910, "resnet18": 11_223_560}


def size(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_every_task_has_its_classes_and_sizes_are_the_published_ones(name):
    model = NETWORKS[name](classes=(10, 2, 5))
    outputs = model(torch.rand(3, 1, 36, 36))
    assert [tuple(output.shape) for output in outputs] == [(3, 10), (3, 2), (3, 5)]
    published = NETWORKS[name]()
    assert size(published) == size(published.trunk) + sum(map(size, published.heads)) == SIZES[name]
    assert size(model.trunk) == size(NETWORKS[name](classes=(10,)).trunk)  # a single-task twin


@pytest.mark.parametrize(("before", "width", "stride"), [(4, 4, 1), (4, 4, 2), (4, 8, 1)])
def test_a_block_adds_to_its_input(before, width, stride):
    block = ResidualBlock(before, width, stride).eval()
    x = torch.randn(2, before, 9, 9)
    torch.nn.init.zeros_(block.change[-1].weight)  # then the block is its skip, cut at 0
    assert block(x).shape == (2, width, -(-9 // stride), -(-9 // stride))
    assert torch.equal(block(x), block.skip(x).relu())


def test_the_resnet_learns_and_keeps_signals_in_range():
    torch.manual_seed(0)
    z = resnet18().trunk(torch.rand(16, 1, 36, 36))
    assert z.shape == (16, 100)
    assert 0.01 < z.std() < 10


@pytest.mark.parametrize(
    ("name", "counts", "variants"),
    [("mlp", (2, 5, 8), VARIANTS), ("lenet", (2, 8), VARIANTS), ("resnet18", (8,), ["fashion+mnist"])],
)
def test_two_to_eight_tasks_of_every_variant_reach_trunk_and_heads(name, counts, variants):
    for variant in variants:
        for T in counts:
            tasks = task_names(variant)[:T]
            check_tasks(name, multi_mnist(variant, 0, 4, 2, 2, tasks=tasks, sample=True))


def check_tasks(name, data):
    model = NETWORKS[name](data.classes)
    features, losses = task_closures(model, data.train_images, data.train_labels)
    z = features()
    sum(loss(z) for loss in losses).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in model.parameters())
    answers = accuracy(single_task(NETWORKS[name], data.classes), data.test_images, data.test_labels)
    assert len(answers) == len(data.classes)


# single-task twins ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_twins_are_networks_of_one_task(name):
    classes = (10, 2, 5)
    model = single_task(NETWORKS[name], classes)
    assert [len(twin.heads) for twin in model.twins] == [1, 1, 1]
    assert size(model) == sum(size(NETWORKS[name]((count,))) for count in classes)
    answers = model(torch.rand(3, 1, 36, 36))
    assert [tuple(output.shape) for output in answers] == [(3, 10), (3, 2), (3, 5)]


def test_every_twin_answers_its_own_task():
    torch.manual_seed(0)
    model, images = single_task(lenet, (10, 2)), torch.randint(256, (5, 36, 36), dtype=torch.uint8)
    for task, twin in zip(outputs(model, images), model.twins, strict=True):
        assert torch.equal(task, outputs(twin, images)[0])
    model(torch.rand(2, 1, 36, 36))[1].sum().backward()
    assert all(p.grad is None for p in model.twins[0].parameters())
    assert all(p.grad is not None for p in model.twins[1].parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_twin_depends_on_the_seed_and_its_own_task_only(name):
    def twins_from(classes, seed=3):
        torch.manual_seed(seed)
        return single_task(NETWORKS[name], classes).twins

    def same(a, b):
        return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))

    three, other = twins_from((10, 2, 5)), twins_from((7, 2))
    torch.manual_seed(3)
    alone = NETWORKS[name]((2,))
    assert same(three[1], other[1])
    assert same(three[1], alone)
    assert not same(three[1], twins_from((2,), seed=4)[0])
    torch.manual_seed(3)
    shared = NETWORKS[name]((10, 2, 5))
    assert all(same(twin.trunk, shared.trunk) for twin in three)
    assert three[0].trunk is not three[1].trunk


def test_an_unknown_network_is_told_the_nearest():
    assert parse_network("mlp") is mlp
    with pytest.raises(ValueError, match=r"Got network 'LeNet5' \(did you mean 'lenet'\?\); expected one of"):
        parse_network("LeNet5")
    with pytest.raises(ValueError, match=r"Got network 'vit'; expected one of mlp, lenet, resnet18\."):
        parse_network("vit")
