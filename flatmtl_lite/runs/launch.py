"""Start a run in a folder, or go on with one, to a result that is never half written."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from .engine.backend import numerics
from .engine.description import check_folder_exists
from .engine.folder import RunError, RunFolder
from .engine.loop import Loop, OnEpoch
from .engine.memory import explain_device_errors
from .engine.processes import Processes, join_processes
from .engine.provenance import provenance, resumption
from .engine.run import Run
from .engine.scalars import check_kinds, scalar_writers
from .engine.stopping import Stopped
from .engine.trainer import Trainer, TrainingDiverged
from .experiments.hashes import data_hash
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
    measure: bool = True,
    log_to: Sequence[str] = (),
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
        resume: go on with the run in the folder; options that are not given are the run's own. Of a
            finished run without final measures it takes these measures.
        device: "auto", "cpu", "cuda", "cuda:1", ...
        data: folder of the source files; None: as ``load_source`` finds them.
        download: whether to fetch source files that are missing.
        checkpoint_seconds: seconds between checkpoints.
        progress: whether to show a bar and one line per evaluation.
        measure: whether to take the final measures after the result is written.
        log_to: "csv" for the table ``scalars.csv``, "tensorboard" for TensorBoard's files, or both.
        on_epoch: called as ``on_epoch(run, share of epochs done)`` after every epoch.
        options: settings of the experiment and fields of ``Config``; they win over the preset.

    Returns:
        The finished run; its folder holds ``result.json``.

    Raises:
        ValueError: an option is unknown or out of its range, or the package tensorboard is not installed.
        RunError: the folder belongs to another run, is in use, or is missing although the run shall go on;
        its ``run.json`` was changed, the disk or the memory is full, a loss is NaN. If only the final
        measures fail, the run is finished all the same.
        Stopped: SIGINT (Ctrl-C), SIGTERM or SIGUSR2 came; the checkpoint is written.
    """
    request = read_options(experiment, preset, options)  # refuses bad options before it looks at the folder
    check_kinds(log_to)
    folder = RunFolder(out)
    if resume:
        check_folder_exists(folder.path)
    with join_processes(device) as processes:
        processes.run_on_first(folder.take)
        try:
            trainer, description = _prepare(folder, request, resume, processes, data, download)
            was_finished = processes.run_on_first(lambda: folder.is_finished)
            with numerics(trainer.config.tf32, trainer.config.deterministic):
                if not was_finished:
                    with _writing(trainer, folder, log_to, on_epoch) as after_epoch:
                        _finish(Loop(trainer, folder, checkpoint_seconds, progress, after_epoch), description)
                if measure:
                    processes.run_on_first(lambda: _complete(trainer, folder, was_finished and progress))
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
    with numerics(request.config.tf32, request.config.deterministic):
        pass  # it refuses what this process cannot do before anything is written
    with explain_device_errors(request.config):
        experiment, origin = request.settings.experiment(
            request.config.seed, processes.device, data, download
        )
        trainer = Trainer(experiment, request.config, processes)
    current = processes.run_on_first(lambda: _describe(request, trainer, origin))
    if saved is None:
        processes.run_on_first(lambda: folder.begin(current))
        _load_checkpoint(trainer, folder)  # there is none: this only tidies up
        return trainer, current
    _check_data(saved["about"], current["about"])
    if processes.run_on_first(lambda: folder.is_finished):
        _load_end(trainer, folder)
        return trainer, saved
    _check_machine(saved, current, processes)
    _load_checkpoint(trainer, folder)
    place = resumption(processes, trainer.epochs_done, trainer.steps_in_epoch)
    return trainer, processes.run_on_first(lambda: folder.note_resumption(place))


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
        "about": provenance(trainer.processes, origin, data_hash(trainer.experiment)),
    }


