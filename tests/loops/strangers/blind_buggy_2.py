"""Training loops with one silent bug each."""

import copy
import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import (
    load_diabetes,
    load_digits,
    load_wine,
    make_blobs,
    make_circles,
    make_classification,
    make_moons,
    make_regression,
)
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import KFold, train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import nn, optim
from torch.nn.utils import clip_grad_norm_
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    TensorDataset,
    random_split,
)

from .. import buggy


@buggy("no-zero-grad")
def hand_batched_per_epoch_reset():
    g = torch.Generator().manual_seed(101)
    torch.manual_seed(101)
    inputs = torch.randn(400, 9, generator=g)
    truth = (inputs[:, 0] + inputs[:, 1] * inputs[:, 2] > 0).float()
    net = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    net.append(nn.Linear(64, 1))
    opt = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    bs, epoch_means = 40, []
    for _ in range(15):
        order = torch.randperm(400, generator=g)
        values = []
        opt.zero_grad()
        for start in range(0, 400, bs):
            pick = order[start : start + bs]
            loss = F.binary_cross_entropy_with_logits(net(inputs[pick]).view(-1), truth[pick])
            loss.backward()
            opt.step()
            values.append(loss.item())
        epoch_means.append(float(np.mean(values)))
    return epoch_means


@buggy("step-before-backward")
def trainer_with_config():
    @dataclass
    class Config:
        lr: float = 5e-3
        epochs: int = 6
        batch_size: int = 32
        weight_decay: float = 1e-4

    class Learner:
        def __init__(self, model, config):
            self.model = model
            self.config = config
            self.optimizer = optim.AdamW(
                model.parameters(), lr=config.lr, weight_decay=config.weight_decay
            )
            self.criterion = nn.CrossEntropyLoss()
            self.history = defaultdict(list)

        def training_step(self, batch):
            features, target = batch
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(features), target)
            self.optimizer.step()
            loss.backward()
            return loss.detach()

        @torch.no_grad()
        def validation_step(self, batch):
            features, target = batch
            return self.criterion(self.model(features), target)

        def fit(self, train_loader, val_loader):
            for _ in range(self.config.epochs):
                self.model.train()
                train = torch.stack([self.training_step(b) for b in train_loader]).mean()
                self.model.eval()
                val = torch.stack([self.validation_step(b) for b in val_loader]).mean()
                self.history["train"].append(train.item())
                self.history["val"].append(val.item())

    torch.manual_seed(104)
    X, y = make_circles(400, noise=0.05, factor=0.4, random_state=104)
    ds = TensorDataset(torch.tensor(X).float(), torch.tensor(y))
    train_set, val_set = random_split(ds, [320, 80])
    cfg = Config()
    learner = Learner(
        nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Dropout(0.05), nn.Linear(32, 2)), cfg
    )
    learner.fit(
        DataLoader(train_set, cfg.batch_size, shuffle=True), DataLoader(val_set, cfg.batch_size * 2)
    )
    return learner.history["train"]


@buggy("backward-never-called")
def lstm_parity_counts():
    torch.manual_seed(107)
    bits = torch.randint(0, 2, (256, 6, 1)).float()
    many = (bits.sum((1, 2)) >= 3).long()

    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(1, 16, batch_first=True)
            self.cls = nn.Linear(16, 2)

        def forward(self, s):
            out, _ = self.lstm(s)
            return self.cls(out[:, -1])

    counter = Counter()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(counter.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(bits, many), batch_size=32, shuffle=True)
    history = []
    for epoch in range(8):
        counter.train()
        epoch_loss = 0.0
        for seq, label in loader:
            optimizer.zero_grad()
            loss = criterion(counter(seq), label)
            loss.backward  # noqa: B018
            optimizer.step()
            epoch_loss += loss.item()
        history.append(epoch_loss / len(loader))
        print(f"Epoch {epoch}: {history[-1]:.4f}")
    return history


