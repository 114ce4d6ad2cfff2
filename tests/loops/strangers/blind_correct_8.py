"""Correct training loops in strangers' styles: there is nothing to find in them."""

import copy
import math
import random
from collections import deque

import numpy as np
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
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, r2_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler
from torch import optim
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, update_bn
from torch.utils.data import (
    DataLoader,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)
from torch.utils.data.distributed import DistributedSampler

from tests.loops import correct


@correct
def accumulate_with_tail():
    torch.manual_seed(0)
    X, y = make_classification(530, 20, n_informative=10, n_classes=3, random_state=0)
    X = torch.tensor(StandardScaler().fit(X[:430]).transform(X), dtype=torch.float32)
    y = torch.tensor(y)
    loader = DataLoader(
        TensorDataset(X[:430], y[:430]), batch_size=16, shuffle=True, drop_last=True
    )
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 3))
    opt = optim.AdamW(model.parameters(), lr=1e-2)
    accum = 4
    for _epoch in range(8):
        model.train()
        n_batches = len(loader)  # 26 = 6 * 4 + 2
        for i, (xb, yb) in enumerate(loader):
            group_start = i - i % accum
            group = min(accum, n_batches - group_start)
            loss = F.cross_entropy(model(xb), yb) / group
            loss.backward()
            if (i + 1) % accum == 0 or i + 1 == n_batches:
                opt.step()
                opt.zero_grad()
        model.eval()
        with torch.no_grad():
            acc = (model(X[430:]).argmax(1) == y[430:]).float().mean().item()
    return acc


@correct
def lbfgs_whole_batch():
    torch.manual_seed(1)
    d = load_diabetes()
    Xtr, Xte, ytr, yte = train_test_split(d.data, d.target, random_state=1)
    sx, my, sy = StandardScaler().fit(Xtr), ytr.mean(), ytr.std()
    Xtr, Xte = (torch.tensor(sx.transform(a), dtype=torch.float32) for a in (Xtr, Xte))
    ytr, yte = (torch.tensor((a - my) / sy, dtype=torch.float32)[:, None] for a in (ytr, yte))
    net = nn.Sequential(nn.Linear(10, 4), nn.Tanh(), nn.Linear(4, 1))
    opt = optim.LBFGS(net.parameters(), lr=0.5, max_iter=5, history_size=10)
    mse = nn.MSELoss()

    def closure():
        opt.zero_grad()
        loss = mse(net(Xtr), ytr) + 1e-2 * sum((p**2).sum() for p in net.parameters())
        loss.backward()
        return loss

    trace = []
    for _it in range(10):
        trace.append(opt.step(closure).item())
    with torch.no_grad():
        pred = net(Xte)
    return trace, r2_score(yte.numpy(), pred.numpy())


@correct
def gan_ring():
    torch.manual_seed(2)
    theta = torch.rand(512) * 2 * math.pi
    real_data = torch.stack([theta.cos(), theta.sin()], 1) + 0.05 * torch.randn(512, 2)
    G = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
    D = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    g_opt = optim.Adam(G.parameters(), lr=2e-3, betas=(0.5, 0.999))
    d_opt = optim.Adam(D.parameters(), lr=2e-3, betas=(0.5, 0.999))
    bce = nn.BCEWithLogitsLoss()
    for _epoch in range(10):
        for (real,) in DataLoader(TensorDataset(real_data), batch_size=64, shuffle=True):
            ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
            fake = G(torch.randn(len(real), 4))
            d_opt.zero_grad()
            d_loss = bce(D(real), ones) + bce(D(fake.detach()), zeros)
            d_loss.backward()
            d_opt.step()
            g_opt.zero_grad()
            g_loss = bce(D(fake), ones)
            g_loss.backward()
            g_opt.step()
    with torch.no_grad():
        radius = G(torch.randn(200, 4)).norm(dim=1).mean().item()
    return d_loss.item(), g_loss.item(), radius


