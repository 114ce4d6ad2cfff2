"""Training loops with one silent bug each."""

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.datasets import (
    load_digits,
    load_iris,
    make_classification,
    make_moons,
)
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import (
    DataLoader,
    TensorDataset,
    random_split,
)
from tqdm import tqdm

from .. import buggy


@buggy("no-zero-grad")
def regression_trainer_class():
    torch.manual_seed(1)

    class Trainer:
        def __init__(self, net, criterion, opt, epochs):
            self.net, self.criterion, self.opt, self.epochs = net, criterion, opt, epochs
            self.log = []

        def run_batch(self, xb, yb):
            loss = self.criterion(self.net(xb), yb)
            loss.backward()
            self.opt.step()
            return loss.item()

        def fit(self, loader):
            for _ in range(self.epochs):
                self.opt.zero_grad(set_to_none=True)
                self.net.train()
                losses = [self.run_batch(xb, yb) for xb, yb in loader]
                self.log.append(sum(losses) / len(losses))

    x = torch.rand(320, 4) * 2 - 1
    target = (x[:, :1] ** 2 - x[:, 1:2] + 0.5 * x[:, 2:3] * x[:, 3:]) + 0.05 * torch.randn(320, 1)
    net = nn.Sequential(nn.Linear(4, 48), nn.Tanh(), nn.Linear(48, 1))
    trainer = Trainer(net, nn.MSELoss(), torch.optim.SGD(net.parameters(), lr=0.05), epochs=8)
    trainer.fit(DataLoader(TensorDataset(x, target), batch_size=16, shuffle=True))
    return trainer.log


@buggy("grads-cleared-before-step")
def digits_kaggle():
    torch.manual_seed(2)
    X, y = load_digits(return_X_y=True)
    X_tr, X_va, y_tr, y_va = train_test_split(X / 16.0, y, test_size=0.25, random_state=0)
    tr_ds = TensorDataset(torch.tensor(X_tr, dtype=torch.float32), torch.tensor(y_tr))
    va_ds = TensorDataset(torch.tensor(X_va, dtype=torch.float32), torch.tensor(y_va))
    tr_dl = DataLoader(tr_ds, batch_size=64, shuffle=True)
    va_dl = DataLoader(va_ds, batch_size=128)
    mlp = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10))
    optim = torch.optim.AdamW(mlp.parameters(), lr=3e-3)
    crit = nn.CrossEntropyLoss()
    scores = []
    for ep in range(3):
        mlp.train()
        run_loss, seen = 0.0, 0
        bar = tqdm(tr_dl, desc=f"ep {ep}", leave=False)
        for xb, yb in bar:
            out = mlp(xb)
            loss = crit(out, yb)
            loss.backward()
            optim.zero_grad()
            optim.step()
            run_loss += loss.item() * len(xb)
            seen += len(xb)
            bar.set_postfix(loss=run_loss / seen)
        mlp.eval()
        hits = 0
        with torch.no_grad():
            for xb, yb in va_dl:
                hits += (mlp(xb).argmax(1) == yb).sum().item()
        scores.append(run_loss / seen)
        print(ep, run_loss / seen, hits / len(va_ds))
    return scores


@buggy("step-never-called")
def tiny_cnn_shapes():
    torch.manual_seed(4)
    n = 256
    imgs = 0.1 * torch.randn(n, 1, 12, 12)
    labels = torch.randint(0, 2, (n,))
    for i in range(n):
        if labels[i] == 0:
            imgs[i, 0, 5:7, :] += 1.0
        else:
            imgs[i, 0, :, 5:7] += 1.0
    train_set, val_set = random_split(TensorDataset(imgs, labels), [192, 64])
    train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=64)

    class ConvNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
            self.pool = nn.MaxPool2d(2)
            self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
            self.fc = nn.Linear(8 * 3 * 3, 2)

        def forward(self, x):
            x = self.pool(F.relu(self.conv1(x)))
            x = self.pool(F.relu(self.conv2(x)))
            return self.fc(torch.flatten(x, 1))

    net = ConvNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _epoch in range(4):
        net.train()
        running_loss = 0.0
        for data in train_loader:
            inputs, targets = data
            optimizer.zero_grad()
            outputs = net(inputs)
            loss = criterion(outputs, targets)
            loss.backward()
            running_loss += loss.item()
        losses.append(running_loss / len(train_loader))
        net.eval()
        with torch.no_grad():
            correct = sum((net(a).argmax(1) == b).sum().item() for a, b in val_loader)
        print(f"[{_epoch + 1}] loss: {losses[-1]:.3f} acc: {correct / len(val_set):.2f}")
    return losses


