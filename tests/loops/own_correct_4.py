"""Correct loops as public training programs write them, from nanoGPT and DCGAN to SAM and MAML."""

import copy
import math
import random
from collections import deque

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.autograd import Variable
from torch.distributions import Categorical
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, TensorDataset

from . import correct


def pts(n=300, c=3):
    torch.manual_seed(0)
    X = torch.randn(n, 6)
    return X, X[:, :c].argmax(1)


def net(o=3, i=6):
    return nn.Sequential(nn.Linear(i, 16), nn.ReLU(), nn.Linear(16, o))


def lds(b=20):
    X, y = pts()
    return DataLoader(TensorDataset(X[:200], y[:200]), b, shuffle=True), DataLoader(
        TensorDataset(X[200:], y[200:]), b
    )


class Block(nn.Module):
    def __init__(s, d, h, drop=0.1):
        super().__init__()
        s.ln1 = nn.LayerNorm(d)
        s.ln2 = nn.LayerNorm(d)
        s.qkv = nn.Linear(d, 3 * d)
        s.p = nn.Linear(d, d)
        s.h = h
        s.drop = drop
        s.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d), nn.Dropout(drop))

    def forward(s, x):
        B, T, C = x.shape
        q, k, v = s.qkv(s.ln1(x)).split(C, 2)
        q, k, v = [t.view(B, T, s.h, C // s.h).transpose(1, 2) for t in (q, k, v)]
        a = (
            F.scaled_dot_product_attention(
                q, k, v, dropout_p=s.drop if s.training else 0, is_causal=True
            )
            .transpose(1, 2)
            .contiguous()
            .view(B, T, C)
        )
        x = x + s.p(a)
        return x + s.mlp(s.ln2(x))


class GPT(nn.Module):
    def __init__(s, V=12, T=16, d=16):
        super().__init__()
        s.T = T
        s.e = nn.Embedding(V, d)
        s.pe = nn.Embedding(T, d)
        s.b = nn.ModuleList([Block(d, 2) for _ in range(2)])
        s.ln = nn.LayerNorm(d)
        s.head = nn.Linear(d, V, bias=False)
        s.e.weight = s.head.weight

    def forward(s, i, t=None):
        x = s.e(i) + s.pe(torch.arange(i.shape[1]))
        for b in s.b:
            x = b(x)
        x = s.ln(x)
        if t is None:
            return s.head(x[:, [-1], :]), None
        l = s.head(x)
        return l, F.cross_entropy(l.view(-1, l.size(-1)), t.view(-1), ignore_index=-1)

    @torch.no_grad()
    def generate(s, i, n):
        for _ in range(n):
            l, _ = s(i[:, -s.T :])
            i = torch.cat((i, torch.multinomial(F.softmax(l[:, -1], -1), 1)), 1)
        return i


def text(n=2000):
    torch.manual_seed(1)
    t = [0]
    r = random.Random(0)
    for _ in range(n):
        t.append((t[-1] * 2 + r.randrange(3)) % 12)
    return torch.tensor(t)


@correct
def nanogpt():
    d = text()
    tr, va = d[:1800], d[1800:]
    m = GPT()
    dec = [p for p in m.parameters() if p.dim() >= 2]
    no = [p for p in m.parameters() if p.dim() < 2]
    o = optim.AdamW(
        [{"params": dec, "weight_decay": 0.1}, {"params": no, "weight_decay": 0.0}],
        lr=1e-3,
        betas=(0.9, 0.95),
    )

    def gb(s):
        x = tr if s == "t" else va
        ix = torch.randint(len(x) - 16, (8,))
        return torch.stack([x[i : i + 16] for i in ix]), torch.stack(
            [x[i + 1 : i + 17] for i in ix]
        )

    @torch.no_grad()
    def est():
        m.eval()
        out = {}
        for s in "tv":
            L = torch.zeros(5)
            for k in range(5):
                x, y = gb(s)
                L[k] = m(x, y)[1].item()
            out[s] = L.mean()
        m.train()
        return out

    def lr(i):
        return (
            1e-3 * (i + 1) / 11
            if i < 10
            else 1e-4 + 0.5 * (1 + math.cos(math.pi * (i - 10) / 50)) * 9e-4
        )

    x, y = gb("t")
    for it in range(60):
        for g in o.param_groups:
            g["lr"] = lr(it)
        if it % 20 == 0:
            print(est())
        for ms in range(4):
            _, l = m(x, y)
            l = l / 4
            x, y = gb("t")
            l.backward()
        nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        o.step()
        o.zero_grad(set_to_none=True)
    m.eval()
    m.generate(torch.zeros(1, 1, dtype=torch.long), 20)


@correct
def mingpt_trainer():
    d = text(400)

    class DS(Dataset):
        def __len__(s):
            return len(d) - 17

        def __getitem__(s, i):
            return d[i : i + 16], d[i + 1 : i + 17]

    class Tr:
        def __init__(s, m, ds):
            s.m, s.ds, s.cb = m, ds, []

        def run(s):
            s.o = optim.AdamW(s.m.parameters(), 3e-4)
            s.m.train()
            dl = DataLoader(
                s.ds,
                sampler=RandomSampler(s.ds, replacement=True, num_samples=int(1e10)),
                shuffle=False,
                batch_size=8,
            )
            it = iter(dl)
            n = 0
            while True:
                try:
                    b = next(it)
                except StopIteration:
                    it = iter(dl)
                    b = next(it)
                x, y = [t.to("cpu") for t in b]
                _, s.loss = s.m(x, y)
                s.m.zero_grad(set_to_none=True)
                s.loss.backward()
                nn.utils.clip_grad_norm_(s.m.parameters(), 1.0)
                s.o.step()
                n += 1
                if n % 20 == 0:
                    s.m.eval()
                    s.m.generate(torch.zeros(1, 1, dtype=torch.long), 5)
                    s.m.train()
                if n >= 50:
                    break

    m = GPT()
    Tr(m, DS()).run()


@correct
def word_lm():
    d = text()
    bs = 10
    bptt = 12

    def bf(x):
        n = x.size(0) // bs
        return x.narrow(0, 0, n * bs).view(bs, -1).t().contiguous()

    tr, va = bf(d[:1600]), bf(d[1600:])

    class R(nn.Module):
        def __init__(s):
            super().__init__()
            s.drop = nn.Dropout(0.2)
            s.enc = nn.Embedding(12, 16)
            s.rnn = nn.LSTM(16, 16, 2, dropout=0.2)
            s.dec = nn.Linear(16, 12)
            nn.init.uniform_(s.enc.weight, -0.1, 0.1)
            nn.init.zeros_(s.dec.bias)

        def forward(s, x, h):
            o, h = s.rnn(s.drop(s.enc(x)), h)
            return F.log_softmax(s.dec(s.drop(o)).view(-1, 12), 1), h

        def ih(s, b):
            w = next(s.parameters())
            return w.new_zeros(2, b, 16), w.new_zeros(2, b, 16)

    def rp(h):
        return h.detach() if isinstance(h, torch.Tensor) else tuple(rp(v) for v in h)

    def gb(s, i):
        n = min(bptt, len(s) - 1 - i)
        return s[i : i + n], s[i + 1 : i + 1 + n].view(-1)

    m = R()
    c = nn.NLLLoss()
    lr = 5.0
    best = None

    def ev(s):
        m.eval()
        t = 0.0
        h = m.ih(bs)
        with torch.no_grad():
            for i in range(0, s.size(0) - 1, bptt):
                x, y = gb(s, i)
                o, h = m(x, h)
                h = rp(h)
                t += len(x) * c(o, y).item()
        return t / (len(s) - 1)

    for e in range(3):
        m.train()
        h = m.ih(bs)
        tot = 0.0
        for b, i in enumerate(range(0, tr.size(0) - 1, bptt)):
            x, y = gb(tr, i)
            m.zero_grad()
            h = rp(h)
            o, h = m(x, h)
            l = c(o, y)
            l.backward()
            nn.utils.clip_grad_norm_(m.parameters(), 0.25)
            for p in m.parameters():
                p.data.add_(p.grad, alpha=-lr)
            tot += l.item()
        v = ev(va)
        if not best or v < best:
            best = v
        else:
            lr /= 4.0


@correct
def dcgan():
    torch.manual_seed(0)
    I = torch.randn(64, 1, 8, 8).tanh()
    dl = DataLoader(TensorDataset(I), 16, shuffle=True)
    G = nn.Sequential(
        nn.ConvTranspose2d(8, 16, 4, 1, 0, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(True),
        nn.ConvTranspose2d(16, 1, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    D = nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(16, 1, 4, 1, 0, bias=False),
        nn.Sigmoid(),
    )

    def w(m):
        if "Conv" in m.__class__.__name__:
            nn.init.normal_(m.weight.data, 0, 0.02)
        elif "BatchNorm" in m.__class__.__name__:
            nn.init.normal_(m.weight.data, 1, 0.02)
            nn.init.constant_(m.bias.data, 0)

    G.apply(w)
    D.apply(w)
    fixed = torch.randn(8, 8, 1, 1)
    c = nn.BCELoss()
    oD = optim.Adam(D.parameters(), 2e-4, betas=(0.5, 0.999))
    oG = optim.Adam(G.parameters(), 2e-4, betas=(0.5, 0.999))
    il = []
    for e in range(4):
        for i, data in enumerate(dl, 0):
            D.zero_grad()
            r = data[0]
            b = r.size(0)
            lab = torch.full((b,), 1.0)
            o = D(r).view(-1)
            eD = c(o, lab)
            eD.backward()
            f = G(torch.randn(b, 8, 1, 1))
            lab.fill_(0.0)
            o = D(f.detach()).view(-1)
            eF = c(o, lab)
            eF.backward()
            oD.step()
            G.zero_grad()
            lab.fill_(1.0)
            o = D(f).view(-1)
            eG = c(o, lab)
            eG.backward()
            oG.step()
            if i % 3 == 0:
                with torch.no_grad():
                    il.append(G(fixed).detach().cpu())


@correct
def dqn_pytorch_tutorial():
    torch.manual_seed(0)
    P = net(2, 4)
    T = net(2, 4)
    T.load_state_dict(P.state_dict())
    o = optim.AdamW(P.parameters(), 1e-3, amsgrad=True)
    mem = deque(maxlen=500)
    r = random.Random(0)
    s = torch.zeros(1, 4)
    for t in range(150):
        if r.random() > 0.3:
            with torch.no_grad():
                a = P(s).max(1).indices.view(1, 1)
        else:
            a = torch.tensor([[r.randrange(2)]])
        ns = s * 0.9 + torch.randn(1, 4) * 0.3 + (a.item() * 2 - 1) * 0.1
        rew = torch.tensor([float(ns[0, 0])])
        done = r.random() < 0.1
        mem.append((s, a, None if done else ns, rew))
        s = torch.zeros(1, 4) if done else ns
        if len(mem) < 32:
            continue
        b = r.sample(list(mem), 32)
        sb, ab, nb, rb = zip(*b)
        mask = torch.tensor([x is not None for x in nb])
        nf = torch.cat([x for x in nb if x is not None])
        q = P(torch.cat(sb)).gather(1, torch.cat(ab))
        nv = torch.zeros(32)
        with torch.no_grad():
            nv[mask] = T(nf).max(1).values
        l = nn.SmoothL1Loss()(q, (nv * 0.99 + torch.cat(rb)).unsqueeze(1))
        o.zero_grad()
        l.backward()
        nn.utils.clip_grad_value_(P.parameters(), 100)
        o.step()
        td, pd = T.state_dict(), P.state_dict()
        for k in pd:
            td[k] = pd[k] * 0.005 + td[k] * 0.995
        T.load_state_dict(td)


@correct
def reinforce_old():
    torch.manual_seed(0)
    p = nn.Sequential(
        nn.Linear(4, 16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 2), nn.Softmax(dim=1)
    )
    o = optim.Adam(p.parameters(), 1e-2)
    eps = np.finfo(np.float32).eps.item()
    for ep in range(25):
        s = torch.randn(4)
        lp = []
        R = []
        for t in range(12):
            m = Categorical(p(s.float().unsqueeze(0)))
            a = m.sample()
            lp.append(m.log_prob(a))
            R.append(float(a.item() == int(s[0] > 0)))
            s = torch.randn(4)
        G = 0
        ret = deque()
        for r in R[::-1]:
            G = r + 0.9 * G
            ret.appendleft(G)
        ret = torch.tensor(ret)
        ret = (ret - ret.mean()) / (ret.std() + eps)
        l = [-a * b for a, b in zip(lp, ret)]
        o.zero_grad()
        l = torch.cat(l).sum()
        l.backward()
        o.step()


@correct
def ppo_cleanrl():
    torch.manual_seed(0)
    act = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))
    cr = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    o = optim.Adam([*act.parameters(), *cr.parameters()], lr=2.5e-4, eps=1e-5)
    for up in range(1, 7):
        o.param_groups[0]["lr"] = (1 - (up - 1) / 6) * 2.5e-4
        S = torch.randn(64, 4)
        with torch.no_grad():
            d = Categorical(logits=act(S))
            A = d.sample()
            LP = d.log_prob(A)
            V = cr(S).flatten()
        rew = (A == (S[:, 0] > 0).long()).float()
        adv = rew - V
        ret = rew
        idx = np.arange(64)
        for ep in range(3):
            np.random.shuffle(idx)
            for st in range(0, 64, 16):
                mb = idx[st : st + 16]
                d = Categorical(logits=act(S[mb]))
                nl = d.log_prob(A[mb])
                ent = d.entropy()
                v = cr(S[mb]).view(-1)
                ratio = (nl - LP[mb]).exp()
                a = adv[mb]
                a = (a - a.mean()) / (a.std() + 1e-8)
                pg = torch.max(-a * ratio, -a * torch.clamp(ratio, 0.8, 1.2)).mean()
                vu = (v - ret[mb]) ** 2
                vc = V[mb] + torch.clamp(v - V[mb], -0.2, 0.2)
                vl = 0.5 * torch.max(vu, (vc - ret[mb]) ** 2).mean()
                l = pg - 0.01 * ent.mean() + vl * 0.5
                o.zero_grad()
                l.backward()
                nn.utils.clip_grad_norm_([*act.parameters(), *cr.parameters()], 0.5)
                o.step()


@correct
def vae_example():
    torch.manual_seed(0)
    X = torch.rand(200, 20)
    tr = DataLoader(TensorDataset(X[:160]), 32, shuffle=True)
    te = DataLoader(TensorDataset(X[160:]), 32)

    class V(nn.Module):
        def __init__(s):
            super().__init__()
            s.a = nn.Linear(20, 16)
            s.m = nn.Linear(16, 2)
            s.v = nn.Linear(16, 2)
            s.b = nn.Linear(2, 16)
            s.c = nn.Linear(16, 20)

        def forward(s, x):
            h = F.relu(s.a(x))
            m, v = s.m(h), s.v(h)
            z = m + torch.randn_like(v) * torch.exp(0.5 * v)
            return torch.sigmoid(s.c(F.relu(s.b(z)))), m, v

    m = V()
    o = optim.Adam(m.parameters(), 1e-3)

    def lf(r, x, mu, lv):
        return F.binary_cross_entropy(r, x.view(-1, 20), reduction="sum") - 0.5 * torch.sum(
            1 + lv - mu.pow(2) - lv.exp()
        )

    for e in range(3):
        m.train()
        t = 0
        for i, (d,) in enumerate(tr):
            o.zero_grad()
            l = lf(*[(r := m(d))[0]], d, *r[1:])
            l.backward()
            t += l.item()
            o.step()
        print(t / len(tr.dataset))
        m.eval()
        t = 0
        with torch.no_grad():
            for i, (d,) in enumerate(te):
                r, mu, lv = m(d)
                t += lf(r, d, mu, lv).item()
        t /= len(te.dataset)
        with torch.no_grad():
            m.c(F.relu(m.b(torch.randn(16, 2))))


@correct
def super_resolution():
    torch.manual_seed(0)
    H = torch.rand(40, 1, 8, 8)
    Lo = F.avg_pool2d(H, 2)
    m = nn.Sequential(
        nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 4, 3, 1, 1), nn.PixelShuffle(2)
    )
    o = optim.Adam(m.parameters(), 1e-3)
    c = nn.MSELoss()
    tr = DataLoader(TensorDataset(Lo[:32], H[:32]), 8, shuffle=True)
    te = DataLoader(TensorDataset(Lo[32:], H[32:]), 4)
    for e in range(3):
        el = 0
        for it, b in enumerate(tr, 1):
            i, t = b[0], b[1]
            o.zero_grad()
            l = c(m(i), t)
            el += l.item()
            l.backward()
            o.step()
        print(el / len(tr))
        ap = 0
        with torch.no_grad():
            for b in te:
                p = m(b[0])
                ms = c(p, b[1])
                ap += 10 * math.log10(1 / ms.item())
        print(ap / len(te))


@correct
def siamese():
    X, y = pts()
    m = net(4)
    o = optim.Adadelta(m.parameters(), lr=1.0)
    r = np.random.default_rng(0)
    for t in range(50):
        a = r.integers(0, 200, 16)
        b = r.integers(0, 200, 16)
        lab = (y[a] == y[b]).float()
        d = F.pairwise_distance(m(X[a]), m(X[b]))
        l = torch.mean(lab * d.pow(2) + (1 - lab) * torch.clamp(1 - d, min=0).pow(2))
        o.zero_grad()
        l.backward()
        o.step()
    m.eval()
    with torch.no_grad():
        e = m(X[200:])
        nn_ = torch.cdist(e, m(X[:200])).argmin(1)
        print((y[:200][nn_] == y[200:]).float().mean())


@correct
def triplet_batch_hard():
    X, y = pts()
    m = net(4)
    o = optim.Adam(m.parameters(), 1e-2)
    for t in range(40):
        i = torch.randint(200, (24,))
        e = F.normalize(m(X[i]))
        d = torch.cdist(e, e)
        same = y[i].unsqueeze(1) == y[i].unsqueeze(0)
        ap = (d * same).max(1)[0]
        an = (d + 10 * same).min(1)[0]
        l = F.relu(ap - an + 0.2).mean()
        o.zero_grad()
        l.backward()
        o.step()


@correct
def time_series_test_in_order():
    t = torch.arange(500.0)
    s = 0.01 * t + torch.sin(t / 5)
    n = 400
    mu, sd = s[:n].mean(), s[:n].std()
    z = (s - mu) / sd
    X = z.unfold(0, 12, 1)[:-1]
    Y = z[12:]

    class L(nn.Module):
        def __init__(s):
            super().__init__()
            s.l = nn.LSTM(1, 24, batch_first=True)
            s.f = nn.Linear(24, 1)

        def forward(s, x):
            o, _ = s.l(x)
            return s.f(o[:, -1, :]).squeeze(-1)

    m = L()
    o = optim.Adam(m.parameters(), lr=5e-3)
    tr = DataLoader(TensorDataset(X[:380].unsqueeze(2), Y[:380]), 32, shuffle=False)
    Xt, Yt = X[388:].unsqueeze(2), Y[388:]
    for e in range(6):
        m.train()
        for a, b in tr:
            p = m(a)
            l = F.mse_loss(p, b)
            o.zero_grad()
            l.backward()
            o.step()
        m.eval()
        with torch.no_grad():
            print(torch.sqrt(F.mse_loss(m(Xt), Yt)).item())


@correct
def stock_full_batch_sgd_trend():
    t = torch.arange(200.0)
    s = torch.exp(t / 60)
    X = (t / 200).unsqueeze(1)
    y = s.unsqueeze(1)
    w = nn.Linear(1, 1)
    o = optim.SGD(w.parameters(), lr=0.05)
    for i in range(60):
        for j in range(0, 200, 20):
            o.zero_grad()
            F.mse_loss(w(X[j : j + 20]), y[j : j + 20]).backward()
            o.step()


@correct
def streaming_one_pass_growing():
    torch.manual_seed(0)

    class S(IterableDataset):
        def __iter__(s):
            for i in range(1200):
                x = torch.randn(6)
                yield x, (x[:2].sum() * (1 + i / 150)).reshape(1)

    m = net(1)
    o = optim.Adam(m.parameters(), lr=1e-3)
    for xb, yb in DataLoader(S(), batch_size=16):
        o.zero_grad()
        F.mse_loss(m(xb), yb).backward()
        o.step()


@correct
def maml_higher_style():
    torch.manual_seed(0)
    m = nn.Sequential(nn.Linear(1, 20), nn.ReLU(), nn.Linear(20, 1))
    o = optim.Adam(m.parameters(), 1e-3)
    for it in range(15):
        o.zero_grad()
        tot = 0
        for task in range(3):
            a, ph = torch.rand(1) * 4 + 1, torch.rand(1) * 3
            xs = torch.rand(10, 1) * 10 - 5
            xq = torch.rand(10, 1) * 10 - 5
            f = dict(m.named_parameters())
            for _ in range(2):
                l = F.mse_loss(torch.func.functional_call(m, f, (xs,)), a * torch.sin(xs + ph))
                g = torch.autograd.grad(l, f.values(), create_graph=True)
                f = {k: p - 0.01 * q for (k, p), q in zip(f.items(), g)}
            tot = tot + F.mse_loss(torch.func.functional_call(m, f, (xq,)), a * torch.sin(xq + ph))
        (tot / 3).backward()
        o.step()


@correct
def reptile():
    torch.manual_seed(0)
    m = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1))
    for it in range(12):
        before = copy.deepcopy(m.state_dict())
        a = torch.rand(1) * 4
        x = torch.rand(20, 1) * 10 - 5
        y = a * torch.sin(x)
        for _ in range(5):
            m.zero_grad()
            F.mse_loss(m(x), y).backward()
            for p in m.parameters():
                p.data -= 0.02 * p.grad.data
        after = m.state_dict()
        st = 0.1 * (1 - it / 12)
        m.load_state_dict({k: before[k] + (after[k] - before[k]) * st for k in before})


