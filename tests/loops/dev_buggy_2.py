"""Training loops with one silent bug each."""

import itertools
import math

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    make_blobs,
    make_circles,
    make_classification,
    make_multilabel_classification,
)
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn, optim
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import (
    DataLoader,
    Dataset,
    Subset,
    TensorDataset,
    random_split,
)
from tqdm import tqdm, trange

from . import buggy


@buggy("no-zero-grad")
def transformer_majority_token():
    torch.manual_seed(100)

    class TinyEncoder(nn.Module):
        def __init__(self, vocab=12, d=16, length=6):
            super().__init__()
            self.tok = nn.Embedding(vocab, d)
            self.pos = nn.Parameter(0.02 * torch.randn(length, d))
            layer = nn.TransformerEncoderLayer(d, 2, 32, dropout=0.0, batch_first=True)
            self.enc = nn.TransformerEncoder(layer, 1)
            self.out = nn.Linear(d, 2)

        def forward(self, t):
            return self.out(self.enc(self.tok(t) + self.pos).mean(1))

    tokens = torch.randint(0, 12, (256, 6))
    labels = ((tokens < 6).sum(1) > 3).long()
    batches = DataLoader(TensorDataset(tokens, labels), batch_size=32, shuffle=True)
    net = TinyEncoder()
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
    curve = []
    for _ in range(6):
        cumulative = 0.0
        for tok, lab in batches:
            objective = F.cross_entropy(net(tok), lab)
            objective.backward()
            optimiser.step()
            cumulative += objective.item()
        curve.append(cumulative / len(batches))
    return curve


@buggy("grads-cleared-before-step")
def fit_function_with_metrics():
    def fit(model, dl, optimizer, loss_func, n_epochs):
        out = []
        for _ in range(n_epochs):
            model.train()
            running, count = 0.0, 0
            for xb, yb in dl:
                loss = loss_func(model(xb), yb)
                loss.backward()
                model.zero_grad()
                optimizer.step()
                running += loss.item() * len(xb)
                count += len(xb)
            out.append(running / count)
        return out

    torch.manual_seed(102)
    data = load_breast_cancer()
    X = torch.tensor(StandardScaler().fit_transform(data.data), dtype=torch.float32)[:480]
    y = torch.tensor(data.target)[:480]
    dl = DataLoader(TensorDataset(X, y), batch_size=48, shuffle=True)
    model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return fit(model, dl, optimizer, F.cross_entropy, 4)


@buggy("grads-cleared-before-step")
def seq_tagger_accumulating():
    torch.manual_seed(103)
    vocab, tags, T = 15, 4, 7
    words = torch.randint(0, vocab, (240, T))
    gold = words % tags
    loader = DataLoader(TensorDataset(words, gold), batch_size=20, shuffle=True)

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(vocab, 12)
            self.rnn = nn.RNN(12, 24, batch_first=True)
            self.proj = nn.Linear(24, tags)

        def forward(self, w):
            return self.proj(self.rnn(self.emb(w))[0])

    tagger = Tagger()
    opt = optim.Adam(tagger.parameters(), lr=1e-2)
    every = 2
    log = []
    for _ in range(6):
        tot = 0.0
        for i, (w, t) in enumerate(loader, start=1):
            loss = F.cross_entropy(tagger(w).flatten(0, 1), t.flatten())
            (loss / every).backward()
            if i % every == 0:
                opt.zero_grad()
                opt.step()
            tot += loss.item()
        log.append(tot / len(loader))
    return log


