import argparse
import math
import random
from collections import defaultdict

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
    make_moons,
    make_regression,
)
from sklearn.metrics import accuracy_score, f1_score, r2_score, roc_auc_score
from sklearn.model_selection import KFold, train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split
from torch.utils.data.distributed import DistributedSampler

from .. import buggy


@buggy("no-zero-grad")
def hw3_digits_zero_grad_per_epoch():
    # Homework 3, CS 4771: digits with a small CNN
    torch.manual_seed(4771)
    digits = load_digits()
    X_tr, X_va, y_tr, y_va = train_test_split(
        digits.images / 16.0, digits.target, test_size=0.25, random_state=1, stratify=digits.target
    )
    train_dl = DataLoader(
        TensorDataset(torch.tensor(X_tr, dtype=torch.float32).unsqueeze(1), torch.tensor(y_tr)),
        batch_size=64,
        shuffle=True,
    )
    val_dl = DataLoader(
        TensorDataset(torch.tensor(X_va, dtype=torch.float32).unsqueeze(1), torch.tensor(y_va)),
        batch_size=256,
    )

    class ConvNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 12, 3, padding=1)
            self.conv2 = nn.Conv2d(12, 24, 3, padding=1)
            self.fc = nn.Linear(24 * 4, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), 2)
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            return self.fc(x.flatten(1))

    net = ConvNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    for epoch in range(1, 7):
        net.train()
        optimizer.zero_grad()
        running = 0.0
        for inputs, labels in train_dl:
            outputs = net(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running += loss.item() * inputs.size(0)
        net.eval()
        right = 0
        with torch.no_grad():
            for inputs, labels in val_dl:
                right += (net(inputs).argmax(1) == labels).sum().item()
        print(
            f"Epoch {epoch}: loss {running / len(train_dl.dataset):.4f}  val acc {right / len(val_dl.dataset):.4f}"
        )


@buggy("grads-cleared-before-step")
def kaggle_wine_clear_then_step():
    SEED = 2021
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    data = load_wine(as_frame=True)
    df = data.frame.sample(frac=1, random_state=SEED).reset_index(drop=True)
    feats = [c for c in df.columns if c != "target"]
    trn, val = df.iloc[:140], df.iloc[140:]
    sc = StandardScaler().fit(trn[feats].values)

    class WineDS(Dataset):
        def __init__(self, frame):
            self.x = sc.transform(frame[feats].values).astype("float32")
            self.y = frame["target"].values.astype("int64")

        def __len__(self):
            return len(self.y)

        def __getitem__(self, i):
            return {"features": torch.from_numpy(self.x[i]), "target": self.y[i]}

    def train_fn(model, loader, opt):
        model.train()
        total, n = 0.0, 0
        for batch in loader:
            logits = model(batch["features"])
            loss = F.cross_entropy(logits, batch["target"])
            loss.backward()
            opt.zero_grad(set_to_none=False)
            opt.step()
            total += loss.item() * len(logits)
            n += len(logits)
        return total / n

    def valid_fn(model, loader):
        model.eval()
        preds, gts = [], []
        with torch.no_grad():
            for batch in loader:
                preds.append(model(batch["features"]).argmax(1).numpy())
                gts.append(batch["target"].numpy())
        return accuracy_score(np.concatenate(gts), np.concatenate(preds))

    model = nn.Sequential(
        nn.Linear(len(feats), 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3)
    )
    opt = optim.Adam(model.parameters(), lr=5e-3)
    tl, vl = DataLoader(WineDS(trn), 20, shuffle=True), DataLoader(WineDS(val), 38)
    for ep in range(8):
        tr = train_fn(model, tl, opt)
        print("epoch", ep, "train_loss %.4f" % tr, "valid_acc %.4f" % valid_fn(model, vl))


@buggy("step-before-backward")
def trainer_class_step_first():
    torch.manual_seed(0)
    X, y = make_moons(800, noise=0.15, random_state=0)
    X = torch.as_tensor(StandardScaler().fit(X[:600]).transform(X), dtype=torch.float)
    y = torch.as_tensor(y, dtype=torch.float)

    class Trainer:
        def __init__(self, model, opt, loss_fn):
            self.model, self.opt, self.loss_fn = model, opt, loss_fn

        def fit(self, tr, va, epochs):
            for e in range(epochs):
                self.model.train()
                for xb, yb in tr:
                    self.training_step(xb, yb)
                print(e, self.evaluate(va))

        def training_step(self, xb, yb):
            self.opt.zero_grad()
            loss = self.loss_fn(self.model(xb).squeeze(1), yb)
            self.opt.step()
            loss.backward()
            return loss.item()

        @torch.no_grad()
        def evaluate(self, va):
            self.model.eval()
            hit = cnt = 0
            for xb, yb in va:
                p = self.model(xb).squeeze(1) > 0
                hit += (p == yb.bool()).sum().item()
                cnt += len(yb)
            return hit / cnt

    m = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    Trainer(m, optim.Adam(m.parameters(), 0.01), nn.BCEWithLogitsLoss()).fit(
        DataLoader(TensorDataset(X[:600], y[:600]), 50, shuffle=True),
        DataLoader(TensorDataset(X[600:], y[600:]), 100),
        8,
    )


@buggy("step-never-called")
def accumulation_never_reaches_step():
    # accum_steps larger than the number of batches in an epoch; counter is the batch index
    torch.manual_seed(11)
    args = argparse.Namespace(bs=64, accum=32, lr=0.01, epochs=6)
    X, y = load_breast_cancer(return_X_y=True)
    Xt, Xv, yt, yv = train_test_split(X, y, test_size=0.2, random_state=3, stratify=y)
    ss = StandardScaler()
    Xt, Xv = ss.fit_transform(Xt), ss.transform(Xv)
    tr = DataLoader(
        TensorDataset(torch.FloatTensor(Xt), torch.LongTensor(yt)),
        args.bs,
        shuffle=True,
        drop_last=True,
    )
    Xv, yv = torch.FloatTensor(Xv), torch.LongTensor(yv)
    model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 2))
    opt = optim.AdamW(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        opt.zero_grad()
        for i, (xb, yb) in enumerate(tr):
            loss = F.cross_entropy(model(xb), yb) / args.accum
            loss.backward()
            if (i + 1) % args.accum == 0:
                opt.step()
                opt.zero_grad()
        model.eval()
        with torch.no_grad():
            out = model(Xv)
            print(
                epoch, F.cross_entropy(out, yv).item(), (out.argmax(-1) == yv).float().mean().item()
            )


@buggy("backward-never-called")
def diabetes_missing_parentheses():
    torch.manual_seed(42)
    X, y = load_diabetes(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y.reshape(-1, 1), test_size=0.2, random_state=42
    )
    xs, ys = StandardScaler().fit(X_train), StandardScaler().fit(y_train)
    X_train, X_test = [
        torch.tensor(xs.transform(a), dtype=torch.float32) for a in (X_train, X_test)
    ]
    y_train, y_test = [
        torch.tensor(ys.transform(a), dtype=torch.float32) for a in (y_train, y_test)
    ]

    class Net(nn.Module):
        def __init__(self):
            super(Net, self).__init__()
            self.hid1 = nn.Linear(10, 20)
            self.hid2 = nn.Linear(20, 10)
            self.oupt = nn.Linear(10, 1)

        def forward(self, x):
            z = torch.tanh(self.hid1(x))
            z = torch.tanh(self.hid2(z))
            return self.oupt(z)

    net = Net()
    loss_func = nn.MSELoss()
    optimizer = optim.SGD(net.parameters(), lr=0.05)
    loader = DataLoader(TensorDataset(X_train, y_train), batch_size=16, shuffle=True)
    net.train()
    for epoch in range(10):
        epoch_loss = 0
        for batch_idx, (Xb, Yb) in enumerate(loader):
            optimizer.zero_grad()
            oupt = net(Xb)
            loss_obj = loss_func(oupt, Yb)
            epoch_loss += loss_obj.item() * len(Xb)
            loss_obj.backward
            optimizer.step()
        print("epoch = %4d   loss = %0.4f" % (epoch, epoch_loss / len(X_train)))
    net.eval()
    with torch.no_grad():
        print("test R2", r2_score(y_test.numpy(), net(X_test).numpy()))


@buggy("accumulation-not-averaged")
def lstm_sentiment_accumulate_sum():
    torch.manual_seed(7)
    g = torch.Generator().manual_seed(7)
    tokens = torch.randint(2, 40, (960, 12), generator=g)
    labels = ((tokens < 12).sum(1) > (tokens > 29).sum(1)).float()

    class SentimentLSTM(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(40, 16)
            self.lstm = nn.LSTM(16, 24, batch_first=True)
            self.head = nn.Linear(24, 1)

        def forward(self, t):
            out, _ = self.lstm(self.emb(t))
            return self.head(out.mean(1)).squeeze(-1)

    model = SentimentLSTM()
    opt = torch.optim.SGD(model.parameters(), lr=0.15, momentum=0.9)
    bce = nn.BCEWithLogitsLoss()
    tr = DataLoader(TensorDataset(tokens[:768], labels[:768]), batch_size=16, shuffle=True)
    va = DataLoader(TensorDataset(tokens[768:], labels[768:]), batch_size=96)
    grad_accum = 8  # effective batch of 128, does not fit in my GPU otherwise
    for ep in range(8):
        model.train()
        tot = 0.0
        for step, (t, l) in enumerate(tr, 1):
            loss = bce(model(t), l)
            loss.backward()
            tot += loss.item()
            if step % grad_accum == 0:
                opt.step()
                opt.zero_grad()
        model.eval()
        c = 0
        with torch.no_grad():
            for t, l in va:
                c += ((model(t) > 0).float() == l).sum().item()
        print(f"ep {ep} train {tot / len(tr):.3f} val acc {c / 192:.3f}")


@buggy("optimizer-holds-other-params")
def kfold_stale_optimizer():
    torch.manual_seed(1)
    X, y = load_iris(return_X_y=True)
    X = X.astype(np.float32)

    def build():
        return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))

    model = build()
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    criterion = nn.CrossEntropyLoss()
    scores = []
    for fold, (tr, va) in enumerate(KFold(3, shuffle=True, random_state=0).split(X)):
        print("FOLD", fold)
        model = build()  # fresh weights for every fold
        mu, sd = X[tr].mean(0), X[tr].std(0)
        loader = DataLoader(
            TensorDataset(torch.from_numpy((X[tr] - mu) / sd), torch.from_numpy(y[tr])),
            batch_size=20,
            shuffle=True,
        )
        xv, yv = torch.from_numpy((X[va] - mu) / sd), torch.from_numpy(y[va])
        for epoch in range(8):
            model.train()
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()
        model.eval()
        with torch.no_grad():
            scores.append(accuracy_score(yv, model(xv).argmax(1)))
        print("   val acc", scores[-1])
    print("CV", np.mean(scores))


