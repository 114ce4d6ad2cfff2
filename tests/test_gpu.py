"""What only a CUDA device can show: `pytest -m gpu` runs it where there is one."""

import copy

import pytest
import torch
from torch import nn

from course_utils import mlp, moons, pick_device, tensor_loader, train
from tests.test_distributed import torchrun

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

X, y = moons(1000, seed=0)
LOSS = nn.CrossEntropyLoss()


class NeverWaits:
    """A loader under which PyTorch raises an error if the program waits for the device."""

    def __init__(self, loader):
        self.loader = loader

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        for batch in self.loader:
            torch.cuda.set_sync_debug_mode("error")
            yield batch
            torch.cuda.set_sync_debug_mode("default")  # between epochs it may


def run(epochs=3, device=None, guard=lambda loader: loader, lr=1e-2, fused=False, **options):
    torch.manual_seed(0)
    model = mlp(2, 64, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, fused=fused)
    if options.pop("one_cycle", False):
        options["scheduler_step"] = "batch"
        options["scheduler"] = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, lr, total_steps=epochs * 13
        )
    generator = torch.Generator().manual_seed(0)
    pinned = torch.cuda.is_available()
    train_loader = tensor_loader(
        X[:800], y[:800], shuffle=True, generator=generator, pin_memory=pinned
    )
    val_loader = tensor_loader(X[800:], y[800:], pin_memory=pinned)
    history = train(
        model, guard(train_loader), val_loader, LOSS, optimizer, epochs, device, **options
    )
    return model, history


def test_the_gpu_is_chosen():
    assert pick_device() == torch.device("cuda")
    model, _ = run(progress=False)
    assert all(parameter.is_cuda for parameter in model.parameters())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progress": False},
        {"fused": True},
        {"max_grad_norm": 1.0},
        {"one_cycle": True},
        {"amp": torch.bfloat16},
        {"amp": True, "fused": True},
        {"amp": True, "fused": True, "max_grad_norm": 1.0, "one_cycle": True},
    ],
    ids=str,
)
def test_training_never_waits_for_the_device_inside_an_epoch(options):
    try:
        _, history = run(guard=NeverWaits, **options)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert history["train_loss"][-1] < history["train_loss"][0]


def test_the_guard_notices_a_program_that_waits():
    with pytest.raises(RuntimeError, match="synchroniz"):
        try:
            for xb, _ in NeverWaits([(X.cuda(), y.cuda())]):
                xb.sum().item()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_cpu_and_gpu_agree():
    on_gpu, gpu_history = run(progress=False)
    on_cpu, cpu_history = run(progress=False, device="cpu")
    for name in ("train_loss", "val_loss", "val_acc"):
        assert gpu_history[name] == pytest.approx(cpu_history[name], rel=1e-2, abs=1e-3)
    for gpu, cpu in zip(on_gpu.parameters(), on_cpu.parameters(), strict=True):
        torch.testing.assert_close(gpu.cpu(), cpu, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("amp", [True, torch.bfloat16])
def test_mixed_precision_reaches_the_same_region(amp):
    _, history = run(epochs=10, amp=amp, progress=False)
    _, full = run(epochs=10, progress=False)
    assert history["val_loss"][-1] == pytest.approx(full["val_loss"][-1], rel=0.2, abs=0.02)


def test_a_checkpoint_of_the_gpu_resumes(tmp_path):
    model, history = run(epochs=4, progress=False)
    run(epochs=2, progress=False, checkpoint=tmp_path / "run.pt")
    resumed, resumed_history = run(epochs=4, progress=False, checkpoint=tmp_path / "run.pt")
    assert resumed_history["val_loss"] == pytest.approx(history["val_loss"], rel=1e-4)
    for a, b in zip(model.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_a_model_trained_on_the_gpu_can_come_back():
    model, _ = run(progress=False)
    there = copy.deepcopy(model)(X.cuda()).argmax(dim=1).cpu()
    assert (model.cpu()(X).argmax(dim=1) == there).float().mean() > 0.99


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_under_torchrun_return_the_same(tmp_path):
    job = torchrun(["shuffled", "batch_norm", "unbroken"], tmp_path)
    assert job.returncode == 0, job.stderr
    first, second = (torch.load(tmp_path / f"{rank}.pt", map_location="cpu") for rank in (0, 1))
    for name, result in first.items():
        torch.testing.assert_close(result["weights"], second[name]["weights"], rtol=0, atol=0)
