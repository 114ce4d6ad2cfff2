"""Training loops with one silent bug each, in strangers' styles."""

import math

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
    make_moons,
    make_regression,
)
from sklearn.metrics import f1_score, mean_squared_error, r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

from tests.loops import buggy


@buggy("no-zero-grad")
def digits_trainer_class():
    class Config:
        seed = 7
        lr = 0.3
        batch_size = 64
        epochs = 6
        hidden = 64

    class Trainer:
        def __init__(self, model, cfg):
            self.model = model
            self.cfg = cfg
            self.optimizer = torch.optim.SGD(model.parameters(), lr=cfg.lr)
            self.history = {"train_loss": [], "val_acc": []}

        def train_epoch(self, loader):
            self.model.train()
            total = 0.0
            for xb, yb in loader:
                loss = F.cross_entropy(self.model(xb), yb)
                loss.backward()
                self.optimizer.step()
                total += loss.item() * len(xb)
            return total / len(loader.dataset)

        @torch.no_grad()
        def validate(self, loader):
            self.model.eval()
            hits = sum((self.model(xb).argmax(1) == yb).sum().item() for xb, yb in loader)
            return hits / len(loader.dataset)

        def fit(self, train_loader, val_loader):
            for _ in range(self.cfg.epochs):
                self.history["train_loss"].append(self.train_epoch(train_loader))
                self.history["val_acc"].append(self.validate(val_loader))
            return self.history

    cfg = Config()
    torch.manual_seed(cfg.seed)
    X, y = load_digits(return_X_y=True)
    Xtr, Xva, ytr, yva = train_test_split(
        X / 16.0, y, test_size=0.25, random_state=cfg.seed, stratify=y
    )

    def mk(a, b):
        return TensorDataset(torch.tensor(a, dtype=torch.float32), torch.tensor(b))

    train_loader = DataLoader(mk(Xtr, ytr), batch_size=cfg.batch_size, shuffle=True)
    val_loader = DataLoader(mk(Xva, yva), batch_size=256)
    model = nn.Sequential(nn.Linear(64, cfg.hidden), nn.ReLU(), nn.Linear(cfg.hidden, 10))
    return Trainer(model, cfg).fit(train_loader, val_loader)


@buggy("no-zero-grad")
def diabetes_notebook():
    torch.manual_seed(42)
    data = load_diabetes(as_frame=True)
    df = data.frame
    train_df = df.sample(frac=0.8, random_state=42)
    valid_df = df.drop(train_df.index)
    features = [c for c in df.columns if c != "target"]

    scaler = StandardScaler().fit(train_df[features])
    mu, sd = train_df["target"].mean(), train_df["target"].std()
    X_train = torch.tensor(scaler.transform(train_df[features]), dtype=torch.float32)
    X_valid = torch.tensor(scaler.transform(valid_df[features]), dtype=torch.float32)
    y_train = torch.tensor(((train_df["target"] - mu) / sd).values, dtype=torch.float32).view(-1, 1)
    y_valid = torch.tensor(((valid_df["target"] - mu) / sd).values, dtype=torch.float32).view(-1, 1)

    train_dl = DataLoader(TensorDataset(X_train, y_train), batch_size=16, shuffle=True)
    net = nn.Sequential(
        nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1)
    )
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02)

    valid_losses = []
    for _epoch in range(10):
        net.train()
        optimizer.zero_grad()
        for xb, yb in train_dl:
            pred = net(xb)
            loss = criterion(pred, yb)
            loss.backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            valid_losses.append(criterion(net(X_valid), y_valid).item())
    print("valid mse", [round(v, 3) for v in valid_losses])
    return valid_losses


@buggy("grads-cleared-before-step")
def moons_functional():
    rng = np.random.RandomState(0)
    torch.manual_seed(0)
    X, y = make_moons(600, noise=0.15, random_state=0)
    X, y = torch.from_numpy(X).float(), torch.from_numpy(y).float()
    X_train, y_train, X_test, y_test = X[:450], y[:450], X[450:], y[450:]

    def make_model():
        return nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1))

    def batches(n, size):
        order = rng.permutation(n)
        for i in range(0, n, size):
            yield torch.from_numpy(order[i : i + size])

    def update(model, opt, xb, yb):
        logit = model(xb).squeeze(1)
        loss = F.binary_cross_entropy_with_logits(logit, yb)
        loss.backward()
        opt.zero_grad()
        opt.step()
        return loss.item()

    def accuracy(model, x, t):
        with torch.no_grad():
            return ((model(x).squeeze(1) > 0).float() == t).float().mean().item()

    model = make_model()
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    log = []
    for _epoch in range(8):
        for idx in batches(len(X_train), 45):
            last = update(model, opt, X_train[idx], y_train[idx])
        log.append((last, accuracy(model, X_test, y_test)))
    return log


@buggy("threshold-on-logits")
def churn_classifier():
    torch.manual_seed(3)
    X, y = make_classification(
        n_samples=900,
        n_features=12,
        n_informative=5,
        weights=[0.72],
        class_sep=0.6,
        flip_y=0.12,
        random_state=3,
    )
    df = pd.DataFrame(X, columns=[f"f{i}" for i in range(12)])
    df["churn"] = y
    train, test = train_test_split(df, test_size=0.3, random_state=1, stratify=df["churn"])
    cols = [c for c in df if c != "churn"]
    m, s = train[cols].mean(), train[cols].std()
    tx = torch.tensor(((train[cols] - m) / s).to_numpy(), dtype=torch.float32)
    vx = torch.tensor(((test[cols] - m) / s).to_numpy(), dtype=torch.float32)
    ty = torch.tensor(train["churn"].to_numpy(), dtype=torch.float32).unsqueeze(1)
    vy = torch.tensor(test["churn"].to_numpy(), dtype=torch.float32).unsqueeze(1)

    class ChurnNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(12, 24)
            self.drop = nn.Dropout(0.2)
            self.fc2 = nn.Linear(24, 1)

        def forward(self, x):
            return self.fc2(self.drop(torch.relu(self.fc1(x))))

    model = ChurnNet()
    loss_fn = nn.BCEWithLogitsLoss()
    opt = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loader = DataLoader(TensorDataset(tx, ty), batch_size=32, shuffle=True)
    for epoch in range(6):
        model.train()
        for xb, yb in loader:
            opt.zero_grad()
            loss_fn(model(xb), yb).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            out = model(vx)
            preds = (out > 0.5).float()
            acc = (preds == vy).float().mean().item()
        score = f1_score(vy.numpy().ravel(), preds.numpy().ravel())
        print(f"epoch {epoch} acc {acc:.3f} f1 {score:.3f}")
    return acc, score


