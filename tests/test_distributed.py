"""`train` on two processes, started by the real `torchrun`, against one process."""

import os
import subprocess
import sys
from functools import cache

import pytest
import torch

from course_utils import pick_device
from tests import distributed_runs
from tests.lessons import ROOT

LIKE_ONE_PROCESS = [
    "shuffled", "in_order", "own_generator_and_workers", "with_patience",
    "metric_of_all_rows_in_order", "one_validation_row", "uneven", "class_weights",
    "ignored_labels",
]  # fmt: skip
OTHERS = [
    "batch_norm", "bfloat16", "callbacks", "joined_before", "refusals", "unbroken", "not_broken",
    "checkpoint_of_one_process", "one_fails", "one_fails_in_mid_epoch",
    "one_cycle",
]  # fmt: skip


def torchrun(names, folder, **variables):
    """Start two processes that do the runs `names` and wait for them."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "tests.distributed_runs", ",".join(names), "."]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What each of two processes returned, for every run; all of them in one start."""
    folder = tmp_path_factory.mktemp("torchrun")
    job = torchrun(LIKE_ONE_PROCESS + OTHERS, folder)
    assert job.returncode == 0, job.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


alone = cache(lambda name: getattr(distributed_runs, name)())


def assert_close(a, b):
    torch.testing.assert_close(a["weights"], b["weights"], rtol=1e-4, atol=1e-5)
    assert a["history"].keys() == b["history"].keys()
    for name in a["history"]:
        assert a["history"][name] == pytest.approx(b["history"][name], 1e-4, nan_ok=True), name


def assert_equal(a, b):
    torch.testing.assert_close(a["weights"], b["weights"], rtol=0, atol=0)
    assert str(a["history"]) == str(b["history"])


@pytest.mark.parametrize("name", LIKE_ONE_PROCESS)
def test_two_processes_give_what_one_gives_with_the_combined_batch(together, name):
    assert_close(together[0][name], alone(name))


@pytest.mark.parametrize("name", [*LIKE_ONE_PROCESS, "batch_norm", "bfloat16", "unbroken"])
def test_both_processes_return_the_same_weights_buffers_and_history(together, name):
    assert_equal(together[0][name], together[1][name])


def test_the_comparison_can_fail(together):
    with pytest.raises(AssertionError):
        assert_close(together[0]["in_order"], alone("shuffled"))


def test_patience_stops_both_processes_in_the_same_epoch(together):
    stopped = [len(process["with_patience"]["history"]["val_loss"]) for process in together]
    assert stopped[0] == stopped[1] < 40


def test_batch_norm_sees_only_the_batch_of_its_own_process(together):
    with pytest.raises(AssertionError):
        assert_close(together[0]["batch_norm"], alone("batch_norm"))


def test_callbacks_run_on_the_first_process_and_dropout_differs(together):
    (seen, random, grad, weights, _), (unseen, others, other_grad, other_weights, _) = (
        process["callbacks"] for process in together
    )
    assert seen == [1, 2, 3, 4] and unseen == []
    assert not torch.equal(random, others)
    torch.testing.assert_close(weights, other_weights, rtol=0, atol=0)
    assert not torch.equal(grad, other_grad)


def test_the_group_is_left_again_unless_somebody_else_joined_it(together):
    for process in together:
        assert process["callbacks"][-1] is False and process["refusals"]["group left"] is False
        assert process["joined_before"]["still joined"] is True
        assert_equal(process["joined_before"], together[0]["joined_before"])


def test_what_can_not_be_split_is_refused_in_one_sentence(together):
    for process in together:
        said = process["refusals"]
        assert "train_loader is a list, which can't be split" in said["list"]
        assert "IterableDataset" in said["stream"]
        assert "already split by a DistributedSampler" in said["split"]
        assert "by its own rule" in said["batches"]
        assert "loss_fn has parameters of its own" in said["loss"]


def test_a_schedule_counted_in_batches_of_the_whole_loader_is_gone_through(together):
    assert [process["one_cycle"] for process in together] == [(30, 30)] * 2
    assert alone("one_cycle") == (15, 15)


def test_process_0_decides_for_all_whether_there_is_a_checkpoint(together):
    for process in together:
        assert_equal(process["checkpoint_of_one_process"], together[0]["not_broken"])


def test_if_one_process_fails_none_waits_for_it(together):
    for rank, process in enumerate(together):
        said = process["one_fails"]
        for name in ("other rows", "fewer rows"):
            assert said[name].startswith("ValueError: train_loader's")
            assert "Every process must be given all the data" in said[name]
        reason = "ValueError: val_loader has 1 NaN" if rank == 1 else "RuntimeError: process 1"
        assert said["a hole"].startswith(reason) and "val_loader has 1 NaN" in said["a hole"]
        reason = "ConnectionError: the disk" if rank == 0 else "RuntimeError: process 0 stopped"
        assert said["a callback"].startswith(reason) and "disk is full" in said["a callback"]


def test_if_one_process_fails_in_mid_epoch_all_stop_at_once_with_its_words(together):
    first, second = (process["one_fails_in_mid_epoch"] for process in together)
    for name, words in (
        ("a label", "batch 4 of train_loader has labels from 0 to 8"),
        ("a file", "train_loader can't give batch 4 (FileNotFoundError: no such picture)"),
    ):
        assert second[name][0].startswith(f"Unusable: {words}")
        assert first[name][0] == f"RuntimeError: process 1 stopped with {second[name][0]}"
        assert (
            max(first[name][1], second[name][1]) < 30
        )  # the group itself would wait for 30 minutes
        torch.testing.assert_close(first[name][2], second[name][2], rtol=0, atol=0)
    assert first["a label"][0].endswith("as they were before the call.")
    assert first["a file"][0].endswith("as they were at the end of epoch 1.")


def test_each_process_picks_a_gpu_of_its_own_and_one_process_the_default(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device() == torch.device("cuda")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick_device() == torch.device("cuda:1")


def test_several_processes_on_a_mac_take_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device() == torch.device("mps")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert pick_device() == torch.device("cpu")


def test_a_killed_process_ends_the_job_and_the_next_start_resumes_bit_for_bit(
    together, tmp_path, monkeypatch
):
    broken = torchrun(["resumable"], tmp_path, DIES_AT="18")  # in the fourth epoch of 5 steps
    assert broken.returncode != 0
    assert "SIGKILL" in broken.stderr and "rank      : 1" in broken.stderr
    assert (tmp_path / "run.pt").exists() and not (tmp_path / "0.pt").exists()
    resumed = torchrun(["resumable"], tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.count("Going on after epoch 3") == 1
    for rank in (0, 1):
        result = torch.load(tmp_path / f"{rank}.pt")["resumable"]
        assert_equal(result, together[rank]["unbroken"])

    path = tmp_path / "run.pt"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="number of processes was 2, here it is 1"):
        distributed_runs.resumable()
    assert path.exists()
