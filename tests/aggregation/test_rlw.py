"""RLW is the softmax of normal numbers, one draw per step."""

import torch

import flatmtl_lite as fm

LOSSES = torch.tensor([0.5, 2.0, 1.0])


def test_the_weights_are_the_softmax_of_normal_numbers():
    A, generator = fm.RLW(torch.Generator().manual_seed(7)), torch.Generator().manual_seed(7)
    for _ in range(20):
        z = torch.randn(3, generator=generator, dtype=torch.float64).exp()
        torch.testing.assert_close(A.loss_weights(LOSSES), z / z.sum(), rtol=1e-10, atol=0)
    assert A.generator is not generator
    assert A.generator.get_state().equal(generator.get_state())


def test_on_average_the_weights_are_equal_and_the_losses_do_not_matter():
    one, other = fm.RLW(), fm.RLW()
    draws = torch.stack([one.loss_weights(LOSSES) for _ in range(4000)])
    assert (draws.mean(0) - 1 / 3).abs().max() < 5 * draws.std() / 4000**0.5
    assert draws.std() > 0.1
    assert other.loss_weights(1000 * LOSSES).equal(draws[0])


def test_one_draw_serves_both_parts_and_the_batch(sample):
    loss, flat = sample("normal", 3, 8, batch=8).reshape(2, 4, 3, 8)
    generator = torch.Generator().manual_seed(0)
    A = fm.RLW()
    for _ in range(3):
        w = torch.randn(3, generator=generator, dtype=torch.float64).softmax(-1)
        direction = fm.decomposed(fm.Decomposition(loss, flat, losses=LOSSES.expand(4, 3)), A)
        torch.testing.assert_close(direction, w @ (loss + flat))


def test_the_global_generator_is_neither_read_nor_moved():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = fm.RLW().loss_weights(LOSSES)
    assert torch.get_rng_state().equal(state)
    torch.manual_seed(2)
    assert fm.RLW().loss_weights(LOSSES).equal(first)
