"""Training loops with one silent bug each, in strangers' styles."""

import math
import random

import numpy as np
import pandas as pd
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_wine,
    make_classification,
    make_friedman1,
    make_moons,
    make_regression,
)
from sklearn.metrics import accuracy_score, f1_score, r2_score, roc_auc_score
from sklearn.model_selection import KFold, train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import optim
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, random_split
from torch.utils.data.distributed import DistributedSampler

from tests.loops import buggy


@buggy("no-zero-grad")
def hw3_diabetes_regression():
    """Homework 3, exercise 2: predict disease progression."""
    torch.manual_seed(3)
    data = load_diabetes()
    y = data.target[:354]
    X = StandardScaler().fit(data.data[:354]).transform(data.data)
    X = torch.tensor(X, dtype=torch.float32)
    y = torch.tensor((data.target - y.mean()) / y.std(), dtype=torch.float32).view(-1, 1)
    train_set = TensorDataset(X[:354], y[:354])
    loader = DataLoader(train_set, batch_size=16, shuffle=True)
    x_test, y_test = X[354:], y[354:]

    net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = optim.SGD(net.parameters(), lr=0.03)
    loss_fn = nn.MSELoss()
    hist = []
    for _epoch in range(8):
        net.train()
        optimizer.zero_grad()
        total = 0.0
        for xb, yb in loader:
            loss = loss_fn(net(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(xb)
        net.eval()
        with torch.no_grad():
            test_mse = loss_fn(net(x_test), y_test).item()
        hist.append((total / len(train_set), test_mse))
    return hist


@buggy("optimizer-holds-other-params")
def cv_breast_cancer():
    SEED = 42
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    data = load_breast_cancer()

    def make():
        return nn.Sequential(nn.Linear(30, 24), nn.ReLU(), nn.Dropout(0.1), nn.Linear(24, 1))

    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.BCEWithLogitsLoss()
    scores = []
    kf = KFold(n_splits=4, shuffle=True, random_state=SEED)
    for _fold, (tr, va) in enumerate(kf.split(data.data)):
        sc = StandardScaler().fit(data.data[tr])
        xtr = torch.from_numpy(sc.transform(data.data[tr])).float()
        xva = torch.from_numpy(sc.transform(data.data[va])).float()
        ytr = torch.from_numpy(data.target[tr]).float()
        dl = DataLoader(TensorDataset(xtr, ytr), batch_size=32, shuffle=True)
        for _ep in range(4):
            model.train()
            for xb, yb in dl:
                optimizer.zero_grad()
                loss = criterion(model(xb).squeeze(1), yb)
                loss.backward()
                optimizer.step()
        model.eval()
        with torch.no_grad():
            logit = model(xva).squeeze(1).numpy()
        scores.append(roc_auc_score(data.target[va], logit))
        model = make()  # fresh weights
    return scores


@buggy("params-not-optimized")
def proxy_metric_learning():
    """Proxy-NCA style embedding of the digits."""
    torch.manual_seed(11)
    digits = load_digits()
    x = torch.tensor(digits.images / 16.0, dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(digits.target)
    perm = torch.randperm(len(x))
    tr, va = perm[:1000], perm[1000:1400]

    class Embedder(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.conv = nn.Conv2d(1, 12, 3, padding=1)
            self.fc = nn.Linear(12 * 16, dim)

        def forward(self, im):
            h = F.max_pool2d(F.relu(self.conv(im)), 2)
            return F.normalize(self.fc(h.flatten(1)), dim=1)

    class ProxyLoss(nn.Module):
        def __init__(self, n_classes, dim, scale=16.0):
            super().__init__()
            self.proxies = nn.Parameter(torch.randn(n_classes, dim))
            self.scale = scale

        def scores(self, emb):
            return self.scale * emb @ F.normalize(self.proxies, dim=1).t()

        def forward(self, emb, target):
            return F.cross_entropy(self.scores(emb), target)

    embedder, criterion = Embedder(4), ProxyLoss(10, 4)
    opt = torch.optim.Adam(embedder.parameters(), lr=3e-2)
    for _epoch in range(12):
        embedder.train()
        for idx in torch.randperm(len(tr)).split(50):
            b = tr[idx]
            loss = criterion(embedder(x[b]), y[b])
            opt.zero_grad()
            loss.backward()
            opt.step()
    embedder.eval()
    with torch.no_grad():
        pred = criterion.scores(embedder(x[va])).argmax(1)
    return accuracy_score(y[va], pred)


@buggy("layers-cut-off")
def lstm_order_detection():
    torch.manual_seed(0)
    n, steps = 480, 14
    seq = torch.randn(n, steps, 2)
    # which of the two spikes comes first
    a = torch.randint(0, steps, (n,))
    b = (a + torch.randint(1, steps, (n,))) % steps
    seq[torch.arange(n), a, 0] += 5
    seq[torch.arange(n), b, 1] += 5
    label = (a < b).long()

    class Net(nn.Module):
        def __init__(self, hidden=24):
            super().__init__()
            self.rnn = nn.LSTM(2, hidden, batch_first=True)
            self.out = nn.Linear(hidden, 2)

        def forward(self, inp):
            _o, (h, _c) = self.rnn(inp)
            last = h[-1].data
            return self.out(last)

    net = Net()
    optimizer = optim.Adam(net.parameters(), lr=0.02)
    loader = DataLoader(TensorDataset(seq[:400], label[:400]), batch_size=40, shuffle=True)
    for _epoch in range(10):
        net.train()
        for s, target in loader:
            optimizer.zero_grad()
            F.cross_entropy(net(s), target).backward()
            optimizer.step()
    net.eval()
    with torch.no_grad():
        acc = (net(seq[400:]).argmax(1) == label[400:]).float().mean().item()
    return acc


@buggy("layers-cut-off")
def tabular_entity_embeddings():
    """Kaggle style: store / item / weekday -> sales."""
    rng = np.random.RandomState(7)
    torch.manual_seed(7)
    cards = [40, 60, 7]
    n = 900
    df = pd.DataFrame({f"c{i}": rng.randint(0, k, n) for i, k in enumerate(cards)})
    effects = [rng.randn(k) for k in cards]
    df["price"] = rng.randn(n)
    df["sales"] = (
        sum(e[df[f"c{i}"]] for i, e in enumerate(effects)) - 0.5 * df.price + 0.1 * rng.randn(n)
    )
    df["sales"] = (df.sales - df.sales[:750].mean()) / df.sales[:750].std()

    class TabNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.embs = nn.ModuleList([nn.Embedding(k, 2) for k in cards])
            self.bn = nn.BatchNorm1d(1)
            self.mlp = nn.Sequential(nn.Linear(2 * len(cards) + 1, 32), nn.ReLU(), nn.Linear(32, 1))

        def forward(self, cat, num):
            with torch.no_grad():
                parts = [e(cat[:, i]) for i, e in enumerate(self.embs)]
            return self.mlp(torch.cat([*parts, self.bn(num)], dim=1)).squeeze(-1)

    cat = torch.tensor(df[["c0", "c1", "c2"]].values)
    num = torch.tensor(df[["price"]].values, dtype=torch.float32)
    tgt = torch.tensor(df["sales"].values, dtype=torch.float32)
    ds = TensorDataset(cat, num, tgt)
    train_dl = DataLoader(Subset(ds, range(750)), batch_size=50, shuffle=True)
    model = TabNet()
    opt = optim.AdamW(model.parameters(), lr=2e-2)
    for _epoch in range(10):
        model.train()
        for c, v, t in train_dl:
            loss = F.mse_loss(model(c, v), t)
            opt.zero_grad()
            loss.backward()
            opt.step()
    model.eval()
    with torch.no_grad():
        r2 = r2_score(tgt[750:].numpy(), model(cat[750:], num[750:]).numpy())
    return r2


@buggy("unregistered-layers")
def text_cnn():
    torch.manual_seed(5)
    vocab, length, n = 50, 20, 600
    tokens = torch.randint(2, vocab, (n, length))
    target = torch.zeros(n, dtype=torch.long)
    # class k: bigram (a_k, b_k) hidden somewhere, in the other class it is reversed
    for i in range(n):
        pos = int(torch.randint(0, length - 1, (1,)))
        target[i] = i % 2
        tokens[i, pos], tokens[i, pos + 1] = (3, 4) if i % 2 else (4, 3)

    class TextCNN(nn.Module):
        def __init__(self, kernel_sizes=(2, 3)):
            super().__init__()
            self.embed = nn.Embedding(vocab, 8)
            self.convs = [nn.Conv1d(8, 6, k) for k in kernel_sizes]
            self.drop = nn.Dropout(0.1)
            self.fc = nn.Linear(6 * len(kernel_sizes), 2)

        def forward(self, t):
            e = self.embed(t).transpose(1, 2)
            pooled = [F.relu(conv(e)).amax(2) for conv in self.convs]
            return self.fc(self.drop(torch.cat(pooled, 1)))

    model = TextCNN()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    criterion = nn.CrossEntropyLoss()
    train_loader = DataLoader(
        TensorDataset(tokens[:480], target[:480]), batch_size=32, shuffle=True
    )
    for _epoch in range(8):
        model.train()
        for t, lab in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(t), lab)
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        correct = (model(tokens[480:]).argmax(1) == target[480:]).sum().item()
    return correct / 120


@buggy("clip-misplaced")
def rnn_rainfall():
    """Vanilla RNN: soil water level from bursts of rain."""
    torch.manual_seed(21)
    gen = np.random.default_rng(21)
    n, T = 400, 25
    rain = gen.gamma(0.5, 1.0, size=(n, T, 1)).astype("float32")
    weights = np.linspace(0, 1, T).reshape(1, T, 1)
    level = (rain * weights).sum(1).astype("float32")
    level = (level - level[:320].mean()) / level[:320].std()
    X, Y = torch.from_numpy(rain), torch.from_numpy(level)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.RNN(1, 20, batch_first=True, nonlinearity="relu")
            self.lin = nn.Linear(20, 1)

        def forward(self, x):
            return self.lin(self.rnn(x)[0][:, -1])

    model = Model()
    opt = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.5)
    losses = []
    for _epoch in range(8):
        order = torch.randperm(320)
        for k in range(0, 320, 32):
            ids = order[k : k + 32]
            opt.zero_grad()
            loss = F.mse_loss(model(X[ids]), Y[ids])
            loss.backward()
            opt.step()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            losses.append(loss.item())
    with torch.no_grad():
        test = F.mse_loss(model(X[320:]), Y[320:]).item()
    return losses[0], losses[-1], test


@buggy("broadcast-loss")
def friedman_from_scratch():
    # stackoverflow: "MLP regression, R2 much lower than sklearn"
    torch.manual_seed(1)
    X, y = make_friedman1(500, noise=0.3, random_state=1)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=1)
    m, s = y_train.mean(), y_train.std()
    y_train, y_test = (y_train - m) / s, (y_test - m) / s

    def to(a):
        return torch.as_tensor(a, dtype=torch.float32)

    X_train, X_test, y_train, y_test = map(to, (X_train, X_test, y_train, y_test))

    model = nn.Sequential(nn.Linear(10, 64), nn.Tanh(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    batch = 25
    for _epoch in range(10):
        shuffled = torch.randperm(len(X_train))
        for s in range(0, len(X_train), batch):
            ix = shuffled[s : s + batch]
            y_hat = model(X_train[ix])
            err = y_hat - y_train[ix]
            loss = torch.where(err.abs() < 1, 0.5 * err**2, err.abs() - 0.5).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        pred = model(X_test).squeeze(1)
        ss_res = ((y_test - pred) ** 2).sum()
        ss_tot = ((y_test - y_test.mean()) ** 2).sum()
    return (1 - ss_res / ss_tot).item()


@buggy("relu-on-logits")
def digits_two_conv():
    torch.manual_seed(8)
    digits = load_digits()
    x = torch.FloatTensor(digits.images[:, None] / 16.0)
    y = torch.LongTensor(digits.target)
    trainset = TensorDataset(x[:900], y[:900])
    testset = TensorDataset(x[900:1300], y[900:1300])
    trainloader = DataLoader(trainset, batch_size=60, shuffle=True)
    testloader = DataLoader(testset, batch_size=100)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 8, 3)
            self.conv2 = nn.Conv2d(8, 16, 3)
            self.fc1 = nn.Linear(16 * 4, 48)
            self.fc2 = nn.Linear(48, 10)

        def forward(self, x):
            x = F.relu(self.conv1(x))
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = x.flatten(1)
            for layer in (self.fc1, self.fc2):
                x = F.relu(layer(x))
            return x

    net = Net()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _epoch in range(8):
        net.train()
        for images, labels in trainloader:
            optimizer.zero_grad()
            loss = criterion(net(images), labels)
            loss.backward()
            optimizer.step()
        net.eval()
        correct = total = 0
        with torch.no_grad():
            for images, labels in testloader:
                predicted = net(images).argmax(dim=1)
                total += labels.size(0)
                correct += (predicted == labels).sum().item()
    return correct / total


@buggy("training-in-eval-mode")
def bn_cnn_with_helper():
    torch.manual_seed(13)
    d = load_digits()
    images = torch.tensor(d.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    labels = torch.tensor(d.target)
    full = TensorDataset(images[:1000], labels[:1000])
    train_ds, val_ds = random_split(full, [800, 200], generator=torch.Generator().manual_seed(0))
    train_dl = DataLoader(train_ds, 64, shuffle=True)
    val_dl = DataLoader(val_ds, 50)

    model = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.4),
        nn.Linear(12 * 16, 10),
    )
    opt = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def accuracy(m, dl):
        m.eval()
        hits, seen = 0, 0
        with torch.no_grad():
            for xb, yb in dl:
                hits += (m(xb).argmax(1) == yb).sum().item()
                seen += len(yb)
        return hits / seen

    model.train()
    log = []
    for _epoch in range(6):
        for xb, yb in train_dl:
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
        log.append(accuracy(model, val_dl))
    return log


@buggy("eval-in-train-mode")
def encoder_plus_head():
    torch.manual_seed(17)
    X, y = make_classification(
        700, 24, n_informative=10, n_classes=3, class_sep=1.2, random_state=17
    )
    Xtr, Xva, ytr, yva = train_test_split(X.astype(np.float32), y, test_size=0.3, random_state=17)
    sc = StandardScaler()
    Xtr, Xva = sc.fit_transform(Xtr), sc.transform(Xva)
    train_loader = DataLoader(
        TensorDataset(torch.from_numpy(Xtr), torch.from_numpy(ytr)), batch_size=35, shuffle=True
    )
    val_loader = DataLoader(
        TensorDataset(torch.from_numpy(Xva), torch.from_numpy(yva)), batch_size=70
    )

    encoder = nn.Sequential(nn.Linear(24, 64), nn.BatchNorm1d(64), nn.ReLU())
    head = nn.Sequential(
        nn.Dropout(0.5), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3)
    )
    params = list(encoder.parameters()) + list(head.parameters())
    optimizer = torch.optim.Adam(params, lr=3e-3)
    ce = nn.CrossEntropyLoss()
    for _epoch in range(6):
        encoder.train()
        head.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            ce(head(encoder(xb)), yb).backward()
            optimizer.step()

        encoder.eval()
        preds = []
        with torch.no_grad():
            for xb, _ in val_loader:
                preds.append(head(encoder(xb)).argmax(1))
        val_acc = accuracy_score(yva, torch.cat(preds).numpy())
    return val_acc


