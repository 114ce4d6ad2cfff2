"""Training loops with one silent bug each."""

import copy
import itertools

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.datasets import (
    load_wine,
    make_circles,
    make_classification,
)
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn, optim
from torch.nn.utils import clip_grad_norm_
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import (
    DataLoader,
    TensorDataset,
)
from tqdm import tqdm

from . import buggy


@buggy("clip-before-unscale")
def scaler_with_accumulation():
    torch.manual_seed(300)
    img = torch.randn(256, 1, 8, 8)
    lab = (img[:, 0, :4].mean((1, 2)) > img[:, 0, 4:].mean((1, 2))).long()
    loader = DataLoader(TensorDataset(img, lab), batch_size=16, shuffle=True)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=4096.0)
    accumulate = 2
    hist = []
    for _ in range(6):
        net.train()
        epoch_loss = 0.0
        for step, (images, labels) in enumerate(tqdm(loader, leave=False), start=1):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = net(images)
                loss = F.cross_entropy(logits, labels)
            scaler.scale(loss / accumulate).backward()
            if step % accumulate == 0:
                torch.nn.utils.clip_grad_norm_(net.parameters(), max_norm=2.0)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
            epoch_loss += loss.item()
        hist.append(epoch_loss / len(loader))
    return hist


@buggy("scheduler-before-optimizer")
def class_with_epoch_hooks():
    torch.manual_seed(301)

    class Fitter:
        def __init__(self, net):
            self.net = net
            self.opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
            self.sched = lr_scheduler.ExponentialLR(self.opt, 0.7)
            self.losses = []

        def on_epoch_start(self):
            self.net.train()
            self.total = 0.0
            self.sched.step()

        def on_epoch_end(self, n):
            self.losses.append(self.total / n)

        def on_batch(self, xb, yb):
            self.opt.zero_grad()
            loss = F.cross_entropy(self.net(xb), yb)
            loss.backward()
            self.opt.step()
            self.total += loss.item()

        def fit(self, dl, epochs):
            for _ in range(epochs):
                self.on_epoch_start()
                for xb, yb in dl:
                    self.on_batch(xb, yb)
                self.on_epoch_end(len(dl))
            return self.losses

    X, y = make_circles(384, noise=0.07, factor=0.4, random_state=301)
    ds = TensorDataset(torch.tensor(X).float(), torch.tensor(y))
    net = nn.Sequential(nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 2))
    return Fitter(net).fit(DataLoader(ds, batch_size=32, shuffle=True), 6)


@buggy("scheduler-other-optimizer")
def encoder_decoder_two_optimizers():
    torch.manual_seed(302)
    z = torch.randn(320, 2)
    data = torch.tanh(z @ torch.randn(2, 12))
    loader = DataLoader(TensorDataset(data), batch_size=32, shuffle=True)
    net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 2), nn.Linear(2, 12))
    warm_copy = copy.deepcopy(net)
    old_opt = optim.Adam(warm_copy.parameters(), lr=0.02)
    opt = optim.Adam(net.parameters(), lr=0.02)
    sched = StepLR(old_opt, step_size=3, gamma=0.5)
    for (x,) in itertools.islice(loader, 4):
        old_opt.zero_grad()
        F.mse_loss(warm_copy(x), x).backward()
        old_opt.step()
    net.load_state_dict(warm_copy.state_dict())
    hist = []
    for _ in range(7):
        s = 0.0
        for (x,) in loader:
            opt.zero_grad()
            loss = F.mse_loss(net(x), x)
            loss.backward()
            opt.step()
            s += loss.item()
        sched.step()
        hist.append(s / len(loader))
    return hist


@buggy("training-in-eval-mode")
def validate_inside_epoch():
    torch.manual_seed(303)
    ids = torch.randint(0, 18, (400, 6))
    lab = ((ids == 1) | (ids == 9)).any(1).long()
    tr = DataLoader(TensorDataset(ids[:320], lab[:320]), batch_size=20, shuffle=True)
    va = DataLoader(TensorDataset(ids[320:], lab[320:]), batch_size=40)

    class Text(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(18, 16)
            self.conv = nn.Conv1d(16, 24, 2)
            self.drop = nn.Dropout(0.3)
            self.fc = nn.Linear(24, 2)

        def forward(self, i):
            h = F.relu(self.conv(self.emb(i).transpose(1, 2))).amax(2)
            return self.fc(self.drop(h))

    net = Text()
    opt = optim.Adam(net.parameters(), lr=5e-3)
    hist, val_log = [], []
    net.train()
    for _ in range(4):
        s = 0.0
        for step, (i, t) in enumerate(tr):
            opt.zero_grad()
            loss = F.cross_entropy(net(i), t)
            loss.backward()
            opt.step()
            s += loss.item()
            if step % 8 == 7:
                net.eval()
                with torch.no_grad():
                    val_log.append(np.mean([F.cross_entropy(net(a), b).item() for a, b in va]))
        hist.append(s / len(tr))
    return hist


@buggy("unregistered-layers")
def tuple_of_recurrent_cells():
    torch.manual_seed(304)

    class StackedGRU(nn.Module):
        def __init__(self, d_in, d_hid, depth):
            super().__init__()
            cells = [nn.GRUCell(d_in if k == 0 else d_hid, d_hid) for k in range(depth)]
            self.cells = tuple(cells)
            self.read = nn.Linear(d_hid, 1)
            self.d_hid = d_hid

        def forward(self, seq):
            states = [seq.new_zeros(seq.size(0), self.d_hid) for _ in self.cells]
            for t in range(seq.size(1)):
                inp = seq[:, t]
                for k, cell in enumerate(self.cells):
                    states[k] = inp = cell(inp, states[k])
            return self.read(inp).squeeze(-1)

    seq = torch.randn(192, 5, 2)
    target = seq[:, :, 0].sum(1) / 2
    loader = DataLoader(TensorDataset(seq, target), batch_size=24, shuffle=True)
    net = StackedGRU(2, 12, 2)
    opt = optim.Adam(net.parameters(), lr=0.02)
    hist = []
    for _ in range(6):
        s = 0.0
        for q, t in loader:
            opt.zero_grad()
            loss = F.mse_loss(net(q), t)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(loader))
    return hist


