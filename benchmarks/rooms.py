"""Milliseconds per synthetic room, whole and by stage. ``python benchmarks/rooms.py``.

Processor time of one thread, so that other jobs on the machine count little; medians and minima over rooms of
both styles.
"""

import datetime
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from unittest.mock import patch

import numpy as np

from flatmtl_lite.runs.rooms import render, renderer
from flatmtl_lite.runs.rooms.renderer import shade, view
from flatmtl_lite.runs.rooms.scene import build_scene

ROOMS = 40
SIZES = ((96, 128), (288, 384))


def whole_picture(corners: np.ndarray, least: np.ndarray, most: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stands in for the bounding rectangles: every solid is tried on every pixel."""
    shape = len(corners), 2
    return np.broadcast_to(least, shape), np.broadcast_to(most, shape)


def milliseconds(function: Callable, calls: Sequence[tuple]) -> str:
    times = []
    for arguments in calls:
        begin = time.process_time()
        function(*arguments)
        times.append(1000 * (time.process_time() - begin))
    return f"median {statistics.median(times):6.1f}, least {min(times):6.1f} ms"


def main() -> None:
    print(f"{datetime.date.today()}, {platform.machine()} CPU, numpy {np.__version__}, {ROOMS} rooms")
    rooms = [(seed, style) for style in ("train", "val") for seed in range(ROOMS // 2)]
    scenes = [build_scene(*room) for room in rooms]
    for height, width in SIZES:
        samples = [(seed, height, width, style) for seed, style in rooms]
        views = [(scene, view(scene, height, width)) for scene in scenes]
        print(f"\n{height}x{width}")
        print(f"sample              {milliseconds(render, samples)}")
        print(f"sample, no shadows  {milliseconds(render, [(*sample, False) for sample in samples])}")
        print(f"  furnishing        {milliseconds(build_scene, rooms)}")
        print(f"  rays              {milliseconds(view, [(scene, height, width) for scene in scenes])}")
        print(f"  light, shadows    {milliseconds(shade, views)}")
        with patch.object(renderer, "windows", whole_picture):
            print(f"no rectangles       {milliseconds(render, samples)}")


if __name__ == "__main__":
    main()
