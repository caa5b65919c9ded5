"""Predictions: the learner records one before a slider moves or a result appears."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from ..stage.stage import Stage
from .record import in_words, keep, record_file, recorded
from .waiting import LOCKED, is_open, show_when_open, wait, wake

SURE = (0.6, 0.8, 0.95)


class Prediction(anywidget.AnyWidget):
    """A question, the answers to choose from, and how sure the learner is.

    The learner may predict again. The first answer counts; the last one stands next to it.

    Args:
        key: name of the prediction in the file, such as "02-valley".
        question: one sentence.
        answers: at least two.

    Raises:
        ValueError: there are fewer than two answers, the folder for the file of predictions does not
            exist, or the file is damaged.
    """

    _esm = Path(__file__).with_name("predict.js")
    _css = Path(__file__).with_name("predict.css")

    question = traitlets.Unicode().tag(sync=True)
    answers: traitlets.List = traitlets.List().tag(sync=True)
    levels: traitlets.List = traitlets.List().tag(sync=True)
    # what is recorded: places among the answers and levels, and a line of text
    choice = traitlets.Int(None, allow_none=True).tag(sync=True)
    level = traitlets.Int(None, allow_none=True).tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    asking = traitlets.Bool(True).tag(sync=True)

    def __init__(self, key: str, question: str, answers: Sequence[str]):
        if len(answers) < 2:
            raise ValueError(f"Got answers={answers!r}; expected at least two to choose from.")
        if not record_file().absolute().parent.is_dir():
            raise ValueError(
                f"Got {record_file()} to keep predictions in; expected a folder that exists. Make it, or set "
                "FLATMTL_PREDICTIONS."
            )
        self.key = key
        self._sure = [round(1 / len(answers), 2), *SURE]
        levels = ["a guess", *(f"{sure:.0%}" for sure in SURE)]
        super().__init__(question=question, answers=list(answers), levels=levels)
        self.on_msg(self._record_chosen)
        self._show()

    @property
    def answer(self) -> str | None:
        """The first recorded answer, or None."""
        return recorded().get(self.key, {}).get("answer")

    def record(self, answer: str, sure: float) -> None:
        """Write the answer to the file, and show what waits for it.

        The first answer to a question counts. A later one is kept next to it.

        Args:
            answer: one of the answers.
            sure: the learner's probability for it, 0 to 1.

        Raises:
            ValueError: the answer is not one of the answers, or ``sure`` is not a probability.
        """
        if answer not in self.answers:
            raise ValueError(f"Got answer {answer!r}; expected one of {', '.join(map(repr, self.answers))}.")
        if not 0 <= sure <= 1:
            raise ValueError(f"Got sure={sure!r}; expected a probability from 0 to 1, such as 0.8.")
        keep(self.key, self.question, self.answers, answer, sure)
        self._show()
        wake(self.key)

    def unlocks(self, stage: Stage) -> None:
        """Lock the stage until this prediction is recorded. In CI and after :func:`unlock` it stays open."""

        def still_locked() -> bool:
            stage.locked = "" if is_open(self.key) else LOCKED
            return bool(stage.locked)

        wait(self.key, still_locked)

    def reveals(self, bundle: Mapping[str, Any]) -> None:
        """Display a bundle of MIME types when this prediction is recorded; otherwise as :meth:`unlocks`."""
        show_when_open(self.key, bundle)

    def _record_chosen(self, _, places: Mapping[str, int], buffers: object) -> None:
        self.record(self.answers[places["choice"]], self._sure[places["level"]])

    def _show(self) -> None:
        """Show what is recorded: the last answer and how sure it was, and in words the first one too."""
        entry = recorded().get(self.key)
        if entry is None:
            return
        last = entry.get("later", entry)
        with self.hold_sync():
            self.choice = _place(last["answer"], self.answers)
            self.level = _place(last["sure"], self._sure)
            place = f"kept in {record_file().name}; the first answer counts for your calibration"
            self.note = f"Recorded: {in_words(entry)} ({place})"
            self.asking = False

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)[0]
        items = "".join(f"<li>{escape(answer)}</li>" for answer in self.answers)
        bundle["text/html"] = f"<p><b>Predict:</b> {escape(self.question)}</p><ul>{items}</ul>"
        return bundle | {"text/plain": f"{self.question} ({' / '.join(self.answers)})"}


def _place(value: object, among: Sequence[object]) -> int | None:
    return among.index(value) if value in among else None


def predict(key: str, question: str, answers: Sequence[str]) -> Prediction:
    """Ask for a prediction. Pass the result as ``after=`` to an instrument or to ``lab.show``.

    Args:
        key: name of the prediction in the file, such as "02-valley".
        question: one sentence.
        answers: at least two.
    """
    return Prediction(key, question, answers)
