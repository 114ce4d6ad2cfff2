"""Correct training loops in many styles: there is nothing to find in them."""

import os
import tempfile

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import make_circles
from sklearn.model_selection import train_test_split
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import (
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LinearLR,
    SequentialLR,
)
from torch.utils.data import DataLoader, TensorDataset, random_split

from tests.loops import correct


@correct
def manual_sgd_autograd_grad_momentum():
    torch.manual_seed(0)
    X = torch.randn(200, 5)
    y = torch.sin(X[:, 0]) + 0.5 * X[:, 1]
    W1 = (torch.randn(5, 24) / 5**0.5).requires_grad_()
    b1 = torch.zeros(24, requires_grad=True)
    W2 = (torch.randn(24, 1) / 24**0.5).requires_grad_()
    b2 = torch.zeros(1, requires_grad=True)
    params = [W1, b1, W2, b2]
    velocity = [torch.zeros_like(p) for p in params]
    for _ in range(100):
        idx = torch.randint(0, 200, (40,))
        out = (torch.tanh(X[idx] @ W1 + b1) @ W2 + b2).squeeze(1)
        loss = F.mse_loss(out, y[idx])
        grads = torch.autograd.grad(loss, params)
        with torch.no_grad():
            torch._foreach_mul_(velocity, 0.9)
            torch._foreach_add_(velocity, grads)
            torch._foreach_add_(params, velocity, alpha=-0.02)


@correct
def ppo_shared_trunk():
    torch.manual_seed(0)

    class ActorCritic(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Sequential(nn.Linear(4, 32), nn.Tanh())
            self.pi, self.v = nn.Linear(32, 3), nn.Linear(32, 1)

        def forward(self, x):
            h = self.trunk(x)
            return torch.distributions.Categorical(logits=self.pi(h)), self.v(h).squeeze(-1)

    net = ActorCritic()
    opt = Adam(net.parameters(), lr=5e-3, eps=1e-5)
    rewards = []
    for _update in range(12):
        obs = torch.randn(96, 4)
        with torch.no_grad():
            dist, value = net(obs)
            act = dist.sample()
            old_logp = dist.log_prob(act)
        rew = (act == obs[:, :3].argmax(1)).float()
        adv = rew - value
        adv = (adv - adv.mean()) / (adv.std() + 1e-8)
        for _epoch in range(3):
            for i in torch.randperm(96).split(32):
                dist, v = net(obs[i])
                ratio = (dist.log_prob(act[i]) - old_logp[i]).exp()
                clipped = ratio.clamp(0.8, 1.2)
                pg = -torch.min(ratio * adv[i], clipped * adv[i]).mean()
                loss = pg + 0.5 * F.mse_loss(v, rew[i]) - 0.01 * dist.entropy().mean()
                opt.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 0.5)
                opt.step()
        rewards.append(rew.mean().item())
    assert rewards[-1] > rewards[0]


@correct
def vector_quantised_straight_through():
    torch.manual_seed(0)
    proto = torch.randn(6, 10) * 2
    X = proto[torch.randint(0, 6, (240,))] + 0.2 * torch.randn(240, 10)
    enc, dec = nn.Linear(10, 4), nn.Linear(4, 10)
    code = nn.Embedding(12, 4)
    with torch.no_grad():
        code.weight.copy_(enc(X[:12]))
    opt = Adam([*enc.parameters(), *dec.parameters(), *code.parameters()], lr=2e-2)
    for _ in range(12):
        for (xb,) in DataLoader(TensorDataset(X), batch_size=40, shuffle=True):
            z = enc(xb)
            idx = torch.cdist(z, code.weight).argmin(1)
            q = code(idx)
            zq = z + (q - z).detach()
            rec = F.mse_loss(dec(zq), xb)
            loss = rec + F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())
            opt.zero_grad()
            loss.backward()
            opt.step()
        print(f"reconstruction {rec.item():.3f}, codes used {len(idx.unique())}")


