"""The grid of a sweep: which runs, where, by which command; and what is refused before any of them starts."""

import math
import sys

import pytest

from flatmtl_lite.runs.sweep.jobs import grid


def names(jobs):
    return [job.name for job in jobs]


def test_a_grid_has_every_run_once_and_those_without_rho_once_a_seed(tmp_path):
    jobs = grid("multimnist", ["mean", "f-cagrad"], ["mnist", "fashion+mnist"], [0.05, 2], [0, 1], tmp_path)
    one_seed = ["mean/seed0", "f-cagrad/rho0.05/seed0", "f-cagrad/rho2/seed0"]
    seed_0 = [f"{variant}/{name}" for variant in ("mnist", "fashion+mnist") for name in one_seed]
    assert names(jobs) == seed_0 + [name.replace("seed0", "seed1") for name in seed_0]
    assert [job.folder for job in jobs] == [tmp_path / job.name for job in jobs]


def test_the_command_of_a_run(tmp_path):
    (job,) = grid("multimnist", ["f-mean"], ["mnist"], [0.05], [3], tmp_path, ["--preset", "demo"])
    assert job.program == (sys.executable, "-m", "flatmtl_lite")
    expected = f"train multimnist --method f-mean --rho 0.05 --variant mnist --seed 3 --out {job.folder}"
    assert job.words == (*expected.split(), "--resume", "--preset", "demo")


def test_an_experiment_without_variants_and_radii_of_its_own(tmp_path):
    jobs = grid("rooms", ["mean", "f-mean"], [], [], [0], tmp_path)
    assert names(jobs) == ["mean/seed0", "f-mean/seed0"]
    assert not {"--variant", "--rho"} & {word for job in jobs for word in job.words}


def test_what_is_named_twice_runs_once(tmp_path):
    jobs = grid("rooms", ["f-mean", "f-mean"], [], [0.1, 0.10], [0, 0], tmp_path)
    assert names(jobs) == ["f-mean/rho0.1/seed0"]


def test_only_constant_runs_once_for_each_choice_of_fixed_weights(tmp_path):
    methods, weights = ["mean", "constant", "f-constant"], ["0.7,0.3", "1, 1", "1.0,1"]
    jobs = grid("rooms", methods, [], [0.05, 0.1], [0], tmp_path, weights=weights)
    assert names(jobs) == [
        "mean/seed0",
        "constant/weights0.7,0.3/seed0",
        "constant/weights1,1/seed0",
        "f-constant/weights0.7,0.3/rho0.05/seed0",
        "f-constant/weights0.7,0.3/rho0.1/seed0",
        "f-constant/weights1,1/rho0.05/seed0",
        "f-constant/weights1,1/rho0.1/seed0",
    ]
    assert len({job.folder for job in jobs}) == len(jobs)
    words = f"train rooms --method f-constant --rho 0.1 --weights 1,1 --seed 0 --out {jobs[-1].folder}"
    assert jobs[-1].words == (*words.split(), "--resume")
    assert "--weights" not in jobs[0].words


def test_constant_without_weights_runs_once(tmp_path):
    (job,) = grid("rooms", ["constant"], [], [], [0], tmp_path)
    assert job.name == "constant/seed0"
    assert "--weights" not in job.words


def test_a_relative_folder_does_not_depend_on_where_the_run_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (job,) = grid("rooms", ["mean"], [], [], [0], "runs")
    assert job.folder == tmp_path / "runs" / "mean" / "seed0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ["mean", "f-cagard"]}, "f-cagard"),
        ({"methods": []}, "Got no methods"),
        ({"seeds": []}, "Got no seeds"),
        ({"seeds": [-1]}, "Got seed=-1"),
        ({"rhos": [-0.1]}, "Got rho=-0.1"),
        ({"rhos": [math.nan]}, "Got rho=nan"),
        ({"rhos": [math.inf]}, "Got rho=inf"),
        ({"variants": ["../mnist"]}, "expected a plain name"),
        ({"variants": [""]}, "expected a plain name"),
        ({"variants": [".."]}, "expected a plain name"),
        ({"arguments": ["--epochs", "3", "--seed", "4"]}, "Got --seed among the arguments"),
        ({"weights": ["0.7,0.3"]}, "expected constant or f-constant among them"),
        ({"methods": ["mean", "constant"], "weights": ["0.7;0.3"]}, "Got weights='0.7;0.3'"),
        ({"methods": ["constant"], "weights": ["0.7,-0.3"]}, "-0.3"),
        ({"methods": ["constant"], "weights": ["0.7,0.3", ""]}, 'Got weights=""'),
        ({"arguments": ["--weights", "1,1"]}, "Got --weights among the arguments"),
        ({"arguments": ["--out=elsewhere"]}, "Got --out=elsewhere among the arguments"),
    ],
)
def test_bad_grids_are_refused(change, message, tmp_path):
    good = {"methods": ["mean"], "variants": ["mnist"], "rhos": [0.1], "seeds": [0], "arguments": []}
    with pytest.raises(ValueError, match=message):
        grid("multimnist", **{**good, **change}, out=tmp_path)
    assert not list(tmp_path.iterdir())