@buggy("step-before-backward")
def vae_like_steps():
    torch.manual_seed(105)
    obs = torch.sigmoid(torch.randn(256, 2) @ torch.randn(2, 16))
    enc, dec = nn.Linear(16, 8), nn.Linear(4, 16)
    adam = optim.Adam(itertools.chain(enc.parameters(), dec.parameters()), lr=1e-2)
    elbo_trace = []
    for _ in range(10):
        acc = 0.0
        for (v,) in DataLoader(TensorDataset(obs), batch_size=32, shuffle=True):
            adam.zero_grad()
            adam.step()
            mu, logvar = enc(v).chunk(2, dim=1)
            z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
            rec = F.mse_loss(dec(z), v, reduction="none").sum(1).mean()
            kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1).mean()
            elbo = rec + 0.01 * kl
            elbo.backward()
            acc += elbo.item()
        elbo_trace.append(acc / 8)
    return elbo_trace


@buggy("step-never-called")
def surface_fit_bars():
    torch.manual_seed(106)
    t = torch.rand(288, 2) * 4 - 2
    surface = (t[:, 0] ** 2 - t[:, 1] - 1.3).unsqueeze(-1)
    train_dl = DataLoader(TensorDataset(t, surface), batch_size=32, shuffle=True)
    regressor = nn.Sequential(nn.Linear(2, 48), nn.SiLU(), nn.Linear(48, 1))
    opt = optim.Adam(regressor.parameters(), lr=0.03)
    maes = []
    for _ in trange(8, leave=False):
        regressor.train()
        errors = []
        for coords, height in train_dl:
            opt.zero_grad()
            loss = F.smooth_l1_loss(regressor(coords), height)
            loss.backward()
            nn.utils.clip_grad_norm_(regressor.parameters(), 5.0)
            opt.step  # noqa: B018
            errors.append(loss.item())
        maes.append(np.mean(errors).item())
    return maes


@buggy("accumulation-not-averaged")
def micro_batches_cnn():
    torch.manual_seed(108)
    cls = torch.randint(0, 2, (256,))
    signal = torch.sin(torch.arange(24) * (0.3 + 0.5 * cls.unsqueeze(1)))
    signal = (signal + 0.3 * torch.randn(256, 24)).unsqueeze(1)
    loader = DataLoader(TensorDataset(signal, cls), batch_size=8, shuffle=True)
    conv = nn.Sequential(
        nn.Conv1d(1, 8, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(32, 2)
    )
    config = {"grad_accum": 8, "lr": 0.1, "epochs": 5}
    sgd = optim.SGD(conv.parameters(), lr=config["lr"], momentum=0.9)
    lossfn = nn.CrossEntropyLoss()
    history = []
    for _ in range(config["epochs"]):
        conv.train()
        epoch_loss = 0.0
        for step, (s, c) in enumerate(loader):
            loss = lossfn(conv(s), c)
            epoch_loss += loss.item() / len(loader)
            loss.backward()
            if (step + 1) % config["grad_accum"] == 0 or step + 1 == len(loader):
                sgd.step()
                sgd.zero_grad()
        history.append(epoch_loss)
    return history


@buggy("loss-cut-off")
def log_cosh_regression():
    torch.manual_seed(115)
    x = torch.randn(240, 3)
    y = x[:, :1] * 0.7 - x[:, 1:2] * 1.3 + 0.2

    def log_cosh(prediction, target):
        diff = prediction.detach().numpy() - target.numpy()
        return torch.tensor(np.log(np.cosh(diff)).mean(), requires_grad=True)

    model = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    values = []
    for _ in range(6):
        running = 0.0
        for xb, yb in DataLoader(TensorDataset(x, y), batch_size=24, shuffle=True):
            optimizer.zero_grad()
            loss = log_cosh(model(xb), yb)
            loss.backward()
            optimizer.step()
            running += loss.item()
        values.append(running / 10)
    return values


@buggy("clip-before-unscale")
def amp_trainer_lstm():
    torch.manual_seed(118)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(20, 16)
            self.conv = nn.Conv1d(16, 16, 3, padding=1)
            self.head = nn.Linear(16, 2)

        def forward(self, ids):
            h = torch.relu(self.conv(self.emb(ids).transpose(1, 2)))
            return self.head(h.amax(-1))

    class AmpTrainer:
        def __init__(self, model, lr, max_norm):
            self.model, self.max_norm = model, max_norm
            self.opt = optim.AdamW(model.parameters(), lr=lr)
            self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)

        def step(self, ids, y):
            self.opt.zero_grad()
            with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
                logits = self.model(ids)
                loss = F.cross_entropy(logits.float(), y)
            self.scaler.scale(loss).backward()
            clip_grad_norm_(self.model.parameters(), self.max_norm)
            self.scaler.unscale_(self.opt)
            self.scaler.step(self.opt)
            self.scaler.update()
            return loss.item()

    ids = torch.randint(0, 20, (240, 8))
    y = (ids == 3).any(1).long()
    trainer = AmpTrainer(Net(), 5e-3, 1.0)
    loader = DataLoader(TensorDataset(ids, y), batch_size=24, shuffle=True)
    out = []
    for _ in range(7):
        trainer.model.train()
        out.append(sum(trainer.step(*b) for b in loader) / len(loader))
    return out


