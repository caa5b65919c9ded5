"""Scene networks: sizes by the formula of their layers, and one task's path per perturbed pass."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import flatmtl_lite as fm
from flatmtl_lite.runs import encoder_decoder, mlp, mtan, scene_closures
from flatmtl_lite.runs.networks.scenes import TASKS

NARROW = (4, 6, 8, 8, 8)
NETWORKS = {
    "mtan": lambda tasks=tuple(TASKS): mtan(tasks, NARROW),
    "encoder_decoder": lambda tasks=tuple(TASKS): encoder_decoder(tasks, (8, 8, 16)),
}
everywhere = pytest.mark.parametrize("name", NETWORKS)


def size(parameters):
    return sum(p.numel() for p in parameters)


def make(name, *arguments, seed=0):
    torch.manual_seed(seed)
    return NETWORKS[name](*arguments)


def batch(n=2, height=32, width=64, seed=0):
    g = torch.Generator().manual_seed(seed)
    return {
        "image": torch.rand(n, 3, height, width, generator=g),
        "label": torch.randint(-1, 13, (n, height, width), generator=g),
        "depth": 5 * torch.rand(n, 1, height, width, generator=g),
        "normal": torch.nn.functional.normalize(torch.randn(n, 3, height, width, generator=g), dim=1),
    }


def conv_size(k, before, width):
    """A k x k convolution with bias, and its batch norm."""
    return k * k * before * width + width + 2 * width


def mtan_sizes(w, outputs):
    """SegNet, attention, one head per task: by the formula of the layers."""
    narrower = (w[0], *w[:4])
    wider = (*w[1:], w[4])
    blocks = list(zip((3, *w), w, (2, 2, 3, 3, 3))) + list(zip(w, narrower, (2, 2, 3, 3, 3)))
    segnet = sum(conv_size(3, a, b) + (n - 1) * conv_size(3, b, b) for a, b, n in blocks)
    passing = sum(conv_size(3, a, b) for a, b in [*zip(w, wider), *zip(w, narrower)])
    inputs = [w[0], *(2 * width for width in w[1:]), *(a + b for a, b in zip(w, narrower))]
    masks = sum(conv_size(1, i, o) + conv_size(1, o, o) for i, o in zip(inputs, [*w, *narrower]))
    heads = [9 * w[0] * w[0] + w[0] + w[0] * c + c for c in outputs]
    return segnet, passing + len(outputs) * masks, heads


@pytest.mark.parametrize(
    ("tasks", "widths"),
    [(tuple(TASKS), (64, 128, 256, 512, 512)), (("depth",), NARROW), (("normal", "label"), NARROW)],
)
def test_mtan_has_the_size_of_its_layers(widths, tasks):
    model = mtan(tasks, widths)
    segnet, attention, heads = mtan_sizes(widths, [TASKS[task] for task in tasks])
    assert size(model.trunk.parameters()) == segnet
    assert size(model.shared_parameters()) == segnet + attention
    assert [size(head) for head in model.head_parameters()] == heads
    assert size(model.parameters()) == segnet + attention + sum(heads)


def test_mtan_has_the_published_size():
    segnet, attention, heads = mtan_sizes((64, 128, 256, 512, 512), TASKS.values())
    assert segnet + heads[0] == 24_981_069  # the published single-task SegNet that the size is compared with
    assert segnet + attention + sum(heads) == 44_229_073


def test_every_parameter_is_shared_or_of_one_head():
    for model in (mlp(), make("mtan"), make("encoder_decoder")):
        shared, heads = model.shared_parameters(), model.head_parameters()
        placed = [*shared, *(p for head in heads for p in head)]
        assert len(placed) == len(set(placed)) == len(list(model.parameters()))


@everywhere
@pytest.mark.parametrize(("height", "width"), [(32, 64), (70, 50)])
def test_predictions_have_the_size_of_the_image(name, height, width):
    tasks = ("normal", "label")
    model = make(name, tasks)
    assert model.tasks == tasks
    results = model(torch.rand(2, 3, height, width))
    assert [tuple(y.shape) for y in results] == [(2, 3, height, width), (2, 13, height, width)]


@pytest.mark.parametrize(("name", "height", "width"), [("mtan", 31, 64), ("encoder_decoder", 32, 63)])
def test_images_of_a_wrong_size_are_refused(name, height, width):
    with pytest.raises(ValueError, match=rf"\({height}, {width}\) pixels; expected"):
        make(name)(torch.rand(1, 3, height, width))


@everywhere
def test_unknown_tasks_are_refused(name):
    for tasks in ((), ("label", "label"), ("label", "edges"), "depth"):
        with pytest.raises(ValueError, match="label, depth, normal"):
            make(name, tasks)


def ran(model, action):
    """Names of the leaf modules that ran during the action, with their number of runs."""
    counts = {}
    hooks = [
        module.register_forward_hook(lambda *_, name=name: counts.update({name: counts.get(name, 0) + 1}))
        for name, module in model.named_modules()
        if not list(module.children())
    ]
    action()
    for hook in hooks:
        hook.remove()
    return counts


def steps(model, rho=0.05):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    shared, heads = model.shared_parameters(), model.head_parameters()
    return fm.FlatMTL(optimizer, shared=shared, heads=heads, aggregate=fm.CAGrad(), rho=rho)


@everywhere
def test_a_perturbed_pass_runs_one_tasks_path(name):
    model = make(name)
    step, (features, losses) = steps(model), scene_closures(model, batch())
    paths = [ran(model, lambda loss=loss: loss(features())) for loss in losses]
    clean = ran(model, lambda: [loss(z) for z in [features()] for loss in losses])
    step(features, losses)  # the first step also checks that the losses repeat
    whole = ran(model, lambda: step(features, losses))
    expected = {module: n + sum(path.get(module, 0) for path in paths) for module, n in clean.items()}
    assert whole == expected
    for i, path in enumerate(paths):
        assert not [module for module in path if module.startswith("heads.") and module[6] != str(i)]
    assert any(module.startswith("trunk.") for module in paths[0])


@everywhere
def test_gradients_of_a_step_are_those_of_autograd(name):
    model = make(name).double()
    data = {part: v if part == "label" else v.double() for part, v in batch().items()}
    features, losses = scene_closures(model, data)
    shared, heads = model.shared_parameters(), model.head_parameters()
    parts = fm.decompose(features, losses, shared, heads, rho=0.0)
    for i, loss in enumerate(losses):
        grads = torch.autograd.grad(loss(features()), [*shared, *heads[i]], allow_unused=True)
        flat = [torch.zeros_like(p) if g is None else g for p, g in zip([*shared, *heads[i]], grads)]
        row = torch.cat([g.flatten() for g in flat[: len(shared)]])
        torch.testing.assert_close(parts.loss[i], row)
        other = model.heads[(i + 1) % 3]
        own = {id(p) for p in [*other.parameters()]} & {id(p) for p in shared}
        where = torch.cat([torch.full((p.numel(),), id(p) in own) for p in shared])
        assert (row[where] == 0).all()
        assert (name == "mtan") == bool(where.any())  # attention is shared though one task alone uses it


class Waits(TorchDispatchMode):
    """Notes what would make the host wait for a GPU: numbers that are read, shapes that depend on values."""

    def __init__(self):
        super().__init__()
        self.results = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.split("::")[1]
        masks = name.startswith("index") and any(i is not None and i.dtype == torch.bool for i in args[1])
        if masks or name in ("_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "equal"):
            self.results.append(name)
        return function(*args, **(kwargs or {}))


@everywhere
def test_losses_and_their_gradients_never_wait_for_a_gpu(name):
    features, losses = scene_closures(make(name), batch())
    with Waits() as waits:
        sum(loss(z) for z in [features()] for loss in losses).backward()
    assert waits.results == []
    with Waits() as waits:
        float(torch.ones(3)[torch.ones(3) > 0].sum())
    assert waits.results == ["index", "_local_scalar_dense"]


@everywhere
def test_training_makes_the_losses_fall(name):
    model, data = make(name), batch()
    step, (features, losses) = steps(model), scene_closures(model, data)
    before = step(features, losses).losses
    for _ in range(8):
        after = step(features, losses).losses
    assert torch.isfinite(after).all()
    assert (after / before).mean() < 0.99


def test_batch_norm_counts_one_clean_pass_a_step():
    model, twin = make("mtan"), make("mtan")
    features, losses = scene_closures(model, batch())
    steps(model)(features, losses)
    twin(batch()["image"])
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), twin.buffers(), strict=True))


@everywhere
def test_a_copy_and_a_saved_state_are_the_network(name, tmp_path):
    model = make(name).eval()
    x = batch()["image"]
    twin = copy.deepcopy(model)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    other = make(name, seed=1).eval()
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    with torch.no_grad():
        for p in model.parameters():  # the copy holds no part of the original
            p.mul_(0)
        for y, again in zip(twin(x), other(x), strict=True):
            assert y.abs().sum() > 0
            assert torch.equal(y, again)


@everywhere
def test_a_single_task_twin_has_the_same_trunk(name):
    def shapes(model):
        return [p.shape for p in model.trunk.parameters()]

    assert shapes(make(name, ("depth",))) == shapes(make(name))
