"""Correct training loops in many styles: there is nothing to find in them."""

import copy
import math
import random
from collections import deque

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import (
    load_digits,
    make_friedman1,
    make_moons,
)
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import autograd
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
)
from torch.utils.checkpoint import checkpoint
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    TensorDataset,
)

from tests.loops import correct


@correct
def wgan_gradient_penalty():
    torch.manual_seed(0)
    G = nn.Sequential(nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 2))
    D = nn.Sequential(nn.Linear(2, 24), nn.LeakyReLU(0.2), nn.Linear(24, 1))
    opt_g = Adam(G.parameters(), lr=2e-3, betas=(0.0, 0.9))
    opt_d = Adam(D.parameters(), lr=2e-3, betas=(0.0, 0.9))
    n_critic, lam = 3, 10.0

    def penalty(real, fake):
        a = torch.rand(real.size(0), 1)
        mid = (a * real + (1 - a) * fake).requires_grad_(True)
        out = D(mid)
        g = autograd.grad(out, mid, torch.ones_like(out), create_graph=True)[0]
        return ((g.norm(2, dim=1) - 1) ** 2).mean()

    for _ in range(25):
        for _ in range(n_critic):
            real = torch.randn(32, 2) * 0.2 + 1.5
            fake = G(torch.randn(32, 2)).detach()
            loss_d = D(fake).mean() - D(real).mean() + lam * penalty(real, fake)
            opt_d.zero_grad()
            loss_d.backward()
            opt_d.step()
        loss_g = -D(G(torch.randn(32, 2))).mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()


@correct
def dqn_hard_target_update():
    # a corridor of six cells: walk right to earn the reward
    torch.manual_seed(0)
    random.seed(0)
    n = 6
    q = nn.Sequential(nn.Linear(n, 24), nn.ReLU(), nn.Linear(24, 2))
    target = copy.deepcopy(q)
    target.eval()
    opt = optim.Adam(q.parameters(), lr=5e-3)
    memory = deque(maxlen=500)
    eye = torch.eye(n)
    steps = 0
    for episode in range(25):
        s = 0
        for _ in range(12):
            eps = max(0.1, 1 - episode / 12)
            if random.random() < eps:
                a = random.randrange(2)
            else:
                with torch.no_grad():
                    a = q(eye[s]).argmax().item()
            s2 = max(0, s - 1) if a == 0 else s + 1
            done = s2 == n - 1
            memory.append((s, a, float(done), s2, float(done)))
            s = s2
            steps += 1
            if len(memory) >= 32:
                bs, ba, br, bs2, bd = zip(*random.sample(memory, 32), strict=True)
                with torch.no_grad():
                    best = target(eye[list(bs2)]).max(1).values
                    goal = torch.tensor(br) + 0.9 * best * (1 - torch.tensor(bd))
                pred = q(eye[list(bs)]).gather(1, torch.tensor(ba).unsqueeze(1)).squeeze(1)
                loss = F.smooth_l1_loss(pred, goal)
                opt.zero_grad()
                loss.backward()
                nn.utils.clip_grad_value_(q.parameters(), 100)
                opt.step()
            if steps % 20 == 0:
                target.load_state_dict(q.state_dict())
            if done:
                break


@correct
def knowledge_distillation():
    torch.manual_seed(0)
    X, y = make_moons(300, noise=0.15, random_state=0)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    teacher = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 2))
    student = nn.Sequential(nn.Linear(2, 12), nn.ReLU(), nn.Linear(12, 2))
    loader = DataLoader(TensorDataset(X, y), batch_size=50, shuffle=True)
    t_opt = optim.Adam(teacher.parameters(), lr=1e-2)
    teacher.train()
    for _ in range(15):
        for xb, yb in loader:
            t_opt.zero_grad()
            F.cross_entropy(teacher(xb), yb).backward()
            t_opt.step()
    teacher.eval()
    opt = optim.Adam(student.parameters(), lr=2e-2)
    T, alpha = 3.0, 0.7
    for _ in range(15):
        for xb, yb in loader:
            with torch.no_grad():
                soft = F.softmax(teacher(xb) / T, dim=1)
            out = student(xb)
            kd = F.kl_div(F.log_softmax(out / T, dim=1), soft, reduction="batchmean") * T * T
            loss = alpha * kd + (1 - alpha) * F.cross_entropy(out, yb)
            opt.zero_grad()
            loss.backward()
            opt.step()