def _check_data(saved: dict, current: dict) -> None:
    """Refuse other data."""
    there_hash = saved.get("data_hash")  # a run of an earlier version has none
    _check_same("data", saved.get("data"), current["data"])
    _check_same("data (by their hash)", there_hash, there_hash and current["data_hash"])


def _check_same(what: str, there: Any, here: Any) -> None:
    if there != here:
        raise RunError(
            f"The run in the folder began with other {what}: {there!r} there and {here!r} here. Go on with "
            "the same, or give another folder."
        )


def _check_machine(saved: dict, current: dict, processes: Processes) -> None:
    """Refuse another number of processes; warn if the last bits may differ."""
    _check_same("processes", saved["processes"], current["processes"])
    machine, machine_now = saved["about"].get("machine"), current["about"]["machine"]
    if processes.is_first and machine != machine_now:
        print(
            f"The run began on {machine} and goes on with {machine_now}: the last bits may differ from a run "
            "that is never stopped.",
            file=sys.stderr,
        )


def _load_checkpoint(trainer: Trainer, folder: RunFolder) -> None:
    """Put the trainer where the run is: at its newest checkpoint, or at the start."""
    checkpoint = trainer.processes.run_on_first(folder.newest_checkpoint)
    if checkpoint is not None:
        trainer.load_state_dict(*checkpoint)


def _load_end(trainer: Trainer, folder: RunFolder) -> None:
    """Give the trainer the weights and the log of a finished run."""
    epochs = trainer.config.epochs
    state, log = trainer.processes.run_on_first(lambda: folder.final_checkpoint(epochs))
    if "learners" in state:  # the run was stopped before it could tidy up
        trainer.processes.run_on_first(folder.tidy_up)
    trainer.model.load_state_dict(state["model"])
    trainer.epochs_done = epochs
    trainer.run.log, trainer.run.seconds = log, state["seconds"]


@contextmanager
def _writing(
    trainer: Trainer, folder: RunFolder, kinds: Sequence[str], on_epoch: OnEpoch
) -> Iterator[OnEpoch]:
    """Yield a function for the end of an epoch, which also writes the numbers of the epoch to ``kinds``."""
    if not (kinds and trainer.processes.is_first):
        yield on_epoch
        return
    names = trainer.experiment.task_names
    with scalar_writers(kinds, folder.path, names, trainer.epochs_done) as write:

        def after_epoch(run: Run, share: float) -> None:
            write(run.log)
            on_epoch(run, share)

        yield after_epoch


def _finish(loop: Loop, description: dict) -> None:
    """Train to the end and write the result."""
    trainer, folder, run = loop.trainer, loop.folder, loop.trainer.run
    with explain_device_errors(trainer.config):
        try:
            loop.run()
        except TrainingDiverged as error:
            raise RunError(f"{error} {folder.checkpoint_note()}") from error
    outcome = {"finished": True, "seconds": round(run.seconds, 1), **summarize(run.log)}
    trainer.processes.run_on_first(lambda: folder.finish(description | outcome))


def _complete(trainer: Trainer, folder: RunFolder, says_so: bool) -> None:
    """Take the final measures of a finished run, unless it has them, and add them to its result."""
    if "measures" in folder.result():
        return
    if says_so:
        print("The run is finished and lacks its final measures: taking them.", file=sys.stderr)
    trainer.learners.clear()  # the measures need the memory of the optimizers
    try:
        measures = {"kind": "final", **trainer.experiment.measure(trainer.model)}
    except (RuntimeError, MemoryError, ArithmeticError, ValueError) as error:
        cause = str(error).partition("\n")[0] or type(error).__name__
        raise RunError(
            f"The run is finished and {folder.path / 'result.json'} holds its result, but the final measures "
            f"failed: {cause} The same command with --resume takes them again; with --device cpu it does so "
            "in the memory of the computer. --no-measure leaves them out."
        ) from error
    run = trainer.run
    run.log[:] = [entry for entry in run.log if entry["kind"] != "final"] + [measures]
    folder.add_measures(run.log)