@correct
def frozen_autoencoder_features():
    """Pretrain an autoencoder, then train only a classifier on its code; plateau scheduler on the val loss."""
    torch.manual_seed(3)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X / 16, dtype=torch.float32), torch.tensor(y)
    Xtr, ytr, Xva, yva = X[:800], y[:800], X[800:1200], y[800:1200]
    enc = nn.Sequential(nn.Linear(64, 24), nn.ReLU())
    dec = nn.Sequential(nn.Linear(24, 64), nn.Sigmoid())
    ae_opt = optim.Adam([*enc.parameters(), *dec.parameters()], lr=5e-3)
    for _epoch in range(6):
        for b in torch.randperm(800).split(40):
            ae_opt.zero_grad()
            F.mse_loss(dec(enc(Xtr[b])), Xtr[b]).backward()
            ae_opt.step()

    enc.eval().requires_grad_(False)
    clf = nn.Linear(24, 10)
    opt = optim.Adam(clf.parameters(), lr=2e-2)
    sched = optim.lr_scheduler.ReduceLROnPlateau(opt, factor=0.3, patience=1)
    for _epoch in range(8):
        clf.train()
        for b in torch.randperm(800).split(40):
            with torch.no_grad():
                code = enc(Xtr[b])
            loss = F.cross_entropy(clf(code), ytr[b])
            opt.zero_grad()
            loss.backward()
            opt.step()
        clf.eval()
        with torch.no_grad():
            logits = clf(enc(Xva))
            val_loss = F.cross_entropy(logits, yva)
        sched.step(val_loss)
    return (logits.argmax(1) == yva).float().mean().item()


@correct
def unfreeze_step_by_step():
    torch.manual_seed(4)
    d = load_digits()
    x = torch.tensor(d.images / 16, dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(d.target)
    conv = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)
    )
    mid = nn.Sequential(nn.Flatten(), nn.Linear(128, 32), nn.ReLU())
    head = nn.Linear(32, 10)
    model = nn.Sequential(conv, mid, head)
    for p in [*conv.parameters(), *mid.parameters()]:
        p.requires_grad_(False)
    opt = optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    dl = DataLoader(TensorDataset(x[:800], y[:800]), batch_size=50, shuffle=True)
    accs = []
    for epoch in range(7):
        if epoch == 2:
            mid.requires_grad_(True)
            opt.add_param_group({"params": list(mid.parameters()), "lr": 0.05})
        if epoch == 4:
            conv.requires_grad_(True)
            opt.add_param_group({"params": list(conv.parameters()), "lr": 0.02})
        model.train()
        if epoch < 4:
            conv.eval()  # leave the running statistics alone while frozen
        for xb, yb in dl:
            opt.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            accs.append((model(x[800:1100]).argmax(1) == y[800:1100]).float().mean().item())
    return accs


@correct
def mc_dropout_intervals():
    torch.manual_seed(5)
    x = torch.linspace(-3, 3, 400).unsqueeze(1)
    y = torch.sin(x) + 0.1 * torch.randn(400, 1)
    perm = torch.randperm(400)
    tr, te = perm[:320], perm[320:]

    class Bayes(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(1, 64), nn.Linear(64, 64), nn.Linear(64, 1)

        def forward(self, t, sample=False):
            on = self.training or sample
            t = F.dropout(torch.tanh(self.a(t)), 0.1, training=on)
            t = F.dropout(torch.tanh(self.b(t)), 0.1, training=on)
            return self.c(t)

    net = Bayes()
    opt = optim.Adam(net.parameters(), lr=5e-3)
    for _epoch in range(10):
        net.train()
        for b in tr[torch.randperm(320)].split(32):
            opt.zero_grad()
            F.mse_loss(net(x[b]), y[b]).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            val = F.mse_loss(net(x[te]), y[te]).item()
    with torch.no_grad():
        draws = torch.stack([net(x[te], sample=True) for _ in range(20)])
    mean, std = draws.mean(0), draws.std(0)
    inside = ((y[te] - mean).abs() < 2 * (std + 0.1)).float().mean().item()
    return val, inside


@correct
def vae_by_hand():
    torch.manual_seed(6)
    X = torch.tensor(load_digits().data / 16, dtype=torch.float32)[:1000]

    class VAE(nn.Module):
        def __init__(self, z=4):
            super().__init__()
            self.e = nn.Linear(64, 48)
            self.mu, self.logvar = nn.Linear(48, z), nn.Linear(48, z)
            self.d1, self.d2 = nn.Linear(z, 48), nn.Linear(48, 64)

        def forward(self, x):
            h = F.relu(self.e(x))
            mu, logvar = self.mu(h), self.logvar(h)
            z = mu + torch.randn_like(mu) * (0.5 * logvar).exp() if self.training else mu
            return self.d2(F.relu(self.d1(z))), mu, logvar

    def elbo(recon, x, mu, logvar):
        bce = F.binary_cross_entropy_with_logits(recon, x, reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return bce + kld

    vae = VAE()
    opt = optim.Adam(vae.parameters(), lr=3e-3)
    log = []
    for _epoch in range(8):
        vae.train()
        total = 0
        for (xb,) in DataLoader(TensorDataset(X[:800]), batch_size=40, shuffle=True):
            opt.zero_grad()
            recon, mu, logvar = vae(xb)
            loss = elbo(recon, xb, mu, logvar)
            (loss / len(xb)).backward()
            opt.step()
            total += loss.item()
        vae.eval()
        with torch.no_grad():
            r, mu, lv = vae(X[800:])
            log.append((total / 800, elbo(r, X[800:], mu, lv).item() / 200))
    return log


@correct
def distill_small_student():
    torch.manual_seed(7)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X / 16, dtype=torch.float32), torch.tensor(y)
    loader = DataLoader(TensorDataset(X[:900], y[:900]), batch_size=60, shuffle=True)

    teacher = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10))
    t_opt = optim.Adam(teacher.parameters(), lr=5e-3)
    for _epoch in range(5):
        teacher.train()
        for xb, yb in loader:
            t_opt.zero_grad()
            F.cross_entropy(teacher(xb), yb).backward()
            t_opt.step()

    teacher.eval()
    student = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    s_opt = optim.Adam(student.parameters(), lr=2e-2)
    T, alpha = 3.0, 0.7
    for _epoch in range(6):
        student.train()
        for xb, yb in loader:
            with torch.no_grad():
                soft = F.softmax(teacher(xb) / T, dim=1)
            out = student(xb)
            kd = F.kl_div(F.log_softmax(out / T, dim=1), soft, reduction="batchmean") * T * T
            loss = alpha * kd + (1 - alpha) * F.cross_entropy(out, yb)
            s_opt.zero_grad()
            loss.backward()
            s_opt.step()
        student.eval()
        with torch.no_grad():
            acc = (student(X[900:1300]).argmax(1) == y[900:1300]).float().mean().item()
    return acc


