"""A step waits for the device at most twice, and computes there what it computes on the host."""

import pytest
import torch

import flatmtl_lite as fm
from tests.methods import every_kind, every_method, rules_of
from tests.optim.nets import Net, close, halves, headless
from tests.optim.played_device import Device, OnDevice, put_on_device


@pytest.fixture
def device():
    return Device()


def net_on_device(device, **options):
    net = Net(**options)
    with device:
        put_on_device(net)
    net.x, net.y = OnDevice(net.x), OnDevice(net.y)
    return net


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.sum() > 0),
        lambda x: float(x[0]),
        lambda x: x.cpu(),
        lambda x: x.to("cpu", torch.float64),
        lambda x: x.tolist(),
        lambda x: torch.zeros(3).copy_(x),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: x.masked_select(x > 0),
        lambda x: torch.equal(x, x),
        lambda x: torch.linalg.eigvalsh(x.outer(x)),
        lambda x: torch.linalg.solve(x.outer(x) + x.diag(), x),
        lambda x: torch.linalg.pinv(x.outer(x), hermitian=True),
    ],
)
def test_the_counter_counts_what_waits(device, wait):
    with device:
        wait(OnDevice(torch.tensor([1.0, 2.0, 3.0])))
        assert device.waits
        count = len(device.waits)
        wait(OnDevice(torch.tensor([1.0, 2.0, 3.0])))
        assert len(device.waits) == 2 * count


@pytest.mark.parametrize(
    "work",
    [
        lambda x: torch.linalg.vector_norm(x * 2 + 1),
        lambda x: torch.where(x > 0, x, 0.0).to(x.device, torch.float64).add_(1).amax(),
        lambda x: torch.zeros(3).to(x.device) + x,
        lambda x: torch.cat([x, x.new_zeros(2)])[1:].view(2, 2) @ x[:2],
    ],
)
def test_the_counter_lets_the_rest_pass(device, work):
    with device:
        assert isinstance(work(OnDevice(torch.tensor([1.0, 2.0, 3.0]))), OnDevice)
    assert device.waits == []


def test_the_device_does_not_mix_with_the_host_and_computes_right(device):
    x = torch.tensor([1.0, 2.0])
    with device:
        assert (OnDevice(x) * 2 + 1).tolist() == [3, 5]
        with pytest.raises(RuntimeError, match="device and host tensors mixed"):
            OnDevice(x) + x
        with pytest.raises(RuntimeError, match="device and host tensors mixed"):
            torch.cat([OnDevice(x), torch.zeros(0)])


@pytest.mark.parametrize(
    "options",
    [
        *({}, {"perturb": "mean"}, {"adaptive": True}, {"norm": "together"}),
        # a played device has no generator, so SAMO draws nothing here
        *({"perturb": fm.Polar()}, {"perturb": fm.SAMO(local="exact")}),
        *({"flat_every": 2}, {"flat_tasks": 0.5}),
    ],
    ids=str,
)
@every_kind
def test_a_step_waits_for_the_device_at_most_twice(name, options, make):
    """A T=3 step with BatchNorm on a played device; CUDA itself is unproven until someone runs it there."""
    for rule in ["decomposed"] if options else rules_of(name):
        device = Device()
        net = net_on_device(device, noisy=True)
        with device:
            step = net.step(aggregate=make(name), rho=0.3, combine=rule, **options)
            step(*net.batch())  # the first step waits once more, to check that the losses repeat
            device.waits.clear()
            report = step(*net.batch())
            assert 1 <= len(device.waits) <= 2, (rule, device.waits)
            assert not report.skipped
            count = len(device.waits)
            figures = report.cosines, report.norms, report.conflict_ratio  # all on the host by now
            assert len(device.waits) == count, (rule, figures)


@every_method
def test_no_method_waits_for_the_device_more_than_twice(device, name, make):
    """Once more after the step, if the method learns from the losses there."""
    net, after = net_on_device(device, noisy=True), int(fm.AGGREGATORS[name].observes)
    with device:
        step = net.step(aggregate=make(name), rho=0.3)
        step(*net.batch())
        assert len(device.waits) <= 3 + after, device.waits
        device.waits.clear()
        step(*net.batch())
    assert 1 <= len(device.waits) <= 2 + after, device.waits


def test_micro_batches_add_no_waits(device):
    net = net_on_device(device)
    with device:
        net.step(aggregate=fm.CAGrad()).backward(halves(net) * 3)
    assert len(device.waits) == 3  # the first step checks that the losses repeat


def test_a_zero_gradient_costs_at_most_two_waits_more(device):
    """The rare way: the Gramian is looked at again on rescaled rows."""
    net = net_on_device(device)
    features, losses = net.batch()
    losses[1] = lambda z: 0 * net.loss(1, z)
    with device:
        net.step(aggregate=fm.CAGrad())(features, losses)
    assert len(device.waits) <= 5


@pytest.mark.parametrize("norm", ["separate", "together"])
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("perturb", ["task", "mean", fm.Polar(), fm.SAMO(local="exact")], ids=str)
def test_what_a_device_computes_is_what_the_host_computes(device, perturb, adaptive, norm):
    """Also for a task without a head: nothing is made on the host by mistake and mixed in."""
    options = {"perturb": perturb, "adaptive": adaptive, "norm": norm, "rho": 0.3, "aggregate": fm.CAGrad()}
    host = headless()
    host.step(**options).backward([host.batch()])
    net = headless()
    with device:
        put_on_device(net)
        net.x, net.y = OnDevice(net.x), OnDevice(net.y)
        net.step(**options).backward([net.batch()])
        gradients = [p.grad.cpu() for p in net.parameters() if p.requires_grad]
    close(gradients, [p.grad for p in host.parameters() if p.requires_grad])
