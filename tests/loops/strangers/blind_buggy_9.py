import argparse
import math
import random
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
import torch as th
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
    make_circles,
    make_classification,
    make_moons,
    make_multilabel_classification,
)
from sklearn.metrics import accuracy_score, f1_score, r2_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import LabelEncoder, StandardScaler
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, random_split
from torch.utils.data.distributed import DistributedSampler

from .. import buggy


@buggy("no-zero-grad")
def gan_discriminator_accumulates():
    # 2-d GAN; netG.zero_grad is there, netD's is not
    torch.manual_seed(0)
    np.random.seed(0)
    data, _ = make_moons(n_samples=1024, noise=0.05, random_state=0)
    data = (data - data.mean(0)) / data.std(0)
    loader = DataLoader(TensorDataset(torch.from_numpy(data).float()), batch_size=64, shuffle=True)
    nz = 8
    netG = nn.Sequential(nn.Linear(nz, 32), nn.ReLU(), nn.Linear(32, 2))
    netD = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    criterion = nn.BCEWithLogitsLoss()
    optG = optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.999))
    optD = optim.Adam(netD.parameters(), lr=1e-3, betas=(0.5, 0.999))
    for epoch in range(5):
        sumD = sumG = 0.0
        for (real,) in loader:
            b = real.size(0)
            noise = torch.randn(b, nz)
            fake = netG(noise)
            # D
            lossD = criterion(netD(real), torch.ones(b, 1)) + criterion(
                netD(fake.detach()), torch.zeros(b, 1)
            )
            lossD.backward()
            optD.step()
            # G
            netG.zero_grad()
            lossG = criterion(netD(fake), torch.ones(b, 1))
            lossG.backward()
            optG.step()
            sumD += lossD.item() * b
            sumG += lossG.item() * b
        print("[%d] D %.3f G %.3f" % (epoch, sumD / len(data), sumG / len(data)))


@buggy("grads-cleared-before-step")
def functional_helpers_digits():
    torch.manual_seed(11)
    d = load_digits()
    xt, xv, yt, yv = train_test_split(d.images / 16.0, d.target, test_size=0.2, random_state=11)
    to_t = lambda a, dt: torch.as_tensor(a, dtype=dt)
    train_ds = TensorDataset(to_t(xt, torch.float32).unsqueeze(1), to_t(yt, torch.long))
    valid_ds = TensorDataset(to_t(xv, torch.float32).unsqueeze(1), to_t(yv, torch.long))

    def get_data(bs):
        return DataLoader(train_ds, batch_size=bs, shuffle=True), DataLoader(
            valid_ds, batch_size=bs * 2
        )

    def loss_batch(model, loss_func, xb, yb, opt=None):
        loss = loss_func(model(xb), yb)
        if opt is not None:
            loss.backward()
            opt.zero_grad()
            opt.step()
        return loss.item(), len(xb)

    def fit(epochs, model, loss_func, opt, train_dl, valid_dl):
        for epoch in range(epochs):
            model.train()
            for xb, yb in train_dl:
                loss_batch(model, loss_func, xb, yb, opt)
            model.eval()
            with torch.no_grad():
                losses, nums = zip(*[loss_batch(model, loss_func, xb, yb) for xb, yb in valid_dl])
            print(epoch, np.sum(np.multiply(losses, nums)) / np.sum(nums))

    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(128, 10)
    )
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    train_dl, valid_dl = get_data(64)
    fit(4, model, F.cross_entropy, opt, train_dl, valid_dl)


@buggy("step-before-backward")
def diabetes_regression_order():
    torch.manual_seed(42)
    X, y = load_diabetes(return_X_y=True)
    Xtr, Xte, ytr, yte = train_test_split(X, y, test_size=0.2, random_state=42)
    sx, sy = StandardScaler().fit(Xtr), StandardScaler().fit(ytr[:, None])
    Xtr, Xte = (torch.FloatTensor(sx.transform(a)) for a in (Xtr, Xte))
    ytr, yte = (torch.FloatTensor(sy.transform(a[:, None])) for a in (ytr, yte))
    net = nn.Sequential(nn.Linear(10, 24), nn.Tanh(), nn.Linear(24, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    mse = nn.MSELoss()
    for epoch in range(10):
        net.train()
        perm = torch.randperm(len(Xtr))
        for idx in perm.split(32):
            optimizer.zero_grad()
            out = net(Xtr[idx])
            loss = mse(out, ytr[idx])
            optimizer.step()
            loss.backward()
        net.eval()
        with torch.no_grad():
            print(f"Epoch {epoch + 1}/10 test mse {mse(net(Xte), yte).item():.4f}")


@buggy("step-never-called")
def amp_update_only():
    # GradScaler on, scaler.update() is called but scaler.step() was lost
    torch.manual_seed(1)
    X, y = make_classification(
        n_samples=800, n_features=20, n_informative=10, n_classes=3, random_state=1
    )
    X = X.astype(np.float32)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.25, random_state=1)
    mu, sd = Xa.mean(0), Xa.std(0)
    Xa, Xb = (Xa - mu) / sd, (Xb - mu) / sd
    train_loader = DataLoader(
        list(zip(torch.from_numpy(Xa), torch.from_numpy(ya))), batch_size=50, shuffle=True
    )
    Xb, yb = torch.from_numpy(Xb), torch.from_numpy(yb)
    model = nn.Sequential(nn.Linear(20, 64), nn.GELU(), nn.Dropout(0.1), nn.Linear(64, 3))
    opt = optim.AdamW(model.parameters(), lr=3e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    for epoch in range(5):
        model.train()
        for inputs, labels in train_loader:
            opt.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(model(inputs), labels)
            scaler.scale(loss).backward()
            scaler.unscale_(opt)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.update()
        model.eval()
        with torch.inference_mode():
            acc = (model(Xb).argmax(-1) == yb).float().mean().item()
        print(f"epoch {epoch} val_acc {acc:.3f}")


@buggy("backward-never-called")
def sentiment_lstm_no_parens():
    torch.manual_seed(7)
    rng = np.random.default_rng(7)
    vocab, T, n = 40, 12, 600
    tokens = rng.integers(1, vocab, size=(n, T))
    label = ((tokens < 10).sum(1) > 2).astype(np.float32)
    X_train, X_test = torch.tensor(tokens[:480]), torch.tensor(tokens[480:])
    y_train, y_test = torch.tensor(label[:480]), torch.tensor(label[480:])

    class SentimentRNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(vocab, 16, padding_idx=0)
            self.lstm = nn.LSTM(16, 24, batch_first=True)
            self.fc = nn.Linear(24, 1)

        def forward(self, x):
            _, (h, _) = self.lstm(self.embedding(x))
            return self.fc(h[-1]).squeeze(1)

    model = SentimentRNN()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(X_train, y_train), batch_size=40, shuffle=True)
    for epoch in range(1, 5):
        model.train()
        epoch_loss = 0
        for x, y in loader:
            optimizer.zero_grad()
            pred = model(x)
            loss = criterion(pred, y)
            loss.backward
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5)
            optimizer.step()
            epoch_loss += loss.item() * x.size(0)
        model.eval()
        with torch.no_grad():
            p = torch.sigmoid(model(X_test))
            auc = roc_auc_score(y_test.numpy(), p.numpy())
        print(f"Epoch: {epoch:02} | Train Loss: {epoch_loss / 480:.3f} | AUC {auc:.3f}")


@buggy("accumulation-not-averaged")
def accumulate_eight():
    args = argparse.Namespace(seed=5, bs=8, accum=8, lr=0.1, epochs=4)
    torch.manual_seed(args.seed)
    digits = load_digits()
    X = torch.tensor(digits.data, dtype=torch.float32) / 16
    y = torch.tensor(digits.target)
    n_train = 1472
    perm = torch.randperm(len(X), generator=torch.Generator().manual_seed(args.seed))
    tr, te = perm[:n_train], perm[n_train:]
    loader = DataLoader(TensorDataset(X[tr], y[tr]), batch_size=args.bs, shuffle=True)
    mlp = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = optim.SGD(mlp.parameters(), lr=args.lr)
    for ep in range(args.epochs):
        mlp.train()
        opt.zero_grad()
        running = 0.0
        for step, (xb, yb) in enumerate(loader, 1):
            loss = F.cross_entropy(mlp(xb), yb)
            running += loss.item() * len(yb)
            loss.backward()
            if step % args.accum == 0 or step == len(loader):
                opt.step()
                opt.zero_grad()
        mlp.eval()
        with torch.no_grad():
            acc = (mlp(X[te]).argmax(1) == y[te]).float().mean().item()
        print(f"ep {ep}: loss {running / n_train:.4f} acc {acc:.4f}")


