import argparse
import copy
import io
import math
import random
from collections import deque

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_blobs,
    make_classification,
    make_moons,
    make_regression,
)
from sklearn.metrics import accuracy_score, f1_score, r2_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.checkpoint import checkpoint
from torch.utils.data import (
    DataLoader,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)

from .. import correct


@correct
def lbfgs_logistic_regression():
    def get_scaled(loader, seed, size=0.25, reg=False):
        X, y = loader(return_X_y=True)
        a, b, ya, yb = train_test_split(
            X, y, test_size=size, random_state=seed, stratify=None if reg else y
        )
        s = StandardScaler().fit(a)
        if reg:
            m, d = ya.mean(), ya.std()
            ya, yb = (ya - m) / d, (yb - m) / d
        c = (lambda v: torch.tensor(v).float()) if reg else torch.tensor
        return (
            torch.tensor(s.transform(a)).float(),
            c(ya),
            torch.tensor(s.transform(b)).float(),
            c(yb),
        )

    @torch.no_grad()
    def accuracy(model, x, y):
        was = model.training
        model.eval()
        a = (model(x).argmax(1) == y).float().mean().item()
        model.train(was)
        return a

    torch.manual_seed(0)
    xt, yt, xv, yv = get_scaled(load_breast_cancer, 0)
    lin = nn.Linear(30, 2)
    opt = optim.LBFGS(lin.parameters(), lr=1, max_iter=5, line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        l = F.cross_entropy(lin(xt), yt) + 1e-2 * lin.weight.pow(2).sum()
        l.backward()
        return l

    for it in range(5):
        lin.train()
        l = opt.step(closure)
        print(it, l.item(), accuracy(lin, xv, yv))


@correct
def wgan_gp_ring():
    torch.manual_seed(1)
    th = torch.rand(1024) * 2 * math.pi
    real_all = torch.stack([th.cos(), th.sin()], 1) + 0.02 * torch.randn(1024, 2)
    G = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2))
    C = nn.Sequential(
        nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)
    )
    og, oc = (
        optim.Adam(G.parameters(), 1e-3, betas=(0.0, 0.9)),
        optim.Adam(C.parameters(), 1e-3, betas=(0.0, 0.9)),
    )
    dl = DataLoader(TensorDataset(real_all), 64, shuffle=True, drop_last=True)
    for ep in range(8):
        w_sum = 0.0
        for i, (real,) in enumerate(dl):
            fake = G(torch.randn(64, 4)).detach()
            eps = torch.rand(64, 1)
            mix = (eps * real + (1 - eps) * fake).requires_grad_(True)
            (g,) = torch.autograd.grad(C(mix).sum(), mix, create_graph=True)
            w = C(real).mean() - C(fake).mean()
            loss_c = -w + 10 * (g.norm(2, 1) - 1).pow(2).mean()
            oc.zero_grad()
            loss_c.backward()
            oc.step()
            w_sum += w.item()
            if i % 3 == 2:
                og.zero_grad()
                (-C(G(torch.randn(64, 4))).mean()).backward()
                og.step()
        G.eval()
        with torch.no_grad():
            r = G(torch.randn(500, 4)).norm(dim=1).mean().item()
        G.train()
        print(ep, "W", w_sum / len(dl), "radius", r)


@correct
def maml_sines():
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
    opt = optim.Adam(net.parameters(), 5e-3)

    def task():
        a, p = 0.5 + torch.rand(1), torch.rand(1) * 1.5
        x = torch.rand(20, 1) * 4 - 2
        return x[:10], a * torch.sin(x[:10] + p), x[10:], a * torch.sin(x[10:] + p)

    def adapt(xs, ys, create):
        w = dict(net.named_parameters())
        l = F.mse_loss(torch.func.functional_call(net, w, (xs,)), ys)
        gs = torch.autograd.grad(l, list(w.values()), create_graph=create)
        return {n: v - 0.1 * g for (n, v), g in zip(w.items(), gs)}

    for outer in range(80):
        opt.zero_grad()
        tot = 0.0
        for _ in range(4):
            xs, ys, xq, yq = task()
            q = F.mse_loss(torch.func.functional_call(net, adapt(xs, ys, True), (xq,)), yq) / 4
            q.backward()
            tot += q.item()
        opt.step()
        if outer % 20 == 19:
            print(outer, tot)


@correct
def sam_two_passes():
    def get_digits(seed, image=False, n_val=357):
        d = load_digits()
        x = d.images[:, None] / 16 if image else d.data / 16
        a, b, ya, yb = train_test_split(
            x, d.target, test_size=n_val, random_state=seed, stratify=d.target
        )
        return torch.tensor(a).float(), torch.tensor(ya), torch.tensor(b).float(), torch.tensor(yb)

    @torch.no_grad()
    def accuracy(model, x, y):
        was = model.training
        model.eval()
        a = (model(x).argmax(1) == y).float().mean().item()
        model.train(was)
        return a

    torch.manual_seed(3)
    xt, yt, xv, yv = get_digits(3)
    net = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    base, rho = optim.SGD(net.parameters(), lr=0.1, momentum=0.9), 0.05
    for ep in range(5):
        net.train()
        for x, y in DataLoader(TensorDataset(xt, yt), 96, shuffle=True):
            F.cross_entropy(net(x), y).backward()
            with torch.no_grad():
                n = torch.stack([p.grad.norm() for p in net.parameters()]).norm() + 1e-12
                es = [p.grad * (rho / n) for p in net.parameters()]
                for p, e in zip(net.parameters(), es):
                    p.add_(e)
            base.zero_grad()
            F.cross_entropy(net(x), y).backward()
            with torch.no_grad():
                for p, e in zip(net.parameters(), es):
                    p.sub_(e)
            base.step()
            base.zero_grad()
        print(ep, accuracy(net, xv, yv))


