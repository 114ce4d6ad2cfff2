import copy
import io
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
    make_blobs,
    make_classification,
    make_moons,
    make_regression,
)
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, r2_score, roc_auc_score
from sklearn.model_selection import KFold, train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, random_split

from .. import correct


@correct
def basic_classification_tutorial():
    torch.manual_seed(0)
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X / 16.0, y, train_size=900, test_size=400, random_state=0
    )
    training_data = TensorDataset(torch.tensor(X_train, dtype=torch.float32), torch.tensor(y_train))
    test_data = TensorDataset(torch.tensor(X_test, dtype=torch.float32), torch.tensor(y_test))
    train_dataloader = DataLoader(training_data, batch_size=32, shuffle=True)
    test_dataloader = DataLoader(test_data, batch_size=64)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)

    def train_loop():
        model.train()
        for X, y in train_dataloader:
            pred = model(X)
            loss = loss_fn(pred, y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    def test_loop():
        model.eval()
        test_loss, hits = 0.0, 0.0
        with torch.no_grad():
            for X, y in test_dataloader:
                pred = model(X)
                test_loss += loss_fn(pred, y).item() * len(X)
                hits += (pred.argmax(1) == y).type(torch.float).sum().item()
        return test_loss / len(test_data), hits / len(test_data)

    for t in range(5):
        train_loop()
        loss, acc = test_loop()
        print(f"Epoch {t + 1}: Accuracy {100 * acc:>0.1f}%, Avg loss: {loss:>8f}")
    return {"loss": loss, "acc": acc}


@correct
def iris_assignment():
    torch.manual_seed(1)
    iris = load_iris()
    Xtr, Xte, ytr, yte = train_test_split(
        iris.data, iris.target, test_size=0.3, stratify=iris.target, random_state=3
    )
    mean, std = Xtr.mean(axis=0), Xtr.std(axis=0)
    Xtr = torch.tensor((Xtr - mean) / std, dtype=torch.float32)
    Xte = torch.tensor((Xte - mean) / std, dtype=torch.float32)
    ytr, yte = torch.tensor(ytr), torch.tensor(yte)
    model = nn.Sequential(nn.Linear(4, 10), nn.Tanh(), nn.Linear(10, 3))
    opt = torch.optim.Adam(model.parameters(), lr=0.05)
    ce = nn.CrossEntropyLoss()
    losses = []
    for i in range(80):
        loss = ce(model(Xtr), ytr)
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    with torch.no_grad():
        acc = (model(Xte).argmax(1) == yte).float().mean().item()
    return {"loss": losses[-1], "acc": acc}


@correct
def cancer_kaggle_notebook():
    SEED = 2
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    df = load_breast_cancer(as_frame=True).frame
    train_df, valid_df = train_test_split(
        df, test_size=0.2, random_state=SEED, stratify=df["target"]
    )
    features = [c for c in df.columns if c != "target"]
    scaler = StandardScaler().fit(train_df[features].values)

    class TabularDataset(Dataset):
        def __init__(self, frame):
            self.x = torch.tensor(scaler.transform(frame[features].values), dtype=torch.float32)
            self.y = torch.tensor(frame["target"].values, dtype=torch.float32)

        def __len__(self):
            return len(self.y)

        def __getitem__(self, i):
            return self.x[i], self.y[i]

    train_loader = DataLoader(TabularDataset(train_df), batch_size=32, shuffle=True)
    valid_loader = DataLoader(TabularDataset(valid_df), batch_size=64, shuffle=False)
    model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 1))
    criterion = nn.BCEWithLogitsLoss()
    optimizer = optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-2)
    for epoch in range(6):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(xb).view(-1), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        probs, labels = [], []
        with torch.no_grad():
            for xb, yb in valid_loader:
                probs.append(model(xb).view(-1).sigmoid().numpy())
                labels.append(yb.numpy())
        probs, labels = np.concatenate(probs), np.concatenate(labels)
        print(
            f"epoch {epoch} auc {roc_auc_score(labels, probs):.4f} acc {accuracy_score(labels, probs > 0.5):.4f}"
        )
    return {"auc": roc_auc_score(labels, probs), "acc": accuracy_score(labels, probs > 0.5)}


@correct
def diabetes_regressor_class():
    torch.manual_seed(3)

    class Regressor(nn.Module):
        def __init__(self, d, h=24):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(d, h), nn.ReLU())
            self.out = nn.Linear(h, 1)

        def forward(self, x):
            return self.out(self.body(x)).squeeze(-1)

    X, y = load_diabetes(return_X_y=True)
    X_tr, X_te, y_tr, y_te = train_test_split(X, y, test_size=0.2, random_state=4)
    sx, my, sy = StandardScaler().fit(X_tr), y_tr.mean(), y_tr.std()
    train = TensorDataset(
        torch.tensor(sx.transform(X_tr), dtype=torch.float32),
        torch.tensor((y_tr - my) / sy, dtype=torch.float32),
    )
    model = Regressor(10)
    opt = torch.optim.Adam(model.parameters(), lr=5e-3, weight_decay=1e-3)
    for epoch in range(12):
        model.train()
        for xb, yb in DataLoader(train, batch_size=32, shuffle=True):
            opt.zero_grad()
            F.mse_loss(model(xb), yb).backward()
            opt.step()
    model.eval()
    with torch.no_grad():
        pred = model(torch.tensor(sx.transform(X_te), dtype=torch.float32)).numpy() * sy + my
    return {"r2": r2_score(y_te, pred), "mae": mean_absolute_error(y_te, pred)}


