"""Settings and fixtures for every test."""

import pytest
import torch

import flatmtl_lite as fm

torch.set_num_threads(1)  # the tests' matrices are small; threads would only wait for one another


def _make(name: str, tasks: int = 3) -> fm.Aggregator:
    method = fm.AGGREGATORS[name]
    return method(tasks) if issubclass(method, fm.LearnedWeighting) else method()


@pytest.fixture(scope="session")
def make():
    """The function that makes an aggregator by name, for a number of tasks if it must know that."""
    return _make


@pytest.fixture(scope="session")
def fresh():
    """``fresh(name)(G)``: the direction of a new aggregator; one that reads losses gets 0.5 ... 2."""

    def direction(name, G):
        losses = torch.linspace(0.5, 2.0, G.shape[-2], dtype=torch.float64).expand(G.shape[:-1])
        return _make(name, G.shape[-2])(G, losses=losses)

    return lambda name: lambda G: direction(name, G)


@pytest.fixture(scope="session")
def fresh_weights():
    """``fresh_weights(name)(M)``: the weights of a new Gramian method; the losses are those of ``fresh``."""

    def weights(name, M):
        A = _make(name)
        losses = torch.linspace(0.5, 2.0, M.shape[-1], dtype=torch.float64).expand(M.shape[:-1])
        with A.reading(losses):
            return A.weights(M)

    return lambda name: lambda M: weights(name, M)