@correct
def vae_beta_warmup():
    def get_digits(seed, image=False, n_val=357):
        d = load_digits()
        x = d.images[:, None] / 16 if image else d.data / 16
        a, b, ya, yb = train_test_split(
            x, d.target, test_size=n_val, random_state=seed, stratify=d.target
        )
        return torch.tensor(a).float(), torch.tensor(ya), torch.tensor(b).float(), torch.tensor(yb)

    torch.manual_seed(4)
    xt, _, xv, _ = get_digits(4)

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc, self.mu, self.lv = nn.Linear(64, 48), nn.Linear(48, 6), nn.Linear(48, 6)
            self.dec = nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 64))

        def forward(self, x):
            h = F.relu(self.enc(x))
            mu, lv = self.mu(h), self.lv(h)
            z = mu + torch.randn_like(mu) * (0.5 * lv).exp() if self.training else mu
            return self.dec(z), mu, lv

    def elbo(o, x, mu, lv, beta):
        rec = F.binary_cross_entropy_with_logits(o, x, reduction="none").sum(1).mean()
        return rec + beta * (-0.5 * (1 + lv - mu**2 - lv.exp()).sum(1)).mean()

    vae = VAE()
    opt = optim.Adam(vae.parameters(), 3e-3)
    for ep in range(8):
        vae.train()
        for (x,) in DataLoader(TensorDataset(xt), 72, shuffle=True):
            loss = elbo(*[(o := vae(x))[0], x, o[1], o[2]], min(1.0, (ep + 1) / 5))
            opt.zero_grad()
            loss.backward()
            opt.step()
        vae.eval()
        with torch.no_grad():
            o, mu, lv = vae(xv)
            print(ep, loss.item(), elbo(o, xv, mu, lv, 1.0).item())


@correct
def distill_teacher_student():
    def get_digits(seed, image=False, n_val=357):
        d = load_digits()
        x = d.images[:, None] / 16 if image else d.data / 16
        a, b, ya, yb = train_test_split(
            x, d.target, test_size=n_val, random_state=seed, stratify=d.target
        )
        return torch.tensor(a).float(), torch.tensor(ya), torch.tensor(b).float(), torch.tensor(yb)

    @torch.no_grad()
    def accuracy(model, x, y):
        was = model.training
        model.eval()
        a = (model(x).argmax(1) == y).float().mean().item()
        model.train(was)
        return a

    torch.manual_seed(5)
    xt, yt, xv, yv = get_digits(5)
    teacher = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10))
    student = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    dl = DataLoader(TensorDataset(xt, yt), 72, shuffle=True)
    ot = optim.Adam(teacher.parameters(), 3e-3)
    for ep in range(4):
        teacher.train()
        for x, y in dl:
            ot.zero_grad()
            F.cross_entropy(teacher(x), y).backward()
            ot.step()
    teacher.eval().requires_grad_(False)
    os_, T = optim.Adam(student.parameters(), 5e-3), 3.0
    for ep in range(5):
        student.train()
        for x, y in dl:
            with torch.no_grad():
                soft = F.softmax(teacher(x) / T, 1)
            out = student(x)
            loss = 0.7 * T * T * F.kl_div(
                F.log_softmax(out / T, 1), soft, reduction="batchmean"
            ) + 0.3 * F.cross_entropy(out, y)
            os_.zero_grad()
            loss.backward()
            os_.step()
        print("student", ep, accuracy(student, xv, yv), "teacher", accuracy(teacher, xv, yv))


@correct
def dqn_corridor_target_net():
    torch.manual_seed(6)
    random.seed(6)
    q = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))
    tgt = copy.deepcopy(q)
    for p in tgt.parameters():
        p.requires_grad = False
    opt, buf, eye = optim.Adam(q.parameters(), 5e-3), deque(maxlen=1000), torch.eye(6)
    steps = 0
    for episode in range(40):
        s, ret = 0, 0.0
        for t in range(20):
            with torch.no_grad():
                a = random.randrange(2) if random.random() < 0.3 else q(eye[s]).argmax().item()
            s2 = min(5, s + 1) if a else max(0, s - 1)
            r, done = (1.0, True) if s2 == 5 else (-0.02, False)
            buf.append((s, a, r, s2, done))
            s = s2
            ret += r
            if len(buf) >= 64:
                S, A, R, S2, D = zip(*random.sample(buf, 32))
                with torch.no_grad():
                    y = (
                        torch.tensor(R)
                        + 0.9 * (1 - torch.tensor(D).float()) * tgt(eye[list(S2)]).max(1).values
                    )
                loss = F.smooth_l1_loss(
                    q(eye[list(S)]).gather(1, torch.tensor(A)[:, None]).squeeze(1), y
                )
                opt.zero_grad()
                loss.backward()
                opt.step()
                steps += 1
                if steps % 25 == 0:
                    tgt.load_state_dict(q.state_dict())
            if done:
                break
        if episode % 10 == 9:
            print(episode, round(ret, 2))


@correct
def manual_sgd_no_grad_p_grad_none():
    def get_scaled(loader, seed, size=0.25, reg=False):
        X, y = loader(return_X_y=True)
        a, b, ya, yb = train_test_split(
            X, y, test_size=size, random_state=seed, stratify=None if reg else y
        )
        s = StandardScaler().fit(a)
        if reg:
            m, d = ya.mean(), ya.std()
            ya, yb = (ya - m) / d, (yb - m) / d
        c = (lambda v: torch.tensor(v).float()) if reg else torch.tensor
        return (
            torch.tensor(s.transform(a)).float(),
            c(ya),
            torch.tensor(s.transform(b)).float(),
            c(yb),
        )

    torch.manual_seed(7)
    xt, yt, xv, yv = get_scaled(load_wine, 7)
    W1 = (torch.randn(13, 24) / 13**0.5).requires_grad_()
    b1 = torch.zeros(24, requires_grad=True)
    W2 = (torch.randn(24, 3) / 24**0.5).requires_grad_()
    b2 = torch.zeros(3, requires_grad=True)
    ps = [W1, b1, W2, b2]
    f = lambda x: torch.tanh(x @ W1 + b1) @ W2 + b2
    for ep in range(8):
        tot = 0.0
        for i in torch.randperm(len(xt)).split(19):
            loss = F.cross_entropy(f(xt[i]), yt[i])
            loss.backward()
            with torch.no_grad():
                for p in ps:
                    p -= 0.1 * p.grad
                    p.grad = None
            tot += loss.item() * len(i)
        with torch.no_grad():
            print(ep, tot / len(xt), (f(xv).argmax(1) == yv).float().mean().item())