@buggy("optimizer-holds-other-params")
def kfold_rebuild():
    torch.manual_seed(109)
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)[:400].astype("float32")
    y = ((y - y.mean()) / y.std())[:400].astype("float32")

    def make_model():
        return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))

    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    fold_losses = []
    for fold, (tr, va) in enumerate(KFold(4, shuffle=True, random_state=0).split(X)):
        if fold > 0:
            model = make_model()
        train_dl = DataLoader(
            TensorDataset(torch.tensor(X[tr]), torch.tensor(y[tr])), batch_size=50, shuffle=True
        )
        for _ in range(5):
            model.train()
            running = 0.0
            for xb, yb in train_dl:
                optimizer.zero_grad()
                loss = F.mse_loss(model(xb).squeeze(-1), yb)
                loss.backward()
                optimizer.step()
                running += loss.item()
            fold_losses.append(running / len(train_dl))
        model.eval()
        with torch.no_grad():
            val = F.mse_loss(model(torch.tensor(X[va])).squeeze(-1), torch.tensor(y[va]))
        print(f"fold {fold}: {val.item():.3f}")
    return fold_losses


@buggy("optimizer-holds-other-params")
def deepcopied_network():
    torch.manual_seed(110)
    template = nn.Sequential(nn.Linear(4, 20), nn.Tanh(), nn.Linear(20, 3))
    optimizer = optim.SGD(template.parameters(), lr=0.2, momentum=0.9)
    network = copy.deepcopy(template)
    X, y = make_blobs(360, centers=3, n_features=4, cluster_std=2.5, random_state=110)
    X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
    y = torch.tensor(y)
    train = DataLoader(TensorDataset(X[:300], y[:300]), batch_size=30, shuffle=True)
    trace = []
    for _ in range(5):
        network.train()
        for xb, yb in train:
            network.zero_grad()
            loss = F.cross_entropy(network(xb), yb)
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            trace.append(F.cross_entropy(network(X[300:]), y[300:]).item())
    return trace


@buggy("params-not-optimized")
def ratings_matrix_factorisation():
    torch.manual_seed(111)
    n_users, n_items, k = 30, 25, 4
    pu, qi = torch.randn(n_users, 2), torch.randn(n_items, 2)
    user = torch.randint(0, n_users, (600,))
    item = torch.randint(0, n_items, (600,))
    rating = (pu[user] * qi[item]).sum(1)
    user_emb = nn.Embedding(n_users, k)
    item_emb = nn.Embedding(n_items, k)
    for emb in (user_emb, item_emb):
        nn.init.normal_(emb.weight, std=0.3)
    optimizer = optim.Adam(item_emb.parameters(), lr=0.05)
    dl = DataLoader(TensorDataset(user, item, rating), batch_size=60, shuffle=True)
    losses = []
    for _ in range(10):
        total = 0.0
        for u, i, r in dl:
            optimizer.zero_grad()
            guess = (user_emb(u) * item_emb(i)).sum(-1)
            loss = ((guess - r) ** 2).mean()
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(dl))
    return losses


@buggy("params-not-optimized")
def seq2seq_reverse_parts():
    torch.manual_seed(112)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(8, 16)
            self.gru = nn.GRU(16, 24, batch_first=True)

        def forward(self, src):
            return self.gru(self.embed(src))[1]

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(9, 16)
            self.gru = nn.GRU(16, 24, batch_first=True)
            self.out = nn.Linear(24, 8)

        def forward(self, prev, state):
            return self.out(self.gru(self.embed(prev), state)[0])

    src = torch.randint(0, 8, (256, 3))
    tgt = src.flip(1)
    prev = torch.cat([torch.full((256, 1), 8), tgt[:, :-1]], 1)
    dl = DataLoader(TensorDataset(src, prev, tgt), batch_size=32, shuffle=True)
    encoder, decoder = Encoder(), Decoder()
    params = list(decoder.parameters())
    optimizer = optim.Adam(params, lr=0.01)
    criterion = nn.CrossEntropyLoss()
    epoch_losses = []
    for _ in range(6):
        encoder.train()
        decoder.train()
        s = 0.0
        for a, b, c in dl:
            optimizer.zero_grad()
            logits = decoder(b, encoder(a))
            loss = criterion(logits.transpose(1, 2), c)
            loss.backward()
            optimizer.step()
            s += loss.item()
        epoch_losses.append(s / len(dl))
    return epoch_losses


