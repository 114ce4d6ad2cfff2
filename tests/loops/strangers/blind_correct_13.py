"""Thirty small correct training loops in less usual styles."""

import copy
import math
import random

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from .. import correct


def _blobs(n=192, d=8, k=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    centres = torch.randn(k, d, generator=g) * 1.5
    return centres[y] + torch.randn(n, d, generator=g), y


def _mlp(d, h, k):
    return nn.Sequential(nn.Linear(d, h), nn.ReLU(), nn.Linear(h, k))


@correct
def unusual_01():
    """Gradient accumulation with scaled loss and a flush of the remainder."""
    torch.manual_seed(1)
    x, y = _blobs(200, seed=1)
    loader = DataLoader(TensorDataset(x, y), batch_size=12, shuffle=True)
    model = _mlp(8, 24, 3)
    opt = torch.optim.AdamW(model.parameters(), lr=5e-3)
    every, n = 4, len(loader)
    rest = n % every
    for epoch in range(4):
        opt.zero_grad(set_to_none=True)
        for i, (a, b) in enumerate(loader, 1):
            group = rest if i > n - rest else every
            (F.cross_entropy(model(a), b) / group).backward()
            if i % every == 0 or i == n:
                opt.step()
                opt.zero_grad(set_to_none=True)
    return model


@correct
def unusual_02():
    """bfloat16 autocast on the CPU, loss in float32, step outside the context."""
    torch.manual_seed(2)
    x, y = _blobs(160, seed=2)
    model = _mlp(8, 32, 3)
    opt = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    for epoch in range(4):
        for idx in torch.randperm(160).split(20):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(x[idx])
            loss = F.cross_entropy(logits.float(), y[idx])
            opt.zero_grad()
            loss.backward()
            opt.step()
    return model


@correct
def unusual_03():
    """Exponential moving average of the weights, evaluated through the shadow copy."""
    torch.manual_seed(3)
    x, y = _blobs(240, seed=3)
    model = _mlp(8, 24, 3)
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    opt = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(5):
        model.train()
        for idx in torch.randperm(180).split(30):
            opt.zero_grad()
            F.cross_entropy(model(x[idx]), y[idx]).backward()
            opt.step()
            with torch.no_grad():
                for s, p in zip(ema.parameters(), model.parameters()):
                    s.lerp_(p, 0.1)
        with torch.inference_mode():
            acc = (ema(x[180:]).argmax(-1) == y[180:]).float().mean().item()
    print("ema acc", acc)
    return ema


@correct
def unusual_04():
    """Stochastic weight averaging with SWALR and refreshed BatchNorm statistics."""
    from torch.optim.swa_utils import SWALR, AveragedModel, update_bn

    torch.manual_seed(4)
    x, y = _blobs(160, seed=4)
    loader = DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True)
    model = nn.Sequential(nn.Linear(8, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 3))
    opt = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=4)
    swa_model, swa_sched, start = AveragedModel(model), SWALR(opt, swa_lr=0.02, anneal_epochs=2), 4
    for epoch in range(8):
        for a, b in loader:
            opt.zero_grad()
            F.cross_entropy(model(a), b).backward()
            opt.step()
        if epoch >= start:
            swa_model.update_parameters(model)
            swa_sched.step()
        else:
            cosine.step()
    update_bn(loader, swa_model)
    swa_model.eval()
    with torch.no_grad():
        print("swa acc", (swa_model(x).argmax(1) == y).float().mean().item())
    return swa_model


