"""Execute the notebooks for a commit: in order, with a picture of each figure, without widget state.

``make notebooks``, or ``python -m flatmtl_lite.lab.publish.build FOLDER_OR_NOTEBOOK ...``. The source is the
instructor's edition. The learner's edition is made from it, and both are executed.
"""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from ...files import write_whole
from .editions import INSTRUCTOR, learners_edition

MOST_BYTES = 500_000
SECONDS = 7200  # for one cell: the limit ends a hang, and a busy machine is only slow


def build(path: Path) -> None:
    """Execute one notebook and replace it; in a folder "instructor", write the learner's edition too.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed. The files stay as they were.
        ValueError: an executed notebook exceeds 500 KB, or an exercise has no stub or no solution. The
            files stay as they were.
    """
    notebook = nbformat.read(path, as_version=4)
    texts = {path: _executed(notebook, path)}
    if path.parent.name == INSTRUCTOR:
        learners = path.parents[1] / path.name
        texts[learners] = _executed(learners_edition(notebook), learners)
    for file, text in texts.items():
        write_whole(file, text)


def _executed(notebook: nbformat.NotebookNode, path: Path) -> str:
    place = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=SECONDS, resources=place, coalesce_streams=True)
    client.execute(env=os.environ | {"FLATMTL_STATIC": "1"})
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            for output in cell.outputs:  # the browser that draws the pictures sometimes writes messages
                if output.get("name") == "stderr":
                    print(f"{path}, cell {cell.id}, left out: {output.text}", file=sys.stderr)
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:  # a reload loses the widget; its picture and its text stay
                output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    text = nbformat.writes(notebook) + "\n"
    if len(text.encode()) > MOST_BYTES:
        raise ValueError(f"{path}: {len(text.encode())} bytes when executed; expected at most {MOST_BYTES}.")
    return text


def main(names: list[str]) -> None:
    """Build the named notebooks; for a folder, the notebooks in its folder "instructor" if it has one."""
    for name in map(Path, names):
        folder = name / INSTRUCTOR if (name / INSTRUCTOR).is_dir() else name
        for path in sorted(folder.glob("*.ipynb")) if name.is_dir() else [name]:
            print(path, flush=True)
            build(path)


if __name__ == "__main__":
    main(sys.argv[1:])