@buggy("accumulation-not-averaged")
def accumulate_moons():
    torch.manual_seed(6)
    X, y = make_moons(512, noise=0.15, random_state=6)
    X = torch.tensor(X, dtype=torch.float32)
    y = torch.tensor(y)
    loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    accum_steps = 4
    means = []
    for _ in range(6):
        total = 0.0
        optimizer.zero_grad()
        for i, (xb, yb) in enumerate(loader):
            loss = F.cross_entropy(model(xb), yb)
            total += loss.item()
            loss.backward()
            if (i + 1) % accum_steps == 0:
                optimizer.step()
                optimizer.zero_grad()
        means.append(total / len(loader))
    return means


@buggy("loss-cut-off")
def sum_sign_binary():
    torch.manual_seed(10)
    x = torch.randn(256, 5)
    y = (x.sum(1) > 0).float()
    dl = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    clf = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 1))
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(clf.parameters(), lr=1e-2)
    out = []
    for _ in range(5):
        epoch_loss = 0.0
        for inputs, labels in dl:
            optimizer.zero_grad()
            logits = clf(inputs).squeeze(1)
            loss = criterion(logits, labels)
            loss = torch.tensor(loss.item(), requires_grad=True)
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item()
        out.append(epoch_loss / len(dl))
    return out


@buggy("clip-before-unscale")
def amp_cpu_classifier():
    torch.manual_seed(13)
    x = torch.randn(320, 12)
    y = (x[:, :4].sum(1) > x[:, 4:8].sum(1)).long()
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    hist = []
    for _epoch in range(6):
        total = 0.0
        for xb, yb in loader:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(model(xb), yb)
            scaler.scale(loss).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            total += loss.item()
        hist.append(total / len(loader))
    return hist


@buggy("softmax-before-cross-entropy")
def iris_softmax():
    torch.manual_seed(14)
    iris = load_iris()
    X = StandardScaler().fit_transform(iris.data).astype("float32")
    Xtr, Xte, ytr, yte = train_test_split(X, iris.target, test_size=30, random_state=14)

    class IrisNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(4, 16)
            self.fc2 = nn.Linear(16, 3)
            self.softmax = nn.Softmax(dim=1)

        def forward(self, x):
            x = F.relu(self.fc1(x))
            return self.softmax(self.fc2(x))

    train_loader = DataLoader(
        TensorDataset(torch.from_numpy(Xtr), torch.from_numpy(ytr)), batch_size=20, shuffle=True
    )
    model = IrisNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _epoch in range(10):
        model.train()
        epoch_loss = 0.0
        for inputs, labels in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item()
        losses.append(epoch_loss / len(train_loader))
    model.eval()
    with torch.no_grad():
        pred = model(torch.from_numpy(Xte)).argmax(1)
    print("test accuracy", (pred.numpy() == yte).mean())
    return losses