@correct
def torch_func_grad_dict_params():
    def get_scaled(loader, seed, size=0.25, reg=False):
        X, y = loader(return_X_y=True)
        a, b, ya, yb = train_test_split(
            X, y, test_size=size, random_state=seed, stratify=None if reg else y
        )
        s = StandardScaler().fit(a)
        if reg:
            m, d = ya.mean(), ya.std()
            ya, yb = (ya - m) / d, (yb - m) / d
        c = (lambda v: torch.tensor(v).float()) if reg else torch.tensor
        return (
            torch.tensor(s.transform(a)).float(),
            c(ya),
            torch.tensor(s.transform(b)).float(),
            c(yb),
        )

    torch.manual_seed(8)
    xt, yt, xv, yv = get_scaled(load_diabetes, 8, reg=True)
    net = nn.Sequential(nn.Linear(10, 32), nn.SiLU(), nn.Linear(32, 1), nn.Flatten(0))
    params = {k: v.detach().clone() for k, v in net.named_parameters()}
    mom = {k: torch.zeros_like(v) for k, v in params.items()}
    loss_of = lambda p, x, y: F.mse_loss(torch.func.functional_call(net, p, (x,)), y)
    gv = torch.func.grad_and_value(loss_of)
    for ep in range(8):
        s = 0.0
        for i in torch.randperm(len(xt)).split(40):
            g, l = gv(params, xt[i], yt[i])
            mom = {k: 0.9 * mom[k] + g[k] for k in params}
            params = {k: params[k] - 0.01 * mom[k] for k in params}
            s += l.item() * len(i)
        with torch.no_grad():
            print(ep, s / len(xt), loss_of(params, xv, yv).item())


@correct
def optimizer_in_backward_hooks():
    def get_digits(seed, image=False, n_val=357):
        d = load_digits()
        x = d.images[:, None] / 16 if image else d.data / 16
        a, b, ya, yb = train_test_split(
            x, d.target, test_size=n_val, random_state=seed, stratify=d.target
        )
        return torch.tensor(a).float(), torch.tensor(ya), torch.tensor(b).float(), torch.tensor(yb)

    @torch.no_grad()
    def accuracy(model, x, y):
        was = model.training
        model.eval()
        a = (model(x).argmax(1) == y).float().mean().item()
        model.train(was)
        return a

    torch.manual_seed(9)
    xt, yt, xv, yv = get_digits(9)
    net = nn.Sequential(nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 10))
    opts = {p: optim.Adam([p], 3e-3) for p in net.parameters()}

    def hook(p):
        opts[p].step()
        opts[p].zero_grad()

    for p in net.parameters():
        p.register_post_accumulate_grad_hook(hook)
    for ep in range(5):
        net.train()
        for x, y in DataLoader(TensorDataset(xt, yt), 60, shuffle=True):
            F.cross_entropy(net(x), y).backward()
        print(ep, accuracy(net, xv, yv))


@correct
def gradual_unfreezing_frozen_bn():
    def get_digits(seed, image=False, n_val=357):
        d = load_digits()
        x = d.images[:, None] / 16 if image else d.data / 16
        a, b, ya, yb = train_test_split(
            x, d.target, test_size=n_val, random_state=seed, stratify=d.target
        )
        return torch.tensor(a).float(), torch.tensor(ya), torch.tensor(b).float(), torch.tensor(yb)

    @torch.no_grad()
    def accuracy(model, x, y):
        was = model.training
        model.eval()
        a = (model(x).argmax(1) == y).float().mean().item()
        model.train(was)
        return a

    torch.manual_seed(10)
    xt, yt, xv, yv = get_digits(10, image=True)
    body = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    )
    pre = nn.Sequential(body, nn.Linear(192, 2))
    o = optim.Adam(pre.parameters(), 2e-3)
    dl = DataLoader(TensorDataset(xt, yt), 72, shuffle=True)
    for ep in range(3):  # pretext: odd or even
        pre.train()
        for x, y in dl:
            o.zero_grad()
            F.cross_entropy(pre(x), y % 2).backward()
            o.step()
    net = nn.Sequential(body, nn.Linear(192, 10))
    body.requires_grad_(False)
    opt = optim.Adam(net[1].parameters(), 3e-3)
    for ep in range(6):
        if ep == 3:
            body[0].requires_grad_(True)
            opt.add_param_group({"params": body[0].parameters(), "lr": 5e-4})
        net.train()
        body[1].eval()  # BatchNorm stays as pretrained
        for x, y in dl:
            opt.zero_grad()
            F.cross_entropy(net(x), y).backward()
            opt.step()
        print(ep, accuracy(net, xv, yv))


@correct
def swa_averaged_with_bn_update():
    def get_digits(seed, image=False, n_val=357):
        d = load_digits()
        x = d.images[:, None] / 16 if image else d.data / 16
        a, b, ya, yb = train_test_split(
            x, d.target, test_size=n_val, random_state=seed, stratify=d.target
        )
        return torch.tensor(a).float(), torch.tensor(ya), torch.tensor(b).float(), torch.tensor(yb)

    @torch.no_grad()
    def accuracy(model, x, y):
        was = model.training
        model.eval()
        a = (model(x).argmax(1) == y).float().mean().item()
        model.train(was)
        return a

    torch.manual_seed(11)
    xt, yt, xv, yv = get_digits(11)
    net = nn.Sequential(nn.Linear(64, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 10))
    opt = optim.SGD(net.parameters(), 0.05, momentum=0.9)
    swa = optim.swa_utils.AveragedModel(net)
    sched, swa_s = (
        optim.lr_scheduler.CosineAnnealingLR(opt, 5),
        optim.swa_utils.SWALR(opt, swa_lr=0.02, anneal_epochs=2),
    )
    dl = DataLoader(TensorDataset(xt, yt), 72, shuffle=True)
    for ep in range(9):
        net.train()
        for x, y in dl:
            opt.zero_grad()
            F.cross_entropy(net(x), y).backward()
            opt.step()
        if ep >= 5:
            swa.update_parameters(net)
            swa_s.step()
        else:
            sched.step()
        print(ep, accuracy(net, xv, yv))
    optim.swa_utils.update_bn(dl, swa)
    print("swa", accuracy(swa, xv, yv))


@correct
def tied_language_model_tbptt():
    torch.manual_seed(12)
    rnd, seq = random.Random(12), [1]
    while len(seq) < 2400:
        seq.append((2 * seq[-1] + 1) % 11 if rnd.random() < 0.8 else rnd.randrange(11))
    text = torch.tensor(seq)
    tr, va = text[:2000].view(8, 250), text[2000:].view(4, 100)

    class LM(nn.Module):
        def __init__(self, d=32):
            super().__init__()
            self.emb, self.rnn = nn.Embedding(11, d), nn.LSTM(d, d, batch_first=True)
            self.out = nn.Linear(d, 11)
            self.out.weight = self.emb.weight

        def forward(self, x, h=None):
            o, h = self.rnn(self.emb(x), h)
            return self.out(o), h

    lm = LM()
    nn.init.normal_(lm.emb.weight, std=0.3)
    opt = optim.Adam(lm.parameters(), 8e-3)
    for ep in range(6):
        lm.train()
        h = None
        for s in range(0, 249, 25):
            e = min(s + 25, 249)
            if h is not None:
                h = tuple(t.detach() for t in h)
            o, h = lm(tr[:, s:e], h)
            loss = F.cross_entropy(o.reshape(-1, 11), tr[:, s + 1 : e + 1].reshape(-1))
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
            opt.step()
        lm.eval()
        with torch.no_grad():
            o, _ = lm(va[:, :-1])
            print(ep, "ppl", F.cross_entropy(o.reshape(-1, 11), va[:, 1:].reshape(-1)).exp().item())