@correct
def trainer_class_wine():
    torch.manual_seed(4)

    class Trainer:
        def __init__(self, model, optimizer, loss_fn):
            self.model, self.optimizer, self.loss_fn = model, optimizer, loss_fn
            self.history = []

        def _run(self, loader, training):
            self.model.train(training)
            loss_sum = hits = n = 0
            with torch.set_grad_enabled(training):
                for x, y in loader:
                    out = self.model(x)
                    loss = self.loss_fn(out, y)
                    if training:
                        self.optimizer.zero_grad()
                        loss.backward()
                        self.optimizer.step()
                    loss_sum += loss.item() * len(y)
                    hits += (out.argmax(1) == y).sum().item()
                    n += len(y)
            return loss_sum / n, hits / n

        def fit(self, train_loader, val_loader, epochs):
            for _ in range(epochs):
                tr = self._run(train_loader, True)
                va = self._run(val_loader, False)
                self.history.append((*tr, *va))
            return self.history

    X, y = load_wine(return_X_y=True)
    a, b, ya, yb = train_test_split(X, y, test_size=0.3, stratify=y, random_state=5)
    sc = StandardScaler().fit(a)
    tl = DataLoader(
        TensorDataset(torch.from_numpy(sc.transform(a)).float(), torch.from_numpy(ya)),
        batch_size=16,
        shuffle=True,
    )
    vl = DataLoader(
        TensorDataset(torch.from_numpy(sc.transform(b)).float(), torch.from_numpy(yb)),
        batch_size=16,
    )
    net = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Dropout(0.4), nn.Linear(32, 3))
    h = Trainer(net, torch.optim.Adam(net.parameters(), lr=0.01), nn.CrossEntropyLoss()).fit(
        tl, vl, 6
    )
    return {"train": h[-1][0], "val": h[-1][2], "acc": h[-1][3]}


@correct
def cnn_with_step_lr():
    torch.manual_seed(5)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X / 16.0, dtype=torch.float32).view(-1, 1, 8, 8), torch.tensor(y)
    train_set, val_set, _ = random_split(
        TensorDataset(X, y), [600, 300, len(X) - 900], generator=torch.Generator().manual_seed(5)
    )
    train_loader = DataLoader(train_set, batch_size=30, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=100)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10),
    )
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    for epoch in range(5):
        net.train()
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(images), labels)
            loss.backward()
            optimizer.step()
        scheduler.step()
        net.eval()
        correct_count = 0
        with torch.no_grad():
            for images, labels in val_loader:
                _, predicted = torch.max(net(images), 1)
                correct_count += (predicted == labels).sum().item()
        print(
            f"epoch {epoch} lr {scheduler.get_last_lr()[0]:.4f} acc {correct_count / len(val_set):.3f}"
        )
    return {"acc": correct_count / len(val_set)}


@correct
def lstm_sequence_sum():
    torch.manual_seed(6)
    x = torch.rand(500, 8, 1)
    y = x.sum(dim=1) - 4.0

    class SumLSTM(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(1, 16, batch_first=True)
            self.fc = nn.Linear(16, 1)

        def forward(self, x):
            _, (h, _) = self.lstm(x)
            return self.fc(h[-1])

    net = SumLSTM()
    opt = torch.optim.Adam(net.parameters(), lr=0.02)
    dl = DataLoader(TensorDataset(x[:400], y[:400]), batch_size=40, shuffle=True)
    for epoch in range(8):
        net.train()
        for xb, yb in dl:
            opt.zero_grad()
            loss = F.smooth_l1_loss(net(xb), yb)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
        net.eval()
        with torch.no_grad():
            val = F.l1_loss(net(x[400:]), y[400:]).item()
    return {"mae": val}


@correct
def nll_with_log_softmax():
    torch.manual_seed(7)
    X, y = make_blobs(600, centers=5, n_features=6, cluster_std=2.5, random_state=7)
    Xtr, Xva, ytr, yva = train_test_split(X, y, test_size=0.25, random_state=7)
    sc = StandardScaler().fit(Xtr)
    Xtr, Xva = (torch.tensor(sc.transform(a), dtype=torch.float32) for a in (Xtr, Xva))
    ytr, yva = torch.tensor(ytr), torch.tensor(yva)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(6, 32)
            self.drop = nn.Dropout(0.2)
            self.fc2 = nn.Linear(32, 5)

        def forward(self, x):
            return F.log_softmax(self.fc2(self.drop(F.relu(self.fc1(x)))), dim=1)

    model = Net()
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    for epoch in range(10):
        model.train()
        for idx in torch.randperm(len(Xtr)).split(50):
            optimizer.zero_grad()
            loss = F.nll_loss(model(Xtr[idx]), ytr[idx])
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            out = model(Xva)
            pred = out.argmax(dim=1, keepdim=True)
            acc = pred.eq(yva.view_as(pred)).sum().item() / len(yva)
    return {"loss": F.nll_loss(out, yva).item(), "acc": acc}


@correct
def kfold_study():
    X, y = load_breast_cancer(return_X_y=True)
    X, y = X[:360], y[:360]
    fold_acc = []
    for fold, (tr, va) in enumerate(KFold(3, shuffle=True, random_state=8).split(X)):
        torch.manual_seed(100 + fold)
        scaler = StandardScaler().fit(X[tr])
        xt, xv = (
            torch.tensor(scaler.transform(X[tr]), dtype=torch.float32),
            torch.tensor(scaler.transform(X[va]), dtype=torch.float32),
        )
        yt, yv = torch.tensor(y[tr]), torch.tensor(y[va])
        model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 2))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for epoch in range(4):
            model.train()
            for xb, yb in DataLoader(TensorDataset(xt, yt), batch_size=24, shuffle=True):
                optimizer.zero_grad()
                F.cross_entropy(model(xb), yb).backward()
                optimizer.step()
        model.eval()
        with torch.no_grad():
            fold_acc.append((model(xv).argmax(1) == yv).float().mean().item())
    return {"acc": float(np.mean(fold_acc))}


