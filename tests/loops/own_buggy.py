"""Buggy loops written beside the doctor: forms that the other modules don't have."""

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from . import buggy


def _points(n=320, seed=0):
    torch.manual_seed(seed)
    X = torch.randn(n, 6)
    return X, (X[:, 0] - X[:, 1] * X[:, 2] > 0).long()


def _loader(batch_size=32):
    return DataLoader(TensorDataset(*_points()), batch_size=batch_size, shuffle=True)


def _net(*extra):
    return nn.Sequential(nn.Linear(6, 32), *extra, nn.ReLU(), nn.Linear(32, 2))


def _fit(net, opt, epochs=4, loader=None):
    for _ in range(epochs):
        for xb, yb in loader or _loader():
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()


@buggy("no-zero-grad")
def zeroed_in_place_once_per_epoch():
    net = _net()
    opt = optim.SGD(net.parameters(), lr=0.01)
    for _ in range(3):
        opt.zero_grad(set_to_none=False)
        for xb, yb in _loader():
            F.cross_entropy(net(xb), yb).backward()
            opt.step()


@buggy("eval-in-train-mode")
def whole_validation_tensor():
    X, y = _points(400)
    net = _net(nn.Dropout(0.3))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(30):
        opt.zero_grad()
        F.cross_entropy(net(X[:320]), y[:320]).backward()
        opt.step()
        with torch.no_grad():
            F.cross_entropy(net(X[320:]), y[320:]).item()


@buggy("training-in-eval-mode")
def full_batch_after_validation():
    X, y = _points(400)
    net = _net(nn.BatchNorm1d(32))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    net.train()
    for _ in range(30):
        opt.zero_grad()
        F.cross_entropy(net(X[:320]), y[:320]).backward()
        opt.step()
        net.eval()
        with torch.no_grad():
            F.cross_entropy(net(X[320:]), y[320:]).item()


@buggy("optimizer-holds-other-params")
def head_replaced_after_the_optimizer():
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    net[-1] = nn.Linear(32, 2)
    _fit(net, opt)


@buggy("best-state-alias")
def shallow_copy_of_the_dict():
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    best = None
    for epoch in range(4):
        _fit(net, opt, epochs=1)
        if epoch == 1:
            best = {name: value.detach() for name, value in net.state_dict().items()}
    net.load_state_dict(best)


@buggy("labels-misaligned")
def two_loaders_that_shuffle_alone():
    X, y = _points()
    inputs = DataLoader(X, batch_size=32, shuffle=True)
    labels = DataLoader(y, batch_size=32, shuffle=True)
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(3):
        for xb, yb in zip(inputs, labels, strict=True):
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()


@buggy("broadcast-loss")
def squeezed_outputs_against_a_column():
    X, _ = _points()
    y = X[:, :1] * 2 - 1
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(20):
        loss = (net(X).squeeze() - y).abs().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()


@buggy("loss-cut-off")
def loss_made_anew():
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for xb, yb in _loader():
        opt.zero_grad()
        loss = torch.tensor(F.cross_entropy(net(xb), yb).item(), requires_grad=True)
        loss.backward()
        opt.step()


@buggy("layers-cut-off")
def numpy_in_the_middle():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(6, 32), nn.Linear(32, 2)

        def forward(self, x):
            hidden = torch.relu(self.first(x)).detach().numpy()
            return self.second(torch.tensor(hidden))

    net = Net()
    _fit(net, optim.Adam(net.parameters(), lr=1e-2))


@buggy("step-never-called")
def optimizer_step_after_return():
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)

    def step(xb, yb):
        opt.zero_grad()
        loss = F.cross_entropy(net(xb), yb)
        loss.backward()
        return loss.item()

    for xb, yb in _loader():
        step(xb, yb)


@buggy("scheduler-per-batch")
def step_lr_in_the_inner_loop():
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    scheduler = optim.lr_scheduler.StepLR(opt, step_size=3, gamma=0.1)
    for _ in range(4):
        for xb, yb in _loader():
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()
            scheduler.step()


@buggy("clip-misplaced")
def clip_by_value_after_the_step():
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(3):
        for xb, yb in _loader():
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            nn.utils.clip_grad_value_(net.parameters(), 0.5)
