"""Predictions: said and written down before a slider moves, compared with what was measured afterwards."""

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
    """Unlock every stage made from now on without a prediction: for a lecture hall."""
    global _unlocked
    _unlocked = True


def record_file() -> Path:
    """Where predictions are kept: FLATMTL_PREDICTIONS, or ``my_predictions.json`` in the working folder."""
    return Path(os.environ.get("FLATMTL_PREDICTIONS", "my_predictions.json"))


def recorded(file: Path | None = None) -> dict[str, dict]:
    """All recorded predictions: key -> {"question", "answer", "answers", "sure", ...}.

    "sure" is the probability the learner gave, "measured" the right answer once :func:`compare` has run.

    Args:
        file: by default :func:`record_file`; none there reads as no prediction.

    Raises:
        ValueError: the file is damaged.
    """
    file = file or record_file()
    if not file.exists():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not all(map(_is_entry, found.values())):
            raise ValueError("an entry lacks its question, its answers or how sure it was")
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise ValueError(
            f"Got a damaged file of predictions, {file} ({error}); expected what lab.predict wrote. "
            "Move it away to begin anew."
        ) from error
    return found


def _is_entry(entry: dict) -> bool:
    texts = [entry["question"], entry["answer"], *entry["answers"], entry.get("measured", "")]
    return all(isinstance(text, str) for text in texts) and 0 <= entry["sure"] <= 1


def write(found: Mapping[str, dict], file: Path) -> None:
    """Write predictions whole, or not at all."""
    write_whole(file, json.dumps(found, indent=1, ensure_ascii=False))


class Prediction(ipywidgets.VBox):
    """A question with its answers to choose from, and how sure one is; what is recorded first counts.

    Args:
        key: name of the prediction in the file, such as "02-valley".
        question: one sentence.
        answers: at least two.

    Raises:
        ValueError: fewer than two answers, no folder for the file of predictions, or the file is damaged.
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
            choice.observe(self._chosen, "index")
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
        """Write the answer to the file, and unlock what waits for it.

        Args:
            answer: one of the answers.
            sure: the probability one gives it, 0 to 1.

        Raises:
            ValueError: it is none of the answers, or ``sure`` is no probability.
        """
        if answer not in self.answers:
            raise ValueError(f"Got answer {answer!r}; expected one of {', '.join(map(repr, self.answers))}.")
        if not 0 <= sure <= 1:
            raise ValueError(f"Got sure={sure!r}; expected a probability from 0 to 1, such as 0.8.")
        found = recorded()
        if self.key not in found:
            entry = dict(question=self.question, answer=answer, answers=self.answers, sure=sure)
            time = datetime.now().isoformat(timespec="minutes")
            write(found | {self.key: entry | {"time": time}}, record_file())
        self._show()

    def unlocks(self, stage: Stage) -> None:
        """Lock the stage until this prediction is recorded (not in CI, nor after :func:`unlock`)."""
        self._waiting.append(stage)
        self._show()

    def _chosen(self, _) -> None:
        self.button.disabled = self.choice.index is None or self.sure.index is None

    def _show(self) -> None:
        answer = self.answer
        open_to_all = _unlocked or bool(os.environ.get("CI"))
        for stage in self._waiting:
            stage.locked = "" if answer is not None or open_to_all else WAITING
        if answer is not None:
            self.choice.value = answer if answer in self.answers else None
            self.choice.disabled = self.sure.disabled = self.button.disabled = True
            kept = f"kept in {record_file().name}; the first answer counts"
            self.note.value = f"Recorded: {escape(answer)} <small>({escape(kept)})</small>"

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        items = "".join(f"<li>{escape(answer)}</li>" for answer in self.answers)
        bundle["text/html"] = f"<p><b>Predict:</b> {escape(self.question)}</p><ul>{items}</ul>"
        return bundle | {"text/plain": f"{self.question} ({' / '.join(self.answers)})"}


def predict(key: str, question: str, answers: Sequence[str]) -> Prediction:
    """Ask for a prediction; give what it returns to an instrument as ``after=``."""
    return Prediction(key, question, answers)


class Comparison:
    """A table of questions, recorded answers and measured ones; ``rows`` holds its lines."""

    def __init__(self, measured: Mapping[Prediction, str]):
        self.rows = []
        for prediction, truth in measured.items():
            said = prediction.answer
            verdict = "" if said is None else "as predicted" if said == truth else "a surprise"
            self.rows.append((prediction.question, said or "not recorded", truth, verdict))

    @property
    def summary(self) -> str:
        """How many predictions held."""
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
    """The recorded predictions beside what was measured, which is written down with them.

    Args:
        measured: prediction -> the one of its answers that the measurement gives.

    Raises:
        ValueError: what was measured is none of the answers.
    """
    found = recorded()
    for prediction, truth in measured.items():
        if truth not in prediction.answers:
            raise ValueError(
                f"Got {truth!r} measured for {prediction.key!r}; expected one of "
                f"{', '.join(map(repr, prediction.answers))}."
            )
        if prediction.key in found:
            found[prediction.key]["measured"] = truth
    if found != recorded():
        write(found, record_file())
    return Comparison(measured)