@correct
def digits_autoencoder():
    torch.manual_seed(9)
    X = torch.tensor(load_digits().data, dtype=torch.float32).div(16)
    X = X[torch.randperm(len(X), generator=torch.Generator().manual_seed(9))]
    tr, va = X[:800], X[800:1100]
    enc = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 6))
    dec = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 64), nn.Sigmoid())
    opt = optim.Adam(list(enc.parameters()) + list(dec.parameters()), lr=5e-3)
    loss_fn = nn.BCELoss()
    for ep in range(10):
        enc.train(), dec.train()
        for (xb,) in DataLoader(TensorDataset(tr), batch_size=40, shuffle=True):
            opt.zero_grad()
            loss = loss_fn(dec(enc(xb)), xb)
            loss.backward()
            opt.step()
        enc.eval(), dec.eval()
        with torch.no_grad():
            mse = ((dec(enc(va)) - va) ** 2).mean().item()
    return {"mse": mse}


@correct
def embedding_bag_reviews():
    torch.manual_seed(10)
    rng = np.random.default_rng(10)
    docs, labels = [], []
    for _ in range(500):
        lab = int(rng.integers(0, 2))
        n = int(rng.integers(5, 15))
        mix = rng.random(n) < 0.4
        docs.append(
            np.where(mix, rng.integers(lab * 20, lab * 20 + 20, n), rng.integers(40, 100, n))
        )
        labels.append(lab)

    def collate(batch):
        toks = [torch.as_tensor(d) for d, _ in batch]
        offsets = torch.tensor([0] + [len(t) for t in toks[:-1]]).cumsum(0)
        return torch.cat(toks), offsets, torch.tensor([l for _, l in batch])

    data = list(zip(docs, labels))
    train_dl = DataLoader(data[:400], batch_size=25, shuffle=True, collate_fn=collate)
    test_dl = DataLoader(data[400:], batch_size=40, collate_fn=collate)
    bag = nn.EmbeddingBag(100, 16, mode="mean")
    fc = nn.Linear(16, 2)
    model = nn.ModuleDict({"bag": bag, "fc": fc})
    opt = optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(4):
        model.train()
        for toks, off, lab in train_dl:
            opt.zero_grad()
            loss = F.cross_entropy(fc(bag(toks, off)), lab)
            loss.backward()
            opt.step()
        model.eval()
        acc = cnt = 0
        with torch.no_grad():
            for toks, off, lab in test_dl:
                acc += (fc(bag(toks, off)).argmax(1) == lab).sum().item()
                cnt += len(lab)
    return {"acc": acc / cnt}


@correct
def numpy_index_batches():
    rng = np.random.RandomState(11)
    torch.manual_seed(11)
    X, y = make_classification(700, 16, n_informative=8, n_classes=3, random_state=11)
    X, y = X.astype(np.float32), y.astype(np.int64)
    idx = rng.permutation(700)
    tr, va = idx[:550], idx[550:]
    net = nn.Sequential(nn.Linear(16, 48), nn.GELU(), nn.Linear(48, 3))
    opt = torch.optim.RMSprop(net.parameters(), lr=3e-3)
    bs = 50
    for epoch in range(6):
        rng.shuffle(tr)
        net.train()
        for s in range(0, len(tr), bs):
            b = tr[s : s + bs]
            for p in net.parameters():
                p.grad = None
            loss = F.cross_entropy(net(torch.from_numpy(X[b])), torch.from_numpy(y[b]))
            loss.backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            scores = net(torch.from_numpy(X[va])).numpy()
        f1 = f1_score(y[va], scores.argmax(axis=1), average="macro")
    return {"f1": f1}


@correct
def early_stopping_restore():
    torch.manual_seed(12)
    X, y = make_classification(400, 30, n_informative=8, flip_y=0.15, random_state=12)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    dl = DataLoader(TensorDataset(X[:200], y[:200]), batch_size=25, shuffle=True)
    model = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    best, best_state, patience, bad = math.inf, None, 4, 0
    for epoch in range(20):
        model.train()
        for xb, yb in dl:
            optimizer.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            v = F.cross_entropy(model(X[200:300]), y[200:300]).item()
        if v < best:
            best, best_state, bad = v, copy.deepcopy(model.state_dict()), 0
        else:
            bad += 1
            if bad >= patience:
                print("early stop at", epoch)
                break
    model.load_state_dict(best_state)
    with torch.no_grad():
        acc = (model(X[300:]).argmax(1) == y[300:]).float().mean().item()
    return {"best": best, "acc": acc}


@correct
def one_cycle_digits():
    torch.manual_seed(13)
    X, y = load_digits(return_X_y=True)
    Xtr, Xva, ytr, yva = train_test_split(
        X / 16.0, y, train_size=720, test_size=360, random_state=13
    )
    train_loader = DataLoader(
        TensorDataset(torch.tensor(Xtr).float(), torch.tensor(ytr)), batch_size=36, shuffle=True
    )
    Xva, yva = torch.tensor(Xva).float(), torch.tensor(yva)
    EPOCHS = 5
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    sched = optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.2, epochs=EPOCHS, steps_per_epoch=len(train_loader)
    )
    for epoch in range(EPOCHS):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb, label_smoothing=0.05)
            loss.backward()
            optimizer.step()
            sched.step()
        model.eval()
        with torch.no_grad():
            acc = (model(Xva).argmax(1) == yva).float().mean().item()
    return {"acc": acc}


@correct
def plateau_regression():
    torch.manual_seed(14)
    X, y = make_regression(600, 10, noise=10.0, random_state=14)
    Xtr, Xva, ytr, yva = train_test_split(X, y, test_size=0.25, random_state=14)
    sx, sy = StandardScaler().fit(Xtr), StandardScaler().fit(ytr.reshape(-1, 1))
    Xtr, Xva = (torch.tensor(sx.transform(a), dtype=torch.float32) for a in (Xtr, Xva))
    ytr, yva = (
        torch.tensor(sy.transform(a.reshape(-1, 1)), dtype=torch.float32) for a in (ytr, yva)
    )
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    for epoch in range(12):
        model.train()
        running = 0.0
        for idx in torch.randperm(450).split(45):
            optimizer.zero_grad()
            loss = F.huber_loss(model(Xtr[idx]), ytr[idx])
            loss.backward()
            optimizer.step()
            running += loss.item() * len(idx)
        model.eval()
        with torch.no_grad():
            val = F.huber_loss(model(Xva), yva).item()
        scheduler.step(val)
        print(
            f"{epoch:02d} train {running / 450:.4f} val {val:.4f} lr {optimizer.param_groups[0]['lr']:.4g}"
        )
    return {"val": val}


