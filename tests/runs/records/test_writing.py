"""Records of long runs: no training begins for a file that cannot be written."""

import pytest

from flatmtl_lite.runs.records import flatness, splitting, teaching


@pytest.mark.parametrize("module", [flatness, splitting, teaching])
def test_a_missing_folder_is_refused_before_any_training(module, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(module, "train", lambda *a: trained.append(a))
    with pytest.raises(FileNotFoundError, match=r"record\.json; expected a file in a folder that exists"):
        module.record(tmp_path / "missing" / "record.json", [7])
    assert not trained
