"""The table of claims, as rows and as Markdown."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ...files import write_whole
from ..records.record_file import check_folder
from . import accuracy, costs, training
from .claim import Claim

CLAIMS: tuple[Callable[[], Claim], ...] = (
    accuracy.improves,
    accuracy.decomposed_beats_direct,
    accuracy.not_merely_sam,
    training.conflict_vanishes,
    training.insensitive_to_rho,
    costs.twice_the_cost,
    accuracy.gaps_narrow,
    training.norms_fall,
    accuracy.calibration,
    accuracy.flat_generalises,
    costs.samo_is_cheap,
    costs.sage_terms,
    costs.independent_users,
)
HEAD = """# The claims, and what our runs say

`flatmtl-lite record claims data/results/CLAIMS.md` writes this page from the records. Do not edit it.

A difference is a mean over seeds, paired by seed, with its 95 % interval. A claim *holds here* if every
interval shows the effect. It *does not hold here* if one interval does not show it, and leaves no room for
one that matters, such as half a point of accuracy. Otherwise it is *open*. A claim that has a rule of its own
names it under *how sure*.

All runs are small and were trained on a CPU: an MLP that names a digit and a garment, unless the evidence
names another network or other images. The LeNet on clean pairs has no wrong labels, two seeds, few methods,
and one ρ for all of them, tuned for F-LS. The setting with 40 % wrong labels was chosen because flatness
pays there. So a verdict is about these runs. Each claim names a run that would tell more.
"""


def claims() -> list[Claim]:
    """Return the rows of the table, computed from the records that ship."""
    return [claim() for claim in CLAIMS]


def overview(rows: Sequence[Claim]) -> str:
    """Return a table in Markdown: each claim with its source, its verdict, and how sure that is."""
    lines = [
        f"| {k} | {row.claim} ({row.source}) | **{row.verdict}** | {row.certainty} |"
        for k, row in enumerate(rows, 1)
    ]
    return "\n".join(["| | claim | verdict | how sure |", "|---|---|---|---|", *lines])


def evidence(row: Claim) -> str:
    """Return the evidence of a claim in Markdown, with the records, and a run that would tell more."""
    files = ", ".join(f"`{name}.json`" for name in row.records) or "none of ours"
    lines = [f"* {line}" for line in row.evidence]
    run = f"`{row.decides}`" if row.decides.startswith("flatmtl-lite") else row.decides
    return "\n".join([*lines, "", f"Records: {files}. A run that would tell more: {run}."])


def folded(rows: Sequence[Claim]) -> str:
    """Return the evidence of all claims in Markdown; a click on a claim opens its evidence."""
    parts = [
        f"<details><summary>{k}. {row.claim}</summary>\n\n{evidence(row)}\n\nHow sure: {row.certainty}\n\n"
        "</details>"
        for k, row in enumerate(rows, 1)
    ]
    return "\n\n".join(parts)


def markdown(rows: Sequence[Claim]) -> str:
    """Return the page: the table, and below it the evidence of each claim."""
    parts = [f"## {k}. {row.claim}\n\n{evidence(row)}" for k, row in enumerate(rows, 1)]
    return "\n\n".join([HEAD + "\n" + overview(rows), *parts]) + "\n"


def record(path: Path) -> None:
    """Write the table as Markdown.

    Raises:
        FileNotFoundError: the folder of ``path`` does not exist.
    """
    check_folder(path)
    write_whole(path, markdown(claims()))