@correct
def dqn_corridor():
    random.seed(8)
    torch.manual_seed(8)
    n_states, gamma = 8, 0.9
    eye = torch.eye(n_states)
    q = nn.Sequential(nn.Linear(n_states, 32), nn.ReLU(), nn.Linear(32, 2))
    target_q = copy.deepcopy(q)
    opt = optim.Adam(q.parameters(), lr=5e-3)
    memory = deque(maxlen=2000)
    s = 0
    for step in range(600):
        if random.random() < max(0.1, 1 - step / 300):
            a = random.randrange(2)
        else:
            with torch.no_grad():
                a = q(eye[s]).argmax().item()
        s2 = min(max(s + (1 if a else -1), 0), n_states - 1)
        r, done = (1.0, True) if s2 == n_states - 1 else (0.0, False)
        memory.append((s, a, r, s2, done))
        s = 0 if done else s2
        if len(memory) < 64:
            continue
        bs, ba, br, bs2, bd = zip(*random.sample(memory, 32), strict=False)
        bs, ba, bs2 = torch.tensor(bs), torch.tensor(ba), torch.tensor(bs2)
        br, bd = torch.tensor(br), torch.tensor(bd, dtype=torch.float32)
        q_sa = q(eye[bs]).gather(1, ba.unsqueeze(1)).squeeze(1)
        with torch.no_grad():
            y = br + gamma * (1 - bd) * target_q(eye[bs2]).max(1).values
        loss = F.smooth_l1_loss(q_sa, y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        if step % 25 == 0:
            target_q.load_state_dict(q.state_dict())
    with torch.no_grad():
        policy = q(eye[:-1]).argmax(1).tolist()
    return policy, loss.item()


@correct
def char_model_truncated_bptt():
    """Tied weights, text in order, the state is carried over from chunk to chunk."""
    torch.manual_seed(9)
    text = "the quick brown fox jumps over the lazy dog. a lazy dog sleeps; the fox is quick. " * 24
    chars = sorted(set(text))
    data = torch.tensor([chars.index(c) for c in text])
    rows, bptt = 8, 20
    data = data[: len(data) // rows * rows].view(rows, -1)

    class LM(nn.Module):
        def __init__(self, d=32):
            super().__init__()
            self.emb = nn.Embedding(len(chars), d)
            self.rnn = nn.GRU(d, d, batch_first=True)
            self.out = nn.Linear(d, len(chars))
            self.out.weight = self.emb.weight

        def forward(self, x, h):
            o, h = self.rnn(self.emb(x), h)
            return self.out(o), h

    lm = LM()
    opt = optim.Adam(lm.parameters(), lr=1e-2)
    ppl = []
    for _epoch in range(5):
        h, nll, count = None, 0.0, 0
        for i in range(0, data.size(1) - 1, bptt):
            x = data[:, i : i + bptt][:, : data.size(1) - 1 - i]
            t = data[:, i + 1 : i + 1 + x.size(1)]
            h = h.detach() if h is not None else None
            logits, h = lm(x, h)
            loss = F.cross_entropy(logits.transpose(1, 2), t)
            opt.zero_grad()
            loss.backward()
            clip_grad_norm_(lm.parameters(), 1.0)
            opt.step()
            nll += loss.item() * t.numel()
            count += t.numel()
        ppl.append(math.exp(nll / count))
    return ppl


@correct
def logistic_regression_by_hand():
    torch.manual_seed(10)
    X, y = load_breast_cancer(return_X_y=True)
    Xtr, Xte, ytr, yte = train_test_split(X, y, test_size=0.25, random_state=10)
    m, s = Xtr.mean(0), Xtr.std(0)
    Xtr, Xte = torch.tensor((Xtr - m) / s).float(), torch.tensor((Xte - m) / s).float()
    ytr = torch.tensor(ytr).float()
    w = torch.zeros(30, requires_grad=True)  # convex, zeros are fine here
    b = torch.zeros(1, requires_grad=True)
    lr = 0.2
    for _epoch in range(8):
        for ix in torch.randperm(len(Xtr)).split(32):
            z = Xtr[ix] @ w + b
            p = torch.sigmoid(z).clamp(1e-6, 1 - 1e-6)
            loss = -(ytr[ix] * p.log() + (1 - ytr[ix]) * (1 - p).log()).mean()
            loss.backward()
            with torch.no_grad():
                for q in (w, b):
                    q -= lr * q.grad
            w.grad = None
            b.grad = None
    with torch.no_grad():
        guess = (torch.sigmoid(Xte @ w + b) > 0.5).int().numpy()
    return accuracy_score(yte, guess), f1_score(yte, guess)


@correct
def functional_style():
    torch.manual_seed(11)
    from torch.func import functional_call, grad_and_value

    X, y = make_friedman1(500, noise=0.2, random_state=11)
    y = (y - y[:400].mean()) / y[:400].std()
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    net = nn.Sequential(nn.Linear(10, 48), nn.SiLU(), nn.Linear(48, 1))
    params = {k: v.detach().clone() for k, v in net.named_parameters()}
    velocity = {k: torch.zeros_like(v) for k, v in params.items()}

    def objective(p, xb, yb):
        return ((functional_call(net, p, (xb,)).squeeze(-1) - yb) ** 2).mean()

    step = grad_and_value(objective)
    for _epoch in range(10):
        for ix in torch.randperm(400).split(20):
            g, value = step(params, X[ix], y[ix])
            velocity = {k: 0.9 * velocity[k] + g[k] for k in g}
            params = {k: params[k] - 0.02 * velocity[k] for k in params}
    with torch.no_grad():
        test = objective(params, X[400:], y[400:]).item()
    return value.item(), test


@correct
def amp_unscale_then_clip():
    torch.manual_seed(12)
    X, y = make_classification(
        600, 24, n_informative=12, n_classes=4, n_clusters_per_class=1, random_state=12
    )
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    ds = TensorDataset(X, y)
    train_ds, val_ds = random_split(ds, [0.8, 0.2], generator=torch.Generator().manual_seed(12))
    train_dl, val_dl = DataLoader(train_ds, 32, shuffle=True), DataLoader(val_ds, 64)
    model = nn.Sequential(nn.Linear(24, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 4))
    opt = optim.AdamW(model.parameters(), lr=5e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for _epoch in range(4):
        model.train()
        for xb, yb in train_dl:
            opt.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(model(xb), yb)
            scaler.scale(loss).backward()
            scaler.unscale_(opt)
            clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(opt)
            scaler.update()
        model.eval()
        hits = 0
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            for xb, yb in val_dl:
                hits += (model(xb).float().argmax(-1) == yb).sum().item()
    return hits / len(val_ds)


@correct
def stratified_folds():
    SEED = 2024
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    data = load_wine(as_frame=True)
    df = data.data.assign(target=data.target)
    feats = data.feature_names
    oof = np.zeros((len(df), 3))
    for _fold, (tr, va) in enumerate(
        StratifiedKFold(4, shuffle=True, random_state=SEED).split(df, df.target)
    ):
        mean, std = df.loc[tr, feats].mean(), df.loc[tr, feats].std()

        def prep(rows):
            return torch.tensor(((df.loc[rows, feats] - mean) / std).values, dtype=torch.float32)  # noqa: B023

        X_tr, X_va = prep(tr), prep(va)
        y_tr = torch.tensor(df.target.values[tr])
        model = nn.Sequential(
            nn.Linear(13, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 3)
        )
        optimizer = optim.Adam(model.parameters(), lr=1e-2)
        dl = DataLoader(TensorDataset(X_tr, y_tr), batch_size=16, shuffle=True, drop_last=True)
        for _epoch in range(6):
            model.train()
            for xb, yb in dl:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(xb), yb)
                loss.backward()
                optimizer.step()
        model.eval()
        with torch.no_grad():
            oof[va] = F.softmax(model(X_va), dim=1).numpy()
    return accuracy_score(df.target, oof.argmax(1))


@correct
def early_stopping_weighted_sampler():
    torch.manual_seed(14)
    X, y = make_classification(
        700, 20, n_informative=6, weights=[0.85], class_sep=1.2, flip_y=0.02, random_state=14
    )
    Xtr, Xva, ytr, yva = train_test_split(X, y, test_size=0.3, stratify=y, random_state=14)
    sc = StandardScaler()
    Xtr = torch.tensor(sc.fit_transform(Xtr), dtype=torch.float32)
    Xva = torch.tensor(sc.transform(Xva), dtype=torch.float32)
    ytr_t = torch.tensor(ytr, dtype=torch.float32)
    w = torch.tensor(np.where(ytr == 1, 1 / (ytr == 1).sum(), 1 / (ytr == 0).sum()))
    dl = DataLoader(
        TensorDataset(Xtr, ytr_t), batch_size=35, sampler=WeightedRandomSampler(w, len(w))
    )
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0))
    opt = optim.Adam(model.parameters(), lr=1e-2)
    best, best_state, bad = -1.0, None, 0
    for epoch in range(15):  # noqa: B007
        model.train()
        for xb, yb in dl:
            opt.zero_grad()
            F.binary_cross_entropy_with_logits(model(xb), yb).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            ap = average_precision_score(yva, model(Xva).numpy())
        if ap > best:
            best, best_state, bad = ap, copy.deepcopy(model.state_dict()), 0
        else:
            bad += 1
            if bad == 3:
                break
    model.load_state_dict(best_state)
    with torch.no_grad():
        f1 = f1_score(yva, (model(Xva) > 0).numpy())
    return epoch, best, f1


