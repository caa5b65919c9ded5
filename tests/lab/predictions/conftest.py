"""A file of predictions for each test."""

import pytest

from flatmtl_lite.lab.predictions import predict as predictions


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    """A file of predictions for each test, outside of CI, where nothing is locked."""
    monkeypatch.setenv("FLATMTL_PREDICTIONS", str(tmp_path / "mine.json"))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(predictions, "_unlocked", False)
    return tmp_path / "mine.json"