@buggy("layers-cut-off")
def quadrant_images():
    torch.manual_seed(113)

    class ImageNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
            self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(8 * 16, 24), nn.ReLU())
            self.last = nn.Linear(24, 4)

        def forward(self, img):
            with torch.no_grad():
                maps = F.relu(self.features(img))
            return self.last(self.classifier(maps))

    quadrant = torch.randint(0, 4, (256,))
    img = 0.4 * torch.randn(256, 1, 8, 8)
    for n, q in enumerate(quadrant.tolist()):
        r, c = 4 * (q // 2), 4 * (q % 2)
        img[n, 0, r : r + 4, c : c + 4] += 0.6
    loader = DataLoader(TensorDataset(img, quadrant), batch_size=32, shuffle=True)
    net = ImageNet()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    hist = []
    for _ in range(4):
        net.train()
        run = 0.0
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            run += loss.item()
        hist.append(run / len(loader))
    return hist


@buggy("layers-cut-off")
def clipped_hidden_units():
    torch.manual_seed(114)

    class Standardised(nn.Module):
        def __init__(self, d_in, d_hid):
            super().__init__()
            self.first = nn.Linear(d_in, d_hid)
            self.second = nn.Linear(d_hid, 1)

        def forward(self, x):
            h = torch.tanh(self.first(x))
            h = torch.from_numpy(np.clip(h.detach().numpy(), -0.9, 0.9))
            return self.second(h).squeeze(1)

    X, y = make_regression(300, 6, n_informative=4, noise=2.0, random_state=114)
    X = torch.tensor(X, dtype=torch.float32)
    y = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32)
    ds = TensorDataset(X, y)
    model = Standardised(6, 12)
    opt = optim.Adam(model.parameters(), lr=0.01)
    loss_log = []
    for _ in range(8):
        bucket = []
        for a, b in DataLoader(ds, batch_size=30, shuffle=True):
            loss = F.mse_loss(model(a), b)
            opt.zero_grad()
            loss.backward()
            opt.step()
            bucket.append(loss.item())
        loss_log.append(sum(bucket) / len(bucket))
    return loss_log


@buggy("unregistered-layers")
def multi_task_heads_dict():
    torch.manual_seed(116)

    class MultiTask(nn.Module):
        def __init__(self, tasks):
            super().__init__()
            self.trunk = nn.Sequential(nn.Linear(7, 24), nn.ReLU())
            self.heads = {name: nn.Linear(24, n) for name, n in tasks.items()}

        def forward(self, x):
            z = self.trunk(x)
            return {name: head(z) for name, head in self.heads.items()}

    x = torch.randn(280, 7)
    colour = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    shape = (x[:, 2] + x[:, 3] > 0).long()
    loader = DataLoader(TensorDataset(x, colour, shape), batch_size=28, shuffle=True)
    model = MultiTask({"colour": 3, "shape": 2})
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    hist = []
    for _ in range(7):
        model.train()
        s = 0.0
        for feats, c, sh in loader:
            optimizer.zero_grad()
            pred = model(feats)
            loss = F.cross_entropy(pred["colour"], c) + F.cross_entropy(pred["shape"], sh)
            loss.backward()
            optimizer.step()
            s += loss.item()
        hist.append(s / len(loader))
    return hist


@buggy("clip-misplaced")
def regression_rmsprop_clipped():
    torch.manual_seed(117)
    X, y = make_regression(320, 5, noise=5.0, random_state=117)
    X = torch.tensor(X, dtype=torch.float32)
    y = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32).reshape(-1, 1)
    train_loader = DataLoader(TensorDataset(X[:256], y[:256]), batch_size=32, shuffle=True)
    test_loader = DataLoader(TensorDataset(X[256:], y[256:]), batch_size=64)
    model = nn.Sequential(nn.Linear(5, 24), nn.ReLU(), nn.Linear(24, 1))
    optimizer = optim.RMSprop(model.parameters(), lr=3e-3)
    hist = []
    for _ in range(6):
        model.train()
        total = 0.0
        for bx, by in train_loader:
            optimizer.zero_grad()
            loss = F.mse_loss(model(bx), by)
            clip_grad_norm_(model.parameters(), 0.5)
            loss.backward()
            optimizer.step()
            total += loss.item()
        hist.append(total / len(train_loader))
        model.eval()
        with torch.no_grad():
            print([F.mse_loss(model(bx), by).item() for bx, by in test_loader])
    return hist