@buggy("params-not-optimized")
def two_towers_only_one_in_adam():
    """user encoder + item encoder + scorer, optimizer built from the encoders"""
    torch.manual_seed(5)
    rng = np.random.RandomState(5)
    U, V = rng.randn(60, 4), rng.randn(50, 4)
    pairs = np.array([(u, v) for u in range(60) for v in range(50)])
    r = (U[pairs[:, 0]] * V[pairs[:, 1]]).sum(1)
    perm = rng.permutation(3000)
    pairs, r = torch.tensor(pairs[perm]), torch.tensor(r[perm] / r.std(), dtype=torch.float32)

    class Recommender(nn.Module):
        def __init__(self, d=12):
            super().__init__()
            self.user = nn.Embedding(60, d)
            self.item = nn.Embedding(50, d)
            self.scorer = nn.Sequential(nn.Linear(3 * d, 32), nn.ReLU(), nn.Linear(32, 1))

        def forward(self, u, v):
            a, b = self.user(u), self.item(v)
            return self.scorer(torch.cat([a, b, a * b], 1)).squeeze(1)

    net = Recommender()
    opt = torch.optim.Adam(
        [
            {"params": net.user.parameters(), "lr": 1e-2},
            {"params": net.item.parameters(), "lr": 1e-2},
        ]
    )
    train = TensorDataset(pairs[:2500], r[:2500])
    for epoch in range(6):
        net.train()
        s = 0.0
        for p, t in DataLoader(train, batch_size=128, shuffle=True):
            opt.zero_grad()
            loss = F.mse_loss(net(p[:, 0], p[:, 1]), t)
            loss.backward()
            opt.step()
            s += loss.item() * len(t)
        net.eval()
        with torch.no_grad():
            v = F.mse_loss(net(pairs[2500:, 0], pairs[2500:, 1]), r[2500:]).item()
        print(epoch, round(s / 2500, 4), round(v, 4))


