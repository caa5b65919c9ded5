"""The nets that these tests start from."""

import pytest
import torch

from tests.optim.nets import Net


@pytest.fixture
def net():
    return Net()


@pytest.fixture
def prepared():
    """A noisy net after one step, so that there are gradients to spoil."""
    net = Net(noisy=True)
    net.step(torch.optim.SGD(net.parameters(), lr=0.1))(*net.batch())
    return net
