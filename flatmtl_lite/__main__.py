"""The command line: ``flatmtl-lite train multimnist ...``, ``plan``, ``sweep``, ``report`` and more."""

import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from .commands import COMMANDS
from .commands.parser import Parser


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; an error is explained in one sentence.

    The file of a command is imported only when the command is called: so ``--help`` needs the core alone.

    Returns:
        The exit code: 0; 1 for an error that is explained; 2 for arguments that do not fit; 3 for a folder
        that another process uses; 128 and the number of the signal, so 130 for Ctrl-C, for a run that was
        stopped and can go on.
    """
    words = list(sys.argv[1:] if words is None else words)
    name = words[0] if words and words[0] in COMMANDS else ""
    try:
        module = import_module(f".commands.{COMMANDS[name].module}", __package__) if name else None
    except ModuleNotFoundError as error:
        return _explain_missing(name, error)
    values = _read(words, name, module)
    try:
        return module.run(**values)  # type: ignore[union-attr]
    except KeyboardInterrupt as stop:
        if not getattr(stop, "is_said", False):  # of several processes one says it
            print(stop if str(stop) else "Stopped.", file=sys.stderr)
        return getattr(stop, "exit_code", 128 + signal.SIGINT)
    except ModuleNotFoundError as error:
        return _explain_missing(name, error)
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        print(f"error: {error}", file=sys.stderr)
        return code


def _read(words: Sequence[str], name: str, module: ModuleType | None) -> dict[str, Any]:
    """Return the arguments for a command; only the parser of that command has its arguments."""
    summary = "A course on multi-task learning and flat minima, and the full experiments behind it."
    parser = Parser(prog="flatmtl-lite", description=summary)
    parser.takes_rest = True  # the command itself refuses what it does not know
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for other, command in COMMANDS.items():
        subparser = commands.add_parser(
            other, help=command.help, description=f"{command.help[0].upper()}{command.help[1:]}."
        )
        subparser.takes_rest = other == name and getattr(module, "REST", None) == "unknown"
        if module is not None and other == name:
            module.add_arguments(subparser)
    rest: list[str] = []
    if getattr(module, "REST", None) == "after --" and "--" in words:
        dashes = list(words).index("--")
        words, rest = words[:dashes], list(words[dashes + 1 :])
    arguments, unknown = parser.parse_known_args(words)
    if getattr(module, "REST", None) == "unknown":
        rest = unknown
    return vars(arguments) | ({"rest": rest} if hasattr(module, "REST") else {})


def _explain_missing(name: str, error: ModuleNotFoundError) -> int:
    """Say which extra to install; raise the error if the missing module is one of ours."""
    if not error.name or error.name.partition(".")[0] == __package__:
        raise error
    extra = COMMANDS[name].extra
    remedy = f'pip install "flatmtl-lite[{extra}]"'
    print(f"error: flatmtl-lite {name} needs {error.name}, which is not installed: {remedy}", file=sys.stderr)
    return 1


def _exit_code(error: Exception) -> int | None:
    """Return the exit code of an error that needs no traceback, and None for any other error."""
    code = getattr(error, "exit_code", None)  # a run's errors carry theirs, so that runs need no import
    if code is None and isinstance(error, (OSError, ValueError)):
        code = 1 if isinstance(error, OSError) else 2
    return code


if __name__ == "__main__":
    sys.exit(main())
