"""The table of aggregators: every docstring gives every field, and the page shows them."""

import re

import pytest

import flatmtl_lite as fm
from flatmtl_lite.lab import zoo
from flatmtl_lite.lab.tables.zoo import FIELDS, Zoo, card


def test_every_aggregator_has_a_whole_card():
    for name in fm.AGGREGATORS:
        is_whole(name)


def is_whole(name):
    facts = card(fm.AGGREGATORS[name])
    assert list(facts) == ["idea", *FIELDS]
    assert all(3 <= len(fact) <= 250 for fact in facts.values()), facts
    assert not any(
        re.search(r"(Args|Example|Raises|Guarantees|Scale|Cost|Paper):", f) for f in facts.values()
    )
    assert re.search(r"arXiv \d{4}\.\d{5}|https://", facts["paper"]) or name == "mean"
    assert fm.AGGREGATORS[name].__doc__.count("Example:\n") == 1


DOC = """Do this and that.

    More about it.

    Guarantees: some.
    Scale: as it is,
        or nearly.
    Cost: little.
    Paper: someone, arXiv 2001.00001.

    Args:
        c: Scale: is no field here.
    """


def made(doc):
    return type("Made", (fm.Mean,), {"__doc__": doc})


def test_a_card_is_what_the_docstring_says():
    assert card(made(DOC)) == {
        "idea": "Do this and that.",
        "guarantees": "some",
        "scale": "as it is, or nearly",
        "cost": "little",
        "paper": "someone, arXiv 2001.00001",
    }


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_or_empty_or_repeated_field_is_an_error(field):
    line = re.search(rf"    {field.capitalize()}: .*\n", DOC)[0]
    for other in ("", f"    {field.capitalize()}:\n\n", line + line):
        with pytest.raises(ValueError, match=rf'Made has \d lines "{field.capitalize()}: ...'):
            card(made(DOC.replace(line, other)))


@pytest.mark.parametrize("first", ["do this.", "Do this", "Do this. And that."])
def test_an_idea_that_is_not_one_sentence_is_an_error(first):
    with pytest.raises(ValueError, match=r"docstring of Made begins .* expected one sentence of idea"):
        card(made(DOC.replace("Do this and that.", first)))


def test_no_docstring_is_an_error():
    with pytest.raises(ValueError, match="docstring of Made begins ''"):
        card(made(None))


def test_the_table_shows_every_fact_as_text_and_as_a_page():
    table = zoo()
    text, page = repr(table), table._repr_html_()
    assert list(table.cards) == list(fm.AGGREGATORS)
    for name, facts in table.cards.items():
        assert f"<code>{name}</code>" in page
        assert re.search(rf"^{name} +{re.escape(facts['idea'])}$", text, flags=re.MULTILINE)
        assert all(fact in text for fact in facts.values())
    assert page.count("<tr>") == 1 + len(fm.AGGREGATORS)
    assert page.count("<td ") == 5 * len(fm.AGGREGATORS)
    assert "<a href='https://arxiv.org/abs/2110.14048'>arXiv 2110.14048</a>" in page
    assert "<a href='https://doi.org/10.1016/j.crma.2012.03.014'>" in page


def test_what_a_docstring_says_is_text_and_no_markup():
    page = Zoo({"<b>": made(DOC.replace("some.", "‖d‖ <= 1 & <i>."))})._repr_html_()
    assert "&lt;b&gt;" in page
    assert "‖d‖ &lt;= 1 &amp; &lt;i&gt;" in page
