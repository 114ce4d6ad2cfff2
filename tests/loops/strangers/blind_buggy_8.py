import argparse
import collections
import copy
import math
import random

import numpy as np
import pandas as pd
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
    make_multilabel_classification,
    make_regression,
)
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, random_split
from tqdm import tqdm

from .. import buggy


@buggy("no-zero-grad")
def two_part_classifier():
    torch.manual_seed(3)
    digits = load_digits()
    xtr, xva, ytr, yva = train_test_split(
        digits.images / 16.0, digits.target, test_size=0.25, random_state=3, stratify=digits.target
    )
    to_x = lambda a: torch.tensor(a, dtype=torch.float32).unsqueeze(1)
    train_dl = DataLoader(TensorDataset(to_x(xtr), torch.tensor(ytr)), batch_size=50, shuffle=True)
    val_dl = DataLoader(TensorDataset(to_x(xva), torch.tensor(yva)), batch_size=150)

    backbone = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    )
    classifier = nn.Linear(8 * 16, 10)
    opt_backbone = optim.SGD(backbone.parameters(), lr=0.01, momentum=0.9)
    opt_head = optim.SGD(classifier.parameters(), lr=0.05, momentum=0.9)
    ce = nn.CrossEntropyLoss()

    for epoch in range(5):
        backbone.train(), classifier.train()
        tot, seen = 0.0, 0
        for xb, yb in train_dl:
            opt_head.zero_grad()
            loss = ce(classifier(backbone(xb)), yb)
            loss.backward()
            opt_backbone.step()
            opt_head.step()
            tot += loss.item() * len(xb)
            seen += len(xb)
        backbone.eval(), classifier.eval()
        hits = 0
        with torch.no_grad():
            for xb, yb in val_dl:
                hits += (classifier(backbone(xb)).argmax(1) == yb).sum().item()
        print(f"epoch {epoch}  train loss {tot / seen:.4f}  val acc {hits / len(yva):.3f}")


@buggy("grads-cleared-before-step")
def callback_learner():
    class Callback:
        def after_backward(self, learn):
            pass

        def after_epoch(self, learn):
            pass

    class GradNormLogger(Callback):
        def __init__(self):
            self.norms = []

        def after_backward(self, learn):
            total = 0.0
            for p in learn.model.parameters():
                total += p.grad.pow(2).sum().item()
            self.norms.append(total**0.5)
            learn.model.zero_grad()

    class Printer(Callback):
        def after_epoch(self, learn):
            print(f"{learn.epoch:>3} {learn.train_loss:.4f} {learn.valid_acc:.4f}")

    class Learner:
        def __init__(self, model, train_dl, valid_dl, loss_func, opt, cbs):
            self.model, self.train_dl, self.valid_dl = model, train_dl, valid_dl
            self.loss_func, self.opt, self.cbs = loss_func, opt, cbs

        def __call__(self, event):
            for cb in self.cbs:
                getattr(cb, event)(self)

        def one_epoch(self):
            self.model.train()
            s = n = 0
            for xb, yb in self.train_dl:
                loss = self.loss_func(self.model(xb), yb)
                loss.backward()
                self("after_backward")
                self.opt.step()
                self.opt.zero_grad()
                s += loss.item() * len(yb)
                n += len(yb)
            self.train_loss = s / n

        def validate(self):
            self.model.eval()
            good = n = 0
            with torch.no_grad():
                for xb, yb in self.valid_dl:
                    good += (self.model(xb).argmax(-1) == yb).sum().item()
                    n += len(yb)
            self.valid_acc = good / n

        def fit(self, epochs):
            for self.epoch in range(epochs):
                self.one_epoch()
                self.validate()
                self("after_epoch")

    torch.manual_seed(0)
    X, y = load_wine(return_X_y=True)
    Xt, Xv, yt, yv = train_test_split(X, y, random_state=0, stratify=y)
    sc = StandardScaler().fit(Xt)
    ds = lambda a, b: TensorDataset(
        torch.tensor(sc.transform(a), dtype=torch.float32), torch.tensor(b)
    )
    net = nn.Sequential(nn.Linear(13, 24), nn.ReLU(), nn.Linear(24, 3))
    learn = Learner(
        net,
        DataLoader(ds(Xt, yt), 16, shuffle=True),
        DataLoader(ds(Xv, yv), 32),
        F.cross_entropy,
        optim.Adam(net.parameters(), lr=5e-3),
        [GradNormLogger(), Printer()],
    )
    learn.fit(8)


@buggy("step-before-backward")
def tutorial_loop_regression():
    torch.manual_seed(11)
    X, y = load_diabetes(return_X_y=True)
    Xtr, Xte, ytr, yte = train_test_split(X, y, test_size=0.2, random_state=11)
    xs, ys = StandardScaler().fit(Xtr), StandardScaler().fit(ytr.reshape(-1, 1))
    Xtr, Xte = (torch.from_numpy(xs.transform(a)).float() for a in (Xtr, Xte))
    ytr, yte = (torch.from_numpy(ys.transform(a.reshape(-1, 1))).float() for a in (ytr, yte))

    class Regressor(nn.Module):
        def __init__(self, d_in, d_hidden=32):
            super().__init__()
            self.l1 = nn.Linear(d_in, d_hidden)
            self.l2 = nn.Linear(d_hidden, 1)

        def forward(self, x):
            return self.l2(torch.tanh(self.l1(x)))

    def train(dataloader, model, loss_fn, optimizer):
        size = len(dataloader.dataset)
        model.train()
        for batch, (X, y) in enumerate(dataloader):
            optimizer.zero_grad()
            pred = model(X)
            loss = loss_fn(pred, y)
            optimizer.step()
            loss.backward()
            if batch % 5 == 0:
                print(f"loss: {loss.item():>7f}  [{(batch + 1) * len(X):>5d}/{size:>5d}]")

    def test(dataloader, model):
        model.eval()
        sq = 0.0
        with torch.no_grad():
            for X, y in dataloader:
                sq += F.mse_loss(model(X), y, reduction="sum").item()
        print(f"Test MSE: {sq / len(dataloader.dataset):.4f}\n")

    model = Regressor(10)
    optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    train_loader = DataLoader(TensorDataset(Xtr, ytr), batch_size=32, shuffle=True)
    test_loader = DataLoader(TensorDataset(Xte, yte), batch_size=32)
    for t in range(6):
        print(f"Epoch {t + 1}\n-------------------------------")
        train(train_loader, model, nn.MSELoss(), optimizer)
        test(test_loader, model)
    print("Done!")


@buggy("step-never-called")
def amp_conv_digits():
    args = argparse.Namespace(lr=2e-3, bs=64, epochs=4, amp=True, seed=21)
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)
    imgs, labels = load_digits().images.astype(np.float32) / 16, load_digits().target
    full = TensorDataset(torch.from_numpy(imgs)[:, None], torch.from_numpy(labels))
    train_set, val_set = random_split(
        full, [1400, 397], generator=torch.Generator().manual_seed(args.seed)
    )
    train_loader = DataLoader(train_set, args.bs, shuffle=True, drop_last=True)
    val_loader = DataLoader(val_set, 256)

    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )
    optimizer = optim.AdamW(model.parameters(), lr=args.lr)
    scaler = torch.amp.GradScaler("cpu", enabled=False)  # bf16 needs no scaling
    for ep in range(args.epochs):
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.amp):
                out = model(x)
            loss = F.cross_entropy(out.float(), y)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            scaler.update()
        model.eval()
        correct, vloss = 0, 0.0
        with torch.inference_mode():
            for x, y in val_loader:
                out = model(x)
                vloss += F.cross_entropy(out, y, reduction="sum").item()
                correct += out.argmax(1).eq(y).sum().item()
        print(f"[{ep}] val_loss={vloss / len(val_set):.4f} val_acc={correct / len(val_set):.4f}")


@buggy("backward-never-called")
def lightning_like_module():
    class LitModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(
                nn.Linear(30, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1)
            )
            self.logged = collections.defaultdict(list)

        def forward(self, x):
            return self.net(x).squeeze(-1)

        def log(self, k, v, n):
            self.logged[k].append((float(v), n))

        def training_step(self, batch, idx):
            x, y = batch
            loss = F.binary_cross_entropy_with_logits(self(x), y)
            self.log("train_loss", loss.detach(), len(y))
            return loss

        def validation_step(self, batch, idx):
            x, y = batch
            pred = (torch.sigmoid(self(x)) > 0.5).float()
            self.log("val_acc", (pred == y).float().mean(), len(y))

        def configure_optimizers(self):
            return optim.Adam(self.parameters(), lr=1e-3)

    class MiniTrainer:
        def __init__(self, max_epochs):
            self.max_epochs = max_epochs

        def fit(self, module, train_dl, val_dl):
            opt = module.configure_optimizers()
            for e in range(self.max_epochs):
                module.logged.clear()
                module.train()
                for i, b in enumerate(train_dl):
                    opt.zero_grad()
                    loss = module.training_step(b, i)
                    loss.backward
                    opt.step()
                module.eval()
                with torch.no_grad():
                    for i, b in enumerate(val_dl):
                        module.validation_step(b, i)
                m = {
                    k: sum(v * n for v, n in r) / sum(n for _, n in r)
                    for k, r in module.logged.items()
                }
                print(f"Epoch {e}: " + ", ".join(f"{k}={v:.3f}" for k, v in m.items()))

    torch.manual_seed(42)
    X, y = load_breast_cancer(return_X_y=True)
    a, b, c, d = train_test_split(X, y, test_size=0.2, random_state=42, stratify=y)
    s = StandardScaler().fit(a)
    mk = lambda q, t: TensorDataset(torch.FloatTensor(s.transform(q)), torch.FloatTensor(t))
    MiniTrainer(8).fit(LitModel(), DataLoader(mk(a, c), 32, shuffle=True), DataLoader(mk(b, d), 64))