@buggy("sigmoid-before-bce-with-logits")
def churn_binary():
    torch.manual_seed(15)
    X, y = make_classification(480, 8, n_informative=5, random_state=3)
    X = torch.tensor(StandardScaler().fit_transform(X), dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32).unsqueeze(1)
    train_ds, val_ds = random_split(TensorDataset(X, y), [384, 96])
    loaders = {
        "train": DataLoader(train_ds, batch_size=32, shuffle=True),
        "val": DataLoader(val_ds, batch_size=96),
    }
    model = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 1), nn.Sigmoid())
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    log = {"train": [], "val": []}
    for _ in range(6):
        for phase in ("train", "val"):
            model.train(phase == "train")
            running = 0.0
            for inputs, labels in loaders[phase]:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(inputs)
                    loss = criterion(outputs, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                running += loss.item() * inputs.size(0)
            log[phase].append(running / len(loaders[phase].dataset))
    return log["train"]


@buggy("nll-on-logits")
def bigram_language_model():
    torch.manual_seed(17)
    text = "the cat sat on the mat and the dog sat on the log " * 12
    chars = sorted(set(text))
    stoi = {c: i for i, c in enumerate(chars)}
    ids = torch.tensor([stoi[c] for c in text])
    ds = TensorDataset(ids[:-1], ids[1:])
    loader = DataLoader(ds, batch_size=64, shuffle=True, drop_last=True)
    model = nn.Sequential(nn.Embedding(len(chars), 16), nn.Linear(16, len(chars)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(6):
        run = 0.0
        for cur, nxt in loader:
            logits = model(cur)
            loss = F.nll_loss(logits, nxt)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run += loss.item()
        losses.append(run / len(loader))
    return losses


@buggy("broadcast-loss")
def hand_written_mse():
    torch.manual_seed(19)
    x = torch.randn(320, 3)
    y = 2 * x[:, 0] - x[:, 1] + 0.5 * x[:, 2] ** 2 + 0.1 * torch.randn(320)
    loader = DataLoader(TensorDataset(x[:256], y[:256]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[256:], y[256:]), batch_size=64)
    model = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def rmse_loss(pred, target):
        return torch.sqrt(((pred - target) ** 2).mean())

    history = []
    for _ in range(6):
        model.train()
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = rmse_loss(model(xb), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for xb, yb in val:
                history.append(rmse_loss(model(xb).squeeze(1), yb).item())
    return history


@buggy("training-in-eval-mode")
def bn_mlp_val_each_epoch():
    torch.manual_seed(21)
    X, y = make_moons(400, noise=0.2, random_state=21)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    train_loader = DataLoader(TensorDataset(X[:320], y[:320]), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(X[320:], y[320:]), batch_size=80)
    model = nn.Sequential(
        nn.Linear(2, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 2)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    model.train()
    losses = []
    for epoch in range(6):
        total = 0.0
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(train_loader))
        model.eval()
        with torch.no_grad():
            for xb, yb in val_loader:
                acc = (model(xb).argmax(1) == yb).float().mean()
        print(f"{epoch}: {losses[-1]:.3f} {acc:.3f}")
    return losses


@buggy("eval-in-train-mode")
def dropout_classifier_eval():
    torch.manual_seed(22)
    X, y = make_classification(500, 12, n_informative=8, n_classes=3, random_state=22)
    X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
    y = torch.tensor(y)
    train_loader = DataLoader(TensorDataset(X[:400], y[:400]), batch_size=40, shuffle=True)
    test_loader = DataLoader(TensorDataset(X[400:], y[400:]), batch_size=50)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(12, 64)
            self.drop = nn.Dropout(0.5)
            self.fc2 = nn.Linear(64, 3)

        def forward(self, x):
            return self.fc2(self.drop(F.relu(self.fc1(x))))

    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    criterion = nn.CrossEntropyLoss()
    hist = []
    for _epoch in range(6):
        net.train()
        tot = 0.0
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = criterion(net(xb), yb)
            loss.backward()
            optimizer.step()
            tot += loss.item()
        hist.append(tot / len(train_loader))
        correct = 0
        with torch.no_grad():
            for xb, yb in test_loader:
                correct += (net(xb).argmax(1) == yb).sum().item()
        print(correct / 100)
    return hist


@buggy("eval-builds-graph")
def cnn_validate_function():
    torch.manual_seed(24)
    y = torch.randint(0, 3, (288,))
    x = 0.3 * torch.randn(288, 1, 9, 9)
    for k in range(3):
        x[y == k, :, 3 * k : 3 * k + 3, :] += 0.8
    train_loader = DataLoader(TensorDataset(x[:224], y[:224]), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[224:], y[224:]), batch_size=32)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, 3)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()

    def train_one_epoch():
        model.train()
        running = 0.0
        for images, targets in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(images), targets)
            loss.backward()
            optimizer.step()
            running += loss.item()
        return running / len(train_loader)

    def validate():
        model.eval()
        total_loss, correct = 0.0, 0
        for images, targets in val_loader:
            outputs = model(images)
            total_loss += criterion(outputs, targets).item()
            correct += (outputs.argmax(1) == targets).sum().item()
        return total_loss / len(val_loader), correct / len(val_loader.dataset)

    curve = []
    for _ in range(3):
        curve.append(train_one_epoch())
        print(validate())
    return curve


@buggy("metric-not-normalised")
def linear_val_mse():
    torch.manual_seed(29)
    x = torch.randn(360, 4)
    y = (x @ torch.tensor([1.0, 2.0, -1.0, 0.5])).unsqueeze(1) + 0.1 * torch.randn(360, 1)
    train_loader = DataLoader(TensorDataset(x[:300], y[:300]), batch_size=30, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[300:], y[300:]), batch_size=20)
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    report = []
    for _ in range(6):
        net.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = criterion(net(xb), yb)
            loss.backward()
            optimizer.step()
        net.eval()
        val_loss = torch.tensor(0.0)
        with torch.no_grad():
            for xb, yb in val_loader:
                val_loss += criterion(net(xb), yb)
        val_loss = val_loss / len(val_loader.dataset)
        report.append(val_loss.item())
        print(f"validation mse: {report[-1]:.4f}")
    return report


