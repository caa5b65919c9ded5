"""Names of training methods: "stl", "mean", "sam-mean", "f-cagrad", "direct-mgda", "samo-cagrad", ..."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...aggregation import AGGREGATORS, Aggregator, LearnedWeighting, aggregator
from ...names import check_name

# prefix of the name -> rule to combine loss and flat parts, and who chooses ε
_PREFIXES = {
    "": ("erm", "task"),
    "f": ("decomposed", "task"),
    "direct": ("direct", "task"),
    "second": ("second", "task"),
    "each": ("each", "task"),
    "lf": ("loss_first", "task"),
    "ff": ("flat_first", "task"),
    "sam": ("direct", "mean"),
    "samo": ("direct", "samo"),
    "gsam": ("direct", "gsam"),
    "lsam": ("direct", "task"),
    "polar": ("direct", "polar"),
    "sage": ("direct", "polar"),
    "noise": ("erm", "task"),
}
_NAMES = ["stl", "f-stl", *(f"{prefix}-{key}".lstrip("-") for prefix in _PREFIXES for key in AGGREGATORS)]
_EXPECTED = (
    f"one of {', '.join(AGGREGATORS)}, alone or after {', '.join(p + '-' for p in _PREFIXES if p)} "
    "(for example f-cagrad), or stl or f-stl"
)


@dataclass(frozen=True)
class Method:
    """The meaning of a method's name.

    Attributes:
        aggregator: key in ``AGGREGATORS``.
        combine: key in ``decomposition.RULES``.
        perturb: "task"; "mean" for one ε from the mean loss; "samo", "gsam" (SAMO with α = 1) or "polar".
        single_task: whether each task has a network of its own, trained by a step and an optimizer of
            its own: see :func:`~flatmtl_lite.runs.engine.model.single_task`.
        noisy: whether noise on the gradients is part of the method.
    """

    aggregator: str
    combine: str
    perturb: str
    single_task: bool = False
    noisy: bool = False

    @property
    def uses_rho(self) -> bool:
        """Whether a perturbed pass is part of the step; otherwise ρ changes nothing."""
        return self.combine != "erm"

    def make_aggregator(self, tasks: int, weights: Sequence[float] = ()) -> Aggregator:
        """Return a new aggregator; it is told the number of tasks if it learns a parameter for each.

        Args:
            tasks: the number of tasks.
            weights: fixed weights, for "constant"; none: equal ones.

        Raises:
            ValueError: there is another number of weights.
        """
        method = AGGREGATORS[self.aggregator]
        if weights and len(weights) != tasks:
            raise ValueError(
                f"Got {len(weights)} weights, {weights}, for {tasks} tasks; expected one per task."
            )
        if weights:
            return aggregator(self.aggregator, weights=weights)
        return method(tasks) if issubclass(method, LearnedWeighting) else method()


def parse_method(name: str) -> Method:
    """Read the name of a method.

    A name is an aggregator, optionally after a prefix: ``f-`` (the F-method), ``direct-``, ``second-``,
    ``each-``, ``lf-`` (loss part first), ``ff-`` (flat part first) or ``sam-`` (one ε from the mean loss);
    ``samo-``, its ends ``gsam-`` (global alone) and ``lsam-`` (local alone, the same as ``direct-``);
    ``sage-``, and its halves ``polar-`` and ``noise-``.
    The aggregator "mean" alone is linear scalarisation. "stl" is single-task learning, one network for each
    task, and "f-stl" is SAM on each of them.

    Raises:
        ValueError: the name is unknown, or the aggregator cannot be used with that prefix.

    Example:
        >>> parse_method("f-cagrad")
        Method(aggregator='cagrad', combine='decomposed', perturb='task', single_task=False, noisy=False)
        >>> parse_method("f-stl").uses_rho
        True
    """
    prefix, _, key = name.rpartition("-")
    if key == "stl" and prefix in _PREFIXES.keys() - {"", "f"}:
        raise ValueError(
            f"Got method {name!r}; expected stl, or f-stl for SAM on each network: a network of one task "
            "has nothing to aggregate, so every flat rule is the same there."
        )
    check_name("method", name, _NAMES, _EXPECTED)
    if key == "stl":
        return Method("mean", *_PREFIXES[prefix], single_task=True)
    method = Method(key, *_PREFIXES[prefix], noisy=prefix in ("sage", "noise"))
    AGGREGATORS[key].check_rule(method.combine)
    return method
