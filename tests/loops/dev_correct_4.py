"""Correct training loops in many styles: there is nothing to find in them."""

import copy
import io
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import (
    make_moons,
    make_regression,
)
from sklearn.model_selection import KFold
from torch.optim import SGD, Adam, AdamW
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    SubsetRandomSampler,
    TensorDataset,
)
from torch.utils.data.distributed import DistributedSampler

from tests.loops import correct


@correct
def accumulation_with_bf16_and_clip():
    torch.manual_seed(0)
    X = torch.randn(256, 8)
    y = (X[:, 0] * X[:, 1] > 0).long()
    model = nn.Sequential(nn.Linear(8, 48), nn.GELU(), nn.Linear(48, 2))
    opt = AdamW(model.parameters(), lr=1e-2)
    loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)
    accum = 2
    for _ in range(10):
        for i, (xb, yb) in enumerate(loader, start=1):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(model(xb), yb)
            (loss / accum).backward()
            if i % accum == 0 or i == len(loader):
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                opt.step()
                opt.zero_grad(set_to_none=True)


@correct
def lbfgs_strong_wolfe_large_batches():
    torch.manual_seed(0)
    X = torch.randn(300, 4)
    y = (X @ torch.tensor([1.0, -1.0, 2.0, 0.0]) > 0).float().view(-1, 1)
    model = nn.Linear(4, 1)
    opt = torch.optim.LBFGS(model.parameters(), max_iter=4, line_search_fn="strong_wolfe")
    for epoch in range(4):
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=150, shuffle=True):

            def closure(xb=xb, yb=yb):
                opt.zero_grad()
                loss = F.binary_cross_entropy_with_logits(model(xb), yb)
                loss = loss + 1e-2 * model.weight.pow(2).sum()
                loss.backward()
                return loss

            last = opt.step(closure)
        print(epoch, last.item())


@correct
def unfreeze_by_requires_grad_toggle():
    # the optimizer holds everything from the start; frozen parameters simply have no gradient
    torch.manual_seed(0)
    X = torch.randn(240, 6)
    y = (X[:, 0].abs() > X[:, 1].abs()).long()
    net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    opt = Adam(net.parameters(), lr=1e-2)
    for p in net[:4].parameters():
        p.requires_grad = False
    for epoch in range(10):
        if epoch == 3:
            net[2].requires_grad_(True)
        if epoch == 5:
            net[0].requires_grad_(True)
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=40, shuffle=True):
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()


@correct
def sam_optimizer_class_with_closure():
    torch.manual_seed(0)

    class SAM(torch.optim.Optimizer):
        def __init__(self, params, base, rho=0.05, **kw):
            super().__init__(params, {"rho": rho, **kw})
            self.base = base(self.param_groups, **kw)
            self.param_groups = self.base.param_groups

        @torch.no_grad()
        def first_step(self):
            ps = [p for g in self.param_groups for p in g["params"] if p.grad is not None]
            norm = torch.stack([p.grad.norm() for p in ps]).norm() + 1e-12
            for p in ps:
                self.state[p]["old"] = p.detach().clone()
                p.add_(p.grad, alpha=self.defaults["rho"] / norm.item())
            self.zero_grad()

        @torch.no_grad()
        def step(self, closure=None):
            closure = torch.enable_grad()(closure)
            self.first_step()
            closure()
            for g in self.param_groups:
                for p in g["params"]:
                    p.copy_(self.state[p]["old"])
            self.base.step()

    X = torch.randn(192, 4)
    y = (X[:, 0] + X[:, 1] * X[:, 1] > 0.5).long()
    model = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 2))
    opt = SAM(model.parameters(), SGD, lr=0.2)
    for _ in range(12):
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True):

            def closure(xb=xb, yb=yb):
                loss = F.cross_entropy(model(xb), yb)
                loss.backward()
                return loss

            closure()
            opt.step(closure)
            opt.zero_grad()


