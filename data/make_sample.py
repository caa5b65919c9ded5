"""Draw the small sample of MNIST and Fashion-MNIST that ships in this folder.

Usage: python data/make_sample.py FOLDER_WITH_FULL_SETS

The same folder gives the same bytes again (with the same zlib). Each set has, for train and test,
images (N, 28, 28), labels (N,) and indices (N,): where in the full set each image stands.
"""

import argparse
import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import torch

from flatmtl_lite.runs.data.sources import SAMPLE_FOLDER, SAMPLE_NAME, SETS, Source, load_source

PER_CLASS = {"train": 400, "test": 200}
SEED = 0


def draw(source: Source, part: str, generator: torch.Generator) -> dict[str, np.ndarray]:
    """Draw ``PER_CLASS[part]`` images of each class, in the order of the full set."""
    images, labels = getattr(source, f"{part}_images"), getattr(source, f"{part}_labels")
    order = torch.randperm(len(labels), generator=generator)
    chosen = torch.cat([order[labels[order] == label][: PER_CLASS[part]] for label in range(10)])
    chosen = chosen.sort().values
    return {
        f"{source.name}/{part}_images": images[chosen].numpy(),
        f"{source.name}/{part}_labels": labels[chosen].numpy().astype(np.uint8),
        f"{source.name}/{part}_indices": chosen.numpy().astype(np.uint16),
    }


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """Pack arrays as ``np.savez_compressed`` does, but without the time of day in the result."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # the same on every system
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            archive.writestr(entry, content.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return packed.getvalue()


def replace(path: Path, content: bytes) -> None:
    """Write under a temporary name first, so that an interruption leaves the old file whole."""
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the sample of MNIST and Fashion-MNIST.")
    parser.add_argument("folder", type=Path, help="where the full sets lie, in mnist/ and fashion-mnist/")
    folder = parser.parse_args().folder

    generator = torch.Generator().manual_seed(SEED)
    arrays = {}
    for name in SETS:
        source = load_source(name, root=folder)
        for part in PER_CLASS:
            arrays |= draw(source, part, generator)
    content = npz_bytes(arrays)

    sums = SAMPLE_FOLDER / "SHA256SUMS"
    others = (
        [line for line in sums.read_text().splitlines() if SAMPLE_NAME not in line] if sums.exists() else []
    )
    line = f"{hashlib.sha256(content).hexdigest()}  {SAMPLE_NAME}"
    replace(SAMPLE_FOLDER / SAMPLE_NAME, content)
    replace(sums, "".join(f"{one}\n" for one in [*others, line]).encode())
    print(f"{line}  ({len(content):,} bytes)")


if __name__ == "__main__":
    main()