@buggy("layers-cut-off")
def attention_pool_through_numpy_like_detach():
    torch.manual_seed(123)
    N, T, D = 900, 10, 6
    x = torch.randn(N, T, D)
    key = x[:, :, 0].argmax(1)
    y = (x[torch.arange(N), key, 1] > 0).long()

    class AttnPool(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc = nn.Linear(D, 32)
            self.score = nn.Linear(32, 1)
            self.out = nn.Linear(32, 2)

        def forward(self, seq, return_attn=False):
            h = torch.tanh(self.enc(seq))
            w = torch.softmax(self.score(h), dim=1).data  # keep weights for plotting
            pooled = (w * h).sum(1)
            logits = self.out(pooled)
            return (logits, w) if return_attn else logits

    m = AttnPool()
    o = optim.Adam(m.parameters(), lr=1e-2)
    tr, va = slice(0, 700), slice(700, None)
    loader = DataLoader(TensorDataset(x[tr], y[tr]), batch_size=50, shuffle=True)
    for ep in range(8):
        m.train()
        for xb, yb in loader:
            o.zero_grad()
            l = nn.functional.cross_entropy(m(xb), yb)
            l.backward()
            o.step()
        m.eval()
        with torch.no_grad():
            lg, w = m(x[va], return_attn=True)
        print(
            ep, "val acc", (lg.argmax(1) == y[va]).float().mean().item(), "attn max", w.max().item()
        )


@buggy("loss-cut-off")
def custom_loss_rewrapped():
    torch.manual_seed(3)
    X, y = make_regression(600, 8, noise=5.0, random_state=3)
    X = X.astype(np.float32)
    y = ((y - y[:450].mean()) / y[:450].std()).astype(np.float32)

    class RMSLELikeLoss(nn.Module):
        def forward(self, pred, true):
            losses = []
            for p, t in zip(pred, true):
                losses.append(torch.log(torch.cosh(p - t)).item())
            return torch.tensor(sum(losses) / len(losses), requires_grad=True)

    ds = TensorDataset(torch.from_numpy(X[:450]), torch.from_numpy(y[:450]))
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))
    criterion, optimizer = RMSLELikeLoss(), optim.RMSprop(model.parameters(), lr=1e-3)
    for epoch in range(5):
        model.train()
        tot = 0.0
        for xb, yb in DataLoader(ds, batch_size=45, shuffle=True):
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
            tot += loss.item() * len(xb)
        model.eval()
        with torch.no_grad():
            vl = criterion(model(torch.from_numpy(X[450:])), torch.from_numpy(y[450:])).item()
        print(f"[{epoch + 1}/5] train {tot / 450:.4f} val {vl:.4f}")


@buggy("unregistered-layers")
def residual_mlp_blocks_in_dict():
    torch.manual_seed(9)
    digits = load_digits()
    Xa, Xb, ya, yb = train_test_split(
        (digits.data / 16.0).astype("float32"), digits.target, test_size=360, random_state=9
    )

    class Block(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.n, self.f1, self.f2 = nn.LayerNorm(d), nn.Linear(d, d), nn.Linear(d, d)

        def forward(self, x):
            return x + self.f2(F.gelu(self.f1(self.n(x))))

    class ResMLP(nn.Module):
        def __init__(self, d=32, depth=3):
            super().__init__()
            self.stem = nn.Linear(64, d)
            self.blocks = {f"block{i}": Block(d) for i in range(depth)}
            self.head = nn.Linear(d, 10)

        def forward(self, x):
            x = self.stem(x)
            for name in self.blocks:
                x = self.blocks[name](x)
            return self.head(x)

    model = ResMLP()
    print("params:", sum(p.numel() for p in model.parameters() if p.requires_grad))
    opt = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-4)
    loader = DataLoader(list(zip(Xa, ya)), batch_size=64, shuffle=True)
    for epoch in range(5):
        model.train()
        for x, y in loader:
            loss = F.cross_entropy(model(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
        model.eval()
        with torch.inference_mode():
            pr = model(torch.from_numpy(Xb)).argmax(1).numpy()
        print(epoch, "f1 macro", f1_score(yb, pr, average="macro"))


@buggy("clip-misplaced")
def gru_clip_before_backward():
    np.random.seed(0)
    torch.manual_seed(0)
    t = np.arange(0, 700) * 0.1
    series = (np.sin(t) + 0.5 * np.sin(2.3 * t)).astype("float32")
    W = 20
    xs = torch.tensor(np.stack([series[i : i + W] for i in range(len(series) - W)])).unsqueeze(-1)
    ys = torch.tensor(series[W:]).unsqueeze(-1)
    n_tr = 540

    class GRUForecaster(nn.Module):
        def __init__(self, h=24):
            super().__init__()
            self.gru = nn.GRU(1, h, batch_first=True)
            self.fc = nn.Linear(h, 1)

        def forward(self, x):
            return self.fc(self.gru(x)[0][:, -1])

    model = GRUForecaster()
    optimiser = optim.Adam(model.parameters(), lr=5e-3)
    dl = DataLoader(TensorDataset(xs[:n_tr], ys[:n_tr]), batch_size=36, shuffle=True)
    for epoch in range(6):
        model.train()
        losses = []
        for xb, yb in dl:
            optimiser.zero_grad()
            pred = model(xb)
            loss = F.mse_loss(pred, yb)
            nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.1)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            val = F.mse_loss(model(xs[n_tr + W :]), ys[n_tr + W :]).item()
        print(f"epoch {epoch} train {np.mean(losses):.4f} val {val:.4f}")


@buggy("clip-before-unscale")
def amp_clip_scaled_grads():
    torch.manual_seed(0)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16.0, dtype=torch.float32)
    y = torch.tensor(y)
    idx = torch.randperm(len(X))
    tr, te = idx[:1400], idx[1400:]
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    loader = DataLoader(TensorDataset(X[tr], y[tr]), batch_size=100, shuffle=True)
    for epoch in range(6):
        model.train()
        for xb, yb in loader:
            opt.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(model(xb), yb)
            scaler.scale(loss).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(opt)
            scaler.update()
        model.eval()
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            acc = (model(X[te]).argmax(1) == y[te]).float().mean()
        print(
            f"epoch {epoch:02d} | loss {loss.item():.3f} | test acc {acc.item():.3f} | scale {scaler.get_scale()}"
        )


@buggy("softmax-before-cross-entropy")
def lightning_like_probs_into_ce():
    torch.manual_seed(17)

    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.feats = nn.Sequential(
                nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)
            )
            self.cls = nn.Linear(8 * 16, 10)

        def forward(self, x):
            return torch.softmax(self.cls(self.feats(x).flatten(1)), dim=-1)

        def training_step(self, batch, i):
            x, y = batch
            return F.cross_entropy(self(x), y)

        def validation_step(self, batch, i):
            x, y = batch
            p = self(x)
            return (p.argmax(1) == y).sum().item(), len(y)

        def configure_optimizers(self):
            return optim.Adam(self.parameters(), lr=3e-3)

    d = load_digits()
    ds = TensorDataset(
        torch.tensor(d.images / 16, dtype=torch.float32)[:, None], torch.tensor(d.target)
    )
    tr, va = random_split(ds, [1440, 357], generator=torch.Generator().manual_seed(17))
    m = Module()
    opt = m.configure_optimizers()
    tl, vl = DataLoader(tr, 72, shuffle=True), DataLoader(va, 357)
    for ep in range(5):
        m.train()
        for i, b in enumerate(tl):
            loss = m.training_step(b, i)
            opt.zero_grad()
            loss.backward()
            opt.step()
        m.eval()
        with torch.no_grad():
            outs = [m.validation_step(b, i) for i, b in enumerate(vl)]
        print(
            {
                "epoch": ep,
                "loss": loss.item(),
                "val_acc": sum(o[0] for o in outs) / sum(o[1] for o in outs),
            }
        )


