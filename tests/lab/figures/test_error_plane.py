"""The error plane: fronts as lines in their order, methods as dots, chosen names next to them."""

from flatmtl_lite import lab

FRONTS = {"LS": {"0:100": (60.0, 40.0), "50:50": (45.0, 44.0), "100:0": (42.0, 60.0)}}
METHODS = {"F-LS": (30.0, 34.0), "SAM on the mean loss": (29.0, 33.5), "MGDA": (44.0, 46.0)}


def test_every_method_is_a_dot_and_the_chosen_ones_are_named():
    figure = lab.figures.error_plane(FRONTS, METHODS, ["F-LS", "MGDA"], ["digit", "garment"])
    front, *rest = figure.data
    dots = [trace for trace in rest if trace.x[0] is not None]
    assert (list(front.x), list(front.y)) == ([60, 45, 42], [40, 44, 60])
    assert "weights %{customdata}" in front.hovertemplate
    assert list(front.customdata) == ["0:100", "50:50", "100:0"]
    assert list(front.text) == ["", "50:50", ""]
    assert {dot.name: (dot.x[0], dot.y[0]) for dot in dots} == METHODS
    assert len({(dot.marker.color, dot.marker.symbol) for dot in dots}) == 3
    notes = {note.text: (note.x, note.y) for note in figure.layout.annotations}
    assert notes == {"F-LS": (30, 34), "MGDA": (44, 46), "<b>fixed weights, LS</b>": (45, 44)}
    assert [t.name for t in figure.data if t.showlegend is not False] == [
        *("fixed weights, LS", "F-method", "direct", "SAM on the mean loss", "other methods"),
    ]
    for axis, errors in zip((figure.layout.xaxis, figure.layout.yaxis), zip(*METHODS.values()), strict=True):
        assert axis.range[0] < min(errors)
        assert max(errors) < axis.range[1] < 60  # the front goes on beyond
    assert figure.layout.xaxis.title.text == "test error of digit, %"