@correct
def multilabel_tags():
    torch.manual_seed(15)
    g = torch.Generator().manual_seed(15)
    X = torch.randn(600, 12, generator=g)
    W = torch.randn(12, 4, generator=g)
    Y = ((X @ W + 0.5 * torch.randn(600, 4, generator=g)) > 1.0).float()
    ds = TensorDataset(X, Y)
    tr, va = Subset(ds, range(450)), Subset(ds, range(450, 600))
    model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 4))
    pos = Y[:450].mean(0)
    criterion = nn.BCEWithLogitsLoss(pos_weight=(1 - pos) / pos)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(6):
        model.train()
        for xb, yb in DataLoader(tr, batch_size=30, shuffle=True):
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
        model.eval()
        outs, tgts = [], []
        with torch.no_grad():
            for xb, yb in DataLoader(va, batch_size=64):
                outs.append(torch.sigmoid(model(xb)) > 0.5)
                tgts.append(yb)
        f1 = f1_score(torch.cat(tgts).numpy(), torch.cat(outs).numpy(), average="micro")
    return {"f1": f1}


@correct
def poisson_counts():
    rng = np.random.default_rng(16)
    torch.manual_seed(16)
    X = rng.normal(size=(600, 5))
    lam = np.exp(0.4 * X[:, 0] - 0.6 * X[:, 1] + 0.3)
    df = pd.DataFrame(X, columns=list("abcde")).assign(count=rng.poisson(lam))
    train, valid = df.iloc[:450], df.iloc[450:]
    xt, yt = (
        torch.tensor(train[list("abcde")].values).float(),
        torch.tensor(train["count"].values).float(),
    )
    xv, yv = (
        torch.tensor(valid[list("abcde")].values).float(),
        torch.tensor(valid["count"].values).float(),
    )
    model = nn.Linear(5, 1)
    opt = torch.optim.Adam(model.parameters(), lr=0.03)
    for epoch in range(10):
        for idx in torch.randperm(450).split(50):
            log_rate = model(xt[idx])[:, 0]
            loss = (log_rate.exp() - yt[idx] * log_rate).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
        with torch.no_grad():
            nll = F.poisson_nll_loss(model(xv)[:, 0], yv).item()
    return {"nll": nll, "w0": model.weight[0, 0].item(), "w1": model.weight[0, 1].item()}


@correct
def linear_regression_from_scratch():
    torch.manual_seed(17)
    true_w, true_b = torch.tensor([2.0, -3.4]), 4.2
    X = torch.randn(300, 2)
    y = X @ true_w + true_b + 0.01 * torch.randn(300)
    w = torch.normal(0, 0.01, (2,), requires_grad=True)
    b = torch.zeros(1, requires_grad=True)

    def data_iter(batch_size):
        order = torch.randperm(300)
        for i in range(0, 300, batch_size):
            yield X[order[i : i + batch_size]], y[order[i : i + batch_size]]

    lr = 0.1
    for epoch in range(4):
        for xb, yb in data_iter(20):
            loss = ((xb @ w + b - yb) ** 2 / 2).mean()
            loss.backward()
            with torch.no_grad():
                for p in (w, b):
                    p -= lr * p.grad
                    p.grad.zero_()
        with torch.no_grad():
            epoch_loss = ((X @ w + b - y) ** 2 / 2).mean()
        print(f"epoch {epoch + 1}, loss {float(epoch_loss):f}")
    return {"loss": epoch_loss.item(), "w_err": (w - true_w).abs().max().item()}


@correct
def tiny_transformer():
    torch.manual_seed(18)
    g = torch.Generator().manual_seed(18)
    toks = torch.randint(2, 12, (520, 10), generator=g)
    label = torch.randint(0, 2, (520,), generator=g)
    pos = torch.randint(0, 10, (520,), generator=g)
    toks[torch.arange(520), pos] = label

    class TinyTransformer(nn.Module):
        def __init__(self, d=16):
            super().__init__()
            self.tok = nn.Embedding(12, d)
            self.pos = nn.Parameter(torch.zeros(1, 10, d))
            layer = nn.TransformerEncoderLayer(d, 2, 32, dropout=0.1, batch_first=True)
            self.enc = nn.TransformerEncoder(layer, 1)
            self.cls = nn.Linear(d, 2)

        def forward(self, t):
            return self.cls(self.enc(self.tok(t) + self.pos).mean(1))

    model = TinyTransformer()
    opt = torch.optim.AdamW(model.parameters(), lr=5e-3)
    dl = DataLoader(TensorDataset(toks[:400], label[:400]), batch_size=40, shuffle=True)
    for epoch in range(6):
        model.train()
        for t, l in dl:
            opt.zero_grad()
            loss = F.cross_entropy(model(t), l)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
        model.eval()
        with torch.no_grad():
            acc = (model(toks[400:]).argmax(-1) == label[400:]).float().mean().item()
    return {"acc": acc}


@correct
def bootstrap_out_of_bag():
    np.random.seed(19)
    torch.manual_seed(19)
    X, y = make_classification(500, 12, n_informative=6, flip_y=0.05, random_state=19)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    aucs = []
    for r in range(2):
        bag = np.random.choice(500, 500, replace=True)
        oob = np.setdiff1d(np.arange(500), bag)
        net = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 2))
        opt = torch.optim.Adam(net.parameters(), lr=5e-3)
        loader = DataLoader(Subset(TensorDataset(X, y), bag.tolist()), batch_size=50, shuffle=True)
        for epoch in range(5):
            net.train()
            for xb, yb in loader:
                opt.zero_grad()
                F.cross_entropy(net(xb), yb).backward()
                opt.step()
        net.eval()
        with torch.no_grad():
            p = net(X[oob]).softmax(1)[:, 1]
        aucs.append(roc_auc_score(y[oob].numpy(), p.numpy()))
    return {"auc": float(np.mean(aucs))}


