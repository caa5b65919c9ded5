"""The published pickles: the script in data/README.md that converts them, and the loader of the outcome."""

import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from flatmtl_lite.runs import load_published, mlp
from flatmtl_lite.runs.data.published import ARRAYS
from flatmtl_lite.runs.measures.evaluation import accuracy

README = Path(__file__).parents[3] / "data" / "README.md"
PAIRS = {"train": 30, "test": 8}


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    content = {}
    for split, n in PAIRS.items():
        images = random.integers(0, 256, (n, 36, 36), dtype=np.uint8)
        images[:, 0, 0] = np.arange(n)  # so that each can be told
        content[f"{split}_images"] = images
        content[f"{split}_labels"] = random.integers(0, 10, (n, 2))
    return content


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "multi_mnist.npz"


def load(path: Path, arrays: dict, **options):
    np.savez(path, **arrays)
    return load_published(path, **{"variant": "mnist", "seed": 0, "n_val": 10} | options)


# what is read -----------------------------------------------------------------------------------------------


def test_every_pair_is_read_once_with_its_labels(path, arrays):
    data = load(path, arrays)
    assert [len(x) for x in (data.train_images, data.val_images, data.test_images)] == [20, 10, 8]
    images = torch.cat([data.train_images, data.val_images])
    labels = torch.cat([data.train_labels, data.val_labels])
    order = images[:, 0, 0].argsort()
    assert torch.equal(images[order], torch.from_numpy(arrays["train_images"]))
    assert torch.equal(labels[order], torch.from_numpy(arrays["train_labels"]))
    assert torch.equal(data.test_images, torch.from_numpy(arrays["test_images"]))
    assert torch.equal(data.test_labels, torch.from_numpy(arrays["test_labels"]))
    assert torch.equal(data.train_clean_labels, data.train_labels)
    assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
    assert data.classes == (10, 10)
    assert data.task_names == ("first digit", "second digit")
    assert load(path, arrays, variant="fashion+mnist").task_names == ("digit", "garment")
    assert len(accuracy(mlp(data.classes), data.val_images, data.val_labels)) == 2


def test_the_seed_decides_what_is_held_out_and_not_the_test(path, arrays):
    one, again, other = (load(path, arrays, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.val_images, again.val_images)
    assert not torch.equal(one.val_images, other.val_images)
    assert torch.equal(one.test_images, other.test_images)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("bytes", (36, 36)),
        ("int64", (1, 36, 36)),
        ("big-endian", (36 * 36,)),
        ("0..255", (36, 36)),
        ("0..1", (1, 36, 36)),
        ("0..1 double", (36 * 36,)),
        ("columns", (36, 36)),
    ],
)
def test_every_way_of_storing_the_same_pixels_reads_the_same(path, arrays, shape, kind):
    def stored(name: str, array: np.ndarray) -> np.ndarray:
        if name.endswith("labels"):
            return array.astype({"bytes": "u1", "big-endian": ">i4", "0..1": "f4"}.get(kind, "i8"))
        array = array.reshape(-1, *shape)
        return {
            "bytes": array,
            "int64": array.astype(np.int64),
            "big-endian": array.astype(">i2"),
            "0..255": array.astype(np.float32),
            "0..1": array.astype(np.float32) / np.float32(255),
            "0..1 double": array / 255,
            "columns": np.asfortranarray(array),
        }[kind]

    plain = load(path, arrays)
    data = load(path, {name: stored(name, array) for name, array in arrays.items()})
    for name in ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels"):
        assert torch.equal(getattr(plain, name), getattr(data, name)), name
    assert plain.origin == data.origin


def test_the_origin_tells_one_content_from_another(path, arrays):
    one = load(path, arrays).origin
    assert re.fullmatch(r"multi_mnist.npz, converted.*: 30 train and 8 test pairs, sha256 [0-9a-f]{64}", one)
    arrays["test_labels"][0, 0] = (arrays["test_labels"][0, 0] + 1) % 10
    assert load(path, arrays).origin != one


# what is refused --------------------------------------------------------------------------------------------


def put(array: np.ndarray, value: float) -> np.ndarray:
    array = array.copy()
    array.flat[5] = value
    return array


