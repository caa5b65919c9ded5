"""The replacements for kernels that do not repeat: the same values and gradients as torch's own."""

import pytest
import torch
from torch.nn.functional import max_pool2d
from torch.utils._python_dispatch import TorchDispatchMode

import flatmtl_lite as fm
from flatmtl_lite.runs import encoder_decoder, lenet, mtan, resnet18, scene_closures, task_closures
from flatmtl_lite.runs.engine.backend import numerics
from flatmtl_lite.runs.networks.repeatable import summed_cross_entropy, unpooled
from tests.runs.networks.test_scenes import NARROW, batch

# on CUDA torch 2.13 adds in a changing order in these, or refuses them where everything must repeat.
# upsample_bilinear2d is one of them, but on CUDA `interpolate` takes another path then
DO_NOT_REPEAT = {"max_unpool2d", "nll_loss2d_sum", "adaptive_max_pool2d_backward", "cumsum", "put_", "histc"}
DO_NOT_REPEAT |= {"_adaptive_avg_pool2d_backward", "avg_pool3d_backward", "reflection_pad2d_backward"}


class Called(TorchDispatchMode):
    """Notes the names of all operations."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        name = function.overloadpacket.__name__
        if name == "nll_loss2d_forward":  # the reduction is its fourth argument: 2 is the sum
            name = f"nll_loss2d_{('none', 'mean', 'sum')[arguments[3]]}"
        self.names.add(name)
        return function(*arguments, **(options or {}))


def both_ways(function, *inputs):
    """What a function returns, and its gradients, with torch's own kernels and with the replacements."""
    results = []
    for deterministic in (False, True):
        with numerics(deterministic=deterministic):
            leaves = [t.clone().requires_grad_(t.is_floating_point()) for t in inputs]
            value = function(*leaves)
            weights = torch.randn(value.shape, dtype=value.dtype, generator=torch.Generator().manual_seed(1))
            grads = torch.autograd.grad((value * weights).sum(), [t for t in leaves if t.requires_grad])
            results.append([value, *grads])
    return zip(*results, strict=True)


def test_the_cross_entropy_of_pixels():
    logits, label = torch.randn(2, 13, 8, 6, dtype=torch.float64), batch(height=8, width=6)["label"]
    assert (label == -1).any()
    for one, other in both_ways(summed_cross_entropy, logits, label):
        assert torch.allclose(one, other, rtol=1e-12)
    with numerics(deterministic=True), pytest.raises(IndexError):
        summed_cross_entropy(logits, label + 1)


@pytest.mark.parametrize("size", [(8, 6), (9, 6), (8, 7), (5, 3)])
def test_unpooling(size):
    x = torch.randn(2, 3, *size, dtype=torch.float64).to(memory_format=torch.channels_last)

    def pool_and_unpool(x):
        values, places = max_pool2d(x, 2, return_indices=True)
        return unpooled(values.square(), places, size)

    for one, other in both_ways(pool_and_unpool, x):
        assert torch.equal(one, other)
        assert one.abs().sum() > 0


@pytest.mark.parametrize("name", ["mtan", "encoder_decoder", "lenet", "resnet18"])
def test_no_operation_of_a_step_is_one_that_does_not_repeat(name):
    torch.manual_seed(0)
    if name in ("lenet", "resnet18"):
        net = {"lenet": lenet, "resnet18": resnet18}[name]()
        images = torch.randint(0, 255, (2, 36, 36), dtype=torch.uint8)
        closures = task_closures(net, images, torch.randint(0, 10, (2, 2)))
    else:
        net = mtan(widths=NARROW) if name == "mtan" else encoder_decoder(widths=(8, 8, 16))
        closures = scene_closures(net, batch())
    step = fm.FlatMTL(
        torch.optim.Adam(net.parameters()), net.shared_parameters(), net.head_parameters(), fm.CAGrad()
    )
    for deterministic in (False, True):
        with numerics(deterministic=deterministic), Called() as called:
            step(*closures)
        assert len(called.names) > 20
        assert bool(called.names & DO_NOT_REPEAT) == (
            not deterministic and name in ("mtan", "encoder_decoder")
        )
