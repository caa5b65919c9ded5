"""The learner's copy of the course: nothing of theirs is ever overwritten, and nothing is half-written."""

import errno
import hashlib
import importlib.util
import json
import os
import stat

import pytest

from flatmtl_lite import __version__
from flatmtl_lite.lab.publish import course
from flatmtl_lite.lab.publish.course import STAMP, CopyReport, copy_course, open_course

NAME = "02_sharp_and_flat.ipynb"


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A small kit of three notebooks in two editions and a picture."""
    folder = tmp_path / "kit" / "notebooks"
    for name in ("00_start_here.ipynb", NAME, "instructor/00_start_here.ipynb", "images/rho.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(f"first {name}".encode())
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / NAME).write_text("a checkpoint")
    monkeypatch.setattr(course, "shipped_folder", lambda name: folder.parent / name)
    return folder


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "a home" / "course"


def files(folder):
    """Every file below a folder and its content."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_the_learners_edition_is_copied_with_its_pictures(shipped, folder):
    report = copy_course(folder)
    names = ("00_start_here.ipynb", NAME, "images/rho.png")
    assert report == CopyReport(folder, names, {})
    assert str(report) == f"Copied 2 notebooks to {folder}."
    assert files(folder).keys() == {*names, STAMP}
    assert all((folder / name).read_bytes() == (shipped / name).read_bytes() for name in names)
    stamp = json.loads((folder / STAMP).read_text())
    assert stamp["version"] == __version__
    assert stamp["sha256"] == {name: hashlib.sha256(f"first {name}".encode()).hexdigest() for name in names}


def test_figures_that_wait_for_a_prediction_stay_out_of_the_copy(shipped, folder):
    waiting = {"output_type": "display_data", "data": {}, "metadata": {"flatmtl": {"after": "02-count"}}}
    shown = waiting | {"metadata": {}}
    cells = [{"cell_type": "markdown", "source": "ρ"}, {"cell_type": "code", "outputs": [waiting, shown]}]
    (shipped / NAME).write_text(json.dumps({"cells": cells}), encoding="utf-8")
    copy_course(folder)
    copied = json.loads((folder / NAME).read_text(encoding="utf-8"))
    assert copied == {"cells": [cells[0], cells[1] | {"outputs": [shown]}]}
    assert copy_course(folder).copied == ()


def test_the_instructors_edition_comes_on_demand(shipped, folder):
    copy_course(folder)
    assert copy_course(folder, instructor=True).copied == ("instructor/00_start_here.ipynb",)
    assert copy_course(folder).copied == ()
    assert "instructor/00_start_here.ipynb" in json.loads((folder / STAMP).read_text())["sha256"]


def test_a_second_call_writes_nothing(shipped, folder, monkeypatch):
    copy_course(folder)
    monkeypatch.setattr(course, "write_whole", lambda path, content: pytest.fail(f"wrote {path}"))
    report = copy_course(folder)
    assert report == CopyReport(folder, (), {})
    assert str(report) == f"The course is in {folder}."


def test_an_edited_notebook_is_not_taken_for_an_old_one(shipped, folder):
    copy_course(folder)
    (folder / NAME).write_text("mine")
    assert copy_course(folder).newer == {}
    assert (folder / NAME).read_text() == "mine"


@pytest.mark.parametrize("edited", [True, False])
def test_a_new_version_is_written_next_to_the_learners_once(shipped, folder, edited):
    copy_course(folder)
    if edited:
        (folder / NAME).write_text("mine")
    own = (folder / NAME).read_bytes()
    (shipped / NAME).write_text("second")
    report = copy_course(folder)
    assert report == CopyReport(folder, (), {NAME: "02_sharp_and_flat.new.ipynb"})
    sentence = f"{NAME} has a new version, 02_sharp_and_flat.new.ipynb; your own file stays as it is."
    assert str(report) == sentence
    assert (folder / NAME).read_bytes() == own
    assert (folder / "02_sharp_and_flat.new.ipynb").read_text() == "second"
    (folder / "02_sharp_and_flat.new.ipynb").unlink()  # read, and thrown away
    assert copy_course(folder).newer == {}


def test_an_edited_new_version_is_kept_too(shipped, folder):
    copy_course(folder)
    for version, suffix in (("second", "new"), ("third", "new2")):
        (shipped / NAME).write_text(version)
        name = f"02_sharp_and_flat.{suffix}.ipynb"
        assert copy_course(folder).newer == {NAME: name}
        assert (folder / name).read_text() == version
    assert (folder / "02_sharp_and_flat.new.ipynb").read_text() == "second"


def test_a_learner_who_has_the_new_version_already_is_left_alone(shipped, folder):
    copy_course(folder)
    for place in (shipped, folder):
        (place / NAME).write_text("second")
    assert copy_course(folder) == CopyReport(folder, (), {})


