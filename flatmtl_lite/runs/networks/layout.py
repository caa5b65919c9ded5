"""How the weights of a network lie in memory."""

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def channels_last(network: Network) -> Network:
    """Store the weights of convolutions with the channels last, which is faster on a CPU too."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
