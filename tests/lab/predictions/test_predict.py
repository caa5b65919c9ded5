"""Predictions: recorded before a slider moves, kept in a file, compared afterwards."""

import json

import pytest

from flatmtl_lite import lab
from flatmtl_lite.lab.predictions.predict import Prediction
from flatmtl_lite.lab.predictions.record import recorded

QUESTION, ANSWERS = "Does it rise?", ["yes", "no"]


def press(guess: Prediction, choice: int, level: int) -> None:
    """Send what the page sends when the learner presses the button."""
    guess._handle_custom_msg({"choice": choice, "level": level}, [])


def test_a_stage_waits_for_its_prediction(file):
    guess = lab.predict("t-rise", QUESTION, ANSWERS)
    stage = lab.rho_instrument(after=guess)
    assert "Record your prediction" in stage.locked
    assert not file.exists()
    press(guess, 1, 2)
    assert stage.locked == ""
    kept = json.loads(file.read_text())["t-rise"]
    assert (kept["question"], kept["answer"], kept["answers"]) == (QUESTION, "no", ANSWERS)
    assert kept["sure"] == 0.8
    assert "measured" not in kept
    assert list(file.parent.iterdir()) == [file]


def test_the_first_answer_counts_and_a_later_one_is_kept(file):
    guess = lab.predict("t-rise", QUESTION, ANSWERS)
    guess.record("yes", 0.8)
    guess.record("no", 0.6)
    guess.record("no", 0.95)
    assert guess.answer == "yes"
    kept = recorded()["t-rise"]
    assert (kept["answer"], kept["sure"]) == ("yes", 0.8)
    assert (kept["later"]["answer"], kept["later"]["sure"]) == ("no", 0.95)
    assert guess.note.startswith("Recorded: first: yes, 80 % sure; now: no, 95 % sure (kept in mine.json")


def test_predict_again_asks_once_more():
    guess = lab.predict("t-rise", QUESTION, ANSWERS)
    assert (guess.asking, guess.choice, guess.note) == (True, None, "")
    press(guess, 0, 1)
    assert (guess.asking, guess.choice, guess.level) == (False, 0, 1)
    guess.asking = True  # the button "Predict again"
    press(guess, 1, 1)
    assert recorded()["t-rise"]["later"]["answer"] == "no"
    assert (guess.asking, guess.choice) == (False, 1)


def test_a_recorded_prediction_is_remembered_with_its_certainty(file):
    lab.predict("t-rise", QUESTION, ANSWERS).record("yes", 0.8)
    again = lab.predict("t-rise", QUESTION, ANSWERS)
    assert (again.choice, again.levels[again.level], again.asking) == (0, "80%", False)
    assert "Recorded: yes, 80 % sure" in again.note
    assert lab.rho_instrument(after=again).locked == ""
    lab.predict("t-other", QUESTION, ANSWERS).record("no", 0.5)
    assert set(recorded()) == {"t-rise", "t-other"}
    other = lab.predict("t-other", QUESTION, ANSWERS)
    assert other.levels[other.level] == "a guess"


def test_an_entry_of_an_older_version_of_the_question_is_shown(file):
    file.write_text(json.dumps({"t-rise": ENTRY | {"answer": "perhaps", "sure": 0.33}}))
    guess = lab.predict("t-rise", QUESTION, ANSWERS)
    assert (guess.choice, guess.level) == (None, None)
    assert "Recorded: perhaps, 33 % sure" in guess.note


def test_unlock_opens_for_a_lecture_hall(file):
    before = lab.rho_instrument(after=lab.predict("t-rise", QUESTION, ANSWERS))
    lab.unlock()
    after = lab.rho_instrument(after=lab.predict("t-fall", QUESTION, ANSWERS))
    assert before.locked == after.locked == ""
    assert not file.exists()


def test_a_stage_does_not_hear_of_another_prediction():
    stage = lab.rho_instrument(after=lab.predict("t-rise", QUESTION, ANSWERS))
    lab.predict("t-fall", QUESTION, ANSWERS).record("yes", 0.8)
    assert stage.locked


def test_a_question_that_is_asked_twice_opens_what_waits_for_it():
    stage = lab.rho_instrument(after=lab.predict("t-rise", QUESTION, ANSWERS))
    lab.predict("t-rise", QUESTION, ANSWERS).record("yes", 0.8)  # its cell ran once more
    assert stage.locked == ""


def test_in_ci_nothing_is_locked(file, monkeypatch):
    monkeypatch.setenv("CI", "true")
    assert lab.rho_instrument(after=lab.predict("t-rise", QUESTION, ANSWERS)).locked == ""


def test_an_answer_that_was_not_offered_is_refused(file):
    with pytest.raises(ValueError, match=r"'perhaps'.*expected one of 'yes', 'no'"):
        lab.predict("t-rise", QUESTION, ANSWERS).record("perhaps", 0.8)
    assert not file.exists()


def test_one_answer_is_no_question():
    with pytest.raises(ValueError, match="at least two"):
        lab.predict("t-rise", QUESTION, ["yes"])


def test_a_missing_folder_is_found_before_anything_is_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("FLATMTL_PREDICTIONS", str(tmp_path / "none" / "mine.json"))
    with pytest.raises(ValueError, match="expected a folder that exists"):
        lab.predict("t-rise", QUESTION, ANSWERS)


ENTRY = {"question": "q", "answer": "yes", "answers": ["yes", "no"], "sure": 0.8}
SPOILED = [
    ENTRY | spoil
    for spoil in (
        {"sure": "high"},
        {"answers": 5},
        {"answer": ["x"]},
        {"measured": 1},
        {"partly": [1]},
        {"later": {"answer": "no"}},
        {"later": {"answer": "no", "sure": 3}},
    )
]


@pytest.mark.parametrize("entry", SPOILED)
def test_an_entry_of_another_kind_is_damage(file, entry):
    file.write_text(json.dumps({"t-rise": entry}))
    with pytest.raises(ValueError, match=r"damaged .*mine\.json"):
        recorded()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"t-rise": 3}', '{"t-rise": {"answer": "yes"}}', "null"])
def test_a_damaged_file_is_left_as_it_is(file, text):
    file.write_text(text)
    with pytest.raises(ValueError, match=r"mine\.json"):
        lab.predict("t-rise", QUESTION, ANSWERS)
    assert file.read_text() == text


@pytest.mark.parametrize("sure", [-0.1, 1.2, float("nan")])
def test_how_sure_is_a_probability(file, sure):
    with pytest.raises(ValueError, match="from 0 to 1"):
        lab.predict("t-rise", QUESTION, ANSWERS).record("yes", sure)
    assert not file.exists()


def test_a_question_reads_without_a_widget():
    guess = lab.predict("t-rise", QUESTION, ANSWERS)
    assert guess._repr_mimebundle_()["text/plain"] == "Does it rise? (yes / no)"
