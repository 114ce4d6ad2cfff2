"""Correct training loops in strangers' styles: there is nothing to find in them."""

import copy
import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_blobs,
    make_classification,
    make_friedman1,
)
from sklearn.metrics import f1_score, mean_absolute_error, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

from tests.loops import correct


@correct
def quickstart_digits():
    torch.manual_seed(1)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16.0, dtype=torch.float32).view(-1, 8, 8)
    y = torch.tensor(y)
    order = torch.randperm(len(X))
    training_data = TensorDataset(X[order[:1437]], y[order[:1437]])
    test_data = TensorDataset(X[order[1437:]], y[order[1437:]])
    train_dataloader = DataLoader(training_data, batch_size=64, shuffle=True)
    test_dataloader = DataLoader(test_data, batch_size=64)

    class NeuralNetwork(nn.Module):
        def __init__(self):
            super().__init__()
            self.flatten = nn.Flatten()
            self.linear_relu_stack = nn.Sequential(
                nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
            )

        def forward(self, x):
            return self.linear_relu_stack(self.flatten(x))

    model = NeuralNetwork()
    loss_fn = nn.CrossEntropyLoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=2e-3, momentum=0.9)
    for t in range(5):
        model.train()
        for xb, yb in train_dataloader:
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        model.eval()
        size, test_loss, hits = len(test_dataloader.dataset), 0, 0
        with torch.no_grad():
            for xb, yb in test_dataloader:
                pred = model(xb)
                test_loss += loss_fn(pred, yb).item()
                hits += (pred.argmax(1) == yb).type(torch.float).sum().item()
        print(
            f"Epoch {t + 1}: Accuracy {100 * hits / size:>0.1f}%, Avg loss {test_loss / size:>8f}"
        )
    return hits / size