@buggy("accumulation-not-averaged")
def char_rnn_accumulate():
    torch.manual_seed(5)
    rng = random.Random(5)

    # parity-like task: which symbol occurs most often in the string?
    def sample():
        s = [rng.randrange(4) for _ in range(13)]
        c = collections.Counter(s)
        return s, max(range(4), key=lambda k: (c[k], -k))

    data = [sample() for _ in range(640)]
    seqs = torch.tensor([s for s, _ in data])
    labs = torch.tensor([l for _, l in data])
    tr_x, tr_y, va_x, va_y = seqs[:512], labs[:512], seqs[512:], labs[512:]

    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(4, 8)
            self.gru = nn.GRU(8, 24, batch_first=True)
            self.out = nn.Linear(24, 4)

        def forward(self, x):
            h, _ = self.gru(self.emb(x))
            return self.out(h.mean(1))

    net = Counter()
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    accumulate = 8
    micro = 8
    for epoch in range(8):
        net.train()
        order = torch.randperm(512)
        opt.zero_grad()
        running = 0.0
        for k, idx in enumerate(order.split(micro), start=1):
            loss = F.cross_entropy(net(tr_x[idx]), tr_y[idx])
            loss.backward()
            running += loss.item() * len(idx)
            if k % accumulate == 0:
                opt.step()
                opt.zero_grad()
        net.eval()
        with torch.no_grad():
            acc = (net(va_x).argmax(1) == va_y).float().mean().item()
        print(epoch, round(running / 512, 4), round(acc, 3))


@buggy("optimizer-holds-other-params")
def kfold_stale_optimizer():
    SEED = 2020

    def seed_everything(s):
        random.seed(s)
        np.random.seed(s)
        torch.manual_seed(s)

    seed_everything(SEED)
    df = load_breast_cancer(as_frame=True).frame
    features = [c for c in df.columns if c != "target"]

    class TabNetLite(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.bn = nn.BatchNorm1d(n)
            self.fc1 = nn.Linear(n, 32)
            self.drop = nn.Dropout(0.1)
            self.fc2 = nn.Linear(32, 1)

        def forward(self, x):
            return self.fc2(self.drop(F.leaky_relu(self.fc1(self.bn(x)))))

    model = TabNetLite(len(features))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-5)
    criterion = nn.BCEWithLogitsLoss()
    oof = np.zeros(len(df))
    skf = StratifiedKFold(n_splits=3, shuffle=True, random_state=SEED)
    for fold, (tr, va) in enumerate(skf.split(df, df["target"])):
        print(f"===== FOLD {fold} =====")
        sc = StandardScaler().fit(df.loc[tr, features])
        x_tr = torch.tensor(sc.transform(df.loc[tr, features]), dtype=torch.float32)
        x_va = torch.tensor(sc.transform(df.loc[va, features]), dtype=torch.float32)
        y_tr = torch.tensor(df.loc[tr, "target"].values, dtype=torch.float32)[:, None]
        loader = DataLoader(TensorDataset(x_tr, y_tr), batch_size=32, shuffle=True)
        model = TabNetLite(len(features))
        for epoch in range(4):
            model.train()
            avg_loss = 0.0
            for xb, yb in tqdm(loader, disable=True):
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()
                avg_loss += loss.item() * len(xb) / len(tr)
            model.eval()
            with torch.no_grad():
                p = torch.sigmoid(model(x_va)).squeeze(1).numpy()
            oof[va] = p
            print(
                f"epoch {epoch + 1} loss={avg_loss:.4f} auc={roc_auc_score(df.loc[va, 'target'], p):.4f}"
            )
    print("CV AUC", roc_auc_score(df["target"], oof))


@buggy("params-not-optimized")
def autoencoder_bottleneck():
    class AE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 32), nn.ReLU())
            self.to_latent = nn.Linear(32, 6)
            self.from_latent = nn.Sequential(nn.Linear(6, 32), nn.ReLU())
            self.decoder = nn.Linear(32, 64)

        def forward(self, x):
            return torch.sigmoid(self.decoder(self.from_latent(self.to_latent(self.encoder(x)))))

    torch.manual_seed(8)
    X = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)
    perm = torch.randperm(len(X), generator=torch.Generator().manual_seed(1))
    train, valid = X[perm[:1500]], X[perm[1500:]]
    ae = AE()
    opt = optim.Adam(
        [
            {"params": ae.encoder.parameters(), "lr": 2e-3},
            {"params": ae.decoder.parameters(), "lr": 2e-3, "weight_decay": 1e-5},
        ]
    )
    dl = DataLoader(train, batch_size=50, shuffle=True)
    for ep in range(1, 9):
        ae.train()
        acc = 0.0
        for x in dl:
            rec = ae(x)
            loss = F.mse_loss(rec, x)
            opt.zero_grad()
            loss.backward()
            opt.step()
            acc += loss.item() * x.size(0)
        ae.eval()
        with torch.no_grad():
            v = F.mse_loss(ae(valid), valid).item()
        print(f"ep {ep:02d} rec {acc / len(train):.4f} / val {v:.4f}")


@buggy("layers-cut-off")
def lstm_last_hidden():
    rs = np.random.RandomState(0)
    torch.manual_seed(0)
    t = np.linspace(0, 6 * np.pi, 30)

    def make(n):
        kinds = rs.randint(0, 3, n)
        out = []
        for k in kinds:
            ph = rs.rand() * 2 * np.pi
            w = np.sin(t * (0.5, 1.0, 1.6)[k] + ph)
            out.append(w + 0.1 * rs.randn(30))
        return torch.tensor(np.array(out), dtype=torch.float32).unsqueeze(-1), torch.tensor(kinds)

    class WaveNetClassifier(nn.Module):
        def __init__(self, hidden=24):
            super().__init__()
            self.rnn = nn.LSTM(1, hidden, batch_first=True)
            self.fc = nn.Linear(hidden, 3)

        def forward(self, x):
            out, (h, c) = self.rnn(x)
            last = h[-1].data.clone()
            return self.fc(last)

    x_train, y_train = make(480)
    x_val, y_val = make(160)
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)
    model = WaveNetClassifier()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(8):
        model.train()
        epoch_loss = 0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item() * xb.shape[0]
        model.eval()
        with torch.no_grad():
            val_acc = (model(x_val).argmax(dim=1) == y_val).float().mean()
        print("Epoch [%d/8] loss %.4f val acc %.3f" % (epoch + 1, epoch_loss / 480, val_acc))


@buggy("loss-cut-off")
def old_style_variable():
    from torch.autograd import Variable

    torch.manual_seed(17)
    iris = load_iris()
    tr_x, te_x, tr_y, te_y = train_test_split(
        iris.data, iris.target, test_size=0.3, stratify=iris.target, random_state=17
    )
    mu, sd = tr_x.mean(0), tr_x.std(0)
    tr_x, te_x = torch.Tensor((tr_x - mu) / sd), torch.Tensor((te_x - mu) / sd)
    tr_y, te_y = torch.LongTensor(tr_y), torch.LongTensor(te_y)
    W = np.array([1.0, 2.0, 1.0])

    def weighted_loss(output, target):
        per_sample = F.cross_entropy(output, target, reduction="none")
        w = W[target.numpy()]
        value = (per_sample.detach().numpy() * w).sum() / w.sum()
        return Variable(torch.tensor(value, dtype=torch.float32), requires_grad=True)

    net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
    opt = optim.Adam(net.parameters(), lr=0.02)
    for epoch in range(10):
        net.train()
        idx = torch.randperm(len(tr_x))
        for b in range(0, len(idx), 15):
            sel = idx[b : b + 15]
            opt.zero_grad()
            loss = weighted_loss(net(tr_x[sel]), tr_y[sel])
            loss.backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            acc = (net(te_x).argmax(1) == te_y).sum().item() / len(te_y)
        print(f"{epoch}: last batch loss {loss.item():.4f}, test acc {acc:.3f}")


