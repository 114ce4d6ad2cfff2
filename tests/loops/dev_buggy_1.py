"""Training loops with one silent bug each."""

import itertools

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import (
    load_digits,
    load_iris,
    load_wine,
    make_blobs,
    make_classification,
)
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    TensorDataset,
    random_split,
)

from . import buggy


@buggy("no-zero-grad")
def quickstart_blobs():
    torch.manual_seed(0)
    centers = torch.tensor([[0.0, 1.5], [1.5, -1.0], [-1.5, -1.0]])
    y = torch.randint(0, 3, (480,))
    X = centers[y] + 0.7 * torch.randn(480, 2)
    train_dataloader = DataLoader(TensorDataset(X[:384], y[:384]), batch_size=32, shuffle=True)
    test_dataloader = DataLoader(TensorDataset(X[384:], y[384:]), batch_size=32)

    class NeuralNetwork(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear_relu_stack = nn.Sequential(
                nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3)
            )

        def forward(self, x):
            return self.linear_relu_stack(x)

    model = NeuralNetwork()
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train(dataloader, model, loss_fn, optimizer):
        model.train()
        total = 0.0
        for _batch, (X, y) in enumerate(dataloader):
            pred = model(X)
            loss = loss_fn(pred, y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total / len(dataloader)

    def test(dataloader, model, loss_fn):
        size = len(dataloader.dataset)
        model.eval()
        test_loss, correct = 0, 0
        with torch.no_grad():
            for X, y in dataloader:
                pred = model(X)
                test_loss += loss_fn(pred, y).item()
                correct += (pred.argmax(1) == y).type(torch.float).sum().item()
        return test_loss / len(dataloader), correct / size

    history = []
    for t in range(6):
        history.append(train(train_dataloader, model, loss_fn, optimizer))
        test_loss, acc = test(test_dataloader, model, loss_fn)
        print(f"Epoch {t + 1}: accuracy {100 * acc:>0.1f}%, avg loss {test_loss:>8f}")
    return history


@buggy("step-before-backward")
def sine_regression():
    torch.manual_seed(3)
    x = torch.linspace(-3, 3, 256).unsqueeze(1)
    y = torch.sin(x) + 0.05 * torch.randn_like(x)
    ds = TensorDataset(x, y)
    loader = DataLoader(ds, batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
    opt = torch.optim.Adam(model.parameters(), lr=1e-2)
    hist = []
    for _epoch in range(10):
        running = 0.0
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.mse_loss(model(xb), yb)
            opt.step()
            loss.backward()
            running += loss.item()
        hist.append(running / len(loader))
    return hist


@buggy("backward-never-called")
def house_prices_config():
    cfg = {"lr": 1e-2, "epochs": 6, "bs": 20, "hidden": 24, "seed": 5}
    torch.manual_seed(cfg["seed"])
    feats = torch.randn(300, 6)
    price = feats @ torch.tensor([1.0, -0.5, 0.3, 0.0, 0.8, -1.2]) + 0.1 * torch.randn(300)
    train_dl = DataLoader(TensorDataset(feats[:240], price[:240]), cfg["bs"], shuffle=True)
    valid_dl = DataLoader(TensorDataset(feats[240:], price[240:]), 60)
    net = nn.Sequential(nn.Linear(6, cfg["hidden"]), nn.GELU(), nn.Linear(cfg["hidden"], 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=cfg["lr"])
    results, train_log = [], []
    for _ in range(cfg["epochs"]):
        net.train()
        for f, p in train_dl:
            optimizer.zero_grad()
            loss = F.huber_loss(net(f).squeeze(1), p)
            optimizer.step()
            train_log.append(loss.item())
        net.eval()
        with torch.no_grad():
            for f, p in valid_dl:
                results.append(F.huber_loss(net(f).squeeze(1), p).item())
    return results


@buggy("optimizer-holds-other-params")
def two_candidates():
    torch.manual_seed(7)
    data = torch.randn(256, 8)
    cls = (data[:, 0] + data[:, 1] * data[:, 2] > 0).long()
    loader = DataLoader(TensorDataset(data, cls), batch_size=32, shuffle=True)

    def build(width):
        return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 2))

    small = build(16)
    large = build(64)
    optimizer = torch.optim.Adam(small.parameters(), lr=5e-3)
    print(sum(p.numel() for p in small.parameters()), sum(p.numel() for p in large.parameters()))
    curve = []
    for _ in range(8):
        tot = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(large(xb), yb)
            loss.backward()
            optimizer.step()
            tot += loss.item()
        curve.append(tot / len(loader))
    return curve


@buggy("params-not-optimized")
def autoencoder_two_parts():
    torch.manual_seed(8)
    basis = torch.randn(3, 20)
    z = torch.randn(320, 3)
    samples = torch.tanh(z @ basis)
    train_loader = DataLoader(TensorDataset(samples[:256]), batch_size=32, shuffle=True)
    test_loader = DataLoader(TensorDataset(samples[256:]), batch_size=64)
    encoder = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 3))
    decoder = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 20))
    optimizer = torch.optim.Adam(decoder.parameters(), lr=5e-3)
    mse = nn.MSELoss()
    epoch_losses = []
    for _epoch in range(10):
        encoder.train()
        decoder.train()
        acc = 0.0
        for (x,) in train_loader:
            recon = decoder(encoder(x))
            loss = mse(recon, x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            acc += loss.item()
        epoch_losses.append(acc / len(train_loader))
        encoder.eval()
        decoder.eval()
        with torch.no_grad():
            for (x,) in test_loader:
                print("test mse", mse(decoder(encoder(x)), x).item())
    return epoch_losses


@buggy("layers-cut-off")
def encoder_head_module():
    torch.manual_seed(9)

    class Tabular(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU())
            self.head = nn.Linear(16, 3)

        def forward(self, x):
            h = self.encoder(x)
            return self.head(h.detach())

    X, y = make_classification(
        400, 10, n_informative=6, n_classes=3, n_clusters_per_class=1, random_state=1
    )
    X = torch.from_numpy(X).float()
    X = (X - X.mean(0)) / X.std(0)
    y = torch.from_numpy(y).long()
    loader = DataLoader(TensorDataset(X, y), batch_size=40, shuffle=True)
    model = Tabular()
    opt = torch.optim.Adam(model.parameters(), lr=4e-3)
    res = []
    for _ in range(8):
        s = 0.0
        for a, b in loader:
            opt.zero_grad()
            loss = F.cross_entropy(model(a), b)
            loss.backward()
            opt.step()
            s += loss.item()
        res.append(s / len(loader))
    return res


@buggy("unregistered-layers")
def deep_mlp_list():
    torch.manual_seed(11)

    class DeepMLP(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.hidden = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
            self.out = nn.Linear(sizes[-1], 4)

        def forward(self, x):
            for layer in self.hidden:
                x = torch.relu(layer(x))
            return self.out(x)

    X, y = make_blobs(400, n_features=6, centers=4, cluster_std=3.0, random_state=2)
    X = (X - X.mean(0)) / X.std(0)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=80, random_state=2)
    train = DataLoader(
        TensorDataset(torch.tensor(X_train).float(), torch.tensor(y_train)), 32, shuffle=True
    )
    model = DeepMLP([6, 32, 32])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for epoch in range(6):
        model.train()
        epoch_loss = 0.0
        for xb, yb in train:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item()
        losses.append(epoch_loss / len(train))
        model.eval()
        with torch.no_grad():
            pred = model(torch.tensor(X_test).float()).argmax(dim=1).numpy()
        print(epoch, losses[-1], accuracy_score(y_test, pred))
    return losses


@buggy("clip-misplaced")
def gru_sum_sign():
    torch.manual_seed(12)

    class SumSign(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(1, 16, batch_first=True)
            self.fc = nn.Linear(16, 1)

        def forward(self, x):
            _, h = self.gru(x)
            return self.fc(h[-1]).squeeze(-1)

    seqs = torch.randn(256, 8, 1)
    target = (seqs.sum((1, 2)) > 0).float()
    loader = DataLoader(TensorDataset(seqs, target), batch_size=32, shuffle=True)
    model = SumSign()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    criterion = nn.BCEWithLogitsLoss()
    hist = []
    for _ in range(5):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
            total += loss.item()
        hist.append(total / len(loader))
    return hist


@buggy("nll-on-probabilities")
def wine_nll():
    torch.manual_seed(16)
    X, y = load_wine(return_X_y=True)
    X = torch.tensor(StandardScaler().fit_transform(X)).float()
    y = torch.tensor(y)
    perm = torch.randperm(len(X))
    X, y = X[perm], y[perm]
    dl = DataLoader(TensorDataset(X[:144], y[:144]), batch_size=16, shuffle=True)
    net = nn.Sequential(nn.Linear(13, 20), nn.Tanh(), nn.Linear(20, 3))
    opt = torch.optim.Adam(net.parameters(), lr=0.01)
    loss_fn = nn.NLLLoss()
    tr = []
    for _ in range(7):
        tot = 0.0
        for xb, yb in dl:
            opt.zero_grad()
            loss = loss_fn(F.softmax(net(xb), dim=1), yb)
            loss.backward()
            opt.step()
            tot += loss.item()
        tr.append(tot / len(dl))
    return tr


@buggy("cross-entropy-one-class")
def spam_one_output():
    torch.manual_seed(18)
    emails = torch.randn(256, 10)
    is_spam = (emails[:, 0] - emails[:, 3] + 0.3 * emails[:, 5] > 0).float().unsqueeze(1)
    loader = DataLoader(TensorDataset(emails, is_spam), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _epoch in range(5):
        model.train()
        total = 0.0
        for features, labels in loader:
            outputs = model(features)
            loss = criterion(outputs, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(loader))
    return losses


@buggy("relu-on-logits")
def prototype_images():
    torch.manual_seed(20)
    proto = torch.rand(5, 1, 8, 8)
    lab = torch.randint(0, 5, (400,))
    img = (proto[lab] + 0.25 * torch.randn(400, 1, 8, 8)).clamp(0, 1)
    train_data, test_data = random_split(TensorDataset(img, lab), [320, 80])
    train_dl = DataLoader(train_data, batch_size=32, shuffle=True)
    test_dl = DataLoader(test_data, batch_size=80)
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 32),
        nn.ReLU(),
        nn.Linear(32, 5),
        nn.ReLU(),
    )
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    hist = []
    for _epoch in range(6):
        model.train()
        total = 0.0
        for X, y in train_dl:
            loss = loss_fn(model(X), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            total += loss.item()
        hist.append(total / len(train_dl))
        model.eval()
        with torch.no_grad():
            for X, y in test_dl:
                print((model(X).argmax(1) == y).float().mean().item())
    return hist


@buggy("dropout-always-on")
def functional_dropout():
    torch.manual_seed(23)

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin1 = nn.Linear(6, 48)
            self.lin2 = nn.Linear(48, 2)

        def forward(self, x):
            x = F.relu(self.lin1(x))
            x = F.dropout(x, 0.4)
            return self.lin2(x)

    x = torch.randn(400, 6)
    y = (x[:, 0] * x[:, 1] + x[:, 2] > 0).long()
    train = DataLoader(TensorDataset(x[:320], y[:320]), batch_size=32, shuffle=True)
    valid = DataLoader(TensorDataset(x[320:], y[320:]), batch_size=40)
    model = Classifier()
    opt = torch.optim.Adam(model.parameters(), lr=1e-2)
    history = []
    for _ in range(6):
        model.train()
        s = 0.0
        for xb, yb in train:
            loss = F.cross_entropy(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            s += loss.item()
        history.append(s / len(train))
        model.eval()
        with torch.no_grad():
            vl = [F.cross_entropy(model(xb), yb).item() for xb, yb in valid]
        print(history[-1], sum(vl) / len(vl))
    return history


@buggy("graph-kept")
def running_loss_tensor():
    torch.manual_seed(25)
    x = torch.randn(320, 7)
    y = torch.tanh(x @ torch.randn(7, 2))
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(7, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.MSELoss()
    results = []
    for epoch in range(8):
        total_loss = 0
        for inputs, targets in loader:
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = criterion(outputs, targets)
            loss.backward()
            optimizer.step()
            total_loss += loss
        results.append(total_loss.item() / len(loader))
        print(f"epoch {epoch} loss {results[-1]:.4f}")
    return results


@buggy("metric-broadcast")
def plane_classifier_accuracy():
    torch.manual_seed(26)
    x = torch.randn(384, 5)
    y = (x[:, 0] + x[:, 1] > 0.2 * x[:, 2]).float()
    train_dl = DataLoader(TensorDataset(x[:320], y[:320]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[320:], y[320:]), batch_size=32)
    model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loss_fn = nn.BCEWithLogitsLoss()
    hist = []
    for _ in range(5):
        model.train()
        total = 0.0
        for xb, yb in train_dl:
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb.unsqueeze(1))
            loss.backward()
            optimizer.step()
            total += loss.item()
        hist.append(total / len(train_dl))
        model.eval()
        accs = []
        with torch.no_grad():
            for xb, yb in val_dl:
                pred = (torch.sigmoid(model(xb)) > 0.5).float()
                accs.append((pred == yb).float().mean().item())
        print(sum(accs) / len(accs))
    return hist


@buggy("argmax-wrong-dim")
def ten_by_ten():
    torch.manual_seed(27)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16, dtype=torch.float32)[:600]
    y = torch.tensor(y)[:600]
    order = torch.randperm(600)
    X, y = X[order], y[order]
    train_loader = DataLoader(TensorDataset(X[:500], y[:500]), batch_size=10, shuffle=True)
    test_loader = DataLoader(TensorDataset(X[500:], y[500:]), batch_size=10)
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    losses = []
    for _epoch in range(3):
        net.train()
        total = 0.0
        for data, target in train_loader:
            optimizer.zero_grad()
            loss = criterion(net(data), target)
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(train_loader))
        net.eval()
        correct = 0
        with torch.no_grad():
            for data, target in test_loader:
                output = net(data)
                correct += (output.argmax(dim=0) == target).sum().item()
        print(f"Test accuracy: {correct / 100:.0%}")
    return losses


@buggy("threshold-on-logits")
def credit_default():
    torch.manual_seed(28)
    X, y = make_classification(480, 10, n_informative=6, random_state=28)
    X = torch.tensor(StandardScaler().fit_transform(X), dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32)
    tr = DataLoader(TensorDataset(X[:400], y[:400]), batch_size=40, shuffle=True)
    va = DataLoader(TensorDataset(X[400:], y[400:]), batch_size=80)
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 1), nn.Flatten(0))
    opt = torch.optim.AdamW(model.parameters(), lr=5e-3)
    bce = nn.BCEWithLogitsLoss()
    track = []
    for _ in range(6):
        model.train()
        acc_loss = 0.0
        for a, b in tr:
            opt.zero_grad()
            loss = bce(model(a), b)
            loss.backward()
            opt.step()
            acc_loss += loss.item()
        track.append(acc_loss / len(tr))
        model.eval()
        right = 0
        with torch.no_grad():
            for a, b in va:
                logits = model(a)
                right += ((logits > 0.5).float() == b).sum().item()
        print("val acc", right / 80)
    return track


