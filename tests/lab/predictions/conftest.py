"""A file of predictions for each test."""

from dataclasses import dataclass

import pytest

from flatmtl_lite.lab.predictions import compare, waiting


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    """A file of predictions for each test, outside of CI, where nothing is locked."""
    monkeypatch.setenv("FLATMTL_PREDICTIONS", str(tmp_path / "mine.json"))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(waiting, "_unlocked", False)
    monkeypatch.setattr(waiting, "_waiting", {})
    return tmp_path / "mine.json"


@dataclass
class Place:
    """An output of a notebook: what it shows now, and the metadata."""

    bundle: dict
    metadata: dict | None

    def update(self, bundle, raw, metadata=None):
        assert raw
        self.bundle, self.metadata = bundle, metadata

    @property
    def text(self) -> str:
        return self.bundle["text/plain"]

    @property
    def html(self) -> str:
        return self.bundle["text/html"]


@pytest.fixture
def screen(monkeypatch):
    """The outputs that a notebook would show."""
    places = []

    def display(bundle, raw, metadata=None, display_id=False):
        assert raw
        places.append(Place(bundle, metadata))
        return places[-1] if display_id else None

    for module in (waiting, compare):
        monkeypatch.setattr(module, "display", display)
    return places