@buggy("backward-never-called")
def iris_homework():
    # Homework 3: classify iris flowers
    torch.manual_seed(1)
    iris = load_iris()
    X_train, X_test, y_train, y_test = train_test_split(
        iris.data, iris.target, test_size=0.3, random_state=1
    )
    mean = X_train.mean(axis=0)
    std = X_train.std(axis=0)
    X_train = torch.FloatTensor((X_train - mean) / std)
    X_test = torch.FloatTensor((X_test - mean) / std)
    y_train = torch.LongTensor(y_train)
    y_test = torch.LongTensor(y_test)

    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    losses = []
    for _epoch in range(60):
        optimizer.zero_grad()
        outputs = model(X_train)
        loss = criterion(outputs, y_train)
        loss.backward  # noqa: B018
        optimizer.step()
        losses.append(loss.item())

    with torch.no_grad():
        predicted = torch.max(model(X_test), 1)[1]
        correct_count = (predicted == y_test).sum().item()
    print("test accuracy:", correct_count / len(y_test))
    return losses


@buggy("accumulation-not-averaged")
def accumulate_small_gpu():
    torch.manual_seed(11)
    ACCUM, MICRO = 8, 16
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16.0, dtype=torch.float32).view(-1, 1, 8, 8)
    y = torch.tensor(y)
    g = torch.Generator().manual_seed(0)
    perm = torch.randperm(len(X), generator=g)
    tr, va = perm[:1280], perm[1280:]
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12 * 16, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.08, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X[tr], y[tr]), batch_size=MICRO, shuffle=True, drop_last=True)
    accs = []
    for _epoch in range(4):
        net.train()
        optimizer.zero_grad()
        for step, (images, labels) in enumerate(loader):
            loss = criterion(net(images), labels)
            loss.backward()
            if (step + 1) % ACCUM == 0:
                optimizer.step()
                optimizer.zero_grad()
        net.eval()
        with torch.no_grad():
            accs.append((net(X[va]).argmax(1) == y[va]).float().mean().item())
    return accs


@buggy("optimizer-holds-other-params")
def estimator_refit():
    class TorchClassifier:
        """sklearn-like wrapper"""

        def __init__(self, n_in, n_out, lr=1e-2, epochs=8, seed=0):
            torch.manual_seed(seed)
            self.n_in, self.n_out, self.epochs = n_in, n_out, epochs
            self.model = self._build()
            self.optimizer = torch.optim.Adam(self.model.parameters(), lr=lr)

        def _build(self):
            return nn.Sequential(nn.Linear(self.n_in, 32), nn.ReLU(), nn.Linear(32, self.n_out))

        def fit(self, X, y):
            self.model = self._build()
            X = torch.as_tensor(X, dtype=torch.float32)
            y = torch.as_tensor(y)
            self.losses_ = []
            for _ in range(self.epochs):
                self.model.train()
                for idx in torch.randperm(len(X)).split(32):
                    self.optimizer.zero_grad()
                    loss = F.cross_entropy(self.model(X[idx]), y[idx])
                    loss.backward()
                    self.optimizer.step()
                self.losses_.append(loss.item())
            return self

        def score(self, X, y):
            self.model.eval()
            with torch.no_grad():
                pred = self.model(torch.as_tensor(X, dtype=torch.float32)).argmax(1).numpy()
            return (pred == y).mean()

    X, y = load_wine(return_X_y=True)
    Xtr, Xte, ytr, yte = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
    sc = StandardScaler().fit(Xtr)
    clf = TorchClassifier(13, 3).fit(sc.transform(Xtr), ytr)
    return clf.losses_, clf.score(sc.transform(Xte), yte)