@buggy("scheduler-per-epoch")
def moons_one_cycle():
    torch.manual_seed(32)
    X, y = make_moons(480, noise=0.15, random_state=32)
    X, y = torch.tensor(X).float(), torch.tensor(y)
    train_loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    epochs = 8
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.02, epochs=epochs, steps_per_epoch=len(train_loader)
    )
    hist = []
    for _ in range(epochs):
        running = 0.0
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            running += loss.item()
        scheduler.step()
        hist.append(running / len(train_loader))
    return hist


@buggy("nan-input")
def passengers_missing_age():
    torch.manual_seed(34)
    rng = np.random.default_rng(34)
    n = 320
    df = pd.DataFrame(
        {
            "age": rng.normal(35, 12, n).clip(1, 80),
            "fare": rng.lognormal(3, 0.7, n),
            "sibs": rng.integers(0, 4, n).astype(float),
        }
    )
    survived = ((df.fare > df.fare.median()) & (df.age < 45)).astype(int)
    df.loc[rng.choice(n, 40, replace=False), "age"] = np.nan
    df = (df - df.mean()) / df.std()
    X = torch.tensor(df.to_numpy(), dtype=torch.float32)
    y = torch.tensor(survived.to_numpy(), dtype=torch.float32)
    train_loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 1))
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for epoch in range(5):
        running = 0.0
        for features, label in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(features).squeeze(1), label)
            loss.backward()
            optimizer.step()
            running += loss.item()
        losses.append(running / len(train_loader))
        print(epoch, losses[-1])
    return losses


@buggy("val-overlaps-train")
def moons_random_split():
    torch.manual_seed(38)
    X, y = make_moons(400, noise=0.25, random_state=38)
    X, y = torch.tensor(X).float(), torch.tensor(y)
    dataset = TensorDataset(X, y)
    train_set, _ = random_split(dataset, [320, 80])
    _, val_set = random_split(dataset, [320, 80])
    train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=80)
    model = nn.Sequential(nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(6):
        model.train()
        run = 0.0
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            run += loss.item()
        losses.append(run / len(train_loader))
        model.eval()
        with torch.no_grad():
            for xb, yb in val_loader:
                print("val", F.cross_entropy(model(xb), yb).item())
    return losses


@buggy("lr-too-low")
def moons_bce_adam():
    torch.manual_seed(42)
    X, y = make_moons(400, noise=0.15, random_state=42)
    X, y = torch.tensor(X).float(), torch.tensor(y).float().unsqueeze(1)
    loader = DataLoader(TensorDataset(X[:320], y[:320]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(X[320:], y[320:]), batch_size=80)
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-8)
    bce = nn.BCEWithLogitsLoss()
    losses = []
    for _ in range(10):
        model.train()
        total = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = bce(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(loader))
        model.eval()
        with torch.no_grad():
            for xb, yb in val:
                print(losses[-1], bce(model(xb), yb).item())
    return losses


@buggy("symmetric-init")
def constant_weights():
    torch.manual_seed(44)
    X, y = make_moons(400, noise=0.15, random_state=44)
    X, y = torch.tensor(X).float(), torch.tensor(y)
    loader = DataLoader(TensorDataset(X, y), batch_size=40, shuffle=True)

    class TwoLayer(nn.Module):
        def __init__(self, hidden=24):
            super().__init__()
            self.w_in = nn.Linear(2, hidden)
            self.w_out = nn.Linear(hidden, 2)
            for lin in (self.w_in, self.w_out):
                nn.init.constant_(lin.weight, 0.1)
                nn.init.zeros_(lin.bias)

        def forward(self, x):
            return self.w_out(torch.tanh(self.w_in(x)))

    model = TwoLayer()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(8):
        total = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(loader))
    return losses
