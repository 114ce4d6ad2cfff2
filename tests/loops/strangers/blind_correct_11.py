import argparse
import copy
import math
import random
from types import SimpleNamespace

import numpy as np
import pandas as pd
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
    make_classification,
    make_moons,
    make_multilabel_classification,
)
from sklearn.metrics import accuracy_score, f1_score, r2_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import LabelEncoder, StandardScaler
from torch.func import functional_call, grad, vmap
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR, AveragedModel, update_bn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from .. import correct


@correct
def quickstart_tutorial_digits():
    torch.manual_seed(0)
    X, y = load_digits(return_X_y=True)
    Xtr, Xte, ytr, yte = train_test_split(X / 16.0, y, test_size=0.2, stratify=y, random_state=0)
    training_data = TensorDataset(torch.tensor(Xtr, dtype=torch.float32), torch.tensor(ytr))
    test_data = TensorDataset(torch.tensor(Xte, dtype=torch.float32), torch.tensor(yte))
    train_dataloader = DataLoader(training_data, batch_size=64, shuffle=True)
    test_dataloader = DataLoader(test_data, batch_size=64)

    class NeuralNetwork(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear_relu_stack = nn.Sequential(
                nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
            )

        def forward(self, x):
            return self.linear_relu_stack(x)

    model = NeuralNetwork()
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def train(dataloader, model, loss_fn, optimizer):
        size = len(dataloader.dataset)
        model.train()
        for batch, (X, y) in enumerate(dataloader):
            loss = loss_fn(model(X), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if batch % 10 == 0:
                print(f"loss: {loss.item():>7f}  [{(batch + 1) * 64:>5d}/{size:>5d}]")

    def test(dataloader, model, loss_fn):
        size = len(dataloader.dataset)
        model.eval()
        test_loss, correct_ = 0.0, 0
        with torch.no_grad():
            for X, y in dataloader:
                pred = model(X)
                test_loss += loss_fn(pred, y).item() * len(y)
                correct_ += (pred.argmax(1) == y).sum().item()
        print(
            f"Test Error: \n Accuracy: {100 * correct_ / size:>0.1f}%, Avg loss: {test_loss / size:>8f} \n"
        )

    for t in range(5):
        print(f"Epoch {t + 1}\n-------------------------------")
        train(train_dataloader, model, loss_fn, optimizer)
        test(test_dataloader, model, loss_fn)


@correct
def kaggle_kfold_auc():
    def seed_everything(seed=1903):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)

    seed_everything()
    df = load_breast_cancer(as_frame=True).frame
    feats = [c for c in df.columns if c != "target"]
    oof = np.zeros(len(df))
    for fold, (trn, val) in enumerate(
        StratifiedKFold(3, shuffle=True, random_state=7).split(df, df.target)
    ):
        scaler = StandardScaler().fit(df.loc[trn, feats].to_numpy())
        xt, xv = (
            torch.tensor(scaler.transform(df.loc[i, feats].to_numpy()), dtype=torch.float32)
            for i in (trn, val)
        )
        yt = torch.tensor(df.loc[trn, "target"].to_numpy(), dtype=torch.float32)
        model = nn.Sequential(
            nn.Linear(30, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, 1)
        )
        opt = optim.Adam(model.parameters(), lr=5e-3)
        loss_fn = nn.BCEWithLogitsLoss()
        dl = DataLoader(TensorDataset(xt, yt), batch_size=32, shuffle=True)
        for epoch in range(4):
            model.train()
            avg_loss = 0.0
            for xb, yb in dl:
                opt.zero_grad()
                loss = loss_fn(model(xb).squeeze(1), yb)
                loss.backward()
                opt.step()
                avg_loss += loss.item() * len(yb) / len(yt)
            print(f"fold {fold} epoch {epoch} loss {avg_loss:.4f}")
        model.eval()
        with torch.no_grad():
            oof[val] = torch.sigmoid(model(xv)).squeeze(1).numpy()
        print(f"Fold {fold} AUC {roc_auc_score(df.target[val], oof[val]):.4f}")
    print("OOF AUC", roc_auc_score(df.target, oof))


@correct
def trainer_class_regression():
    torch.manual_seed(1)
    X, y = load_diabetes(return_X_y=True)
    X_tmp, X_test, y_tmp, y_test = train_test_split(X, y, test_size=0.2, random_state=1)
    X_tr, X_val, y_tr, y_val = train_test_split(X_tmp, y_tmp, test_size=0.2, random_state=1)
    xs = StandardScaler().fit(X_tr)
    ys = StandardScaler().fit(y_tr.reshape(-1, 1))

    def ds(a, b):
        return TensorDataset(
            torch.tensor(xs.transform(a), dtype=torch.float32),
            torch.tensor(ys.transform(b.reshape(-1, 1)), dtype=torch.float32),
        )

    class Trainer:
        def __init__(self, model, train, val, cfg):
            self.model = model
            self.tl = DataLoader(train, cfg.batch_size, shuffle=True)
            self.vl = DataLoader(val, 256)
            self.opt = optim.AdamW(model.parameters(), lr=cfg.lr, weight_decay=cfg.wd)
            self.sched = lr_scheduler.ReduceLROnPlateau(self.opt, factor=0.5, patience=1)
            self.cfg = cfg
            self.best, self.best_state = math.inf, None

        def _run(self, loader, train):
            self.model.train(train)
            sse, n = 0.0, 0
            with torch.set_grad_enabled(train):
                for xb, yb in loader:
                    loss = F.mse_loss(self.model(xb), yb)
                    if train:
                        self.opt.zero_grad(set_to_none=True)
                        loss.backward()
                        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
                        self.opt.step()
                    sse += loss.item() * len(xb)
                    n += len(xb)
            return sse / n

        def fit(self):
            for epoch in range(self.cfg.epochs):
                t = self._run(self.tl, True)
                v = self._run(self.vl, False)
                self.sched.step(v)
                if v < self.best:
                    self.best, self.best_state = v, copy.deepcopy(self.model.state_dict())
                print(f"{epoch:2d} train {t:.3f} val {v:.3f}")
            self.model.load_state_dict(self.best_state)

    net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
    tr = Trainer(
        net,
        ds(X_tr, y_tr),
        ds(X_val, y_val),
        SimpleNamespace(batch_size=32, lr=5e-3, wd=1e-2, epochs=8),
    )
    tr.fit()
    net.eval()
    with torch.no_grad():
        pred = ys.inverse_transform(
            net(torch.tensor(xs.transform(X_test), dtype=torch.float32)).numpy()
        ).ravel()
    print("test r2", r2_score(y_test, pred))


@correct
def conv_onecycle_batchwise():
    torch.manual_seed(2)
    d = load_digits()
    X = torch.tensor(d.images, dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(d.target)
    g = torch.Generator().manual_seed(2)
    perm = torch.randperm(len(X), generator=g)
    tr, va = perm[:1400], perm[1400:]
    mean, std = X[tr].mean(), X[tr].std()
    X = (X - mean) / std
    tl = DataLoader(TensorDataset(X[tr], y[tr]), batch_size=56, shuffle=True)
    vl = DataLoader(TensorDataset(X[va], y[va]), batch_size=128)
    model = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1, bias=False),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(96, 10),
    )
    EPOCHS = 4
    opt = optim.AdamW(model.parameters(), lr=1e-3)
    sched = lr_scheduler.OneCycleLR(opt, max_lr=1e-2, total_steps=EPOCHS * len(tl))
    for epoch in range(EPOCHS):
        model.train()
        for xb, yb in tl:
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb, label_smoothing=0.05)
            loss.backward()
            opt.step()
            sched.step()
        model.eval()
        ok, tot = 0, 0.0
        with torch.inference_mode():
            for xb, yb in vl:
                out = model(xb)
                tot += F.cross_entropy(out, yb, reduction="sum").item()
                ok += int((out.argmax(1) == yb).sum())
        print(
            f"epoch {epoch} val loss {tot / len(va):.4f} acc {ok / len(va):.4f} lr {sched.get_last_lr()[0]:.5f}"
        )


