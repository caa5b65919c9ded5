"""An aggregator refuses bad input at once: the error names the value, the expectation and the remedy."""

import math
import re

import numpy as np
import pytest
import torch

import flatmtl_lite as fm


def test_a_matrix_without_task_gradients_is_refused(kind, make):
    for G, message in [
        (torch.ones(3), r"shape \(3,\)"),
        (torch.tensor(1.0), r"shape \(\)"),
        (torch.ones(0, 3), r"shape \(0, 3\)"),
        (torch.ones(3, 0), r"shape \(3, 0\)"),
        (torch.ones(2, 3, 0), r"shape \(2, 3, 0\)"),
        (torch.ones(2, 3, dtype=torch.int64), "dtype torch.int64"),
        (torch.ones(2, 3, dtype=torch.bool), "dtype torch.bool"),
        (torch.ones(2, 3, dtype=torch.complex64), "dtype torch.complex64"),
    ]:
        with pytest.raises(
            ValueError, match=rf"{message}.*expected a floating tensor \(\.\.\., T, P\).*Stack"
        ):
            make(kind)(G, losses=torch.ones(3))


def test_task_gradients_must_be_a_tensor(kind, make):
    for G in ("abc", [[1.0, 2.0], [3.0, 4.0]], np.ones((2, 3)), None):
        with pytest.raises(ValueError, match=rf"Got {type(G).__name__} as task gradients; expected a tensor"):
            make(kind)(G, losses=torch.ones(2))