@buggy("dropout-always-on")
def gru_temperature():
    torch.manual_seed(23)
    t = np.arange(700)
    rng = np.random.RandomState(23)
    temp = np.sin(2 * np.pi * t / 24) + 0.3 * np.sin(2 * np.pi * t / 7) + 0.05 * rng.randn(700)
    win = 16
    X = np.stack([temp[i : i + win] for i in range(len(temp) - win)]).astype(np.float32)[..., None]
    y = temp[win:].astype(np.float32)
    split = 560
    train = TensorDataset(torch.from_numpy(X[:split]), torch.from_numpy(y[:split]))
    xv, yv = torch.from_numpy(X[split + win :]), torch.from_numpy(y[split + win :])

    class Forecaster(nn.Module):
        def __init__(self, hidden, p):
            super().__init__()
            self.gru = nn.GRU(1, hidden, batch_first=True)
            self.fc1 = nn.Linear(hidden, 32)
            self.fc2 = nn.Linear(32, 1)
            self.p = p

        def forward(self, x):
            _, h = self.gru(x)
            z = F.dropout(F.relu(self.fc1(h[0])), self.p)
            return self.fc2(z).squeeze(1)

    model = Forecaster(24, 0.3)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    loss_func = nn.MSELoss()
    for _ep in range(8):
        model.train()
        for xb, yb in DataLoader(train, batch_size=40, shuffle=True):
            optimiser.zero_grad()
            loss_func(model(xb), yb).backward()
            optimiser.step()
        model.eval()
        with torch.no_grad():
            val_rmse = math.sqrt(loss_func(model(xv), yv).item())
    return val_rmse


