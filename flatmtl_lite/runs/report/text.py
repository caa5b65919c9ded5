"""The report as text: Markdown with a table of contents."""

from collections.abc import Sequence

from ..paper import multimnist, nyuv2
from .cells import Table
from .sections import Section, sections

HEAD = """# Report

Test figures: mean ± sample standard deviation over n seeds; a dash where there is none. *Picked*: the \
epoch with the best validation score. *Best of test* is not an honest figure, because test data picks the \
epoch; it is here because the authors report it."""


def markdown(rows: Sequence[dict], differences: Sequence[dict], left_out: Sequence[str]) -> str:
    """Return the whole report.

    Args:
        rows: the rows, from :func:`~flatmtl_lite.runs.report.tables.rows`.
        differences: the pairs, from :func:`~flatmtl_lite.runs.report.tables.differences`.
        left_out: a sentence for each run that is in no row.
    """
    parts = sections(rows, differences)
    texts = [HEAD, *_contents(parts, bool(left_out))]
    for section in parts:
        texts += [f'<a id="{section.anchor}"></a>', f"## {section.title}", *section.notes]
        for table in section.tables:
            texts += [f"### {table.title}", _table(table)]
        texts += section.remarks
    texts += settings_of_the_paper(rows)
    if left_out:
        sentences = "\n".join(f"* {sentence}" for sentence in left_out)
        texts += ['<a id="left-out"></a>', "## Left out", sentences]
    return "\n\n".join(texts) + "\n"


def settings_of_the_paper(rows: Sequence[dict]) -> list[str]:
    """Return the sentences on how the paper's figures were made, as far as a row stands next to them."""
    texts = [multimnist.SETTING] * any(row["published"] for row in rows)
    return texts + [nyuv2.SETTING] * any(row["experiment"] == "nyuv2" for row in rows)


def _contents(parts: Sequence[Section], left_out: bool) -> list[str]:
    if not parts:
        return []
    links = [f"* [{section.title}](#{section.anchor})" for section in parts]
    links += ["* [Left out](#left-out)"] * left_out
    return ["## Contents", "\n".join(links)]


def _table(table: Table) -> str:
    lines = [table.head, ["---"] * len(table.head), *table.lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