@correct
def unusual_05():
    """DCGAN-style alternation: D on detached fakes, G through a live D, non-saturating loss."""
    torch.manual_seed(5)
    G = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    D = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
    og = torch.optim.Adam(G.parameters(), 2e-3, betas=(0.5, 0.999))
    od = torch.optim.Adam(D.parameters(), 2e-3, betas=(0.5, 0.999))
    bce = nn.BCEWithLogitsLoss()
    real_y, fake_y = torch.ones(32, 1), torch.zeros(32, 1)
    for it in range(60):
        real = torch.randn(32, 2) * 0.4 + 1.5
        fake = G(torch.randn(32, 4))
        D.zero_grad()
        d_loss = bce(D(real), real_y) + bce(D(fake.detach()), fake_y)
        d_loss.backward()
        od.step()
        G.zero_grad()
        g_loss = bce(D(fake), real_y)
        g_loss.backward()
        og.step()
    print(d_loss.item(), g_loss.item())
    return G


@correct
def unusual_06():
    """DQN with replay, a copied target network, terminal masking and hard sync."""
    torch.manual_seed(6)
    rng = random.Random(6)
    online = _mlp(2, 24, 2)
    target = copy.deepcopy(online)
    target.eval()
    opt = torch.optim.Adam(online.parameters(), lr=2e-3)
    replay, gamma, s = [], 0.9, [0.0, 1.0]
    for t in range(150):
        eps = max(0.1, 1.0 - t / 100)
        if rng.random() < eps:
            a = rng.randrange(2)
        else:
            with torch.no_grad():
                a = int(online(torch.tensor([s])).argmax(1))
        pos = s[0] + (0.25 if a else -0.25)
        done = abs(pos) >= 1.0
        r = 1.0 if pos >= 1.0 else 0.0
        replay.append((s, a, r, [pos, 1.0], float(done)))
        s = [0.0, 1.0] if done else [pos, 1.0]
        if len(replay) < 32:
            continue
        S, A, R, S2, Dn = map(torch.tensor, zip(*rng.sample(replay, 32)))
        q = online(S).gather(1, A[:, None])[:, 0]
        with torch.no_grad():
            goal = R + gamma * (1 - Dn) * target(S2).amax(1)
        loss = F.smooth_l1_loss(q, goal)
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(online.parameters(), 1.0)
        opt.step()
        if t % 25 == 0:
            target.load_state_dict(online.state_dict())
    return online


@correct
def unusual_07():
    """REINFORCE: whole episodes, discounted returns, standardised, one update per episode."""
    torch.manual_seed(7)
    policy = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 2))
    opt = torch.optim.Adam(policy.parameters(), lr=1e-2)
    for episode in range(25):
        pos, logps, rewards = 0.0, [], []
        for _ in range(10):
            dist = torch.distributions.Categorical(logits=policy(torch.tensor([pos])))
            act = dist.sample()
            logps.append(dist.log_prob(act))
            pos += 0.2 if act.item() == 1 else -0.2
            rewards.append(pos)
        returns, run = [], 0.0
        for r in reversed(rewards):
            run = r + 0.95 * run
            returns.append(run)
        R = torch.tensor(returns[::-1])
        R = (R - R.mean()) / (R.std() + 1e-6)
        loss = -(torch.stack(logps) * R).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
    return policy