@correct
def warmup_then_cosine():
    torch.manual_seed(15)
    n, T = 480, 10
    ids = torch.randint(1, 20, (n, T))
    label = (ids == 7).any(1).long()
    flip = torch.rand(n) < 0.5
    ids[flip & (label == 0), 3] = 7
    label = (ids == 7).any(1).long()

    class Classifier(nn.Module):
        def __init__(self, d=24):
            super().__init__()
            self.emb, self.pos = nn.Embedding(20, d), nn.Parameter(torch.zeros(1, T, d))
            layer = nn.TransformerEncoderLayer(
                d, 4, 48, dropout=0.1, batch_first=True, norm_first=True
            )
            self.enc = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
            self.fc = nn.Linear(d, 2)

        def forward(self, t):
            return self.fc(self.enc(self.emb(t) + self.pos).amax(1))

    model = Classifier()
    dl = DataLoader(TensorDataset(ids[:384], label[:384]), batch_size=32, shuffle=True)
    epochs, warm = 6, 10
    total = epochs * len(dl)
    opt = optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)

    def factor(s):
        return (
            (s + 1) / warm
            if s < warm
            else 0.5 * (1 + math.cos(math.pi * (s - warm) / (total - warm)))
        )

    sched = optim.lr_scheduler.LambdaLR(opt, factor)
    accs = []
    for _epoch in range(epochs):
        model.train()
        for t, target in dl:
            F.cross_entropy(model(t), target).backward()
            opt.step()
            sched.step()
            opt.zero_grad()
        model.eval()
        with torch.no_grad():
            accs.append((model(ids[384:]).argmax(-1) == label[384:]).float().mean().item())
    return accs


