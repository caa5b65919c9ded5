"""Tables 3 and 7 of the paper next to our runs on NYUv2."""

from collections.abc import Sequence

from ...titles import method_title
from ..measures.scenes import HIGHER_IS_BETTER, NYUV2_STL, delta_m
from ..paper.nyuv2 import NYUV2, method_of
from .cells import Table, setting

HEAD = {
    "miou": "mIoU %",
    "pixacc": "PixAcc %",
    "abs_err": "AbsErr",
    "rel_err": "RelErr",
    "mean": "mean °",
    "median": "median °",
    "within_11": "11.25° %",
    "within_22": "22.5° %",
    "within_30": "30° %",
}
DIGITS = {"abs_err": 4, "rel_err": 4}


def paper_table(group: Sequence[dict], varying: Sequence[str] = ()) -> Table:
    """Return a table of the paper's rows, each followed by our finished rows of the same method.

    Our figures are means over seeds: of the mean of the last ten epochs where there is one, as in the paper,
    and else of the last epoch. The methods that the paper does not have follow at the end.

    Args:
        group: rows of the experiment "nyuv2".
        varying: names of the settings in which the rows differ.
    """
    ours = [row for row in group if row["unfinished"] is None]
    lines = [["STL", "published", *_figures(NYUV2_STL), "0"], *_lines_of(ours, "stl", varying)]
    for name, row in NYUV2.items():
        lines.append([name, row.source, *_figures(row.values), f"{row.printed:.2f}"])
        lines += _lines_of(ours, method_of(name), varying)
    named = {"stl", *map(method_of, NYUV2)}
    for method in dict.fromkeys(row["method"] for row in ours if row["method"] not in named):
        lines += _lines_of(ours, method, varying)
    return Table("Next to Tables 3 and 7 of the paper", ["method", "source", *HEAD.values(), "Δm %"], lines)


def _lines_of(rows: Sequence[dict], method: str, varying: Sequence[str]) -> list[list[str]]:
    lines = []
    for row in rows:
        at = "last_ten" if "last_ten" in row["metrics"] else "final"
        means = {name: value["average"][0] for name, value in row["metrics"][at].items()}
        if row["method"] != method or not HEAD.keys() <= means.keys():
            continue
        values = {name: means[name] for name in HEAD}
        radius = "" if row["rho"] is None else f", ρ={row['rho']:g}"
        which = "mean of the last ten epochs" if at == "last_ten" else "last epoch"
        words = [f"ours{radius}", which, f"n={len(row['seeds'])}", *(setting(row, name) for name in varying)]
        source = ", ".join(words)
        change = delta_m(values, NYUV2_STL, HIGHER_IS_BETTER)
        lines.append([method_title(method), source, *_figures(values), f"{change:.2f}"])
    return lines


def _figures(values: dict[str, float]) -> list[str]:
    return [
        f"{values[name] * (100 if HIGHER_IS_BETTER[name] else 1):.{DIGITS.get(name, 2)}f}" for name in HEAD
    ]