@correct
def mc_dropout_uncertainty_each_epoch():
    torch.manual_seed(0)
    x = torch.rand(200, 1) * 4 - 2
    y = torch.sin(2 * x) + 0.1 * torch.randn_like(x)
    grid = torch.linspace(-3, 3, 40).unsqueeze(1)
    net = nn.Sequential(
        nn.Linear(1, 48),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(48, 48),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(48, 1),
    )
    opt = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(12):
        net.train()
        for xb, yb in DataLoader(TensorDataset(x, y), 40, shuffle=True):
            loss = F.mse_loss(net(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
        # dropout stays on: the spread over 10 passes is the uncertainty that we want
        with torch.no_grad():
            passes = torch.stack([net(grid) for _ in range(10)])
        print("mean sd on the grid", passes.std(0).mean().item())


@correct
def tied_language_model_truncated_bptt():
    torch.manual_seed(0)
    text = "the cat sat on the mat and the dog sat on the log " * 12
    vocab = sorted(set(text))
    ids = torch.tensor([vocab.index(c) for c in text])
    bsz, bptt = 4, 16
    data = ids[: len(ids) // bsz * bsz].view(bsz, -1).t().contiguous()

    class LM(nn.Module):
        def __init__(self, n, d):
            super().__init__()
            self.encoder = nn.Embedding(n, d)
            self.rnn = nn.GRU(d, d)
            self.decoder = nn.Linear(d, n)
            self.decoder.weight = self.encoder.weight
            nn.init.uniform_(self.encoder.weight, -0.3, 0.3)

        def forward(self, x, h):
            out, h = self.rnn(self.encoder(x), h)
            return self.decoder(out), h

    model = LM(len(vocab), 24)
    opt = optim.Adam(model.parameters(), lr=1e-2)
    for epoch in range(4):
        h = torch.zeros(1, bsz, 24)
        total = 0.0
        for i in range(0, data.size(0) - 1, bptt):
            n = min(bptt, data.size(0) - 1 - i)
            h = h.detach()
            out, h = model(data[i : i + n], h)
            loss = F.cross_entropy(out.view(-1, len(vocab)), data[i + 1 : i + 1 + n].view(-1))
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            opt.step()
            total += n * loss.item()
        print(epoch, total / (data.size(0) - 1))


@correct
def triplet_margin_embedding():
    torch.manual_seed(0)
    centers = torch.randn(5, 8)
    labels = torch.arange(5).repeat(40)
    X = centers[labels] + torch.randn(200, 8)
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
    opt = optim.Adam(net.parameters(), lr=5e-3)
    criterion = nn.TripletMarginLoss(margin=1.0)
    for _ in range(60):
        a = torch.randint(0, 200, (32,))
        p = (a + 5 * torch.randint(1, 40, (32,))) % 200
        n = (a + torch.randint(1, 5, (32,))) % 200
        loss = criterion(net(X[a]), net(X[p]), net(X[n]))
        opt.zero_grad()
        loss.backward()
        opt.step()


@correct
def stateful_time_series_in_order():
    torch.manual_seed(0)
    t = torch.arange(600) * 0.1
    series = torch.sin(t) + 0.3 * torch.sin(3 * t) + 0.05 * torch.randn(600)
    train, test = series[:457], series[456:]
    mean, std = train.mean(), train.std()
    train, test = (train - mean) / std, (test - mean) / std
    lstm = nn.LSTM(1, 16)
    out = nn.Linear(16, 1)
    opt = optim.Adam([*lstm.parameters(), *out.parameters()], lr=1e-2)
    for _ in range(5):
        state = None
        for i in range(0, 456, 24):
            x = train[i : i + 24].view(-1, 1, 1)
            y = train[i + 1 : i + 25].view(-1, 1, 1)
            h, state = lstm(x, state)
            state = tuple(s.detach() for s in state)
            loss = F.mse_loss(out(h), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
        with torch.no_grad():
            h, _ = lstm(test[:-1].view(-1, 1, 1), state)
            print(F.mse_loss(out(h), test[1:].view(-1, 1, 1)).item())


@correct
def one_cycle_per_batch():
    torch.manual_seed(0)
    ds = load_digits(n_class=5)
    X = torch.tensor(ds.data / 16, dtype=torch.float32)[:640]
    y = torch.tensor(ds.target)[:640]
    train_dl = DataLoader(TensorDataset(X[:512], y[:512]), batch_size=64, shuffle=True)
    valid_dl = DataLoader(TensorDataset(X[512:], y[512:]), batch_size=128)
    model = nn.Sequential(
        nn.Linear(64, 48),
        nn.BatchNorm1d(48),
        nn.ReLU(inplace=True),
        nn.Dropout(0.2),
        nn.Linear(48, 5),
    )
    epochs, max_lr = 6, 2e-2
    opt = AdamW(model.parameters(), weight_decay=1e-2)
    sched = OneCycleLR(opt, max_lr, epochs=epochs, steps_per_epoch=len(train_dl))
    lrs = []
    for _ in range(epochs):
        model.train()
        for xb, yb in train_dl:
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
            opt.zero_grad()
            lrs.append(opt.param_groups[0]["lr"])
            sched.step()
        model.eval()
        with torch.no_grad():
            hits = sum((model(xb).argmax(1) == yb).sum().item() for xb, yb in valid_dl)
        print(hits / len(valid_dl.dataset))


@correct
def grad_none_by_hand():
    torch.manual_seed(0)
    X = torch.randn(200, 5)
    y = X.abs().sum(1, keepdim=True)
    model = nn.Sequential(nn.Linear(5, 40), nn.ReLU(), nn.Linear(40, 1))
    opt = optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(15):
        for idx in BatchSampler(RandomSampler(range(200)), 40, drop_last=False):
            for p in model.parameters():
                p.grad = None
            loss = ((model(X[idx]) - y[idx]) ** 2).mean()
            loss.backward()
            opt.step()


@correct
def checkpointed_blocks():
    torch.manual_seed(0)
    X = torch.randn(160, 10)
    y = (X[:, :5].norm(dim=1) > X[:, 5:].norm(dim=1)).long()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inp = nn.Linear(10, 32)
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 32), nn.GELU()) for _ in range(3)
            )
            self.out = nn.Linear(32, 2)

        def forward(self, x):
            x = self.inp(x)
            for block in self.blocks:
                x = x + checkpoint(block, x, use_reentrant=False)
            return self.out(x)

    net = Net()
    opt = AdamW(net.parameters(), lr=5e-3)
    for _ in range(8):
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True):
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()


