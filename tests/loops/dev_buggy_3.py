"""Training loops with one silent bug each."""

import itertools
import math
from collections import deque
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    make_blobs,
    make_circles,
    make_classification,
    make_moons,
)
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from torch import nn, optim
from torch.nn.utils import clip_grad_norm_
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import CosineAnnealingLR, StepLR
from torch.utils.data import (
    DataLoader,
    Dataset,
    TensorDataset,
)
from tqdm import tqdm

from . import buggy


@buggy("no-zero-grad")
def two_loss_autoencoder_classifier():
    torch.manual_seed(200)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16, dtype=torch.float32)[:600]
    y = torch.tensor(y)[:600]
    train_data = DataLoader(TensorDataset(X[:480], y[:480]), batch_size=60, shuffle=True)
    val_data = DataLoader(TensorDataset(X[480:], y[480:]), batch_size=60)

    class Joint(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.Linear(64, 24)
            self.up = nn.Linear(24, 64)
            self.cls = nn.Linear(24, 10)

        def forward(self, x):
            code = F.relu(self.down(x))
            return self.up(code), self.cls(code)

    joint = Joint()
    optimizer = optim.AdamW(joint.parameters(), lr=5e-3)
    trace = []
    for epoch in range(6):
        joint.train()
        meter = deque(maxlen=len(train_data))
        for x, label in train_data:
            recon, logits = joint(x)
            loss = F.cross_entropy(logits, label) + 0.5 * F.mse_loss(recon, x)
            loss.backward()
            optimizer.step()
            meter.append(loss.item())
        trace.append(sum(meter) / len(meter))
        joint.eval()
        right = 0
        with torch.no_grad():
            for x, label in val_data:
                right += int((joint(x)[1].argmax(1) == label).sum())
        print(f"epoch {epoch}: train {trace[-1]:.3f}, val acc {right / 120:.3f}")
    return trace


@buggy("step-before-backward")
def tabular_sgd_six_epochs():
    torch.manual_seed(202)
    X, y = make_classification(384, 8, n_informative=3, class_sep=1.5, random_state=202)
    X = torch.tensor(StandardScaler().fit_transform(X), dtype=torch.float32)
    y = torch.tensor(y)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    net = nn.Linear(8, 2)
    opt = optim.SGD(net.parameters(), lr=0.2)
    hist = []
    for _ in range(6):
        s = 0.0
        for a, b in loader:
            loss = F.cross_entropy(net(a), b)
            opt.step()
            opt.zero_grad()
            loss.backward()
            s += loss.item()
        hist.append(s / len(loader))
    return hist


@buggy("step-never-called")
def callback_learner():
    torch.manual_seed(203)

    class Callback:
        def before_batch(self, run): ...
        def after_loss(self, run): ...
        def after_epoch(self, run): ...

    class Backprop(Callback):
        def before_batch(self, run):
            run.opt.zero_grad()

        def after_loss(self, run):
            run.loss.backward()

    class History(Callback):
        def __init__(self):
            self.batch, self.epoch = [], []

        def after_loss(self, run):
            self.batch.append(run.loss.item())

        def after_epoch(self, run):
            self.epoch.append(np.mean(self.batch[-len(run.dl) :]).item())

    class Run:
        def __init__(self, model, dl, opt, cbs):
            self.model, self.dl, self.opt, self.cbs = model, dl, opt, cbs

        def call(self, name):
            for cb in self.cbs:
                getattr(cb, name)(self)

        def fit(self, n):
            for _ in range(n):
                self.model.train()
                for xb, yb in self.dl:
                    self.call("before_batch")
                    self.loss = F.cross_entropy(self.model(xb), yb)
                    self.call("after_loss")
                self.call("after_epoch")

    X, y = load_iris(return_X_y=True)
    X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
    dl = DataLoader(TensorDataset(X, torch.tensor(y)), batch_size=15, shuffle=True)
    model = nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 3))
    history = History()
    Run(model, dl, optim.Adam(model.parameters(), lr=0.02), [Backprop(), history]).fit(8)
    return history.epoch