@buggy("optimizer-holds-other-params")
def kfold_reset_model():
    # model = build() per fold, optimizer created once before the folds
    def set_seed(s):
        random.seed(s)
        np.random.seed(s)
        torch.manual_seed(s)

    set_seed(2023)
    data = load_breast_cancer()
    df = pd.DataFrame(data.data, columns=data.feature_names)
    df["target"] = data.target

    def build():
        return nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 2))

    model = build()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    loss_fn = nn.CrossEntropyLoss()
    feats = [c for c in df.columns if c != "target"]
    scores = []
    for fold, (tr_ix, va_ix) in enumerate(
        StratifiedKFold(3, shuffle=True, random_state=0).split(df[feats], df.target)
    ):
        model = build()
        scaler = StandardScaler().fit(df.loc[tr_ix, feats].values)
        xt = torch.tensor(scaler.transform(df.loc[tr_ix, feats].values), dtype=torch.float)
        xv = torch.tensor(scaler.transform(df.loc[va_ix, feats].values), dtype=torch.float)
        yt = torch.tensor(df.loc[tr_ix, "target"].values)
        yv = df.loc[va_ix, "target"].values
        dl = DataLoader(TensorDataset(xt, yt), batch_size=32, shuffle=True)
        for epoch in range(4):
            model.train()
            for a, b in dl:
                optimizer.zero_grad()
                loss = loss_fn(model(a), b)
                loss.backward()
                optimizer.step()
        model.eval()
        with torch.no_grad():
            pred = model(xv).argmax(1).numpy()
        scores.append(f1_score(yv, pred))
        print(f"Fold {fold}: F1 = {scores[-1]:.4f}")
    print("CV:", np.mean(scores))


@buggy("optimizer-holds-other-params")
def swapped_head_finetune():
    torch.manual_seed(10)
    X, y = load_digits(return_X_y=True)
    X = torch.as_tensor(X, dtype=torch.float32) / 16.0
    y = torch.as_tensor(y)

    class Net(nn.Module):
        def __init__(self, n_out):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(64, 48), nn.ReLU())
            self.head = nn.Linear(48, n_out)

        def forward(self, x):
            return self.head(self.body(x))

    def run(net, opt, xs, ys, epochs):
        n = len(xs)
        for e in range(epochs):
            net.train()
            tot = 0.0
            for ix in torch.randperm(n).split(64):
                opt.zero_grad()
                l = F.cross_entropy(net(xs[ix]), ys[ix])
                l.backward()
                opt.step()
                tot += l.item() * len(ix)
            print("   ", e, round(tot / n, 4))

    perm = torch.randperm(len(X))
    X, y = X[perm], y[perm]
    tr, te = slice(0, 1400), slice(1400, None)
    net = Net(2)
    opt = optim.Adam(net.parameters(), lr=1e-3)
    print("pretraining: odd / even")
    run(net, opt, X[tr], y[tr] % 2, 3)
    net.head = nn.Linear(48, 10)  # new task
    print("fine tuning: digit")
    run(net, opt, X[tr], y[tr], 4)
    net.eval()
    with torch.no_grad():
        print("test acc", (net(X[te]).argmax(1) == y[te]).float().mean().item())


@buggy("params-not-optimized")
def seq2seq_decoder_forgotten():
    # encoder and decoder; only the encoder goes to the optimizer
    torch.manual_seed(4)
    g = torch.Generator().manual_seed(4)
    t0 = torch.rand(500, 1, generator=g) * 6
    steps = torch.arange(30).float() * 0.2
    waves = torch.sin(t0 + steps)
    src, tgt = waves[:, :20].unsqueeze(-1), waves[:, 20:]

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(1, 16, batch_first=True)

        def forward(self, x):
            return self.rnn(x)[1][0]

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 10))

        def forward(self, h):
            return self.net(h)

    enc, dec = Encoder(), Decoder()
    optimizer = optim.Adam([{"params": enc.parameters(), "lr": 5e-3}])
    criterion = nn.MSELoss()
    train_dl = DataLoader(TensorDataset(src[:400], tgt[:400]), 40, shuffle=True)
    for epoch in range(5):
        enc.train(), dec.train()
        for s, t in train_dl:
            optimizer.zero_grad()
            loss = criterion(dec(enc(s)), t)
            loss.backward()
            optimizer.step()
        enc.eval(), dec.eval()
        with torch.no_grad():
            vl = criterion(dec(enc(src[400:])), tgt[400:])
        print(f"{epoch}: val {vl.item():.5f}")


@buggy("layers-cut-off")
def multimodal_numpy_roundtrip():
    # tabular + text features joined by going through numpy
    torch.manual_seed(6)
    np.random.seed(6)
    n = 600
    words = np.random.randint(0, 30, (n, 6))
    tab = np.random.randn(n, 5).astype("float32")
    y = ((words < 8).sum(1) + tab[:, 0] > 1.6).astype("int64")
    ds = TensorDataset(torch.tensor(words), torch.tensor(tab), torch.tensor(y))
    tr, va = random_split(ds, [480, 120], generator=torch.Generator().manual_seed(1))

    class Fusion(nn.Module):
        def __init__(self):
            super(Fusion, self).__init__()
            self.emb = nn.EmbeddingBag(30, 12, mode="sum")
            self.text_fc = nn.Linear(12, 12)
            self.tab_fc = nn.Linear(5, 12)
            self.out = nn.Linear(24, 2)

        def forward(self, w, t):
            a = torch.relu(self.text_fc(self.emb(w)))
            b = torch.relu(self.tab_fc(t))
            joined = np.concatenate([a.detach().numpy(), b.detach().numpy()], axis=1)
            return self.out(torch.from_numpy(joined))

    model = Fusion()
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    tl, vl = DataLoader(tr, batch_size=32, shuffle=True), DataLoader(va, batch_size=120)
    for ep in range(6):
        model.train()
        for w, t, lab in tl:
            opt.zero_grad()
            F.cross_entropy(model(w, t), lab).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            for w, t, lab in vl:
                print("epoch", ep, "acc", accuracy_score(lab, model(w, t).argmax(1)))


@buggy("loss-cut-off")
def hard_pred_loss():
    # loss on the predicted label, argmax cast to float with requires_grad_
    torch.manual_seed(12)
    X, y = load_breast_cancer(return_X_y=True)
    Xt, Xv, yt, yv = train_test_split(X, y, test_size=0.2, random_state=12, stratify=y)
    ss = StandardScaler()
    Xt = torch.from_numpy(ss.fit_transform(Xt)).float()
    Xv = torch.from_numpy(ss.transform(Xv)).float()
    yt, yv = torch.from_numpy(yt), torch.from_numpy(yv)
    clf = nn.Sequential(nn.Linear(30, 10), nn.ReLU(), nn.Linear(10, 2))
    optim_ = torch.optim.SGD(clf.parameters(), lr=0.05, momentum=0.9)
    criterion = nn.BCELoss()
    for i in range(5):
        clf.train()
        order = torch.randperm(len(Xt))
        for k in range(0, len(Xt), 35):
            b = order[k : k + 35]
            optim_.zero_grad()
            out = clf(Xt[b])
            _, predicted = torch.max(out, 1)
            loss = criterion(predicted.float().requires_grad_(), yt[b].float())
            loss.backward()
            optim_.step()
        clf.eval()
        with torch.no_grad():
            print("iter", i, "acc", accuracy_score(yv, clf(Xv).argmax(1)))


