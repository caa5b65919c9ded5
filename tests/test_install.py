"""The wheel works where there is no clone: it has its data and its notebooks, trains, and runs a page."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow

PAGE = """
import sys
from pathlib import Path
import flatmtl_lite
import nbformat
from nbclient import NotebookClient
from flatmtl_lite.lab.publish.course import copy_course
from flatmtl_lite.runs.records import comparison

assert comparison.recorded()["runs"]
report = copy_course(Path("course"))
path = Path("course", "00_start_here.ipynb")
page = nbformat.read(path, as_version=4)
NotebookClient(page, timeout=1200, resources={"metadata": {"path": "course"}}).execute()
print(flatmtl_lite.__file__, report, *sys.path, sep="\\n")
"""


def build(folder: Path, kind: str, out: Path) -> Path:
    """Build an sdist or a wheel of the project in a folder, without a network."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(out)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (built,) = out.iterdir()
    return built


def contents(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel; RECORD follows from the others."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def run(tmp_path_factory, wheel):
    """Run a command of an environment that has the wheel, in an empty folder, and return what it prints.

    The environment borrows every other package from the one that runs the tests. The wheel comes first, since
    pip would otherwise find the project installed already.
    """
    home = tmp_path_factory.mktemp("home")
    venv.create(home / "venv", with_pip=False)
    scripts = home / "venv" / ("Scripts" if os.name == "nt" else "bin")
    pip = [sys.executable, "-m", "pip", "--python", str(scripts / "python"), "--quiet"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    (packages,) = (home / "venv").rglob("site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HOME": str(home), "JUPYTER_PLATFORM_DIRS": "1", "FLATMTL_FAST": "1"}

    def run(program: str, *arguments: str) -> str:
        command = [str(scripts / program), *arguments]
        result = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def test_the_wheel_from_the_sdist_is_the_wheel_from_the_tree(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    assert contents(build(unpacked, "wheel", tmp_path / "wheel")) == contents(wheel)


def test_the_wheel_has_what_an_installed_kit_needs(wheel):
    patterns = ("flatmtl_lite/**/*.*", "data/*.*", "data/results/*.json", "notebooks/**/[!.]*.ipynb")
    names = {path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)}
    names = {name for name in names if not re.search(r"__pycache__|/\.", name)}
    assert {"data/multimnist_sample.npz", "notebooks/instructor/00_start_here.ipynb"} <= names
    assert {f"flatmtl_lite/{name.removeprefix('flatmtl_lite/')}" for name in names} <= contents(wheel).keys()


def test_the_installed_command_trains(run):
    options = ["--preset", "demo", "--method", "f-cagrad", "--epochs", "1", "--threads", "1"]
    options += ["--n-train", "200", "--n-val", "100", "--n-test", "100", "--snapshot-every", "0"]
    assert "finished: test" in run("flatmtl-lite", "train", "multimnist", *options, "--out", "out")


def test_a_learners_copy_of_the_first_page_runs_without_the_clone(run):
    package, report, *places = run("python", "-c", PAGE).splitlines()
    assert "site-packages" in package
    assert not Path(package).is_relative_to(ROOT)
    assert str(ROOT) not in places
    notebooks = len(list(ROOT.glob("notebooks/*.ipynb")))
    assert report == f"Copied {notebooks} notebooks to course."
