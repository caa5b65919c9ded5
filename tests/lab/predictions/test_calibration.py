"""A learner's own calibration."""

import json

import pytest

from flatmtl_lite import lab
from flatmtl_lite.lab.predictions import calibration
from tests.lab.predictions.entries import entry


@pytest.fixture
def shown(monkeypatch):
    """What a notebook would show: (figure, text)."""
    seen = []
    monkeypatch.setattr(calibration, "show", lambda figure, text: seen.append((figure, text)))
    return seen


def test_calibration_counts_what_held(file, shown):
    entries = [entry("yes", 0.8, "yes")] * 3
    entries += [entry("yes", 0.8, "no"), entry("no", 0.5, "yes"), entry("no", 0.9)]
    file.write_text(json.dumps({f"t-{k}": e for k, e in enumerate(entries)}))
    lab.calibration()
    ((figure, text),) = shown
    assert list(figure.data[1].x) == [0.5, 0.8]
    assert list(figure.data[1].y) == [0.0, 0.75]
    assert list(figure.data[1].text) == ["1", "4"]
    # Brier: (3 * 0.2² + 0.8² + 0.5²) / 5
    expected = "3 of 5 predictions held (60%); on average you were 74% sure. Brier score 0.20 "
    assert text.startswith(expected)


def test_an_answer_that_is_partly_right_counts_half_and_a_later_one_does_not_count(file, shown):
    later = {"answer": "yes", "sure": 0.95}
    entries = [
        entry("half", 0.8, "yes", partly=["half"]),
        entry("no", 0.9, "yes", partly=["half"], later=later),
    ]
    file.write_text(json.dumps({f"t-{k}": e for k, e in enumerate(entries)}))
    lab.calibration()
    ((figure, text),) = shown
    assert dict(zip(figure.data[1].x, figure.data[1].y, strict=True)) == {0.9: 0, 0.8: 0.5}
    assert text.startswith(
        "0 of 2 predictions held, 1 partly, which counts half (25%); on average you were 85% sure"
    )
    assert f"Brier score {(0.3**2 + 0.9**2) / 2:.2f} " in text


def test_calibration_before_any_prediction(shown, capsys):
    lab.calibration()
    assert shown == []
    assert "Come back after notebook 01" in capsys.readouterr().out
