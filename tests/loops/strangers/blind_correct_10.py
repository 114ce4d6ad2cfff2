import argparse
import collections
import copy
import io
import itertools
import math
import os
import random
import tempfile

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
    make_friedman1,
    make_moons,
    make_multilabel_classification,
)
from sklearn.metrics import accuracy_score, f1_score, r2_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import (
    DataLoader,
    Dataset,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)
from tqdm import tqdm

from .. import correct

# --------------------------------------------------------------------------- ordinary


@correct
def quickstart_style():
    torch.manual_seed(0)
    d = load_digits()
    X = torch.tensor(d.images, dtype=torch.float32) / 16.0
    y = torch.tensor(d.target)
    training_data, test_data = random_split(
        TensorDataset(X, y), [1437, 360], generator=torch.Generator().manual_seed(0)
    )
    train_dataloader = DataLoader(training_data, batch_size=64, shuffle=True)
    test_dataloader = DataLoader(test_data, batch_size=64)

    class NeuralNetwork(nn.Module):
        def __init__(self):
            super().__init__()
            self.flatten = nn.Flatten()
            self.linear_relu_stack = nn.Sequential(
                nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
            )

        def forward(self, x):
            return self.linear_relu_stack(self.flatten(x))

    model = NeuralNetwork()
    loss_fn = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def train():
        model.train()
        size = len(train_dataloader.dataset)
        seen = 0
        for batch, (X, y) in enumerate(train_dataloader):
            pred = model(X)
            loss = loss_fn(pred, y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            seen += len(X)
            if batch % 10 == 0:
                print(f"loss: {loss.item():>7f}  [{seen:>5d}/{size:>5d}]")

    def test():
        model.eval()
        size = len(test_dataloader.dataset)
        test_loss, correct_ = 0.0, 0
        with torch.no_grad():
            for X, y in test_dataloader:
                pred = model(X)
                test_loss += loss_fn(pred, y).item() * len(X)
                correct_ += (pred.argmax(1) == y).sum().item()
        print(f"Accuracy: {100 * correct_ / size:>0.1f}%, Avg loss: {test_loss / size:>8f}\n")

    for t in range(5):
        print(f"Epoch {t + 1}")
        train()
        test()


@correct
def kaggle_tabular_cv():
    def set_seed(s=1337):
        random.seed(s)
        np.random.seed(s)
        torch.manual_seed(s)

    set_seed()
    train = load_breast_cancer(as_frame=True).frame
    FEATS = [c for c in train.columns if c != "target"]
    oof = np.zeros(len(train))
    for fold, (tr, va) in enumerate(
        StratifiedKFold(4, shuffle=True, random_state=1337).split(train, train.target)
    ):
        set_seed(1337 + fold)
        ss = StandardScaler().fit(train.loc[tr, FEATS])
        xt = torch.tensor(ss.transform(train.loc[tr, FEATS]), dtype=torch.float)
        xv = torch.tensor(ss.transform(train.loc[va, FEATS]), dtype=torch.float)
        yt = torch.tensor(train.target.values[tr], dtype=torch.float)
        model = nn.Sequential(
            nn.Linear(len(FEATS), 32),
            nn.BatchNorm1d(32),
            nn.PReLU(),
            nn.Dropout(0.2),
            nn.Linear(32, 1),
        )
        opt = optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-5)
        crit = nn.BCEWithLogitsLoss()
        dl = DataLoader(TensorDataset(xt, yt), batch_size=32, shuffle=True)
        for epoch in range(6):
            model.train()
            run = 0.0
            for xb, yb in tqdm(dl, total=len(dl), disable=True):
                opt.zero_grad()
                loss = crit(model(xb).squeeze(1), yb)
                loss.backward()
                opt.step()
                run += loss.item() * xb.size(0)
            model.eval()
            with torch.no_grad():
                p = model(xv).squeeze(1).sigmoid().numpy()
            auc = roc_auc_score(train.target.values[va], p)
            print(f"FOLD {fold} | EPOCH {epoch} | loss {run / len(tr):.4f} | auc {auc:.4f}")
        oof[va] = p
    print("OOF accuracy", accuracy_score(train.target, oof > 0.5))


@correct
def trainer_class_checkpoint():
    class Trainer:
        def __init__(self, model, optimizer, scheduler, loaders, ckpt):
            self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
            self.train_loader, self.val_loader = loaders
            self.ckpt, self.best = ckpt, float("inf")

        def _train_epoch(self):
            self.model.train()
            total, n = 0.0, 0
            for x, y in self.train_loader:
                self.optimizer.zero_grad(set_to_none=True)
                loss = F.mse_loss(self.model(x), y)
                loss.backward()
                nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
                self.optimizer.step()
                total, n = total + loss.item() * len(x), n + len(x)
            return total / n

        @torch.no_grad()
        def _validate(self):
            self.model.eval()
            total, n = 0.0, 0
            for x, y in self.val_loader:
                total += F.mse_loss(self.model(x), y, reduction="sum").item()
                n += y.numel()
            return total / n

        def fit(self, epochs):
            for e in range(epochs):
                tr, va = self._train_epoch(), self._validate()
                self.scheduler.step(va)
                if va < self.best:
                    self.best = va
                    torch.save(
                        {
                            "model": self.model.state_dict(),
                            "opt": self.optimizer.state_dict(),
                            "epoch": e,
                        },
                        self.ckpt,
                    )
                print(f"{e}: train {tr:.4f} val {va:.4f}")
            state = torch.load(self.ckpt)
            self.model.load_state_dict(state["model"])
            print("restored epoch", state["epoch"], "val", round(self._validate(), 4))

    torch.manual_seed(5)
    X, y = make_friedman1(900, noise=0.5, random_state=5)
    Xa, Xb, ya, yb = train_test_split(X, y[:, None], test_size=0.25, random_state=5)
    sx, sy = StandardScaler().fit(Xa), StandardScaler().fit(ya)
    ds = lambda a, b: TensorDataset(
        torch.tensor(sx.transform(a)).float(), torch.tensor(sy.transform(b)).float()
    )
    net = nn.Sequential(
        nn.Linear(10, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, 1)
    )
    opt = optim.AdamW(net.parameters(), lr=4e-3, weight_decay=1e-3)
    sch = optim.lr_scheduler.ReduceLROnPlateau(opt, factor=0.5, patience=1)
    with tempfile.TemporaryDirectory() as tmp:
        Trainer(
            net,
            opt,
            sch,
            (DataLoader(ds(Xa, ya), 45, shuffle=True), DataLoader(ds(Xb, yb), 100)),
            os.path.join(tmp, "best.pt"),
        ).fit(8)


@correct
def mini_lightning():
    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(20, 16, padding_idx=0)
            self.lstm = nn.LSTM(16, 24, batch_first=True)
            self.drop = nn.Dropout(0.2)
            self.head = nn.Linear(24, 3)

        def forward(self, x, lengths):
            packed = nn.utils.rnn.pack_padded_sequence(
                self.emb(x), lengths, batch_first=True, enforce_sorted=False
            )
            _, (h, _) = self.lstm(packed)
            return self.head(self.drop(h[-1]))

        def training_step(self, batch):
            return F.cross_entropy(self(batch["tokens"], batch["len"]), batch["label"])

        def validation_step(self, batch):
            out = self(batch["tokens"], batch["len"])
            return (
                F.cross_entropy(out, batch["label"], reduction="sum").item(),
                (out.argmax(1) == batch["label"]).sum().item(),
                len(out),
            )

        def configure_optimizers(self):
            opt = optim.Adam(self.parameters(), lr=1e-2)
            return opt, optim.lr_scheduler.StepLR(opt, step_size=3, gamma=0.5)

    def fit(module, train_dl, val_dl, max_epochs):
        opt, sch = module.configure_optimizers()
        for e in range(max_epochs):
            module.train()
            for batch in train_dl:
                loss = module.training_step(batch)
                opt.zero_grad()
                loss.backward()
                opt.step()
            sch.step()
            module.eval()
            with torch.no_grad():
                parts = [module.validation_step(b) for b in val_dl]
            s, c, n = (sum(p[i] for p in parts) for i in range(3))
            print(f"epoch={e} val_loss={s / n:.3f} val_acc={c / n:.3f}")

    def collate(items):
        lens = torch.tensor([len(t) for t, _ in items])
        toks = nn.utils.rnn.pad_sequence([torch.tensor(t) for t, _ in items], batch_first=True)
        return {"tokens": toks, "len": lens, "label": torch.tensor([l for _, l in items])}

    rng = random.Random(7)
    torch.manual_seed(7)
    words = {0: range(1, 10), 1: range(6, 15), 2: range(11, 20)}
    data = []
    for i in range(600):
        lab = i % 3
        data.append(([rng.choice(words[lab]) for _ in range(rng.randint(4, 10))], lab))
    rng.shuffle(data)
    fit(
        Module(),
        DataLoader(data[:450], 30, shuffle=True, collate_fn=collate),
        DataLoader(data[450:], 50, collate_fn=collate),
        6,
    )


