"""``flatmtl-lite rooms``: draw synthetic rooms into a folder, or complete one."""

import argparse
from typing import Any

from ..runs import rooms

add_arguments = rooms.add_arguments


def run(**arguments: Any) -> int:
    rooms.main(argparse.Namespace(**arguments))
    return 0
