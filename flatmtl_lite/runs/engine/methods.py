"""Names of training methods: "stl", "mean", "sam-mean", "f-cagrad", "direct-mgda", ..."""

from dataclasses import dataclass

from ...aggregation import AGGREGATORS, Aggregator, LearnedWeighting
from ...names import did_you_mean

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
        single_task: whether each task has a network of its own, trained by a step and an optimizer of
            its own: see :func:`~flatmtl_lite.runs.engine.model.single_task`.
    """

    aggregator: str
    combine: str
    perturb: str
    single_task: bool = False

    @property
    def uses_rho(self) -> bool:
        """Whether a perturbed pass is part of the step; ρ changes nothing otherwise."""
        return self.combine != "erm"

    def make_aggregator(self, tasks: int) -> Aggregator:
        """The aggregator, told the number of tasks if it learns a parameter for each."""
        method = AGGREGATORS[self.aggregator]
        return method(tasks) if issubclass(method, LearnedWeighting) else method()


def parse_method(name: str) -> Method:
    """Read a name: an aggregator ("mean" is linear scalarisation), optionally after ``f-`` (the
    F-method), ``direct-``, ``second-``, ``each-`` or ``sam-`` (one ε from the mean loss).

    "stl" is single-task learning, a network for each task, and "f-stl" is SAM on each of them.

    Raises:
        ValueError: unknown name, or an aggregator that cannot be used that way.

    Example:
        >>> parse_method("f-cagrad")
        Method(aggregator='cagrad', combine='decomposed', perturb='task', single_task=False)
        >>> parse_method("f-stl").uses_rho
        True
    """
    prefix, dash, key = name.rpartition("-")
    if bool(prefix) != bool(dash) or prefix not in _PREFIXES or key not in ("stl", *AGGREGATORS):
        known = ["stl", "f-stl", *(f"{p}-{k}".lstrip("-") for p in _PREFIXES for k in AGGREGATORS)]
        raise ValueError(
            f"Got method {name!r}{did_you_mean(name, known)}; expected one of {', '.join(AGGREGATORS)}, "
            f"alone or after {', '.join(p + '-' for p in _PREFIXES if p)} (for example f-cagrad), or stl or "
            "f-stl."
        )
    if key == "stl":
        if prefix not in ("", "f"):
            raise ValueError(
                f"Got method {name!r}; expected stl, or f-stl for SAM on each network: a network of one task "
                "has nothing to aggregate, so every flat rule is the same there."
            )
        return Method("mean", *_PREFIXES[prefix], single_task=True)
    method = Method(key, *_PREFIXES[prefix])
    AGGREGATORS[key].check_rule(method.combine)
    return method
