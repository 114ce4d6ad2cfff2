"""Correct training loops in many styles: there is nothing to find in them."""

import math
from collections import defaultdict
from functools import partial

import numpy as np
import pandas as pd
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import load_digits, make_classification, make_multilabel_classification
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.func import functional_call, grad
from torch.optim import AdamW
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset, TensorDataset
from tqdm import tqdm

from tests.loops import correct


@correct
def cifar_tutorial_running_loss():
    torch.manual_seed(1)
    labels = torch.arange(240) % 3
    images = torch.randn(240, 3, 8, 8) * 0.5
    for i, lab in enumerate(labels):
        images[i, lab] += 0.7
    trainloader = DataLoader(TensorDataset(images, labels), batch_size=8, shuffle=True)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 6, 3)
            self.pool = nn.MaxPool2d(2, 2)
            self.fc1 = nn.Linear(6 * 3 * 3, 24)
            self.fc2 = nn.Linear(24, 3)

        def forward(self, x):
            x = self.pool(F.relu(self.conv1(x)))
            x = torch.flatten(x, 1)
            x = F.relu(self.fc1(x))
            return self.fc2(x)

    net = Net()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)

    for epoch in range(3):
        running_loss = 0.0
        for i, data in enumerate(trainloader, 0):
            inputs, labels = data
            optimizer.zero_grad()
            outputs = net(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            if i % 10 == 9:
                print(f"[{epoch + 1}, {i + 1:5d}] loss: {running_loss / 10:.3f}")
                running_loss = 0.0
    print("Finished Training")


@correct
def kaggle_tqdm_average_meter():
    torch.manual_seed(42)
    np.random.seed(42)
    X, y = make_classification(400, 12, n_informative=8, random_state=0)
    X_train, X_valid, y_train, y_valid = train_test_split(X, y, test_size=0.2, random_state=42)
    scaler = StandardScaler()
    X_train = scaler.fit_transform(X_train)
    X_valid = scaler.transform(X_valid)

    class TabDataset(Dataset):
        def __init__(self, X, y):
            self.X, self.y = X, y

        def __len__(self):
            return len(self.X)

        def __getitem__(self, i):
            return {
                "x": torch.tensor(self.X[i], dtype=torch.float32),
                "y": torch.tensor(self.y[i], dtype=torch.float32),
            }

    class AverageMeter:
        def __init__(self):
            self.sum, self.count = 0.0, 0

        def update(self, val, n=1):
            self.sum += val * n
            self.count += n

        @property
        def avg(self):
            return self.sum / self.count

    model = nn.Sequential(
        nn.Linear(12, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 1)
    )
    optimizer = AdamW(model.parameters(), lr=5e-3, weight_decay=1e-2)
    criterion = nn.BCEWithLogitsLoss()
    train_loader = DataLoader(TabDataset(X_train, y_train), 32, shuffle=True, drop_last=True)
    valid_loader = DataLoader(TabDataset(X_valid, y_valid), 64, shuffle=False)
    best_auc = 0
    for epoch in range(4):
        model.train()
        meter = AverageMeter()
        bar = tqdm(train_loader, total=len(train_loader), leave=False)
        for batch in bar:
            optimizer.zero_grad()
            logits = model(batch["x"]).squeeze(1)
            loss = criterion(logits, batch["y"])
            loss.backward()
            optimizer.step()
            meter.update(loss.item(), len(batch["x"]))
            bar.set_postfix(epoch=epoch, loss=meter.avg)
        model.eval()
        preds, targets = [], []
        with torch.no_grad():
            for batch in valid_loader:
                preds.append(model(batch["x"]).squeeze(1).sigmoid().cpu().numpy())
                targets.append(batch["y"].numpy())
        auc = roc_auc_score(np.concatenate(targets), np.concatenate(preds))
        best_auc = max(best_auc, auc)
    print("best auc", best_auc)


@correct
def full_batch_polynomial():
    torch.manual_seed(0)
    x = torch.linspace(-math.pi, math.pi, 500)
    y = torch.sin(x)
    p = torch.tensor([1, 2, 3])
    xx = x.unsqueeze(-1).pow(p)
    model = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0, 1))
    loss_fn = torch.nn.MSELoss(reduction="sum")
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-2)
    for t in range(300):
        y_pred = model(xx)
        loss = loss_fn(y_pred, y)
        if t % 100 == 99:
            print(t, loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@correct
def accumulation_divided_loss():
    torch.manual_seed(0)
    X = torch.randn(256, 6)
    y = (X[:, 0] * X[:, 1] > 0).long()
    loader = DataLoader(TensorDataset(X, y), batch_size=8, shuffle=True)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    accum_steps = 4
    for _ in range(10):
        optimizer.zero_grad()
        for i, (xb, yb) in enumerate(loader):
            loss = F.cross_entropy(model(xb), yb) / accum_steps
            loss.backward()
            if (i + 1) % accum_steps == 0:
                optimizer.step()
                optimizer.zero_grad()


@correct
def frozen_backbone_head_only():
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    for p in backbone.parameters():
        p.requires_grad = False
    model = nn.Sequential(backbone, nn.Linear(32, 2))
    X = torch.randn(200, 1, 8, 8)
    y = torch.randint(0, 2, (200,))
    X[y == 1, :, :4] += 1.5
    optimizer = optim.SGD(model[1].parameters(), lr=0.2, momentum=0.9)
    loader = DataLoader(TensorDataset(X, y), batch_size=20, shuffle=True)
    for _ in range(6):
        model.train()
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()


@correct
def gradual_unfreezing_add_param_group():
    torch.manual_seed(2)
    X = torch.randn(256, 8)
    y = (torch.tanh(X[:, 0] * 2) + X[:, 1] ** 2 > 0.7).long()
    body = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
    head = nn.Linear(32, 2)
    body.requires_grad_(False)
    opt = optim.AdamW(head.parameters(), lr=1e-2)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    for epoch in range(9):
        if epoch == 3:
            body[2].requires_grad_(True)
            opt.add_param_group({"params": body[2].parameters(), "lr": 5e-3})
        if epoch == 5:
            body[0].requires_grad_(True)
            opt.add_param_group({"params": body[0].parameters(), "lr": 2e-3})
        for xb, yb in loader:
            loss = F.cross_entropy(head(body(xb)), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()


@correct
def frozen_batchnorm_by_eval():
    torch.manual_seed(0)
    y = torch.randint(0, 3, (192,))
    X = torch.randn(192, 3, 6, 6)
    X[torch.arange(192), y] += 1.0
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )
    # warm the statistics up once, as a pretrained network would have them
    with torch.no_grad():
        for _ in range(20):
            net(X)
    opt = optim.Adam(net.parameters(), lr=1e-2)
    loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)
    for _ in range(6):
        net.train()
        for m in net.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.eval()
        for xb, yb in loader:
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()


