"""Weights, buffers and generators come back, bit for bit, also after an error."""

import contextlib

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from flatmtl_lite.gradients import flatten
from flatmtl_lite.perturbation import perturbed
from flatmtl_lite.state import StateGuard, generator_states, set_generators


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def bits(tensor):
    """The tensor's bytes as integers: tells -0.0 from 0.0, and one NaN from another."""
    return tensor.detach().reshape(-1).view(torch.uint8).clone()


# perturbed --------------------------------------------------------------------------------------------------


def awkward_parameters():
    """Values that adding ε and subtracting it again would not bring back, in two layouts."""
    first = nn.Parameter(torch.tensor([-0.0, 1e-40, 1e-9, 3.1, -7e20]))
    image = nn.Parameter(normal(2, 3, 4, 4, dtype=torch.float32).to(memory_format=torch.channels_last))
    return [first, image]


def test_within_the_block_the_weights_are_moved_and_afterwards_the_same_bit_for_bit():
    parameters = awkward_parameters()
    before, strides = [bits(p) for p in parameters], [p.stride() for p in parameters]
    epsilon = normal(5 + 96, dtype=torch.float32)
    weights = flatten(parameters)
    with perturbed(parameters, weights, epsilon):
        assert flatten(parameters).equal(weights + epsilon)
        assert not flatten(parameters).equal(weights)
    assert [bits(p).tolist() for p in parameters] == [b.tolist() for b in before]
    assert [p.stride() for p in parameters] == strides
    assert all(p.grad is None and p.requires_grad and p.is_leaf for p in parameters)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_weights_come_back_when_the_block_raises(error):
    parameters = awkward_parameters()
    before = [bits(p).tolist() for p in parameters]
    with pytest.raises(error), perturbed(parameters, flatten(parameters), torch.ones(5 + 96)):
        raise error
    assert [bits(p).tolist() for p in parameters] == before


def test_gradients_may_be_taken_within_the_block():
    w = nn.Parameter(torch.tensor([1.0, 2.0]))
    with perturbed([w], flatten([w]), torch.tensor([1.0, -1.0])):
        (grad,) = torch.autograd.grad((w**2).sum(), w)
    assert grad.tolist() == [4, 2]
    assert w.tolist() == [1, 2]


# StateGuard -------------------------------------------------------------------------------------------------


class Counter(nn.Module):
    """Replaces its buffer by a new tensor at every call, as some modules do."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls = self.calls + 1
        return nn.functional.dropout(x, 0.5)


@pytest.fixture
def model():
    """BatchNorm, nested, with num_batches_tracked; a buffer that is replaced; dropout."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), Counter())


X = normal(8, 3, dtype=torch.float32)


