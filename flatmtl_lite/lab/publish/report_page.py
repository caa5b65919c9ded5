"""Runs as a page: tables and figures that open anywhere, without a kernel or a network."""

import contextlib
import functools
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

import plotly.graph_objects as go
import plotly.io as pio
from plotly.offline import get_plotlyjs

from ...files import write_whole
from ...titles import method_title
from ..figures import calibration, trained, training
from ..figures.logs import NothingToDraw, Runs
from ..stage.page import data_script, filled
from ..stage.stage import HERE

STYLE = """
main { padding: 12px 16px 60px; }
figure { margin: 28px 0; overflow-x: auto; }
.flatmtl-figure { min-width: 720px; }
figcaption { position: sticky; left: 0; font-weight: bold; }
.anchor-link { display: none; }
:is(th, td) { white-space: nowrap; }
"""

# name of the picture -> its caption, and the function that draws it from runs and tasks
FIGURES: dict[str, tuple[str, Callable[[Runs, Sequence[str]], go.Figure]]] = {
    "conflict": (
        "How often gradients conflict, by epoch: share of measured cosines below 0.",
        lambda runs, tasks: training.conflict_curves(runs),
    ),
    "cosines": (
        "Cosines in the first, middle and last third of training; the red half is conflict.",
        lambda runs, tasks: training.cosine_ridges(runs),
    ),
    "norms": (
        "Norms of each task's loss and flat part over training: median, and the band of 80 % of the steps.",
        training.norm_curves,
    ),
    "agreement": (
        "Cosine of the decomposed with the direct update: median, and the band of 80 % of the steps.",
        lambda runs, tasks: training.agreement_curves(runs),
    ),
    "sharpness": ("Ten-step sharpness of the training loss against its radius.", trained.sharpness_curves),
    "slices": ("The loss along a line through the trained weights.", trained.slice_curves),
    "planes": (
        "The loss on a plane through the trained weights (the cross), first seed of each method.",
        trained.slice_planes,
    ),
    "reliability": (
        "Accuracy against confidence; a point's area is its number of images.",
        calibration.reliability_diagrams,
    ),
    "entropy": (
        "Predictive entropy on the training's own kind of data, and on other data.",
        trained.entropy_histograms,
    ),
}
PICKED = {
    "picked": "epoch picked on validation data",
    "best_test": "epoch picked on test data, as the paper does",
}


def write_report_page(
    runs: Sequence[Mapping],
    table: str,
    folder: Path,
    published: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
) -> Path:
    """Write ``report.html``, the ``plotly.js`` that it needs, and each figure as PNG and SVG in ``plots``.

    Each experiment and variant has its own part. Runs that differ only in their seed are one method.
    Figures without data are left out. Pictures need kaleido and a Chrome or Chromium. Without them the page
    is the same, and there is no folder ``plots``.

    Args:
        runs: each {"result": content of its result.json or run.json, "log": lines of its log.jsonl}.
        table: Markdown for the head of the page.
        folder: an existing folder. Files of these names in it are replaced.
        published: variant -> name of a method, as :func:`~flatmtl_lite.titles.method_title` writes it -> test
            accuracy of each task in the paper, picked on test data.

    Returns:
        The page.

    Raises:
        ValueError: there are no runs.
        FileNotFoundError: the folder does not exist.
    """
    from nbconvert.filters import markdown2html  # comes with JupyterLab, and only pages need it

    if not runs:
        raise ValueError("Got no runs; expected at least one, with its result and its log.")
    if not folder.is_dir():
        raise FileNotFoundError(f"Got folder {str(folder)!r}; expected one that exists. Make it first.")
    body, figures, links = [markdown2html(table)], dict[str, go.Figure](), list[str]()
    for section, methods in by_method(runs).items():
        anchor = f"figures-{len(links)}"
        links.append(f'<li><a href="#{anchor}">{escape(section)}</a></li>')
        body.append(f'<a id="{anchor}"></a><h2>{escape(section)}</h2>')
        variant = _variant(next(iter(methods.values()))[0]["result"])
        for name, (caption, figure) in draw_figures(methods, (published or {}).get(variant, {})).items():
            figures[f"{section}-{name}".replace("/", "-").replace(" ", "-")] = figure
            body.append(_figure_html(caption, figure))
    body.append(_origins(runs))
    nav = f"<nav>Figures: <ul>{''.join(links)}</ul></nav>"
    styles = (HERE.parent / "publish" / "site.css").read_text(encoding="utf-8") + STYLE
    page = filled(
        title="Runs · flatmtl-lite",
        head=f"<style>{styles}</style>",
        body=f"<main>{nav}{''.join(body)}</main>",
        scripts='<script src="plotly.js"></script>\n'
        f"<script>{(HERE / 'static.js').read_text(encoding='utf-8')}</script>",
    )
    write_whole(folder / "plotly.js", get_plotlyjs())
    write_whole(folder / "report.html", page)
    _write_pictures(figures, folder)
    return folder / "report.html"


