"""Predictions next to the measured answers."""

import pytest

from flatmtl_lite import lab
from flatmtl_lite.lab.predictions import predict as predictions

QUESTION, ANSWERS = "Does it rise?", ["yes", "no"]


def test_compare_shows_question_answer_and_measurement(file):
    rise, fall = lab.predict("t-rise", QUESTION, ANSWERS), lab.predict("t-fall", "Does it fall?", ANSWERS)
    rise.record("yes", 0.8)
    fall.record("yes", 0.8)
    never = lab.predict("t-never", "Does it rest?", ANSWERS)
    compared = lab.compare({rise: "yes", fall: "no", never: "no"})
    assert repr(compared).splitlines() == [
        "Does it rise? | yes | yes | as predicted",
        "Does it fall? | yes | no | a surprise",
        "Does it rest? | not recorded | no | ",
        "1 of 2 predictions held.",
    ]
    assert "<td style='text-align:left'>a surprise</td>" in compared._repr_html_()
    assert [entry["measured"] for entry in predictions.recorded().values()] == ["yes", "no"]


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