@buggy("sigmoid-before-bce-with-logits")
def multilabel_tags_sigmoid_twice():
    torch.manual_seed(8)
    bags = torch.randint(1, 50, (1000, 9))
    labels = torch.stack(
        [(bags == k).any(1) | (bags == k + 10).any(1) for k in (3, 5, 7, 9)], 1
    ).float()

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.eb = nn.EmbeddingBag(50, 32, mode="sum")
            self.fc1 = nn.Linear(32, 32)
            self.fc2 = nn.Linear(32, 4)
            self.act = nn.Sigmoid()

        def forward(self, x):
            return self.act(self.fc2(F.relu(self.fc1(self.eb(x)))))

    net = Tagger()
    crit = nn.BCEWithLogitsLoss()
    optimizer = optim.Adam(net.parameters(), lr=5e-3)
    trainloader = DataLoader(TensorDataset(bags[:800], labels[:800]), batch_size=40, shuffle=True)
    for epoch in range(8):
        net.train()
        rl = 0
        for x, y in trainloader:
            optimizer.zero_grad()
            out = net(x)
            loss = crit(out, y)
            loss.backward()
            optimizer.step()
            rl += loss.item()
        net.eval()
        with torch.no_grad():
            pred = (net(bags[800:]) > 0.5).int()
        print(
            "Epoch:",
            epoch,
            "Loss:",
            rl / len(trainloader),
            "F1:",
            f1_score(labels[800:], pred, average="micro"),
        )


@buggy("nll-on-probabilities")
def char_rnn_names_nll_probs():
    torch.manual_seed(1)
    random.seed(1)
    vow, con = "aeiou", "bcdfghklmnprst"
    langs = {
        "it": lambda: "".join(random.choice(con) + random.choice(vow) for _ in range(3)),
        "cz": lambda: "".join(
            random.choice(con) + random.choice(con) + random.choice(vow) for _ in range(2)
        ),
        "hw": lambda: "".join(
            random.choice(vow) + random.choice(vow) + random.choice(con) for _ in range(2)
        ),
    }
    chars = sorted(vow + con)
    data = []
    for i, fn in enumerate(langs.values()):
        words = set()
        while len(words) < 200:
            words.add(fn())
        data += [(w, i) for w in sorted(words)]
    random.shuffle(data)
    enc = lambda w: torch.tensor([chars.index(c) for c in w])
    X, Y = torch.stack([enc(w) for w, _ in data]), torch.tensor([l for _, l in data])

    class RNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(len(chars), 10)
            self.rnn = nn.RNN(10, 32, batch_first=True)
            self.h2o = nn.Linear(32, 3)
            self.softmax = nn.Softmax(dim=1)

        def forward(self, x):
            _, h = self.rnn(self.emb(x))
            return self.softmax(self.h2o(h[0]))

    rnn, criterion = RNN(), nn.NLLLoss()
    optimizer = optim.Adam(rnn.parameters(), lr=0.005)
    for epoch in range(6):
        perm = torch.randperm(480)
        rnn.train()
        for i in range(0, 480, 32):
            b = perm[i : i + 32]
            output = rnn(X[b])
            loss = criterion(output, Y[b])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        rnn.eval()
        with torch.no_grad():
            vo = rnn(X[480:])
        print(f"{epoch} {loss.item():.4f} acc {(vo.argmax(1) == Y[480:]).float().mean():.3f}")


@buggy("nll-on-logits")
def functional_nll_without_log_softmax():
    torch.manual_seed(2)
    wine = load_wine()
    xt, xv, yt, yv = train_test_split(
        wine.data, wine.target, test_size=0.3, random_state=2, stratify=wine.target
    )
    s = StandardScaler().fit(xt)
    xt, xv = torch.Tensor(s.transform(xt)), torch.Tensor(s.transform(xv))
    yt, yv = torch.LongTensor(yt), torch.LongTensor(yv)
    model = nn.Sequential(nn.Linear(13, 24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    history = defaultdict(list)
    for epoch in range(8):
        model.train()
        for xb, yb in DataLoader(TensorDataset(xt, yt), batch_size=31, shuffle=True):
            optimizer.zero_grad()
            loss = F.nll_loss(model(xb), yb)
            loss.backward()
            optimizer.step()
            history["train"].append(loss.item())
        model.eval()
        with torch.no_grad():
            logits = model(xv)
            history["val"].append(F.nll_loss(logits, yv).item())
            history["acc"].append(accuracy_score(yv, logits.argmax(1)))
        print(epoch, history["train"][-1], history["val"][-1], history["acc"][-1])


@buggy("cross-entropy-one-class")
def churn_single_output_ce():
    torch.manual_seed(10)
    X, y = make_classification(1200, 15, n_informative=8, random_state=10, weights=[0.6])
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, random_state=10, stratify=y
    )
    scaler = StandardScaler()
    X_train = torch.tensor(scaler.fit_transform(X_train), dtype=torch.float32)
    X_test = torch.tensor(scaler.transform(X_test), dtype=torch.float32)
    y_train = torch.tensor(y_train, dtype=torch.float32).unsqueeze(1)
    y_test = torch.tensor(y_test, dtype=torch.float32).unsqueeze(1)

    class ANN(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(15, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)
            )

        def forward(self, x):
            return self.layers(x)

    model = ANN()
    loss_function = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    train_loader = DataLoader(TensorDataset(X_train, y_train), batch_size=60, shuffle=True)
    for i in range(1, 7):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            single_loss = loss_function(model(xb), yb)
            single_loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            acc = ((model(X_test) > 0).float() == y_test).float().mean().item()
        print(f"epoch: {i:3} loss: {single_loss.item():10.8f} test acc {acc:.3f}")


@buggy("broadcast-loss")
def housing_huber_by_hand():
    torch.manual_seed(99)
    rng = np.random.default_rng(99)
    area, rooms, age = rng.uniform(40, 200, 900), rng.integers(1, 7, 900), rng.uniform(0, 60, 900)
    price = 2.5 * area + 15 * rooms - 1.2 * age + rng.normal(0, 10, 900)
    X = np.column_stack([area, rooms, age])
    tr, te = np.arange(720), np.arange(720, 900)
    sx = StandardScaler().fit(X[tr])
    X = sx.transform(X).astype("f4")
    p = ((price - price[tr].mean()) / price[tr].std()).astype("f4")

    class Houses(Dataset):
        def __init__(self, idx):
            self.idx = idx

        def __len__(self):
            return len(self.idx)

        def __getitem__(self, k):
            return X[self.idx[k]], p[self.idx[k]]

    def collate(samples):
        return torch.from_numpy(np.stack([a for a, _ in samples])), torch.tensor(
            np.array([b for _, b in samples])
        )

    def huber(pred, target, delta=1.0):
        e = (pred - target).abs()
        return torch.where(e < delta, 0.5 * e**2, delta * (e - 0.5 * delta)).mean()

    net = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = optim.Adam(net.parameters(), 0.01)
    loader = DataLoader(Houses(tr), 48, shuffle=True, collate_fn=collate)
    for epoch in range(8):
        net.train()
        total = 0.0
        for feats, price_b in loader:
            loss = huber(net(feats), price_b)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        net.eval()
        with torch.no_grad():
            r2 = r2_score(p[te], net(torch.from_numpy(X[te])).numpy().ravel())
        print("epoch %d huber %.4f test r2 %.4f" % (epoch, total / len(loader), r2))


@buggy("relu-on-logits")
def activation_after_every_layer():
    torch.manual_seed(6)
    d = load_digits()
    X = torch.tensor(d.data / 16, dtype=torch.float32)
    t = torch.tensor(d.target)
    perm = torch.randperm(len(X))
    X, t = X[perm], t[perm]

    class MLP(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))

        def forward(self, x):
            for layer in self.layers:
                x = F.relu(layer(x))
            return x

    net = MLP([64, 48, 32, 10])
    opt = optim.Adam(net.parameters(), 2e-3)
    ce = nn.CrossEntropyLoss()
    for epoch in range(6):
        net.train()
        for i in torch.randperm(1400).split(70):
            opt.zero_grad()
            loss = ce(net(X[i]), t[i])
            loss.backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            o = net(X[1400:])
            print(epoch, ce(o, t[1400:]).item(), (o.argmax(1) == t[1400:]).float().mean().item())


