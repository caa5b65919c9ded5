"""Predictions looked back on: a learner's own calibration, and a whole class in one picture."""

import secrets
import statistics
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

import plotly.graph_objects as go

from ..figures.display import show
from ..figures.style import BLACK, BLUE, COLORS, GREY, TEMPLATE
from .predict import record_file, recorded, write

LINE = 34  # characters of an answer on one line of its bar


def calibration() -> None:
    """Show how often the predictions of the course held, against how sure one was of them."""
    judged = [entry for entry in recorded().values() if "measured" in entry]
    if not judged:
        print("No prediction has been compared with a measurement yet. Come back after notebook 01.")
        return
    show(calibration_figure(judged), calibration_text(judged))


def calibration_text(judged: Iterable[Mapping]) -> str:
    """How many predictions held, how sure the learner was on average, and the Brier score."""
    pairs = [(entry["sure"], entry["answer"] == entry["measured"]) for entry in judged]
    said, held = (statistics.mean(column) for column in zip(*pairs, strict=True))
    brier = statistics.mean((sure - right) ** 2 for sure, right in pairs)
    return (
        f"{sum(right for _, right in pairs)} of {len(pairs)} predictions held ({held:.0%}); on average you "
        f"were {said:.0%} sure. Brier score {brier:.2f} (0 is perfect, always saying 50 % gives 0.25)."
    )


def calibration_figure(judged: Iterable[Mapping]) -> go.Figure:
    """The share of predictions that held against how sure one was; on the diagonal is well calibrated."""
    held: dict[float, list[bool]] = {}
    for entry in judged:
        held.setdefault(entry["sure"], []).append(entry["answer"] == entry["measured"])
    levels = sorted(held)
    figure = go.Figure()
    line = dict(color=GREY, dash="dash", width=2)
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, name="perfectly calibrated")
    figure.add_scatter(
        x=levels,
        y=[statistics.mean(held[level]) for level in levels],
        text=[f"{len(held[level])}" for level in levels],
        textposition="middle right",
        mode="markers+text",
        cliponaxis=False,
        name="your predictions, with their number",
        marker=dict(color=BLUE, size=14, line=dict(color=BLACK, width=1)),
    )
    share = dict(range=[0, 1.04], tickformat=".0%")
    figure.update_xaxes(title_text="how sure", **share).update_yaxes(title_text="share that held", **share)
    return figure.update_layout(template=TEMPLATE, height=420, margin_t=80)


def export_predictions(folder: str | Path) -> Path:
    """Copy the predictions to a folder for the class view, without times and under a random name.

    Returns:
        The new file.

    Raises:
        ValueError: nothing is recorded yet.
        FileNotFoundError: there is no such folder.
    """
    folder, found = Path(folder), recorded()
    if not found:
        raise ValueError(f"Got no prediction in {record_file()}; expected at least one: see lab.predict.")
    if not folder.is_dir():
        raise FileNotFoundError(f"Got folder={str(folder)!r}; expected a folder that exists.")
    file = folder / f"predictions-{secrets.token_hex(4)}.json"
    write({key: {k: v for k, v in entry.items() if k != "time"} for key, entry in found.items()}, file)
    return file


def class_view(folder: str | Path) -> None:
    """Show what a class predicted: all exported files of a folder in one picture, no names needed.

    Raises:
        ValueError: the folder holds no file of predictions, or a damaged one; its name is given.
    """
    learners = [recorded(file) for file in sorted(Path(folder).glob("*.json"))]
    if not any(learners):
        raise ValueError(
            f"Got folder={str(folder)!r} without any prediction; expected what lab.export_predictions wrote."
        )
    show(class_figure(learners), class_text(learners))


def class_text(learners: Iterable[Mapping[str, Mapping]]) -> str:
    """How many learners and questions, and how many predictions held."""
    learners = list(learners)
    truths = _measured(learners)
    held = [e["answer"] == truths[k] for found in learners for k, e in found.items() if k in truths]
    share = f"; {statistics.mean(held):.0%} of the predictions held" if held else ""
    return f"{len(learners)} learners, {len(set().union(*learners))} questions{share}."


def class_figure(learners: Iterable[Mapping[str, Mapping]]) -> go.Figure:
    """A row a question, a bar an answer: how many gave it; the answer that was measured has a star.

    Args:
        learners: per learner what :func:`~flatmtl_lite.lab.predictions.predict.recorded` returns.
    """
    learners = list(learners)
    truths = _measured(learners)
    figure = go.Figure()
    rows = sorted(set().union(*learners))
    most = max(map(len, (next(f[key]["answers"] for f in learners if key in f) for key in rows)))
    for row, key in enumerate(rows):
        entries = [found[key] for found in learners if key in found]
        counts = Counter(entry["answer"] for entry in entries)
        for k, answer in enumerate(entries[0]["answers"]):
            share = counts[answer] / len(entries)
            star = "★ " if answer == truths.get(key) else ""
            figure.add_bar(
                x=[1 / most],
                base=[k / most],
                y=[row],
                orientation="h",
                width=0.62,
                marker=dict(color="white", line=dict(color="#BBBBBB", width=1)),
            )
            figure.add_bar(
                x=[share / most],
                base=[k / most],
                y=[row],
                orientation="h",
                width=0.62,
                marker=dict(color=COLORS[k % len(COLORS)], opacity=0.45, line=dict(color=BLACK, width=1)),
            )
            lines = "<br>".join(map(escape, textwrap.wrap(answer, LINE)))
            text = f"{star}{lines}<br><b>{counts[answer]}</b>"
            figure.add_annotation(
                x=(k + 0.01) / most, y=row, text=text, xanchor="left", align="left", showarrow=False
            )
        asked = textwrap.wrap(f"{key}: {entries[0]['question']}", 3 * LINE)
        question = "<br>".join(map(escape, asked))
        look = dict(xanchor="left", yanchor="bottom", align="left", showarrow=False, font_size=14)
        figure.add_annotation(x=0, y=row - 0.33, text=f"<b>{question}</b>", **look)
    figure.update_annotations(font_color=BLACK)
    figure.update_xaxes(visible=False, range=[0, 1]).update_yaxes(
        visible=False, range=[len(rows) - 0.5, -0.7]
    )
    size = dict(height=60 + 105 * len(rows), margin=dict(l=10, r=10, t=10, b=10))
    return figure.update_layout(template=TEMPLATE, barmode="overlay", showlegend=False, **size)


def _measured(learners: Iterable[Mapping[str, Mapping]]) -> dict[str, str]:
    """What most learners measured, by question."""
    votes: dict[str, Counter] = {}
    for found in learners:
        for key, entry in found.items():
            if "measured" in entry:
                votes.setdefault(key, Counter())[entry["measured"]] += 1
    return {key: counter.most_common(1)[0][0] for key, counter in votes.items()}
