"""Names of training methods for people, the same in every table and figure."""

from .aggregation import AGGREGATORS

PREFIXES = {
    "f": "F-",
    "direct": "direct ",
    "second": "second ",
    "each": "each ",
    "sam": "SAM ",
    "lf": "loss-first ",
    "ff": "flat-first ",
    "samo": "SAMO-",
    "gsam": "G-SAM-",
    "lsam": "L-SAM-",
    "sage": "SAGE-",
    "polar": "polar ",
    "noise": "noisy ",
}


# where the name of the class is not the name in the papers
NAMES = {
    "mean": "LS",
    "stl": "STL",
    "imtl_g": "IMTL-G",
    "imtl_l": "IMTL-L",
    "nash_mtl": "Nash-MTL",
    "aligned_mtl": "Aligned-MTL",
    "db_mtl": "DB-MTL",
}


def method_title(method: str) -> str:
    """Return the name of a method for people.

    Example:
        >>> [method_title(key) for key in ("mean", "f-mean", "direct-cagrad", "sam-mean", "f-stl")]
        ['LS', 'F-LS', 'direct CAGrad', 'SAM on the mean loss', 'F-STL']
    """
    if method == "sam-mean":
        return "SAM on the mean loss"
    prefix, _, key = method.rpartition("-")
    names = {name: cls.__name__ for name, cls in AGGREGATORS.items()} | NAMES
    return PREFIXES.get(prefix, prefix) + names.get(key, key)
