"""GradVac remembers the angles of each part by itself, through rules, batches and files."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.decomposition import coefficients


def agreeing(seed=0, shape=(3, 8)):
    """Return loss and flat rows whose tasks agree to different degrees."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(2, *shape[:-2], 1, shape[-1], generator=generator, dtype=torch.float64)
    noise = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    return (common * torch.tensor([2.0, 0.5]).view(2, *[1] * len(shape)) + noise).unbind(0)


def test_within_decomposed_each_part_has_a_memory_that_moves_on_once_a_step():
    A = fm.GradVac(0.3, torch.Generator().manual_seed(1))
    shared = torch.Generator().manual_seed(1)
    parts = [fm.GradVac(0.3, shared), fm.GradVac(0.3, shared)]
    for seed in range(6):
        loss, flat = agreeing(seed)
        expected = parts[0](loss) + parts[1](flat)
        direction = fm.decomposed(fm.Decomposition(loss, flat), A)
        torch.testing.assert_close(direction, expected, rtol=1e-9, atol=1e-12)
    assert sorted(A.usual) == ["flat", "loss"]
    torch.testing.assert_close(A.usual["loss"], parts[0].usual["loss"])
    torch.testing.assert_close(A.usual["flat"], parts[1].usual["loss"])
    assert not A.usual["loss"].allclose(A.usual["flat"])


def test_direct_remembers_the_sam_gradients_and_erm_the_loss():
    A = fm.GradVac()
    d = fm.Decomposition(*agreeing())
    fm.direct(d, A)
    assert sorted(A.usual) == ["sam"]
    fm.erm(d, A)
    assert sorted(A.usual) == ["loss", "sam"]
    alone = fm.GradVac()
    alone(d.sam)
    torch.testing.assert_close(A.usual["sam"], alone.usual["loss"])


def test_a_batch_has_a_memory_for_each_problem():
    A, alone = fm.GradVac(), [fm.GradVac() for _ in range(4)]
    for seed in range(5):
        loss, _ = agreeing(seed, (4, 3, 8))
        torch.testing.assert_close(A(loss), torch.stack([a(g) for a, g in zip(alone, loss, strict=True)]))


def test_measuring_angles_of_rules_moves_nothing_on():
    A = fm.GradVac()
    d = fm.Decomposition(*agreeing())
    fm.decomposed(d, A)
    before = A.get_extra_state()
    fm.diagnostics.rule_cosine(d.gramian, A, "decomposed", "direct")
    after = A.get_extra_state()
    assert sorted(after) == sorted(before)
    assert all(after[key].equal(before[key]) for key in before)
    with pytest.raises(ValueError, match=r'Got GradVac with the rule "each"'):
        fm.diagnostics.rule_cosine(d.gramian, A, "decomposed", "each")


def test_weights_remember_the_part_of_that_name():
    A = fm.GradVac()
    M = torch.eye(3, dtype=torch.float64)
    for part in ("flat", None):
        A.weights(M, part=part)
    assert sorted(A.usual) == ["flat", "loss"]
    assert coefficients(torch.eye(6), A, "decomposed").shape == (6,)


@pytest.mark.parametrize("shape", [(2, 5), (4, 5), (7, 3, 5)])
def test_another_number_of_tasks_is_an_error_and_changes_nothing(shape):
    A = fm.GradVac()
    A(torch.eye(3, 5))
    before = A.get_extra_state()
    with pytest.raises(ValueError, match=r"Got a Gramian of shape .* remembers cosines of shape \(3, 3\)"):
        A(torch.ones(shape))
    assert all(A.get_extra_state()[key].equal(before[key]) for key in before)


@pytest.mark.parametrize("calls", [0, 3])
def test_the_state_goes_through_a_file_into_a_new_object(calls, tmp_path):
    def run(A, seeds):
        return [fm.decomposed(fm.Decomposition(*agreeing(seed)), A).tolist() for seed in seeds]

    old = fm.GradVac(0.3, torch.Generator().manual_seed(5))
    run(old, range(calls))
    torch.save(old.state_dict(), tmp_path / "state.pt")
    expected = run(old, range(10, 16))
    fresh = fm.GradVac(0.3)
    assert run(fresh, range(10, 16)) != expected
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert run(fresh, range(10, 16)) == expected