def by_method(runs: Sequence[Mapping]) -> dict[str, dict[str, list[Mapping]]]:
    """Sort runs by experiment and variant, then by method: these runs differ only in their seed.

    Runs of one method with other settings are named by these settings, as "F-LS, rho = 0.05".
    """
    sections: dict[str, dict[str, list[Mapping]]] = {}
    for run in runs:
        result = run["result"]
        section = " ".join(filter(None, (result["experiment"], _variant(result))))
        sections.setdefault(section, {}).setdefault(result["config"]["method"], []).append(run)
    named: dict[str, dict[str, list[Mapping]]] = {}
    for section, methods in sections.items():
        for method, members in methods.items():
            settings = [_settings(run["result"]) for run in members]
            keys = dict.fromkeys(key for setting in settings for key in setting)
            varying = [key for key in keys if any(s.get(key) != settings[0].get(key) for s in settings)]
            for run, setting in zip(members, settings):
                name = ", ".join([method_title(method), *(f"{key} = {setting.get(key)}" for key in varying)])
                named.setdefault(section, {}).setdefault(name, []).append(run)
    return named


def draw_figures(
    methods: Mapping[str, Sequence[Mapping]], published: Mapping[str, Sequence[float]]
) -> dict[str, tuple[str, go.Figure]]:
    """Return name of a picture -> caption and figure, for everything that the runs measured."""
    tasks = next(iter(methods.values()))[0]["result"]["task_names"]
    logs = {name: [run["log"] for run in runs] for name, runs in methods.items()}
    wanted = {}
    for metric in ("score", *_metrics(logs, len(tasks))):
        title = training.METRICS.get(metric, metric)
        shown = ["all tasks"] if metric == "score" else tasks
        for pick, how in PICKED.items():
            paper = published if (metric, pick) == ("accuracy", "best_test") else {}
            values = _tested(methods, pick, metric)
            dots = functools.partial(trained.seed_dots, values, shown, f"test {title}", paper)
            wanted[f"{metric}-{pick}"] = (f"Test {title}; {how}.", dots)
        if metric != "score":
            curves = functools.partial(training.progress_curves, logs, tasks, metric)
            wanted[f"{metric}-progress"] = (f"Test {title}, and the training loss, by epoch.", curves)
    for name, (caption, draw) in FIGURES.items():
        wanted[name] = (caption, functools.partial(draw, logs, tasks))
    figures = {}
    for name, (caption, draw) in wanted.items():
        with contextlib.suppress(NothingToDraw):
            figures[name] = (caption, draw())
    return figures


def _tested(
    methods: Mapping[str, Sequence[Mapping]], pick: str, metric: str
) -> dict[str, list[Sequence[float]]]:
    """Return the test results of the picked epoch by method, one list per seed that has any."""
    results = {}
    for name, runs in methods.items():
        picked = [run["result"][pick] for run in runs if run["result"].get(pick)]
        whole = [
            [line["score"]["test"]] if metric == "score" else line["test"].get(metric) for line in picked
        ]
        if any(whole):
            results[name] = [values for values in whole if values]
    return results


def _metrics(logs: Runs, tasks: int) -> list[str]:
    """Return the test metrics of the runs that have one value per task."""
    lines = [line for group in logs.values() for log in group for line in log if line["kind"] == "evaluation"]
    measured = [(key, value) for line in lines for key, value in line["test"].items()]
    return list(
        dict.fromkeys(key for key, value in measured if isinstance(value, Sequence) and len(value) == tasks)
    )


def _settings(result: Mapping) -> dict:
    return {k: v for k, v in (result["settings"] | result["config"]).items() if k not in ("method", "seed")}


def _variant(result: Mapping) -> str:
    return result["settings"].get("variant", "")


def _figure_html(caption: str, figure: go.Figure) -> str:
    # Without dragging, a finger on the figure moves the page on a phone.
    fixed = go.Figure(figure).update_layout(dragmode=False)
    data = json.loads(fixed.to_json()) | {"config": {"displaylogo": False}}
    return f"<figure><figcaption>{escape(caption)}</figcaption>{data_script(data, caption)}</figure>"


def _origins(runs: Sequence[Mapping]) -> str:
    """List the origin of the numbers: command, machine, data and date of every run."""
    items = []
    for run in runs:
        about = dict(run["result"]["about"])
        command = f"<code>{escape(about.pop('command', ''))}</code>"
        items.append(f"<li>{command}: {escape('; '.join(map(str, about.values())))}</li>")
    return f"<details><summary>How each run was made</summary><ul>{''.join(items)}</ul></details>"


def _write_pictures(figures: Mapping[str, go.Figure], folder: Path) -> None:
    """Write PNG and SVG 960 pixels wide, all of them, or none if kaleido or a browser is missing."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        files = [Path(scratch) / f"{name}.{kind}" for name in figures for kind in ("png", "svg")]
        twice = [figure for figure in figures.values() for _ in range(2)]
        try:
            pio.write_images(twice, files, width=960, height=[figure.layout.height for figure in twice])
        except RuntimeError:  # no kaleido, or no browser
            return
        (folder / "plots").mkdir(exist_ok=True)
        for file in files:
            file.replace(folder / "plots" / file.name)
