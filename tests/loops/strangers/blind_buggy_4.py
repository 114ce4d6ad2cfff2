"""Training loops with one silent bug each."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import (
    DataLoader,
    TensorDataset,
)

from .. import buggy


@buggy("dropout-always-on")
def dropout_partial_regression():
    torch.manual_seed(307)

    class Reg(nn.Module):
        def __init__(self, p=0.3):
            super().__init__()
            self.p = p
            self.l1, self.l2, self.l3 = nn.Linear(4, 48), nn.Linear(48, 48), nn.Linear(48, 1)

        def forward(self, x):
            drop = partial(F.dropout, p=self.p, training=True)
            x = drop(F.relu(self.l1(x)))
            x = drop(F.relu(self.l2(x)))
            return self.l3(x)

    x = torch.randn(400, 4)
    y = x[:, :1] * 1.5 - x[:, 1:2].abs() + 0.7
    tr = DataLoader(TensorDataset(x[:320], y[:320]), batch_size=32, shuffle=True)
    va = DataLoader(TensorDataset(x[320:], y[320:]), batch_size=40)
    net = Reg()
    opt = optim.Adam(net.parameters(), lr=5e-3)
    hist = []
    for epoch in range(6):
        net.train()
        s = 0.0
        for xb, yb in tr:
            opt.zero_grad()
            loss = F.mse_loss(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(tr))
        net.eval()
        with torch.no_grad():
            v = sum(F.mse_loss(net(xb), yb).item() for xb, yb in va) / len(va)
        print(f"{epoch} train {hist[-1]:.3f} val {v:.3f}")
    return hist