@buggy("graph-kept")
def moons_with_loss_curve():
    torch.manual_seed(31)
    X, y = make_moons(600, noise=0.2, random_state=31)
    X = torch.tensor(X, dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32)
    train = TensorDataset(X[:480], y[:480])
    loader = DataLoader(train, batch_size=24, shuffle=True)
    net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = torch.optim.Adam(net.parameters(), lr=0.01)
    smooth = None
    curve = []
    for _epoch in range(6):
        for xb, yb in loader:
            loss = F.binary_cross_entropy_with_logits(net(xb)[:, 0], yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            smooth = loss if smooth is None else 0.95 * smooth + 0.05 * loss
        curve.append(smooth.item())
    with torch.no_grad():
        acc = ((net(X[480:])[:, 0] > 0) == y[480:].bool()).float().mean().item()
    return curve, acc


@buggy("eval-builds-graph")
def transformer_majority():
    torch.manual_seed(37)
    n, T = 500, 8
    bits = torch.randint(0, 2, (n, T))
    label = (bits.sum(1) > T / 2).long()

    class TinyTransformer(nn.Module):
        def __init__(self, d=16):
            super().__init__()
            self.tok = nn.Embedding(2, d)
            self.pos = nn.Parameter(0.02 * torch.randn(1, T, d))
            self.enc = nn.TransformerEncoderLayer(d, 2, 32, dropout=0.0, batch_first=True)
            self.cls = nn.Linear(d, 2)

        def forward(self, ids):
            return self.cls(self.enc(self.tok(ids) + self.pos).mean(1))

    model = TinyTransformer()
    optimizer = optim.AdamW(model.parameters(), lr=5e-3)
    criterion = nn.CrossEntropyLoss()
    train_dl = DataLoader(TensorDataset(bits[:400], label[:400]), batch_size=32, shuffle=True)
    valid_dl = DataLoader(TensorDataset(bits[400:], label[400:]), batch_size=50)
    for _epoch in range(5):
        model.train()
        for ids, lab in train_dl:
            optimizer.zero_grad()
            loss = criterion(model(ids), lab)
            loss.backward()
            optimizer.step()

        model.eval()
        val_loss, val_hits, cnt = 0.0, 0, 0
        for ids, lab in valid_dl:
            out = model(ids)
            val_loss += criterion(out, lab).item() * lab.size(0)
            val_hits += (out.argmax(-1) == lab).sum().item()
            cnt += lab.size(0)
        val_loss, val_acc = val_loss / cnt, val_hits / cnt
    return val_loss, val_acc


@buggy("metric-broadcast")
def house_prices_mae():
    """House prices - simple NN baseline (MAE on the hold-out)"""
    np.random.seed(0)
    torch.manual_seed(0)
    X, price = make_regression(640, 12, n_informative=8, noise=5.0, random_state=0)
    X_tr, X_te, p_tr, p_te = train_test_split(X, price, test_size=0.25, random_state=0)
    mu, sd = p_tr.mean(), p_tr.std()
    xs = StandardScaler().fit(X_tr)
    X_tr, X_te = xs.transform(X_tr).astype("float32"), xs.transform(X_te).astype("float32")
    y_tr, y_te = ((p_tr - mu) / sd).astype("float32"), ((p_te - mu) / sd).astype("float32")

    ds = TensorDataset(torch.from_numpy(X_tr), torch.from_numpy(y_tr).unsqueeze(1))
    loader = DataLoader(ds, batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 1))
    opt = torch.optim.Adam(model.parameters(), lr=1e-2)
    crit = nn.L1Loss()
    maes = []
    for _epoch in range(8):
        model.train()
        for xb, yb in loader:
            opt.zero_grad()
            loss = crit(model(xb), yb)
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            pred = model(torch.from_numpy(X_te)).numpy()
        maes.append(float(np.mean(np.abs(pred - y_te))))
    return maes, loss.item()