@buggy("scheduler-before-optimizer")
def blobs_step_lr():
    torch.manual_seed(30)
    X, y = make_blobs(320, centers=3, n_features=4, cluster_std=2.0, random_state=30)
    X = torch.tensor((X - X.mean(0)) / X.std(0)).float()
    y = torch.tensor(y)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    losses = []
    for _epoch in range(6):
        scheduler.step()
        total = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(loader))
    return losses


@buggy("scheduler-per-batch")
def product_exponential_decay():
    torch.manual_seed(31)
    x = torch.rand(400, 3)
    y = (x[:, 0] * x[:, 1] + x[:, 2]).unsqueeze(1)
    y = (y - y.mean()) / y.std()
    loader = DataLoader(TensorDataset(x * 2 - 1, y), batch_size=20, shuffle=True)
    model = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    res = []
    for _ in range(8):
        running = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = F.mse_loss(model(xb), yb)
            loss.backward()
            optimizer.step()
            scheduler.step()
            running += loss.item()
        res.append(running / len(loader))
    return res


@buggy("scheduler-other-optimizer")
def swapped_sgd_for_adam():
    torch.manual_seed(33)
    x = torch.randn(320, 6)
    y = torch.sin(x[:, :1]) + x[:, 1:2] * 0.5
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 1))
    sgd = torch.optim.SGD(model.parameters(), lr=0.05)
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    lr_sched = torch.optim.lr_scheduler.StepLR(sgd, step_size=3, gamma=0.3)
    print(sgd.param_groups[0]["lr"])
    log = []
    for _ in range(8):
        tot = 0.0
        for xb, yb in loader:
            adam.zero_grad()
            loss = F.mse_loss(model(xb), yb)
            loss.backward()
            adam.step()
            tot += loss.item()
        lr_sched.step()
        log.append(tot / len(loader))
    return log


