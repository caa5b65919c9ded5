"""What the tests of whole runs share."""

import pytest

from flatmtl_lite.runs.experiments import multimnist
from tests.runs import children


@pytest.fixture(scope="module")
def narrow():
    """The mlp has 16 units per layer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multimnist, "parse_network", children.narrow_network)
        yield