@correct
def lightning_like_module():
    torch.manual_seed(3)
    X, y = make_classification(1000, 20, n_informative=8, n_classes=3, random_state=3)
    X, y = X.astype(np.float32), y.astype(np.int64)

    class DataModule:
        def setup(self):
            a, b, ya, yb = train_test_split(X, y, test_size=0.2, random_state=3)
            sc = StandardScaler().fit(a)
            self.train = TensorDataset(torch.from_numpy(sc.transform(a)), torch.from_numpy(ya))
            self.val = TensorDataset(torch.from_numpy(sc.transform(b)), torch.from_numpy(yb))

        def train_dataloader(self):
            return DataLoader(self.train, 50, shuffle=True)

        def val_dataloader(self):
            return DataLoader(self.val, 80)

    class LitClassifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(
                nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 3)
            )

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, i):
            x, t = batch
            return F.cross_entropy(self(x), t)

        def validation_step(self, batch, i):
            x, t = batch
            logits = self(x)
            return {
                "n": len(t),
                "loss": F.cross_entropy(logits, t, reduction="sum").item(),
                "hit": (logits.argmax(1) == t).sum().item(),
            }

        def validation_epoch_end(self, outs):
            n = sum(o["n"] for o in outs)
            return {k: sum(o[k] for o in outs) / n for k in ("loss", "hit")}

        def configure_optimizers(self):
            opt = optim.Adam(self.parameters(), lr=3e-3)
            return opt, lr_scheduler.CosineAnnealingLR(opt, T_max=6)

    class MiniTrainer:
        def __init__(self, max_epochs):
            self.max_epochs = max_epochs

        def fit(self, module, dm):
            dm.setup()
            opt, sch = module.configure_optimizers()
            tl, vl = dm.train_dataloader(), dm.val_dataloader()
            for epoch in range(self.max_epochs):
                module.train()
                for i, batch in enumerate(tl):
                    opt.zero_grad()
                    module.training_step(batch, i).backward()
                    opt.step()
                sch.step()
                module.eval()
                with torch.no_grad():
                    res = module.validation_epoch_end(
                        [module.validation_step(b, i) for i, b in enumerate(vl)]
                    )
                print(f"epoch {epoch}: val_loss={res['loss']:.3f} val_acc={res['hit']:.3f}")

    MiniTrainer(6).fit(LitClassifier(), DataModule())


@correct
def lstm_text_packed_collate():
    torch.manual_seed(4)
    rnd = random.Random(4)
    vocab = {
        w: i + 1
        for i, w in enumerate(
            "good great fine love bad awful poor hate the a film plot was very it".split()
        )
    }
    pos, neg = ["good", "great", "fine", "love"], ["bad", "awful", "poor", "hate"]
    fill = ["the", "a", "film", "plot", "was", "very", "it"]

    def review():
        lab = rnd.randint(0, 1)
        words = [
            rnd.choice(pos if lab else neg) if rnd.random() < 0.35 else rnd.choice(fill)
            for _ in range(rnd.randint(4, 12))
        ]
        words[rnd.randrange(len(words))] = rnd.choice(pos if lab else neg)
        return words, lab

    reviews = [review() for _ in range(500)]

    def collate_batch(batch):
        toks = [torch.tensor([vocab[w] for w in ws]) for ws, _ in batch]
        lengths = torch.tensor([len(t) for t in toks])
        return (
            pad_sequence(toks, batch_first=True, padding_value=0),
            lengths,
            torch.tensor([float(l) for _, l in batch]),
        )

    class LSTMClassifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(len(vocab) + 1, 16, padding_idx=0)
            self.lstm = nn.LSTM(16, 16, batch_first=True, bidirectional=True)
            self.dropout = nn.Dropout(0.2)
            self.fc = nn.Linear(32, 1)

        def forward(self, text, lengths):
            packed = pack_padded_sequence(
                self.embedding(text), lengths, batch_first=True, enforce_sorted=False
            )
            _, (h, _) = self.lstm(packed)
            return self.fc(self.dropout(torch.cat([h[0], h[1]], dim=1))).squeeze(1)

    model = LSTMClassifier()
    opt = optim.Adam(model.parameters(), lr=5e-3)
    crit = nn.BCEWithLogitsLoss()
    tl = DataLoader(reviews[:400], batch_size=32, shuffle=True, collate_fn=collate_batch)
    vl = DataLoader(reviews[400:], batch_size=32, collate_fn=collate_batch)
    for epoch in range(4):
        model.train()
        tot = 0.0
        for text, lens, lab in tl:
            opt.zero_grad()
            loss = crit(model(text, lens), lab)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
            tot += loss.item() * len(lab)
        model.eval()
        hit = 0
        with torch.no_grad():
            for text, lens, lab in vl:
                hit += ((torch.sigmoid(model(text, lens)) > 0.5).float() == lab).sum().item()
        print(f"| epoch {epoch} | train loss {tot / 400:.4f} | valid acc {hit / 100:.3f}")


@correct
def embedding_bag_news():
    torch.manual_seed(5)
    rng = np.random.default_rng(5)
    n_vocab, n_cls = 60, 4
    docs, labels = [], rng.integers(0, n_cls, 600)
    for c in labels:
        k = rng.integers(5, 15)
        topical = rng.integers(c * 15, c * 15 + 15, k)
        noise = rng.integers(0, n_vocab, k)
        docs.append(np.where(rng.random(k) < 0.4, topical, noise))

    def collate(batch):
        text, offs, lab = [], [0], []
        for d, l in batch:
            text.append(torch.from_numpy(d))
            offs.append(len(d))
            lab.append(int(l))
        return torch.cat(text), torch.tensor(offs[:-1]).cumsum(0), torch.tensor(lab)

    class TextClassificationModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.EmbeddingBag(n_vocab, 24)
            self.fc = nn.Linear(24, n_cls)

        def forward(self, text, offsets):
            return self.fc(self.embedding(text, offsets))

    model = TextClassificationModel()
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
    scheduler = lr_scheduler.StepLR(optimizer, 3, gamma=0.3)
    pairs = list(zip(docs, labels))
    train_dl = DataLoader(pairs[:480], batch_size=16, shuffle=True, collate_fn=collate)
    valid_dl = DataLoader(pairs[480:], batch_size=60, collate_fn=collate)

    def evaluate(dl):
        model.eval()
        acc, count = 0, 0
        with torch.no_grad():
            for text, offs, lab in dl:
                acc += (model(text, offs).argmax(1) == lab).sum().item()
                count += lab.size(0)
        return acc / count

    for epoch in range(1, 7):
        model.train()
        for text, offs, lab in train_dl:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(text, offs), lab)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
        scheduler.step()
        print(f"epoch {epoch} valid accuracy {evaluate(valid_dl):.3f}")


@correct
def autoencoder_digits():
    torch.manual_seed(6)
    X = (load_digits().data / 16.0).astype(np.float32)
    train, test = train_test_split(X, test_size=0.2, random_state=6)

    class AE(nn.Module):
        def __init__(self, latent=10):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, latent))
            self.decoder = nn.Sequential(
                nn.Linear(latent, 40), nn.ReLU(), nn.Linear(40, 64), nn.Sigmoid()
            )

        def forward(self, x):
            return self.decoder(self.encoder(x))

    ae = AE()
    optimizer = optim.Adam(ae.parameters(), lr=3e-3)
    distance = nn.MSELoss()
    loader = DataLoader(torch.from_numpy(train), batch_size=64, shuffle=True)
    test = torch.from_numpy(test)
    for epoch in range(6):
        ae.train()
        total = 0.0
        for img in loader:
            output = ae(img)
            loss = distance(output, img)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(img)
        ae.eval()
        with torch.no_grad():
            rec = distance(ae(test), test).item()
        print(
            "epoch [{}/{}], loss:{:.4f} test:{:.4f}".format(epoch + 1, 6, total / len(train), rec)
        )


@correct
def vae_basic():
    torch.manual_seed(7)
    X = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)
    perm = torch.randperm(len(X))
    train, test = X[perm[:1500]], X[perm[1500:]]

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc21, self.fc22 = nn.Linear(64, 48), nn.Linear(48, 8), nn.Linear(48, 8)
            self.fc3, self.fc4 = nn.Linear(8, 48), nn.Linear(48, 64)

        def encode(self, x):
            h = F.relu(self.fc1(x))
            return self.fc21(h), self.fc22(h)

        def reparameterize(self, mu, logvar):
            if not self.training:
                return mu
            return mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)

        def forward(self, x):
            mu, logvar = self.encode(x)
            z = self.reparameterize(mu, logvar)
            return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar

    def loss_function(recon, x, mu, logvar):
        return F.binary_cross_entropy(recon, x, reduction="sum") - 0.5 * torch.sum(
            1 + logvar - mu.pow(2) - logvar.exp()
        )

    model = VAE()
    opt = optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(1, 6):
        model.train()
        train_loss = 0.0
        for (data,) in DataLoader(TensorDataset(train), batch_size=50, shuffle=True):
            opt.zero_grad()
            loss = loss_function(*(lambda r: (r[0], data, r[1], r[2]))(model(data))) / len(data)
            loss.backward()
            opt.step()
            train_loss += loss.item() * len(data)
        model.eval()
        with torch.no_grad():
            r, mu, lv = model(test)
            tl = loss_function(r, test, mu, lv).item() / len(test)
        print(f"====> Epoch: {epoch} Average loss: {train_loss / len(train):.3f} test {tl:.3f}")


