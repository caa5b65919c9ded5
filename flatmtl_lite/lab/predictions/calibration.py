"""A learner's own calibration: how often the predictions held, against how sure the learner was."""

import statistics
from collections.abc import Iterable, Mapping

import plotly.graph_objects as go

from ..figures.display import show
from ..figures.style import BLACK, BLUE, GREY, TEMPLATE
from .record import recorded, score


def calibration() -> None:
    """Show how often the predictions of the course held, against how sure the learner was."""
    entries = [entry for entry in recorded().values() if "measured" in entry]
    if not entries:
        print("No prediction has been compared with a measurement yet. Come back after notebook 01.")
        return
    show(calibration_figure(entries), calibration_text(entries))


def calibration_text(entries: Iterable[Mapping]) -> str:
    """Write how many predictions held, how sure the learner was on average, and the Brier score.

    The Brier score is the mean of (sure - outcome)². The outcome is 1 for a right first answer, 0 for a wrong
    one, and 0.5 for one that is partly right: it costs least for a learner who was 50 % sure.
    """
    pairs = [(entry["sure"], outcome(entry)) for entry in entries]
    sure, held = (statistics.mean(column) for column in zip(*pairs, strict=True))
    outcomes = [right for _, right in pairs]
    halves = outcomes.count(0.5)
    partly = f", {halves} partly, which counts half" if halves else ""
    brier = statistics.mean((sure - right) ** 2 for sure, right in pairs)
    return (
        f"{outcomes.count(1)} of {len(pairs)} predictions held{partly} ({held:.0%}); on average you "
        f"were {sure:.0%} sure. Brier score {brier:.2f} (0 is perfect, always saying 50 % gives 0.25)."
    )


def outcome(entry: Mapping) -> float:
    """Return how right the first answer of a measured entry was: 1, 0.5 or 0."""
    return score(entry["answer"], entry["measured"], entry.get("partly", ()))


def calibration_figure(entries: Iterable[Mapping]) -> go.Figure:
    """Draw the share of predictions that held at each level of "how sure".

    A learner on the diagonal is well calibrated. An answer that is partly right counts half.
    """
    by_level: dict[float, list[float]] = {}
    for entry in entries:
        by_level.setdefault(entry["sure"], []).append(outcome(entry))
    levels = sorted(by_level)
    figure = go.Figure()
    line = dict(color=GREY, dash="dash", width=2)
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, name="perfectly calibrated")
    figure.add_scatter(
        x=levels,
        y=[statistics.mean(by_level[level]) for level in levels],
        text=[f"{len(by_level[level])}" for level in levels],
        textposition="middle right",
        mode="markers+text",
        cliponaxis=False,
        name="your predictions, with their number",
        marker=dict(color=BLUE, size=14, line=dict(color=BLACK, width=1)),
    )
    share = dict(range=[0, 1.04], tickformat=".0%")
    figure.update_xaxes(title_text="how sure", **share).update_yaxes(title_text="share that held", **share)
    return figure.update_layout(template=TEMPLATE, height=420, margin_t=80)
