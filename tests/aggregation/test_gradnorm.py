"""GradNorm brings weighted gradients to the lengths that the losses ask for, step by step."""

import pytest
import torch

import flatmtl_lite as fm


def objective(w, norms, losses, initial, alpha):
    """The sum of |Gᵢ - goal| in units of the mean length, the goals held fixed; ``w`` needs a gradient."""
    lengths = w * norms
    rates = losses / initial
    mean = lengths.mean().detach()
    return ((lengths - mean * (rates / rates.mean()) ** alpha).abs() / mean).sum()


@pytest.mark.parametrize("alpha", [0.0, 0.12, 1.5])
@pytest.mark.parametrize("T", [1, 2, 5])
def test_weights_follow_the_slope_of_the_published_objective(T, alpha, sample):
    """Autograd takes the slope in log w; the weights keep their sum."""
    A, w = fm.GradNorm(alpha, lr=0.1), torch.full((T,), 1 / T, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    initial = None
    for G in sample("normal", T, 6, batch=10, decades=1):
        losses = torch.rand(T, generator=generator, dtype=torch.float64) * 3 + 0.1
        initial = losses if initial is None else initial
        torch.testing.assert_close(A(G, losses=losses), w @ G)
        logs = w.log().requires_grad_()
        objective(logs.exp(), G.norm(dim=-1), losses, initial, alpha).backward()
        w = (logs.detach() - 0.1 * logs.grad).softmax(-1)
        torch.testing.assert_close(A.memory["loss weights"] / T, w)


def test_it_gives_the_directions_by_hand():
    """The lengths are 1/2 and 3/2 of their mean, so the logs move by +0.25 and -0.75."""
    A = fm.GradNorm(lr=0.5)
    G, losses = torch.tensor([[1.0, 0.0], [0.0, 3.0]], dtype=torch.float64), torch.tensor([1.0, 2.0])
    assert A(G, losses=losses).tolist() == pytest.approx([0.5, 1.5])
    share = torch.tensor(1.0, dtype=torch.float64).sigmoid().item()
    assert A(G, losses=losses).tolist() == pytest.approx([share, 3 * (1 - share)])
    A = fm.GradNorm(alpha=1.0, lr=0.5)
    A(torch.eye(2, dtype=torch.float64), losses=torch.tensor([1.0, 1.0]))  # on both goals: no slope
    A(torch.eye(2, dtype=torch.float64), losses=torch.tensor([1.0, 3.0]))  # goals 1/2 and 3/2, logs -+ 0.5
    direction = A(torch.eye(2, dtype=torch.float64), losses=torch.tensor([1.0, 1.0]))
    assert direction.tolist() == pytest.approx([1 - share, share])


@pytest.mark.parametrize("lr", [0.1, 0.01])
def test_where_all_losses_fell_by_the_same_share_all_weighted_norms_come_to_one_length(lr, sample):
    A, losses = fm.GradNorm(lr=lr), torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
    [G] = sample("normal", 3, 6, batch=1, decades=3)
    for k in range(int(100 / lr)):
        A(G, losses=losses / (1 + k))
    lengths = A.memory["loss weights"] * G.norm(dim=-1)
    assert lengths.max() / lengths.min() <= 1 + 4 * lr
    torch.testing.assert_close(A.memory["loss weights"].sum(), torch.tensor(3.0, dtype=torch.float64))


def test_a_task_whose_loss_falls_slowly_gets_a_longer_gradient():
    A, G = fm.GradNorm(alpha=1.0), torch.eye(2, dtype=torch.float64)
    A(G, losses=torch.tensor([1.0, 1.0]))
    for _ in range(300):
        direction = A(G, losses=torch.tensor([0.9, 0.3]))
    assert direction.tolist() == pytest.approx([0.75, 0.25], abs=0.02)


def test_the_units_of_losses_and_gradients_do_not_matter(sample):
    A, B, C = fm.GradNorm(), fm.GradNorm(), fm.GradNorm()
    units = torch.tensor([1.0, 1e3, 1e-6], dtype=torch.float64)
    for k, G in enumerate(sample("normal", 3, 6, batch=8)):
        losses = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64) / (1 + k * torch.arange(3))
        A(G, losses=losses)
        B(G * 1e-20, losses=losses * units)
        torch.testing.assert_close(A.memory["loss weights"], B.memory["loss weights"])
        C(G * units.unsqueeze(-1), losses=losses)
    assert not A.memory["loss weights"].allclose(C.memory["loss weights"])


