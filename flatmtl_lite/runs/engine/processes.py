"""One process or several: which process computes which part, and on which device."""

import copy
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

# The functions of this module keep, as their defaults, the group that exists when an optimizer first imports
# the module. Imported before there is a group, it leaves no threads of a group that outlive the interpreter
# and may abort a process.
import torch.distributed.nn
from torch import Tensor, nn

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
WORKSPACES = (":4096:8", ":16:8")  # with one of these, the products of cuBLAS repeat to the bit
# As long as the first process evaluates or measures, the others wait. If it ends, its connection closes, and
# they learn of it at once. So no wait needs to end before the longest measurement does.
WAIT = timedelta(days=30)


@dataclass(frozen=True)
class Processes:
    """The processes of one run: this process alone, or the ranks of a torch.distributed group.

    Attributes:
        group: the group that averages gradients, or None. It gives up after torch's usual time.
        objects: the group that passes on Python objects, over the CPUs. It waits for :data:`WAIT`.
        rank: number of this process.
        count: number of all processes.
        device: the device of this process.
    """

    group: Any = None
    objects: Any = None
    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this process evaluates, logs and saves."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, in the order of their ranks; tensors come on the CPU."""
        values = [value] * self.count
        if self.group is not None:
            # a tensor of a GPU would be unpickled on that GPU, which every process would then open
            dist.all_gather_object(values, on_host(value), group=self.objects)
        return values

    def broadcast(self, value: Any) -> Any:
        """Return the value of the first process in every process; tensors come on the CPU."""
        values = [value]
        if self.group is not None:
            values = [on_host(value) if self.is_first else None]
            dist.broadcast_object_list(values, 0, group=self.objects)
        return values[0]

    def run_on_first(self, function: Callable[[], Any]) -> Any:
        """Call a function in the first process only; every process returns its result or raises its error.

        The others wait as long as it takes.
        """
        result, failure = None, None
        if self.is_first:
            try:
                result = function()
            except Exception as error:
                failure = error
        result, failure = self.broadcast((result, failure))
        if failure is not None:
            raise failure
        return result

    def generator_states(self) -> list[Tensor]:
        """Return the states of torch's generators that this process draws from: CPU, then its device."""
        on_device = [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []
        return [torch.get_rng_state(), *on_device]

    def set_generators(self, states: list[Tensor]) -> None:
        """Put back the states that :meth:`generator_states` returned."""
        torch.set_rng_state(states[0])
        if states[1:]:
            torch.cuda.set_rng_state(states[1], self.device)

    def average_buffers(self, model: nn.Module) -> None:
        """Average the statistics of BatchNorm layers: each process has seen its share of a batch only."""
        if self.group is not None:
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    dist.all_reduce(buffer, group=self.group)
                    buffer /= self.count


def on_host(value: Any, copies: dict[Any, Tensor] | None = None) -> Any:
    """Return a value of dicts, lists and tensors with every tensor copied to the CPU, once.

    Tensors that share memory share it in the copy too, so that a checkpoint holds them once.
    """
    copies = {} if copies is None else copies
    if isinstance(value, Tensor):
        key = value.device, value.data_ptr(), value.dtype, value.shape, value.stride()
        if key not in copies:
            copies[key] = value.detach().to("cpu", copy=True)
        return copies[key]
    if isinstance(value, dict):
        copied = copy.copy(value)  # with the attributes of a state_dict, its versions
        copied.update((name, on_host(part, copies)) for name, part in value.items())
        return copied
    if isinstance(value, (list, tuple)):
        return type(value)(on_host(part, copies) for part in value)
    return value


def fix_workspace() -> bool:
    """Let the products of cuBLAS repeat to the bit; return False if CUDA has started without this setting.

    cuBLAS reads the setting once, when it starts. So every run makes it before it uses a device. It costs at
    most 24 MB of a GPU's memory.
    """
    if not torch.cuda.is_initialized():
        os.environ.setdefault(WORKSPACE, WORKSPACES[0])
    return os.environ.get(WORKSPACE) in WORKSPACES


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of a name; "auto" is CUDA if it can be used, else the CPU.

    Apple's MPS is not picked and not accepted: it has no float64, in which gradients are weighed and networks
    are measured.

    Raises:
        ValueError: torch does not know the name, this machine has no such device, or it has no float64.
    """
    fix_workspace()
    is_auto = name == "auto"
    if is_auto:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, dtype=torch.float64, device=device).add_(1).cpu()  # it runs a kernel
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"Got device={name!r}, which cannot be used: {_fault(name, error)}") from error
    if (
        is_auto and name == "cpu" and shutil.which("nvidia-smi")
    ):  # a driver is installed, so a GPU is expected
        print(f"Training on the CPU. This machine has an NVIDIA driver, but {no_cuda()}", file=sys.stderr)
    return device


def _fault(name: str, error: Exception) -> str:
    """Say why a device cannot be used, and what to do."""
    if name.startswith("mps"):
        return 'it has no float64, in which gradients are weighed and networks are measured. Take "cpu".'
    if name.startswith("cuda") and not torch.cuda.is_available():
        return f'{no_cuda()} Or take "cpu".'
    count = torch.cuda.device_count()
    shown = f" This machine shows {count} CUDA device(s), from cuda:0 on." if name.startswith("cuda") else ""
    return f'{str(error).splitlines()[0]}.{shown} Take "auto", "cpu", or an available device.'


def no_cuda() -> str:
    """Say why CUDA cannot be used, and what to do."""
    if torch.version.cuda is None and torch.version.hip is None:
        return (
            f"this torch ({torch.__version__}) is built without CUDA. Install a build for CUDA, see "
            "pytorch.org/get-started."
        )
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        hidden = os.environ["CUDA_VISIBLE_DEVICES"]
        return f"CUDA_VISIBLE_DEVICES={hidden!r} hides every GPU. Unset it, or name a GPU in it."
    try:
        torch.cuda.init()
        reason = "no GPU was found"
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(". ")
    return (
        f"this torch is built for CUDA {torch.version.cuda} and cannot use it: {reason}. Type nvidia-smi: if "
        "it fails, install or repair the driver. If it shows an older CUDA version, install a torch for that."
    )


@contextmanager
def join_processes(device: str = "auto") -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started into a group for the block; without torchrun, stay alone.

    Each process of a machine takes a CUDA device of its own. Processes without CUDA take the CPU. With the
    name of one device, such as "cuda:0", all of them share it.

    Raises:
        ValueError: the device cannot be used, there are fewer GPUs than processes, or ``srun`` started
            several processes that do not know of each other.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        _refuse_srun()
        yield Processes(device=pick_device(device))
        return
    on_cuda = device in ("auto", "cuda") and torch.cuda.is_available()
    if on_cuda:
        _check_gpus(torch.cuda.device_count(), int(os.environ["LOCAL_WORLD_SIZE"]))
    own_device = pick_device(f"cuda:{os.environ['LOCAL_RANK']}" if on_cuda else device)
    if on_cuda:
        torch.cuda.set_device(own_device)
    dist.init_process_group("nccl" if on_cuda and dist.is_nccl_available() else "gloo")
    try:
        objects = dist.new_group(backend="gloo", timeout=WAIT)
        yield Processes(dist.group.WORLD, objects, dist.get_rank(), dist.get_world_size(), own_device)
    finally:
        dist.destroy_process_group()


def _refuse_srun() -> None:
    """Raise ValueError if ``srun`` started several processes: each would train the same run."""
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if tasks > 1:
        nodes = int(os.environ.get("SLURM_STEP_NUM_NODES", "1"))
        several = f" --nnodes {nodes} --rdzv-backend c10d --rdzv-endpoint $(hostname):29500"
        raise ValueError(
            f"Got {tasks} tasks of srun that do not know of each other; each would train the same run. "
            f"Expected one task per machine, which starts torchrun: srun --ntasks-per-node=1 torchrun"
            f"{several if nodes > 1 else ''} --nproc-per-node {tasks // nodes} -m flatmtl_lite train ..."
        )


def _check_gpus(gpus: int, processes: int) -> None:
    if gpus < processes:
        raise ValueError(
            f"Got {processes} processes for {gpus} GPU(s) of this machine; expected one per GPU. Take "
            f"torchrun --nproc-per-node {gpus}, or let all processes share one GPU by --device cuda:0."
        )
