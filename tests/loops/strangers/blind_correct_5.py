"""Correct training loops in many styles: there is nothing to find in them."""

import copy
import itertools
from collections import defaultdict

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import (
    make_blobs,
)
from torch.nn.utils import (
    clip_grad_norm_,
)
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import (
    CyclicLR,
    ExponentialLR,
    PolynomialLR,
)
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    Subset,
    TensorDataset,
)

from tests.loops import correct


@correct
def lr_finder_cyclic_training():
    torch.manual_seed(0)
    X = torch.randn(240, 5)
    y = torch.cos(X[:, 0]) + 0.5 * X[:, 1]
    net = nn.Sequential(nn.Linear(5, 32), nn.Tanh(), nn.Linear(32, 1))
    loader = DataLoader(TensorDataset(X, y.unsqueeze(1)), batch_size=24, shuffle=True)

    def find_lr(model, low=1e-6, high=1.0):
        model = copy.deepcopy(model)
        opt = Adam(model.parameters(), lr=low)
        sched = ExponentialLR(opt, gamma=(high / low) ** (1 / 40))
        smooth, best_lr, best_slope, prev = None, low, 0.0, None
        it = itertools.chain.from_iterable(itertools.repeat(loader))
        for xb, yb in itertools.islice(it, 40):
            opt.zero_grad()
            loss = F.mse_loss(model(xb), yb)
            loss.backward()
            opt.step()
            smooth = loss.item() if smooth is None else 0.8 * smooth + 0.2 * loss.item()
            if prev is not None and smooth - prev < best_slope:
                best_slope, best_lr = smooth - prev, opt.param_groups[0]["lr"]
            prev = smooth
            sched.step()
        return best_lr

    lr = min(max(find_lr(net), 3e-3), 2e-2)
    opt = SGD(net.parameters(), lr=lr, momentum=0.9)
    sched = CyclicLR(opt, base_lr=lr, max_lr=5 * lr, step_size_up=15)
    for _ in range(12):
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.mse_loss(net(xb), yb)
            loss.backward()
            opt.step()
            sched.step()


@correct
def early_stopping_class_with_copy():
    torch.manual_seed(0)
    X, y = make_blobs(300, centers=4, n_features=5, cluster_std=3.0, random_state=0)
    X = (X - X[:200].mean(0)) / X[:200].std(0)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)

    class EarlyStopping:
        def __init__(self, patience=4):
            self.patience, self.best, self.counter, self.weights = patience, None, 0, None

        def __call__(self, value, model):
            if self.best is None or value < self.best:
                self.best, self.counter = value, 0
                self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}
            else:
                self.counter += 1
            return self.counter >= self.patience

    model = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 4))
    opt = Adam(model.parameters(), lr=1e-2)
    stopper = EarlyStopping()
    train_loader = DataLoader(TensorDataset(X[:200], y[:200]), batch_size=20, shuffle=True)
    val_loader = DataLoader(TensorDataset(X[200:], y[200:]), batch_size=32)
    for _ in range(25):
        model.train()
        for xb, yb in train_loader:
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
        model.eval()
        total = 0.0
        with torch.no_grad():
            for xb, yb in val_loader:
                total += F.cross_entropy(model(xb), yb, reduction="sum").item()
        if stopper(total / 100, model):
            break
    model.load_state_dict(stopper.weights)


@correct
def ner_tagging_ignore_index():
    torch.manual_seed(0)
    lengths = torch.randint(4, 9, (128,))
    tokens = torch.randint(1, 20, (128, 8))
    tags = (tokens > 12).long() + ((tokens > 12) & (tokens.roll(1, 1) > 12)).long()
    tags[:, 0] = (tokens[:, 0] > 12).long()
    mask = torch.arange(8).unsqueeze(0) < lengths.unsqueeze(1)
    tokens = tokens * mask
    tags = tags.masked_fill(~mask, -100)

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(20, 12, padding_idx=0)
            self.rnn = nn.LSTM(12, 16, batch_first=True, bidirectional=True)
            self.fc = nn.Linear(32, 3)

        def forward(self, x):
            return self.fc(self.rnn(self.emb(x))[0])

    model = Tagger()
    opt = Adam(model.parameters(), lr=1e-2)
    crit = nn.CrossEntropyLoss(ignore_index=-100)
    for _ in range(7):
        hits = total = 0
        for xb, yb in DataLoader(TensorDataset(tokens, tags), batch_size=16, shuffle=True):
            logits = model(xb)
            loss = crit(logits.reshape(-1, 3), yb.reshape(-1))
            opt.zero_grad()
            loss.backward()
            opt.step()
            keep = yb != -100
            hits += (logits.argmax(-1)[keep] == yb[keep]).sum().item()
            total += keep.sum().item()
        print(hits / total)


