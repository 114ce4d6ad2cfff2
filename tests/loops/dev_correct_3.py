"""Correct training loops in many styles: there is nothing to find in them."""

import copy
import itertools
import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
)
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch.autograd import Variable
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.utils.parametrizations import weight_norm
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import (
    StepLR,
)
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import (
    DataLoader,
    TensorDataset,
    WeightedRandomSampler,
)

from tests.loops import correct


@correct
def frozen_batchnorm_overridden_train():
    torch.manual_seed(0)
    X = torch.randn(160, 3, 6, 6)
    y = (X[:, 0].mean((1, 2)) > X[:, 1].mean((1, 2))).long()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 1)
            self.bn = nn.BatchNorm2d(8)
            self.fc = nn.Linear(8, 2)
            self.drop = nn.Dropout(0.1)

        def train(self, mode=True):
            super().train(mode)
            self.bn.eval()
            for p in self.bn.parameters():
                p.requires_grad = False
            return self

        def forward(self, x):
            h = F.relu(self.bn(self.conv(x))).mean((2, 3))
            return self.fc(self.drop(h))

    net = Net().train()
    opt = Adam((p for p in net.parameters() if p.requires_grad), lr=3e-2)
    dl = DataLoader(TensorDataset(X[:128], y[:128]), batch_size=16, shuffle=True)
    for _ in range(8):
        net.train()
        for xb, yb in dl:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            print((net(X[128:]).argmax(1) == y[128:]).float().mean().item())


@correct
def grad_scaler_fp16_simple():
    torch.manual_seed(0)
    X = torch.randn(192, 12)
    y = (X[:, :6].sum(1) > 0).float()
    net = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = SGD(net.parameters(), lr=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(8):
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True):
            opt.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.float16):
                logits = net(xb).squeeze(1)
            loss = F.binary_cross_entropy_with_logits(logits.float(), yb)
            scaler.scale(loss).backward()
            scaler.step(opt)
            scaler.update()


@correct
def ema_averaged_model():
    torch.manual_seed(0)
    X = torch.randn(256, 4)
    y = X.prod(1, keepdim=True).tanh() + X[:, :1]
    model = nn.Sequential(nn.Linear(4, 48), nn.ReLU(), nn.Linear(48, 1))
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.95))
    opt = AdamW(model.parameters(), lr=1e-2)
    for _ in range(10):
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True):
            opt.zero_grad()
            loss = F.mse_loss(model(xb), yb)
            loss.backward()
            opt.step()
            ema.update_parameters(model)
    ema.eval()
    with torch.no_grad():
        print(F.mse_loss(ema(X), y).item())


@correct
def per_sample_weights_functional_sgd():
    # vmap over an ensemble of five nets, trained together by torch.func
    torch.manual_seed(0)
    X = torch.randn(128, 3)
    y = (X[:, 0] + X[:, 1] ** 2).unsqueeze(1)
    models = [nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1)) for _ in range(5)]
    params, buffers = stack_module_state(models)
    params = {k: v.detach() for k, v in params.items()}
    base = copy.deepcopy(models[0]).to("meta")

    def loss_fn(p, b, x, t):
        return F.mse_loss(functional_call(base, (p, b), (x,)), t)

    step = vmap(torch.func.grad_and_value(loss_fn), in_dims=(0, 0, None, None))
    first = last = None
    for _ in range(80):
        grads, losses = step(params, buffers, X, y)
        params = {k: params[k] - 0.1 * grads[k] for k in params}
        first = losses if first is None else first
        last = losses
    assert (last < first).all()


@correct
def reptile_first_order():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 1))
    for it in range(15):
        before = copy.deepcopy(net.state_dict())
        a = 1.0 + torch.rand(1) * 0.5
        x = torch.rand(20, 1) * 4 - 2
        y = a * torch.sin(x)
        inner = SGD(net.parameters(), lr=0.05)
        for _ in range(8):
            inner.zero_grad()
            loss = F.mse_loss(net(x), y)
            loss.backward()
            inner.step()
        after = net.state_dict()
        outer = 0.5 * (1 - it / 30)
        net.load_state_dict({k: before[k] + outer * (after[k] - before[k]) for k in before})


