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
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from .engine.config import Config
from .engine.folder import RunError, RunFolder
from .engine.processes import Processes, processes
from .engine.run import Run
from .engine.trainer import Trainer, TrainingDiverged
from .experiments.registry import EXPERIMENTS, read_options
from .report.read import so_far

STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR2") if hasattr(signal, name)]
AGREE = 1.0  # seconds after which several processes look whether they should stop or save


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
    threads and processes, the same kind of machine and the same versions. That is tested on CPUs; on CUDA,
    where only cuDNN is told to be deterministic, it is not proven.

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
    with processes(device) as these, torch.backends.cudnn.flags(benchmark=False, deterministic=True):
        these.first(folder.take)
        try:
            known = these.first(folder.known)
            if known is not None and not resume:
                raise RunError(
                    f"Got the folder {folder.path}, which holds a run; expected a new one. Go on with that "
                    "run by --resume, or give another folder."
                )
            if known is not None:
                settings, common = as_begun(known, experiment, settings, common)
            config, settings = kind.config(**common), kind.settings(**settings)
            with _memory_explained(config):
                made, origin = settings.experiment(config.seed, these.device, data, download)
                trainer = Trainer(made, config, these)
            now = {
                "experiment": experiment,
                "settings": asdict(settings),
                "config": asdict(config),
                "processes": these.count,
                "threads": torch.get_num_threads(),
                "task_names": list(made.task_names),
                "parameters": sum(p.numel() for p in trainer.model.parameters()),
                "about": _about(these, origin),
            }
            if known is None:
                these.first(lambda: folder.begin(now))
            else:
                _check_same(known, now, these.is_first)
            return _run(trainer, folder, known or now, checkpoint_seconds, progress, on_epoch)
        finally:
            if these.is_first:
                folder.release()


def as_begun(known: dict, experiment: str, settings: dict, common: dict) -> tuple[dict, dict]:
    """Settings and configuration of the run that is known from a folder.

    Args:
        known: what its ``run.json`` holds.
        experiment, settings, common: what is asked for now, as far as it is; it must be the same.

    Raises:
        RunError: something differs, or the run was written by a version with other settings.
    """
    kind = EXPERIMENTS.get(known["experiment"])
    there = known["settings"] | known["config"]
    unknown = there.keys() - {f.name for of in (kind.settings, Config) for f in fields(of)} if kind else there
    if unknown:
        raise RunError(
            f"The folder holds a run of another version: {', '.join(sorted(unknown))} is unknown here. Go on "
            "with that version, or give another folder."
        )
    there = asdict(kind.settings(**known["settings"])) | asdict(kind.config(**known["config"]))
    there = json.loads(json.dumps(there | {"experiment": known["experiment"]}))
    given = json.loads(json.dumps({"experiment": experiment} | settings | common))
    if differing := [
        f"{name} is {there.get(name)!r} there and {value!r} here"
        for name, value in given.items()
        if value != there.get(name)
    ]:
        raise RunError(
            f"The folder holds another run: {'; '.join(differing)}. Go on with that one by giving --resume "
            "without these options, or give another folder."
        )
    return known["settings"], known["config"]


def _check_same(known: dict, now: dict, is_first: bool) -> None:
    """Refuse to go on with other data or another number of processes; warn where bits may come to differ."""
    for what, there, here in (
        ("processes", known["processes"], now["processes"]),
        ("data", known["about"].get("data"), now["about"]["data"]),
    ):
        if there != here:
            raise RunError(
                f"The run in the folder was begun with other {what}: {there!r} there and {here!r} here. Go "
                "on with the same, or give another folder."
            )
    if is_first and known["about"].get("machine") != now["about"]["machine"]:
        print(
            f"Begun on {known['about'].get('machine')}, going on with {now['about']['machine']}: the last "
            "bits may differ from those of a run that is never stopped.",
            file=sys.stderr,
        )


def _about(these: Processes, origin: str) -> dict[str, str]:
    where = torch.cuda.get_device_name(these.device) if these.device.type == "cuda" else platform.machine()
    threads = f"{torch.get_num_threads()} thread(s)"
    program = f"torchrun --nproc-per-node {these.count}" if these.group else "python"
    by_command = Path(sys.argv[0]).resolve() == Path(__file__).parents[1] / "__main__.py"
    words = shlex.join([*program.split(), "-m", "flatmtl_lite", *sys.argv[1:]])
    return {
        "command": words if by_command else "flatmtl_lite.runs.launch(...)",
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
    if these.first(lambda: folder.is_finished):
        trainer.load_state_dict(*these.first(lambda: folder.last(trainer.config.epochs)))
        return run
    saved = these.first(folder.newest)
    if saved is not None:
        trainer.load_state_dict(*saved)
    with _memory_explained(trainer.config):
        try:
            with _stop_requests() as asked:
                _train(trainer, folder, checkpoint_seconds, asked, progress and these.is_first, on_epoch)
        except TrainingDiverged as error:
            raise RunError(f"{error} {folder.last_good}") from error
        if these.is_first:
            measures = {"kind": "final", **trainer.experiment.measure(trainer.model)}
            run.log.append(measures)
            folder.write_log(run.log)
            ended = {"finished": True, "seconds": round(run.seconds, 1), **so_far(run.log)}
            folder.finish(about | ended | {"measures": measures})
    return run


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

    def stop_if_asked(number: list[int]) -> None:
        if number:
            done = f"Stopped after step {trainer.done} of {steps}; go on with --resume."
            raise Stopped(number[0], f"{done} {these.told(folder.last_good)}")

    steps = trainer.config.epochs * trainer.steps_per_epoch
    last = shown = began = time.monotonic()
    agree = 1  # steps until all processes look again whether to save or to stop
    with tqdm(total=steps, initial=trainer.done, unit="step", disable=not progress, smoothing=0.1) as bar:
        for losses in trainer.advance():
            now = time.monotonic()
            if losses is None:
                if these.is_first:
                    folder.write_log(run.log)
                _tell(run, bar)
                on_epoch(run, trainer.epoch / trainer.config.epochs)
                continue
            bar.update()
            if now - shown > 1:  # a look at a loss waits for the device
                bar.set_postfix_str(f"loss {losses.mean().item():.3f}", refresh=False)
                shown = now
            if trainer.done % agree == 0:
                rate = max(now - began, 1e-3) / agree
                next_look = (
                    1 if these.count == 1 else min(max(round(AGREE / rate), 1), trainer.steps_per_epoch)
                )
                number, due, agree = these.told((asked[:1], now - last >= every, next_look))
                began = now
                if number or due:
                    last = save()
                stop_if_asked(number)
    save()
    stop_if_asked(these.told(asked[:1]))


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
def _memory_explained(config: Config) -> Iterator[None]:
    """Say of too little memory what can be done."""
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
