"""MNIST and Fashion-MNIST: the shipped sample, folders, damaged files and downloads."""

import gzip
import hashlib
import importlib.util
import os
import shutil
import socket
import struct
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from flatmtl_lite.__main__ import main
from flatmtl_lite.runs.data import sources
from flatmtl_lite.runs.data.multimnist import multi_mnist
from flatmtl_lite.runs.data.sources import BASE_URLS, SETS, IdxFile, load_source
from flatmtl_lite.runs.experiments.multimnist import MultiMnist

USER_FOLDER = os.environ.get("FLATMTL_DATA")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache and no named folder, whatever this machine has."""
    monkeypatch.delenv("FLATMTL_DATA", raising=False)
    monkeypatch.setattr(sources.pooch, "os_cache", lambda project: tmp_path / "cache")
    return tmp_path / "cache"


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Path:
    """A folder with tiny sets under the canonical names, which ``load_source`` takes for the real ones."""
    folder = tmp_path / "tiny"
    random = np.random.default_rng(0)
    catalogue = {}
    for name in SETS:
        (folder / name).mkdir(parents=True)
        catalogue[name] = {}
        for part, file in SETS[name].items():
            array = random.integers(0, 10, (6, *file.shape[1:]), dtype=np.uint8)
            packed = gzip.compress(idx(array))
            (folder / name / f"{file.stem}.gz").write_bytes(packed)
            catalogue[name][part] = IdxFile(
                file.stem,
                array.shape,
                sha256=hashlib.sha256(idx(array)).hexdigest(),
                md5=hashlib.md5(packed).hexdigest(),
            )
    monkeypatch.setattr(sources, "SETS", catalogue)
    return folder


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# the shipped sample -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_the_sample_is_balanced_and_typed(name):
    source = load_source(name)
    assert source.name == name
    assert "sample" in source.origin
    for part, per_class in (("train", 400), ("test", 200)):
        images, labels = getattr(source, f"{part}_images"), getattr(source, f"{part}_labels")
        assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
        assert images.shape == (10 * per_class, 28, 28)
        assert labels.bincount().tolist() == [per_class] * 10


@pytest.fixture
def data_folder(tmp_path, monkeypatch) -> Path:
    """A copy of the shipped sample that a test may damage."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in (sources.SAMPLE_NAME, "SHA256SUMS"):
        shutil.copy(sources.SAMPLE_FOLDER / name, folder)
    monkeypatch.setattr(sources, "SAMPLE_FOLDER", folder)
    return folder


def test_one_flipped_bit_in_the_sample_is_noticed(data_folder):
    path = data_folder / sources.SAMPLE_NAME
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"sha256 [0-9a-f]{64}, found [0-9a-f]{64}.*git checkout data/"):
        load_source("mnist")


@pytest.mark.parametrize("name", [sources.SAMPLE_NAME, "SHA256SUMS"])
def test_a_missing_sample_says_how_to_get_it_back(data_folder, name):
    (data_folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name}.*git checkout data/.*download=True"):
        load_source("mnist")


def test_a_sum_file_without_the_sample_is_an_error(data_folder):
    (data_folder / "SHA256SUMS").write_text("0" * 64 + "  another_file\n")
    with pytest.raises(ValueError, match="no line for multimnist_sample"):
        load_source("mnist")