@correct
def multilabel_tqdm_like():
    torch.manual_seed(8)
    X, Y = make_multilabel_classification(800, 20, n_classes=6, n_labels=3, random_state=8)
    Xtr, Xva, Ytr, Yva = train_test_split(X, Y, test_size=0.2, random_state=8)
    sc = StandardScaler().fit(Xtr)

    class MLDataset(Dataset):
        def __init__(self, x, y):
            self.x = sc.transform(x).astype(np.float32)
            self.y = y.astype(np.float32)

        def __len__(self):
            return len(self.x)

        def __getitem__(self, i):
            return dict(x=torch.tensor(self.x[i]), y=torch.tensor(self.y[i]))

    dl = {
        "train": DataLoader(MLDataset(Xtr, Ytr), 32, shuffle=True),
        "val": DataLoader(MLDataset(Xva, Yva), 64),
    }
    model = nn.Sequential(nn.Linear(20, 64), nn.LeakyReLU(), nn.Dropout(0.1), nn.Linear(64, 6))
    opt = optim.Adam(model.parameters(), lr=4e-3)
    criterion = nn.BCEWithLogitsLoss()
    for epoch in range(6):
        model.train()
        seen, acc_loss = 0, 0.0
        for b in dl["train"]:
            opt.zero_grad()
            loss = criterion(model(b["x"]), b["y"])
            loss.backward()
            opt.step()
            seen += len(b["x"])
            acc_loss += loss.item() * len(b["x"])
        model.eval()
        P, T = [], []
        with torch.no_grad():
            for b in dl["val"]:
                P.append(torch.sigmoid(model(b["x"])).numpy())
                T.append(b["y"].numpy())
        P, T = np.concatenate(P), np.concatenate(T)
        print(
            f"\repoch {epoch} {seen}/{len(Xtr)} loss={acc_loss / seen:.4f} f1={f1_score(T, P > 0.5, average='micro'):.3f}"
        )


@correct
def iris_minimal_fullbatch():
    torch.manual_seed(9)
    X, y = load_iris(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.2, stratify=y, random_state=9
    )
    scaler = StandardScaler()
    X_train = torch.FloatTensor(scaler.fit_transform(X_train))
    X_test = torch.FloatTensor(scaler.transform(X_test))
    y_train, y_test = torch.LongTensor(y_train), torch.LongTensor(y_test)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for i in range(60):
        model.train()
        y_pred = model(X_train)
        loss = criterion(y_pred, y_train)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if i % 10 == 0:
            print("epoch", i, "loss", round(losses[-1], 4))
    model.eval()
    with torch.no_grad():
        print("accuracy", accuracy_score(y_test.numpy(), model(X_test).argmax(1).numpy()))


@correct
def transformer_encoder_counts():
    args = argparse.Namespace(seed=10, d=24, heads=2, epochs=5, bs=40, lr=3e-3)
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    seqs = torch.randint(0, 8, (600, 10), generator=g)
    target = ((seqs == 3).sum(1)).clamp(max=2)

    class PositionalEncoding(nn.Module):
        def __init__(self, d, max_len=32):
            super().__init__()
            pos = torch.arange(max_len).unsqueeze(1)
            div = torch.exp(torch.arange(0, d, 2) * (-math.log(10000.0) / d))
            pe = torch.zeros(1, max_len, d)
            pe[0, :, 0::2], pe[0, :, 1::2] = torch.sin(pos * div), torch.cos(pos * div)
            self.register_buffer("pe", pe)

        def forward(self, x):
            return x + self.pe[:, : x.size(1)]

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb, self.pos = nn.Embedding(8, args.d), PositionalEncoding(args.d)
            layer = nn.TransformerEncoderLayer(
                args.d, args.heads, 48, dropout=0.05, batch_first=True
            )
            self.encoder = nn.TransformerEncoder(layer, 1)
            self.out = nn.Linear(args.d, 3)

        def forward(self, x):
            return self.out(self.encoder(self.pos(self.emb(x))).mean(1))

    model = Model()
    opt = optim.AdamW(model.parameters(), lr=args.lr)
    loader = DataLoader(TensorDataset(seqs[:480], target[:480]), args.bs, shuffle=True)
    warm = len(loader)
    sched = lr_scheduler.LambdaLR(opt, lambda s: min(1.0, (s + 1) / warm))
    for ep in range(args.epochs):
        model.train()
        for x, t in loader:
            opt.zero_grad()
            loss = F.cross_entropy(model(x), t)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
            sched.step()
        model.eval()
        with torch.no_grad():
            acc = (model(seqs[480:]).argmax(-1) == target[480:]).float().mean().item()
        print(f"ep {ep} acc {acc:.3f}")


@correct
def segmentation_dice():
    torch.manual_seed(11)
    rng = np.random.RandomState(11)

    def sample():
        img = rng.normal(0, 0.3, (16, 16)).astype(np.float32)
        m = np.zeros((16, 16), dtype=np.int64)
        for c in (1, 2):
            r, q = rng.randint(0, 11, 2)
            m[r : r + 5, q : q + 5] = c
        return img + m.astype(np.float32) - 0.4, m

    data = [sample() for _ in range(160)]
    tr = [(torch.from_numpy(a)[None], torch.from_numpy(b)) for a, b in data[:128]]
    va = [(torch.from_numpy(a)[None], torch.from_numpy(b)) for a, b in data[128:]]
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 12, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, 3, 1),
    )
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for epoch in range(5):
        net.train()
        for img, mask in DataLoader(tr, 16, shuffle=True):
            opt.zero_grad()
            F.cross_entropy(net(img), mask).backward()
            opt.step()
        net.eval()
        inter, union = torch.zeros(3), torch.zeros(3)
        with torch.no_grad():
            for img, mask in DataLoader(va, 16):
                pred = net(img).argmax(dim=1)
                for c in range(3):
                    inter[c] += ((pred == c) & (mask == c)).sum()
                    union[c] += ((pred == c) | (mask == c)).sum()
        print(f"epoch {epoch} mIoU {(inter / union).mean().item():.3f}")


@correct
def timeseries_gru_chronological():
    np.random.seed(12)
    torch.manual_seed(12)
    t = np.arange(900)
    s = pd.Series(np.sin(t / 8) + 0.5 * np.sin(t / 3) + np.random.randn(900) * 0.05)
    train_s, val_s = s[:700], s[700:]
    lo, hi = train_s.min(), train_s.max()
    norm = lambda v: ((v - lo) / (hi - lo) * 2 - 1).to_numpy(dtype=np.float32)

    def windows(a, w=20):
        xs = np.lib.stride_tricks.sliding_window_view(a, w + 1).copy()
        return torch.from_numpy(xs[:, :-1]).unsqueeze(-1), torch.from_numpy(xs[:, -1])

    xt, yt = windows(norm(train_s))
    xv, yv = windows(norm(val_s))

    class GRUNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(1, 24, batch_first=True)
            self.fc = nn.Linear(24, 1)

        def forward(self, x):
            h, _ = self.gru(x)
            return self.fc(h[:, -1]).squeeze(-1)

    net = GRUNet()
    opt = torch.optim.Adam(net.parameters(), lr=5e-3)
    sch = lr_scheduler.ExponentialLR(opt, 0.9)
    for ep in range(5):
        net.train()
        for ix in torch.randperm(len(xt)).split(34):
            opt.zero_grad()
            loss = F.mse_loss(net(xt[ix]), yt[ix])
            loss.backward()
            opt.step()
        sch.step()
        net.eval()
        with torch.no_grad():
            p = net(xv)
        print(
            f"ep {ep} val mse {F.mse_loss(p, yv).item():.4f} mae {(p - yv).abs().mean().item():.4f}"
        )