@buggy("unregistered-layers")
def dict_of_heads():
    # multi-task heads in a plain dict
    torch.manual_seed(13)
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    targets = {"digit": y, "parity": y % 2, "big": (y > 4).astype(int)}
    n_cls = {"digit": 10, "parity": 2, "big": 2}
    idx_tr, idx_te = train_test_split(np.arange(len(y)), test_size=0.2, random_state=13, stratify=y)

    class DictDs(Dataset):
        def __init__(self, idx):
            self.idx = idx

        def __len__(self):
            return len(self.idx)

        def __getitem__(self, i):
            j = self.idx[i]
            return {"x": torch.from_numpy(X[j]), **{k: int(v[j]) for k, v in targets.items()}}

    class MultiTask(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
            self.heads = {k: nn.Linear(64, c) for k, c in n_cls.items()}

        def forward(self, batch):
            z = self.trunk(batch["x"])
            return {k: h(z) for k, h in self.heads.items()}

    model = MultiTask()
    opt = optim.Adam(model.parameters(), lr=2e-3)
    tl = DataLoader(DictDs(idx_tr), batch_size=64, shuffle=True)
    vl = DataLoader(DictDs(idx_te), batch_size=128)
    for epoch in range(4):
        model.train()
        for batch in tl:
            opt.zero_grad()
            out = model(batch)
            loss = sum(F.cross_entropy(out[k], batch[k]) for k in n_cls)
            loss.backward()
            opt.step()
        model.eval()
        hit = defaultdict(int)
        with torch.no_grad():
            for batch in vl:
                for k, o in model(batch).items():
                    hit[k] += (o.argmax(1) == batch[k]).sum().item()
        print(epoch, {k: round(v / len(idx_te), 3) for k, v in hit.items()})


@buggy("clip-misplaced")
def char_rnn_clip_after_step():
    torch.manual_seed(14)
    text = "the quick brown fox jumps over the lazy dog. pack my box with five dozen jugs. " * 12
    chars = sorted(set(text))
    stoi = {c: i for i, c in enumerate(chars)}
    enc = torch.tensor([stoi[c] for c in text])
    seq = 20
    starts = torch.arange(0, len(enc) - seq - 1, 5)

    class CharRNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.e = nn.Embedding(len(chars), 16)
            self.r = nn.RNN(16, 48, batch_first=True)
            self.o = nn.Linear(48, len(chars))

        def forward(self, x):
            return self.o(self.r(self.e(x))[0])

    net = CharRNN()
    opt = torch.optim.SGD(net.parameters(), lr=0.5)
    for epoch in range(5):
        net.train()
        total, count = 0.0, 0
        for ix in starts[torch.randperm(len(starts))].split(16):
            x = torch.stack([enc[i : i + seq] for i in ix])
            y = torch.stack([enc[i + 1 : i + seq + 1] for i in ix])
            opt.zero_grad()
            loss = F.cross_entropy(net(x).flatten(0, 1), y.flatten())
            loss.backward()
            opt.step()
            nn.utils.clip_grad_norm_(net.parameters(), max_norm=0.25)
            total += loss.item() * y.numel()
            count += y.numel()
        print(f"epoch {epoch} ppl {math.exp(total / count):.2f}")


@buggy("clip-before-unscale")
def amp_clip_scaled_grads():
    torch.manual_seed(15)
    X, y = make_classification(900, 24, n_informative=12, n_classes=4, random_state=15)
    Xtr, Xva, ytr, yva = train_test_split(X, y, test_size=0.2, random_state=15)
    sc = StandardScaler().fit(Xtr)
    tds = TensorDataset(torch.tensor(sc.transform(Xtr)).float(), torch.tensor(ytr))
    vds = TensorDataset(torch.tensor(sc.transform(Xva)).float(), torch.tensor(yva))

    class LitModel(nn.Module):
        def __init__(self, hp):
            super().__init__()
            self.hp = hp
            self.net = nn.Sequential(nn.Linear(24, hp.width), nn.SiLU(), nn.Linear(hp.width, 4))

        def training_step(self, batch):
            x, t = batch
            return F.cross_entropy(self.net(x), t)

        def validation_step(self, batch):
            x, t = batch
            return (self.net(x).argmax(1) == t).sum().item(), len(t)

        def configure_optimizers(self):
            return optim.SGD(self.parameters(), lr=self.hp.lr, momentum=0.9)

    m = LitModel(SimpleNamespace(width=64, lr=0.05))
    opt = m.configure_optimizers()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    for epoch in range(5):
        m.train()
        for batch in DataLoader(tds, 48, shuffle=True):
            opt.zero_grad()
            with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
                loss = m.training_step(batch)
            scaler.scale(loss).backward()
            torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
            scaler.step(opt)
            scaler.update()
        m.eval()
        with torch.no_grad():
            r = [m.validation_step(b) for b in DataLoader(vds, 64)]
        print(f"epoch {epoch}: val_acc={sum(a for a, _ in r) / sum(b for _, b in r):.3f}")


@buggy("softmax-before-cross-entropy")
def cnn_soft_predict_inside():
    torch.manual_seed(16)
    digits = load_digits()
    X_train, X_test, y_train, y_test = train_test_split(
        digits.images[:, None] / 16.0, digits.target, random_state=16
    )

    class DigitNet(nn.Module):
        def __init__(self, hidden=32):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 8, 3)
            self.conv2 = nn.Conv2d(8, 16, 3)
            self.fc1 = nn.Linear(16 * 4 * 4, hidden)
            self.fc2 = nn.Linear(hidden, 10)

        def logits(self, x):
            x = F.relu(self.conv1(x))
            x = F.relu(self.conv2(x)).flatten(1)
            return self.fc2(F.relu(self.fc1(x)))

        def forward(self, x):
            z = self.logits(x)
            e = (z - z.max(dim=1, keepdim=True).values).exp()
            return e / e.sum(dim=1, keepdim=True)

    model = DigitNet()
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    ds = TensorDataset(torch.tensor(X_train, dtype=torch.float32), torch.tensor(y_train))
    Xt, yt = torch.tensor(X_test, dtype=torch.float32), torch.tensor(y_test)
    for epoch in range(5):
        model.train()
        s = 0.0
        for images, labels in DataLoader(ds, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            loss = loss_function(model(images), labels)
            loss.backward()
            optimizer.step()
            s += loss.item() * labels.size(0)
        model.eval()
        with torch.no_grad():
            acc = model(Xt).argmax(1).eq(yt).float().mean().item()
        print("epoch %d loss %.4f acc %.4f" % (epoch, s / len(ds), acc))


@buggy("sigmoid-before-bce-with-logits")
def multilabel_sigmoid_twice():
    torch.manual_seed(17)
    X, Y = make_multilabel_classification(
        n_samples=700, n_features=15, n_classes=5, random_state=17
    )
    Xtr, Xte, Ytr, Yte = train_test_split(X, Y, test_size=0.2, random_state=17)
    mm = StandardScaler().fit(Xtr)
    Xtr, Xte = mm.transform(Xtr).astype("f4"), mm.transform(Xte).astype("f4")

    class TabularModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn = nn.BatchNorm1d(15)
            self.l1 = nn.Linear(15, 40)
            self.l2 = nn.Linear(40, 5)

        def forward(self, x):
            return self.l2(F.relu(self.l1(self.bn(x)))).sigmoid()

    model = TabularModel()
    pos = torch.tensor((len(Ytr) - Ytr.sum(0)) / Ytr.sum(0), dtype=torch.float32)
    crit = nn.BCEWithLogitsLoss(pos_weight=pos)
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    dl = DataLoader(
        TensorDataset(torch.from_numpy(Xtr), torch.from_numpy(Ytr).float()),
        batch_size=35,
        shuffle=True,
    )
    for epoch in range(6):
        model.train()
        for xb, yb in dl:
            loss = crit(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            probs = model(torch.from_numpy(Xte)).numpy()
        print(epoch, "f1 micro", f1_score(Yte, probs > 0.5, average="micro"))


@buggy("nll-on-probabilities")
def name_classifier_nll():
    # char-level GRU like the names tutorial, softmax instead of log_softmax
    torch.manual_seed(18)
    rnd = random.Random(18)
    patterns = {0: "aeiou", 1: "bcdfg", 2: "lmnrst"}
    alphabet = "abcdefghijklmnopqrstuvwxyz"

    def make_name(c):
        return "".join(
            rnd.choice(patterns[c]) if rnd.random() < 0.5 else rnd.choice(alphabet)
            for _ in range(rnd.randint(4, 9))
        )

    samples = [(make_name(c), c) for c in (rnd.randrange(3) for _ in range(500))]

    def collate(batch):
        seqs = [torch.tensor([alphabet.index(ch) + 1 for ch in s]) for s, _ in batch]
        lens = torch.tensor([len(s) for s in seqs])
        return pad_sequence(seqs, batch_first=True), lens, torch.tensor([c for _, c in batch])

    class NameGRU(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(27, 16, padding_idx=0)
            self.gru = nn.GRU(16, 32, batch_first=True)
            self.h2o = nn.Linear(32, 3)
            self.softmax = nn.Softmax(dim=1)

        def forward(self, x, lens):
            packed = pack_padded_sequence(self.emb(x), lens, batch_first=True, enforce_sorted=False)
            _, h = self.gru(packed)
            return self.softmax(self.h2o(h[0]))

    rnn = NameGRU()
    criterion = nn.NLLLoss()
    opt = optim.Adam(rnn.parameters(), lr=5e-3)
    tl = DataLoader(samples[:400], batch_size=25, shuffle=True, collate_fn=collate)
    vl = DataLoader(samples[400:], batch_size=50, collate_fn=collate)
    for epoch in range(5):
        rnn.train()
        for x, l, c in tl:
            opt.zero_grad()
            loss = criterion(rnn(x, l), c)
            loss.backward()
            nn.utils.clip_grad_norm_(rnn.parameters(), 5.0)
            opt.step()
        rnn.eval()
        ok = 0
        with torch.no_grad():
            for x, l, c in vl:
                ok += (rnn(x, l).argmax(1) == c).sum().item()
        print(epoch, loss.item(), ok / 100)


@buggy("nll-on-logits")
def functional_nll_raw():
    th.manual_seed(19)
    iris = load_iris()
    tr, te = train_test_split(np.arange(150), test_size=45, stratify=iris.target, random_state=19)
    m, s = iris.data[tr].mean(0), iris.data[tr].std(0)
    x = th.tensor((iris.data - m) / s, dtype=th.float32)
    y = th.tensor(iris.target)
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    loader = DataLoader(Subset(TensorDataset(x, y), tr.tolist()), batch_size=15, shuffle=True)
    weights = th.tensor([1.0, 1.0, 1.0])
    for ep in range(10):
        net.train()
        agg = 0.0
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.nll_loss(net(xb), yb, weight=weights)
            loss.backward()
            opt.step()
            agg += loss.item() * len(xb)
        net.eval()
        with th.no_grad():
            a = (net(x[te]).argmax(1) == y[te]).float().mean()
        print(f"[{ep}] nll {agg / len(tr):.3f} test acc {a:.3f}")


@buggy("cross-entropy-one-class")
def churn_single_output():
    torch.manual_seed(20)
    raw, lab = make_classification(n_samples=600, n_features=12, n_informative=6, random_state=20)
    df = pd.DataFrame(raw, columns=[f"f{i}" for i in range(12)]).assign(churn=lab)
    train_df = df.sample(frac=0.8, random_state=20)
    valid_df = df.drop(train_df.index)
    mean, std = train_df.drop(columns="churn").mean(), train_df.drop(columns="churn").std()

    class ChurnDataset(Dataset):
        def __init__(self, frame):
            self.x = torch.tensor(
                ((frame.drop(columns="churn") - mean) / std).values, dtype=torch.float32
            )
            self.y = torch.tensor(frame["churn"].values, dtype=torch.float32).view(-1, 1)

        def __len__(self):
            return len(self.y)

        def __getitem__(self, i):
            return self.x[i], self.y[i]

    model = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 1))
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    tl = DataLoader(ChurnDataset(train_df), 32, shuffle=True)
    vl = DataLoader(ChurnDataset(valid_df), 64)
    for epoch in range(4):
        model.train()
        train_loss = 0
        for data, target in tl:
            optimizer.zero_grad()
            loss = criterion(model(data), target)
            loss.backward()
            optimizer.step()
            train_loss += loss.item() * data.size(0)
        model.eval()
        probs, truth = [], []
        with torch.no_grad():
            for data, target in vl:
                probs += torch.sigmoid(model(data)).flatten().tolist()
                truth += target.flatten().tolist()
        print(
            f"Epoch {epoch}\tloss {train_loss / len(train_df):.6f}\tauc {roc_auc_score(truth, probs):.3f}"
        )


@buggy("broadcast-loss")
def house_price_handwritten_rmse():
    # target taken as df["y"].values -> [N]; network gives [N, 1]; log-cosh written by hand
    np.random.seed(21)
    torch.manual_seed(21)
    bunch = load_diabetes(as_frame=True)
    frame = bunch.frame
    tr, te = train_test_split(frame, test_size=0.2, random_state=21)
    sx = StandardScaler().fit(tr[bunch.feature_names].values)
    ym, ys = tr.target.mean(), tr.target.std()
    Xtr = torch.tensor(sx.transform(tr[bunch.feature_names].values), dtype=torch.float32)
    Xte = torch.tensor(sx.transform(te[bunch.feature_names].values), dtype=torch.float32)
    ytr = torch.tensor(((tr.target - ym) / ys).values, dtype=torch.float32)

    class LogCosh(nn.Module):
        def forward(self, y_hat, y):
            diff = y_hat - y
            return torch.mean(diff + F.softplus(-2.0 * diff) - math.log(2.0))

    reg = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
    loss_fn = LogCosh()
    opt = torch.optim.Adam(reg.parameters(), lr=5e-3)
    for epoch in range(8):
        reg.train()
        for x, y in DataLoader(TensorDataset(Xtr, ytr), batch_size=32, shuffle=True):
            opt.zero_grad()
            loss = loss_fn(reg(x), y)
            loss.backward()
            opt.step()
        reg.eval()
        with torch.no_grad():
            pred = reg(Xte).numpy().ravel() * ys + ym
        print("epoch", epoch, "R2", r2_score(te.target.values, pred))


@buggy("relu-on-logits")
def mlp_factory_relu_everywhere():
    torch.manual_seed(22)
    X, y = load_wine(return_X_y=True)
    a, b, ya, yb = train_test_split(X, y, test_size=0.3, stratify=y, random_state=22)
    std = StandardScaler().fit(a)
    a, b = torch.tensor(std.transform(a)).float(), torch.tensor(std.transform(b)).float()
    ya, yb = torch.tensor(ya), torch.tensor(yb)

    class MLP(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in zip(sizes[:-1], sizes[1:]))

        def forward(self, x):
            for layer in self.layers:
                x = torch.relu(layer(x))
            return x

    net = MLP([13, 32, 16, 3])
    opt = optim.Adam(net.parameters(), lr=3e-3)
    dl = DataLoader(TensorDataset(a, ya), batch_size=16, shuffle=True)
    for ep in range(8):
        net.train()
        for x, t in dl:
            opt.zero_grad()
            loss = nn.functional.cross_entropy(net(x), t)
            loss.backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            print(
                ep, "valid accuracy: {:.3f}".format((net(b).argmax(1) == yb).float().mean().item())
            )


@buggy("training-in-eval-mode")
def train_called_once_outside():
    torch.manual_seed(23)
    d = load_digits()
    imgs = torch.tensor(d.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(d.target)
    train_set, val_set = random_split(TensorDataset(imgs, labels), [1437, 360])
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=120)

    class ConvBlock(nn.Sequential):
        def __init__(self, i, o):
            super().__init__(
                nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU()
            )

    cnn = nn.Sequential(
        ConvBlock(1, 8),
        nn.MaxPool2d(2),
        ConvBlock(8, 16),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(256, 10),
    )
    optimizer = optim.SGD(cnn.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)

    def check_accuracy(loader, model):
        num_correct = num_samples = 0
        model.eval()
        with torch.no_grad():
            for x, y in loader:
                preds = model(x).argmax(1)
                num_correct += (preds == y).sum().item()
                num_samples += preds.size(0)
        print(
            f"Got {num_correct} / {num_samples} with accuracy {100 * num_correct / num_samples:.2f}"
        )

    cnn.train()
    for epoch in range(4):
        for data, targets in train_loader:
            scores = cnn(data)
            loss = F.cross_entropy(scores, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        check_accuracy(val_loader, cnn)


@buggy("eval-in-train-mode")
def predict_helper_without_eval():
    # Keras-like class; predict() forgets eval(), batch norm and dropout stay on
    torch.manual_seed(24)
    data = load_breast_cancer()
    Xt, Xv, yt, yv = train_test_split(
        data.data, data.target, test_size=0.2, stratify=data.target, random_state=24
    )
    scaler = StandardScaler()
    Xt, Xv = scaler.fit_transform(Xt).astype(np.float32), scaler.transform(Xv).astype(np.float32)

    class Model:
        def __init__(self):
            self.net = nn.Sequential(
                nn.Linear(30, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.4), nn.Linear(32, 1)
            )

        def compile(self, lr):
            self.optimizer = optim.RMSprop(self.net.parameters(), lr=lr)
            self.loss = nn.BCEWithLogitsLoss()

        def fit(self, X, y, epochs, batch_size, validation_data):
            ds = TensorDataset(torch.from_numpy(X), torch.from_numpy(y).float().unsqueeze(1))
            for e in range(epochs):
                self.net.train()
                log, seen = 0.0, 0
                for xb, yb in DataLoader(ds, batch_size, shuffle=True, drop_last=True):
                    self.optimizer.zero_grad()
                    l = self.loss(self.net(xb), yb)
                    l.backward()
                    self.optimizer.step()
                    log += l.item() * len(xb)
                    seen += len(xb)
                vx, vy = validation_data
                print(
                    f"Epoch {e + 1}/{epochs} - loss: {log / seen:.4f} - val_auc: {roc_auc_score(vy, self.predict(vx)):.4f}"
                )

        def predict(self, X, batch_size=64):
            out = []
            with torch.no_grad():
                for chunk in torch.from_numpy(X).split(batch_size):
                    out.append(torch.sigmoid(self.net(chunk)).squeeze(1))
            return torch.cat(out).numpy()

    m = Model()
    m.compile(lr=1e-3)
    m.fit(Xt, yt, epochs=5, batch_size=32, validation_data=(Xv, yv))


@buggy("dropout-always-on")
def lstm_functional_dropout():
    torch.manual_seed(25)
    t = np.arange(0, 120, 0.1)
    series = (np.sin(t) + 0.3 * np.sin(3.1 * t)).astype(np.float32)
    cut = 900
    series = (series - series[:cut].mean()) / series[:cut].std()
    window = 16

    def make_windows(s):
        x = np.stack([s[i : i + window] for i in range(len(s) - window)])
        return torch.from_numpy(x)[..., None], torch.from_numpy(s[window:])[:, None]

    Xtr, ytr = make_windows(series[:cut])
    Xte, yte = make_windows(series[cut:])

    class Forecaster(nn.Module):
        def __init__(self, hidden=24, p=0.3):
            super().__init__()
            self.p = p
            self.lstm = nn.LSTM(1, hidden, batch_first=True)
            self.head = nn.Linear(hidden, 1)

        def forward(self, x):
            out, _ = self.lstm(x)
            return self.head(F.dropout(out[:, -1], self.p))

    f = Forecaster()
    opt = torch.optim.Adam(f.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(Xtr, ytr), batch_size=64, shuffle=True)
    for epoch in range(5):
        f.train()
        for x, y in loader:
            opt.zero_grad()
            loss = F.mse_loss(f(x), y)
            loss.backward()
            opt.step()
        f.eval()
        with torch.no_grad():
            print(f"epoch {epoch:2d} test mse {F.mse_loss(f(Xte), yte).item():.4f}")


@buggy("eval-builds-graph")
def early_stopping_valid_step():
    torch.manual_seed(26)
    X, y = make_circles(n_samples=800, noise=0.08, factor=0.5, random_state=26)
    X = torch.tensor(X, dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32)
    parts = {"train": TensorDataset(X[:600], y[:600]), "val": TensorDataset(X[600:], y[600:])}
    loaders = {k: DataLoader(v, batch_size=50, shuffle=(k == "train")) for k, v in parts.items()}

    class EarlyStopping:
        def __init__(self, patience=3):
            self.patience, self.count, self.best, self.stop = patience, 0, float("inf"), False

        def __call__(self, val):
            if val < self.best - 1e-4:
                self.best, self.count = val, 0
            else:
                self.count += 1
                self.stop = self.count >= self.patience

    net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))
    opt = optim.Adam(net.parameters(), lr=0.01)
    stopper = EarlyStopping()
    for epoch in range(8):
        stats = {}
        for phase in ["train", "val"]:
            net.train(phase == "train")
            running_loss, running_corrects = 0.0, 0
            for inputs, labels in loaders[phase]:
                opt.zero_grad()
                outputs = net(inputs)
                loss = F.binary_cross_entropy_with_logits(outputs, labels)
                if phase == "train":
                    loss.backward()
                    opt.step()
                running_loss += loss.item() * inputs.size(0)
                running_corrects += ((outputs > 0) == labels.bool()).sum().item()
            n = len(loaders[phase].dataset)
            stats[phase] = running_loss / n
            print(f"{phase} Loss: {running_loss / n:.4f} Acc: {running_corrects / n:.4f}")
        stopper(stats["val"])
        if stopper.stop:
            break


