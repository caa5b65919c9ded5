"""A parser of the command line whose errors name the option and the nearest one that exists."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ..names import did_you_mean


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` that answers a mistake with one sentence, not with the whole usage.

    Attributes:
        takes_rest: whether words that it does not know are handed on.
    """

    takes_rest = False

    @property
    def options(self) -> list[str]:
        """The options that the parser knows, with their dashes."""
        return list(self._option_string_actions)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse the words; an unknown option is an error of the innermost command that meets it."""
        values, unknown = super().parse_known_args(args, namespace)
        if unknown and not self.takes_rest:
            self.refuse(unknown)
        return values, unknown

    def refuse(self, words: Sequence[str]) -> NoReturn:
        """End with an error that names the first unknown word and the option that is nearest to it."""
        word = next((word for word in words if word.startswith("-")), words[0])
        name = word.partition("=")[0]
        self.error(f"Got {name}{did_you_mean(name, self.options)}, which is unknown here.")

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and a message; for a word that is not a choice it names the nearest one."""
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            word, choices = choice[1], [name.strip("' ") for name in choice[2].split(",")]
            message += did_you_mean(word, choices)
        print(f"error: {message.rstrip('.')}. All options: {self.prog} --help", file=sys.stderr)
        sys.exit(2)