@buggy("input-scale")
def salaries_raw():
    torch.manual_seed(35)
    rng = np.random.default_rng(35)
    salary = rng.normal(52000, 15000, 320)
    debt = rng.normal(18000, 9000, 320)
    years = rng.integers(0, 30, 320)
    feats = np.stack([salary, debt, years], 1).astype(np.float32)
    label = (salary - 2 * debt + 500 * years > 20000).astype(np.int64)
    loader = DataLoader(
        TensorDataset(torch.from_numpy(feats), torch.from_numpy(label)),
        batch_size=32,
        shuffle=True,
    )
    model = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        tot = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            tot += loss.item()
        losses.append(tot / len(loader))
    return losses


@buggy("val-scaled-differently")
def five_sensors():
    torch.manual_seed(36)
    X = torch.randn(400, 5) * torch.tensor([3.0, 8.0, 2.0, 5.0, 4.0]) + torch.tensor(
        [10.0, -20.0, 6.0, 15.0, -8.0]
    )
    y = ((X[:, 0] - 10) / 3 + (X[:, 1] + 20) / 8 > 0).long()
    X_train, y_train, X_val, y_val = X[:320], y[:320], X[320:], y[320:]
    mean, std = X_train.mean(0), X_train.std(0)
    X_train = (X_train - mean) / std
    train_loader = DataLoader(TensorDataset(X_train, y_train), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(X_val, y_val), batch_size=40)
    model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 2))
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(5):
        model.train()
        tot = 0.0
        for xb, yb in train_loader:
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
            tot += loss.item()
        losses.append(tot / len(train_loader))
        model.eval()
        with torch.no_grad():
            ok = sum((model(xb).argmax(1) == yb).sum().item() for xb, yb in val_loader)
        print("val acc", ok / 80)
    return losses


