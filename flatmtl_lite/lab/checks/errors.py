"""Errors that learners often meet, in plain words."""

from ...aggregation import NonFiniteGradient

# a part of PyTorch's message -> what went wrong, for mistakes that learners often make
ERRORS = {
    "a leaf Variable that requires grad": (
        "a parameter cannot be changed in place while PyTorch records gradients. Put the change inside "
        "`with torch.no_grad():`."
    ),
    "not have been used in the graph": (
        "the loss did not read the tensor whose gradient you ask for. A line such as w = w + ε makes a new "
        "tensor that no loss ever reads. Change w itself: w.copy_(...) inside `with torch.no_grad():`."
    ),
    "does not have a grad_fn": (
        "PyTorch has recorded nothing to differentiate. The loss must stand outside torch.no_grad(), and the "
        "weights must require a gradient. A gradient that you differentiate again needs create_graph=True."
    ),
    "does not require grad": (
        "the tensor whose gradient you ask for is not tracked. A line such as w = w + ε inside "
        "torch.no_grad() makes a new, untracked tensor, and so does w = old with a detached copy. Change w "
        "itself: w.copy_(...)."
    ),
    "backward through the graph a second time": (
        "the first gradient used up the graph. Compute the loss again, or pass retain_graph=True."
    ),
    "modified by an inplace operation": (
        "a tensor that the gradient needs was changed after the loss was computed. Take the gradient first, "
        "or compute the loss again."
    ),
    "only for scalar outputs": (
        "only a single number has a gradient. Make one first, such as the inner product of g and u."
    ),
    "can't multiply sequence": (
        "torch.autograd.grad returns a tuple. Take its first entry: torch.autograd.grad(...)[0]."
    ),
    "'tuple' object has no attribute": (
        "torch.autograd.grad returns a tuple. Take its first entry: torch.autograd.grad(...)[0]."
    ),
    "stack expects each tensor to be equal size": (
        "torch.stack needs tensors of one shape. torch.cat joins tensors end to end."
    ),
    "Boolean value of Tensor with more than one value": (
        "a comparison of two tensors gives one answer per entry, but `if`, `and` and bool() need a single "
        "one. Join the answers with .all(), or compare whole vectors with torch.allclose."
    ),
}

# the core's own message speaks of batches and training steps, which an exercise does not have
NOT_FINITE = (
    "your function hands NaN or infinity to A. Look for a division by 0, such as g / g.norm() where g is 0."
)


def error_text(error: Exception) -> str:
    """Say which error a function raised, in plain words where its own are hard to read."""
    if isinstance(error, NonFiniteGradient):
        return NOT_FINITE
    plain = next((words for part, words in ERRORS.items() if part in str(error)), None)
    raised = f"{type(error).__name__}: {error}"
    return (
        f"your function raised an error: {plain} (PyTorch says: {raised})"
        if plain
        else (f"your function raised {raised}")
    )