@buggy("nll-on-probabilities")
def segment_pixels():
    torch.manual_seed(122)
    x = torch.randn(160, 2, 6, 6)
    mask = (x.mean(1) > 0).long()
    net = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 2, 1),
        nn.Softmax(dim=1),
    )
    opt = optim.Adam(net.parameters(), lr=0.02)
    nll = nn.NLLLoss()
    trace = []
    for _ in range(6):
        acc = 0.0
        for img, seg in DataLoader(TensorDataset(x, mask), batch_size=16, shuffle=True):
            opt.zero_grad()
            loss = nll(net(img), seg)
            loss.backward()
            opt.step()
            acc += loss.item() / 10
        trace.append(acc)
    return trace


@buggy("cross-entropy-one-class")
def bright_pictures():
    torch.manual_seed(124)
    bright = torch.randint(0, 2, (192, 1)).float()
    pics = torch.randn(192, 1, 6, 6) * 0.5 + (bright.view(-1, 1, 1, 1) - 0.5)
    dl = DataLoader(TensorDataset(pics, bright), batch_size=24, shuffle=True)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 1))
    opt = optim.SGD(net.parameters(), lr=0.05)
    record = []
    for _ in range(4):
        net.train()
        s = 0.0
        for img, lab in dl:
            opt.zero_grad()
            loss = F.cross_entropy(net(img), lab)
            loss.backward()
            opt.step()
            s += loss.item()
        record.append(s / len(dl))
    return record