@correct
def ddpg_soft_target_updates():
    # the best action is the observation itself; episodes of one step, replay buffer in tensors
    torch.manual_seed(0)

    def mlp(i, o):
        return nn.Sequential(nn.Linear(i, 32), nn.ReLU(), nn.Linear(32, o))

    actor, critic = mlp(1, 1), mlp(2, 1)
    actor_t, critic_t = copy.deepcopy(actor), copy.deepcopy(critic)
    a_opt, c_opt = Adam(actor.parameters(), lr=3e-3), Adam(critic.parameters(), lr=1e-2)
    s = torch.rand(500, 1) * 2 - 1
    a = torch.rand(500, 1) * 2 - 1
    r = -((a - s) ** 2)
    s2 = torch.rand(500, 1) * 2 - 1
    for _ in range(80):
        i = torch.randint(0, 500, (48,))
        with torch.no_grad():
            nxt = critic_t(torch.cat([s2[i], torch.tanh(actor_t(s2[i]))], 1))
            goal = r[i] + 0.5 * nxt
        c_loss = F.mse_loss(critic(torch.cat([s[i], a[i]], 1)), goal)
        c_opt.zero_grad()
        c_loss.backward()
        c_opt.step()
        for p in critic.parameters():
            p.requires_grad = False
        a_loss = -critic(torch.cat([s[i], torch.tanh(actor(s[i]))], 1)).mean()
        a_opt.zero_grad()
        a_loss.backward()
        a_opt.step()
        for p in critic.parameters():
            p.requires_grad = True
        with torch.no_grad():
            for net, tgt in ((actor, actor_t), (critic, critic_t)):
                for p, pt in zip(net.parameters(), tgt.parameters(), strict=True):
                    pt.data.mul_(0.95).add_(0.05 * p.data)


@correct
def kfold_regression_reset_parameters():
    torch.manual_seed(0)
    X, y = make_regression(180, 6, noise=5.0, random_state=0)
    y = y / 100
    ds = TensorDataset(torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32))
    net = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 1))
    results = {}

    def reset_weights(m):
        if hasattr(m, "reset_parameters"):
            m.reset_parameters()

    for fold, (train_ids, test_ids) in enumerate(KFold(3, shuffle=True, random_state=0).split(X)):
        trainloader = DataLoader(ds, batch_size=20, sampler=SubsetRandomSampler(train_ids))
        testloader = DataLoader(ds, batch_size=60, sampler=SubsetRandomSampler(test_ids))
        net.apply(reset_weights)
        opt = Adam(net.parameters(), lr=1e-2)
        for _ in range(8):
            for xb, yb in trainloader:
                opt.zero_grad()
                loss = F.mse_loss(net(xb).squeeze(-1), yb)
                loss.backward()
                opt.step()
        se = 0.0
        with torch.no_grad():
            for xb, yb in testloader:
                se += ((net(xb).squeeze(-1) - yb) ** 2).sum().item()
        results[fold] = (se / len(test_ids)) ** 0.5
    print(results)


@correct
def ctc_tiny_speech():
    torch.manual_seed(0)
    proto = torch.randn(5, 6)

    def make(n):
        labels = torch.randint(1, 5, (n, 3))
        frames = proto[labels].repeat_interleave(3, dim=1)
        return frames + 0.2 * torch.randn_like(frames), labels

    X, Y = make(120)
    rnn = nn.GRU(6, 24, batch_first=True, bidirectional=True)
    fc = nn.Linear(48, 5)
    opt = Adam([*rnn.parameters(), *fc.parameters()], lr=2e-2)
    ctc = nn.CTCLoss(blank=0, zero_infinity=True)
    for _ in range(8):
        for xb, yb in DataLoader(TensorDataset(X, Y), batch_size=24, shuffle=True):
            logp = fc(rnn(xb)[0]).log_softmax(2).transpose(0, 1)
            n = len(xb)
            loss = ctc(logp, yb, torch.full((n,), 9), torch.full((n,), 3))
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([*rnn.parameters(), *fc.parameters()], 5.0)
            opt.step()


@correct
def realnvp_flow():
    torch.manual_seed(0)
    X = torch.tensor(make_moons(320, noise=0.06, random_state=0)[0], dtype=torch.float32)
    X = (X - X.mean(0)) / X.std(0)

    class Coupling(nn.Module):
        def __init__(self, flip):
            super().__init__()
            self.flip = flip
            self.net = nn.Sequential(nn.Linear(1, 24), nn.ReLU(), nn.Linear(24, 2))

        def forward(self, x):
            a, b = x.chunk(2, 1)
            if self.flip:
                a, b = b, a
            s, t = self.net(a).chunk(2, 1)
            s = torch.tanh(s)
            b = b * s.exp() + t
            out = torch.cat([b, a] if self.flip else [a, b], 1)
            return out, s.squeeze(1)

    layers = nn.ModuleList([Coupling(i % 2 == 0) for i in range(4)])
    opt = Adam(layers.parameters(), lr=1e-2)
    for _ in range(12):
        for (x,) in DataLoader(TensorDataset(X), batch_size=64, shuffle=True):
            z, logdet = x, 0.0
            for layer in layers:
                z, ld = layer(z)
                logdet = logdet + ld
            logp = -0.5 * (z**2).sum(1) - math.log(2 * math.pi) + logdet
            loss = -logp.mean()
            opt.zero_grad()
            loss.backward()
            opt.step()


