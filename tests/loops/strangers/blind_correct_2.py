"""Correct training loops in many styles: there is nothing to find in them."""

import copy
import itertools

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import (
    load_wine,
    make_classification,
)
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler
from torch.func import functional_call
from torch.nn.utils import (
    clip_grad_norm_,
)
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
)
from torch.optim.swa_utils import SWALR, AveragedModel, update_bn
from torch.utils.data import (
    DataLoader,
    TensorDataset,
)

from tests.loops import correct


@correct
def maml_sine_second_order():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 1))
    meta = optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(30):
        meta_loss = 0.0
        for _task in range(4):
            amp, phase = 0.5 + torch.rand(1), torch.rand(1)
            xs, xq = torch.rand(10, 1) * 4 - 2, torch.rand(10, 1) * 4 - 2
            ys, yq = amp * torch.sin(xs + phase), amp * torch.sin(xq + phase)
            fast = dict(model.named_parameters())
            inner = F.mse_loss(functional_call(model, fast, (xs,)), ys)
            grads = torch.autograd.grad(inner, list(fast.values()), create_graph=True)
            fast = {k: p - 0.1 * g for (k, p), g in zip(fast.items(), grads, strict=True)}
            meta_loss = meta_loss + F.mse_loss(functional_call(model, fast, (xq,)), yq)
        meta.zero_grad()
        (meta_loss / 4).backward()
        meta.step()


@correct
def swa_with_update_bn():
    torch.manual_seed(0)
    X = torch.randn(256, 8)
    y = (X[:, 0] * X[:, 1] + 0.5 * X[:, 2] > 0).long()
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2))
    opt = SGD(model.parameters(), lr=0.1, momentum=0.9)
    swa_model = AveragedModel(model)
    scheduler = CosineAnnealingLR(opt, T_max=8)
    swa_scheduler = SWALR(opt, swa_lr=0.05, anneal_epochs=2)
    for epoch in range(12):
        model.train()
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
        if epoch >= 8:
            swa_model.update_parameters(model)
            swa_scheduler.step()
        else:
            scheduler.step()
    update_bn(loader, swa_model)
    swa_model.eval()
    with torch.no_grad():
        print((swa_model(X).argmax(1) == y).float().mean().item())


@correct
def sparse_embedding_two_optimizers():
    torch.manual_seed(0)
    bags = torch.randint(0, 50, (256, 6))
    weight = torch.randn(50)
    y = (weight[bags].sum(1) > 0).float()
    emb = nn.EmbeddingBag(50, 8, mode="mean", sparse=True)
    head = nn.Linear(8, 1)
    opt_sparse = optim.SparseAdam(emb.parameters(), lr=5e-2)
    opt_dense = optim.Adam(head.parameters(), lr=2e-2)
    loader = DataLoader(TensorDataset(bags, y), batch_size=32, shuffle=True)
    for _ in range(8):
        for b, t in loader:
            opt_sparse.zero_grad()
            opt_dense.zero_grad()
            loss = F.binary_cross_entropy_with_logits(head(emb(b)).squeeze(1), t)
            loss.backward()
            opt_sparse.step()
            opt_dense.step()


@correct
def kfold_fresh_model_each_fold():
    X, y = load_wine(return_X_y=True)
    scores = []
    for fold, (tr, va) in enumerate(StratifiedKFold(3, shuffle=True, random_state=1).split(X, y)):
        torch.manual_seed(fold)
        sc = StandardScaler()
        X_tr = torch.tensor(sc.fit_transform(X[tr]), dtype=torch.float32)
        X_va = torch.tensor(sc.transform(X[va]), dtype=torch.float32)
        y_tr, y_va = torch.tensor(y[tr]), torch.tensor(y[va])
        model = nn.Sequential(nn.Linear(13, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))
        opt = optim.Adam(model.parameters(), lr=1e-2)
        loader = DataLoader(TensorDataset(X_tr, y_tr), batch_size=16, shuffle=True)
        for _epoch in range(8):
            model.train()
            for xb, yb in loader:
                opt.zero_grad()
                loss = F.cross_entropy(model(xb), yb)
                loss.backward()
                opt.step()
        model.eval()
        with torch.no_grad():
            scores.append(accuracy_score(y_va, model(X_va).argmax(1)))
    print(f"{np.mean(scores):.3f} +- {np.std(scores):.3f}")


@correct
def zero_grad_keeps_tensors():
    torch.manual_seed(0)
    X = torch.randn(256, 6)
    y = (X[:, 0] - X[:, 3] > 0.2).float().unsqueeze(1)
    model = nn.Sequential(nn.Linear(6, 16), nn.LeakyReLU(), nn.Linear(16, 1))
    opt = optim.SGD(model.parameters(), lr=0.2, momentum=0.9, nesterov=True)
    crit = nn.BCEWithLogitsLoss()
    for _ in range(5):
        hits = 0
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True):
            opt.zero_grad(set_to_none=False)
            out = model(xb)
            loss = crit(out, yb)
            loss.backward()
            opt.step()
            hits += ((out > 0) == (yb > 0.5)).sum().item()
        print(hits / 256)