@buggy("params-not-optimized")
def backbone_plus_attention_pool():
    torch.manual_seed(205)

    class AttentionPool(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.query = nn.Linear(dim, 1)

        def forward(self, h):
            weights = self.query(h).softmax(1)
            return (weights * h).sum(1)

    body = nn.Sequential(nn.Embedding(20, 16), nn.Linear(16, 16), nn.ReLU())
    pool = AttentionPool(16)
    head = nn.Linear(16, 2)
    ids = torch.randint(0, 20, (300, 8))
    label = (ids == 4).any(1).long()
    loader = DataLoader(TensorDataset(ids, label), batch_size=30, shuffle=True)
    groups = [{"params": pool.parameters(), "lr": 0.01}, {"params": head.parameters(), "lr": 0.02}]
    optimizer = optim.Adam(groups)
    hist = []
    for _ in range(7):
        s = 0.0
        for i, t in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(head(pool(body(i))), t)
            loss.backward()
            optimizer.step()
            s += loss.item()
        hist.append(s / len(loader))
    return hist


@buggy("optimizer-holds-other-params")
def hidden_size_search():
    torch.manual_seed(206)
    X, y = make_moons(320, noise=0.2, random_state=206)
    X, y = torch.tensor(X).float(), torch.tensor(y)
    tr = DataLoader(TensorDataset(X[:256], y[:256]), batch_size=32, shuffle=True)
    va = DataLoader(TensorDataset(X[256:], y[256:]), batch_size=64)

    class Net(nn.Module):
        def __init__(self, h):
            super().__init__()
            self.a, self.b = nn.Linear(2, h), nn.Linear(h, 2)

        def forward(self, x):
            return self.b(torch.relu(self.a(x)))

    results = {}
    curve = []
    net = Net(8)
    adam = optim.Adam(net.parameters(), lr=0.02)
    for hidden in (8, 16, 32):
        net = Net(hidden)
        for _ in range(4):
            net.train()
            s = 0.0
            for xb, yb in tr:
                net.zero_grad()
                loss = F.cross_entropy(net(xb), yb)
                loss.backward()
                adam.step()
                s += loss.item()
            curve.append(s / len(tr))
        net.eval()
        with torch.no_grad():
            for xb, yb in va:
                results[hidden] = (net(xb).argmax(1) == yb).float().mean().item()
    print(results)
    return curve


@buggy("layers-cut-off")
def siamese_pairs():
    torch.manual_seed(207)

    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8))
            self.compare = nn.Linear(8, 1)

        def forward(self, left, right):
            distance = (self.branch(left) - self.branch(right)).abs()
            return self.compare(distance.data).squeeze(-1)

    group = torch.randint(0, 3, (2, 320))
    centres = torch.randn(3, 6)
    left = centres[group[0]] + 0.4 * torch.randn(320, 6)
    right = centres[group[1]] + 0.4 * torch.randn(320, 6)
    same = (group[0] == group[1]).float()
    loader = DataLoader(TensorDataset(left, right, same), batch_size=32, shuffle=True)
    model = Siamese()
    opt = optim.Adam(model.parameters(), lr=0.01)
    criterion = nn.BCEWithLogitsLoss()
    hist = []
    for _ in range(6):
        model.train()
        s = 0.0
        for a, b, t in loader:
            opt.zero_grad()
            loss = criterion(model(a, b), t)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(loader))
    return hist


