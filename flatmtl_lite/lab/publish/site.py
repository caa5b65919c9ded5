"""The course as pages of the site: stages that move without a kernel, formulas that need no network.

Sphinx builds the site from ``docs/`` (``make site``); ``docs/conf.py`` calls what stands here.
"""

import ast
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from .. import instruments
from ..figures.display import behind_click
from ..stage.page import data_script, stage_script
from ..stage.stage import Stage

PLOTLY = "application/vnd.plotly.v1+json"
NO_KERNEL = """```{note}
Sliders, choices and tools work on this page. Dragging points, exercises and predictions need a kernel:
install the kit and run `flatmtl-lite lab`.
```"""


def course_sources(notebooks: Path, out: Path) -> list[Path]:
    """Write the executed notebooks for Sphinx, with live stages and figures as their outputs.

    The call that a stage's output carries opens the stage again. Every other output stays as committed. The
    name of a heading in a link becomes lower case, as Sphinx has it.

    Args:
        notebooks: the folder of the executed notebooks; ``images`` in it is copied.
        out: the folder to write; a folder that is there is replaced.

    Returns:
        The notebooks written, in the order of the course.

    Raises:
        ValueError: the folder holds no notebook.
    """
    paths = sorted(notebooks.glob("*.ipynb"))
    if not paths:
        raise ValueError(f"Got folder={str(notebooks)!r} without a notebook; expected the course's own.")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[0].source += f"\n\n{NO_KERNEL}"
        for cell in notebook.cells:
            cell.source = re.sub(r"\.ipynb#[\w-]+", lambda link: link[0].lower(), cell.source)
            for output in cell.get("outputs", []):
                if "data" in output:
                    output.data = _page_data(output.data, output.metadata)
        nbformat.write(notebook, out / path.name)
    if (notebooks / "images").is_dir():
        shutil.copytree(notebooks / "images", out / "images")
    return [out / path.name for path in paths]


def _page_data(data: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The output as a page shows it: a stage, a live figure, or the output itself."""
    if call := metadata.get("flatmtl", {}).get("call"):
        return {"text/html": stage_script(stage_of(call))}
    if PLOTLY in data:
        html = data_script(data[PLOTLY], data["text/plain"])
        waits = "after" in metadata.get("flatmtl", {})  # for the reader's prediction
        return {"text/html": behind_click(html) if waits else html}
    return dict(data)


def stage_of(call: str) -> Stage:
    """Return the stage that a call such as ``lab.rho_instrument('valleys', rho=0.4)`` opens.

    No other code runs.

    Raises:
        ValueError: the text is not a call of an instrument with plain values.
    """
    try:
        tree = ast.parse(call, mode="eval").body
        if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Attribute)):
            raise ValueError("not a call")
        if tree.func.attr not in instruments.__all__:
            raise ValueError(tree.func.attr)
        values = [ast.literal_eval(value) for value in tree.args]
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in tree.keywords if keyword.arg}
        if len(named) != len(tree.keywords):
            raise ValueError("unpacked arguments")
        return getattr(instruments, tree.func.attr)(*values, **named)
    except (SyntaxError, AttributeError, TypeError, ValueError) as error:
        given = call if len(call) <= 200 else f"{call[:200]}..."
        raise ValueError(
            f"Got {given!r} ({error}); expected the call of an instrument, such as "
            "lab.rho_instrument('valleys')."
        ) from error
