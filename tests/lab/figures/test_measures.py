"""Figures of several measures of flatness."""

from flatmtl_lite import lab


def test_the_figures_of_the_measures():
    runs = {"LS": [1.0, 2.0], "F-LS": [0.1, 0.2]}
    dots = lab.figures.measure_dots({"a": runs, "b": runs}, {"LS": [55.0, 56.0], "F-LS": [70.0, 71.0]})
    assert [tuple(trace.y) for trace in dots.data] == [(55, 56), (70, 71)] * 2
    curves = lab.figures.radius_curves({"plain": ([0.1, 0.2], runs)})
    assert [tuple(trace.y) for trace in curves.data] == [(1, 2), (0.1, 0.2)]