@correct
def snapshot_ensemble():
    tr, va = lds()
    m = net()
    o = optim.SGD(m.parameters(), lr=0.2, momentum=0.9)
    snaps = []
    T = 20
    n = 0
    for e in range(6):
        m.train()
        for x, y in tr:
            for g in o.param_groups:
                g["lr"] = 0.1 * (math.cos(math.pi * (n % T) / T) + 1)
            o.zero_grad()
            F.cross_entropy(m(x), y).backward()
            o.step()
            n += 1
        if n % T == 0:
            snaps.append(copy.deepcopy(m.state_dict()))
    e = [net() for _ in snaps]
    for q, s in zip(e, snaps):
        q.load_state_dict(s)
        q.eval()
    c = 0
    with torch.no_grad():
        for x, y in va:
            c += (sum(F.softmax(q(x), 1) for q in e).argmax(1) == y).sum().item()
    print(c / len(va.dataset))


@correct
def variable_era():
    tr, va = lds()
    m = nn.Sequential(net(), nn.LogSoftmax(dim=1))
    o = optim.SGD(m.parameters(), lr=0.1, momentum=0.5)
    for ep in range(1, 4):
        m.train()
        for i, (d, t) in enumerate(tr):
            d, t = Variable(d), Variable(t)
            o.zero_grad()
            out = m(d)
            l = F.nll_loss(out, t)
            l.backward()
            o.step()
        m.eval()
        tl = 0
        c = 0
        with torch.no_grad():
            for d, t in va:
                out = m(Variable(d))
                tl += F.nll_loss(out, t, size_average=False).data
                p = out.data.max(1, keepdim=True)[1]
                c += p.eq(t.data.view_as(p)).cpu().sum()
        tl /= len(va.dataset)
        print(tl, 100.0 * c / len(va.dataset))


