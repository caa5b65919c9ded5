"""Synthetic rooms: the samples, the scenes behind them, the sensor, and the folder on disk."""

import argparse
import json
from dataclasses import fields
from itertools import combinations

import numpy as np
import pytest

from flatmtl_lite.runs.rooms import CLASSES, add_arguments, files, main, render, renderer, sensor, write_rooms
from flatmtl_lite.runs.rooms.camera import FOCAL, image_plane, rotate
from flatmtl_lite.runs.rooms.groups import FORMS
from flatmtl_lite.runs.rooms.renderer import shade, view
from flatmtl_lite.runs.rooms.scene import FIRST_SOLID, build_scene
from flatmtl_lite.runs.rooms.solids import BOX, CYLINDER, ELLIPSOID, Table, bounds, box, moved
from flatmtl_lite.runs.rooms.styles import JITTER, NEUTRAL, TRAIN, VAL, Style
from flatmtl_lite.runs.rooms.textures import PATTERNS, Material

GREY = Material("plain", (0.5, 0.5, 0.5), (0.4, 0.4, 0.4))
SPLITS = ("train", "val")


@pytest.fixture(scope="module")
def scenes():
    return [build_scene(seed, style) for style in SPLITS for seed in range(40)]


@pytest.fixture(scope="module")
def samples():
    """120 small pictures: style -> list."""
    return {style: [render(seed, 48, 64, style) for seed in range(60)] for style in SPLITS}


def camera_frame(scene, vectors):
    return np.einsum("ij,j...->i...", scene.camera.axes.astype(float), vectors.astype(float))


# what a sample is -------------------------------------------------------------------------------------------


def test_a_sample_has_the_form_of_nyuv2():
    sample = render(3, 40, 60, "val")
    assert {name: (array.shape, array.dtype.name) for name, array in sample.items()} == {
        "image": ((40, 60, 3), "float32"),
        "label": ((40, 60), "int8"),
        "depth": ((40, 60, 1), "float32"),
        "normal": ((40, 60, 3), "float32"),
    }
    assert all(array.flags.c_contiguous for array in sample.values())


def test_values_are_in_their_ranges(samples):
    for sample in samples["train"] + samples["val"]:
        image, label, depth, normal = (sample[name] for name in ("image", "label", "depth", "normal"))
        assert image.min() >= 0
        assert image.max() <= 1
        assert set(np.unique(label)) <= set(range(-1, 13))
        assert np.isfinite(depth).all()
        valid = depth[..., 0] > 0
        assert depth[valid].min() > 0.4
        assert depth[valid].max() < 9
        length = np.sqrt((normal**2).sum(2))
        np.testing.assert_allclose(length[valid], 1, atol=1e-5)
        assert (normal[~valid] == 0).all()


def test_pictures_are_neither_dark_nor_bleached(samples):
    for sample in samples["train"] + samples["val"]:
        assert 0.3 < sample["image"].mean() < 0.75
        assert sample["image"].std() > 0.04


def test_the_same_seed_gives_the_same_bits_and_another_another_room():
    a, b, c = render(5), render(5), render(6)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
        assert (a[name] != c[name]).any()


def test_the_room_does_not_depend_on_the_size_of_the_picture():
    scene = build_scene(5, "train")
    small, large = view(scene, 30, 40), view(scene, 90, 120)
    # the middle one of nine pixels looks the same way
    np.testing.assert_array_equal(small.label, large.label[1::3, 1::3])
    np.testing.assert_allclose(small.depth, large.depth[1::3, 1::3], rtol=1e-4)


