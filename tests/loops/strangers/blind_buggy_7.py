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
    make_regression,
)
from sklearn.metrics import accuracy_score, f1_score, r2_score, recall_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, Subset, TensorDataset, random_split

from .. import buggy


@buggy("no-zero-grad")
def quickstart():
    torch.manual_seed(42)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16.0, dtype=torch.float32)
    y = torch.tensor(y)
    perm = torch.randperm(len(X))
    training_data = TensorDataset(X[perm[:800]], y[perm[:800]])
    test_data = TensorDataset(X[perm[800:1200]], y[perm[800:1200]])
    train_dataloader = DataLoader(training_data, batch_size=32, shuffle=True)
    test_dataloader = DataLoader(test_data, batch_size=64)

    class NeuralNetwork(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear_relu_stack = nn.Sequential(
                nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 10)
            )

        def forward(self, x):
            return self.linear_relu_stack(x)

    model = NeuralNetwork()
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)

    for t in range(5):
        model.train()
        for batch, (Xb, yb) in enumerate(train_dataloader):
            pred = model(Xb)
            loss = loss_fn(pred, yb)
            loss.backward()
            optimizer.step()

        model.eval()
        test_loss, correct = 0.0, 0
        with torch.no_grad():
            for Xb, yb in test_dataloader:
                pred = model(Xb)
                test_loss += loss_fn(pred, yb).item() * len(yb)
                correct += (pred.argmax(1) == yb).sum().item()
        test_loss /= len(test_data)
        correct /= len(test_data)
    return {"loss": test_loss, "acc": correct}


@buggy("no-zero-grad")
def kaggle_house_prices():
    SEED = 7
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    Xr, yr, coef = make_regression(
        n_samples=700, n_features=12, n_informative=8, noise=5.0, coef=True, random_state=SEED
    )
    df = pd.DataFrame(Xr, columns=[f"f{i}" for i in range(12)])
    df["SalePrice"] = yr
    train_df, valid_df = train_test_split(df, test_size=0.2, random_state=SEED)
    mu, sd = train_df["SalePrice"].mean(), train_df["SalePrice"].std()
    feats = [c for c in df.columns if c != "SalePrice"]
    sc = StandardScaler().fit(train_df[feats])

    def to_ds(d):
        return TensorDataset(
            torch.tensor(sc.transform(d[feats]), dtype=torch.float32),
            torch.tensor(((d["SalePrice"] - mu) / sd).values, dtype=torch.float32).unsqueeze(1),
        )

    train_loader = DataLoader(to_ds(train_df), batch_size=16, shuffle=True)
    valid_loader = DataLoader(to_ds(valid_df), batch_size=70)
    model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 1))
    criterion = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=0.03)
    for epoch in range(8):
        model.train()
        optimizer.zero_grad()
        for xb, yb in train_loader:
            out = model(xb)
            loss = criterion(out, yb)
            loss.backward()
            optimizer.step()
        model.eval()
        sq, n = 0.0, 0
        with torch.no_grad():
            for xb, yb in valid_loader:
                sq += ((model(xb) - yb) ** 2).sum().item()
                n += yb.numel()
        rmse = math.sqrt(sq / n)
    return {"rmse": rmse}


@buggy("softmax-before-cross-entropy")
def iris_homework():
    torch.manual_seed(1)
    data = load_iris()
    X_train, X_test, y_train, y_test = train_test_split(
        data.data, data.target, test_size=0.3, stratify=data.target, random_state=1
    )
    scaler = StandardScaler()
    X_train = torch.FloatTensor(scaler.fit_transform(X_train))
    X_test = torch.FloatTensor(scaler.transform(X_test))
    y_train, y_test = torch.LongTensor(y_train), torch.LongTensor(y_test)

    net = nn.Sequential(
        nn.Linear(4, 16),
        nn.ReLU(),
        nn.Linear(16, 3),
        nn.Softmax(dim=1),
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for epoch in range(60):
        net.train()
        optimizer.zero_grad()
        out = net(X_train)
        loss = criterion(out, y_train)
        loss.backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        test_out = net(X_test)
        acc = (test_out.argmax(dim=1) == y_test).float().mean().item()
    return {"loss": loss.item(), "acc": acc}


@buggy("softmax-before-cross-entropy")
def text_topics():
    g = torch.Generator().manual_seed(3)
    torch.manual_seed(3)
    n_topics, vocab, seq = 16, 320, 12
    topics = torch.randint(0, n_topics, (640,), generator=g)
    own = topics[:, None] * 20 + torch.randint(0, 20, (640, seq), generator=g)
    other = torch.randint(0, vocab, (640, seq), generator=g)
    tokens = torch.where(torch.rand(640, seq, generator=g) < 0.5, own, other)

    class TopicModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(vocab, 24)
            self.out = nn.Linear(24, n_topics)

        def forward(self, ids):
            return self.out(self.emb(ids).mean(1))

    net = TopicModel()
    opt = torch.optim.AdamW(net.parameters(), lr=8e-3)
    tr_x, tr_y, va_x, va_y = tokens[:512], topics[:512], tokens[512:], topics[512:]
    history = []
    for ep in range(8):
        net.train()
        order = torch.randperm(512, generator=g)
        for i in range(0, 512, 32):
            idx = order[i : i + 32]
            probs = F.softmax(net(tr_x[idx]), dim=-1)
            loss = F.cross_entropy(probs, tr_y[idx])
            opt.zero_grad()
            loss.backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            probs = F.softmax(net(va_x), dim=-1)
            history.append(
                {
                    "acc": (probs.argmax(-1) == va_y).float().mean().item(),
                    "p": probs.gather(1, va_y[:, None]).mean().item(),
                    "loss": loss.item(),
                }
            )
    return history[-1]


@buggy("eval-in-train-mode")
def wine_trainer():
    torch.manual_seed(10)

    class Trainer:
        def __init__(self, model, train_loader, val_loader, lr=5e-3):
            self.model, self.train_loader, self.val_loader = model, train_loader, val_loader
            self.optimizer = torch.optim.Adam(model.parameters(), lr=lr)
            self.criterion = nn.CrossEntropyLoss()
            self.history = {"val_loss": [], "val_acc": []}

        def train_epoch(self):
            self.model.train()
            for x, y in self.train_loader:
                self.optimizer.zero_grad()
                loss = self.criterion(self.model(x), y)
                loss.backward()
                self.optimizer.step()

        @torch.no_grad()
        def validate(self):
            total, hits, n = 0.0, 0, 0
            for x, y in self.val_loader:
                logits = self.model(x)
                total += self.criterion(logits, y).item() * y.size(0)
                hits += (logits.argmax(1) == y).sum().item()
                n += y.size(0)
            self.history["val_loss"].append(total / n)
            self.history["val_acc"].append(hits / n)

        def fit(self, epochs):
            for _ in range(epochs):
                self.train_epoch()
                self.validate()
            return self.history

    X, y = load_wine(return_X_y=True)
    Xtr, Xva, ytr, yva = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
    sc = StandardScaler().fit(Xtr)
    ds = [
        TensorDataset(torch.tensor(sc.transform(a), dtype=torch.float32), torch.tensor(b))
        for a, b in ((Xtr, ytr), (Xva, yva))
    ]
    model = nn.Sequential(
        nn.Linear(13, 32),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(32, 32),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(32, 3),
    )
    h = Trainer(model, DataLoader(ds[0], 16, shuffle=True), DataLoader(ds[1], 32)).fit(5)
    return {"val_loss": h["val_loss"][-1], "acc": h["val_acc"][-1]}


@buggy("eval-in-train-mode")
def conv_digits_notebook():
    torch.manual_seed(0)
    np.random.seed(0)
    images, targets = load_digits(return_X_y=True)
    images = (images / 16.0).reshape(-1, 1, 8, 8).astype(np.float32)
    x_tr, x_va, y_tr, y_va = train_test_split(
        images, targets, train_size=480, test_size=240, random_state=0
    )
    trainloader = DataLoader(
        TensorDataset(torch.from_numpy(x_tr), torch.from_numpy(y_tr)), batch_size=32, shuffle=True
    )
    valloader = DataLoader(
        TensorDataset(torch.from_numpy(x_va), torch.from_numpy(y_va)), batch_size=8
    )
    cnn = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64, 10),
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(cnn.parameters(), lr=3e-3)
    for epoch in range(4):
        cnn.train()
        running = 0.0
        for xb, yb in trainloader:
            optimizer.zero_grad()
            loss = criterion(cnn(xb), yb)
            loss.backward()
            optimizer.step()
            running += loss.item() * len(yb)
        cnn.eval
        correct, vloss = 0, 0.0
        with torch.no_grad():
            for xb, yb in valloader:
                out = cnn(xb)
                vloss += F.cross_entropy(out, yb, reduction="sum").item()
                correct += (out.argmax(1) == yb).sum().item()
        print(
            f"epoch {epoch}: train {running / len(x_tr):.3f} val {vloss / len(x_va):.3f} acc {correct / len(x_va):.3f}"
        )
    return {"val_loss": vloss / len(x_va), "acc": correct / len(x_va)}