@buggy("params-not-optimized")
def autoencoder_two_parts():
    torch.manual_seed(5)
    X, _ = load_digits(return_X_y=True)
    X = torch.tensor(X / 16.0, dtype=torch.float32)
    train_x, test_x = X[:1400], X[1400:]

    encoder = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 12))
    decoder = nn.Sequential(nn.Linear(12, 48), nn.ReLU(), nn.Linear(48, 64))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=2e-3)
    train_loader = DataLoader(train_x, batch_size=50, shuffle=True)

    curve = []
    for _epoch in range(8):
        encoder.train()
        decoder.train()
        for batch in train_loader:
            recon = decoder(encoder(batch))
            loss = F.mse_loss(recon, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        encoder.eval()
        decoder.eval()
        with torch.no_grad():
            curve.append(F.mse_loss(decoder(encoder(test_x)), test_x).item())
    print("test reconstruction", curve[-1])
    return curve


@buggy("layers-cut-off")
def lstm_sequence_classifier():
    torch.manual_seed(21)
    n, T = 480, 20
    t = torch.linspace(0, 1, T)
    label = torch.randint(0, 3, (n,))
    freq = torch.tensor([2.0, 4.0, 7.0])[label].unsqueeze(1)
    phase = torch.rand(n, 1) * 6.28
    seqs = (torch.sin(6.28 * freq * t + phase) + 0.1 * torch.randn(n, T)).unsqueeze(-1)

    class SeqModel(nn.Module):
        def __init__(self, hidden=24):
            super().__init__()
            self.lstm = nn.LSTM(1, hidden, batch_first=True)
            self.head = nn.Linear(hidden, 3)

        def forward(self, x):
            out, _ = self.lstm(x)
            last = out[:, -1].data
            return self.head(last)

    ds = TensorDataset(seqs, label)
    train_ds, val_ds = random_split(ds, [400, 80], generator=torch.Generator().manual_seed(1))
    train_loader = DataLoader(train_ds, batch_size=40, shuffle=True)
    val_loader = DataLoader(val_ds, batch_size=80)
    model = SeqModel()
    opt = torch.optim.Adam(model.parameters(), lr=1e-2)
    hist = []
    for _epoch in range(8):
        model.train()
        for x, y in train_loader:
            opt.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            for x, y in val_loader:
                hist.append((model(x).argmax(-1) == y).float().mean().item())
    return hist


@buggy("loss-cut-off")
def rmse_with_sklearn():
    torch.manual_seed(8)
    X, y = make_regression(n_samples=500, n_features=8, noise=5.0, random_state=8)
    X_tr, X_te, y_tr, y_te = train_test_split(X, y, test_size=0.2, random_state=8)
    ys = StandardScaler().fit(y_tr.reshape(-1, 1))
    y_tr = ys.transform(y_tr.reshape(-1, 1)).ravel()
    y_te = ys.transform(y_te.reshape(-1, 1)).ravel()
    X_tr, X_te = torch.tensor(X_tr).float(), torch.tensor(X_te).float()
    y_tr, y_te = torch.tensor(y_tr).float(), torch.tensor(y_te).float()

    def rmse(pred, target):
        value = np.sqrt(mean_squared_error(target.numpy(), pred.detach().numpy()))
        return torch.tensor(float(value), requires_grad=True)

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    results = []
    for _epoch in range(10):
        model.train()
        for batch in DataLoader(range(len(X_tr)), batch_size=40, shuffle=True):
            optimizer.zero_grad()
            loss = rmse(model(X_tr[batch]).squeeze(-1), y_tr[batch])
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            results.append(r2_score(y_te.numpy(), model(X_te).squeeze(-1).numpy()))
    print("r2", results[-1])
    return results


@buggy("unregistered-layers")
def deep_residual_mlp():
    class Block(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.norm = nn.LayerNorm(d)
            self.a = nn.Linear(d, d)
            self.b = nn.Linear(d, d)

        def forward(self, x):
            return x + self.b(F.gelu(self.a(self.norm(x))))

    class ResMLP(nn.Module):
        def __init__(self, n_in, d, n_out, depth):
            super().__init__()
            self.stem = nn.Linear(n_in, d)
            self.blocks = [Block(d) for _ in range(depth)]
            self.out = nn.Linear(d, n_out)

        def forward(self, x):
            x = self.stem(x)
            for blk in self.blocks:
                x = blk(x)
            return self.out(x)

    torch.manual_seed(0)
    X, y = make_classification(
        n_samples=800, n_features=16, n_informative=10, n_classes=4, random_state=4
    )
    data = TensorDataset(torch.tensor(X, dtype=torch.float32), torch.tensor(y))
    train, val = random_split(data, [640, 160], generator=torch.Generator().manual_seed(4))
    model = ResMLP(16, 32, 4, depth=4)
    opt = torch.optim.AdamW(model.parameters(), lr=2e-3)
    out = []
    for _ep in range(7):
        model.train()
        for xb, yb in DataLoader(train, 32, shuffle=True):
            loss = nn.functional.cross_entropy(model(xb), yb)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
        model.eval()
        n_ok = 0
        with torch.no_grad():
            for xb, yb in DataLoader(val, 64):
                n_ok += (model(xb).argmax(1) == yb).sum().item()
        out.append(n_ok / len(val))
    return out


@buggy("clip-misplaced")
def rnn_running_total():
    torch.manual_seed(13)

    def ledger(n, T=20):
        entries = torch.randn(n, T, 1)
        return entries, 3 * entries.sum(1) / math.sqrt(T)

    class TotalRNN(nn.Module):
        def __init__(self, h=32):
            super().__init__()
            self.rnn = nn.RNN(1, h, batch_first=True)
            self.readout = nn.Linear(h, 1)

        def forward(self, x):
            states, _ = self.rnn(x)
            return self.readout(states[:, -1])

    xs, ys = ledger(600)
    xv, yv = ledger(150)
    net = TotalRNN()
    opt = torch.optim.SGD(net.parameters(), lr=0.04)
    norms, val = [], []
    for _epoch in range(6):
        net.train()
        for idx in torch.randperm(600).split(30):
            opt.zero_grad()
            loss = F.mse_loss(net(xs[idx]), ys[idx])
            loss.backward()
            opt.step()
            norms.append(nn.utils.clip_grad_norm_(net.parameters(), max_norm=1.0).item())
        net.eval()
        with torch.no_grad():
            val.append(F.mse_loss(net(xv), yv).item())
    return val, max(norms)


@buggy("softmax-before-cross-entropy")
def digits_first_network():
    torch.manual_seed(0)
    digits = load_digits()
    X_train, X_test, y_train, y_test = train_test_split(
        digits.data / 16, digits.target, test_size=0.2, random_state=0
    )
    X_train = torch.tensor(X_train, dtype=torch.float32)
    y_train = torch.tensor(y_train, dtype=torch.long)
    X_test = torch.tensor(X_test, dtype=torch.float32)
    y_test = torch.tensor(y_test, dtype=torch.long)

    model = nn.Sequential(
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
        nn.Softmax(dim=1),
    )
    loss_function = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    batch_size = 50
    for epoch in range(8):
        model.train()
        order = torch.randperm(len(X_train))
        for start in range(0, len(X_train), batch_size):
            idx = order[start : start + batch_size]
            optimizer.zero_grad()
            loss = loss_function(model(X_train[idx]), y_train[idx])
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            test_out = model(X_test)
            acc = (test_out.argmax(1) == y_test).float().mean()
        print(epoch, round(loss.item(), 4), round(acc.item(), 4))
    return acc.item()


@buggy("softmax-before-cross-entropy")
def review_transformer_module():
    class LitModule(nn.Module):
        def training_step(self, batch):
            raise NotImplementedError

        def fit(self, loader, val, epochs):
            opt = self.configure_optimizers()
            self.logged = []
            for _ in range(epochs):
                self.train()
                for batch in loader:
                    opt.zero_grad()
                    loss = self.training_step(batch)
                    loss.backward()
                    opt.step()
                self.eval()
                with torch.no_grad():
                    self.logged.append(self.validation_step(val))
            return self.logged

    class Reviews(LitModule):
        def __init__(self, vocab=60, d=24, classes=4):
            super().__init__()
            self.emb = nn.Embedding(vocab, d)
            self.enc = nn.TransformerEncoderLayer(d, 4, 48, dropout=0.1, batch_first=True)
            self.cls = nn.Linear(d, classes)

        def forward(self, tokens):
            pooled = self.enc(self.emb(tokens)).mean(dim=1)
            return F.softmax(self.cls(pooled), dim=-1)

        def training_step(self, batch):
            tokens, target = batch
            return F.cross_entropy(self(tokens), target)

        def validation_step(self, batch):
            tokens, target = batch
            probs = self(tokens)
            return (probs.argmax(-1) == target).float().mean().item()

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    torch.manual_seed(2)
    y = torch.randint(0, 4, (500,))
    toks = torch.randint(0, 60, (500, 12))
    topical = torch.rand(500, 12) < 0.35
    toks = torch.where(topical, y[:, None] * 15 + toks % 15, toks)
    model = Reviews()
    loader = DataLoader(TensorDataset(toks[:400], y[:400]), batch_size=40, shuffle=True)
    return model.fit(loader, (toks[400:], y[400:]), epochs=6)


@buggy("sigmoid-before-bce-with-logits")
def movie_genres_multilabel():
    torch.manual_seed(31)
    np.random.seed(31)
    W = np.random.randn(20, 6)
    X = np.random.randn(700, 20).astype("float32")
    Y = ((X @ W + 0.5 * np.random.randn(700, 6)) > 1.0).astype("float32")

    class GenreDataset(Dataset):
        def __init__(self, feats, labels):
            self.feats, self.labels = feats, labels

        def __len__(self):
            return len(self.feats)

        def __getitem__(self, i):
            return torch.from_numpy(self.feats[i]), torch.from_numpy(self.labels[i])

    class GenreNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(20, 64), nn.ReLU())
            self.out = nn.Linear(64, 6)

        def forward(self, x):
            return torch.sigmoid(self.out(self.body(x)))

    train_dl = DataLoader(GenreDataset(X[:550], Y[:550]), batch_size=50, shuffle=True)
    valid_dl = DataLoader(GenreDataset(X[550:], Y[550:]), batch_size=75)
    net, criterion = GenreNet(), nn.BCEWithLogitsLoss()
    optim = torch.optim.Adam(net.parameters(), lr=5e-3)
    for epoch in range(7):
        net.train()
        for feats, labels in train_dl:
            optim.zero_grad()
            loss = criterion(net(feats), labels)
            loss.backward()
            optim.step()
        net.eval()
        y_true, y_hat = [], []
        with torch.no_grad():
            for feats, labels in valid_dl:
                y_hat.append((net(feats) > 0.5).int().numpy())
                y_true.append(labels.int().numpy())
        f1 = f1_score(np.vstack(y_true), np.vstack(y_hat), average="micro")
        print("Epoch", epoch, f"loss {loss.item():.3f}", f"f1 {f1:.3f}")
    return f1


@buggy("nll-on-logits")
def char_gru():
    torch.manual_seed(17)
    text = (
        "the quick brown fox jumps over the lazy dog and the cat sat on the mat while "
        "a small bird sang in the old tree near the river "
    ) * 8
    chars = sorted(set(text))
    stoi = {c: i for i, c in enumerate(chars)}
    ids = torch.tensor([stoi[c] for c in text])
    T = 20
    n_win = (len(ids) - 1) // T
    x = ids[: n_win * T].view(n_win, T)
    y = ids[1 : n_win * T + 1].view(n_win, T)

    class CharModel(nn.Module):
        def __init__(self, v, e=16, h=32):
            super().__init__()
            self.embedding = nn.Embedding(v, e)
            self.gru = nn.GRU(e, h, batch_first=True)
            self.fc = nn.Linear(h, v)

        def forward(self, s):
            o, _ = self.gru(self.embedding(s))
            return self.fc(o)

    model = CharModel(len(chars))
    opt = torch.optim.Adam(model.parameters(), lr=5e-3)
    hist = []
    for epoch in range(8):
        for idx in torch.randperm(n_win).split(12):
            out = model(x[idx])
            loss = F.nll_loss(out.reshape(-1, len(chars)), y[idx].reshape(-1))
            opt.zero_grad()
            loss.backward()
            opt.step()
        hist.append(loss.item())
        print("epoch", epoch + 1, "loss", hist[-1])
    return hist


@buggy("broadcast-loss")
def rental_bikes_regression():
    torch.manual_seed(9)
    rng = np.random.default_rng(9)
    hours = rng.integers(0, 24, 800)
    temp = rng.normal(15, 8, 800)
    humid = rng.uniform(20, 100, 800)
    count = (
        50 + 30 * np.sin(hours / 24 * 2 * np.pi) + 4 * temp - 0.4 * humid + rng.normal(0, 8, 800)
    )
    df = pd.DataFrame(
        {
            "sin": np.sin(hours / 24 * 2 * np.pi),
            "cos": np.cos(hours / 24 * 2 * np.pi),
            "temp": temp,
            "humid": humid,
            "count": count,
        }
    )
    train, test = train_test_split(df, test_size=0.2, random_state=9)
    mean, std = train.mean(), train.std()
    train, test = (train - mean) / std, (test - mean) / std

    def to_t(d):
        return (
            torch.tensor(d.drop(columns="count").values, dtype=torch.float32),
            torch.tensor(d["count"].values, dtype=torch.float32),
        )

    (X_tr, y_tr), (X_te, y_te) = to_t(train), to_t(test)

    model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(X_tr, y_tr), batch_size=64, shuffle=True)
    for _epoch in range(10):
        model.train()
        for X_batch, y_batch in loader:
            optimizer.zero_grad()
            y_pred = model(X_batch)
            loss = criterion(y_pred, y_batch)
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        pred = model(X_te).squeeze(1).numpy()
    r2 = r2_score(y_te.numpy(), pred)
    print("final loss", loss.item(), "R2", r2)
    return r2