def test_every_class_appears_and_none_swamps_the_rest(samples):
    for style in SPLITS:
        counts = sum(np.bincount(s["label"].ravel() + 1, minlength=14) for s in samples[style])
        share = dict(zip(("undefined", *CLASSES), counts / counts.sum()))
        assert 0.01 < share["undefined"] < 0.1
        assert 0.3 < share["wall"] < 0.6
        assert 0.1 < share["floor"] < 0.3
        assert min(share.values()) > 0.003, share
        seen_in = [sum((s["label"] == k).any() for s in samples[style]) for k in range(13)]
        assert min(seen_in) >= 6, dict(zip(CLASSES, seen_in))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed=-1: give a whole number of at least 0"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"seed": True}, "seed=True"),
        ({"seed": 0, "height": 8}, "height=8: give a whole number of at least 16"),
        ({"seed": 0, "style": "test"}, "style='test': give one of 'train', 'val'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        render(**arguments)


# the scene --------------------------------------------------------------------------------------------------


def footprints(solids):
    """Corners (S, 4, 2) in the plan and limits (S, 2) in height of the bounding boxes."""
    x, z = (
        np.array([s.half[k] * np.array(signs) for s in solids])
        for k, signs in ((0, (-1, 1, 1, -1)), (2, (-1, -1, 1, 1)))
    )
    yaw = np.array([[s.yaw] for s in solids])
    plan = np.stack([np.cos(yaw) * x - np.sin(yaw) * z, np.sin(yaw) * x + np.cos(yaw) * z], 2)
    centre = np.array([s.centre for s in solids])
    half = np.array([s.half[1] for s in solids])
    return plan + centre[:, None, ::2], np.stack([centre[:, 1] - half, centre[:, 1] + half], 1)


def intersecting(solids):
    """Pairs of solids whose bounding boxes share more than 10 micrometres: by separating axes."""
    plan, height = footprints(solids)
    i, j = np.array(list(combinations(range(len(solids)), 2))).T
    apart = np.minimum(height[i, 1], height[j, 1]) - np.maximum(height[i, 0], height[j, 0]) < 1e-5
    yaw = np.array([s.yaw for s in solids])
    for angle in (yaw[i], yaw[i] + np.pi / 2, yaw[j], yaw[j] + np.pi / 2):
        axis = np.stack([np.cos(angle), np.sin(angle)], 1)[:, :, None]
        a, b = (plan[i] @ axis)[..., 0], (plan[j] @ axis)[..., 0]
        apart |= np.minimum(a.max(1), b.max(1)) - np.maximum(a.min(1), b.min(1)) < 1e-5
    return [(solids[p], solids[q]) for p, q in zip(i[~apart], j[~apart])]


def test_no_two_solids_intersect(scenes):
    for scene in scenes:
        assert intersecting(scene.solids) == []


def test_an_intersection_would_be_found():
    a = box((0, 1), (0, 1), (0, 1), 0, GREY)
    beside, above = moved([a], 1, 0)[0], moved([a], 0, 0, y=1)[0]
    (turned,) = moved([box((-0.5, 0.5), (0, 1), (-0.5, 0.5), 0, GREY)], 1.6, 0.5, np.pi / 4)
    assert intersecting([a, beside]) == intersecting([a, above]) == []
    assert len(intersecting([a, turned])) == 1
    assert len(intersecting([a, moved([a], 0.999, 0.999, y=0.999)[0]])) == 1


def test_everything_is_inside_the_room(scenes):
    for scene in scenes:
        low, high = bounds(scene.solids)
        assert (low > -1e-6).all()
        assert (high < scene.size + 1e-6).all()


def test_the_camera_stands_free_in_the_room(scenes):
    for scene in scenes:
        eye = scene.camera.position.astype(float)
        assert ((eye > 0.4) & (eye < scene.size - 0.4)).all()
        plan, _ = footprints(scene.solids)
        assert np.abs(plan - eye[::2]).max(2).min() > 0.39
        np.testing.assert_allclose(scene.camera.axes @ scene.camera.axes.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(scene.camera.axes) > 0
        assert scene.camera.axes[1, 1] < -0.8  # its down is the room's down


def test_furniture_stands_and_pictures_hang(scenes):
    picture = CLASSES.index("picture")
    for scene in scenes:
        for solid in scene.solids:
            low = solid.centre[1] - solid.half[1]
            if solid.label == picture:
                assert low > 0.8
            elif solid.label in (CLASSES.index("sofa"), CLASSES.index("bed")):
                assert low < 1.2
        resting = [s for s in scene.solids if abs(s.centre[1] - s.half[1]) < 1e-9]
        assert len(resting) >= 3


def test_the_split_holds_out_forms_paints_and_patterns():
    assert TRAIN.materials.keys() == VAL.materials.keys()
    assert TRAIN.forms.keys() == VAL.forms.keys()
    assert {f.name for f in fields(Style)} == {"materials", "forms"}
    forms = [{name for names in style.forms.values() for name in names} for style in (TRAIN, VAL)]
    assert not forms[0] & forms[1]
    assert forms[0] | forms[1] == FORMS.keys()
    patterns = [{m.pattern for ms in style.materials.values() for m in ms} for style in (TRAIN, VAL)]
    assert (patterns[0] | patterns[1]) - NEUTRAL <= PATTERNS.keys()
    assert not (patterns[0] & patterns[1]) - NEUTRAL, patterns[0] & patterns[1]


def test_no_paint_of_one_style_drifts_into_the_other():
    def paint(material):
        return np.array([material.first, material.second])

    for use in TRAIN.materials:
        nearest = min(
            (
                np.linalg.norm(paint(a) - paint(b))
                for a in TRAIN.materials[use]
                for b in VAL.materials[use]
                if a.pattern == b.pattern
            ),
            default=np.inf,
        )
        # over the six numbers of two colours the jitter has a length of about sqrt(6) of its deviation
        assert nearest > np.sqrt(6) * JITTER, use


# the view: depth, normals and labels agree ------------------------------------------------------------------


@pytest.fixture(scope="module")
def views():
    """Eight scenes, each with its exact view."""
    scenes = [build_scene(seed, style) for style in SPLITS for seed in (0, 1, 2, 3)]
    return [(scene, view(scene, 96, 128)) for scene in scenes]


def back_projected(depth):
    """Points in the camera frame, by the documented intrinsics alone."""
    height, width = depth.shape
    y, x = np.mgrid[:height, :width] + 0.5
    focal = FOCAL * width
    return np.stack([(x - width / 2) / focal * depth, (y - height / 2) / focal * depth, depth])


def test_points_of_a_face_lie_on_one_plane_with_its_normal(views):
    for scene, seen in views:
        points, normals = back_projected(seen.depth.astype(float)), camera_frame(scene, seen.normal)
        flat = scene.table.kind[seen.row] == BOX
        for row in np.unique(seen.row[flat]):
            on_row = seen.row == row
            for normal in np.unique(normals[:, on_row].round(4), axis=1).T:
                face = on_row & (np.abs(normals - normal[:, None, None]).max(0) < 1e-3)
                distance = normals[:, face].mean(1) @ points[:, face]
                assert np.ptp(distance) < 1e-3


def test_curved_surfaces_are_met_on_the_surface(views):
    for scene, seen in views:
        for kind in (CYLINDER, ELLIPSOID):
            on = scene.table.kind[seen.row] == kind
            if on.any():
                table, row = scene.table, seen.row[on]
                unit = table.to_unit(row, seen.point[:, on] - table.centre[row].T)
                radius = np.hypot(unit[0], unit[2])
                size = np.hypot(radius, unit[1]) if kind == ELLIPSOID else np.maximum(radius, np.abs(unit[1]))
                np.testing.assert_allclose(size, 1, atol=5e-3)


def test_normals_are_those_of_the_depth(views):
    """The cross product of neighbouring points, away from edges, whatever the solid."""
    for scene, seen in views:
        points, exact_normals = back_projected(seen.depth.astype(float)), camera_frame(scene, seen.normal)
        across, down = points[:, 1:-1, 2:] - points[:, 1:-1, :-2], points[:, 2:, 1:-1] - points[:, :-2, 1:-1]
        numeric = np.cross(down, across, axis=0)
        numeric /= np.sqrt((numeric**2).sum(0))
        cosine = (numeric * exact_normals[:, 1:-1, 1:-1]).sum(0)
        smooth = np.ones(cosine.shape, bool)
        for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
            neighbour = np.s_[dy : dy + 94, dx : dx + 126]
            smooth &= seen.row[neighbour] == seen.row[1:-1, 1:-1]
            smooth &= (seen.normal[(slice(None), *neighbour)] * seen.normal[:, 1:-1, 1:-1]).sum(0) > 0.95
        flat = smooth & (scene.table.kind[seen.row[1:-1, 1:-1]] == BOX)
        assert flat.mean() > 0.5
        assert cosine[flat].min() > 0.999
        assert smooth.sum() == flat.sum() or np.median(cosine[smooth & ~flat]) > 0.98


def test_normals_face_the_camera(views):
    for scene, seen in views:
        gaze = seen.point - scene.camera.position[:, None, None]
        assert ((gaze * seen.normal).sum(0) < 0).all()


def test_labels_are_those_of_what_is_there(views):
    for scene, seen in views:
        np.testing.assert_array_equal(seen.label, scene.table.label[seen.row])
        floor, ceiling = seen.label == CLASSES.index("floor"), seen.label == CLASSES.index("ceiling")
        assert np.abs(seen.point[1][floor]).max() < 1e-3
        np.testing.assert_allclose(seen.point[1][ceiling], scene.size[1], atol=1e-3)


def test_no_solid_is_nearer_than_what_a_pixel_shows(views):
    """Every solid is tried on every ray, also those that reach behind the camera."""
    for scene, seen in views:
        rays = rotate(scene.camera.axes.T, image_plane(96, 128))
        for row in range(FIRST_SOLID, len(scene.table.kind)):
            entry, leave = scene.table.cross(row, scene.camera.position, rays)
            assert not ((entry > 0) & (entry < leave) & (entry < seen.depth)).any()


def everything(corners, least, most):
    low = np.broadcast_to(least, (len(corners), 2))
    return low, np.broadcast_to(most, (len(corners), 2))


def test_bounding_rectangles_leave_nothing_out(views, monkeypatch):
    lights = [shade(scene, seen) for scene, seen in views]
    monkeypatch.setattr(renderer, "windows", everything)
    for (scene, seen), light in zip(views, lights, strict=True):
        whole = view(scene, 96, 128)
        np.testing.assert_array_equal(seen.row, whole.row)
        np.testing.assert_array_equal(seen.depth, whole.depth)
        np.testing.assert_array_equal(light, shade(scene, whole))


def inside(table, row, points, grown):
    """Which of the points (3, N) are in the solid, made larger by so many metres on every side."""
    larger = Table([moved_row(table, row, grown)])
    unit = larger.to_unit(0, points - larger.centre[0][:, None])
    radius = np.hypot(unit[0], unit[2])
    if table.kind[row] == ELLIPSOID:
        return np.hypot(radius, unit[1]) < 1
    across = radius if table.kind[row] == CYLINDER else np.maximum(np.abs(unit[0]), np.abs(unit[2]))
    return (across < 1) & (np.abs(unit[1]) < 1)


def moved_row(table, row, grown):
    yaw = np.arctan2(table.sin[row], table.cos[row])
    solid = box((0, 1), (0, 1), (0, 1), 0, GREY, int(table.kind[row]))
    half = tuple(np.maximum(table.half[row] + grown, 1e-6))
    return solid._replace(centre=tuple(table.centre[row]), half=half, yaw=yaw)


def test_a_pixel_is_in_shadow_just_where_something_stands_before_the_lamp(views):
    """Against walking along the line from the lamp in small steps."""
    for scene, seen in views:
        bright, dark = shade(scene, seen, shadows=False), shade(scene, seen)
        assert (dark <= bright).all()
        assert (dark < bright).any()
        rng = np.random.default_rng(0)
        lamp = scene.light.position.astype(float)[:, None]
        steps = np.linspace(0.002, 0.998, 1500)
        ray = seen.point - lamp[:, :, None]
        faces_the_lamp = -(seen.normal * ray).sum(0) > 0.2
        in_its_beam = (not scene.light.one_sided) | (np.tensordot(scene.light.axes[2], ray, 1) > 0.1)
        candidates = np.argwhere(faces_the_lamp & in_its_beam)
        for y, x in candidates[rng.permutation(len(candidates))[:15]]:
            point = seen.point[:, y, x].astype(float)[:, None]
            path = lamp + steps * (point - lamp)
            path = path[:, np.linalg.norm(path - point, axis=0) > 0.02]
            rows = [
                r for r in range(FIRST_SOLID, len(scene.table.kind)) if not inside(scene.table, r, lamp, 0)[0]
            ]
            changed = dark[:, y, x].sum() < bright[:, y, x].sum() * (1 - 1e-6)
            if any(inside(scene.table, r, path, -0.004).any() for r in rows):
                assert changed
            elif not any(inside(scene.table, r, path, 0.004).any() for r in rows):
                assert not changed


# the sensor -------------------------------------------------------------------------------------------------


def test_depth_noise_is_kinects_and_grows_with_the_square():
    errors, depths = [], []
    for seed in range(30):
        exact = view(build_scene(seed, "train"), 96, 128).depth
        measured = render(seed)["depth"][..., 0]
        valid = measured > 0
        errors.append((measured - exact)[valid])
        depths.append(exact[valid])
    errors, depths = np.concatenate(errors), np.concatenate(depths)
    for low, high in ((1.5, 2), (3, 3.5), (4.5, 5)):
        here = (depths > low) & (depths < high)
        expected = 0.0012 + 0.0019 * (depths[here] - 0.4) ** 2
        assert abs((errors[here] / expected).std() - 1) < 0.03
        assert abs((errors[here] / expected).mean()) < 0.03


def test_glass_and_screens_give_no_depth_but_for_patches(samples):
    tv, holes, curtains = CLASSES.index("tv"), [], 0
    for sample in samples["train"] + samples["val"]:
        lost = sample["depth"][..., 0] == 0
        assert lost.mean() < 0.4
        holes.append(lost[sample["label"] == tv])
        curtains += (sample["depth"][..., 0] > 0)[sample["label"] == CLASSES.index("window")].sum()
    assert 0.6 < np.concatenate(holes).mean() < 0.98
    assert curtains > 0


def test_a_near_thing_hides_a_strip_at_its_left():
    depth = np.full((2, 128), 4.0, np.float32)
    depth[:, 60:80] = 1.0
    lost = sensor._behind_an_edge(depth)
    # disparities 7.8 and 1.9 pixels: 5 or 6 of the far ones have no pattern
    assert set(np.flatnonzero(lost[0])) in ({*range(55, 60)}, {*range(54, 60)})


def test_annotators_leave_outlines_and_patches_open():
    for style in SPLITS:
        exact, drawn = view(build_scene(1, style), 96, 128).label, render(1, style=style)["label"]
        assert (exact >= 0).all()
        np.testing.assert_array_equal(drawn[drawn >= 0], exact[drawn >= 0])
        assert 0 < (drawn < 0).mean() < 0.2


def test_patterns_blend_between_their_two_colours():
    u, v = np.random.default_rng(0).uniform(-30, 30, (2, 5000)).astype(np.float32)
    for name, pattern in PATTERNS.items():
        mix = pattern(u, v)
        assert mix.min() >= 0, name
        assert mix.max() <= 1, name
        assert np.ptp(mix) > 0.15, name


# on disk ----------------------------------------------------------------------------------------------------

SMALL = dict(train=3, val=2, height=16, width=24, seed=4)


def content(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_a_folder_has_mtans_layout(tmp_path):
    assert write_rooms(tmp_path / "rooms", **SMALL) == {"written": 5, "kept": 0}
    names = {f"{s}/{p}/{i}.npy" for s, n in (("train", 3), ("val", 2)) for p in files.PARTS for i in range(n)}
    assert content(tmp_path / "rooms").keys() == names | {"origin.json"}
    for split, i in (("train", 2), ("val", 1)):
        for part, array in render(4 + i, 16, 24, split).items():
            np.testing.assert_array_equal(np.load(tmp_path / "rooms" / split / part / f"{i}.npy"), array)
    origin = json.loads((tmp_path / "rooms" / "origin.json").read_text())
    assert "synthetic rooms" in origin["what"]
    assert origin["command"] == (
        "python -m flatmtl_lite rooms FOLDER --train 3 --val 2 --height 16 --width 24 --seed 4"
    )
    assert str(tmp_path) not in str(origin)


def test_what_was_begun_is_completed_and_whole_files_stay(tmp_path):
    write_rooms(tmp_path, **SMALL)
    before = content(tmp_path)
    kept = (tmp_path / "val/image/0.npy").stat()
    damaged = tmp_path / "train/depth/1.npy"
    damaged.write_bytes(damaged.read_bytes()[:-7])
    (tmp_path / "val/label/1.npy").unlink()
    (tmp_path / "val/label/1.npy.part").write_bytes(b"half")
    np.save(tmp_path / "train/image/2.npy", np.zeros((8, 8, 3), np.float32))
    assert write_rooms(tmp_path, **SMALL) == {"written": 3, "kept": 2}
    assert content(tmp_path) == before
    assert (tmp_path / "val/image/0.npy").stat().st_mtime_ns == kept.st_mtime_ns


def test_more_rooms_may_be_asked_for_later(tmp_path):
    write_rooms(tmp_path, **SMALL)
    assert write_rooms(tmp_path, **{**SMALL, "val": 4}) == {"written": 2, "kept": 5}
    assert json.loads((tmp_path / "origin.json").read_text())["val"] == 4


def test_an_interrupted_file_is_never_taken_for_a_whole_one(tmp_path, monkeypatch):
    def stop(file, array, **_):
        file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files.np, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            write_rooms(tmp_path, **SMALL)
    assert not list(tmp_path.rglob("*.npy"))
    assert write_rooms(tmp_path, **SMALL) == {"written": 5, "kept": 0}
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"it holds thesis.txt.*Name a new or empty folder"):
        write_rooms(tmp_path, **SMALL)
    assert content(tmp_path) == {"thesis.txt": b"years of work"}
    with pytest.raises(FileExistsError, match="found a file"):
        write_rooms(tmp_path / "thesis.txt", **SMALL)


ORIGIN = {"train": 1, "val": 1, "height": 16, "width": 16, "seed": 0, "revision": 1}


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", "half a fi", json.dumps(ORIGIN | {"train": None}), json.dumps(ORIGIN | {"revision": "1"})],
)
def test_a_foreign_origin_is_refused(tmp_path, text):
    (tmp_path / "origin.json").write_text(text)
    with pytest.raises(FileExistsError, match=r"origin\.json does not describe synthetic rooms"):
        write_rooms(tmp_path, **SMALL)


def test_other_settings_are_refused_before_anything_changes(tmp_path):
    write_rooms(tmp_path, **SMALL)
    before = content(tmp_path)
    for name, value in (("seed", 5), ("height", 20), ("width", 30), ("train", 2)):
        with pytest.raises(FileExistsError, match=f"Got {name}={value} .* with {name}={SMALL[name]}"):
            write_rooms(tmp_path, **{**SMALL, name: value})
        assert content(tmp_path) == before


def test_files_of_the_system_do_not_make_a_folder_foreign(tmp_path):
    for name in (".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"\0")
    assert write_rooms(tmp_path, **SMALL)["kept"] == 0
    assert write_rooms(tmp_path, **SMALL)["written"] == 0
    assert (tmp_path / ".DS_Store").read_bytes() == b"\0"


def test_real_nyuv2_is_refused(tmp_path):
    (tmp_path / "train" / "image").mkdir(parents=True)
    (tmp_path / "train" / "image" / "0.npy").write_bytes(b"")
    with pytest.raises(FileExistsError, match="holds train, and is not a folder of synthetic rooms"):
        write_rooms(tmp_path, **SMALL)


def test_bad_numbers_make_no_folder(tmp_path):
    for change in ({"train": -1}, {"height": 4}, {"val": 2.0}):
        with pytest.raises(ValueError, match="give a whole number of at least"):
            write_rooms(tmp_path / "new", **{**SMALL, **change})
        assert not (tmp_path / "new").exists()


def test_the_command_line_says_what_it_did(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = f"{tmp_path / 'rooms'} --train 1 --val 1 --height 16 --width 16".split()
    for message in ("2 written, 0 kept", "0 written, 2 kept"):
        main(parser.parse_args(words))
        assert f"synthetic rooms in {tmp_path / 'rooms'}: {message}" in capsys.readouterr().out
