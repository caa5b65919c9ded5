"""A table that fills while runs train."""

from collections.abc import Callable, Iterable
from html import escape

from IPython.display import display


class ProgressTable:
    """One row per run: a bar, seconds, and test accuracy per task, redrawn in place.

    Args:
        names: names of the runs, in order.
        tasks: names of the tasks.

    Example:
        table = ProgressTable(["LS", "F-LS"], tasks=("digit", "garment"))
        table.show()
        train(data, config, on_epoch=table.follow("LS"))
    """

    def __init__(self, names: Iterable[str], tasks: Iterable[str]):
        self.tasks = tuple(tasks)
        self.rows: dict[str, tuple[float, float | None, tuple]] = dict.fromkeys(names, (0.0, None, ()))
        self._handle = None

    def show(self) -> None:
        """Display the table here; later updates redraw it."""
        self._handle = display(self, display_id=True)

    def follow(self, name: str) -> Callable:
        """Return a callback ``(run, share)`` that fills this row, for ``on_epoch=`` of ``runs.train``."""

        def on_epoch(run, share: float) -> None:
            self.rows[name] = (share, run.seconds, tuple(run.accuracies[-1]["test"]))
            if self._handle is not None:
                self._handle.update(self)

        return on_epoch

    def __repr__(self) -> str:
        lines = []
        for name, (share, seconds, test) in self.rows.items():
            accuracy = ", ".join(f"{task} {value:.1f} %" for task, value in zip(self.tasks, test))
            time = "" if seconds is None else f" in {seconds:.0f} s"
            lines.append(f"{name:<22}{share:4.0%}{time}  {accuracy}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align:right'>test, {escape(task)}</th>" for task in self.tasks)
        body = []
        for name, (share, seconds, test) in self.rows.items():
            values = [f"{value:.1f} %" for value in test] or ["" for _ in self.tasks]
            cells = "".join(f"<td style='text-align:right'>{value}</td>" for value in values)
            time = "" if seconds is None else f"{seconds:.0f} s"
            body.append(
                f"<tr><td style='text-align:left'>{escape(name)}</td>"
                f"<td><progress max='1' value='{share:.3f}' aria-label='{escape(name)}'></progress> "
                f"{share:.0%}</td><td style='text-align:right'>{time}</td>{cells}</tr>"
            )
        return (
            "<table style='font-size:110%'><thead><tr><th style='text-align:left'>run</th><th>done</th>"
            f"<th>time</th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        )