@correct
def margin_ranking_pairs():
    torch.manual_seed(0)
    X = torch.randn(200, 6)
    quality = X @ torch.randn(6) + 0.1 * torch.randn(200)
    scorer = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
    opt = Adam(scorer.parameters(), lr=5e-3)
    loss_fn = nn.MarginRankingLoss(margin=0.5)
    for epoch in range(60):
        i, j = torch.randint(0, 200, (2, 32))
        target = torch.sign(quality[i] - quality[j])
        keep = target != 0
        s_i, s_j = scorer(X[i]).squeeze(1), scorer(X[j]).squeeze(1)
        loss = loss_fn(s_i[keep], s_j[keep], target[keep])
        opt.zero_grad()
        loss.backward()
        opt.step()
        if epoch % 20 == 0:
            acc = ((s_i > s_j) == (target > 0))[keep].float().mean().item()
            print(epoch, loss.item(), acc)


@correct
def windowed_forecast_unshuffled():
    torch.manual_seed(0)
    t = torch.arange(400, dtype=torch.float32)
    s = torch.sin(0.2 * t) + 0.4 * torch.cos(0.5 * t) + 0.05 * torch.randn(400)
    W = 16
    windows = s.unfold(0, W + 1, 1)
    X, y = windows[:, :W], windows[:, W]
    split = 300
    train_loader = DataLoader(TensorDataset(X[:split], y[:split]), batch_size=30, shuffle=False)
    Xv, yv = X[split + W :], y[split + W :]
    model = nn.Sequential(nn.Linear(W, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = Adam(model.parameters(), lr=5e-3)
    crit = nn.MSELoss()
    for epoch in range(10):
        model.train()
        for xb, yb in train_loader:
            out = model(xb)
            loss = crit(out, yb.unsqueeze(-1))
            opt.zero_grad()
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            rmse = crit(model(Xv), yv.unsqueeze(-1)).sqrt().item()
        print(f"Epoch {epoch}: val RMSE {rmse:.3f}")


@correct
def validation_every_n_steps_inside_epoch():
    torch.manual_seed(0)
    X = torch.randn(400, 10)
    y = ((X[:, :3] ** 2).sum(1) > 2.4).long()
    tr = DataLoader(TensorDataset(X[:320], y[:320]), batch_size=16, shuffle=True)
    va = DataLoader(TensorDataset(X[320:], y[320:]), batch_size=40)
    model = nn.Sequential(
        nn.Linear(10, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Dropout(0.1), nn.Linear(48, 2)
    )
    opt = AdamW(model.parameters(), lr=1e-2)
    best, best_state, global_step = 0.0, None, 0
    for _epoch in range(5):
        for xb, yb in tr:
            model.train()
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
            global_step += 1
            if global_step % 10 == 0:
                model.eval()
                hits = 0
                with torch.no_grad():
                    for xv, yv in va:
                        hits += int((model(xv).argmax(1) == yv).sum())
                if hits / 80 > best:
                    best = hits / 80
                    best_state = {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(best_state)


@correct
def weight_norm_wavenet_like():
    torch.manual_seed(0)
    t = torch.arange(512) * 0.15
    wave = torch.sin(t) * torch.cos(0.3 * t)
    x = wave.unfold(0, 33, 8).contiguous()
    net = nn.Sequential(
        weight_norm(nn.Conv1d(1, 12, 3, dilation=1)),
        nn.Tanh(),
        weight_norm(nn.Conv1d(12, 12, 3, dilation=2)),
        nn.Tanh(),
        weight_norm(nn.Conv1d(12, 1, 1)),
    )
    opt = Adam(net.parameters(), lr=1e-2)
    for _ in range(12):
        for i in torch.randperm(len(x)).split(15):
            seq = x[i].unsqueeze(1)
            pred = net(seq[..., :-1])
            loss = F.l1_loss(pred, seq[..., -pred.size(-1) :])
            opt.zero_grad()
            loss.backward()
            opt.step()


@correct
def gradient_reversal_domain_adaptation():
    torch.manual_seed(0)

    class Reverse(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, lam):
            ctx.lam = lam
            return x.view_as(x)

        @staticmethod
        def backward(ctx, g):
            return -ctx.lam * g, None

    xs = torch.randn(160, 6)
    ys = (xs[:, 0] + xs[:, 1] > 0).long()
    xt = torch.randn(160, 6)
    xt[:, 5] += 2.0
    feat = nn.Sequential(nn.Linear(6, 24), nn.ReLU())
    label_clf, domain_clf = nn.Linear(24, 2), nn.Linear(24, 2)
    opt = Adam(itertools.chain(*(m.parameters() for m in (feat, label_clf, domain_clf))), lr=1e-2)
    src = DataLoader(TensorDataset(xs, ys), batch_size=32, shuffle=True)
    tgt = DataLoader(TensorDataset(xt), batch_size=32, shuffle=True)
    for epoch in range(8):
        lam = 2 / (1 + math.exp(-epoch)) - 1
        for (a, la), (b,) in zip(src, tgt, strict=True):
            fa, fb = feat(a), feat(b)
            task = F.cross_entropy(label_clf(fa), la)
            dom = domain_clf(Reverse.apply(torch.cat([fa, fb]), 0.2 * lam))
            dl = torch.cat([torch.zeros(len(a)), torch.ones(len(b))]).long()
            loss = task + F.cross_entropy(dom, dl)
            opt.zero_grad()
            loss.backward()
            opt.step()


@correct
def physics_informed_decay():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 1))
    opt = Adam(net.parameters(), lr=1e-2)
    t0, u0 = torch.zeros(1, 1), torch.ones(1, 1)
    for step in range(120):
        t = (torch.rand(40, 1) * 2).requires_grad_(True)
        u = net(t)
        du = torch.autograd.grad(u, t, torch.ones_like(u), create_graph=True)[0]
        residual = du + 1.5 * u
        loss = residual.pow(2).mean() + 5 * F.mse_loss(net(t0), u0)
        opt.zero_grad()
        loss.backward()
        opt.step()
        if step % 40 == 0:
            print(step, loss.item())


@correct
def iris_full_batch_beginner():
    iris = load_iris()
    X = iris["data"]
    y = iris["target"]
    scaler = StandardScaler()
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=2)
    X_train = Variable(torch.from_numpy(scaler.fit_transform(X_train))).float()
    X_test = Variable(torch.from_numpy(scaler.transform(X_test))).float()
    y_train = Variable(torch.from_numpy(y_train)).long()
    y_test = Variable(torch.from_numpy(y_test)).long()
    torch.manual_seed(0)

    class Model(nn.Module):
        def __init__(self, input_dim):
            super().__init__()
            self.layer1 = nn.Linear(input_dim, 50)
            self.layer2 = nn.Linear(50, 50)
            self.layer3 = nn.Linear(50, 3)

        def forward(self, x):
            x = F.relu(self.layer1(x))
            x = F.relu(self.layer2(x))
            return self.layer3(x)

    model = Model(X_train.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    loss_fn = nn.CrossEntropyLoss()
    EPOCHS = 60
    loss_list = np.zeros((EPOCHS,))
    accuracy_list = np.zeros((EPOCHS,))
    for epoch in range(EPOCHS):
        y_pred = model(X_train)
        loss = loss_fn(y_pred, y_train)
        loss_list[epoch] = loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            y_pred = model(X_test)
            hits = (torch.argmax(y_pred, dim=1) == y_test).type(torch.FloatTensor)
            accuracy_list[epoch] = hits.mean()


@correct
def breast_cancer_logits_threshold():
    data = load_breast_cancer()
    Xtr, Xte, ytr, yte = train_test_split(data.data, data.target, test_size=0.25, random_state=5)
    mms = MinMaxScaler().fit(Xtr)
    Xtr = torch.tensor(mms.transform(Xtr), dtype=torch.float32)
    Xte = torch.tensor(mms.transform(Xte), dtype=torch.float32)
    ytr = torch.tensor(ytr, dtype=torch.float32).unsqueeze(1)
    yte = torch.tensor(yte, dtype=torch.float32).unsqueeze(1)
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1))
    loss_fn = nn.BCEWithLogitsLoss()
    opt = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(8):
        for xb, yb in DataLoader(TensorDataset(Xtr, ytr), batch_size=32, shuffle=True):
            out = model(xb)
            loss = loss_fn(out, yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
    with torch.no_grad():
        logits = model(Xte)
        acc = ((logits >= 0).float() == yte).float().mean().item()
        print(acc, roc_auc_score(yte.numpy().ravel(), logits.sigmoid().numpy().ravel()))


@correct
def diabetes_mae_step_lr():
    X, y = load_diabetes(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(X))
    X, y = X[order].astype("float32"), y[order].astype("float32").reshape(-1, 1)
    n = 350
    xm, xs, ym, ys = X[:n].mean(0), X[:n].std(0), y[:n].mean(), y[:n].std()
    X, yn = (X - xm) / xs, (y - ym) / ys
    X, yn = torch.from_numpy(X), torch.from_numpy(yn)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = optim.Adam(net.parameters(), lr=1e-2)
    scheduler = StepLR(optimizer, step_size=4, gamma=0.5)
    for epoch in range(12):
        net.train()
        for start in range(0, n, 50):
            optimizer.zero_grad()
            pred = net(X[start : start + 50])
            loss = F.l1_loss(pred, yn[start : start + 50])
            loss.backward()
            optimizer.step()
        scheduler.step()
        net.eval()
        with torch.no_grad():
            mae = (net(X[n:]) - yn[n:]).abs().mean().item() * ys
        print(epoch, round(float(mae), 1))


@correct
def weighted_sampler_oversampling():
    torch.manual_seed(0)
    y = (torch.rand(400) < 0.12).long()
    X = torch.randn(400, 5) + 1.2 * y.unsqueeze(1)
    X_val, y_val, X, y = X[300:], y[300:], X[:300], y[:300]
    weights = 1.0 / torch.bincount(y)[y].double()
    sampler = WeightedRandomSampler(weights, num_samples=len(y), replacement=True)
    loader = DataLoader(TensorDataset(X, y), batch_size=30, sampler=sampler)
    model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 2))
    opt = Adam(model.parameters(), lr=1e-2)
    for _ in range(8):
        for xb, yb in loader:
            opt.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            opt.step()
        with torch.no_grad():
            p = model(X_val).softmax(1)[:, 1]
        print("AUC", roc_auc_score(y_val, p))


