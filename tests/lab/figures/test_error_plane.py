"""The error plane: fronts as lines in their order, methods as dots, chosen names next to them."""

from flatmtl_lite import lab

FRONTS = {"LS": {"0:100": (60.0, 40.0), "50:50": (45.0, 44.0), "100:0": (42.0, 60.0)}}
METHODS = {"F-LS": (30.0, 34.0), "SAM on the mean loss": (29.0, 33.5), "MGDA": (44.0, 46.0)}


def test_every_method_is_a_dot_and_the_chosen_ones_are_named():
    figure = lab.figures.error_plane(FRONTS, METHODS, ["F-LS", "MGDA"], ["digit", "garment"])
    front, *families = figure.data
    assert (list(front.x), list(front.y)) == ([60, 45, 42], [40, 44, 60])
    assert "weights %{customdata}" in front.hovertemplate
    assert list(front.customdata) == ["0:100", "50:50", "100:0"]
    assert list(front.text) == ["", "50:50", ""]
    found = [zip(family.customdata, family.x, family.y, strict=True) for family in families]
    assert {name: (x, y) for family in found for name, x, y in family} == METHODS
    assert [family.name for family in families] == ["F-method", "SAM on the mean loss", "other methods"]
    assert len({(family.marker.color, family.marker.symbol) for family in families}) == 3
    assert all("%{customdata}" in family.hovertemplate for family in families)
    notes = {note.text: (note.x, note.y) for note in figure.layout.annotations}
    assert notes == {"F-LS": (30, 34), "MGDA": (44, 46), "<b>fixed weights, LS</b>": (45, 44)}
    assert front.name == "fixed weights, LS"
    for axis, errors in zip((figure.layout.xaxis, figure.layout.yaxis), zip(*METHODS.values()), strict=True):
        assert axis.range[0] < min(errors)
        assert max(errors) < axis.range[1] < 60  # the front goes on beyond
    assert figure.layout.xaxis.title.text == "test error of digit, %"