@correct
def callbacks_fastai_like():
    torch.manual_seed(13)
    X, y = load_wine(return_X_y=True)
    Xt, Xv, yt, yv = train_test_split(X, y, test_size=0.3, stratify=y, random_state=13)
    sc = StandardScaler().fit(Xt)
    train_ds = TensorDataset(torch.tensor(sc.transform(Xt), dtype=torch.float32), torch.tensor(yt))
    valid_ds = TensorDataset(torch.tensor(sc.transform(Xv), dtype=torch.float32), torch.tensor(yv))

    class CancelFit(Exception):
        pass

    class Callback:
        def __getattr__(self, name):
            if name.startswith(("before_", "after_")):
                return lambda learn: None
            raise AttributeError(name)

    class Recorder(Callback):
        def before_epoch(self, learn):
            self.tot, self.n, self.hit = 0.0, 0, 0

        def after_loss(self, learn):
            if not learn.model.training:
                k = len(learn.yb)
                self.tot += learn.loss.item() * k
                self.hit += (learn.pred.argmax(1) == learn.yb).sum().item()
                self.n += k

        def after_epoch(self, learn):
            learn.metric = self.tot / self.n
            print(learn.epoch, f"{learn.metric:.4f} {self.hit / self.n:.3f}")

    class EarlyStop(Callback):
        def __init__(self, patience):
            self.patience, self.best, self.bad = patience, math.inf, 0

        def after_epoch(self, learn):
            if learn.metric < self.best:
                self.best, self.bad = learn.metric, 0
                self.state = {k: v.clone() for k, v in learn.model.state_dict().items()}
            else:
                self.bad += 1
                if self.bad >= self.patience:
                    raise CancelFit

        def after_fit(self, learn):
            learn.model.load_state_dict(self.state)

    class Learner:
        def __init__(self, model, dls, loss_func, opt, cbs):
            self.model, self.dls, self.loss_func, self.opt, self.cbs = (
                model,
                dls,
                loss_func,
                opt,
                cbs,
            )

        def __call__(self, name):
            for cb in self.cbs:
                getattr(cb, name)(self)

        def one_batch(self):
            self.pred = self.model(self.xb)
            self.loss = self.loss_func(self.pred, self.yb)
            self("after_loss")
            if self.model.training:
                self.loss.backward()
                self.opt.step()
                self.opt.zero_grad()

        def fit(self, n):
            try:
                for self.epoch in range(n):
                    self("before_epoch")
                    self.model.train()
                    for self.xb, self.yb in self.dls[0]:
                        self.one_batch()
                    self.model.eval()
                    with torch.no_grad():
                        for self.xb, self.yb in self.dls[1]:
                            self.one_batch()
                    self("after_epoch")
            except CancelFit:
                pass
            self("after_fit")

    net = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
    Learner(
        net,
        (DataLoader(train_ds, 16, shuffle=True), DataLoader(valid_ds, 32)),
        F.cross_entropy,
        optim.Adam(net.parameters(), lr=5e-3),
        [Recorder(), EarlyStop(2)],
    ).fit(10)


@correct
def checkpoint_resume():
    import io

    torch.manual_seed(14)
    X, y = load_digits(return_X_y=True)
    Xa, Xb, ya, yb = train_test_split(X / 16, y, test_size=0.2, random_state=14)
    tl = DataLoader(
        TensorDataset(torch.tensor(Xa).float(), torch.tensor(ya)), batch_size=64, shuffle=True
    )
    Xb, yb = torch.tensor(Xb).float(), torch.tensor(yb)

    def make():
        m = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
        o = optim.SGD(m.parameters(), lr=0.1, momentum=0.9, nesterov=True)
        return m, o, lr_scheduler.StepLR(o, step_size=2, gamma=0.5)

    def run(m, o, s, start, end):
        for ep in range(start, end):
            m.train()
            for a, b in tl:
                o.zero_grad()
                F.cross_entropy(m(a), b).backward()
                o.step()
            s.step()
            m.eval()
            with torch.no_grad():
                print(ep, (m(Xb).argmax(1) == yb).float().mean().item(), s.get_last_lr())

    model, opt, sch = make()
    run(model, opt, sch, 0, 3)
    buf = io.BytesIO()
    torch.save(
        {"epoch": 3, "model": model.state_dict(), "opt": opt.state_dict(), "sch": sch.state_dict()},
        buf,
    )
    buf.seek(0)
    ck = torch.load(buf)
    model, opt, sch = make()
    model.load_state_dict(ck["model"])
    opt.load_state_dict(ck["opt"])
    sch.load_state_dict(ck["sch"])
    run(model, opt, sch, ck["epoch"], 6)


@correct
def tagging_with_padding_ignore():
    # token-level labels, ignore_index, metric on real tokens only
    torch.manual_seed(15)
    rnd = random.Random(15)
    sents = []
    for _ in range(300):
        toks = [rnd.randint(1, 20) for _ in range(rnd.randint(4, 12))]
        tags = [
            2 if i and toks[i - 1] > 15 else (1 if t % 5 == 0 else 0) for i, t in enumerate(toks)
        ]
        sents.append((torch.tensor(toks), torch.tensor(tags)))

    def pad(batch):
        return (
            pad_sequence([b[0] for b in batch], batch_first=True),
            pad_sequence([b[1] for b in batch], batch_first=True, padding_value=-100),
        )

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.e = nn.Embedding(21, 24, padding_idx=0)
            self.r = nn.LSTM(24, 24, batch_first=True)
            self.o = nn.Linear(24, 3)

        def forward(self, x):
            return self.o(self.r(self.e(x))[0])

    tagger = Tagger()
    opt = optim.Adam(tagger.parameters(), lr=0.01)
    for epoch in range(6):
        tagger.train()
        for x, t in DataLoader(sents[:240], 24, shuffle=True, collate_fn=pad):
            opt.zero_grad()
            loss = F.cross_entropy(tagger(x).transpose(1, 2), t, ignore_index=-100)
            loss.backward()
            opt.step()
        tagger.eval()
        ok = n = 0
        with torch.no_grad():
            for x, t in DataLoader(sents[240:], 30, collate_fn=pad):
                mask = t != -100
                ok += ((tagger(x).argmax(-1) == t) & mask).sum().item()
                n += mask.sum().item()
        print(epoch, round(ok / n, 4))


@correct
def entity_embeddings_tabular():
    torch.manual_seed(16)
    rng = np.random.RandomState(16)
    n = 800
    df = pd.DataFrame(
        {
            "city": rng.choice(list("ABCDE"), n),
            "kind": rng.choice(["x", "y", "z"], n),
            "size": rng.gamma(3, 20, n),
            "age": rng.uniform(0, 50, n),
        }
    )
    df.loc[rng.choice(n, 40, replace=False), "age"] = np.nan
    df["price"] = (
        df["size"] * 2
        + df.city.map(dict(A=30, B=-20, C=0, D=60, E=10))
        - df.age.fillna(25)
        + rng.randn(n) * 5
    )
    tr, va = train_test_split(df, test_size=0.2, random_state=16)
    tr, va = tr.copy(), va.copy()
    cats, conts = ["city", "kind"], ["size", "age"]
    for c in cats:
        le = LabelEncoder().fit(tr[c])
        tr[c], va[c] = le.transform(tr[c]), le.transform(va[c])
    for c in conts + ["price"]:
        med, m, s = tr[c].median(), tr[c].mean(), tr[c].std()
        for f in (tr, va):
            f[c] = (f[c].fillna(med) - m) / s

    def tensors(f):
        return (
            torch.tensor(f[cats].values),
            torch.tensor(f[conts].values, dtype=torch.float32),
            torch.tensor(f["price"].values, dtype=torch.float32).unsqueeze(1),
        )

    class Tab(nn.Module):
        def __init__(self):
            super().__init__()
            self.embs = nn.ModuleList([nn.Embedding(5, 3), nn.Embedding(3, 2)])
            self.bn = nn.BatchNorm1d(2)
            self.mlp = nn.Sequential(nn.Linear(7, 32), nn.ReLU(), nn.Linear(32, 1))

        def forward(self, c, x):
            e = [emb(c[:, i]) for i, emb in enumerate(self.embs)]
            return self.mlp(torch.cat(e + [self.bn(x)], 1))

    net = Tab()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    dl = DataLoader(TensorDataset(*tensors(tr)), batch_size=64, shuffle=True)
    vc, vx, vy = tensors(va)
    for ep in range(6):
        net.train()
        for c, x, y in dl:
            opt.zero_grad()
            F.smooth_l1_loss(net(c, x), y).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            print(ep, "r2", round(r2_score(vy.numpy(), net(vc, vx).numpy()), 4))