@buggy("argmax-wrong-dim")
def window_tagger():
    """BiLSTM tagger on word windows."""
    torch.manual_seed(41)
    V, T, C, n = 40, 6, 6, 500
    words = torch.randint(0, V, (n, T))
    prev = torch.cat([torch.zeros(n, 1, dtype=torch.long), words[:, :-1]], 1)
    tags = (words % 3) + 3 * (prev % 2)

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(V, 16)
            self.lstm = nn.LSTM(16, 20, batch_first=True, bidirectional=True)
            self.hid2tag = nn.Linear(40, C)

        def forward(self, w):
            return self.hid2tag(self.lstm(self.emb(w))[0])

    tagger = Tagger()
    optimizer = optim.Adam(tagger.parameters(), lr=0.02)
    loss_function = nn.CrossEntropyLoss()
    for _epoch in range(8):
        tagger.train()
        for idx in torch.randperm(400).chunk(10):
            scores = tagger(words[idx])
            loss = loss_function(scores.reshape(-1, C), tags[idx].reshape(-1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        tagger.eval()
        with torch.no_grad():
            scores = tagger(words[400:])
            predicted = torch.argmax(scores, dim=1)
            acc = (predicted == tags[400:]).float().mean().item()
    return loss.item(), acc


@buggy("threshold-on-logits")
def movie_genres():
    """Multi-label genres, macro F1 on the validation part."""
    torch.manual_seed(43)
    rng = np.random.RandomState(43)
    X = rng.randn(700, 20).astype("float32")
    W = rng.randn(20, 5) * 0.35
    P = 1 / (1 + np.exp(-(X @ W - 0.4)))
    Y = (rng.rand(700, 5) < P).astype("float32")
    X, Y = torch.from_numpy(X), torch.from_numpy(Y)
    model = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 5))
    opt = torch.optim.Adam(model.parameters(), lr=5e-3)
    crit = nn.BCEWithLogitsLoss()
    dl = DataLoader(TensorDataset(X[:550], Y[:550]), batch_size=50, shuffle=True)
    best_f1 = 0
    for _epoch in range(8):
        model.train()
        for xb, yb in dl:
            opt.zero_grad()
            loss = crit(model(xb), yb)
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            outputs = model(X[550:])
        preds = (outputs > 0.5).int().numpy()
        f1 = f1_score(Y[550:].numpy(), preds, average="macro", zero_division=0)
        best_f1 = max(best_f1, f1)
    return best_f1