def test_a_gramian_and_losses_must_be_tensors_too():
    with pytest.raises(ValueError, match=r"Got list as a Gramian; expected a tensor, such as G @ G\.mT"):
        fm.MGDA().weights([[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(ValueError, match="Got list as losses; expected a tensor"):
        fm.SI()(torch.eye(2), losses=[1.0, 2.0])
    with pytest.raises(ValueError, match="Got list as losses; expected a tensor"):
        fm.SI().loss_weights([1.0, 2.0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_a_gramian_may_be_symmetric_up_to_rounding(dtype):
    cosines = torch.rand(100, 1, 1, generator=torch.Generator().manual_seed(0)) * torch.ones(3, 3)
    scale = torch.tensor([1.0, 1e-2, 10.0])
    M = (cosines.masked_fill(torch.eye(3) > 0, 1.0) * scale[:, None] * scale).to(dtype)
    off = M * (1 + torch.full((3, 3), torch.finfo(dtype).eps, dtype=dtype).tril(-1))
    assert not off.equal(off.mT)
    assert fm.MGDA().weights(off).isfinite().all()


@pytest.mark.parametrize(
    ("M", "message"),
    [
        (torch.ones(2, 3), r"shape \(2, 3\)"),
        (torch.ones(4, 3, 2), r"shape \(4, 3, 2\)"),
        (torch.ones(3), r"shape \(3,\)"),
        (torch.ones(0, 0), r"shape \(0, 0\)"),
        (torch.ones(2, 2, dtype=torch.int32), "dtype torch.int32"),
        (torch.tensor([[1.0, 0.0], [-0.5, 1.0]]), "not symmetric"),  # the gradients themselves
        (torch.tensor([[1e4, 5.0, 0.0], [5.0, 1.0, 0.1], [0.0, 0.12, 1.0]]), "not symmetric"),
        (torch.stack([torch.eye(2), torch.ones(2, 2).tril()]), "not symmetric"),
        (torch.tensor([[1.0, math.nan], [math.nan, 1.0]]), "NaN or infinity"),
        (torch.tensor([[1.0, 0.0], [0.0, math.inf]]), "NaN or infinity"),
    ],
)
def test_a_matrix_that_is_not_a_gramian_is_refused(M, message):
    for name in ("mean", "mgda", "gradvac"):
        with pytest.raises(ValueError, match=rf"Gramian.*{message}.*expected \(\.\.\., T, T\).*G @ G\.mT"):
            fm.aggregator(name).weights(M)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(math.nan, torch.float64), (math.inf, torch.float32), (-math.inf, torch.float16)],
)
def test_the_error_names_the_gradients_that_are_not_finite(kind, dtype, value, fresh):
    for tasks in ([1], [0, 2], [0, 1, 2, 3]):
        G = torch.ones(4, 5, dtype=dtype)
        G[tasks, 3] = value
        message = f"of task {', '.join(map(str, tasks))} holds NaN"
        with pytest.raises(fm.NonFiniteGradient, match=message) as caught:
            fresh(kind)(G)
        assert caught.value.tasks == tasks
        assert isinstance(caught.value, ValueError)


def test_the_error_names_the_task_within_a_batch_too(kind, fresh):
    G = torch.ones(2, 3, 4, 5)
    G[0, 2, 1, 0] = math.nan
    G[1, 0, 3, 4] = math.inf
    with pytest.raises(fm.NonFiniteGradient) as caught:
        fresh(kind)(G)
    assert caught.value.tasks == [1, 3]


def test_the_error_names_a_row_also_when_another_row_leaves_the_range_of_squares(kind, fresh):
    G = torch.full((3, 4), 1e30)
    G[0] = 0
    G[2, 2] = math.nan
    with pytest.raises(fm.NonFiniteGradient) as caught:
        fresh(kind)(G)
    assert caught.value.tasks == [2]


@pytest.mark.parametrize("name", ["pcgrad", "gradvac", "graddrop", "rlw"])
def test_refused_input_costs_no_draw(name):
    A = fm.aggregator(name)
    state = A.generator.get_state()
    for G in (torch.full((2, 3), math.nan), torch.ones(3), torch.ones(2, 3, dtype=torch.int64)):
        with pytest.raises(ValueError, match=r"expected|holds"):
            A(G, losses=torch.ones(2))
    if name == "rlw":
        for losses in (None, torch.tensor([1.0, math.nan])):
            with pytest.raises(ValueError, match=r"Got no losses|loss of task 1"):
                A.loss_weights(losses)
    assert torch.equal(A.generator.get_state(), state)


NUMBER = "expected a finite number > 0"
RANGES = [
    ("cagrad", "c", (-1, -1e-9, math.nan, math.inf, -math.inf), "expected a finite number >= 0"),
    ("conicgrad", "c", (-0.1, 1.1, math.nan, math.inf), "expected a cosine from 0 to 1"),
    ("fairgrad", "alpha", (0, 0.4, 4.5, -1, math.nan, math.inf), "expected a number from 0.5 to 4"),
    ("gradvac", "beta", (-0.1, 1.1, math.nan), r"expected a number in \[0, 1\]"),
    ("dwa", "window", (0, -3, 2.5, None), "expected a number of steps >= 1"),
    ("dwa", "temperature", (0.0, -1.0, math.inf, math.nan), NUMBER),
    ("stch", "window", (0, -3, 2.5, None), "expected a number of steps >= 1"),
    ("stch", "mu", (0.0, -1.0, math.inf, math.nan), NUMBER),
    ("bmtl", "temperature", (0.0, -1.0, math.inf, math.nan), NUMBER),
    ("slaw", "decay", (-0.1, 1.0, math.nan), r"expected a number in \[0, 1\)"),
    ("uw", "tasks", (0, -1, 2.0), "expected the number of tasks"),
    ("imtl_l", "tasks", (0, -1, 2.0), "expected the number of tasks"),
    ("gradnorm", "alpha", (-1, -1e-9, math.nan, math.inf), "expected a finite number >= 0"),
    ("gradnorm", "lr", (0, -1, math.inf, math.nan), NUMBER),
    ("db_mtl", "beta", (-0.1, 1.0, math.nan), r"expected a number in \[0, 1\)"),
    ("moco", "beta", (0, -0.1, 1.1, math.nan), r"expected a number in \(0, 1\]"),
    ("moco", "gamma", (0, -1, math.inf, math.nan), NUMBER),
    ("moco", "rho", (-1, -1e-9, math.nan, math.inf), "expected a finite number >= 0"),
    ("excess_mtl", "eta", (0, -1, math.inf, math.nan), NUMBER),
    ("pcgrad", "generator", (0,), "expected torch.Generator"),
    ("gradvac", "generator", (0,), "expected torch.Generator"),
    ("graddrop", "generator", (0,), "expected torch.Generator"),
    ("rlw", "generator", (0,), "expected torch.Generator"),
]


@pytest.mark.parametrize(("name", "option", "values", "message"), RANGES)
def test_an_option_out_of_range_or_of_another_type_is_refused(name, option, values, message):
    for value in (*values, "0.4", [0.4], 1j):
        with pytest.raises(ValueError, match=rf"Got {option}={re.escape(repr(value))}; {message}"):
            fm.aggregator(name, **{option: value})


def test_an_option_may_be_a_numpy_number():
    assert fm.CAGrad(c=np.float32(0.5)).c == 0.5