@correct
def metric_learning_triplet():
    torch.manual_seed(17)
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    Xtr, Xte, ytr, yte = train_test_split(X, y, test_size=0.2, random_state=17, stratify=y)

    class Triplets(Dataset):
        def __init__(self, x, labels):
            self.x, self.labels = torch.from_numpy(x), labels
            self.by = {c: np.flatnonzero(labels == c) for c in range(10)}
            self.rng = np.random.default_rng(17)

        def __len__(self):
            return len(self.x)

        def __getitem__(self, i):
            c = self.labels[i]
            p = i
            while p == i:
                p = self.rng.choice(self.by[c])
            other = (c + self.rng.integers(1, 10)) % 10
            return self.x[i], self.x[p], self.x[self.rng.choice(self.by[other])]

    emb = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 8))
    crit = nn.TripletMarginLoss(margin=1.0)
    opt = optim.Adam(emb.parameters(), lr=2e-3)
    dl = DataLoader(Triplets(Xtr, ytr), batch_size=64, shuffle=True)
    for epoch in range(4):
        emb.train()
        tot = 0.0
        for a, p, n in dl:
            opt.zero_grad()
            loss = crit(emb(a), emb(p), emb(n))
            loss.backward()
            opt.step()
            tot += loss.item() * len(a)
        emb.eval()
        with torch.no_grad():
            d = torch.cdist(emb(torch.from_numpy(Xte)), emb(torch.from_numpy(Xtr)))
            acc = (ytr[d.argmin(1).numpy()] == yte).mean()
        print(f"{epoch} triplet {tot / len(Xtr):.4f} 1-nn acc {acc:.4f}")


@correct
def multitask_weighted():
    torch.manual_seed(18)
    X, y = load_digits(return_X_y=True)
    ink = X.sum(1)
    tr, te = train_test_split(np.arange(len(y)), test_size=0.2, random_state=18, stratify=y)
    m, s = ink[tr].mean(), ink[tr].std()
    X = torch.tensor(X / 16).float()
    y, ink = torch.tensor(y), torch.tensor((ink - m) / s).float()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
            self.cls, self.reg = nn.Linear(64, 10), nn.Linear(64, 1)
            self.log_vars = nn.Parameter(torch.zeros(2))

        def forward(self, x):
            h = self.shared(x)
            return self.cls(h), self.reg(h).squeeze(-1)

        def loss(self, x, c, r):
            pc, pr = self(x)
            terms = torch.stack([F.cross_entropy(pc, c), F.mse_loss(pr, r)])
            return (torch.exp(-self.log_vars) * terms + 0.5 * self.log_vars).sum()

    net = Net()
    opt = optim.Adam(net.parameters(), lr=5e-3)
    dl = DataLoader(TensorDataset(X[tr], y[tr], ink[tr]), batch_size=48, shuffle=True)
    for epoch in range(5):
        net.train()
        for batch in dl:
            opt.zero_grad()
            net.loss(*batch).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            pc, pr = net(X[te])
            print(
                epoch,
                "acc",
                (pc.argmax(1) == y[te]).float().mean().item(),
                "mse",
                F.mse_loss(pr, ink[te]).item(),
            )


@correct
def accumulate_with_remainder():
    # micro-batches of unequal number in the last group, weighted by samples
    torch.manual_seed(20)
    X, y = load_digits(return_X_y=True)
    Xt, Xv, yt, yv = train_test_split(X / 16, y, test_size=0.2, random_state=20)
    tl = DataLoader(
        TensorDataset(torch.tensor(Xt).float(), torch.tensor(yt)), batch_size=16, shuffle=True
    )
    Xv, yv = torch.tensor(Xv).float(), torch.tensor(yv)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    k = 4

    def groups(it):
        buf = []
        for item in it:
            buf.append(item)
            if len(buf) == k:
                yield buf
                buf = []
        if buf:
            yield buf

    for ep in range(5):
        net.train()
        for micro in groups(tl):
            total = sum(len(b) for _, b in micro)
            opt.zero_grad()
            for a, b in micro:
                (F.cross_entropy(net(a), b, reduction="sum") / total).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            print(ep, (net(Xv).argmax(1) == yv).float().mean().item())


@correct
def lbfgs_closure_sine():
    torch.manual_seed(21)
    x = torch.linspace(-3, 3, 200).unsqueeze(1)
    y = torch.sin(x) + 0.05 * torch.randn_like(x)
    perm = torch.randperm(200)
    tr, va = perm[:160], perm[160:]
    net = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1))
    opt = optim.LBFGS(net.parameters(), lr=1.0, max_iter=10, line_search_fn="strong_wolfe")
    for i in range(6):
        net.train()

        def closure():
            opt.zero_grad()
            loss = F.mse_loss(net(x[tr]), y[tr])
            loss.backward()
            return loss

        first = opt.step(closure)
        net.eval()
        with torch.no_grad():
            print("STEP", i, "loss", first.item(), "val", F.mse_loss(net(x[va]), y[va]).item())


@correct
def wgan_gp_ring():
    torch.manual_seed(22)
    ang = torch.rand(1024) * 2 * math.pi
    ring = torch.stack([ang.cos(), ang.sin()], 1) + 0.05 * torch.randn(1024, 2)
    G = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    D = nn.Sequential(
        nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)
    )
    og = optim.Adam(G.parameters(), lr=2e-3, betas=(0.0, 0.9))
    od = optim.Adam(D.parameters(), lr=2e-3, betas=(0.0, 0.9))

    gradient_penalty_weight = 1.0

    def gradient_penalty(real, fake):
        eps = torch.rand(len(real), 1)
        mix = (eps * real + (1 - eps) * fake).requires_grad_(True)
        (g,) = torch.autograd.grad(D(mix).sum(), mix, create_graph=True)
        return ((g.norm(2, dim=1) - 1) ** 2).mean()

    loader = DataLoader(TensorDataset(ring), batch_size=64, shuffle=True)
    for epoch in range(30):
        for it, (real,) in enumerate(loader):
            with torch.no_grad():
                fake = G(torch.randn(len(real), 4))
            od.zero_grad()
            loss_d = (
                D(fake).mean()
                - D(real).mean()
                + gradient_penalty_weight * gradient_penalty(real, fake)
            )
            loss_d.backward()
            od.step()
            if it % 3 == 2:
                og.zero_grad()
                loss_g = -D(G(torch.randn(len(real), 4))).mean()
                loss_g.backward()
                og.step()
        with torch.no_grad():
            r = G(torch.randn(500, 4)).norm(dim=1)
        print(
            f"{epoch} D {loss_d.item():.3f} G {loss_g.item():.3f} radius {r.mean().item():.2f}+-{r.std().item():.2f}"
        )


@correct
def gradual_unfreeze_param_groups():
    torch.manual_seed(23)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X / 16).float(), torch.tensor(y)
    perm = torch.randperm(len(X))
    X, y = X[perm], y[perm]
    n = 1437

    def epoch(model, opt, target):
        model.train()
        for ix in torch.randperm(n).split(64):
            opt.zero_grad()
            F.cross_entropy(model(X[ix]), target[ix]).backward()
            opt.step()

    def acc(model, target):
        model.eval()
        with torch.no_grad():
            return (model(X[n:]).argmax(1) == target[n:]).float().mean().item()

    body1, body2 = (
        nn.Sequential(nn.Linear(64, 64), nn.ReLU()),
        nn.Sequential(nn.Linear(64, 48), nn.ReLU()),
    )
    pre = nn.Sequential(body1, body2, nn.Linear(48, 2))
    opt = optim.Adam(pre.parameters(), lr=2e-3)
    for _ in range(3):
        epoch(pre, opt, y % 2)
    print("pretrained parity", acc(pre, y % 2))
    for p in (*body1.parameters(), *body2.parameters()):
        p.requires_grad = False
    head = nn.Linear(48, 10)
    model = nn.Sequential(body1, body2, head)
    opt = optim.Adam(head.parameters(), lr=5e-3)
    for e in range(8):
        if e in (2, 4):
            block = {2: body2, 4: body1}[e]
            for p in block.parameters():
                p.requires_grad = True
            opt.add_param_group({"params": list(block.parameters()), "lr": {2: 2e-3, 4: 1e-3}[e]})
        epoch(model, opt, y)
        print(e, "digit acc", acc(model, y))