@correct
def manual_sgd_no_grad():
    torch.manual_seed(0)
    X = torch.randn(200, 3)
    y = X @ torch.tensor([[2.0], [-1.0], [0.5]]) + 4.0
    w = torch.zeros(3, 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    lr = 0.1
    for epoch in range(40):
        yhat = X @ w + b
        loss = ((yhat - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            w -= lr * w.grad
            b -= lr * b.grad
            w.grad.zero_()
            b.grad.zero_()
        if epoch % 10 == 0:
            print(epoch, loss.item())


@correct
def functional_grad_and_call():
    torch.manual_seed(0)
    X = torch.randn(128, 4)
    y = (X.sum(1) > 0).long()
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))
    params = {k: v.detach().clone() for k, v in model.named_parameters()}

    def compute_loss(params, xb, yb):
        return F.cross_entropy(functional_call(model, params, (xb,)), yb)

    grad_fn = grad(compute_loss)
    before = compute_loss(params, X, y).item()
    for _ in range(15):
        for xb, yb in zip(X.split(32), y.split(32), strict=True):
            g = grad_fn(params, xb, yb)
            params = {k: params[k] - 0.3 * g[k] for k in params}
    after = compute_loss(params, X, y).item()
    assert after < before / 2


@correct
def log_softmax_nll_mnist_example():
    torch.manual_seed(1)
    digits = load_digits()
    X = torch.tensor(digits.data / 16.0, dtype=torch.float32).view(-1, 1, 8, 8)[:600]
    y = torch.tensor(digits.target)[:600]
    train_loader = DataLoader(TensorDataset(X[:480], y[:480]), batch_size=16, shuffle=True)
    test_loader = DataLoader(TensorDataset(X[480:], y[480:]), batch_size=120)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 8, 3, 1)
            self.dropout1 = nn.Dropout(0.25)
            self.fc1 = nn.Linear(72, 32)
            self.fc2 = nn.Linear(32, 10)

        def forward(self, x):
            x = F.relu(self.conv1(x))
            x = F.max_pool2d(x, 2)
            x = self.dropout1(x)
            x = torch.flatten(x, 1)
            x = F.relu(self.fc1(x))
            return F.log_softmax(self.fc2(x), dim=1)

    model = Net()
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    for _epoch in range(5):
        model.train()
        for data, target in train_loader:
            optimizer.zero_grad()
            output = model(data)
            loss = F.nll_loss(output, target)
            loss.backward()
            optimizer.step()
        model.eval()
        test_loss = 0
        hits = 0
        with torch.no_grad():
            for data, target in test_loader:
                output = model(data)
                test_loss += F.nll_loss(output, target, reduction="sum").item()
                pred = output.argmax(dim=1, keepdim=True)
                hits += pred.eq(target.view_as(pred)).sum().item()
        test_loss /= len(test_loader.dataset)
        scheduler.step()
        print(f"Average loss: {test_loss:.4f}, Accuracy: {hits}/{len(test_loader.dataset)}")


