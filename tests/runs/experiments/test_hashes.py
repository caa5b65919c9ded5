"""The hash of the data of an experiment follows the data that it uses, and nothing else."""

import os
import shutil

import pytest
import torch
from torch.utils.data import Subset

from flatmtl_lite.runs.data import hashes
from flatmtl_lite.runs.data.hashes import hash_files, hash_tensors
from flatmtl_lite.runs.data.scenes import Scenes
from flatmtl_lite.runs.experiments.hashes import data_hash
from flatmtl_lite.runs.experiments.registry import read_options
from flatmtl_lite.runs.experiments.scenes import SceneTasks, log_loss_score
from flatmtl_lite.runs.networks.scenes import encoder_decoder
from flatmtl_lite.runs.rooms import write_rooms

SMALL = dict(sample=True, network="mlp", n_train=64, n_val=20, n_test=20)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rooms") / "rooms"
    write_rooms(folder, 6, 3, 48, 64)
    return folder


def scenes(folder, train=4, test=3):
    all_train = Scenes(folder, "train")
    parts = Subset(all_train, range(train)), Subset(all_train, range(train, 6))
    return SceneTasks(*parts, Subset(Scenes(folder, "val"), range(test)), encoder_decoder, log_loss_score)


def images(seed=0, **options):
    request = read_options("multimnist", None, SMALL | options)
    return request.settings.experiment(seed, "cpu")[0]


def test_images_with_another_seed_or_size_have_another_hash():
    first = data_hash(images())
    assert data_hash(images()) == first
    assert len({first, data_hash(images(seed=1)), data_hash(images(n_val=19))}) == 3


def test_no_tensor_at_all_has_a_hash_of_its_own():
    assert hash_tensors([torch.zeros(0, 36, 36)]) != hash_tensors([torch.zeros(0, 2)])


def test_scenes_are_known_by_the_files_that_are_read(rooms, tmp_path):
    first = data_hash(scenes(rooms))
    shutil.copytree(rooms, tmp_path / "copy")
    assert data_hash(scenes(tmp_path / "copy")) == first  # wherever they lie
    assert data_hash(scenes(rooms, test=2)) != first
    whole = SceneTasks(Scenes(rooms), *scenes(rooms).splits.values(), encoder_decoder, log_loss_score)
    assert data_hash(whole) != first
    tasks = scenes(tmp_path / "copy")
    (tmp_path / "copy" / "train" / "image" / "6.npy").write_bytes(b"more rooms that this run does not use")
    assert data_hash(tasks) == first
    changed = tmp_path / "copy" / "val" / "depth" / "2.npy"
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(bytes(content))
    assert data_hash(tasks) != first


def test_an_experiment_of_the_users_own_has_no_hash():
    assert data_hash(object()) is None


def test_the_hash_of_much_data_is_kept_until_a_file_changes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(hashes, "CACHED_BYTES", 0)
    monkeypatch.setattr(hashes.pooch, "os_cache", lambda name: tmp_path / "cache")
    files = [tmp_path / "data" / name for name in ("0.npy", "1.npy")]
    files[0].parent.mkdir()
    for file in files:
        file.write_bytes(b"one")
    first = hash_files(files, tmp_path / "data")
    assert "for their hash, once." in capsys.readouterr().err
    assert hash_files(files, tmp_path / "data") == first
    assert capsys.readouterr().err == ""
    files[1].write_bytes(b"two")
    os.utime(files[1], ns=(0, 0))
    assert hash_files(files, tmp_path / "data") != first
    assert "The hash took" in capsys.readouterr().err

    (kept,) = (path for path in (tmp_path / "cache" / "hashes").iterdir() if first in path.read_text())
    kept.write_text("damaged")
    files[1].write_bytes(b"one")
    assert hash_files(files, tmp_path / "data") == first
