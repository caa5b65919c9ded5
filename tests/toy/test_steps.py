"""The functional steps agree with torch's optimizers, and load no compiler."""

import subprocess
import sys
from functools import partial

import pytest
import torch

from flatmtl_lite.toy.steps import adam_steps, sgd_steps

PAIRS = {
    "sgd": (sgd_steps, torch.optim.SGD),
    "sgd with momentum": (partial(sgd_steps, momentum=0.8), partial(torch.optim.SGD, momentum=0.8)),
    "adam": (adam_steps, torch.optim.Adam),
    "adam with betas": (
        partial(adam_steps, betas=(0.5, 0.9)),
        partial(torch.optim.Adam, betas=(0.5, 0.9)),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_steps_agree_with_torch_to_the_bit(name):
    make, optimizer = PAIRS[name]
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    other = theta.clone()
    step, torchs = make(theta, 0.1), optimizer([other], lr=0.1)
    for _ in range(5):
        gradient = torch.randn(4, 2, generator=generator, dtype=torch.float64)
        step(gradient)
        other.grad = gradient.clone()
        torchs.step()
        assert torch.equal(theta, other)


def test_a_family_of_descents_loads_neither_the_compiler_nor_sympy():
    code = (
        "import sys, torch; from flatmtl_lite.toy import PROBLEMS, Method, descend; "
        "radii = torch.tensor([0.0, 0.1]); "
        "[descend(p, p.starts[0], radii, [Method()], steps=2) for p in PROBLEMS.values()]; "
        "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