@correct
def sigmoid_with_bce_titanic():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    df = pd.DataFrame(
        {
            "sex": rng.integers(0, 2, 300),
            "age": rng.uniform(1, 80, 300),
            "fare": rng.exponential(30, 300),
            "pclass": rng.integers(1, 4, 300),
        }
    )
    score = 2.5 * df["sex"] - 0.8 * (df["pclass"] - 2) - 0.02 * df["age"] + rng.normal(0, 0.5, 300)
    df["survived"] = (score > score.median()).astype(int)
    train, test = df.iloc[:240], df.iloc[240:]
    cols = ["sex", "age", "fare", "pclass"]
    mu, sd = train[cols].mean(), train[cols].std()
    x_train = torch.tensor(((train[cols] - mu) / sd).values, dtype=torch.float32)
    x_test = torch.tensor(((test[cols] - mu) / sd).values, dtype=torch.float32)
    y_train = torch.tensor(train["survived"].values, dtype=torch.float32).view(-1, 1)
    y_test = torch.tensor(test["survived"].values, dtype=torch.float32).view(-1, 1)

    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
    criterion = nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(120):
        y_pred = model(x_train)
        loss = criterion(y_pred, y_train)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (epoch + 1) % 40 == 0:
            with torch.no_grad():
                acc = (model(x_test).round() == y_test).float().mean()
            print(f"epoch {epoch + 1} loss {loss.item():.4f} test acc {acc.item():.3f}")


@correct
def config_dict_multilabel():
    cfg = {
        "lr": 1e-2,
        "epochs": 8,
        "batch_size": 32,
        "hidden": 32,
        "seed": 7,
        "threshold": 0.5,
        "optimizer": "AdamW",
    }
    torch.manual_seed(cfg["seed"])
    X, Y = make_multilabel_classification(300, 10, n_classes=4, random_state=0)
    X_train, X_test, Y_train, Y_test = train_test_split(X, Y, random_state=0, test_size=0.2)
    sc = StandardScaler().fit(X_train)
    to = partial(torch.tensor, dtype=torch.float32)
    ds = TensorDataset(to(sc.transform(X_train)), to(Y_train))
    model = nn.Sequential(
        nn.Linear(10, cfg["hidden"]), nn.ReLU(), nn.Dropout(0.1), nn.Linear(cfg["hidden"], 4)
    )
    opt = getattr(optim, cfg["optimizer"])(model.parameters(), lr=cfg["lr"])
    loss_fn = nn.BCEWithLogitsLoss()
    history = defaultdict(list)
    for _ in range(cfg["epochs"]):
        model.train()
        for xb, yb in DataLoader(ds, cfg["batch_size"], shuffle=True):
            loss = loss_fn(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            history["loss"].append(loss.item())
        model.eval()
        with torch.no_grad():
            prob = torch.sigmoid(model(to(sc.transform(X_test)))).numpy()
        history["f1"].append(f1_score(Y_test, prob > cfg["threshold"], average="micro"))
    print(history["f1"][-1])