@buggy("clip-misplaced")
def lstm_forecast():
    torch.manual_seed(209)
    time = torch.arange(370) * 0.15
    series = torch.sin(time) + 0.1 * torch.randn(370)
    frames = series.unfold(0, 11, 1)
    loader = DataLoader(TensorDataset(frames[:352]), batch_size=32, shuffle=True)

    class Forecast(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(1, 20, batch_first=True)
            self.linear = nn.Linear(20, 1)

        def forward(self, s):
            return self.linear(self.lstm(s.unsqueeze(-1))[0][:, -1]).squeeze(-1)

    def train_step(net, opt, frame, max_norm=0.5):
        opt.zero_grad()
        loss = F.mse_loss(net(frame[:, :-1]), frame[:, -1])
        clip_grad_norm_(net.parameters(), max_norm)
        loss.backward()
        opt.step()
        return loss.item()

    net = Forecast()
    opt = optim.Adam(net.parameters(), lr=0.01)
    return [np.mean([train_step(net, opt, f) for (f,) in loader]).item() for _ in range(6)]


@buggy("sigmoid-before-bce-with-logits")
def functional_params_dict():
    torch.manual_seed(210)

    def init(sizes):
        layers = []
        for a, b in itertools.pairwise(sizes):
            w = (torch.randn(a, b) * (2 / a) ** 0.5).requires_grad_()
            layers.append((w, torch.zeros(b, requires_grad=True)))
        return layers

    def predict(layers, x):
        *hidden, last = layers
        for w, b in hidden:
            x = torch.relu(x @ w + b)
        return torch.sigmoid(x @ last[0] + last[1])

    X, y = make_circles(400, noise=0.08, factor=0.4, random_state=210)
    X = torch.tensor(X, dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32).unsqueeze(1)
    layers = init([2, 24, 1])
    opt = optim.Adam([t for layer in layers for t in layer], lr=0.02)
    objective = partial(F.binary_cross_entropy_with_logits, reduction="mean")
    hist = []
    for _ in range(8):
        s = 0.0
        for rows in torch.randperm(400).split(40):
            opt.zero_grad()
            loss = objective(predict(layers, X[rows]), y[rows])
            loss.backward()
            opt.step()
            s += loss.item() / 10
        hist.append(s)
    return hist


@buggy("broadcast-loss")
def diabetes_log_cosh():
    torch.manual_seed(211)
    X, y = load_diabetes(return_X_y=True)
    X = torch.tensor(StandardScaler().fit_transform(X), dtype=torch.float32)
    y = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32)
    train_x, train_y, val_x, val_y = X[:360], y[:360], X[360:440], y[360:440]

    class LogCosh(nn.Module):
        def forward(self, output, target):
            error = output - target
            return (error + F.softplus(-2 * error) - math.log(2)).mean()

    net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
    criterion = LogCosh()
    opt = optim.AdamW(net.parameters(), lr=5e-3)
    hist = []
    for _ in range(8):
        net.train()
        for idx in torch.randperm(360).view(-1, 30):
            opt.zero_grad()
            loss = criterion(net(train_x[idx]), train_y[idx])
            loss.backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            hist.append(criterion(net(val_x).squeeze(1), val_y).item())
    return hist


@buggy("eval-in-train-mode")
def cnn_batchnorm_confusion():
    torch.manual_seed(214)
    X, y = load_digits(n_class=4, return_X_y=True)
    X = torch.tensor(X / 16, dtype=torch.float32).view(-1, 1, 8, 8)[:600]
    y = torch.tensor(y)[:600]
    tr = DataLoader(TensorDataset(X[:480], y[:480]), batch_size=40, shuffle=True)
    te = DataLoader(TensorDataset(X[480:], y[480:]), batch_size=30)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout2d(0.1),
        nn.Flatten(),
        nn.Linear(288, 4),
    )
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    hist = []
    for epoch in range(3):
        net.train()
        s = 0.0
        for xb, yb in tr:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(tr))
        confusion = np.zeros((4, 4), dtype=int)
        with torch.inference_mode():
            for xb, yb in te:
                np.add.at(confusion, (yb.numpy(), net(xb).argmax(1).numpy()), 1)
        print(epoch, confusion.trace() / confusion.sum())
    return hist


@buggy("eval-builds-graph")
def early_stopper_class():
    torch.manual_seed(215)

    class EarlyStopper:
        def __init__(self, patience):
            self.patience, self.best, self.count = patience, math.inf, 0

        def should_stop(self, value):
            if value < self.best:
                self.best, self.count = value, 0
            else:
                self.count += 1
            return self.count >= self.patience

    X, y = make_classification(480, 9, n_informative=6, random_state=215)
    X = torch.tensor(StandardScaler().fit_transform(X), dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32)
    tr = DataLoader(TensorDataset(X[:320], y[:320]), batch_size=32, shuffle=True)
    va = DataLoader(TensorDataset(X[320:], y[320:]), batch_size=40)
    net = nn.Sequential(nn.Linear(9, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))
    criterion = nn.BCEWithLogitsLoss()
    opt = optim.AdamW(net.parameters(), lr=5e-3)
    stopper, hist = EarlyStopper(patience=3), []
    for _ in range(10):
        net.train()
        s = 0.0
        for xb, yb in tr:
            opt.zero_grad()
            loss = criterion(net(xb).squeeze(-1), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(tr))
        net.eval()
        val = []
        for xb, yb in va:
            val.append(criterion(net(xb).squeeze(-1), yb).item())
        if stopper.should_stop(sum(val) / len(val)):
            break
    return hist