@correct
def argparse_research_script():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--bs", type=int, default=64)
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args([])
    torch.manual_seed(args.seed)
    d = load_digits()
    tr, te = train_test_split(
        np.arange(1797), test_size=0.2, random_state=args.seed, stratify=d.target
    )
    mean, std = d.images[tr].mean() / 16, d.images[tr].std() / 16

    class DigitSet(Dataset):
        def __init__(self, idx, augment):
            self.x = (
                torch.tensor(d.images[idx], dtype=torch.float32).unsqueeze(1) / 16 - mean
            ) / std
            self.y = torch.tensor(d.target[idx])
            self.augment = augment

        def __len__(self):
            return len(self.y)

        def __getitem__(self, i):
            x = self.x[i]
            if self.augment and torch.rand(()) < 0.5:
                x = torch.roll(x, shifts=int(torch.randint(-1, 2, ())), dims=2)
            return x, self.y[i]

    class ResBlock(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.c1, self.b1 = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
            self.c2, self.b2 = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)

        def forward(self, x):
            return F.relu(x + self.b2(self.c2(F.relu(self.b1(self.c1(x))))))

    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        ResBlock(12),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12 * 16, 10),
    )
    train_loader = DataLoader(DigitSet(tr, True), args.bs, shuffle=True)
    test_loader = DataLoader(DigitSet(te, False), 180)
    optimizer = optim.SGD(
        net.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs)
    for epoch in range(args.epochs):
        net.train()
        train_loss, hit, total = 0.0, 0, 0
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            outputs = net(inputs)
            loss = F.cross_entropy(outputs, targets)
            loss.backward()
            optimizer.step()
            train_loss += loss.item() * targets.size(0)
            hit += outputs.argmax(1).eq(targets).sum().item()
            total += targets.size(0)
        scheduler.step()
        net.eval()
        thit = 0
        with torch.no_grad():
            for inputs, targets in test_loader:
                thit += net(inputs).argmax(1).eq(targets).sum().item()
        print(
            f"Epoch {epoch}: loss {train_loss / total:.3f} acc {hit / total:.3f} test {thit / len(te):.3f}"
        )


@correct
def fastai_callbacks():
    class CancelFit(Exception):
        pass

    class EarlyStop:
        def __init__(self, patience):
            self.patience, self.best, self.wait, self.state = patience, math.inf, 0, None

        def after_epoch(self, L):
            if L.valid_loss < self.best - 1e-4:
                self.best, self.wait = L.valid_loss, 0
                self.state = copy.deepcopy(L.model.state_dict())
            else:
                self.wait += 1
                if self.wait >= self.patience:
                    raise CancelFit

        def after_fit(self, L):
            L.model.load_state_dict(self.state)

    class Recorder:
        def __init__(self):
            self.lrs, self.losses = [], []

        def after_batch(self, L):
            self.lrs.append(L.opt.param_groups[0]["lr"])
            self.losses.append(L.loss.item())

        def after_epoch(self, L):
            print(
                f"{L.epoch}\t{np.mean(self.losses[-10:]):.4f}\t{L.valid_loss:.4f}\t{L.metric:.4f}"
            )

    class Sched:
        def __init__(self, sched):
            self.sched = sched

        def after_batch(self, L):
            self.sched.step()

    class Learner:
        def __init__(self, model, dls, opt, cbs):
            self.model, self.dls, self.opt, self.cbs = model, dls, opt, cbs

        def cb(self, name):
            for c in self.cbs:
                f = getattr(c, name, None)
                if f is not None:
                    f(self)

        def fit(self, n):
            try:
                for self.epoch in range(n):
                    self.model.train()
                    for xb, yb in self.dls[0]:
                        self.loss = F.cross_entropy(self.model(xb), yb)
                        self.loss.backward()
                        self.opt.step()
                        self.opt.zero_grad()
                        self.cb("after_batch")
                    self.model.eval()
                    with torch.no_grad():
                        outs = [(self.model(xb), yb) for xb, yb in self.dls[1]]
                    o, t = torch.cat([a for a, _ in outs]), torch.cat([b for _, b in outs])
                    self.valid_loss = F.cross_entropy(o, t).item()
                    self.metric = (o.argmax(1) == t).float().mean().item()
                    self.cb("after_epoch")
            except CancelFit:
                print("stopped at", self.epoch)
            self.cb("after_fit")

    torch.manual_seed(21)
    X, y = load_wine(return_X_y=True)
    a, b, c, e = train_test_split(X, y, test_size=0.3, random_state=21, stratify=y)
    s = StandardScaler().fit(a)
    mk = lambda q, t: TensorDataset(torch.tensor(s.transform(q)).float(), torch.tensor(t))
    dls = DataLoader(mk(a, c), 20, shuffle=True), DataLoader(mk(b, e), 20)
    net = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    oc = optim.lr_scheduler.OneCycleLR(opt, max_lr=1e-2, total_steps=10 * len(dls[0]))
    Learner(net, dls, opt, [Sched(oc), Recorder(), EarlyStop(3)]).fit(10)


@correct
def gru_sequential_forecast():
    torch.manual_seed(3)
    rs = np.random.RandomState(3)
    t = np.arange(900)
    s = np.sin(t / 8) + 0.5 * np.cos(t / 21) + 0.1 * rs.randn(900)
    n_train, n_val, L = 600, 150, 20
    mu, sd = s[:n_train].mean(), s[:n_train].std()
    z = torch.tensor((s - mu) / sd, dtype=torch.float32)

    def windows(part):
        w = part.unfold(0, L + 1, 1)
        return w[:, :-1].unsqueeze(-1), w[:, -1]

    tr, va, te = (
        windows(z[:n_train]),
        windows(z[n_train : n_train + n_val]),
        windows(z[n_train + n_val :]),
    )

    class Forecaster(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(1, 24, batch_first=True)
            self.out = nn.Linear(24, 1)

        def forward(self, x):
            return self.out(self.gru(x)[0][:, -1]).squeeze(-1)

    net = Forecaster()
    opt = optim.Adam(net.parameters(), lr=5e-3)
    best, best_state = math.inf, None
    for epoch in range(6):
        net.train()
        tot = 0.0
        for idx in torch.randperm(len(tr[1])).split(58):
            opt.zero_grad()
            loss = F.huber_loss(net(tr[0][idx]), tr[1][idx])
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            tot += loss.item() * len(idx)
        net.eval()
        with torch.no_grad():
            v = F.huber_loss(net(va[0]), va[1]).item()
        if v < best:
            best, best_state = v, {k: p.clone() for k, p in net.state_dict().items()}
        print(f"{epoch} train {tot / len(tr[1]):.4f} val {v:.4f}")
    net.load_state_dict(best_state)
    net.eval()
    with torch.no_grad():
        print("test R2", round(r2_score(te[1].numpy(), net(te[0]).numpy()), 3))


@correct
def transformer_dict_batches():
    torch.manual_seed(17)
    g = torch.Generator().manual_seed(17)
    N, T, V = 700, 10, 16
    ids = torch.randint(1, V, (N, T), generator=g)
    lens = torch.randint(4, T + 1, (N,), generator=g)
    mask = torch.arange(T)[None] < lens[:, None]
    ids = ids * mask
    labels = ((ids > 8).sum(1).float() / lens > 0.5).long()

    class DictSet(Dataset):
        def __init__(self, sl):
            self.sl = sl

        def __len__(self):
            return len(self.sl)

        def __getitem__(self, i):
            j = self.sl[i]
            return dict(input_ids=ids[j], attention_mask=mask[j], labels=labels[j])

    class Classifier(nn.Module):
        def __init__(self, d=32):
            super().__init__()
            self.tok, self.pos = nn.Embedding(V, d, padding_idx=0), nn.Embedding(T, d)
            layer = nn.TransformerEncoderLayer(
                d, 4, 64, dropout=0.1, batch_first=True, norm_first=True
            )
            self.enc = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
            self.fc = nn.Linear(d, 2)

        def forward(self, input_ids, attention_mask, labels=None):
            h = self.tok(input_ids) + self.pos(torch.arange(T))
            h = self.enc(h, src_key_padding_mask=~attention_mask)
            m = attention_mask.unsqueeze(-1)
            logits = self.fc((h * m).sum(1) / m.sum(1))
            return {
                "logits": logits,
                "loss": None if labels is None else F.cross_entropy(logits, labels),
            }

    train_dl = DataLoader(DictSet(range(0, 500)), 25, shuffle=True)
    eval_dl = DataLoader(DictSet(range(500, 700)), 50)
    model = Classifier()
    nd = [p for p in model.parameters() if p.ndim < 2]
    wd = [p for p in model.parameters() if p.ndim >= 2]
    optimizer = optim.AdamW(
        [{"params": wd, "weight_decay": 0.01}, {"params": nd, "weight_decay": 0.0}], lr=3e-3
    )
    total = 6 * len(train_dl)
    warm = total // 10
    sched = optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: (k + 1) / warm if k < warm else max(0.0, (total - k) / (total - warm))
    )
    for epoch in range(6):
        model.train()
        for batch in train_dl:
            out = model(**batch)
            out["loss"].backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            sched.step()
            optimizer.zero_grad()
        model.eval()
        preds, refs = [], []
        for batch in eval_dl:
            with torch.no_grad():
                out = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
            preds += out["logits"].argmax(-1).tolist()
            refs += batch["labels"].tolist()
        print(
            f"epoch {epoch}: accuracy {accuracy_score(refs, preds):.4f} f1 {f1_score(refs, preds):.4f}"
        )


