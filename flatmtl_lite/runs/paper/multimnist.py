"""The Multi-MNIST figures of the paper (arXiv 2211.13723) and its authors: test accuracies in per cent."""

from dataclasses import dataclass
from typing import NamedTuple

SETTING = (
    "The paper's figures are of a ResNet-18 after 200 epochs (flat rows: adaptive ρ = 2), three seeds, each "
    "at the epoch that is best on the test set. They train on all 120,000 images, as --n-val 0 does, and "
    "keep the incomplete last batch of an epoch, which we drop. Their two Adam optimizers, one for the trunk "
    "and one for the heads, have the same learning rate, so one Adam over all weights takes the same steps."
)
MISPRINTS = {
    ("fashion", "second-mgda"): "its two tasks give 86.49",
    ("fashion", "f-mean"): "its two tasks give 87.77",
    ("fashion+mnist", "mean"): "its two tasks give 92.51",
}

_VARIANTS = ("fashion", "mnist", "fashion+mnist")  # the order of the columns: task 1, task 2, average of each
# mean±standard deviation over seeds: as printed in the tables, with division by their number in the logs
_ROWS = {
    "Table 1": """
stl 87.10±.09 86.20±.06 86.65±.02 95.33±.08 94.16±.04 94.74±.06 98.40±.02 89.42±.03 93.91±.02
mgda 86.76±.09 85.78±.36 86.27±.22 95.62±.02 94.49±.10 95.05±.06 97.24±.04 88.19±.13 92.72±.07
f-mgda 88.12±.11 87.35±.11 87.73±.09 96.37±.06 94.99±.06 95.68±.00 97.30±.09 89.26±.14 93.28±.03
pcgrad 86.93±.17 86.20±.14 86.57±.12 95.71±.03 94.41±.02 95.06±.02 97.12±.16 88.45±.08 92.78±.11
f-pcgrad 88.17±.14 87.35±.27 87.76±.07 96.49±.05 95.34±.10 95.92±.07 97.65±.06 89.35±.07 93.50±.01
cagrad 86.99±.17 86.04±.15 86.51±.16 95.62±.05 94.39±.04 95.01±.04 97.19±.06 88.18±.14 92.68±.04
f-cagrad 88.19±.19 87.45±.13 87.82±.10 96.54±.02 95.36±.04 95.95±.01 97.82±.05 89.26±.22 93.54±.13
imtl_g 87.35±.22 86.45±.09 86.90±.15 95.93±.09 94.63±.13 95.28±.02 97.47±.06 88.46±.11 92.97±.03
f-imtl_g 88.10±.10 87.50±.04 87.80±.06 96.55±.07 95.16±.05 95.85±.05 97.59±.12 88.99±.08 93.29±.02
nash_mtl 86.91±.09 86.17±.03 86.54±.04 95.54±.00 94.49±.09 95.01±.05 97.00±.18 88.39±.16 92.70±.02
f-nash_mtl 88.21±.20 87.40±.03 87.81±.11 96.47±.03 95.40±.10 95.94±.05 97.63±.12 89.33±.12 93.48±.07
fairgrad 86.85±.15 86.17±.07 86.51±.04 95.55±.15 94.29±.09 94.92±.11 97.02±.06 88.37±.16 92.70±.10
f-fairgrad 88.05±.08 87.41±.14 87.73±.04 96.48±.07 95.34±.04 95.91±.05 97.94±.02 88.99±.18 93.46±.10
""",
    "Table 6": """
second-cagrad 88.10 87.70 87.90 96.48 95.24 95.86 97.87 89.02 93.44
each-cagrad 87.51 87.68 87.59 96.45 95.40 95.92 97.61 89.17 93.39
""",
    "the authors' rebuttal": """
mean 86.86 85.94 86.40 95.38 94.38 94.88 96.70 88.32 92.56
f-mean 88.21 87.33 87.72 96.25 95.10 95.67 97.48 88.95 93.22
direct-cagrad 87.25 86.19 86.72 95.86 94.59 95.23 97.59 88.58 93.09
second-pcgrad - - 87.71 - - 95.86 - - 93.43
each-pcgrad - - 87.69 - - 95.94 - - 93.31
second-imtl_g - - 87.92 - - 95.96 - - 93.56
each-imtl_g - - 87.86 - - 95.89 - - 93.66
second-mgda 86.76 86.22 87.49 - - 94.99 - - 92.59
each-mgda - - 86.68 - - 94.79 - - 92.00
""",
    "recomputed from the authors' logs": """
rlw 87.02 85.92 86.47±.05 95.58 94.45 95.01±.07 97.11 88.41 92.76±.10
f-rlw 88.15 87.44 87.80±.07 96.48 95.41 95.94±.04 97.66 89.28 93.47±.05
si 86.98 85.94 86.46±.04 95.69 94.04 94.86±.02 97.49 86.41 91.95±.04
f-si 88.16 87.34 87.75±.05 96.55 95.24 95.89±.03 98.06 88.28 93.17±.01
""",
}
# Fig. 3, read off the plot: share of steps whose loss gradients conflict, by thirds of 200 epochs
CONFLICT_BY_THIRD = {"ERM": (0.45, 0.47, 0.52), "F-method": (0.22, 0.04, 0.01)}


class Figure(NamedTuple):
    """A mean over seeds, in per cent, and its standard deviation (None: not given)."""

    mean: float
    sd: float | None


@dataclass(frozen=True)
class PublishedRow:
    """One published row.

    Attributes:
        tasks: accuracy of the two tasks; None: not given.
        average: mean accuracy of the two tasks, as printed.
        source: the table or text that reports it.
        misprint: the mistake in it; "" if none is known.
    """

    tasks: tuple[Figure | None, Figure | None]
    average: Figure
    source: str
    misprint: str = ""


def published_row(experiment: str, settings: dict, method: str) -> PublishedRow | None:
    """Return the published row of a method; None if there is none for these tasks and labels.

    Args:
        experiment: only "multimnist" has figures here.
        settings: settings of the experiment: ``variant``, ``tasks``, ``label_noise``.
        method: a name for :func:`~flatmtl_lite.runs.engine.methods.parse_method`; "imtl_g" is IMTL there.

    Example:
        >>> row = published_row("multimnist", {"variant": "mnist"}, "f-cagrad")
        >>> row.average, row.source
        (Figure(mean=95.95, sd=0.01), 'Table 1')
    """
    if experiment != "multimnist" or settings.get("tasks") or settings.get("label_noise"):
        return None
    return PUBLISHED_ROWS.get((str(settings.get("variant")), method))


def _figure(word: str) -> Figure:
    mean, _, sd = word.partition("±")
    return Figure(float(mean), float(sd) if sd else None)


def _read() -> dict[tuple[str, str], PublishedRow]:
    rows = {}
    for source, text in _ROWS.items():
        for method, *words in map(str.split, text.strip().splitlines()):
            for place, variant in enumerate(_VARIANTS):
                first, second, average = words[3 * place : 3 * place + 3]
                tasks = None if first == "-" else _figure(first), None if second == "-" else _figure(second)
                misprint = MISPRINTS.get((variant, method), "")
                rows[variant, method] = PublishedRow(tasks, _figure(average), source, misprint)
    return rows


PUBLISHED_ROWS = _read()  # (variant, method) -> row