@correct
def imagenet_meters():
    class M:
        def __init__(s):
            s.val = s.avg = s.sum = s.count = 0

        def update(s, v, n=1):
            s.val = v
            s.sum += v * n
            s.count += n
            s.avg = s.sum / s.count

    def acc(o, t, topk=(1,)):
        with torch.no_grad():
            mk = max(topk)
            bs = t.size(0)
            _, p = o.topk(mk, 1, True, True)
            p = p.t()
            c = p.eq(t.view(1, -1).expand_as(p))
            return [c[:k].reshape(-1).float().sum(0, keepdim=True).mul_(100.0 / bs) for k in topk]

    tr, va = lds(24)
    m = net()
    cr = nn.CrossEntropyLoss()
    o = optim.SGD(m.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    s = optim.lr_scheduler.StepLR(o, 30, 0.1)
    best = 0
    for e in range(3):
        L, A = M(), M()
        m.train()
        for i, (x, y) in enumerate(tr):
            out = m(x)
            l = cr(out, y)
            a1, _ = acc(out, y, (1, 2))
            L.update(l.item(), x.size(0))
            A.update(a1[0], x.size(0))
            o.zero_grad()
            l.backward()
            o.step()
        L, A = M(), M()
        m.eval()
        with torch.no_grad():
            for i, (x, y) in enumerate(va):
                out = m(x)
                l = cr(out, y)
                a1, _ = acc(out, y, (1, 2))
                L.update(l.item(), x.size(0))
                A.update(a1[0], x.size(0))
        s.step()
        best = max(A.avg, best)


@correct
def lookahead_super_init():
    class La(optim.Optimizer):
        def __init__(s, b, k=5, a=0.5):
            s.b = b
            s.k = k
            s.a = a
            super().__init__(b.param_groups, {"lr": b.param_groups[0]["lr"]})
            s.param_groups = b.param_groups
            s.slow = [[p.clone().detach() for p in g["params"]] for g in b.param_groups]
            s.n = 0

        def step(s, closure=None):
            l = s.b.step(closure)
            s.n += 1
            if s.n % s.k == 0:
                for g, sl in zip(s.param_groups, s.slow):
                    for p, q in zip(g["params"], sl):
                        q.add_(s.a * (p.data - q))
                        p.data.copy_(q)
            return l

    tr, va = lds()
    m = net()
    o = La(optim.Adam(m.parameters(), 1e-2))
    s = optim.lr_scheduler.CosineAnnealingLR(o, 3)
    for e in range(3):
        for x, y in tr:
            o.zero_grad()
            F.cross_entropy(m(x), y).backward()
            o.step()
        s.step()


@correct
def sam_davda():
    class SAM(optim.Optimizer):
        def __init__(s, ps, base, rho=0.05, **kw):
            super().__init__(ps, dict(rho=rho, **kw))
            s.base = base(s.param_groups, **kw)
            s.param_groups = s.base.param_groups
            s.defaults.update(s.base.defaults)

        @torch.no_grad()
        def first_step(s, zero_grad=False):
            n = torch.norm(
                torch.stack(
                    [
                        p.grad.norm(p=2)
                        for g in s.param_groups
                        for p in g["params"]
                        if p.grad is not None
                    ]
                ),
                p=2,
            )
            for g in s.param_groups:
                sc = g["rho"] / (n + 1e-12)
                for p in g["params"]:
                    if p.grad is None:
                        continue
                    s.state[p]["old"] = p.data.clone()
                    p.add_(p.grad * sc.to(p))
            if zero_grad:
                s.zero_grad()

        @torch.no_grad()
        def second_step(s, zero_grad=False):
            for g in s.param_groups:
                for p in g["params"]:
                    if p.grad is not None:
                        p.data = s.state[p]["old"]
            s.base.step()
            if zero_grad:
                s.zero_grad()

    tr, va = lds()
    m = net()
    o = SAM(m.parameters(), optim.SGD, lr=0.1, momentum=0.9)
    for e in range(3):
        for x, y in tr:
            F.cross_entropy(m(x), y).backward()
            o.first_step(True)
            F.cross_entropy(m(x), y).backward()
            o.second_step(True)


@correct
def larc_noam_wrapper():
    class Noam:
        def __init__(s, o):
            s.o = o
            s.n = 0

        def step(s):
            s.n += 1
            r = 0.1 * min(s.n**-0.5, s.n * 10**-1.5)
            for p in s.o.param_groups:
                p["lr"] = r
            s.o.step()

        def zero_grad(s):
            s.o.zero_grad()

    tr, va = lds()
    m = net()
    o = Noam(optim.Adam(m.parameters(), lr=0, betas=(0.9, 0.98), eps=1e-9))
    for e in range(3):
        for x, y in tr:
            l = F.cross_entropy(m(x), y)
            l.backward()
            o.step()
            o.zero_grad()


@correct
def kfold_fresh_sklearn_style():
    X, y = pts()
    idx = np.random.default_rng(0).permutation(300)
    sc = []
    for f in np.array_split(idx, 4):
        tr = np.setdiff1d(idx, f)
        m = net()
        o = optim.Adam(m.parameters(), 1e-2)
        for e in range(5):
            m.train()
            for b in np.array_split(np.random.permutation(tr), 8):
                o.zero_grad()
                F.cross_entropy(m(X[b]), y[b]).backward()
                o.step()
        m.eval()
        with torch.no_grad():
            sc.append((m(X[f]).argmax(-1) == y[f]).float().mean().item())
    print(np.mean(sc))


@correct
def simclr():
    X, _ = pts()
    m = net(8)
    o = optim.Adam(m.parameters(), 1e-3)
    dl = DataLoader(TensorDataset(X), 32, shuffle=True, drop_last=True)
    for e in range(4):
        for (x,) in dl:
            z = F.normalize(
                torch.cat([m(x + 0.1 * torch.randn_like(x)), m(x + 0.1 * torch.randn_like(x))])
            )
            s = z @ z.t() / 0.5
            s.fill_diagonal_(-1e9)
            n = len(x)
            t = torch.arange(2 * n).roll(n)
            l = F.cross_entropy(s, t)
            o.zero_grad()
            l.backward()
            o.step()


@correct
def clip_symmetric():
    X, _ = pts()
    a, b = net(8), net(8)
    t = nn.Parameter(torch.tensor(2.6))
    o = optim.AdamW([*a.parameters(), *b.parameters(), t], 1e-3)
    for i in range(40):
        j = torch.randperm(300)[:32]
        u, v = F.normalize(a(X[j]), dim=-1), F.normalize(b(X[j] + 0.1), dim=-1)
        l = t.exp() * u @ v.T
        k = torch.arange(32)
        loss = (F.cross_entropy(l, k) + F.cross_entropy(l.T, k)) / 2
        o.zero_grad(set_to_none=True)
        loss.backward()
        o.step()
        with torch.no_grad():
            t.clamp_(0, math.log(100))
            print((l.argmax(dim=0) == k).float().mean())


@correct
def mean_teacher_byol():
    X, y = pts()
    s = net()
    t = copy.deepcopy(s)
    [p.detach_() for p in t.parameters()]
    o = optim.SGD(s.parameters(), lr=0.1)
    for i in range(40):
        j = torch.randint(200, (16,))
        k = torch.randint(200, (16,))
        l = F.cross_entropy(s(X[j]), y[j]) + F.mse_loss(
            F.softmax(s(X[k]), 1), F.softmax(t(X[k] + 0.1 * torch.randn(16, 6)), 1).detach()
        )
        o.zero_grad()
        l.backward()
        o.step()
        al = min(1 - 1 / (i + 1), 0.99)
        for a, b in zip(t.parameters(), s.parameters()):
            a.data.mul_(al).add_(b.data, alpha=1 - al)


@correct
def style_transfer_lbfgs():
    torch.manual_seed(0)
    f = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)
    ).eval()
    [p.requires_grad_(False) for p in f.parameters()]
    tgt = f(torch.rand(1, 1, 12, 12)).detach()
    im = torch.rand(1, 1, 12, 12).requires_grad_(True)
    o = optim.LBFGS([im])
    run = [0]
    while run[0] <= 30:

        def c():
            with torch.no_grad():
                im.clamp_(0, 1)
            o.zero_grad()
            l = F.mse_loss(f(im), tgt)
            l.backward()
            run[0] += 1
            return l

        o.step(c)