@buggy("broadcast-loss")
def forecast_lstm_own_loss():
    torch.manual_seed(4)
    steps = np.arange(700)
    series = (
        np.sin(steps / 9.0)
        + 0.5 * np.sin(steps / 31.0)
        + 0.05 * np.random.RandomState(4).randn(700)
    )
    cut = 560

    def windows(s, w=16):
        xs = np.stack([s[i : i + w] for i in range(len(s) - w)])
        return torch.tensor(xs, dtype=torch.float32).unsqueeze(-1), torch.tensor(
            s[w:], dtype=torch.float32
        )

    x_tr, y_tr = windows(series[:cut])
    x_va, y_va = windows(series[cut:])

    class Forecaster(nn.Module):
        def __init__(self, hidden=20):
            super().__init__()
            self.lstm = nn.LSTM(1, hidden, batch_first=True)
            self.lin = nn.Linear(hidden, 1)

        def forward(self, w):
            h, _ = self.lstm(w)
            return self.lin(h[:, -1])

    def smooth_l1(pred, true, beta=0.5):
        d = (pred - true).abs()
        return torch.where(d < beta, 0.5 * d**2 / beta, d - 0.5 * beta).mean()

    f = Forecaster()
    optimiser = torch.optim.Adam(f.parameters(), lr=1e-2)
    val_mae = []
    for _epoch in range(8):
        f.train()
        for b in torch.randperm(len(x_tr)).split(34):
            optimiser.zero_grad()
            smooth_l1(f(x_tr[b]), y_tr[b]).backward()
            optimiser.step()
        f.eval()
        with torch.no_grad():
            val_mae.append((f(x_va)[:, 0] - y_va).abs().mean().item())
    return val_mae