@buggy("unregistered-layers")
def multi_head_dict():
    torch.manual_seed(6)
    X, y = load_digits(return_X_y=True)
    tasks = {"digit": (y, 10), "even": (y % 2, 2), "big": ((y >= 5).astype(int), 2)}

    class MT(nn.Module):
        def __init__(self, d, tasks):
            super().__init__()
            self.trunk = nn.Sequential(nn.Linear(d, 48), nn.ReLU())
            self.heads = {
                name: nn.Sequential(nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, k))
                for name, (_, k) in tasks.items()
            }

        def forward(self, x):
            z = self.trunk(x)
            return {name: head(z) for name, head in self.heads.items()}

    class DS(Dataset):
        def __init__(self, idx, sc):
            self.x = sc.transform(X[idx]).astype("float32")
            self.y = {k: v[idx] for k, (v, _) in tasks.items()}

        def __len__(self):
            return len(self.x)

        def __getitem__(self, i):
            item = {"x": self.x[i]}
            item.update({k: int(v[i]) for k, v in self.y.items()})
            return item

    tr, va = train_test_split(np.arange(len(X)), test_size=0.2, random_state=6, stratify=y)
    sc = StandardScaler().fit(X[tr])
    dtr, dva = DS(tr, sc), DS(va, sc)
    ltr, lva = DataLoader(dtr, 64, shuffle=True), DataLoader(dva, 128)
    model = MT(64, tasks)
    opt = optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(5):
        model.train()
        for batch in ltr:
            opt.zero_grad()
            out = model(batch["x"])
            loss = sum(F.cross_entropy(out[k], batch[k]) for k in tasks)
            loss.backward()
            opt.step()
        model.eval()
        ok = collections.Counter()
        with torch.no_grad():
            for batch in lva:
                out = model(batch["x"])
                for k in tasks:
                    ok[k] += (out[k].argmax(1) == batch[k]).sum().item()
        print(epoch, {k: round(ok[k] / len(dva), 3) for k in tasks})


@buggy("clip-misplaced")
def transformer_clip():
    torch.manual_seed(9)
    g = torch.Generator().manual_seed(9)
    V, T = 12, 10

    def make(n):
        x = torch.randint(1, V, (n, T), generator=g)
        return x, (x.float().mean(1) > 6).long()

    class TinyFormer(nn.Module):
        def __init__(self, d=24):
            super().__init__()
            self.tok = nn.Embedding(V, d)
            self.pos = nn.Parameter(torch.randn(1, T, d) * 0.02)
            self.enc = nn.TransformerEncoderLayer(d, 4, 48, dropout=0.1, batch_first=True)
            self.cls = nn.Linear(d, 2)

        def forward(self, x):
            return self.cls(self.enc(self.tok(x) + self.pos).mean(1))

    def step(model, opt, xb, yb, max_norm):
        opt.zero_grad()
        loss = F.cross_entropy(model(xb), yb)
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        loss.backward()
        opt.step()
        return loss.item()

    xtr, ytr = make(600)
    xva, yva = make(200)
    model = TinyFormer()
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loader = DataLoader(TensorDataset(xtr, ytr), batch_size=40, shuffle=True)
    for epoch in range(6):
        model.train()
        losses = [step(model, opt, xb, yb, max_norm=0.25) for xb, yb in loader]
        model.eval()
        with torch.no_grad():
            acc = (model(xva).argmax(-1) == yva).float().mean().item()
        print(f"epoch {epoch} | loss {np.mean(losses):.4f} | val acc {acc:.3f}")


@buggy("clip-before-unscale")
def scaler_clip_order():
    torch.manual_seed(1234)
    X, y = make_regression(n_samples=900, n_features=20, noise=5.0, random_state=1234)
    Xtr, Xva, ytr, yva = train_test_split(X, y, test_size=0.25, random_state=1)
    xm, xsd, ym, ysd = Xtr.mean(0), Xtr.std(0), ytr.mean(), ytr.std()
    t = lambda a: torch.as_tensor(a, dtype=torch.float32)
    train_ds = TensorDataset(t((Xtr - xm) / xsd), t((ytr - ym) / ysd))
    val_x, val_y = t((Xva - xm) / xsd), t((yva - ym) / ysd)
    net = nn.Sequential(nn.Linear(20, 64), nn.GELU(), nn.Linear(64, 1))
    opt = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    for epoch in range(8):
        net.train()
        total = 0.0
        for xb, yb in DataLoader(train_ds, batch_size=45, shuffle=True):
            opt.zero_grad(set_to_none=True)
            with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
                pred = net(xb).squeeze(1)
            loss = F.mse_loss(pred.float(), yb)
            scaler.scale(loss).backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            scaler.step(opt)
            scaler.update()
            total += loss.item() * len(yb)
        net.eval()
        with torch.no_grad():
            v = F.mse_loss(net(val_x).squeeze(1), val_y)
        print(f"{epoch=} train={total / len(train_ds):.4f} val={v.item():.4f}")


@buggy("softmax-before-cross-entropy")
def attention_pool_probs():
    torch.manual_seed(77)
    digits = load_digits()
    X = digits.images.astype(np.float32) / 16.0
    Xtr, Xva, ytr, yva = train_test_split(X, digits.target, test_size=0.2, random_state=77)

    class RowAttention(nn.Module):
        def __init__(self):
            super().__init__()
            self.row = nn.Linear(8, 32)
            self.pos = nn.Parameter(torch.zeros(8, 32).normal_(0, 0.1))
            self.score = nn.Linear(32, 4)
            self.out = nn.Linear(4 * 32, 10)

        def logits(self, x):
            h = torch.tanh(self.row(x) + self.pos)
            a = self.score(h).softmax(dim=1)
            pooled = torch.einsum("btk,btd->bkd", a, h).flatten(1)
            return self.out(pooled)

        def forward(self, x):
            return self.logits(x).softmax(dim=-1)

    model = RowAttention()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    loader = DataLoader(
        list(zip(torch.from_numpy(Xtr), torch.from_numpy(ytr))), batch_size=32, shuffle=True
    )
    Xva, yva = torch.from_numpy(Xva), torch.from_numpy(yva)
    for e in range(6):
        model.train()
        s = 0.0
        for xb, yb in loader:
            probs = model(xb)
            loss = nn.functional.cross_entropy(probs, yb, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            s += loss.item() * yb.numel()
        model.eval()
        with torch.no_grad():
            pv = model(Xva)
            acc = accuracy_score(yva.numpy(), pv.argmax(1).numpy())
        print(
            f"ep{e} loss={s / len(ytr):.3f} acc={acc:.3f} mean_conf={pv.max(1).values.mean():.3f}"
        )


@buggy("sigmoid-before-bce-with-logits")
def multilabel_pos_weight():
    np.random.seed(4)
    torch.manual_seed(4)
    X, Y = make_multilabel_classification(
        n_samples=1000, n_features=20, n_classes=5, n_labels=2, random_state=4
    )
    Xtr, Xva, Ytr, Yva = train_test_split(X, Y, test_size=0.2, random_state=4)
    sc = StandardScaler()
    Xtr = torch.tensor(sc.fit_transform(Xtr)).float()
    Xva = torch.tensor(sc.transform(Xva)).float()
    Ytr_t = torch.tensor(Ytr).float()

    class Tagger(nn.Module):
        def __init__(self, n_in, n_tags):
            super().__init__()
            self.body = nn.Sequential(
                nn.Linear(n_in, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.2)
            )
            self.tags = nn.Linear(64, n_tags)
            self.act = nn.Sigmoid()

        def forward(self, x):
            return self.act(self.tags(self.body(x)))

    pw = (len(Ytr) - Ytr.sum(0)) / Ytr.sum(0)
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(pw).float())
    m = Tagger(20, 5)
    opt = optim.Adam(m.parameters(), lr=1e-3)
    for epoch in range(8):
        m.train()
        perm = np.random.permutation(len(Xtr))
        ep = 0.0
        for i in range(0, len(perm), 50):
            j = perm[i : i + 50]
            opt.zero_grad()
            l = criterion(m(Xtr[j]), Ytr_t[j])
            l.backward()
            opt.step()
            ep += l.item() * len(j)
        m.eval()
        with torch.no_grad():
            p = m(Xva)
        f1 = f1_score(Yva, (p > 0.5).int().numpy(), average="micro")
        print("epoch", epoch, "loss", round(ep / len(perm), 4), "micro f1", round(f1, 4))


@buggy("nll-on-probabilities")
def embedding_bag_topics():
    torch.manual_seed(31)
    rng = np.random.default_rng(31)
    vocab, topics = 60, 4
    dists = rng.dirichlet(np.full(vocab, 0.15), size=topics)
    docs = []
    for _ in range(600):
        k = int(rng.integers(topics))
        docs.append((rng.choice(vocab, size=int(rng.integers(5, 15)), p=dists[k]).tolist(), k))

    def collate(batch):
        toks, offs, labs = [], [0], []
        for words, lab in batch:
            toks += words
            offs.append(offs[-1] + len(words))
            labs.append(lab)
        return torch.tensor(toks), torch.tensor(offs[:-1]), torch.tensor(labs)

    class TopicModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.bag = nn.EmbeddingBag(vocab, 16, mode="mean")
            self.fc = nn.Linear(16, topics)

        def forward(self, t, o):
            return F.softmax(self.fc(self.bag(t, o)), dim=1)

    train_dl = DataLoader(docs[:450], 30, shuffle=True, collate_fn=collate)
    val_dl = DataLoader(docs[450:], 50, collate_fn=collate)
    net = TopicModel()
    criterion = nn.NLLLoss()
    opt = optim.Adam(net.parameters(), lr=0.02)
    for epoch in range(8):
        net.train()
        agg = 0.0
        for t, o, y in train_dl:
            opt.zero_grad()
            loss = criterion(net(t, o), y)
            loss.backward()
            opt.step()
            agg += loss.item() * len(y)
        net.eval()
        right = 0
        with torch.no_grad():
            for t, o, y in val_dl:
                right += int((net(t, o).argmax(1) == y).sum())
        print(f"| epoch {epoch:2d} | loss {agg / 450:8.4f} | val accuracy {right / 150:6.3f}")


