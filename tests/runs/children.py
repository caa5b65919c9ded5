"""Child processes for tests, forked from a server that has imported torch and the kit: they start at once.

The functions that a child runs stand here, because a child imports the module of its function.
"""

import contextlib
import copy
import multiprocessing
import os
import socket
import sys
import time
from datetime import timedelta
from functools import partial

import torch
import torch._dynamo  # the first optimizer of a process imports it, which takes seconds

from flatmtl_lite.__main__ import main
from flatmtl_lite.runs import Config, fashion_and_mnist, launch, mlp, parse_network
from flatmtl_lite.runs.engine.experiment import NonFiniteOutput
from flatmtl_lite.runs.engine.processes import join_processes
from flatmtl_lite.runs.engine.trainer import Trainer, TrainingDiverged
from flatmtl_lite.runs.experiments import multimnist
from flatmtl_lite.runs.experiments.images import ImageTasks

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def start(function, *arguments, environment=None):
    """Start a child that calls a function of this module."""
    process = _CONTEXT.Process(target=_call, args=(function, arguments, environment or {}))
    process.start()
    return process


def rank_variables(rank, count, port=None):
    """The environment variables that torchrun gives to a process."""
    port = str(port or free_port())
    counts = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    return {"TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port} | counts | ranks


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start_ranks(function, *arguments):
    """Start two children that find each other as the processes of torchrun do."""
    port = free_port()
    return [start(function, *arguments, environment=rank_variables(rank, 2, port)) for rank in range(2)]


def join_all(processes, timeout=120):
    """Wait for children, and end those that do not stop; return their exit codes."""
    for process in processes:
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode for process in processes]


def _call(function, arguments, environment):
    os.environ.update(environment)
    torch.set_num_threads(1)
    function(*arguments)


def narrow_network(name):
    """The network of a name, the mlp with 16 units per layer in place of 256."""
    return partial(mlp, width=16) if name == "mlp" else parse_network(name)


def dropping(classes):
    """A network with running statistics and with dropout."""
    model = mlp(classes, width=16)
    model.trunk.extend([torch.nn.BatchNorm1d(16), torch.nn.Dropout(0.2)])
    return model


# what children do ----------------------------------------------------------------------------------------


def train_narrow(folder, options):
    """Train or go on with the narrow network."""
    multimnist.parse_network = narrow_network
    launch(out=folder, resume=True, **options)


def train(folder, options):
    """Train or go on; a stop ends the child as it ends the command line."""
    try:
        launch(out=folder, resume=True, **options)
    except KeyboardInterrupt as stop:
        sys.exit(stop.exit_code)


def command(words, output, file_size=None):
    """Run the command line with its error output in a file, and perhaps with a limit on the size of files."""
    multimnist.parse_network = narrow_network
    with output.open("w") as file, contextlib.redirect_stderr(file):
        if file_size:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
        code = main(words)
    sys.exit(code)


def wait_for_an_evaluation(fails):
    """Train while the first process evaluates for longer than the group of the gradients waits."""
    data = fashion_and_mnist(seed=0, n_train=64, n_val=20, n_test=20, sample=True)
    begin = torch.distributed.init_process_group
    torch.distributed.init_process_group = partial(begin, timeout=timedelta(seconds=1))

    def evaluate(experiment, model):
        time.sleep(3)
        if fails:
            raise NonFiniteOutput("played")
        return {"score": {"val": 1.0, "test": 1.0}}

    ImageTasks.evaluate = evaluate
    with join_processes("cpu") as processes:
        trainer = Trainer(ImageTasks(data, dropping), Config("f-mean", epochs=2, batch_size=32), processes)
        try:
            for _ in trainer.advance():
                pass
        except TrainingDiverged:
            sys.exit(7)
        assert len(trainer.run.entries("evaluation")) == 2, "every process has the whole log"


def wait_for_the_first(seconds):
    """Wait for something that the first process does for a long time."""
    with join_processes("cpu") as processes:
        print(processes.run_on_first(partial(time.sleep, seconds)))


def exchange_tensors():
    """Check that tensors come as copies on the CPU, whatever device they are on."""
    with join_processes("cpu") as processes:
        sent = []
        to = torch.Tensor.to
        torch.Tensor.to = lambda self, *a, **k: (k == {"copy": True} and sent.append(a)) or to(self, *a, **k)
        mine = {"x": torch.full((2,), float(processes.rank)), "list": [torch.ones(1)]}
        values = processes.gather(mine)
        assert [float(value["x"][0]) for value in values] == [0.0, 1.0]
        assert float(processes.broadcast(mine)["x"][0]) == 0.0
        copies = 4 if processes.is_first else 2
        assert sent == [("cpu",)] * copies, "every tensor goes to the CPU before it is pickled"


def go_on_from_pauses():
    """Check that each of several processes goes on to the same bits from pauses of a run."""
    data = fashion_and_mnist(seed=0, n_train=100, n_val=20, n_test=20, sample=True)
    with join_processes("cpu") as processes:
        for method in ("f-cagrad", "rlw", "f-stl"):

            def trainer(method=method):
                return Trainer(ImageTasks(data, dropping), Config(method, epochs=2, batch_size=32), processes)

            whole = trainer()
            pauses = [(copy.deepcopy(whole.state_dict()), list(whole.run.log)) for _ in whole.advance()]
            for state, log in pauses[::3]:
                other = trainer()
                other.load_state_dict(processes.broadcast(state), log)
                for _ in other.advance():
                    pass
                for a, b in zip(whole.model.parameters(), other.model.parameters(), strict=True):
                    assert torch.equal(a, b), method
            state = list(whole.model.state_dict().values())
            for of_rank in processes.gather([value.clone() for value in state]):
                assert all(torch.equal(a, b) for a, b in zip(of_rank, state, strict=True)), method
            counts = [v for name, v in whole.model.state_dict().items() if name.endswith("running_var")]
            assert all(0 < float(v.max()) < 10 for v in counts), "statistics are means over the processes"


def few_measures(experiment, model):
    return {"weights": sum(p.sum().item() for p in model.parameters())}
