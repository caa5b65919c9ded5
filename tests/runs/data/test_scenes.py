"""Scenes: the files are read as they are, or refused by name; augmentation keeps what it should."""

import multiprocessing
import threading
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from flatmtl_lite.runs import Augmented, Scenes, scene_batches
from flatmtl_lite.runs.data.scene_files import PARTS
from flatmtl_lite.runs.data.scenes import SCALES, augment
from flatmtl_lite.runs.rooms import CLASSES

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


def labels(value, dtype=np.int16):
    """Labels in which an undefined pixel is written as ``value``."""
    values = arrays()["label"]
    return np.where(values < 0, value, values).astype(dtype)


def scaled(part, factor):
    return (arrays()[part] * factor).astype(np.float32)


LENGTH = r"length {} to {}, median {}; expected length 1.*Divide each normal by its length"


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("image", brightness(255).astype(np.uint8), "Divide 0..255 by 255"),
        ("image", brightness(255), "Divide 0..255 by 255"),
        ("image", (brightness(1) - 0.45) / 0.22, "Undo its normalisation"),
        ("image", broken("image", np.nan), "nan.*Copy or make the file again"),
        ("image", np.moveaxis(arrays()["image"], -1, 0), r"\(3, 12, 18\).*channels last.*np.moveaxis"),
        ("image", arrays()["image"][..., 0], r"shape \(12, 18\).*np.repeat"),
        ("image", np.ones((*SIZE, 4)), r"\(12, 18, 4\).*Leave out the fourth channel"),
        ("image", arrays((24, 36))["image"], r"\(24, 36, 3\).*expected \(12, 18, 3\).*to one size"),
        ("image", arrays()["image"].astype(str), "<U"),
        ("label", broken("label", 13), r"label 13; .*-1 \(undefined\) to 12.*subtract 1"),
        ("label", arrays()["label"] + 1, r"label 13; .*subtract 1"),
        ("label", labels(255), r"label 255; .*255 -> -1"),
        ("label", labels(255, np.uint8), r"label 255; .*255 -> -1"),
        ("label", labels(-100), r"label -100; .*-100 -> -1"),
        ("label", labels(65535, np.int32), r"label 65535; .*65535 -> -1"),
        ("label", labels(37), r"label 37; .*Map NYU's 40 classes to these 13"),
        (
            "label",
            np.where(arrays()["label"] == 0, 13, labels(255)),
            r"labels 13, 255; .*255 -> -1.*subtract 1",
        ),
        (
            "label",
            np.arange(12 * 18).reshape(SIZE),
            r"labels 13, 14, 15, 16, 17, ...; .* Map the classes of the file to these 13",
        ),
        ("label", broken("label", np.nan), "nan"),
        ("label", broken("label", 2.5), r"label 2\.5; expected whole.*resize labels without interpolation"),
        ("label", arrays()["label"][..., None], r"\(12, 18, 1\).*np.squeeze"),
        ("label", arrays()["label"][None], r"\(1, 12, 18\).*np.squeeze"),
        ("depth", broken("depth", -1), "-1.*Write unknown depth as 0"),
        ("depth", broken("depth", np.inf), "inf.*Write unknown depth as 0"),
        ("depth", broken("depth", np.nan), "nan.*Write unknown depth as 0"),
        ("depth", scaled("depth", 1000), "divide millimetres by 1000"),
        ("depth", scaled("depth", 1000).astype(np.uint16), "Divide millimetres by 1000"),
        ("depth", (scaled("depth", 1000) / 100).astype(np.int32), "type int32; expected metres.*1000"),
        ("depth", arrays()["depth"][..., 0], r"\(12, 18\); expected \(12, 18, 1\).*x\[..., None\]"),
        ("depth", np.moveaxis(arrays()["depth"], -1, 0), r"\(1, 12, 18\).*channels last.*np.moveaxis"),
        ("normal", broken("normal", 1.2), "1.2.*Divide each normal by its length"),
        ("normal", broken("normal", np.nan), "nan.*unknown normal as three zeros"),
        ("normal", scaled("normal", 2), "Divide each normal by its length"),
        ("normal", scaled("normal", 0.5), LENGTH.format(0.5, 0.5, 0.5)),
        ("normal", scaled("normal", 0.9), LENGTH.format(0.9, 0.9, 0.9)),
        ("normal", np.full((*SIZE, 3), 0.9), LENGTH.format(1.56, 1.56, 1.56)),
        ("normal", broken("normal", 0.7), LENGTH.format("1", 1.21, "1")),
        ("normal", (arrays()["normal"] + 1) / 2, "If they are coded as 0..1, take 2 x - 1 first"),
        ("normal", ((arrays()["normal"] + 1) * 127.5).astype(np.uint8), r"Undo the coding as an image"),
        ("normal", (arrays()["normal"] + 1) * 127.5, r"Undo the coding as an image: x / 127\.5 - 1"),
        ("normal", np.moveaxis(arrays()["normal"], -1, 0), r"\(3, 12, 18\).*channels last.*np.moveaxis"),
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
    with pytest.raises(ValueError) as refused:  # the first scene is looked at before any training
        Scenes(root)
    assert str(file.with_name("0.npy")) in str(refused.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (arrays()["label"][..., None], r"shape \(12, 18, 1\); expected \(H, W\).*np.squeeze"),
        (arrays()["label"][None], r"shape \(1, 12, 18\); expected \(H, W\).*np.squeeze"),
        (np.zeros((*SIZE, 13)), r"shape \(12, 18, 13\); expected \(H, W\)"),
        (np.zeros((0, 18)), r"shape \(0, 18\); expected \(H, W\)"),
        (np.zeros(()), r"shape \(\); expected \(H, W\)"),
    ],
)
def test_a_first_label_of_a_wrong_shape_is_named(root, values, message):
    np.save(root / "train" / "label" / "0.npy", values)
    with pytest.raises(ValueError, match=message):
        Scenes(root)


