"""A learner's first minutes: open a notebook in JupyterLab, run it, see the figures."""

import pytest

pytestmark = pytest.mark.browser


def _errors(page) -> list[str]:
    """Red outputs, and outputs that JupyterLab could not render."""
    red = ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']"
    return page.locator(red).all_text_contents()


def test_start_here_draws_its_arrows(run_notebook, page):
    run_notebook("00_start_here.ipynb")
    assert _errors(page) == []
    plot = ".js-plotly-plot:not(.flatmtl-stage *)"
    page.locator(plot).first.wait_for()
    tips = "_fullData.map(trace => [trace.name, trace.x[1], trace.y[1]])"
    drawn = page.evaluate(f"() => document.querySelector('{plot}').{tips}")
    loss, flat, sam = ({name: (x, y) for name, x, y in drawn[:3]}[part] for part in ("loss", "flat", "sam"))
    assert loss == (0.0, 4.0)
    assert sam == flat != loss  # the flat step begins at the tip of the loss step
    assert page.locator(".flatmtl-stage").count() == 1  # the ball in its two valleys
    for light, paper in (("false", "#111111"), ("true", "#FFFFFF")):
        page.evaluate("light => { document.body.dataset.jpThemeLight = light; }", light)
        page.wait_for_function(
            f"() => document.querySelector('{plot}')._fullLayout.paper_bgcolor === '{paper}'"
        )


@pytest.mark.slow
def test_multimnist_trains_and_draws_the_figures_that_wait_for_no_prediction(run_notebook, page):
    run_notebook("07_multimnist.ipynb")
    assert _errors(page) == []
    plots = "document.querySelectorAll('.js-plotly-plot:not(.flatmtl-stage *)')"
    for cell in page.locator(".jp-CodeCell").all():  # a figure out of sight is not drawn
        cell.scroll_into_view_if_needed()
    page.wait_for_function(f"() => {plots}.length === 5")
    rows = page.locator("table:has(progress) tbody tr")
    assert rows.count() == 3  # three runs
    assert page.locator(".flatmtl-stage").count() == 5  # four knobs, and the snapshots of F-LS
    assert all("100%" in row and "%" in row.split("s")[-1] for row in rows.all_text_contents())
    lines = page.evaluate(f"() => [...{plots}].map(plot => plot._fullData.length)")
    assert lines == [6, 12, 2, 9, 5]
