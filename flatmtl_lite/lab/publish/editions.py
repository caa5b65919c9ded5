"""The learner's edition of a notebook, made from the instructor's edition."""

import copy

from nbformat import NotebookNode

INSTRUCTOR, EXERCISE = "instructor", "exercise"
STUB = "...  # your code"


def learners_edition(notebook: NotebookNode) -> NotebookNode:
    """Return the learner's edition of an instructor's notebook, not yet executed.

    It leaves out cells tagged "instructor". A code cell tagged "exercise" keeps its lines up to the first
    with ``...  # your code``. So the stub is the beginning of the solution, and the two cannot drift apart.

    Raises:
        ValueError: a cell tagged "exercise" lacks that line, or has nothing after it.
    """
    learners = copy.deepcopy(notebook)
    learners.cells = [cell for cell in learners.cells if INSTRUCTOR not in tags(cell)]
    for cell in learners.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if EXERCISE in tags(cell):
            cell.source = _stub(cell)
    return learners


def tags(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell."""
    return cell.metadata.get("tags", [])


def _stub(cell: NotebookNode) -> str:
    lines = cell.source.split("\n")
    last = next((k for k, line in enumerate(lines) if STUB in line), None)
    if last is None or not "".join(lines[last + 1 :]).strip():
        raise ValueError(
            f'Cell {cell.id} is tagged "{EXERCISE}" and reads {cell.source!r}; expected a line with "{STUB}" '
            "and the solution after it."
        )
    return "\n".join(lines[: last + 1])