@correct
def unusual_08():
    """VAE with reparameterisation, summed reconstruction and KL, reported per sample."""

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc = nn.Linear(16, 24)
            self.mu, self.lv = nn.Linear(24, 2), nn.Linear(24, 2)
            self.dec = _mlp(2, 24, 16)

        def forward(self, x):
            h = torch.relu(self.enc(x))
            mu, lv = self.mu(h), self.lv(h)
            z = mu + torch.exp(0.5 * lv) * torch.randn_like(mu) if self.training else mu
            return self.dec(z), mu, lv

    torch.manual_seed(8)
    data = (torch.rand(160, 2) @ torch.rand(2, 16) > 0.5).float()
    vae = VAE()
    opt = torch.optim.Adam(vae.parameters(), lr=3e-3)
    for epoch in range(5):
        vae.train()
        seen = 0.0
        for (xb,) in DataLoader(TensorDataset(data), batch_size=32, shuffle=True):
            rec, mu, lv = vae(xb)
            bce = F.binary_cross_entropy_with_logits(rec, xb, reduction="sum")
            kld = -0.5 * (1 + lv - mu.pow(2) - lv.exp()).sum()
            loss = (bce + kld) / len(xb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            seen += loss.item() * len(xb)
        print(epoch, seen / len(data))
    return vae


@correct
def unusual_09():
    """SimCLR-like contrastive training: two noisy views, NT-Xent with the diagonal masked."""
    torch.manual_seed(9)
    x, _ = _blobs(128, seed=9)
    enc = _mlp(8, 32, 8)
    opt = torch.optim.Adam(enc.parameters(), lr=3e-3)
    for epoch in range(4):
        for idx in torch.randperm(128).split(32):
            v1 = x[idx] + 0.2 * torch.randn(len(idx), 8)
            v2 = x[idx] + 0.2 * torch.randn(len(idx), 8)
            z = F.normalize(enc(torch.cat([v1, v2])), dim=1)
            sim = (z @ z.T / 0.5).masked_fill(torch.eye(len(z), dtype=torch.bool), float("-inf"))
            n = len(idx)
            labels = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
            loss = F.cross_entropy(sim, labels)
            opt.zero_grad()
            loss.backward()
            opt.step()
    return enc


@correct
def unusual_10():
    """Second-order MAML on sine waves, inner step by torch.func.functional_call."""
    from torch.func import functional_call

    torch.manual_seed(10)
    net = _mlp(1, 20, 1)
    meta = torch.optim.Adam(net.parameters(), lr=3e-3)
    for it in range(15):
        meta.zero_grad()
        tasks = 4
        for _ in range(tasks):
            amp, ph = torch.rand(1) * 2 + 0.5, torch.rand(1) * math.pi
            xs, xq = torch.rand(10, 1) * 6 - 3, torch.rand(10, 1) * 6 - 3
            ys, yq = amp * torch.sin(xs + ph), amp * torch.sin(xq + ph)
            fast = dict(net.named_parameters())
            inner = F.mse_loss(functional_call(net, fast, (xs,)), ys)
            grads = torch.autograd.grad(inner, list(fast.values()), create_graph=True)
            fast = {k: p - 0.05 * g for (k, p), g in zip(fast.items(), grads)}
            outer = F.mse_loss(functional_call(net, fast, (xq,)), yq) / tasks
            outer.backward()
        meta.step()
    return net


@correct
def unusual_11():
    """LBFGS with a closure, full batch."""
    torch.manual_seed(11)
    x = torch.linspace(-2, 2, 80).unsqueeze(1)
    y = torch.tanh(2 * x) + 0.3 * x
    net = nn.Sequential(nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 1))
    opt = torch.optim.LBFGS(net.parameters(), lr=0.8, max_iter=6, line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        loss = F.mse_loss(net(x), y)
        loss.backward()
        return loss

    for epoch in range(6):
        loss = opt.step(closure)
    print(loss.item())
    return net


@correct
def unusual_12():
    """Plain SGD by hand under no_grad, gradients set to None afterwards."""
    torch.manual_seed(12)
    x = torch.randn(200, 4)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]]) + 3 + 0.1 * torch.randn(200, 1)
    w = torch.zeros(4, 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    for epoch in range(6):
        order = np.random.RandomState(epoch).permutation(200)
        for k in range(0, 200, 25):
            i = order[k : k + 25]
            err = x[i] @ w + b - y[i]
            (err**2).mean().backward()
            with torch.no_grad():
                for p in (w, b):
                    p -= 0.05 * p.grad
                    p.grad = None
    print(w.detach().flatten().tolist(), b.item())
    return w, b


@correct
def unusual_13():
    """Sparse embedding and dense head with one optimizer each, both stepped per batch."""
    torch.manual_seed(13)
    emb = nn.Embedding(40, 8, sparse=True)
    head = nn.Linear(8, 2)
    o1 = torch.optim.SparseAdam(list(emb.parameters()), lr=1e-2)
    o2 = torch.optim.SGD(head.parameters(), lr=0.1)
    ids = torch.randint(0, 40, (200, 5))
    y = ((ids < 20).sum(1) > 2).long()
    for epoch in range(5):
        for idx in torch.randperm(200).split(25):
            loss = F.cross_entropy(head(emb(ids[idx]).mean(1)), y[idx])
            for o in (o1, o2):
                o.zero_grad()
            loss.backward()
            for o in (o1, o2):
                o.step()
    return emb, head


@correct
def unusual_14():
    """Frozen backbone kept in eval mode while the new head trains."""
    torch.manual_seed(14)
    x, y = _blobs(160, seed=14)
    backbone = nn.Sequential(nn.Linear(8, 24), nn.BatchNorm1d(24), nn.ReLU())
    for p in backbone.parameters():
        p.requires_grad_(False)
    head = nn.Linear(24, 3)
    model = nn.Sequential(backbone, head)
    opt = torch.optim.Adam(filter(lambda p: p.requires_grad, model.parameters()), lr=1e-2)
    for epoch in range(6):
        model.train()
        backbone.eval()
        for a, b in DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True):
            opt.zero_grad()
            F.cross_entropy(model(a), b).backward()
            opt.step()
    return model


