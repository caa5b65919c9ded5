"""Start a run in a folder, or go on with one, to a result that is never half written."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from .engine.backend import numerics
from .engine.folder import RunError, RunFolder
from .engine.loop import Loop
from .engine.memory import explain_device_errors
from .engine.processes import Processes, join_processes
from .engine.provenance import provenance
from .engine.run import Run
from .engine.stopping import Stopped
from .engine.trainer import Trainer, TrainingDiverged
from .experiments.registry import Request, read_options, saved_request
from .report.read import summarize

__all__ = ["Stopped", "launch"]


def launch(
    experiment: str,
    out: str | Path,
    preset: str | None = None,
    resume: bool = False,
    device: str = "auto",
    data: str | Path | None = None,
    download: bool = False,
    checkpoint_seconds: float = 60.0,
    progress: bool = True,
    on_epoch: Callable[[Run, float], None] = lambda run, share: None,
    **options: Any,
) -> Run:
    """Train an experiment in a folder of its own; the run can stop and go on at any moment.

    A run that goes on, after whatever ended it, gets the same weights and the same log (except the times) as
    a run that was never stopped. This holds to the last bit on the same number of threads and processes, the
    same kind of machine and the same versions. It is tested on CPUs. On CUDA it needs ``deterministic=True``
    for scenes, and is not proven.

    Args:
        experiment: name in ``EXPERIMENTS``, such as "multimnist".
        out: the folder of the run.
        preset: name of a set of options, such as "demo", "small" or "paper".
        resume: go on with the run in the folder; options that are not given are the run's own.
        device: "auto", "cpu", "cuda", "cuda:1", ...
        data: folder of the source files; None: as ``load_source`` finds them.
        download: whether to fetch source files that are missing.
        checkpoint_seconds: seconds between checkpoints.
        progress: whether to show a bar and one line per evaluation.
        on_epoch: called as ``on_epoch(run, share of epochs done)`` after every epoch.
        options: settings of the experiment and fields of ``Config``; they win over the preset.

    Returns:
        The finished run; its folder holds ``result.json``.

    Raises:
        ValueError: an option is unknown or out of its range.
        RunError: the folder belongs to another run or is in use, its ``run.json`` was changed, the disk or
        the memory is full, a loss is NaN.
        Stopped: SIGINT (Ctrl-C), SIGTERM or SIGUSR2 came; the checkpoint is written.
    """
    request = read_options(experiment, preset, options)  # refuses bad options before it looks at the folder
    folder = RunFolder(out)
    with join_processes(device) as processes:
        processes.run_on_first(folder.take)
        try:
            trainer, description = _prepare(folder, request, resume, processes, data, download)
            if not processes.run_on_first(lambda: folder.is_finished):
                with numerics(trainer.config.tf32, trainer.config.deterministic):
                    _finish(Loop(trainer, folder, checkpoint_seconds, progress, on_epoch), description)
            return trainer.run
        finally:
            if processes.is_first:
                folder.release()


def _prepare(
    folder: RunFolder,
    request: Request,
    resume: bool,
    processes: Processes,
    data: str | Path | None,
    download: bool,
) -> tuple[Trainer, dict]:
    """Return a trainer at the point that the run in the folder has reached, and the run's description."""
    saved = processes.run_on_first(folder.description)
    if saved is not None:
        request = _request_to_resume(saved, request, folder, resume)
        # before anything is drawn, fetched or built for other settings
        processes.run_on_first(lambda: folder.check_unchanged(saved))
    with explain_device_errors(request.config):
        experiment, origin = request.settings.experiment(
            request.config.seed, processes.device, data, download
        )
        trainer = Trainer(experiment, request.config, processes)
    current = _describe(request, trainer, origin)
    if saved is None:
        processes.run_on_first(lambda: folder.begin(current))
    else:
        _check_same(saved, current, processes)
    _load_checkpoint(trainer, folder)
    return trainer, saved or current


def _request_to_resume(description: dict, request: Request, folder: RunFolder, resume: bool) -> Request:
    if not resume:
        raise RunError(
            f"Got the folder {folder.path}, which holds a run; expected a new folder. Go on with that run by "
            "--resume, or give another folder."
        )
    return saved_request(description, request)


def _describe(request: Request, trainer: Trainer, origin: str) -> dict[str, Any]:
    """Return the content of ``run.json``."""
    return {
        "experiment": request.experiment,
        "settings": asdict(request.settings),
        "config": asdict(request.config),
        "processes": trainer.processes.count,
        "threads": torch.get_num_threads(),
        "task_names": list(trainer.experiment.task_names),
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "about": provenance(trainer.processes, origin),
    }


def _check_same(saved: dict, current: dict, processes: Processes) -> None:
    """Refuse other data or another number of processes; warn if the last bits may differ."""
    for what, there, here in (
        ("processes", saved["processes"], current["processes"]),
        ("data", saved["about"].get("data"), current["about"]["data"]),
    ):
        if there != here:
            raise RunError(
                f"The run in the folder began with other {what}: {there!r} there and {here!r} here. Go on "
                "with the same, or give another folder."
            )
    machine, machine_now = saved["about"].get("machine"), current["about"]["machine"]
    if processes.is_first and machine != machine_now:
        print(
            f"The run began on {machine} and goes on with {machine_now}: the last bits may differ from a run "
            "that is never stopped.",
            file=sys.stderr,
        )


def _load_checkpoint(trainer: Trainer, folder: RunFolder) -> None:
    """Put the trainer where the run is: at its end, at its newest checkpoint, or at the start."""

    def read() -> Any:
        if folder.is_finished:
            return folder.final_checkpoint(trainer.config.epochs)
        return folder.newest_checkpoint()

    checkpoint = trainer.processes.run_on_first(read)
    if checkpoint is not None:
        trainer.load_state_dict(*checkpoint)


def _finish(loop: Loop, description: dict) -> None:
    """Train to the end, measure the network and write the result."""
    trainer, folder, run = loop.trainer, loop.folder, loop.trainer.run
    with explain_device_errors(trainer.config):
        try:
            loop.run()
        except TrainingDiverged as error:
            raise RunError(f"{error} {folder.checkpoint_note()}") from error
        if trainer.processes.is_first:
            measures = {"kind": "final", **trainer.experiment.measure(trainer.model)}
            run.log.append(measures)
            folder.write_log(run.log)
            outcome = {"finished": True, "seconds": round(run.seconds, 1), **summarize(run.log)}
            folder.finish(description | outcome | {"measures": measures})