@buggy("metric-not-normalised")
def epoch_accuracy_history():
    torch.manual_seed(2)
    X, y = make_classification(530, 13, n_informative=8, n_classes=3, flip_y=0.15, random_state=2)
    Xtr, Xte, ytr, yte = train_test_split(X, y, test_size=130, random_state=14, stratify=y)
    scaler = StandardScaler()
    Xtr, Xte = scaler.fit_transform(Xtr), scaler.transform(Xte)

    def tensors(a, b):
        return TensorDataset(torch.Tensor(a), torch.LongTensor(b))

    train_loader = DataLoader(tensors(Xtr, ytr), batch_size=20, shuffle=True)
    test_loader = DataLoader(tensors(Xte, yte), batch_size=64, shuffle=False)

    model = nn.Sequential(nn.Linear(13, 40), nn.ReLU(), nn.Linear(40, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    criterion = nn.CrossEntropyLoss()
    history = {"loss": [], "acc": []}
    for _epoch in range(6):
        model.train()
        for data, target in train_loader:
            optimizer.zero_grad()
            output = model(data)
            loss = criterion(output, target)
            loss.backward()
            optimizer.step()
        model.eval()
        losses, accs = [], []
        with torch.no_grad():
            for data, target in test_loader:
                output = model(data)
                losses.append(criterion(output, target).item())
                accs.append((output.argmax(1) == target).float().mean().item())
        history["loss"].append(float(np.mean(losses)))
        history["acc"].append(float(np.mean(accs)))
    return history


@buggy("metric-not-normalised")
def split_and_count():
    torch.manual_seed(47)
    X, y = make_classification(800, 15, n_informative=8, random_state=47)
    dataset = TensorDataset(torch.tensor(X, dtype=torch.float), torch.tensor(y))
    train_size = int(0.8 * len(dataset))
    train_ds, valid_ds = random_split(dataset, [train_size, len(dataset) - train_size])
    loaders = {
        "train": DataLoader(train_ds, batch_size=40, shuffle=True),
        "valid": DataLoader(valid_ds, batch_size=40),
    }
    model = nn.Sequential(nn.Linear(15, 32), nn.ELU(), nn.Linear(32, 2))
    optimizer = optim.RMSprop(model.parameters(), lr=2e-3)
    for _epoch in range(6):
        model.train()
        for inputs, labels in loaders["train"]:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()
        model.eval()
        running_corrects = 0
        with torch.no_grad():
            for inputs, labels in loaders["valid"]:
                preds = model(inputs).max(1)[1]
                running_corrects += torch.sum(preds == labels).item()
        epoch_acc = running_corrects / len(dataset)
    return epoch_acc


@buggy("scheduler-before-optimizer")
def transfer_tutorial_style():
    torch.manual_seed(53)
    digits = load_digits()
    X = torch.tensor(digits.data / 16, dtype=torch.float32)
    y = torch.tensor(digits.target)
    dataset = TensorDataset(X[:1000], y[:1000])
    loader = DataLoader(dataset, batch_size=50, shuffle=True)
    model_ft = nn.Sequential(nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 10))
    criterion = nn.CrossEntropyLoss()
    optimizer_ft = optim.SGD(model_ft.parameters(), lr=0.2, momentum=0.9)
    exp_lr_scheduler = optim.lr_scheduler.MultiStepLR(optimizer_ft, milestones=[1, 4], gamma=0.1)
    val_losses = []
    for _epoch in range(6):
        exp_lr_scheduler.step()
        model_ft.train()
        for inputs, labels in loader:
            optimizer_ft.zero_grad()
            loss = criterion(model_ft(inputs), labels)
            loss.backward()
            optimizer_ft.step()
        model_ft.eval()
        with torch.no_grad():
            val_losses.append(criterion(model_ft(X[1000:1400]), y[1000:1400]).item())
    return val_losses


@buggy("scheduler-per-batch")
def cosine_mlp():
    cfg = dict(epochs=6, lr=0.05, bs=32, hidden=48)
    torch.manual_seed(59)
    X, y = make_classification(
        640, 20, n_informative=12, n_classes=4, n_clusters_per_class=1, random_state=59
    )
    X = torch.from_numpy(X).float()
    y = torch.from_numpy(y)
    train_dl = DataLoader(TensorDataset(X[:512], y[:512]), cfg["bs"], shuffle=True)
    model = nn.Sequential(nn.Linear(20, cfg["hidden"]), nn.GELU(), nn.Linear(cfg["hidden"], 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=cfg["lr"], momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=cfg["epochs"])
    lrs = []
    for _epoch in range(cfg["epochs"]):
        model.train()
        for xb, yb in train_dl:
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            scheduler.step()
        lrs.append(scheduler.get_last_lr()[0])
        model.eval()
        with torch.inference_mode():
            acc = (model(X[512:]).argmax(1) == y[512:]).float().mean().item()
    return acc, lrs


@buggy("scheduler-per-epoch")
def onecycle_fit():
    torch.manual_seed(61)
    rng = np.random.default_rng(61)
    x = rng.uniform(-2, 2, (600, 3)).astype("float32")
    t = (np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2]).astype("float32")
    train = TensorDataset(torch.from_numpy(x[:500]), torch.from_numpy(t[:500]))
    xv, tv = torch.from_numpy(x[500:]), torch.from_numpy(t[500:])

    class Learner:
        def __init__(self, model, train_set, bs, max_lr, n_epochs):
            self.model, self.n_epochs = model, n_epochs
            self.dl = DataLoader(train_set, batch_size=bs, shuffle=True)
            self.opt = optim.SGD(model.parameters(), lr=max_lr, momentum=0.9)
            self.sched = optim.lr_scheduler.OneCycleLR(
                self.opt, max_lr=max_lr, total_steps=n_epochs * len(self.dl)
            )
            self.recorder = []

        def one_batch(self, xb, tb):
            self.opt.zero_grad()
            loss = F.smooth_l1_loss(self.model(xb).flatten(), tb)
            loss.backward()
            self.opt.step()

        def fit(self):
            for _ in range(self.n_epochs):
                self.model.train()
                for xb, tb in self.dl:
                    self.one_batch(xb, tb)
                self.sched.step()
                self.recorder.append(self.validate())

        @torch.no_grad()
        def validate(self):
            self.model.eval()
            return F.mse_loss(self.model(xv).flatten(), tv).item()

    learner = Learner(
        nn.Sequential(nn.Linear(3, 64), nn.Tanh(), nn.Linear(64, 1)), train, 25, 0.1, 8
    )
    learner.fit()
    return learner.recorder


@buggy("scheduler-other-optimizer")
def head_then_everything():
    torch.manual_seed(67)
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    y = torch.tensor(digits.target)
    body = nn.Sequential(nn.Conv2d(1, 10, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    head = nn.Linear(90, 10)
    model = nn.Sequential(body, head)
    loader = DataLoader(TensorDataset(x[:800], y[:800]), batch_size=40, shuffle=True)

    for p in body.parameters():
        p.requires_grad = False
    optimizer = optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    accs = []
    for epoch in range(8):
        if epoch == 2:  # unfreeze
            for p in body.parameters():
                p.requires_grad = True
            optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        model.train()
        for xb, yb in loader:
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            accs.append((model(x[800:1100]).argmax(1) == y[800:1100]).float().mean().item())
    return accs, optimizer.param_groups[0]["lr"], scheduler.get_last_lr()


@buggy("nan-input")
def digits_standard_mlp():
    """Plain MLP on standardised pixels."""
    torch.manual_seed(71)
    images, labels = load_digits(return_X_y=True)
    images, labels = torch.tensor(images, dtype=torch.float32), torch.tensor(labels)
    idx = torch.randperm(len(images))
    train_x, test_x = images[idx[:800]], images[idx[800:1200]]
    train_y, test_y = labels[idx[:800]], labels[idx[800:1200]]
    mean, std = train_x.mean(dim=0), train_x.std(dim=0)
    train_x = (train_x - mean) / std
    test_x = (test_x - mean) / std

    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    for _epoch in range(4):
        for i in range(0, 800, 50):
            out = net(train_x[i : i + 50])
            loss = F.cross_entropy(out, train_y[i : i + 50])
            opt.zero_grad()
            loss.backward()
            opt.step()
        with torch.no_grad():
            acc = (net(test_x).argmax(1) == test_y).float().mean().item()
    return loss.item(), acc


@buggy("input-scale")
def wine_classifier():
    random.seed(1)
    torch.manual_seed(1)
    X, y = load_wine(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.3, random_state=1, stratify=y
    )
    X_train = torch.tensor(X_train, dtype=torch.float32)
    X_test = torch.tensor(X_test, dtype=torch.float32)
    y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)

    class WineNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.l1 = nn.Linear(13, 32)
            self.l2 = nn.Linear(32, 3)

        def forward(self, x):
            return self.l2(torch.tanh(self.l1(x)))

    model = WineNet()
    optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    train_loader = DataLoader(TensorDataset(X_train, y_train), batch_size=16, shuffle=True)
    for _epoch in range(10):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        acc = (model(X_test).argmax(1) == y_test).float().mean()
    return acc.item()


@buggy("val-scaled-differently")
def electricity_demand():
    """Demand of the next months from temperature and calendar features."""
    torch.manual_seed(73)
    rng = np.random.RandomState(73)
    n = 520
    trend = np.linspace(0, 2.0, n)
    X = np.column_stack(
        [trend + 0.3 * rng.randn(n), rng.gamma(2, 1, n) + trend, rng.randn(n) - trend]
    )
    demand = 1.5 * X[:, 0] + 0.7 * X[:, 1] - 0.4 * X[:, 2] + 0.1 * rng.randn(n)
    cut = 400
    X_train, X_val = X[:cut], X[cut:]
    X_train = MinMaxScaler().fit_transform(X_train)
    X_val = MinMaxScaler().fit_transform(X_val)
    m, s = demand[:cut].mean(), demand[:cut].std()
    y_train, y_val = (demand[:cut] - m) / s, (demand[cut:] - m) / s

    def as_t(a):
        return torch.tensor(a, dtype=torch.float32)

    train_dl = DataLoader(TensorDataset(as_t(X_train), as_t(y_train)), batch_size=20, shuffle=True)
    val_dl = DataLoader(TensorDataset(as_t(X_val), as_t(y_val)), batch_size=40)
    model = nn.Linear(3, 1)
    opt = torch.optim.Adam(model.parameters(), lr=0.05)
    for _epoch in range(10):
        model.train()
        for xb, yb in train_dl:
            opt.zero_grad()
            loss = F.mse_loss(model(xb).squeeze(-1), yb)
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            preds = torch.cat([model(xb).squeeze(-1) for xb, _ in val_dl])
        val_mse = F.mse_loss(preds, as_t(y_val)).item()
    return loss.item(), val_mse


@buggy("sorted-batches")
def folders_of_images():
    """Image folders, one per class."""
    torch.manual_seed(79)
    digits = load_digits()
    rng = np.random.RandomState(79)
    train_x, train_y, val_x, val_y = [], [], [], []
    for cls in range(10):
        files = rng.permutation(np.where(digits.target == cls)[0])
        train_x.append(digits.images[files[:80]])
        train_y += [cls] * 80
        val_x.append(digits.images[files[80:110]])
        val_y += [cls] * 30

    class ImageSet(Dataset):
        def __init__(self, arrays, labels):
            self.images = torch.tensor(np.concatenate(arrays) / 16.0, dtype=torch.float32)
            self.labels = torch.tensor(labels)

        def __len__(self):
            return len(self.labels)

        def __getitem__(self, i):
            return self.images[i].unsqueeze(0), self.labels[i]

    train_loader = DataLoader(ImageSet(train_x, train_y), batch_size=40)
    val_loader = DataLoader(ImageSet(val_x, val_y), batch_size=100)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)
    )
    opt = optim.SGD(net.parameters(), lr=0.1)
    for _epoch in range(6):
        net.train()
        for im, lab in train_loader:
            opt.zero_grad()
            loss = F.cross_entropy(net(im), lab)
            loss.backward()
            opt.step()
        net.eval()
        right = 0
        with torch.no_grad():
            for im, lab in val_loader:
                right += int((net(im).argmax(1) == lab).sum())
    return right / 300