@buggy("cross-entropy-one-class")
def churn_one_output():
    np.random.seed(13)
    torch.manual_seed(13)
    X, y = make_classification(
        n_samples=800, n_features=12, n_informative=6, class_sep=1.2, random_state=13
    )
    X_train, X_valid, y_train, y_valid = train_test_split(X, y, test_size=0.2, random_state=13)
    scaler = StandardScaler()
    X_train, X_valid = scaler.fit_transform(X_train), scaler.transform(X_valid)

    class ChurnDataset(Dataset):
        def __init__(self, X, y):
            self.X, self.y = (
                torch.tensor(X, dtype=torch.float),
                torch.tensor(y, dtype=torch.float).view(-1, 1),
            )

        def __len__(self):
            return self.X.shape[0]

        def __getitem__(self, idx):
            return self.X[idx], self.y[idx]

    class ChurnNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(12, 32)
            self.fc2 = nn.Linear(32, 16)
            self.out = nn.Linear(16, 1)

        def forward(self, x):
            return self.out(F.relu(self.fc2(F.relu(self.fc1(x)))))

    model = ChurnNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    train_loader = DataLoader(ChurnDataset(X_train, y_train), batch_size=32, shuffle=True)
    valid_loader = DataLoader(ChurnDataset(X_valid, y_valid), batch_size=32)
    for epoch in range(6):
        model.train()
        train_loss = 0.0
        for data, target in train_loader:
            optimizer.zero_grad()
            output = model(data)
            loss = criterion(output, target)
            loss.backward()
            optimizer.step()
            train_loss += loss.item() * data.size(0)
        model.eval()
        preds, gold = [], []
        with torch.no_grad():
            for data, target in valid_loader:
                preds.append((model(data) > 0).float())
                gold.append(target)
        acc = accuracy_score(torch.cat(gold).numpy(), torch.cat(preds).numpy())
        print(
            f"Epoch: {epoch + 1} Training Loss: {train_loss / len(train_loader.dataset):.6f} Valid acc: {acc:.3f}"
        )


@buggy("broadcast-loss")
def quantile_forecaster():
    torch.manual_seed(10)
    n = 700
    tt = np.arange(n)
    series = np.sin(tt / 9.0) + 0.3 * np.sin(tt / 3.1) + 0.1 * np.random.RandomState(10).randn(n)
    mean, std = series[:500].mean(), series[:500].std()
    z = torch.tensor((series - mean) / std, dtype=torch.float32)
    L = 16
    wins = z.unfold(0, L + 1, 1)
    train_w, val_w = wins[: 500 - L], wins[500:]

    class GRUForecaster(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(1, 16, batch_first=True)
            self.lin = nn.Linear(16, 1)

        def forward(self, w):
            o, _ = self.gru(w.unsqueeze(-1))
            return self.lin(o[:, -1])

    def pinball(pred, target, q=0.5):
        err = target - pred
        return torch.maximum(q * err, (q - 1) * err).mean()

    model = GRUForecaster()
    opt = optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(6):
        model.train()
        order = torch.randperm(len(train_w))
        tot = 0.0
        for ids in order.split(32):
            w = train_w[ids]
            opt.zero_grad()
            loss = pinball(model(w[:, :-1]), w[:, -1])
            loss.backward()
            opt.step()
            tot += loss.item() * len(ids)
        model.eval()
        with torch.no_grad():
            mae = (model(val_w[:, :-1]).squeeze(1) - val_w[:, -1]).abs().mean().item()
        print(f"epoch {epoch} pinball {tot / len(order):.4f} val MAE {mae:.4f}")


@buggy("relu-on-logits")
def block_mlp_digits():
    torch.manual_seed(22)
    X, y = load_digits(return_X_y=True)
    Xa, Xb, ya, yb = train_test_split(X / 16.0, y, test_size=0.2, random_state=22, stratify=y)
    Xa, Xb = torch.tensor(Xa).float(), torch.tensor(Xb).float()
    ya, yb = torch.tensor(ya), torch.tensor(yb)

    def block(i, o):
        return nn.Sequential(nn.Linear(i, o), nn.ReLU())

    sizes = [64, 48, 32, 10]
    net = nn.Sequential(*[block(i, o) for i, o in zip(sizes, sizes[1:])])
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(Xa, ya), batch_size=64, shuffle=True)
    for epoch in range(8):
        net.train()
        loss_sum = 0.0
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = criterion(net(inputs), labels)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * labels.size(0)
        net.eval()
        with torch.no_grad():
            acc = (net(Xb).argmax(1) == yb).float().mean()
        print("[%d] loss: %.3f acc: %.3f" % (epoch + 1, loss_sum / len(ya), acc))


@buggy("training-in-eval-mode")
def early_stop_trainer():
    class EarlyStopping:
        def __init__(self, patience=4):
            self.patience, self.best, self.bad, self.state = patience, math.inf, 0, None

        def step(self, value, model):
            if value < self.best:
                self.best, self.bad = value, 0
                self.state = copy.deepcopy(model.state_dict())
            else:
                self.bad += 1
            return self.bad >= self.patience

    class Trainer:
        def __init__(self, model, opt, train_dl, val_dl):
            self.model, self.opt, self.train_dl, self.val_dl = model, opt, train_dl, val_dl

        def evaluate(self):
            self.model.eval()
            s = c = n = 0
            with torch.no_grad():
                for x, y in self.val_dl:
                    o = self.model(x)
                    s += F.cross_entropy(o, y, reduction="sum").item()
                    c += (o.argmax(1) == y).sum().item()
                    n += len(y)
            return s / n, c / n

        def run(self, epochs):
            stopper = EarlyStopping()
            print("before training: val loss %.3f acc %.3f" % self.evaluate())
            for ep in range(epochs):
                for x, y in self.train_dl:
                    self.opt.zero_grad()
                    loss = F.cross_entropy(self.model(x), y)
                    loss.backward()
                    self.opt.step()
                vl, va = self.evaluate()
                print(f"epoch {ep}: val loss {vl:.3f} acc {va:.3f}")
                if stopper.step(vl, self.model):
                    print("early stop")
                    break
            self.model.load_state_dict(stopper.state)

    torch.manual_seed(99)
    d = load_digits()
    Xt, Xv, yt, yv = train_test_split(
        d.images[:, None] / 16.0, d.target, test_size=0.25, random_state=99
    )
    f = lambda a, b: TensorDataset(torch.tensor(a).float(), torch.tensor(b))
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.4),
        nn.Linear(12 * 36, 10),
    )
    Trainer(
        net,
        optim.Adam(net.parameters(), lr=1e-3),
        DataLoader(f(Xt, yt), 64, shuffle=True),
        DataLoader(f(Xv, yv), 128),
    ).run(6)


@buggy("eval-in-train-mode")
def segmentation_bn():
    torch.manual_seed(40)
    g = torch.Generator().manual_seed(40)

    def make(n):
        img = torch.randn(n, 1, 12, 12, generator=g) * 0.3
        mask = torch.zeros(n, 12, 12, dtype=torch.long)
        for i in range(n):
            r, c = torch.randint(0, 7, (2,), generator=g).tolist()
            h = int(torch.randint(3, 6, (1,), generator=g))
            mask[i, r : r + h, c : c + h] = 1
        return img + mask[:, None].float(), mask

    def conv(i, o):
        return nn.Sequential(
            nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(inplace=True)
        )

    net = nn.Sequential(conv(1, 8), conv(8, 8), nn.Dropout2d(0.2), nn.Conv2d(8, 2, 1))
    optimizer = optim.Adam(net.parameters(), lr=5e-3)
    dataloaders = {
        "train": DataLoader(TensorDataset(*make(160)), 16, shuffle=True),
        "val": DataLoader(TensorDataset(*make(60)), 16),
    }
    for epoch in range(5):
        for phase in ["train", "val"]:
            if phase == "train":
                net.train()
            else:
                net.eval
            inter = union = 0
            run_loss, n = 0.0, 0
            for x, m in dataloaders[phase]:
                with torch.set_grad_enabled(phase == "train"):
                    out = net(x)
                    loss = F.cross_entropy(out, m)
                    if phase == "train":
                        optimizer.zero_grad()
                        loss.backward()
                        optimizer.step()
                pred = out.argmax(1)
                inter += ((pred == 1) & (m == 1)).sum().item()
                union += ((pred == 1) | (m == 1)).sum().item()
                run_loss += loss.item() * len(x)
                n += len(x)
            print(f"{epoch} {phase:5s} loss {run_loss / n:.4f} IoU {inter / max(union, 1):.4f}")


