"""Who may import whom, what `import flatmtl_lite` costs, and how much there is to read."""

import ast
import graphlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import flatmtl_lite

PACKAGE = Path(__file__).parents[1] / "flatmtl_lite"
READING_CORE = ["gradients.py", "perturbation", "passes.py", "decomposition.py", "optim.py"]

# The house: room -> (rooms and third-party packages that it may import, a sentence for the failure message).
# A module belongs to the room with the longest name that begins its own; every other module is core, so a new
# core file is under the rule at once. The standard library is open to all.
CORE = {"core", "torch"}
LAB = {*CORE, "toy", "files", "names", "numpy", "plotly"}
WIDGETS = {"ipywidgets", "anywidget", "IPython", "traitlets"}
PUBLISHING = {"jupyterlab", "nbformat", "nbclient", "nbconvert", "kaleido", "PIL", "pygments", "latex2mathml"}
RUNS = {*CORE, "files", "names", "numpy"}
NOT_RUNS = "`lab` shows pictures and never imports `runs`: pass it numbers or logs instead"
NOT_LAB = "`runs` never imports `lab`, nor `toy`: what both need belongs to the core"
HOUSE = {
    "files": (set(), "files.py needs the standard library alone"),
    "names": (set(), "names.py needs the standard library alone"),
    "core": (CORE, "the core imports torch and itself, nothing else"),
    "toy": ({*CORE, "toy"}, "`toy` stands on the core alone"),
    "lab.theorem": (LAB, "theorem.py is arithmetic"),
    "lab.cost": (LAB, "cost.py is arithmetic"),
    "lab.figures": ({*LAB, *WIDGETS, "lab.figures", "kaleido", "PIL"}, NOT_RUNS),
    "lab.stage": ({*LAB, *WIDGETS, "lab.stage", "lab.figures"}, NOT_RUNS),
    "lab.predictions": ({*LAB, *WIDGETS, "lab.predictions", "lab.stage", "lab.figures"}, NOT_RUNS),
    "lab.instruments": (
        {*LAB, "lab.instruments", "lab.predictions", "lab.stage", "lab.figures", "lab.theorem", "lab.cost"},
        "an instrument is built from stage, predictions and figures, never the other way round",
    ),
    "lab.checks": (
        {*LAB, "lab.checks", "lab.theorem", "lab.cost"},
        "an exercise check compares with the core",
    ),
    "lab.tables": ({*LAB, *WIDGETS, "lab.tables", "lab.figures"}, NOT_RUNS),
    "lab.publish": (
        {*LAB, *PUBLISHING, "lab.publish", "lab.stage", "lab.figures", "lab.instruments"},
        "`lab.publish` turns notebooks and runs into pages; nothing in the lab imports it",
    ),
    "lab": ({*LAB, "lab"}, "lab/__init__.py names what a notebook may call"),
    "runs.engine": (
        {*RUNS, "runs.engine", "filelock", "tqdm"},
        "`runs.engine` knows no data set and none of its neighbours",
    ),
    "runs.rooms": (
        {*RUNS, "runs.rooms", "filelock", "tqdm"},
        "`runs.rooms` draws pictures and knows no network",
    ),
    "runs.data": ({*RUNS, "runs.data", "runs.rooms", "pooch", "requests"}, NOT_LAB),
    "runs.networks": ({*RUNS, "runs.networks", "runs.engine", "runs.data"}, NOT_LAB),
    "runs.measures": (
        {*RUNS, "runs.measures", "runs.networks", "runs.engine", "runs.data", "torchmetrics"},
        NOT_LAB,
    ),
    "runs.experiments": (
        {
            *RUNS,
            "runs.experiments",
            "runs.measures",
            "runs.networks",
            "runs.engine",
            "runs.data",
            "runs.rooms",
        },
        NOT_LAB,
    ),
    "runs.paper": ({*RUNS, "runs.paper", "runs.measures"}, NOT_LAB),
    "runs.sweep": ({*RUNS, "runs.sweep", "runs.engine", "submitit", "filelock"}, NOT_LAB),
    "runs.report": ({*RUNS, "runs.report", "runs.engine", "runs.measures", "runs.paper"}, NOT_LAB),
    "runs.launch": ({*RUNS, "runs.engine", "runs.experiments", "runs.report", "tqdm"}, "launch.py is a door"),
    "runs.loading": ({*RUNS, "runs.engine", "runs.experiments", "runs.data"}, "loading.py is a door"),
    "runs.plan": ({*RUNS, "runs.engine", "runs.experiments"}, "plan.py is a door"),
    "runs.gpu_check": (
        {
            *(RUNS | {"runs.gpu_check", "runs.engine", "runs.experiments", "runs.networks", "runs.data"}),
            "runs.rooms",
        },
        "`runs.gpu_check` uses the rooms of `runs`; none of them imports it",
    ),
    "runs.train": (
        {*RUNS, "runs.engine", "runs.experiments", "runs.data", "runs.networks", "runs.measures"},
        "train.py is a door",
    ),
    "runs.records": (
        {
            *(RUNS | {"runs.records", "runs.train", "runs.engine", "runs.experiments", "runs.data"}),
            *("runs.networks", "runs.measures", "runs.report"),
        },
        "`runs.records` uses every other room of `runs`; none of them imports it",
    ),
    "runs": ({*RUNS, "runs"}, "runs/__init__.py names what a script may call"),
    "commands": (
        {*CORE, "files", "names", "runs", "lab", "commands"},
        "the command line is the one place where `runs` and `lab` meet",
    ),
    "__main__": ({"commands"}, "it loads the file of the one command that is called"),
}
WHOLE = {"lab", "runs", "commands", "__main__"}  # these may import every room below the rooms that they name