@correct
def multilabel_tags():
    torch.manual_seed(29)
    X, Y = make_multilabel_classification(1000, 20, n_classes=5, random_state=29)
    X_tr, X_va, Y_tr, Y_va = train_test_split(X, Y, test_size=0.2, random_state=29)
    sc = StandardScaler().fit(X_tr)
    train_ds = TensorDataset(torch.tensor(sc.transform(X_tr)).float(), torch.tensor(Y_tr).float())
    val_ds = TensorDataset(torch.tensor(sc.transform(X_va)).float(), torch.tensor(Y_va).float())
    pos = torch.tensor(Y_tr).float().mean(0)
    loss_fn = nn.BCEWithLogitsLoss(pos_weight=((1 - pos) / pos).clamp(max=5))
    net = nn.Sequential(nn.Linear(20, 64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, 5))
    opt = optim.NAdam(net.parameters(), lr=2e-3)
    for epoch in range(8):
        net.train()
        loss_sum = 0.0
        for x, y in DataLoader(train_ds, 40, shuffle=True):
            opt.zero_grad()
            loss = loss_fn(net(x), y)
            loss.backward()
            opt.step()
            loss_sum += loss.item() * len(x)
        net.eval()
        probs, gold = [], []
        with torch.no_grad():
            for x, y in DataLoader(val_ds, 64):
                probs.append(torch.sigmoid(net(x)))
                gold.append(y)
        P, G = (torch.cat(probs) > 0.5).int().numpy(), torch.cat(gold).int().numpy()
        print(
            f"Ep {epoch} loss {loss_sum / len(train_ds):.4f} micro {f1_score(G, P, average='micro'):.4f} "
            f"macro {f1_score(G, P, average='macro', zero_division=0):.4f}"
        )


@correct
def unet_like_segmentation():
    torch.manual_seed(41)
    g = torch.Generator().manual_seed(41)

    def synth(n):
        cy, cx = torch.randint(4, 12, (2, n), generator=g)
        r = torch.randint(2, 5, (n,), generator=g)
        yy, xx = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
        m = (
            ((yy - cy[:, None, None]) ** 2 + (xx - cx[:, None, None]) ** 2) <= (r**2)[:, None, None]
        ).float()
        return (m + 0.4 * torch.randn(n, 16, 16, generator=g))[:, None], m[:, None]

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            cb = lambda i, o: nn.Sequential(
                nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(inplace=True)
            )
            self.d1, self.d2 = cb(1, 8), cb(8, 16)
            self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
            self.u1, self.out = cb(16, 8), nn.Conv2d(8, 1, 1)

        def forward(self, x):
            a = self.d1(x)
            b = self.d2(F.max_pool2d(a, 2))
            return self.out(self.u1(torch.cat([a, self.up(b)], 1)))

    def dice_loss(logits, target, eps=1.0):
        p = logits.sigmoid().flatten(1)
        t = target.flatten(1)
        return (1 - (2 * (p * t).sum(1) + eps) / (p.sum(1) + t.sum(1) + eps)).mean()

    train_dl = DataLoader(TensorDataset(*synth(192)), 16, shuffle=True)
    val_dl = DataLoader(TensorDataset(*synth(64)), 16)
    model = UNet()
    opt = optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(6):
        model.train()
        for x, m in train_dl:
            opt.zero_grad()
            lg = model(x)
            loss = F.binary_cross_entropy_with_logits(lg, m) + dice_loss(lg, m)
            loss.backward()
            opt.step()
        model.eval()
        inter = union = 0.0
        with torch.no_grad():
            for x, m in val_dl:
                p = model(x) > 0
                inter += (p & m.bool()).sum().item()
                union += (p | m.bool()).sum().item()
        print(f"epoch {epoch}: val IoU {inter / union:.4f}")


@correct
def denoising_autoencoder():
    torch.manual_seed(51)
    X = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    perm = torch.randperm(len(X))
    Xtr, Xva = X[perm[:1440]], X[perm[1440:]]
    noise_gen = torch.Generator().manual_seed(1)
    Xva_noisy = (Xva + 0.2 * torch.randn(Xva.shape, generator=noise_gen)).clamp(0, 1)
    enc = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 16))
    dec = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 64), nn.Sigmoid())
    opt = optim.Adam(itertools.chain(enc.parameters(), dec.parameters()), lr=3e-3)
    for ep in range(8):
        enc.train()
        dec.train()
        tot = 0.0
        for x in DataLoader(Xtr, 48, shuffle=True):
            noisy = (x + 0.2 * torch.randn_like(x)).clamp(0, 1)
            rec = dec(enc(noisy))
            loss = ((rec - x) ** 2).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            tot += loss.item() * len(x)
        enc.eval()
        dec.eval()
        with torch.no_grad():
            v = ((dec(enc(Xva_noisy)) - Xva) ** 2).mean().item()
        print(f"[{ep}] train {tot / len(Xtr):.5f} val {v:.5f}")


@correct
def triplet_metric_learning():
    torch.manual_seed(62)
    rng = np.random.RandomState(62)
    X, y = load_digits(return_X_y=True)
    Xa, Xb, ya, yb = train_test_split(X / 16.0, y, test_size=0.25, random_state=62, stratify=y)
    Xa, Xb = torch.tensor(Xa).float(), torch.tensor(Xb).float()

    class TripletSet(Dataset):
        def __init__(self):
            self.by_class = {c: np.where(ya == c)[0] for c in range(10)}

        def __len__(self):
            return len(ya)

        def __getitem__(self, i):
            c = ya[i]
            p = rng.choice(self.by_class[c][self.by_class[c] != i])
            neg = rng.choice([k for k in range(10) if k != c])
            n = rng.choice(self.by_class[neg])
            return Xa[i], Xa[p], Xa[n]

    class Embed(nn.Module):
        def __init__(self):
            super().__init__()
            self.f = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))

        def forward(self, x):
            return F.normalize(self.f(x), dim=1)

    net = Embed()
    crit = nn.TripletMarginLoss(margin=0.5)
    opt = optim.Adam(net.parameters(), lr=2e-3)
    loader = DataLoader(TripletSet(), 64, shuffle=True)
    for ep in range(5):
        net.train()
        s = 0.0
        for a, p, n in loader:
            opt.zero_grad()
            loss = crit(net(a), net(p), net(n))
            loss.backward()
            opt.step()
            s += loss.item() * len(a)
        net.eval()
        with torch.no_grad():
            nearest = torch.cdist(net(Xb), net(Xa)).argmin(1).numpy()
        print(f"epoch {ep} triplet {s / len(ya):.4f} 1-NN acc {(ya[nearest] == yb).mean():.4f}")


@correct
def multitask_regression_classification():
    torch.manual_seed(73)
    X, y = load_diabetes(return_X_y=True)
    idx_tr, idx_va = train_test_split(np.arange(len(y)), test_size=0.2, random_state=73)
    hi = (y > np.median(y[idx_tr])).astype(np.float32)
    xs, ys = StandardScaler().fit(X[idx_tr]), StandardScaler().fit(y[idx_tr, None])
    Xn = torch.tensor(xs.transform(X), dtype=torch.float32)
    yn = torch.tensor(ys.transform(y[:, None]), dtype=torch.float32)
    hi = torch.tensor(hi).unsqueeze(1)

    class TwoHeads(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Dropout(0.1))
            self.heads = nn.ModuleDict({"reg": nn.Linear(32, 1), "cls": nn.Linear(32, 1)})
            self.log_var = nn.Parameter(torch.zeros(2))

        def forward(self, x):
            h = self.trunk(x)
            return self.heads["reg"](h), self.heads["cls"](h)

    net = TwoHeads()
    opt = optim.Adam(net.parameters(), lr=4e-3)
    loader = DataLoader(TensorDataset(Xn[idx_tr], yn[idx_tr], hi[idx_tr]), 32, shuffle=True)
    for ep in range(10):
        net.train()
        for x, t, h in loader:
            r, c = net(x)
            losses = torch.stack([F.mse_loss(r, t), F.binary_cross_entropy_with_logits(c, h)])
            loss = (torch.exp(-net.log_var) * losses + net.log_var).sum()
            opt.zero_grad()
            loss.backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            r, c = net(Xn[idx_va])
        r2 = r2_score(yn[idx_va].numpy(), r.numpy())
        acc = ((c > 0).float() == hi[idx_va]).float().mean().item()
        print(f"{ep}: R2 {r2:.3f} acc {acc:.3f}")


@correct
def amp_bf16_scaler():
    torch.manual_seed(81)
    d = load_digits()
    Xa, Xb, ya, yb = train_test_split(
        d.images[:, None].astype(np.float32) / 16,
        d.target,
        test_size=0.2,
        random_state=81,
        stratify=d.target,
    )
    train_loader = DataLoader(
        TensorDataset(torch.from_numpy(Xa), torch.from_numpy(ya)), 64, shuffle=True
    )
    val_loader = DataLoader(TensorDataset(torch.from_numpy(Xb), torch.from_numpy(yb)), 120)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(256, 10),
    )
    opt = optim.AdamW(model.parameters(), lr=3e-3)
    scaler = torch.amp.GradScaler("cpu", enabled=True)
    crit = nn.CrossEntropyLoss(label_smoothing=0.05)
    for epoch in range(5):
        model.train()
        seen, total = 0, 0.0
        for x, y in train_loader:
            opt.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = crit(model(x), y)
            scaler.scale(loss).backward()
            scaler.unscale_(opt)
            nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            scaler.step(opt)
            scaler.update()
            total += loss.item() * len(y)
            seen += len(y)
        model.eval()
        hit = 0
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            for x, y in val_loader:
                hit += (model(x).argmax(1) == y).sum().item()
        print(f"epoch {epoch} loss {total / seen:.4f} acc {hit / len(yb):.4f}")


