"""Predictions next to what was measured."""

from collections.abc import Mapping, Sequence
from html import escape

from .predict import Prediction, record_file, recorded, write


class Comparison:
    """A table of questions, recorded answers and measured answers; ``rows`` holds its lines."""

    def __init__(self, measured: Mapping[Prediction, str]):
        self.rows = []
        for prediction, truth in measured.items():
            answer = prediction.answer
            verdict = "" if answer is None else "as predicted" if answer == truth else "a surprise"
            self.rows.append((prediction.question, answer or "not recorded", truth, verdict))

    @property
    def summary(self) -> str:
        """The number of predictions that held."""
        verdicts = [verdict for *_, verdict in self.rows if verdict]
        if not verdicts:
            return "No prediction was recorded."
        return f"{verdicts.count('as predicted')} of {len(verdicts)} predictions held."

    def __repr__(self) -> str:
        return "\n".join([*(" | ".join(row) for row in self.rows), self.summary])

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str], tag: str) -> str:
            parts = (f"<{tag} style='text-align:left'>{escape(cell)}</{tag}>" for cell in cells)
            return f"<tr>{''.join(parts)}</tr>"

        head = line(("question", "predicted", "measured", ""), "th")
        body = "".join(line(row, "td") for row in self.rows)
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table><p>{self.summary}</p>"


def compare(measured: Mapping[Prediction, str]) -> Comparison:
    """Show the recorded predictions next to the measured answers, and record these in the file too.

    Args:
        measured: prediction -> the answer that the measurement gives, one of its answers.

    Raises:
        ValueError: a measured answer is not one of the answers.
    """
    entries = recorded()
    for prediction, truth in measured.items():
        if truth not in prediction.answers:
            raise ValueError(
                f"Got {truth!r} measured for {prediction.key!r}; expected one of "
                f"{', '.join(map(repr, prediction.answers))}."
            )
        if prediction.key in entries:
            entries[prediction.key]["measured"] = truth
    if entries != recorded():
        write(entries, record_file())
    return Comparison(measured)
