"""Training loops with one silent bug each."""

import itertools

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import (
    make_moons,
)
from torch import nn, optim
from torch.utils.data import (
    DataLoader,
    TensorDataset,
    random_split,
)

from .. import buggy


@buggy("grads-cleared-before-step")
def while_loop_until_budget():
    torch.manual_seed(201)
    x = torch.randn(256, 6)
    y = (x[:, :2].sum(1) - x[:, 2] > 0).float()
    clf = nn.Sequential(nn.Linear(6, 20), nn.ELU(), nn.Linear(20, 1), nn.Flatten(0))
    opt = optim.NAdam(clf.parameters(), lr=0.01)

    def endless(loader):
        while True:
            yield from loader

    stream = endless(DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True))
    step, window, reports = 0, [], []
    while step < 64:
        xb, yb = next(stream)
        loss = F.binary_cross_entropy_with_logits(clf(xb), yb)
        loss.backward()
        for w in clf.parameters():
            w.grad = None
        opt.step()
        window.append(loss.item())
        step += 1
        if step % 16 == 0:
            reports.append(float(np.mean(window[-16:])))
    return reports


@buggy("backward-never-called")
def bf16_peak_classifier():
    torch.manual_seed(204)
    x = torch.randn(320, 1, 16)
    y = (x.amax(-1) > x.amin(-1).abs()).long().flatten()
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 48), nn.GELU(), nn.Linear(48, 2))
    opt = optim.AdamW(net.parameters(), lr=5e-3)
    hist = []
    for epoch in range(7):
        net.train()
        tot = 0.0
        for xb, yb in loader:
            opt.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                out = net(xb)
                loss = F.cross_entropy(out.float(), yb)
            opt.step()
            tot += loss.item()
        hist.append(tot / len(loader))
        print(f"{epoch:02d} {hist[-1]:.4f}")
    return hist


@buggy("unregistered-layers")
def stripes_block_net():
    torch.manual_seed(208)

    class BlockNet(nn.Module):
        def __init__(self, channels=(1, 8, 12)):
            super().__init__()
            blocks = []
            for cin, cout in itertools.pairwise(channels):
                blocks.append(nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1), nn.ReLU()))
            self.blocks = blocks
            self.fc = nn.Linear(channels[-1], 3)

        def forward(self, x):
            for block in self.blocks:
                x = F.max_pool2d(block(x), 2)
            return self.fc(x.mean((2, 3)))

    lab = torch.randint(0, 3, (240,))
    img = 0.3 * torch.randn(240, 1, 8, 8)
    img[lab == 0, 0, ::2, :] += 1
    img[lab == 1, 0, :, ::2] += 1
    img[lab == 2, 0, 3:5, 3:5] += 2
    train_ds, val_ds = random_split(TensorDataset(img, lab), [192, 48])
    net = BlockNet()
    opt = optim.Adam(net.parameters(), lr=0.01)
    hist = []
    for _ in range(5):
        net.train()
        s = 0.0
        for xb, yb in DataLoader(train_ds, batch_size=24, shuffle=True):
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / 8)
        net.eval()
        with torch.no_grad():
            for xb, yb in DataLoader(val_ds, batch_size=48):
                print((net(xb).argmax(1) == yb).float().mean().item())
    return hist


@buggy("softmax-before-cross-entropy")
def mode_of_sequence():
    torch.manual_seed(212)

    class MeanPool(nn.Module):
        def forward(self, h):
            return h.mean(dim=1)

    seqs = torch.randint(0, 15, (280, 5))
    klass = (seqs // 5).mode(1).values
    model = nn.Sequential(
        nn.Embedding(15, 16),
        nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True),
        MeanPool(),
        nn.Linear(16, 3),
        nn.Softmax(dim=-1),
    )
    opt = optim.AdamW(model.parameters(), lr=5e-3)
    criterion = nn.CrossEntropyLoss()
    best_acc, hist = 0.0, []
    tr, va = random_split(TensorDataset(seqs, klass), [240, 40])
    for _ in range(4):
        model.train()
        s = n = 0
        for q, k in DataLoader(tr, batch_size=24, shuffle=True):
            opt.zero_grad()
            loss = criterion(model(q), k)
            loss.backward()
            opt.step()
            s, n = s + loss.item() * len(k), n + len(k)
        hist.append(s / n)
        model.eval()
        with torch.no_grad():
            for q, k in DataLoader(va, batch_size=40):
                best_acc = max(best_acc, (model(q).argmax(1) == k).float().mean().item())
    print("best", best_acc)
    return hist


@buggy("training-in-eval-mode")
def residual_mlp_regression():
    torch.manual_seed(213)

    class ResMLP(nn.Module):
        def __init__(self):
            super().__init__()
            self.inp = nn.Linear(5, 32)
            self.norm = nn.BatchNorm1d(32)
            self.drop = nn.Dropout(0.2)
            self.mid = nn.Linear(32, 32)
            self.out = nn.Linear(32, 1)

        def forward(self, x):
            h = F.relu(self.norm(self.inp(x)))
            return self.out(h + self.drop(F.relu(self.mid(h)))).squeeze(-1)

    x = torch.randn(320, 5)
    y = torch.sin(x[:, 0]) + x[:, 1] * x[:, 2]
    model = ResMLP()
    model.eval()
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    opt = optim.Adam(model.parameters(), lr=5e-3)
    hist = []
    for _ in range(8):
        s = 0.0
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.mse_loss(model(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(loader))
    return hist


@buggy("best-state-alias")
def keep_best_accuracy_weights():
    torch.manual_seed(225)

    class BestKeeper:
        def __init__(self, model):
            self.model, self.best, self.weights = model, -1.0, None

        def update(self, accuracy):
            if accuracy > self.best:
                self.best = accuracy
                self.weights = {k: v.detach() for k, v in self.model.state_dict().items()}

        def restore(self):
            self.model.load_state_dict(self.weights)

    X, y = make_moons(360, noise=0.35, random_state=225)
    X, y = torch.tensor(X).float(), torch.tensor(y)
    tr = DataLoader(TensorDataset(X[:240], y[:240]), batch_size=24, shuffle=True)
    va = DataLoader(TensorDataset(X[240:], y[240:]), batch_size=60)
    net = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 2))
    keeper = BestKeeper(net)
    opt = optim.Adam(net.parameters(), lr=0.02)
    hist = []
    for _ in range(8):
        net.train()
        s = 0.0
        for xb, yb in tr:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(tr))
        net.eval()
        with torch.no_grad():
            keeper.update(sum((net(xb).argmax(1) == yb).sum().item() for xb, yb in va) / 120)
    keeper.restore()
    return hist
