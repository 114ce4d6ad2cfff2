"""Correct training loops in many styles: there is nothing to find in them."""

import copy
import random
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import (
    load_digits,
    make_moons,
)
from torch.optim import SGD, Adam, AdamW
from torch.utils.data import (
    DataLoader,
    Dataset,
    TensorDataset,
)

from tests.loops import correct


@correct
def reinforce_episode_graphs():
    torch.manual_seed(0)
    policy = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = optim.Adam(policy.parameters(), lr=1e-2)
    history = []
    baseline = torch.zeros(8)
    for _episode in range(60):
        pos, log_probs, rewards = 0.0, [], []
        for step in range(8):
            state = torch.tensor([pos, step / 8])
            m = torch.distributions.Categorical(logits=policy(state))
            action = m.sample()
            log_probs.append(m.log_prob(action))
            pos += 0.25 if action.item() == 1 else -0.25
            rewards.append(pos)
        R, returns = 0.0, []
        for r in reversed(rewards):
            R = r + 0.95 * R
            returns.insert(0, R)
        returns = torch.tensor(returns)
        loss = -(torch.stack(log_probs) * (returns - baseline)).sum()
        baseline = 0.9 * baseline + 0.1 * returns
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(sum(rewards))
    assert np.mean(history[-10:]) > np.mean(history[:10])


@correct
def siamese_cosine_embedding():
    torch.manual_seed(0)
    cls = torch.randint(0, 4, (200,))
    X = torch.randn(4, 10)[cls] * 1.5 + torch.randn(200, 10)

    class Pairs(Dataset):
        def __init__(self, n):
            g = torch.Generator().manual_seed(1)
            self.pairs = torch.randint(0, 200, (n, 2), generator=g)

        def __len__(self):
            return len(self.pairs)

        def __getitem__(self, k):
            i, j = self.pairs[k]
            return X[i], X[j], torch.tensor(1.0 if cls[i] == cls[j] else -1.0)

    enc = nn.Sequential(nn.Linear(10, 24), nn.ReLU(), nn.Linear(24, 6))
    opt = Adam(enc.parameters(), lr=1e-2)
    crit = nn.CosineEmbeddingLoss(margin=0.2)
    for _ in range(6):
        total = 0.0
        for a, b, t in DataLoader(Pairs(320), batch_size=32, shuffle=True):
            loss = crit(enc(a), enc(b), t)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        print(total / 10)


@correct
def byol_momentum_encoder():
    torch.manual_seed(0)
    X = torch.randn(8, 12).repeat_interleave(24, 0) + 0.3 * torch.randn(192, 12)
    online = nn.Sequential(nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 8))
    predictor = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
    momentum = copy.deepcopy(online).requires_grad_(False)
    opt = Adam([*online.parameters(), *predictor.parameters()], lr=3e-3)
    for _ in range(10):
        for (xb,) in DataLoader(TensorDataset(X), batch_size=32, shuffle=True):
            a, b = (xb + 0.2 * torch.randn_like(xb) for _ in range(2))
            with torch.no_grad():
                ta, tb = momentum(a), momentum(b)
            pa, pb = predictor(online(a)), predictor(online(b))
            loss = 2 - F.cosine_similarity(pa, tb).mean() - F.cosine_similarity(pb, ta).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            with torch.no_grad():
                for pm, po in zip(momentum.parameters(), online.parameters(), strict=True):
                    pm.lerp_(po, 0.02)


@correct
def ddpm_two_dimensional():
    torch.manual_seed(0)
    T = 20
    beta = torch.linspace(1e-3, 0.2, T)
    alpha_bar = torch.cumprod(1 - beta, 0)
    data = torch.tensor(make_moons(256, noise=0.05, random_state=0)[0], dtype=torch.float32)
    data = (data - data.mean(0)) / data.std(0)
    eps_model = nn.Sequential(nn.Linear(3, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU())
    eps_head = nn.Linear(48, 2)
    nn.init.zeros_(eps_head.weight)
    nn.init.zeros_(eps_head.bias)
    opt = AdamW([*eps_model.parameters(), *eps_head.parameters()], lr=5e-3)
    for _ in range(12):
        for (x0,) in DataLoader(TensorDataset(data), batch_size=64, shuffle=True):
            t = torch.randint(0, T, (len(x0),))
            noise = torch.randn_like(x0)
            ab = alpha_bar[t].unsqueeze(1)
            xt = ab.sqrt() * x0 + (1 - ab).sqrt() * noise
            out = eps_head(eps_model(torch.cat([xt, t.unsqueeze(1) / T], dim=1)))
            loss = F.mse_loss(out, noise)
            opt.zero_grad()
            loss.backward()
            opt.step()


@correct
def fgsm_adversarial_training():
    torch.manual_seed(0)
    y = torch.randint(0, 2, (256,))
    X = torch.randn(256, 10) * 0.5 + (2.0 * y - 1).unsqueeze(1) * torch.linspace(0, 1, 10)
    net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 2))
    opt = SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(5):
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True):
            probe = xb.clone().requires_grad_(True)
            (g,) = torch.autograd.grad(F.cross_entropy(net(probe), yb), probe)
            adv = (xb + 0.1 * g.sign()).detach()
            opt.zero_grad()
            loss = 0.5 * F.cross_entropy(net(xb), yb) + 0.5 * F.cross_entropy(net(adv), yb)
            loss.backward()
            opt.step()