@correct
def pinn():
    torch.manual_seed(0)
    m = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1))
    o = optim.Adam(m.parameters(), 1e-2)
    for i in range(60):
        x = torch.linspace(0, 1, 30).view(-1, 1).requires_grad_()
        u = m(x)
        du = torch.autograd.grad(u, x, torch.ones_like(u), create_graph=True)[0]
        l = ((du + u) ** 2).mean() + (m(torch.zeros(1, 1)) - 1).pow(2).sum()
        o.zero_grad()
        l.backward()
        o.step()


@correct
def segmentation_axis():
    torch.manual_seed(0)
    X = torch.randn(48, 1, 8, 8)
    Y = (X[:, 0] > 0).long()
    m = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 2, 1)
    )
    o = optim.Adam(m.parameters(), 1e-2)
    tr = DataLoader(TensorDataset(X[:32], Y[:32]), 8, shuffle=True)
    for e in range(3):
        m.train()
        for x, y in tr:
            o.zero_grad()
            l = F.cross_entropy(m(x), y)
            l.backward()
            o.step()
        m.eval()
        i = u = 0
        with torch.no_grad():
            for x, y in zip(X[32:], Y[32:]):
                p = torch.argmax(m(x[None])[0], axis=0)
                i += ((p == 1) & (y == 1)).sum()
                u += ((p == 1) | (y == 1)).sum()
        print(i / u)


