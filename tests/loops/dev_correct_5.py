"""Correct training loops in many styles: there is nothing to find in them."""

import math
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.nn.utils import clip_grad_value_, parameters_to_vector
from torch.optim import SGD, Adam, AdamW
from torch.utils.checkpoint import checkpoint_sequential
from torch.utils.data import DataLoader, TensorDataset
from tqdm import trange

from tests.loops import correct


@correct
def wgan_weight_clipping_rmsprop():
    torch.manual_seed(0)
    gen = nn.Sequential(nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 1))
    critic = nn.Sequential(nn.Linear(1, 24), nn.LeakyReLU(0.2), nn.Linear(24, 1))
    og = optim.RMSprop(gen.parameters(), lr=2e-3)
    oc = optim.RMSprop(critic.parameters(), lr=2e-3)
    for it in range(40):
        for _ in range(2):
            real = torch.randn(48, 1) * 0.3 + 1.0
            oc.zero_grad()
            loss_c = critic(gen(torch.randn(48, 2)).detach()).mean() - critic(real).mean()
            loss_c.backward()
            oc.step()
            for p in critic.parameters():
                p.data.clamp_(-0.1, 0.1)
        og.zero_grad()
        loss_g = -critic(gen(torch.randn(48, 2))).mean()
        loss_g.backward()
        og.step()
        if it % 10 == 0:
            print(it, -loss_c.item(), loss_g.item())
    with torch.no_grad():
        assert (gen(torch.randn(500, 2)).mean() - 1.0).abs() < 0.5


@correct
def conditional_vae_kl_annealing():
    torch.manual_seed(0)
    c = torch.randint(0, 3, (240,))
    X = torch.randn(3, 8)[c] * 2 + 0.5 * torch.randn(240, 8)
    enc = nn.Sequential(nn.Linear(11, 24), nn.ReLU(), nn.Linear(24, 4))
    dec = nn.Sequential(nn.Linear(5, 24), nn.ReLU(), nn.Linear(24, 8))
    opt = AdamW([*enc.parameters(), *dec.parameters()], lr=5e-3)
    epochs = 12
    for epoch in range(epochs):
        beta = min(1.0, epoch / (epochs / 2))
        for xb, cb in DataLoader(TensorDataset(X, c), batch_size=40, shuffle=True):
            one = F.one_hot(cb, 3).float()
            mu, logvar = enc(torch.cat([xb, one], 1)).chunk(2, 1)
            q = torch.distributions.Normal(mu, (0.5 * logvar).exp())
            z = q.rsample()
            rec = ((dec(torch.cat([z, one], 1)) - xb) ** 2).sum(1)
            prior = torch.distributions.Normal(0.0, 1.0)
            kl = torch.distributions.kl_divergence(q, prior).sum(1)
            loss = (rec + beta * kl).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()


@correct
def soft_target_dqn_bandit_polyak():
    torch.manual_seed(0)
    policy_net = nn.Sequential(nn.Linear(3, 24), nn.ReLU(), nn.Linear(24, 3))
    target_net = nn.Sequential(nn.Linear(3, 24), nn.ReLU(), nn.Linear(24, 3))
    target_net.load_state_dict(policy_net.state_dict())
    optimizer = AdamW(policy_net.parameters(), lr=5e-3, amsgrad=True)
    TAU, GAMMA = 0.05, 0.5
    S = torch.randn(400, 3)
    A = torch.randint(0, 3, (400, 1))
    R = S.gather(1, A).squeeze(1)
    S2 = torch.randn(400, 3)
    for _ in range(80):
        i = torch.randint(0, 400, (64,))
        q = policy_net(S[i]).gather(1, A[i])
        with torch.no_grad():
            next_values = target_net(S2[i]).max(1).values
        expected = next_values * GAMMA + R[i]
        loss = nn.SmoothL1Loss()(q, expected.unsqueeze(1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(policy_net.parameters(), 100)
        optimizer.step()
        t_sd, p_sd = target_net.state_dict(), policy_net.state_dict()
        for key in p_sd:
            t_sd[key] = p_sd[key] * TAU + t_sd[key] * (1 - TAU)
        target_net.load_state_dict(t_sd)


@correct
def clip_style_two_towers():
    torch.manual_seed(0)
    latent = torch.randn(192, 4)
    img = latent @ torch.randn(4, 12) + 0.3 * torch.randn(192, 12)
    txt = latent @ torch.randn(4, 9) + 0.3 * torch.randn(192, 9)
    fi = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 6))
    ft = nn.Sequential(nn.Linear(9, 24), nn.ReLU(), nn.Linear(24, 6))
    logit_scale = nn.Parameter(torch.tensor(math.log(5.0)))
    opt = AdamW([*fi.parameters(), *ft.parameters(), logit_scale], lr=5e-3)
    for _ in range(10):
        for a, b in DataLoader(TensorDataset(img, txt), batch_size=32, shuffle=True):
            za, zb = F.normalize(fi(a), dim=-1), F.normalize(ft(b), dim=-1)
            logits = logit_scale.exp() * za @ zb.t()
            labels = torch.arange(len(a))
            loss = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.t(), labels)) / 2
            opt.zero_grad()
            loss.backward()
            opt.step()
            with torch.no_grad():
                logit_scale.clamp_(0, math.log(100))