@correct
def padded_tagging():
    torch.manual_seed(16)
    PAD, V, C, T = 0, 30, 9, 9
    seqs = [torch.randint(1, V, (int(k),)) for k in torch.randint(3, T + 1, (500,))]
    tags = [s % 3 + 3 * (torch.roll(s, 1) % 3) for s in seqs]
    seqs.append(torch.ones(T, dtype=torch.long))
    tags.append(seqs[-1] % 3 + 3 * (seqs[-1] % 3))
    X = nn.utils.rnn.pad_sequence(seqs, batch_first=True, padding_value=PAD)
    Y = nn.utils.rnn.pad_sequence(tags, batch_first=True, padding_value=-100)

    class ConvTagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(V, 16, padding_idx=PAD)
            self.lstm = nn.LSTM(16, 24, bidirectional=True, batch_first=True)
            self.conv = nn.Conv1d(48, C, 1)

        def forward(self, x):
            return self.conv(self.lstm(self.emb(x))[0].transpose(1, 2))  # [B, C, T]

    model = ConvTagger()
    opt = optim.Adam(model.parameters(), lr=2e-2)
    tr, va = torch.arange(400), torch.arange(400, 501)
    for _epoch in range(8):
        model.train()
        for ix in tr[torch.randperm(400)].split(32):
            opt.zero_grad()
            F.cross_entropy(model(X[ix]), Y[ix], ignore_index=-100).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            pred = model(X[va]).argmax(1)
        mask = Y[va] != -100
        acc = ((pred == Y[va]) & mask).sum().item() / mask.sum().item()
    return acc