@buggy("training-in-eval-mode")
def progression_above_median():
    torch.manual_seed(5)
    X, y = load_diabetes(return_X_y=True)
    X_train, X_val, y_train, y_val = train_test_split(X, y > 140.5, test_size=0.3, random_state=5)
    sc = StandardScaler().fit(X_train)
    X_train = torch.tensor(sc.transform(X_train), dtype=torch.float32)
    X_val = torch.tensor(sc.transform(X_val), dtype=torch.float32)
    y_train = torch.tensor(y_train, dtype=torch.float32)
    y_val = torch.tensor(y_val, dtype=torch.float32)
    loader = DataLoader(
        TensorDataset(X_train, y_train), batch_size=32, shuffle=True, drop_last=True
    )

    model = nn.Sequential(
        nn.Linear(10, 128),
        nn.BatchNorm1d(128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 128),
        nn.BatchNorm1d(128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 1),
    )
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    model.train()
    for epoch in range(14):
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = criterion(model(xb).squeeze(1), yb)
            loss.backward()
            optimizer.step()

        model.eval()
        with torch.no_grad():
            logits = model(X_val).squeeze(1)
            val_loss = criterion(logits, y_val).item()
            val_acc = ((torch.sigmoid(logits) > 0.5).float() == y_val).float().mean().item()
        print(f"Epoch {epoch + 1}: val_loss={val_loss:.4f} val_acc={val_acc:.4f}")
    return {"val_loss": val_loss, "acc": val_acc}


@buggy("training-in-eval-mode")
def noisy_labels_fit():
    torch.manual_seed(21)
    X, y = make_classification(500, 40, n_informative=6, flip_y=0.25, random_state=21)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    train_set, valid_set = TensorDataset(X[:200], y[:200]), TensorDataset(X[200:], y[200:])

    class Learner:
        def __init__(self):
            self.net = nn.Sequential(
                nn.Linear(40, 128),
                nn.ReLU(),
                nn.Dropout(0.6),
                nn.Linear(128, 64),
                nn.ReLU(),
                nn.Dropout(0.6),
                nn.Linear(64, 2),
            )
            self.opt = torch.optim.Adam(self.net.parameters(), lr=2e-3)

        def evaluate(self, dl):
            self.net.eval()
            tot = ok = cnt = 0
            with torch.no_grad():
                for xb, yb in dl:
                    o = self.net(xb)
                    tot += F.cross_entropy(o, yb, reduction="sum").item()
                    ok += (o.argmax(1) == yb).sum().item()
                    cnt += len(yb)
            return tot / cnt, ok / cnt

        def fit(self, epochs, train_dl, valid_dl):
            log = [self.evaluate(valid_dl)]
            for _ in range(epochs):
                for xb, yb in train_dl:
                    loss = F.cross_entropy(self.net(xb), yb)
                    loss.backward()
                    self.opt.step()
                    self.opt.zero_grad()
                log.append(self.evaluate(valid_dl))
            return log

    log = Learner().fit(15, DataLoader(train_set, 25, shuffle=True), DataLoader(valid_set, 100))
    return {"val_loss": log[-1][0], "acc": log[-1][1]}


