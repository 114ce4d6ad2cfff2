"""Correct loops that look like bugs of validation data and of metrics."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, Subset, TensorDataset, WeightedRandomSampler

from . import correct


def _points(n=320, seed=0):
    torch.manual_seed(seed)
    X = torch.randn(n, 6)
    return X, (X[:, 0] - X[:, 1] * X[:, 2] > 0).long()


def _net(outputs=2):
    return nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, outputs))


def _epoch(net, opt, loader):
    net.train()
    for xb, yb in loader:
        opt.zero_grad()
        F.cross_entropy(net(xb), yb).backward()
        opt.step()


def _hits(net, X, y):
    net.eval()
    with torch.no_grad():
        return (net(X).argmax(1) == y).float().mean().item()


def _accuracy(net, loader):
    net.eval()
    with torch.no_grad():
        correct = sum((net(xb).argmax(1) == yb).sum().item() for xb, yb in loader)
    return correct / len(loader.dataset)


@correct
def training_accuracy_beside_a_weighted_sampler():
    X, y = _points()
    train, val = TensorDataset(X[:256], y[:256]), TensorDataset(X[256:], y[256:])
    weights = torch.where(y[:256] == 1, 2.0, 1.0)
    loader = DataLoader(train, batch_size=32, sampler=WeightedRandomSampler(weights, 256))
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(4):
        _epoch(net, opt, loader)
        _accuracy(net, DataLoader(train, batch_size=64))
        _accuracy(net, DataLoader(val, batch_size=64))


@correct
def predictions_for_all_rows_after_a_split():
    X, y = _points()
    data = TensorDataset(X, y)
    order = torch.randperm(320).tolist()
    train, val = Subset(data, order[:256]), Subset(data, order[256:])
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(4):
        _epoch(net, opt, DataLoader(train, batch_size=32, shuffle=True))
        _accuracy(net, DataLoader(val, batch_size=32))
    _accuracy(net, DataLoader(data, batch_size=32))
    with torch.no_grad():
        net(X).argmax(1).numpy()


@correct
def oversampled_after_the_split():
    X, y = _points()
    rare = (y[:256] == 1).nonzero().flatten()
    rows = torch.cat([torch.arange(256), rare.repeat(3)])
    Xt, yt = X[:256][rows], y[:256][rows]
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(4):
        for part in torch.randperm(len(Xt)).split(32):
            opt.zero_grad()
            F.cross_entropy(net(Xt[part]), yt[part]).backward()
            opt.step()
        _hits(net, X[256:], y[256:])


@correct
def bootstrap_of_tensors_measured_on_the_original():
    X, y = _points()
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    drawn = torch.randint(256, (256,))
    for _ in range(5):
        for part in drawn[torch.randperm(256)].split(32):
            opt.zero_grad()
            F.cross_entropy(net(X[part]), y[part]).backward()
            opt.step()
        _hits(net, X[:256], y[:256])
        _hits(net, X[256:], y[256:])


@correct
def random_minibatches_and_some_training_rows_measured():
    X, y = _points(3000)
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for step in range(60):
        part = torch.randint(2500, (32,))
        opt.zero_grad()
        F.cross_entropy(net(X[part]), y[part]).backward()
        opt.step()
        if step % 10 == 9:
            _hits(net, X[:400], y[:400])
            _hits(net, X[2500:], y[2500:])


@correct
def pseudo_labels():
    X, y = _points()
    known, unknown = TensorDataset(X[:100], y[:100]), DataLoader(X[100:260], batch_size=40)
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(4):
        _epoch(net, opt, DataLoader(known, batch_size=25, shuffle=True))
    for _ in range(2):
        net.eval()
        with torch.no_grad():
            probabilities = torch.cat([net(xb) for xb in unknown]).softmax(1)
        sure = probabilities.max(1).values > 0.7
        Xp = torch.cat([X[:100], X[100:260][sure]])
        yp = torch.cat([y[:100], probabilities.argmax(1)[sure]])
        _epoch(net, opt, DataLoader(TensorDataset(Xp, yp), batch_size=25, shuffle=True))
        _hits(net, X[260:], y[260:])


@correct
def table_of_few_different_values():
    torch.manual_seed(3)
    X = torch.randint(0, 3, (400, 4)).float()
    y = (X.sum(1) > 4).long()
    net = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 2))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(4):
        for part in torch.randperm(300).split(30):
            opt.zero_grad()
            F.cross_entropy(net(X[part]), y[part]).backward()
            opt.step()
        _hits(net, X[300:], y[300:])


@correct
def scaled_inside_the_training_loop():
    X, y = _points()
    X = 40 + 9 * X
    mean, std = X[:256].mean(0), X[:256].std(0)
    X_val = (X[256:] - mean) / std
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(4):
        for xb, yb in DataLoader(TensorDataset(X[:256], y[:256]), batch_size=32, shuffle=True):
            opt.zero_grad()
            F.cross_entropy(net((xb - mean) / std), yb).backward()
            opt.step()
        _hits(net, X_val, y[256:])
        _accuracy(net, DataLoader(TensorDataset(X_val, y[256:]), batch_size=32))


@correct
def probes_far_from_the_data():
    X, y = _points()
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(5):
        for part in torch.randperm(256).split(32):
            opt.zero_grad()
            F.cross_entropy(net(X[part]), y[part]).backward()
            opt.step()
        _hits(net, X[256:], y[256:])
        _hits(net, 8 * X[256:], y[256:])  # how it does on other data
    with torch.no_grad():
        net(10 * torch.eye(6).repeat(4, 1)).argmax(1).numpy()


@correct
def curve_beyond_the_training_range():
    torch.manual_seed(0)
    x = torch.rand(200, 1)
    net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    grid = torch.linspace(-4, 5, 200).unsqueeze(1)
    for _ in range(60):
        opt.zero_grad()
        F.mse_loss(net(x), x.sin()).backward()
        opt.step()
        with torch.no_grad():
            F.mse_loss(net(grid), grid.sin()).item()


@correct
def one_range_for_dummies_and_pixels():
    torch.manual_seed(0)
    X = torch.randint(0, 17, (400, 12)).float() / 16
    y = (X[:, 0] > X[:, 1]).long()
    net = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 2))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(3):
        _epoch(net, opt, DataLoader(TensorDataset(X[:300], y[:300]), batch_size=30))
        _accuracy(net, DataLoader(TensorDataset(X[300:], y[300:]), batch_size=50))


@correct
def double_dqn_on_tensors():
    torch.manual_seed(0)
    memory = torch.randn(200, 4)
    online = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 2))
    opt = optim.Adam(online.parameters(), lr=1e-3)
    for _ in range(40):
        now = torch.randint(199, (24,))
        with torch.no_grad():
            best = online(memory[now + 1]).max(1).values
            target = memory[now, 0] + 0.5 * best
        opt.zero_grad()
        F.smooth_l1_loss(online(memory[now]).max(1).values, target).backward()
        opt.step()


@correct
def thresholds_on_logits_that_are_no_probabilities():
    X, y = _points()
    net = _net(1)
    opt = optim.Adam(net.parameters(), lr=1e-2)
    loader = DataLoader(TensorDataset(X, y.float()), batch_size=32, shuffle=True)
    for _ in range(3):
        for xb, yb in loader:
            opt.zero_grad()
            F.binary_cross_entropy_with_logits(net(xb).squeeze(1), yb).backward()
            opt.step()
        with torch.no_grad():
            for xb, yb in loader:
                logits = net(xb).squeeze(1)
                (logits > math.log(0.7 / 0.3)).eq(yb.bool()).sum()
                for cut in (-0.5, 0.0, 0.5):
                    ((logits > cut) == yb.bool()).float().mean()


@correct
def length_beside_a_logit():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 24), nn.ReLU())
            self.length, self.logit = nn.Linear(24, 1), nn.Linear(24, 1)

        def forward(self, x):
            h = self.body(x)
            return self.length(h).squeeze(1), self.logit(h).squeeze(1)

    X, y = _points()
    net = Two()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(3):
        for part in torch.randperm(320).split(32):
            length, logit = net(X[part])
            loss = F.mse_loss(length, X[part, 3])
            loss = loss + F.binary_cross_entropy_with_logits(logit, y[part].float())
            opt.zero_grad()
            loss.backward()
            opt.step()
        with torch.no_grad():
            length, logit = net(X)
            ((length > 0.5) == (X[:, 3] > 0.5)).float().mean()
            ((logit > 0) == y.bool()).float().mean()


@correct
def weighted_mean_of_lists():
    X, y = _points(340)
    loader = DataLoader(TensorDataset(X, y), batch_size=64)
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(3):
        _epoch(net, opt, loader)
        net.eval()
        accuracies, sizes, weighted = [], [], []
        with torch.no_grad():
            for xb, yb in loader:
                accuracy = (net(xb).argmax(1) == yb).float().mean().item()
                accuracies.append((net(xb).argmax(1) == yb).float().mean().item())
                sizes.append(len(yb))
                weighted.append(accuracy * len(yb))
        np.average(accuracies, weights=sizes)
        np.sum(weighted) / len(loader.dataset)


@correct
def hits_of_all_folds_over_all_rows():
    X, y = _points()
    data = TensorDataset(X, y)
    hits = 0
    for fold in range(4):
        held_out = list(range(fold * 80, fold * 80 + 80))
        rest = [i for i in range(320) if i not in held_out]
        net = _net()
        opt = optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(3):
            _epoch(net, opt, DataLoader(Subset(data, rest), batch_size=32, shuffle=True))
        net.eval()
        with torch.no_grad():
            for xb, yb in DataLoader(Subset(data, held_out), batch_size=32):
                hits += (net(xb).argmax(1) == yb).sum().item()
    print(hits / len(data))


def _in_numpy(net, X):
    with torch.no_grad():
        return net(X).numpy()


@correct
def columns_made_flat_in_numpy():
    X, _ = _points()
    y = X[:, 0].numpy()
    net = _net(1)
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(4):
        opt.zero_grad()
        F.mse_loss(net(X), X[:, :1]).backward()
        opt.step()
    with torch.no_grad():
        pred = net(X).numpy().ravel()
        column = net(X).numpy()
    flat = _in_numpy(net, X)
    flat = flat[:, 0]
    np.abs(pred - y).mean() + np.abs(flat - y).mean() + np.abs(column - y[:, None]).mean()


@correct
def half_of_the_model_frozen_for_a_while():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head, self.frozen = nn.Linear(6, 24), nn.Linear(24, 2), True

        def forward(self, x):
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
                x = self.body(x).relu()
            return self.head(x)

    net = Net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for epoch in range(4):
        net.frozen = epoch < 2
        _epoch(net, opt, DataLoader(TensorDataset(*_points()), batch_size=32))


@correct
def equal_columns_that_learn_apart():
    X, y = _points()
    weight = nn.Parameter(torch.zeros(6, 2))
    net = nn.ParameterList([weight])
    opt = optim.SGD(net.parameters(), lr=0.1)
    for _ in range(20):
        opt.zero_grad()
        F.cross_entropy(X @ weight, y).backward()
        opt.step()


@correct
def statistics_refreshed_by_hand_from_tensors():
    X, y = _points()
    net = nn.Sequential(nn.Linear(6, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 2))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(4):
        net.train()
        for part in torch.randperm(256).split(32):
            opt.zero_grad()
            F.cross_entropy(net(X[part]), y[part]).backward()
            opt.step()
        _hits(net, X[256:], y[256:])
    net.train()
    with torch.no_grad():
        for part in X[:256].split(64):
            net(part)
    _hits(net, X[256:], y[256:])


@correct
def one_range_and_training_accuracy_beside_drop_last():
    X, y = _points()
    low, high = X[:256].min(0).values, X[:256].max(0).values
    X = (X - low) / (high - low)
    train = TensorDataset(X[:250], y[:250])
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(3):
        _epoch(net, opt, DataLoader(train, batch_size=32, shuffle=True, drop_last=True))
        _accuracy(net, DataLoader(train, batch_size=64))
        _accuracy(net, DataLoader(TensorDataset(X[256:], y[256:]), batch_size=32))
