"""Who may import whom, what `import flatmtl_lite` costs, and how much there is to read."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import flatmtl_lite

PACKAGE = Path(__file__).parents[1] / "flatmtl_lite"
READING_CORE = ["gradients.py", "perturbation/sam.py", "decomposition.py", "optim.py"]
CORE = ["__init__.py", "aggregation/__init__.py", "diagnostics.py", *READING_CORE]

# Layer -> what it may import beside the standard library: layers of the house and third-party packages.
# Whatever is not toy, lab, runs or the command line is core, so a new core file is under the rule at once.
MAY_IMPORT = {
    "core": {"core", "torch"},
    "toy": {"core", "toy", "torch"},
    "lab": {
        *("core", "toy", "lab", "torch", "numpy"),
        *("plotly", "ipywidgets", "anywidget", "IPython", "traitlets"),
        *("nbformat", "nbclient", "kaleido", "PIL"),  # executing the notebooks, drawing their static pictures
        *("nbconvert", "pygments", "latex2mathml"),  # the static site
    },
    "runs": {
        *("core", "runs", "torch", "numpy", "pooch", "torchmetrics", "tqdm", "filelock"),
        "requests",  # what pooch raises
        "submitit",  # imported only where a cluster is asked for
    },
    "command line": {"core", "runs", "lab", "torch"},
}


def layer(parts):
    """The layer of a module given as its name's parts below flatmtl_lite."""
    first = parts[0] if parts else ""
    return "command line" if first == "__main__" else first if first in MAY_IMPORT else "core"


def imported(tree, package):
    """(line, absolute name) of every import, also inside functions, in a module of `package`.

    `from a import b` yields a.b, since b may be a module. import_module("a") counts if written out.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, node.module] if node.module else base
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                yield node.lineno, str(node.args[0].value)


def violations(source, path):
    """Imports that the house forbids to the file at `path` (relative to the package folder), as sentences."""
    importer = layer(Path(path).with_suffix("").parts)
    found = []
    for line, name in imported(ast.parse(source), ["flatmtl_lite", *Path(path).parts[:-1]]):
        top, *rest = name.split(".")
        target = layer(rest) if top == "flatmtl_lite" else top
        if target not in MAY_IMPORT[importer] | sys.stdlib_module_names:
            found.append(f"{path}:{line}: {importer} imports {target} ({name})")
    return found


def read(file):
    return file.read_text(encoding="utf-8")


def lines_to_read(source):
    """Lines that are neither blank nor docstring; comments count."""
    docstrings = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            docstrings |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return sum(bool(line.strip()) and i not in docstrings for i, line in enumerate(source.splitlines(), 1))


@pytest.mark.parametrize("path", CORE)
def test_the_core_is_there(path):
    assert (PACKAGE / path).is_file()


def test_nobody_imports_what_the_house_forbids():
    sources = {file.relative_to(PACKAGE).as_posix(): read(file) for file in PACKAGE.rglob("*.py")}
    assert [v for path, source in sources.items() for v in violations(source, path)] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("optim.py", "import numpy"),
        ("optim.py", "from flatmtl_lite import lab"),
        ("optim.py", "import flatmtl_lite.runs.engine.trainer"),
        ("optim.py", "def f():\n    from .toy import problems"),
        ("__init__.py", "from . import runs"),
        ("aggregation/mgda.py", "from scipy.optimize import minimize"),
        ("aggregation/mgda.py", "from ..lab import stage"),
        ("aggregation/mgda.py", "import importlib\nimportlib.import_module('flatmtl_lite.lab')"),
        ("brand_new.py", "import plotly.graph_objects as go"),
        ("toy/problems.py", "import numpy as np"),
        ("toy/problems.py", "from ..lab import stage"),
        ("lab/stage.py", "from .. import runs"),
        ("lab/stage.py", "import pooch"),
        ("runs/trainer.py", "from ..lab.figures import curve"),
        ("runs/data/nyu.py", "from ... import lab"),
        ("runs/trainer.py", "from ..toy import problems"),
        ("__main__.py", "import plotly"),
    ],
)
def test_a_forbidden_import_is_found(path, source):
    assert len(violations(source, path)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("optim.py", "import math, torch.nn\nfrom .aggregation import Mean\nfrom . import perturbation"),
        ("aggregation/__init__.py", "from .mgda import MGDA\nfrom ..gradients import gramian"),
        ("toy/problems.py", "from .. import decompose\nfrom . import families"),
        ("lab/stage.py", "import anywidget, plotly.io\nfrom ..toy import problems\nfrom .. import MGDA"),
        ("runs/data/nyu.py", "import numpy\nfrom ..sources import fetch\nfrom ... import FlatMTL"),
        ("__main__.py", "from flatmtl_lite.runs import main"),
    ],
)
def test_an_allowed_import_passes(path, source):
    assert violations(source, path) == []


NEW_MODULES = """
import sys, torch
before = set(sys.modules)
import flatmtl_lite
print(*(set(sys.modules) - before))
"""


def test_importing_the_package_brings_torch_and_nothing_else():
    command = [sys.executable, "-c", NEW_MODULES]
    run = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    new = set(run.stdout.split())
    assert "flatmtl_lite.decomposition" in new
    assert {name.split(".")[0] for name in new} - sys.stdlib_module_names <= {"flatmtl_lite", "torch"}
    # Half a second more each, or the house's upper floors.
    assert not new & {"torch._dynamo", "flatmtl_lite.lab", "flatmtl_lite.runs", "flatmtl_lite.toy"}


def test_the_reading_core_can_be_read_in_one_sitting():
    sizes = {name: lines_to_read(read(PACKAGE / name)) for name in READING_CORE}
    assert max(sizes.values()) <= 250, sizes
    assert sum(sizes.values()) <= 600, sizes


def test_a_method_fits_on_a_screen():
    files = {inspect.getfile(cls) for cls in flatmtl_lite.AGGREGATORS.values()}
    sizes = {Path(file).name: lines_to_read(read(Path(file))) for file in files}
    assert len(sizes) >= 5
    assert {name: size for name, size in sizes.items() if size > 60} == {}


def test_lines_to_read_leaves_out_docstrings_and_blanks_only():
    source = '"""Module,\n\non three lines."""\n\nx = 1  # one\n# two\ndef f():\n    """Doc."""\n'
    source += '    return """three\n\nlines"""\n'
    assert lines_to_read(source) == 5