@buggy("broadcast-loss")
def diabetes_regression():
    torch.manual_seed(0)
    X, y = load_diabetes(return_X_y=True)
    X_tr, X_te, y_tr, y_te = train_test_split(X, y, test_size=0.2, random_state=0)
    xs, ys = StandardScaler().fit(X_tr), StandardScaler().fit(y_tr.reshape(-1, 1))
    X_tr, X_te = xs.transform(X_tr), xs.transform(X_te)
    y_tr = ys.transform(y_tr.reshape(-1, 1)).ravel()
    train_ds = TensorDataset(
        torch.tensor(X_tr, dtype=torch.float32), torch.tensor(y_tr, dtype=torch.float32)
    )
    train_dl = DataLoader(train_ds, batch_size=32, shuffle=True)

    class Regressor(nn.Module):
        def __init__(self, n_in):
            super().__init__()
            self.fc1 = nn.Linear(n_in, 32)
            self.fc2 = nn.Linear(32, 1)

        def forward(self, x):
            return self.fc2(torch.relu(self.fc1(x)))

    model = Regressor(10)
    loss_fn = nn.MSELoss()
    opt = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(12):
        model.train()
        for xb, yb in train_dl:
            loss = loss_fn(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
    model.eval()
    with torch.no_grad():
        pred = model(torch.tensor(X_te, dtype=torch.float32)).numpy()
    return {"r2": r2_score(y_te, ys.inverse_transform(pred).ravel())}


@buggy("broadcast-loss")
def sine_fit_by_hand():
    g = torch.Generator().manual_seed(8)
    torch.manual_seed(8)
    x = torch.rand(400, 1, generator=g) * 6 - 3
    t = torch.sin(x[:, 0]) + 0.05 * torch.randn(400, generator=g)
    net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    opt = torch.optim.Adam(net.parameters(), lr=1e-2)
    x_fit, t_fit, x_hold, t_hold = x[:320], t[:320], x[320:], t[320:]
    for epoch in range(30):
        order = torch.randperm(320, generator=g)
        for idx in order.split(64):
            err = net(x_fit[idx]) - t_fit[idx]
            loss = err.pow(2).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
    with torch.no_grad():
        y_hold = net(x_hold).flatten()
        mae = (y_hold - t_hold).abs().mean().item()
    return {"mae": mae, "loss": loss.item()}


@buggy("graph-kept")
def two_moons_classifier():
    torch.manual_seed(13)
    X, y = make_moons(600, noise=0.2, random_state=13)
    X = torch.tensor(X, dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32).view(-1, 1)
    train_loader = DataLoader(TensorDataset(X[:450], y[:450]), batch_size=30, shuffle=True)
    model = nn.Sequential(
        nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 1)
    )
    bce = nn.BCEWithLogitsLoss()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    total_loss = 0
    steps = 0
    for epoch in range(10):
        model.train()
        for inputs, labels in train_loader:
            optimizer.zero_grad()
            loss = bce(model(inputs), labels)
            loss.backward()
            optimizer.step()
            total_loss += loss
            steps += 1
        print(f"[{epoch}] average loss so far {total_loss / steps:.4f}")
    model.eval()
    with torch.no_grad():
        acc = ((model(X[450:]) > 0) == (y[450:] > 0.5)).float().mean().item()
    return {"acc": acc}


@buggy("graph-kept")
def lstm_majority_research():
    torch.manual_seed(99)
    rng = np.random.default_rng(99)
    seqs = rng.integers(0, 2, (512, 10)).astype(np.float32)
    labels = (seqs.sum(1) > 5).astype(np.int64)
    seqs, labels = torch.from_numpy(seqs).unsqueeze(-1), torch.from_numpy(labels)

    class SeqNet(nn.Module):
        def __init__(self, hidden=16):
            super().__init__()
            self.lstm = nn.LSTM(1, hidden, batch_first=True)
            self.head = nn.Linear(hidden, 2)

        def forward(self, s):
            out, _ = self.lstm(s)
            return self.head(out[:, -1])

    model = SeqNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    train_losses, val_accs = [], []
    for epoch in range(6):
        model.train()
        perm = torch.randperm(400)
        for k in range(0, 400, 40):
            sel = perm[k : k + 40]
            logits = model(seqs[sel])
            loss = F.cross_entropy(logits, labels[sel])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            train_losses.append(loss)
        model.eval()
        with torch.no_grad():
            val_accs.append((model(seqs[400:]).argmax(-1) == labels[400:]).float().mean().item())
    curve = [float(l) for l in train_losses]
    return {"acc": val_accs[-1], "first": curve[0], "last": curve[-1]}


@buggy("metric-not-normalised")
def wine_report():
    torch.manual_seed(4)
    X, y = load_wine(return_X_y=True)
    Xtr, Xte, ytr, yte = train_test_split(X, y, test_size=69, random_state=9)
    sc = StandardScaler().fit(Xtr)
    train = TensorDataset(torch.tensor(sc.transform(Xtr)).float(), torch.tensor(ytr))
    test = TensorDataset(torch.tensor(sc.transform(Xte)).float(), torch.tensor(yte))
    train_loader = DataLoader(train, batch_size=16, shuffle=True)
    test_loader = DataLoader(test, batch_size=32)
    model = nn.Linear(13, 3)
    loss_fn = nn.CrossEntropyLoss()
    opt = torch.optim.SGD(model.parameters(), lr=0.05)
    for epoch in range(5):
        model.train()
        for xb, yb in train_loader:
            opt.zero_grad()
            loss_fn(model(xb), yb).backward()
            opt.step()
        model.eval()
        val_loss, val_acc = [], []
        with torch.no_grad():
            for xb, yb in test_loader:
                out = model(xb)
                val_loss.append(loss_fn(out, yb).item())
                val_acc.append(accuracy_score(yb.numpy(), out.argmax(1).numpy()))
        print(f"epoch {epoch} val_loss {np.mean(val_loss):.4f} val_acc {np.mean(val_acc):.4f}")
    return {"val_loss": float(np.mean(val_loss)), "acc": float(np.mean(val_acc))}