@correct
def graph_convolution_semi_supervised():
    torch.manual_seed(0)
    n = 60
    y = torch.arange(n) % 3
    same = y.unsqueeze(0) == y.unsqueeze(1)
    A = (torch.rand(n, n) < torch.where(same, 0.25, 0.03)).float()
    A = ((A + A.t()) > 0).float() + torch.eye(n)
    d = A.sum(1).rsqrt()
    A = d.unsqueeze(1) * A * d.unsqueeze(0)
    X = torch.randn(n, 8) + F.one_hot(y, 8)
    train_mask = torch.zeros(n, dtype=torch.bool)
    train_mask[torch.randperm(n)[:20]] = True

    class GCN(nn.Module):
        def __init__(self):
            super().__init__()
            self.l1, self.l2 = nn.Linear(8, 16), nn.Linear(16, 3)

        def forward(self, x, a):
            x = F.relu(a @ self.l1(x))
            x = F.dropout(x, 0.3, training=self.training)
            return a @ self.l2(x)

    model = GCN()
    optimizer = Adam(model.parameters(), lr=0.03, weight_decay=5e-4)

    def train():
        model.train()
        optimizer.zero_grad()
        out = model(X, A)
        loss = F.cross_entropy(out[train_mask], y[train_mask])
        loss.backward()
        optimizer.step()
        return loss.item()

    @torch.no_grad()
    def test():
        model.eval()
        pred = model(X, A).argmax(dim=-1)
        return [((pred == y)[m].sum() / m.sum()).item() for m in (train_mask, ~train_mask)]

    for epoch in range(40):
        loss = train()
        if epoch % 10 == 0:
            print(epoch, loss, test())


@correct
def warm_restarts_stepped_fractionally():
    torch.manual_seed(0)
    X = torch.randn(240, 6)
    y = (X[:, :2].sum(1) > 0).long() + (X[:, 2] > 0).long()
    model = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 3))
    opt = SGD(model.parameters(), lr=0.3, momentum=0.9)
    sched = CosineAnnealingWarmRestarts(opt, T_0=2, T_mult=2)
    loader = DataLoader(TensorDataset(X, y), batch_size=30, shuffle=True)
    iters = len(loader)
    for epoch in range(6):
        for i, (xb, yb) in enumerate(loader):
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
            sched.step(epoch + i / iters)


@correct
def sequential_schedule_warmup_then_exponential():
    torch.manual_seed(0)
    X = torch.randn(200, 3)
    y = (X**2).sum(1, keepdim=True) - 3
    net = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 1))
    opt = Adam(net.parameters(), lr=2e-2)
    sched = SequentialLR(
        opt,
        [LinearLR(opt, start_factor=0.1, total_iters=3), ExponentialLR(opt, gamma=0.9)],
        milestones=[3],
    )
    log = []
    for _ in range(14):
        epoch_loss = 0.0
        for i in torch.randperm(200).split(25):
            loss = F.mse_loss(net(X[i]), y[i])
            opt.zero_grad()
            loss.backward()
            opt.step()
            epoch_loss += loss.item() * len(i) / 200
        log.append((epoch_loss, opt.param_groups[0]["lr"]))
        sched.step()


@correct
def save_best_model_file():
    torch.manual_seed(0)
    X, y = make_circles(300, noise=0.05, factor=0.5, random_state=0)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0)
    X_train, X_test = torch.Tensor(X_train), torch.Tensor(X_test)
    y_train, y_test = torch.Tensor(y_train), torch.Tensor(y_test)

    class CircleModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer_1 = nn.Linear(2, 16)
            self.layer_2 = nn.Linear(16, 16)
            self.layer_3 = nn.Linear(16, 1)
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.layer_3(self.relu(self.layer_2(self.relu(self.layer_1(x)))))

    def accuracy_fn(y_true, y_pred):
        hits = torch.eq(y_true, y_pred).sum().item()
        return (hits / len(y_pred)) * 100

    model_3 = CircleModel()
    loss_fn = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model_3.parameters(), lr=0.02)
    best = -1
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "best.pt")
        for epoch in range(60):
            model_3.train()
            y_logits = model_3(X_train).squeeze()
            y_pred = torch.round(torch.sigmoid(y_logits))
            loss = loss_fn(y_logits, y_train)
            acc = accuracy_fn(y_true=y_train, y_pred=y_pred)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if epoch % 10 == 9:
                model_3.eval()
                with torch.inference_mode():
                    test_logits = model_3(X_test).squeeze()
                    test_pred = torch.round(torch.sigmoid(test_logits))
                    test_loss = loss_fn(test_logits, y_test)
                    test_acc = accuracy_fn(y_true=y_test, y_pred=test_pred)
                print(f"Epoch: {epoch} | {loss:.5f}, {acc:.2f}% | {test_loss:.5f}, {test_acc:.2f}%")
                if test_acc > best:
                    best = test_acc
                    torch.save(model_3.state_dict(), path)
        model_3.load_state_dict(torch.load(path))


