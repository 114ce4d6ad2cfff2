"""Correct training loops in many styles: there is nothing to find in them."""

import numpy as np
import pandas as pd
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import load_digits, make_blobs, make_moons
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch.optim import Adam, AdamW
from torch.utils.data import DataLoader, TensorDataset, random_split

from tests.loops import correct


@correct
def xor_full_batch():
    torch.manual_seed(1)
    X = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    Y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])

    class XOR(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(2, 8)
            self.out = nn.Linear(8, 1)

        def forward(self, x):
            return torch.sigmoid(self.out(torch.tanh(self.hidden(x))))

    model = XOR()
    loss_fn = nn.BCELoss()
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    for i in range(200):
        optimizer.zero_grad()
        y_hat = model(X)
        loss = loss_fn(y_hat, Y)
        loss.backward()
        optimizer.step()
        if i % 50 == 0:
            print(f"Epoch {i}, loss {loss.item():.4f}")
    print(model(X).detach().round().flatten().tolist())


@correct
def digits_mlp_softmax_only_for_prediction():
    torch.manual_seed(0)
    digits = load_digits()
    X = digits.images.reshape(-1, 64).astype(np.float32)[:700]
    y = digits.target[:700]
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0)
    X_train, X_test = X_train / 16.0, X_test / 16.0
    train = DataLoader(
        TensorDataset(torch.from_numpy(X_train), torch.from_numpy(y_train)), 40, shuffle=True
    )
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    for _ in range(6):
        for images, labels in train:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            probabilities = nn.Softmax(dim=1)(model(torch.from_numpy(X_test)))
            top_p, top_class = probabilities.topk(1, dim=1)
            equals = top_class == torch.from_numpy(y_test).view(*top_class.shape)
            print(equals.float().mean().item(), top_p.mean().item())


@correct
def text_cnn_with_dropout():
    torch.manual_seed(0)
    ids = torch.randint(2, 30, (200, 12))
    y = torch.randint(0, 3, (200,))
    at = torch.randint(0, 11, (200,))
    rows = torch.arange(200)
    ids[rows, at] = 30 + y
    ids[rows, at + 1] = 33

    class TextCNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(34, 12)
            self.convs = nn.ModuleList(nn.Conv1d(12, 8, k) for k in (2, 3))
            self.drop = nn.Dropout(0.3)
            self.fc = nn.Linear(16, 3)

        def forward(self, x):
            e = self.emb(x).permute(0, 2, 1)
            pooled = [F.relu(c(e)).max(dim=2)[0] for c in self.convs]
            return self.fc(self.drop(torch.cat(pooled, dim=1)))

    model = TextCNN()
    optimizer = Adam(model.parameters(), lr=1e-2)
    criterion = nn.CrossEntropyLoss()
    train_iter = DataLoader(TensorDataset(ids[:160], y[:160]), batch_size=16, shuffle=True)
    valid_iter = DataLoader(TensorDataset(ids[160:], y[160:]), batch_size=16)
    for epoch in range(6):
        model.train()
        epoch_loss = 0
        for text, label in train_iter:
            optimizer.zero_grad()
            predictions = model(text)
            loss = criterion(predictions, label)
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item()
        model.eval()
        y_true, y_pred = [], []
        with torch.no_grad():
            for text, label in valid_iter:
                y_pred.extend(model(text).argmax(1).tolist())
                y_true.extend(label.tolist())
        print(epoch, epoch_loss / len(train_iter), accuracy_score(y_true, y_pred))