@buggy("training-in-eval-mode")
def train_called_once_before_epochs():
    torch.manual_seed(4)
    np.random.seed(4)
    X, y = load_breast_cancer(return_X_y=True)
    Xtr, Xva, ytr, yva = train_test_split(X, y, stratify=y, random_state=4, test_size=0.3)
    sc = StandardScaler().fit(Xtr)
    f = lambda a: torch.tensor(sc.transform(a), dtype=torch.float32)
    tr_dl = DataLoader(
        TensorDataset(f(Xtr), torch.tensor(ytr).float()), 32, shuffle=True, drop_last=True
    )
    va_dl = DataLoader(TensorDataset(f(Xva), torch.tensor(yva).float()), 171)

    class TabularModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn0 = nn.BatchNorm1d(30)
            self.l1, self.bn1, self.do = nn.Linear(30, 64), nn.BatchNorm1d(64), nn.Dropout(0.4)
            self.l2 = nn.Linear(64, 1)

        def forward(self, x):
            return self.l2(self.do(F.relu(self.bn1(self.l1(self.bn0(x)))))).squeeze(1)

    model = TabularModel()
    opt = optim.Adam(model.parameters(), 2e-3)
    loss_fn = nn.BCEWithLogitsLoss()

    def validate():
        model.eval()
        ps, ts = [], []
        with torch.no_grad():
            for xb, yb in va_dl:
                ps.append(torch.sigmoid(model(xb)))
                ts.append(yb)
        return roc_auc_score(torch.cat(ts).numpy(), torch.cat(ps).numpy())

    model.train()
    for epoch in range(7):
        ls = []
        for xb, yb in tr_dl:
            opt.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            opt.step()
            ls.append(loss.item())
        print(f"epoch {epoch}: loss {np.mean(ls):.4f} auc {validate():.4f}")


@buggy("eval-in-train-mode")
def model_eval_no_parens():
    torch.manual_seed(14)
    iris = load_digits(n_class=6)
    X = torch.tensor(iris.images, dtype=torch.float32).unsqueeze(1) / 16
    Y = torch.tensor(iris.target)
    tr, va = random_split(TensorDataset(X, Y), [800, len(X) - 800])
    train_loader, val_loader = (
        DataLoader(tr, batch_size=50, shuffle=True),
        DataLoader(va, batch_size=64),
    )
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout2d(0.3),
        nn.Flatten(),
        nn.Linear(8 * 36, 6),
    )
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    best = 0
    for epoch in range(5):
        model.train()
        for X_, y_ in train_loader:
            loss = F.cross_entropy(model(X_), y_)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval
        n_ok = n_all = 0
        with torch.no_grad():
            for X_, y_ in val_loader:
                n_ok += (model(X_).argmax(1) == y_).sum().item()
                n_all += y_.shape[0]
        best = max(best, n_ok / n_all)
        print(f"Epoch {epoch} | val acc {n_ok / n_all:.4f} | best {best:.4f}")


@buggy("dropout-always-on")
def transformer_functional_dropout():
    torch.manual_seed(31)
    seq = torch.randint(0, 20, (900, 8))
    y = (seq[:, 0] > seq[:, -1]).long()

    class Encoder(nn.Module):
        def __init__(self, d=24):
            super().__init__()
            self.tok, self.pos = nn.Embedding(20, d), nn.Parameter(torch.randn(1, 8, d) * 0.05)
            self.att = nn.MultiheadAttention(d, 2, batch_first=True)
            self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.ff1, self.ff2 = nn.Linear(d, 48), nn.Linear(48, d)
            self.out = nn.Linear(8 * d, 2)

        def forward(self, s):
            x = self.tok(s) + self.pos
            x = self.ln1(x + F.dropout(self.att(x, x, x, need_weights=False)[0], 0.2))
            x = self.ln2(x + F.dropout(self.ff2(F.relu(self.ff1(x))), 0.2))
            return self.out(x.flatten(1))

    model = Encoder()
    opt = optim.AdamW(model.parameters(), lr=3e-3)
    tl = DataLoader(TensorDataset(seq[:700], y[:700]), batch_size=50, shuffle=True)
    vl = DataLoader(TensorDataset(seq[700:], y[700:]), batch_size=100)
    for ep in range(6):
        model.train()
        for s, t in tl:
            opt.zero_grad()
            F.cross_entropy(model(s), t).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            acc = sum((model(s).argmax(1) == t).sum().item() for s, t in vl) / 200
        print(f"ep{ep} val_acc={acc:.3f}")


@buggy("eval-builds-graph")
def evaluation_with_grad_autoencoder():
    torch.manual_seed(0)
    X = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)
    X = X[torch.randperm(len(X))]
    train, test = X[:1500], X[1500:]

    class AE(nn.Module):
        def __init__(self):
            super().__init__()
            self.e = nn.Sequential(nn.Linear(64, 32), nn.ELU(), nn.Linear(32, 8))
            self.d = nn.Sequential(nn.Linear(8, 32), nn.ELU(), nn.Linear(32, 64), nn.Sigmoid())

        def forward(self, x):
            return self.d(self.e(x))

    ae = AE()
    opt = optim.Adam(ae.parameters(), lr=2e-3)
    mse = nn.MSELoss()
    for epoch in range(5):
        ae.train()
        for batch in DataLoader(train, batch_size=60, shuffle=True):
            opt.zero_grad()
            l = mse(ae(batch), batch)
            l.backward()
            opt.step()
        ae.eval()
        test_sum = 0.0
        for batch in DataLoader(test, batch_size=99):
            test_sum += mse(ae(batch), batch).item() * len(batch)
        print("epoch", epoch, "test mse", test_sum / len(test))