@correct
def accumulation_uneven_tail():
    torch.manual_seed(90)
    X, y = make_classification(1030, 24, n_informative=12, n_classes=3, random_state=90)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.2, random_state=90, stratify=y)
    m, s = Xa.mean(0), Xa.std(0)
    tr = TensorDataset(torch.tensor((Xa - m) / s).float(), torch.tensor(ya))
    xv, yv = torch.tensor((Xb - m) / s).float(), torch.tensor(yb)
    net = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 3))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    loader = DataLoader(tr, 16, shuffle=True)
    ACC = 4

    def groups(it, n):
        it = iter(it)
        while chunk := list(itertools.islice(it, n)):
            yield chunk

    for ep in range(8):
        net.train()
        ep_loss = 0.0
        for chunk in groups(loader, ACC):
            size = sum(len(t) for _, t in chunk)
            opt.zero_grad()
            for x, t in chunk:
                loss = F.cross_entropy(net(x), t, reduction="sum") / size
                loss.backward()
                ep_loss += loss.item() * size
            opt.step()
        net.eval()
        with torch.no_grad():
            acc = (net(xv).argmax(1) == yv).float().mean().item()
        print(f"epoch {ep} loss {ep_loss / len(tr):.4f} acc {acc:.4f}")


@correct
def ema_weights_eval():
    torch.manual_seed(101)
    X, y = make_moons(1000, noise=0.25, random_state=101)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.3, random_state=101)
    sc = StandardScaler().fit(Xa)
    ds = TensorDataset(torch.tensor(sc.transform(Xa)).float(), torch.tensor(ya).float())
    xv, yv = torch.tensor(sc.transform(Xb)).float(), torch.tensor(yb).float()
    model = nn.Sequential(
        nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)
    )

    class EMA:
        def __init__(self, model, decay):
            self.decay = decay
            self.shadow = copy.deepcopy(model).eval().requires_grad_(False)

        @torch.no_grad()
        def update(self, model):
            for s, p in zip(self.shadow.parameters(), model.parameters()):
                s.lerp_(p, 1 - self.decay)

    ema = EMA(model, 0.95)
    opt = optim.Adam(model.parameters(), lr=5e-3)
    for ep in range(8):
        model.train()
        for x, t in DataLoader(ds, 50, shuffle=True):
            opt.zero_grad()
            F.binary_cross_entropy_with_logits(model(x).squeeze(1), t).backward()
            opt.step()
            ema.update(model)
        model.eval()
        with torch.no_grad():
            a = ((model(xv).squeeze(1) > 0).float() == yv).float().mean().item()
            b = ((ema.shadow(xv).squeeze(1) > 0).float() == yv).float().mean().item()
        print(f"ep {ep} raw {a:.4f} ema {b:.4f}")


@correct
def embedding_bag_collate():
    torch.manual_seed(111)
    rng = np.random.default_rng(111)
    V, K = 80, 4
    topic = rng.dirichlet(np.full(V, 0.2), K)
    corpus = []
    for _ in range(700):
        k = int(rng.integers(K))
        corpus.append((k, rng.choice(V, int(rng.integers(6, 18)), p=topic[k]).tolist()))
    train, valid = corpus[:550], corpus[550:]

    def collate_batch(batch):
        labels = torch.tensor([k for k, _ in batch])
        lens = torch.tensor([0] + [len(w) for _, w in batch[:-1]])
        return labels, torch.tensor([t for _, w in batch for t in w]), lens.cumsum(0)

    class TextClassificationModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.EmbeddingBag(V, 24)
            self.fc = nn.Linear(24, K)
            nn.init.uniform_(self.embedding.weight, -0.5, 0.5)

        def forward(self, text, offsets):
            return F.log_softmax(self.fc(self.embedding(text, offsets)), dim=1)

    model = TextClassificationModel()
    criterion = nn.NLLLoss()
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    for epoch in range(1, 7):
        model.train()
        tot_acc = tot = 0
        for label, text, offsets in DataLoader(train, 32, shuffle=True, collate_fn=collate_batch):
            optimizer.zero_grad()
            pred = model(text, offsets)
            loss = criterion(pred, label)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            tot_acc += (pred.argmax(1) == label).sum().item()
            tot += len(label)
        scheduler.step()
        model.eval()
        va = 0
        with torch.no_grad():
            for label, text, offsets in DataLoader(valid, 64, collate_fn=collate_batch):
                va += (model(text, offsets).argmax(1) == label).sum().item()
        print(f"epoch {epoch} train acc {tot_acc / tot:.3f} valid acc {va / len(valid):.3f}")


@correct
def weighted_sampler_imbalanced():
    torch.manual_seed(121)
    X, y = make_classification(
        1200, 12, n_informative=7, weights=[0.88], class_sep=1.3, random_state=121
    )
    X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=0.25, random_state=121, stratify=y)
    sc = StandardScaler().fit(X_tr)
    tr = TensorDataset(torch.tensor(sc.transform(X_tr)).float(), torch.tensor(y_tr).float())
    va = TensorDataset(torch.tensor(sc.transform(X_va)).float(), torch.tensor(y_va).float())
    w = 1.0 / np.bincount(y_tr)[y_tr]
    sampler = WeightedRandomSampler(torch.as_tensor(w), num_samples=len(y_tr), replacement=True)
    train_loader, val_loader = DataLoader(tr, 50, sampler=sampler), DataLoader(va, 100)
    net = nn.Sequential(
        nn.Linear(12, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1), nn.Flatten(0)
    )
    opt = optim.Adam(net.parameters(), lr=3e-3)
    writer = collections.defaultdict(list)  # add_scalar(tag, value, step)
    for epoch in range(7):
        net.train()
        acc_loss, n = 0.0, 0
        for x, t in train_loader:
            opt.zero_grad()
            loss = F.binary_cross_entropy_with_logits(net(x), t)
            loss.backward()
            opt.step()
            acc_loss += loss.item() * len(t)
            n += len(t)
        writer["train/loss"].append((epoch, acc_loss / n))
        net.eval()
        scores, truth = [], []
        with torch.no_grad():
            for x, t in val_loader:
                scores.append(net(x).sigmoid())
                truth.append(t)
        scores, truth = torch.cat(scores).numpy(), torch.cat(truth).numpy()
        writer["val/auc"].append((epoch, roc_auc_score(truth, scores)))
        writer["val/f1"].append((epoch, f1_score(truth, scores > 0.5)))
        print({k: round(v[-1][1], 4) for k, v in writer.items()})


@correct
def vae_digits():
    torch.manual_seed(131)
    X = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    tr, te = random_split(X, [1437, 360], generator=torch.Generator().manual_seed(131))
    train_loader, test_loader = DataLoader(tr, 64, shuffle=True), DataLoader(te, 64)

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(64, 48)
            self.fc21, self.fc22 = nn.Linear(48, 6), nn.Linear(48, 6)
            self.fc3, self.fc4 = nn.Linear(6, 48), nn.Linear(48, 64)

        def encode(self, x):
            h = F.relu(self.fc1(x))
            return self.fc21(h), self.fc22(h)

        def reparameterize(self, mu, logvar):
            return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu) if self.training else mu

        def forward(self, x):
            mu, logvar = self.encode(x)
            z = self.reparameterize(mu, logvar)
            return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar

    def loss_function(recon, x, mu, logvar):
        return F.binary_cross_entropy(recon, x, reduction="sum") - 0.5 * torch.sum(
            1 + logvar - mu.pow(2) - logvar.exp()
        )

    model = VAE()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(1, 8):
        model.train()
        train_loss = 0.0
        for data in train_loader:
            optimizer.zero_grad()
            recon, mu, logvar = model(data)
            loss = loss_function(recon, data, mu, logvar)
            loss.backward()
            optimizer.step()
            train_loss += loss.item()
        model.eval()
        test_loss = 0.0
        with torch.no_grad():
            for data in test_loader:
                recon, mu, logvar = model(data)
                test_loss += loss_function(recon, data, mu, logvar).item()
        print(
            f"====> Epoch: {epoch} Average loss: {train_loss / len(tr):.4f} Test: {test_loss / len(te):.4f}"
        )


@correct
def generator_batches_poly_lr():
    torch.manual_seed(141)
    rng = np.random.default_rng(141)
    iris = load_iris()
    tr, va = train_test_split(np.arange(150), test_size=0.3, stratify=iris.target, random_state=141)
    lo, hi = iris.data[tr].min(0), iris.data[tr].max(0)
    feats = (2 * (iris.data - lo) / (hi - lo) - 1).astype("float32")

    def stream(indices, bs, epochs):
        for e in range(epochs):
            order = rng.permutation(indices)
            for k in range(0, len(order), bs):
                part = order[k : k + bs]
                yield (
                    e,
                    k + bs >= len(order),
                    torch.from_numpy(feats[part]),
                    torch.from_numpy(iris.target[part]),
                )

    epochs, bs = 10, 15
    net = nn.Sequential(nn.Linear(4, 24), nn.Tanh(), nn.Linear(24, 3))
    opt = optim.Adam(net.parameters(), lr=0.02)
    sch = optim.lr_scheduler.PolynomialLR(
        opt, total_iters=epochs * math.ceil(len(tr) / bs), power=1.0
    )
    net.train()
    for e, last, x, y in stream(tr, bs, epochs):
        opt.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        opt.step()
        sch.step()
        if last:
            net.eval()
            with torch.no_grad():
                out = net(torch.from_numpy(feats[va]))
                acc = (out.argmax(1).numpy() == iris.target[va]).mean()
            net.train()
            print(f"epoch {e} lr {sch.get_last_lr()[0]:.4f} val acc {acc:.3f}")