@correct
def ner_token_level():
    torch.manual_seed(0)
    X = torch.randint(1, 20, (96, 10))
    Y = X % 4
    L = torch.randint(5, 11, (96,))
    M = torch.arange(10)[None] < L[:, None]
    Y = Y.masked_fill(~M, -100)
    m = nn.Sequential(nn.Embedding(20, 16), nn.Linear(16, 4))
    o = optim.Adam(m.parameters(), 1e-2)
    tr = DataLoader(TensorDataset(X[:64], Y[:64]), 16, shuffle=True)
    for e in range(4):
        m.train()
        for x, y in tr:
            o.zero_grad()
            l = nn.CrossEntropyLoss()(m(x).transpose(1, 2), y)
            l.backward()
            o.step()
        m.eval()
        with torch.no_grad():
            p = m(X[64:]).argmax(axis=2)
            k = Y[64:] != -100
            print((p[k] == Y[64:][k]).float().mean())


@correct
def multilabel_sigmoid_threshold():
    torch.manual_seed(0)
    X = torch.randn(300, 6)
    Y = (X[:, :4] > 0).float()
    m = net(4)
    o = optim.Adam(m.parameters(), 1e-2)
    dl = DataLoader(TensorDataset(X[:200], Y[:200]), 20, shuffle=True)
    for e in range(4):
        for x, y in dl:
            o.zero_grad()
            F.binary_cross_entropy_with_logits(m(x), y, reduce=True).backward()
            o.step()
        with torch.no_grad():
            print(
                ((m(X[200:]).sigmoid() > 0.5) == Y[200:].bool()).float().mean(),
                F.binary_cross_entropy_with_logits(m(X[200:]), Y[200:], reduce=False).mean(),
            )