@buggy("sorted-batches")
def iris_in_file_order():
    torch.manual_seed(37)
    X, y = load_iris(return_X_y=True)
    X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
    y = torch.tensor(y)
    loader = DataLoader(TensorDataset(X, y), batch_size=10)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _epoch in range(8):
        total = 0.0
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(loader))
    return losses


@buggy("no-set-epoch")
def ddp_style_sampler():
    torch.manual_seed(39)
    x = torch.randn(512, 6)
    y = (x[:, 0] - x[:, 1] > 0).long()
    ds = TensorDataset(x, y)
    sampler = DistributedSampler(ds, num_replicas=2, rank=0, shuffle=True, seed=39)
    loader = DataLoader(ds, batch_size=32, sampler=sampler)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for _epoch in range(6):
        total = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(loader))
    return losses


@buggy("labels-misaligned")
def blobs_numpy_order():
    torch.manual_seed(40)
    X, y = make_blobs(400, centers=4, n_features=5, cluster_std=1.5, random_state=40)
    X = (X - X.mean(0)) / X.std(0)
    rng = np.random.default_rng(40)
    order = rng.permutation(len(X))
    X = X[order]
    X, y = torch.tensor(X).float(), torch.tensor(y)
    train_dl = DataLoader(TensorDataset(X[:320], y[:320]), batch_size=32, shuffle=True)
    test_dl = DataLoader(TensorDataset(X[320:], y[320:]), batch_size=80)
    model = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(8):
        model.train()
        total = 0.0
        for xb, yb in train_dl:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(train_dl))
        model.eval()
        with torch.no_grad():
            for xb, yb in test_dl:
                print((model(xb).argmax(1) == yb).float().mean().item())
    return losses