# --------------------------------------------------------------------------- unusual


@correct
def lbfgs_full_batch():
    torch.manual_seed(1)
    X, y = load_diabetes(return_X_y=True)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.25, random_state=1)
    sx, my, sdy = StandardScaler().fit(Xa), ya.mean(), ya.std()
    xt, xv = (torch.tensor(sx.transform(a), dtype=torch.float32) for a in (Xa, Xb))
    yt, yv = (torch.tensor((a - my) / sdy, dtype=torch.float32).unsqueeze(1) for a in (ya, yb))
    net = nn.Sequential(nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, 1))
    opt = optim.LBFGS(
        net.parameters(), lr=0.5, max_iter=4, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure():
        opt.zero_grad()
        loss = F.mse_loss(net(xt), yt) + 1e-2 * sum(p.pow(2).sum() for p in net.parameters())
        loss.backward()
        return loss

    for it in range(6):
        net.train()
        loss = opt.step(closure)
        net.eval()
        with torch.no_grad():
            print(
                f"iter {it}: objective {loss.item():.4f} val mse {F.mse_loss(net(xv), yv).item():.4f}"
            )


@correct
def wgan_gradient_penalty():
    torch.manual_seed(2)
    pts = torch.tensor(make_moons(900, noise=0.05, random_state=2)[0], dtype=torch.float32)
    pts = (pts - pts.mean(0)) / pts.std(0)
    Z, n_critic, lam = 4, 3, 1.0
    gen = nn.Sequential(nn.Linear(Z, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 2))
    critic = nn.Sequential(
        nn.Linear(2, 48), nn.LeakyReLU(0.2), nn.Linear(48, 48), nn.LeakyReLU(0.2), nn.Linear(48, 1)
    )
    opt_g = optim.Adam(gen.parameters(), lr=1e-3, betas=(0.5, 0.9))
    opt_c = optim.Adam(critic.parameters(), lr=3e-3, betas=(0.5, 0.9))

    def penalty(real, fake):
        a = torch.rand(len(real), 1)
        x = (a * real + (1 - a) * fake).requires_grad_(True)
        (g,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
        return ((g.norm(2, dim=1) - 1) ** 2).mean()

    loader = DataLoader(pts, batch_size=75, shuffle=True)
    for epoch in range(20):
        w_sum = n = 0
        for i, real in enumerate(loader):
            with torch.no_grad():
                fake = gen(torch.randn(len(real), Z))
            wdist = critic(real).mean() - critic(fake).mean()
            loss_c = -wdist + lam * penalty(real, fake)
            opt_c.zero_grad()
            loss_c.backward()
            opt_c.step()
            w_sum += wdist.item() * len(real)
            n += len(real)
            if (i + 1) % n_critic == 0:
                loss_g = -critic(gen(torch.randn(len(real), Z))).mean()
                opt_g.zero_grad()
                loss_g.backward()
                opt_g.step()
        with torch.no_grad():
            sample = gen(torch.randn(300, Z))
            dist = torch.cdist(sample, pts)
            chamfer = (dist.min(1).values.mean() + dist.min(0).values.mean()).item()
        if epoch % 4 == 3 or epoch == 0:
            print(f"epoch {epoch} W {w_sum / n:.4f} chamfer {chamfer:.4f}")


@correct
def actor_critic_two_optimizers():
    torch.manual_seed(4)
    rng = random.Random(4)
    SIZE, LIMIT, GAMMA = 7, 25, 0.97

    class Corridor:
        def reset(self):
            self.pos, self.t, self.goal = rng.randrange(SIZE), 0, rng.choice([0, SIZE - 1])
            while self.pos == self.goal:
                self.pos = rng.randrange(SIZE)
            return self.obs()

        def obs(self):
            v = torch.zeros(SIZE + 1)
            v[self.pos] = 1.0
            v[SIZE] = 1.0 if self.goal else -1.0
            return v

        def step(self, a):
            self.pos = min(SIZE - 1, max(0, self.pos + (1 if a else -1)))
            self.t += 1
            done = self.pos == self.goal
            return self.obs(), (1.0 if done else -0.05), done, self.t >= LIMIT

    actor = nn.Sequential(nn.Linear(SIZE + 1, 24), nn.Tanh(), nn.Linear(24, 2))
    critic = nn.Sequential(nn.Linear(SIZE + 1, 24), nn.Tanh(), nn.Linear(24, 1))
    opt_a, opt_c = optim.Adam(actor.parameters(), lr=1e-2), optim.Adam(critic.parameters(), lr=2e-2)
    env = Corridor()
    history = []
    for update in range(40):
        obs, acts, rets = [], [], []
        for _ in range(4):
            o, done, trunc = env.reset(), False, False
            rewards = []
            while not (done or trunc):
                with torch.no_grad():
                    a = torch.distributions.Categorical(logits=actor(o)).sample()
                obs.append(o)
                acts.append(a)
                o, r, done, trunc = env.step(a.item())
                rewards.append(r)
            with torch.no_grad():
                R = 0.0 if done else critic(o).item()
            back = []
            for r in reversed(rewards):
                R = r + GAMMA * R
                back.append(R)
            rets += back[::-1]
            history.append(sum(rewards))
        S, A, G = torch.stack(obs), torch.stack(acts), torch.tensor(rets)
        V = critic(S).squeeze(-1)
        dist = torch.distributions.Categorical(logits=actor(S))
        adv = (G - V).detach()
        actor_loss = -(dist.log_prob(A) * adv).mean() - 0.01 * dist.entropy().mean()
        critic_loss = F.mse_loss(V, G)
        opt_a.zero_grad()
        actor_loss.backward()
        opt_a.step()
        opt_c.zero_grad()
        critic_loss.backward()
        opt_c.step()
        if update % 8 == 7:
            print(
                f"update {update + 1}: mean return of last 32 episodes {np.mean(history[-32:]):.3f}"
            )


@correct
def dqn_target_network():
    torch.manual_seed(14)
    rng = random.Random(14)
    N = 6
    onehot = torch.eye(N)

    def step(s, a):
        s2 = max(0, min(N - 1, s + (1 if a == 1 else -1)))
        return s2, (1.0 if s2 == N - 1 else 0.0), s2 == N - 1

    online = nn.Sequential(nn.Linear(N, 32), nn.ReLU(), nn.Linear(32, 2))
    target = copy.deepcopy(online).requires_grad_(False)
    opt = optim.Adam(online.parameters(), lr=5e-3)
    memory = collections.deque(maxlen=1000)
    eps, gamma, steps = 1.0, 0.9, 0
    for episode in range(30):
        s, done, t, losses = rng.randrange(N - 1), False, 0, []
        while not done and t < 20:
            if rng.random() < eps:
                a = rng.randrange(2)
            else:
                with torch.no_grad():
                    a = online(onehot[s]).argmax().item()
            s2, r, done = step(s, a)
            memory.append((s, a, r, s2, float(done)))
            s, t, steps = s2, t + 1, steps + 1
            if len(memory) >= 32:
                S, A, R, S2, D = map(torch.tensor, zip(*rng.sample(memory, 32)))
                q = online(onehot[S]).gather(1, A[:, None]).squeeze(1)
                with torch.no_grad():
                    tgt = R + gamma * (1 - D) * target(onehot[S2]).max(1).values
                loss = F.smooth_l1_loss(q, tgt)
                opt.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_value_(online.parameters(), 1.0)
                opt.step()
                losses.append(loss.item())
            if steps % 20 == 0:
                target.load_state_dict(online.state_dict())
        eps = max(0.1, eps * 0.9)
        if episode % 5 == 4:
            with torch.no_grad():
                greedy = online(onehot[: N - 1]).argmax(1).tolist()
            print(
                f"episode {episode} eps {eps:.2f} td {np.mean(losses) if losses else float('nan'):.4f} policy {greedy}"
            )


@correct
def frozen_backbone_frozen_bn():
    torch.manual_seed(24)
    d = load_digits()
    x = torch.tensor(d.images[:, None], dtype=torch.float32) / 16
    y = torch.tensor(d.target)
    perm = torch.randperm(len(y), generator=torch.Generator().manual_seed(24))
    tr, va = perm[:1400], perm[1400:]
    backbone = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
    )

    def run(net, params, xs, ys, epochs, lr, keep_eval=()):
        opt = optim.Adam(params, lr=lr)
        for e in range(epochs):
            net.train()
            for m in keep_eval:
                m.eval()
            for idx in torch.randperm(len(xs)).split(70):
                opt.zero_grad()
                loss = F.cross_entropy(net(xs[idx]), ys[idx])
                loss.backward()
                opt.step()
            yield e

    def acc(net, xs, ys):
        net.eval()
        with torch.no_grad():
            return (net(xs).argmax(1) == ys).float().mean().item()

    # source task: digits 0-4; target task: digits 5-9
    src_tr, src_va = tr[y[tr] < 5], va[y[va] < 5]
    tgt_tr, tgt_va = tr[y[tr] >= 5], va[y[va] >= 5]
    source = nn.Sequential(backbone, nn.Linear(256, 5))
    for e in run(source, source.parameters(), x[src_tr], y[src_tr], 3, 2e-3):
        print("pretrain", e, round(acc(source, x[src_va], y[src_va]), 4))
    for p in backbone.parameters():
        p.requires_grad_(False)
    model = nn.Sequential(backbone, nn.Linear(256, 5))
    trainable = [p for p in model.parameters() if p.requires_grad]
    for e in run(model, trainable, x[tgt_tr], y[tgt_tr] - 5, 5, 5e-3, keep_eval=[backbone]):
        print("transfer", e, round(acc(model, x[tgt_va], y[tgt_va] - 5), 4))


@correct
def gradual_unfreezing():
    torch.manual_seed(34)
    X, y = load_digits(return_X_y=True)
    Xa, Xb, ya, yb = train_test_split(X / 16, y, test_size=0.2, random_state=34, stratify=y)
    Xa, Xb, ya, yb = (
        torch.tensor(Xa).float(),
        torch.tensor(Xb).float(),
        torch.tensor(ya),
        torch.tensor(yb),
    )
    model = nn.ModuleDict(
        {"low": nn.Linear(64, 64), "mid": nn.Linear(64, 48), "top": nn.Linear(48, 10)}
    )

    def forward(x):
        return model["top"](F.relu(model["mid"](F.relu(model["low"](x)))))

    for name in ("low", "mid"):
        model[name].requires_grad_(False)
    opt = optim.SGD(model["top"].parameters(), lr=0.1, momentum=0.9)
    thaw = {2: ("mid", 0.05), 4: ("low", 0.02)}
    loader = DataLoader(TensorDataset(Xa, ya), 48, shuffle=True)
    for epoch in range(8):
        if epoch in thaw:
            name, lr = thaw[epoch]
            model[name].requires_grad_(True)
            opt.add_param_group({"params": model[name].parameters(), "lr": lr})
            print("unfroze", name)
        model.train()
        tot = 0.0
        for xb, yb_ in loader:
            opt.zero_grad()
            loss = F.cross_entropy(forward(xb), yb_)
            loss.backward()
            opt.step()
            tot += loss.item() * len(xb)
        model.eval()
        with torch.no_grad():
            print(
                f"epoch {epoch} loss {tot / len(ya):.4f} acc {(forward(Xb).argmax(1) == yb).float().mean():.4f}"
            )


@correct
def swa_with_bn_update():
    from torch.optim.swa_utils import SWALR, AveragedModel, update_bn

    torch.manual_seed(44)
    X, y = make_classification(900, 20, n_informative=10, n_classes=3, random_state=44)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.2, random_state=44, stratify=y)
    s = StandardScaler().fit(Xa)
    tr = DataLoader(
        TensorDataset(torch.tensor(s.transform(Xa)).float(), torch.tensor(ya)), 48, shuffle=True
    )
    xv, yv = torch.tensor(s.transform(Xb)).float(), torch.tensor(yb)
    net = nn.Sequential(nn.Linear(20, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 3))
    swa = AveragedModel(net)
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    base_sched = optim.lr_scheduler.CosineAnnealingLR(opt, T_max=10)
    swa_sched = SWALR(opt, swa_lr=0.02, anneal_epochs=2)
    SWA_START = 5
    for ep in range(10):
        net.train()
        for x, t in tr:
            opt.zero_grad()
            F.cross_entropy(net(x), t).backward()
            opt.step()
        if ep >= SWA_START:
            swa.update_parameters(net)
            swa_sched.step()
        else:
            base_sched.step()
        net.eval()
        with torch.no_grad():
            print(
                f"{ep} lr {opt.param_groups[0]['lr']:.4f} acc {(net(xv).argmax(1) == yv).float().mean():.4f}"
            )
    update_bn(tr, swa)
    swa.eval()
    with torch.no_grad():
        print(f"SWA acc {(swa(xv).argmax(1) == yv).float().mean():.4f}")