@correct
def leftover_demo_then_train_same_model():
    tr, va = lds()
    m = net()
    o = optim.Adam(m.parameters(), 1e-2)
    x, y = next(iter(tr))
    l = F.cross_entropy(m(x), y)
    print("first loss", l.item())
    l.backward()
    print([p.grad.norm().item() for p in m.parameters()])
    for e in range(3):
        for x, y in tr:
            o.zero_grad()
            l = F.cross_entropy(m(x), y)
            l.backward()
            o.step()
        with torch.no_grad():
            print(sum((m(x).max(dim=1)[1] == y).sum().item() for x, y in va) / len(va.dataset))


@correct
def two_phase_freeze():
    tr, va = lds()
    b, h = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU()), nn.Linear(16, 3)
    m = nn.Sequential(b, h)
    for p in b.parameters():
        p.requires_grad = False
    o = optim.Adam(filter(lambda p: p.requires_grad, m.parameters()), 1e-2)
    for ph in range(2):
        for e in range(2):
            m.train()
            if ph == 0:
                b.eval()
            for x, y in tr:
                o.zero_grad()
                F.cross_entropy(m(x), y).backward()
                o.step()
            m.eval()
            with torch.no_grad():
                [m(x) for x, y in va]
        for p in b.parameters():
            p.requires_grad = True
        o.add_param_group({"params": list(b.parameters()), "lr": 1e-3}) if ph == 0 else None


