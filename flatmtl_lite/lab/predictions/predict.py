"""Predictions: the learner records one before a slider moves."""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path

import ipywidgets

from ...files import write_whole
from ..stage.stage import Stage

WAITING = "Record your prediction above, then the controls unlock."
SURE = (0.6, 0.8, 0.95)
_unlocked = False


def unlock() -> None:
    """Unlock every stage that opens from now on without a prediction, for a lecture hall."""
    global _unlocked
    _unlocked = True


def record_file() -> Path:
    """Return the file of predictions: FLATMTL_PREDICTIONS, by default ``my_predictions.json``."""
    return Path(os.environ.get("FLATMTL_PREDICTIONS", "my_predictions.json"))


def recorded(file: Path | None = None) -> dict[str, dict]:
    """Read all recorded predictions: key -> {"question", "answer", "answers", "sure", ...}.

    "sure" is the probability that the learner gave. "measured" is the right answer, once
    :func:`~flatmtl_lite.lab.compare` has run.

    Args:
        file: by default :func:`record_file`. A file that does not exist holds no predictions.

    Raises:
        ValueError: the file is damaged.
    """
    file = file or record_file()
    if not file.exists():
        return {}
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        if not all(map(_is_entry, entries.values())):
            raise ValueError("an entry lacks its question, its answers or how sure the learner was")
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise ValueError(
            f"Got a damaged file of predictions, {file} ({error}); expected a file that lab.predict wrote. "
            "Move it away to start again."
        ) from error
    return entries


def _is_entry(entry: dict) -> bool:
    texts = [entry["question"], entry["answer"], *entry["answers"], entry.get("measured", "")]
    return all(isinstance(text, str) for text in texts) and 0 <= entry["sure"] <= 1


def write(entries: Mapping[str, dict], file: Path) -> None:
    """Write predictions whole, or not at all."""
    write_whole(file, json.dumps(entries, indent=1, ensure_ascii=False))


class Prediction(ipywidgets.VBox):
    """A question, the answers to choose from, and how sure the learner is. The first record counts.

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
        self._waiting: list[Stage] = []
        wide = ipywidgets.Layout(width="auto")
        self.choice = ipywidgets.RadioButtons(options=self.answers, index=None, layout=wide, description="")
        self.choice.tooltip = question
        self.button = ipywidgets.Button(description="Record my prediction", disabled=True, layout=wide)
        self.note = ipywidgets.HTML()
        levels = [("a guess", round(1 / len(answers), 2)), *((f"{s:.0%}", s) for s in SURE)]
        self.sure = ipywidgets.RadioButtons(
            options=levels, index=None, layout=wide, description="", orientation="horizontal"
        )
        self.sure.tooltip = "How sure are you?"
        for choice in (self.choice, self.sure):
            choice.observe(self._choose, "index")
        self.button.on_click(lambda _: self.record(self.choice.value, self.sure.value))
        asked = ipywidgets.HTML(f"<b>{escape(question)}</b>")
        how = ipywidgets.HBox([ipywidgets.HTML("How sure are you?"), self.sure])
        how.layout.align_items = "center"
        super().__init__([asked, self.choice, how, self.button, self.note])
        self._show()

    @property
    def answer(self) -> str | None:
        """The recorded answer, or None."""
        return recorded().get(self.key, {}).get("answer")

    def record(self, answer: str, sure: float) -> None:
        """Write the answer to the file, and unlock the stages that wait for it.

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
        entries = recorded()
        if self.key not in entries:
            entry = dict(question=self.question, answer=answer, answers=self.answers, sure=sure)
            time = datetime.now().isoformat(timespec="minutes")
            write(entries | {self.key: entry | {"time": time}}, record_file())
        self._show()

    def unlocks(self, stage: Stage) -> None:
        """Lock the stage until this prediction is recorded. In CI and after :func:`unlock` it stays open."""
        self._waiting.append(stage)
        self._show()

    def _choose(self, _) -> None:
        self.button.disabled = self.choice.index is None or self.sure.index is None

    def _show(self) -> None:
        answer = self.answer
        open_to_all = _unlocked or bool(os.environ.get("CI"))
        for stage in self._waiting:
            stage.locked = "" if answer is not None or open_to_all else WAITING
        if answer is not None:
            self.choice.value = answer if answer in self.answers else None
            self.choice.disabled = self.sure.disabled = self.button.disabled = True
            place = f"kept in {record_file().name}; the first answer counts"
            self.note.value = f"Recorded: {escape(answer)} <small>({escape(place)})</small>"

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        items = "".join(f"<li>{escape(answer)}</li>" for answer in self.answers)
        bundle["text/html"] = f"<p><b>Predict:</b> {escape(self.question)}</p><ul>{items}</ul>"
        return bundle | {"text/plain": f"{self.question} ({' / '.join(self.answers)})"}


def predict(key: str, question: str, answers: Sequence[str]) -> Prediction:
    """Ask for a prediction. Pass the result to an instrument as ``after=``: it unlocks the slider.

    Args:
        key: name of the prediction in the file, such as "02-valley".
        question: one sentence.
        answers: at least two.
    """
    return Prediction(key, question, answers)