@correct
def manual_sgd_by_hand():
    g = torch.Generator().manual_seed(54)
    X, y = load_iris(return_X_y=True)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.3, random_state=54, stratify=y)
    mu, sd = Xa.mean(0), Xa.std(0)
    Xa, Xb = torch.tensor((Xa - mu) / sd).float(), torch.tensor((Xb - mu) / sd).float()
    ya, yb = torch.tensor(ya), torch.tensor(yb)
    W1 = (torch.randn(4, 20, generator=g) / 2).requires_grad_()
    b1 = torch.zeros(20, requires_grad=True)
    W2 = (torch.randn(20, 3, generator=g) / math.sqrt(20)).requires_grad_()
    b2 = torch.zeros(3, requires_grad=True)
    params = [W1, b1, W2, b2]
    velocity = [torch.zeros_like(p) for p in params]
    model = lambda x: torch.tanh(x @ W1 + b1) @ W2 + b2
    for epoch in range(10):
        tot = 0.0
        for idx in torch.randperm(len(Xa), generator=g).split(15):
            loss = F.cross_entropy(model(Xa[idx]), ya[idx])
            loss.backward()
            with torch.no_grad():
                for p, v in zip(params, velocity):
                    v.mul_(0.9).add_(p.grad)
                    p -= 0.05 * v
                    p.grad = None
            tot += loss.item() * len(idx)
        with torch.no_grad():
            acc = (model(Xb).argmax(1) == yb).float().mean().item()
        print(f"epoch {epoch}: {tot / len(Xa):.4f} / {acc:.4f}")


@correct
def vmap_ensemble_torch_func():
    from torch.func import functional_call, grad_and_value, stack_module_state, vmap

    torch.manual_seed(64)
    X, y = make_moons(800, noise=0.2, random_state=64)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.25, random_state=64)
    s = StandardScaler().fit(Xa)
    xa, xb = torch.tensor(s.transform(Xa)).float(), torch.tensor(s.transform(Xb)).float()
    ya, yb = torch.tensor(ya), torch.tensor(yb)
    make = lambda: nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 2))
    models = [make() for _ in range(5)]
    params, buffers = stack_module_state(models)
    params = {k: v.detach() for k, v in params.items()}
    base = copy.deepcopy(models[0]).to("meta")

    def loss_fn(p, b, x, t):
        return F.cross_entropy(functional_call(base, (p, b), (x,)), t)

    step_all = vmap(grad_and_value(loss_fn), in_dims=(0, 0, None, None))
    momentum = {k: torch.zeros_like(v) for k, v in params.items()}
    for epoch in range(8):
        tot = torch.zeros(5)
        for idx in torch.randperm(len(xa)).split(50):
            grads, losses = step_all(params, buffers, xa[idx], ya[idx])
            momentum = {k: 0.9 * momentum[k] + grads[k] for k in params}
            params = {k: params[k] - 0.1 * momentum[k] for k in params}
            tot += losses * len(idx)
        with torch.no_grad():
            logits = vmap(lambda p, b: functional_call(base, (p, b), (xb,)))(params, buffers)
        acc = (logits.softmax(-1).mean(0).argmax(-1) == yb).float().mean().item()
        print(
            f"epoch {epoch} member losses {[round(v, 3) for v in (tot / len(xa)).tolist()]} ensemble acc {acc:.4f}"
        )


@correct
def optimizer_in_backward_hooks():
    torch.manual_seed(74)
    d = load_digits()
    xa, xb, ya, yb = train_test_split(
        d.data / 16, d.target, test_size=0.2, random_state=74, stratify=d.target
    )
    xb, yb = torch.tensor(xb).float(), torch.tensor(yb)
    loader = DataLoader(TensorDataset(torch.tensor(xa).float(), torch.tensor(ya)), 64, shuffle=True)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizers = {p: optim.Adam([p], lr=2e-3, foreach=False) for p in model.parameters()}

    def hook(p):
        optimizers[p].step()
        optimizers[p].zero_grad()

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(hook)
    for epoch in range(5):
        model.train()
        tot = 0.0
        for x, t in loader:
            loss = F.cross_entropy(model(x), t)
            loss.backward()  # the update happens in the hooks
            tot += loss.item() * len(t)
        model.eval()
        with torch.no_grad():
            acc = (model(xb).argmax(1) == yb).float().mean().item()
        print(f"epoch {epoch} loss {tot / len(ya):.4f} acc {acc:.4f}")


@correct
def sam_two_pass():
    class SAM(optim.Optimizer):
        def __init__(self, params, base, rho=0.05, **kw):
            super().__init__(params, dict(rho=rho, **kw))
            self.base_optimizer = base(self.param_groups, **kw)
            self.param_groups = self.base_optimizer.param_groups

        @torch.no_grad()
        def first_step(self):
            norm = torch.stack(
                [p.grad.norm(2) for g in self.param_groups for p in g["params"]]
            ).norm(2)
            for g in self.param_groups:
                for p in g["params"]:
                    e = p.grad * (g["rho"] / (norm + 1e-12))
                    p.add_(e)
                    self.state[p]["e"] = e
            self.zero_grad()

        @torch.no_grad()
        def second_step(self):
            for g in self.param_groups:
                for p in g["params"]:
                    p.sub_(self.state[p]["e"])
            self.base_optimizer.step()
            self.zero_grad()

        def step(self, closure=None):
            raise NotImplementedError("use first_step / second_step")

    torch.manual_seed(84)
    X, y = load_wine(return_X_y=True)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.3, random_state=84, stratify=y)
    s = StandardScaler().fit(Xa)
    tr = DataLoader(
        TensorDataset(torch.tensor(s.transform(Xa)).float(), torch.tensor(ya)), 24, shuffle=True
    )
    xv, yv = torch.tensor(s.transform(Xb)).float(), torch.tensor(yb)
    net = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
    opt = SAM(net.parameters(), optim.SGD, rho=0.05, lr=0.05, momentum=0.9)
    for ep in range(8):
        net.train()
        tot = 0.0
        for x, t in tr:
            loss = F.cross_entropy(net(x), t)
            loss.backward()
            opt.first_step()
            F.cross_entropy(net(x), t).backward()
            opt.second_step()
            tot += loss.item() * len(t)
        net.eval()
        with torch.no_grad():
            print(
                f"ep {ep} loss {tot / len(ya):.4f} acc {(net(xv).argmax(1) == yv).float().mean():.4f}"
            )


