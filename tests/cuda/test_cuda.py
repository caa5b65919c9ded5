"""The checks of ``flatmtl-lite gpu-check`` as tests, on a machine with a GPU: ``pytest -m cuda``."""

import pytest
import torch

from flatmtl_lite.runs.gpu_check.check import GROUPS
from flatmtl_lite.runs.gpu_check.rows import Bench, title

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"),
    pytest.mark.filterwarnings("default"),  # a new GPU or driver may warn of many things
]
CHECKS = [check for checks in GROUPS.values() for check in checks]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(torch.device("cuda"), tmp_path_factory.mktemp("gpu"), quick=False)


@pytest.mark.parametrize("check", CHECKS, ids=title)
def test_nothing_fails_on_this_gpu(check, bench):
    rows = list(check(bench))
    assert rows
    assert [row for row in rows if row.verdict == "fail"] == []