@correct
def sparse_skipgram_two_optimizers():
    torch.manual_seed(13)
    c = torch.randint(0, 40, (3000,))
    pos = (c // 8) * 8 + torch.randint(0, 8, (3000,))
    emb, ctx = nn.Embedding(40, 8, sparse=True), nn.Linear(8, 40)
    o1, o2 = optim.SparseAdam(emb.parameters(), 2e-2), optim.Adam(ctx.parameters(), 1e-2)
    for ep in range(6):
        s = 0.0
        for i in torch.randperm(3000).split(100):
            loss = F.cross_entropy(ctx(emb(c[i])), pos[i])
            o1.zero_grad()
            o2.zero_grad()
            loss.backward()
            o1.step()
            o2.step()
            s += loss.item() * len(i)
        with torch.no_grad():
            sim = F.normalize(emb.weight, dim=1) @ F.normalize(emb.weight, dim=1).T - 2 * torch.eye(
                40
            )
            print(
                ep,
                s / 3000,
                "same group",
                (sim.argmax(1) // 8 == torch.arange(40) // 8).float().mean().item(),
            )


@correct
def triplet_metric_learning():
    def get_digits(seed, image=False, n_val=357):
        d = load_digits()
        x = d.images[:, None] / 16 if image else d.data / 16
        a, b, ya, yb = train_test_split(
            x, d.target, test_size=n_val, random_state=seed, stratify=d.target
        )
        return torch.tensor(a).float(), torch.tensor(ya), torch.tensor(b).float(), torch.tensor(yb)

    torch.manual_seed(14)
    xt, yt, xv, yv = get_digits(14)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    by = [torch.where(yt == k)[0] for k in range(10)]
    opt = optim.Adam(net.parameters(), 2e-3)
    pick = lambda k: by[k][torch.randint(len(by[k]), (1,))].item()
    for ep in range(4):
        net.train()
        for i in torch.randperm(len(xt)).split(120):
            p = torch.tensor([pick(k) for k in yt[i].tolist()])
            n = torch.tensor(
                [
                    pick((k + random.Random(ep * 9999 + j).randint(1, 9)) % 10)
                    for j, k in enumerate(yt[i].tolist())
                ]
            )
            a, b, c = (F.normalize(net(xt[j]), dim=1) for j in (i, p, n))
            loss = F.triplet_margin_loss(a, b, c, margin=0.4)
            opt.zero_grad()
            loss.backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            nn_ = torch.cdist(F.normalize(net(xv), dim=1), F.normalize(net(xt), dim=1)).argmin(1)
        print(ep, loss.item(), "1-NN", (yt[nn_] == yv).float().mean().item())


@correct
def mc_dropout_uncertainty():
    def get_scaled(loader, seed, size=0.25, reg=False):
        X, y = loader(return_X_y=True)
        a, b, ya, yb = train_test_split(
            X, y, test_size=size, random_state=seed, stratify=None if reg else y
        )
        s = StandardScaler().fit(a)
        if reg:
            m, d = ya.mean(), ya.std()
            ya, yb = (ya - m) / d, (yb - m) / d
        c = (lambda v: torch.tensor(v).float()) if reg else torch.tensor
        return (
            torch.tensor(s.transform(a)).float(),
            c(ya),
            torch.tensor(s.transform(b)).float(),
            c(yb),
        )

    torch.manual_seed(15)
    xt, yt, xv, yv = get_scaled(load_diabetes, 15, reg=True)
    net = nn.Sequential(
        nn.Linear(10, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 1), nn.Flatten(0)
    )
    opt = optim.Adam(net.parameters(), 3e-3)
    for ep in range(8):
        net.train()
        for x, y in DataLoader(TensorDataset(xt, yt), 33, shuffle=True):
            opt.zero_grad()
            F.mse_loss(net(x), y).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            print(ep, F.mse_loss(net(xv), yv).item())
    for m in net.modules():
        if isinstance(m, nn.Dropout):
            m.train()
    with torch.no_grad():
        s = torch.stack([net(xv) for _ in range(30)])
    print("predictive std", s.std(0).mean().item(), "R2", r2_score(yv, s.mean(0)))


@correct
def one_batch_overfit_check():
    def get_digits(seed, image=False, n_val=357):
        d = load_digits()
        x = d.images[:, None] / 16 if image else d.data / 16
        a, b, ya, yb = train_test_split(
            x, d.target, test_size=n_val, random_state=seed, stratify=d.target
        )
        return torch.tensor(a).float(), torch.tensor(ya), torch.tensor(b).float(), torch.tensor(yb)

    torch.manual_seed(16)
    xt, yt, _, _ = get_digits(16, image=True)
    x, y = xt[:32], yt[:32]
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    opt = optim.Adam(net.parameters(), 5e-3)
    net.train()
    for step in range(60):
        opt.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        opt.step()
        if step % 15 == 14:
            print(step, loss.item())
    assert loss.item() < 0.2


@correct
def spectral_norm_gan_with_checkpointing():
    torch.manual_seed(17)
    sn = nn.utils.parametrizations.spectral_norm
    X = torch.tensor(make_moons(960, noise=0.05, random_state=17)[0]).float()
    X = (X - X.mean(0)) / X.std(0)
    G = nn.Sequential(nn.Linear(4, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 2))
    D = nn.Sequential(
        sn(nn.Linear(2, 48)),
        nn.LeakyReLU(0.2),
        sn(nn.Linear(48, 48)),
        nn.LeakyReLU(0.2),
        sn(nn.Linear(48, 1)),
    )
    og, od = (
        optim.Adam(G.parameters(), 1e-3, betas=(0.5, 0.99)),
        optim.Adam(D.parameters(), 2e-3, betas=(0.5, 0.99)),
    )
    gen = lambda z: G[2:](checkpoint(G[:2], z, use_reentrant=False))
    for ep in range(8):
        for i in torch.randperm(960).split(64):
            real = X[i]
            od.zero_grad()
            with torch.no_grad():
                fake = G(torch.randn(64, 4))
            d = F.relu(1 - D(real)).mean() + F.relu(1 + D(fake)).mean()
            d.backward()
            od.step()
            og.zero_grad()
            D.requires_grad_(False)
            g = -D(gen(torch.randn(64, 4))).mean()
            g.backward()
            og.step()
            D.requires_grad_(True)
        G.eval()
        with torch.no_grad():
            f = G(torch.randn(500, 4))
        G.train()
        print(ep, d.item(), g.item(), f.std(0).tolist())


@correct
def actor_critic_bandit_contexts():
    torch.manual_seed(18)
    actor, critic = nn.Linear(5, 5), nn.Linear(5, 1)
    oa, oc = optim.Adam(actor.parameters(), 3e-2), optim.Adam(critic.parameters(), 3e-2)
    for it in range(100):
        ctx = torch.randint(0, 5, (64,))
        s = F.one_hot(ctx, 5).float()
        dist = torch.distributions.Categorical(logits=actor(s))
        a = dist.sample()
        r = (a == (ctx * 2) % 5).float()
        v = critic(s).squeeze(1)
        oc.zero_grad()
        F.mse_loss(v, r).backward()
        oc.step()
        oa.zero_grad()
        (-(dist.log_prob(a) * (r - v.detach())).mean() - 0.01 * dist.entropy().mean()).backward()
        oa.step()
        if it % 25 == 24:
            print(it, "reward", r.mean().item())


@correct
def lr_range_test_then_train():
    def get_digits(seed, image=False, n_val=357):
        d = load_digits()
        x = d.images[:, None] / 16 if image else d.data / 16
        a, b, ya, yb = train_test_split(
            x, d.target, test_size=n_val, random_state=seed, stratify=d.target
        )
        return torch.tensor(a).float(), torch.tensor(ya), torch.tensor(b).float(), torch.tensor(yb)

    @torch.no_grad()
    def accuracy(model, x, y):
        was = model.training
        model.eval()
        a = (model(x).argmax(1) == y).float().mean().item()
        model.train(was)
        return a

    torch.manual_seed(19)
    xt, yt, xv, yv = get_digits(19)
    make = lambda: nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    dl = DataLoader(TensorDataset(xt, yt), 48, shuffle=True)
    probe = make()
    opt = optim.SGD(probe.parameters(), 1e-4, momentum=0.9)
    sch = optim.lr_scheduler.ExponentialLR(opt, (1.0 / 1e-4) ** (1 / 60))
    rec, it = [], iter(dl)
    probe.train()
    for k in range(60):
        try:
            x, y = next(it)
        except StopIteration:
            it = iter(dl)
            x, y = next(it)
        opt.zero_grad()
        l = F.cross_entropy(probe(x), y)
        l.backward()
        opt.step()
        rec.append((sch.get_last_lr()[0], l.item()))
        sch.step()
        if l.item() > 3 * rec[0][1]:
            break
    lr = min(rec, key=lambda t: t[1])[0] / 10
    net = make()
    opt = optim.SGD(net.parameters(), lr, momentum=0.9)
    for ep in range(5):
        net.train()
        for x, y in dl:
            opt.zero_grad()
            F.cross_entropy(net(x), y).backward()
            opt.step()
        print(ep, lr, accuracy(net, xv, yv))


@correct
def pytorch_quickstart_style():
    torch.manual_seed(0)
    d = load_digits()
    ds = TensorDataset(torch.tensor(d.images / 16).float().unsqueeze(1), torch.tensor(d.target))
    training_data, test_data = random_split(ds, [1440, 357])
    train_dataloader, test_dataloader = (
        DataLoader(training_data, 64, shuffle=True),
        DataLoader(test_data, 64),
    )
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    loss_fn, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.3)

    def test():
        model.eval()
        size, test_loss, correct_ = len(test_data), 0, 0
        with torch.no_grad():
            for X, y in test_dataloader:
                pred = model(X)
                test_loss += loss_fn(pred, y).item() * len(y)
                correct_ += (pred.argmax(1) == y).type(torch.float).sum().item()
        print(f"Accuracy: {100 * correct_ / size:>0.1f}%, Avg loss: {test_loss / size:>8f}")

    for t in range(6):
        model.train()
        for X, y in train_dataloader:
            loss = loss_fn(model(X), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        test()


@correct
def kaggle_stratified_kfold_auc():
    random.seed(42)
    np.random.seed(42)
    torch.manual_seed(42)
    X, y = load_breast_cancer(return_X_y=True)
    oof = np.zeros(len(y))
    for fold, (ti, vi) in enumerate(StratifiedKFold(3, shuffle=True, random_state=42).split(X, y)):
        sc = StandardScaler().fit(X[ti])
        tr = TensorDataset(torch.tensor(sc.transform(X[ti])).float(), torch.tensor(y[ti]).float())
        xv = torch.tensor(sc.transform(X[vi])).float()
        model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))
        opt, crit = optim.Adam(model.parameters(), 3e-3), nn.BCEWithLogitsLoss()
        for ep in range(5):
            model.train()
            run = 0.0
            for xb, yb in DataLoader(tr, 32, shuffle=True):
                opt.zero_grad()
                loss = crit(model(xb).squeeze(1), yb)
                loss.backward()
                opt.step()
                run += loss.item() * len(yb)
            model.eval()
            with torch.no_grad():
                p = torch.sigmoid(model(xv).squeeze(1)).numpy()
            print(f"fold {fold} ep {ep} loss {run / len(tr):.4f} auc {roc_auc_score(y[vi], p):.4f}")
        oof[vi] = p
    print("OOF", roc_auc_score(y, oof))


