"""Turn an out-of-memory error into advice."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .config import Config
from .folder import RunError


@contextmanager
def explain_out_of_memory(config: Config) -> Iterator[None]:
    """Raise a RunError that names the options to change, if the block runs out of memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not (isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error)):
            raise
        raise RunError(
            f"Out of memory: {str(error).splitlines()[0] if str(error) else type(error).__name__} Compute a "
            f"training batch in more parts (--micro-batches {2 * config.micro_batches}, now "
            f"{config.micro_batches}), take a smaller --batch-size (now {config.batch_size}), a smaller "
            "--network or another --device, in a new folder."
        ) from error