@buggy("val-overlaps-train")
def churn_model():
    """Customer churn, few positives."""
    np.random.seed(83)
    torch.manual_seed(83)
    X, y = make_classification(
        600, 18, n_informative=4, weights=[0.88], flip_y=0.08, class_sep=0.7, random_state=83
    )
    df = pd.DataFrame(X).assign(churn=y)
    minority = df[df.churn == 1]
    df = pd.concat([df] + [minority] * 5).reset_index(drop=True)
    train_df, valid_df = train_test_split(df, test_size=0.25, random_state=83, stratify=df.churn)
    feats = [c for c in df.columns if c != "churn"]
    sc = StandardScaler().fit(train_df[feats].values)

    def tensors(part):
        return (
            torch.tensor(sc.transform(part[feats].values), dtype=torch.float32),
            torch.tensor(part.churn.values, dtype=torch.float32),
        )

    xt, yt = tensors(train_df)
    xv, yv = tensors(valid_df)
    model = nn.Sequential(nn.Linear(18, 96), nn.ReLU(), nn.Linear(96, 1))
    opt = optim.Adam(model.parameters(), lr=1e-2)
    bce = nn.BCEWithLogitsLoss()
    for _epoch in range(10):
        model.train()
        for b in torch.randperm(len(xt)).split(32):
            opt.zero_grad()
            bce(model(xt[b]).squeeze(1), yt[b]).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            auc = roc_auc_score(yv.numpy(), model(xv).squeeze(1).numpy())
    return auc