@buggy("dropout-always-on")
def functional_dropout_transformer():
    torch.manual_seed(64)

    class Block(nn.Module):
        def __init__(self, d, p):
            super().__init__()
            self.att = nn.MultiheadAttention(d, 2, batch_first=True)
            self.n1, self.n2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.ff = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))
            self.p = p

        def forward(self, x):
            q = self.n1(x)
            x = x + F.dropout(self.att(q, q, q, need_weights=False)[0], self.p)
            return x + F.dropout(self.ff(self.n2(x)), self.p)

    class RowViT(nn.Module):
        def __init__(self, d=24):
            super().__init__()
            self.emb = nn.Linear(8, d)
            self.pos = nn.Parameter(torch.randn(8, d) * 0.1)
            self.blocks = nn.ModuleList([Block(d, 0.3) for _ in range(2)])
            self.head = nn.Linear(d, 10)

        def forward(self, x):
            x = self.emb(x) + self.pos
            for b in self.blocks:
                x = b(x)
            return self.head(x.mean(1))

    d = load_digits()
    ids = torch.randperm(len(d.target), generator=torch.Generator().manual_seed(2))
    X, y = torch.tensor(d.images / 16.0, dtype=torch.float32), torch.tensor(d.target)
    tr, va = ids[:1400], ids[1400:]
    model = RowViT()
    opt = optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    dl = DataLoader(TensorDataset(X[tr], y[tr]), 70, shuffle=True)
    for ep in range(5):
        model.train()
        for xb, yb in dl:
            loss = F.cross_entropy(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            lg = model(X[va])
            print(
                ep,
                "val loss",
                round(F.cross_entropy(lg, y[va]).item(), 4),
                "acc",
                round((lg.argmax(1) == y[va]).float().mean().item(), 4),
            )


@buggy("eval-builds-graph")
def no_grad_statement():
    torch.manual_seed(50)
    data, target = load_diabetes(return_X_y=True)
    data = data.astype(np.float32)
    tr, va = train_test_split(np.arange(len(data)), test_size=0.2, random_state=50)
    m, s = data[tr].mean(0), data[tr].std(0)
    tm, ts = target[tr].mean(), target[tr].std()

    class DiabetesSet(Dataset):
        def __init__(self, idx):
            self.idx = idx

        def __len__(self):
            return len(self.idx)

        def __getitem__(self, i):
            j = self.idx[i]
            return torch.from_numpy((data[j] - m) / s), torch.tensor(
                (target[j] - tm) / ts, dtype=torch.float32
            )

    model = nn.Sequential(
        nn.Linear(10, 32), nn.SiLU(), nn.Dropout(0.1), nn.Linear(32, 1), nn.Flatten(0)
    )
    optimizer = optim.RMSprop(model.parameters(), lr=1e-3)
    criterion = nn.SmoothL1Loss()
    train_iter, valid_iter = (
        DataLoader(DiabetesSet(tr), 32, shuffle=True),
        DataLoader(DiabetesSet(va), 32),
    )

    def validate():
        model.eval()
        torch.no_grad()
        total = 0.0
        for x, y in valid_iter:
            total += criterion(model(x), y).item() * len(y)
        return total / len(va)

    for epoch in range(6):
        model.train()
        total = 0.0
        for x, y in train_iter:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
        print(f"{epoch:2d}  train {total / len(tr):.4f}  valid {validate():.4f}")


@buggy("graph-kept")
def smoothed_loss_bar():
    np.random.seed(15)
    torch.manual_seed(15)
    X, y = make_moons(1200, noise=0.2, random_state=15)
    Xtr, Xte, ytr, yte = train_test_split(X, y, test_size=0.25, random_state=15)
    sc = StandardScaler().fit(Xtr)
    train = TensorDataset(torch.tensor(sc.transform(Xtr)).float(), torch.tensor(ytr).float())
    xte, yte = torch.tensor(sc.transform(Xte)).float(), torch.tensor(yte).float()
    model = nn.Sequential(
        nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)
    )
    opt = optim.Adam(model.parameters(), lr=3e-3)
    smooth = None
    for epoch in range(6):
        model.train()
        bar = tqdm(DataLoader(train, batch_size=60, shuffle=True), disable=True)
        for xb, yb in bar:
            logits = model(xb).squeeze(-1)
            loss = F.binary_cross_entropy_with_logits(logits, yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            smooth = loss if smooth is None else 0.95 * smooth + 0.05 * loss
            bar.set_postfix(loss=f"{smooth:.4f}")
        model.eval()
        with torch.no_grad():
            acc = ((model(xte).squeeze(-1) > 0).float() == yte).float().mean().item()
        print(f"epoch {epoch + 1}: smoothed loss {smooth:.4f}, test accuracy {acc:.4f}")


@buggy("metric-broadcast")
def heart_like_accuracy():
    torch.manual_seed(27)
    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.2, random_state=27, stratify=y
    )
    mm = MinMaxScaler()
    X_train = torch.from_numpy(mm.fit_transform(X_train).astype(np.float32))
    X_test = torch.from_numpy(mm.transform(X_test).astype(np.float32))
    y_train, y_test = torch.from_numpy(y_train).float(), torch.from_numpy(y_test).float()

    class BinaryClassification(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer_1 = nn.Linear(30, 64)
            self.batchnorm1 = nn.BatchNorm1d(64)
            self.layer_out = nn.Linear(64, 1)

        def forward(self, inputs):
            return self.layer_out(self.batchnorm1(F.relu(self.layer_1(inputs))))

    def binary_acc(y_pred, y_true):
        y_tag = torch.round(torch.sigmoid(y_pred))
        return (y_tag == y_true).float().mean().item() * 100

    model = BinaryClassification()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(X_train, y_train), batch_size=65, shuffle=True)
    for e in range(1, 9):
        model.train()
        epoch_loss = 0
        for X_batch, y_batch in loader:
            optimizer.zero_grad()
            y_pred = model(X_batch)
            loss = criterion(y_pred, y_batch.unsqueeze(1))
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item() * len(y_batch)
        model.eval()
        with torch.no_grad():
            acc = binary_acc(model(X_test), y_test)
        print(f"Epoch {e:03}: | Loss: {epoch_loss / len(X_train):.5f} | Val acc: {acc:.3f}")


