"""Files are whole or not there at all, and the folders that ship are found."""

import os

import pytest

from flatmtl_lite.files import shipped_folder, write_whole


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