@correct
def one_hot_targets_cross_entropy():
    torch.manual_seed(0)
    labels = torch.randint(0, 4, (240,))
    X = torch.randn(240, 6) + torch.randn(4, 6)[labels] * 2
    Y = F.one_hot(labels, 4).float()
    net = nn.Sequential(nn.Linear(6, 24), nn.ELU(), nn.Linear(24, 4))
    opt = optim.Adamax(net.parameters(), lr=1e-2)
    crit = nn.CrossEntropyLoss()
    for epoch in range(10):
        hits = 0
        for xb, yb in DataLoader(TensorDataset(X, Y), batch_size=24, shuffle=True):
            opt.zero_grad()
            out = net(xb)
            loss = crit(out, yb)
            loss.backward()
            opt.step()
            hits += (out.argmax(1) == yb.argmax(1)).sum().item()
        print(epoch, hits / 240)


@correct
def gaussian_nll_heteroscedastic():
    torch.manual_seed(0)
    x = torch.rand(300, 1) * 4 - 2
    y = x.pow(2) - 1 + (0.1 + 0.2 * x.abs()) * torch.randn_like(x)

    class MeanVar(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(1, 32), nn.Tanh())
            self.mean, self.raw = nn.Linear(32, 1), nn.Linear(32, 1)

        def forward(self, x):
            h = self.body(x)
            return self.mean(h), F.softplus(self.raw(h)) + 1e-4

    net = MeanVar()
    opt = Adam(net.parameters(), lr=1e-2)
    crit = nn.GaussianNLLLoss()
    for _ in range(20):
        for xb, yb in DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True):
            mu, var = net(xb)
            loss = crit(mu, yb, var)
            opt.zero_grad()
            loss.backward()
            opt.step()
