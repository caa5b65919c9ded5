"""Hashes of the data that a run learns from, so that a repetition can see whether its data are the same."""

import hashlib
import json
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import pooch
from torch import Tensor

from ...files import json_object, write_whole

CACHED_BYTES = 1e8  # less is read in a fraction of a second


def hash_tensors(tensors: Iterable[Tensor]) -> str:
    """Return one hash of the shapes, types and values of tensors, in their order.

    Example:
        >>> import torch
        >>> hash_tensors([torch.zeros(2)]) == hash_tensors([torch.zeros(1, 2)])
        False
    """
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def hash_files(files: Sequence[Path], folder: Path) -> str:
    """Return one hash of the names and contents of files, in their order.

    To read all of NYUv2 takes seconds to a minute. So the hash of much data is kept in the user's cache, and
    read from there while the names, sizes and times of all files stay the same.

    Args:
        files: the files.
        folder: the folder above all of them; a file's name is its path below it.
    """
    states = [file.stat() for file in files]
    names = [file.relative_to(folder).as_posix() for file in files]
    size = sum(state.st_size for state in states)
    if size < CACHED_BYTES:
        return _hash(names, files)
    times = [(state.st_size, state.st_mtime_ns) for state in states]
    key = hashlib.sha256(json.dumps([str(folder.resolve()), names, times]).encode()).hexdigest()[:32]
    kept = Path(pooch.os_cache("flatmtl-lite")) / "hashes" / f"{key}.json"
    with suppress(OSError, ValueError, KeyError):
        return str(json_object(kept.read_text(encoding="utf-8"), kept.name)["sha256"])
    print(f"Reading {size / 1e9:.1f} GB in {folder} for their hash, once.", file=sys.stderr)
    start = time.perf_counter()
    sha256 = _hash(names, files)
    print(f"The hash took {time.perf_counter() - start:.0f} s.", file=sys.stderr)
    with suppress(OSError):  # without the cache the next run reads the files again
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, json.dumps({"folder": str(folder), "sha256": sha256}))
    return sha256


def _hash(names: Sequence[str], files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for name, path in zip(names, files, strict=True):
        with path.open("rb") as file:
            digest.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()
