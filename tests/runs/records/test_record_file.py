"""The file of a record: its heading, and no training begins for a file that cannot be written."""

import json

import pytest

from flatmtl_lite.runs.records import flatness, splitting
from flatmtl_lite.runs.records.record_file import RecordFile, load_record


@pytest.mark.parametrize("module", [flatness, splitting])
def test_a_missing_folder_is_refused_before_any_training(module, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(module, "train", lambda *a: trained.append(a))
    with pytest.raises(FileNotFoundError, match=r"record\.json; expected a file in a folder that exists"):
        module.record(tmp_path / "missing" / "record.json", [7])
    assert not trained


def test_the_heading_has_the_command_of_today_and_every_entry_is_saved_at_once(tmp_path):
    path = tmp_path / "record.json"
    file = RecordFile("splitting", path, [0, 3])
    for number in range(2):
        file.append("runs", {"number": number})
        assert len(json.loads(path.read_text())["runs"]) == number + 1
    record = json.loads(path.read_text())
    assert list(record) == ["command", "date", "machine", "code", "runs"]
    assert record["command"] == f"flatmtl-lite record splitting {path.as_posix()} --seeds 0 3"
    assert "thread(s), torch" in record["machine"]
    assert [version.split()[0] for version in record["code"]] == ["flatmtl-lite"]
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]
    assert path.read_text().splitlines()[-4:] == ['{"number": 0},', '{"number": 1}', "]", "}"]


def test_a_record_goes_on_where_it_stopped(tmp_path):
    path, made = tmp_path / "record.json", []

    def train(seed):
        made.append(seed)
        return {"test": [seed]}

    for seeds in ([0, 1], [0, 1, 2]):
        file = RecordFile("splitting", path, seeds)
        for seed in seeds:
            entry = file.entry("runs", {"label": "LS", "seed": seed}, lambda seed=seed: train(seed))
            assert entry == {"label": "LS", "seed": seed, "test": [seed]}
    assert made == [0, 1, 2]
    assert len(json.loads(path.read_text())["runs"]) == 3


def test_a_record_names_every_version_that_made_it(tmp_path, monkeypatch):
    for version in ("old", "new", "new"):
        monkeypatch.setattr("flatmtl_lite.runs.records.record_file.code_version", lambda name=version: name)
        RecordFile("splitting", tmp_path / "record.json", [0]).append("runs", {"made by": version})
    assert json.loads((tmp_path / "record.json").read_text())["code"] == ["old", "new"]


def test_runs_of_another_value_are_dropped(tmp_path):
    file = RecordFile("splitting", tmp_path / "record.json", [0])
    for label, value in (("LS", 1), ("LS", 2), ("F-LS", 1)):
        file.append("runs", {"label": label, "value": value})
    file.drop("runs", "LS", 2)
    assert [(run["label"], run["value"]) for run in file.content["runs"]] == [("LS", 2), ("F-LS", 1)]


def test_a_record_that_was_not_made_is_named_with_its_command():
    with pytest.raises(FileNotFoundError, match=r"none_such\.json.*`flatmtl-lite record none` makes"):
        load_record("none_such")


def test_a_record_that_was_changed_is_refused(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "cost.json").write_text("{}")
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  results/cost.json\n")
    monkeypatch.setattr("flatmtl_lite.runs.data.sources.SAMPLE_FOLDER", tmp_path)
    with pytest.raises(ValueError, match=r"cost.json: expected content of sha256 000.*git checkout data"):
        load_record("cost")
