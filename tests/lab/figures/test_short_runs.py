"""Figures of the short runs of a notebook."""

from flatmtl_lite.lab.figures import basic, short_runs

EPOCHS = {"LS": [{"epoch": e, "test": [50.0, 60.0], "train": [70.0, 80.0]} for e in (1, 4)]}
STEPS = {"F-LS": [{"epoch": k / 10, "loss": [0.1 - k / 50], "flat": [-0.2], "same": 0.99} for k in range(10)]}


def test_figures_hold_their_values():
    curves = short_runs.accuracy_curves(EPOCHS, ("digit", "garment"))
    assert [list(trace.y) for trace in curves.data] == [[50, 50], [60, 60], [70, 70], [80, 80]]
    angles = short_runs.angle_curves(STEPS, bins=2)
    assert list(angles.data[0].y) == [0.06, -0.04]
    assert list(angles.data[1].y) == [0.0, 0.8]  # of 0, -.02, -.04, ... the first is not a conflict
    assert list(angles.data[2].y) == [1.0, 1.0]
    agreement = short_runs.agreement_histogram(STEPS)
    assert list(agreement.data[0].x) == [0.99] * 10
    sharpness = {"LS": [0.06, 0.07], "direct CAGrad": [0.01, 0.02]}
    bars = short_runs.sharpness_bars(sharpness, ("digit", "garment"))
    assert [list(trace.y) for trace in bars.data] == [[0.06, 0.01], [0.07, 0.02]]
    assert bars.data[0].x == ("LS", "direct<br>CAGrad")


def test_long_names_take_several_lines():
    names = basic.wrapped(["LS, early stopping", "SAM on the mean loss", "F-Nash-MTL"])
    assert names == ["LS, early<br>stopping", "SAM on<br>the mean<br>loss", "F-Nash-MTL"]


def test_figures_draw_a_run_without_flat_parts():
    steps = {"LS": [{"epoch": 0.5, "loss": [0.2]}]}
    assert [len(trace.x or ()) for trace in short_runs.angle_curves(steps).data] == [1, 1, 0]


def test_conflict_thirds_draws_every_kind_of_every_method():
    thirds = {"loss parts": [0.1, 0.2, 0.3], "within task 2": [0.9, 0.5, 0.0]}
    figure = short_runs.conflict_thirds({"LS": thirds, "F-LS": thirds})
    assert [trace.name for trace in figure.data] == ["loss parts", "within task 2"] * 2
    assert [list(trace.y) for trace in figure.data] == [*thirds.values(), *thirds.values()]
    assert [trace.showlegend for trace in figure.data] == [True, True, False, False]
    assert [note.text for note in figure.layout.annotations] == ["LS", "F-LS"]