@correct
def frozen_batchnorm_finetune():
    torch.manual_seed(24)
    d = load_digits()
    X = torch.tensor(d.images / 16).float().unsqueeze(1)
    y = torch.tensor(d.target)
    perm = torch.randperm(len(X))
    tr, va = perm[:1440], perm[1440:]

    class Net(nn.Module):
        def __init__(self, n_out):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(1, 12, 3, padding=1, bias=False),
                nn.BatchNorm2d(12),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Flatten(),
            )
            self.fc = nn.Linear(192, n_out)
            self.bn_frozen = False

        def freeze_bn(self):
            self.bn_frozen = True
            for m in self.modules():
                if isinstance(m, nn.BatchNorm2d):
                    m.requires_grad_(False)

        def train(self, mode=True):
            super().train(mode)
            if self.bn_frozen:
                for m in self.modules():
                    if isinstance(m, nn.BatchNorm2d):
                        m.eval()
            return self

        def forward(self, x):
            return self.fc(self.body(x))

    def loop(net, t, epochs, lr):
        opt = optim.SGD([p for p in net.parameters() if p.requires_grad], lr=lr, momentum=0.9)
        for e in range(epochs):
            net.train()
            for ix in tr[torch.randperm(len(tr))].split(60):
                opt.zero_grad()
                F.cross_entropy(net(X[ix]), t[ix]).backward()
                opt.step()
            net.eval()
            with torch.no_grad():
                print(e, (net(X[va]).argmax(1) == t[va]).float().mean().item())

    net = Net(2)
    loop(net, (y > 4).long(), 3, 0.05)
    net.fc = nn.Linear(192, 10)
    net.freeze_bn()
    loop(net, y, 4, 0.05)


@correct
def amp_scaler_unscale_clip():
    torch.manual_seed(25)
    X, y = make_classification(900, 20, n_informative=10, n_classes=3, random_state=25)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.2, random_state=25)
    s = StandardScaler().fit(Xa)
    dl = DataLoader(
        TensorDataset(torch.tensor(s.transform(Xa)).float(), torch.tensor(ya)), 48, shuffle=True
    )
    Xb, yb = torch.tensor(s.transform(Xb)).float(), torch.tensor(yb)
    net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 3))
    opt = optim.AdamW(net.parameters(), lr=3e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=20)
    for ep in range(5):
        net.train()
        for a, b in dl:
            opt.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                out = net(a)
            loss = F.cross_entropy(out.float(), b)
            scaler.scale(loss).backward()
            scaler.unscale_(opt)
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            scaler.step(opt)
            scaler.update()
        net.eval()
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            acc = (net(Xb).argmax(1) == yb).float().mean().item()
        print(f"ep {ep} acc {acc:.3f} scale {scaler.get_scale():.0f}")


@correct
def ema_shadow_swap():
    torch.manual_seed(26)
    X, y = make_moons(1000, noise=0.25, random_state=26)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.25, random_state=26)
    Xa, Xb = torch.tensor(Xa).float(), torch.tensor(Xb).float()
    ya, yb = torch.tensor(ya).float(), torch.tensor(yb).float()

    class EMA:
        def __init__(self, model, decay):
            self.model, self.decay = model, decay
            self.shadow = {n: p.detach().clone() for n, p in model.named_parameters()}

        @torch.no_grad()
        def update(self):
            for n, p in self.model.named_parameters():
                self.shadow[n].mul_(self.decay).add_(p, alpha=1 - self.decay)

        def __enter__(self):
            self.backup = {n: p.detach().clone() for n, p in self.model.named_parameters()}
            self._copy(self.shadow)

        def __exit__(self, *exc):
            self._copy(self.backup)

        @torch.no_grad()
        def _copy(self, src):
            for n, p in self.model.named_parameters():
                p.copy_(src[n])

    net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    ema = EMA(net, 0.95)
    for ep in range(6):
        net.train()
        for ix in torch.randperm(750).split(50):
            opt.zero_grad()
            F.binary_cross_entropy_with_logits(net(Xa[ix]), ya[ix]).backward()
            opt.step()
            ema.update()
        net.eval()
        with ema, torch.no_grad():
            acc = ((net(Xb) > 0) == (yb > 0.5)).float().mean().item()
        print(f"{ep} ema acc {acc:.3f}")


@correct
def swa_update_bn():
    torch.manual_seed(27)
    X, y = load_digits(return_X_y=True)
    Xt, Xv, yt, yv = train_test_split(X / 16, y, test_size=0.2, random_state=27)
    loader = DataLoader(
        TensorDataset(torch.tensor(Xt).float(), torch.tensor(yt)), batch_size=64, shuffle=True
    )
    Xv, yv = torch.tensor(Xv).float(), torch.tensor(yv)
    model = nn.Sequential(nn.Linear(64, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 10))
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    swa_model = AveragedModel(model)
    epochs, swa_start = 8, 5
    sched = lr_scheduler.CosineAnnealingLR(opt, T_max=epochs)
    swa_sched = SWALR(opt, swa_lr=0.02, anneal_epochs=2)
    for epoch in range(epochs):
        model.train()
        for a, b in loader:
            opt.zero_grad()
            F.cross_entropy(model(a), b).backward()
            opt.step()
        if epoch >= swa_start:
            swa_model.update_parameters(model)
            swa_sched.step()
        else:
            sched.step()
        model.eval()
        with torch.no_grad():
            print(
                epoch, (model(Xv).argmax(1) == yv).float().mean().item(), opt.param_groups[0]["lr"]
            )
    update_bn(loader, swa_model)
    swa_model.eval()
    with torch.no_grad():
        print("swa", (swa_model(Xv).argmax(1) == yv).float().mean().item())


@correct
def manual_sgd_grad_none():
    torch.manual_seed(28)
    X, y = load_wine(return_X_y=True)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.3, stratify=y, random_state=28)
    m, s = Xa.mean(0), Xa.std(0)
    Xa, Xb = torch.tensor((Xa - m) / s).float(), torch.tensor((Xb - m) / s).float()
    ya, yb = torch.tensor(ya), torch.tensor(yb)
    W1 = (torch.randn(13, 24) / 13**0.5).requires_grad_()
    b1 = torch.zeros(24, requires_grad=True)
    W2 = (torch.randn(24, 3) / 24**0.5).requires_grad_()
    b2 = torch.zeros(3, requires_grad=True)
    params = [W1, b1, W2, b2]
    velocity = [torch.zeros_like(p) for p in params]
    forward = lambda x: torch.tanh(x @ W1 + b1) @ W2 + b2
    for epoch in range(8):
        for ix in torch.randperm(len(Xa)).split(20):
            loss = F.cross_entropy(forward(Xa[ix]), ya[ix])
            for p in params:
                p.grad = None
            loss.backward()
            with torch.no_grad():
                for p, v in zip(params, velocity):
                    v.mul_(0.9).add_(p.grad)
                    p -= 0.03 * v
        with torch.no_grad():
            print(epoch, (forward(Xb).argmax(1) == yb).float().mean().item())


@correct
def torch_func_vmap_clipped():
    # per-sample gradients with vmap(grad), clipped one by one, written to .grad
    torch.manual_seed(29)
    X, y = load_breast_cancer(return_X_y=True)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.2, stratify=y, random_state=29)
    s = StandardScaler().fit(Xa)
    Xa, Xb = torch.tensor(s.transform(Xa)).float(), torch.tensor(s.transform(Xb)).float()
    ya, yb = torch.tensor(ya), torch.tensor(yb)
    net = nn.Sequential(nn.Linear(30, 16), nn.Tanh(), nn.Linear(16, 2))
    opt = optim.SGD(net.parameters(), lr=0.2, momentum=0.9)

    def sample_loss(params, x, t):
        return F.cross_entropy(functional_call(net, params, (x.unsqueeze(0),)), t.unsqueeze(0))

    per_sample = vmap(grad(sample_loss), in_dims=(None, 0, 0))
    for ep in range(5):
        net.train()
        for ix in torch.randperm(len(Xa)).split(35):
            params = {k: v.detach() for k, v in net.named_parameters()}
            gs = per_sample(params, Xa[ix], ya[ix])
            norms = torch.stack([g.flatten(1).norm(dim=1) for g in gs.values()]).norm(dim=0)
            w = (1.0 / norms).clamp(max=1.0)
            opt.zero_grad()
            for k, p in net.named_parameters():
                p.grad = torch.einsum("n,n...->...", w, gs[k]) / len(ix)
            opt.step()
        net.eval()
        with torch.no_grad():
            print(ep, (net(Xb).argmax(1) == yb).float().mean().item())