@correct
def swa_average():
    torch.manual_seed(17)
    d = load_digits()
    x = torch.tensor(d.images / 16, dtype=torch.float32)[:, None]
    y = torch.tensor(d.target)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(72, 10),
    )
    swa = AveragedModel(model)
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    dl = DataLoader(TensorDataset(x[:900], y[:900]), batch_size=60, shuffle=True)
    for epoch in range(7):
        model.train()
        for xb, yb in dl:
            opt.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            opt.step()
        if epoch >= 3:
            swa.update_parameters(model)
    update_bn(dl, swa)
    swa.eval()
    with torch.no_grad():
        acc = (swa(x[900:1300]).argmax(1) == y[900:1300]).float().mean().item()
    return acc


@correct
def overfit_one_batch():
    """Sanity check before the long run: can the net memorise a single batch?"""
    torch.manual_seed(18)
    d = load_digits()
    dataset = TensorDataset(torch.tensor(d.data / 16, dtype=torch.float32), torch.tensor(d.target))
    xb, yb = next(iter(DataLoader(dataset, batch_size=32, shuffle=True)))
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10), nn.LogSoftmax(dim=1))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    nll = nn.NLLLoss()
    for _i in range(60):
        opt.zero_grad()
        loss = nll(net(xb), yb)
        loss.backward()
        opt.step()
    assert loss.item() < 0.05
    return loss.item()


@correct
def lr_finder_then_fit():
    torch.manual_seed(19)
    X, y = make_regression(600, 15, n_informative=8, noise=8.0, random_state=19)
    y = (y - y[:480].mean()) / y[:480].std()
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32).reshape(-1, 1)
    dl = DataLoader(TensorDataset(X[:480], y[:480]), batch_size=24, shuffle=True)
    net = nn.Sequential(nn.Linear(15, 32), nn.ReLU(), nn.Linear(32, 1))
    start = copy.deepcopy(net.state_dict())

    opt = optim.SGD(net.parameters(), lr=1e-4)
    grow = optim.lr_scheduler.ExponentialLR(opt, gamma=1.3)
    lrs, losses = [], []
    for _sweep in range(3):
        for xb, yb in dl:
            opt.zero_grad()
            loss = F.mse_loss(net(xb), yb)
            lrs.append(opt.param_groups[0]["lr"])
            losses.append(loss.item())
            if losses[-1] > 4 * min(losses):
                break
            loss.backward()
            opt.step()
            grow.step()
        if losses[-1] > 4 * min(losses):
            break
    best_lr = lrs[int(np.argmin(losses))] / 5

    net.load_state_dict(start)
    opt = optim.SGD(net.parameters(), lr=best_lr, momentum=0.9)
    for _epoch in range(6):
        for xb, yb in dl:
            opt.zero_grad()
            F.mse_loss(net(xb), yb).backward()
            opt.step()
    with torch.no_grad():
        return best_lr, r2_score(y[480:].numpy(), net(X[480:]).numpy())