@buggy("training-in-eval-mode")
def credit_mlp_bn():
    torch.manual_seed(23)
    X, y = make_classification(
        n_samples=900,
        n_features=30,
        n_informative=8,
        n_redundant=4,
        class_sep=0.8,
        flip_y=0.15,
        random_state=23,
    )
    X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=0.5, stratify=y, random_state=23)
    sc = StandardScaler()
    X_tr = torch.tensor(sc.fit_transform(X_tr), dtype=torch.float32)
    X_va = torch.tensor(sc.transform(X_va), dtype=torch.float32)
    y_tr, y_va = torch.tensor(y_tr).float(), torch.tensor(y_va).float()
    model = nn.Sequential(
        nn.Linear(30, 128),
        nn.BatchNorm1d(128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 64),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(64, 1),
    )
    opt = torch.optim.Adam(model.parameters(), lr=3e-3)
    crit = nn.BCEWithLogitsLoss()
    train_dl = DataLoader(TensorDataset(X_tr, y_tr), batch_size=32, shuffle=True, drop_last=True)
    valid_dl = DataLoader(TensorDataset(X_va, y_va), batch_size=64)

    def validate():
        model.eval()
        loss_sum, hit = 0.0, 0
        with torch.no_grad():
            for xb, yb in valid_dl:
                z = model(xb).flatten()
                loss_sum += crit(z, yb).item() * len(yb)
                hit += ((z > 0) == (yb > 0.5)).sum().item()
        return loss_sum / len(y_va), hit / len(y_va)

    model.train()
    log = []
    for _epoch in range(15):
        for xb, yb in train_dl:
            opt.zero_grad()
            loss = crit(model(xb).flatten(), yb)
            loss.backward()
            opt.step()
        log.append(validate())
    return log


@buggy("eval-in-train-mode")
def convnet_digits_research():
    def get_data(seed):
        X, y = load_digits(return_X_y=True)
        X = (X.astype(np.float32) / 16.0).reshape(-1, 1, 8, 8)
        return train_test_split(
            torch.from_numpy(X), torch.from_numpy(y), test_size=300, random_state=seed
        )

    class ConvNet(nn.Module):
        def __init__(self, width=12, p=0.5):
            super().__init__()
            self.c1 = nn.Conv2d(1, width, 3, padding=1)
            self.bn = nn.BatchNorm2d(width)
            self.drop = nn.Dropout(p)
            self.fc = nn.Linear(width * 16, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.bn(self.c1(x))), 2)
            return self.fc(self.drop(x.flatten(1)))

    def evaluate(net, loader):
        n = ok = 0
        with torch.inference_mode():
            for x, y in loader:
                ok += net(x).argmax(dim=1).eq(y).sum().item()
                n += y.numel()
        return ok / n

    torch.manual_seed(6)
    X_tr, X_te, y_tr, y_te = get_data(6)
    train_loader = DataLoader(TensorDataset(X_tr, y_tr), batch_size=64, shuffle=True)
    test_loader = DataLoader(TensorDataset(X_te, y_te), batch_size=20)
    net = ConvNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    accs = []
    for epoch in range(5):
        net.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
        accs.append(evaluate(net, test_loader))
        print(f"[{epoch}] test acc {accs[-1]:.3f}")
    return accs


@buggy("dropout-always-on")
def wine_functional_dropout():
    class WineNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(13, 48)
            self.fc2 = nn.Linear(48, 24)
            self.fc3 = nn.Linear(24, 3)

        def forward(self, x):
            x = F.relu(self.fc1(x))
            x = F.dropout(x, p=0.5)
            x = F.relu(self.fc2(x))
            x = F.dropout(x, p=0.5)
            return self.fc3(x)

    torch.manual_seed(10)
    X, y = load_wine(return_X_y=True)
    X_train, X_val, y_train, y_val = train_test_split(
        X, y, test_size=0.35, stratify=y, random_state=10
    )
    scaler = StandardScaler().fit(X_train)
    train_set = TensorDataset(
        torch.tensor(scaler.transform(X_train)).float(), torch.tensor(y_train)
    )
    val_set = TensorDataset(torch.tensor(scaler.transform(X_val)).float(), torch.tensor(y_val))
    train_loader = DataLoader(train_set, batch_size=16, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=len(val_set))
    net = WineNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    scores = []
    for _epoch in range(10):
        net.train()
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            loss = criterion(net(inputs), targets)
            loss.backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            inputs, targets = next(iter(val_loader))
            scores.append((net(inputs).argmax(1) == targets).float().mean().item())
    return scores