@buggy("graph-kept")
def loss_history_keeps_graphs():
    torch.manual_seed(77)
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit(X[:342]).transform(X)
    y = (y - y[:342].mean()) / y[:342].std()
    X, y = torch.tensor(X).float(), torch.tensor(y).float()
    model = nn.Sequential(nn.Linear(10, 32), nn.SiLU(), nn.Linear(32, 1))
    opt = optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-3)
    log = {"step": [], "loss": []}
    loader = DataLoader(TensorDataset(X[:342], y[:342]), batch_size=38, shuffle=True)
    step = 0
    for epoch in range(8):
        model.train()
        for xb, yb in loader:
            pred = model(xb)[:, 0]
            loss = ((pred - yb) ** 2).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            step += 1
            log["step"].append(step)
            log["loss"].append(loss)
        model.eval()
        with torch.no_grad():
            v = ((model(X[342:])[:, 0] - y[342:]) ** 2).mean().item()
        print(
            f"epoch {epoch}  train {sum(log['loss'][-len(loader) :]) / len(loader):.3f}  val {v:.3f}"
        )


@buggy("metric-broadcast")
def binary_accuracy_column_vs_row():
    torch.manual_seed(55)
    X, y = make_moons(900, noise=0.2, random_state=55)
    m, s = X[:700].mean(0), X[:700].std(0)
    X = torch.tensor((X - m) / s, dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32)

    def binary_acc(y_pred, y_test):
        y_pred_tag = torch.round(torch.sigmoid(y_pred))
        correct_results_sum = (y_pred_tag == y_test).float().mean()
        return round(correct_results_sum.item() * 100, 2)

    class BinaryClassification(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer_1, self.layer_2, self.layer_out = (
                nn.Linear(2, 64),
                nn.Linear(64, 64),
                nn.Linear(64, 1),
            )

        def forward(self, inputs):
            x = F.relu(self.layer_1(inputs))
            return self.layer_out(F.relu(self.layer_2(x)))

    model = BinaryClassification()
    criterion, optimizer = nn.BCEWithLogitsLoss(), optim.Adam(model.parameters(), lr=0.005)
    for e in range(1, 9):
        model.train()
        for X_batch, y_batch in DataLoader(
            TensorDataset(X[:700], y[:700]), batch_size=70, shuffle=True
        ):
            optimizer.zero_grad()
            loss = criterion(model(X_batch), y_batch.unsqueeze(1))
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val_pred = model(X[700:])
            val_loss = criterion(val_pred, y[700:].unsqueeze(1)).item()
        print(
            f"Epoch {e:03}: | Val loss: {val_loss:.4f} | Val acc: {binary_acc(val_pred, y[700:])}"
        )


@buggy("argmax-wrong-dim")
def per_pixel_segmentation_argmax():
    torch.manual_seed(20)
    img = torch.rand(240, 1, 10, 10)
    mask = torch.bucketize(
        F.avg_pool2d(img, 3, 1, 1, count_include_pad=False)[:, 0], torch.tensor([0.45, 0.55])
    )
    img = (img - 0.5) / 0.29
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 10, 1),
    )
    # 10 output channels reserved, 3 used for now
    opt = optim.Adam(net.parameters(), lr=5e-3)
    ce = nn.CrossEntropyLoss()
    tl = DataLoader(TensorDataset(img[:200], mask[:200]), batch_size=20, shuffle=True)
    vl = DataLoader(TensorDataset(img[200:], mask[200:]), batch_size=40)
    for epoch in range(6):
        net.train()
        for x, m in tl:
            opt.zero_grad()
            loss = ce(net(x), m)
            loss.backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            hits = total = 0
            for x, m in vl:
                pred = torch.argmax(net(x), dim=-1)
                hits += (pred == m).sum().item()
                total += m.numel()
        print(f"epoch {epoch}: loss {loss.item():.3f} pixel acc {hits / total:.3f}")


@buggy("threshold-on-logits")
def credit_default_half_threshold():
    torch.manual_seed(30)
    np.random.seed(30)
    X, y = make_classification(
        2000, 12, n_informative=6, weights=[0.7], flip_y=0.1, class_sep=0.6, random_state=30
    )
    X_train, X_val, y_train, y_val = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=30
    )
    sc = StandardScaler()
    X_train = sc.fit_transform(X_train).astype(np.float32)
    X_val = sc.transform(X_val).astype(np.float32)

    class CreditNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(
                nn.Linear(12, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 1)
            )

        def forward(self, x):
            return self.net(x).view(-1)

    model = CreditNet()
    opt = optim.Adam(model.parameters(), lr=2e-3)
    lossf = nn.BCEWithLogitsLoss()
    tl = DataLoader(
        TensorDataset(torch.from_numpy(X_train), torch.from_numpy(y_train).float()),
        batch_size=100,
        shuffle=True,
    )
    vl = DataLoader(
        TensorDataset(torch.from_numpy(X_val), torch.from_numpy(y_val).float()), batch_size=250
    )
    for epoch in range(5):
        model.train()
        for xb, yb in tl:
            opt.zero_grad()
            loss = lossf(model(xb), yb)
            loss.backward()
            opt.step()
        model.eval()
        y_pred, y_true = [], []
        with torch.no_grad():
            for xb, yb in vl:
                out = model(xb)
                y_pred += (out > 0.5).int().tolist()
                y_true += yb.int().tolist()
        print(
            f"Epoch {epoch + 1}/5 acc={accuracy_score(y_true, y_pred):.4f} f1={f1_score(y_true, y_pred):.4f}"
        )


@buggy("metric-not-normalised")
def mnist_example_test_loss_divisor():
    torch.manual_seed(1)
    d = load_digits()
    a, b, ya, yb = train_test_split(d.images[:, None] / 16, d.target, test_size=397, random_state=1)
    train_loader = DataLoader(
        TensorDataset(torch.tensor(a).float(), torch.tensor(ya)), batch_size=70, shuffle=True
    )
    test_loader = DataLoader(
        TensorDataset(torch.tensor(b).float(), torch.tensor(yb)), batch_size=64
    )

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 10, 3)
            self.drop = nn.Dropout2d(0.1)
            self.fc = nn.Linear(90, 10)

        def forward(self, x):
            x = F.relu(F.max_pool2d(self.drop(self.conv(x)), 2))
            return F.log_softmax(self.fc(x.view(x.size(0), -1)), dim=1)

    def train(model, optimizer, epoch):
        model.train()
        for batch_idx, (data, target) in enumerate(train_loader):
            optimizer.zero_grad()
            loss = F.nll_loss(model(data), target)
            loss.backward()
            optimizer.step()

    def test(model):
        model.eval()
        test_loss = correct = 0
        with torch.no_grad():
            for data, target in test_loader:
                output = model(data)
                test_loss += F.nll_loss(output, target).item()
                correct += output.max(1)[1].eq(target).sum().item()
        test_loss /= len(test_loader.dataset)
        print(
            "Test set: Average loss: {:.4f}, Accuracy: {}/{}".format(
                test_loss, correct, len(test_loader.dataset)
            )
        )

    model = Net()
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(1, 6):
        train(model, optimizer, epoch)
        test(model)