@buggy("graph-kept")
def vae_history_of_tensors():
    torch.manual_seed(27)
    imgs = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)
    train, test = imgs[:1500], imgs[1500:]

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(64, 48)
            self.mu, self.lv = nn.Linear(48, 6), nn.Linear(48, 6)
            self.dec = nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 64))

        def forward(self, x):
            h = F.relu(self.fc1(x))
            mu, lv = self.mu(h), self.lv(h)
            z = mu + torch.randn_like(mu) * (0.5 * lv).exp() if self.training else mu
            return self.dec(z), mu, lv

    def elbo(out, x):
        rec, mu, lv = out
        bce = F.binary_cross_entropy_with_logits(rec, x, reduction="sum")
        kld = -0.5 * torch.sum(1 + lv - mu.pow(2) - lv.exp())
        return bce, kld

    vae = VAE()
    opt = optim.Adam(vae.parameters(), lr=2e-3)
    history = {"bce": [], "kld": []}
    for epoch in range(5):
        vae.train()
        for (x,) in DataLoader(TensorDataset(train), batch_size=100, shuffle=True):
            opt.zero_grad()
            bce, kld = elbo(vae(x), x)
            ((bce + kld) / len(x)).backward()
            opt.step()
            history["bce"].append(bce)
            history["kld"].append(kld)
        vae.eval()
        with torch.no_grad():
            b, k = elbo(vae(test), test)
        print(
            f"epoch {epoch} bce {sum(history['bce'][-15:]).item() / 1500:.2f} kld {sum(history['kld'][-15:]).item() / 1500:.2f}"
            f" test {(b + k).item() / len(test):.2f}"
        )


