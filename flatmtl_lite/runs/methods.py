"""Names of training methods: "mean", "sam-mean", "f-cagrad", "direct-mgda", ..."""

from dataclasses import dataclass

from ..aggregation import AGGREGATORS, Aggregator, LearnedWeighting

_PREFIXES = {
    "": ("erm", "task"),
    "f": ("decomposed", "task"),
    "direct": ("direct", "task"),
    "second": ("second", "task"),
    "each": ("each", "task"),
    "sam": ("direct", "mean"),
}


@dataclass(frozen=True)
class Method:
    """What a method's name stands for.

    Attributes:
        aggregator: key in ``AGGREGATORS``.
        combine: key in ``decomposition.RULES``.
        perturb: "task", or "mean" for one ε from the mean loss.
    """

    aggregator: str
    combine: str
    perturb: str

    def make_aggregator(self, tasks: int) -> Aggregator:
        """The aggregator, told the number of tasks if it learns a parameter for each."""
        method = AGGREGATORS[self.aggregator]
        return method(tasks) if issubclass(method, LearnedWeighting) else method()


def parse_method(name: str) -> Method:
    """Read a name: an aggregator ("mean" is linear scalarisation), optionally after ``f-`` (the
    F-method), ``direct-``, ``second-``, ``each-`` or ``sam-`` (one ε from the mean loss).

    Raises:
        ValueError: unknown name, or an aggregator that cannot be used that way.

    Example:
        >>> parse_method("f-cagrad")
        Method(aggregator='cagrad', combine='decomposed', perturb='task')
    """
    prefix, dash, key = name.rpartition("-")
    if bool(prefix) != bool(dash) or prefix not in _PREFIXES or key not in AGGREGATORS:
        raise ValueError(
            f"Got method {name!r}; expected one of {', '.join(AGGREGATORS)}, alone or after "
            f"{', '.join(p + '-' for p in _PREFIXES if p)} (for example f-cagrad)."
        )
    method = Method(key, *_PREFIXES[prefix])
    AGGREGATORS[key].check_rule(method.combine)
    return method
