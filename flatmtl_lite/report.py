"""What a training step reports: losses, norms and angles."""

from dataclasses import dataclass

from torch import Tensor

from .diagnostics import conflict_ratio, cosines_of_gramian


@dataclass
class Report:
    """Losses, norms and angles of one step. Only reading ``losses`` waits for the device.

    Attributes:
        losses: task losses at θ, (T,); None in a skipped step.
        perturbed_losses: task losses at θ+ε, (T,), or None if no perturbed pass ran.
        gramian: inner products of [loss; flat], (2T, 2T), on the CPU; None in a skipped step, and if the
            step needed no task gradients (one single backward pass, for Mean or a loss weighting).
        skipped: the step met NaN or infinity and changed nothing (``on_nonfinite="skip"``).
        tasks: numbers of the tasks that were present. All figures are of these tasks, in this order.
        sam_gramian: inner products of the tasks' gradients at θ+ε, (T, T), on the CPU, of a step that needed
            no others ("direct" with an ε that does not read the tasks' gradients); else None.

    The other figures are computed from ``gramian``, and are None if it is. The figures of the SAM
    gradients need only ``sam_gramian``.
    """

    losses: Tensor | None
    perturbed_losses: Tensor | None = None
    gramian: Tensor | None = None
    skipped: bool = False
    tasks: tuple[int, ...] = ()
    sam_gramian: Tensor | None = None

    @property
    def cosines(self) -> Tensor | None:
        """Cosines between the tasks' loss gradients, (T, T)."""
        return self._cosines(0, 0)

    @property
    def flat_cosines(self) -> Tensor | None:
        """Cosines between the tasks' flat gradients, (T, T)."""
        return self._cosines(1, 1)

    @property
    def intra_cosines(self) -> Tensor | None:
        """Cosine of each task's loss gradient with its own flat gradient, (T,)."""
        cosines = self._cosines(0, 1)
        return None if cosines is None else cosines.diagonal()

    @property
    def conflict_ratio(self) -> float | None:
        """Share of task pairs whose loss gradients conflict."""
        return _share_of_conflicts(self.cosines)

    @property
    def flat_conflict_ratio(self) -> float | None:
        """Share of task pairs whose flat gradients conflict."""
        return _share_of_conflicts(self.flat_cosines)

    @property
    def norms(self) -> Tensor | None:
        """Norms of the loss gradients, (T,)."""
        return self._norms(0)

    @property
    def flat_norms(self) -> Tensor | None:
        """Norms of the flat gradients, (T,)."""
        return self._norms(1)

    @property
    def sam_cosines(self) -> Tensor | None:
        """Cosines between the tasks' SAM gradients, (T, T)."""
        products = self._sam_products()
        return None if products is None else cosines_of_gramian(products)

    @property
    def sam_conflict_ratio(self) -> float | None:
        """Share of task pairs whose SAM gradients conflict."""
        return _share_of_conflicts(self.sam_cosines)

    @property
    def sam_norms(self) -> Tensor | None:
        """Norms of the SAM gradients, (T,)."""
        products = self._sam_products()
        return None if products is None else products.diagonal().double().clamp_min(0).sqrt()

    def _sam_products(self) -> Tensor | None:
        if self.gramian is None or self.perturbed_losses is None:
            return self.sam_gramian
        T = self.gramian.shape[0] // 2
        products: Tensor = self.gramian.double().unflatten(0, (2, T)).unflatten(2, (2, T)).sum((0, 2))
        return products

    def _norms(self, half: int) -> Tensor | None:
        if self.gramian is None:
            return None
        return self.gramian.diagonal().double().clamp_min(0).sqrt().chunk(2)[half]

    def _cosines(self, row: int, column: int) -> Tensor | None:
        if self.gramian is None:
            return None
        T = self.gramian.shape[0] // 2
        return cosines_of_gramian(self.gramian)[row * T :, column * T :][:T, :T]


def _share_of_conflicts(cosines: Tensor | None) -> float | None:
    return None if cosines is None else conflict_ratio(cosines).item()
