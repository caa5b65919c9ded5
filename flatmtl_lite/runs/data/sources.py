"""The source images of Multi-MNIST: MNIST and Fashion-MNIST, each file checked by its hash."""

import gzip
import hashlib
import io
import math
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pooch
import torch
from torch import Tensor

from ...files import shipped_folder


class IdxFile(NamedTuple):
    """One file of a set in the IDX format: a header that states the shape, then unsigned bytes."""

    stem: str
    shape: tuple[int, ...]
    sha256: str  # of the content: the bytes of a .gz vary with the tool that packed it
    md5: str  # of the .gz file that its publisher offers


FILES = (
    ("train_images", "train-images-idx3-ubyte", (60_000, 28, 28)),
    ("train_labels", "train-labels-idx1-ubyte", (60_000,)),
    ("test_images", "t10k-images-idx3-ubyte", (10_000, 28, 28)),
    ("test_labels", "t10k-labels-idx1-ubyte", (10_000,)),
)
# sha256 and md5 of the four files, in this order
MNIST = (
    ("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    ("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", "d53e105ee54ea40749a09fcbcd1e9432"),
    ("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", "9fb629c4189551a2d022fa330f9573f3"),
    ("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", "ec29112dd5afa0611ce80d1b7f02629c"),
)
FASHION_MNIST = (
    ("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    ("bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9", "25c81989df183df01b3e8a0aad5dffbe"),
    ("5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", "bef4ecab320f06d8554ea6380940ec79"),
    ("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", "bb300cfdad3c16e7a12a480ee83cd310"),
)
SETS = {
    name: {
        part: IdxFile(stem, shape, *hashes) for (part, stem, shape), hashes in zip(FILES, table, strict=True)
    }
    for name, table in (("mnist", MNIST), ("fashion-mnist", FASHION_MNIST))
}
BASE_URLS = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion-mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
}
TORCHVISION_FOLDERS = {"mnist": "MNIST/raw", "fashion-mnist": "FashionMNIST/raw"}
SAMPLE_FOLDER = shipped_folder("data")
SAMPLE_NAME = "multimnist_sample.npz"


@dataclass(frozen=True, eq=False)
class Source:
    """One set of 28x28 grey images in ten classes.

    Attributes:
        name: ``"mnist"`` or ``"fashion-mnist"``.
        origin: One line: full set or shipped sample, and where it lies.
        train_images: ``(N, 28, 28)`` uint8, 0 is background.
        train_labels: ``(N,)`` int64, 0..9.
        test_images: ``(M, 28, 28)`` uint8.
        test_labels: ``(M,)`` int64.
    """

    name: str
    origin: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load_source(
    name: str,
    root: str | Path | None = None,
    download: bool = False,
    progress: bool = True,
    sample: bool | None = None,
) -> Source:
    """Load MNIST or Fashion-MNIST: the full set if it is there, else the sample in ``data/`` if allowed.

    The full set is looked for in one folder: ``root``, else the folder that the environment variable
    ``FLATMTL_DATA`` names, else the user's cache. A folder that is named must hold the set: in ``mnist/`` or
    ``fashion-mnist/``, in torchvision's subfolder, or directly; packed or not. The sample stands in only if
    no folder is named and ``sample`` is not False.

    Args:
        name: ``"mnist"`` or ``"fashion-mnist"``.
        root: The folder to look in.
        download: Fetch missing files into that folder (about 11 or 31 MB in all).
        progress: Show a progress bar while fetching.
        sample: True: always take the shipped sample, for results that others can repeat;
            False: never take it; None: take it if no folder is named and the full set is missing.

    Raises:
        ValueError: Unknown name, or a file that is damaged or not the published file.
        FileNotFoundError: The full set is missing and the sample may not stand in, or the sample is gone.
        ConnectionError: A file could not be fetched.

    Example:
        >>> load_source("mnist").test_images[0].shape
        torch.Size([28, 28])
    """
    if name not in SETS:
        raise ValueError(f"name={name!r}: expected one of {', '.join(map(repr, SETS))}")
    if sample:
        return _load_sample(name)
    named_folder = root or os.environ.get("FLATMTL_DATA")
    folder = source_folder(root)

    files = SETS[name]
    paths = {part: _find(folder, name, file.stem) for part, file in files.items()}
    if download:
        paths = {part: path or _fetch(folder, name, files[part], progress) for part, path in paths.items()}
    missing = [files[part].stem for part, path in paths.items() if path is None]
    if missing and (named_folder or sample is False):
        raise FileNotFoundError(
            f"{name}: no {', '.join(missing)} (with or without .gz) in {folder}, its subfolder {name} or "
            f"{TORCHVISION_FOLDERS[name]}. Set FLATMTL_DATA or --data (root=) to the folder that holds them, "
            "or fetch them by --download (download=True), or take the small shipped sample by --sample "
            "(sample=True)."
        )
    if missing:
        return _load_sample(name)
    tensors = {part: _read_idx(path, files[part]) for part, path in paths.items() if path}
    place = "the folder given" if root else "FLATMTL_DATA" if named_folder else "the cache"
    return _source(name, f"full set from {place}", tensors)


def source_folder(root: str | Path | None = None) -> Path:
    """Return ``root``, else the folder that ``FLATMTL_DATA`` names, else the user's cache."""
    return Path(root or os.environ.get("FLATMTL_DATA") or pooch.os_cache("flatmtl-lite")).expanduser()


def _source(name: str, origin: str, tensors: dict[str, Tensor]) -> Source:
    sizes = f"{len(tensors['train_labels']):,} train and {len(tensors['test_labels']):,} test"
    tensors |= {part: tensors[part].long() for part in ("train_labels", "test_labels")}
    return Source(name, f"{name}, {origin}: {sizes} images, sha256 checked", **tensors)


def _find(folder: Path, set_name: str, stem: str) -> Path | None:
    places = (folder / set_name, folder / TORCHVISION_FOLDERS[set_name], folder)
    spellings = (stem, stem.replace("-idx", ".idx"))
    paths = (place / f"{name}{end}" for place in places for name in spellings for end in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def _fetch(folder: Path, name: str, file: IdxFile, progress: bool) -> Path:
    from requests import RequestException  # costs 0.1 s, which only a download should pay

    url = f"{BASE_URLS[name]}{file.stem}.gz"
    try:
        # pooch writes to a temporary name and renames once the hash is right
        path = pooch.retrieve(url, f"md5:{file.md5}", f"{file.stem}.gz", folder / name, progressbar=progress)
    except (RequestException, OSError, ValueError) as error:
        kind = ConnectionError if isinstance(error, RequestException) else type(error)
        raise kind(
            f"could not fetch {url} ({error}). Nothing of it was kept. Try again later, or set FLATMTL_DATA "
            "to a folder that holds the files, or use the shipped sample (--sample, or sample=True)."
        ) from error
    return Path(path)


def _read_idx(path: Path, file: IdxFile) -> Tensor:
    """Read one IDX file. Raise ValueError unless it is exactly the published file."""
    remedy = f"Put the published {file.stem} there, or move this file away and pass download=True."
    header = struct.pack(f">{1 + len(file.shape)}I", 0x0800 + len(file.shape), *file.shape)
    size = len(header) + math.prod(file.shape)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            # one byte more than expected shows a longer file, and no gzip bomb is unpacked whole
            content = stream.read(size + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: expected a whole gzip file, found: {error}. {remedy}") from error
    if content[: len(header)] != header:
        raise ValueError(
            f"{path}: expected the IDX header {header.hex(' ', 4)} (magic number, then sizes {file.shape}), "
            f"found {content[: len(header)].hex(' ', 4) or 'nothing'}. {remedy}"
        )
    if len(content) != size:
        length = f"{len(content):,}" if len(content) < size else f"more than {size:,}"
        raise ValueError(f"{path}: expected {size:,} bytes unpacked, found {length}. {remedy}")
    _check_hash(content, file.sha256, path, remedy)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=len(header)).reshape(file.shape)


def _check_hash(content: bytes, expected: str, path: Path, remedy: str) -> None:
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected:
        raise ValueError(f"{path}: expected content of sha256 {expected}, found {digest}. {remedy}")


def shipped(name: str) -> bytes:
    """Return the content of a file that ships in ``data/``, checked by the hash in ``data/SHA256SUMS``.

    Raises:
        FileNotFoundError, ValueError: the file is missing, or its content has changed.
    """
    path = SAMPLE_FOLDER / name
    remedy = "Run `git checkout data/` in the repository; full image sets come with download=True."
    try:
        content = path.read_bytes()
        sums = (SAMPLE_FOLDER / "SHA256SUMS").read_text().split()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error.filename}: expected a file that ships. {remedy}") from error
    if name not in sums:
        raise ValueError(f"{SAMPLE_FOLDER / 'SHA256SUMS'}: no line for {name}. {remedy}")
    _check_hash(content, sums[sums.index(name) - 1], path, remedy)
    return content


def _load_sample(name: str) -> Source:
    with np.load(io.BytesIO(shipped(SAMPLE_NAME)), allow_pickle=False) as arrays:
        tensors = {part: torch.from_numpy(arrays[f"{name}/{part}"]) for part in SETS[name]}
    return _source(name, f"sample from data/{SAMPLE_NAME}", tensors)