@correct
def optimizer_in_backward():
    torch.manual_seed(30)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X / 16).float(), torch.tensor(y)
    perm = torch.randperm(len(X))
    tr, va = perm[:1440], perm[1440:]
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opts = {p: optim.Adam([p], lr=2e-3) for p in net.parameters()}

    def hook(p):
        opts[p].step()
        opts[p].zero_grad()

    for p in net.parameters():
        p.register_post_accumulate_grad_hook(hook)
    for ep in range(5):
        net.train()
        for ix in tr[torch.randperm(len(tr))].split(60):
            F.cross_entropy(net(X[ix]), y[ix]).backward()
        net.eval()
        with torch.no_grad():
            print(ep, (net(X[va]).argmax(1) == y[va]).float().mean().item())


@correct
def sam_two_steps():
    torch.manual_seed(31)
    X, y = make_classification(800, 20, n_informative=8, n_classes=3, random_state=31)
    s = StandardScaler().fit(X[:640])
    X, y = torch.tensor(s.transform(X)).float(), torch.tensor(y)

    class SAM:
        def __init__(self, params, base, rho=0.05):
            self.params, self.base, self.rho = list(params), base, rho

        @torch.no_grad()
        def first_step(self):
            norm = torch.stack([p.grad.norm() for p in self.params]).norm() + 1e-12
            self.eps = [p.grad * (self.rho / norm) for p in self.params]
            for p, e in zip(self.params, self.eps):
                p.add_(e)
            self.base.zero_grad()

        @torch.no_grad()
        def second_step(self):
            for p, e in zip(self.params, self.eps):
                p.sub_(e)
            self.base.step()
            self.base.zero_grad()

    net = nn.Sequential(nn.Linear(20, 48), nn.ReLU(), nn.Linear(48, 3))
    sam = SAM(net.parameters(), optim.SGD(net.parameters(), lr=0.05, momentum=0.9))
    for ep in range(6):
        net.train()
        for a, b in DataLoader(TensorDataset(X[:640], y[:640]), batch_size=40, shuffle=True):
            F.cross_entropy(net(a), b).backward()
            sam.first_step()
            F.cross_entropy(net(a), b).backward()
            sam.second_step()
        net.eval()
        with torch.no_grad():
            print(ep, (net(X[640:]).argmax(1) == y[640:]).float().mean().item())


@correct
def maml_sines():
    torch.manual_seed(32)
    net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    meta = optim.Adam(net.parameters(), lr=3e-3)

    def task(gen=None):
        amp, ph = 0.5 + 2 * torch.rand(1, generator=gen), math.pi * torch.rand(1, generator=gen)
        x = torch.rand(20, 1, generator=gen) * 6 - 3
        return x[:10], amp * torch.sin(x[:10] + ph), x[10:], amp * torch.sin(x[10:] + ph)

    def adapt(xs, ys, create_graph):
        params = dict(net.named_parameters())
        for _ in range(2):
            loss = F.mse_loss(functional_call(net, params, (xs,)), ys)
            gs = torch.autograd.grad(loss, list(params.values()), create_graph=create_graph)
            params = {k: p - 0.05 * g for (k, p), g in zip(params.items(), gs)}
        return params

    for it in range(8):
        for _ in range(12):
            meta.zero_grad()
            q = 0.0
            for _ in range(4):
                xs, ys, xq, yq = task()
                q = q + F.mse_loss(functional_call(net, adapt(xs, ys, True), (xq,)), yq)
            (q / 4).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 10.0)
            meta.step()
        gen = torch.Generator().manual_seed(99)
        tot = 0.0
        for _ in range(30):
            xs, ys, xq, yq = task(gen)
            fast = {k: v.detach() for k, v in adapt(xs, ys, False).items()}
            with torch.no_grad():
                tot += F.mse_loss(functional_call(net, fast, (xq,)), yq).item()
        print(f"{it} post-adaptation mse {tot / 30:.3f}")


@correct
def distillation_kl():
    torch.manual_seed(33)
    X, y = load_digits(return_X_y=True)
    Xt, Xv, yt, yv = train_test_split(X / 16, y, test_size=0.2, stratify=y, random_state=33)
    dl = DataLoader(
        TensorDataset(torch.tensor(Xt).float(), torch.tensor(yt)), batch_size=64, shuffle=True
    )
    Xv, yv = torch.tensor(Xv).float(), torch.tensor(yv)
    teacher = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10))
    student = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))

    def kd(ls, lt, t, T=3.0, a=0.7):
        soft = (
            F.kl_div(
                F.log_softmax(ls / T, 1),
                F.log_softmax(lt / T, 1),
                log_target=True,
                reduction="batchmean",
            )
            * T
            * T
        )
        return a * soft + (1 - a) * F.cross_entropy(ls, t)

    def score(m):
        m.eval()
        with torch.no_grad():
            return (m(Xv).argmax(1) == yv).float().mean().item()

    opt = optim.Adam(teacher.parameters(), lr=3e-3)
    for e in range(5):
        teacher.train()
        for a, b in dl:
            opt.zero_grad()
            F.cross_entropy(teacher(a), b).backward()
            opt.step()
        print("teacher", e, score(teacher))
    teacher.eval().requires_grad_(False)
    opt = optim.Adam(student.parameters(), lr=5e-3)
    for e in range(6):
        student.train()
        for a, b in dl:
            with torch.no_grad():
                lt = teacher(a)
            opt.zero_grad()
            kd(student(a), lt, b).backward()
            opt.step()
        print("student", e, score(student))


@correct
def dqn_corridor():
    torch.manual_seed(34)
    rnd = random.Random(34)
    N = 6

    def obs(s):
        return F.one_hot(torch.tensor(s), N).float()

    def step(s, a):
        s2 = max(0, s - 1) if a == 0 else s + 1
        return (s2, 1.0, True) if s2 == N - 1 else (s2, -0.02, False)

    q = nn.Sequential(nn.Linear(N, 32), nn.ReLU(), nn.Linear(32, 2))
    target = copy.deepcopy(q).requires_grad_(False)
    opt = optim.Adam(q.parameters(), lr=5e-3)
    memory, updates = [], 0
    for episode in range(30):
        s, done, ret, t = 0, False, 0.0, 0
        eps = max(0.05, 1 - episode / 15)
        while not done and t < 40:
            if rnd.random() < eps:
                a = rnd.randrange(2)
            else:
                with torch.no_grad():
                    a = q(obs(s)).argmax().item()
            s2, r, done = step(s, a)
            memory.append((s, a, r, s2, float(done)))
            s, ret, t = s2, ret + r, t + 1
            if len(memory) >= 32:
                S, A, R, S2, Dn = zip(*rnd.sample(memory[-2000:], 32))
                S, S2 = torch.stack([obs(i) for i in S]), torch.stack([obs(i) for i in S2])
                A, R, Dn = torch.tensor(A), torch.tensor(R), torch.tensor(Dn)
                with torch.no_grad():
                    goal = R + 0.95 * (1 - Dn) * target(S2).max(1).values
                pred = q(S).gather(1, A.unsqueeze(1)).squeeze(1)
                opt.zero_grad()
                F.smooth_l1_loss(pred, goal).backward()
                nn.utils.clip_grad_value_(q.parameters(), 1.0)
                opt.step()
                updates += 1
                if updates % 25 == 0:
                    target.load_state_dict(q.state_dict())
        if episode % 5 == 4:
            print(f"episode {episode} return {ret:.2f} steps {t}")


@correct
def tied_lm_tbptt():
    # weight tying, stateful hidden detached between chunks, unshuffled on purpose
    torch.manual_seed(35)
    rnd = random.Random(35)
    subj, verb, obj = (
        ["she", "he", "the cat", "a dog"],
        ["sees", "sells", "likes", "hides"],
        ["shells", "bones", "fish", "the moon"],
    )
    text = " ".join(f"{rnd.choice(subj)} {rnd.choice(verb)} {rnd.choice(obj)}." for _ in range(260))
    chars = sorted(set(text))
    ids = torch.tensor([chars.index(c) for c in text])
    cut = int(len(ids) * 0.85)

    def batchify(d, b):
        n = len(d) // b
        return d[: n * b].view(b, n)

    train, valid = batchify(ids[:cut], 8), batchify(ids[cut:], 4)

    class LM(nn.Module):
        def __init__(self, d=40):
            super().__init__()
            self.emb = nn.Embedding(len(chars), d)
            self.rnn = nn.LSTM(d, d, batch_first=True)
            self.out = nn.Linear(d, len(chars))
            self.out.weight = self.emb.weight
            nn.init.uniform_(self.emb.weight, -0.1, 0.1)

        def forward(self, x, h=None):
            o, h = self.rnn(self.emb(x), h)
            return self.out(o), h

    def chunks(data, bptt=25):
        for i in range(0, data.size(1) - 1, bptt):
            L = min(bptt, data.size(1) - 1 - i)
            yield data[:, i : i + L], data[:, i + 1 : i + 1 + L]

    lm = LM()
    opt = optim.Adam(lm.parameters(), lr=1e-2)
    for ep in range(8):
        lm.train()
        h = None
        for x, t in chunks(train):
            if h is not None:
                h = tuple(v.detach() for v in h)
            opt.zero_grad()
            out, h = lm(x, h)
            F.cross_entropy(out.flatten(0, 1), t.flatten()).backward()
            nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
            opt.step()
        lm.eval()
        h, nll, n = None, 0.0, 0
        with torch.no_grad():
            for x, t in chunks(valid):
                out, h = lm(x, h)
                nll += F.cross_entropy(out.flatten(0, 1), t.flatten(), reduction="sum").item()
                n += t.numel()
        print(f"epoch {ep} valid ppl {math.exp(nll / n):.3f}")