@correct
def accumulate_with_ragged_tail():
    torch.manual_seed(2)
    X, y = load_digits(return_X_y=True)
    X_tr, X_va, y_tr, y_va = train_test_split(
        X.astype("float32") / 16, y, test_size=0.2, random_state=2
    )
    loader = DataLoader(
        TensorDataset(torch.tensor(X_tr), torch.tensor(y_tr)), batch_size=10, shuffle=True
    )
    X_va, y_va = torch.tensor(X_va), torch.tensor(y_va)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.5)
    accumulate, n_batches = 4, len(loader)
    accs = []
    for _epoch in range(5):
        net.train()
        for i, (xb, yb) in enumerate(loader):
            group_start = (i // accumulate) * accumulate
            group_size = min(accumulate, n_batches - group_start)
            loss = F.cross_entropy(net(xb), yb) / group_size
            loss.backward()
            if (i + 1) % accumulate == 0 or i + 1 == n_batches:
                opt.step()
                opt.zero_grad()
        net.eval()
        with torch.no_grad():
            accs.append((net(X_va).argmax(1) == y_va).float().mean().item())
    return accs


@correct
def mc_dropout_uncertainty():
    torch.manual_seed(3)
    x = torch.rand(400, 1) * 6 - 3
    y = torch.sin(2 * x) + 0.1 * torch.randn_like(x)
    x_tr, y_tr, x_va, y_va = x[:320], y[:320], x[320:], y[320:]

    class BayesianMLP(nn.Module):
        def __init__(self, p=0.1):
            super().__init__()
            self.inp, self.mid, self.out = nn.Linear(1, 64), nn.Linear(64, 64), nn.Linear(64, 1)
            self.p = p

        def forward(self, x, sample=False):
            on = self.training or sample
            h = F.dropout(torch.tanh(self.inp(x)), self.p, training=on)
            h = F.dropout(torch.tanh(self.mid(h)), self.p, training=on)
            return self.out(h)

    model = BayesianMLP()
    opt = torch.optim.Adam(model.parameters(), lr=5e-3)
    res = []
    for _epoch in range(10):
        model.train()
        for idx in torch.randperm(320).split(32):
            opt.zero_grad()
            F.mse_loss(model(x_tr[idx]), y_tr[idx]).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            point = F.mse_loss(model(x_va), y_va).item()
            draws = torch.stack([model(x_va, sample=True) for _ in range(20)])
            bayes = F.mse_loss(draws.mean(0), y_va).item()
            spread = draws.std(0).mean().item()
        res.append((point, bayes, spread))
    return res


@correct
def stateful_lstm_time_series():
    torch.manual_seed(4)
    t = torch.arange(1300, dtype=torch.float32)
    series = torch.sin(t / 7) + 0.3 * torch.sin(t / 23) + 0.05 * torch.randn(1300)
    train, test = series[:1001], series[1000:]

    class Stateful(nn.Module):
        def __init__(self, h=24):
            super().__init__()
            self.cell = nn.LSTM(1, h, batch_first=True)
            self.proj = nn.Linear(h, 1)

        def forward(self, x, state=None):
            out, state = self.cell(x, state)
            return self.proj(out), state

    net = Stateful()
    opt = torch.optim.Adam(net.parameters(), lr=1e-2)
    bptt, errors = 50, []
    for _epoch in range(8):
        net.train()
        state = None
        for s in range(0, 1000, bptt):
            inp = train[s : s + bptt].view(1, -1, 1)
            target = train[s + 1 : s + bptt + 1].view(1, -1, 1)
            out, state = net(inp, state)
            state = tuple(z.detach() for z in state)
            loss = F.mse_loss(out, target)
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
        net.eval()
        with torch.no_grad():
            pred, _ = net(test[:-1].view(1, -1, 1), state)
            errors.append(F.mse_loss(pred.flatten(), test[1:]).item())
    return errors


@correct
def dqn_corridor():
    torch.manual_seed(5)
    rng = np.random.default_rng(5)
    N, GAMMA = 6, 0.9

    def onehot(s):
        return F.one_hot(torch.as_tensor(s), N).float()

    def make_q():
        return nn.Sequential(nn.Linear(N, 32), nn.ReLU(), nn.Linear(32, 2))

    q, target = make_q(), make_q()
    target.load_state_dict(q.state_dict())
    optimizer = torch.optim.Adam(q.parameters(), lr=5e-3)
    memory, updates, returns = deque(maxlen=500), 0, []
    for episode in range(40):
        s, total = 0, 0.0
        for _ in range(20):
            eps = max(0.1, 1 - episode / 20)
            with torch.no_grad():
                a = int(rng.integers(2)) if rng.random() < eps else int(q(onehot(s)).argmax())
            s2 = max(0, s - 1) if a == 0 else s + 1
            done = s2 == N - 1
            r = 1.0 if done else -0.01
            memory.append((s, a, r, s2, float(done)))
            total += r
            s = s2
            if len(memory) >= 32:
                picks = rng.integers(len(memory), size=32)
                bs, ba, br, bs2, bd = map(
                    torch.tensor, zip(*[memory[i] for i in picks], strict=False)
                )
                q_sa = q(onehot(bs)).gather(1, ba.unsqueeze(1)).squeeze(1)
                with torch.no_grad():
                    goal = br + GAMMA * (1 - bd) * target(onehot(bs2)).max(1).values
                loss = F.smooth_l1_loss(q_sa, goal)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                updates += 1
                if updates % 50 == 0:
                    target.load_state_dict(q.state_dict())
            if done:
                break
        returns.append(total)
    return float(np.mean(returns[:10])), float(np.mean(returns[-10:]))


@correct
def transfer_frozen_backbone():
    torch.manual_seed(6)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16.0, dtype=torch.float32).view(-1, 1, 8, 8)
    y = torch.tensor(y)
    low, high = y < 5, y >= 5
    backbone = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    )

    def loader(mask, start, stop, shift, shuffle):
        ds = TensorDataset(X[mask][start:stop], y[mask][start:stop] - shift)
        return DataLoader(ds, batch_size=50, shuffle=shuffle)

    pretrain_head = nn.Linear(192, 5)
    opt = torch.optim.Adam([*backbone.parameters(), *pretrain_head.parameters()], lr=3e-3)
    for _ in range(3):
        for xb, yb in loader(low, 0, 850, 0, True):
            opt.zero_grad()
            F.cross_entropy(pretrain_head(backbone(xb)), yb).backward()
            opt.step()

    for p in backbone.parameters():
        p.requires_grad_(False)
    backbone.eval()

    class Classifier(nn.Module):
        def __init__(self, body):
            super().__init__()
            self.body, self.head = body, nn.Linear(192, 5)

        def forward(self, x):
            with torch.no_grad():
                z = self.body(x)
            return self.head(z)

    model = Classifier(backbone)
    opt = torch.optim.Adam(model.head.parameters(), lr=5e-3)
    accs = []
    for _epoch in range(5):
        for xb, yb in loader(high, 0, 700, 5, True):
            opt.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            opt.step()
        with torch.no_grad():
            pairs = [(model(xb).argmax(1), yb) for xb, yb in loader(high, 700, 896, 5, False)]
        accs.append(torch.cat([p == t for p, t in pairs]).float().mean().item())
    return accs


@correct
def tiny_features_large_steps():
    torch.manual_seed(7)
    raw, target = load_wine(return_X_y=True)
    X_tr, X_te, y_tr, y_te = train_test_split(
        raw, target, test_size=0.3, random_state=7, stratify=target
    )
    mm = MinMaxScaler(feature_range=(0, 0.2)).fit(X_tr)
    X_tr, X_te = torch.tensor(mm.transform(X_tr)).float(), torch.tensor(mm.transform(X_te)).float()
    y_tr, y_te = torch.tensor(y_tr), torch.tensor(y_te)
    W = torch.zeros(13, 3, requires_grad=True)
    b = torch.zeros(3, requires_grad=True)
    lr = 8.0
    for it in range(80):
        logp = F.log_softmax(X_tr @ W + b, dim=1)
        loss = -logp[torch.arange(len(y_tr)), y_tr].mean()
        gW, gb = torch.autograd.grad(loss, [W, b])
        with torch.no_grad():
            W -= lr * gW
            b -= lr * gb
        if it % 20 == 19:
            with torch.no_grad():
                acc = ((X_te @ W + b).argmax(1) == y_te).float().mean().item()
            print(f"iter {it + 1} loss {loss.item():.3f} test acc {acc:.3f}")
    return loss.item(), acc


