"""A call that carries many numbers stays short, and gives the same numbers back."""

import pytest

from flatmtl_lite.lab.instruments.parts.packed import pack, unpack


def test_values_survive_as_a_text_that_a_call_can_hold():
    values = {"F-LS": [{"rho": k / 7, "answers": [[k % 10, 3 * k]] * 20, "name": "ρ"} for k in range(40)]}
    text = pack(values)
    assert unpack(text) == values
    assert text.isascii()
    assert not set(text) & set("\"'{}\\")
    assert len(text) < len(repr(values)) / 5


@pytest.mark.parametrize("text", [pack([1, 2])[:-8], pack([1, 2])[3:], "not packed", ""])
def test_a_damaged_text_is_refused(text):
    with pytest.raises(ValueError, match="expected a packed text"):
        unpack(text)