@buggy("argmax-wrong-dim")
def sequence_tagger():
    torch.manual_seed(61)
    g = torch.Generator().manual_seed(61)
    V, T, TAGS = 15, 6, 6

    def make(n):
        x = torch.randint(0, V, (n, T), generator=g)
        prev = torch.cat([torch.zeros(n, 1, dtype=torch.long), x[:, :-1]], 1)
        return x, (x // 3 + (prev > 10).long()).clamp(max=TAGS - 1)

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(V, 16)
            self.lstm = nn.LSTM(16, 24, batch_first=True, bidirectional=True)
            self.proj = nn.Linear(48, TAGS)

        def forward(self, x):
            return self.proj(self.lstm(self.emb(x))[0])  # B, T, TAGS

    train, valid = TensorDataset(*make(500)), TensorDataset(*make(150))
    model = Tagger()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(6):
        model.train()
        loss_sum = 0.0
        for x, tags in DataLoader(train, 25, shuffle=True):
            optimizer.zero_grad()
            scores = model(x)
            loss = F.cross_entropy(scores.transpose(1, 2), tags)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(x)
        model.eval()
        right = total = 0
        with torch.no_grad():
            for x, tags in DataLoader(valid, 50):
                pred = model(x).argmax(dim=1)
                right += (pred == tags).sum().item()
                total += tags.numel()
        print(
            f"epoch {epoch}: loss {loss_sum / len(train):.4f}, token accuracy {right / total:.4f}"
        )


@buggy("threshold-on-logits")
def multilabel_exact_match():
    cfg = argparse.Namespace(hidden=48, lr=3e-3, epochs=8, batch=40, seed=70)
    torch.manual_seed(cfg.seed)
    X, Y = make_multilabel_classification(
        n_samples=900, n_features=16, n_classes=4, n_labels=2, random_state=cfg.seed
    )
    Xtr, Xva, Ytr, Yva = train_test_split(X, Y, test_size=200, random_state=cfg.seed)
    mu, sd = Xtr.mean(0, keepdims=True), Xtr.std(0, keepdims=True)
    dset = [
        {
            "feats": torch.tensor(a, dtype=torch.float32),
            "targets": torch.tensor(b, dtype=torch.float32),
        }
        for a, b in zip((Xtr - mu) / sd, Ytr)
    ]
    vset = [
        {
            "feats": torch.tensor(a, dtype=torch.float32),
            "targets": torch.tensor(b, dtype=torch.float32),
        }
        for a, b in zip((Xva - mu) / sd, Yva)
    ]
    net = nn.Sequential(nn.Linear(16, cfg.hidden), nn.ReLU(), nn.Linear(cfg.hidden, 4))
    opt = optim.Adam(net.parameters(), lr=cfg.lr)
    sched = optim.lr_scheduler.CosineAnnealingLR(opt, T_max=cfg.epochs)
    crit = nn.BCEWithLogitsLoss()
    for ep in range(cfg.epochs):
        net.train()
        for batch in DataLoader(dset, cfg.batch, shuffle=True):
            opt.zero_grad()
            loss = crit(net(batch["feats"]), batch["targets"])
            loss.backward()
            opt.step()
        sched.step()
        net.eval()
        P, G = [], []
        with torch.no_grad():
            for batch in DataLoader(vset, cfg.batch):
                P.append(net(batch["feats"]).ge(0.5))
                G.append(batch["targets"].bool())
        P, G = torch.cat(P).numpy(), torch.cat(G).numpy()
        print(
            f"epoch {ep} micro-F1 {f1_score(G, P, average='micro'):.4f} exact {(P == G).all(1).mean():.4f}"
        )


@buggy("metric-not-normalised")
def wine_batch_means():
    torch.manual_seed(18)
    data = load_wine()
    X_tr, X_va, y_tr, y_va = train_test_split(
        data.data, data.target, test_size=0.4, random_state=18
    )
    sc = StandardScaler().fit(X_tr)
    X_tr, X_va = sc.transform(X_tr), sc.transform(X_va)
    train_dl = DataLoader(
        TensorDataset(torch.Tensor(X_tr), torch.LongTensor(y_tr)), batch_size=16, shuffle=True
    )
    val_dl = DataLoader(TensorDataset(torch.Tensor(X_va), torch.LongTensor(y_va)), batch_size=16)
    model = nn.Sequential(nn.Linear(13, 20), nn.ReLU(), nn.Linear(20, 3))
    opt = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()

    def loss_batch(xb, yb, opt=None):
        out = model(xb)
        loss = loss_fn(out, yb)
        if opt is not None:
            opt.zero_grad()
            loss.backward()
            opt.step()
        return loss.item(), (out.argmax(1) == yb).sum().item()

    for epoch in range(6):
        model.train()
        tr_loss, tr_hit = map(sum, zip(*[loss_batch(x, y, opt) for x, y in train_dl]))
        model.eval()
        with torch.no_grad():
            va_loss, va_hit = map(sum, zip(*[loss_batch(x, y) for x, y in val_dl]))
        print(
            f"{epoch}: train loss {tr_loss / len(X_tr):.4f} acc {tr_hit / len(X_tr):.3f} | "
            f"val loss {va_loss / len(X_va):.4f} acc {va_hit / len(X_va):.3f}"
        )


@buggy("scheduler-before-optimizer")
def multistep_fit():
    torch.manual_seed(33)
    X, y = make_classification(
        n_samples=1000, n_features=20, n_informative=10, n_classes=4, random_state=33
    )
    X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=0.2, random_state=33, stratify=y)
    ss = StandardScaler().fit(X_tr)
    to = lambda a, b: TensorDataset(torch.tensor(ss.transform(a)).float(), torch.tensor(b).long())
    train_loader, val_loader = (
        DataLoader(to(X_tr, y_tr), 50, shuffle=True),
        DataLoader(to(X_va, y_va), 100),
    )
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    scheduler = optim.lr_scheduler.MultiStepLR(optimizer, milestones=[3, 6], gamma=0.2)

    def train(epoch):
        scheduler.step()
        model.train()
        loss_meter = 0.0
        for data, target in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(data), target)
            loss.backward()
            optimizer.step()
            loss_meter += loss.item() * len(data)
        print(
            f"Train epoch {epoch} lr {optimizer.param_groups[0]['lr']:.4f} loss {loss_meter / len(X_tr):.4f}",
            end=" ",
        )

    def test():
        model.eval()
        correct = 0
        with torch.no_grad():
            for data, target in val_loader:
                correct += model(data).max(1)[1].eq(target).sum().item()
        print(f"test acc {100.0 * correct / len(X_va):.1f}%")

    for epoch in range(1, 9):
        train(epoch)
        test()


@buggy("scheduler-per-batch")
def exp_decay_vae():
    torch.manual_seed(12)

    class VAE(nn.Module):
        def __init__(self, z=4):
            super().__init__()
            self.enc = nn.Linear(64, 48)
            self.mu, self.lv = nn.Linear(48, z), nn.Linear(48, z)
            self.d1, self.d2 = nn.Linear(z, 48), nn.Linear(48, 64)

        def forward(self, x):
            h = F.relu(self.enc(x))
            mu, lv = self.mu(h), self.lv(h)
            z = mu + torch.exp(0.5 * lv) * torch.randn_like(lv) if self.training else mu
            return self.d2(F.relu(self.d1(z))), mu, lv

    def elbo(rec, x, mu, lv):
        bce = F.binary_cross_entropy_with_logits(rec, x, reduction="sum")
        return bce - 0.5 * torch.sum(1 + lv - mu.pow(2) - lv.exp())

    X = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)
    train, test = random_split(X, [1440, 357], generator=torch.Generator().manual_seed(12))
    loader, tloader = DataLoader(train, 48, shuffle=True), DataLoader(test, 120)
    vae = VAE()
    opt = optim.Adam(vae.parameters(), lr=2e-3)
    sched = optim.lr_scheduler.ExponentialLR(opt, gamma=0.85)  # 15% less every epoch
    for epoch in range(8):
        vae.train()
        tl = 0.0
        for x in loader:
            opt.zero_grad()
            rec, mu, lv = vae(x)
            loss = elbo(rec, x, mu, lv)
            (loss / len(x)).backward()
            opt.step()
            sched.step()
            tl += loss.item()
        vae.eval()
        with torch.no_grad():
            vl = sum(elbo(*(lambda r: (r[0], x, r[1], r[2]))(vae(x))).item() for x in tloader)
        print(
            f"====> Epoch {epoch} avg {tl / len(train):.3f} test {vl / len(test):.3f} lr {sched.get_last_lr()[0]:.2e}"
        )


@buggy("scheduler-per-epoch")
def warmup_linear_bert_style():
    torch.manual_seed(44)
    np.random.seed(44)
    rs = np.random.RandomState(44)
    X = rs.randint(2, 40, size=(800, 12))
    y = (((X % 2) == 0).sum(1) > 6).astype(int)
    Xt, Xv, yt, yv = train_test_split(X, y, test_size=0.2, random_state=44, stratify=y)

    def get_linear_schedule_with_warmup(optimizer, num_warmup_steps, num_training_steps):
        def lr_lambda(step):
            if step < num_warmup_steps:
                return float(step + 1) / float(max(1, num_warmup_steps))
            return max(
                0.0, (num_training_steps - step) / max(1, num_training_steps - num_warmup_steps)
            )

        return optim.lr_scheduler.LambdaLR(optimizer, lr_lambda)

    class Encoder(nn.Module):
        def __init__(self, d=32):
            super().__init__()
            self.e = nn.Embedding(40, d)
            layer = nn.TransformerEncoderLayer(d, 2, 64, dropout=0.1, batch_first=True)
            self.t = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
            self.c = nn.Linear(d, 2)

        def forward(self, ids):
            return self.c(self.t(self.e(ids)).mean(1))

    model, EPOCHS = Encoder(), 6
    train_dl = DataLoader(TensorDataset(torch.tensor(Xt), torch.tensor(yt)), 32, shuffle=True)
    val_dl = DataLoader(TensorDataset(torch.tensor(Xv), torch.tensor(yv)), 64)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    total_steps = len(train_dl) * EPOCHS
    scheduler = get_linear_schedule_with_warmup(optimizer, int(0.1 * total_steps), total_steps)
    for epoch in range(EPOCHS):
        model.train()
        tr = 0.0
        for ids, lab in train_dl:
            model.zero_grad()
            loss = F.cross_entropy(model(ids), lab)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            tr += loss.item() * len(lab)
        scheduler.step()
        model.eval()
        hit = 0
        with torch.no_grad():
            for ids, lab in val_dl:
                hit += (model(ids).argmax(1) == lab).sum().item()
        print(
            f"Epoch {epoch + 1}/{EPOCHS} train loss {tr / len(yt):.4f} val acc {hit / len(yv):.3f} "
            f"lr {optimizer.param_groups[0]['lr']:.2e}"
        )


@buggy("scheduler-other-optimizer")
def gan_two_schedulers():
    torch.manual_seed(71)
    real_all = torch.tensor(make_moons(800, noise=0.05, random_state=71)[0], dtype=torch.float32)
    real_all = (real_all - real_all.mean(0)) / real_all.std(0)
    G = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
    D = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    opt_G = optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999))
    opt_D = optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999))
    decay = lambda ep: 1.0 - ep / 8
    sched_G = optim.lr_scheduler.LambdaLR(opt_G, decay)
    sched_D = optim.lr_scheduler.LambdaLR(opt_G, decay)
    bce = nn.BCEWithLogitsLoss()
    for epoch in range(8):
        dl = gl = 0.0
        for real in DataLoader(real_all, batch_size=50, shuffle=True):
            n = len(real)
            fake = G(torch.randn(n, 4))
            opt_D.zero_grad()
            loss_D = 0.5 * (
                bce(D(real), torch.ones(n, 1)) + bce(D(fake.detach()), torch.zeros(n, 1))
            )
            loss_D.backward()
            opt_D.step()
            opt_G.zero_grad()
            loss_G = bce(D(fake), torch.ones(n, 1))
            loss_G.backward()
            opt_G.step()
            dl += loss_D.item() * n
            gl += loss_G.item() * n
        sched_G.step()
        sched_D.step()
        print(
            f"[{epoch}/8] Loss_D {dl / 800:.4f} Loss_G {gl / 800:.4f} "
            f"lr_G {opt_G.param_groups[0]['lr']:.2e} lr_D {opt_D.param_groups[0]['lr']:.2e}"
        )