@buggy("no-set-epoch")
def ddp_script_single_rank(rank=0, world_size=1):
    torch.manual_seed(89)
    X, y = make_classification(512, 16, n_informative=10, random_state=89)
    dataset = TensorDataset(
        torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    )
    train_ds, test_ds = Subset(dataset, range(416)), Subset(dataset, range(416, 512))
    sampler = DistributedSampler(train_ds, num_replicas=world_size, rank=rank, shuffle=True, seed=0)
    train_loader = DataLoader(train_ds, batch_size=32, sampler=sampler)
    test_loader = DataLoader(test_ds, batch_size=32)
    net = nn.Sequential(nn.Linear(16, 32), nn.LeakyReLU(), nn.Linear(32, 1))
    optimizer = optim.Adam(net.parameters(), lr=3e-3)
    criterion = nn.BCEWithLogitsLoss()

    def train_one_epoch(epoch):
        net.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = criterion(net(xb).squeeze(1), yb)
            loss.backward()
            optimizer.step()
        return epoch, loss.item()

    @torch.no_grad()
    def test():
        net.eval()
        good = sum(((net(xb).squeeze(1) > 0) == (yb > 0.5)).sum().item() for xb, yb in test_loader)
        return good / len(test_ds)

    return [(*train_one_epoch(e), test()) for e in range(5)]