@buggy("metric-not-normalised")
def digits_reconstruction():
    torch.manual_seed(2)
    X = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)
    X = X[torch.randperm(len(X))]
    train_dl = DataLoader(TensorDataset(X[:640]), batch_size=32, shuffle=True)
    valid_dl = DataLoader(TensorDataset(X[640:960]), batch_size=64)
    autoencoder = nn.Sequential(
        nn.Linear(64, 32),
        nn.ReLU(),
        nn.Linear(32, 8),
        nn.ReLU(),
        nn.Linear(8, 32),
        nn.ReLU(),
        nn.Linear(32, 64),
    )
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=3e-3)
    for epoch in range(6):
        autoencoder.train()
        train_loss = 0.0
        for (xb,) in train_dl:
            recon = autoencoder(xb)
            loss = criterion(recon, xb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            train_loss += loss.item()
        train_loss = train_loss / len(train_dl.dataset)
        autoencoder.eval()
        valid_loss = 0.0
        with torch.no_grad():
            for (xb,) in valid_dl:
                valid_loss += criterion(autoencoder(xb), xb).item()
        valid_loss = valid_loss / len(valid_dl.dataset)
        print(
            f"Epoch: {epoch + 1} \tTraining Loss: {train_loss:.6f} \tValidation Loss: {valid_loss:.6f}"
        )
    return {"train": train_loss, "val": valid_loss}


@buggy("eval-builds-graph")
def tabular_baseline():
    torch.manual_seed(31)
    X, y = load_breast_cancer(return_X_y=True)
    Xtr, Xva, ytr, yva = train_test_split(X, y, test_size=0.3, random_state=31, stratify=y)
    scaler = StandardScaler().fit(Xtr)
    dl_train = DataLoader(
        TensorDataset(torch.tensor(scaler.transform(Xtr), dtype=torch.float32), torch.tensor(ytr)),
        batch_size=32,
        shuffle=True,
    )
    dl_valid = DataLoader(
        TensorDataset(torch.tensor(scaler.transform(Xva), dtype=torch.float32), torch.tensor(yva)),
        batch_size=64,
    )
    net = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 2))
    ce = nn.CrossEntropyLoss()
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    for ep in range(6):
        net.train()
        for xb, yb in dl_train:
            opt.zero_grad()
            loss = ce(net(xb), yb)
            loss.backward()
            opt.step()

        net.eval()
        n_ok, n_all, vloss = 0, 0, 0.0
        for xb, yb in dl_valid:
            out = net(xb)
            vloss += ce(out, yb).item() * len(yb)
            n_ok += (out.argmax(1) == yb).sum().item()
            n_all += len(yb)
        print(ep, vloss / n_all, n_ok / n_all)
    return {"loss": vloss / n_all, "acc": n_ok / n_all}


@buggy("relu-on-logits")
def digits_mlp_hw():
    torch.manual_seed(17)
    digits = load_digits()
    Xtr, Xte, ytr, yte = train_test_split(
        digits.data / 16, digits.target, train_size=700, test_size=300, random_state=17
    )
    Xtr, Xte = torch.tensor(Xtr, dtype=torch.float), torch.tensor(Xte, dtype=torch.float)
    ytr, yte = torch.tensor(ytr), torch.tensor(yte)

    class MLP(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:])])

        def forward(self, x):
            for layer in self.layers:
                x = F.relu(layer(x))
            return x

    model = MLP([64, 48, 32, 10])
    opt = torch.optim.Adam(model.parameters(), lr=3e-3)
    accs = []
    for epoch in range(6):
        model.train()
        for idx in torch.randperm(len(Xtr)).split(50):
            opt.zero_grad()
            loss = F.cross_entropy(model(Xtr[idx]), ytr[idx])
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            accs.append((model(Xte).argmax(1) == yte).float().mean().item())
    return {"acc": accs[-1], "loss": loss.item()}


@buggy("optimizer-holds-other-params")
def cross_validated_cancer():
    torch.manual_seed(6)
    X, y = load_breast_cancer(return_X_y=True)
    X, y = X[:400].astype(np.float32), y[:400].astype(np.float32)

    def build_model():
        return nn.Sequential(nn.Linear(30, 24), nn.ReLU(), nn.Linear(24, 1))

    model = build_model()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    scores = []
    for fold, (tr, va) in enumerate(StratifiedKFold(3, shuffle=True, random_state=6).split(X, y)):
        model = build_model()
        sc = StandardScaler().fit(X[tr])
        x_tr, x_va = torch.from_numpy(sc.transform(X[tr])), torch.from_numpy(sc.transform(X[va]))
        y_tr = torch.from_numpy(y[tr]).unsqueeze(1)
        loader = DataLoader(TensorDataset(x_tr, y_tr), batch_size=32, shuffle=True)
        for epoch in range(4):
            model.train()
            for xb, yb in loader:
                model.zero_grad()
                loss = criterion(model(xb), yb)
                loss.backward()
                optimizer.step()
        model.eval()
        with torch.no_grad():
            p = torch.sigmoid(model(x_va)).squeeze(1).numpy()
        scores.append(roc_auc_score(y[va], p))
        print(f"fold {fold}: auc {scores[-1]:.4f}")
    return {"auc": float(np.mean(scores)), "loss": loss.item()}


@buggy("unregistered-layers")
def deep_mlp_configurable():
    torch.manual_seed(12)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16.0, dtype=torch.float32)
    y = torch.tensor(y)
    idx = torch.randperm(len(X))[:1000]
    train_ds, val_ds = (
        TensorDataset(X[idx[:750]], y[idx[:750]]),
        TensorDataset(X[idx[750:]], y[idx[750:]]),
    )

    class DeepMLP(nn.Module):
        def __init__(self, in_dim, width, depth, out_dim):
            super().__init__()
            self.inp = nn.Linear(in_dim, width)
            self.hidden = [nn.Linear(width, width) for _ in range(depth)]
            self.out = nn.Linear(width, out_dim)

        def forward(self, x):
            x = torch.relu(self.inp(x))
            for layer in self.hidden:
                x = torch.relu(layer(x))
            return self.out(x)

    model = DeepMLP(64, 24, 3, 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for epoch in range(8):
        model.train()
        for xb, yb in DataLoader(train_ds, batch_size=50, shuffle=True):
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        hits = 0
        with torch.inference_mode():
            for xb, yb in DataLoader(val_ds, batch_size=125):
                hits += (model(xb).argmax(dim=1) == yb).sum().item()
    return {"acc": hits / len(val_ds), "loss": loss.item()}


@buggy("scheduler-per-batch")
def exponential_decay_cnn():
    torch.manual_seed(14)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16.0, dtype=torch.float32).view(-1, 1, 8, 8)
    y = torch.tensor(y)
    train_set, val_set, _ = random_split(TensorDataset(X, y), [640, 320, len(X) - 960])
    train_loader = DataLoader(train_set, batch_size=20, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=80)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12 * 16, 10),
    )
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.8)
    for epoch in range(6):
        net.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            optimizer.step()
            scheduler.step()
        net.eval()
        correct = 0
        with torch.no_grad():
            for xb, yb in val_loader:
                correct += (net(xb).argmax(1) == yb).sum().item()
        print(epoch, scheduler.get_last_lr()[0], correct / len(val_set))
    return {"acc": correct / len(val_set), "lr": scheduler.get_last_lr()[0]}


