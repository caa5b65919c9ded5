"""Many numbers as a short text, which a call can hold."""

import base64
import json
import lzma
from typing import Any


def pack(values: Any) -> str:
    """Write numbers, texts, lists and dictionaries with texts as keys as one short text."""
    text = json.dumps(values, separators=(",", ":"))
    return base64.b64encode(lzma.compress(text.encode())).decode()


def unpack(text: str) -> Any:
    """Return the values of a text from :func:`pack`.

    Example:
        >>> unpack(pack({"rho": [0.0, 0.1]}))
        {'rho': [0.0, 0.1]}
    """
    return json.loads(lzma.decompress(base64.b64decode(text)))