@correct
def vae_digits():
    class VAE(nn.Module):
        def __init__(self, z=6):
            super().__init__()
            self.fc1 = nn.Linear(64, 48)
            self.fc21, self.fc22 = nn.Linear(48, z), nn.Linear(48, z)
            self.fc3, self.fc4 = nn.Linear(z, 48), nn.Linear(48, 64)

        def reparameterize(self, mu, logvar):
            return mu + torch.randn_like(mu) * torch.exp(0.5 * logvar) if self.training else mu

        def forward(self, x):
            h = F.relu(self.fc1(x))
            mu, logvar = self.fc21(h), self.fc22(h)
            z = self.reparameterize(mu, logvar)
            return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar

    def loss_function(recon, x, mu, logvar):
        BCE = F.binary_cross_entropy(recon, x, reduction="sum")
        KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return BCE + KLD

    torch.manual_seed(8)
    images = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)
    train_loader = DataLoader(images[:1500], batch_size=64, shuffle=True)
    test_loader = DataLoader(images[1500:], batch_size=64)
    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    curve = []
    for _epoch in range(8):
        model.train()
        train_loss = 0
        for data in train_loader:
            optimizer.zero_grad()
            recon, mu, logvar = model(data)
            loss = loss_function(recon, data, mu, logvar)
            loss.backward()
            train_loss += loss.item()
            optimizer.step()
        model.eval()
        test_loss = 0
        with torch.no_grad():
            for data in test_loader:
                recon, mu, logvar = model(data)
                test_loss += loss_function(recon, data, mu, logvar).item()
        curve.append((train_loss / 1500, test_loss / (len(images) - 1500)))
    return curve


@correct
def gan_ring():
    torch.manual_seed(9)
    real = torch.tensor(
        make_blobs(640, centers=[[0, 2], [1.7, -1], [-1.7, -1]], cluster_std=0.2, random_state=9)[0]
    ).float()
    G = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    D = nn.Sequential(
        nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)
    )
    opt_g = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999))
    opt_d = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999))
    bce = nn.BCEWithLogitsLoss()
    log = []
    for _epoch in range(10):
        for xb in DataLoader(real, batch_size=64, shuffle=True):
            ones, zeros = torch.ones(len(xb), 1), torch.zeros(len(xb), 1)
            fake = G(torch.randn(len(xb), 4))
            opt_d.zero_grad()
            d_loss = bce(D(xb), ones) + bce(D(fake.detach()), zeros)
            d_loss.backward()
            opt_d.step()

            opt_g.zero_grad()
            g_loss = bce(D(fake), ones)
            g_loss.backward()
            opt_g.step()
        log.append((d_loss.item(), g_loss.item()))
    with torch.no_grad():
        sample = G(torch.randn(500, 4))
    return log[-1], sample.mean(0).tolist()


@correct
def rare_events_auc():
    np.random.seed(10)
    torch.manual_seed(10)
    X, y = make_classification(
        n_samples=1200,
        n_features=10,
        n_informative=4,
        weights=[0.95],
        class_sep=1.0,
        flip_y=0.02,
        random_state=10,
    )
    df = pd.DataFrame(X).add_prefix("v")
    train_idx, valid_idx = train_test_split(df.index, test_size=0.3, stratify=y, random_state=10)
    mean, std = df.loc[train_idx].mean(), df.loc[train_idx].std()
    feats = ((df - mean) / std).astype("float32")
    Xt, Xv = torch.tensor(feats.loc[train_idx].values), torch.tensor(feats.loc[valid_idx].values)
    yt, yv = torch.from_numpy(y[train_idx]).float(), torch.from_numpy(y[valid_idx]).float()
    model = nn.Sequential(nn.Linear(10, 32), nn.SiLU(), nn.Linear(32, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    rows = []
    for epoch in range(6):
        model.train()
        for xb, yb in DataLoader(TensorDataset(Xt, yt), batch_size=64, shuffle=True):
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(model(xb).view(-1), yb).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            p = torch.sigmoid(model(Xv).view(-1))
        rows.append(
            {
                "epoch": epoch,
                "acc": ((p >= 0.5) == (yv == 1)).float().mean().item(),
                "auc": roc_auc_score(yv.numpy(), p.numpy()),
            }
        )
    print(pd.DataFrame(rows).tail(1).to_string(index=False))
    return [(r["acc"], r["auc"]) for r in rows]


@correct
def noisy_labels_crowd():
    @dataclass
    class TrainConfig:
        lr: float = 2e-3
        epochs: int = 8
        batch_size: int = 64
        smoothing: float = 0.1

    class Meter:
        def __init__(self):
            self.sum, self.count = 0.0, 0

        def update(self, value, n):
            self.sum += value * n
            self.count += n

        @property
        def avg(self):
            return self.sum / self.count

    class Trainer:
        def __init__(self, net, config):
            self.net, self.cfg = net, config
            self.opt = torch.optim.Adam(net.parameters(), lr=config.lr)
            self.crit = nn.CrossEntropyLoss(label_smoothing=config.smoothing)

        def run_epoch(self, ds, train):
            self.net.train(train)
            loss_meter, acc_meter = Meter(), Meter()
            with torch.set_grad_enabled(train):
                for xb, yb in DataLoader(ds, batch_size=self.cfg.batch_size, shuffle=train):
                    out = self.net(xb)
                    loss = self.crit(out, yb)
                    if train:
                        self.opt.zero_grad()
                        loss.backward()
                        self.opt.step()
                    loss_meter.update(loss.item(), len(yb))
                    acc_meter.update((out.argmax(1) == yb).float().mean().item(), len(yb))
            return loss_meter.avg, acc_meter.avg

    torch.manual_seed(11)
    X, y = load_digits(return_X_y=True)
    perm = torch.randperm(len(X))
    X, y = torch.tensor(X / 16.0, dtype=torch.float32)[perm], torch.tensor(y)[perm]
    noisy = y[:1400].clone()
    wrong = torch.rand(1400) < 0.55
    noisy[wrong] = torch.randint(0, 10, (int(wrong.sum()),))
    train_ds, val_ds = TensorDataset(X[:1400], noisy), TensorDataset(X[1400:], y[1400:])
    cfg = TrainConfig()
    trainer = Trainer(
        nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 10)), cfg
    )
    return [
        trainer.run_epoch(train_ds, True) + trainer.run_epoch(val_ds, False)
        for _ in range(cfg.epochs)
    ]