@buggy("broadcast-loss")
def absolute_error_gru():
    torch.manual_seed(126)
    t = torch.arange(420) * 0.2
    wave = torch.sin(t) + 0.5 * torch.sin(2.3 * t)
    past = wave.unfold(0, 11, 1)
    hist_in, nxt = past[:, :10].unsqueeze(-1), past[:, 10]
    loader = DataLoader(
        TensorDataset(hist_in[:400], nxt[:400]), batch_size=40, shuffle=True, drop_last=True
    )

    class Forecaster(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(1, 16, batch_first=True)
            self.lin = nn.Linear(16, 1)

        def forward(self, s):
            return self.lin(self.rnn(s)[0][:, -1])

    forecaster = Forecaster()
    opt = optim.Adam(forecaster.parameters(), lr=0.02)
    mae = []
    for _ in range(5):
        total = 0.0
        for window, value in loader:
            opt.zero_grad()
            loss = (forecaster(window) - value).abs().mean()
            loss.backward()
            opt.step()
            total += loss.item()
        mae.append(total / len(loader))
    return mae


@buggy("relu-on-logits")
def text_bag_relu():
    torch.manual_seed(127)

    class BagClassifier(nn.Module):
        def __init__(self, vocab, dim, classes):
            super().__init__()
            self.bag = nn.EmbeddingBag(vocab, dim)
            self.layers = nn.ModuleList([nn.Linear(dim, 32), nn.Linear(32, classes)])

        def forward(self, ids):
            h = self.bag(ids)
            for layer in self.layers:
                h = torch.relu(layer(h))
            return h

    topic = torch.randint(0, 3, (300,))
    words = torch.randint(0, 10, (300, 8)) + 10 * topic.unsqueeze(1)
    swap = torch.rand(300, 8) < 0.3
    words = torch.where(swap, torch.randint(0, 30, (300, 8)), words)
    loader = DataLoader(TensorDataset(words, topic), batch_size=30, shuffle=True)
    clf = BagClassifier(30, 16, 3)
    optimizer = optim.Adam(clf.parameters(), lr=5e-3)
    hist = []
    for _ in range(6):
        clf.train()
        tot = 0.0
        for w, t in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(clf(w), t)
            loss.backward()
            optimizer.step()
            tot += loss.item()
        hist.append(tot / len(loader))
    return hist


@buggy("dropout-always-on")
def gru_with_new_dropout():
    torch.manual_seed(131)

    class Sentiment(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(24, 16)
            self.gru = nn.GRU(16, 16, batch_first=True)
            self.fc = nn.Linear(16, 2)

        def forward(self, ids):
            out, _ = self.gru(self.emb(ids))
            return self.fc(nn.functional.dropout(out.mean(1), p=0.3))

    ids = torch.randint(0, 24, (300, 6))
    pos = ((ids < 12).sum(1) > 3).long()
    tr = DataLoader(TensorDataset(ids[:240], pos[:240]), batch_size=24, shuffle=True)
    va = DataLoader(TensorDataset(ids[240:], pos[240:]), batch_size=30)
    model = Sentiment()
    opt = optim.Adam(model.parameters(), lr=0.01)
    out = []
    for _ in range(6):
        model.train()
        acc = 0.0
        for i, p in tr:
            opt.zero_grad()
            loss = F.cross_entropy(model(i), p)
            loss.backward()
            opt.step()
            acc += loss.item()
        out.append(acc / len(tr))
        model.eval()
        with torch.no_grad():
            good = sum((model(i).argmax(1) == p).sum().item() for i, p in va)
        print("valid accuracy", good / 60)
    return out


@buggy("graph-kept")
def list_of_losses():
    torch.manual_seed(133)
    X, y = make_moons(400, noise=0.2, random_state=133)
    X, y = torch.tensor(X).float(), torch.tensor(y)
    net = nn.Sequential(nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 2))
    opt = optim.AdamW(net.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(X, y), batch_size=25, shuffle=True)
    all_losses = []
    for _ in range(5):
        net.train()
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            all_losses.append(loss)
    steps = torch.stack(all_losses).detach()
    return steps.view(5, -1).mean(1).tolist()


@buggy("metric-broadcast")
def mae_metric_shapes():
    torch.manual_seed(134)
    x = torch.randn(360, 4)
    y = 1.5 * x[:, 0] - x[:, 1] + 0.3 * x[:, 2] * x[:, 3]
    tr = DataLoader(TensorDataset(x[:300], y[:300]), batch_size=30, shuffle=True)
    va = DataLoader(TensorDataset(x[300:], y[300:]), batch_size=30)
    model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.Adam(model.parameters(), lr=0.01)

    def mean_absolute_error(pred, target):
        return torch.mean(torch.abs(pred - target)).item()

    train_hist = []
    for _ in range(6):
        model.train()
        total = 0.0
        for xb, yb in tr:
            opt.zero_grad()
            loss = F.mse_loss(model(xb), yb[:, None])
            loss.backward()
            opt.step()
            total += loss.item()
        train_hist.append(total / len(tr))
        model.eval()
        with torch.no_grad():
            maes = [mean_absolute_error(model(xb), yb) for xb, yb in va]
        print("val MAE", sum(maes) / len(maes))
    return train_hist


@buggy("argmax-wrong-dim")
def tagger_transposed():
    torch.manual_seed(135)
    n_tags = seq_len = 6
    toks = torch.randint(0, 18, (260, seq_len))
    tags = toks // 3
    tr = DataLoader(TensorDataset(toks[:200], tags[:200]), batch_size=20, shuffle=True)
    va = DataLoader(TensorDataset(toks[200:], tags[200:]), batch_size=20)
    tagger = nn.Sequential(nn.Embedding(18, 16), nn.Linear(16, 24), nn.ReLU())
    tagger.append(nn.Linear(24, n_tags))
    opt = optim.Adam(tagger.parameters(), lr=0.01)
    hist = []
    for _ in range(4):
        tagger.train()
        s = 0.0
        for t, g in tr:
            opt.zero_grad()
            logits = tagger(t)
            loss = F.cross_entropy(logits.permute(0, 2, 1), g)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(tr))
        tagger.eval()
        hits = total = 0
        with torch.no_grad():
            for t, g in va:
                predicted = tagger(t).argmax(1)
                hits += (predicted == g).sum().item()
                total += g.numel()
        print(f"token accuracy {hits / total:.3f}")
    return hist