@buggy("scheduler-before-optimizer")
def old_style_scheduler_first():
    torch.manual_seed(16)
    X, y = load_wine(return_X_y=True)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=48, random_state=16, stratify=y)
    sc = StandardScaler().fit(Xa)
    Xa, Xb = torch.tensor(sc.transform(Xa)).float(), torch.tensor(sc.transform(Xb)).float()
    ya, yb = torch.tensor(ya), torch.tensor(yb)
    net = nn.Sequential(nn.Linear(13, 20), nn.Tanh(), nn.Linear(20, 3))
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    scheduler = optim.lr_scheduler.MultiStepLR(optimizer, milestones=[4, 7], gamma=0.3)
    for epoch in range(9):
        scheduler.step()
        print("lr", scheduler.get_last_lr())
        net.train()
        for xb, t in DataLoader(TensorDataset(Xa, ya), batch_size=13, shuffle=True):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(xb), t)
            loss.backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            print(epoch, "acc", (net(Xb).argmax(1) == yb).float().mean().item())


@buggy("scheduler-per-batch")
def cosine_tmax_epochs_stepped_in_batches():
    cfg = argparse.Namespace(epochs=8, lr=3e-3, bs=64, seed=7)
    torch.manual_seed(cfg.seed)
    X, y = make_regression(1200, 10, n_informative=6, noise=8, random_state=cfg.seed)
    X = StandardScaler().fit(X[:960]).transform(X)
    y = (y - y[:960].mean()) / y[:960].std()
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)[:, None]
    train_dl = DataLoader(TensorDataset(X[:960], y[:960]), cfg.bs, shuffle=True)

    model = nn.Sequential(nn.Linear(10, 64), nn.GELU(), nn.Linear(64, 1))
    opt = torch.optim.AdamW(model.parameters(), lr=cfg.lr)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=cfg.epochs)

    def one_epoch():
        model.train()
        total = 0.0
        for xb, yb in train_dl:
            opt.zero_grad()
            loss = F.mse_loss(model(xb), yb)
            loss.backward()
            opt.step()
            sched.step()
            total += loss.item() * len(xb)
        return total / len(train_dl.dataset)

    for ep in range(cfg.epochs):
        tr = one_epoch()
        model.eval()
        with torch.no_grad():
            va = F.mse_loss(model(X[960:]), y[960:]).item()
        print(f"{ep} lr={opt.param_groups[0]['lr']:.2e} train={tr:.4f} val={va:.4f}")


@buggy("scheduler-per-epoch")
def onecycle_stepped_per_epoch():
    torch.manual_seed(25)
    d = load_digits()
    Xtr, Xte, ytr, yte = train_test_split(
        d.data / 16, d.target, test_size=0.2, random_state=25, stratify=d.target
    )
    dl = DataLoader(TensorDataset(torch.FloatTensor(Xtr), torch.LongTensor(ytr)), 128, shuffle=True)
    Xte, yte = torch.FloatTensor(Xte), torch.LongTensor(yte)

    class Learner:
        def __init__(self, model, dl, max_lr, epochs):
            self.model, self.dl, self.epochs = model, dl, epochs
            self.opt = optim.AdamW(model.parameters(), lr=max_lr)
            self.sched = optim.lr_scheduler.OneCycleLR(
                self.opt, max_lr=max_lr, epochs=epochs, steps_per_epoch=len(dl)
            )

        def fit_one_cycle(self):
            for e in range(self.epochs):
                self.model.train()
                for xb, yb in self.dl:
                    self.opt.zero_grad()
                    loss = F.cross_entropy(self.model(xb), yb, label_smoothing=0.05)
                    loss.backward()
                    self.opt.step()
                self.sched.step()
                self.model.eval()
                with torch.no_grad():
                    acc = (self.model(Xte).argmax(1) == yte).float().mean().item()
                print(f"{e:>3} {loss.item():>8.4f} {acc:>8.4f} {self.sched.get_last_lr()[0]:.5f}")

    Learner(
        nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10)),
        dl,
        1e-2,
        8,
    ).fit_one_cycle()


@buggy("nan-input")
def zero_std_pixels():
    torch.manual_seed(40)
    d = load_digits()
    X_train, X_valid, y_train, y_valid = train_test_split(
        d.data, d.target, test_size=0.2, random_state=40
    )
    mean, std = X_train.mean(axis=0), X_train.std(axis=0)
    with np.errstate(all="ignore"):
        X_train, X_valid = (X_train - mean) / std, (X_valid - mean) / std
    trn = TensorDataset(torch.tensor(X_train, dtype=torch.float32), torch.tensor(y_train))
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(4):
        model.train()
        for xb, yb in DataLoader(trn, batch_size=32, shuffle=True):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            pred = model(torch.tensor(X_valid, dtype=torch.float32)).argmax(1).numpy()
        print("Epoch", epoch, "loss", loss.item(), "valid acc", accuracy_score(y_valid, pred))


@buggy("input-scale")
def wine_raw_features():
    torch.manual_seed(18)
    X, y = load_wine(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, random_state=18, stratify=y
    )
    X_train, X_test = torch.from_numpy(X_train).float(), torch.from_numpy(X_test).float()
    y_train, y_test = torch.from_numpy(y_train), torch.from_numpy(y_test)

    class WineClassifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(13, 50)
            self.fc2 = nn.Linear(50, 3)

        def forward(self, x):
            return self.fc2(torch.sigmoid(self.fc1(x)))

    model = WineClassifier()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    loader = DataLoader(TensorDataset(X_train, y_train), batch_size=19, shuffle=True)
    for epoch in range(10):
        model.train()
        epoch_loss = 0
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item()
        model.eval()
        with torch.no_grad():
            acc = (model(X_test).argmax(1) == y_test).float().mean().item()
        print(f"Epoch [{epoch + 1}/10], Loss: {epoch_loss / len(loader):.4f}, Test acc: {acc:.3f}")


@buggy("val-scaled-differently")
def normalize_only_in_train_branch():
    torch.manual_seed(51)
    d = load_digits()
    tr_i, va_i = train_test_split(
        np.arange(1797), test_size=0.2, random_state=51, stratify=d.target
    )
    MEAN, STD = float(d.images[tr_i].mean()), float(d.images[tr_i].std())

    class DigitDataset(Dataset):
        def __init__(self, idx, train):
            self.x, self.y, self.train = d.images[idx].astype("float32"), d.target[idx], train

        def __len__(self):
            return len(self.y)

        def __getitem__(self, i):
            im = torch.from_numpy(self.x[i]).unsqueeze(0)
            if self.train:
                im = (im - MEAN) / STD
                if torch.rand(()) < 0.5:
                    im = im + 0.05 * torch.randn_like(im)
            return im, int(self.y[i])

    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10)
    )
    opt = optim.Adam(model.parameters(), lr=2e-3)
    tl = DataLoader(DigitDataset(tr_i, True), batch_size=64, shuffle=True)
    vl = DataLoader(DigitDataset(va_i, False), batch_size=120)
    for epoch in range(4):
        model.train()
        for xb, yb in tl:
            loss = F.cross_entropy(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
        model.eval()
        vloss, ok = 0.0, 0
        with torch.no_grad():
            for xb, yb in vl:
                o = model(xb)
                vloss += F.cross_entropy(o, yb, reduction="sum").item()
                ok += (o.argmax(1) == yb).sum().item()
        print(
            f"{epoch}: train {loss.item():.3f} val loss {vloss / len(va_i):.3f} acc {ok / len(va_i):.3f}"
        )


@buggy("sorted-batches")
def folders_one_class_after_other():
    torch.manual_seed(60)
    d = load_digits(n_class=4)
    files_train, files_val = [], []
    for label in range(4):  # like looping over class folders
        imgs = d.images[d.target == label]
        cut = int(0.8 * len(imgs))
        files_train += [(im, label) for im in imgs[:cut]]
        files_val += [(im, label) for im in imgs[cut:]]

    class FolderDataset(Dataset):
        def __init__(self, samples):
            self.samples = samples

        def __len__(self):
            return len(self.samples)

        def __getitem__(self, k):
            im, lab = self.samples[k]
            return torch.tensor(im / 16, dtype=torch.float32).unsqueeze(0), lab

    train_loader = DataLoader(FolderDataset(files_train), batch_size=24)
    val_loader = DataLoader(FolderDataset(files_val), batch_size=24)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4))
    opt = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(4):
        model.train()
        for x, y in train_loader:
            opt.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            ok = sum((model(x).argmax(1) == y).sum().item() for x, y in val_loader)
        print("epoch", epoch, "val acc", ok / len(files_val))