@correct
def sparse_mf_bpr_ranking():
    # matrix factorisation, sparse embeddings, BPR loss, two optimizers
    torch.manual_seed(36)
    rng = np.random.default_rng(36)
    U, I = 80, 60
    group_u, group_i = rng.integers(0, 4, U), rng.integers(0, 4, I)
    like = rng.random((U, I)) < np.where(group_u[:, None] == group_i[None], 0.6, 0.04)
    pairs = np.argwhere(like)
    rng.shuffle(pairs)
    cut = int(0.8 * len(pairs))
    tr, te = torch.from_numpy(pairs[:cut]), pairs[cut:]
    seen = torch.zeros(U, I, dtype=torch.bool)
    seen[tr[:, 0], tr[:, 1]] = True
    neg_items = [torch.nonzero(~seen[u]).flatten() for u in range(U)]

    class MF(nn.Module):
        def __init__(self):
            super().__init__()
            self.u, self.i = nn.Embedding(U, 8, sparse=True), nn.Embedding(I, 8, sparse=True)
            self.scale = nn.Parameter(torch.tensor(1.0))
            nn.init.normal_(self.u.weight, std=0.1)
            nn.init.normal_(self.i.weight, std=0.1)

        def forward(self, u, i):
            return self.scale * (self.u(u) * self.i(i)).sum(1)

    mf = MF()
    os_ = optim.SparseAdam([mf.u.weight, mf.i.weight], lr=2e-2)
    od = optim.Adam([mf.scale], lr=1e-2)
    te_u, te_i = torch.from_numpy(te[:, 0].copy()), torch.from_numpy(te[:, 1].copy())
    true_neg = [np.flatnonzero(~like[u]) for u in te[:, 0]]
    te_n = torch.tensor([int(rng.choice(c)) for c in true_neg])
    for ep in range(8):
        mf.train()
        for b in tr[torch.randperm(len(tr))].split(64):
            u, pos = b[:, 0], b[:, 1]
            neg = torch.stack(
                [neg_items[k][torch.randint(len(neg_items[k]), (1,))][0] for k in u.tolist()]
            )
            os_.zero_grad()
            od.zero_grad()
            loss = -F.logsigmoid(mf(u, pos) - mf(u, neg)).mean()
            loss.backward()
            os_.step()
            od.step()
        mf.eval()
        with torch.no_grad():
            print(ep, "pairwise auc", (mf(te_u, te_i) > mf(te_u, te_n)).float().mean().item())


@correct
def mc_dropout_uncertainty():
    torch.manual_seed(37)
    x = torch.rand(400, 1) * 6 - 3
    y = torch.sin(2 * x) + 0.1 * torch.randn_like(x)
    xt, yt, xv, yv = x[:320], y[:320], x[320:], y[320:]
    net = nn.Sequential(
        nn.Linear(1, 64),
        nn.Tanh(),
        nn.Dropout(0.05),
        nn.Linear(64, 64),
        nn.Tanh(),
        nn.Dropout(0.05),
        nn.Linear(64, 1),
    )
    opt = optim.Adam(net.parameters(), lr=5e-3)
    for ep in range(10):
        net.train()
        for ix in torch.randperm(320).split(32):
            opt.zero_grad()
            F.mse_loss(net(xt[ix]), yt[ix]).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            print(ep, "val mse", F.mse_loss(net(xv), yv).item())

    def mc_predict(inp, T=30):
        net.eval()
        for m in net.modules():
            if isinstance(m, nn.Dropout):
                m.train()
        with torch.no_grad():
            s = torch.stack([net(inp) for _ in range(T)])
        net.eval()
        return s.mean(0), s.std(0)

    mean, std = mc_predict(xv)
    print("mc rmse", (mean - yv).pow(2).mean().sqrt().item(), "mean std", std.mean().item())


@correct
def overfit_check_then_lr_range_then_train():
    # one-batch sanity check and an lr range test on copies, then the training proper
    torch.manual_seed(38)
    X, y = load_digits(return_X_y=True)
    Xt, Xv, yt, yv = train_test_split(X / 16, y, test_size=0.2, stratify=y, random_state=38)
    dl = DataLoader(
        TensorDataset(torch.tensor(Xt).float(), torch.tensor(yt)), batch_size=64, shuffle=True
    )
    Xv, yv = torch.tensor(Xv).float(), torch.tensor(yv)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def sanity(m):
        m.train()
        a, b = next(iter(dl))
        o = optim.Adam(m.parameters(), lr=1e-2)
        for _ in range(60):
            o.zero_grad()
            l = F.cross_entropy(m(a), b)
            l.backward()
            o.step()
        print("one batch loss", round(l.item(), 5))

    def lr_find(m, lo=1e-4, hi=1.0):
        m.train()
        o = optim.SGD(m.parameters(), lr=lo, momentum=0.9)
        gamma = (hi / lo) ** (1 / (len(dl) * 2))
        rec, lr, avg = [], lo, None
        for _ in range(2):
            for a, b in dl:
                o.param_groups[0]["lr"] = lr
                o.zero_grad()
                l = F.cross_entropy(m(a), b)
                l.backward()
                o.step()
                avg = l.item() if avg is None else 0.7 * avg + 0.3 * l.item()
                rec.append((avg, lr))
                lr *= gamma
        return min(rec)[1] / 10

    sanity(copy.deepcopy(net))
    lr = lr_find(copy.deepcopy(net))
    print("lr", lr)
    opt = optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    for ep in range(6):
        net.train()
        for a, b in dl:
            opt.zero_grad()
            F.cross_entropy(net(a), b).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            print(ep, (net(Xv).argmax(1) == yv).float().mean().item())


@correct
def distributed_sampler_checkpointed_blocks():
    # set_epoch, activation checkpointing, spectral norm, validation inside the epoch
    torch.manual_seed(39)
    X, y = load_digits(return_X_y=True)
    Xt, Xv, yt, yv = train_test_split(X / 16, y, test_size=0.2, stratify=y, random_state=39)
    ds = TensorDataset(torch.tensor(Xt).float(), torch.tensor(yt))
    sampler = DistributedSampler(ds, num_replicas=1, rank=0, shuffle=True, seed=39)
    dl = DataLoader(ds, batch_size=48, sampler=sampler)
    Xv, yv = torch.tensor(Xv).float(), torch.tensor(yv)

    class Block(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.f = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, d), nn.GELU(), nn.Dropout(0.1))

        def forward(self, x):
            return x + self.f(x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inp = nn.utils.parametrizations.spectral_norm(nn.Linear(64, 64))
            self.blocks = nn.ModuleList(Block(64) for _ in range(3))
            self.out = nn.Linear(64, 10)

        def forward(self, x):
            x = self.inp(x)
            for b in self.blocks:
                x = checkpoint(b, x, use_reentrant=False) if self.training else b(x)
            return self.out(x)

    net = Net()
    opt = optim.AdamW(net.parameters(), lr=2e-3)

    def validate(tag):
        was = net.training
        net.eval()
        with torch.no_grad():
            out = net(Xv)
        print(
            tag,
            f"{F.cross_entropy(out, yv).item():.4f} {(out.argmax(1) == yv).float().mean().item():.4f}",
        )
        net.train(was)

    net.train()
    for epoch in range(4):
        sampler.set_epoch(epoch)
        for step, (a, b) in enumerate(dl, 1):
            opt.zero_grad()
            F.cross_entropy(net(a), b).backward()
            opt.step()
            if step % 15 == 0:
                validate(f"epoch {epoch} step {step}")