@correct
def salary_regression_rescaled():
    rng = np.random.RandomState(12)
    torch.manual_seed(12)
    n = 600
    frame = pd.DataFrame(
        {
            "years": rng.uniform(0, 35, n),
            "level": rng.randint(1, 8, n),
            "city": rng.choice(["A", "B", "C"], n),
        }
    )
    bonus = frame.city.map({"A": 0, "B": 9000, "C": 21000})
    frame["salary"] = (
        28000 + 1100 * frame.years + 6500 * frame.level + bonus + rng.normal(0, 4000, n)
    )
    X = pd.get_dummies(frame.drop(columns="salary"), columns=["city"]).astype(float)
    X_tr, X_te, y_tr, y_te = train_test_split(
        X, frame.salary.values, test_size=0.2, random_state=12
    )
    xs, ys = StandardScaler().fit(X_tr), StandardScaler().fit(y_tr[:, None])
    xt = torch.tensor(xs.transform(X_tr), dtype=torch.float32)
    yt = torch.tensor(ys.transform(y_tr[:, None]), dtype=torch.float32)
    xv = torch.tensor(xs.transform(X_te), dtype=torch.float32)
    reg = nn.Sequential(nn.Linear(xt.shape[1], 32), nn.ReLU(), nn.Linear(32, 1))
    opt = torch.optim.Adam(reg.parameters(), lr=1e-2)
    maes = []
    for _epoch in range(10):
        reg.train()
        for xb, yb in DataLoader(TensorDataset(xt, yt), batch_size=48, shuffle=True):
            opt.zero_grad()
            nn.functional.huber_loss(reg(xb), yb).backward()
            opt.step()
        reg.eval()
        with torch.no_grad():
            pred = ys.inverse_transform(reg(xv).numpy()).ravel()
        maes.append(mean_absolute_error(y_te, pred))
    print("MAE in euro", round(maes[-1]))
    return maes


@correct
def lbfgs_small_iris():
    torch.manual_seed(13)
    X, y = load_iris(return_X_y=True)
    X_tr, X_te, y_tr, y_te = train_test_split(X, y, train_size=45, stratify=y, random_state=13)
    mu, sd = X_tr.mean(0), X_tr.std(0)
    X_tr, X_te = torch.tensor((X_tr - mu) / sd).float(), torch.tensor((X_te - mu) / sd).float()
    y_tr, y_te = torch.tensor(y_tr), torch.tensor(y_te)
    model = nn.Linear(4, 3)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=5)
    accs = []
    for _step in range(8):

        def closure():
            optimizer.zero_grad()
            objective = F.cross_entropy(model(X_tr), y_tr) + 1e-3 * model.weight.pow(2).sum()
            objective.backward()
            return objective

        loss = optimizer.step(closure)
        with torch.no_grad():
            accs.append((model(X_te).argmax(dim=1) == y_te).float().mean().item())
    return loss.item(), accs


