"""Correct training loops in many styles: there is nothing to find in them."""

import random

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset

from tests.loops import correct


@correct
def linear_regression_numpy_beginner():
    x_train = np.array(
        [[3.3], [4.4], [5.5], [6.71], [6.93], [4.168], [9.779], [6.182], [7.59], [2.167], [7.042]],
        dtype=np.float32,
    )
    y_train = 0.25 * x_train + 0.8
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    num_epochs = 200
    for epoch in range(num_epochs):
        inputs = torch.from_numpy(x_train)
        targets = torch.from_numpy(y_train)
        outputs = model(inputs)
        loss = criterion(outputs, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (epoch + 1) % 50 == 0:
            print(f"Epoch [{epoch + 1}/{num_epochs}], Loss: {loss.item():.4f}")
    predicted = model(torch.from_numpy(x_train)).detach().numpy()
    print(np.abs(predicted - y_train).max())


@correct
def a_few_dead_relus():
    torch.manual_seed(0)
    X = torch.randn(240, 6)
    y = (X[:, 0] + X[:, 1] ** 2 > 0.8).long()
    model = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 2))
    with torch.no_grad():
        model[0].bias[:5] -= 4.0  # five of forty units never fire; the others do the work
    opt = Adam(model.parameters(), lr=1e-2)
    for _ in range(10):
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=30, shuffle=True):
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()


@correct
def small_resnet_with_augmentation():
    torch.manual_seed(0)
    random.seed(0)
    y = torch.randint(0, 3, (180,))
    X = torch.randn(180, 3, 8, 8) * 0.6
    X[torch.arange(180), y, 2:6, 2:6] += 1.0

    class Block(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.c1, self.b1 = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
            self.c2, self.b2 = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)

        def forward(self, x):
            out = F.relu(self.b1(self.c1(x)))
            return F.relu(x + self.b2(self.c2(out)))

    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        Block(8),
        nn.MaxPool2d(2),
        Block(8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )
    optimizer = SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    scheduler = CosineAnnealingLR(optimizer, T_max=5)
    best_acc = 0
    for _ in range(5):
        net.train()
        for inputs, targets in DataLoader(TensorDataset(X[:144], y[:144]), 24, shuffle=True):
            if random.random() < 0.5:
                inputs = inputs.flip(3)
            optimizer.zero_grad()
            outputs = net(inputs)
            loss = F.cross_entropy(outputs, targets)
            loss.backward()
            optimizer.step()
        net.eval()
        hits = total = 0
        with torch.no_grad():
            for inputs, targets in DataLoader(TensorDataset(X[144:], y[144:]), 16):
                _, predicted = net(inputs).max(1)
                total += targets.size(0)
                hits += predicted.eq(targets).sum().item()
        best_acc = max(best_acc, 100.0 * hits / total)
        scheduler.step()
    print(best_acc)


@correct
def keras_like_fit_history():
    torch.manual_seed(0)

    def fit(model, x, y, epochs, batch_size, validation_data, lr=1e-2):
        opt = Adam(model.parameters(), lr=lr)
        plateau = ReduceLROnPlateau(opt, mode="min", factor=0.3, patience=3)
        hist = {"loss": [], "val_loss": [], "val_accuracy": []}
        for _ in range(epochs):
            model.train()
            idx = np.random.default_rng(len(hist["loss"])).permutation(len(x))
            total = 0.0
            for s in range(0, len(x), batch_size):
                sel = idx[s : s + batch_size]
                out = model(x[sel])
                loss = F.cross_entropy(out, y[sel])
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() * len(sel)
            hist["loss"].append(total / len(x))
            model.eval()
            with torch.no_grad():
                xv, yv = validation_data
                out = model(xv)
                hist["val_loss"].append(F.cross_entropy(out, yv).item())
                hist["val_accuracy"].append((out.argmax(1) == yv).double().mean().item())
            plateau.step(hist["val_loss"][-1])
        return hist

    X = torch.rand(330, 2) * 4 - 2
    y = (X[:, 0] > 0).long() * 2 + (X[:, 1] > 0).long()
    model = nn.Sequential(nn.Linear(2, 24), nn.ReLU(), nn.Dropout(0.1), nn.Linear(24, 4))
    history = fit(model, X[:250], y[:250], 12, 32, (X[250:], y[250:]))
    print(history["val_accuracy"])


@correct
def multi_output_loss_summed_then_divided():
    torch.manual_seed(0)
    X = torch.randn(250, 6)
    Y = torch.stack([X[:, 0] - X[:, 1], X[:, 2].abs(), X[:, 3] * X[:, 4]], 1)
    net = nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 3))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    crit = nn.MSELoss(reduction="sum")
    for _ in range(12):
        epoch_sum = 0.0
        for xb, yb in DataLoader(TensorDataset(X, Y), batch_size=32, shuffle=True):
            total = crit(net(xb), yb)
            loss = total / yb.numel()
            opt.zero_grad()
            loss.backward()
            opt.step()
            epoch_sum += total.item()
        print(epoch_sum / Y.numel())


@correct
def l1_l2_penalty_added_by_hand():
    torch.manual_seed(0)
    X, y = make_classification(300, 20, n_informative=4, n_redundant=0, random_state=2)
    X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=60, random_state=2)
    X_tr, X_va = torch.tensor(X_tr).float(), torch.tensor(X_va).float()
    y_tr, y_va = torch.tensor(y_tr).float(), torch.tensor(y_va).float()
    net = nn.Linear(20, 1)
    opt = optim.SGD(net.parameters(), lr=0.1)
    for epoch in range(15):
        for idx in torch.randperm(240).view(8, 30):
            logits = net(X_tr[idx]).view(-1)
            data_loss = F.binary_cross_entropy_with_logits(logits, y_tr[idx])
            l1 = sum(p.abs().sum() for p in net.parameters())
            l2 = sum(p.pow(2).sum() for p in net.parameters())
            loss = data_loss + 1e-3 * l1 + 1e-3 * l2
            opt.zero_grad()
            loss.backward()
            opt.step()
        with torch.no_grad():
            pred = (torch.sigmoid(net(X_va).view(-1)) > 0.5).float()
            print(epoch, (pred == y_va).sum().item() / len(y_va))