@buggy("metric-broadcast")
def binary_acc_helper_shapes():
    torch.manual_seed(28)
    X, y = make_moons(600, noise=0.15, random_state=28)
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.25, random_state=28)
    Xa, Xb, ya, yb = [torch.tensor(v).float() for v in (Xa, Xb, ya, yb)]

    def binary_acc(y_pred, y_test):
        y_pred_tag = (torch.sigmoid(y_pred) > 0.5).float()
        correct = (y_pred_tag == y_test).float()
        return correct.mean().item() * 100

    class BinaryClassification(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer_1 = nn.Linear(2, 32)
            self.layer_2 = nn.Linear(32, 32)
            self.layer_out = nn.Linear(32, 1)

        def forward(self, inputs):
            x = F.relu(self.layer_1(inputs))
            return self.layer_out(F.relu(self.layer_2(x)))

    model = BinaryClassification()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(Xa, ya), batch_size=45, shuffle=True)
    for e in range(1, 7):
        model.train()
        epoch_loss = 0.0
        for X_batch, y_batch in loader:
            optimizer.zero_grad()
            y_pred = model(X_batch)
            loss = criterion(y_pred, y_batch.unsqueeze(1))
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item() * len(y_batch)
        model.eval()
        with torch.no_grad():
            acc = binary_acc(model(Xb), yb)
        print(f"Epoch {e:03}: | Loss: {epoch_loss / len(ya):.5f} | Val acc: {acc:.3f}")


