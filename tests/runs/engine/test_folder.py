"""The folder of a run keeps log and checkpoints together."""

import json

from flatmtl_lite.runs import RunFolder


def test_a_log_that_is_longer_than_the_checkpoint_is_cut_back(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.take()
    folder.begin({})
    saved, lost, again = ({"kind": "step", "epoch": 0, "step": step} for step in (0, 1, 1.5))
    folder.save({"epoch": 0, "position": 1, "learners": []}, [saved])
    folder.write_log([saved, lost])  # then the process is killed
    folder.release()
    resumed = RunFolder(tmp_path / "run")
    resumed.take()
    state, log = resumed.newest_checkpoint()
    assert (state, log) == ({"epoch": 0, "position": 1, "learners": []}, [saved])
    resumed.write_log([*log, again])
    resumed.release()
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert list(map(json.loads, lines)) == [saved, again]
