"""Predictions: the learner records one before a slider moves or a result appears."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets

from ..stage.stage import Stage
from .record import in_words, keep, record_file, recorded
from .waiting import LOCKED, is_open, show_when_open, wait, wake

SURE = (0.6, 0.8, 0.95)
COUNTS = "the first answer counts for your calibration"


class Prediction(ipywidgets.VBox):
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

    def __init__(self, key: str, question: str, answers: Sequence[str]):
        if len(answers) < 2:
            raise ValueError(f"Got answers={answers!r}; expected at least two to choose from.")
        if not record_file().absolute().parent.is_dir():
            raise ValueError(
                f"Got {record_file()} to keep predictions in; expected a folder that exists. Make it, or set "
                "FLATMTL_PREDICTIONS."
            )
        self.key, self.question, self.answers = key, question, list(answers)
        wide = ipywidgets.Layout(width="auto")
        self.choice = ipywidgets.RadioButtons(options=self.answers, index=None, layout=wide, description="")
        self.choice.tooltip = question
        self.button = ipywidgets.Button(description="Record my prediction", disabled=True, layout=wide)
        self.again = ipywidgets.Button(description="Predict again", layout=ipywidgets.Layout(width="auto"))
        self.again.tooltip = f"Answer once more; {COUNTS}."
        self.note = ipywidgets.HTML()
        self._levels = [round(1 / len(answers), 2), *SURE]
        labels = ["a guess", *(f"{sure:.0%}" for sure in SURE)]
        self.sure = ipywidgets.RadioButtons(
            options=labels, index=None, layout=wide, description="", orientation="horizontal"
        )
        self.sure.tooltip = "How sure are you?"
        for choice in (self.choice, self.sure):
            choice.observe(lambda _: self._ask(), "index")
        self.button.on_click(self._record_chosen)
        self.again.on_click(self._ask_again)
        asked = ipywidgets.HTML(f"<b>{escape(question)}</b>")
        how = ipywidgets.HBox([ipywidgets.HTML("How sure are you?"), self.sure])
        how.layout.align_items = "center"
        super().__init__([asked, self.choice, how, ipywidgets.HBox([self.button, self.again]), self.note])
        self._ask()
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

    # A pressed button that is switched off loses the focus, so a keyboard would start at the top of the page.
    def _record_chosen(self, _) -> None:
        self.record(self.choice.value, self._levels[self.sure.index])
        self.again.focus()

    def _ask_again(self, _) -> None:
        self._ask()
        self.choice.focus()

    def _ask(self) -> None:
        """Let the learner choose, and then record."""
        self.choice.disabled = self.sure.disabled = False
        self.button.disabled = self.choice.index is None or self.sure.index is None
        self.again.layout.display = "none"

    def _show(self) -> None:
        """Show what is recorded: the last answer and how sure it was, and in words the first one too."""
        entry = recorded().get(self.key)
        if entry is None:
            return
        last = entry.get("later", entry)
        self.choice.value = last["answer"] if last["answer"] in self.answers else None
        self.sure.index = self._levels.index(last["sure"]) if last["sure"] in self._levels else None
        self.choice.disabled = self.sure.disabled = self.button.disabled = True
        self.again.layout.display = None
        place = f"kept in {record_file().name}; {COUNTS}"
        recorded_text = f"Recorded: {escape(in_words(entry))} <small>({escape(place)})</small>"
        self.note.value = f"<span role='status'>{recorded_text}</span>"

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        items = "".join(f"<li>{escape(answer)}</li>" for answer in self.answers)
        bundle["text/html"] = f"<p><b>Predict:</b> {escape(self.question)}</p><ul>{items}</ul>"
        return bundle | {"text/plain": f"{self.question} ({' / '.join(self.answers)})"}


def predict(key: str, question: str, answers: Sequence[str]) -> Prediction:
    """Ask for a prediction. Pass the result as ``after=`` to an instrument or to ``lab.show``.

    Args:
        key: name of the prediction in the file, such as "02-valley".
        question: one sentence.
        answers: at least two.
    """
    return Prediction(key, question, answers)
