"""The figures of the paper (arXiv 2211.13723) for NYUv2: its Table 3, and two rows of its Table 7."""

from dataclasses import dataclass

from ..measures.scenes import HIGHER_IS_BETTER, NYUV2_STL, delta_m

SETTING = (
    "The paper's figures are of SegNet with MTAN's attention, one seed, mean of the last 10 of 200 epochs on "
    "the test scenes. The authors copied rows without F- from another paper, except their own runs."
)

# as printed: five of the metrics in per cent, and Δm last
_ROWS = """
F-STL    39.07 64.21 .6183 .2514 25.08 18.72 30.99 58.29 69.76 -3.17
SI       38.45 64.27 .5354 .2201 27.60 23.37 22.53 48.57 62.32  4.39
RLW      37.17 63.77 .5759 .2410 28.27 24.18 22.26 47.05 60.62  7.78
DWA      39.11 65.31 .5510 .2285 27.61 23.18 24.17 50.18 62.39  3.57
UW       36.87 63.17 .5446 .2260 27.04 22.61 23.54 49.05 63.65  4.05
GradDrop 39.39 65.12 .5455 .2279 27.48 22.96 23.38 49.44 62.87  3.58
Nash-MTL 40.13 65.93 .5261 .2171 25.26 20.08 28.40 55.47 68.15 -4.04
LS       39.29 65.33 .5493 .2263 28.15 23.96 22.09 47.50 61.08  5.59
F-LS     40.28 65.30 .5360 .2173 27.14 22.56 24.45 50.29 63.57  1.65
MGDA     30.47 59.90 .6070 .2555 24.88 19.45 29.18 56.88 69.36  1.38
F-MGDA   26.42 58.78 .6078 .2353 24.34 18.45 31.64 58.86 70.50 -0.33
PCGrad   38.06 64.64 .5550 .2325 27.41 22.80 23.86 49.83 63.14  3.97
F-PCGrad 40.05 65.42 .5429 .2243 27.38 23.00 23.47 49.35 62.74  3.14
CAGrad   39.79 65.49 .5486 .2250 26.31 21.58 25.61 52.36 65.58  0.20
F-CAGrad 40.93 66.68 .5285 .2162 25.43 20.39 27.99 54.82 67.56 -3.78
IMTL     39.35 65.60 .5426 .2256 26.02 21.19 26.20 53.13 66.24 -0.76
F-IMTL   40.42 65.61 .5389 .2121 25.03 19.75 28.90 56.19 68.72 -4.77
"""
# the paper's name of a method -> its name here; F- goes before either
NAMES = dict(STL="stl", LS="mean", SI="si", RLW="rlw", DWA="dwa", UW="uw", GradDrop="graddrop", MGDA="mgda")
NAMES |= {"Nash-MTL": "nash_mtl", "PCGrad": "pcgrad", "CAGrad": "cagrad", "IMTL": "imtl_g"}


@dataclass(frozen=True)
class NyuRow:
    """One published row.

    Attributes:
        values: the nine metrics, named and in the units of ``NYUV2_STL`` (shares of 1, metres, degrees).
        printed: Δm in per cent as printed. It is the mean of changes that were not rounded, so it may
            differ from :attr:`delta_m` by 0.02. The printed Δm of IMTL differs by more and is a misprint.
        source: the table of the paper.
    """

    values: dict[str, float]
    printed: float
    source: str

    @property
    def changes(self) -> dict[str, float]:
        """How much each metric is worse than in single-task training, in per cent."""
        return {
            name: delta_m([value], [NYUV2_STL[name]], [HIGHER_IS_BETTER[name]])
            for name, value in self.values.items()
        }

    @property
    def delta_m(self) -> float:
        """Δm of the printed metrics against ``NYUV2_STL``, in per cent; negative is better."""
        return delta_m(self.values, NYUV2_STL, HIGHER_IS_BETTER)


def _read() -> dict[str, NyuRow]:
    rows = {}
    for name, *words in map(str.split, _ROWS.strip().splitlines()):
        *metrics, printed = map(float, words)
        values = {
            metric: value / 100 if HIGHER_IS_BETTER[metric] else value
            for metric, value in zip(HIGHER_IS_BETTER, metrics, strict=True)
        }
        rows[name] = NyuRow(values, printed, "Table 7" if name in ("F-STL", "F-LS") else "Table 3")
    return rows


NYUV2 = _read()  # the paper's name of a method -> row


def method_of(name: str) -> str:
    """Return our name of a method that the paper names.

    Example:
        >>> method_of("F-LS"), method_of("Nash-MTL")
        ('f-mean', 'nash_mtl')
    """
    is_flat = name.startswith("F-")
    return "f-" * is_flat + NAMES[name.removeprefix("F-")]
