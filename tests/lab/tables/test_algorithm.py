"""Algorithm 1 next to the code: the lines shown are the lines that run."""

import inspect

import pytest

from flatmtl_lite import lab, passes
from flatmtl_lite.lab.tables.algorithm import STEPS, Algorithm, Step


def test_every_line_shown_stands_in_the_core():
    shown = repr(lab.algorithm())
    assert '"decomposed": lambda A, loss, flat: A(loss, "loss") + A(flat, "flat"),' in shown
    modules = {inspect.getmodule(home) for step in STEPS for home, _ in step.where}
    lines = {line.strip() for module in modules for line in inspect.getsource(module).splitlines()}
    for row in shown.splitlines():
        assert row.split(": ", 1)[1].strip() in lines


def test_the_page_shows_what_the_text_shows():
    page = lab.algorithm()._repr_html_()
    assert page.count("<tr>") == len(STEPS) + 1
    assert "passes.py, Passes.run" in page
    assert "A(loss, &quot;loss&quot;) + A(flat, &quot;flat&quot;)" in page


def test_several_lines_of_one_function_open_with_a_click():
    page = lab.algorithm()._repr_html_()
    several = [lines for step in STEPS for _, lines in step.code if len(lines) > 1]
    assert page.count("<details>") == len(several) > 0
    assert f"passes.py, Passes._perturbed_gradients: {len(several[1])} lines</small></summary>" in page
    assert "<small>gradients.py, _write</small></div>" in page  # one line needs no click


@pytest.mark.parametrize("start", ["no such line", "average("])
def test_a_line_that_is_gone_or_stands_twice_is_named(start):
    with pytest.raises(ValueError, match="expected one") as error:
        Algorithm([Step("a step", [(passes.Passes.run, [start])])])
    assert start in str(error.value)
    assert "passes.py, Passes.run" in str(error.value)