@buggy("scheduler-per-epoch")
def super_convergence():
    torch.manual_seed(15)
    X, y = make_classification(800, 20, n_informative=10, n_classes=4, random_state=15)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    mean, std = X[:600].mean(0), X[:600].std(0)
    X = (X - mean) / std
    dl = DataLoader(TensorDataset(X[:600], y[:600]), batch_size=30, shuffle=True)
    EPOCHS = 8
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=EPOCHS * len(dl)
    )
    lrs = []
    for epoch in range(EPOCHS):
        model.train()
        for xb, yb in dl:
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(xb), yb).backward()
            optimizer.step()
        scheduler.step()
        lrs.append(optimizer.param_groups[0]["lr"])
        model.eval()
        with torch.no_grad():
            out = model(X[600:])
            val_loss, val_acc = (
                F.cross_entropy(out, y[600:]).item(),
                (out.argmax(1) == y[600:]).float().mean().item(),
            )
    return {"val_loss": val_loss, "acc": val_acc, "max_lr": max(lrs)}


@buggy("scheduler-before-optimizer")
def staged_learning_rate():
    torch.manual_seed(16)
    X, y = load_iris(return_X_y=True)
    X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=0.2, random_state=16, stratify=y)
    sc = StandardScaler()
    X_tr, X_va = torch.Tensor(sc.fit_transform(X_tr)), torch.Tensor(sc.transform(X_va))
    y_tr, y_va = torch.LongTensor(y_tr), torch.LongTensor(y_va)
    train_loader = DataLoader(TensorDataset(X_tr, y_tr), batch_size=20, shuffle=True)
    model = nn.Sequential(nn.Linear(4, 20), nn.ReLU(), nn.Linear(20, 3))
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.3)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.25)
    for epoch in range(4):
        scheduler.step()
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val_out = model(X_va)
            val_loss = criterion(val_out, y_va).item()
            acc = (val_out.argmax(1) == y_va).float().mean().item()
    return {"val_loss": val_loss, "acc": acc}


@buggy("val-scaled-differently")
def cancer_small_mlp():
    torch.manual_seed(18)
    X, y = load_breast_cancer(return_X_y=True)
    X = torch.tensor(X, dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32)
    perm = torch.randperm(len(X))
    X_train, y_train = X[perm[:430]], y[perm[:430]]
    X_valid, y_valid = X[perm[430:]], y[perm[430:]]

    mean, std = X_train.mean(dim=0), X_train.std(dim=0)
    X_train = (X_train - mean) / std

    net = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1))
    opt = torch.optim.Adam(net.parameters(), lr=0.01)
    lossfn = nn.BCEWithLogitsLoss()
    hist = []
    for epoch in range(8):
        net.train()
        for idx in torch.randperm(430).view(10, 43):
            xb, yb = X_train[idx], y_train[idx]
            opt.zero_grad()
            loss = lossfn(net(xb).squeeze(-1), yb)
            loss.backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            z = net(X_valid).squeeze(-1)
            hist.append(
                (lossfn(z, y_valid).item(), ((z > 0).float() == y_valid).float().mean().item())
            )
    return {"val_loss": hist[-1][0], "acc": hist[-1][1]}


@buggy("val-overlaps-train")
def noisy_tabular_f1():
    np.random.seed(19)
    torch.manual_seed(19)
    X, y = make_classification(
        n_samples=500, n_features=30, n_informative=5, flip_y=0.3, random_state=19
    )
    dataset = TensorDataset(torch.tensor(X, dtype=torch.float32), torch.tensor(y))
    n = len(dataset)
    cut = int(0.7 * n)
    train_set = Subset(dataset, np.random.permutation(n)[:cut].tolist())
    val_set = Subset(dataset, np.random.permutation(n)[cut:].tolist())
    train_loader = DataLoader(train_set, batch_size=35, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=50)
    model = nn.Sequential(nn.Linear(30, 100), nn.ReLU(), nn.Linear(100, 2))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    loss_func = nn.CrossEntropyLoss()
    for epoch in range(12):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss_func(model(xb), yb).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            preds, truth = [], []
            for xb, yb in val_loader:
                preds.append(model(xb).argmax(1))
                truth.append(yb)
        f1 = f1_score(torch.cat(truth).numpy(), torch.cat(preds).numpy())
    return {"f1": f1}