@correct
def spectral_norm_gan_hinge():
    torch.manual_seed(0)
    D = nn.Sequential(
        spectral_norm(nn.Linear(2, 32)), nn.LeakyReLU(0.1), spectral_norm(nn.Linear(32, 1))
    )
    G = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 2))
    d_opt = Adam(D.parameters(), 4e-3, betas=(0.0, 0.9))
    g_opt = Adam(G.parameters(), 1e-3, betas=(0.0, 0.9))
    angles = torch.rand(320) * 2 * math.pi
    ring = torch.stack([angles.cos(), angles.sin()], 1) + 2.0
    for _ in range(5):
        for (real,) in DataLoader(TensorDataset(ring), batch_size=32, shuffle=True):
            with torch.no_grad():
                fake = G(torch.randn(32, 3))
            d_loss = F.relu(1 - D(real)).mean() + F.relu(1 + D(fake)).mean()
            d_opt.zero_grad()
            d_loss.backward()
            d_opt.step()
            g_loss = -D(G(torch.randn(32, 3))).mean()
            g_opt.zero_grad()
            g_loss.backward()
            g_opt.step()


@correct
def label_smoothing_cosine_per_epoch():
    torch.manual_seed(0)
    y = torch.randint(0, 5, (300,))
    X = torch.randn(300, 12) + F.one_hot(y, 12) * 2.5
    model = nn.Sequential(nn.Linear(12, 32), nn.SiLU(), nn.Linear(32, 5))
    opt = SGD(model.parameters(), lr=0.3, momentum=0.9, weight_decay=5e-4)
    sched = CosineAnnealingLR(opt, T_max=8)
    crit = nn.CrossEntropyLoss(label_smoothing=0.1)
    dl = DataLoader(TensorDataset(X, y), batch_size=60, shuffle=True)
    for epoch in range(8):
        total, hits = 0.0, 0
        for xb, yb in dl:
            out = model(xb)
            loss = crit(out, yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
            hits += out.argmax(-1).eq(yb).sum().item()
        sched.step()
        print(epoch, total / len(dl), hits / len(dl.dataset), sched.get_last_lr()[0])


@correct
def poisson_counts():
    torch.manual_seed(0)
    X = torch.randn(400, 4)
    rate = torch.exp(0.8 * X[:, 0] - 0.5 * X[:, 1] + 0.3)
    y = torch.poisson(rate)
    model = nn.Linear(4, 1)
    opt = Adam(model.parameters(), lr=3e-2)
    crit = nn.PoissonNLLLoss(log_input=True)
    for _ in range(10):
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=40, shuffle=True):
            opt.zero_grad()
            loss = crit(model(xb).squeeze(1), yb)
            loss.backward()
            opt.step()
    print(model.weight.detach().numpy().round(2))