@correct
def packed_lstm_regression_of_sums():
    torch.manual_seed(0)
    seqs = [torch.randn(int(k), 1) * 0.5 for k in torch.randint(3, 9, (120,))]
    sums = torch.stack([s.sum() for s in seqs])

    def collate(batch):
        batch.sort(key=lambda item: len(item[0]), reverse=True)
        xs = [x for x, _ in batch]
        ys = torch.stack([y for _, y in batch])
        return pad_sequence(xs), torch.tensor([len(x) for x in xs]), ys

    rnn = nn.LSTM(1, 24)
    fc = nn.Linear(24, 1)
    opt = Adam([*rnn.parameters(), *fc.parameters()], lr=1e-2)
    data = list(zip(seqs, sums, strict=True))
    for epoch in range(7):
        total = 0
        for x, n, y in DataLoader(data, batch_size=15, shuffle=True, collate_fn=collate):
            out, _ = rnn(pack_padded_sequence(x, n))
            padded, lens = pad_packed_sequence(out)
            last = padded[lens - 1, torch.arange(len(n))]
            loss = F.mse_loss(fc(last).squeeze(1), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        print(epoch, total / 8)


@correct
def semantic_segmentation_multiclass_weights():
    torch.manual_seed(0)
    masks = torch.zeros(60, 8, 8, dtype=torch.long)
    for i in range(60):
        r, c = torch.randint(0, 5, (2,)).tolist()
        masks[i, r : r + 3, c : c + 3] = 1 + i % 2
    imgs = torch.randn(60, 3, 8, 8) * 0.4
    imgs.scatter_add_(1, masks.unsqueeze(1), torch.ones(60, 1, 8, 8))
    model = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 3, 1)
    )
    crit = nn.CrossEntropyLoss(weight=torch.tensor([0.3, 1.0, 1.0]))
    opt = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    sched = PolynomialLR(opt, total_iters=48, power=0.9)
    train = DataLoader(TensorDataset(imgs[:48], masks[:48]), batch_size=6, shuffle=True)
    for _ in range(6):
        model.train()
        for x, m in train:
            opt.zero_grad()
            loss = crit(model(x), m)
            loss.backward()
            opt.step()
            sched.step()
        model.eval()
        with torch.no_grad():
            pred = model(imgs[48:]).argmax(1)
        gt = masks[48:]
        iou = [((pred == k) & (gt == k)).sum() / ((pred == k) | (gt == k)).sum() for k in range(3)]
        print([round(v.item(), 2) for v in iou])


@correct
def lightning_like_module():
    torch.manual_seed(0)

    class LitRegressor(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(3, 32), nn.Softplus(), nn.Linear(32, 1))
            self.logged = defaultdict(list)

        def forward(self, x):
            return self.net(x)

        def log(self, name, value):
            self.logged[name].append(float(value.detach()))

        def training_step(self, batch):
            x, y = batch
            loss = F.mse_loss(self(x), y)
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch):
            x, y = batch
            self.log("val_loss", F.mse_loss(self(x), y))

        def configure_optimizers(self):
            opt = Adam(self.parameters(), lr=1e-2)
            return opt, ExponentialLR(opt, 0.95)

    def fit(module, train, val, max_epochs):
        opt, sched = module.configure_optimizers()
        for _ in range(max_epochs):
            module.train()
            for batch in train:
                loss = module.training_step(batch)
                opt.zero_grad()
                loss.backward()
                opt.step()
            module.eval()
            with torch.no_grad():
                for batch in val:
                    module.validation_step(batch)
            sched.step()

    X = torch.randn(240, 3)
    y = X.abs().sum(1, keepdim=True)
    module = LitRegressor()
    fit(
        module,
        DataLoader(TensorDataset(X[:192], y[:192]), batch_size=24, shuffle=True),
        DataLoader(TensorDataset(X[192:], y[192:]), batch_size=24),
        10,
    )