@correct
def mixup_two_targets():
    torch.manual_seed(0)
    np.random.seed(0)
    y = torch.randint(0, 3, (240,))
    X = torch.randn(240, 8) + 2 * F.one_hot(y, 8)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    criterion = nn.CrossEntropyLoss()
    optimizer = Adam(model.parameters(), lr=1e-2)
    for epoch in range(10):
        total, hits = 0, 0.0
        for inputs, targets in DataLoader(TensorDataset(X, y), batch_size=40, shuffle=True):
            lam = np.random.beta(0.3, 0.3)
            index = torch.randperm(inputs.size(0))
            mixed = lam * inputs + (1 - lam) * inputs[index]
            ta, tb = targets, targets[index]
            out = model(mixed)
            loss = lam * criterion(out, ta) + (1 - lam) * criterion(out, tb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pred = out.argmax(1)
            hits += (lam * pred.eq(ta).sum() + (1 - lam) * pred.eq(tb).sum()).item()
            total += len(targets)
        print(epoch, hits / total)


@correct
def pretrain_autoencoder_then_classify():
    torch.manual_seed(0)
    digits = load_digits()
    X = torch.tensor(digits.data / 16, dtype=torch.float32)[:500]
    y = torch.tensor(digits.target)[:500]
    enc = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 16))
    dec = nn.Sequential(nn.ReLU(), nn.Linear(16, 64), nn.Sigmoid())
    opt = Adam([*enc.parameters(), *dec.parameters()], lr=5e-3)
    for _ in range(5):
        for (xb,) in DataLoader(TensorDataset(X[:400]), batch_size=50, shuffle=True):
            opt.zero_grad()
            F.binary_cross_entropy(dec(enc(xb)), xb).backward()
            opt.step()
    enc.requires_grad_(False)
    enc.eval()
    with torch.no_grad():
        Z = enc(X)
    Z = (Z - Z[:400].mean(0)) / Z[:400].std(0)
    clf = nn.Linear(16, 10)
    opt = SGD(clf.parameters(), lr=0.5)
    for _ in range(8):
        for zb, yb in DataLoader(TensorDataset(Z[:400], y[:400]), batch_size=40, shuffle=True):
            opt.zero_grad()
            F.cross_entropy(clf(zb), yb).backward()
            opt.step()
    with torch.no_grad():
        print("test accuracy", (clf(Z[400:]).argmax(1) == y[400:]).float().mean().item())


@correct
def word_bag_sentiment():
    torch.manual_seed(0)
    rnd = random.Random(4)
    good, bad = ["great", "fun", "love", "nice"], ["awful", "bore", "hate", "poor"]
    filler = ["the", "film", "was", "a", "plot", "actor", "scene", "and"]
    texts = []
    for _ in range(160):
        label = rnd.random() < 0.5
        words = rnd.choices(filler, k=rnd.randint(3, 8)) + rnd.choices(good if label else bad, k=2)
        rnd.shuffle(words)
        texts.append((" ".join(words), int(label)))
    vocab = {w: i for i, w in enumerate(sorted({w for t, _ in texts for w in t.split()}))}

    def collate_batch(batch):
        label_list, text_list, offsets = [], [], [0]
        for text, label in batch:
            label_list.append(label)
            ids = torch.tensor([vocab[w] for w in text.split()])
            text_list.append(ids)
            offsets.append(ids.size(0))
        return torch.tensor(label_list), torch.cat(text_list), torch.tensor(offsets[:-1]).cumsum(0)

    class TextClassificationModel(nn.Module):
        def __init__(self, vocab_size, embed_dim, num_class):
            super().__init__()
            self.embedding = nn.EmbeddingBag(vocab_size, embed_dim, sparse=False)
            self.fc = nn.Linear(embed_dim, num_class)

        def forward(self, text, offsets):
            return self.fc(self.embedding(text, offsets))

    model = TextClassificationModel(len(vocab), 16, 2)
    criterion = nn.CrossEntropyLoss()
    optimizer = SGD(model.parameters(), lr=1.0)
    dl = DataLoader(texts, batch_size=8, shuffle=True, collate_fn=collate_batch)
    for _ in range(4):
        model.train()
        total_acc, total_count = 0, 0
        for label, text, offsets in dl:
            optimizer.zero_grad()
            predicted_label = model(text, offsets)
            loss = criterion(predicted_label, label)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            total_acc += (predicted_label.argmax(1) == label).sum().item()
            total_count += label.size(0)
        print(total_acc / total_count)