@buggy("threshold-on-logits")
def multilabel_round_logits():
    torch.manual_seed(136)
    x = torch.randn(360, 8)
    y = (x @ torch.randn(8, 4) > 0.5).float()
    tr = DataLoader(TensorDataset(x[:300], y[:300]), batch_size=30, shuffle=True)
    te = DataLoader(TensorDataset(x[300:], y[300:]), batch_size=30)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
    criterion = nn.BCEWithLogitsLoss()
    opt = optim.Adam(model.parameters(), lr=0.01)
    hist = []
    for _ in range(6):
        model.train()
        s = 0.0
        for xb, yb in tr:
            opt.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(tr))
        model.eval()
        preds, truth = [], []
        with torch.no_grad():
            for xb, yb in te:
                preds.append((model(xb) >= 0.5).int())
                truth.append(yb.int())
        print(f1_score(torch.cat(truth).numpy(), torch.cat(preds).numpy(), average="micro"))
    return hist


@buggy("scheduler-before-optimizer")
def cosine_every_step():
    torch.manual_seed(138)
    x = torch.randn(320, 5)
    y = torch.sin(2 * x[:, :1]) + x[:, 1:2]
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    epochs = 8
    net = nn.Sequential(nn.Linear(5, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = optim.AdamW(net.parameters(), lr=0.02)
    scheduler = CosineAnnealingLR(optimizer, T_max=epochs * len(loader))
    hist = []
    for _ in range(epochs):
        s = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = F.mse_loss(net(xb), yb)
            loss.backward()
            scheduler.step()
            optimizer.step()
            s += loss.item()
        hist.append(s / len(loader))
    return hist


@buggy("scheduler-per-batch")
def cosine_t_max_epochs():
    torch.manual_seed(139)
    X, y = make_classification(512, 8, n_informative=6, random_state=139)
    X = torch.tensor(StandardScaler().fit_transform(X), dtype=torch.float32)
    y = torch.tensor(y)
    cfg = {"epochs": 8, "lr": 0.05}
    train_dl = DataLoader(TensorDataset(X[:384], y[:384]), batch_size=32, shuffle=True)
    valid_dl = DataLoader(TensorDataset(X[384:], y[384:]), batch_size=128)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
    opt = optim.SGD(model.parameters(), lr=cfg["lr"], momentum=0.9)
    sched = CosineAnnealingLR(opt, T_max=cfg["epochs"])
    hist = []
    for _ in range(cfg["epochs"]):
        model.train()
        tot = 0.0
        for xb, yb in train_dl:
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
            sched.step()
            tot += loss.item()
        hist.append(tot / len(train_dl))
        model.eval()
        with torch.no_grad():
            for xb, yb in valid_dl:
                acc = (model(xb).argmax(1) == yb).float().mean().item()
        print(f"lr {opt.param_groups[0]['lr']:.4f} acc {acc:.3f}")
    return hist


@buggy("scheduler-other-optimizer")
def optimizer_recreated_after_schedule():
    torch.manual_seed(141)

    class Experiment:
        def __init__(self, lr=0.05):
            self.net = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 1))
            self.opt = optim.SGD(self.net.parameters(), lr=lr, momentum=0.9)
            self.sched = lr_scheduler.MultiStepLR(self.opt, milestones=[3, 5], gamma=0.1)

        def use_weight_decay(self, wd):
            self.opt = optim.SGD(self.net.parameters(), lr=0.05, momentum=0.9, weight_decay=wd)

        def run(self, loader, epochs):
            log = []
            for _ in range(epochs):
                s = 0.0
                for xb, yb in loader:
                    self.opt.zero_grad()
                    loss = F.mse_loss(self.net(xb), yb)
                    loss.backward()
                    self.opt.step()
                    s += loss.item()
                self.sched.step()
                log.append(s / len(loader))
            return log

    x = torch.rand(320, 3) * 2 - 1
    y = (x[:, :1] * x[:, 1:2] + x[:, 2:]).clone()
    exp = Experiment()
    exp.use_weight_decay(1e-4)
    return exp.run(DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True), 7)


