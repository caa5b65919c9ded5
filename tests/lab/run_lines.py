"""Log lines of real, very short runs, in the format of a run folder, for the tests of what draws them."""

import functools

import torch

import flatmtl_lite as fm
from flatmtl_lite import runs
from flatmtl_lite.diagnostics import sharpness
from flatmtl_lite.runs.measures.calibration import ece, log_probabilities, nll, reliability

TASKS = ["digit", "garment"]
RADII = [0.01, 0.05, 0.2]
EPOCHS = 3
PARTS = ("loss", "flat", "intra")


@functools.cache
def data(seed: int = 0) -> runs.MultiTaskData:
    return runs.fashion_and_mnist(seed, n_train=192, n_val=64, n_test=64, sample=True)


@functools.cache
def trained(method: str, seed: int) -> runs.Run:
    config = runs.Config(method=method, rho=0.1, epochs=EPOCHS, seed=seed, measure_every=1, evaluate_every=1)
    return runs.train(data(), config)


@functools.cache
def finished_run(method: str, seed: int = 0) -> dict:
    """{"result": what result.json would hold, "log": the lines of log.jsonl}."""
    run = trained(method, seed)
    log = run.measured_steps + epochs(run) + evaluations(run) + [snapshot(run), final(run)]
    last = next(line for line in reversed(log) if line["kind"] == "evaluation")
    result = {
        "experiment": "multimnist",
        "settings": {"variant": "fashion+mnist", "network": "mlp", "n_train": 192},
        "config": {"method": method, "rho": 0.1, "epochs": EPOCHS, "seed": seed},
        "task_names": TASKS,
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "about": {"command": f"train multimnist --method {method}", "machine": "a test"},
        "finished": True,
        "final": last,
        "picked": last,
        "best_test": last,
    }
    return {"result": result, "log": log}


def epochs(run: runs.Run) -> list[dict]:
    lines = []
    for epoch in range(1, EPOCHS + 1):
        seen = [step for step in run.measured_steps if epoch - 1 <= step["epoch"] < epoch]
        cosines = {
            part: torch.tensor([s[part] for s in seen]) for part in PARTS if part in run.measured_steps[0]
        }
        line = dict(kind="epoch", epoch=epoch, losses=[2.3 / epoch, 2.0 / epoch])
        line["conflict"] = {part: (c < 0).double().mean().item() for part, c in cosines.items()}
        line["histograms"] = {part: c.histc(20, -1, 1).int().tolist() for part, c in cosines.items()}
        lines.append(line)
    return lines


def evaluations(run: runs.Run) -> list[dict]:
    log_p = log_probabilities(run.model, data().test_images)
    pairs = list(zip(log_p, data().test_labels.unbind(1), strict=True))
    honest = dict(nll=[nll(*pair) for pair in pairs], ece=[ece(*pair) for pair in pairs])
    return [
        dict(
            kind="evaluation",
            epoch=entry["epoch"],
            train=dict(accuracy=entry["train"]),
            val=dict(accuracy=entry["val"]),
            test=dict(accuracy=entry["test"], **honest),
            score=dict(val=sum(entry["val"]) / 2, test=sum(entry["test"]) / 2),
        )
        for entry in run.accuracies
    ]


def at(run: runs.Run, rho: float) -> fm.Decomposition:
    features, losses = runs.task_closures(run.model, data().train_images[:64], data().train_labels[:64])
    heads = [list(head.parameters()) for head in run.model.heads]
    return fm.decompose(features, losses, list(run.model.trunk.parameters()), heads, rho, norm="together")


def of_tasks(run: runs.Run) -> list[tuple]:
    """(loss, parameters) of each task, as the diagnostics take them."""
    features, losses = runs.task_closures(run.model, data().train_images[:64], data().train_labels[:64])
    trunk = list(run.model.trunk.parameters())
    return [
        (lambda loss=loss: loss(features()), [*trunk, *head.parameters()])
        for loss, head in zip(losses, run.model.heads, strict=True)
    ]


def snapshot(run: runs.Run) -> dict:
    parts = [at(run, rho) for rho in RADII]
    return dict(
        kind="snapshot",
        epoch=EPOCHS,
        rho=RADII,
        losses=parts[0].losses.tolist(),
        perturbed_losses=[d.perturbed_losses.tolist() for d in parts],
        gramians=[d.gramian.tolist() for d in parts],
        sharpness=[[sharpness(*task, rho) for task in of_tasks(run)] for rho in RADII],
    )


def final(run: runs.Run) -> dict:
    log_p = log_probabilities(run.model, data().test_images)
    bins = [reliability(p, y) for p, y in zip(log_p, data().test_labels.unbind(1), strict=True)]
    entropies = [(p.exp() * -p).sum(-1).histc(12, 0, 2.4).int().tolist() for p in log_p]
    alpha = [-1.0, -0.5, 0.0, 0.5, 1.0]
    line = [[0.5 + a**2, 0.4 + 2 * a**2] for a in alpha]
    plane = [[[0.5 + a**2 + b**2, 0.4 + 2 * a**2 + b**2] for b in alpha] for a in alpha]
    return dict(
        kind="final",
        reliability=[dict(zip(("count", "confidence", "accuracy"), (v.tolist() for v in b))) for b in bins],
        entropy=dict(edges=[0.2 * k for k in range(13)], **{"fashion+mnist": entropies, "mnist": entropies}),
        slices=dict(line=dict(alpha=alpha, losses=line), plane=dict(alpha=alpha, losses=plane)),
    )