@correct
def length_bucketed_text_gru():
    rng = np.random.RandomState(14)
    torch.manual_seed(14)
    docs, labels = [], []
    for _ in range(520):
        c = rng.randint(3)
        n = rng.randint(4, 18)
        words = np.where(
            rng.rand(n) < 0.4, 1 + c * 10 + rng.randint(0, 10, n), 1 + rng.randint(0, 30, n)
        )
        docs.append(torch.tensor(words))
        labels.append(c)

    def buckets(ids, size, shuffle):
        ids = sorted(ids, key=lambda i: len(docs[i]), reverse=True)
        groups = [ids[i : i + size] for i in range(0, len(ids), size)]
        if shuffle:
            rng.shuffle(groups)
        for g in groups:
            yield (
                pad_sequence([docs[i] for i in g], batch_first=True),
                torch.tensor([len(docs[i]) for i in g]),
                torch.tensor([labels[i] for i in g]),
            )

    class TextGRU(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(31, 16, padding_idx=0)
            self.gru = nn.GRU(16, 24, batch_first=True)
            self.fc = nn.Linear(24, 3)

        def forward(self, x, lengths):
            _, h = self.gru(pack_padded_sequence(self.emb(x), lengths, batch_first=True))
            return F.log_softmax(self.fc(h[-1]), dim=-1)

    train_ids, val_ids = list(range(420)), list(range(420, 520))
    model = TextGRU()
    opt = torch.optim.Adam(model.parameters(), lr=1e-2)
    out = []
    for _epoch in range(6):
        model.train()
        for x, lens, t in buckets(train_ids, 30, True):
            opt.zero_grad(set_to_none=False)
            F.nll_loss(model(x, lens), t).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            hit = sum(
                (model(x, n).argmax(1) == t).sum().item() for x, n, t in buckets(val_ids, 25, False)
            )
        out.append(hit / 100)
    return out


@correct
def early_stopping_deepcopy():
    class EarlyStopping:
        def __init__(self, patience):
            self.patience, self.best, self.bad, self.state = patience, float("inf"), 0, None

        def __call__(self, value, model):
            if value < self.best - 1e-4:
                self.best, self.bad, self.state = value, 0, copy.deepcopy(model.state_dict())
            else:
                self.bad += 1
            return self.bad >= self.patience

    torch.manual_seed(15)
    X, y = load_diabetes(return_X_y=True)
    X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=0.3, random_state=15)
    xs, m, s = StandardScaler().fit(X_tr), y_tr.mean(), y_tr.std()
    X_tr, X_va = (torch.tensor(xs.transform(a), dtype=torch.float32) for a in (X_tr, X_va))
    y_tr, y_va = (
        torch.tensor((a - m) / s, dtype=torch.float32).unsqueeze(-1) for a in (y_tr, y_va)
    )
    net = nn.Sequential(
        nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
    )
    opt = torch.optim.Adam(net.parameters(), lr=3e-3)
    sched = torch.optim.lr_scheduler.ReduceLROnPlateau(opt, factor=0.5, patience=2)
    stopper = EarlyStopping(patience=6)
    for epoch in range(40):  # noqa: B007
        net.train()
        for xb, yb in DataLoader(TensorDataset(X_tr, y_tr), batch_size=32, shuffle=True):
            opt.zero_grad()
            F.mse_loss(net(xb), yb).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            v = F.mse_loss(net(X_va), y_va).item()
        sched.step(v)
        if stopper(v, net):
            break
    net.load_state_dict(stopper.state)
    net.eval()
    with torch.no_grad():
        restored = F.mse_loss(net(X_va), y_va).item()
    return epoch, stopper.best, restored


@correct
def onecycle_amp_conv():
    torch.manual_seed(16)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16.0, dtype=torch.float32).view(-1, 1, 8, 8)
    ds = TensorDataset(X, torch.tensor(y))
    train_set, val_set = random_split(ds, [1400, 397], generator=torch.Generator().manual_seed(16))
    train_loader = DataLoader(train_set, batch_size=70, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=100)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(256, 10),
    )
    epochs = 4
    opt = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    sched = torch.optim.lr_scheduler.OneCycleLR(
        opt, max_lr=0.2, epochs=epochs, steps_per_epoch=len(train_loader)
    )
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    report = []
    for _epoch in range(epochs):
        net.train()
        for xb, yb in train_loader:
            opt.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(net(xb), yb)
            scaler.scale(loss).backward()
            scaler.unscale_(opt)
            nn.utils.clip_grad_norm_(net.parameters(), 2.0)
            scaler.step(opt)
            scaler.update()
            sched.step()
        net.eval()
        loss_sum, hits, count = 0.0, 0, 0
        with torch.inference_mode():
            for xb, yb in val_loader:
                z = net(xb)
                loss_sum += F.cross_entropy(z, yb).item() * yb.size(0)
                hits += (z.argmax(-1) == yb).sum().item()
                count += yb.size(0)
        report.append((loss_sum / count, hits / count))
    return report


