"""Start a run, or go on with one: a folder, checkpoints, and an end that leaves nothing half done."""

import datetime
import json
import platform
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from .experiments import EXPERIMENTS, read_options
from .folder import RunError, RunFolder
from .processes import Processes, processes
from .run_folders import so_far
from .trainer import Run, Trainer, TrainingDiverged

STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR2") if hasattr(signal, name)]
AGREE = 16  # steps after which several processes look whether they should stop or save


class Stopped(KeyboardInterrupt):
    """A signal asked the run to stop; its checkpoint is written.

    Attributes:
        signal: which.
    """

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.signal = number


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
    """Train an experiment in a folder of its own, resumable at any moment to the bit.

    ``python -m flatmtl_lite train`` calls this. A run that goes on, after whatever ended it, has the same
    weights and the same log as one that was never stopped (but for the times), on the same number of
    threads and processes, the same kind of machine and the same versions.

    Args:
        experiment: name in ``EXPERIMENTS``, such as "multimnist".
        out: the folder of the run.
        preset: name of a set of options, such as "demo", "small" or "paper".
        resume: go on with the run in the folder; options that are not given are the run's own.
        device: "auto", "cpu", "cuda", "cuda:1", ...
        data: folder of the source files; None: as ``load_source`` finds them.
        download: whether to fetch source files that are missing.
        checkpoint_seconds: seconds between checkpoints.
        progress: whether to show a bar and a line an evaluation.
        on_epoch: called as ``on_epoch(run, share of epochs done)`` after every epoch.
        options: settings of the experiment and fields of ``Config``; they come before the preset's.

    Returns:
        The finished run; its folder holds ``result.json``.

    Raises:
        ValueError: an option is unknown or out of its range.
        RunError: the folder is another run's or in use, the disk or the memory is full, a loss is NaN.
        Stopped: SIGINT (Ctrl-C), SIGTERM or SIGUSR2 came; the checkpoint is written.
    """
    settings, common = read_options(experiment, preset, options)
    kind = EXPERIMENTS[experiment]
    kind.settings(**settings), kind.config(**common)  # what cannot be is said before the folder is looked at
    folder = RunFolder(out)
    with processes(device) as these:
        known = these.told(folder.known() if these.is_first else None)
        begun = these.told(folder.is_begun if these.is_first else None)
        if begun and not resume:
            raise RunError(
                f"Got the folder {folder.path}, which holds a run; expected a new one. Go on with that run "
                "by --resume, or give another folder."
            )
        if begun:
            settings, common = _as_begun(known, experiment, settings, common, these)
        config, settings = kind.config(**common), kind.settings(**settings)
        made, origin = settings.experiment(config.seed, these.device, data, download)
        trainer = Trainer(made, config, these)
        about = {
            "experiment": experiment,
            "settings": asdict(settings),
            "config": asdict(config),
            "processes": these.count,
            "task_names": list(made.task_names),
            "parameters": sum(p.numel() for p in trainer.model.parameters()),
            "about": _about(these, origin),
        }
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True):
            return _run(trainer, folder, about, checkpoint_seconds, progress and these.is_first, on_epoch)


def _as_begun(known: dict, experiment: str, settings: dict, common: dict, these: Processes) -> tuple:
    """Settings and configuration of the run in the folder; what was given now must be the same."""
    given = {"experiment": experiment, "processes": these.count} | settings | common
    there = known | known["settings"] | known["config"]
    differing = [
        f"{name} is {there.get(name)!r} there and {value!r} here"
        for name, value in json.loads(json.dumps(given)).items()
        if value != there.get(name)
    ]
    if differing:
        raise RunError(
            f"The folder holds another run: {'; '.join(differing)}. Go on with that one by giving --resume "
            "without these options, or give another folder."
        )
    return known["settings"], known["config"]


def _about(these: Processes, origin: str) -> dict[str, str]:
    where = torch.cuda.get_device_name(these.device) if these.device.type == "cuda" else platform.machine()
    threads = f"{torch.get_num_threads()} thread(s)"
    by_command = Path(sys.argv[0]).name == "__main__.py"
    command = shlex.join(["python", "-m", "flatmtl_lite", *sys.argv[1:]]) if by_command else "from Python"
    return {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "machine": f"{where} {these.device.type}, {threads}, torch {torch.__version__}",
        "data": origin,
    }