@correct
def accumulation_with_tail():
    torch.manual_seed(1)
    X, y = make_regression(1000, 8, noise=5, random_state=1)
    X = StandardScaler().fit(X[:800]).transform(X)
    y = (y - y[:800].mean()) / y[:800].std()
    X, y = torch.tensor(X).float(), torch.tensor(y).float().unsqueeze(1)
    dl = DataLoader(TensorDataset(X[:800], y[:800]), 20, shuffle=True)
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
    opt, accum = optim.AdamW(net.parameters(), 1e-2), 4
    for ep in range(6):
        net.train()
        for i, (a, b) in enumerate(dl, 1):
            (F.mse_loss(net(a), b) / accum).backward()
            if i % accum == 0:
                nn.utils.clip_grad_norm_(net.parameters(), 5.0)
                opt.step()
                opt.zero_grad()
        net.eval()
        with torch.no_grad():
            print(ep, "val mse", F.mse_loss(net(X[800:]), y[800:]).item())


@correct
def lightning_like_onecycle():
    torch.manual_seed(2)

    class LitModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(
                nn.Conv2d(1, 12, 3, padding=1),
                nn.BatchNorm2d(12),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Flatten(),
                nn.Linear(192, 10),
            )

        def training_step(self, batch):
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def validation_step(self, batch):
            return (self.net(batch[0]).argmax(1) == batch[1]).sum().item(), len(batch[1])

        def configure_optimizers(self, steps):
            o = optim.AdamW(self.parameters(), 1e-2)
            return o, optim.lr_scheduler.OneCycleLR(o, 1e-2, total_steps=steps)

    d = load_digits()
    ds = TensorDataset(torch.tensor(d.images / 16).float()[:, None], torch.tensor(d.target))
    tr, va = random_split(ds, [1400, 397], torch.Generator().manual_seed(2))
    tl, vl, E = DataLoader(tr, 70, shuffle=True), DataLoader(va, 128), 4
    m = LitModel()
    o, s = m.configure_optimizers(E * len(tl))
    for ep in range(E):
        m.train()
        for b in tl:
            o.zero_grad()
            m.training_step(b).backward()
            o.step()
            s.step()
        m.eval()
        with torch.no_grad():
            r = [m.validation_step(b) for b in vl]
        print(ep, sum(a for a, _ in r) / sum(n for _, n in r))


