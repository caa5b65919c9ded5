"""Results that appear when a prediction is recorded: figures and what is printed."""

import pytest
from jupyter_client.manager import start_new_kernel

from flatmtl_lite import lab
from flatmtl_lite.lab.figures import basic
from flatmtl_lite.lab.predictions.waiting import HIDDEN

FIGURE = basic.curves([1, 2], {"a": [1, 2]}, "x", "y")
PLOTLY = "application/vnd.plotly.v1+json"


@pytest.fixture
def rise():
    return lab.predict("t-rise", "Does it rise?", ["yes", "no"])


def test_a_figure_appears_when_its_prediction_is_recorded(rise, screen):
    lab.show(FIGURE, "Where the paths end.", after=rise)
    (place,) = screen
    assert (place.text, place.metadata) == (HIDDEN, None)
    assert PLOTLY not in place.bundle
    rise.record("yes", 0.8)
    assert place.text == "Where the paths end."
    assert place.bundle[PLOTLY]["data"]
    assert place.metadata == {"flatmtl": {"after": "t-rise"}}
    place.bundle = None
    rise.record("no", 0.8)  # predicted again: the figure is not drawn once more
    assert place.bundle is None


def test_what_is_printed_appears_when_its_prediction_is_recorded(rise, screen, capsys):
    with lab.reveal(rise):
        print("it rises")
        print("by 3")
    assert capsys.readouterr().out == ""
    assert screen[0].text == HIDDEN
    rise.record("yes", 0.8)
    assert screen[0].bundle == {"text/plain": "it rises\nby 3"}


@pytest.mark.parametrize("opens", ["record", "CI", "unlock"])
def test_a_result_is_shown_at_once(rise, screen, monkeypatch, opens):
    {"record": lambda: rise.record("yes", 0.8), "unlock": lab.unlock}.get(
        opens, lambda: monkeypatch.setenv("CI", "true")
    )()
    with lab.reveal(rise):
        print("it rises")
    assert [place.text for place in screen] == ["it rises"]


def test_unlock_shows_what_is_hidden(rise, screen):
    lab.show(FIGURE, "Where the paths end.", after=rise)
    lab.unlock()
    assert screen[0].text == "Where the paths end."


def test_an_error_shows_nothing(rise, screen):
    def cell():
        with lab.reveal(rise):
            print("it rises")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cell()
    assert screen == []


ASK = 'from flatmtl_lite import lab\nrise = lab.predict("t-rise", "Does it rise?", ["yes", "no"])'
RESULTS = 'with lab.reveal(rise):\n    print("it < rises")\nlab.compare({rise: "yes"})'


def test_in_a_real_kernel_a_program_sees_everything_and_a_person_predicts(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    manager, client = start_new_kernel()
    shown = []

    def run(code: str, person: bool) -> list[tuple]:
        shown.clear()
        reply = client.execute_interactive(
            code, allow_stdin=person, output_hook=lambda message: shown.append(message), timeout=120
        )
        assert reply["content"]["status"] == "ok"
        kinds = ("display_data", "update_display_data", "execute_result")
        return [(m["msg_type"], m["content"]) for m in shown if m["msg_type"] in kinds]

    try:
        run(ASK, person=False)
        program = [content["data"] for _, content in run(RESULTS, person=False)]
        assert program[0]["text/plain"] == "it < rises"
        for data, inside in zip(program, ("<pre>it &lt; rises</pre>", "<table>"), strict=True):
            before, after = data["text/html"].split(inside)
            assert before.startswith("<details ")
            assert after.endswith("</details>")
        person = run(RESULTS, person=True)
        texts = [content["data"]["text/plain"] for _, content in person]
        assert texts[0] == HIDDEN
        assert "record your prediction above" in texts[1]
        recorded = run('rise._handle_custom_msg({"choice": 0, "level": 2}, [])', person=True)
        updated = {content["transient"]["display_id"]: content["data"] for _, content in recorded}
        shown_by = [updated[content["transient"]["display_id"]] for _, content in person]
        assert shown_by[0] == {"text/plain": "it < rises"}
        assert "yes, 80 % sure | yes | as predicted" in shown_by[1]["text/plain"]
        assert "<details" not in shown_by[1]["text/html"]
        assert {kind for kind, _ in recorded} == {"update_display_data"}
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