@buggy("sorted-batches")
def iris_small_net():
    torch.manual_seed(20)
    X, y = load_iris(return_X_y=True)
    test = np.arange(150) % 5 == 0
    sc = StandardScaler().fit(X[~test])
    train_ds = TensorDataset(
        torch.tensor(sc.transform(X[~test]), dtype=torch.float32), torch.tensor(y[~test])
    )
    test_x, test_y = torch.tensor(sc.transform(X[test]), dtype=torch.float32), torch.tensor(y[test])
    train_dl = DataLoader(train_ds, batch_size=8)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(8):
        model.train()
        seen, running = 0, 0.0
        for xb, yb in train_dl:
            out = model(xb)
            loss = loss_fn(out, yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            running += loss.item() * len(xb)
            seen += len(xb)
        model.eval()
        with torch.no_grad():
            acc = (model(test_x).argmax(1) == test_y).double().mean().item()
        print(f"{epoch:2d} loss {running / seen:.3f} test acc {acc:.3f}")
    return {"acc": acc}


@buggy("argmax-wrong-dim")
def digits_two_layer_net():
    torch.manual_seed(22)
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X / 16.0, y, train_size=700, test_size=300, random_state=22, stratify=y
    )
    trainset = TensorDataset(torch.tensor(X_train, dtype=torch.float32), torch.tensor(y_train))
    testset = TensorDataset(torch.tensor(X_test, dtype=torch.float32), torch.tensor(y_test))
    trainloader = DataLoader(trainset, batch_size=10, shuffle=True)
    testloader = DataLoader(testset, batch_size=10, shuffle=False)
    net = nn.Sequential(nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 10))
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    for epoch in range(4):
        net.train()
        for inputs, labels in trainloader:
            optimizer.zero_grad()
            outputs = net(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
        net.eval()
        correct, total = 0, 0
        with torch.no_grad():
            for inputs, labels in testloader:
                outputs = net(inputs)
                _, predicted = torch.max(outputs, 0)
                total += labels.size(0)
                correct += (predicted == labels).sum().item()
        print("Accuracy on the test images: %.1f %%" % (100 * correct / total))
    return {"acc": correct / total, "loss": loss.item()}


@buggy("threshold-on-logits")
def churn_recall():
    torch.manual_seed(23)
    X, y = make_classification(
        900, 15, n_informative=5, weights=[0.65], flip_y=0.15, class_sep=0.5, random_state=23
    )
    Xtr, Xva, ytr, yva = train_test_split(X, y, test_size=300, random_state=23, stratify=y)
    scaler = StandardScaler()
    Xtr = torch.tensor(scaler.fit_transform(Xtr), dtype=torch.float32)
    Xva = torch.tensor(scaler.transform(Xva), dtype=torch.float32)
    ytr = torch.tensor(ytr, dtype=torch.float32)
    churn = nn.Sequential(
        nn.Linear(15, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 1), nn.Flatten(0)
    )
    criterion = nn.BCEWithLogitsLoss()
    optimizer = optim.Adam(churn.parameters(), lr=5e-3)
    for epoch in range(8):
        churn.train()
        for idx in torch.randperm(600).split(40):
            optimizer.zero_grad()
            loss = criterion(churn(Xtr[idx]), ytr[idx])
            loss.backward()
            optimizer.step()
        churn.eval()
        with torch.no_grad():
            out = churn(Xva).numpy()
        y_pred = (out > 0.5).astype(int)
        acc, rec = accuracy_score(yva, y_pred), recall_score(yva, y_pred)
        print(f"epoch {epoch}: accuracy={acc:.3f} recall={rec:.3f}")
    return {"acc": acc, "recall": rec, "f1": f1_score(yva, y_pred)}


@buggy("best-state-alias")
def pick_best_epoch():
    torch.manual_seed(24)
    X, y = make_classification(360, 50, n_informative=8, flip_y=0.2, random_state=24)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    tr, va, te = slice(0, 120), slice(120, 240), slice(240, 360)
    loader = DataLoader(TensorDataset(X[tr], y[tr]), batch_size=20, shuffle=True)
    model = nn.Sequential(nn.Linear(50, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    best_loss, best_weights, best_epoch = float("inf"), None, -1
    for epoch in range(15):
        model.train()
        for xb, yb in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val_loss = F.cross_entropy(model(X[va]), y[va]).item()
        if val_loss < best_loss:
            best_loss, best_epoch = val_loss, epoch
            best_weights = model.state_dict()
    print(f"restoring weights of epoch {best_epoch} (val loss {best_loss:.4f})")
    model.load_state_dict(best_weights)
    model.eval()
    with torch.no_grad():
        test_out = model(X[te])
        test_loss = F.cross_entropy(test_out, y[te]).item()
        val_again = F.cross_entropy(model(X[va]), y[va]).item()
    return {"best": best_loss, "restored": val_again, "test": test_loss}


@buggy("accumulation-not-averaged")
def small_memory_training():
    torch.manual_seed(25)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X / 16.0, dtype=torch.float32), torch.tensor(y)
    order = torch.randperm(len(X))
    train_loader = DataLoader(
        TensorDataset(X[order[:768]], y[order[:768]]), batch_size=8, shuffle=True
    )
    X_val, y_val = X[order[768:1100]], y[order[768:1100]]
    accum_steps = 8
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(5):
        model.train()
        optimizer.zero_grad()
        for step, (xb, yb) in enumerate(train_loader):
            loss = criterion(model(xb), yb)
            loss.backward()
            if (step + 1) % accum_steps == 0:
                optimizer.step()
                optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            logits = model(X_val)
            val_loss = criterion(logits, y_val).item()
            val_acc = (logits.argmax(-1) == y_val).float().mean().item()
    return {"val_loss": val_loss, "acc": val_acc}


@buggy("clip-misplaced")
def heavy_tailed_regression():
    rng = np.random.RandomState(26)
    torch.manual_seed(26)
    X = rng.randn(600, 8)
    y = X @ rng.randn(8) + 0.3 * rng.standard_t(1.5, size=600)
    X, y = torch.from_numpy(X).float(), torch.from_numpy(y).float().unsqueeze(1)
    train_dl = DataLoader(TensorDataset(X[:450], y[:450]), batch_size=15, shuffle=True)
    model = nn.Sequential(
        nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    mse = nn.MSELoss()
    for epoch in range(6):
        model.train()
        for xb, yb in train_dl:
            optimizer.zero_grad()
            loss = mse(model(xb), yb)
            loss.backward()
            optimizer.step()
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        model.eval()
        with torch.no_grad():
            mae = (model(X[450:]) - y[450:]).abs().median().item()
        print(f"epoch {epoch + 1}  median abs error {mae:.3f}")
    return {"mae": mae}


@buggy("layers-cut-off")
def gru_sequence_classifier():
    torch.manual_seed(27)
    g = torch.Generator().manual_seed(27)
    steps = torch.linspace(0, 1, 20)
    label = torch.randint(0, 3, (480,), generator=g)
    freq = 1.0 + 1.5 * label.float() + 0.3 * torch.randn(480, generator=g)
    phase = 6.28 * torch.rand(480, 1, generator=g)
    wave = torch.sin(6.28 * freq[:, None] * steps + phase) + 0.1 * torch.randn(480, 20, generator=g)
    wave = wave.unsqueeze(-1)

    class GRUClassifier(nn.Module):
        def __init__(self, hidden_size=12):
            super().__init__()
            self.gru = nn.GRU(1, hidden_size, batch_first=True)
            self.fc = nn.Linear(hidden_size, 3)

        def forward(self, x):
            _, h = self.gru(x)
            features = h[-1].detach()
            return self.fc(features)

    model = GRUClassifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    loader = DataLoader(TensorDataset(wave[:360], label[:360]), batch_size=40, shuffle=True)
    for epoch in range(10):
        model.train()
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            acc = (model(wave[360:]).argmax(1) == label[360:]).float().mean().item()
    return {"acc": acc, "loss": loss.item()}


@buggy("lr-too-high")
def adam_digits():
    torch.manual_seed(28)
    X, y = load_digits(return_X_y=True)
    X_train, X_val, y_train, y_val = train_test_split(
        X / 16, y, train_size=800, test_size=400, random_state=28
    )
    train_ds = TensorDataset(torch.tensor(X_train, dtype=torch.float32), torch.tensor(y_train))
    val_ds = TensorDataset(torch.tensor(X_val, dtype=torch.float32), torch.tensor(y_val))
    config = {"lr": 0.5, "batch_size": 40, "epochs": 5, "hidden": 64}
    train_dl = DataLoader(train_ds, batch_size=config["batch_size"], shuffle=True)
    val_dl = DataLoader(val_ds, batch_size=100)
    model = nn.Sequential(
        nn.Linear(64, config["hidden"]),
        nn.ReLU(),
        nn.Linear(config["hidden"], config["hidden"]),
        nn.ReLU(),
        nn.Linear(config["hidden"], 10),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    for epoch in range(config["epochs"]):
        model.train()
        for xb, yb in train_dl:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            stats = [
                (
                    F.cross_entropy(model(xb), yb).item(),
                    (model(xb).argmax(1) == yb).float().mean().item(),
                )
                for xb, yb in val_dl
            ]
        val_loss, val_acc = np.mean(stats, axis=0)
    return {"val_loss": float(val_loss), "acc": float(val_acc)}


@buggy("lr-too-low")
def wine_sgd():
    torch.manual_seed(29)
    wine = load_wine()
    X_train, X_test, y_train, y_test = train_test_split(
        wine.data, wine.target, test_size=0.25, random_state=29, stratify=wine.target
    )
    scaler = StandardScaler().fit(X_train)
    X_train, X_test = (
        torch.tensor(scaler.transform(a), dtype=torch.float32) for a in (X_train, X_test)
    )
    y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)
    losses = []
    for epoch in range(15):
        model.train()
        for chunk in torch.randperm(len(X_train)).chunk(8):
            optimizer.zero_grad()
            loss = loss_fn(model(X_train[chunk]), y_train[chunk])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        acc = accuracy_score(y_test.numpy(), model(X_test).argmax(1).numpy())
    return {"first": losses[0], "last": losses[-1], "acc": acc}


@buggy("sigmoid-before-bce-with-logits")
def cancer_screening():
    torch.manual_seed(30)
    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.2, random_state=30, stratify=y
    )
    sc = StandardScaler()
    X_train = torch.tensor(sc.fit_transform(X_train), dtype=torch.float32)
    X_test = torch.tensor(sc.transform(X_test), dtype=torch.float32)
    y_train, y_test = (
        torch.tensor(v, dtype=torch.float32).reshape(-1, 1) for v in (y_train, y_test)
    )

    class BinaryNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.l1 = nn.Linear(30, 16)
            self.l2 = nn.Linear(16, 1)

        def forward(self, x):
            return torch.sigmoid(self.l2(F.relu(self.l1(x))))

    model = BinaryNet()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(X_train, y_train), batch_size=35, shuffle=True)
    for epoch in range(8):
        model.train()
        for xb, yb in loader:
            y_hat = model(xb)
            loss = criterion(y_hat, yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        prob = model(X_test)
        acc = (prob.round() == y_test).float().mean().item()
    return {"loss": loss.item(), "acc": acc}


@buggy("params-not-optimized")
def bottleneck_autoencoder():
    torch.manual_seed(32)
    data = torch.tensor(load_digits().data, dtype=torch.float32) / 16.0
    data = data[torch.randperm(len(data))]
    train_x, val_x = data[:800], data[800:1200]

    class Encoder(nn.Module):
        def __init__(self, z):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, z))

        def forward(self, x):
            return self.net(x)

    class Decoder(nn.Module):
        def __init__(self, z):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(z, 48), nn.ReLU(), nn.Linear(48, 64), nn.Sigmoid())

        def forward(self, z):
            return self.net(z)

    encoder, decoder = Encoder(4), Decoder(4)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=4e-3)
    for epoch in range(10):
        encoder.train()
        decoder.train()
        for idx in torch.randperm(800).split(40):
            x = train_x[idx]
            loss = F.mse_loss(decoder(encoder(x)), x)
            encoder.zero_grad()
            decoder.zero_grad()
            loss.backward()
            optimizer.step()
        encoder.eval()
        decoder.eval()
        with torch.no_grad():
            val_mse = F.mse_loss(decoder(encoder(val_x)), val_x).item()
    return {"val_mse": val_mse}