@correct
def lstm_time_series_chronological():
    torch.manual_seed(3)
    t = np.arange(800)
    s = np.sin(t / 9) + 0.3 * np.cos(t / 4) + 0.05 * np.random.RandomState(3).randn(800)
    mu, sd, W = s[:640].mean(), s[:640].std(), 16
    s = torch.tensor((s - mu) / sd).float()
    win = lambda v: (v[:-1].unfold(0, W, 1).unsqueeze(-1), v[W:].unsqueeze(1))
    (xt, yt), (xv, yv) = win(s[:640]), win(s[640:])

    class Forecaster(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.fc = nn.LSTM(1, 24, batch_first=True), nn.Linear(24, 1)

        def forward(self, x):
            return self.fc(self.lstm(x)[0][:, -1])

    m = Forecaster()
    opt = optim.Adam(m.parameters(), 1e-2)
    sch = optim.lr_scheduler.ReduceLROnPlateau(opt, factor=0.5, patience=1)
    for ep in range(6):
        m.train()
        for a, b in DataLoader(TensorDataset(xt, yt), 48, shuffle=True):
            opt.zero_grad()
            F.mse_loss(m(a), b).backward()
            nn.utils.clip_grad_norm_(m.parameters(), 1.0)
            opt.step()
        m.eval()
        with torch.no_grad():
            v = F.mse_loss(m(xv), yv).item()
        sch.step(v)
        print(ep, v)


@correct
def early_stopping_deepcopy():
    torch.manual_seed(4)
    X, y = load_diabetes(return_X_y=True)
    a, b, ya, yb = train_test_split(X, y, test_size=0.3, random_state=4)
    sc, m, s = StandardScaler().fit(a), ya.mean(), ya.std()
    a, b = torch.tensor(sc.transform(a)).float(), torch.tensor(sc.transform(b)).float()
    ya, yb = torch.tensor((ya - m) / s).float(), torch.tensor((yb - m) / s).float()
    net = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0))
    opt, best, state, bad = optim.Adam(net.parameters(), 5e-3), math.inf, None, 0
    for ep in range(20):
        net.train()
        for x, t in DataLoader(TensorDataset(a, ya), 32, shuffle=True):
            opt.zero_grad()
            F.mse_loss(net(x), t).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            v = F.mse_loss(net(b), yb).item()
        if v < best:
            best, state, bad = v, copy.deepcopy(net.state_dict()), 0
        else:
            bad += 1
        print(ep, v)
        if bad == 4:
            break
    net.load_state_dict(state)


@correct
def dict_batches_collate_embeddingbag():
    torch.manual_seed(5)
    rng = random.Random(5)
    docs = []
    for _ in range(800):
        c = rng.randrange(3)
        docs.append(([rng.randrange(c * 15, c * 15 + 25) for _ in range(rng.randint(4, 10))], c))

    def collate(items):
        off = torch.tensor([0] + [len(w) for w, _ in items[:-1]]).cumsum(0)
        return {
            "text": torch.tensor(sum((w for w, _ in items), [])),
            "offsets": off,
            "label": torch.tensor([c for _, c in items]),
        }

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.eb, self.fc = nn.EmbeddingBag(60, 16), nn.Linear(16, 3)

        def forward(self, text, offsets):
            return self.fc(self.eb(text, offsets))

    model = Model()
    opt = optim.Adam(model.parameters(), 1e-2)
    sch = optim.lr_scheduler.StepLR(opt, 3, 0.5)
    tl, vl = (
        DataLoader(docs[:640], 32, shuffle=True, collate_fn=collate),
        DataLoader(docs[640:], 64, collate_fn=collate),
    )
    for ep in range(5):
        model.train()
        for b in tl:
            opt.zero_grad()
            F.cross_entropy(model(b["text"], b["offsets"]), b["label"]).backward()
            opt.step()
        sch.step()
        model.eval()
        P, T = [], []
        with torch.no_grad():
            for b in vl:
                P += model(b["text"], b["offsets"]).argmax(1).tolist()
                T += b["label"].tolist()
        print(ep, f1_score(T, P, average="macro"))


@correct
def amp_bf16_unscale_clip():
    torch.manual_seed(6)
    d = load_digits()
    a, b, ya, yb = train_test_split(d.data / 16, d.target, test_size=357, random_state=6)
    a, b, ya, yb = (
        torch.tensor(a).float(),
        torch.tensor(b).float(),
        torch.tensor(ya),
        torch.tensor(yb),
    )
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt, scaler = (
        optim.AdamW(net.parameters(), 3e-3),
        torch.amp.GradScaler("cpu", init_scale=1024.0),
    )
    for ep in range(5):
        net.train()
        for x, y in DataLoader(TensorDataset(a, ya), 72, shuffle=True):
            opt.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(net(x), y)
            scaler.scale(loss).backward()
            scaler.unscale_(opt)
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            scaler.step(opt)
            scaler.update()
        net.eval()
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            print(ep, (net(b).argmax(1) == yb).float().mean().item())


