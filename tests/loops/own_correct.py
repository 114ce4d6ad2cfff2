"""Correct loops of unusual kinds, written beside the doctor: its hard cases."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from . import correct
from .own_buggy import Shaken


def _points(n=320, seed=0):
    torch.manual_seed(seed)
    X = torch.randn(n, 6)
    return X, (X[:, 0] - X[:, 1] * X[:, 2] > 0).long()


def _loader(n=320, batch_size=32, **options):
    return DataLoader(TensorDataset(*_points(n)), batch_size=batch_size, shuffle=True, **options)


def _net(*extra):
    return nn.Sequential(nn.Linear(6, 32), *extra, nn.ReLU(), nn.Linear(32, 2))


@correct
def lbfgs_with_closure():
    X, y = _points()
    net = nn.Linear(6, 2)
    opt = optim.LBFGS(net.parameters(), lr=0.5, max_iter=5)

    def closure():
        opt.zero_grad()
        loss = F.cross_entropy(net(X), y)
        loss.backward()
        return loss

    for _ in range(10):
        opt.step(closure)


@correct
def actor_critic_two_optimizers():
    torch.manual_seed(1)
    actor = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))
    critic = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    opt_a, opt_c = optim.Adam(actor.parameters(), 1e-3), optim.Adam(critic.parameters(), 1e-3)
    for _ in range(30):
        states = torch.randn(12, 4)
        dist = torch.distributions.Categorical(logits=actor(states))
        actions = dist.sample()
        returns = (actions == (states[:, 0] > 0)).float()
        values = critic(states).squeeze(1)
        advantage = returns - values
        opt_c.zero_grad()
        critic_loss = advantage.pow(2).mean()
        critic_loss.backward()
        opt_c.step()
        opt_a.zero_grad()
        actor_loss = -(dist.log_prob(actions) * advantage.detach()).mean()
        actor_loss.backward()
        opt_a.step()


@correct
def dcgan_tutorial_with_fixed_noise():
    torch.manual_seed(2)
    real_data = torch.randn(256, 2) * 0.3 + 1
    loader = DataLoader(TensorDataset(real_data), batch_size=32, shuffle=True)
    netG = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
    netD = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1), nn.Sigmoid())
    criterion = nn.BCELoss()
    fixed_noise = torch.randn(16, 4)
    optD, optG = optim.Adam(netD.parameters(), 2e-3), optim.Adam(netG.parameters(), 2e-3)
    samples = []
    for _ in range(4):
        for (real,) in loader:
            netD.zero_grad()
            output = netD(real).view(-1)
            errD_real = criterion(output, torch.ones(len(real)))
            errD_real.backward()
            fake = netG(torch.randn(len(real), 4))
            errD_fake = criterion(netD(fake.detach()).view(-1), torch.zeros(len(real)))
            errD_fake.backward()
            optD.step()
            netG.zero_grad()
            errG = criterion(netD(fake).view(-1), torch.ones(len(real)))
            errG.backward()
            optG.step()
        with torch.no_grad():
            samples.append(netG(fixed_noise).detach())


@correct
def wgan_gp():
    torch.manual_seed(3)
    loader = DataLoader(TensorDataset(torch.randn(320, 2) + 2), batch_size=32, shuffle=True)
    gen = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2))
    critic = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(), nn.Linear(16, 1))
    opt_g, opt_c = optim.Adam(gen.parameters(), 1e-3), optim.Adam(critic.parameters(), 1e-3)
    for _ in range(4):
        for i, (real,) in enumerate(loader):
            fake = gen(torch.randn(len(real), 3)).detach()
            mix = torch.rand(len(real), 1)
            between = (mix * real + (1 - mix) * fake).requires_grad_()
            grad = torch.autograd.grad(critic(between).sum(), between, create_graph=True)[0]
            penalty = ((grad.norm(dim=1) - 1) ** 2).mean()
            loss_c = critic(fake).mean() - critic(real).mean() + 10 * penalty
            opt_c.zero_grad()
            loss_c.backward()
            opt_c.step()
            if i % 3 == 2:
                opt_g.zero_grad()
                (-critic(gen(torch.randn(len(real), 3))).mean()).backward()
                opt_g.step()


@correct
def manual_sgd_under_no_grad():
    torch.manual_seed(4)
    X = torch.randn(200, 3)
    y = X @ torch.tensor([1.0, -2.0, 0.5]) + 0.3
    w, b = torch.zeros(3, requires_grad=True), torch.zeros(1, requires_grad=True)
    for _ in range(50):
        loss = ((X @ w + b - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            w -= 0.1 * w.grad
            b -= 0.1 * b.grad
            w.grad.zero_()
            b.grad.zero_()


@correct
def old_style_data_zero():
    torch.manual_seed(5)
    X, y = _points()
    net = _net()
    opt = optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        for i in range(0, 320, 32):
            loss = F.cross_entropy(net(X[i : i + 32]), y[i : i + 32])
            for p in net.parameters():
                if p.grad is not None:
                    p.grad.data.zero_()
            loss.backward()
            opt.step()


@correct
def torch_func_grad():
    X, y = _points()
    net = _net()
    params = {name: p.detach().clone() for name, p in net.named_parameters()}

    def loss_of(params, xb, yb):
        return F.cross_entropy(torch.func.functional_call(net, params, (xb,)), yb)

    per_sample = torch.func.vmap(torch.func.grad(loss_of), in_dims=(None, 0, 0))
    for i in range(0, 320, 32):
        grads = per_sample(params, X[i : i + 32, None], y[i : i + 32, None])
        params = {name: p - 0.1 * grads[name].mean(0) for name, p in params.items()}


@correct
def optimizer_in_backward():
    net = _net()
    opts = {p: optim.SGD([p], lr=0.05) for p in net.parameters()}

    def hook(p):
        opts[p].step()
        opts[p].zero_grad()

    for p in net.parameters():
        p.register_post_accumulate_grad_hook(hook)
    for _ in range(3):
        for xb, yb in _loader():
            F.cross_entropy(net(xb), yb).backward()


@correct
def sam_two_steps():
    net = _net()
    base = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for _ in range(4):
        for xb, yb in _loader():
            F.cross_entropy(net(xb), yb).backward()
            norm = torch.norm(torch.stack([p.grad.norm() for p in net.parameters()]))
            moved = []
            with torch.no_grad():
                for p in net.parameters():
                    e = 0.05 * p.grad / (norm + 1e-12)
                    p.add_(e)
                    moved.append(e)
            base.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            with torch.no_grad():
                for p, e in zip(net.parameters(), moved, strict=True):
                    p.sub_(e)
            base.step()
            base.zero_grad()


@correct
def maml_sine_tasks():
    torch.manual_seed(6)
    net = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1))
    meta = optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(15):
        meta.zero_grad()
        total = 0
        for _ in range(4):
            phase = torch.rand(1) * 3
            x = torch.rand(10, 1) * 6 - 3
            y = torch.sin(x + phase)
            params = dict(net.named_parameters())
            inner = F.mse_loss(torch.func.functional_call(net, params, (x[:5],)), y[:5])
            grads = torch.autograd.grad(inner, list(params.values()), create_graph=True)
            fast = {n: p - 0.05 * g for (n, p), g in zip(params.items(), grads, strict=True)}
            total = total + F.mse_loss(torch.func.functional_call(net, fast, (x[5:],)), y[5:])
        (total / 4).backward()
        meta.step()


@correct
def lr_range_test():
    net = _net()
    start = copy.deepcopy(net.state_dict())
    opt = optim.SGD(net.parameters(), lr=1e-5)
    sched = optim.lr_scheduler.LambdaLR(opt, lambda step: 1.35**step)
    losses = []
    for _ in range(5):
        for xb, yb in _loader():
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            sched.step()
            losses.append(loss.item())
    net.load_state_dict(start)


@correct
def head_first_then_everything():
    body = nn.Sequential(nn.Linear(6, 32), nn.BatchNorm1d(32), nn.ReLU())
    net = nn.Sequential(body, nn.Linear(32, 2))
    loader = _loader()
    for params, lr in ((net[1].parameters(), 1e-2), (net.parameters(), 1e-3)):
        opt = optim.Adam(params, lr=lr)
        for _ in range(2):
            for xb, yb in loader:
                opt.zero_grad()
                F.cross_entropy(net(xb), yb).backward()
                opt.step()


@correct
def frozen_features_extracted_under_no_grad():
    torch.manual_seed(7)
    backbone = nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.1), nn.ReLU()).eval()
    head = nn.Linear(32, 2)
    opt = optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(4):
        for xb, yb in _loader():
            with torch.no_grad():
                features = backbone(xb)
            opt.zero_grad()
            F.cross_entropy(head(features), yb).backward()
            opt.step()


@correct
def checkpointed_and_unused_head():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(6, 32), nn.Linear(32, 32)
            self.head, self.spare = nn.Linear(32, 2), nn.Linear(32, 5)

        def forward(self, x):
            h = checkpoint(lambda t: torch.relu(self.a(t)), x, use_reentrant=False)
            h = checkpoint(lambda t: torch.relu(self.b(t)), h, use_reentrant=False)
            return self.spare(h), self.head(h)

    net = Net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(4):
        for xb, yb in _loader():
            opt.zero_grad()
            F.cross_entropy(net(xb)[1], yb).backward()
            opt.step()


@correct
def dqn_with_target_net():
    torch.manual_seed(8)
    policy = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 2))
    target = copy.deepcopy(policy)
    opt = optim.Adam(policy.parameters(), lr=1e-3)
    memory = []
    state = torch.randn(4)
    for t in range(120):
        with torch.no_grad():
            action = policy(state).argmax().item()
        following = state + 0.1 * torch.randn(4)
        memory.append((state, action, float(following[0] > 0), following))
        state = following
        if len(memory) >= 16:
            batch = [memory[int(i)] for i in torch.randint(len(memory), (16,))]
            s = torch.stack([b[0] for b in batch])
            a = torch.tensor([b[1] for b in batch])
            r = torch.tensor([b[2] for b in batch])
            with torch.no_grad():
                goal = r + 0.9 * target(torch.stack([b[3] for b in batch])).max(1)[0]
            q = policy(s).gather(1, a.unsqueeze(1)).squeeze(1)
            loss = F.smooth_l1_loss(q, goal)
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_value_(policy.parameters(), 1.0)
            opt.step()
        if t % 20 == 0:
            target.load_state_dict(policy.state_dict())


@correct
def pairwise_ranking_and_contrastive():
    torch.manual_seed(9)
    scorer = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
    opt = optim.Adam(scorer.parameters(), lr=1e-2)
    for _ in range(4):
        for xb, _ in _loader():
            relevance = xb[:, 0] + xb[:, 1]
            s = scorer(xb)
            difference = s - s.T
            order = (relevance[:, None] > relevance[None, :]).float()
            opt.zero_grad()
            F.binary_cross_entropy_with_logits(difference, order).backward()
            opt.step()


@correct
def one_batch_overfit():
    X, y = _points(16)
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(60):
        opt.zero_grad()
        loss = F.cross_entropy(net(X), y)
        loss.backward()
        opt.step()


@correct
def tied_weights_and_sparse_embedding():
    torch.manual_seed(10)
    ids = torch.randint(0, 30, (300, 5))
    table = nn.Embedding(30, 12, sparse=True)
    mix = nn.Linear(12, 12)
    opt_s, opt_d = optim.SparseAdam(table.parameters(), 1e-2), optim.Adam(mix.parameters(), 1e-2)
    for _ in range(3):
        for (b,) in DataLoader(TensorDataset(ids), batch_size=30, shuffle=True):
            h = mix(table(b[:, :-1]).mean(1))
            logits = F.linear(h, table.weight.detach())
            opt_s.zero_grad()
            opt_d.zero_grad()
            F.cross_entropy(logits, b[:, -1]).backward()
            opt_s.step()
            opt_d.step()


@correct
def accumulation_averaged_with_leftover():
    net = _net(nn.Dropout(0.2))
    opt = optim.SGD(net.parameters(), lr=0.1)
    loader = _loader(batch_size=16)
    for _ in range(4):
        net.train()
        for i, (xb, yb) in enumerate(loader, 1):
            (F.cross_entropy(net(xb), yb) / 3).backward()
            if i % 3 == 0 or i == len(loader):
                opt.step()
                opt.zero_grad(set_to_none=False)


@correct
def momentum_teacher_in_train_mode():
    student = _net(nn.BatchNorm1d(32))
    teacher = copy.deepcopy(student).requires_grad_(False)
    opt = optim.SGD(student.parameters(), lr=0.05)
    for _ in range(3):
        for xb, yb in _loader():
            with torch.no_grad():
                soft = teacher(xb + 0.1 * torch.randn_like(xb)).softmax(1)
            logits = student(xb)
            loss = F.cross_entropy(logits, yb) + F.kl_div(
                F.log_softmax(logits, 1), soft, reduction="batchmean"
            )
            opt.zero_grad()
            loss.backward()
            opt.step()
            with torch.no_grad():
                for a, b in zip(teacher.parameters(), student.parameters(), strict=True):
                    a.lerp_(b, 0.05)
                for a, b in zip(teacher.buffers(), student.buffers(), strict=True):
                    a.copy_(b)


@correct
def the_courses_own_train():
    from course_utils import mlp, moons, tensor_loader, train

    X, y = moons(400, seed=0)
    model = mlp(2, 32, 2, dropout=0.2)
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    train(
        model,
        tensor_loader(X[:320], y[:320], batch_size=32, shuffle=True),
        tensor_loader(X[320:], y[320:], batch_size=80),
        nn.CrossEntropyLoss(),
        optimizer,
        6,
        patience=2,
        max_grad_norm=1.0,
        progress=False,
    )


@correct
def keeper_of_the_best_under_the_name_of_the_new():
    class Keeper:
        acc = 0.0

        def offer(self, acc, net):
            if self.acc < acc:
                self.acc = acc
                self.state = copy.deepcopy(net.state_dict())

    X, y = _points(480, seed=3)
    train = DataLoader(TensorDataset(X[:320], y[:320]), batch_size=32, shuffle=True)
    net, keeper = _net(), Keeper()
    opt = optim.SGD(net.parameters(), lr=2e-2)
    for _ in range(16):
        for xb, yb in train:
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()
        with torch.no_grad():
            acc = (net(X[320:]).argmax(1) == y[320:]).float().mean().item()
        keeper.offer(acc, net)
    net.load_state_dict(keeper.state)


@correct
def early_stopping_with_deepcopy_and_final_test():
    X, y = _points(480, seed=11)
    train = DataLoader(TensorDataset(X[:320], y[:320]), batch_size=32, shuffle=True)
    net = _net(nn.BatchNorm1d(32))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    best, best_state = float("inf"), None
    for _ in range(6):
        net.train()
        for xb, yb in train:
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            val = F.cross_entropy(net(X[320:400]), y[320:400]).item()
        if val < best:
            best, best_state = val, copy.deepcopy(net.state_dict())
    net.load_state_dict(best_state)
    net.eval()
    with torch.no_grad():
        print((net(X[400:]).argmax(1) == y[400:]).float().mean().item())


class _AlwaysDropping(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 32), nn.Linear(32, 2)

    def forward(self, x):
        return self.second(F.dropout(torch.relu(self.first(x)), 0.2, training=True))


def _fit(net, loader, epochs=3, lr=1e-2):
    opt = optim.Adam(net.parameters(), lr=lr)
    for _ in range(epochs):
        net.train()
        for xb, yb in loader:
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()


@correct
def dropout_sampled_at_the_end():
    X, _ = _points()
    net = _AlwaysDropping()
    _fit(net, _loader())
    net.eval()
    with torch.no_grad():
        torch.stack([net(X).softmax(1) for _ in range(10)]).std(0)


@correct
def momentum_kept_in_the_gradient():
    X, y = _points()
    net = _net()
    for _ in range(20):
        F.cross_entropy(net(X), y).backward()
        with torch.no_grad():
            for p in net.parameters():
                p -= 0.01 * p.grad
                p.grad *= 0.9


@correct
def two_losses_one_step_by_slices():
    X, y = _points()
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(8):
        opt.zero_grad()
        F.cross_entropy(net(X[:160]), y[:160]).backward()
        F.cross_entropy(net(X[160:] + 0.1 * torch.randn(160, 6)), y[160:]).backward()
        opt.step()


@correct
def critic_steps_more_often():
    generator, critic = (
        nn.Linear(4, 6),
        nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1)),
    )
    opt_g = optim.RMSprop(generator.parameters(), lr=1e-4)
    opt_c = optim.RMSprop(critic.parameters(), lr=1e-4)
    X, _ = _points()
    for _ in range(6):
        for _ in range(5):
            fake = generator(torch.randn(32, 4)).detach()
            loss = critic(fake).mean() - critic(X[:32]).mean()
            opt_c.zero_grad()
            loss.backward()
            opt_c.step()
        opt_g.zero_grad()
        (-critic(generator(torch.randn(32, 4))).mean()).backward()
        opt_g.step()


@correct
def direction_of_a_random_walk():
    torch.manual_seed(3)
    walk = torch.cumsum(torch.randn(420), 0)
    X = walk.unfold(0, 12, 1)[:-1]
    y = (walk[12:] > walk[11:-1]).long()
    X = (X - X.mean()) / X.std()
    _fit(nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 2)),
         DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True), lr=1e-3)  # fmt: skip


@correct
def labels_of_chance_on_noise():
    X = torch.rand(320, 1, 8, 8)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    _fit(net, DataLoader(TensorDataset(X, torch.randint(10, (320,))), batch_size=32), lr=1e-3)


@correct
def tagger_as_long_as_it_has_tags():
    tokens = torch.randint(12, (320, 6))
    net = nn.Sequential(nn.Embedding(12, 8), nn.Linear(8, 6))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for xb, yb in DataLoader(TensorDataset(tokens, tokens // 2), batch_size=32):
        opt.zero_grad()
        F.cross_entropy(net(xb).transpose(1, 2), yb).backward()
        opt.step()
    net.eval()
    with torch.no_grad():
        for xb, yb in DataLoader(TensorDataset(tokens, tokens // 2), batch_size=80):
            (net(xb).transpose(1, 2).argmax(1) == yb).float().mean()
            (net(xb).argmax(-1) == yb).float().mean()


@correct
def distances_of_all_pairs_and_other_sums():
    X, y = _points()
    net = nn.Linear(6, 2)
    loader = _loader()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(3):
        total = squares = 0.0
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            total += loss.item() * len(xb)
            squares += F.cross_entropy(net(xb), yb, reduction="sum").item()
        print(total / len(loader.dataset), squares / len(loader.dataset))
    with torch.no_grad():
        p = net(X)[:, 1]
        (p.unsqueeze(1) - y).abs().argmin(1)


@correct
def live_weights_copied_to_another_model():
    net, target = _net(), _net()
    for _ in range(3):
        _fit(net, _loader(), epochs=1)
        state = net.state_dict()
        target.load_state_dict(state)


class _Heads(nn.Module):
    """A head for each task, of which one is for later; `scale` is used without being called."""

    def __init__(self):
        super().__init__()
        self.body, self.scale = nn.Linear(6, 16), nn.Linear(16, 16)
        self.heads = nn.ModuleDict({task: nn.Linear(16, 2) for task in ("signs", "colours")})

    def forward(self, x, task):
        return self.heads[task](F.linear(self.body(x), self.scale.weight, self.scale.bias).relu())


@correct
def head_for_a_later_task():
    net = _Heads()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(3):
        for xb, yb in _loader():
            opt.zero_grad()
            F.cross_entropy(net(xb, "signs"), yb).backward()
            opt.step()


@correct
def states_that_begin_at_zero():
    torch.manual_seed(0)
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(4):
        states = torch.zeros(32, 6)
        for _ in range(5):
            opt.zero_grad()
            F.mse_loss(net(states), states[:, :2] + 1).backward()
            opt.step()
            states = states + torch.randn(32, 6)


@correct
def schedule_that_ends_at_zero_with_the_run():
    net = _net()
    opt = optim.AdamW(net.parameters(), lr=1e-2)
    schedule = optim.lr_scheduler.LinearLR(opt, 1.0, 0.0, total_iters=7)
    for _ in range(8):
        for xb, yb in _loader():
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()
        schedule.step()


def _new_seed(worker):
    torch.utils.data.get_worker_info().dataset.rng = np.random.default_rng(torch.initial_seed())


@correct
def generator_that_each_worker_makes_anew():
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    loader = DataLoader(Shaken(), 32, shuffle=True, num_workers=1, worker_init_fn=_new_seed)
    for _ in range(2):
        for xb, yb in loader:
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()