@buggy("nan-input")
def pixel_standardize():
    torch.manual_seed(28)
    X, y = load_digits(return_X_y=True)
    X_train, X_val, y_train, y_val = train_test_split(
        X.astype("float32"), y, test_size=0.2, random_state=28
    )
    X_train, X_val = torch.from_numpy(X_train), torch.from_numpy(X_val)
    y_train, y_val = torch.from_numpy(y_train), torch.from_numpy(y_val)
    mean, std = X_train.mean(dim=0), X_train.std(dim=0)
    X_train = (X_train - mean) / std
    X_val = (X_val - mean) / std

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(64, 64)
            self.fc2 = nn.Linear(64, 10)

        def forward(self, x):
            return self.fc2(F.relu(self.fc1(x)))

    net = Net()
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(5):
        net.train()
        losses = []
        for idx in torch.randperm(len(X_train)).split(50):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(X_train[idx]), y_train[idx])
            loss.backward()
            optimizer.step()
            losses.append((loss.item(), len(idx)))
        net.eval()
        with torch.no_grad():
            acc = (net(X_val).argmax(1) == y_val).float().mean().item()
        print(
            f"epoch {epoch}: loss {sum(l * n for l, n in losses) / len(X_train):.4f}, val acc {acc:.4f}"
        )


@buggy("input-scale")
def wine_raw_features():
    torch.manual_seed(2)
    np.random.seed(2)
    df = load_wine(as_frame=True).frame.sample(frac=1, random_state=2).reset_index(drop=True)
    cols = [c for c in df.columns if c != "target"]

    class WineDataset(Dataset):
        def __init__(self, frame):
            self.frame = frame.reset_index(drop=True)

        def __len__(self):
            return len(self.frame)

        def __getitem__(self, i):
            row = self.frame.iloc[i]
            return (
                torch.tensor(row[cols].values.astype(np.float32)),
                torch.tensor(int(row["target"])),
            )

    train_df, valid_df = train_test_split(df, test_size=0.25, stratify=df["target"], random_state=2)
    train_loader = DataLoader(WineDataset(train_df), batch_size=19, shuffle=True)
    valid_loader = DataLoader(WineDataset(valid_df), batch_size=45)
    model = nn.Sequential(nn.Linear(len(cols), 32), nn.Tanh(), nn.Linear(32, 3))
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(10):
        model.train()
        tl = 0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            tl += loss.item() * len(y)
        model.eval()
        yt, yp = [], []
        with torch.no_grad():
            for x, y in valid_loader:
                yp.extend(model(x).argmax(1).tolist())
                yt.extend(y.tolist())
        print(
            f"Epoch {epoch + 1:2d} train_loss {tl / len(train_df):.4f} valid_acc {accuracy_score(yt, yp):.4f}"
        )


@buggy("val-scaled-differently")
def transform_missing_in_val():
    torch.manual_seed(36)
    d = load_digits()

    class Normalize:
        def __init__(self, mean, std):
            self.mean, self.std = mean, std

        def __call__(self, t):
            return (t - self.mean) / self.std

    class Compose:
        def __init__(self, ts):
            self.ts = ts

        def __call__(self, t):
            for f in self.ts:
                t = f(t)
            return t

    class Digits(Dataset):
        def __init__(self, images, labels, transform=None):
            self.images, self.labels, self.transform = images, labels, transform

        def __len__(self):
            return len(self.labels)

        def __getitem__(self, i):
            img = torch.tensor(self.images[i], dtype=torch.float32).unsqueeze(0) / 16.0
            if self.transform:
                img = self.transform(img)
            return img, int(self.labels[i])

    itr, iva = train_test_split(
        np.arange(len(d.target)), test_size=0.2, random_state=36, stratify=d.target
    )
    base = d.images[itr] / 16.0
    train_tf = Compose(
        [Normalize(base.mean(), base.std()), lambda t: t + 0.05 * torch.randn_like(t)]
    )
    val_tf = Compose([])
    train_loader = DataLoader(Digits(d.images[itr], d.target[itr], train_tf), 64, shuffle=True)
    val_loader = DataLoader(Digits(d.images[iva], d.target[iva], val_tf), 128)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)
    )
    opt = optim.Adam(net.parameters(), lr=4e-3)
    for ep in range(5):
        net.train()
        tot = 0
        for x, y in train_loader:
            opt.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            opt.step()
            tot += loss.item() * len(y)
        net.eval()
        vl, hit = 0.0, 0
        with torch.no_grad():
            for x, y in val_loader:
                o = net(x)
                vl += F.cross_entropy(o, y, reduction="sum").item()
                hit += (o.argmax(1) == y).sum().item()
        print(
            f"ep {ep} train {tot / len(itr):.4f} val {vl / len(iva):.4f} acc {hit / len(iva):.4f}"
        )


@buggy("sorted-batches")
def folder_order_dataset():
    torch.manual_seed(53)
    d = load_digits()
    tr, va = train_test_split(
        np.arange(len(d.target)), test_size=0.2, random_state=53, stratify=d.target
    )

    class ImageFolderLike(Dataset):
        """samples listed class directory by class directory"""

        def __init__(self, idx):
            self.samples = [(i, c) for c in range(10) for i in idx if d.target[i] == c]

        def __len__(self):
            return len(self.samples)

        def __getitem__(self, k):
            i, c = self.samples[k]
            return torch.tensor(d.data[i] / 16.0, dtype=torch.float32), c

    train_ds, val_ds = ImageFolderLike(tr), ImageFolderLike(va)
    train_loader = DataLoader(train_ds, batch_size=32)
    val_loader = DataLoader(val_ds, batch_size=64)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(6):
        model.train()
        rl = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            rl += loss.item() * len(y)
        model.eval()
        with torch.no_grad():
            good = sum((model(x).argmax(1) == y).sum().item() for x, y in val_loader)
        print(
            f"epoch {epoch + 1} train loss {rl / len(train_ds):.4f} val acc {good / len(val_ds):.4f}"
        )


@buggy("val-overlaps-train")
def oversample_then_split():
    torch.manual_seed(19)
    np.random.seed(19)
    X, y = make_classification(
        n_samples=700, n_features=15, n_informative=8, weights=[0.85], flip_y=0.02, random_state=19
    )
    df = pd.DataFrame(X, columns=[f"f{i}" for i in range(15)]).assign(y=y)
    minority = df[df.y == 1]
    df = pd.concat(
        [df, minority.sample((df.y == 0).sum() - len(minority), replace=True, random_state=19)]
    )
    df = df.sample(frac=1, random_state=19).reset_index(drop=True)
    train_df, val_df = train_test_split(df, test_size=0.2, random_state=19, stratify=df.y)
    feats = [c for c in df if c != "y"]
    m, s = train_df[feats].mean(), train_df[feats].std()
    tt = lambda f: (
        torch.tensor(((f[feats] - m) / s).values, dtype=torch.float32),
        torch.tensor(f.y.values, dtype=torch.float32),
    )
    train_loader = DataLoader(TensorDataset(*tt(train_df)), 64, shuffle=True)
    xv, yv = tt(val_df)
    net = nn.Sequential(
        nn.Linear(15, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)
    )
    opt = optim.Adam(net.parameters(), lr=2e-3)
    crit = nn.BCEWithLogitsLoss()
    for epoch in range(10):
        net.train()
        for xb, yb in train_loader:
            opt.zero_grad()
            loss = crit(net(xb).squeeze(1), yb)
            loss.backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            pr = torch.sigmoid(net(xv).squeeze(1)).numpy()
        print(
            f"epoch {epoch}: val AUC {roc_auc_score(yv.numpy(), pr):.4f} "
            f"F1 {f1_score(yv.numpy(), pr > 0.5):.4f}"
        )


@buggy("no-set-epoch")
def ddp_sampler_rank0():
    from torch.utils.data.distributed import DistributedSampler

    world_size, rank = 2, 0
    torch.manual_seed(38)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16.0, dtype=torch.float32)
    y = torch.tensor(y)
    train_set, val_set = random_split(
        TensorDataset(X, y), [1437, 360], generator=torch.Generator().manual_seed(0)
    )
    sampler = DistributedSampler(
        train_set, num_replicas=world_size, rank=rank, shuffle=True, seed=38
    )
    train_loader = DataLoader(train_set, batch_size=32, sampler=sampler)
    val_loader = DataLoader(val_set, batch_size=90)
    model = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    for epoch in range(5):
        model.train()
        loss_sum = count = 0
        for xb, yb in train_loader:
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(xb)
            count += len(xb)
        model.eval()
        c = 0
        with torch.no_grad():
            for xb, yb in val_loader:
                c += (model(xb).argmax(1) == yb).sum().item()
        if rank == 0:
            print(f"epoch {epoch} loss {loss_sum / count:.4f} val acc {c / len(val_set):.4f}")


