"""The report as sections of notes and tables, before it becomes Markdown or LaTeX."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..paper.radii import SCENES, published_radius
from . import scenes
from .cells import (
    PUBLISHED,
    SECONDS,
    Column,
    Table,
    filled_table,
    metric_columns,
    pair_columns,
    score_column,
    setting,
    sharpness_columns,
    title_of,
)
from .tables import WEIGHTS, name_of

CALIBRATION = ("nll", "ece", "brier")  # metrics with a table of their own
# evaluation -> title of its column of scores
CHOICES = {
    "final": "last epoch",
    "picked": "picked on validation: the honest way",
    "last_ten": "mean of the last ten epochs: the paper's way on scenes",
    "best_test": "best of test: the authors' way on Multi-MNIST",
}


@dataclass
class Section:
    """One experiment and variant: its title, sentences, tables, and sentences that follow them."""

    title: str
    notes: list[str]
    tables: list[Table]
    remarks: list[str] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """The name by which the table of contents finds the section."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


def sections(rows: Sequence[dict], differences: Sequence[dict]) -> list[Section]:
    """Return one section for each experiment and variant.

    Args:
        rows: the rows, from :func:`~flatmtl_lite.runs.report.tables.rows`.
        differences: the pairs, from :func:`~flatmtl_lite.runs.report.tables.differences`.
    """
    places = dict.fromkeys((row["experiment"], row["variant"]) for row in rows)
    return [
        _section(
            place,
            [row for row in rows if (row["experiment"], row["variant"]) == place],
            [pair for pair in differences if (pair["experiment"], pair["variant"]) == place],
        )
        for place in places
    ]


def _section(place: tuple, group: list[dict], pairs: list[dict]) -> Section:
    names = dict.fromkeys(name for row in group for name in row["settings"] if name != WEIGHTS)
    varying = [n for n in names if len({json.dumps(row["settings"].get(n)) for row in group}) > 1]
    same = [setting(group[0], name) for name in names if name not in varying]

    def who(row: dict) -> str:
        epochs = f" (unfinished, epoch {row['unfinished']} of {row['settings']['config.epochs']})"
        words = [title_of(name_of(row), row["rho"]), *(setting(row, name) for name in varying)]
        return ", ".join(words) + (epochs if row["unfinished"] is not None else "")

    front: list[Column] = [("method", who), ("n", lambda row: str(len(row["seeds"])))]
    tables = [*_at_evaluations(front, group), _choices(front, group), _further(front, group)]
    if place[0] == "nyuv2":
        tables.append(scenes.paper_table(group, varying))
    if pairs:
        columns = pair_columns(pairs, varying)
        tables.append(filled_table("Differences of the score, paired by seed", columns, pairs))
    title = ", ".join(filter(None, place))
    return Section(title, [f"The same in every row: {', '.join(same)}."], tables, _radii(place[0], group))


def _at_evaluations(front: list[Column], group: list[dict]) -> list[Table]:
    """Return the tables of the metrics: at the last epoch, the picked one, and over the last ten."""
    metrics = dict.fromkeys(name for row in group for name in row["metrics"]["final"])
    main = [name for name in metrics if name not in CALIBRATION]
    titles = {
        "final": "At the last epoch",
        "picked": "At the epoch picked on validation",
        "last_ten": "Mean of the last ten epochs",
    }
    tables = []
    for at, title in titles.items():
        if not any(at in row["score"] for row in group):
            continue
        # with a single metric the score is that metric's average
        score = [score_column("score", at)] if len(main) > 1 else []
        columns = [*front, *metric_columns(group, at, main), *score]
        if at == "picked":
            columns.append(("epochs", lambda row: ", ".join(map(str, row["picked_epochs"])) or "-"))
        tables.append(filled_table(title, columns, group))
    return tables


def _choices(front: list[Column], group: list[dict]) -> Table:
    """Return the table with the score by each way to choose the epoch, side by side."""
    known = [at for at in CHOICES if any(at in row["score"] for row in group)]
    paper = [PUBLISHED] * any(row["published"] for row in group)
    columns = [*front, *(score_column(CHOICES[at], at) for at in known), *paper]
    return filled_table("The score, by which epochs count", columns, group)


def _further(front: list[Column], group: list[dict]) -> Table:
    metrics = dict.fromkeys(name for row in group for name in row["metrics"]["final"])
    calibration = metric_columns(group, "final", [n for n in metrics if n in CALIBRATION], tasks=False)
    columns = [*front, *calibration, *sharpness_columns(group), SECONDS]
    return filled_table("Calibration and sharpness at the last epoch, time", columns, group)


def _radii(experiment: str, group: list[dict]) -> list[str]:
    """Return sentences on the radii that the authors took, where they are known."""
    known = {
        title_of(row["method"], None): radius
        for row in group
        if (radius := published_radius(experiment, row["method"]))
    }
    sentences = [f"The authors' radius for {name}: {radius}." for name, radius in known.items()]
    return sentences + [SCENES] * (experiment == "nyuv2")