@correct
def overfit_one_batch_sanity_check():
    torch.manual_seed(0)
    X = torch.randn(500, 3, 8, 8)
    y = torch.randint(0, 10, (500,))
    loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    )
    xb, yb = next(iter(loader))
    opt = optim.Adam(model.parameters(), lr=1e-2)
    for step in range(60):
        loss = F.cross_entropy(model(xb), yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
        if step % 20 == 0:
            print(step, loss.item())
    assert loss.item() < 0.1


@correct
def lr_range_test_then_training():
    torch.manual_seed(0)
    X = torch.randn(320, 8)
    y = (X @ torch.randn(8, 4)).argmax(1)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
    start = copy.deepcopy(model.state_dict())
    lrs, losses = [], []
    lr = 1e-5
    opt = optim.SGD(model.parameters(), lr=lr)
    for xb, yb in itertools.chain.from_iterable(itertools.repeat(loader)):
        opt.param_groups[0]["lr"] = lr
        loss = F.cross_entropy(model(xb), yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
        lrs.append(lr)
        losses.append(loss.item())
        lr *= 1.25
        if losses[-1] > 4 * min(losses) or lr > 10:
            break
    model.load_state_dict(start)
    opt = optim.SGD(model.parameters(), lr=0.3)
    for _ in range(6):
        for xb, yb in loader:
            opt.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            opt.step()


@correct
def simclr_in_batch_negatives():
    torch.manual_seed(0)
    base = torch.randn(192, 10)
    enc = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 8))
    opt = optim.Adam(enc.parameters(), lr=5e-3)
    for _ in range(8):
        for (xb,) in DataLoader(TensorDataset(base), batch_size=32, shuffle=True, drop_last=True):
            v1 = xb + 0.3 * torch.randn_like(xb)
            v2 = xb + 0.3 * torch.randn_like(xb)
            z = F.normalize(enc(torch.cat([v1, v2])), dim=1)
            sim = z @ z.t() / 0.2
            sim.fill_diagonal_(-1e9)
            n = len(xb)
            target = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
            loss = F.cross_entropy(sim, target)
            opt.zero_grad()
            loss.backward()
            opt.step()


@correct
def class_weights_imbalanced():
    torch.manual_seed(0)
    X, y = make_classification(500, 8, n_informative=5, weights=[0.9, 0.1], random_state=3)
    X_tr, X_te, y_tr, y_te = train_test_split(X, y, stratify=y, test_size=0.2, random_state=0)
    sc = StandardScaler().fit(X_tr)
    X_tr = torch.from_numpy(sc.transform(X_tr)).float()
    X_te = torch.from_numpy(sc.transform(X_te)).float()
    y_tr = torch.from_numpy(y_tr)
    counts = torch.bincount(y_tr)
    weights = len(y_tr) / (2.0 * counts)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
    criterion = nn.CrossEntropyLoss(weight=weights)
    optimizer = Adam(model.parameters(), lr=1e-2)
    dl = DataLoader(TensorDataset(X_tr, y_tr), batch_size=50, shuffle=True)
    for _ in range(8):
        for xb, yb in dl:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
        with torch.no_grad():
            pred = model(X_te).argmax(1).numpy()
        print(f1_score(y_te, pred), confusion_matrix(y_te, pred).tolist())


@correct
def transformer_encoder_classifier():
    torch.manual_seed(0)
    X = torch.randint(0, 12, (160, 10))
    y = (X == 3).any(1).long()

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.tok = nn.Embedding(12, 16)
            self.pos = nn.Parameter(torch.zeros(1, 10, 16))
            layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
            self.enc = nn.TransformerEncoder(layer, 1)
            self.cls = nn.Linear(16, 2)

        def forward(self, x):
            h = self.enc(self.tok(x) + self.pos)
            return self.cls(h.max(dim=1).values)

    model = Model()
    opt = AdamW(model.parameters(), lr=1e-2)
    tr = DataLoader(TensorDataset(X[:128], y[:128]), batch_size=32, shuffle=True)
    for epoch in range(10):
        model.train()
        for xb, yb in tr:
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            acc = (model(X[128:]).argmax(1) == y[128:]).float().mean().item()
        print(epoch, acc)


@correct
def attention_pooling_softmax_inside():
    torch.manual_seed(0)
    X = torch.randn(240, 7, 5)
    key = X[..., 0].argmax(1)
    y = (X[torch.arange(240), key, 1] > 0).long()

    class AttnPool(nn.Module):
        def __init__(self):
            super().__init__()
            self.score = nn.Linear(5, 1)
            self.value = nn.Linear(5, 16)
            self.head = nn.Linear(16, 2)

        def forward(self, x):
            a = torch.softmax(self.score(x), dim=1)
            pooled = (a * self.value(x)).sum(1)
            return self.head(F.relu(pooled))

    model = AttnPool()
    opt = Adam(model.parameters(), lr=3e-2)
    for _ in range(15):
        for i in torch.randperm(240).split(40):
            opt.zero_grad()
            loss = F.cross_entropy(model(X[i]), y[i])
            loss.backward()
            opt.step()


@correct
def seq2seq_reverse_teacher_forcing():
    torch.manual_seed(0)
    V, L, H = 8, 5, 32
    src = torch.randint(2, V, (192, L))
    tgt = src.flip(1)

    class Seq2Seq(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(V, 16)
            self.enc = nn.GRU(16, H, batch_first=True)
            self.dec = nn.GRU(16, H, batch_first=True)
            self.out = nn.Linear(H, V)

        def forward(self, s, t_in):
            _, h = self.enc(self.emb(s))
            o, _ = self.dec(self.emb(t_in), h)
            return self.out(o)

    model = Seq2Seq()
    opt = Adam(model.parameters(), lr=1e-2)
    crit = nn.CrossEntropyLoss()
    for _ in range(10):
        for s, t in DataLoader(TensorDataset(src, tgt), batch_size=32, shuffle=True):
            start = torch.ones(len(s), 1, dtype=torch.long)
            logits = model(s, torch.cat([start, t[:, :-1]], dim=1))
            loss = crit(logits.transpose(1, 2), t)
            opt.zero_grad()
            loss.backward()
            clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