@correct
def implicit_feedback_bpr():
    """Ranking with sparse embeddings; the full score matrix is compared by broadcasting."""
    torch.manual_seed(20)
    n_users, n_items, k = 50, 40, 8
    taste = torch.randn(n_users, 3) @ torch.randn(3, n_items)
    order = taste.argsort(1, descending=True)
    train_pos, test_pos = order[:, 0:8:2], order[:, 1:8:2]
    user_emb = nn.Embedding(n_users, k, sparse=True)
    item_emb = nn.Embedding(n_items, k, sparse=True)
    nn.init.normal_(user_emb.weight, std=0.1)
    nn.init.normal_(item_emb.weight, std=0.1)
    opt = optim.SparseAdam([*user_emb.parameters(), *item_emb.parameters()], lr=0.03)
    bad_items = [
        torch.tensor([i for i in range(n_items) if i not in set(order[u, :8].tolist())])
        for u in range(n_users)
    ]
    for _epoch in range(20):
        for users in torch.randperm(n_users).split(10):
            pos = train_pos[users]  # [B, 4]
            neg = torch.stack(
                [bad_items[u][torch.randint(len(bad_items[u]), (6,))] for u in users.tolist()]
            )
            u = user_emb(users).unsqueeze(1)
            s_pos = (u * item_emb(pos)).sum(-1)
            s_neg = (u * item_emb(neg)).sum(-1)
            diff = s_pos.unsqueeze(2) - s_neg.unsqueeze(1)  # [B, 4, 6]
            loss = -F.logsigmoid(diff).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
    with torch.no_grad():
        scores = user_emb.weight @ item_emb.weight.t()
        scores.scatter_(1, train_pos, -1e9)
        top = scores.topk(8, dim=1).indices
        recall = (top.unsqueeze(2) == test_pos.unsqueeze(1)).any(1).float().mean().item()
    return loss.item(), recall


@correct
def step_inside_backward():
    torch.manual_seed(21)
    X, y = make_moons(600, noise=0.15, random_state=21)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    net = nn.Sequential(
        nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1), nn.Sigmoid()
    )
    optims = {p: optim.Adam([p], lr=5e-3) for p in net.parameters()}

    def hook(p):
        optims[p].step()
        optims[p].zero_grad()

    for p in net.parameters():
        p.register_post_accumulate_grad_hook(hook)
    bce = nn.BCELoss()
    for _epoch in range(8):
        net.train()
        for ix in torch.randperm(480).split(24):
            bce(net(X[ix]).squeeze(1), y[ix]).backward()
        net.eval()
        with torch.no_grad():
            acc = ((net(X[480:]).squeeze(1) > 0.5) == (y[480:] > 0.5)).float().mean().item()
    return acc


@correct
def siamese_info_nce():
    """Contrastive pretraining (labels are just 0..B-1), then a nearest-centroid read-out."""
    torch.manual_seed(22)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X / 16, dtype=torch.float32), torch.tensor(y)
    tower = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))
    log_scale = nn.Parameter(torch.tensor(2.0))
    opt = optim.AdamW(
        [{"params": tower.parameters()}, {"params": [log_scale], "weight_decay": 0.0}], lr=3e-3
    )

    def augment(v):
        return v + 0.15 * torch.randn_like(v)

    first = last = None
    for _epoch in range(6):
        tower.train()
        for ix in torch.randperm(1000).split(50):
            a = F.normalize(tower(augment(X[ix])), dim=1)
            b = F.normalize(tower(augment(X[ix])), dim=1)
            logits = log_scale.exp() * a @ b.t()
            target = torch.arange(len(ix))
            loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.t(), target)) / 2
            opt.zero_grad()
            loss.backward()
            opt.step()
            last = loss.item()
            first = last if first is None else first
    tower.eval()
    with torch.no_grad():
        z = F.normalize(tower(X), dim=1)
        centroids = torch.stack([z[:1000][y[:1000] == c].mean(0) for c in range(10)])
        acc = ((z[1000:] @ centroids.t()).argmax(1) == y[1000:]).float().mean().item()
    return first, last, acc