@correct
def multilabel_tags_module():
    class TagModule(nn.Module):
        def __init__(self, pos_weight, lr=5e-3, min_prob=0.6):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(16, 48), nn.GELU(), nn.Linear(48, 5))
            self.criterion = nn.BCEWithLogitsLoss(pos_weight=pos_weight)
            self.lr, self.cut = lr, math.log(min_prob / (1 - min_prob))
            self.outputs, self.f1 = [], []

        def training_step(self, batch, batch_idx):
            x, y = batch
            return self.criterion(self.net(x), y)

        def validation_step(self, batch, batch_idx):
            x, y = batch
            self.outputs.append((self.net(x) > self.cut, y > 0.5))

        def on_validation_epoch_end(self):
            guess, truth = (torch.cat(part).numpy() for part in zip(*self.outputs, strict=False))
            self.f1.append(f1_score(truth, guess, average="macro"))
            self.outputs.clear()

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=self.lr)

    def run(module, train_loader, val_loader, max_epochs):
        opt = module.configure_optimizers()
        for _ in range(max_epochs):
            module.train()
            for i, batch in enumerate(train_loader):
                for p in module.parameters():
                    p.grad = None
                module.training_step(batch, i).backward()
                opt.step()
            module.eval()
            with torch.no_grad():
                for i, batch in enumerate(val_loader):
                    module.validation_step(batch, i)
            module.on_validation_epoch_end()
        return module.f1

    torch.manual_seed(17)
    W, X = torch.randn(16, 5), torch.randn(640, 16)
    Y = ((X @ W) / 4 + 0.2 * torch.randn(640, 5) > 0.5).float()
    freq = Y[:500].mean(0)
    train_loader = DataLoader(TensorDataset(X[:500], Y[:500]), batch_size=50, shuffle=True)
    val_loader = DataLoader(TensorDataset(X[500:], Y[500:]), batch_size=64)
    return run(TagModule((1 - freq) / freq), train_loader, val_loader, max_epochs=6)


@correct
def masked_tagging_transformer():
    torch.manual_seed(18)
    B, T, V, C = 420, 12, 20, 3
    tokens = torch.randint(1, V, (B, T))
    prev = torch.cat([torch.zeros(B, 1, dtype=torch.long), tokens[:, :-1]], 1)
    tags = (tokens + (prev % 2)) % C
    lengths = torch.randint(5, T + 1, (B,))
    pad = torch.arange(T)[None] >= lengths[:, None]
    tokens, tags = tokens.masked_fill(pad, 0), tags.masked_fill(pad, -100)

    class Tagger(nn.Module):
        def __init__(self, d=32):
            super().__init__()
            self.tok, self.pos = (
                nn.Embedding(V, d, padding_idx=0),
                nn.Parameter(0.1 * torch.randn(T, d)),
            )
            layer = nn.TransformerEncoderLayer(
                d, 2, 64, dropout=0.05, batch_first=True, norm_first=True
            )
            self.enc = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
            self.out = nn.Linear(d, C)

        def forward(self, x):
            return self.out(self.enc(self.tok(x) + self.pos, src_key_padding_mask=x == 0))

    model = Tagger()
    opt = torch.optim.AdamW(model.parameters(), lr=5e-3)
    warm = torch.optim.lr_scheduler.LambdaLR(opt, lambda k: min(1.0, (k + 1) / 10))
    accs = []
    for _epoch in range(9):
        model.train()
        for idx in torch.randperm(340).split(34):
            logits = model(tokens[idx])
            loss = F.cross_entropy(logits.transpose(1, 2), tags[idx], ignore_index=-100)
            opt.zero_grad()
            loss.backward()
            opt.step()
            warm.step()
        model.eval()
        with torch.no_grad():
            guess, gold = model(tokens[340:]).argmax(-1), tags[340:]
            keep = gold != -100
            accs.append((guess[keep] == gold[keep]).float().mean().item())
    return accs


@correct
def distill_student():
    torch.manual_seed(19)
    X, y = load_digits(return_X_y=True)
    X_tr, X_va, y_tr, y_va = train_test_split(
        torch.tensor(X / 16.0).float(), torch.tensor(y), test_size=0.25, random_state=19
    )
    teacher = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10))
    student = nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))

    def epoch_of(model, opt, objective):
        model.train()
        for xb, yb in DataLoader(TensorDataset(X_tr, y_tr), batch_size=64, shuffle=True):
            opt.zero_grad()
            objective(xb, yb).backward()
            opt.step()

    opt_t = torch.optim.Adam(teacher.parameters(), lr=3e-3)
    for _ in range(4):
        epoch_of(teacher, opt_t, lambda xb, yb: F.cross_entropy(teacher(xb), yb))
    teacher.eval()

    def kd(xb, yb, T=3.0, alpha=0.7):
        with torch.no_grad():
            soft = F.softmax(teacher(xb) / T, dim=1)
        logits = student(xb)
        hint = F.kl_div(F.log_softmax(logits / T, dim=1), soft, reduction="batchmean") * T * T
        return alpha * hint + (1 - alpha) * F.cross_entropy(logits, yb)

    opt_s = torch.optim.Adam(student.parameters(), lr=5e-3)
    accs = []
    for _ in range(6):
        epoch_of(student, opt_s, kd)
        student.eval()
        with torch.no_grad():
            accs.append((student(X_va).argmax(1) == y_va).float().mean().item())
    return accs