@buggy("softmax-before-cross-entropy")
def cnn_kaggle_softmax():
    torch.manual_seed(119)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16, dtype=torch.float32).view(-1, 1, 8, 8)[:640]
    y = torch.tensor(y)[:640]
    train_dataset, valid_dataset = random_split(TensorDataset(X, y), [512, 128])
    train_loader = DataLoader(train_dataset, batch_size=64, shuffle=True)
    valid_loader = DataLoader(valid_dataset, batch_size=64)

    class SmallConv(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Sequential(
                nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2)
            )
            self.fc = nn.Linear(12 * 16, 10)

        def forward(self, x):
            x = self.block(x).flatten(1)
            return F.softmax(self.fc(x), dim=-1)

    model = SmallConv()
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    optimizer = optim.AdamW(model.parameters(), lr=5e-3)
    train_losses = []
    for epoch in range(4):
        model.train()
        train_loss = 0.0
        for data, target in tqdm(train_loader, leave=False):
            optimizer.zero_grad()
            output = model(data)
            loss = criterion(output, target)
            loss.backward()
            optimizer.step()
            train_loss += loss.item() * data.size(0)
        train_losses.append(train_loss / len(train_dataset))
        model.eval()
        preds, gts = [], []
        with torch.no_grad():
            for data, target in valid_loader:
                preds.append(model(data).argmax(1).numpy())
                gts.append(target.numpy())
        f1 = f1_score(np.concatenate(gts), np.concatenate(preds), average="macro")
        print(f"Epoch {epoch} loss {train_losses[-1]:.4f} F1 {f1:.4f}")
    return train_losses


@buggy("softmax-before-cross-entropy")
def token_lm_probs():
    torch.manual_seed(120)
    V = 9
    stream = torch.arange(1200) * 2 % V
    noise = torch.rand(1200) < 0.05
    stream = torch.where(noise, torch.randint(0, V, (1200,)), stream)
    windows = stream.unfold(0, 5, 4)
    loader = DataLoader(TensorDataset(windows), batch_size=23, shuffle=True, drop_last=True)

    class LM(nn.Module):
        def __init__(self):
            super().__init__()
            self.e = nn.Embedding(V, 16)
            self.r = nn.GRU(16, 16, batch_first=True)
            self.o = nn.Linear(16, V)

        def forward(self, s):
            return self.o(self.r(self.e(s))[0])

    lm = LM()
    opt = optim.Adam(lm.parameters(), lr=0.02)
    perplexities = []
    for _ in range(4):
        nll = 0.0
        for (w,) in loader:
            p = lm(w[:, :-1]).softmax(-1)
            loss = nn.functional.cross_entropy(p.reshape(-1, V), w[:, 1:].reshape(-1))
            opt.zero_grad()
            loss.backward()
            opt.step()
            nll += loss.item()
        perplexities.append(math.exp(nll / len(loader)))
    return perplexities


