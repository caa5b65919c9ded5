"""The batch of notebooks 03 and 91."""

import pytest

from flatmtl_lite.runs.records import teaching


@pytest.fixture(scope="module")
def batch():
    data = teaching.teaching_data(seed=0)
    return data.train_images[:64], data.train_labels[:64]