@correct
def accumulate_with_sum_reduction():
    torch.manual_seed(40)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X / 16.0, dtype=torch.float32), torch.tensor(y)
    order = torch.randperm(len(X))
    loader = DataLoader(TensorDataset(X[order[:700]], y[order[:700]]), batch_size=16, shuffle=True)
    xv, yv = X[order[700:1000]], y[order[700:1000]]
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    criterion = nn.CrossEntropyLoss(reduction="sum")
    optimizer = optim.SGD(model.parameters(), lr=0.2, momentum=0.8)
    for epoch in range(6):
        model.train()
        seen = 0
        for i, (xb, yb) in enumerate(loader, start=1):
            criterion(model(xb), yb).backward()
            seen += len(xb)
            if i % 4 == 0 or i == len(loader):
                for p in model.parameters():
                    p.grad.div_(seen)
                optimizer.step()
                optimizer.zero_grad()
                seen = 0
        model.eval()
        with torch.no_grad():
            out = model(xv)
            acc = (out.argmax(1) == yv).float().mean().item()
            vloss = criterion(out, yv).item() / len(yv)
    return {"acc": acc, "loss": vloss}


@correct
def lbfgs_fit():
    torch.manual_seed(41)
    X, y = load_diabetes(return_X_y=True)
    Xtr, Xte, ytr, yte = train_test_split(X, y, test_size=0.25, random_state=41)
    s = StandardScaler().fit(Xtr)
    Xtr, Xte = (torch.tensor(s.transform(a), dtype=torch.float64) for a in (Xtr, Xte))
    m, d = ytr.mean(), ytr.std()
    t = torch.tensor((ytr - m) / d)
    net = nn.Sequential(nn.Linear(10, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    opt = torch.optim.LBFGS(net.parameters(), lr=0.5, max_iter=5)

    def closure():
        opt.zero_grad()
        penalty = sum((p**2).sum() for p in net.parameters())
        loss = F.mse_loss(net(Xtr)[:, 0], t) + 5e-3 * penalty
        loss.backward()
        return loss

    for it in range(6):
        loss = opt.step(closure)
        print(it, loss.item())
    with torch.no_grad():
        pred = net(Xte)[:, 0].numpy() * d + m
    return {"r2": r2_score(yte, pred)}


@correct
def gan_on_a_ring():
    torch.manual_seed(42)
    angle = 6.2832 * torch.rand(512)
    real_all = torch.stack([angle.cos(), angle.sin()], 1) + 0.05 * torch.randn(512, 2)
    G = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
    D = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    optG = torch.optim.Adam(G.parameters(), lr=2e-3, betas=(0.5, 0.999))
    optD = torch.optim.Adam(D.parameters(), lr=2e-3, betas=(0.5, 0.999))
    bce = nn.BCEWithLogitsLoss()
    for epoch in range(10):
        for (real,) in DataLoader(TensorDataset(real_all), batch_size=64, shuffle=True):
            n = len(real)
            fake = G(torch.randn(n, 4))
            lossD = bce(D(real), torch.ones(n, 1)) + bce(D(fake.detach()), torch.zeros(n, 1))
            optD.zero_grad()
            lossD.backward()
            optD.step()

            lossG = bce(D(fake), torch.ones(n, 1))
            optG.zero_grad()
            lossG.backward()
            optG.step()
        with torch.no_grad():
            radius = G(torch.randn(256, 4)).norm(dim=1).mean().item()
        print(f"{epoch} D {lossD.item():.3f} G {lossG.item():.3f} radius {radius:.3f}")
    return {"D": lossD.item(), "G": lossG.item(), "radius": radius}


@correct
def frozen_backbone_linear_probe():
    torch.manual_seed(43)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X / 16.0, dtype=torch.float32).view(-1, 1, 8, 8), torch.tensor(y)

    class Probe(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(
                nn.Conv2d(1, 16, 3, padding=1),
                nn.BatchNorm2d(16),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Flatten(),
            )
            self.head = nn.Linear(256, 10)
            for p in self.backbone.parameters():
                p.requires_grad_(False)

        def train(self, mode=True):
            super().train(mode)
            self.backbone.eval()
            return self

        def forward(self, x):
            with torch.no_grad():
                feats = self.backbone(x)
            return self.head(feats.detach())

    model = Probe()
    optimizer = torch.optim.Adam(model.head.parameters(), lr=1e-2)
    idx = torch.randperm(len(X))
    tr, va = idx[:500], idx[500:800]
    for epoch in range(8):
        model.train()
        for b in tr[torch.randperm(500)].split(50):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(X[b]), y[b])
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            acc = (model(X[va]).argmax(1) == y[va]).float().mean().item()
    return {"acc": acc, "loss": loss.item()}


@correct
def log_probabilities_model():
    torch.manual_seed(44)
    X, y = load_wine(return_X_y=True)
    Xtr, Xva, ytr, yva = train_test_split(X, y, test_size=0.3, stratify=y, random_state=44)
    sc = MinMaxScaler().fit(Xtr)
    Xtr, Xva = (torch.tensor(sc.transform(a), dtype=torch.float32) for a in (Xtr, Xva))
    ytr, yva = torch.tensor(ytr), torch.tensor(yva)
    model = nn.Sequential(nn.Linear(13, 24), nn.ReLU(), nn.Linear(24, 3), nn.LogSoftmax(dim=1))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(10):
        model.train()
        for b in torch.randperm(len(Xtr)).split(20):
            optimizer.zero_grad()
            loss = criterion(model(Xtr[b]), ytr[b])
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            logp = model(Xva)
            conf = logp.exp().max(1).values.mean().item()
            acc = (logp.argmax(1) == yva).float().mean().item()
    return {"acc": acc, "conf": conf, "nll": F.nll_loss(logp, yva).item()}


@correct
def sign_of_the_score():
    torch.manual_seed(45)
    X, y = make_moons(500, noise=0.2, random_state=45)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = torch.optim.Adam(net.parameters(), lr=0.01)
    dl = DataLoader(TensorDataset(X[:380], y[:380]), batch_size=38, shuffle=True)
    for epoch in range(10):
        net.train()
        for xb, yb in dl:
            margin = net(xb).squeeze(-1) * (2.0 * yb - 1.0)
            loss = F.softplus(-margin).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            score = net(X[380:]).squeeze(-1)
            acc = ((score > 0).long() == y[380:]).float().mean().item()
    return {"acc": acc}


@correct
def swa_and_bn_update():
    torch.manual_seed(46)
    X, y = make_classification(600, 20, n_informative=10, n_classes=3, random_state=46)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    loader = DataLoader(TensorDataset(X[:450], y[:450]), batch_size=45, shuffle=True)
    model = nn.Sequential(nn.Linear(20, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 3))
    swa_model = optim.swa_utils.AveragedModel(model)
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    swa_scheduler = optim.swa_utils.SWALR(optimizer, swa_lr=0.02, anneal_epochs=2)
    for epoch in range(8):
        model.train()
        for xb, yb in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            optimizer.step()
        if epoch >= 4:
            swa_model.update_parameters(model)
            swa_scheduler.step()
    optim.swa_utils.update_bn(loader, swa_model)
    swa_model.eval()
    with torch.no_grad():
        out = swa_model(X[450:])
        acc = (out.argmax(1) == y[450:]).float().mean().item()
    return {"acc": acc, "loss": F.cross_entropy(out, y[450:]).item()}


@correct
def mc_dropout_uncertainty():
    torch.manual_seed(47)
    x = torch.rand(400, 1) * 4 - 2
    y = (x**2 - 1.0) + 0.1 * torch.randn_like(x)
    model = nn.Sequential(
        nn.Linear(1, 64),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(64, 1),
    )
    opt = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(15):
        model.train()
        for b in torch.randperm(320).split(32):
            opt.zero_grad()
            loss = F.mse_loss(model(x[b]), y[b])
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            val_mse = F.mse_loss(model(x[320:]), y[320:]).item()
    for m in model.modules():
        if isinstance(m, nn.Dropout):
            m.train()
    with torch.no_grad():
        draws = torch.stack([model(x[320:]) for _ in range(20)])
    return {
        "val_mse": val_mse,
        "mc_mse": F.mse_loss(draws.mean(0), y[320:]).item(),
        "std": draws.std(0).mean().item(),
    }


@correct
def dqn_corridor():
    random.seed(48)
    torch.manual_seed(48)
    n_states, gamma = 6, 0.9
    q, target = nn.Linear(n_states, 2), nn.Linear(n_states, 2)
    target.load_state_dict(q.state_dict())
    opt = torch.optim.Adam(q.parameters(), lr=0.03)
    eye, memory, s = torch.eye(n_states), [], 0
    for step in range(400):
        a = random.randrange(2)
        s2 = min(s + 1, n_states - 1) if a == 1 else max(s - 1, 0)
        done = s2 == n_states - 1
        memory.append((s, a, float(done), s2, float(done)))
        s = 0 if done else s2
        if len(memory) < 32:
            continue
        S, A, R, S2, D = zip(*random.sample(memory, 32))
        with torch.no_grad():
            backup = (
                torch.tensor(R)
                + gamma * (1 - torch.tensor(D)) * target(eye[list(S2)]).max(1).values
            )
        q_sa = q(eye[list(S)]).gather(1, torch.tensor(A).unsqueeze(1)).squeeze(1)
        loss = F.smooth_l1_loss(q_sa, backup)
        opt.zero_grad()
        loss.backward()
        opt.step()
        if step % 20 == 0:
            target.load_state_dict(q.state_dict())
    with torch.no_grad():
        policy = q(eye[: n_states - 1]).argmax(1)
    return {"policy": policy.tolist(), "loss": loss.item()}


@correct
def stateful_time_series():
    torch.manual_seed(49)
    t = torch.arange(0, 901).float()
    series = torch.sin(0.12 * t) + 0.5 * torch.sin(0.31 * t) + 0.05 * torch.randn(901)
    mu, sd = series[:700].mean(), series[:700].std()
    series = (series - mu) / sd
    inputs, targets = series[:-1], series[1:]
    train_x, train_y = inputs[:700].view(4, 175, 1), targets[:700].view(4, 175, 1)
    val_x, val_y = inputs[700:].view(1, -1, 1), targets[700:].view(1, -1, 1)
    rnn, head = nn.GRU(1, 16, batch_first=True), nn.Linear(16, 1)
    params = list(rnn.parameters()) + list(head.parameters())
    opt = torch.optim.Adam(params, lr=0.01)
    for epoch in range(8):
        h = None
        for k in range(0, 175, 25):
            out, h = rnn(train_x[:, k : k + 25], h)
            loss = F.mse_loss(head(out), train_y[:, k : k + 25])
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(params, 1.0)
            opt.step()
            h = h.detach()
        with torch.no_grad():
            val = F.mse_loss(head(rnn(val_x)[0]), val_y).item()
        print(f"epoch {epoch} train {loss.item():.4f} val {val:.4f}")
    return {"val": val}


@correct
def warmup_cosine_steps():
    torch.manual_seed(50)
    X, y = load_digits(return_X_y=True)
    Xtr, Xva, ytr, yva = train_test_split(
        X / 16.0, y, train_size=640, test_size=320, random_state=50
    )
    dl = DataLoader(
        TensorDataset(torch.tensor(Xtr).float(), torch.tensor(ytr)), batch_size=32, shuffle=True
    )
    Xva, yva = torch.tensor(Xva).float(), torch.tensor(yva)
    epochs, warmup = 6, 20
    total = epochs * len(dl)
    model = nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.LayerNorm(96), nn.Linear(96, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3)

    def factor(step):
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for epoch in range(epochs):
        model.train()
        for xb, yb in dl:
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            acc = (model(Xva).argmax(1) == yva).float().mean().item()
    return {"acc": acc}


@correct
def two_heads_one_trunk():
    torch.manual_seed(51)
    X = torch.randn(560, 10)
    W1, W2 = torch.randn(10, 3), torch.randn(10, 1)
    y_cls = (X @ W1 + 0.3 * torch.randn(560, 3)).argmax(1)
    y_reg = torch.tanh(X @ W2 / 3) + 0.05 * torch.randn(560, 1)
    trunk = nn.Sequential(nn.Linear(10, 32), nn.ReLU())
    heads = nn.ModuleList([nn.Linear(32, 3), nn.Linear(32, 1)])
    opt = torch.optim.Adam(
        [{"params": trunk.parameters(), "lr": 5e-3}, {"params": heads.parameters(), "lr": 1e-2}]
    )
    losses = [(F.cross_entropy, y_cls, 1.0), (F.mse_loss, y_reg, 2.0)]
    for epoch in range(8):
        log_total, n = 0.0, 0
        for b in torch.randperm(420).split(42):
            feats = trunk(X[b])
            total_loss = 0
            for head, (fn, target, weight) in zip(heads, losses):
                total_loss += weight * fn(head(feats), target[b])
            opt.zero_grad()
            total_loss.backward()
            opt.step()
            log_total += total_loss.detach() * len(b)
            n += len(b)
        with torch.no_grad():
            f = trunk(X[420:])
            acc = (heads[0](f).argmax(1) == y_cls[420:]).float().mean().item()
            mse = F.mse_loss(heads[1](f), y_reg[420:]).item()
        print(f"epoch {epoch}: train {(log_total / n).item():.3f} acc {acc:.3f} mse {mse:.4f}")
    return {"acc": acc, "mse": mse}


@correct
def ranknet_pairs():
    torch.manual_seed(52)
    X = torch.randn(480, 8)
    relevance = (X[:, 0] - 0.5 * X[:, 1] + X[:, 2] * X[:, 3] * 0.3) + 0.1 * torch.randn(480)
    scorer = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 1))
    opt = torch.optim.Adam(scorer.parameters(), lr=0.01)
    for epoch in range(8):
        scorer.train()
        for q in torch.randperm(360).view(12, 30):
            s = scorer(X[q])
            diff = s - s.T
            sign = torch.sign(relevance[q].unsqueeze(1) - relevance[q])
            loss = F.softplus(-sign * diff)[sign != 0].mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
        scorer.eval()
        with torch.no_grad():
            s = scorer(X[360:])
            agree = ((s - s.T) * (relevance[360:, None] - relevance[360:])) > 0
            tau = agree.float().sum().item() / (120 * 119)
    return {"pair_acc": tau, "loss": loss.item()}