@correct
def unusual_15():
    """Linear warm-up then cosine through LambdaLR, stepped after every batch."""
    torch.manual_seed(15)
    x, y = _blobs(192, seed=15)
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True, drop_last=True)
    model = _mlp(8, 24, 3)
    opt = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.01)
    epochs = 4
    total, warm = epochs * len(loader), 8

    def factor(step):
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))

    sched = torch.optim.lr_scheduler.LambdaLR(opt, factor)
    for epoch in range(epochs):
        for a, b in loader:
            loss = F.cross_entropy(model(a), b, label_smoothing=0.1)
            opt.zero_grad()
            loss.backward()
            opt.step()
            sched.step()
    return model


@correct
def unusual_16():
    """ReduceLROnPlateau fed by the mean validation loss once an epoch."""
    torch.manual_seed(16)
    x = torch.randn(220, 5)
    y = torch.sin(x[:, :1]) + 0.1 * torch.randn(220, 1)
    model = nn.Sequential(nn.Linear(5, 24), nn.ReLU(), nn.Dropout(0.1), nn.Linear(24, 1))
    opt = torch.optim.Adam(model.parameters(), lr=1e-2)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(opt, factor=0.5, patience=1)
    for epoch in range(8):
        model.train()
        for i in torch.randperm(160).split(32):
            opt.zero_grad()
            F.mse_loss(model(x[i]), y[i]).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            val = F.mse_loss(model(x[160:]), y[160:]).item()
        plateau.step(val)
    return model


@correct
def unusual_17():
    """Forecasting on sliding windows: chronological split, scaling from the train part, no shuffling."""

    class Windows(Dataset):
        def __init__(self, series, width):
            self.s, self.w = series, width

        def __len__(self):
            return len(self.s) - self.w

        def __getitem__(self, i):
            return self.s[i : i + self.w], self.s[i + self.w]

    torch.manual_seed(17)
    t = torch.arange(300.0)
    series = torch.sin(t / 8) + 0.05 * torch.randn(300)
    cut = 240
    m, s = series[:cut].mean(), series[:cut].std()
    series = (series - m) / s
    train, test = Windows(series[:cut], 12), Windows(series[cut:], 12)
    net = _mlp(12, 16, 1)
    opt = torch.optim.Adam(net.parameters(), lr=5e-3)
    for epoch in range(5):
        net.train()
        for w, nxt in DataLoader(train, batch_size=32, shuffle=False):
            opt.zero_grad()
            F.mse_loss(net(w).squeeze(-1), nxt).backward()
            opt.step()
    net.eval()
    with torch.no_grad():
        errs = [
            F.l1_loss(net(w).squeeze(-1), n, reduction="sum").item()
            for w, n in DataLoader(test, batch_size=16)
        ]
    print("mae", sum(errs) / len(test) * s.item())
    return net