@correct
def ema_shadow_weights():
    torch.manual_seed(7)
    X, y = make_moons(1000, noise=0.15, random_state=7)
    X = torch.tensor((X - X[:800].mean(0)) / X[:800].std(0)).float()
    y = torch.tensor(y).float()
    net = nn.Sequential(
        nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0)
    )
    ema = copy.deepcopy(net).requires_grad_(False).eval()
    opt = optim.Adam(net.parameters(), 5e-3)
    for ep in range(8):
        net.train()
        for i in torch.randperm(800).split(40):
            opt.zero_grad()
            F.binary_cross_entropy_with_logits(net(X[i]), y[i]).backward()
            opt.step()
            with torch.no_grad():
                for e, p in zip(ema.parameters(), net.parameters()):
                    e.lerp_(p, 0.05)
        with torch.no_grad():
            print(ep, ((ema(X[800:]) > 0) == y[800:].bool()).float().mean().item())


@correct
def checkpoint_save_and_resume():
    torch.manual_seed(8)
    X, y = load_wine(return_X_y=True)
    a, b, ya, yb = train_test_split(X, y, test_size=48, random_state=8, stratify=y)
    sc = StandardScaler().fit(a)
    a, b, ya, yb = (
        torch.tensor(sc.transform(a)).float(),
        torch.tensor(sc.transform(b)).float(),
        torch.tensor(ya),
        torch.tensor(yb),
    )
    build = lambda: nn.Sequential(nn.Linear(13, 24), nn.ReLU(), nn.Linear(24, 3))

    def run(net, opt, first, last):
        for ep in range(first, last):
            net.train()
            for x, t in DataLoader(TensorDataset(a, ya), 26, shuffle=True):
                opt.zero_grad()
                F.cross_entropy(net(x), t).backward()
                opt.step()
            net.eval()
            with torch.no_grad():
                print(ep, (net(b).argmax(1) == yb).float().mean().item())

    net = build()
    opt = optim.Adam(net.parameters(), 1e-2)
    run(net, opt, 0, 4)
    buf = io.BytesIO()
    torch.save({"model": net.state_dict(), "opt": opt.state_dict()}, buf)
    buf.seek(0)
    ck = torch.load(buf)
    net2 = build()
    net2.load_state_dict(ck["model"])
    opt2 = optim.Adam(net2.parameters(), 1e-2)
    opt2.load_state_dict(ck["opt"])
    run(net2, opt2, 4, 8)


@correct
def callbacks_learner():
    torch.manual_seed(9)

    class Callback:
        def after_epoch(self, l):
            pass

        def after_step(self, l):
            pass

    class Recorder(Callback):
        def __init__(self):
            self.losses = []

        def after_step(self, l):
            self.losses.append(l.loss.detach().item())

        def after_epoch(self, l):
            print(l.epoch, np.mean(self.losses[-10:]), l.acc)

    class Learner:
        def __init__(self, model, tl, vl, cbs):
            self.model, self.tl, self.vl, self.cbs = model, tl, vl, cbs
            self.opt = optim.AdamW(model.parameters(), 3e-3)

        def fit(self, n):
            for self.epoch in range(n):
                self.model.train()
                for x, y in self.tl:
                    self.loss = F.cross_entropy(self.model(x), y)
                    self.loss.backward()
                    self.opt.step()
                    self.opt.zero_grad()
                    for c in self.cbs:
                        c.after_step(self)
                self.model.eval()
                with torch.no_grad():
                    ok = [(self.model(x).argmax(1) == y) for x, y in self.vl]
                self.acc = torch.cat(ok).float().mean().item()
                for c in self.cbs:
                    c.after_epoch(self)

    d = load_digits()
    a, b, ya, yb = train_test_split(
        (d.data / 16).astype("f4"), d.target, test_size=357, random_state=9
    )
    Learner(
        nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Dropout(0.1), nn.Linear(48, 10)),
        DataLoader(list(zip(a, ya)), 72, shuffle=True),
        DataLoader(list(zip(b, yb)), 100),
        [Recorder()],
    ).fit(5)


@correct
def multitask_two_heads():
    torch.manual_seed(10)
    X = torch.randn(1000, 6)
    cls = (X[:, 0] + X[:, 1] * X[:, 2] > 0).long()
    reg = (X[:, 3] * 2 - X[:, 4])[:, None] / 5**0.5

    class Multi(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk, self.c, self.r = (
                nn.Sequential(nn.Linear(6, 48), nn.ReLU()),
                nn.Linear(48, 2),
                nn.Linear(48, 1),
            )

        def forward(self, x):
            h = self.trunk(x)
            return self.c(h), self.r(h)

    m = Multi()
    opt = optim.Adam(m.parameters(), 5e-3)
    for ep in range(6):
        m.train()
        for x, c, r in DataLoader(TensorDataset(X[:800], cls[:800], reg[:800]), 50, shuffle=True):
            oc, orr = m(x)
            loss = F.cross_entropy(oc, c) + 0.5 * F.mse_loss(orr, r)
            opt.zero_grad()
            loss.backward()
            opt.step()
        m.eval()
        with torch.no_grad():
            oc, orr = m(X[800:])
            print(
                ep,
                (oc.argmax(1) == cls[800:]).float().mean().item(),
                F.mse_loss(orr, reg[800:]).item(),
            )


@correct
def segmentation_iou():
    torch.manual_seed(11)
    img = torch.rand(240, 1, 12, 12)
    mask = (F.avg_pool2d(img, 3, 1, 1, count_include_pad=False) > 0.5).float()
    img = (img - img[:200].mean()) / img[:200].std()
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, 12, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, 1, 1),
    )
    opt = optim.Adam(net.parameters(), 5e-3)
    for ep in range(5):
        net.train()
        for x, m in DataLoader(TensorDataset(img[:200], mask[:200]), 20, shuffle=True):
            opt.zero_grad()
            F.binary_cross_entropy_with_logits(net(x), m).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            p, m = net(img[200:]) > 0, mask[200:].bool()
            print(ep, "IoU", ((p & m).sum() / (p | m).sum()).item())


@correct
def transformer_warmup_per_step():
    torch.manual_seed(12)
    x = torch.randint(0, 16, (1000, 8))
    y = (x[:, 0] > x[:, 7]).long()

    class Clf(nn.Module):
        def __init__(self):
            super().__init__()
            self.e, self.p = nn.Embedding(16, 24), nn.Parameter(0.02 * torch.randn(8, 24))
            self.t = nn.TransformerEncoderLayer(24, 2, 48, dropout=0.1, batch_first=True)
            self.o = nn.Linear(192, 2)

        def forward(self, s):
            return self.o(self.t(self.e(s) + self.p).flatten(1))

    m = Clf()
    opt = optim.AdamW(m.parameters(), 4e-3)
    dl, E = DataLoader(TensorDataset(x[:800], y[:800]), 40, shuffle=True), 5
    N = E * len(dl)
    sch = optim.lr_scheduler.LambdaLR(opt, lambda s: min((s + 1) / 10, max(0.02, 1 - s / N)))
    for ep in range(E):
        m.train()
        for a, b in dl:
            opt.zero_grad()
            F.cross_entropy(m(a), b).backward()
            opt.step()
            sch.step()
        m.eval()
        with torch.no_grad():
            print(ep, (m(x[800:]).argmax(1) == y[800:]).float().mean().item())