def state(model):
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def same(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def same_generators(one, other):
    return all(a.equal(b) for a, b in zip(one, other, strict=True))


def run_twice(model, keep_after=None, error=None):
    """Two forwards within a guard; the state after the first one, and what the guard leaves."""
    with StateGuard() as guard:
        model(X)
        after_one = state(model), generator_states()
        if keep_after == 1:
            guard.keep()
        model(X + 1)
        assert not same(state(model), after_one[0])
        assert not same_generators(generator_states(), after_one[1])
        if error is not None:
            raise error
    return after_one


def test_without_keep_all_is_as_before(model):
    model(X)
    buffers, generators, objects = state(model), generator_states(), list(model.buffers())
    run_twice(model)
    assert same(state(model), buffers)
    assert same_generators(generator_states(), generators)
    assert all(a is b for a, b in zip(model.buffers(), objects, strict=True))


def test_with_keep_all_is_as_it_was_kept(model):
    buffers, generators = run_twice(model, keep_after=1)
    assert same(state(model), buffers)
    assert buffers["0.1.num_batches_tracked"] == 1
    assert buffers["1.calls"] == 1
    assert same_generators(generator_states(), generators)


def test_a_guard_that_is_entered_again_forgets_what_it_kept(model):
    guard = StateGuard()
    with guard:
        guard.keep()
    torch.rand(3)
    before = generator_states()
    with guard:
        model(X)
    assert same_generators(generator_states(), before)


@pytest.mark.parametrize("keep_after", [None, 1])
@pytest.mark.parametrize("error", [ValueError("a loss raised"), KeyboardInterrupt()])
def test_after_an_error_all_is_as_before_even_if_something_was_kept(model, keep_after, error):
    model(X)
    buffers, generators = state(model), generator_states()
    with pytest.raises(type(error)):
        run_twice(model, keep_after, error)
    assert same(state(model), buffers)
    assert same_generators(generator_states(), generators)


def test_a_part_called_on_its_own_is_noted_too(model):
    with StateGuard():
        model[0][1](X)
        model(X)
    assert model[0][1].num_batches_tracked == 0
    assert model[1].calls == 0


def test_modules_that_do_not_run_are_left_alone(model):
    bystander = nn.BatchNorm1d(3)
    with StateGuard():
        model(X)
        bystander.running_mean += 1  # somebody else's business
    assert bystander.running_mean.tolist() == [1, 1, 1]


@pytest.mark.parametrize("error", [None, ValueError])
def test_the_hook_goes_away(error):
    hooks = nn.modules.module._global_forward_pre_hooks
    count = len(hooks)
    with contextlib.suppress(ValueError), StateGuard():
        assert len(hooks) == count + 1
        if error:
            raise error
    assert len(hooks) == count


def test_spectral_norm_keeps_its_vectors():
    """A parametrization's buffers move at every forward in training mode."""
    layer = nn.Linear(3, 3)
    with torch.no_grad():  # singular values so close that the vectors have not settled
        layer.weight.copy_(torch.diag(torch.tensor([1.0, 0.99, 0.98])))
    model = torch.nn.utils.parametrizations.spectral_norm(layer)
    before = state(model)
    with StateGuard():
        model(X)
        assert not same(state(model), before)
    assert same(state(model), before)


class Copies(TorchDispatchMode):
    """Counts the kernels that copy."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.count += function.overloadpacket.__name__ in ("clone", "copy_", "cat", "_foreach_copy_")
        return function(*arguments, **(options or {}))


def test_all_buffers_of_a_network_are_copied_together():
    """On a GPU each copy is a kernel, and a ResNet-18 has sixty buffers."""

    def copies(layers):
        net = nn.Sequential(*(nn.BatchNorm1d(2) for _ in range(layers)))
        with Copies() as counted, StateGuard() as state:
            for _ in range(2):
                is_first = state.begin("pass", starts_pass=True)
                net(normal(4, 2, dtype=torch.float32))
                if is_first:
                    state.keep()
        assert all(layer.num_batches_tracked == 1 for layer in net)
        return counted.count

    assert copies(2) == copies(20) <= 12


def test_buffers_of_other_kinds_come_back_too():
    net = nn.Module()
    net.forward = lambda: None
    net.register_buffer("turned", torch.arange(6.0).view(2, 3).T)
    net.register_buffer("sparse", torch.eye(2).to_sparse())
    net.register_buffer("none", None)
    net.register_buffer("whole", torch.tensor(3))
    before = {name: buffer if buffer is None else buffer.clone() for name, buffer in net._buffers.items()}
    with StateGuard():
        net()
        net.turned += 1
        net.sparse *= 2
        net.whole += 1
        net.none = torch.ones(1)
    assert net.none is None
    assert torch.equal(net.turned, before["turned"])
    assert torch.equal(net.sparse.to_dense(), before["sparse"].to_dense())
    assert torch.equal(net.whole, before["whole"])


def test_only_generators_of_devices_in_use_are_kept(monkeypatch):
    """Three GPUs are played. This process uses the first and the last."""
    states = {device: torch.tensor([device]) for device in range(3)}
    asked, put = [], []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch._C, "_cuda_hasPrimaryContext", lambda device: device != 1, raising=False)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: asked.append(device) or states[device])
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: put.append((int(state), device)))
    kept = generator_states()
    assert asked == [0, 2]
    set_generators(kept)
    assert put == [(0, 0), (2, 2)]
