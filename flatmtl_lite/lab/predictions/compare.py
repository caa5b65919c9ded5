"""Predictions next to what was measured."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from IPython.display import display

from ..figures.display import behind_click
from .predict import Prediction
from .record import in_words, record_file, recorded, score, write
from .waiting import is_open, runs_unattended, wait

VERDICTS = {1.0: "as predicted", 0.5: "partly", 0.0: "a surprise"}
OPEN_QUESTION = "record your prediction above"
Partly = Mapping[Prediction, Sequence[str]]


class Comparison:
    """A table of questions, recorded answers and measured answers; ``rows`` holds its lines.

    It hides the measured answer to a question until the prediction is recorded, and then updates itself.
    """

    def __init__(self, measured: Mapping[Prediction, str], partly: Partly):
        self._measured, self._partly = measured, partly
        self._place: Any = None  # where the table is displayed
        for prediction in measured:
            wait(prediction.key, self._refresh)

    @property
    def rows(self) -> list[tuple[str, str, str, str]]:
        """One row per question: question, predicted, measured, verdict on the first answer."""
        entries, rows = recorded(), []
        for prediction, truth in self._measured.items():
            entry = entries.get(prediction.key)
            verdict = ""
            if entry is not None:
                verdict = VERDICTS[score(entry["answer"], truth, self._partly.get(prediction, ()))]
            shown = truth if is_open(prediction.key) else OPEN_QUESTION
            predicted = "not recorded" if entry is None else in_words(entry)
            rows.append((prediction.question, predicted, shown, verdict))
        return rows

    @property
    def summary(self) -> str:
        """The numbers of predictions that held, and that held partly."""
        verdicts = [verdict for *_, verdict in self.rows if verdict]
        if not verdicts:
            return "No prediction was recorded."
        partly = f", {verdicts.count('partly')} partly" if "partly" in verdicts else ""
        return f"{verdicts.count('as predicted')} of {len(verdicts)} predictions held{partly}."

    def __repr__(self) -> str:
        return "\n".join([*(" | ".join(row) for row in self.rows), self.summary])

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str], tag: str) -> str:
            parts = (f"<{tag} style='text-align:left'>{escape(cell)}</{tag}>" for cell in cells)
            return f"<tr>{''.join(parts)}</tr>"

        head = line(("question", "predicted", "measured", ""), "th")
        body = "".join(line(row, "td") for row in self.rows)
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table><p>{self.summary}</p>"

    def _ipython_display_(self) -> None:
        html = behind_click(self._repr_html_()) if runs_unattended() else self._repr_html_()
        self._place = display(self._bundle(html), raw=True, display_id=True)

    def _bundle(self, html: str) -> dict[str, Any]:
        return {"text/plain": repr(self), "text/html": html}

    def _refresh(self) -> bool:
        """Record the measured answers that a learner may know now, and show them."""
        _record(self._measured, self._partly)
        if self._place is not None:
            self._place.update(self._bundle(self._repr_html_()), raw=True)
        return True


def compare(measured: Mapping[Prediction, str], partly: Partly | None = None) -> Comparison:
    """Show the recorded predictions next to the measured answers, and record these in the file too.

    The measured answer to a question stays hidden until its prediction is recorded. The table then updates
    itself. In CI, in notebooks that a program executes, and after :func:`~flatmtl_lite.lab.unlock` it shows
    all at once.

    Args:
        measured: prediction -> the answer that the measurement gives, one of its answers.
        partly: prediction -> a list of its other answers that are partly right. Such an answer counts half.

    Raises:
        ValueError: a measured answer is not one of the answers, or an answer in ``partly`` is not one of
            the other answers of a prediction in ``measured``.
    """
    partly = partly or {}
    for prediction, truth in measured.items():
        _check(truth, prediction.answers, f"measured for {prediction.key!r}")
    for prediction, answers in partly.items():
        others = [answer for answer in prediction.answers if answer != measured.get(prediction)]
        for answer in answers if prediction in measured else [prediction.key]:
            _check(answer, others, f"partly right for {prediction.key!r}")
    return Comparison(measured, partly)


def _check(answer: str, answers: Sequence[str], what: str) -> None:
    if answer not in answers:
        raise ValueError(f"Got {answer!r} {what}; expected one of {', '.join(map(repr, answers))}.")


def _record(measured: Mapping[Prediction, str], partly: Partly) -> None:
    """Write the measured answers of the recorded predictions to the file."""
    entries = recorded()
    for prediction, truth in measured.items():
        if prediction.key in entries:
            entries[prediction.key]["measured"] = truth
            if prediction in partly:
                entries[prediction.key]["partly"] = list(partly[prediction])
    if entries != recorded():
        write(entries, record_file())