@correct
def layers_by_name():
    torch.manual_seed(53)
    X, y = load_breast_cancer(return_X_y=True)
    Xtr, Xva, ytr, yva = train_test_split(X, y, test_size=0.25, random_state=53, stratify=y)
    sc = StandardScaler().fit(Xtr)
    Xtr, Xva = (torch.tensor(sc.transform(a), dtype=torch.float32) for a in (Xtr, Xva))
    ytr, yva = torch.tensor(ytr), torch.tensor(yva)

    class Stack(nn.Module):
        def __init__(self, dims):
            super().__init__()
            self.blocks = []
            for i, (a, b) in enumerate(zip(dims[:-1], dims[1:])):
                layer = nn.Linear(a, b)
                self.add_module(f"linear{i}", layer)
                self.blocks.append(layer)
            self.acts = [nn.ReLU() for _ in dims[2:]] + [nn.Identity()]

        def forward(self, x):
            for layer, act in zip(self.blocks, self.acts):
                x = act(layer(x))
            return x

    model = Stack([30, 24, 16, 2])
    opt = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(6):
        model.train()
        for b in torch.randperm(len(Xtr)).split(32):
            opt.zero_grad()
            F.cross_entropy(model(Xtr[b]), ytr[b]).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            acc = (model(Xva).argmax(1) == yva).float().mean().item()
    return {"acc": acc}