@correct
def fine_tune_with_small_lr():
    """Pretrain on the digits 0-4, then fine-tune: tiny lr for the body, larger for the new head."""
    torch.manual_seed(23)
    d = load_digits()
    x, t = torch.tensor(d.data / 16, dtype=torch.float32), torch.tensor(d.target)

    def fit(model, opt, xs, ts, epochs):
        model.train()
        for _ in range(epochs):
            for ix in torch.randperm(len(xs)).split(32):
                opt.zero_grad()
                F.cross_entropy(model(xs[ix]), ts[ix]).backward()
                opt.step()

    low = t < 5
    body = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU())
    model = nn.Sequential(body, nn.Linear(48, 5))
    fit(model, optim.Adam(model.parameters(), lr=3e-3), x[low][:600], t[low][:600], 10)

    model[1] = nn.Linear(48, 5)
    opt = optim.Adam(
        [{"params": body.parameters(), "lr": 1e-5}, {"params": model[1].parameters(), "lr": 2e-2}]
    )
    xs, ts = x[~low], t[~low] - 5
    fit(model, opt, xs[:600], ts[:600], 10)
    model.eval()
    with torch.no_grad():
        acc = (model(xs[600:]).argmax(1) == ts[600:]).float().mean().item()
    return acc


@correct
def distributed_resnet_single_process():
    torch.manual_seed(24)
    d = load_digits()
    x = torch.tensor(d.images / 16, dtype=torch.float32)[:, None]
    y = torch.tensor(d.target)
    train_ds, val_ds = TensorDataset(x[:800], y[:800]), TensorDataset(x[800:1200], y[800:1200])
    sampler = DistributedSampler(train_ds, num_replicas=1, rank=0, shuffle=True)
    train_dl = DataLoader(train_ds, batch_size=50, sampler=sampler)
    val_dl = DataLoader(val_ds, batch_size=100)  # 4 full batches

    class Block(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.c1, self.b1 = nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c)
            self.c2, self.b2 = nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c)
            nn.init.zeros_(self.b2.weight)  # starts as the identity

        def forward(self, h):
            return F.relu(h + self.b2(self.c2(F.relu(self.b1(self.c1(h))))))

    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        Block(8),
        nn.Flatten(),
        nn.Linear(128, 10),
    )
    nn.init.zeros_(net[-1].weight)
    nn.init.zeros_(net[-1].bias)
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(4):
        sampler.set_epoch(epoch)
        net.train()
        for xb, yb in train_dl:
            loss = F.cross_entropy(net(xb), yb)
            net.zero_grad()
            loss.backward()
            opt.step()
        net.eval()
        batch_acc = []
        with torch.no_grad():
            for xb, yb in val_dl:
                batch_acc.append((net(xb).argmax(1) == yb).float().mean())
        acc = torch.stack(batch_acc).mean().item()
    return acc


@correct
def multilabel_trainer_class():
    torch.manual_seed(25)
    rng = np.random.RandomState(25)
    X = rng.randn(640, 16).astype("float32")
    Y = (X @ rng.randn(16, 4) + 0.3 * rng.randn(640, 4) > 1.0).astype("float32")

    class Trainer:
        def __init__(self, model, lr):
            self.model = model
            self.opt = optim.Adam(model.parameters(), lr=lr)
            self.crit = nn.BCEWithLogitsLoss(reduction="sum")
            self.history = []

        def run(self, loader, training):
            self.model.train(training)
            total, rows, outs, refs = 0.0, 0, [], []
            with torch.set_grad_enabled(training):
                for xb, yb in loader:
                    out = self.model(xb)
                    loss = self.crit(out, yb) / len(xb)
                    if training:
                        self.opt.zero_grad()
                        loss.backward()
                        self.opt.step()
                    total += loss.item() * len(xb)
                    rows += len(xb)
                    outs.append(out.detach())
                    refs.append(yb)
            probs = torch.sigmoid(torch.cat(outs))
            f1 = f1_score(torch.cat(refs).numpy(), (probs > 0.5).numpy(), average="micro")
            return total / rows, f1

        def fit(self, train_loader, valid_loader, epochs):
            for _ in range(epochs):
                self.history.append(self.run(train_loader, True) + self.run(valid_loader, False))
            return self.history

    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 4))
    full = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    return Trainer(net, 5e-3).fit(
        DataLoader(Subset(full, range(500)), 32, shuffle=True),
        DataLoader(Subset(full, range(500, 640)), 64),
        6,
    )
