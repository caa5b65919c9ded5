"""How far a sweep is, from the files of its runs."""

import json

import pytest

from flatmtl_lite.runs import RunFolder
from flatmtl_lite.runs.sweep.jobs import grid
from flatmtl_lite.runs.sweep.status import status


@pytest.fixture
def jobs(tmp_path):
    return grid("rooms", ["mean"], [], [], range(4), tmp_path)


def epochs_done(job, count, seconds_each):
    job.folder.mkdir(parents=True)
    (job.folder / "run.json").write_text("{}")
    entries = [{"kind": "epoch", "epoch": n, "seconds": n * seconds_each} for n in range(1, count + 1)]
    lines = [json.dumps(entry) for entry in entries] + [json.dumps({"kind": "evaluation", "epoch": count})]
    (job.folder / "log.jsonl").write_text("\n".join(lines) + '\n{"kind": "epo')


def test_the_time_left_counts_every_run_at_its_pace(jobs):
    epochs_done(jobs[0], 10, 6.0)
    (jobs[0].folder / "result.json").write_text("{}")
    epochs_done(jobs[1], 4, 60.0)
    epochs_done(jobs[2], 5, 24.0)
    at_work = RunFolder(jobs[1].folder)
    at_work.take()
    lines = status(jobs, dict.fromkeys(jobs, 10)).splitlines()
    at_work.release()
    assert lines[0] == "finished  mean/seed0"
    assert lines[1] == "at work   mean/seed1  epoch 4 of 10  about 6.0 min left"
    assert lines[2] == "stopped   mean/seed2  epoch 5 of 10  about 2.0 min left"
    assert lines[3] == "waiting   mean/seed3"
    # 360 s, 120 s, and ten epochs at the mean pace of 30 s
    assert lines[4] == "1 of 4 runs finished, 1 at work; about 13.0 min left with 1 at a time."


def test_runs_at_work_share_the_time_that_is_left(jobs):
    at_work = [RunFolder(job.folder) for job in jobs[:2]]
    for job, folder in zip(jobs, at_work, strict=False):
        epochs_done(job, 4, 60.0)
        folder.take()
    text = status(jobs[:2], dict.fromkeys(jobs, 10))
    for folder in at_work:
        folder.release()
    assert text.splitlines()[-1] == "0 of 2 runs finished, 2 at work; about 6.0 min left with 2 at a time."


def test_before_the_first_epoch_no_time_is_known(jobs):
    assert status(jobs, dict.fromkeys(jobs, 10)).splitlines()[-1] == (
        "0 of 4 runs finished, 0 at work; no epoch is done yet."
    )


def test_to_ask_takes_no_folder(jobs):
    epochs_done(jobs[0], 1, 1.0)
    status(jobs, dict.fromkeys(jobs, 10))
    folder = RunFolder(jobs[0].folder)
    folder.take()
    folder.release()
    assert not jobs[1].folder.exists()