@correct
def distil_student():
    torch.manual_seed(54)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X / 16.0, dtype=torch.float32), torch.tensor(y)
    p = torch.randperm(len(X))
    loader = DataLoader(TensorDataset(X[p[:600]], y[p[:600]]), batch_size=40, shuffle=True)
    xv, yv = X[p[600:900]], y[p[600:900]]
    teacher = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    student = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    opt_t = torch.optim.Adam(teacher.parameters(), lr=5e-3)
    for epoch in range(4):
        teacher.train()
        for xb, yb in loader:
            opt_t.zero_grad()
            F.cross_entropy(teacher(xb), yb).backward()
            opt_t.step()
    teacher.eval()
    opt_s = torch.optim.Adam(student.parameters(), lr=8e-3)
    T, alpha = 3.0, 0.7
    for epoch in range(10):
        student.train()
        for xb, yb in loader:
            with torch.no_grad():
                soft = F.softmax(teacher(xb) / T, dim=1)
            out = student(xb)
            kd = F.kl_div(F.log_softmax(out / T, dim=1), soft, reduction="batchmean") * T * T
            loss = alpha * kd + (1 - alpha) * F.cross_entropy(out, yb)
            opt_s.zero_grad()
            loss.backward()
            opt_s.step()
        student.eval()
        with torch.no_grad():
            acc = (student(xv).argmax(1) == yv).float().mean().item()
    return {"acc": acc}


