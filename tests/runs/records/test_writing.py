"""Records of long runs: no training for a file that cannot be written, and never half a file."""

import pytest

from flatmtl_lite.runs.records import flatness, splitting, teaching
from flatmtl_lite.runs.records.writing import write_whole


@pytest.mark.parametrize("module", [flatness, splitting, teaching])
def test_a_missing_folder_is_refused_before_any_training(module, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(module, "train", lambda *a: trained.append(a))
    with pytest.raises(FileNotFoundError, match=r"record\.json; expected a file in a folder that exists"):
        module.record(tmp_path / "missing" / "record.json", [7])
    assert not trained


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    write_whole(path, "ρ = 0.1")
    assert path.read_bytes() == "ρ = 0.1".encode()

    def full(handle):
        raise OSError("No space left on device")

    monkeypatch.setattr("flatmtl_lite.runs.records.writing.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, "ρ = 0.2")
    assert path.read_bytes() == "ρ = 0.1".encode()