@buggy("eval-builds-graph")
def tutorial_train_and_test():
    torch.manual_seed(100)
    X, y = make_blobs(900, centers=5, n_features=6, cluster_std=4.0, random_state=100)
    X = torch.tensor(X, dtype=torch.float32) / 10
    y = torch.tensor(y)
    training_data = TensorDataset(X[:700], y[:700])
    test_data = TensorDataset(X[700:], y[700:])
    train_dataloader = DataLoader(training_data, batch_size=64, shuffle=True)
    test_dataloader = DataLoader(test_data, batch_size=64)

    def train_loop(dataloader, model, loss_fn, optimizer):
        model.train()
        for _batch, (xb, yb) in enumerate(dataloader):
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    def test_loop(dataloader, model, loss_fn):
        model.eval()
        size = len(dataloader.dataset)
        test_loss, hits = 0.0, 0
        for xb, yb in dataloader:
            pred = model(xb)
            test_loss += loss_fn(pred, yb).item() * len(yb)
            hits += (pred.argmax(1) == yb).type(torch.float).sum().item()
        print(f"Test: acc {100 * hits / size:.1f}%, avg loss {test_loss / size:.4f}")
        return hits / size

    model = nn.Sequential(
        nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5)
    )
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    accs = []
    for _t in range(6):
        train_loop(train_dataloader, model, loss_fn, optimizer)
        accs.append(test_loop(test_dataloader, model, loss_fn))
    return accs


@buggy("graph-kept")
def denoising_trainer():
    class DenoisingTrainer:
        def __init__(self, net, lr):
            self.net = net
            self.opt = torch.optim.Adam(net.parameters(), lr=lr)
            self.step_losses = []

        def run(self, train, val, epochs):
            report = []
            for _ep in range(epochs):
                self.net.train()
                for (clean,) in train:
                    noisy = clean + 0.2 * torch.randn_like(clean)
                    loss = F.mse_loss(self.net(noisy), clean)
                    self.opt.zero_grad()
                    loss.backward()
                    self.opt.step()
                    self.step_losses.append(loss)
                self.net.eval()
                with torch.no_grad():
                    err = F.mse_loss(self.net(val), val).item()
                recent = torch.stack(self.step_losses[-len(train) :]).mean()
                report.append((recent.item(), err))
            return report

    torch.manual_seed(19)
    X = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)
    perm = torch.randperm(len(X))
    train = DataLoader(TensorDataset(X[perm[:1500]]), batch_size=50, shuffle=True)
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 64), nn.Sigmoid())
    return DenoisingTrainer(net, 3e-3).run(train, X[perm[1500:]], epochs=6)


@buggy("metric-broadcast")
def heart_binary_homework():
    torch.manual_seed(55)
    X, y = make_classification(
        n_samples=600, n_features=10, n_informative=6, class_sep=1.2, random_state=55
    )
    X = torch.tensor(X, dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32)
    X_train, y_train = X[:450], y[:450]
    X_valid, y_valid = X[450:], y[450:]

    class LogisticNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer1 = nn.Linear(10, 20)
            self.layer2 = nn.Linear(20, 1)
            self.sigmoid = nn.Sigmoid()

        def forward(self, x):
            x = torch.tanh(self.layer1(x))
            return self.sigmoid(self.layer2(x))

    model = LogisticNet()
    criterion = nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(X_train, y_train), batch_size=30, shuffle=True)
    accuracies = []
    for epoch in range(8):
        model.train()
        for data, target in loader:
            optimizer.zero_grad()
            loss = criterion(model(data), target.unsqueeze(1))
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            prediction = (model(X_valid) > 0.5).float()
            accuracy = (prediction == y_valid).float().mean()
            accuracies.append(accuracy.item())
        print("Epoch:", epoch + 1, "Accuracy:", accuracy.item())
    return accuracies


@buggy("argmax-wrong-dim")
def onehot_from_keras():
    torch.manual_seed(77)
    bunch = load_digits(as_frame=True)
    onehot = pd.get_dummies(bunch.target).astype("float32")
    X_train, X_test, Y_train, Y_test = train_test_split(
        bunch.data / 16.0, onehot, test_size=0.2, random_state=77
    )
    X_train = torch.tensor(X_train.values, dtype=torch.float32)
    X_test = torch.tensor(X_test.values, dtype=torch.float32)
    Y_train, Y_test = torch.tensor(Y_train.values), torch.tensor(Y_test.values)

    model = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    dl = DataLoader(TensorDataset(X_train, Y_train), batch_size=32, shuffle=True)

    def categorical_accuracy(y_pred, y_true):
        return (torch.argmax(y_pred, dim=0) == torch.argmax(y_true, dim=0)).float().mean().item()

    history = {"val_loss": [], "val_accuracy": []}
    for _epoch in range(6):
        model.train()
        for xb, yb in dl:
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            out = model(X_test)
            history["val_loss"].append(loss_fn(out, Y_test).item())
            history["val_accuracy"].append(categorical_accuracy(out, Y_test))
    print(pd.DataFrame(history).round(3).tail(2))
    return history


