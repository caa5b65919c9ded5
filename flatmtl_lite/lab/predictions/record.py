"""The file of predictions: for each question the first answer, a later one, and what was measured."""

import json
import os
from collections.abc import Container, Mapping
from datetime import datetime
from pathlib import Path

from ...files import write_whole

Entries = dict[str, dict]


def record_file() -> Path:
    """Return the file of predictions: FLATMTL_PREDICTIONS, by default ``my_predictions.json``."""
    return Path(os.environ.get("FLATMTL_PREDICTIONS", "my_predictions.json"))


def recorded(file: Path | None = None) -> Entries:
    """Read all recorded predictions: key -> {"question", "answer", "answers", "sure", "time", ...}.

    "answer" is the first answer, and "sure" is the probability that the learner gave it. "later", if the
    learner predicted again, holds the last answer: {"answer", "sure", "time"}. Once
    :func:`~flatmtl_lite.lab.compare` has run, "measured" is the right answer, and "partly", if there are
    any, lists the answers that are partly right.

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
    last = entry.get("later", entry)
    texts = [entry["question"], entry["answer"], last["answer"], entry.get("measured", "")]
    texts += [*entry["answers"], *entry.get("partly", [])]
    return all(isinstance(text, str) for text in texts) and all(0 <= e["sure"] <= 1 for e in (entry, last))


def write(entries: Mapping[str, dict], file: Path) -> None:
    """Write predictions whole, or not at all."""
    write_whole(file, json.dumps(entries, indent=1, ensure_ascii=False))


def keep(key: str, question: str, answers: list[str], answer: str, sure: float) -> None:
    """Write an answer to the file. The first answer to a question stays; a later one stands next to it."""
    entries = recorded()
    given = dict(answer=answer, sure=sure, time=datetime.now().isoformat(timespec="minutes"))
    if key not in entries:
        entries[key] = dict(question=question, answers=answers) | given
    else:
        entries[key] |= {"later": given}
    write(entries, record_file())


def in_words(entry: Mapping) -> str:
    """Say what the learner predicted and how sure: the first answer, and the later one if there is one."""
    first, *later = (
        f"{given['answer']}, {100 * given['sure']:.0f} % sure"
        for given in (entry, *([entry["later"]] if "later" in entry else []))
    )
    return f"first: {first}; now: {later[0]}" if later else first


def score(answer: str, measured: str, partly: Container[str] = ()) -> float:
    """Return how right an answer is: 1 if it was measured, 0.5 if it is partly right, 0 otherwise."""
    return 1.0 if answer == measured else 0.5 if answer in partly else 0.0
