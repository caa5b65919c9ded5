"""The code of the README and of the guides runs, and their links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "TEACHING.md", "CONTRIBUTING.md", "benchmarks/README.md")]
PAGES += sorted((ROOT / "docs" / "guides").glob("*.md"))
BLOCKS = [
    pytest.param(block, id=f"{page.name}-{k}")
    for page in PAGES
    for k, block in enumerate(
        re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    )
]


@pytest.mark.parametrize("block", BLOCKS)
def test_code_runs(block):
    exec(compile(block, "page", "exec"), {})


def test_the_first_example_prints_its_report(capsys):
    exec(compile(BLOCKS[0].values[0], "README.md", "exec"), {})
    assert "tensor" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", prose)
    # the site shows the course next to the guides
    places = [re.sub(r"^\.\./course/", "../../notebooks/", target) for target in targets]
    assert [place for place in places if not (page.parent / place).exists()] == []


def test_the_readme_is_one_screen():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_readme_says_whether_the_kit_has_run_on_a_gpu():
    """Until a result of gpu-check is committed, it says so, and names the command."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "`flatmtl-lite gpu-check`" in text
    results = list((ROOT / "data" / "results" / "gpu").glob("*.json"))
    assert ("Not run on CUDA yet" in text) == (not results)
