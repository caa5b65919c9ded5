"""The report as CSV: one line for each run, evaluation, metric and task."""

import csv
import io
from collections.abc import Sequence

from .forms import EVALUATIONS
from .read import RecordedRun, numbers

COLUMNS = (
    *("experiment", "variant", "method", "rho", "weights", "seed", "run", "finished"),
    *("at", "epoch", "metric", "task", "test"),
)


def csv_text(runs: Sequence[RecordedRun]) -> str:
    """Return the test values of all runs as CSV.

    ``at`` is "final", "picked" (on validation), "best_test" (on test data) or "last_ten" (the mean of the
    last ten epochs). ``task`` is empty for a metric of all tasks, such as the score.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for run in runs:
        result, config = run.result, run.result["config"]
        front = [result["experiment"], result["settings"].get("variant") or "", config["method"]]
        rho = config["rho"] if "-" in config["method"] else ""
        front += [rho, config.get("weights") or "", config["seed"], run.name, result["finished"]]
        for at in filter(result.get, EVALUATIONS):
            entry = result[at]
            for metric, value in {"score": entry["score"]["test"], **entry["test"]}.items():
                values = numbers(value)
                tasks = result["task_names"] if len(values) == len(result["task_names"]) > 1 else [""]
                if len(values) != len(tasks):
                    tasks = [str(place) for place in range(1, len(values) + 1)]
                for task, number in zip(tasks, values, strict=True):
                    writer.writerow([*front, at, entry["epoch"], metric, task, number])
    return file.getvalue()