@correct
def unusual_18():
    """Truncated BPTT language model: state carried over and detached between chunks, reset each epoch."""

    class CharLM(nn.Module):
        def __init__(self, v=6, h=20):
            super().__init__()
            self.emb, self.rnn, self.out = nn.Embedding(v, 8), nn.LSTM(8, h), nn.Linear(h, v)

        def forward(self, t, state):
            o, state = self.rnn(self.emb(t), state)
            return self.out(o), state

    torch.manual_seed(18)
    stream = torch.tensor([0, 1, 2, 3, 4, 5, 3, 1] * 52)
    batchified = stream[:416].view(4, -1).t().contiguous()
    lm = CharLM()
    opt = torch.optim.SGD(lm.parameters(), lr=1.0)
    bptt = 10
    for epoch in range(4):
        state = None
        for i in range(0, batchified.size(0) - 1, bptt):
            n = min(bptt, batchified.size(0) - 1 - i)
            inp, tgt = batchified[i : i + n], batchified[i + 1 : i + 1 + n]
            if state is not None:
                state = tuple(h.detach() for h in state)
            logits, state = lm(inp, state)
            loss = F.cross_entropy(logits.view(-1, 6), tgt.reshape(-1))
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(lm.parameters(), 0.25)
            opt.step()
        print(epoch, math.exp(loss.item()))
    return lm


@correct
def unusual_19():
    """Multi-task network with learned uncertainty weights for a class and a value head."""
    torch.manual_seed(19)
    x, y = _blobs(180, seed=19)
    v = x[:, :2].sum(1)
    trunk = nn.Sequential(nn.Linear(8, 24), nn.ReLU())
    heads = nn.ModuleDict({"cls": nn.Linear(24, 3), "reg": nn.Linear(24, 1)})
    log_var = nn.Parameter(torch.zeros(2))
    opt = torch.optim.Adam([*trunk.parameters(), *heads.parameters(), log_var], lr=5e-3)
    for epoch in range(5):
        for i in torch.randperm(180).split(30):
            h = trunk(x[i])
            parts = torch.stack(
                [
                    F.cross_entropy(heads["cls"](h), y[i]),
                    F.mse_loss(heads["reg"](h).squeeze(1), v[i]),
                ]
            )
            loss = (torch.exp(-log_var) * parts + log_var).sum()
            opt.zero_grad()
            loss.backward()
            opt.step()
    return trunk, heads


@correct
def unusual_20():
    """Knowledge distillation: teacher trained then frozen, student on log-probabilities plus hard labels."""
    torch.manual_seed(20)
    x, y = _blobs(180, seed=20)
    teacher, student = _mlp(8, 48, 3), nn.Linear(8, 3)
    ot = torch.optim.Adam(teacher.parameters(), lr=1e-2)
    for _ in range(15):
        ot.zero_grad()
        F.cross_entropy(teacher(x), y).backward()
        ot.step()
    teacher.eval().requires_grad_(False)
    os_ = torch.optim.Adam(student.parameters(), lr=1e-2)
    T, alpha = 3.0, 0.7
    for epoch in range(5):
        for i in torch.randperm(180).split(30):
            with torch.no_grad():
                tl = teacher(x[i])
            sl = student(x[i])
            soft = (
                F.kl_div(
                    F.log_softmax(sl / T, 1),
                    F.log_softmax(tl / T, 1),
                    reduction="batchmean",
                    log_target=True,
                )
                * T
                * T
            )
            loss = alpha * soft + (1 - alpha) * F.cross_entropy(sl, y[i])
            os_.zero_grad()
            loss.backward()
            os_.step()
    return student


