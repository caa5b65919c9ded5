"""Nothing that a learner sees before recording a prediction gives its answer away."""

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from flatmtl_lite.lab.publish.editions import INSTRUCTOR, tags

FOLDER = Path(__file__).parents[2] / "notebooks" / "instructor"
SMALL_WORDS = set(
    re.findall(r"\w+", "a an and as at by for from in is it its no not of on one or than that the to")
)


@dataclass
class Question:
    """A prediction of a notebook, and where it is asked and answered.

    Attributes:
        name: the variable that holds the prediction.
        key: its key in the file of predictions.
        asked: number of the cell that asks.
        revealed: number of the first cell that waits for it; None if there is none before the comparison.
        compared: number of the cell that compares it with the measurement.
        answer: the measured answer.
        others: the other answers.
        telling: words that only this answer has, and neither the question nor another answer.
    """

    name: str
    key: str
    asked: int
    revealed: int | None
    compared: int
    answer: str
    others: list[str]
    telling: set[str]

    def is_given_away_by(self, text: str) -> bool:
        """Return whether the text holds the answer, or all the words that tell it from the others.

        A text that names every answer gives none away.
        """
        if all(plain(answer) in plain(text) for answer in self.others):
            return False
        if plain(self.answer) in plain(text):
            return True
        long_enough = len(self.telling) > 1 or any(len(word) > 4 for word in self.telling)
        return bool(self.telling) and long_enough and self.telling <= words(text)


def plain(text: str) -> str:
    return " ".join(re.sub(r"[*_`]", "", text).lower().split())