@correct
def multi_task_learned_uncertainty():
    torch.manual_seed(0)
    X = torch.randn(256, 6)
    y_reg = X[:, 0] * 2 + X[:, 1]
    y_cls = (X[:, 2] > X[:, 3]).long()
    trunk = nn.Sequential(nn.Linear(6, 32), nn.ReLU())
    reg, clf = nn.Linear(32, 1), nn.Linear(32, 2)
    log_vars = nn.Parameter(torch.zeros(2))
    opt = Adam(
        [
            {"params": [*trunk.parameters(), *reg.parameters(), *clf.parameters()]},
            {"params": [log_vars], "lr": 1e-2, "weight_decay": 0.0},
        ],
        lr=1e-2,
        weight_decay=1e-5,
    )
    for _ in range(12):
        for xb, rb, cb in DataLoader(TensorDataset(X, y_reg, y_cls), 32, shuffle=True):
            h = trunk(xb)
            l_reg = F.mse_loss(reg(h).squeeze(1), rb)
            l_cls = F.cross_entropy(clf(h), cb)
            losses = torch.stack([l_reg, l_cls])
            loss = (torch.exp(-log_vars) * losses + 0.5 * log_vars).sum()
            opt.zero_grad()
            loss.backward()
            opt.step()


@correct
def matrix_factorisation_movielens():
    torch.manual_seed(0)
    U, V = torch.randn(30, 2), torch.randn(20, 2)
    users = torch.randint(0, 30, (500,))
    items = torch.randint(0, 20, (500,))
    ratings = 3 + (U[users] * V[items]).sum(1).clamp(-2, 2) + 0.1 * torch.randn(500)

    class MF(nn.Module):
        def __init__(self, k=8):
            super().__init__()
            self.u, self.v = nn.Embedding(30, k), nn.Embedding(20, k)
            self.bu, self.bv = nn.Embedding(30, 1), nn.Embedding(20, 1)
            self.mu = nn.Parameter(torch.tensor(3.0))
            for e in (self.u, self.v, self.bu, self.bv):
                nn.init.normal_(e.weight, std=0.1)

        def forward(self, u, v):
            dot = (self.u(u) * self.v(v)).sum(1)
            return dot + self.bu(u).squeeze(1) + self.bv(v).squeeze(1) + self.mu

    model = MF()
    opt = Adam(model.parameters(), lr=2e-2, weight_decay=1e-5)
    dl = DataLoader(TensorDataset(users[:400], items[:400], ratings[:400]), 50, shuffle=True)
    for _ in range(15):
        sse = 0.0
        for u, v, r in dl:
            pred = model(u, v)
            loss = F.mse_loss(pred, r)
            opt.zero_grad()
            loss.backward()
            opt.step()
            sse += loss.item() * len(r)
        with torch.no_grad():
            val = F.mse_loss(model(users[400:], items[400:]), ratings[400:]).item()
        print(sse / 400, val)


@correct
def distributed_sampler_set_epoch():
    torch.manual_seed(0)
    X = torch.randn(256, 5)
    y = (X[:, 0] > X[:, 1] * X[:, 2]).long()
    ds = TensorDataset(X, y)
    sampler = DistributedSampler(ds, num_replicas=1, rank=0, shuffle=True, seed=3)
    loader = DataLoader(ds, batch_size=32, sampler=sampler)
    model = nn.Sequential(nn.Linear(5, 24), nn.ReLU(), nn.Linear(24, 2))
    opt = SGD(model.parameters(), lr=0.3)
    for epoch in range(12):
        sampler.set_epoch(epoch)
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()