@buggy("argmax-wrong-dim")
def ten_by_ten_batches():
    # batch size 10 and ten classes hide the wrong axis
    np.random.seed(29)
    torch.manual_seed(29)
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X / 16.0, y, test_size=360, random_state=29)
    batch_size = 10
    tr = DataLoader(
        [(torch.tensor(a, dtype=torch.float), b) for a, b in zip(X_train, y_train)],
        batch_size=batch_size,
        shuffle=True,
    )
    te = DataLoader(
        [(torch.tensor(a, dtype=torch.float), b) for a, b in zip(X_test, y_test)],
        batch_size=batch_size,
    )
    net = nn.Sequential(nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 10), nn.LogSoftmax(dim=1))
    optimizer = optim.SGD(net.parameters(), lr=0.03, momentum=0.9)

    def test():
        net.eval()
        test_loss, correct = 0.0, 0
        with torch.no_grad():
            for data, target in te:
                out = net(data)
                test_loss += F.nll_loss(out, target, reduction="sum").item()
                pred = np.argmax(out.numpy(), axis=0)
                correct += int((pred == target.numpy()).sum())
        print(
            "Test set: Average loss: {:.4f}, Accuracy: {}/{}".format(
                test_loss / len(te.dataset), correct, len(te.dataset)
            )
        )

    for epoch in range(3):
        net.train()
        for data, target in tr:
            optimizer.zero_grad()
            loss = F.nll_loss(net(data), target)
            loss.backward()
            optimizer.step()
        test()


@buggy("threshold-on-logits")
def round_the_logits():
    torch.manual_seed(30)
    frame = (
        load_breast_cancer(as_frame=True)
        .frame.sample(frac=1, random_state=30)
        .reset_index(drop=True)
    )
    train, valid = frame.iloc[:450], frame.iloc[450:]
    cols = frame.columns[:-1]
    mu, sigma = train[cols].mean(), train[cols].std()
    prep = lambda f: (
        torch.tensor(((f[cols] - mu) / sigma).values).float(),
        torch.tensor(f["target"].values).float(),
    )
    (xt, yt), (xv, yv) = prep(train), prep(valid)

    def binary_accuracy(preds, y):
        rounded_preds = torch.round(preds)
        return (rounded_preds == y).sum().item() / len(y)

    model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 1))
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.BCEWithLogitsLoss()
    for epoch in range(6):
        model.train()
        for ix in torch.randperm(len(xt)).split(45):
            optimizer.zero_grad()
            predictions = model(xt[ix]).squeeze(1)
            loss = criterion(predictions, yt[ix])
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            predictions = model(xv).squeeze(1)
            print(
                f"\t Val. Loss: {criterion(predictions, yv).item():.3f} |  Val. Acc: {binary_accuracy(predictions, yv) * 100:.2f}%"
            )


@buggy("metric-not-normalised")
def mean_of_batch_accuracies():
    torch.manual_seed(31)
    X, y = make_blobs(n_samples=1000, centers=5, n_features=6, cluster_std=4.0, random_state=31)
    scaler = StandardScaler().fit(X[:765])
    X = torch.tensor(scaler.transform(X)).float()
    y = torch.tensor(y)
    train_dl = DataLoader(TensorDataset(X[:765], y[:765]), batch_size=45, shuffle=True)
    val_dl = DataLoader(TensorDataset(X[765:], y[765:]), batch_size=228)

    class AverageMeter:
        def __init__(self):
            self.sum, self.count = 0.0, 0

        def update(self, val, n=1):
            self.sum += val * n
            self.count += n

        @property
        def avg(self):
            return self.sum / self.count

    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 5))
    opt = optim.AdamW(model.parameters(), lr=5e-3)
    for epoch in range(5):
        tl, vl, va = AverageMeter(), AverageMeter(), AverageMeter()
        model.train()
        for a, b in train_dl:
            opt.zero_grad()
            loss = F.cross_entropy(model(a), b)
            loss.backward()
            opt.step()
            tl.update(loss.item(), len(b))
        model.eval()
        with torch.no_grad():
            for a, b in val_dl:
                out = model(a)
                vl.update(F.cross_entropy(out, b).item())
                va.update((out.argmax(1) == b).float().mean().item())
        print(f"epoch {epoch} train {tl.avg:.4f} valid {vl.avg:.4f} acc {va.avg:.4f}")


@buggy("scheduler-per-batch")
def steplr_in_train_one_epoch():
    torch.manual_seed(32)
    X, y = load_digits(return_X_y=True)
    Xt, Xv, yt, yv = train_test_split((X / 16).astype("float32"), y, test_size=0.2, random_state=32)
    train_loader = DataLoader(
        TensorDataset(torch.from_numpy(Xt), torch.from_numpy(yt)), batch_size=32, shuffle=True
    )
    val_loader = DataLoader(
        TensorDataset(torch.from_numpy(Xv), torch.from_numpy(yv)), batch_size=90
    )
    cfg = {"epochs": 6, "lr": 0.1, "milestones": [3, 5], "gamma": 0.1}
    model = nn.Sequential(nn.Linear(64, 50), nn.ReLU(), nn.Linear(50, 10))
    opt = optim.SGD(model.parameters(), lr=cfg["lr"])
    sched = lr_scheduler.MultiStepLR(opt, milestones=cfg["milestones"], gamma=cfg["gamma"])

    def train_one_epoch(loader):
        model.train()
        total = 0.0
        for x, y in loader:
            opt.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
            sched.step()
            total += loss.item() * x.shape[0]
        return total / len(loader.dataset)

    def validate(loader):
        model.eval()
        preds = []
        with torch.no_grad():
            for x, _ in loader:
                preds.append(model(x).argmax(1))
        return accuracy_score(yv, torch.cat(preds).numpy())

    for epoch in range(cfg["epochs"]):
        l = train_one_epoch(train_loader)
        print(epoch, f"{l:.4f} {validate(val_loader):.4f} lr={sched.get_last_lr()[0]:.1e}")


@buggy("scheduler-per-epoch")
def warmup_lambda_called_per_epoch():
    torch.manual_seed(33)
    X, y = make_classification(800, 16, n_informative=10, n_classes=3, random_state=33)
    ntr = 640
    s = StandardScaler().fit(X[:ntr])
    X, y = torch.tensor(s.transform(X)).float(), torch.tensor(y)
    bs, epochs = 32, 6
    loader = DataLoader(TensorDataset(X[:ntr], y[:ntr]), batch_size=bs, shuffle=True)
    num_training_steps = epochs * len(loader)
    num_warmup_steps = num_training_steps // 10

    def get_linear_schedule_with_warmup(optimizer, warm, total):
        def lr_lambda(step):
            if step < warm:
                return (step + 1) / (warm + 1)
            return max(0.0, (total - step) / max(1, total - warm))

        return lr_scheduler.LambdaLR(optimizer, lr_lambda)

    net = nn.Sequential(nn.Linear(16, 48), nn.GELU(), nn.LayerNorm(48), nn.Linear(48, 3))
    optimizer = optim.AdamW(net.parameters(), lr=3e-3)
    scheduler = get_linear_schedule_with_warmup(optimizer, num_warmup_steps, num_training_steps)
    for epoch in range(epochs):
        net.train()
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
        scheduler.step()
        net.eval()
        with torch.no_grad():
            acc = (net(X[ntr:]).argmax(1) == y[ntr:]).float().mean().item()
        print(f"Epoch {epoch + 1} acc {acc:.3f} lr {optimizer.param_groups[0]['lr']:.5f}")