@correct
def unusual_21():
    """Early stopping with a deep copy of the best weights and a reload at the end."""
    torch.manual_seed(21)
    x = torch.randn(200, 12)
    y = x[:, :1] + 0.5 * torch.randn(200, 1)
    net = _mlp(12, 64, 1)
    opt = torch.optim.Adam(net.parameters(), lr=1e-2)
    best, kept, patience, bad = float("inf"), None, 4, 0
    for epoch in range(40):
        net.train()
        for i in torch.randperm(80).split(20):
            opt.zero_grad()
            F.mse_loss(net(x[i]), y[i]).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            val = F.mse_loss(net(x[80:]), y[80:]).item()
        if val < best:
            best, kept, bad = val, copy.deepcopy(net.state_dict()), 0
        else:
            bad += 1
            if bad >= patience:
                break
    net.load_state_dict(kept)
    print("stopped", epoch, "best", best)
    return net


@correct
def unusual_22():
    """Transformer encoder with padding mask, ignore_index in the loss and clipping before the step."""

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(12, 16, padding_idx=0)
            self.pos = nn.Parameter(torch.zeros(1, 10, 16))
            self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
            self.out = nn.Linear(16, 3)

        def forward(self, t):
            h = self.emb(t) + self.pos[:, : t.size(1)]
            return self.out(self.layer(h, src_key_padding_mask=t.eq(0)))

    torch.manual_seed(22)
    toks = torch.randint(1, 12, (96, 10))
    lens = torch.randint(3, 11, (96,))
    toks[torch.arange(10)[None] >= lens[:, None]] = 0
    tags = torch.where(toks == 0, torch.tensor(-100), toks % 3)
    net = Tagger()
    opt = torch.optim.AdamW(net.parameters(), lr=3e-3)
    net.train()
    for epoch in range(4):
        for i in torch.randperm(96).split(24):
            loss = F.cross_entropy(net(toks[i]).flatten(0, 1), tags[i].flatten(), ignore_index=-100)
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), max_norm=1.0)
            opt.step()
    return net


@correct
def unusual_23():
    """zero_grad right after the step, at the end of the iteration, through the model."""

    class Learner:
        def __init__(self, net, lr=0.1):
            self.net, self.opt = net, torch.optim.SGD(net.parameters(), lr=lr)
            self.loss_func = nn.CrossEntropyLoss()

        def one_batch(self, xb, yb):
            loss = self.loss_func(self.net(xb), yb)
            if self.net.training:
                loss.backward()
                self.opt.step()
                self.net.zero_grad()
            return loss.item(), len(xb)

        def one_epoch(self, dl, train):
            self.net.train(train)
            with torch.set_grad_enabled(train):
                stats = [self.one_batch(*b) for b in dl]
            return sum(l * n for l, n in stats) / sum(n for _, n in stats)

        def fit(self, epochs, tr, va):
            return [(self.one_epoch(tr, True), self.one_epoch(va, False)) for _ in range(epochs)]

    torch.manual_seed(23)
    x, y = _blobs(200, seed=23)
    tr = DataLoader(TensorDataset(x[:150], y[:150]), batch_size=25, shuffle=True)
    va = DataLoader(TensorDataset(x[150:], y[150:]), batch_size=50)
    learner = Learner(
        nn.Sequential(
            nn.Linear(8, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, 3)
        )
    )
    print(learner.fit(5, tr, va)[-1])
    return learner.net


