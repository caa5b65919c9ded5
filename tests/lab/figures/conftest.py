"""Logs of short real runs, for the tests of figures."""

import pytest

from tests.lab.run_lines import finished_run

KEYS = {"LS": "mean", "F-CAGrad": "f-cagrad"}


@pytest.fixture(scope="session")
def runs():
    return {name: [finished_run(key, seed)["log"] for seed in (0, 1)] for name, key in KEYS.items()}
