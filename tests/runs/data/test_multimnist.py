"""Multi-MNIST: pairs, label noise, splits, variants and tasks."""

import hashlib
import itertools
import os

import pytest
import torch

from flatmtl_lite.runs.data import sources
from flatmtl_lite.runs.data.multimnist import VARIANTS, fashion_and_mnist, multi_mnist, task_names
from flatmtl_lite.runs.data.pairs import pairs, with_label_noise
from flatmtl_lite.runs.data.sources import load_source

USER_FOLDER = os.environ.get("FLATMTL_DATA")
SPLITS = ("train", "val", "test")


@pytest.fixture(autouse=True)
def only_the_sample(tmp_path, monkeypatch):
    """No named folder and an empty cache, whatever this machine has."""
    monkeypatch.delenv("FLATMTL_DATA", raising=False)
    monkeypatch.setattr(sources.pooch, "os_cache", lambda project: tmp_path)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(size: int, value: int = 255) -> tuple[torch.Tensor, torch.Tensor]:
    """Full squares of one value; the label is the image's number, so that uses can be counted."""
    return torch.full((size, 28, 28), value, dtype=torch.uint8), torch.arange(size)


def corners(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First and last (row, column) with ink on each canvas."""
    rows, columns = (images > 0).any(2).int(), (images > 0).any(1).int()
    first = torch.stack([rows.argmax(1), columns.argmax(1)], 1)
    last = 35 - torch.stack([rows.flip(1).argmax(1), columns.flip(1).argmax(1)], 1)
    return first, last


# pairs ------------------------------------------------------------------------------------------------------


def test_every_image_is_used_equally_often_on_each_side():
    for n in (1, 7, 30, 31):
        _, labels = pairs(numbered(10), numbered(4), n, generator())
        assert labels.shape == (n, 2)
        for side, size in ((0, 10), (1, 4)):
            uses = labels[:, side].bincount(minlength=size)
            assert uses.sum() == n
            assert uses.max() - uses.min() <= 1
    _, labels = pairs(numbered(10), numbered(4), None, generator())
    assert labels[:, 0].bincount().tolist() == [2] * 10
    assert labels[:, 1].bincount().tolist() == [5] * 4


@pytest.mark.parametrize("max_shift", [0, 4, 8])
def test_offsets_fill_their_range_uniformly(max_shift):
    n, blank = 4000, (torch.zeros(1, 28, 28, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64))
    first, last = corners(pairs(numbered(1), blank, n, generator(), max_shift)[0])
    assert (last - first == 27).all()
    for axis in (0, 1):
        share = first[:, axis].bincount(minlength=max_shift + 1) / n
        assert share.sub(1 / (max_shift + 1)).abs().max() < 0.04  # at least 5 standard errors
        assert len(share) == max_shift + 1
    first, last = corners(pairs(blank, numbered(1), n, generator(), max_shift)[0])
    assert (first.amin(0) == 8 - max_shift).all()
    assert (first.amax(0) == 8).all()
    assert (last - first == 27).all()


def test_rows_columns_and_items_move_independently():
    dark, bright = numbered(1, 100), numbered(1, 200)
    images, _ = pairs(dark, bright, 4000, generator())
    second, _ = corners(images * (images == 200))
    first, _ = corners(images)
    moves = torch.cat([first, second], 1).float()
    off_diagonal = moves.T.corrcoef() - torch.eye(4)
    assert off_diagonal.abs().max() < 0.08  # 5 standard errors


def test_overlap_keeps_the_brighter_pixel():
    random = generator(1)
    first, second = (
        (torch.randint(256, (5, 28, 28), generator=random, dtype=torch.uint8), torch.arange(5)) for _ in "ab"
    )
    images, labels = pairs(first, second, 40, generator())
    for canvas, (i, j) in zip(images, labels.tolist()):
        assert any(
            torch.equal(canvas, naive(first[0][i], a, b, second[0][j], c, d))
            for a in range(5)
            for b in range(5)
            for c in range(4, 9)
            for d in range(4, 9)
        )


def naive(first, a, b, second, c, d) -> torch.Tensor:
    one, two = (torch.zeros(36, 36, dtype=torch.uint8) for _ in "ab")
    one[a : a + 28, b : b + 28] = first
    two[c : c + 28, d : d + 28] = second
    return torch.where(one > two, one, two)


def test_pairs_depend_on_the_generator_only():
    items = numbered(6)
    (a, la), (b, lb), (c, lc) = (pairs(items, items, 50, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(a, b)
    assert torch.equal(la, lb)
    assert not torch.equal(a, c)
    assert not torch.equal(la, lc)
    assert (items[0] == 255).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, r"n=0: give a whole number of at least 1"),
        ({"n": 2.5}, r"n=2.5"),
        ({"max_shift": 9}, r"max_shift=9: give a whole number from 0 to 8"),
        ({"first": (torch.zeros(3, 28, 28), torch.arange(3))}, r"first: found torch.float32 \(3, 28, 28\)"),
        ({"first": (torch.zeros(3, 28, 28).byte(), torch.zeros(3))}, r"first: .*torch.float32 \(3,\)"),
        ({"second": (torch.zeros(3, 32, 32).byte(), torch.arange(3))}, r"\(3, 32, 32\).*give uint8"),
        ({"second": (torch.zeros(3, 28, 28).byte(), torch.arange(4))}, r"second: .*\(4,\)"),
        ({"second": (torch.zeros(0, 28, 28).byte(), torch.arange(0))}, r"second: .*K >= 1"),
    ],
)
def test_pairs_refuses(change, message):
    arguments = {"first": numbered(3), "second": numbered(3), "n": 6, "max_shift": 4} | change
    with pytest.raises(ValueError, match=message):
        pairs(**arguments, generator=generator())


# label noise ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_noise_hits_its_share_of_each_task_by_itself(share):
    labels = torch.arange(40_000).remainder(10).reshape(-1, 2)
    before = labels.clone()
    noisy = with_label_noise(labels, share, generator())
    wrong = noisy != labels
    tolerance = 5 * (share * (1 - share) / len(labels)) ** 0.5
    assert (wrong.float().mean(0) - share).abs().max() <= tolerance + 1e-6
    assert abs((wrong[:, 0] & wrong[:, 1]).float().mean() - share**2) <= tolerance + 1e-6
    assert torch.equal(labels, before)
    assert noisy.dtype == torch.int64


def test_a_noisy_label_is_any_other_class_alike():
    labels = torch.full((45_000,), 3)
    counts = with_label_noise(labels, 1.0, generator()).bincount(minlength=10)
    assert counts[3] == 0
    assert counts[torch.arange(10) != 3].sub(5000).abs().max() < 5 * 67  # 5 standard errors


def test_more_noise_hits_the_same_labels_and_more():
    labels = torch.zeros(1000, 2, dtype=torch.int64)
    few, many = (with_label_noise(labels, share, generator()) for share in (0.2, 0.4))
    assert torch.equal(many[few != labels], few[few != labels])


@pytest.mark.parametrize("share", [-0.1, 40, float("nan")])
def test_noise_refuses(share):
    with pytest.raises(ValueError, match=rf"noisy labels = {share}: give a number from 0 to 1"):
        with_label_noise(torch.zeros(3, dtype=torch.int64), share, generator())


# fashion_and_mnist ------------------------------------------------------------------------------------------


def test_default_shapes_and_types():
    data = fashion_and_mnist(0)
    for split, n in zip(SPLITS, (2000, 2000, 4000)):
        images, labels = getattr(data, f"{split}_images"), getattr(data, f"{split}_labels")
        assert (images.shape, images.dtype) == ((n, 36, 36), torch.uint8)
        assert (labels.shape, labels.dtype) == ((n, 2), torch.int64)
        assert labels.min() == 0
        assert labels.max() == 9
    assert data.task_names == ("digit", "garment")
    assert data.origin.count("sample") == 4
    assert torch.equal(data.train_labels, data.train_clean_labels)


def item_hashes(images: torch.Tensor, side: int) -> list[str]:
    """Hashes of the pasted items, for pairs without shift whose other side is blank."""
    item = images[:, :28, :28] if side == 0 else images[:, 8:, 8:]
    return [hashlib.sha256(one.numpy().tobytes()).hexdigest() for one in item.contiguous()]


def hide(monkeypatch, name: str) -> None:
    """Make one of the two sets blank, so that the other can be read off the canvas."""
    real = load_source

    def load(wanted, *args, **options):
        source = real(wanted, *args, **options)
        if wanted == name:
            source.train_images.zero_()
            source.test_images.zero_()
        return source

    monkeypatch.setattr("flatmtl_lite.runs.data.multimnist.load_source", load)


@pytest.mark.parametrize(
    ("side", "name", "other"), [(0, "mnist", "fashion-mnist"), (1, "fashion-mnist", "mnist")]
)
@pytest.mark.parametrize(("n_train", "n_val"), [(3000, 1000), (9000, 1)])
def test_splits_share_no_source_and_test_comes_from_test(monkeypatch, side, name, other, n_train, n_val):
    source = load_source(name)
    hide(monkeypatch, other)
    data = fashion_and_mnist(0, n_train, n_val, max_shift=0)
    train, val, test = (item_hashes(getattr(data, f"{split}_images"), side) for split in SPLITS)
    blank = torch.zeros(len(source.train_labels), 36, 36, dtype=torch.uint8)
    blank[:, :28, :28] = source.train_images
    assert set(train).isdisjoint(val)
    assert set(train) | set(val) <= set(item_hashes(blank, 0))
    assert set(test).isdisjoint(item_hashes(blank, 0))
    if n_train + n_val <= 4000:
        assert len(set(train)) == n_train
        assert len(set(val)) == n_val
    assert len(set(test)) == 2000


@pytest.mark.parametrize(
    ("side", "name", "other"), [(0, "mnist", "fashion-mnist"), (1, "fashion-mnist", "mnist")]
)
def test_labels_belong_to_their_images(monkeypatch, side, name, other):
    source = load_source(name)
    hide(monkeypatch, other)
    data = fashion_and_mnist(0, max_shift=0)
    for split, part in zip(SPLITS, ("train", "train", "test")):
        canvas = torch.zeros(len(getattr(source, f"{part}_labels")), 36, 36, dtype=torch.uint8)
        canvas[:, :28, :28] = getattr(source, f"{part}_images")
        truth = dict(zip(item_hashes(canvas, 0), getattr(source, f"{part}_labels").tolist()))
        labels = getattr(data, f"{split}_labels")[:, side].tolist()
        assert labels == [truth[one] for one in item_hashes(getattr(data, f"{split}_images"), side)]


def test_the_seed_changes_pairs_and_noise_but_not_the_test():
    a, again, b = (fashion_and_mnist(seed, 200, 100, label_noise=0.4) for seed in (0, 0, 1))
    for name in ("train_images", "train_labels", "train_clean_labels", "val_images", "val_labels"):
        assert torch.equal(getattr(a, name), getattr(again, name))
        assert not torch.equal(getattr(a, name), getattr(b, name))
    assert not torch.equal(a.train_labels != a.train_clean_labels, b.train_labels != b.train_clean_labels)
    assert torch.equal(a.test_images, b.test_images)
    assert torch.equal(a.test_labels, b.test_labels)


def test_noise_is_on_train_and_val_and_changes_no_image():
    clean, noisy = (fashion_and_mnist(0, label_noise=share) for share in (0.0, 0.4))
    for split in SPLITS:
        assert torch.equal(getattr(clean, f"{split}_images"), getattr(noisy, f"{split}_images"))
    assert torch.equal(noisy.train_clean_labels, clean.train_labels)
    assert torch.equal(noisy.test_labels, clean.test_labels)
    for split in ("train", "val"):
        wrong = getattr(noisy, f"{split}_labels") != getattr(clean, f"{split}_labels")
        assert (wrong.float().mean(0) - 0.4).abs().max() < 0.055  # 5 standard errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, r"seed=-1: give a whole number of at least 0"),
        ({"n_train": True}, r"n_train=True: give a whole number"),
        ({"label_noise": "a"}, r"share of noisy labels = .a.: give a number from 0 to 1"),
        ({"n_val": 1.5}, r"n_val=1.5"),
        ({"n_test": 0}, r"n_test=0"),
        ({"max_shift": 9}, r"max_shift=9"),
    ],
)
def test_fashion_and_mnist_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        fashion_and_mnist(**{"seed": 0, "n_train": 10, "n_val": 10} | arguments)


def test_a_named_folder_is_passed_on(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        fashion_and_mnist(0, root=tmp_path / "elsewhere")


PINNED = {
    "mnist": "8859f99eda6a78d6abb6505e9d6e09ffb7f2213eb73ea716fd613a19a8608eb4",
    "fashion": "117aba11ee9b46ee5fe0357fc263186bd3fd3c8e69d49b8810595ee533d729b5",
    "fashion+mnist": "a6e88298f969f51d9c6b9275f28c50a6b1b7f0be3a98b8784b83bb6ba2fa9e4b",
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_seed_means_the_same_images_for_ever(variant):
    """Recorded results belong to these bytes."""
    data = multi_mnist(variant, 0, 300, 200, 100, label_noise=0.4, sample=True)
    digest = hashlib.sha256()
    for split in SPLITS:
        digest.update(getattr(data, f"{split}_images").numpy().tobytes())
        digest.update(getattr(data, f"{split}_labels").numpy().tobytes())
    assert digest.hexdigest() == PINNED[variant]


@pytest.mark.skipif(not USER_FOLDER, reason="FLATMTL_DATA does not name a folder with the full sets")
@pytest.mark.parametrize("variant", VARIANTS)
def test_full_sets_give_the_published_sizes(variant):
    data = multi_mnist(variant, 0, 100_000, 20_000, 20_000, root=USER_FOLDER)
    assert [len(getattr(data, f"{split}_images")) for split in SPLITS] == [100_000, 20_000, 20_000]
    for side, name in enumerate(VARIANTS[variant]):
        source = load_source(name, root=USER_FOLDER)
        trained = torch.cat([data.train_labels, data.val_labels])[:, side].bincount()
        assert torch.equal(trained, 2 * source.train_labels.bincount())  # every image twice
        assert torch.equal(data.test_labels[:, side].bincount(), 2 * source.test_labels.bincount())


@pytest.mark.skipif(not USER_FOLDER, reason="FLATMTL_DATA does not name a folder with the full sets")
def test_full_sets_give_ten_thousand_test_pairs():
    data = fashion_and_mnist(0, root=USER_FOLDER)
    assert data.test_images.shape == (10_000, 36, 36)
    assert data.origin.count("full set") == 2
    for side, name in ((0, "mnist"), (1, "fashion-mnist")):
        each_once = load_source(name, root=USER_FOLDER).test_labels.bincount()
        assert torch.equal(data.test_labels[:, side].bincount(), each_once)


# variants and tasks -----------------------------------------------------------------------------------------


def test_distinct_pairs_use_every_image_as_often():
    items = torch.zeros(60, 28, 28, dtype=torch.uint8), torch.arange(60) % 3
    _, labels = pairs(items, items, 120, generator(), distinct=True)
    assert (labels[:, 0] != labels[:, 1]).all()
    assert labels[:, 1].bincount().tolist() == [40, 40, 40]
    numbers = numbered(30)
    _, labels = pairs(numbers, numbers, 60, generator(), distinct=True)
    assert labels[:, 1].bincount().tolist() == [2] * 30


def test_pairs_that_cannot_be_distinct_are_refused():
    items = torch.zeros(5, 28, 28, dtype=torch.uint8), torch.zeros(5, dtype=torch.int64)
    with pytest.raises(ValueError, match="more classes"):
        pairs(items, items, 10, generator(), distinct=True)
    many, few = (torch.tensor([0] * k + [1] * (10 - k)) for k in (7, 4))  # 11 of ten pairs want a 0
    with pytest.raises(ValueError, match="more classes"):
        pairs((numbered(10)[0], many), (numbered(10)[0], few), 20, generator(), distinct=True)


def test_a_pair_or_two_are_distinct_for_every_seed():
    for seed in range(25):
        data = multi_mnist("mnist", seed, 1, 1, 20, sample=True)
        for labels in (data.train_clean_labels, data.val_labels, data.test_labels):
            assert (labels[:, 0] != labels[:, 1]).all()


def test_one_sided_sets_give_distinct_pairs_and_equal_use():
    """Six of ten images of the first set are of class 0, four of ten of the second: just not too many."""
    first = torch.zeros(10, 28, 28, dtype=torch.uint8), torch.tensor([0, 0, 0, 0, 0, 0, 1, 2, 3, 4])
    second = numbered(10)[0], torch.tensor([0, 0, 0, 0, 1, 1, 2, 2, 3, 4])
    second[0][:] = torch.arange(1, 11, dtype=torch.uint8)[:, None, None]
    for n, seed in itertools.product((1, 2, 3, 7, 10, 13, 20, 50), range(20)):
        images, labels = pairs(first, second, n, generator(seed), distinct=True)
        assert (labels[:, 0] != labels[:, 1]).all()
        number = images.amax((1, 2)).long() - 1
        assert torch.equal(second[1][number], labels[:, 1])
        uses = number.bincount(minlength=10)
        assert uses.max() - uses.min() <= 1


@pytest.mark.parametrize("variant", ["mnist", "fashion"])
def test_two_items_of_one_set_differ_in_class(variant):
    data = multi_mnist(variant, 0, 300, 100, 100)
    item = "digit" if variant == "mnist" else "garment"
    assert data.task_names == (f"first {item}", f"second {item}")
    for labels in (data.train_clean_labels, data.val_labels, data.test_labels):
        assert (labels[:, 0] != labels[:, 1]).all()
        assert set(labels.unique().tolist()) == set(range(10))
    assert data.classes == (10, 10)


def test_training_and_validation_of_one_set_share_no_source(monkeypatch):
    source = load_source("mnist", sample=True)
    for images in (source.train_images, source.test_images):  # blank but for the image's number in its corner
        images.zero_()
        number = torch.arange(len(images))
        images[:, 0, 0], images[:, 0, 1] = number // 200 + 1, number % 200 + 1
    monkeypatch.setattr("flatmtl_lite.runs.data.multimnist.load_source", lambda *args, **options: source)
    data = multi_mnist("mnist", 0, 2000, 2000, max_shift=0)

    def numbers(images: torch.Tensor) -> set[tuple[int, ...]]:
        return {tuple(pixels) for at in (0, 8) for pixels in images[:, at, at : at + 2].tolist()}

    train, val = numbers(data.train_images), numbers(data.val_images)
    assert len(train) == len(val) == 2000
    assert train.isdisjoint(val)


def test_eight_tasks_are_asked_of_the_same_images():
    for variant in VARIANTS:
        names = task_names(variant)
        assert len(names) == 8
        data, two = multi_mnist(variant, 3, 200, 50, 50, tasks=names), multi_mnist(variant, 3, 200, 50, 50)
        assert torch.equal(data.train_images, two.train_images)
        assert data.train_labels.shape == (200, 8)
        for k, classes in enumerate(data.classes):
            assert set(data.train_labels[:, k].tolist()) == set(range(classes)), names[k]
        item = data.train_labels[:, names.index(two.task_names[0])]
        assert torch.equal(item, two.train_labels[:, 0])


def test_answers_follow_from_the_class():
    asked = ["digit", "parity", "size", "garment", "footwear"]
    data = multi_mnist("fashion+mnist", 0, 500, 10, 10, tasks=asked)
    digit, parity, size, garment, footwear = data.train_labels.unbind(1)
    assert torch.equal(parity, digit % 2)
    assert torch.equal(size, (digit > 4).long())
    assert torch.equal(footwear, torch.isin(garment, torch.tensor([5, 7, 9])).long())


def test_every_task_hears_of_the_same_wrong_class():
    options = dict(label_noise=0.5, tasks=["digit", "parity"])
    data = multi_mnist("fashion+mnist", 0, 500, 10, 10, **options)
    digit, parity = data.train_labels.unbind(1)
    assert torch.equal(parity, digit % 2)
    assert 0.4 < (digit != data.train_clean_labels[:, 0]).float().mean() < 0.6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(variant="Fasion"), "variant='Fasion' \\(did you mean 'fashion'\\?\\): give one of"),
        (dict(tasks=["first digit", "second digt"]), "\\] \\(did you mean 'second digit'\\?\\): give a list"),
        (dict(tasks="first digit"), "tasks='first digit'.*: give a list of different names"),
        (dict(tasks=[]), "tasks=\\[\\]: give a list of different names"),
        (dict(tasks=["first digit"] * 2), "'first digit'\\]: give a list of different names"),
    ],
)
def test_unknown_variants_and_tasks_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        multi_mnist(**{"variant": "mnist", "seed": 0, "n_train": 10, "n_val": 10} | arguments)


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_validation_every_source_image_trains(variant):
    data = multi_mnist(variant, 0, 4000, 0, 10, sample=True)
    assert (data.val_images.shape, data.val_labels.shape) == ((0, 36, 36), (0, 2))
    assert len(data.train_images) == 4000
    source = load_source(VARIANTS[variant][0], sample=True)
    assert data.train_labels[:, 0].bincount().tolist() == source.train_labels.bincount().tolist()
    with pytest.raises(ValueError, match="n_val=-1"):
        multi_mnist(variant, 0, 10, -1)
