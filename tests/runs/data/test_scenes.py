"""Scenes: the files are read as they are, or refused by name; augmentation keeps what it should."""

import threading
import time

import numpy as np
import pytest
import torch

from flatmtl_lite.runs import Augmented, Scenes, scene_batches
from flatmtl_lite.runs.data.scenes import CLASSES, PARTS, SCALES, augment

SIZE = (12, 18)


def arrays(size=SIZE, seed=0):
    """One scene as it lies on disk: channels last, unknown pixels marked."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(*size, 3))
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    normal[2:4, 3] = 0
    depth = rng.uniform(0.5, 9, (*size, 1))
    depth[5, 5:9] = 0
    return {
        "image": rng.random((*size, 3)),
        "label": rng.integers(-1, len(CLASSES), size),
        "depth": depth,
        "normal": normal,
    }


def write(folder, count=5, dtype=np.float32, label_dtype=np.int64):
    for part in PARTS:
        (folder / part).mkdir(parents=True)
    for i in range(count):
        for part, values in arrays(seed=i).items():
            np.save(folder / part / f"{i}.npy", values.astype(label_dtype if part == "label" else dtype))


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "train")
    return tmp_path


@pytest.mark.parametrize(
    ("dtype", "label_dtype"),
    [(np.float16, np.int64), (np.float32, np.int8), (np.float64, np.float32), (">f4", np.float16)],
)
def test_any_float_type_is_read(tmp_path, dtype, label_dtype):
    write(tmp_path / "val", 2, dtype, label_dtype)
    scenes = Scenes(str(tmp_path), "val")
    assert len(scenes) == 2
    assert scenes.size == SIZE
    scene, stored = scenes[1], arrays(seed=1)
    types = {part: (tuple(values.shape), values.dtype) for part, values in scene.items()}
    assert types == {
        "image": ((3, *SIZE), torch.float32),
        "label": (SIZE, torch.int64),
        "depth": ((1, *SIZE), torch.float32),
        "normal": ((3, *SIZE), torch.float32),
    }
    assert np.array_equal(scene["label"], stored["label"])
    for part in ("image", "depth", "normal"):
        expected = np.moveaxis(stored[part].astype(dtype).astype(np.float32), -1, 0)
        assert np.array_equal(scene[part], expected)
        assert scene[part].is_contiguous()


def test_scenes_can_be_walked_through(root):
    scenes = Scenes(root)
    assert len(list(scenes)) == 5
    assert torch.equal(scenes[torch.tensor(3)]["image"], scenes[3]["image"])
    with pytest.raises(IndexError, match="0 to 4"):
        scenes[-1]


def test_a_missing_folder_is_named(root):
    with pytest.raises(ValueError, match="test"):
        Scenes(root, "test")
    with pytest.raises(FileNotFoundError, match="val"):
        Scenes(root, "val")
    with pytest.raises(FileNotFoundError, match="holds train and val"):
        Scenes(root / "train")


def test_gaps_and_missing_files_are_named(root):
    (root / "train" / "depth" / "4.npy").unlink()
    with pytest.raises(ValueError, match="'depth': 4"):
        Scenes(root)
    (root / "train" / "normal" / "1.npy").rename(root / "train" / "normal" / "7.npy")
    with pytest.raises(ValueError, match=r"normal without 1\.npy"):
        Scenes(root)


def brightness(scale):
    return arrays()["image"] * scale


def broken(part, value):
    values = arrays()[part].astype(np.float64)
    values[3, 3] = value
    return values


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("image", brightness(255).astype(np.uint8), "Divide 0..255 by 255"),
        ("image", np.moveaxis(arrays()["image"], -1, 0), "shape"),
        ("image", arrays()["image"].astype(str), "<U"),
        ("label", broken("label", 13), "-1 to 12"),
        ("label", broken("label", np.nan), "nan"),
        ("label", broken("label", 2.5), "whole"),
        ("depth", broken("depth", -1), "-1"),
        ("depth", broken("depth", np.inf), "inf"),
        ("normal", broken("normal", 1.2), "1.2"),
    ],
)
def test_a_wrong_file_names_itself_when_it_is_read(root, part, values, message):
    file = root / "train" / part / "2.npy"
    np.save(file, values)
    scenes = Scenes(root)
    with pytest.raises(ValueError, match=message) as refused:
        scenes[2]
    assert str(file) in str(refused.value)
    assert scenes[1]
    file.rename(file.with_name("0.npy"))
    np.save(file, arrays()[part])
    with pytest.raises(ValueError, match=message):  # the first scene is looked at before any training
        Scenes(root)


def test_a_first_label_of_a_wrong_shape_is_named(root):
    np.save(root / "train" / "label" / "0.npy", arrays()["label"][..., None])
    with pytest.raises(ValueError, match=r"expected \(H, W\)"):
        Scenes(root)


class Harmful:
    def __reduce__(self):
        return (pytest.fail, ("a file from disk was unpickled",))


@pytest.mark.parametrize("damage", ["empty", "cut", "pickled", "zipped"])
def test_a_damaged_file_names_itself(root, damage):
    file = root / "train" / "normal" / "2.npy"
    whole = file.read_bytes()
    if damage == "pickled":
        np.save(file, np.array([Harmful()], dtype=object), allow_pickle=True)
    elif damage == "zipped":
        with file.open("wb") as opened:
            np.savez(opened, arrays()["normal"])
    else:
        file.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
    with pytest.raises(ValueError, match=r"normal.2\.npy, which cannot be read"):
        Scenes(root)[2]


def scene_of(seed=0, size=SIZE):
    stored = {part: torch.from_numpy(values) for part, values in arrays(size, seed).items()}
    moved = {part: stored[part].movedim(-1, 0).float() for part in ("image", "depth", "normal")}
    return {**moved, "label": stored["label"]}


def test_a_flip_mirrors_everything_and_turns_x_round():
    scene = scene_of()
    flipped = augment(scene, 1.0, 0.3, 0.3, flip=True)
    assert torch.equal(flipped["normal"][0], -scene["normal"][0].flip(-1))
    assert torch.equal(flipped["normal"][1:], scene["normal"][1:].flip(-1))
    for part in ("image", "label", "depth"):
        assert torch.equal(flipped[part], scene[part].flip(-1))
    again = augment(flipped, 1.0, 0.9, 0.9, flip=True)
    assert all(torch.equal(again[part], scene[part]) for part in PARTS)


@pytest.mark.parametrize("scale", SCALES[1:])
def test_a_zoom_keeps_marks_types_and_lengths(scale):
    scene = scene_of()
    near = augment(scene, scale, 0.5, 0.2, flip=False)
    for part in PARTS:
        assert near[part].shape == scene[part].shape
        assert near[part].dtype == scene[part].dtype
    assert set(near["label"].unique().tolist()) <= set(scene["label"].unique().tolist())
    nearer_depths = (scene["depth"] / scale).unique()
    assert all(value in nearer_depths for value in near["depth"].unique())
    lengths = near["normal"].norm(dim=0)
    known = lengths > 0.5
    torch.testing.assert_close(lengths[known], torch.ones(int(known.sum())))
    assert (lengths[~known] == 0).all()
    assert 0 < (~known).sum() < known.sum()
    assert 0 < (near["depth"] == 0).sum() < (near["depth"] > 0).sum()


def test_a_zoom_of_two_is_the_crop_with_every_pixel_doubled():
    scene = scene_of()
    near = augment(scene, 2.0, 0.999, 0.0, flip=False)  # bottom left
    rows, columns = slice(6, 12), slice(0, 9)
    for part, factor in (("label", 1), ("depth", 2)):
        crop = scene[part][..., rows, columns]
        doubled = crop.repeat_interleave(2, -1).repeat_interleave(2, -2)
        assert torch.equal(near[part] * factor, doubled)
    # half-pixel centres: image and labels stay on top of one another
    inner = near["image"].unflatten(-1, (9, 2)).unflatten(-3, (6, 2)).mean((-1, -3))
    crop = scene["image"][..., rows, columns]
    assert (inner - crop).abs()[:, 1:-1, 1:-1].mean() < 0.5 * (inner - crop.flip(-1)).abs().mean()


def test_a_zoomed_pixel_takes_the_label_in_its_middle():
    scene = scene_of()
    near = augment(scene, 1.5, 0.0, 0.0, flip=False)
    rows, columns = (((torch.arange(n) + 0.5) / 1.5).long() for n in SIZE)
    assert torch.equal(near["label"], scene["label"][rows][:, columns])


def test_the_crop_reaches_every_edge():
    ramp = {**scene_of(), "image": torch.arange(18.0).expand(3, 12, 18) / 17}
    left, right = (augment(ramp, 1.5, 0.0, place, False)["image"] for place in (0.0, 0.999))
    assert left.min() == 0
    assert right.max() == 1
    assert left.max() < 0.7 < 0.9 < right.max()


def test_a_scene_depends_on_seed_epoch_and_index_alone(root):
    scenes = Scenes(root)

    def image(i, seed=3, epoch=7):
        torch.rand(5)  # the state of torch's generator means nothing
        return Augmented(scenes, seed, epoch)[i]["image"]

    assert len(Augmented(scenes, 3, 7)) == 5
    first = Augmented(scenes, 3, 7)
    order = [first[i]["image"] for i in (4, 0, 2)]
    assert all(
        torch.equal(image(i), expected_image) for i, expected_image in zip((4, 0, 2), order, strict=True)
    )
    stay = [torch.equal(image(i, epoch=e), image(i)) for i in range(5) for e in range(8, 14)]
    assert sum(stay) < len(stay) / 2
    assert any(not torch.equal(image(i, seed=4), image(i)) for i in range(5))


def test_scales_and_flips_are_drawn_evenly():
    scene = {
        "image": torch.rand(3, 6, 6),
        "label": torch.zeros(6, 6, dtype=torch.long),
        "depth": torch.full((1, 6, 6), 3.0),
        "normal": torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1).expand(3, 6, 6),
    }
    n = 1500
    augmented = Augmented([scene] * n, seed=0, epoch=0)
    seen = [augmented[i] for i in range(n)]
    depths = torch.stack([scene["depth"][0, 0, 0] for scene in seen])
    for scale in SCALES:
        assert (depths - 3 / scale).abs().lt(1e-6).float().mean() == pytest.approx(1 / 3, abs=0.05)
    assert sum(scene["normal"][0, 0, 0] < 0 for scene in seen) / n == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("ahead", [0, 2, 9])
def test_batches_come_in_order_whatever_is_made_ahead(root, ahead):
    scenes = Augmented(Scenes(root), 1, 2)
    lists = torch.tensor([4, 0, 2, 1, 3, 0, 1]).split(2)
    batches = list(scene_batches(scenes, lists, ahead=ahead))
    assert [len(batch["label"]) for batch in batches] == [2, 2, 2, 1]
    for indices, batch in zip(lists, batches, strict=True):
        for k, i in enumerate(indices.tolist()):
            assert all(torch.equal(batch[part][k], scenes[i][part]) for part in PARTS)
    rest = list(scene_batches(scenes, lists[2:], ahead=ahead))
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(rest, batches[2:], strict=True))


def test_batches_draw_nothing_from_the_generators(root):
    before = torch.get_rng_state()
    list(scene_batches(Augmented(Scenes(root), 0, 0), torch.arange(5).split(2)))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_damaged_file_stops_the_batches_at_its_place(root):
    scenes = Scenes(root)
    (root / "train" / "image" / "3.npy").write_bytes(b"")
    batches = scene_batches(scenes, torch.arange(5).split(1))
    assert [len(next(batches)["label"]) for _ in range(3)] == [1, 1, 1]
    with pytest.raises(ValueError, match=r"3\.npy"):
        next(batches)


def test_batches_go_to_a_gpu_from_pinned_memory_without_waiting(root, monkeypatch):
    pinned, sent = [], []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *where, **how: sent.append((where, how)) or self)
    batches = list(scene_batches(Scenes(root), torch.arange(4).split(2), device="cuda:0"))
    assert len(pinned) == len(batches) * len(PARTS)
    assert sent == [(("cuda:0",), {"non_blocking": True})] * len(pinned)


def test_leaving_early_leaves_no_thread(root):
    before = threading.active_count()
    batches = scene_batches(Scenes(root), torch.arange(5).split(1))
    next(batches)
    assert threading.active_count() == before + 1
    batches.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