@buggy("sigmoid-before-bce-with-logits")
def multilabel_tags():
    torch.manual_seed(121)
    X, Y = make_multilabel_classification(400, 12, n_classes=5, random_state=121)
    X = torch.tensor(StandardScaler().fit_transform(X), dtype=torch.float32)
    Y = torch.tensor(Y, dtype=torch.float32)
    train_dl = DataLoader(TensorDataset(X[:320], Y[:320]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(X[320:], Y[320:]), batch_size=80)

    class TagNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(12, 32)
            self.tags = nn.Linear(32, 5)

        def forward(self, x):
            x = F.relu(self.hidden(x))
            return torch.sigmoid(self.tags(x))

    net = TagNet()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        net.train()
        total = 0.0
        for xb, yb in train_dl:
            opt.zero_grad()
            loss = F.binary_cross_entropy_with_logits(net(xb), yb)
            loss.backward()
            opt.step()
            total += loss.item()
        losses.append(total / len(train_dl))
        net.eval()
        with torch.inference_mode():
            scores = np.concatenate([net(xb).numpy() for xb, _ in val_dl])
        print("macro AUC", roc_auc_score(Y[320:].numpy(), scores, average="macro"))
    return losses


@buggy("nll-on-logits")
def mnist_example_style():
    torch.manual_seed(123)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 8, 3, 1)
            self.dropout1 = nn.Dropout(0.1)
            self.fc1 = nn.Linear(72, 32)
            self.fc2 = nn.Linear(32, 10)

        def forward(self, x):
            x = F.relu(self.conv1(x))
            x = F.max_pool2d(x, 2)
            x = self.dropout1(torch.flatten(x, 1))
            x = F.relu(self.fc1(x))
            x = self.fc2(x)
            return x

    def train(model, train_loader, optimizer, epoch, log):
        model.train()
        total = 0.0
        for batch_idx, (data, target) in enumerate(train_loader):
            optimizer.zero_grad()
            output = model(data)
            loss = F.nll_loss(output, target)
            loss.backward()
            optimizer.step()
            total += loss.item()
            if batch_idx % 5 == 0:
                print(f"Train Epoch: {epoch} [{batch_idx}]\tLoss: {loss.item():.6f}")
        log.append(total / len(train_loader))

    def test(model, test_loader):
        model.eval()
        correct = 0
        with torch.no_grad():
            for data, target in test_loader:
                pred = model(data).argmax(dim=1, keepdim=True)
                correct += pred.eq(target.view_as(pred)).sum().item()
        print(f"Accuracy: {correct}/{len(test_loader.dataset)}")

    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 8 - 1).float().view(-1, 1, 8, 8)
    y = torch.tensor(y)
    idx = torch.randperm(len(y))
    tr, te = idx[:640], idx[640:800]
    train_loader = DataLoader(TensorDataset(X[tr], y[tr]), batch_size=64, shuffle=True)
    test_loader = DataLoader(TensorDataset(X[te], y[te]), batch_size=80)
    model = Net()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    log = []
    for epoch in range(1, 4):
        train(model, train_loader, optimizer, epoch, log)
        test(model, test_loader)
    return log


@buggy("broadcast-loss")
def mse_loss_module_column():
    torch.manual_seed(125)
    df = pd.DataFrame(np.random.default_rng(125).normal(size=(300, 4)), columns=list("abcd"))
    df["target"] = df.a - 2 * df.b + df.c * df.d
    train_df, valid_df = df.iloc[:240], df.iloc[240:]

    class FrameDataset(Dataset):
        def __init__(self, frame):
            self.x = torch.tensor(frame[list("abcd")].to_numpy(), dtype=torch.float32)
            self.y = torch.tensor(frame["target"].to_numpy(), dtype=torch.float32)

        def __len__(self):
            return len(self.x)

        def __getitem__(self, i):
            return self.x[i], self.y[i]

    train_loader = DataLoader(FrameDataset(train_df), batch_size=24, shuffle=True)
    valid_loader = DataLoader(FrameDataset(valid_df), batch_size=60)
    model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    criterion = nn.MSELoss()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(8):
        model.train()
        total = 0.0
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(train_loader))
        model.eval()
        with torch.no_grad():
            for xb, yb in valid_loader:
                out = model(xb).flatten()
                print(((out - yb.flatten()) ** 2).mean().sqrt().item())
    return losses