@correct
def concatenated_datasets_and_subset():
    torch.manual_seed(0)

    class Noisy(Dataset):
        def __init__(self, n, shift, seed, transform=None):
            rng = np.random.RandomState(seed)
            self.y = rng.randint(0, 2, n)
            self.x = rng.randn(n, 6).astype(np.float32) + shift
            self.x[:, 0] += 1.5 * (2 * self.y - 1)
            self.transform = transform

        def __getitem__(self, i):
            x = torch.from_numpy(self.x[i])
            return (self.transform(x) if self.transform else x), int(self.y[i])

        def __len__(self):
            return len(self.y)

    def jitter(x):
        return x + 0.05 * torch.randn_like(x)

    train = ConcatDataset([Noisy(100, 0.0, 1, jitter), Noisy(80, 0.2, 2, jitter)])
    train = Subset(train, [i for i in range(len(train)) if i % 9])
    valid = Noisy(60, 0.1, 3)
    model = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Dropout(0.2), nn.Linear(20, 2))
    opt = Adam(model.parameters(), lr=5e-3)
    for _ in range(8):
        model.train()
        for x, y in DataLoader(train, batch_size=20, shuffle=True):
            opt.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
        model.eval()
        wrong = 0
        with torch.no_grad():
            for x, y in DataLoader(valid, batch_size=25):
                wrong += (model(x).argmax(1) != y).sum().item()
        print("error", wrong / len(valid))


@correct
def quantile_regression_three_heads():
    torch.manual_seed(0)
    x = torch.rand(300, 1) * 4
    y = torch.sin(x) + 0.3 * torch.randn_like(x)
    taus = torch.tensor([0.1, 0.5, 0.9])
    net = nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 3))
    opt = Adam(net.parameters(), lr=1e-2)
    for _ in range(15):
        for xb, yb in DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True):
            err = yb - net(xb)  # [N, 1] against the three quantiles: [N, 3] is meant
            loss = torch.maximum(taus * err, (taus - 1) * err).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()


@correct
def gumbel_softmax_discrete_autoencoder():
    torch.manual_seed(0)
    X = (torch.randn(5, 8) * 2)[torch.randint(0, 5, (200,))] + 0.2 * torch.randn(200, 8)
    enc, dec = nn.Linear(8, 6), nn.Linear(6, 8)
    opt = Adam([*enc.parameters(), *dec.parameters()], lr=3e-2)
    tau = 2.0
    for _ in range(15):
        for i in torch.randperm(200).split(40):
            code = F.gumbel_softmax(enc(X[i]), tau=tau, hard=True)
            loss = (dec(code) - X[i]).pow(2).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
        tau = max(0.5, tau * 0.9)


@correct
def loss_spikes_from_rare_outlier_batches():
    torch.manual_seed(0)
    X = torch.randn(400, 3)
    y = X @ torch.tensor([[1.5], [-2.0], [0.7]])
    y[::97] += 12.0  # a handful of bad measurements
    net = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 1))
    opt = Adam(net.parameters(), lr=1e-2)
    curve = []
    for _ in range(10):
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=20, shuffle=True):
            opt.zero_grad()
            loss = F.mse_loss(net(xb), yb)
            loss.backward()
            clip_grad_norm_(net.parameters(), 5.0)
            opt.step()
            curve.append(loss.item())
    print(np.median(curve[-20:]), max(curve[-20:]))


@correct
def pseudo_labelling_rounds():
    torch.manual_seed(0)
    X, y = make_blobs(360, centers=3, n_features=4, cluster_std=2.5, random_state=4)
    X = (X - X.mean(0)) / X.std(0)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    Xl, yl, Xu = X[:60], y[:60], X[60:]
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
    opt = Adam(model.parameters(), lr=1e-2)
    data = TensorDataset(Xl, yl)
    for _round in range(3):
        model.train()
        for _ in range(6):
            for xb, yb in DataLoader(data, batch_size=20, shuffle=True):
                opt.zero_grad()
                F.cross_entropy(model(xb), yb).backward()
                opt.step()
        model.eval()
        with torch.no_grad():
            conf, guess = model(Xu).softmax(1).max(1)
        sure = conf > 0.9
        data = TensorDataset(torch.cat([Xl, Xu[sure]]), torch.cat([yl, guess[sure]]))