@correct
def maml_sinusoids():
    from torch.func import functional_call

    torch.manual_seed(94)
    g = torch.Generator().manual_seed(94)

    def task(gen, k=10):
        amp = 0.5 + 1.5 * torch.rand(1, generator=gen)
        ph = math.pi * torch.rand(1, generator=gen)
        x = 6 * torch.rand(2 * k, 1, generator=gen) - 3
        t = amp * torch.sin(x + ph)
        return (x[:k], t[:k]), (x[k:], t[k:])

    net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    meta = optim.Adam(net.parameters(), lr=5e-3)
    train_tasks = [task(g) for _ in range(24)]
    held_out = [task(g) for _ in range(12)]

    def adapt(params, x, t, create_graph, lr=0.05, steps=2):
        for _ in range(steps):
            loss = F.mse_loss(functional_call(net, params, (x,)), t)
            grads = torch.autograd.grad(loss, list(params.values()), create_graph=create_graph)
            params = {k: p - lr * gr for (k, p), gr in zip(params.items(), grads)}
        return params

    for epoch in range(8):
        order = torch.randperm(len(train_tasks), generator=g).tolist()
        tot = 0.0
        for b in range(0, len(order), 8):
            chunk = order[b : b + 8]
            meta.zero_grad()
            outer = 0.0
            for i in chunk:
                (xs, ts), (xq, tq) = train_tasks[i]
                fast = adapt(dict(net.named_parameters()), xs, ts, create_graph=True)
                outer = outer + F.mse_loss(functional_call(net, fast, (xq,)), tq)
            outer = outer / len(chunk)
            outer.backward()
            meta.step()
            tot += outer.item() * len(chunk)
        val = 0.0
        for (xs, ts), (xq, tq) in held_out:
            start = {k: p.detach().requires_grad_() for k, p in net.named_parameters()}
            fast = adapt(start, xs, ts, create_graph=False)
            with torch.no_grad():
                val += F.mse_loss(functional_call(net, fast, (xq,)), tq).item()
        print(
            f"meta-epoch {epoch} query loss {tot / len(order):.4f} held-out {val / len(held_out):.4f}"
        )


@correct
def distillation_teacher_student():
    torch.manual_seed(104)
    d = load_digits()
    xa, xb, ya, yb = train_test_split(
        d.data / 16, d.target, test_size=0.25, random_state=104, stratify=d.target
    )
    xa, xb, ya, yb = (
        torch.tensor(xa).float(),
        torch.tensor(xb).float(),
        torch.tensor(ya),
        torch.tensor(yb),
    )
    loader = DataLoader(TensorDataset(xa, ya), 64, shuffle=True)
    teacher = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10))
    student = nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))

    def accuracy(net):
        net.eval()
        with torch.no_grad():
            return (net(xb).argmax(1) == yb).float().mean().item()

    opt_t = optim.Adam(teacher.parameters(), lr=3e-3)
    for ep in range(4):
        teacher.train()
        for x, t in loader:
            opt_t.zero_grad()
            F.cross_entropy(teacher(x), t).backward()
            opt_t.step()
        print(f"teacher {ep}: {accuracy(teacher):.4f}")
    teacher.eval()
    opt_s = optim.Adam(student.parameters(), lr=5e-3)
    T, alpha = 3.0, 0.7
    for ep in range(6):
        student.train()
        for x, t in loader:
            with torch.no_grad():
                soft = F.log_softmax(teacher(x) / T, dim=1)
            out = student(x)
            kd = (
                F.kl_div(
                    F.log_softmax(out / T, dim=1), soft, reduction="batchmean", log_target=True
                )
                * T
                * T
            )
            loss = alpha * kd + (1 - alpha) * F.cross_entropy(out, t)
            opt_s.zero_grad()
            loss.backward()
            opt_s.step()
        print(f"student {ep}: {accuracy(student):.4f}")


@correct
def mc_dropout_uncertainty():
    torch.manual_seed(114)
    X, y = make_friedman1(800, noise=0.7, random_state=114)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.25, random_state=114)
    sx, m, s = StandardScaler().fit(Xa), ya.mean(), ya.std()
    ds = TensorDataset(torch.tensor(sx.transform(Xa)).float(), torch.tensor((ya - m) / s).float())
    xv, yv = torch.tensor(sx.transform(Xb)).float(), torch.tensor((yb - m) / s).float()
    net = nn.Sequential(
        nn.Linear(10, 64),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(64, 1),
        nn.Flatten(0),
    )
    opt = optim.Adam(net.parameters(), lr=3e-3)
    for ep in range(8):
        net.train()
        for x, t in DataLoader(ds, 40, shuffle=True):
            opt.zero_grad()
            F.mse_loss(net(x), t).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            print(f"ep {ep} deterministic val mse {F.mse_loss(net(xv), yv).item():.4f}")

    def mc_predict(net, x, passes=30):
        net.eval()
        for mod in net.modules():
            if isinstance(mod, nn.Dropout):
                mod.train()  # on purpose: Monte Carlo dropout
        with torch.no_grad():
            draws = torch.stack([net(x) for _ in range(passes)])
        net.eval()
        return draws.mean(0), draws.std(0)

    mean, std = mc_predict(net, xv)
    cover = ((yv - mean).abs() < 2 * std).float().mean().item()
    print(
        f"MC mse {F.mse_loss(mean, yv).item():.4f} mean std {std.mean().item():.4f} coverage {cover:.3f}"
    )


@correct
def tied_char_lm_tbptt():
    torch.manual_seed(124)
    rng = random.Random(124)
    subj, verb, obj = (
        ["the cat", "a dog", "my uncle", "one bird"],
        ["sees", "wants", "draws", "finds"],
        ["red apples", "old maps", "green hats", "small boats"],
    )
    pick = rng.choice
    text = " ".join(
        f"{pick(subj)} {pick(verb)} {pick(obj)} and {pick(verb)} {pick(obj)}." for _ in range(60)
    )
    chars = sorted(set(text))
    stoi = {c: i for i, c in enumerate(chars)}
    data = torch.tensor([stoi[c] for c in text])
    split = int(len(data) * 0.85)

    def batchify(seq, bsz):
        n = len(seq) // bsz
        return seq[: n * bsz].view(bsz, n).t().contiguous()

    train, valid = batchify(data[:split], 8), batchify(data[split:], 8)

    class LM(nn.Module):
        def __init__(self, v, d=40):
            super().__init__()
            self.enc = nn.Embedding(v, d)
            self.rnn = nn.LSTM(d, d)
            self.dec = nn.Linear(d, v)
            self.dec.weight = self.enc.weight
            nn.init.normal_(self.enc.weight, std=0.1)
            nn.init.zeros_(self.dec.bias)

        def forward(self, x, state):
            o, state = self.rnn(self.enc(x), state)
            return self.dec(o), state

    model = LM(len(chars))
    opt = optim.Adam(model.parameters(), lr=1e-2)
    bptt = 20

    def chunks(src):
        for i in range(0, len(src) - 1, bptt):
            n = min(bptt, len(src) - 1 - i)
            yield src[i : i + n], src[i + 1 : i + 1 + n]

    for epoch in range(8):
        model.train()
        state, tot, n = None, 0.0, 0
        for x, y in chunks(train):
            if state is not None:
                state = tuple(s.detach() for s in state)
            opt.zero_grad()
            out, state = model(x, state)
            loss = F.cross_entropy(out.flatten(0, 1), y.flatten())
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
            tot += loss.item() * y.numel()
            n += y.numel()
        model.eval()
        state, vt, vn = None, 0.0, 0
        with torch.no_grad():
            for x, y in chunks(valid):
                out, state = model(x, state)
                vt += F.cross_entropy(out.flatten(0, 1), y.flatten(), reduction="sum").item()
                vn += y.numel()
        print(f"epoch {epoch} train ppl {math.exp(tot / n):.2f} valid ppl {math.exp(vt / vn):.2f}")