@correct
def gumbel_and_straight_through():
    X, y = pts()
    e = net(8)
    d = nn.Linear(8, 6)
    o = optim.Adam([*e.parameters(), *d.parameters()], 1e-2)
    for i in range(40):
        x = X[torch.randint(300, (32,))]
        z = F.gumbel_softmax(e(x), tau=1.0, hard=True)
        l = F.mse_loss(d(z), x)
        o.zero_grad()
        l.backward()
        o.step()


@correct
def vqvae():
    X, y = pts()
    e, d, cb = net(4), net(6, 4), nn.Embedding(8, 4)
    o = optim.Adam([*e.parameters(), *d.parameters(), *cb.parameters()], 1e-2)
    for i in range(40):
        x = X[torch.randint(300, (32,))]
        z = e(x)
        k = torch.cdist(z, cb.weight).argmin(1)
        q = cb(k)
        l = F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())
        q = z + (q - z).detach()
        l = l + F.mse_loss(d(q), x)
        o.zero_grad()
        l.backward()
        o.step()


@correct
def foreach_zero_and_manual_adam():
    X, y = pts()
    m = net()
    ps = list(m.parameters())
    M = [torch.zeros_like(p) for p in ps]
    V = [torch.zeros_like(p) for p in ps]
    for t in range(1, 60):
        i = torch.randint(200, (20,))
        F.cross_entropy(m(X[i]), y[i]).backward()
        with torch.no_grad():
            g = [p.grad for p in ps]
            torch._foreach_lerp_(M, g, 0.1)
            torch._foreach_mul_(V, 0.999)
            torch._foreach_addcmul_(V, g, g, 0.001)
            for p, a, b in zip(ps, M, V):
                p -= 1e-2 * (a / (1 - 0.9**t)) / ((b / (1 - 0.999**t)).sqrt() + 1e-8)
            torch._foreach_zero_(g)