@buggy("input-scale")
def grey_patches():
    torch.manual_seed(143)
    lab = torch.randint(0, 3, (300,))
    base = torch.randint(0, 256, (3, 1, 8, 8)).float()
    pics = (base[lab] + 60 * torch.randn(300, 1, 8, 8)).clamp(0, 255).round()
    train = DataLoader(TensorDataset(pics[:240], lab[:240]), batch_size=24, shuffle=True)
    val = DataLoader(TensorDataset(pics[240:], lab[240:]), batch_size=60)
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 3))
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    hist = []
    for _ in range(4):
        net.train()
        s = 0.0
        for xb, yb in train:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(train))
        net.eval()
        with torch.no_grad():
            for xb, yb in val:
                print((net(xb).argmax(1) == yb).float().mean().item())
    return hist


@buggy("val-scaled-differently")
def wine_two_scalers():
    torch.manual_seed(144)
    X, y = load_wine(return_X_y=True)
    X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=34, random_state=1, stratify=y)
    scaler = StandardScaler()
    X_tr = scaler.fit_transform(X_tr)
    X_va = MinMaxScaler().fit_transform(X_va)

    class ArrayDataset(Dataset):
        def __init__(self, X, y):
            self.X, self.y = np.asarray(X, dtype=np.float32), y

        def __len__(self):
            return len(self.y)

        def __getitem__(self, i):
            return self.X[i], int(self.y[i])

    train_dl = DataLoader(ArrayDataset(X_tr, y_tr), batch_size=16, shuffle=True)
    val_dl = DataLoader(ArrayDataset(X_va, y_va), batch_size=34)
    model = nn.Sequential(nn.Linear(13, 16), nn.ReLU(), nn.Linear(16, 3))
    opt = optim.Adam(model.parameters(), lr=0.01)
    hist = []
    for _ in range(6):
        model.train()
        s = 0.0
        for xb, yb in train_dl:
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(train_dl))
        model.eval()
        with torch.no_grad():
            for xb, yb in val_dl:
                print(accuracy_score(yb.numpy(), model(xb).argmax(1).numpy()))
    return hist


@buggy("sorted-batches")
def folders_one_after_another():
    torch.manual_seed(145)

    class FolderDataset(Dataset):
        def __init__(self, n_per_class=60, n_classes=4):
            self.items = []
            for c in range(n_classes):
                angle = torch.tensor(2 * math.pi * c / n_classes)
                centre = torch.stack([angle.cos(), angle.sin()])
                for _ in range(n_per_class):
                    self.items.append((centre + 0.4 * torch.randn(2), c))

        def __len__(self):
            return len(self.items)

        def __getitem__(self, idx):
            return self.items[idx]

    loader = DataLoader(FolderDataset(), batch_size=20, shuffle=False)
    net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 4))
    opt = optim.Adam(net.parameters(), lr=0.01)
    hist = []
    for _ in range(6):
        s = 0.0
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(loader))
    return hist


@buggy("no-set-epoch")
def distributed_one_replica():
    torch.manual_seed(147)
    X, y = make_blobs(400, centers=4, n_features=3, cluster_std=2.0, random_state=147)
    X = torch.tensor((X - X.mean(0)) / X.std(0)).float()
    y = torch.tensor(y)
    rank, world_size = 0, 1

    def get_loader(ds, train):
        sampler = DistributedSampler(ds, num_replicas=world_size, rank=rank, shuffle=train)
        return DataLoader(ds, batch_size=32, sampler=sampler, drop_last=train), sampler

    train_loader, train_sampler = get_loader(TensorDataset(X[:320], y[:320]), True)
    val_loader, _ = get_loader(TensorDataset(X[320:], y[320:]), False)
    net = nn.Sequential(nn.Linear(3, 24), nn.ReLU(), nn.Linear(24, 4))
    opt = optim.AdamW(net.parameters(), lr=5e-3)
    hist = []
    print(f"rank {rank}: {len(train_sampler)} samples")
    for _epoch in range(6):
        net.train()
        s = 0.0
        for xb, yb in train_loader:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(train_loader))
        net.eval()
        with torch.no_grad():
            n = sum((net(xb).argmax(1) == yb).sum().item() for xb, yb in val_loader)
        print(n / 80)
    return hist