def _run(
    trainer: Trainer,
    folder: RunFolder,
    about: dict,
    checkpoint_seconds: float,
    progress: bool,
    on_epoch: Callable[[Run, float], None],
) -> Run:
    these, run = trainer.processes, trainer.record
    if these.is_first:
        folder.open(about)
    try:
        saved = these.told(folder.newest() if these.is_first else None)
        if saved is not None:
            trainer.load_state_dict(*saved)
        if folder.is_finished:
            return run
        with _stop_requests() as asked, _explained(folder, trainer):
            _train(trainer, folder, checkpoint_seconds, asked, progress, on_epoch)
            if these.is_first:
                measures = {"kind": "final", **trainer.experiment.measure(trainer.model)}
                run.log.append(measures)
                folder.write_log(run.log)
                ended = {"finished": True, "seconds": round(run.seconds, 1), **so_far(run.log)}
                folder.finish(about | ended | {"measures": measures})
        return run
    finally:
        if these.is_first:
            folder.close()


def _train(
    trainer: Trainer,
    folder: RunFolder,
    every: float,
    asked: list[int],
    progress: bool,
    on_epoch: Callable[[Run, float], None],
) -> None:
    """Train to the end; save every so many seconds, at the end, and before stopping when asked to."""
    these, run = trainer.processes, trainer.record

    def save() -> float:
        state = trainer.state_dict()
        if these.is_first:
            folder.save(state, run.log)
        return time.monotonic()

    steps = trainer.config.epochs * trainer.steps
    last = shown = time.monotonic()
    with tqdm(total=steps, initial=trainer.done, unit="step", disable=not progress, smoothing=0.1) as bar:
        for losses in trainer.advance():
            if losses is None:
                if these.is_first:
                    folder.write_log(run.log)
                _tell(run, bar)
                on_epoch(run, trainer.epoch / trainer.config.epochs)
            else:
                bar.update()
                if time.monotonic() - shown > 1:  # a look at a loss waits for the device
                    bar.set_postfix_str(f"loss {losses.mean().item():.3f}", refresh=False)
                    shown = time.monotonic()
            if these.count == 1 or trainer.done % AGREE == 0:
                number, due = these.told((asked[:1], time.monotonic() - last >= every))
                if number or due:
                    last = save()
                if number:
                    raise Stopped(
                        number[0],
                        f"Stopped after step {trainer.done} of {steps}; go on with --resume. "
                        f"{folder.last_good}",
                    )
    save()


def _tell(run: Run, bar: tqdm) -> None:
    """One line for an evaluation of the epoch that has just ended."""
    epoch = run.entries("epoch")[-1]["epoch"]
    for entry in run.entries("evaluation")[-1:]:
        if entry["epoch"] == epoch and not bar.disable:
            score = entry["score"]
            scores = f"validation {score['val']:.2f}, test {score['test']:.2f}"
            bar.write(f"epoch {epoch} of {run.config.epochs}: {scores}, {run.seconds:.0f} s", file=sys.stderr)


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """A list that the first request to stop is put in; the second acts as ever.

    Requests are SIGINT (Ctrl-C), SIGTERM, and SIGUSR2, by which Slurm says that the time is up.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in STOPS}

    def ask(number: int, frame: Any) -> None:
        asked.append(number)
        print("Stopping after this step; once more to stop at once.", file=sys.stderr)
        put_back()

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        put_back()


@contextmanager
def _explained(folder: RunFolder, trainer: Trainer) -> Iterator[None]:
    """Say of what ends a run what can be done."""
    try:
        yield
    except (TrainingDiverged, ValueError) as error:  # metrics refuse NaN by a ValueError
        raise RunError(f"{error} {folder.last_good}") from error
    except (RuntimeError, MemoryError) as error:
        if not (isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error)):
            raise
        config = trainer.config
        raise RunError(
            f"Out of memory at step {trainer.done + 1}: {str(error).splitlines()[0]} Compute a batch in more "
            f"parts (--micro-batches {2 * config.micro_batches}, now {config.micro_batches}), take a smaller "
            f"--batch-size (now {config.batch_size}) or a smaller --network, in a new folder. "
            f"{folder.last_good}"
        ) from error