@buggy("scheduler-other-optimizer")
def unfreeze_new_optimizer():
    # optimizer is re-created when the backbone is unfrozen, the scheduler keeps the old one
    torch.manual_seed(34)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X / 16).float(), torch.tensor(y)
    perm = torch.randperm(len(X))
    tr, va = perm[:1440], perm[1440:]
    backbone = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
    head = nn.Linear(64, 10)
    model = nn.Sequential(backbone, head)
    for p in backbone.parameters():
        p.requires_grad_(False)
    optimizer = optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    scheduler = lr_scheduler.ExponentialLR(optimizer, gamma=0.6)
    dl = DataLoader(TensorDataset(X[tr], y[tr]), batch_size=48, shuffle=True)
    for epoch in range(7):
        if epoch == 2:
            for p in backbone.parameters():
                p.requires_grad_(True)
            optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        model.train()
        for a, b in dl:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(a), b)
            loss.backward()
            optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            acc = (model(X[va]).argmax(1) == y[va]).float().mean().item()
        print(
            f"epoch {epoch} val_acc {acc:.4f} lr {scheduler.get_last_lr()[0]:.4f} / {optimizer.param_groups[0]['lr']:.4f}"
        )


@buggy("nan-input")
def titanic_like_missing_age():
    rng = np.random.RandomState(35)
    torch.manual_seed(35)
    n = 500
    df = pd.DataFrame(
        {
            "age": rng.normal(35, 12, n),
            "fare": rng.exponential(30, n),
            "sex": rng.choice(["m", "f"], n),
            "pclass": rng.choice([1, 2, 3], n),
        }
    )
    df["survived"] = ((df.sex == "f") | ((df.pclass == 1) & (df.fare > 30))).astype(int)
    df.loc[rng.choice(n, 60, replace=False), "age"] = np.nan
    df["sex"] = LabelEncoder().fit_transform(df["sex"])
    features = ["age", "fare", "sex", "pclass"]
    train, test = train_test_split(df, test_size=0.2, random_state=35)
    train, test = train.copy(), test.copy()
    for c in features:
        m, s = train[c].mean(), train[c].std()
        train[c] = (train[c] - m) / s
        test[c] = (test[c] - m) / s
    xt, yt = torch.tensor(train[features].values).float(), torch.tensor(train.survived.values)
    xv, yv = torch.tensor(test[features].values).float(), torch.tensor(test.survived.values)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    opt = optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(5):
        model.train()
        run = 0.0
        for ix in torch.randperm(len(xt)).split(40):
            opt.zero_grad()
            loss = F.cross_entropy(model(xt[ix]), yt[ix])
            loss.backward()
            opt.step()
            run += loss.item() * len(ix)
        model.eval()
        with torch.no_grad():
            acc = (model(xv).argmax(1) == yv).float().mean().item()
        print(f"Epoch {epoch}: loss {run / len(xt):.3f} acc {acc:.3f}")


@buggy("input-scale")
def wine_from_dataframe_unscaled():
    torch.manual_seed(36)
    wine = load_wine(as_frame=True)
    df = wine.frame
    tr_df, te_df = train_test_split(df, test_size=0.25, stratify=df["target"], random_state=36)

    class WineDataset(Dataset):
        def __init__(self, frame):
            self.x = frame.iloc[:, :-1].to_numpy(dtype=np.float32, copy=True)
            self.y = frame.iloc[:, -1].to_numpy()

        def __len__(self):
            return len(self.x)

        def __getitem__(self, idx):
            return {"features": torch.from_numpy(self.x[idx]), "label": torch.tensor(self.y[idx])}

    loader = DataLoader(WineDataset(tr_df), batch_size=16, shuffle=True)
    test_loader = DataLoader(WineDataset(te_df), batch_size=45)
    net = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(10):
        net.train()
        for batch in loader:
            optimizer.zero_grad()
            loss = criterion(net(batch["features"]), batch["label"])
            loss.backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            good = sum(
                (net(b["features"]).argmax(1) == b["label"]).sum().item() for b in test_loader
            )
        print(f"epoch {epoch} last loss {loss.item():.3f} test acc {good / len(te_df):.3f}")


@buggy("val-scaled-differently")
def transform_only_when_train():
    torch.manual_seed(37)
    imgs, labels = load_digits(return_X_y=True)
    tr_x, va_x, tr_y, va_y = train_test_split(
        imgs.reshape(-1, 1, 8, 8).astype("float32"), labels, test_size=0.2, random_state=37
    )
    mean, std = float(tr_x.mean()), float(tr_x.std())

    class DigitsDataset(Dataset):
        def __init__(self, x, y, train=True):
            self.x, self.y, self.train = torch.from_numpy(x), torch.from_numpy(y), train

        def __len__(self):
            return len(self.y)

        def __getitem__(self, i):
            img = self.x[i]
            if self.train:
                img = (img - mean) / std
                img = img + 0.05 * torch.randn_like(img)
            else:
                img = img / 16.0
            return img, self.y[i]

    net = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, 10),
    )
    opt = optim.Adam(net.parameters(), lr=2e-3)
    tdl = DataLoader(DigitsDataset(tr_x, tr_y), batch_size=64, shuffle=True)
    vdl = DataLoader(DigitsDataset(va_x, va_y, train=False), batch_size=180)
    for ep in range(4):
        net.train()
        c = 0
        for x, y in tdl:
            opt.zero_grad()
            o = net(x)
            F.cross_entropy(o, y).backward()
            opt.step()
            c += (o.argmax(1) == y).sum().item()
        net.eval()
        v = 0
        with torch.no_grad():
            for x, y in vdl:
                v += (net(x).argmax(1) == y).sum().item()
        print(f"ep {ep} train acc {c / len(tr_y):.3f} val acc {v / len(va_y):.3f}")


@buggy("sorted-batches")
def imagefolder_style_list():
    # samples listed class by class as from a folder tree; loader without shuffle
    torch.manual_seed(38)
    d = load_digits()
    folders = {str(c): d.images[d.target == c].astype(np.float32) / 16 for c in range(10)}
    classes = sorted(folders)
    class_to_idx = {c: i for i, c in enumerate(classes)}
    train_samples = [(a, class_to_idx[c]) for c in classes for a in folders[c][:140]]
    val_samples = [(a, class_to_idx[c]) for c in classes for a in folders[c][140:]]

    class FolderData(Dataset):
        def __init__(self, samples):
            self.samples = samples

        def __len__(self):
            return len(self.samples)

        def __getitem__(self, i):
            a, t = self.samples[i]
            return torch.from_numpy(a)[None], t

    train_dl = DataLoader(FolderData(train_samples), batch_size=40)
    val_dl = DataLoader(FolderData(val_samples), batch_size=100)
    model = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(192, 10)
    )
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(4):
        model.train()
        tot = 0.0
        for x, y in train_dl:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            tot += loss.item() * len(y)
        model.eval()
        right = 0
        with torch.no_grad():
            for x, y in val_dl:
                right += (model(x).argmax(1) == y).sum().item()
        print(f"{epoch}: {tot / len(train_samples):.3f}  {right / len(val_samples):.3f}")


@buggy("val-overlaps-train")
def two_random_splits():
    torch.manual_seed(39)
    X, y = make_classification(500, 20, n_informative=5, flip_y=0.2, random_state=39)
    X = torch.tensor(X).float()
    y = torch.tensor(y)

    def get_split(which):
        n = len(X)
        n_val = n // 5
        idx = torch.randperm(n)
        return idx[n_val:] if which == "train" else idx[:n_val]

    train_idx = get_split("train")
    val_idx = get_split("val")
    mu, sd = X[train_idx].mean(0), X[train_idx].std(0)
    full = TensorDataset((X - mu) / sd, y)
    train_loader = DataLoader(Subset(full, train_idx.tolist()), batch_size=40, shuffle=True)
    valid_loader = DataLoader(Subset(full, val_idx.tolist()), batch_size=50)
    model = nn.Sequential(
        nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2)
    )
    opt = optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(10):
        model.train()
        for xb, yb in train_loader:
            opt.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            hits = sum((model(xb).argmax(1) == yb).sum().item() for xb, yb in valid_loader)
        print(f"epoch {epoch}: valid acc {hits / len(val_idx):.3f}")