@buggy("metric-not-normalised")
def gru_digit_sum_blog():
    torch.manual_seed(15)
    rng = np.random.RandomState(15)
    seqs = rng.randint(0, 10, size=(730, 8))
    labels = (seqs.sum(1) > 36).astype(int)
    train_x, train_y = torch.tensor(seqs[:600]), torch.tensor(labels[:600])
    val_x, val_y = torch.tensor(seqs[600:]), torch.tensor(labels[600:])

    class SumNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(10, 8)
            self.gru = nn.GRU(8, 16, batch_first=True)
            self.fc = nn.Linear(16, 2)

        def forward(self, x):
            _, h = self.gru(self.emb(x))
            return self.fc(h[-1])

    model = SumNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    train_loader = DataLoader(TensorDataset(train_x, train_y), batch_size=40, shuffle=True)
    val_loader = DataLoader(TensorDataset(val_x, val_y), batch_size=64)
    summary = []
    for epoch in range(5):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            optimizer.step()
        model.eval()
        batch_losses, batch_accs = [], []
        with torch.no_grad():
            for xb, yb in val_loader:
                logits = model(xb)
                batch_losses.append(F.cross_entropy(logits, yb).item())
                batch_accs.append((logits.argmax(1) == yb).float().mean().item())
        summary.append((np.mean(batch_losses), np.mean(batch_accs)))
        print("epoch {} val loss {:.3f} val acc {:.3f}".format(epoch, *summary[-1]))
    return summary


@buggy("scheduler-per-batch")
def steplr_classifier():
    torch.manual_seed(33)
    X, y = make_classification(
        n_samples=1000, n_features=20, n_informative=12, n_classes=5, random_state=33
    )
    X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=0.2, random_state=33)
    scaler = StandardScaler().fit(X_tr)
    X_tr, X_va = [torch.tensor(scaler.transform(a), dtype=torch.float32) for a in (X_tr, X_va)]
    y_tr, y_va = torch.tensor(y_tr), torch.tensor(y_va)

    num_epochs = 10
    model = nn.Sequential(
        nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=4, gamma=0.5)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X_tr, y_tr), batch_size=40, shuffle=True)
    res = []
    for _epoch in range(num_epochs):
        model.train()
        epoch_loss = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
            scheduler.step()
            epoch_loss += loss.item()
        model.eval()
        with torch.no_grad():
            val_acc = (model(X_va).argmax(1) == y_va).float().mean().item()
        res.append((epoch_loss / len(loader), val_acc, scheduler.get_last_lr()[0]))
    return res


@buggy("input-scale")
def house_prices_kaggle():
    SEED = 2024
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    n = 700
    df = pd.DataFrame(
        {
            "sqft": np.random.uniform(500, 4500, n),
            "lot": np.random.uniform(2000, 40000, n),
            "year": np.random.randint(1930, 2022, n),
            "bedrooms": np.random.randint(1, 6, n),
            "quality": np.random.randint(1, 11, n),
        }
    )
    df["log_price"] = (
        11
        + 0.25 * (df.sqft - 2500) / 1150
        + 0.08 * (df.lot - 20000) / 11000
        + 0.2 * df.quality / 3
        + 0.004 * (df.year - 1975)
        + 0.05 * np.random.randn(n)
    )
    train = df.sample(frac=0.8, random_state=SEED)
    valid = df.drop(train.index)
    y_mean, y_std = train.log_price.mean(), train.log_price.std()
    cols = ["sqft", "lot", "year", "bedrooms", "quality"]

    def to_x(d):
        return torch.tensor(d[cols].values, dtype=torch.float32)

    def to_y(d):
        return torch.tensor(((d.log_price - y_mean) / y_std).values, dtype=torch.float32).reshape(
            -1, 1
        )

    train_loader = DataLoader(TensorDataset(to_x(train), to_y(train)), batch_size=32, shuffle=True)
    model = nn.Sequential(
        nn.Linear(5, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_fn = nn.MSELoss()
    scores = []
    for _epoch in range(10):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            scores.append(loss_fn(model(to_x(valid)), to_y(valid)).item())
    print("valid mse per epoch:", np.round(scores, 2))
    return scores


@buggy("val-scaled-differently")
def cancer_pipeline_class():
    class Pipeline:
        def __init__(self, hidden=16, lr=5e-3, batch=32):
            torch.manual_seed(12)
            self.net = nn.Sequential(nn.Linear(30, hidden), nn.ReLU(), nn.Linear(hidden, 2))
            self.opt = torch.optim.Adam(self.net.parameters(), lr=lr)
            self.batch = batch
            self.log = []

        def prepare(self, X_train):
            self.mean = X_train.mean(axis=0)
            self.std = X_train.std(axis=0) + 1e-8
            return (X_train - self.mean) / self.std

        def fit(self, X_train, y_train, X_val, y_val, epochs=6):
            Xt = torch.tensor(self.prepare(X_train), dtype=torch.float32)
            yt = torch.tensor(y_train)
            for _ in range(epochs):
                self.net.train()
                for idx in torch.randperm(len(Xt)).split(self.batch):
                    self.opt.zero_grad()
                    loss = F.cross_entropy(self.net(Xt[idx]), yt[idx])
                    loss.backward()
                    self.opt.step()
                self.log.append(self.evaluate(X_val, y_val))
            return self

        @torch.no_grad()
        def evaluate(self, X, y):
            self.net.eval()
            out = self.net(torch.tensor(X, dtype=torch.float32))
            y = torch.tensor(y)
            return F.cross_entropy(out, y).item(), (out.argmax(1) == y).float().mean().item()

    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_val, y_train, y_val = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=12
    )
    return Pipeline().fit(X_train, y_train, X_val, y_val).log


@buggy("sorted-batches")
def images_from_class_folders():
    torch.manual_seed(29)
    digits = load_digits()
    imgs_train, lab_train, imgs_val, lab_val = [], [], [], []
    for cls in range(10):
        files = digits.images[digits.target == cls] / 16.0
        cut = int(0.8 * len(files))
        imgs_train.append(files[:cut])
        lab_train += [cls] * cut
        imgs_val.append(files[cut:])
        lab_val += [cls] * (len(files) - cut)

    class FolderDataset(Dataset):
        def __init__(self, images, labels):
            self.images = np.concatenate(images).astype("float32")[:, None]
            self.labels = labels

        def __len__(self):
            return len(self.labels)

        def __getitem__(self, i):
            return torch.from_numpy(self.images[i]), self.labels[i]

    train_loader = DataLoader(FolderDataset(imgs_train, lab_train), batch_size=32)
    val_loader = DataLoader(FolderDataset(imgs_val, lab_val), batch_size=128)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    val_acc = []
    for _epoch in range(5):
        model.train()
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
        model.eval()
        right = 0
        with torch.no_grad():
            for images, labels in val_loader:
                right += (model(images).argmax(1) == labels).sum().item()
        val_acc.append(right / len(lab_val))
    return val_acc


@buggy("val-overlaps-train")
def fraud_oversampling():
    np.random.seed(41)
    torch.manual_seed(41)
    X, y = make_classification(
        n_samples=900,
        n_features=14,
        n_informative=4,
        weights=[0.88],
        class_sep=0.5,
        flip_y=0.05,
        random_state=41,
    )
    df = pd.DataFrame(X)
    df["label"] = y
    minority = df[df.label == 1]
    majority = df[df.label == 0]
    boosted = minority.sample(len(majority), replace=True, random_state=41)
    df = pd.concat([majority, boosted]).sample(frac=1.0, random_state=41).reset_index(drop=True)

    train, valid = train_test_split(df, test_size=0.25, stratify=df.label, random_state=41)
    scaler = StandardScaler().fit(train.drop(columns="label"))
    Xt = torch.tensor(scaler.transform(train.drop(columns="label")), dtype=torch.float32)
    Xv = torch.tensor(scaler.transform(valid.drop(columns="label")), dtype=torch.float32)
    yt = torch.tensor(train.label.values)
    yv = torch.tensor(valid.label.values)

    model = nn.Sequential(
        nn.Linear(14, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
    )
    opt = torch.optim.Adam(model.parameters(), lr=3e-3)
    train_dl = DataLoader(TensorDataset(Xt, yt), batch_size=64, shuffle=True)
    valid_dl = DataLoader(TensorDataset(Xv, yv), batch_size=128)
    f1s = []
    for _epoch in range(10):
        model.train()
        for xb, yb in train_dl:
            opt.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            preds = torch.cat([model(xb).argmax(1) for xb, _ in valid_dl])
        f1s.append(f1_score(yv.numpy(), preds.numpy()))
    return f1s


@buggy("labels-misaligned")
def numpy_shuffle_mlp():
    rng = np.random.default_rng(3)
    torch.manual_seed(3)
    data, target = load_digits(return_X_y=True)
    data = data.astype(np.float32) / 16.0
    shuffled = rng.permutation(len(data))
    data = data[shuffled]
    split = 1400
    x_train, x_val = torch.from_numpy(data[:split]), torch.from_numpy(data[split:])
    y_train, y_val = torch.from_numpy(target[:split]), torch.from_numpy(target[split:])

    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10))
    opt = torch.optim.Adam(net.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=56, shuffle=True)
    table = []
    for epoch in range(10):
        net.train()
        run_loss = 0.0
        for xb, yb in loader:
            opt.zero_grad()
            loss = criterion(net(xb), yb)
            loss.backward()
            opt.step()
            run_loss += loss.item() * xb.shape[0]
        net.eval()
        with torch.no_grad():
            logits = net(x_val)
            acc = (logits.argmax(1) == y_val).float().mean().item()
        table.append((run_loss / split, acc))
        print("%d  train loss %.3f  val acc %.3f" % (epoch, *table[-1]))  # noqa: UP031
    return table