@correct
def unusual_24():
    """Purely functional: torch.func.grad_and_value over a parameter dict, momentum kept by hand."""
    from torch.func import functional_call, grad_and_value

    torch.manual_seed(24)
    x, y = _blobs(160, seed=24)
    net = _mlp(8, 20, 3)
    params = {k: v.detach().clone() for k, v in net.named_parameters()}
    velocity = {k: torch.zeros_like(v) for k, v in params.items()}

    def objective(p, a, b):
        return F.cross_entropy(functional_call(net, p, (a,)), b)

    step_fn = grad_and_value(objective)
    for epoch in range(5):
        for i in torch.randperm(160).split(32):
            grads, loss = step_fn(params, x[i], y[i])
            velocity = {k: 0.9 * velocity[k] + grads[k] for k in params}
            params = {k: params[k] - 0.03 * velocity[k] for k in params}
    print(loss.item())
    return params


@correct
def unusual_25():
    """nanoGPT-like: get_batch with random offsets, no DataLoader, weight decay groups, estimate_loss."""

    class Tiny(nn.Module):
        def __init__(self, v=10, c=16, block=8):
            super().__init__()
            self.wte, self.wpe = nn.Embedding(v, c), nn.Embedding(block, c)
            self.ln = nn.LayerNorm(c)
            self.qkv, self.proj, self.head = (
                nn.Linear(c, 3 * c),
                nn.Linear(c, c),
                nn.Linear(c, v, bias=False),
            )

        def forward(self, idx, targets=None):
            h = self.wte(idx) + self.wpe(torch.arange(idx.size(1)))
            q, k, v = self.qkv(self.ln(h)).chunk(3, -1)
            h = h + self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True))
            logits = self.head(h)
            if targets is None:
                return logits, None
            return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))

    torch.manual_seed(25)
    text = torch.tensor([(i * i + i // 3) % 10 for i in range(600)])
    splits = {"train": text[:500], "val": text[500:]}

    def get_batch(split, bs=16, block=8):
        d = splits[split]
        at = torch.randint(len(d) - block, (bs,))
        return torch.stack([d[i : i + block] for i in at]), torch.stack(
            [d[i + 1 : i + 1 + block] for i in at]
        )

    model = Tiny()
    decay = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    opt = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
        lr=5e-3,
        betas=(0.9, 0.95),
    )

    @torch.no_grad()
    def estimate_loss():
        model.eval()
        out = {s: sum(model(*get_batch(s))[1].item() for _ in range(3)) / 3 for s in splits}
        model.train()
        return out

    for it in range(50):
        if it % 25 == 0:
            print(it, estimate_loss())
        _, loss = model(*get_batch("train"))
        opt.zero_grad(set_to_none=True)
        loss.backward()
        opt.step()
    return model


@correct
def unusual_26():
    """Multi-label with BCEWithLogits, pos_weight from train rows, micro F1 counted by hand."""
    torch.manual_seed(26)
    x = torch.randn(240, 10)
    y = (x[:, :4] + 0.3 * torch.randn(240, 4) > 0.6).float()
    xt, yt, xv, yv = x[:180], y[:180], x[180:], y[180:]
    pos = yt.sum(0)
    crit = nn.BCEWithLogitsLoss(pos_weight=(len(yt) - pos) / pos)
    net = _mlp(10, 32, 4)
    opt = torch.optim.RMSprop(net.parameters(), lr=3e-3)
    for epoch in range(6):
        net.train()
        for i in torch.randperm(180).split(30):
            opt.zero_grad()
            crit(net(xt[i]), yt[i]).backward()
            opt.step()
        net.eval()
        tp = fp = fn = 0
        with torch.no_grad():
            for a, b in zip(xv.split(20), yv.split(20)):
                p = net(a) > 0
                t = b.bool()
                tp += (p & t).sum().item()
                fp += (p & ~t).sum().item()
                fn += (~p & t).sum().item()
        print(epoch, "f1", 2 * tp / max(1, 2 * tp + fp + fn))
    return net


@correct
def unusual_27():
    """Five-fold cross-validation with a fresh model, optimizer and scaling in each fold."""
    torch.manual_seed(27)
    x, y = _blobs(150, seed=27)
    folds = torch.randperm(150).chunk(5)
    scores = []
    for k in range(5):
        te = folds[k]
        tr = torch.cat([folds[j] for j in range(5) if j != k])
        mu, sd = x[tr].mean(0), x[tr].std(0)
        z = (x - mu) / sd
        loader = DataLoader(Subset(TensorDataset(z, y), tr.tolist()), batch_size=24, shuffle=True)
        net = _mlp(8, 16, 3)
        opt = torch.optim.Adam(net.parameters(), lr=1e-2)
        for epoch in range(3):
            for a, b in loader:
                opt.zero_grad()
                F.cross_entropy(net(a), b).backward()
                opt.step()
        net.eval()
        with torch.no_grad():
            scores.append((net(z[te]).argmax(1) == y[te]).float().mean().item())
    print(scores)
    return scores


@correct
def unusual_28():
    """Fine-tuning with a small rate below and a larger one on top; backbone unfrozen later via add_param_group."""
    torch.manual_seed(28)
    x, y = _blobs(160, seed=28)
    body = nn.Sequential(nn.Linear(8, 24), nn.ReLU())
    head = nn.Linear(24, 3)
    body.requires_grad_(False)
    opt = torch.optim.SGD([{"params": head.parameters(), "lr": 0.1}], lr=0.1, momentum=0.9)
    for epoch in range(6):
        if epoch == 3:
            body.requires_grad_(True)
            opt.add_param_group({"params": body.parameters(), "lr": 0.01})
        for i in torch.randperm(160).split(32):
            opt.zero_grad()
            F.cross_entropy(head(body(x[i])), y[i]).backward()
            opt.step()
    return body, head


@correct
def unusual_29():
    """WGAN-GP: five critic steps per generator step, gradient penalty with create_graph."""
    torch.manual_seed(29)
    G, C = _mlp(2, 16, 2), _mlp(2, 16, 1)
    og = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.0, 0.9))
    oc = torch.optim.Adam(C.parameters(), lr=1e-3, betas=(0.0, 0.9))
    for it in range(20):
        C.requires_grad_(True)
        for _ in range(5):
            real = torch.randn(24, 2) * 0.5 + 1
            with torch.no_grad():
                fake = G(torch.randn(24, 2))
            e = torch.rand(24, 1)
            mix = (e * real + (1 - e) * fake).requires_grad_(True)
            (g,) = torch.autograd.grad(C(mix).sum(), mix, create_graph=True)
            loss = C(fake).mean() - C(real).mean() + 10 * ((g.norm(2, dim=1) - 1) ** 2).mean()
            oc.zero_grad()
            loss.backward()
            oc.step()
        C.requires_grad_(False)
        og.zero_grad()
        (-C(G(torch.randn(24, 2))).mean()).backward()
        og.step()
    return G


@correct
def unusual_30():
    """Segmentation: cross-entropy plus soft Dice on (N, C, H, W), OneCycleLR per batch, pooled IoU by hand."""
    torch.manual_seed(30)
    img = F.avg_pool2d(torch.randn(48, 1, 8, 8), 3, 1, 1)
    mask = (img[:, 0] > 0).long()
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 2, 1)
    )
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(img[:36], mask[:36]), batch_size=9, shuffle=True)
    epochs = 6
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        opt, max_lr=2e-2, epochs=epochs, steps_per_epoch=len(loader)
    )
    for epoch in range(epochs):
        net.train()
        for a, m in loader:
            out = net(a)
            p = out.softmax(1)[:, 1]
            t = m.float()
            dice = 1 - (2 * (p * t).sum((1, 2)) + 1) / (p.sum((1, 2)) + t.sum((1, 2)) + 1)
            loss = F.cross_entropy(out, m) + dice.mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            cycle.step()
        net.eval()
        with torch.no_grad():
            q, t = net(img[36:]).argmax(1).bool(), mask[36:].bool()
            iou = (q & t).sum().item() / max(1, (q | t).sum().item())
    print("iou", iou)
    return net
