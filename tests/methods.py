"""One aggregator of each kind, for what is tested once per kind. Laws are tested for every method."""

import pytest

import flatmtl_lite as fm
from flatmtl_lite.aggregation.base import Drawing
from flatmtl_lite.aggregation.loss_weighting import RunningWeighting
from flatmtl_lite.decomposition import RULES

TRAITS = (fm.Mean, fm.GramianAggregator, fm.LossWeighting, Drawing, RunningWeighting, fm.LearnedWeighting)


def one_of_each_kind():
    """Names of aggregators, the first of every combination of traits that occurs."""
    kinds = {}
    for name, method in fm.AGGREGATORS.items():
        traits = tuple(issubclass(method, trait) for trait in TRAITS)
        kinds.setdefault((traits, method.needs_tasks), name)
    return list(kinds.values())


def rules_of(name):
    """The rules that the aggregator takes: "second" and "each" also aggregate rows that are not tasks."""
    return [rule for rule in RULES if not (fm.AGGREGATORS[name].needs_tasks and rule in ("second", "each"))]


KINDS = one_of_each_kind()
WEIGHTINGS = [name for name in KINDS if issubclass(fm.AGGREGATORS[name], fm.LossWeighting)]
every_method = pytest.mark.parametrize("name", fm.AGGREGATORS)
every_kind = pytest.mark.parametrize("name", KINDS)
every_kind_and_rule = pytest.mark.parametrize(
    ("name", "rule"), [(name, rule) for name in KINDS for rule in rules_of(name)]
)