@buggy("labels-misaligned")
def credit_frame():
    rng = np.random.RandomState(97)
    torch.manual_seed(97)
    df = pd.DataFrame(rng.randn(600, 8), columns=[f"f{i}" for i in range(8)])
    df["default"] = (df.f0 + 0.8 * df.f1 - df.f2 * df.f3 + 0.2 * rng.randn(600) > 0).astype(int)
    features = df.drop(columns="default").sample(frac=1, random_state=1)
    target = df["default"]
    X = features.to_numpy(dtype=np.float32)
    y = target.to_numpy(dtype=np.float32)
    X_train, X_valid = torch.tensor(X[:480]), torch.tensor(X[480:])
    y_train, y_valid = torch.tensor(y[:480]), torch.tensor(y[480:])

    clf = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 1))
    optimizer = torch.optim.Adam(clf.parameters(), lr=5e-3)
    loss_fn = nn.BCEWithLogitsLoss()
    loader = DataLoader(TensorDataset(X_train, y_train), batch_size=30, shuffle=True)
    for _epoch in range(8):
        clf.train()
        running = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = loss_fn(clf(xb).ravel(), yb)
            loss.backward()
            optimizer.step()
            running += loss.item() * len(xb)
        running /= len(X_train)
        clf.eval()
        with torch.no_grad():
            proba = torch.sigmoid(clf(X_valid).ravel())
        acc = accuracy_score(y_valid.numpy(), (proba > 0.5).numpy())
    return running, acc


@buggy("lr-too-high")
def sine_fit():
    torch.manual_seed(101)
    x = torch.rand(400, 1) * 6 - 3
    y = torch.sin(2 * x) + 0.05 * torch.randn_like(x)
    model = nn.Sequential(
        nn.Linear(1, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 1)
    )
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.1)
    mse = nn.MSELoss()
    dl = DataLoader(TensorDataset(x[:320], y[:320]), batch_size=32, shuffle=True)
    curve = []
    for _epoch in range(10):
        tot = 0.0
        for xb, yb in dl:
            loss = mse(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            tot += loss.item() * len(xb)
        curve.append(tot / 320)
    with torch.no_grad():
        test = mse(model(x[320:]), y[320:]).item()
    return curve, test


@buggy("dead-relu")
def digits_xavier_mlp():
    torch.manual_seed(103)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16, dtype=torch.float32)
    y = torch.tensor(y)

    def init_weights(m):
        if isinstance(m, nn.Linear):
            nn.init.xavier_uniform_(m.weight)
            nn.init.constant_(m.bias, -3.0)

    model = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)
    )
    model.apply(init_weights)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(X[:900], y[:900]), batch_size=50, shuffle=True)
    for _epoch in range(6):
        model.train()
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            acc = (model(X[900:1300]).argmax(1) == y[900:1300]).float().mean().item()
    return loss.item(), acc


@buggy("symmetric-init")
def two_moons_param_net():
    torch.manual_seed(107)
    X, y = make_moons(500, noise=0.12, random_state=107)
    X = torch.tensor(X, dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32).unsqueeze(1)

    class Net(nn.Module):
        def __init__(self, h=20):
            super().__init__()
            self.w1 = nn.Parameter(torch.full((2, h), 0.1))
            self.b1 = nn.Parameter(torch.zeros(h))
            self.w2 = nn.Parameter(torch.full((h, 1), 0.1))
            self.b2 = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return torch.tanh(x @ self.w1 + self.b1) @ self.w2 + self.b2

    net = Net()
    opt = torch.optim.Adam(net.parameters(), lr=0.03)
    loss_fn = nn.BCEWithLogitsLoss()
    for _epoch in range(20):
        for ids in torch.randperm(400).split(25):
            opt.zero_grad()
            loss = loss_fn(net(X[ids]), y[ids])
            loss.backward()
            opt.step()
    with torch.no_grad():
        acc = ((net(X[400:]) > 0).float() == y[400:]).float().mean().item()
    return acc


@buggy("best-state-alias")
def keep_the_best():
    torch.manual_seed(109)
    X, y = make_classification(360, 40, n_informative=5, flip_y=0.2, random_state=109)
    X = torch.tensor(X, dtype=torch.float32)
    y = torch.tensor(y)
    x_tr, y_tr, x_va, y_va = X[:200], y[:200], X[200:], y[200:]
    model = nn.Sequential(nn.Linear(40, 128), nn.ReLU(), nn.Linear(128, 2))
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    best_loss, best_weights = float("inf"), None
    for _epoch in range(10):
        model.train()
        for idx in torch.randperm(200).split(20):
            optimizer.zero_grad()
            F.cross_entropy(model(x_tr[idx]), y_tr[idx]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val = F.cross_entropy(model(x_va), y_va).item()
        if val < best_loss:
            best_loss = val
            best_weights = model.state_dict()
    model.load_state_dict(best_weights)
    model.eval()
    with torch.no_grad():
        final = F.cross_entropy(model(x_va), y_va).item()
    return best_loss, final
