"""All aggregators in one table, read from their docstrings."""

import inspect
import re
from html import escape

from ...aggregation import AGGREGATORS, Aggregator

FIELDS = ("guarantees", "scale", "cost", "paper")


def card(method: type[Aggregator]) -> dict[str, str]:
    """Read the idea of a method (the first paragraph, one sentence) and its ``FIELDS`` from the docstring.

    A field is a line "Scale: ..." of the docstring. Its further lines are indented.

    Raises:
        ValueError: the docstring does not begin with one sentence, or a field is not there exactly once.

    Example:
        >>> from flatmtl_lite import Mean
        >>> card(Mean)["scale"]
        'as it is'
    """
    text = inspect.cleandoc(method.__doc__ or "")
    idea = " ".join(text.split("\n\n")[0].split())
    if not re.fullmatch(r"[A-Z][^.]*\.", idea):
        raise ValueError(
            f"The docstring of {method.__name__} begins {idea!r}; expected one sentence of idea."
        )
    facts = {"idea": idea}
    for field in FIELDS:
        matches = re.findall(rf"^{field.capitalize()}: *(.*(?:\n +.*)*)", text, flags=re.MULTILINE)
        if len(matches) != 1 or not matches[0].strip():
            raise ValueError(
                f'The docstring of {method.__name__} has {len(matches)} lines "{field.capitalize()}: ..."; '
                "expected one, with its further lines indented."
            )
        facts[field] = " ".join(matches[0].split()).removesuffix(".")
    return facts


class Zoo:
    """The table: one row per aggregator, its key, idea, guarantees, scale, cost and paper.

    Args:
        methods: key -> class; by default all of ``AGGREGATORS``.
    """

    def __init__(self, methods: dict[str, type[Aggregator]] | None = None):
        methods = AGGREGATORS if methods is None else methods
        self.cards = {name: card(method) for name, method in methods.items()}

    def __repr__(self) -> str:
        blocks = []
        for name, facts in self.cards.items():
            rest = [f"{'':12}{field + ':':12}{facts[field]}" for field in FIELDS]
            blocks.append("\n".join([f"{name:<12}{facts['idea']}", *rest]))
        return "\n".join(blocks)

    def _repr_html_(self) -> str:
        left = "style='text-align:left; vertical-align:top'"
        head = "".join(f"<th scope='col' {left}>{column}</th>" for column in ("name", "idea", *FIELDS))
        rows = []
        for name, facts in self.cards.items():
            cells = "".join(f"<td {left}>{_linked(facts[column])}</td>" for column in ("idea", *FIELDS))
            rows.append(f"<tr><th scope='row' {left}><code>{escape(name)}</code></th>{cells}</tr>")
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def zoo() -> Zoo:
    """Return the table of all aggregators, for the last line of a notebook cell."""
    return Zoo()


def _linked(text: str) -> str:
    """Return the text in HTML, with arXiv numbers and addresses as links."""
    page = re.sub(r"https?://[^\s)<]*[\w/]", lambda m: f"<a href='{m[0]}'>{m[0]}</a>", escape(text))
    return re.sub(r"arXiv (\d{4}\.\d{5})", r"<a href='https://arxiv.org/abs/\1'>arXiv \1</a>", page)