@correct
def word2vec_negative_sampling_sparse():
    torch.manual_seed(0)
    # words of the same block occur together
    block = torch.arange(24) // 6
    centre = torch.randint(0, 24, (600,))
    context = block[centre] * 6 + torch.randint(0, 6, (600,))
    emb_in = nn.Embedding(24, 8, sparse=True)
    emb_out = nn.Embedding(24, 8, sparse=True)
    for e in (emb_in, emb_out):
        nn.init.uniform_(e.weight, -0.2, 0.2)
    opt = optim.SparseAdam([*emb_in.parameters(), *emb_out.parameters()], lr=0.03)
    for _ in range(8):
        for i in torch.randperm(600).split(60):
            neg = torch.randint(0, 24, (60, 4))
            v = emb_in(centre[i])
            pos_score = (v * emb_out(context[i])).sum(1)
            neg_score = torch.bmm(emb_out(neg), v.unsqueeze(2)).squeeze(2)
            loss = -(F.logsigmoid(pos_score) + F.logsigmoid(-neg_score).sum(1)).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()


@correct
def overfit_single_batch_cnn_eval_same_batch():
    torch.manual_seed(0)
    xb = torch.rand(12, 1, 10, 10)
    yb = torch.arange(12) % 4
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(192, 4),
    )
    opt = Adam(net.parameters(), lr=5e-3)
    net.train()
    for step in range(50):
        out = net(xb)
        loss = F.cross_entropy(out, yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
        acc = (out.argmax(1) == yb).float().mean().item()
        if step % 10 == 0:
            print(step, loss.item(), acc)
    assert loss.item() < 0.1


@correct
def checkpoint_sequential_mlp():
    torch.manual_seed(0)
    X = torch.randn(200, 8)
    y = torch.tanh(X[:, :4].sum(1, keepdim=True))
    body = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(4)])
    head = nn.Linear(8, 1)
    opt = Adam([*body.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(10):
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=25, shuffle=True):
            h = checkpoint_sequential(body, 2, xb, use_reentrant=False)
            loss = F.mse_loss(head(h), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()


@correct
def a2c_single_optimizer_grid():
    torch.manual_seed(0)
    net = nn.ModuleDict(
        {
            "body": nn.Sequential(nn.Linear(2, 24), nn.ReLU()),
            "policy": nn.Linear(24, 2),
            "value": nn.Linear(24, 1),
        }
    )
    opt = optim.RMSprop(net.parameters(), lr=3e-3)
    target = torch.tensor([1.0])
    finals = []
    for _ in range(40):
        pos = torch.rand(16, 1) * 2 - 1
        logps, values, rewards, entropies = [], [], [], []
        for t in range(5):
            h = net["body"](torch.cat([pos, torch.full_like(pos, t / 5)], 1))
            dist = torch.distributions.Categorical(logits=net["policy"](h))
            a = dist.sample()
            logps.append(dist.log_prob(a))
            entropies.append(dist.entropy())
            values.append(net["value"](h).squeeze(1))
            pos = pos + (a.float().unsqueeze(1) - 0.5) * 0.8
            rewards.append(-(pos - target).abs().squeeze(1))
        ret, returns = torch.zeros(16), []
        for r in reversed(rewards):
            ret = r + 0.9 * ret
            returns.append(ret)
        returns = torch.stack(returns[::-1])
        adv = returns - torch.stack(values)
        loss = (
            -(torch.stack(logps) * adv.detach()).mean()
            + 0.5 * adv.pow(2).mean()
            - 0.01 * torch.stack(entropies).mean()
        )
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        finals.append(rewards[-1].mean().item())
    assert np.mean(finals[-8:]) > np.mean(finals[:8])


@correct
def gpt_like_character_model():
    torch.manual_seed(1337)
    text = "to be or not to be that is the question " * 15
    chars = sorted(set(text))
    stoi = {ch: i for i, ch in enumerate(chars)}
    data = torch.tensor([stoi[c] for c in text])
    n = int(0.9 * len(data))
    train_data, val_data = data[:n], data[n:]
    block_size, batch_size, n_embd = 12, 16, 24

    def get_batch(split):
        d = train_data if split == "train" else val_data
        ix = torch.randint(len(d) - block_size, (batch_size,))
        x = torch.stack([d[i : i + block_size] for i in ix])
        y = torch.stack([d[i + 1 : i + block_size + 1] for i in ix])
        return x, y

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(n_embd, 3 * n_embd, bias=False)
            self.register_buffer("tril", torch.tril(torch.ones(block_size, block_size)))

        def forward(self, x):
            T = x.size(1)
            q, k, v = self.qkv(x).chunk(3, -1)
            wei = q @ k.transpose(-2, -1) * n_embd**-0.5
            wei = wei.masked_fill(self.tril[:T, :T] == 0, float("-inf"))
            return F.softmax(wei, dim=-1) @ v

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.tok = nn.Embedding(len(chars), n_embd)
            self.pos = nn.Embedding(block_size, n_embd)
            self.attn, self.ln1, self.ln2 = Head(), nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)
            self.ff = nn.Sequential(nn.Linear(n_embd, 48), nn.ReLU(), nn.Linear(48, n_embd))
            self.lm_head = nn.Linear(n_embd, len(chars))

        def forward(self, idx, targets=None):
            x = self.tok(idx) + self.pos(torch.arange(idx.size(1)))
            x = x + self.attn(self.ln1(x))
            x = x + self.ff(self.ln2(x))
            logits = self.lm_head(x)
            if targets is None:
                return logits, None
            return logits, F.cross_entropy(logits.view(-1, len(chars)), targets.view(-1))

    model = GPT()
    optimizer = AdamW(model.parameters(), lr=1e-2)

    @torch.no_grad()
    def estimate_loss():
        out = {}
        model.eval()
        for split in ["train", "val"]:
            losses = torch.zeros(3)
            for k in range(3):
                losses[k] = model(*get_batch(split))[1].item()
            out[split] = losses.mean()
        model.train()
        return out

    for it in range(60):
        if it % 20 == 0:
            print(it, estimate_loss())
        _, loss = model(*get_batch("train"))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


@correct
def ignite_like_engine_with_callbacks():
    torch.manual_seed(0)
    X = torch.randn(200, 7)
    y = (X[:, 0] + X[:, 1] > X[:, 2]).float()
    model = nn.Sequential(nn.Linear(7, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
    optimizer = optim.NAdam(model.parameters(), lr=1e-2)
    handlers = defaultdict(list)
    state = SimpleNamespace(epoch=0, iteration=0, output=None, metrics={})

    def on(event):
        def wrap(fn):
            handlers[event].append(fn)
            return fn

        return wrap

    def update(batch):
        model.train()
        optimizer.zero_grad()
        xb, yb = batch
        loss = F.binary_cross_entropy_with_logits(model(xb), yb)
        loss.backward()
        optimizer.step()
        return loss.item()

    @on("epoch")
    def evaluate():
        model.eval()
        with torch.no_grad():
            state.metrics["accuracy"] = (
                ((model(X[160:]) > 0) == (y[160:] > 0.5)).float().mean().item()
            )

    @on("epoch")
    def log():
        print(state.epoch, state.output, state.metrics)

    loader = DataLoader(TensorDataset(X[:160], y[:160]), batch_size=20, shuffle=True)
    for state.epoch in range(1, 9):
        for batch in loader:
            state.iteration += 1
            state.output = update(batch)
        for fn in handlers["epoch"]:
            fn()


@correct
def zero_grad_first_per_model_and_trange():
    torch.manual_seed(0)
    X = torch.linspace(0, 1, 120).unsqueeze(1)
    Y = 0.7 * X + 0.3
    model = nn.Linear(1, 1)
    opt = SGD(model.parameters(), lr=0.3)
    bar = trange(120, leave=False)
    for _ in bar:
        model.zero_grad()
        loss = nn.functional.mse_loss(model(X), Y)
        loss.backward()
        opt.step()
        bar.set_description(f"loss {loss.item():.4f}")


@correct
def mixture_density_network():
    torch.manual_seed(0)
    y = torch.rand(300, 1) * 2 - 1
    x = y + 0.4 * torch.sin(6 * y) + 0.03 * torch.randn_like(y)
    body = nn.Sequential(nn.Linear(1, 32), nn.Tanh())
    pi, mu, log_sigma = nn.Linear(32, 4), nn.Linear(32, 4), nn.Linear(32, 4)
    mods = nn.ModuleList([body, pi, mu, log_sigma])
    opt = Adam(mods.parameters(), lr=1e-2)
    for _ in range(12):
        for xb, yb in DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True):
            h = body(xb)
            mix = torch.distributions.Categorical(logits=pi(h))
            comp = torch.distributions.Normal(mu(h), log_sigma(h).clamp(-4, 2).exp())
            loss = -torch.distributions.MixtureSameFamily(mix, comp).log_prob(yb.squeeze(1)).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()


@correct
def pcgrad_gradient_surgery():
    torch.manual_seed(0)
    X = torch.randn(200, 5)
    ya, yb = X[:, 0] + X[:, 1], X[:, 0] - X[:, 2]
    net = nn.Sequential(nn.Linear(5, 24), nn.Tanh(), nn.Linear(24, 2))
    opt = Adam(net.parameters(), lr=1e-2)
    for _ in range(80):
        i = torch.randint(0, 200, (40,))
        out = net(X[i])
        losses = [F.mse_loss(out[:, 0], ya[i]), F.mse_loss(out[:, 1], yb[i])]
        flat = []
        for k, loss in enumerate(losses):
            opt.zero_grad()
            loss.backward(retain_graph=k == 0)
            flat.append(parameters_to_vector([p.grad for p in net.parameters()]).clone())
        ga, gb = flat
        dot = ga @ gb
        if dot < 0:
            ga, gb = ga - dot / (gb @ gb) * gb, gb - dot / (ga @ ga) * ga
        parts = ((ga + gb) / 2).split([p.numel() for p in net.parameters()])
        for p, g in zip(net.parameters(), parts, strict=True):
            p.grad = g.view_as(p)
        opt.step()


@correct
def ordinal_cumulative_logits():
    torch.manual_seed(0)
    X = torch.randn(300, 4)
    score = X @ torch.tensor([1.0, 0.5, -0.5, 0.0]) + 0.2 * torch.randn(300)
    y = torch.bucketize(score, torch.tensor([-0.8, 0.0, 0.8]))
    levels = (y.unsqueeze(1) > torch.arange(3)).float()
    net = nn.Linear(4, 1, bias=False)
    cuts = nn.Parameter(torch.tensor([1.0, 0.0, -1.0]))
    opt = Adam([*net.parameters(), cuts], lr=5e-2)
    for _ in range(8):
        for xb, lb in DataLoader(TensorDataset(X, levels), batch_size=30, shuffle=True):
            logits = net(xb) + cuts
            loss = F.binary_cross_entropy_with_logits(logits, lb)
            opt.zero_grad()
            loss.backward()
            opt.step()
    with torch.no_grad():
        pred = (net(X) + cuts > 0).sum(1)
    print("mean absolute error", (pred - y).abs().float().mean().item())


@correct
def micro_batches_with_uneven_clip_value():
    torch.manual_seed(0)
    X = torch.randn(256, 6)
    Y = torch.stack([X[:, 0] * X[:, 1], X[:, 2]], 1)
    model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        big = torch.randperm(256)[:64]
        for micro in big.chunk(4):
            share = len(micro) / len(big)
            (F.mse_loss(model(X[micro]), Y[micro]) * share).backward()
        clip_grad_value_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


@correct
def evaluates_train_and_test_each_epoch():
    torch.manual_seed(0)
    X, y = load_wine(return_X_y=True)
    Xtr, Xte, ytr, yte = train_test_split(X, y, test_size=0.25, random_state=1, stratify=y)
    s = StandardScaler().fit(Xtr)
    Xtr, Xte = (torch.tensor(s.transform(a), dtype=torch.float32) for a in (Xtr, Xte))
    ytr, yte = torch.tensor(ytr), torch.tensor(yte)
    train_ds, test_ds = TensorDataset(Xtr, ytr), TensorDataset(Xte, yte)
    net = nn.Sequential(nn.Linear(13, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 3))
    opt = SGD(net.parameters(), lr=0.05, momentum=0.9)

    def accuracy(ds):
        net.eval()
        hits = 0
        with torch.no_grad():
            for xb, yb in DataLoader(ds, batch_size=64):
                hits += (net(xb).argmax(dim=1) == yb).sum().item()
        return hits / len(ds)

    for epoch in range(8):
        net.train()
        for xb, yb in DataLoader(train_ds, batch_size=19, shuffle=True):
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
        print(epoch, accuracy(train_ds), accuracy(test_ds))