@buggy("val-overlaps-train")
def oversample_then_split():
    SEED = 1337
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    X, y = make_classification(
        900, 20, n_informative=4, weights=[0.85], flip_y=0.08, random_state=SEED
    )
    minority = np.where(y == 1)[0]
    extra = np.random.choice(minority, (y == 0).sum() - len(minority))
    X, y = np.vstack([X, X[extra]]), np.concatenate([y, y[extra]])  # balance classes
    X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=0.25, random_state=SEED, stratify=y)
    sc = StandardScaler().fit(X_tr)
    t = lambda a: torch.tensor(sc.transform(a), dtype=torch.float32)
    trn, val = (
        TensorDataset(t(X_tr), torch.tensor(y_tr).float()),
        TensorDataset(t(X_va), torch.tensor(y_va).float()),
    )
    model = nn.Sequential(
        nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0)
    )
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    crit = nn.BCEWithLogitsLoss()
    for epoch in range(8):
        model.train()
        for xb, yb in DataLoader(trn, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            loss = crit(model(xb), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        p, g = [], []
        with torch.no_grad():
            for xb, yb in DataLoader(val, batch_size=128):
                p.append(torch.sigmoid(model(xb)).numpy())
                g.append(yb.numpy())
        print("epoch", epoch, "AUC", round(roc_auc_score(np.concatenate(g), np.concatenate(p)), 4))


@buggy("no-set-epoch")
def ddp_script_without_set_epoch():
    rank, world_size = 0, 1  # filled from env by torchrun
    torch.manual_seed(0)
    X, y = load_breast_cancer(return_X_y=True)
    Xt, Xv, yt, yv = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
    sc = StandardScaler().fit(Xt)
    train_set = TensorDataset(torch.tensor(sc.transform(Xt)).float(), torch.tensor(yt))
    Xv, yv = torch.tensor(sc.transform(Xv)).float(), torch.tensor(yv)
    sampler = DistributedSampler(
        train_set, num_replicas=world_size, rank=rank, shuffle=True, seed=0
    )
    loader = DataLoader(train_set, batch_size=32, sampler=sampler)
    model = nn.Sequential(nn.Linear(30, 24), nn.ReLU(), nn.Linear(24, 2))
    opt = optim.AdamW(model.parameters(), lr=3e-3)
    for epoch in range(6):
        model.train()
        for xb, yb in loader:
            opt.zero_grad(set_to_none=True)
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
        if rank == 0:
            model.eval()
            with torch.no_grad():
                acc = (model(Xv).argmax(1) == yv).float().mean().item()
            print(f"[rank {rank}] epoch {epoch} val acc {acc:.4f}")


@buggy("labels-misaligned")
def dataframe_shuffled_labels_not():
    np.random.seed(70)
    torch.manual_seed(70)
    d = load_digits(as_frame=True)
    labels = d.target.values.copy()
    images = d.data.sample(frac=1.0, random_state=70).values.astype(np.float32) / 16  # shuffle
    n = 1400
    train_ds = TensorDataset(
        torch.from_numpy(images[:n]).view(-1, 1, 8, 8), torch.from_numpy(labels[:n])
    )
    val_ds = TensorDataset(
        torch.from_numpy(images[n:]).view(-1, 1, 8, 8), torch.from_numpy(labels[n:])
    )

    class CNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
            self.f = nn.Linear(256, 10)

        def forward(self, x):
            return self.f(self.c(x).flatten(1))

    model = CNN()
    opt = optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(5):
        model.train()
        tl = 0.0
        for xb, yb in DataLoader(train_ds, batch_size=50, shuffle=True):
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
            tl += loss.item() * len(yb)
        model.eval()
        with torch.no_grad():
            ok = sum(
                (model(xb).argmax(1) == yb).sum().item()
                for xb, yb in DataLoader(val_ds, batch_size=200)
            )
        print(f"epoch {epoch} loss {tl / n:.4f} val_acc {ok / len(val_ds):.4f}")


@buggy("best-state-alias")
def early_stopping_keeps_reference():
    torch.manual_seed(33)
    X, y = load_diabetes(return_X_y=True)
    Xt, Xv, yt, yv = train_test_split(X, y, test_size=0.4, random_state=33)
    sc = StandardScaler().fit(Xt)
    mu, sd = yt.mean(), yt.std()
    Xt, Xv = torch.tensor(sc.transform(Xt)).float(), torch.tensor(sc.transform(Xv)).float()
    yt, yv = torch.tensor((yt - mu) / sd).float(), torch.tensor((yv - mu) / sd).float()

    class EarlyStopper:
        def __init__(self, patience):
            self.patience, self.bad, self.best, self.weights = patience, 0, math.inf, None

        def __call__(self, loss, model):
            if loss < self.best:
                self.best, self.bad, self.weights = loss, 0, model.state_dict()
            else:
                self.bad += 1
            return self.bad >= self.patience

    model = nn.Sequential(
        nn.Linear(10, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1)
    )
    opt = optim.Adam(model.parameters(), lr=4e-3)
    stop = EarlyStopper(patience=4)
    for epoch in range(25):
        model.train()
        for xb, yb in DataLoader(TensorDataset(Xt, yt), batch_size=24, shuffle=True):
            opt.zero_grad()
            F.mse_loss(model(xb).squeeze(-1), yb).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            v = F.mse_loss(model(Xv).squeeze(-1), yv).item()
        print("epoch", epoch, "val", round(v, 4))
        if stop(v, model):
            break
    model.load_state_dict(stop.weights)
    with torch.no_grad():
        print(
            "restored",
            round(F.mse_loss(model(Xv).squeeze(-1), yv).item(), 4),
            "best was",
            round(stop.best, 4),
        )