@buggy("graph-kept")
def outputs_collected_for_auc():
    torch.manual_seed(216)
    X, y = load_breast_cancer(return_X_y=True)
    X = torch.tensor(StandardScaler().fit_transform(X), dtype=torch.float32)[:512]
    y = torch.tensor(y, dtype=torch.float32)[:512]
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
    opt = optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.BCEWithLogitsLoss()
    hist = []
    for _ in range(4):
        model.train()
        outs, targets, total = [], [], 0.0
        for xb, yb in loader:
            opt.zero_grad()
            logits = model(xb)
            loss = criterion(logits, yb)
            loss.backward()
            opt.step()
            outs.append(logits)
            targets.append(yb)
            total += loss.item()
        hist.append(total / len(loader))
        auc = roc_auc_score(torch.cat(targets).numpy(), torch.cat(outs).detach().numpy())
        print(f"train loss {hist[-1]:.3f} AUC {auc:.3f}")
    return hist


@buggy("graph-kept")
def smoothed_loss_bar():
    torch.manual_seed(217)
    x = torch.randn(320, 2, 10)
    y = (x[:, 0].sum(1) > x[:, 1].sum(1)).long()
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    net = nn.Sequential(nn.Conv1d(2, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    smooth, hist = None, []
    for _ in range(6):
        s = 0.0
        progress = tqdm(loader, leave=False)
        for xb, yb in progress:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            smooth = loss if smooth is None else 0.9 * smooth + 0.1 * loss
            progress.set_description(f"loss {smooth.item():.3f}")
            s += loss.item()
        hist.append(s / len(loader))
    return hist


@buggy("scheduler-per-batch")
def fit_one_epoch_surface():
    torch.manual_seed(218)

    def fit_one_epoch(net, loader, opt, sched):
        net.train()
        seen, s = 0, 0.0
        for xb, yb in loader:
            loss = F.mse_loss(net(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            sched.step()
            s += loss.item() * len(yb)
            seen += len(yb)
        return s / seen

    x = torch.rand(400, 2) * 2 - 1
    y = (3 * x[:, :1]).sin() * x[:, 1:]
    loader = DataLoader(TensorDataset(x, y * 2), batch_size=20, shuffle=True)
    net = nn.Sequential(nn.Linear(2, 48), nn.Tanh(), nn.Linear(48, 1))
    n_epochs = 9
    opt = optim.Adam(net.parameters(), lr=0.03)
    sched = StepLR(opt, step_size=n_epochs // 3, gamma=0.3)
    return [fit_one_epoch(net, loader, opt, sched) for _ in range(n_epochs)]


@buggy("scheduler-per-epoch")
def cosine_over_total_steps():
    torch.manual_seed(219)

    @dataclass
    class Args:
        epochs: int = 6
        batch_size: int = 16
        lr: float = 0.03

    args = Args()
    X, y = make_blobs(320, centers=4, n_features=5, cluster_std=3.0, random_state=219)
    X = torch.tensor((X - X.mean(0)) / X.std(0)).float()
    loader = DataLoader(TensorDataset(X, torch.tensor(y)), args.batch_size, shuffle=True)
    net = nn.Sequential(nn.Linear(5, 24), nn.ReLU(), nn.Linear(24, 4))
    opt = optim.Adam(net.parameters(), lr=args.lr)
    max_steps = args.epochs * len(loader)
    warm = lr_scheduler.LinearLR(opt, start_factor=0.05, total_iters=max_steps // 10)
    cool = CosineAnnealingLR(opt, T_max=max_steps - max_steps // 10)
    sched = lr_scheduler.SequentialLR(opt, [warm, cool], milestones=[max_steps // 10])
    hist = []
    for _ in range(args.epochs):
        s = 0.0
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        sched.step()
        hist.append(s / len(loader))
    return hist


@buggy("nan-input")
def sensor_gaps_in_sequence():
    torch.manual_seed(220)
    clean = torch.randn(240, 9, 2).cumsum(1) / 3
    rising = (clean[:, -1, 0] > clean[:, 0, 0]).long()
    gaps = torch.rand(240, 9, 2) < 0.01
    readings = clean.masked_fill(gaps, float("nan"))

    class Windows(Dataset):
        def __len__(self):
            return 240

        def __getitem__(self, i):
            return {"x": readings[i], "y": rising[i]}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(2, 16, batch_first=True)
            self.fc = nn.Linear(16, 2)

        def forward(self, x):
            return self.fc(self.gru(x)[1].squeeze(0))

    net = Net()
    opt = optim.Adam(net.parameters(), lr=0.01)
    hist = []
    for _ in range(5):
        s = 0.0
        for batch in DataLoader(Windows(), batch_size=24, shuffle=True):
            opt.zero_grad()
            loss = F.cross_entropy(net(batch["x"]), batch["y"])
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / 10)
    return hist


@buggy("input-scale")
def flats_dataframe():
    torch.manual_seed(221)
    rng = np.random.default_rng(221)
    df = pd.DataFrame(
        {
            "rooms": rng.integers(1, 7, 300),
            "area_cm2": rng.normal(900_000, 250_000, 300),
            "age": rng.integers(0, 60, 300),
        }
    )
    price = df.rooms * 0.2 + df.area_cm2 / 400_000 - df.age * 0.02
    y = torch.tensor(((price - price.mean()) / price.std()).to_numpy(), dtype=torch.float32)
    x = torch.tensor(df.to_numpy(), dtype=torch.float32)
    loader = DataLoader(TensorDataset(x, y.unsqueeze(1)), batch_size=30, shuffle=True)
    net = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.Adam(net.parameters(), lr=5e-3)
    hist = []
    for epoch in range(8):
        s = 0.0
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.mse_loss(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(loader))
        print(epoch, hist[-1])
    return hist


@buggy("sorted-batches")
def cats_and_dogs_tensors():
    torch.manual_seed(222)
    cats = torch.randn(120, 10) + 0.5
    dogs = torch.randn(120, 10) - 0.5
    animals = torch.cat([cats, dogs])
    kind = torch.cat([torch.zeros(120), torch.ones(120)]).long()
    val_animals = torch.cat([torch.randn(30, 10) + 0.5, torch.randn(30, 10) - 0.5])
    val_kind = torch.cat([torch.zeros(30), torch.ones(30)]).long()
    loader = DataLoader(
        TensorDataset(animals, kind),
        batch_size=24,
    )
    val_loader = DataLoader(TensorDataset(val_animals, val_kind), batch_size=60)
    net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 2))
    opt = optim.SGD(net.parameters(), lr=0.1)
    hist = []
    for epoch in range(5):
        net.train()
        s = 0.0
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(loader))
        net.eval()
        with torch.no_grad():
            for xb, yb in val_loader:
                print(epoch, hist[-1], (net(xb).argmax(1) == yb).float().mean().item())
    return hist


@buggy("lr-too-high")
def tanh_regression_config():
    torch.manual_seed(223)
    x = torch.randn(256, 10)
    y = (x[:, :3].sum(1) + 0.3 * torch.randn(256)).unsqueeze(1)
    config = {
        "learning_rate": 10.0,
        "epochs": 6,
        "batch_size": 32,
    }
    loader = DataLoader(TensorDataset(x, y), config["batch_size"], shuffle=True)
    net = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 1))
    opt = optim.SGD(net.parameters(), lr=config["learning_rate"])
    hist = []
    for epoch in range(config["epochs"]):
        s = 0.0
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.mse_loss(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(loader))
        print(f"epoch {epoch}: {hist[-1]:.3g}")
    return hist


@buggy("lr-too-low")
def count_low_tokens():
    torch.manual_seed(224)
    ids = torch.randint(0, 20, (320, 7))
    many_low = (ids < 8).sum(1).clamp(max=4)
    tr = DataLoader(TensorDataset(ids[:256], many_low[:256]), batch_size=32, shuffle=True)
    va = DataLoader(TensorDataset(ids[256:], many_low[256:]), batch_size=64)
    net = nn.Sequential(nn.EmbeddingBag(20, 16), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 5))
    opt = optim.AdamW(net.parameters(), lr=1e-7, weight_decay=0.01)
    hist = []
    for epoch in range(10):
        net.train()
        s = 0.0
        for i, t in tr:
            opt.zero_grad()
            loss = F.cross_entropy(net(i), t)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(tr))
        net.eval()
        with torch.no_grad():
            for i, t in va:
                print(epoch, hist[-1], (net(i).argmax(1) == t).float().mean().item())
    return hist