@correct
def iterable_stream_of_synthetic_batches():
    class Stream(IterableDataset):
        def __init__(self, n, seed):
            self.n, self.seed = n, seed

        def __iter__(self):
            g = torch.Generator().manual_seed(self.seed)
            for _ in range(self.n):
                x = torch.rand(2, generator=g) * 2 - 1
                yield x, (x[0] * x[1] > 0).long()

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
    opt = Adam(model.parameters(), lr=2e-2)
    running = None
    for epoch in range(3):
        for xb, yb in DataLoader(Stream(960, seed=epoch), batch_size=32):
            loss = F.cross_entropy(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            running = loss.item() if running is None else 0.95 * running + 0.05 * loss.item()
        print(epoch, running)


@correct
def checkpoint_to_buffer_and_resume():
    torch.manual_seed(0)
    X = torch.randn(200, 6)
    y = (X.sum(1) > 0).long()

    def build():
        m = nn.Sequential(nn.Linear(6, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 2))
        return m, Adam(m.parameters(), lr=1e-2)

    def run(model, opt, epochs):
        for _ in range(epochs):
            model.train()
            for xb, yb in DataLoader(TensorDataset(X, y), batch_size=25, shuffle=True):
                opt.zero_grad()
                F.cross_entropy(model(xb), yb).backward()
                opt.step()

    model, opt = build()
    run(model, opt, 3)
    buffer = io.BytesIO()
    torch.save({"model": model.state_dict(), "opt": opt.state_dict()}, buffer)
    buffer.seek(0)
    state = torch.load(buffer)
    model, opt = build()
    model.load_state_dict(state["model"])
    opt.load_state_dict(state["opt"])
    run(model, opt, 3)


@correct
def zero_initialised_output_layer():
    # the first predictions are all alike: the head starts at zero and the bias at the prior
    torch.manual_seed(0)
    X = torch.randn(320, 8)
    y = (X[:, 0] + 0.5 * X[:, 1] > 1.0).float()
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
    nn.init.zeros_(model[2].weight)
    p = y.mean()
    nn.init.constant_(model[2].bias, torch.log(p / (1 - p)).item())
    opt = Adam(model.parameters(), lr=1e-2)
    crit = nn.BCEWithLogitsLoss()
    for _ in range(8):
        losses = []
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True):
            opt.zero_grad()
            loss = crit(model(xb)[:, 0], yb)
            loss.backward()
            opt.step()
            losses.append(loss.item())
        print(sum(losses) / len(losses))


@correct
def mean_teacher_semi_supervised():
    torch.manual_seed(0)
    X, y = make_moons(260, noise=0.1, random_state=3)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    labelled, unlabelled = torch.arange(60), torch.arange(60, 260)
    student = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
    teacher = copy.deepcopy(student)
    for p in teacher.parameters():
        p.detach_()
    opt = Adam(student.parameters(), lr=1e-2)
    for step in range(100):
        i = labelled[torch.randint(0, 60, (20,))]
        j = unlabelled[torch.randint(0, 200, (40,))]
        sup = F.cross_entropy(student(X[i]), y[i])
        with torch.no_grad():
            target = teacher(X[j] + 0.05 * torch.randn(40, 2)).softmax(1)
        cons = F.mse_loss(student(X[j] + 0.05 * torch.randn(40, 2)).softmax(1), target)
        loss = sup + min(1.0, step / 50) * cons
        opt.zero_grad()
        loss.backward()
        opt.step()
        alpha = min(1 - 1 / (step + 1), 0.95)
        with torch.no_grad():
            for pt, ps in zip(teacher.parameters(), student.parameters(), strict=True):
                pt.mul_(alpha).add_(ps, alpha=1 - alpha)


@correct
def optimise_an_image_not_a_model():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1))
    net.requires_grad_(False).eval()
    goal = net(torch.rand(1, 1, 10, 10))
    image = torch.rand(1, 1, 10, 10, requires_grad=True)
    opt = Adam([image], lr=0.05)
    for it in range(80):
        opt.zero_grad()
        loss = F.mse_loss(net(image), goal)
        loss.backward()
        opt.step()
        with torch.no_grad():
            image.clamp_(0, 1)
        if it % 20 == 0:
            print(it, loss.item())


@correct
def custom_lookahead_optimizer():
    class Lookahead(optim.Optimizer):
        def __init__(self, base, k=5, alpha=0.5):
            self.base, self.k, self.alpha = base, k, alpha
            self.param_groups = base.param_groups
            self.defaults, self.state = base.defaults, base.state
            self.slow = [[p.detach().clone() for p in g["params"]] for g in self.param_groups]
            self.count = 0

        def zero_grad(self, set_to_none=True):
            self.base.zero_grad(set_to_none=set_to_none)

        @torch.no_grad()
        def step(self, closure=None):
            loss = self.base.step(closure)
            self.count += 1
            if self.count % self.k == 0:
                for g, slow in zip(self.param_groups, self.slow, strict=True):
                    for p, s in zip(g["params"], slow, strict=True):
                        s.add_(p - s, alpha=self.alpha)
                        p.copy_(s)
            return loss

    torch.manual_seed(0)
    X = torch.randn(200, 6)
    y = (X[:, :3].sum(1) > X[:, 3:].sum(1)).long()
    model = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 2))
    opt = Lookahead(SGD(model.parameters(), lr=0.2, momentum=0.9))
    for _ in range(8):
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=25, shuffle=True):
            loss = F.cross_entropy(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