@buggy("backward-never-called")
def fit_and_evaluate_dataframe():
    torch.manual_seed(305)

    def train_epoch(net, loader, criterion, optimizer):
        net.train()
        total, correct, n = 0.0, 0, 0
        for x, y in loader:
            optimizer.zero_grad()
            scores = net(x)
            loss = criterion(scores, y)
            clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            total += loss.item() * y.size(0)
            correct += (scores.argmax(1) == y).sum().item()
            n += y.size(0)
        return total / n, correct / n

    def eval_epoch(net, loader, criterion):
        net.eval()
        total, correct, n = 0.0, 0, 0
        with torch.no_grad():
            for x, y in loader:
                scores = net(x)
                total += criterion(scores, y).item() * y.size(0)
                correct += (scores.argmax(1) == y).sum().item()
                n += y.size(0)
        return total / n, correct / n

    data = load_wine(as_frame=True).frame.sample(frac=1, random_state=5).reset_index(drop=True)
    target = torch.tensor(data.pop("target").to_numpy())
    split = 140
    mu, sd = data[:split].mean(), data[:split].std()
    feats = torch.tensor(((data - mu) / sd).to_numpy(), dtype=torch.float32)
    tr = DataLoader(TensorDataset(feats[:split], target[:split]), batch_size=20, shuffle=True)
    va = DataLoader(TensorDataset(feats[split:], target[split:]), batch_size=38)
    net = nn.Sequential(nn.Linear(13, 16), nn.LeakyReLU(), nn.Linear(16, 3))
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    rows = []
    for epoch in range(6):
        tr_loss, tr_acc = train_epoch(net, tr, criterion, optimizer)
        va_loss, va_acc = eval_epoch(net, va, criterion)
        rows.append({"epoch": epoch, "tr": tr_loss, "ta": tr_acc, "va": va_loss, "vac": va_acc})
    print(pd.DataFrame(rows))
    return [r["tr"] for r in rows]


@buggy("val-overlaps-train")
def tabular_test_accuracy():
    torch.manual_seed(306)
    X, y = make_classification(400, 10, n_informative=6, flip_y=0.1, random_state=306)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=306)
    scaler = StandardScaler().fit(X_train)

    def dataset(a, b):
        return TensorDataset(
            torch.tensor(scaler.transform(a), dtype=torch.float32), torch.tensor(b)
        )

    train_dl = DataLoader(dataset(X_train, y_train), batch_size=32, shuffle=True)
    test_dl = DataLoader(dataset(X_train, y_train), batch_size=40)
    print(len(X_test), len(y_test))
    net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 2))
    opt = optim.Adam(net.parameters(), lr=5e-3)
    hist = []
    for _ in range(7):
        net.train()
        s = 0.0
        for xb, yb in train_dl:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(train_dl))
        net.eval()
        right = n = 0
        with torch.no_grad():
            for xb, yb in test_dl:
                right += (net(xb).argmax(1) == yb).sum().item()
                n += len(yb)
        print("test accuracy", right / n)
    return hist


@buggy("dead-relu")
def row_detector_cnn():
    torch.manual_seed(308)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 8, 3)
            self.fc = nn.Linear(8 * 16, 2)
            nn.init.kaiming_uniform_(self.conv.weight, nonlinearity="relu")
            nn.init.constant_(self.conv.bias, -15.0)

        def forward(self, x):
            return self.fc(torch.relu(self.conv(x)).flatten(1))

    lab = torch.randint(0, 2, (240,))
    img = 0.5 * torch.randn(240, 1, 6, 6)
    img[lab == 1, :, 1:3] += 0.8
    loader = DataLoader(TensorDataset(img, lab), batch_size=24, shuffle=True)
    net = Net()
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    hist = []
    for _ in range(5):
        s = 0.0
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(loader))
    return hist


@buggy("best-state-alias")
def lowest_val_then_test():
    torch.manual_seed(309)
    x = torch.randn(300, 12)
    y = x[:, :1] - 0.5 * x[:, 1:2] + 0.5 * torch.randn(300, 1)
    tr = DataLoader(TensorDataset(x[:160], y[:160]), batch_size=16, shuffle=True)
    va = DataLoader(TensorDataset(x[160:240], y[160:240]), batch_size=40)
    net = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 1))
    opt = optim.Adam(net.parameters(), lr=0.01)
    val_curve, snapshots, hist = [], [], []
    for _ in range(10):
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
            val_curve.append(sum(F.mse_loss(net(xb), yb).item() for xb, yb in va) / len(va))
        snapshots.append(net.state_dict())
    net.load_state_dict(snapshots[int(np.argmin(val_curve))])
    net.eval()
    with torch.no_grad():
        print("test mse", F.mse_loss(net(x[240:]), y[240:]).item())
    return hist