def test_the_script_that_draws_the_sample_repeats_itself(tiny, tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("make_sample", sources.SAMPLE_FOLDER / "make_sample.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "SHA256SUMS").write_text("0" * 64 + "  another_file\n")
    monkeypatch.setattr(script, "SAMPLE_FOLDER", folder)
    monkeypatch.setattr(sources, "SAMPLE_FOLDER", folder)
    monkeypatch.setattr("sys.argv", ["make_sample.py", str(tiny)])
    contents = []
    for _ in "ab":
        script.main()
        contents.append([path.read_bytes() for path in sorted(files_in(folder))])
    assert contents[0] == contents[1]
    assert len(contents[0]) == 2
    assert "another_file" in (folder / "SHA256SUMS").read_text()
    sample, full = load_source("mnist"), load_source("mnist", root=tiny)
    for part in sources.SETS["mnist"]:  # six images: fewer than it draws of a class, so all are in it
        assert torch.equal(getattr(sample, part), getattr(full, part))


# folders ----------------------------------------------------------------------------------------------------


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'cifar'.*'mnist', 'fashion-mnist'"):
        load_source("cifar")


@pytest.mark.parametrize(
    ("layout", "spelling", "ending"),
    [("fashion-mnist", "-idx", ".gz"), ("FashionMNIST/raw", "-idx", ""), (".", ".idx", ".gz")],
)
def test_every_layout_and_spelling_is_read(tiny, tmp_path, layout, spelling, ending):
    folder = tmp_path / "user"
    (folder / layout).mkdir(parents=True)
    for path in (tiny / "fashion-mnist").iterdir():
        content = path.read_bytes() if ending else gzip.decompress(path.read_bytes())
        (folder / layout / f"{path.stem.replace('-idx', spelling)}{ending}").write_bytes(content)
    user_source, expected = load_source("fashion-mnist", root=folder), load_source("fashion-mnist", root=tiny)
    for part in sources.SETS["fashion-mnist"]:
        assert torch.equal(getattr(user_source, part), getattr(expected, part))


def test_values_survive_reading(tiny):
    packed = (tiny / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes()
    content = np.frombuffer(gzip.decompress(packed), dtype=np.uint8)
    source = load_source("mnist", root=tiny)
    assert source.test_images.flatten().tolist() == content[16:].tolist()
    assert source.test_labels.dtype == torch.int64


def test_root_goes_before_the_environment_and_that_before_the_cache(tiny, tmp_path, cache, monkeypatch):
    shutil.copytree(tiny, cache)
    assert "full set from the cache" in load_source("mnist").origin
    monkeypatch.setenv("FLATMTL_DATA", str(tiny))
    assert "full set from FLATMTL_DATA" in load_source("mnist").origin
    assert "full set from the folder given" in load_source("mnist", root=str(tiny)).origin
    with pytest.raises(FileNotFoundError):
        load_source("mnist", root=tmp_path / "empty")


def test_a_set_that_is_cached_in_part_leaves_the_sample(tiny, cache):
    (cache / "mnist").mkdir(parents=True)
    shutil.copy(tiny / "mnist" / "t10k-labels-idx1-ubyte.gz", cache / "mnist")
    assert "sample" in load_source("mnist").origin


def test_an_experiment_never_falls_back_to_the_sample(cache):
    sizes = dict(n_train=8, n_val=4, n_test=4)
    remedies = "FLATMTL_DATA or --data .*--download .*--sample"
    with pytest.raises(FileNotFoundError, match=rf"in {cache}, .*{remedies}"):
        MultiMnist(network="mlp", **sizes).experiment(0, "cpu")
    _, origin = MultiMnist(network="mlp", sample=True, **sizes).experiment(0, "cpu")
    assert "sample" in origin
    assert "sample" in multi_mnist("mnist", 0, 8, 4, 4).origin


def test_the_preset_of_the_paper_without_data_is_refused(tmp_path, capsys):
    tiny = ["--network", "mlp", "--n-train", "96", "--n-val", "40", "--n-test", "40"]
    tiny += ["--epochs", "1", "--batch-size", "32"]
    assert main(["train", "multimnist", "--preset", "paper", *tiny, "--out", str(tmp_path / "new")]) == 1
    assert "take the small shipped sample by --sample" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_entropy_elsewhere_is_taken_on_the_sets_that_are_there(tiny):
    settings = MultiMnist(variant="mnist", network="mlp", n_train=8, n_val=4, n_test=4)
    assert set(settings.experiment(0, "cpu", tiny)[0].other_images) == {"fashion", "fashion+mnist"}
    shutil.rmtree(tiny / "fashion-mnist")
    assert not settings.experiment(0, "cpu", tiny)[0].other_images


@pytest.mark.parametrize("by", ["root", "environment"])
def test_a_named_folder_that_lacks_a_file_never_gives_the_sample(tiny, by, monkeypatch):
    (tiny / "mnist" / "train-labels-idx1-ubyte.gz").unlink()
    if by == "environment":
        monkeypatch.setenv("FLATMTL_DATA", str(tiny))
    with pytest.raises(FileNotFoundError) as caught:
        load_source("mnist", root=tiny if by == "root" else None)
    for part in ("no train-labels-idx1-ubyte (", str(tiny), "download=True", "FLATMTL_DATA"):
        assert part in str(caught.value)


def empty_folder(path: Path) -> None:
    path.mkdir()


def dangling_link(path: Path) -> None:
    path.symlink_to(path.parent / "gone")


@pytest.mark.parametrize("put", [empty_folder, dangling_link])
def test_what_has_a_files_name_but_is_none_counts_as_missing(tiny, put):
    path = tiny / "mnist" / "t10k-images-idx3-ubyte.gz"
    path.unlink()
    put(path)
    with pytest.raises(FileNotFoundError, match=r"mnist: no t10k-images-idx3-ubyte \(with or without"):
        load_source("mnist", root=tiny)


def test_a_file_in_place_of_the_folder(tmp_path):
    path = tmp_path / "file"
    path.write_text("content")
    with pytest.raises(FileNotFoundError, match=rf"mnist: no train-images-idx3-ubyte.* in {path}, its"):
        load_source("mnist", root=path)
    with pytest.raises(OSError, match=rf"could not fetch .*{path}.*Nothing of it was kept"):
        load_source("mnist", root=path, download=True, progress=False)
    assert path.read_text() == "content"


# damaged files ----------------------------------------------------------------------------------------------


def change_header(content: bytes) -> bytes:
    return struct.pack(">I", 0x0D03) + content[4:]


def change_sizes(content: bytes) -> bytes:
    return content[:4] + struct.pack(">3I", 3, 56, 28) + content[16:]


def change_pixel(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    ("change", "ending", "message"),
    [
        (change_header, "", r"expected the IDX header 00000803 .* found 00000d03"),
        (change_sizes, ".gz", r"expected the IDX header .* found 00000803 00000003 00000038"),
        (change_pixel, "", r"expected content of sha256"),
        (lambda content: content[:-1], ".gz", r"expected 4,720 bytes unpacked, found 4,719"),
        (lambda content: content + b"\0" * 9, "", r"expected 4,720 bytes .*found more than 4,720"),
        (lambda content: b"", ".gz", r"IDX header .* found nothing"),
    ],
    ids=["magic", "sizes", "pixel", "short", "long", "empty"],
)
def test_a_file_that_is_not_the_published_one_is_refused(tiny, change, message, ending):
    path = tiny / "mnist" / "train-images-idx3-ubyte.gz"
    content = change(gzip.decompress(path.read_bytes()))
    path.unlink()
    path = path.with_name(f"train-images-idx3-ubyte{ending}")
    path.write_bytes(gzip.compress(content) if ending else content)
    with pytest.raises(ValueError, match=message) as caught:
        load_source("mnist", root=tiny)
    assert str(path) in str(caught.value)
    assert "download=True" in str(caught.value)


def cut_end(packed: bytes) -> bytes:
    return packed[:-20]


def spoil_pixels(packed: bytes) -> bytes:
    return packed[:200] + b"\xff" * 50 + packed[250:]


def spoil_block(packed: bytes) -> bytes:
    return packed[:10] + b"\xff" + packed[11:]


def test_a_damaged_gzip_file_is_refused(tiny):
    path = tiny / "mnist" / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for content in (cut_end(whole), spoil_pixels(whole), spoil_block(whole), b"<html>not found</html>"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz: expected a whole gzip file"):
            load_source("mnist", root=tiny)


def test_another_sets_file_is_refused(tiny):
    shutil.copy(tiny / "fashion-mnist" / "t10k-images-idx3-ubyte.gz", tiny / "mnist")
    with pytest.raises(ValueError, match="sha256"):
        load_source("mnist", root=tiny)


# download ---------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tiny, monkeypatch):
    """The tiny sets behind an HTTP server on the loopback; the list says what was asked for."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tiny))

        def log_message(self, *args):
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in BASE_URLS:
        monkeypatch.setitem(BASE_URLS, name, f"http://127.0.0.1:{server.server_port}/{name}/")
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("named", [True, False])
def test_download_fetches_what_is_missing_and_only_that(served, tiny, tmp_path, cache, named):
    root = tmp_path / "new folder" if named else None
    folder = root or cache
    (folder / "mnist").mkdir(parents=True)
    packed = (tiny / "mnist" / "t10k-labels-idx1-ubyte.gz").read_bytes()
    (folder / "mnist" / "t10k-labels-idx1-ubyte").write_bytes(gzip.decompress(packed))
    source = load_source("mnist", root=root, download=True, progress=False)
    assert torch.equal(source.train_images, load_source("mnist", root=tiny).train_images)
    assert sorted(served) == [
        "/mnist/t10k-images-idx3-ubyte.gz",
        "/mnist/train-images-idx3-ubyte.gz",
        "/mnist/train-labels-idx1-ubyte.gz",
    ]
    load_source("mnist", root=root, download=True, progress=False)
    assert len(served) == 3


def test_a_progress_bar_is_shown_when_asked_for(served, capfd):
    load_source("mnist", download=True)
    assert "100%" in capfd.readouterr().err


def test_a_download_with_the_wrong_hash_leaves_nothing(served, tiny, cache):
    path = tiny / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(b"something else"))
    with pytest.raises(ValueError, match=r"could not fetch http://127.*hash.*Nothing of it was kept"):
        load_source("mnist", download=True, progress=False)
    assert files_in(cache) == []


def test_a_file_the_server_lacks_leaves_nothing(served, tiny, cache):
    (tiny / "mnist" / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(ConnectionError, match=r"404.*FLATMTL_DATA.*sample"):
        load_source("mnist", download=True, progress=False)
    assert files_in(cache) == []


def test_no_network_says_so_and_leaves_nothing(cache, monkeypatch):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/"
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setitem(BASE_URLS, "mnist", url)
        with pytest.raises(ConnectionError, match=rf"{url}train-images.*FLATMTL_DATA.*shipped sample"):
            load_source("mnist", download=True, progress=False)
    assert files_in(cache) == []


# the real sets ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not USER_FOLDER, reason="FLATMTL_DATA does not name a folder with the full sets")
@pytest.mark.parametrize("name", SETS)
def test_the_sample_is_drawn_from_the_full_set(name):
    full = load_source(name, root=USER_FOLDER)
    assert full.train_images.shape == (60_000, 28, 28)
    assert full.test_labels.bincount().sum() == 10_000
    sample = load_source(name)
    with np.load(sources.SAMPLE_FOLDER / sources.SAMPLE_NAME, allow_pickle=False) as arrays:
        for part in ("train", "test"):
            indices = torch.from_numpy(arrays[f"{name}/{part}_indices"].astype(np.int64))
            assert len(indices.unique()) == len(indices)
            for kind in ("images", "labels"):
                whole = getattr(full, f"{part}_{kind}")
                assert torch.equal(whole[indices], getattr(sample, f"{part}_{kind}"))


def test_the_sample_can_be_asked_for_whatever_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("FLATMTL_DATA", str(tmp_path))
    assert "sample" in load_source("mnist", sample=True).origin