@correct
def stock_price_gru_windows():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    price = 50 + 10 * np.sin(np.arange(320) / 12) + rng.normal(0, 0.5, 320)
    split = 256
    scaler = MinMaxScaler(feature_range=(-1, 1))
    train = scaler.fit_transform(price[:split].reshape(-1, 1)).ravel()
    test = scaler.transform(price[split:].reshape(-1, 1)).ravel()

    def sliding_windows(data, n=10):
        x = np.stack([data[i : i + n] for i in range(len(data) - n)])
        return torch.Tensor(x).unsqueeze(-1), torch.Tensor(data[n:]).unsqueeze(-1)

    x_train, y_train = sliding_windows(train)
    x_test, y_test = sliding_windows(test)

    class GRUNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(1, 16, batch_first=True)
            self.fc = nn.Linear(16, 1)

        def forward(self, x):
            out, _ = self.gru(x)
            return self.fc(out[:, -1, :])

    model = GRUNet()
    optimizer = Adam(model.parameters(), lr=0.02)
    hist = np.zeros(30)
    for t in range(30):
        y_train_pred = model(x_train)
        loss = F.mse_loss(y_train_pred, y_train)
        hist[t] = loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        pred = scaler.inverse_transform(model(x_test).numpy())
    print(np.sqrt(np.mean((pred - scaler.inverse_transform(y_test.numpy())) ** 2)))


@correct
def tabular_categorical_embeddings():
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    df = pd.DataFrame(
        {
            "city": rng.choice(["Bern", "Basel", "Chur", "Genf"], 320),
            "kind": rng.choice(["flat", "house"], 320),
            "rooms": rng.integers(1, 7, 320),
            "area": rng.normal(90, 25, 320),
        }
    )
    bonus = df["city"].map({"Bern": 0.5, "Basel": 0.2, "Chur": -0.6, "Genf": 1.0})
    price = bonus + 0.015 * (df["area"] - 90) + 0.1 * df["rooms"] + 0.3 * (df["kind"] == "house")
    y = torch.tensor((price + rng.normal(0, 0.1, 320)).values, dtype=torch.float32)
    cats = np.stack([df[c].astype("category").cat.codes for c in ("city", "kind")], 1)
    cats = torch.tensor(cats, dtype=torch.long)
    conts = df[["rooms", "area"]].values.astype("float32")
    conts = (conts - conts[:256].mean(0)) / conts[:256].std(0)
    conts = torch.from_numpy(conts)

    class TabularModel(nn.Module):
        def __init__(self, sizes, n_cont):
            super().__init__()
            self.embeds = nn.ModuleList([nn.Embedding(c, s) for c, s in sizes])
            self.bn = nn.BatchNorm1d(n_cont)
            n_emb = sum(s for _, s in sizes)
            self.lin = nn.Sequential(nn.Linear(n_emb + n_cont, 24), nn.ReLU(), nn.Linear(24, 1))

        def forward(self, cat, cont):
            e = [emb(cat[:, i]) for i, emb in enumerate(self.embeds)]
            return self.lin(torch.cat([*e, self.bn(cont)], 1)).squeeze(-1)

    model = TabularModel([(4, 3), (2, 2)], 2)
    opt = Adam(model.parameters(), lr=1e-2)
    tr = DataLoader(TensorDataset(cats[:256], conts[:256], y[:256]), 32, shuffle=True)
    for epoch in range(10):
        model.train()
        for cat, cont, target in tr:
            opt.zero_grad()
            loss = torch.sqrt(F.mse_loss(model(cat, cont), target) + 1e-8)
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            rmse = F.mse_loss(model(cats[256:], conts[256:]), y[256:]).sqrt().item()
        print(epoch, rmse)