@correct
def char_rnn_names_single_samples():
    torch.manual_seed(0)
    rnd = random.Random(0)
    letters = "abcdefgh"

    def make(cat):
        return "".join(rnd.choices("abcdg" if cat == 0 else "efghc", k=rnd.randint(3, 6)))

    def line_to_tensor(line):
        t = torch.zeros(len(line), 1, len(letters))
        for i, ch in enumerate(line):
            t[i][0][letters.index(ch)] = 1
        return t

    class RNN(nn.Module):
        def __init__(self, i, h, o):
            super().__init__()
            self.hidden_size = h
            self.i2h = nn.Linear(i + h, h)
            self.h2o = nn.Linear(h, o)
            self.softmax = nn.LogSoftmax(dim=1)

        def forward(self, x, hidden):
            hidden = torch.tanh(self.i2h(torch.cat((x, hidden), 1)))
            return self.softmax(self.h2o(hidden)), hidden

    rnn = RNN(len(letters), 16, 2)
    criterion = nn.NLLLoss()
    learning_rate = 0.05
    current_loss, all_losses = 0, []
    for it in range(1, 161):
        cat = rnd.randint(0, 1)
        line = line_to_tensor(make(cat))
        hidden = torch.zeros(1, rnn.hidden_size)
        rnn.zero_grad()
        for i in range(line.size(0)):
            output, hidden = rnn(line[i], hidden)
        loss = criterion(output, torch.tensor([cat]))
        loss.backward()
        for p in rnn.parameters():
            p.data.add_(p.grad.data, alpha=-learning_rate)
        current_loss += loss.item()
        if it % 40 == 0:
            all_losses.append(current_loss / 40)
            current_loss = 0


@correct
def conv_autoencoder_denoising():
    torch.manual_seed(0)
    imgs = torch.zeros(96, 1, 8, 8)
    for i in range(96):
        imgs[i, 0, i % 8] = 1.0
        imgs[i, 0, :, (i // 8) % 8] = 1.0
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 2, stride=2),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 1, 2, stride=2),
        nn.Sigmoid(),
    )
    criterion = nn.MSELoss()
    optimizer = Adam(model.parameters(), lr=1e-2, weight_decay=1e-5)
    for epoch in range(12):
        for (img,) in DataLoader(TensorDataset(imgs), batch_size=16, shuffle=True):
            noisy = (img + 0.2 * torch.randn_like(img)).clamp(0, 1)
            recon = model(noisy)
            loss = criterion(recon, img)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch [{epoch + 1}/12], loss:{loss.item():.4f}")


@correct
def dataclass_args_functional_style():
    @dataclass
    class Args:
        lr: float = 0.1
        epochs: int = 6
        batch: int = 25
        momentum: float = 0.9

    def make_data(seed):
        g = torch.Generator().manual_seed(seed)
        x = torch.rand(250, 2, generator=g) * 2 - 1
        return x, (x.norm(dim=1) < 0.7).long()

    def run_epoch(model, loader, optimizer=None):
        training = optimizer is not None
        model.train(training)
        loss_sum, hit_sum, count = 0.0, 0, 0
        with torch.set_grad_enabled(training):
            for x, y in loader:
                out = model(x)
                loss = F.cross_entropy(out, y)
                if training:
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                loss_sum += loss.item() * y.size(0)
                hit_sum += (out.argmax(1) == y).sum().item()
                count += y.size(0)
        return loss_sum / count, hit_sum / count

    args = Args()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = SGD(model.parameters(), lr=args.lr, momentum=args.momentum)
    train = DataLoader(TensorDataset(*make_data(0)), batch_size=args.batch, shuffle=True)
    valid = DataLoader(TensorDataset(*make_data(1)), batch_size=100)
    for e in range(args.epochs):
        print(e, run_epoch(model, train, optimizer), run_epoch(model, valid))