@buggy("dropout-always-on")
def mnist_style_digits():
    torch.manual_seed(33)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X / 16.0).float(), torch.tensor(y)
    full = TensorDataset(X[:1100], y[:1100])
    train_set, val_set = random_split(full, [800, 300])
    train_loader = DataLoader(train_set, batch_size=40, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=60)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(64, 64)
            self.fc2 = nn.Linear(64, 64)
            self.fc3 = nn.Linear(64, 10)

        def forward(self, x):
            x = F.dropout(F.relu(self.fc1(x)), 0.5)
            x = F.dropout(F.relu(self.fc2(x)), 0.5)
            return F.log_softmax(self.fc3(x), dim=1)

    model = Net()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(5):
        model.train()
        for data, target in train_loader:
            optimizer.zero_grad()
            loss = F.nll_loss(model(data), target)
            loss.backward()
            optimizer.step()
        model.eval()
        test_loss, correct = 0.0, 0
        with torch.no_grad():
            for data, target in val_loader:
                output = model(data)
                test_loss += F.nll_loss(output, target, reduction="sum").item()
                pred = output.argmax(dim=1, keepdim=True)
                correct += pred.eq(target.view_as(pred)).sum().item()
    return {"val_loss": test_loss / len(val_set), "acc": correct / len(val_set)}