@correct
def multilabel_cnn_sigmoid_bce():
    torch.manual_seed(0)
    Y = (torch.rand(160, 3) < 0.4).float()
    X = torch.randn(160, 1, 6, 6) * 0.5
    for k in range(3):
        X[:, 0, 2 * k : 2 * k + 2] += 1.2 * Y[:, k].view(-1, 1, 1)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(72, 3),
        nn.Sigmoid(),
    )
    loss_fn = nn.BCELoss()
    opt = optim.RMSprop(model.parameters(), lr=3e-3)
    for _ in range(8):
        exact = labels_right = 0
        for xb, yb in DataLoader(TensorDataset(X, Y), batch_size=20, shuffle=True):
            p = model(xb)
            loss = loss_fn(p, yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            guess = (p.detach() > 0.5).float()
            labels_right += (guess == yb).sum().item()
            exact += (guess == yb).all(dim=1).sum().item()
        print(labels_right / Y.numel(), exact / len(Y))


@correct
def anomaly_autoencoder_threshold():
    torch.manual_seed(0)
    mix = torch.randn(3, 10)
    normal = torch.randn(300, 3) @ mix + 0.1 * torch.randn(300, 10)
    odd = torch.randn(30, 10) * 2
    mu, sd = normal[:240].mean(0), normal[:240].std(0)
    train = (normal[:240] - mu) / sd
    test = (torch.cat([normal[240:], odd]) - mu) / sd
    truth = np.r_[np.zeros(60), np.ones(30)]
    ae = nn.Sequential(
        nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, 3), nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 10)
    )
    opt = Adam(ae.parameters(), lr=1e-2)
    for _ in range(20):
        batch_losses = []
        for (xb,) in DataLoader(TensorDataset(train), batch_size=40, shuffle=True):
            loss = F.mse_loss(ae(xb), xb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            batch_losses.append(loss.item())
    with torch.no_grad():
        err = ((ae(test) - test) ** 2).mean(1)
    print(np.mean(batch_losses), roc_auc_score(truth, err))


@correct
def several_models_compared_in_a_dict():
    torch.manual_seed(0)
    X, y = make_moons(300, noise=0.2, random_state=2)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32).view(-1, 1)
    Xtr, ytr, Xva, yva = X[:240], y[:240], X[240:], y[240:]
    models = {
        "linear": nn.Linear(2, 1),
        "small": nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)),
        "large": nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 1)),
    }
    results = {}
    for name, model in models.items():
        opt = Adam(model.parameters(), lr=2e-2)
        for _ in range(8):
            order = torch.randperm(240)
            for k in range(0, 240, 40):
                rows = order[k : k + 40]
                loss = F.binary_cross_entropy_with_logits(model(Xtr[rows]), ytr[rows])
                opt.zero_grad()
                loss.backward()
                opt.step()
        with torch.no_grad():
            results[name] = ((model(Xva) > 0).float() == yva).float().mean().item()
    print(results)


@correct
def hinge_loss_svm_weight_decay():
    torch.manual_seed(0)
    X, y = make_blobs(200, centers=2, n_features=2, cluster_std=2.0, random_state=0)
    X = StandardScaler().fit_transform(X)
    X = torch.FloatTensor(X)
    Y = torch.FloatTensor(y * 2.0 - 1.0)
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    N = len(Y)
    for epoch in range(10):
        perm = torch.randperm(N)
        sum_loss = 0.0
        for i in range(0, N, 10):
            x, t = X[perm[i : i + 10]], Y[perm[i : i + 10]]
            optimizer.zero_grad()
            output = model(x).squeeze(1)
            weight = model.weight.squeeze()
            loss = torch.mean(torch.clamp(1 - t * output, min=0)) + 0.01 * (weight @ weight) / 2
            loss.backward()
            optimizer.step()
            sum_loss += loss.item() * len(t)
        print(f"Epoch: {epoch:4d}\tloss: {sum_loss / N:.4f}")


@correct
def confusion_counts_by_hand_three_splits():
    torch.manual_seed(0)
    X = torch.randn(450, 6)
    y = torch.bucketize(X[:, 0] + 0.5 * X[:, 1], torch.tensor([-0.6, 0.6]))
    gen = torch.Generator().manual_seed(42)
    train, valid, test = random_split(TensorDataset(X, y), [0.7, 0.15, 0.15], generator=gen)
    loaders = {
        "train": DataLoader(train, batch_size=32, shuffle=True),
        "valid": DataLoader(valid, batch_size=32),
        "test": DataLoader(test, batch_size=32),
    }
    net = nn.Sequential(nn.Linear(6, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3))
    opt = AdamW(net.parameters(), lr=1e-2)

    @torch.no_grad()
    def confusion(split):
        net.eval()
        table = torch.zeros(3, 3, dtype=torch.long)
        for xb, yb in loaders[split]:
            for t, p in zip(yb.tolist(), net(xb).argmax(1).tolist(), strict=True):
                table[t, p] += 1
        return table

    for _ in range(8):
        net.train()
        for xb, yb in loaders["train"]:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
        table = confusion("valid")
        print((table.diag().sum() / table.sum()).item())
    print(confusion("test"))
