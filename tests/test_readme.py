"""The README's code runs, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL))
def test_code_runs(block, capsys):
    exec(compile(block, "README.md", "exec"), {})
    assert "tensor" in capsys.readouterr().out


def test_links_lead_somewhere():
    prose = re.sub(r"```.*?```", "", README.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", prose)
    assert len(targets) >= 5
    assert [target for target in targets if not (README.parent / target).exists()] == []
