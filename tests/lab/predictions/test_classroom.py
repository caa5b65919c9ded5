"""Looking back on predictions: one's own calibration, and the view of a class."""

import json

import pytest

from flatmtl_lite import lab
from flatmtl_lite.lab.predictions import classroom
from flatmtl_lite.lab.predictions import predict as predictions


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    """A file of predictions of this test's own."""
    monkeypatch.setenv("FLATMTL_PREDICTIONS", str(tmp_path / "mine.json"))
    return tmp_path / "mine.json"


@pytest.fixture
def shown(monkeypatch):
    """What a notebook would show: (figure, text)."""
    seen = []
    monkeypatch.setattr(classroom, "show", lambda figure, text: seen.append((figure, text)))
    return seen


def said(answer: str, sure: float, measured: str | None = None, answers=("yes", "no")) -> dict:
    entry = {"question": "Does it rise?", "answer": answer, "answers": list(answers), "sure": sure}
    return entry if measured is None else entry | {"measured": measured}


def test_calibration_counts_what_held(file, shown):
    entries = [said("yes", 0.8, "yes")] * 3
    entries += [said("yes", 0.8, "no"), said("no", 0.5, "yes"), said("no", 0.9)]
    file.write_text(json.dumps({f"t-{k}": entry for k, entry in enumerate(entries)}))
    lab.calibration()
    ((figure, text),) = shown
    assert list(figure.data[1].x) == [0.5, 0.8]
    assert list(figure.data[1].y) == [0.0, 0.75]
    assert list(figure.data[1].text) == ["1", "4"]
    # Brier: (3 * 0.2² + 0.8² + 0.5²) / 5
    expected = "3 of 5 predictions held (60%); on average you were 74% sure. Brier score 0.20 "
    assert text.startswith(expected)


def test_calibration_before_any_prediction(shown, capsys):
    lab.calibration()
    assert shown == []
    assert "Come back after notebook 01" in capsys.readouterr().out


def test_an_export_has_no_name_and_no_time(file, tmp_path):
    guess = lab.predict("t-rise", "Does it rise?", ["yes", "no"])
    guess.record("yes", 0.6)
    lab.compare({guess: "no"})
    folder = tmp_path / "class"
    folder.mkdir()
    one, other = lab.export_predictions(folder), lab.export_predictions(folder)
    assert one != other
    assert json.loads(one.read_text()) == {"t-rise": said("yes", 0.6, "no")}
    assert "time" in predictions.recorded()["t-rise"]


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
        {"a": said("yes", 0.8, "no"), "b": said("left", 0.5, answers=("left", "right", "on"))},
        {"a": said("no", 0.8, "no"), "b": said("left", 0.5, answers=("left", "right", "on"))},
        {"a": said("no", 0.6)},
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


def test_a_class_view_names_the_damaged_file(tmp_path):
    for text in (None, "{}"):
        if text:
            (tmp_path / "empty.json").write_text(text)
        with pytest.raises(ValueError, match="without any prediction"):
            lab.class_view(tmp_path)
    (tmp_path / "bad.json").write_text('{"a": 3}')
    with pytest.raises(ValueError, match=r"bad\.json"):
        lab.class_view(tmp_path)
