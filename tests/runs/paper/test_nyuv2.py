"""The published figures of NYUv2 are consistent, but for one misprint."""

import pytest

from flatmtl_lite.runs import HIGHER_IS_BETTER, NYUV2_STL
from flatmtl_lite.runs.paper.nyuv2 import NYUV2


def test_delta_m_is_the_printed_one():
    for name, row in NYUV2.items():
        away = abs(row.delta_m - row.printed)
        assert away < 0.02 or (name, round(row.delta_m, 2)) == ("IMTL", -0.60), name
        assert row.delta_m == pytest.approx(sum(row.changes.values()) / 9)


def test_a_row_has_the_units_of_its_base():
    assert NYUV2["F-CAGrad"].values == pytest.approx(
        dict(
            zip(
                HIGHER_IS_BETTER,
                (0.4093, 0.6668, 0.5285, 0.2162, 25.43, 20.39, 0.2799, 0.5482, 0.6756),
                strict=True,
            )
        )
    )
    for row in NYUV2.values():
        assert all(0.5 < row.values[name] / NYUV2_STL[name] < 2 for name in NYUV2_STL)


def test_where_a_row_stands():
    assert {name for name, row in NYUV2.items() if row.source == "Table 7"} == {"F-STL", "F-LS"}
    assert len(NYUV2) == 17
