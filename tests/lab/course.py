"""The site of the committed course, built once for the tests of its pages and of the browser."""

import atexit
import functools
import tempfile
from pathlib import Path

import pytest

from flatmtl_lite.lab.publish import site
from flatmtl_lite.lab.stage.stage import Stage

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@functools.cache
def course() -> tuple[Path, dict[str, Stage]]:
    """Return the folder of the site, and the stages that were opened for it by their calls."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    stages: dict[str, Stage] = {}
    open_stage = site.opened

    def opened(call: str) -> Stage:
        stages[call] = open_stage(call)
        return stages[call]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLATMTL_FAST", "1")
        patch.setattr(site, "opened", opened)
        pages = site.site(NOTEBOOKS, Path(folder.name) / "site")
    return pages[0].parent, stages