@correct
def titanic_like_categories():
    rng = np.random.default_rng(20)
    torch.manual_seed(20)
    n = 800
    df = pd.DataFrame(
        {
            "sex": rng.choice(["m", "f"], n),
            "pclass": rng.integers(1, 4, n),
            "port": rng.choice(["S", "C", "Q"], n),
            "alone": rng.integers(0, 2, n),
        }
    )
    logit = 1.6 * (df.sex == "f") - 0.8 * (df.pclass - 2) - 0.4 * df.alone - 0.6
    df["survived"] = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    X = (
        pd.get_dummies(df.drop(columns="survived"), columns=["sex", "pclass", "port"])
        .astype("float32")
        .values
    )
    y = df.survived.values.astype("float32")
    folds = []
    for tr, va in StratifiedKFold(4, shuffle=True, random_state=20).split(X, y):
        clf = nn.Sequential(nn.Linear(X.shape[1], 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
        opt = torch.optim.Adam(clf.parameters(), lr=1e-2)
        loader = DataLoader(
            TensorDataset(torch.tensor(X[tr]), torch.tensor(y[tr])), batch_size=50, shuffle=True
        )
        for _epoch in range(4):
            clf.train()
            for xb, yb in loader:
                opt.zero_grad()
                F.binary_cross_entropy(clf(xb)[:, 0], yb).backward()
                opt.step()
        clf.eval()
        with torch.no_grad():
            prob = clf(torch.tensor(X[va]))[:, 0].numpy()
        folds.append(float(((prob > 0.5) == y[va]).mean()))
    print(f"cv accuracy {np.mean(folds):.3f} +- {np.std(folds):.3f}")
    return folds


@correct
def raw_units_batchnorm_front():
    torch.manual_seed(21)
    X, y = load_breast_cancer(return_X_y=True)
    X_tr, X_te, y_tr, y_te = train_test_split(X, y, test_size=0.3, random_state=21, stratify=y)

    def tens(a, t):
        return TensorDataset(torch.tensor(a, dtype=torch.float32), torch.tensor(t))

    train_loader = DataLoader(tens(X_tr, y_tr), batch_size=32, shuffle=True, drop_last=True)
    check_loader = DataLoader(tens(X_tr, y_tr), batch_size=128)
    test_loader = DataLoader(tens(X_te, y_te), batch_size=128)
    net = nn.Sequential(nn.BatchNorm1d(30), nn.Linear(30, 24), nn.ReLU(), nn.Linear(24, 2))
    opt = torch.optim.Adam(net.parameters(), lr=3e-3)

    def accuracy(loader):
        net.eval()
        good, n = 0, 0
        with torch.no_grad():
            for xb, yb in loader:
                good += (net(xb).max(1).indices == yb).sum().item()
                n += len(yb)
        return good / n

    table = []
    for _epoch in range(6):
        net.train()
        for xb, yb in train_loader:
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()
        table.append((accuracy(check_loader), accuracy(test_loader)))
    return table


@correct
def sensor_gaps_with_mask():
    rng = np.random.RandomState(22)
    torch.manual_seed(22)
    X, y = make_friedman1(700, n_features=8, noise=0.5, random_state=22)
    X[rng.rand(*X.shape) < 0.1] = np.nan
    X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=0.2, random_state=22)
    mean, std = np.nanmean(X_tr, 0), np.nanstd(X_tr, 0)
    ym, ysd = y_tr.mean(), y_tr.std()

    class Sensors(Dataset):
        def __init__(self, feats, target):
            self.z = ((feats - mean) / std).astype("float32")
            self.t = ((target - ym) / ysd).astype("float32")

        def __len__(self):
            return len(self.t)

        def __getitem__(self, i):
            row = torch.from_numpy(self.z[i])
            gap = torch.isnan(row)
            return torch.cat([torch.nan_to_num(row, nan=0.0), gap.float()]), torch.tensor(
                [self.t[i]]
            )

    train_dl = DataLoader(Sensors(X_tr, y_tr), batch_size=40, shuffle=True)
    valid_dl = DataLoader(Sensors(X_va, y_va), batch_size=140)
    model = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 1))
    ema = copy.deepcopy(model).requires_grad_(False)
    opt = torch.optim.Adam(model.parameters(), lr=5e-3)
    rmse = []
    for _epoch in range(8):
        model.train()
        for xb, yb in train_dl:
            opt.zero_grad()
            ((model(xb) - yb) ** 2).mean().backward()
            opt.step()
            with torch.no_grad():
                for e, p in zip(ema.parameters(), model.parameters(), strict=False):
                    e.lerp_(p, 0.1)
        ema.eval()
        with torch.no_grad():
            xb, yb = next(iter(valid_dl))
            rmse.append(((ema(xb) - yb) ** 2).mean().sqrt().item() * ysd)
    return rmse