@correct
def small_table_with_duplicate_rows():
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(1)
    X = torch.randint(0, 3, (240, 3), generator=g).float() - 1
    y = ((X[:, 0] + X[:, 1] > 0) ^ (torch.rand(240, generator=g) < 0.05)).long()
    train, test = random_split(TensorDataset(X, y), [180, 60], generator=g)
    model = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2))
    opt = SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(10):
        for xb, yb in DataLoader(train, batch_size=30, shuffle=True):
            loss = F.cross_entropy(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
        with torch.no_grad():
            right = sum((model(xb).argmax(1) == yb).sum().item() for xb, yb in DataLoader(test, 20))
        print(epoch, right / len(test))


@correct
def heavy_tailed_standardised_inputs():
    # standardised, but a few values are large because the raw distribution has a long tail
    rng = np.random.default_rng(0)
    raw = rng.lognormal(0.0, 1.3, (400, 5)).astype("float32")
    target = (np.log(raw[:, 0]) + np.log(raw[:, 1]) > 0).astype("int64")
    mu, sd = raw[:320].mean(0), raw[:320].std(0)
    X = torch.from_numpy((raw - mu) / sd)
    y = torch.from_numpy(target)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 2))
    opt = AdamW(model.parameters(), lr=1e-2)
    tr = DataLoader(TensorDataset(X[:320], y[:320]), batch_size=32, shuffle=True)
    va = DataLoader(TensorDataset(X[320:], y[320:]), batch_size=80)
    for _ in range(12):
        model.train()
        for xb, yb in tr:
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            for xb, yb in va:
                print((model(xb).argmax(1) == yb).float().mean().item())


@correct
def probability_targets_soft_labels():
    torch.manual_seed(0)
    X = torch.randn(240, 5)
    probs = F.softmax(2 * X @ torch.randn(5, 3), dim=1)
    model = nn.Sequential(nn.Linear(5, 24), nn.ReLU(), nn.Linear(24, 3))
    opt = Adam(model.parameters(), lr=2e-2)
    for _ in range(12):
        for xb, pb in DataLoader(TensorDataset(X, probs), batch_size=40, shuffle=True):
            opt.zero_grad()
            logp = F.log_softmax(model(xb), dim=1)
            loss = -(pb * logp).sum(dim=1).mean()
            loss.backward()
            opt.step()


@correct
def trains_long_past_convergence():
    torch.manual_seed(0)
    y = torch.arange(120) % 2
    X = torch.randn(120, 4) * 0.4 + (2.0 * y - 1).unsqueeze(1)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    opt = Adam(model.parameters(), lr=1e-2)
    loader = DataLoader(TensorDataset(X, y), batch_size=40, shuffle=True)
    for _ in range(80):
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()


@correct
def online_hard_example_mining():
    torch.manual_seed(0)
    X = torch.randn(256, 4)
    y = (X[:, 0] * X[:, 1] + X[:, 2] > 0).long()
    model = nn.Sequential(nn.Linear(4, 48), nn.ReLU(), nn.Linear(48, 2))
    opt = SGD(model.parameters(), lr=0.15, momentum=0.9)
    crit = nn.CrossEntropyLoss(reduction="none")
    for _ in range(12):
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True):
            each = crit(model(xb), yb)
            loss = each.topk(24).values.mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
