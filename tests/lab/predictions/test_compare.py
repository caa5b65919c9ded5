"""Predictions next to the measured answers."""

import pytest

from flatmtl_lite import lab
from flatmtl_lite.lab.predictions.record import recorded

QUESTION, ANSWERS = "Does it rise?", ["yes", "no"]


def test_compare_shows_question_answer_and_measurement(file):
    rise, fall = lab.predict("t-rise", QUESTION, ANSWERS), lab.predict("t-fall", "Does it fall?", ANSWERS)
    rise.record("yes", 0.8)
    fall.record("yes", 0.8)
    compared = lab.compare({rise: "yes", fall: "no"})
    assert repr(compared).splitlines() == [
        "Does it rise? | yes, 80 % sure | yes | as predicted",
        "Does it fall? | yes, 80 % sure | no | a surprise",
        "1 of 2 predictions held.",
    ]
    assert "<td style='text-align:left'>a surprise</td>" in compared._repr_html_()
    assert [entry["measured"] for entry in recorded().values()] == ["yes", "no"]


def test_an_open_question_stays_open_until_it_is_recorded(file, screen):
    rise, fall = lab.predict("t-rise", QUESTION, ANSWERS), lab.predict("t-fall", "Does it fall?", ANSWERS)
    rise.record("yes", 0.8)
    lab.compare({rise: "yes", fall: "no"})._ipython_display_()
    place = screen[-1]
    assert "Does it fall? | not recorded | record your prediction above | \n1 of 1" in place.text
    assert "<td style='text-align:left'>no</td>" not in place.html
    assert "measured" not in recorded().get("t-fall", {})
    fall.record("no", 0.95)
    assert "Does it fall? | no, 95 % sure | no | as predicted\n2 of 2" in place.text
    assert recorded()["t-fall"]["measured"] == "no"
    assert screen == [place]  # no second table


def test_a_later_answer_stands_next_to_the_first(screen):
    rise = lab.predict("t-rise", QUESTION, ANSWERS)
    rise.record("no", 0.8)
    lab.compare({rise: "yes"})._ipython_display_()
    rise.record("yes", 0.95)
    row = "Does it rise? | first: no, 80 % sure; now: yes, 95 % sure | yes | a surprise"
    assert screen[-1].text == f"{row}\n0 of 1 predictions held."


def test_an_answer_may_be_partly_right():
    answers = ["stays", "changes over", "gets stuck, then changes over"]
    first, second = lab.predict("t-1", "Its end ...", answers), lab.predict("t-2", "Its start ...", answers)
    first.record("changes over", 0.6)
    second.record("stays", 0.6)
    compared = lab.compare({first: answers[2], second: answers[2]}, partly={first: [answers[1]]})
    assert [row[3] for row in compared.rows] == ["partly", "a surprise"]
    assert compared.summary == "0 of 2 predictions held, 1 partly."
    assert recorded()["t-1"]["partly"] == ["changes over"]
    assert "partly" not in recorded()["t-2"]


def test_what_cannot_be_partly_right_is_refused(file):
    rise, fall = lab.predict("t-rise", QUESTION, ANSWERS), lab.predict("t-fall", QUESTION, ANSWERS)
    rise.record("yes", 0.8)
    before = file.read_text()
    for partly in ({rise: ["maybe"]}, {rise: ["yes"]}, {rise: "no"}, {fall: ["no"]}):
        with pytest.raises(ValueError, match="partly right for"):
            lab.compare({rise: "yes"}, partly=partly)
    assert file.read_text() == before


@pytest.mark.parametrize("opens", ["CI", "unlock"])
def test_in_ci_and_after_unlock_every_answer_is_shown(monkeypatch, opens):
    rise = lab.predict("t-rise", QUESTION, ANSWERS)
    compared = lab.compare({rise: "yes"})
    monkeypatch.setenv("CI", "true") if opens == "CI" else lab.unlock()
    assert repr(compared) == f"{QUESTION} | not recorded | yes | \nNo prediction was recorded."


def test_a_measurement_that_was_no_answer_is_refused(file):
    rise = lab.predict("t-rise", QUESTION, ANSWERS)
    rise.record("yes", 0.8)
    before = file.read_text()
    with pytest.raises(ValueError, match=r"'maybe' measured for 't-rise'; expected one of 'yes', 'no'"):
        lab.compare({rise: "maybe"})
    assert file.read_text() == before


def test_compare_without_any_prediction():
    guess = lab.predict("t-rise", QUESTION, ANSWERS)
    assert repr(lab.compare({guess: "yes"})).endswith("No prediction was recorded.")