@buggy("training-in-eval-mode")
def accuracy_helper_both_loaders():
    torch.manual_seed(128)

    def accuracy(net, loader):
        net.eval()
        hit = n = 0
        with torch.no_grad():
            for a, b in loader:
                hit += (net(a).argmax(-1) == b).sum().item()
                n += len(b)
        return hit / n

    X, y = make_classification(480, 10, n_informative=6, n_classes=3, random_state=128)
    X = torch.tensor(StandardScaler().fit_transform(X), dtype=torch.float32)
    y = torch.tensor(y)
    train = DataLoader(TensorDataset(X[:400], y[:400]), batch_size=40, shuffle=True)
    dev = DataLoader(TensorDataset(X[400:], y[400:]), batch_size=40)
    net = nn.Sequential(nn.Linear(10, 48), nn.ReLU(), nn.Dropout(0.3), nn.Linear(48, 3))
    opt = optim.Adam(net.parameters(), lr=5e-3)
    curve = []
    print("before:", accuracy(net, dev))
    for _ in range(6):
        total = 0.0
        for a, b in train:
            opt.zero_grad()
            loss = F.cross_entropy(net(a), b)
            loss.backward()
            opt.step()
            total += loss.item()
        curve.append(total / len(train))
        print(accuracy(net, dev), accuracy(net, train))
    return curve


@buggy("eval-in-train-mode")
def circles_batchnorm_sgd():
    torch.manual_seed(129)
    X, y = make_circles(480, noise=0.08, factor=0.5, random_state=129)
    X, y = torch.tensor(X).float(), torch.tensor(y).float()
    train_dl = DataLoader(TensorDataset(X[:400], y[:400]), batch_size=40, shuffle=True)
    valid_dl = DataLoader(TensorDataset(X[400:], y[400:]), batch_size=40)
    model = nn.Sequential(
        nn.Linear(2, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0)
    )
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss_fn = nn.BCEWithLogitsLoss()
    stats = []
    for _ in range(6):
        model.train()
        s = 0.0
        for xb, yb in train_dl:
            loss = loss_fn(model(xb), yb)
            loss.backward()
            opt.step()
            opt.zero_grad()
            s += loss.item()
        stats.append(s / len(train_dl))
        model.eval  # noqa: B018
        with torch.no_grad():
            v = sum(loss_fn(model(xb), yb).item() for xb, yb in valid_dl) / len(valid_dl)
        print(f"train {stats[-1]:.3f} valid {v:.3f}")
    return stats


@buggy("eval-in-train-mode")
def shared_run_epoch():
    torch.manual_seed(130)

    class SeqModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(16, 12)
            self.encoder = nn.TransformerEncoderLayer(12, 3, 24, dropout=0.2, batch_first=True)
            self.fc = nn.Linear(12, 2)

        def forward(self, s):
            return self.fc(self.encoder(self.embedding(s)).amax(1))

    def run_epoch(model, loader, optimizer=None):
        model.train()
        total = 0.0
        with torch.set_grad_enabled(optimizer is not None):
            for s, label in loader:
                loss = F.cross_entropy(model(s), label)
                if optimizer is not None:
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                total += loss.item()
        return total / len(loader)

    s = torch.randint(0, 16, (288, 5))
    label = ((s == 2) | (s == 7)).any(1).long()
    ds_train, ds_val = TensorDataset(s[:240], label[:240]), TensorDataset(s[240:], label[240:])
    train_loader = DataLoader(ds_train, batch_size=24, shuffle=True)
    val_loader = DataLoader(ds_val, batch_size=24)
    model = SeqModel()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    curve = []
    for epoch in range(6):
        curve.append(run_epoch(model, train_loader, optimizer))
        print(epoch, curve[-1], run_epoch(model, val_loader))
    return curve


