"""Figures of scenes draw the numbers that they are given."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from flatmtl_lite.lab.figures import scenes
from flatmtl_lite.runs import rooms

SAMPLE = rooms.render(3, height=24, width=32)


def test_scene_panels_show_image_classes_normals_and_depth():
    figure = scenes.scene_panels(SAMPLE, rooms.CLASSES)
    kinds = [trace.type for trace in figure.data if trace.type != "scatter"]
    assert kinds == ["image", "image", "heatmap", "heatmap"]
    label, depth = (trace.z for trace in figure.data if trace.type == "heatmap")
    assert np.array_equal(label, SAMPLE["label"])
    holes = SAMPLE["depth"][..., 0] == 0
    assert holes.any()
    assert np.array_equal(np.isnan(depth), holes)
    assert np.array_equal(depth[~holes], SAMPLE["depth"][..., 0][~holes])


def test_scene_panels_name_the_classes_that_are_there():
    figure = scenes.scene_panels(SAMPLE, rooms.CLASSES)
    legend = [trace.name for trace in figure.data if trace.type == "scatter"]
    found = np.unique(SAMPLE["label"])
    assert legend == ["unknown (-1)" if k < 0 else f"{k} {rooms.CLASSES[k]}" for k in found]
    written = {note.text for note in figure.layout.annotations}
    shares = {rooms.CLASSES[k]: (SAMPLE["label"] == k).mean() for k in found if k >= 0}
    assert {name for name, share in shares.items() if share >= scenes.NAMED} == written & set(rooms.CLASSES)


def test_the_classes_have_colours_of_their_own():
    assert len({scenes.UNKNOWN, *scenes.CLASS_COLORS}) == 14
    with pytest.raises(ValueError, match="Got 2 classes; expected the 13 of NYUv2"):
        scenes.scene_panels(SAMPLE, ["bed", "books"])


def test_unknown_normals_are_white_and_a_floor_is_purple():
    floor = {**SAMPLE, "normal": np.zeros((24, 32, 3), np.float32)}
    floor["normal"][12:] = 0, -1, 0
    figure = scenes.scene_panels(floor, rooms.CLASSES)
    drawn = [trace.source for trace in figure.data if trace.type == "image"][1]
    pixels = _decoded(drawn)
    assert (pixels[:12] == 255).all()
    assert (pixels[12:] == (128, 0, 128)).all()


def _decoded(source: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).convert("RGB"))


def test_metric_changes_are_drawn_with_their_means():
    changes = {"X": {"one": 1.0, "two": 3.0}, "F-X": {"one": -2.0, "two": 0.0}, "Y": {"one": 4.0, "two": 4.0}}
    figure = scenes.metric_changes(changes, "Δm, %")
    plain, flat, table = figure.data
    assert (list(plain.text), list(plain.x), list(plain.y)) == (["X", "Y"], [2.0, 4.0], [0, 2])
    assert (list(flat.text), list(flat.x), list(flat.y)) == (["F-X"], [-1.0], [1])
    assert [list(row) for row in table.z] == [[1, 3], [-2, 0], [4, 4]]
    assert list(figure.layout.yaxis.ticktext) == ["X", "F-X", "Y"]
    (arrow,) = figure.layout.annotations
    assert (arrow.ax, arrow.ay, arrow.x, arrow.y) == (2.0, 0, -1.0, 1)


def test_rule_dots_join_what_belongs_to_one_seed():
    mean, mgda = {"erm": [1.0, 2.0], "direct": [0.5, 1.5]}, {"erm": [3.0, 5.0], "direct": [4.0, 4.0]}
    figure = scenes.rule_dots({"mean": mean, "mgda": mgda}, "Δm, %")
    joined = [list(trace.x) for trace in figure.data if trace.mode == "lines"]
    assert joined == [[1.0, 0.5], [2.0, 1.5], [3.0, 4.0], [5.0, 4.0]]
    dots = [(trace.name, list(trace.x)) for trace in figure.data if trace.mode == "markers"]
    assert dots[:4] == [("erm", [1.5]), ("erm", [1.0, 2.0]), ("direct", [1.0]), ("direct", [0.5, 1.5])]
    assert [trace.name for trace in figure.data if trace.showlegend is not False] == ["erm", "direct"]