@buggy("labels-misaligned")
def images_and_labels_permuted():
    torch.manual_seed(148)
    digits = load_digits()
    images = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)[:640]
    labels = torch.tensor(digits.target)[:640]
    images = images[torch.randperm(640)]
    labels = labels[torch.randperm(640)]
    train_dl = DataLoader(TensorDataset(images[:512], labels[:512]), batch_size=64, shuffle=True)
    val_dl = DataLoader(TensorDataset(images[512:], labels[512:]), batch_size=64)
    cnn = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 10)
    )
    opt = optim.Adam(cnn.parameters(), lr=5e-3)
    hist = []
    for _ in range(5):
        cnn.train()
        s = 0.0
        for xb, yb in train_dl:
            opt.zero_grad()
            loss = F.cross_entropy(cnn(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(train_dl))
        cnn.eval()
        with torch.no_grad():
            acc = sum((cnn(xb).argmax(1) == yb).sum().item() for xb, yb in val_dl) / 128
        print(f"{hist[-1]:.3f} {acc:.3f}")
    return hist


@buggy("lr-too-high")
def tanh_moons_adam():
    torch.manual_seed(149)
    X, y = make_moons(400, noise=0.15, random_state=149)
    X, y = torch.tensor(X).float(), torch.tensor(y)
    train = DataLoader(TensorDataset(X[:320], y[:320]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(X[320:], y[320:]), batch_size=80)
    net = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))
    opt = optim.Adam(net.parameters(), lr=5.0)
    hist = []
    for _ in range(6):
        net.train()
        s = 0.0
        for xb, yb in train:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(train))
        net.eval()
        with torch.no_grad():
            for xb, yb in val:
                print(hist[-1], F.cross_entropy(net(xb), yb).item())
    return hist


@buggy("dead-relu")
def relu_blocks_regression():
    torch.manual_seed(151)

    class Block(nn.Module):
        def __init__(self, i, o, bias):
            super().__init__()
            self.lin = nn.Linear(i, o)
            nn.init.xavier_normal_(self.lin.weight)
            nn.init.constant_(self.lin.bias, bias)

        def forward(self, x):
            return F.relu(self.lin(x))

    biases = [0.01, -12.0]
    net = nn.Sequential(Block(5, 24, biases[0]), Block(24, 24, biases[1]), nn.Linear(24, 1))
    x = torch.randn(320, 5)
    y = (x[:, :1] ** 2 + x[:, 1:2] - 1).clamp(-2, 2)
    tr = DataLoader(TensorDataset(x[:256], y[:256]), batch_size=32, shuffle=True)
    va = DataLoader(TensorDataset(x[256:], y[256:]), batch_size=64)
    opt = optim.Adam(net.parameters(), lr=5e-3)
    hist = []
    for _ in range(8):
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


@buggy("best-state-alias")
def checkpoint_dict_best():
    torch.manual_seed(153)
    X, y = make_regression(240, 8, noise=20.0, random_state=153)
    X = torch.tensor(X, dtype=torch.float32)
    y = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32)[:, None]
    tr = DataLoader(TensorDataset(X[:160], y[:160]), batch_size=16, shuffle=True)
    va = DataLoader(TensorDataset(X[160:], y[160:]), batch_size=40)
    net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))
    opt = optim.Adam(net.parameters(), lr=0.01)
    best = {"score": math.inf, "epoch": -1, "model": None}
    hist = []
    for epoch in range(10):
        net.train()
        s = 0.0
        for xb, yb in tr:
            opt.zero_grad()
            loss = F.l1_loss(net(xb), yb)
            loss.backward()
            opt.step()
            s += loss.item()
        hist.append(s / len(tr))
        net.eval()
        with torch.no_grad():
            mae = sum(F.l1_loss(net(xb), yb).item() for xb, yb in va) / len(va)
        if mae < best["score"]:
            best.update(score=mae, epoch=epoch, model=dict(net.state_dict()))
    net.load_state_dict(best["model"])
    print(f"best epoch {best['epoch']}: {best['score']:.3f}")
    return hist