@correct
def parity_slow_start():
    torch.manual_seed(23)
    bits = torch.randint(0, 2, (900, 14)).float()
    label = (bits[:, :4].sum(1) % 2).long()
    x_tr, y_tr, x_te, y_te = bits[:700], label[:700], bits[700:], label[700:]
    net = nn.Sequential(nn.Linear(14, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    trace = []
    for _epoch in range(10):
        net.train()
        perm = torch.randperm(700).tolist()
        for k in range(0, 700, 35):
            rows = perm[k : k + 35]
            optimizer.zero_grad()
            loss = F.cross_entropy(net(2 * x_tr[rows] - 1), y_tr[rows])
            loss.backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            z = net(2 * x_te - 1)
            trace.append(
                (F.cross_entropy(z, y_te).item(), (z.argmax(1) == y_te).float().mean().item())
            )
    return trace


@correct
def finetune_frozen_batchnorm():
    torch.manual_seed(24)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16.0, dtype=torch.float32).view(-1, 1, 8, 8)
    y = torch.tensor(y)
    mix = torch.randperm(len(X))
    X, y = X[mix], y[mix]

    class SmallResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12)
            self.conv2, self.bn2 = nn.Conv2d(12, 12, 3, padding=1), nn.BatchNorm2d(12)
            self.fc = nn.Linear(12 * 16, 10)

        def forward(self, x):
            h = F.relu(self.bn1(self.conv1(x)))
            h = h + F.relu(self.bn2(self.conv2(h)))
            return self.fc(F.avg_pool2d(h, 2).flatten(1))

        def train(self, mode=True):
            super().train(mode)
            if getattr(self, "freeze_bn", False):
                for m in self.modules():
                    if isinstance(m, nn.BatchNorm2d):
                        m.eval()
            return self

    def fit(net, xs, ys, lr, epochs, xv, yv):
        opt = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=lr)
        accs = []
        for _ in range(epochs):
            net.train()
            for idx in torch.randperm(len(xs)).split(50):
                opt.zero_grad()
                F.cross_entropy(net(xs[idx]), ys[idx]).backward()
                opt.step()
            net.eval()
            with torch.no_grad():
                accs.append((net(xv).argmax(1) == yv).float().mean().item())
        return accs

    net = SmallResNet()
    fit(net, X[:1000], y[:1000], 3e-3, 3, X[1000:1200], y[1000:1200])
    net.freeze_bn = True
    for m in (net.bn1, net.bn2):
        for p in m.parameters():
            p.requires_grad_(False)
    faded = 0.7 * X + 0.1 + 0.1 * torch.randn_like(X)
    return fit(net, faded[1200:1500], y[1200:1500], 2e-3, 5, faded[1500:], y[1500:])


@correct
def solar_output_nonnegative():
    rng = np.random.default_rng(25)
    torch.manual_seed(25)
    hour, cloud = rng.uniform(0, 24, 700), rng.uniform(0, 1, 700)
    sun = np.maximum(0.0, np.sin((hour - 6) / 12 * np.pi) * (1 - 0.7 * cloud))
    power = np.maximum(0.0, 3 * sun + 0.05 * rng.normal(size=700) * (sun > 0))
    X = np.stack([np.sin(hour / 12 * np.pi), np.cos(hour / 12 * np.pi), 2 * cloud - 1], 1)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(power, dtype=torch.float32)

    class SolarNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(3, 32)
            self.final = nn.Linear(32, 1)
            nn.init.constant_(self.final.bias, 0.5)

        def forward(self, x):
            return torch.relu(self.final(torch.tanh(self.hidden(x)))).squeeze(-1)

    model = SolarNet()
    opt = torch.optim.Adam(
        [{"params": model.hidden.parameters(), "lr": 1e-2}, {"params": model.final.parameters()}],
        lr=5e-3,
    )
    sched = torch.optim.lr_scheduler.ExponentialLR(opt, 0.95)
    rmse = []
    for _epoch in range(10):
        model.train()
        for chunk in torch.randperm(560).chunk(14):
            opt.zero_grad()
            (model(X[chunk]) - y[chunk]).square().mean().backward()
            opt.step()
        sched.step()
        model.eval()
        with torch.no_grad():
            rmse.append((model(X[560:]) - y[560:]).square().mean().sqrt().item())
    return rmse


@correct
def overfit_one_batch_check():
    torch.manual_seed(26)
    X, y = load_digits(return_X_y=True)
    pick = torch.randperm(len(X))[:24]
    images = torch.tensor(X / 16.0, dtype=torch.float32)[pick].view(-1, 1, 8, 8)
    labels = torch.tensor(y)[pick]
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(288, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )
    opt = torch.optim.Adam(model.parameters(), lr=5e-3)
    model.train()
    for step in range(60):
        logits = model(images)
        loss = F.cross_entropy(logits, labels)
        opt.zero_grad()
        loss.backward()
        opt.step()
        if step % 20 == 0:
            print(step, loss.item())
    fit = (logits.argmax(1) == labels).float().mean().item()
    print("memorised" if fit > 0.99 else "could not memorise", fit)
    return loss.item(), fit