@buggy("lr-too-high")
def cnn_adam_config():
    cfg = dict(seed=14, lr=1.0, batch_size=64, epochs=6, channels=16)
    torch.manual_seed(cfg["seed"])
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    full = TensorDataset(X, torch.tensor(y))
    train_set, val_set = random_split(
        full, [1437, 360], generator=torch.Generator().manual_seed(cfg["seed"])
    )

    class Net(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.conv1 = nn.Conv2d(1, c, 3, padding=1)
            self.conv2 = nn.Conv2d(c, c, 3, padding=1)
            self.fc1 = nn.Linear(c * 4, 32)
            self.fc2 = nn.Linear(32, 10)

        def forward(self, x):
            x = F.max_pool2d(F.leaky_relu(self.conv1(x), 0.1), 2)
            x = F.max_pool2d(F.leaky_relu(self.conv2(x), 0.1), 2)
            return self.fc2(F.leaky_relu(self.fc1(x.flatten(1)), 0.1))

    model = Net(cfg["channels"])
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg["lr"])
    history = []
    for _epoch in range(cfg["epochs"]):
        model.train()
        tot = 0.0
        for xb, yb in DataLoader(train_set, batch_size=cfg["batch_size"], shuffle=True):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            tot += loss.item() * len(xb)
        model.eval()
        with torch.no_grad():
            ok = sum(
                (model(xb).argmax(1) == yb).sum().item()
                for xb, yb in DataLoader(val_set, batch_size=180)
            )
        history.append((tot / len(train_set), ok / len(val_set)))
    return history


@buggy("best-state-alias")
def early_best_weights():
    torch.manual_seed(50)
    X, y = make_regression(
        n_samples=220, n_features=15, n_informative=6, noise=60.0, random_state=50
    )
    X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=0.4, random_state=50)
    m, s = y_tr.mean(), y_tr.std()
    X_tr, X_va = torch.tensor(X_tr, dtype=torch.float32), torch.tensor(X_va, dtype=torch.float32)
    y_tr = torch.tensor((y_tr - m) / s, dtype=torch.float32)[:, None]
    y_va = torch.tensor((y_va - m) / s, dtype=torch.float32)[:, None]

    net = nn.Sequential(
        nn.Linear(15, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 1)
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    loader = DataLoader(TensorDataset(X_tr, y_tr), batch_size=22, shuffle=True)
    best_loss, best_state = math.inf, None
    for _epoch in range(30):
        net.train()
        for xb, yb in loader:
            optimizer.zero_grad()
            F.mse_loss(net(xb), yb).backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            val_loss = F.mse_loss(net(X_va), y_va).item()
        if val_loss < best_loss:
            best_loss = val_loss
            best_state = net.state_dict()

    net.load_state_dict(best_state)
    net.eval()
    with torch.no_grad():
        final = F.mse_loss(net(X_va), y_va).item()
    print("best", best_loss, "restored", final)
    return best_loss, final
