import pytest
import torch
from torch import nn

from course_utils import mlp, pick_device


def test_mlp_has_the_layers_it_was_asked_for():
    model = mlp(2, 64, 32, 3, dropout=0.2)
    kinds = [type(layer) for layer in model]
    assert kinds == [nn.Linear, nn.ReLU, nn.Dropout] * 2 + [nn.Linear]
    assert model(torch.zeros(5, 2)).shape == (5, 3)
    assert nn.Dropout not in [type(layer) for layer in mlp(2, 64, 2)]


def test_mlp_without_a_hidden_layer_is_linear():
    assert [type(layer) for layer in mlp(4, 1)] == [nn.Linear]


@pytest.mark.parametrize("widths", [(), (3,), (2, 0, 2), (2, 1.5, 2), (True, True), ((2, 3),)])
def test_mlp_refuses_impossible_widths(widths):
    with pytest.raises(ValueError, match=r"mlp\(2, 64, 2\)"):
        mlp(*widths)


@pytest.mark.parametrize("dropout", [-0.1, 1, 20])
def test_mlp_refuses_impossible_dropout(dropout):
    with pytest.raises(ValueError, match="dropout is a probability"):
        mlp(2, 4, 2, dropout=dropout)


def test_pick_device_prefers_cuda_then_mps_then_cpu(monkeypatch):
    for cuda, mps, expected in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert pick_device() == torch.device(expected)
