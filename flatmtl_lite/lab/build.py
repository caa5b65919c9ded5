"""Execute the notebooks as they are committed: in order, a picture beside each figure, no widget state.

``make notebooks``, or ``python -m flatmtl_lite.lab.build FOLDER_OR_NOTEBOOK ...``.
"""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

MOST_BYTES = 500_000


def build(path: Path) -> None:
    """Execute one notebook and replace it, if every cell ran and the result is small enough.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the file is as it was.
        ValueError: the executed notebook exceeds 500 KB; the file is as it was.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}})
    client.execute(env=os.environ | {"FLATMTL_STATIC": "1"})
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":  # what the browser that draws the pictures says of itself
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:  # a widget is gone after a reload; its picture and its text stay
                output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    text = nbformat.writes(notebook) + "\n"
    if len(text.encode()) > MOST_BYTES:
        raise ValueError(f"{path}: {len(text.encode())} bytes when executed; expected at most {MOST_BYTES}.")
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def main(names: list[str]) -> None:
    """Build the named notebooks, and those in the named folders."""
    for name in map(Path, names):
        for path in sorted(name.glob("*.ipynb")) if name.is_dir() else [name]:
            print(path, flush=True)
            build(path)


if __name__ == "__main__":
    main(sys.argv[1:])