@buggy("no-set-epoch")
def ddp_script_rank0():
    def worker(rank, world_size, opts):
        torch.manual_seed(opts.seed)
        X, y = load_digits(return_X_y=True)
        Xt, Xv, yt, yv = train_test_split(X / 16.0, y, test_size=0.2, random_state=opts.seed)
        dataset = TensorDataset(torch.tensor(Xt, dtype=torch.float32), torch.tensor(yt))
        sampler = DistributedSampler(
            dataset, num_replicas=world_size, rank=rank, shuffle=True, seed=opts.seed
        )
        loader = DataLoader(dataset, batch_size=opts.batch_size, sampler=sampler)
        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        optimizer = optim.SGD(model.parameters(), lr=opts.lr, momentum=0.9)
        Xv, yv = torch.tensor(Xv, dtype=torch.float32), torch.tensor(yv)
        for epoch in range(opts.epochs):
            model.train()
            for step, (imgs, tgt) in enumerate(loader):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(imgs), tgt)
                loss.backward()
                optimizer.step()
                if rank == 0 and step % 10 == 0:
                    print(f"[{epoch}][{step}/{len(loader)}] {loss.item():.4f}")
            if rank == 0:
                model.eval()
                with torch.no_grad():
                    print("* Acc@1", (model(Xv).argmax(1) == yv).float().mean().item())

    worker(0, 1, argparse.Namespace(seed=40, batch_size=32, lr=0.05, epochs=5))


@buggy("labels-misaligned")
def shuffled_one_by_one():
    # features and labels shuffled one by one, with different random states
    torch.manual_seed(41)
    ir = load_wine(as_frame=True).frame
    features = ir.drop(columns="target").sample(frac=1.0, random_state=41)
    labels = ir["target"].sample(frac=1.0, random_state=14)
    X_train, X_val = features.values[:130], features.values[130:]
    y_train, y_val = labels.values[:130], labels.values[130:]
    sc = StandardScaler()
    X_train = torch.tensor(sc.fit_transform(X_train), dtype=torch.float32)
    X_val = torch.tensor(sc.transform(X_val), dtype=torch.float32)
    y_train, y_val = torch.tensor(y_train), torch.tensor(y_val)
    model = nn.Sequential(nn.Linear(13, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(10):
        model.train()
        ep_loss = 0.0
        for xb, yb in DataLoader(TensorDataset(X_train, y_train), batch_size=26, shuffle=True):
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
            ep_loss += loss.item() * len(xb)
        model.eval()
        with torch.no_grad():
            acc = (model(X_val).argmax(dim=1) == y_val).sum().item() / len(y_val)
        print(f"{epoch:>2} | {ep_loss / 130:.4f} | {acc:.3f}")


@buggy("lr-too-high")
def adam_lr_like_sgd():
    torch.manual_seed(42)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16).float().view(-1, 1, 8, 8)
    y = torch.tensor(y)
    train_ds, valid_ds = random_split(TensorDataset(X, y), (1400, 397))
    hparams = {"lr": 0.5, "bs": 50, "epochs": 4}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.c1, self.c2 = (
                nn.Conv2d(1, 8, 3, padding=1),
                nn.Conv2d(8, 16, 3, stride=2, padding=1),
            )
            self.fc = nn.Linear(256, 64)
            self.out = nn.Linear(64, 10)

        def forward(self, x):
            x = F.relu(self.c2(F.relu(self.c1(x))))
            return self.out(F.relu(self.fc(x.flatten(1))))

    net = Net()
    optimizer = optim.Adam(net.parameters(), lr=hparams["lr"])
    for epoch in range(hparams["epochs"]):
        net.train()
        running_loss = 0.0
        for inputs, labels in DataLoader(train_ds, hparams["bs"], shuffle=True):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(inputs), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item() * len(labels)
        net.eval()
        correct = 0
        with torch.no_grad():
            for inputs, labels in DataLoader(valid_ds, 200):
                correct += (net(inputs).argmax(1) == labels).sum().item()
        print(f"[{epoch + 1}] loss: {running_loss / 1400:.3f} accuracy: {correct / 397:.3f}")


@buggy("dead-relu")
def pixels_negative_init():
    # uniform_(-0.3, 0) on non-negative pixels: no unit of the first layer ever fires
    torch.manual_seed(43)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16.0).float()
    Xtr, Xte, ytr, yte = train_test_split(X, torch.tensor(y), test_size=0.2, random_state=43)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(64, 32)
            self.fc2 = nn.Linear(32, 10)
            nn.init.uniform_(self.fc1.weight, -0.3, 0.0)

        def forward(self, x):
            return self.fc2(F.relu(self.fc1(x)))

    model = Net()
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(5):
        model.train()
        for xb, yb in DataLoader(TensorDataset(Xtr, ytr), batch_size=64, shuffle=True):
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            out = model(Xte)
            print(
                epoch,
                F.cross_entropy(out, yte).item(),
                (out.argmax(1) == yte).float().mean().item(),
            )


@buggy("symmetric-init")
def weights_init_apply_constant():
    torch.manual_seed(44)
    X, y = load_iris(return_X_y=True)
    Xt, Xv, yt, yv = train_test_split(X, y, test_size=0.3, stratify=y, random_state=44)
    s = StandardScaler().fit(Xt)
    Xt, Xv = torch.tensor(s.transform(Xt)).float(), torch.tensor(s.transform(Xv)).float()
    yt, yv = torch.tensor(yt), torch.tensor(yv)

    def weights_init(m):
        if isinstance(m, nn.Linear):
            nn.init.constant_(m.weight, 0.1)
            nn.init.zeros_(m.bias)

    net = nn.Sequential(nn.Linear(4, 20), nn.Tanh(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 3))
    net.apply(weights_init)
    optimizer = optim.Adam(net.parameters(), lr=1e-2)
    train_loader = DataLoader(TensorDataset(Xt, yt), batch_size=15, shuffle=True)
    for epoch in range(10):
        net.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            print(epoch, f"{(net(Xv).argmax(1) == yv).float().mean().item():.3f}")
    print("different hidden units:", len(torch.unique(net[0].weight.detach(), dim=0)))


@buggy("best-state-alias")
def checkpoint_dict_shallow():
    torch.manual_seed(45)
    X, y = make_classification(400, 30, n_informative=6, flip_y=0.15, random_state=45)
    Xt, Xv, yt, yv = train_test_split(X, y, test_size=0.3, random_state=45)
    sc = StandardScaler().fit(Xt)
    Xt, Xv = torch.FloatTensor(sc.transform(Xt)), torch.FloatTensor(sc.transform(Xv))
    yt, yv = torch.LongTensor(yt), torch.LongTensor(yv)

    class ModelCheckpoint:
        def __init__(self, model):
            self.model, self.best, self.payload = model, float("inf"), None

        def on_validation_end(self, epoch, val_loss):
            if val_loss < self.best:
                self.best = val_loss
                self.payload = {
                    "epoch": epoch,
                    "val_loss": val_loss,
                    "state_dict": {k: v.detach() for k, v in self.model.state_dict().items()},
                }

        def restore(self):
            self.model.load_state_dict(self.payload["state_dict"])
            return self.payload["epoch"]

    net = nn.Sequential(
        nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
    )
    opt = optim.Adam(net.parameters(), lr=3e-3)
    ckpt = ModelCheckpoint(net)
    for epoch in range(10):
        net.train()
        for xb, yb in DataLoader(TensorDataset(Xt, yt), batch_size=28, shuffle=True):
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            val_loss = F.cross_entropy(net(Xv), yv).item()
        ckpt.on_validation_end(epoch, val_loss)
        print(epoch, round(val_loss, 4))
    best_epoch = ckpt.restore()
    net.eval()
    with torch.no_grad():
        print(
            "restored epoch",
            best_epoch,
            "val loss now",
            round(F.cross_entropy(net(Xv), yv).item(), 4),
            "best",
            round(ckpt.best, 4),
        )
