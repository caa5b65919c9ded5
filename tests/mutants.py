"""Put faults into the kit, one by one, and see whether the tests catch them: ``python -m tests.mutants``.

``mutants.json`` lists the faults. Each replaces a text that stands exactly once in a file. A fault is caught
if the tests of its room fail; a run that hangs counts as caught. Everything happens in a copy of the tree.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_name("mutants.json")
SECONDS = 600  # for one fault; a hang counts as caught
LEFT_OUT = (".git", ".venv", "out", "docs", ".*_cache", ".hypothesis", "__pycache__")


def tests_of(mutant: dict) -> list[str]:
    """The tests that should see the fault: those it names, or those that mirror its file."""
    if "tests" in mutant:
        return mutant["tests"]
    path = Path(mutant["file"])
    mirrored = Path("tests", *path.parts[1:-1])
    named = mirrored / f"test_{path.stem}.py"
    return [str(named if (ROOT / named).exists() else mirrored)]


def is_caught(mutant: dict, tree: Path) -> bool:
    """Whether the tests in this copy of the tree fail with the fault in it."""
    file = tree / mutant["file"]
    text = file.read_text(encoding="utf-8")
    if text.count(mutant["old"]) != 1:
        raise ValueError(
            f"{mutant['file']} holds {mutant['old']!r} {text.count(mutant['old'])} times; expected once. "
            "Bring mutants.json up to date."
        )
    file.write_text(text.replace(mutant["old"], mutant["new"]), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests_of(mutant)]
    environment = os.environ | {"PYTHONPATH": str(tree), "FLATMTL_FAST": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        run = subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=SECONDS)
        return run.returncode != 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        file.write_text(text, encoding="utf-8")


def main() -> int:
    """Try the faults whose file or reason holds the given text, and return 1 if one of them is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "text", nargs="?", default="", help="try only faults whose file or reason holds this text"
    )
    parser.add_argument("--part", default="1/1", help="2/3: the second third of the list (default: all)")
    arguments = parser.parse_args()
    part, parts = map(int, arguments.part.split("/"))
    mutants = [
        m for m in json.loads(LIST.read_text(encoding="utf-8")) if arguments.text in m["file"] + m["why"]
    ]
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*LEFT_OUT))
        for mutant in mutants[part - 1 :: parts]:
            caught = is_caught(mutant, tree)
            print("caught" if caught else "MISSED", mutant["file"], mutant["why"], sep="\t", flush=True)
            missed += [] if caught else [mutant]
    print(f"{len(mutants[part - 1 :: parts]) - len(missed)} caught, {len(missed)} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