@correct
def california_style_huber_regression():
    torch.manual_seed(0)
    X, y = make_friedman1(400, noise=0.5, random_state=0)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0)
    xs, ys = StandardScaler(), StandardScaler()
    X_train = torch.tensor(xs.fit_transform(X_train), dtype=torch.float32)
    X_test = torch.tensor(xs.transform(X_test), dtype=torch.float32)
    y_train = torch.tensor(ys.fit_transform(y_train[:, None]), dtype=torch.float32)
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 1))
    opt = Adam(model.parameters(), lr=5e-3)
    sched = ReduceLROnPlateau(opt, factor=0.5, patience=2)
    loss_fn = nn.HuberLoss(delta=1.0)
    for epoch in range(15):
        model.train()
        for xb, yb in DataLoader(TensorDataset(X_train, y_train), batch_size=30, shuffle=True):
            loss = loss_fn(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            pred = ys.inverse_transform(model(X_test).numpy())
        r2 = r2_score(y_test, pred)
        sched.step(1 - r2)
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1}: R2 {r2:.3f}")


@correct
def val_without_eval_no_dropout():
    # neither dropout nor batch norm: eval() would change nothing
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 250)[torch.randperm(250)].view(-1, 1)
    y = torch.sin(3 * x) + 0.05 * torch.randn(250, 1)
    train_dl = DataLoader(TensorDataset(x[:200], y[:200]), batch_size=25, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[200:], y[200:]), batch_size=25)
    model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
    opt = Adam(model.parameters(), lr=1e-2)
    crit = nn.MSELoss()
    train_losses, val_losses = [], []
    for _ in range(12):
        tl = 0
        for xb, yb in train_dl:
            opt.zero_grad()
            loss = crit(model(xb), yb)
            loss.backward()
            opt.step()
            tl += loss.item()
        train_losses.append(tl / len(train_dl))
        vl = 0
        with torch.no_grad():
            for xb, yb in val_dl:
                vl += crit(model(xb), yb).item()
        val_losses.append(vl / len(val_dl))


@correct
def focal_loss_detection_like():
    torch.manual_seed(0)
    X = torch.randn(400, 6)
    y = ((X[:, 0] > 1.0) & (X[:, 1] > 0)).float()

    class FocalLoss(nn.Module):
        def __init__(self, gamma=2.0, alpha=0.75):
            super().__init__()
            self.gamma, self.alpha = gamma, alpha

        def forward(self, logits, target):
            bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
            pt = torch.exp(-bce)
            at = self.alpha * target + (1 - self.alpha) * (1 - target)
            return (at * (1 - pt) ** self.gamma * bce).mean()

    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = Adam(model.parameters(), lr=1e-2)
    crit = FocalLoss()
    for _ in range(10):
        tp = fp = fn = 0
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=40, shuffle=True):
            out = model(xb).squeeze(-1)
            loss = crit(out, yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            guess = out.detach() > 0
            tp += (guess & (yb == 1)).sum().item()
            fp += (guess & (yb == 0)).sum().item()
            fn += (~guess & (yb == 1)).sum().item()
        print("F1", 2 * tp / max(1, 2 * tp + fp + fn))


@correct
def differential_learning_rates_multistep():
    torch.manual_seed(0)
    X = torch.randn(256, 1, 10, 10)
    y = torch.randint(0, 2, (256,))
    X[y == 0, :, 2:5, 2:5] += 1.0
    X[y == 1, :, 5:8, 5:8] += 1.0
    features = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    classifier = nn.Linear(128, 2)
    model = nn.Sequential(features, classifier)
    optimizer = SGD(
        [{"params": features.parameters(), "lr": 1e-2}, {"params": classifier.parameters()}],
        lr=5e-2,
        momentum=0.9,
    )
    scheduler = MultiStepLR(optimizer, milestones=[3, 5], gamma=0.1)
    since = 0
    for _ in range(6):
        for phase in ["train", "val"]:
            model.train(phase == "train")
            sl = slice(0, 192) if phase == "train" else slice(192, 256)
            loader = DataLoader(TensorDataset(X[sl], y[sl]), 32, shuffle=phase == "train")
            running_loss, running_corrects = 0.0, 0
            for inputs, labels in loader:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(inputs)
                    _, preds = torch.max(outputs, 1)
                    loss = F.cross_entropy(outputs, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                running_loss += loss.item() * inputs.size(0)
                running_corrects += torch.sum(preds == labels.data)
            if phase == "train":
                scheduler.step()
            since += 1
            n = len(loader.dataset)
            print(phase, running_loss / n, (running_corrects.double() / n).item())