@correct
def sparse_matrix_factorization():
    torch.manual_seed(134)
    rs = np.random.RandomState(134)
    U, I, K = 60, 40, 3
    true = rs.randn(U, K) @ rs.randn(I, K).T / math.sqrt(K)
    uu, ii = np.meshgrid(np.arange(U), np.arange(I), indexing="ij")
    pick = rs.permutation(U * I)[:1600]
    rows = np.stack([uu.ravel()[pick], ii.ravel()[pick]], 1)
    ratings = 3 + true[rows[:, 0], rows[:, 1]] + 0.1 * rs.randn(1600)
    train, val = slice(0, 1300), slice(1300, 1600)
    mean = float(ratings[train].mean())
    rows, ratings = torch.tensor(rows), torch.tensor(ratings, dtype=torch.float32)

    class MF(nn.Module):
        def __init__(self):
            super().__init__()
            self.u, self.i = nn.Embedding(U, 8, sparse=True), nn.Embedding(I, 8, sparse=True)
            self.bias = nn.Parameter(torch.tensor(mean))
            for e in (self.u, self.i):
                nn.init.normal_(e.weight, std=0.3)

        def forward(self, r):
            return (self.u(r[:, 0]) * self.i(r[:, 1])).sum(1) + self.bias

    mf = MF()
    opts = [optim.SparseAdam([mf.u.weight, mf.i.weight], lr=1e-2), optim.Adam([mf.bias], lr=1e-3)]
    loader = DataLoader(TensorDataset(rows[train], ratings[train]), 50, shuffle=True)
    for ep in range(10):
        mf.train()
        se = 0.0
        for r, t in loader:
            for o in opts:
                o.zero_grad()
            loss = F.mse_loss(mf(r), t)
            loss.backward()
            for o in opts:
                o.step()
            se += loss.item() * len(t)
        mf.eval()
        with torch.no_grad():
            v = F.mse_loss(mf(rows[val]), ratings[val]).sqrt().item()
        print(f"epoch {ep} train rmse {math.sqrt(se / 1300):.4f} val rmse {v:.4f}")


@correct
def pairwise_ranknet():
    torch.manual_seed(144)
    g = torch.Generator().manual_seed(144)
    w_true = torch.randn(8, generator=g)

    def queries(n, docs=10):
        x = torch.randn(n, docs, 8, generator=g)
        score = (
            x @ w_true + 0.5 * torch.sin(2 * x[..., 0]) + 0.3 * torch.randn(n, docs, generator=g)
        )
        rank = score.argsort(1).argsort(1)
        return x, (rank // 4).float()  # relevance grades 0, 1, 2

    def ndcg(scores, rel, k=5):
        disc = 1 / torch.log2(torch.arange(k).float() + 2)
        gain = lambda order: ((2 ** rel.gather(1, order[:, :k]) - 1) * disc).sum(1)
        return (
            (gain(scores.argsort(1, descending=True)) / gain(rel.argsort(1, descending=True)))
            .mean()
            .item()
        )

    (xt, rt), (xv, rv) = queries(200), queries(60)
    scorer = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.Adam(scorer.parameters(), lr=2e-3)
    for ep in range(6):
        scorer.train()
        tot = pairs = 0
        for x, r in DataLoader(TensorDataset(xt, rt), 20, shuffle=True):
            s = scorer(x).squeeze(-1)
            better = r[:, :, None] > r[:, None, :]
            diff = (s[:, :, None] - s[:, None, :])[better]
            loss = F.softplus(-diff).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            tot += loss.item() * len(diff)
            pairs += len(diff)
        scorer.eval()
        with torch.no_grad():
            print(
                f"epoch {ep} pair loss {tot / pairs:.4f} NDCG@5 {ndcg(scorer(xv).squeeze(-1), rv):.4f}"
            )


@correct
def spectral_norm_checkpointing():
    from torch.nn.utils.parametrizations import spectral_norm
    from torch.utils.checkpoint import checkpoint

    torch.manual_seed(154)
    d = load_digits()
    xa, xb, ya, yb = train_test_split(
        d.data / 16, d.target, test_size=0.2, random_state=154, stratify=d.target
    )
    xb, yb = torch.tensor(xb).float(), torch.tensor(yb)
    ds = TensorDataset(torch.tensor(xa).float(), torch.tensor(ya))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inp = spectral_norm(nn.Linear(64, 64))
            self.blocks = nn.ModuleList(
                [
                    nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 64), nn.GELU(), nn.Dropout(0.1))
                    for _ in range(2)
                ]
            )
            self.out = nn.Linear(64, 10)

        def forward(self, x):
            h = self.inp(x)
            for b in self.blocks:
                h = h + (checkpoint(b, h, use_reentrant=False) if self.training else b(h))
            return self.out(h)

    net = Net()
    opt = optim.AdamW(net.parameters(), lr=2e-3)
    sch = optim.lr_scheduler.SequentialLR(
        opt,
        [
            optim.lr_scheduler.LinearLR(opt, 0.2, total_iters=1),
            optim.lr_scheduler.CosineAnnealingLR(opt, 5),
        ],
        milestones=[1],
    )
    for ep in range(6):
        net.train()
        tot = 0.0
        for x, t in DataLoader(ds, 64, shuffle=True):
            opt.zero_grad()
            loss = F.cross_entropy(net(x), t)
            loss.backward()
            opt.step()
            tot += loss.item() * len(t)
        sch.step()
        net.eval()
        with torch.no_grad():
            print(
                f"{ep} loss {tot / len(ds):.4f} acc {(net(xb).argmax(1) == yb).float().mean():.4f}"
            )


@correct
def lr_range_test_then_train():
    torch.manual_seed(164)
    X, y = make_blobs(900, n_features=6, centers=5, cluster_std=4.0, random_state=164)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.2, random_state=164, stratify=y)
    s = StandardScaler().fit(Xa)
    loader = DataLoader(
        TensorDataset(torch.tensor(s.transform(Xa)).float(), torch.tensor(ya)), 40, shuffle=True
    )
    xv, yv = torch.tensor(s.transform(Xb)).float(), torch.tensor(yb)

    def build():
        return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 5))

    def range_test(model, lo=1e-4, hi=1.0, steps=54):
        opt = optim.SGD(model.parameters(), lr=lo, momentum=0.9)
        mult = (hi / lo) ** (1 / (steps - 1))
        lrs, losses, ema = [], [], None
        model.train()
        for x, t in itertools.islice(
            itertools.chain.from_iterable(itertools.repeat(loader)), steps
        ):
            opt.zero_grad()
            loss = F.cross_entropy(model(x), t)
            loss.backward()
            opt.step()
            ema = loss.item() if ema is None else 0.9 * ema + 0.1 * loss.item()
            lrs.append(opt.param_groups[0]["lr"])
            losses.append(ema)
            opt.param_groups[0]["lr"] *= mult
        slope = np.gradient(np.array(losses), np.log(lrs))
        return lrs[int(slope.argmin())] / 2

    model = build()
    start = copy.deepcopy(model.state_dict())
    best_lr = range_test(model)
    model.load_state_dict(start)
    print(f"suggested lr {best_lr:.4f}")
    opt = optim.SGD(model.parameters(), lr=best_lr, momentum=0.9)
    for ep in range(6):
        model.train()
        tot = 0.0
        for x, t in loader:
            opt.zero_grad()
            loss = F.cross_entropy(model(x), t)
            loss.backward()
            opt.step()
            tot += loss.item() * len(t)
        model.eval()
        with torch.no_grad():
            print(
                f"ep {ep} loss {tot / len(ya):.4f} acc {(model(xv).argmax(1) == yv).float().mean():.4f}"
            )


@correct
def step_based_with_interval_eval():
    torch.manual_seed(174)
    d = load_digits()
    xa, xb, ya, yb = train_test_split(
        d.images[:, None] / 16, d.target, test_size=0.2, random_state=174, stratify=d.target
    )
    train_dl = DataLoader(
        TensorDataset(torch.tensor(xa).float(), torch.tensor(ya)), 48, shuffle=True
    )
    val_dl = DataLoader(TensorDataset(torch.tensor(xb).float(), torch.tensor(yb)), 100)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.GroupNorm(3, 12),
        nn.GELU(),
        nn.MaxPool2d(2),
        nn.Dropout2d(0.1),
        nn.Flatten(),
        nn.Linear(192, 10),
    )
    max_steps, warmup, every = 150, 15, 25
    opt = optim.AdamW(net.parameters(), lr=4e-3, weight_decay=1e-4)
    sched = optim.lr_scheduler.LambdaLR(
        opt,
        lambda k: (
            (k + 1) / warmup
            if k < warmup
            else 0.5 * (1 + math.cos(math.pi * (k - warmup) / (max_steps - warmup)))
        ),
    )

    class evaluating:
        def __init__(self, net):
            self.net = net

        def __enter__(self):
            self.was = self.net.training
            self.net.eval()

        def __exit__(self, *exc):
            self.net.train(self.was)

    def forever(dl):
        while True:
            yield from dl

    net.train()
    window, count = 0.0, 0
    best = {"acc": -1.0}
    for step, (x, t) in enumerate(itertools.islice(forever(train_dl), max_steps), start=1):
        loss = F.cross_entropy(net(x), t)
        net.zero_grad()
        loss.backward()
        opt.step()
        sched.step()
        window += loss.item() * len(t)
        count += len(t)
        if step % every == 0:
            with evaluating(net), torch.no_grad():
                hit = sum((net(a).argmax(1) == b).sum().item() for a, b in val_dl)
            acc = hit / len(yb)
            if acc > best["acc"]:
                buf = io.BytesIO()
                torch.save(net.state_dict(), buf)
                best = {"acc": acc, "step": step, "blob": buf.getvalue()}
            print(f"step {step} loss {window / count:.4f} val acc {acc:.4f}")
            window, count = 0.0, 0
    net.load_state_dict(torch.load(io.BytesIO(best["blob"])))
    net.eval()
    print("best step", best["step"], "acc", round(best["acc"], 4))
