"""The predictions of a whole class in one picture."""

import secrets
import statistics
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import plotly.graph_objects as go

from ..figures.display import show
from ..figures.style import BLACK, COLORS, TEMPLATE
from .record import record_file, recorded, score, write

LINE = 34  # characters of an answer on one line of its bar
STARS = {1.0: "★ ", 0.5: "☆ ", 0.0: ""}
Learners = Sequence[Mapping[str, Mapping]]  # for each learner, key of a question -> the entry


def export_predictions(folder: str | Path) -> Path:
    """Copy the predictions to a folder for the class view, without times and under a random name.

    The copy holds the first answers alone.

    Returns:
        The new file.

    Raises:
        ValueError: no prediction is recorded yet.
        FileNotFoundError: the folder does not exist.
    """
    folder, entries = Path(folder), recorded()
    if not entries:
        raise ValueError(f"Got no prediction in {record_file()}; expected at least one: see lab.predict.")
    if not folder.is_dir():
        raise FileNotFoundError(f"Got folder={str(folder)!r}; expected a folder that exists.")
    file = folder / f"predictions-{secrets.token_hex(4)}.json"
    write(
        {
            key: {k: v for k, v in entry.items() if k not in ("time", "later")}
            for key, entry in entries.items()
        },
        file,
    )
    return file


def class_view(folder: str | Path) -> None:
    """Show all predictions of a class in one picture, without names.

    Args:
        folder: it holds the files of :func:`export_predictions`.

    Raises:
        ValueError: the folder holds no prediction, or a file is damaged. The message names the file.
    """
    learners = [recorded(file) for file in sorted(Path(folder).glob("*.json"))]
    if not any(learners):
        raise ValueError(
            f"Got folder={str(folder)!r} without any prediction; expected files that "
            "lab.export_predictions wrote."
        )
    show(class_figure(learners), class_text(learners))


def class_text(learners: Learners) -> str:
    """Write the numbers of learners and questions, and the share of predictions that held.

    A prediction that is partly right counts half.
    """
    truths = measured_answers(learners)
    held = [
        score(entry["answer"], *truths[key])
        for entries in learners
        for key, entry in entries.items()
        if key in truths
    ]
    share = f"; {statistics.mean(held):.0%} of the predictions held" if held else ""
    return f"{len(learners)} learners, {len(set().union(*learners))} questions{share}."


def class_figure(learners: Learners) -> go.Figure:
    """Draw one row per question and one bar per answer: the number of learners who gave it.

    A star marks the measured answer, a hollow star an answer that is partly right.
    """
    truths = measured_answers(learners)
    figure = go.Figure()
    keys = sorted(set().union(*learners))
    by_question = [[entries[key] for entries in learners if key in entries] for key in keys]
    offered = [list(dict.fromkeys(a for e in entries for a in e["answers"])) for entries in by_question]
    most = max(map(len, offered))
    for row, (key, entries) in enumerate(zip(keys, by_question, strict=True)):
        counts = Counter(entry["answer"] for entry in entries)
        for k, answer in enumerate(offered[row]):
            _add_answer_bar(figure, row, k, most, counts[answer] / len(entries))
            star = STARS[score(answer, *truths[key])] if key in truths else ""
            text = f"{star}{_wrapped(answer, LINE)}<br><b>{counts[answer]}</b>"
            figure.add_annotation(
                x=(k + 0.01) / most, y=row, text=text, xanchor="left", align="left", showarrow=False
            )
        question = _wrapped(f"{key}: {entries[0]['question']}", 3 * LINE)
        look = dict(xanchor="left", yanchor="bottom", align="left", showarrow=False, font_size=14)
        figure.add_annotation(x=0, y=row - 0.33, text=f"<b>{question}</b>", **look)
    figure.update_annotations(font_color=BLACK)
    figure.update_xaxes(visible=False, range=[0, 1])
    figure.update_yaxes(visible=False, range=[len(keys) - 0.5, -0.7])
    size = dict(height=60 + 105 * len(keys), margin=dict(l=10, r=10, t=10, b=10))
    return figure.update_layout(template=TEMPLATE, barmode="overlay", showlegend=False, **size)


def _add_answer_bar(figure: go.Figure, row: int, k: int, most: int, share: float) -> None:
    """Add a white frame for the k-th answer of a row, and fill the share of learners who gave it."""
    place = dict(base=[k / most], y=[row], orientation="h", width=0.62)
    frame = dict(color="white", line=dict(color="#BBBBBB", width=1))
    filling = dict(color=COLORS[k % len(COLORS)], opacity=0.45, line=dict(color=BLACK, width=1))
    figure.add_bar(x=[1 / most], **place, marker=frame)
    figure.add_bar(x=[share / most], **place, marker=filling)


def _wrapped(text: str, width: int) -> str:
    return "<br>".join(map(escape, textwrap.wrap(text, width)))


def measured_answers(learners: Iterable[Mapping[str, Mapping]]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return for each question the answer that most learners measured, and those that are partly right."""
    votes: dict[str, Counter] = {}
    for entries in learners:
        for key, entry in entries.items():
            if "measured" in entry:
                truth = entry["measured"], tuple(entry.get("partly", ()))
                votes.setdefault(key, Counter())[truth] += 1
    return {key: counter.most_common(1)[0][0] for key, counter in votes.items()}