def floats(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train_images", lambda a: a[:, 4:32, 4:32], r"uint8 \(30, 28, 28\) and .*; expected numbers"),
        ("test_images", lambda a: a[0, 0, 0], r"test_images uint8 \(\)"),
        ("train_labels", lambda a: a[:-1], r"train_labels int64 \(29, 2\)"),
        ("train_images", lambda a: a > 0, r"train_images bool"),
        ("train_labels", lambda a: a.astype(str), r"train_labels <U21"),
        ("train_labels", lambda a: put(a, 10), r"train_labels: found values from 0 to 10; expected 0 to 9"),
        ("test_labels", lambda a: put(a, -1), r"test_labels: found values from -1 to 9; expected 0 to 9"),
        ("test_labels", lambda a: put(floats(a), 1.5), r"found 1.5; expected whole numbers from 0 to 9"),
        ("train_images", lambda a: put(floats(a), np.nan), r"from nan to nan; expected 0 to 255"),
        ("train_images", lambda a: put(floats(a), 7.25), r"found 7.25; expected whole .* 255: resized"),
        ("train_images", lambda a: put(a / 255, 0.1), r"found 0.1; .* 255, each divided by 255: resized"),
        ("train_images", lambda a: a / 255, r"test_images: found values from 0 to 255; expected 0 to 1"),
    ],
)
def test_arrays_that_are_not_the_published_ones_are_refused(path, arrays, name, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        load(path, arrays | {name: change(arrays[name])})
    assert str(path) in str(caught.value)
    assert "data/README.md" in str(caught.value)


def test_a_set_without_a_pair_is_refused(path, arrays):
    empty = {name: arrays[name][:0] for name in ("test_images", "test_labels")}
    with pytest.raises(ValueError, match=r"test_images uint8 \(0, 36, 36\) .* N >= 1"):
        load(path, arrays | empty)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "multi"}, "variant='multi'"),
        ({"seed": -1}, "seed=-1"),
        ({"n_val": 30}, "n_val=30: give a whole number from 0 to 29"),
        ({"n_val": -1}, "n_val=-1"),
    ],
)
def test_bad_arguments_are_named(path, arrays, options, message):
    with pytest.raises(ValueError, match=message):
        load(path, arrays, **options)


def test_a_missing_array_is_named(path, arrays):
    for name in ARRAYS:
        with pytest.raises(ValueError, match=rf"no {name} in it, found \w+, \w+, \w+\. Convert"):
            load(path, {part: array for part, array in arrays.items() if part != name})


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "gone.npz", tmp_path):
        with pytest.raises(FileNotFoundError, match=rf"{path}: no such file. Convert the pickle"):
            load_published(path, "mnist", 0)


class Marks:
    """Pickled, a program that makes a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_pickle_is_not_opened(tmp_path, path, arrays):
    mark = tmp_path / "mark"
    path.write_bytes(pickle.dumps(Marks(mark)))
    with pytest.raises(ValueError, match=r"expected a whole \.npz file; a pickle is never opened here"):
        load_published(path, "mnist", 0)
    with pytest.raises(ValueError, match=r"could not be read as plain arrays .*allow_pickle=False"):
        load(path, arrays | {"train_labels": np.array([[Marks(mark), 1]] * 30)})
    assert not mark.exists()


def test_a_truncated_or_spoilt_file_is_refused(path, arrays):
    np.savez(path, **arrays)
    whole = path.read_bytes()
    for content in (b"", whole[:1000], whole[:-1000]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"expected a whole \.npz file"):
            load_published(path, "mnist", 0)
    shape, entry = whole.index(b"(30, 36"), whole.index(b"PK\1\2")  # of the archive's table of contents
    places = {2000: "CRC", shape: "EOF in", entry + 8: "encrypted", entry + 10: "compression"}
    for place, message in places.items():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=rf"could not be read as plain arrays .*{message}"):
            load_published(path, "mnist", 0)
    with zipfile.ZipFile(path, "w") as archive:
        for name in ARRAYS:
            archive.writestr(name, b"no array")
    with pytest.raises(ValueError, match=r"train_images \|S8 \(\)"):
        load_published(path, "mnist", 0)


# the script in data/README.md -------------------------------------------------------------------------------


@pytest.fixture
def convert(tmp_path):
    """Runs the script of the page on a pickle, in a process of its own."""
    (script,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "convert.py").write_text(script)
    command = [sys.executable, "-W", "error", "convert.py", "in.pickle", "multi_mnist.npz"]

    def run(content: bytes) -> subprocess.CompletedProcess:
        (tmp_path / "in.pickle").write_bytes(content)
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run


@pytest.mark.parametrize(("protocol", "dtype"), [(3, np.uint8), (5, np.float32)])
def test_the_documented_script_converts_a_pickle(convert, path, arrays, protocol, dtype):
    content = pickle.dumps([arrays[name].astype(dtype) for name in ARRAYS], protocol)
    assert convert(content).stderr == ""
    data, expected = load_published(path, "mnist", 0, 10), load(path, arrays)
    assert data.origin == expected.origin
    assert torch.equal(data.train_images, expected.train_images)


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_it_reads_what_another_numpy_pickled(convert, path, arrays, core):
    content = pickle.dumps([arrays[name] for name in ARRAYS], 3)
    content = re.sub(rb"numpy\._?core", core, content)
    assert convert(content).stderr == ""
    assert len(load_published(path, "mnist", 0, 10).train_images) == 20


def test_it_refuses_whatever_is_no_array(convert, tmp_path, path, arrays):
    mark = tmp_path / "mark"
    hidden = [*map(arrays.get, ARRAYS[:3]), np.array([Marks(mark)])]
    for content in ([Marks(mark)] * 4, hidden, [np.load] * 4):
        done = convert(pickle.dumps(content))
        assert done.returncode == 1
        assert re.search(r"UnpicklingError: refused (pathlib|numpy)\S*: no part of an array", done.stderr)
        assert not path.exists()
        assert not mark.exists()