def words(text: str) -> set[str]:
    return set(re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+", plain(text)))


def calls(source: str, name: str) -> list[ast.Call]:
    """The calls of ``lab.name`` in a code cell; with "" every call."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [node for node in nodes if name in ("", ast.unparse(node.func).removeprefix("lab."))]


def gates(source: str) -> set[str]:
    """The predictions that a code cell waits for."""
    after = [
        keyword.value for call in calls(source, "") for keyword in call.keywords if keyword.arg == "after"
    ]
    return {ast.unparse(value) for value in (*after, *(call.args[0] for call in calls(source, "reveal")))}


def compared_in(source: str) -> set[str]:
    """The names in the calls of ``lab.compare`` in a code cell."""
    nodes = [node for call in calls(source, "compare") for node in ast.walk(call)]
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def said(cell) -> list[str]:
    """What a cell says in words: each paragraph of a text, each string and each comment of code."""
    if cell.cell_type == "markdown":
        return cell.source.split("\n\n")
    nodes = ast.walk(ast.parse(cell.source))
    strings = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    tokens = tokenize.generate_tokens(io.StringIO(cell.source).readline)
    return strings + [token.string for token in tokens if token.type == tokenize.COMMENT]


def shown(cell) -> list[str]:
    """The lines that a code cell printed, and the texts of its pictures."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return [line for text in texts for line in text.splitlines()]


def measured(cell) -> dict[str, str]:
    """The rows of a comparison, as it was committed: question -> measured answer."""
    rows = [line.rsplit(" | ", 3) for line in shown(cell)]
    return {row[0]: row[2] for row in rows if len(row) == 4}


def questions(notebook) -> list[Question]:
    code = [(k, cell) for k, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    literals, asked = {}, {}
    for k, cell in code:
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Assign):
                name, value = ast.unparse(node.targets[0]), ast.unparse(node.value)
                literals[name] = node.value
                if value.startswith("lab.predict("):
                    asked[name] = k, node.value.args
    found = []
    for name, (k, (key, question, answers)) in asked.items():
        key, question = ast.literal_eval(key), ast.literal_eval(question)
        answers = ast.literal_eval(literals.get(ast.unparse(answers), answers))
        compared = next((j for j, cell in code if j > k and name in compared_in(cell.source)), None)
        assert compared is not None, f"{key}: no lab.compare answers it"
        truths = measured(notebook.cells[compared])
        assert truths.get(question) in answers, f"{key}: execute the notebook, its comparison is an old one"
        answer = truths[question]
        others = [other for other in answers if other != answer]
        telling = words(answer) - words(" ".join([question, *others])) - SMALL_WORDS
        revealed = next((j for j, cell in code if k < j < compared and name in gates(cell.source)), None)
        found.append(Question(name, key, k, revealed, compared, answer, others, telling))
    return found


def is_open(cell) -> bool:
    """Return whether "Run All" shows what a code cell computes: it waits for no prediction and asks none."""
    return cell.cell_type == "code" and not gates(cell.source) and not calls(cell.source, "predict")


def spoilers(notebook) -> list[str]:
    """Every place where a learner could read an answer before recording the prediction."""
    found = []
    for question in questions(notebook):
        if question.revealed is None:
            found.append(f"{question.key}: nothing waits for it (after=, lab.reveal) before lab.compare")
            continue
        for k, cell in enumerate(notebook.cells[question.asked + 1 : question.compared], question.asked + 1):
            texts = said(cell) if k <= question.revealed else []
            if " " in question.answer and is_open(cell):
                texts += shown(cell)
            found += [
                f"{question.key} ({question.answer}), cell {cell.id}: {' '.join(text.split())}"
                for text in texts
                if question.is_given_away_by(text)
            ]
    return found


PATHS = sorted(FOLDER.glob("*.ipynb"))


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook without the notes for teachers."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if INSTRUCTOR not in tags(cell)]
    return notebook


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_nothing_gives_an_answer_away(path):
    assert spoilers(read(path)) == []


def small_notebook(**changed) -> nbformat.NotebookNode:
    """A notebook with one prediction, whose answer nothing gives away."""
    cells = {
        "ask": 'end = lab.predict("t-end", "Where does it end?", ["at the left", "in the middle", "no end"])',
        "text": "Record your prediction.",
        "figure": 'lab.show(figure, "Where the paths end.", after=end)  # a picture',
        "more": "print(x)",
        "compare": "lab.compare({end: end.answers[1]})",
    }
    outputs = {"compare": "Where does it end? | not recorded | in the middle | \nNo prediction was recorded."}
    made = []
    for name, source in (cells | changed).items():
        if name == "text":
            made.append(nbformat.v4.new_markdown_cell(source))
            continue
        source, _, output = source.partition(" >> ")
        output = outputs.get(name, output)
        made.append(nbformat.v4.new_code_cell(source))
        made[-1].outputs = [nbformat.v4.new_output("display_data", {"text/plain": output})] if output else []
    return nbformat.v4.new_notebook(cells=made)


SPOILERS = [
    {"text": "Most people say *in the\nmiddle*, and they are right."},
    {"text": "It goes to the middle."},
    {"figure": 'lab.show(figure, "The paths end in the middle.", after=end)'},
    {"figure": "lab.rho_instrument(after=end)  # it ends in the middle"},
    {"figure": "lab.rho_instrument(after=other)"},
    {"more": "print(x) >> 100 of 100 end in the middle"},
    {"more": "figure >> Paths that end in the middle"},
    {"text": "Not at the left, but in the middle."},
]


def test_a_notebook_without_a_spoiler_passes():
    assert spoilers(small_notebook()) == []
    hidden = 'with lab.reveal(end):\n    print(f"in the {x}") >> 100 of 100 end in the middle'
    assert spoilers(small_notebook(more=hidden)) == []
    assert spoilers(small_notebook(figure=hidden.partition(" >> ")[0])) == []
    assert spoilers(small_notebook(text="Is it at the left, in the middle, or is there no end?")) == []


@pytest.mark.parametrize("changed", SPOILERS)
def test_a_spoiler_is_found(changed):
    (found,) = spoilers(small_notebook(**changed))
    assert found.startswith("t-end")


def test_every_prediction_of_the_course_is_looked_at():
    keys = [question.key for path in PATHS for question in questions(read(path))]
    assert len(keys) == len(set(keys)) >= 15
