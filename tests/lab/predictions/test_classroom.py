"""The predictions of a class in one picture."""

import json

import pytest

from flatmtl_lite import lab
from flatmtl_lite.lab.predictions import classroom
from flatmtl_lite.lab.predictions.record import recorded
from tests.lab.predictions.entries import entry


@pytest.fixture
def shown(monkeypatch):
    """What a notebook would show: (figure, text)."""
    seen = []
    monkeypatch.setattr(classroom, "show", lambda figure, text: seen.append((figure, text)))
    return seen


def test_an_export_has_no_name_and_no_time(file, tmp_path):
    guess = lab.predict("t-rise", "Does it rise?", ["yes", "no"])
    guess.record("yes", 0.6)
    lab.compare({guess: "no"})
    guess.record("no", 0.95)
    folder = tmp_path / "class"
    folder.mkdir()
    one, other = lab.export_predictions(folder), lab.export_predictions(folder)
    assert one != other
    assert json.loads(one.read_text()) == {"t-rise": entry("yes", 0.6, "no")}
    assert "time" in recorded()["t-rise"]


def test_an_export_of_nothing_or_to_nowhere_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected at least one"):
        lab.export_predictions(tmp_path)
    lab.predict("t-rise", "Does it rise?", ["yes", "no"]).record("yes", 0.6)
    with pytest.raises(FileNotFoundError, match="a folder that exists"):
        lab.export_predictions(tmp_path / "none")


def test_the_class_view_counts_every_answer(tmp_path, shown):
    folder = tmp_path / "class"
    folder.mkdir()
    learners = [
        {"a": entry("yes", 0.8, "no"), "b": entry("left", 0.5, answers=("left", "right", "on"))},
        {"a": entry("no", 0.8, "no"), "b": entry("left", 0.5, answers=("left", "right", "on"))},
        {"a": entry("no", 0.6)},
    ]
    for k, learner in enumerate(learners):
        (folder / f"{k}.json").write_text(json.dumps(learner))
    lab.class_view(folder)
    ((figure, text),) = shown
    assert text == "3 learners, 2 questions; 67% of the predictions held."
    shares = [bar.x[0] * 3 for bar in figure.data[1::2]]  # after a frame comes its filling, a third wide
    assert shares == pytest.approx([1 / 3, 2 / 3, 1, 0, 0])
    texts = [note.text for note in figure.layout.annotations]
    assert texts[:3] == ["yes<br><b>1</b>", "★ no<br><b>2</b>", "<b>a: Does it rise?</b>"]
    assert texts[3] == "left<br><b>2</b>"


def test_the_class_view_marks_an_answer_that_is_partly_right(tmp_path, shown):
    old = entry("changes", 0.8, answers=("stays", "changes"))  # before the question got its third answer
    answers = ("stays", "changes", "stuck, then changes")
    new = entry("changes", 0.8, answers[2], answers, partly=["changes"])
    for k, learner in enumerate((old, new, new | {"answer": answers[2]})):
        (tmp_path / f"{k}.json").write_text(json.dumps({"a": learner}))
    lab.class_view(tmp_path)
    ((figure, text),) = shown
    assert text == "3 learners, 1 questions; 67% of the predictions held."
    texts = [note.text for note in figure.layout.annotations]
    assert texts[:3] == ["stays<br><b>0</b>", "☆ changes<br><b>2</b>", "★ stuck, then changes<br><b>1</b>"]


def test_a_class_view_names_the_damaged_file(tmp_path):
    for text in (None, "{}"):
        if text:
            (tmp_path / "empty.json").write_text(text)
        with pytest.raises(ValueError, match="without any prediction"):
            lab.class_view(tmp_path)
    (tmp_path / "bad.json").write_text('{"a": 3}')
    with pytest.raises(ValueError, match=r"bad\.json"):
        lab.class_view(tmp_path)