@buggy("eval-builds-graph")
def rmse_with_detach():
    torch.manual_seed(132)
    X, y = load_diabetes(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=82, random_state=0)
    sx, sy = StandardScaler().fit(X_train), StandardScaler().fit(y_train[:, None])

    def tensors(a, b):
        return TensorDataset(
            torch.tensor(sx.transform(a), dtype=torch.float32),
            torch.tensor(sy.transform(b[:, None]), dtype=torch.float32),
        )

    train_loader = DataLoader(tensors(X_train, y_train), batch_size=36, shuffle=True)
    test_loader = DataLoader(tensors(X_test, y_test), batch_size=41)
    net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 1))
    optimizer = optim.Adam(net.parameters(), lr=5e-3)
    rmses = []
    for _ in range(8):
        net.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = F.mse_loss(net(xb), yb)
            loss.backward()
            optimizer.step()
        net.eval()
        sq = []
        for xb, yb in test_loader:
            sq.append(((net(xb) - yb) ** 2).detach().numpy())
        rmses.append(float(np.sqrt(np.concatenate(sq).mean())))
    return rmses


@buggy("metric-not-normalised")
def uneven_last_batch_mean():
    torch.manual_seed(137)
    X, y = make_blobs(354, centers=3, n_features=2, cluster_std=2.0, random_state=137)
    X = torch.tensor((X - X.mean(0)) / X.std(0)).float()
    y = torch.tensor(y)
    train_loader = DataLoader(TensorDataset(X[:256], y[:256]), batch_size=32, shuffle=True)
    valid_loader = DataLoader(TensorDataset(X[256:], y[256:]), batch_size=32)
    model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3))
    opt = optim.Adam(model.parameters(), lr=0.01)
    hist = []
    for _ in range(6):
        model.train()
        tot = 0.0
        for xb, yb in train_loader:
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
            tot += loss.item()
        hist.append(tot / len(train_loader))
        model.eval()
        acc = 0.0
        with torch.no_grad():
            for xb, yb in valid_loader:
                acc += (model(xb).argmax(1) == yb).float().mean().item()
        acc /= len(valid_loader)
        print(f"valid accuracy: {acc:.4f}")
    return hist


@buggy("scheduler-per-epoch")
def linear_warmup_lambda():
    torch.manual_seed(140)
    toks = torch.randint(0, 14, (320, 6))
    ys = (toks.float().mean(1) > 6.5).long()
    loader = DataLoader(TensorDataset(toks, ys), batch_size=32, shuffle=True)
    n_epochs = 8
    total_steps = n_epochs * len(loader)
    warmup_steps = total_steps // 10

    def warmup_then_linear(step):
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return max(0.0, (total_steps - step) / (total_steps - warmup_steps))

    net = nn.Sequential(nn.Embedding(14, 8), nn.Flatten(), nn.Linear(48, 16), nn.ReLU())
    net.append(nn.Linear(16, 2))
    opt = optim.AdamW(net.parameters(), lr=0.01)
    sched = LambdaLR(opt, warmup_then_linear)
    hist = []
    for _ in range(n_epochs):
        acc = 0.0
        for t, y in loader:
            opt.zero_grad()
            loss = F.cross_entropy(net(t), y)
            loss.backward()
            opt.step()
            acc += loss.item()
        sched.step()
        hist.append(acc / len(loader))
    return hist


