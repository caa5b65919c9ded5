"""Answer commands whose file has moved, because recorded results quote them.

``python -m flatmtl_lite.runs.splitting FILE`` asks Python to find the module ``flatmtl_lite.runs.splitting``.
There is no such file any more. A finder at the end of ``sys.meta_path`` finds a stand-in whose only line
names the new command. So no stub file is needed for each old name.
"""

import shlex
import sys
from collections.abc import Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import NoReturn

PACKAGE = __name__.rpartition(".")[0]
COMMANDS = {
    f"{PACKAGE}.splitting": "record splitting",
    f"{PACKAGE}.flatness": "record flatness",
    f"{PACKAGE}.rooms_record": "record rooms",
}


class MovedCommands(MetaPathFinder, InspectLoader):
    """Finds the old name of a command and loads a module that answers with the new command."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_loader(fullname, self) if fullname in COMMANDS else None

    def get_source(self, fullname: str) -> str:
        return f"from {__name__} import answer\nanswer({fullname!r}, __name__)\n"


def answer(old: str, module: str) -> NoReturn:
    """End the process with the new command if the old one was started, or refuse an import of the old name.

    Args:
        old: old name of the module.
        module: ``__name__`` of the stand-in: "__main__" if it was started by ``python -m``.
    """
    command = f"flatmtl-lite {COMMANDS[old]}"
    if module != "__main__":
        raise ModuleNotFoundError(f"{old} has moved; its command is now: {command}", name=old)
    sys.exit(f"python -m {old} has moved. Use: {command} {shlex.join(sys.argv[1:])}")


def register() -> None:
    """Let Python find the old names; called when the package is imported."""
    if not any(isinstance(finder, MovedCommands) for finder in sys.meta_path):
        sys.meta_path.append(MovedCommands())