@buggy("lr-too-high")
def sgd_linear_regression():
    torch.manual_seed(41)
    x = torch.randn(256, 8)
    y = x @ torch.randn(8, 1) + 0.1 * torch.randn(256, 1)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=3.0)
    losses = []
    for _epoch in range(5):
        total = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = F.mse_loss(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(loader))
    return losses


@buggy("dead-relu")
def kaiming_body():
    torch.manual_seed(43)

    def init_weights(m):
        if isinstance(m, nn.Linear):
            nn.init.kaiming_normal_(m.weight)
            nn.init.constant_(m.bias, -20.0)

    x = torch.randn(320, 6)
    y = (x[:, 0] + 0.5 * x[:, 1] ** 2 > 0.3).long()
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    body = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
    body.apply(init_weights)
    model = nn.Sequential(body, nn.Linear(32, 2))
    opt = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        total = 0.0
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
            total += loss.item()
        losses.append(total / len(loader))
    return losses


@buggy("best-state-alias")
def early_stopping_restore():
    torch.manual_seed(45)
    X, y = make_classification(300, 10, n_informative=4, flip_y=0.2, random_state=45)
    X = torch.tensor((X - X.mean(0)) / X.std(0)).float()
    y = torch.tensor(y)
    train_loader = DataLoader(TensorDataset(X[:200], y[:200]), batch_size=20, shuffle=True)
    val_loader = DataLoader(TensorDataset(X[200:], y[200:]), batch_size=50)
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    best_loss, best_weights, patience, bad = float("inf"), None, 4, 0
    losses = []
    for _epoch in range(12):
        model.train()
        tot = 0.0
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            tot += loss.item()
        losses.append(tot / len(train_loader))
        model.eval()
        with torch.no_grad():
            val_loss = sum(F.cross_entropy(model(xb), yb).item() for xb, yb in val_loader) / 2
        if val_loss < best_loss:
            best_loss, bad = val_loss, 0
            best_weights = model.state_dict()
        else:
            bad += 1
            if bad >= patience:
                break
    model.load_state_dict(best_weights)
    return losses