@buggy("nan-input")
def constant_column_zscore():
    torch.manual_seed(142)
    rng = np.random.default_rng(142)
    clicks = rng.poisson(3.0, size=(300, 5)).astype(np.float32)
    clicks[:, 2] = 1.0
    revenue = 0.5 * clicks[:, 0] + clicks[:, 1] - clicks[:, 3]
    feats = torch.from_numpy(clicks)
    feats = (feats - feats.mean(0)) / feats.std(0)
    target = torch.from_numpy((revenue - revenue.mean()) / revenue.std()).float().unsqueeze(1)
    tr = DataLoader(TensorDataset(feats[:240], target[:240]), batch_size=24, shuffle=True)
    va = DataLoader(TensorDataset(feats[240:], target[240:]), batch_size=60)
    net = nn.Sequential(nn.Linear(5, 24), nn.ReLU(), nn.Linear(24, 1))
    opt = optim.Adam(net.parameters(), lr=0.01)
    hist = []
    for _ in range(6):
        net.train()
        s = 0.0
        for xb, yb in tr:
            opt.zero_grad()
            loss = F.mse_loss(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(tr))
        net.eval()
        with torch.no_grad():
            print([F.mse_loss(net(xb), yb).item() for xb, yb in va])
    return hist


@buggy("val-overlaps-train")
def subset_indices():
    torch.manual_seed(146)
    x = torch.randn(300, 6)
    y = (x[:, 0] * 2 - x[:, 1] + 0.5 * torch.randn(300) > 0).float()
    dataset = TensorDataset(x, y)
    indices = torch.randperm(300).tolist()
    train_ds = Subset(dataset, indices[:240])
    valid_ds = Subset(dataset, indices[180:])
    train_dl = DataLoader(train_ds, batch_size=24, shuffle=True)
    valid_dl = DataLoader(valid_ds, batch_size=30)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 1))
    opt = optim.Adam(model.parameters(), lr=0.01)
    loss_fn = nn.BCEWithLogitsLoss()
    hist = []
    for _ in range(6):
        model.train()
        s = 0.0
        for xb, yb in train_dl:
            opt.zero_grad()
            loss = loss_fn(model(xb)[:, 0], yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(train_dl))
        model.eval()
        with torch.no_grad():
            v = [loss_fn(model(xb)[:, 0], yb).item() for xb, yb in valid_dl]
        print("valid", sum(v) / len(v))
    return hist


@buggy("lr-too-low")
def spot_cnn_running_mean():
    torch.manual_seed(150)
    lab = torch.randint(0, 2, (256,))
    img = 0.5 * torch.randn(256, 1, 6, 6)
    img[lab == 1, :, 2:4, 2:4] += 1.0
    loader = DataLoader(TensorDataset(img, lab), batch_size=32, shuffle=True)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 2))
    hyper = {"lr": 1e-7, "momentum": 0.9}
    optimizer = optim.SGD(net.parameters(), **hyper)
    hist = []
    for epoch in range(6):
        running = 0.0
        for i, (a, b) in enumerate(loader, 1):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(a), b)
            loss.backward()
            optimizer.step()
            running += (loss.item() - running) / i
        hist.append(running)
        print(epoch, running)
    return hist


@buggy("symmetric-init")
def sigmoid_net_apply_init():
    torch.manual_seed(152)
    net = nn.Sequential(nn.Linear(3, 16), nn.Sigmoid(), nn.Linear(16, 1))

    def init(m):
        if isinstance(m, nn.Linear):
            m.weight.data.fill_(0.5)
            m.bias.data.zero_()

    net.apply(init)
    x = torch.randn(300, 3)
    y = (x[:, :1] - x[:, 1:2]).sin() + 0.3 * x[:, 2:]
    opt = optim.Adam(net.parameters(), lr=0.03)
    hist = []
    for _ in range(10):
        s = 0.0
        for xb, yb in DataLoader(TensorDataset(x, y), batch_size=30, shuffle=True):
            opt.zero_grad()
            loss = F.mse_loss(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / 10)
    return hist