def test_a_gradient_of_0_moves_no_weight():
    A = fm.GradNorm()
    for losses in ([1.0, 1.0], [0.5, 1.0]):
        assert A(torch.zeros(2, 3), losses=torch.tensor(losses)).tolist() == [0, 0, 0]
        assert A.memory["loss weights"].tolist() == [1, 1]
    A = fm.GradNorm()
    G = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    for k in range(300):
        assert A(G, losses=torch.tensor([1.0 - 1e-4 * k, 1.0])).tolist() == pytest.approx([0.5, 0.0])


def test_every_weight_stays_above_0_however_large_the_step_is(sample):
    A, G = fm.GradNorm(lr=300.0), torch.tensor([[1.0, 0, 0], [0, 2, 0], [0, 0, 9]], dtype=torch.float64)
    seen = []
    for _ in range(20):
        A(G, losses=torch.ones(3))
        seen.append(A.memory["loss weights"])
    assert (torch.stack(seen) > 0).all()
    assert {w.argmax().item() for w in seen} != {seen[0].argmax().item()}


def test_a_task_with_a_gradient_of_0_counts_as_absent(sample):
    A, twin = fm.GradNorm(lr=0.1), fm.GradNorm(lr=0.1)
    for k, G in enumerate(sample("normal", 3, 6, batch=12)):
        losses = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64) / (1 + k * torch.arange(3))
        if k in (0, 1, 5, 8):
            A(torch.cat([G[:2], torch.zeros(1, 6)]), losses=losses)
            with twin.present([0, 1], 3):
                twin(G[:2], losses=losses[:2])
            twin.memory = {**twin.memory, "loss initial": A.memory["loss initial"]}
            torch.testing.assert_close(A.memory["loss weights"][:2], twin.memory["loss weights"][:2])
        else:
            torch.testing.assert_close(A(G, losses=losses), twin(G, losses=losses))
    assert A.memory["loss weights"].std() > 0.05


def test_each_part_has_weights_of_its_own_and_both_read_the_losses_at_the_start(sample):
    A, parts = fm.GradNorm(), [fm.GradNorm(), fm.GradNorm()]
    for k, (loss, flat) in enumerate(sample("normal", 3, 6, batch=12).reshape(6, 2, 3, 6)):
        losses = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64) / (1 + k * torch.arange(3))
        d = fm.Decomposition(loss, flat, losses=losses, perturbed_losses=100 * losses.flip(-1))
        expected = parts[0](loss, losses=losses) + parts[1](flat, losses=losses)
        torch.testing.assert_close(fm.decomposed(d, A), expected)
    for part, twin in zip(("loss", "flat"), parts, strict=True):
        for entry in ("initial", "weights"):
            torch.testing.assert_close(A.memory[f"{part} {entry}"], twin.memory[f"loss {entry}"])
    assert len(A.memory) == 4


@pytest.mark.parametrize("calls", [0, 4])
def test_the_state_goes_through_a_file_into_a_new_object(calls, tmp_path, sample):
    def run(A, rows, seed):
        generator = torch.Generator().manual_seed(seed)
        losses = torch.rand(len(rows), 3, generator=generator, dtype=torch.float64) + 0.1
        return [A(G, losses=loss).tolist() for G, loss in zip(rows, losses, strict=True)]

    rows = sample("normal", 3, 6, batch=10)
    old = fm.GradNorm()
    run(old, rows[:calls], 0)
    torch.save(old.state_dict(), tmp_path / "state.pt")
    expected = run(old, rows[5:], 1)
    fresh = fm.GradNorm()
    assert (run(fresh, rows[5:], 1) != expected) == (calls > 0)
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert run(fresh, rows[5:], 1) == expected


def test_losses_are_needed_and_must_be_positive():
    A, G = fm.GradNorm(), torch.eye(2)
    for call in (
        lambda: A(G),
        lambda: A.weights(G),
        lambda: fm.erm(fm.Decomposition(G), A),
    ):
        with pytest.raises(ValueError, match=r"Got no losses, which GradNorm needs; expected one per task"):
            call()
    with pytest.raises(
        ValueError, match=r"Got a loss of 0 for task 1; expected losses > 0, because GradNorm"
    ):
        A(G, losses=torch.tensor([1.0, 0.0]))
    A(G, losses=torch.ones(2))
    before = dict(A.memory)
    with pytest.raises(ValueError, match=r"Got losses of shape \(3,\).*remembers some of shape \(2,\)"):
        A(torch.eye(3), losses=torch.ones(3))
    assert A.memory == before