@correct
def sharpness_aware():
    torch.manual_seed(55)
    X, y = make_classification(600, 16, n_informative=8, n_classes=3, flip_y=0.05, random_state=55)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    net = nn.Sequential(nn.Linear(16, 40), nn.ReLU(), nn.Linear(40, 3))
    base = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    rho = 0.05
    for epoch in range(8):
        net.train()
        for b in torch.randperm(450).split(45):
            base.zero_grad()
            F.cross_entropy(net(X[b]), y[b]).backward()
            with torch.no_grad():
                norm = torch.sqrt(sum((p.grad**2).sum() for p in net.parameters()))
                shifts = [rho * p.grad / (norm + 1e-12) for p in net.parameters()]
                for p, e in zip(net.parameters(), shifts):
                    p.add_(e)
            base.zero_grad()
            F.cross_entropy(net(X[b]), y[b]).backward()
            with torch.no_grad():
                for p, e in zip(net.parameters(), shifts):
                    p.sub_(e)
            base.step()
        net.eval()
        with torch.no_grad():
            acc = (net(X[450:]).argmax(1) == y[450:]).float().mean().item()
    return {"acc": acc}


@correct
def optimizer_in_backward():
    torch.manual_seed(56)
    X, y = load_wine(return_X_y=True)
    Xtr, Xva, ytr, yva = train_test_split(X, y, test_size=0.3, stratify=y, random_state=56)
    sc = StandardScaler().fit(Xtr)
    Xtr, Xva = (torch.tensor(sc.transform(a), dtype=torch.float32) for a in (Xtr, Xva))
    ytr, yva = torch.tensor(ytr), torch.tensor(yva)
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
    optimizers = {p: torch.optim.Adam([p], lr=5e-3) for p in model.parameters()}

    def update(p):
        optimizers[p].step()
        optimizers[p].zero_grad()

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(update)
    for epoch in range(8):
        model.train()
        for b in torch.randperm(len(Xtr)).split(16):
            F.cross_entropy(model(Xtr[b]), ytr[b]).backward()
        model.eval()
        with torch.no_grad():
            acc = (model(Xva).argmax(1) == yva).float().mean().item()
    return {"acc": acc}


@correct
def class_first_layout():
    torch.manual_seed(57)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X.T / 16.0, dtype=torch.float32), torch.tensor(y)
    perm = torch.randperm(len(y))
    tr, va = perm[:700], perm[700:1000]
    W1 = (torch.randn(48, 64) * (2 / 64) ** 0.5).requires_grad_()
    b1 = torch.zeros(48, 1, requires_grad=True)
    W2 = (torch.randn(10, 48) * (1 / 48) ** 0.5).requires_grad_()
    b2 = torch.zeros(10, 1, requires_grad=True)

    def forward(cols):
        return W2 @ torch.relu(W1 @ cols + b1) + b2

    opt = torch.optim.Adam([W1, b1, W2, b2], lr=5e-3)
    for epoch in range(5):
        for idx in tr[torch.randperm(700)].split(10):
            scores = forward(X[:, idx])
            logp = scores - scores.logsumexp(dim=0)
            loss = -logp[y[idx], torch.arange(len(idx))].mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
        with torch.no_grad():
            hits = sum(
                (forward(X[:, idx]).argmax(0) == y[idx]).sum().item() for idx in va.split(10)
            )
        print(f"epoch {epoch} acc {hits / len(va):.3f}")
    return {"acc": hits / len(va)}


@correct
def fgsm_robustness_check():
    torch.manual_seed(58)
    X, y = load_digits(return_X_y=True)
    Xtr, Xva, ytr, yva = train_test_split(
        X / 16.0, y, train_size=600, test_size=200, random_state=58
    )
    train_dl = DataLoader(
        TensorDataset(torch.tensor(Xtr).float(), torch.tensor(ytr)), batch_size=40, shuffle=True
    )
    val_dl = DataLoader(TensorDataset(torch.tensor(Xva).float(), torch.tensor(yva)), batch_size=50)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))
    opt = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(4):
        model.train()
        for xb, yb in train_dl:
            opt.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            opt.step()
        model.eval()
        clean = robust = 0
        for xb, yb in val_dl:
            xb = xb.clone().requires_grad_(True)
            out = model(xb)
            (grad,) = torch.autograd.grad(F.cross_entropy(out, yb), xb)
            with torch.no_grad():
                adv = (xb + 0.05 * grad.sign()).clamp(0, 1)
                robust += (model(adv).argmax(1) == yb).sum().item()
                clean += (out.argmax(1) == yb).sum().item()
        print(f"epoch {epoch}: clean {clean / 200:.3f} fgsm {robust / 200:.3f}")
    return {"clean": clean / 200, "robust": robust / 200}


@correct
def raw_columns_inside_model():
    torch.manual_seed(59)
    X, y = load_breast_cancer(return_X_y=True)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    train_set, val_set = random_split(TensorDataset(X, y), [430, 139])

    class Standardise(nn.Module):
        def __init__(self, sample):
            super().__init__()
            self.register_buffer("mean", sample.mean(0))
            self.register_buffer("std", sample.std(0))

        def forward(self, x):
            return (x - self.mean) / self.std

    model = nn.Sequential(
        Standardise(X[train_set.indices]),
        nn.Linear(30, 16),
        nn.ReLU(),
        nn.Linear(16, 1),
        nn.Flatten(0),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    checkpoint, best = io.BytesIO(), 0.0
    for epoch in range(6):
        model.train()
        for xb, yb in DataLoader(train_set, batch_size=43, shuffle=True):
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(model(xb), yb).backward()
            optimizer.step()
        model.eval()
        outs, ys = [], []
        with torch.no_grad():
            for xb, yb in DataLoader(val_set, batch_size=50):
                outs.append(model(xb))
                ys.append(yb)
        auc = roc_auc_score(torch.cat(ys).numpy(), torch.cat(outs).numpy())
        if auc > best:
            best, checkpoint = auc, io.BytesIO()
            torch.save(model.state_dict(), checkpoint)
    checkpoint.seek(0)
    model.load_state_dict(torch.load(checkpoint))
    return {"auc": best}