@pytest.mark.parametrize("stamp", [None, "{", "[]", '{"sha256": 3}', "\x00"])
def test_without_a_readable_stamp_nothing_is_lost_or_repeated(shipped, folder, stamp):
    copy_course(folder)
    (folder / NAME).write_text("mine")
    for _ in range(2):
        (folder / STAMP).unlink()
        if stamp is not None:
            (folder / STAMP).write_text(stamp)
        assert copy_course(folder).newer == {NAME: "02_sharp_and_flat.new.ipynb"}
    assert (folder / NAME).read_text() == "mine"
    assert sorted(path.name for path in folder.glob("02*")) == [NAME, "02_sharp_and_flat.new.ipynb"]


def test_a_deleted_notebook_comes_back(shipped, folder):
    copy_course(folder)
    (folder / NAME).unlink()
    assert copy_course(folder).copied == (NAME,)


def test_copies_of_a_read_only_kit_can_be_edited(shipped, folder):
    for path in shipped.rglob("*.ipynb"):
        path.chmod(stat.S_IRUSR)
    before = files(shipped)
    copy_course(folder)
    assert os.stat(folder / NAME).st_mode & stat.S_IWUSR
    assert files(shipped) == before


@pytest.mark.parametrize("below", ["", "images", "mine/deeper"])
def test_the_kits_own_folder_is_refused(shipped, below):
    before = files(shipped)
    with pytest.raises(ValueError, match="inside the kit's own notebooks; expected a folder of your own"):
        copy_course(shipped / below)
    assert files(shipped) == before


def test_a_file_is_refused(shipped, tmp_path):
    (tmp_path / "notes").write_text("mine")
    for folder in (tmp_path / "notes", tmp_path / "notes" / "course"):
        with pytest.raises(NotADirectoryError, match="notes is a file; expected the name of a folder"):
            copy_course(folder)
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize("room", range(4))
def test_a_full_disk_leaves_nothing_behind(shipped, folder, monkeypatch, room):
    written = []

    def write(path, content):
        if len(written) == room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        path.write_bytes(content)
        written.append(path)

    monkeypatch.setattr(course, "write_whole", write)
    advice = r"write the course to .*course: No space left .* needs 0\.0 MB there; free some space, or name"
    with pytest.raises(OSError, match=advice):
        copy_course(folder)
    assert not folder.parent.exists()


def test_a_full_disk_leaves_the_learners_files(shipped, folder, monkeypatch):
    copy_course(folder)
    (folder / NAME).write_text("mine")
    (shipped / NAME).write_text("second")
    before = files(folder)

    def write(path, content):
        if path.name == STAMP:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        path.write_bytes(content)

    monkeypatch.setattr(course, "write_whole", write)
    with pytest.raises(OSError, match="No space left"):
        copy_course(folder)
    assert files(folder) == before


def test_the_real_course_has_what_its_first_page_needs(folder):
    copied = copy_course(folder).copied
    assert course.FIRST_NOTEBOOK in copied
    assert not any(name.startswith("instructor") for name in copied)


@pytest.fixture
def started(monkeypatch):
    """The arguments that JupyterLab was started with, one list per start."""
    starts = []
    monkeypatch.setattr(course, "_run_jupyterlab", starts.append)
    return starts


def test_jupyterlab_opens_the_first_page_on_this_machine_only(shipped, folder, started, capsys):
    assert open_course(folder) == 0
    (arguments,) = started
    assert f"--ServerApp.root_dir={folder.resolve()}" in arguments
    assert "--ServerApp.ip=127.0.0.1" in arguments
    assert "--LabApp.default_url=/lab/tree/00_start_here.ipynb" in arguments
    assert "--no-browser" not in arguments
    assert not any("token" in argument or "password" in argument for argument in arguments)
    assert capsys.readouterr().out == f"Copied 2 notebooks to {folder}.\n"


def test_what_the_user_adds_wins(shipped, folder, started):
    open_course(folder, browser=False, jupyter_arguments=["--ServerApp.port=9999"])
    assert "--no-browser" in started[0]
    assert started[0][-1] == "--ServerApp.port=9999"


def test_root_is_allowed_only_where_it_is_root(shipped, folder, started, monkeypatch):
    for user in (0, 1000):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user, raising=False)
        open_course(folder)
    assert ["--allow-root" in arguments for arguments in started] == [True, False]


def test_the_default_folder_lies_in_the_current_one(shipped, tmp_path, started, monkeypatch):
    monkeypatch.chdir(tmp_path)
    open_course(None)
    assert (tmp_path / "flatmtl-course" / NAME).exists()
    assert f"--ServerApp.root_dir={tmp_path / 'flatmtl-course'}" in started[0]


def test_without_jupyterlab_one_sentence_helps(shipped, folder, started, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ModuleNotFoundError, match=r'JupyterLab is missing; .* pip install "flatmtl-lite\[lab\]"$'
    ) as caught:
        open_course(folder)
    assert caught.value.name == "jupyterlab"
    assert started == []
    assert not folder.exists()
