"""Files are whole or not there at all, and the folders that ship are found."""

import math
import os
import re

import pytest

from flatmtl_lite.files import check_form, json_object, shipped_folder, write_whole


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path, monkeypatch):
    path = tmp_path / "text.json"
    write_whole(path, "ρ = 0.1")
    assert path.read_bytes() == "ρ = 0.1".encode()

    def full(handle):
        raise OSError("No space left on device")

    monkeypatch.setattr("flatmtl_lite.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, "ρ = 0.2")
    assert path.read_bytes() == "ρ = 0.1".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_the_folders_that_ship_are_found_next_to_the_package_in_a_clone():
    assert (shipped_folder("data") / "SHA256SUMS").is_file()
    assert (shipped_folder("notebooks") / "00_start_here.ipynb").is_file()


def test_an_installed_package_brings_its_own_folders(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "flatmtl_lite"
    (package / "data").mkdir(parents=True)
    monkeypatch.setattr("flatmtl_lite.files.files", lambda name: package)
    assert shipped_folder("data") == package / "data"
    with pytest.raises(FileNotFoundError, match=r"notebooks; expected notebooks/ inside"):
        shipped_folder("notebooks")


def test_an_installed_package_prefers_its_own_folder(tmp_path, monkeypatch):
    package = tmp_path / "flatmtl_lite"
    for folder in (package / "data", tmp_path / "data"):
        folder.mkdir(parents=True)
    monkeypatch.setattr("flatmtl_lite.files.files", lambda name: package)
    assert shipped_folder("data") == package / "data"


def test_file_and_folder_reach_the_disk(tmp_path, monkeypatch):
    """The file before it is renamed, and on POSIX systems the folder after that."""
    synced, fsync = [], os.fsync

    def note(handle):
        synced.append(path.exists())
        fsync(handle)

    path = tmp_path / "text"
    monkeypatch.setattr("flatmtl_lite.files.os.fsync", note)
    write_whole(path, b"bytes")
    assert synced == ([False, True] if os.name == "posix" else [False])
    assert path.read_bytes() == b"bytes"


FORM = {
    "name": str,
    "seed": int,
    "scores": {"test": float, "val?": float},
    "metrics": {str: (float, [float])},
    "table?": [[(float, None)]],
    "bins?": [{"count": [int]}],
}
GOOD = {"name": "a", "seed": 0, "scores": {"test": 1}, "metrics": {"accuracy": [1.5, 2]}, "more": None}


@pytest.mark.parametrize(
    "more", [{}, {"table": None}, {"table": [[1.0, None], []]}, {"metrics": {}}, {"bins": [{"count": []}]}]
)
def test_an_object_of_the_form_is_accepted(more):
    check_form(GOOD | more, FORM, "file.json")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"name": 3}, "file.json has name = 3; expected a string"),
        ({"name": None}, "file.json has name = null; expected a string"),
        ({"seed": "a"}, 'file.json has seed = "a"; expected a whole number'),
        ({"seed": 1.0}, "file.json has seed = 1.0; expected a whole number"),
        ({"seed": 10**400}, "file.json has seed = 1000"),
        ({"scores": {"test": -(10**400)}}, "file.json has scores.test = -1000"),
        ({"seed": True}, "file.json has seed = true; expected a whole number"),
        ({"scores": []}, "file.json has scores = []; expected an object"),
        ({"scores": {}}, "file.json has no scores.test"),
        ({"scores": {"test": math.nan}}, "file.json has scores.test = NaN; expected a finite number"),
        ({"scores": {"test": 1, "val": math.inf}}, "scores.val = Infinity; expected a finite number"),
        (
            {"metrics": {"nll": [1, None]}},
            "metrics.nll = [1, null]; expected a finite number or a list of finite",
        ),
        ({"table": [[1], 2]}, "table = [[1], 2]; expected a list of lists of finite numbers or null"),
        ({"bins": [{"count": [1]}, {"count": [0.5]}]}, "bins[1].count = [0.5]; expected a list of whole"),
        ({"bins": [{"count": [1]}, {}]}, "file.json has no bins[1].count"),
        ({"bins": [3]}, "file.json has bins[0] = 3; expected an object"),
        ({"bins": {}}, "file.json has bins = {}; expected a list of objects"),
        ({"name": ["long"] * 99}, '"long", "lo...; expected a string'),
    ],
)
def test_a_value_of_another_form_is_named(more, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_form(GOOD | more, FORM, "file.json")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", b"\xff\xfe", "[" * 100_000])
def test_a_text_that_holds_no_object_is_refused(text):
    with pytest.raises(ValueError, match=r"^file\.json is damaged"):
        json_object(text, "file.json")