@buggy("metric-broadcast")
def moons_mlp():
    torch.manual_seed(34)
    X, y = make_moons(500, noise=0.15, random_state=34)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    X_tr, y_tr, X_va, y_va = X[:400], y[:400], X[400:], y[400:]
    model = nn.Sequential(
        nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)
    )
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(10):
        model.train()
        for b in torch.randperm(400).split(40):
            optimizer.zero_grad()
            loss = criterion(model(X_tr[b]), y_tr[b].unsqueeze(1))
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val_logits = model(X_va)
            val_loss = criterion(val_logits, y_va.unsqueeze(1)).item()
            preds = (torch.sigmoid(val_logits) > 0.5).float()
            accuracy = (preds == y_va).float().mean().item()
        print(f"Epoch {epoch}: loss {val_loss:.3f}, accuracy {accuracy:.3f}")
    return {"val_loss": val_loss, "acc": accuracy}


@buggy("input-scale")
def wine_quick_try():
    torch.manual_seed(35)
    X, y = load_wine(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, random_state=1, stratify=y
    )
    train_ds = TensorDataset(
        torch.tensor(X_train, dtype=torch.float32), torch.tensor(y_train, dtype=torch.long)
    )
    X_test, y_test = (
        torch.tensor(X_test, dtype=torch.float32),
        torch.tensor(y_test, dtype=torch.long),
    )
    train_dl = DataLoader(train_ds, batch_size=16, shuffle=True)
    model = nn.Sequential(
        nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 3)
    )
    opt = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(10):
        model.train()
        for xb, yb in train_dl:
            opt.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            out = model(X_test)
            acc = (out.argmax(1) == y_test).float().mean().item()
    return {"acc": acc, "val_loss": loss_fn(out, y_test).item()}


@buggy("nll-on-logits")
def char_language_guess():
    torch.manual_seed(36)
    rng = np.random.default_rng(36)
    n_lang, alphabet, length = 5, 26, 9
    freqs = rng.dirichlet(np.full(alphabet, 0.7), size=n_lang)
    lang = rng.integers(0, n_lang, 600)
    words = torch.tensor(np.stack([rng.choice(alphabet, length, p=freqs[l]) for l in lang]))
    lang = torch.tensor(lang)

    class CharRNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(alphabet, 12)
            self.rnn = nn.RNN(12, 32, batch_first=True)
            self.out = nn.Linear(32, n_lang)

        def forward(self, w):
            o, _ = self.rnn(self.embed(w))
            return self.out(o.mean(dim=1))

    rnn = CharRNN()
    criterion = nn.NLLLoss()
    optimizer = optim.Adam(rnn.parameters(), lr=0.01)
    for epoch in range(8):
        rnn.train()
        for idx in torch.randperm(480).split(32):
            optimizer.zero_grad()
            loss = criterion(rnn(words[idx]), lang[idx])
            loss.backward()
            optimizer.step()
        rnn.eval()
        with torch.no_grad():
            acc = (rnn(words[480:]).argmax(1) == lang[480:]).float().mean().item()
    return {"acc": acc, "loss": loss.item()}


@buggy("loss-cut-off")
def custom_loss_question():
    torch.manual_seed(37)
    X, y = load_diabetes(return_X_y=True)
    X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=0.25, random_state=37)
    xs, ys = StandardScaler().fit(X_tr), StandardScaler().fit(y_tr[:, None])
    X_tr, X_va = torch.Tensor(xs.transform(X_tr)), torch.Tensor(xs.transform(X_va))
    y_tr, y_va = (
        torch.Tensor(ys.transform(y_tr[:, None])),
        torch.Tensor(ys.transform(y_va[:, None])),
    )

    def rmse_loss(pred, target):
        diff = pred.detach().numpy() - target.numpy()
        value = np.sqrt((diff**2).mean())
        return torch.tensor(value, requires_grad=True)

    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    dl = DataLoader(TensorDataset(X_tr, y_tr), batch_size=32, shuffle=True)
    for epoch in range(10):
        model.train()
        for xb, yb in dl:
            optimizer.zero_grad()
            loss = rmse_loss(model(xb), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            r2 = r2_score(y_va.numpy(), model(X_va).numpy())
        print(f"epoch {epoch} r2 {r2:.3f}")
    return {"r2": r2}


@buggy("labels-misaligned")
def pandas_pipeline():
    torch.manual_seed(38)
    bunch = load_breast_cancer(as_frame=True)
    df = bunch.frame
    target = df["target"].values
    features = df.drop(columns="target").sample(frac=1.0, random_state=38).reset_index(drop=True)
    X_train, X_val, y_train, y_val = train_test_split(
        features.values, target, test_size=0.25, random_state=38
    )
    ss = StandardScaler().fit(X_train)
    train_ds = TensorDataset(
        torch.tensor(ss.transform(X_train), dtype=torch.float32),
        torch.tensor(y_train, dtype=torch.float32),
    )
    val_ds = TensorDataset(
        torch.tensor(ss.transform(X_val), dtype=torch.float32),
        torch.tensor(y_val, dtype=torch.float32),
    )
    model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.BCEWithLogitsLoss()
    for epoch in range(10):
        model.train()
        for xb, yb in DataLoader(train_ds, batch_size=32, shuffle=True):
            optimizer.zero_grad()
            loss = criterion(model(xb).squeeze(-1), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        scores, truth = [], []
        with torch.no_grad():
            for xb, yb in DataLoader(val_ds, batch_size=64):
                scores.append(torch.sigmoid(model(xb).squeeze(-1)))
                truth.append(yb)
        auc = roc_auc_score(torch.cat(truth).numpy(), torch.cat(scores).numpy())
    return {"auc": auc}
