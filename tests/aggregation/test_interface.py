"""Every aggregator is a module with the same manners: dtype, graph, losses, readable form, and its name."""

import pytest
import torch
from torch import nn

import flatmtl_lite as fm
from flatmtl_lite.aggregation.base import check_aggregator

every_aggregator = pytest.mark.parametrize("name", fm.AGGREGATORS)


@every_aggregator
def test_the_direction_has_the_dtype_of_the_gradients_and_no_graph(name, fresh):
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        G = torch.tensor([[1.0, 2.0, 0.0], [-1.0, 1.0, 1.0]], dtype=dtype, requires_grad=True)
        before = G.detach().clone()
        direction = fresh(name)(G)
        assert direction.dtype == dtype
        assert not direction.requires_grad
        assert torch.equal(G, before)


def test_a_gramian_method_accepts_losses_and_ignores_them(sample):
    G = sample("normal", 3, 5)
    for name, method in fm.AGGREGATORS.items():
        if issubclass(method, fm.GramianAggregator) and not method.reads_losses:
            with_losses = method()(G, losses=torch.rand(50, 3))
            assert torch.equal(with_losses, method()(G)), name


def test_an_aggregator_is_a_module_with_a_readable_form(make):
    for name in fm.AGGREGATORS:
        A = make(name)
        assert isinstance(A, fm.Aggregator)
        assert isinstance(A, nn.Module)
        assert repr(A).startswith(type(A).__name__ + "(")
        assert len(list(A.parameters())) == isinstance(A, fm.LearnedWeighting)


def test_only_the_mean_and_loss_weightings_have_weights_before_any_gradient(make):
    for name, method in fm.AGGREGATORS.items():
        weights = make(name, 4).loss_weights(torch.tensor([3.0, 1.0, 2.0, 0.5]))
        if name == "mean":
            assert weights.tolist() == [0.25] * 4
        elif issubclass(method, fm.LossWeighting):
            assert weights.shape == (4,)
            assert weights.dtype == torch.float64
            assert weights.sum().item() == pytest.approx(1)
        else:
            assert weights is None


def test_the_table_of_names_makes_each_method_with_its_options():
    methods = [fm.Mean, fm.MGDA, fm.PCGrad, fm.CAGrad, fm.IMTLG, fm.NashMTL, fm.FairGrad, fm.UPGrad]
    methods += [fm.AlignedMTL, fm.ConicGrad, fm.GradVac, fm.NGDiff, fm.GradDrop, fm.RLW, fm.DWA, fm.UW, fm.SI]
    methods += [fm.SLAW, fm.IMTLL, fm.BMTL, fm.ConFIG, fm.DualProj, fm.GLS, fm.STCH, fm.Constant]
    names = "mean mgda pcgrad cagrad imtl_g nash_mtl fairgrad upgrad aligned_mtl conicgrad gradvac ngdiff "
    names += "graddrop rlw dwa uw si slaw imtl_l bmtl config dual_proj gls stch constant"
    assert dict(zip(names.split(), methods, strict=True)).items() <= fm.AGGREGATORS.items()
    assert fm.aggregator("cagrad", c=0.7).c == 0.7
    assert type(fm.aggregator("imtl_l", tasks=2)) is fm.IMTLL


@pytest.mark.parametrize("name", ["nope", "CAGrad", "", "cagrad "])
def test_an_unknown_name_gets_the_list_of_names(name):
    with pytest.raises(ValueError, match=r"expected one of mean, mgda, pcgrad, cagrad, imtl_g") as caught:
        fm.aggregator(name)
    assert repr(name) in str(caught.value)


def test_the_base_class_leaves_the_direction_to_the_methods():
    with pytest.raises(NotImplementedError):
        fm.Aggregator()(torch.ones(2, 3))
    with pytest.raises(NotImplementedError):
        fm.GramianAggregator()(torch.ones(2, 3))
    assert fm.Aggregator().loss_weights(torch.ones(2)) is None
    assert not fm.Aggregator().is_function(1)


def test_most_aggregators_learn_nothing():
    A = fm.CAGrad()
    A.learn()
    assert list(A.parameters()) == []


def test_a_learner_needs_its_parameters_in_the_optimizer():
    A, weight = fm.UW(tasks=2), nn.Parameter(torch.zeros(3))
    assert check_aggregator(A, "erm") is A
    assert check_aggregator(A, "erm", torch.optim.SGD([weight, *A.parameters()], lr=0.1)) is A
    with pytest.raises(ValueError, match=r"Got UW, which learns, and an optimizer without its parameters"):
        check_aggregator(A, "erm", torch.optim.SGD([weight], lr=0.1))
    A.requires_grad_(False)
    assert check_aggregator(A, "erm", torch.optim.SGD([weight], lr=0.1)) is A


def test_only_an_aggregator_is_one():
    for other in ("cagrad", fm.CAGrad, nn.Linear(2, 2), None):
        with pytest.raises(ValueError, match=r"Got aggregate=.*; expected an aggregator, such as CAGrad"):
            check_aggregator(other, "erm")