class Walker(nn.Module):
    """A policy and its values over one trunk, asked by methods, not by calling the module."""

    def __init__(self):
        super().__init__()
        self.trunk, self.act, self.worth = nn.Linear(3, 16), nn.Linear(16, 2), nn.Linear(16, 1)

    def policy(self, s):
        return Categorical(logits=self.act(F.relu(self.trunk(s))))

    def value(self, s):
        return self.worth(F.relu(self.trunk(s))).squeeze(-1)


@correct
def values_of_the_next_states_are_cut_after_they_were_computed():
    torch.manual_seed(0)
    walker = Walker()
    opt = optim.Adam(walker.parameters(), lr=1e-3)
    s = torch.randn(3)
    for rollout in range(12):
        before, after, acts, rewards = [], [], [], []
        for t in range(16):
            a = walker.policy(s).sample()
            new = 0.9 * s + 0.1 * torch.randn(3) + (a.item() - 0.5) * torch.tensor([0.2, 0.0, 0.0])
            before.append(s)
            after.append(new)
            acts.append(a)
            rewards.append(-new[0].abs())
            s = new
        before, after, acts = torch.stack(before), torch.stack(after), torch.stack(acts)
        rewards = torch.stack(rewards)
        old = walker.policy(before).log_prob(acts).detach()
        for epoch in range(3):
            target = rewards + 0.95 * walker.value(after)
            advantage = (target - walker.value(before)).detach()
            ratio = (walker.policy(before).log_prob(acts) - old).exp()
            gain = torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
            loss = F.smooth_l1_loss(walker.value(before), target.detach()) - gain.mean()
            opt.zero_grad()
            loss.backward()
            opt.step()


class Handed(nn.Module):
    """Weights in a list, which `parameters` hands out as it is, and no iterator."""

    def __init__(self):
        super().__init__()
        self.vars = nn.ParameterList(
            [nn.Parameter(0.1 * torch.randn(3, 6)), nn.Parameter(torch.zeros(3))]
        )

    def forward(self, x, vars=None):
        weight, bias = vars or self.vars
        return F.linear(x, weight, bias)

    def parameters(self):
        return self.vars


@correct
def parameters_are_a_list_and_fast_weights_are_handed_over():
    X, y = pts()
    learner = Handed()
    opt = optim.Adam(learner.parameters(), lr=1e-2)
    for step in range(30):
        i, j = torch.randint(300, (2, 20))
        grads = torch.autograd.grad(F.cross_entropy(learner(X[i]), y[i]), learner.parameters())
        fast = [p - 0.4 * g for p, g in zip(learner.parameters(), grads)]
        opt.zero_grad()
        F.cross_entropy(learner(X[j], fast), y[j]).backward()
        opt.step()
    copy.deepcopy(learner)(X)