def room(parts):
    """The room of a module given as its name's parts below flatmtl_lite."""
    names = (".".join(parts[:k]) for k in range(len(parts), 0, -1))
    return next((name for name in names if name in HOUSE), "core")


def may_import(importer, target):
    allowed = HOUSE[importer][0]
    if importer in WHOLE and any(target == name or target.startswith(f"{name}.") for name in allowed):
        return True
    return target in allowed | sys.stdlib_module_names


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


def imports_of_rooms(source, path):
    """(line, importing room, imported room or package, name) of every import in the file at `path`."""
    parts = Path(path).with_suffix("").parts
    importer = room(parts[:-1] if parts[-1] == "__init__" else parts)
    for line, name in imported(ast.parse(source), ["flatmtl_lite", *Path(path).parts[:-1]]):
        top, *rest = name.split(".")
        yield line, importer, room(rest) if top == "flatmtl_lite" else top, name


def violations(source, path):
    """Imports that the house forbids to the file at `path` (relative to the package folder), as sentences."""
    return [
        f"{path}:{line}: {importer} imports {target} ({name}); {HOUSE[importer][1]}"
        for line, importer, target, name in imports_of_rooms(source, path)
        if not may_import(importer, target)
    ]


def read(file):
    return file.read_text(encoding="utf-8")


def body_lines(function):
    """Lines of a function without its docstring."""
    first = function.body[0]
    docstring = first.end_lineno - first.lineno + 1 if ast.get_docstring(function) else 0
    return function.end_lineno - function.lineno + 1 - docstring


def lines_to_read(source):
    """Lines that are neither blank nor docstring; comments count."""
    docstrings = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            docstrings |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return sum(bool(line.strip()) and i not in docstrings for i, line in enumerate(source.splitlines(), 1))


def test_nobody_imports_what_the_house_forbids():
    sources = {file.relative_to(PACKAGE).as_posix(): read(file) for file in PACKAGE.rglob("*.py")}
    problems = [v for path, source in sources.items() for v in violations(source, path)]
    assert problems == [], "\n".join(problems)


def test_the_rules_themselves_hold_no_circle():
    needs = {
        name: {other for other in allowed if other in HOUSE} - {name} for name, (allowed, _) in HOUSE.items()
    }
    order = list(graphlib.TopologicalSorter(needs).static_order())
    assert order.index("core") < order.index("runs.engine") < order.index("runs.records")