@buggy("labels-misaligned")
def shuffled_frames():
    torch.manual_seed(47)
    np.random.seed(47)
    raw = load_digits(as_frame=True)
    images, labels = raw.data, raw.target
    images = images.sample(frac=1.0, random_state=1).reset_index(drop=True)
    labels = labels.sample(frac=1.0, random_state=2).reset_index(drop=True)
    n_val = 360
    x_train, x_val = (
        images.iloc[n_val:].to_numpy("float32") / 16,
        images.iloc[:n_val].to_numpy("float32") / 16,
    )
    y_train, y_val = labels.iloc[n_val:].to_numpy(), labels.iloc[:n_val].to_numpy()

    def batches(x, y, bs, shuffle):
        order = np.random.permutation(len(x)) if shuffle else np.arange(len(x))
        for i in range(0, len(x), bs):
            sl = order[i : i + bs]
            yield torch.from_numpy(x[sl]), torch.from_numpy(y[sl])

    model = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)
    )
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(5):
        model.train()
        s = 0.0
        for x, y in batches(x_train, y_train, 64, True):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            s += loss.item() * len(y)
        model.eval()
        with torch.no_grad():
            h = sum(
                int((model(x).argmax(1) == y).sum()) for x, y in batches(x_val, y_val, 128, False)
            )
        print(f"Epoch {epoch}: train loss {s / len(y_train):.4f}, val acc {h / n_val:.4f}")


@buggy("lr-too-high")
def momentum_hot_wine():
    torch.manual_seed(23)
    X, y = load_wine(return_X_y=True)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.3, random_state=23, stratify=y)
    sc = StandardScaler().fit(Xa)
    Xa, Xb = torch.tensor(sc.transform(Xa)).float(), torch.tensor(sc.transform(Xb)).float()
    ya, yb = torch.tensor(ya), torch.tensor(yb)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
            self.head = nn.Linear(32, 3)

        def forward(self, x):
            return self.head(self.body(x))

    hp = {"lr": 3.0, "momentum": 0.9, "bs": 31, "epochs": 10}
    net = Net()
    opt = optim.SGD(net.parameters(), lr=hp["lr"], momentum=hp["momentum"])
    dl = DataLoader(TensorDataset(Xa, ya), hp["bs"], shuffle=True)
    for ep in range(hp["epochs"]):
        net.train()
        tot = 0.0
        for x, t in dl:
            opt.zero_grad()
            loss = F.cross_entropy(net(x), t)
            loss.backward()
            opt.step()
            tot += loss.item() * len(t)
        net.eval()
        with torch.no_grad():
            acc = (net(Xb).argmax(1) == yb).float().mean().item()
        print(f"{ep} train loss {tot / len(ya):.3f} val acc {acc:.3f}")


@buggy("lr-too-low")
def regression_conf_lr():
    cfg = argparse.Namespace(
        epochs=8, batch_size=32, optimizer=dict(type="SGD", lr=2e-7, momentum=0.9)
    )
    torch.manual_seed(57)
    X, y = load_diabetes(return_X_y=True)
    i_tr, i_va = train_test_split(range(len(X)), test_size=0.2, random_state=57)
    sx = StandardScaler().fit(X[i_tr])
    sy = StandardScaler().fit(y[i_tr][:, None])
    X = torch.tensor(sx.transform(X), dtype=torch.float32)
    y = torch.tensor(sy.transform(y[:, None]), dtype=torch.float32)
    ds = TensorDataset(X, y)
    tr, va = Subset(ds, i_tr), Subset(ds, i_va)
    model = nn.Sequential(nn.Linear(10, 24), nn.ReLU(), nn.Linear(24, 1))
    opt_cfg = dict(cfg.optimizer)
    opt = getattr(optim, opt_cfg.pop("type"))(model.parameters(), **opt_cfg)
    for ep in range(cfg.epochs):
        model.train()
        for xb, yb in DataLoader(tr, cfg.batch_size, shuffle=True):
            opt.zero_grad()
            F.mse_loss(model(xb), yb).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            se = sum(
                F.mse_loss(model(xb), yb, reduction="sum").item() for xb, yb in DataLoader(va, 64)
            )
        print(f"epoch {ep + 1}/{cfg.epochs} val RMSE {math.sqrt(se / len(va)):.4f}")


@buggy("dead-relu")
def prior_bias_everywhere():
    torch.manual_seed(68)
    X, y = load_breast_cancer(return_X_y=True)
    Xt, Xv, yt, yv = train_test_split(X, y, test_size=0.25, random_state=68, stratify=y)
    sc = MinMaxScaler().fit(Xt)
    train = TensorDataset(torch.tensor(sc.transform(Xt)).float(), torch.tensor(yt).float())
    xv, yv = torch.tensor(sc.transform(Xv)).float(), torch.tensor(yv).float()

    def init_weights(m, prior=0.01):
        if isinstance(m, nn.Linear):
            nn.init.kaiming_uniform_(m.weight, nonlinearity="relu")
            nn.init.constant_(
                m.bias, -math.log((1 - prior) / prior)
            )  # prior from the focal loss paper

    model = nn.Sequential(
        nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1)
    )
    model.apply(init_weights)
    opt = optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(10):
        model.train()
        total = 0.0
        for xb, yb in DataLoader(train, 32, shuffle=True):
            opt.zero_grad()
            loss = F.binary_cross_entropy_with_logits(model(xb).flatten(), yb)
            loss.backward()
            opt.step()
            total += loss.item() * len(yb)
        model.eval()
        with torch.no_grad():
            acc = ((model(xv).flatten() > 0).float() == yv).float().mean().item()
        print(f"epoch {epoch} loss {total / len(train):.4f} acc {acc:.4f}")


@buggy("symmetric-init")
def custom_init_digits():
    torch.manual_seed(80)
    d = load_digits()
    xtr, xva, ytr, yva = train_test_split(d.data / 16.0, d.target, test_size=0.2, random_state=80)
    xtr, xva = torch.tensor(xtr, dtype=torch.float32), torch.tensor(xva, dtype=torch.float32)
    ytr, yva = torch.tensor(ytr), torch.tensor(yva)

    class MyLinear(nn.Module):
        def __init__(self, n_in, n_out):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(n_out, n_in) / n_in)
            self.bias = nn.Parameter(torch.zeros(n_out))

        def forward(self, x):
            return x @ self.weight.t() + self.bias

    model = nn.Sequential(MyLinear(64, 32), nn.ReLU(), MyLinear(32, 10))
    opt = optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(6):
        model.train()
        run = 0.0
        for sel in torch.randperm(len(xtr)).split(64):
            loss = F.cross_entropy(model(xtr[sel]), ytr[sel])
            opt.zero_grad()
            loss.backward()
            opt.step()
            run += loss.item() * len(sel)
        model.eval()
        with torch.no_grad():
            acc = (model(xva).argmax(1) == yva).float().mean()
        print(f"Epoch {epoch}, loss={run / len(xtr):.4f}, val_acc={acc:.4f}")


@buggy("best-state-alias")
def model_checkpoint_class():
    class ModelCheckpoint:
        def __init__(self, mode="min"):
            self.best = float("inf") if mode == "min" else -float("inf")
            self.mode, self.weights, self.epoch = mode, None, -1

        def __call__(self, epoch, metric, model):
            better = metric < self.best if self.mode == "min" else metric > self.best
            if better:
                self.best, self.epoch = metric, epoch
                self.weights = {k: v for k, v in model.state_dict().items()}

        def restore(self, model):
            model.load_state_dict(self.weights)

    torch.manual_seed(91)
    X, y = make_classification(
        n_samples=320, n_features=25, n_informative=6, flip_y=0.15, random_state=91
    )
    Xt, Xv, yt, yv = train_test_split(X, y, test_size=0.4, random_state=91, stratify=y)
    sc = StandardScaler().fit(Xt)
    tl = DataLoader(
        TensorDataset(torch.tensor(sc.transform(Xt)).float(), torch.tensor(yt)), 16, shuffle=True
    )
    xv, yv = torch.tensor(sc.transform(Xv)).float(), torch.tensor(yv)
    model = nn.Sequential(
        nn.Linear(25, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
    )
    opt = optim.Adam(model.parameters(), lr=2e-3)
    ckpt = ModelCheckpoint("min")

    def validate():
        model.eval()
        with torch.no_grad():
            out = model(xv)
            return F.cross_entropy(out, yv).item(), (out.argmax(1) == yv).float().mean().item()

    for epoch in range(10):
        model.train()
        for xb, yb in tl:
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
        vl, va = validate()
        ckpt(epoch, vl, model)
        print(f"epoch {epoch} val_loss {vl:.4f} val_acc {va:.4f}")
    ckpt.restore(model)
    print(f"best epoch {ckpt.epoch} ({ckpt.best:.4f}); restored model: %.4f / %.4f" % validate())