@correct
def nll_log_softmax_weighted_sampler():
    torch.manual_seed(13)
    X, y = make_classification(
        1200, 12, n_informative=6, weights=[0.85], class_sep=1.5, random_state=13
    )
    a, b, ya, yb = train_test_split(X, y, test_size=0.25, stratify=y, random_state=13)
    sc = StandardScaler().fit(a)
    a, b = torch.tensor(sc.transform(a)).float(), torch.tensor(sc.transform(b)).float()
    w = 1.0 / np.bincount(ya)[ya]
    dl = DataLoader(
        TensorDataset(a, torch.tensor(ya)),
        60,
        sampler=WeightedRandomSampler(torch.tensor(w), len(ya)),
    )
    net = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 2), nn.LogSoftmax(1))
    opt, crit = optim.Adam(net.parameters(), 3e-3), nn.NLLLoss()
    for ep in range(6):
        net.train()
        for x, t in dl:
            opt.zero_grad()
            crit(net(x), t).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            print(ep, "F1", f1_score(yb, net(b).argmax(1).numpy()))


@correct
def multilabel_bce_logits():
    torch.manual_seed(14)
    X = torch.randn(1000, 10)
    Y = (torch.stack([X[:, 0] + X[:, 1], X[:, 2] - X[:, 3], X[:, 4] * X[:, 5]], 1) > 0).float()
    net = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 3))
    opt, crit = optim.Adam(net.parameters(), 5e-3), nn.BCEWithLogitsLoss()
    for ep in range(6):
        net.train()
        for x, t in DataLoader(TensorDataset(X[:800], Y[:800]), 40, shuffle=True):
            opt.zero_grad()
            crit(net(x), t).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            p = (torch.sigmoid(net(X[800:])) > 0.5).float()
        print(ep, f1_score(Y[800:], p, average="macro"))


@correct
def denoising_autoencoder():
    torch.manual_seed(15)
    d = torch.tensor(load_digits().data / 16).float()
    d = d[torch.randperm(len(d))]
    tr, va = d[:1440], d[1440:]
    noisy = va + 0.2 * torch.randn_like(va)
    ae = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 64), nn.Sigmoid())
    opt = optim.Adam(ae.parameters(), 5e-3)
    for ep in range(6):
        ae.train()
        for (x,) in DataLoader(TensorDataset(tr), 48, shuffle=True):
            loss = F.mse_loss(ae(x + 0.2 * torch.randn_like(x)), x)
            opt.zero_grad()
            loss.backward()
            opt.step()
        ae.eval()
        with torch.no_grad():
            print(ep, F.mse_loss(ae(noisy), va).item(), "noise", F.mse_loss(noisy, va).item())


@correct
def argparse_adagrad_generator_loop():
    args = argparse.Namespace(seed=16, lr=0.1, epochs=6, batch=30)
    torch.manual_seed(args.seed)
    X, y = load_iris(return_X_y=True)
    a, b, ya, yb = train_test_split(X, y, test_size=30, stratify=y, random_state=16)
    m, s = a.mean(0), a.std(0)
    a, b, ya, yb = (
        torch.tensor((a - m) / s).float(),
        torch.tensor((b - m) / s).float(),
        torch.tensor(ya),
        torch.tensor(yb),
    )

    def batches():
        for i in torch.randperm(len(a)).split(args.batch):
            yield a[i], ya[i]

    net = nn.Sequential(nn.Linear(4, 20), nn.Tanh(), nn.Linear(20, 3))
    opt = optim.Adagrad(net.parameters(), args.lr)
    for ep in range(args.epochs):
        net.train()
        for x, t in batches():
            opt.zero_grad()
            F.cross_entropy(net(x), t).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            print(ep, F.cross_entropy(net(b), yb).item(), accuracy_score(yb, net(b).argmax(1)))


@correct
def trainer_with_writer_and_validation_inside_epoch():
    torch.manual_seed(17)

    class Writer:
        def __init__(self):
            self.rows = []

        def add_scalar(self, tag, v, step):
            self.rows.append((tag, float(v), step))

    d = load_digits()
    a, b, ya, yb = train_test_split(
        d.images[:, None] / 16, d.target, test_size=357, random_state=17
    )
    a, b, ya, yb = (
        torch.tensor(a).float(),
        torch.tensor(b).float(),
        torch.tensor(ya),
        torch.tensor(yb),
    )
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(288, 10),
    )
    opt, w, step = optim.SGD(net.parameters(), 0.03, momentum=0.9, nesterov=True), Writer(), 0
    for ep in range(4):
        for x, y in DataLoader(TensorDataset(a, ya), 72, shuffle=True):
            net.train()
            loss = F.cross_entropy(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            w.add_scalar("loss", loss.item(), step)
            step += 1
            if step % 10 == 0:
                net.eval()
                with torch.no_grad():
                    w.add_scalar("acc", (net(b).argmax(1) == yb).float().mean().item(), step)
        print(ep, w.rows[-1])


@correct
def resnet_blocks_modulelist_polylr():
    torch.manual_seed(18)
    X, y = make_blobs(900, 5, centers=6, cluster_std=2.5, random_state=18)
    m, s = X[:700].mean(0), X[:700].std(0)
    X, y = torch.tensor((X - m) / s).float(), torch.tensor(y)

    class Res(nn.Module):
        def __init__(self, d=24):
            super().__init__()
            self.stem, self.head = nn.Linear(5, d), nn.Linear(d, 6)
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(d), nn.Linear(d, d), nn.GELU()) for _ in range(2)
            )

        def forward(self, x):
            x = self.stem(x)
            for blk in self.blocks:
                x = x + F.dropout(blk(x), 0.1, training=self.training)
            return self.head(x)

    net = Res()
    opt = optim.RMSprop(net.parameters(), 3e-3)
    sch = optim.lr_scheduler.PolynomialLR(opt, total_iters=6)
    for ep in range(6):
        net.train()
        for i in torch.randperm(700).split(35):
            opt.zero_grad()
            F.cross_entropy(net(X[i]), y[i]).backward()
            opt.step()
        sch.step()
        net.eval()
        with torch.no_grad():
            print(ep, sch.get_last_lr(), (net(X[700:]).argmax(1) == y[700:]).float().mean().item())