def test_a_minority_of_short_normals_is_read_as_it_is(root):
    """Where an image was resized across an edge, a normal is shorter than 1."""
    values = arrays()["normal"].astype(np.float32)
    values[:5] *= 0.6
    np.save(root / "train" / "normal" / "0.npy", values)
    assert np.array_equal(Scenes(root)[0]["normal"], np.moveaxis(values, -1, 0))


def test_a_scene_without_any_normal_is_read(root):
    np.save(root / "train" / "normal" / "0.npy", np.zeros((*SIZE, 3)))
    assert Scenes(root)[0]["normal"].eq(0).all()


def test_files_of_the_system_are_ignored(root):
    for part in PARTS:
        for name in ("._0.npy", ".DS_Store", "Thumbs.db"):
            (root / "train" / part / name).write_bytes(b"\0\5\x16\7")
    assert len(Scenes(root)) == 5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0 (1).npy", r"0 \(1\)\.npy; expected nothing but 0\.npy, 1\.npy, \.\.\. It looks like a copy"),
        ("0 copy.npy", r"0 copy\.npy; .* It looks like a copy"),
        ("mean.npy", r"mean\.npy; .* remove it, or move it"),
        ("0005.npy", r"0005\.npy; .* Rename all files, this one to 5\.npy"),
        ("5².npy", "looks like a copy"),
    ],
)
def test_a_file_of_another_name_is_named_with_what_to_do(root, name, message):
    np.save(root / "train" / "image" / name, arrays()["image"])
    with pytest.raises(ValueError, match=message) as refused:
        Scenes(root)
    assert str(root / "train" / "image" / name) in str(refused.value)


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


@pytest.mark.parametrize("threads", [1, 2])
def test_no_bit_of_a_batch_depends_on_the_number_of_workers(root, threads):
    scenes = Augmented(Scenes(root), 1, 2)
    lists = torch.tensor([4, 0, 2, 1, 3, 0, 1, 4, 2]).split(2)
    torch.set_num_threads(threads)
    try:
        expected = list(scene_batches(scenes, lists))
        for workers in (1, 2, 3):
            batches = list(scene_batches(scenes, lists, workers=workers))
            assert len(batches) == len(expected)
            for one, other in zip(batches, expected, strict=True):
                assert all(torch.equal(one[part], other[part]) for part in PARTS)
                assert one["image"].stride() == other["image"].stride()
    finally:
        torch.set_num_threads(1)


def test_the_layout_of_the_images_is_chosen(root):
    for layout in (torch.channels_last, torch.contiguous_format):
        [batch] = scene_batches(Scenes(root), torch.arange(2).split(2), layout=layout)
        assert batch["image"].is_contiguous(memory_format=layout)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_draw_nothing_from_the_generators(root, workers):
    before = torch.get_rng_state()
    list(scene_batches(Augmented(Scenes(root), 0, 0), torch.arange(5).split(2), workers=workers))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_file_stops_the_batches_at_its_place(root, workers):
    scenes = Scenes(root)
    (root / "train" / "image" / "3.npy").write_bytes(b"")
    batches = scene_batches(scenes, torch.arange(5).split(1), workers=workers)
    assert [len(next(batches)["label"]) for _ in range(3)] == [1, 1, 1]
    with pytest.raises(ValueError, match=r"^[^\n]*3\.npy[^\n]*$"):
        next(batches)


def test_leaving_early_leaves_no_process(root):
    batches = scene_batches(Scenes(root), torch.arange(5).split(1), workers=2)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert not multiprocessing.active_children()


def test_processes_hand_a_gpu_pinned_batches(root, monkeypatch):
    made = []

    class Loader(DataLoader):
        def __init__(self, *arguments, **options):
            made.append(options)
            super().__init__(*arguments, **options | {"pin_memory": False})

    monkeypatch.setattr("flatmtl_lite.runs.data.scenes.DataLoader", Loader)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *where, **how: self)
    list(scene_batches(Scenes(root), torch.arange(4).split(2), device="cuda:0", workers=1))
    assert (made[0]["pin_memory"], made[0]["prefetch_factor"], made[0]["num_workers"]) == (True, 2, 1)


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
