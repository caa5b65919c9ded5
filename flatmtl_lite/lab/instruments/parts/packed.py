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

    Raises:
        ValueError: the text is damaged, such as one that was not copied whole.

    Example:
        >>> unpack(pack({"rho": [0.0, 0.1]}))
        {'rho': [0.0, 0.1]}
    """
    try:
        return json.loads(lzma.decompress(base64.b64decode(text)))
    except (ValueError, lzma.LZMAError) as error:
        start = text[:20]
        raise ValueError(
            f"Got '{start}...' ({error}); expected a packed text. Copy the whole call."
        ) from error
