"""What is committed runs anywhere: no path of the machine that wrote it, no registry host, no huge file."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIMIT = 5_000_000
# Built from pieces, so that this file is clean itself.
FORBIDDEN = [
    a + b
    for a, b in [
        ("/work", "/main"),
        ("/tmp", "/bash"),
        ("/tmp", "/w/"),
        ("/roo", "t/"),
        ("/opt", "/wheels"),
        ("python", "hosted"),
        ("pypi", ".org"),
        ("npmjs", ".org"),
    ]
]


def problems(root, names):
    """What is wrong with these files, as sentences; bytes are searched, so notebooks and binaries count."""
    found = []
    for name in names:
        data = (root / name).read_bytes()
        found += [f"{name} holds {text}" for text in FORBIDDEN if text.encode() in data]
        found += [f"{name} has {len(data):,} bytes"] * (len(data) > LIMIT)
    return found


@pytest.fixture(scope="module")
def names():
    """Every file of the tree; untracked ones count too, since the next commit may bring them."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [name for name in listed.split("\0") if (ROOT / name).is_file()]


def test_the_tree_is_clean(names):
    assert "tests/test_tree.py" in names
    assert problems(ROOT, names) == []


def test_the_page_on_data_lists_every_file_that_ships(names):
    page = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\S+)` \|", page.split("\n## ")[0], flags=re.MULTILINE)
    shipped = [name for name in names if name.startswith("data/")]
    assert sorted(f"data/{name}" for name in listed) == sorted(shipped)


@pytest.mark.parametrize("text", FORBIDDEN)
def test_a_forbidden_text_is_found(tmp_path, text):
    (tmp_path / "a.ipynb").write_text(f'{{"text": "File {text}x.py"}}')
    assert problems(tmp_path, ["a.ipynb"]) == [f"a.ipynb holds {text}"]


def test_a_huge_file_is_found(tmp_path):
    (tmp_path / "a.npz").write_bytes(bytes(LIMIT + 1))
    assert problems(tmp_path, ["a.npz"]) == ["a.npz has 5,000,001 bytes"]


def test_every_listed_fault_can_be_put_into_the_code():
    faults = json.loads((ROOT / "tests" / "mutants.json").read_text(encoding="utf-8"))
    texts = {fault["file"]: (ROOT / fault["file"]).read_text(encoding="utf-8") for fault in faults}
    assert [fault["why"] for fault in faults if texts[fault["file"]].count(fault["old"]) != 1] == []