def test_every_folder_is_a_room_and_says_what_lives_there():
    folders = sorted(file.parent for file in PACKAGE.rglob("__init__.py"))
    silent = [
        str(folder) for folder in folders if not ast.get_docstring(ast.parse(read(folder / "__init__.py")))
    ]
    assert silent == [], "each __init__.py says what lives in the folder and in which order to read it"
    names = {folder.relative_to(PACKAGE).parts for folder in folders} - {
        (),
        ("aggregation",),
        ("perturbation",),
    }
    strays = {
        ".".join(parts) for parts in names if room(parts) not in (".".join(parts), ".".join(parts[:-1]))
    }
    assert strays == set(), "give the new folder a rule in HOUSE"


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("optim.py", "import numpy"),
        ("optim.py", "from flatmtl_lite import lab"),
        ("optim.py", "import flatmtl_lite.runs.engine.trainer"),
        ("optim.py", "def f():\n    from .toy import problems"),
        ("perturbation/sam.py", "from ..runs.engine import trainer"),
        ("__init__.py", "from . import runs"),
        ("aggregation/mgda.py", "from scipy.optimize import minimize"),
        ("aggregation/mgda.py", "from ..lab.stage import stage"),
        ("aggregation/mgda.py", "import importlib\nimportlib.import_module('flatmtl_lite.lab')"),
        ("brand_new.py", "import plotly.graph_objects as go"),
        ("files.py", "import torch"),
        ("toy/problems.py", "import numpy as np"),
        ("toy/problems.py", "from ..lab.figures import style"),
        ("lab/stage/stage.py", "from ... import runs"),
        ("lab/stage/stage.py", "from ..instruments import rho"),
        ("lab/figures/training.py", "from ..instruments.parts import panels"),
        ("lab/instruments/rho.py", "from ..publish.site import site"),
        ("lab/checks/rules.py", "import pooch"),
        ("runs/engine/trainer.py", "from ...lab.figures import basic"),
        ("runs/engine/trainer.py", "from ..data.multimnist import MultiTaskData"),
        ("runs/engine/trainer.py", "from ..experiments.images import ImageTasks"),
        ("runs/engine/trainer.py", "from ...toy import problems"),
        ("runs/data/nyu.py", "from ... import lab"),
        ("runs/networks/images.py", "from ..measures.scenes import SceneMetrics"),
        ("runs/report/tables.py", "from ..records.teaching import recorded"),
        ("runs/launch.py", "from .records import teaching"),
        ("__main__.py", "import plotly"),
    ],
)
def test_a_forbidden_import_is_found(path, source):
    assert len(violations(source, path)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("optim.py", "import math, torch.nn\nfrom .aggregation import Mean\nfrom .perturbation import sam"),
        ("aggregation/__init__.py", "from .mgda import MGDA\nfrom ..gradients import gramian"),
        ("toy/problems.py", "from .. import decompose\nfrom . import families"),
        (
            "lab/stage/stage.py",
            "import anywidget, plotly.io\nfrom ...toy import problems\nfrom ... import MGDA",
        ),
        ("lab/instruments/rho.py", "from ..stage.stage import Stage\nfrom .parts.opening import position"),
        ("runs/data/nyu.py", "import numpy\nfrom .sources import fetch\nfrom ... import FlatMTL"),
        ("runs/records/teaching.py", "from ..train import train\nfrom ..report.tables import spread"),
        ("commands/sweep.py", "from ..runs.sweep.jobs import grid"),
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


def test_every_public_name_exists():
    assert {name for name in flatmtl_lite.__all__ if not hasattr(flatmtl_lite, name)} == set()


def test_the_reading_core_can_be_read_in_one_sitting():
    paths = [PACKAGE / name for name in READING_CORE]
    files = [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])]
    sizes = {file.relative_to(PACKAGE).as_posix(): lines_to_read(read(file)) for file in files}
    assert max(sizes.values()) <= 250, sizes
    others = {name: sizes.pop(f"perturbation/{name}.py") for name in ("samo", "polar")}
    assert 300 < sum(sizes.values()) <= 700, sizes
    assert 50 < sum(others.values()) <= 100, others


def test_a_method_fits_on_a_screen():
    files = {inspect.getfile(cls) for cls in flatmtl_lite.AGGREGATORS.values()}
    sizes = {Path(file).name: lines_to_read(read(Path(file))) for file in files}
    assert len(sizes) >= 5
    assert {name: size for name, size in sizes.items() if size > 60} == {}


def test_no_function_is_longer_than_a_screen():
    lengths = {
        f"{file.relative_to(PACKAGE).as_posix()}:{node.name}": body_lines(node)
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(read(file)))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert {name: lines for name, lines in lengths.items() if lines > 60} == {}


def test_lines_to_read_leaves_out_docstrings_and_blanks_only():
    source = '"""Module,\n\non three lines."""\n\nx = 1  # one\n# two\ndef f():\n    """Doc."""\n'
    source += '    return """three\n\nlines"""\n'
    assert lines_to_read(source) == 5
