"""Thirty small training loops in the manner of public help requests."""

import io
import random

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.autograd import Variable
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

from .. import buggy


@buggy("scheduler-per-epoch")
def reported_01():
    """The learning rate hardly moved over the whole run: CosineAnnealingLR got T_max counted in batches but is stepped once per epoch."""
    torch.manual_seed(1)
    x = torch.randn(640, 10)
    y = (x[:, 0] + x[:, 1] > 0).long()
    train_loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    model = nn.Sequential(nn.Linear(10, 24), nn.ReLU(), nn.Linear(24, 2))
    criterion = nn.CrossEntropyLoss()
    epochs = 3
    optimizer = optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-5)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(
        optimizer, T_max=len(train_loader) * epochs, eta_min=0, last_epoch=-1
    )
    for epoch in range(epochs):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
        scheduler.step()
        print("epoch", epoch, "loss %.3f" % loss.item(), "lr", scheduler.get_last_lr()[0])
    return model


@buggy("softmax-before-cross-entropy")
def reported_02():
    """Loss got stuck well above zero and learning was very slow: the network ends in Softmax and CrossEntropyLoss applies log-softmax again."""

    class Net(nn.Module):
        def __init__(self):
            super(Net, self).__init__()
            self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
            self.fc1 = nn.Linear(6 * 4 * 4, 32)
            self.fc2 = nn.Linear(32, 4)
            self.out = nn.Softmax(dim=1)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), 2)
            x = x.view(-1, 6 * 4 * 4)
            x = F.relu(self.fc1(x))
            return self.out(self.fc2(x))

    torch.manual_seed(2)
    labels = torch.randint(0, 4, (256,))
    images = torch.randn(256, 1, 8, 8) * 0.5
    for i, k in enumerate(labels.tolist()):
        images[i, 0, (k // 2) * 4 : (k // 2) * 4 + 4, (k % 2) * 4 : (k % 2) * 4 + 4] += 1.0
    loader = DataLoader(TensorDataset(images, labels), batch_size=32, shuffle=True)
    net = Net()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    for epoch in range(6):
        running_loss = 0.0
        for i, data in enumerate(loader, 0):
            inputs, targets = data
            optimizer.zero_grad()
            outputs = net(inputs)
            loss = criterion(outputs, targets)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        print("[%d] loss: %.3f" % (epoch + 1, running_loss / len(loader)))
    return net


@buggy("optimizer-holds-other-params")
def reported_03():
    """A char RNN learned with hand updates but not with optimizer.step(): the network is created a second time after the optimizer took the first one's parameters."""

    class RNN(nn.Module):
        def __init__(self, n_in, n_hid, n_out):
            super().__init__()
            self.n_hid = n_hid
            self.i2h = nn.Linear(n_in + n_hid, n_hid)
            self.i2o = nn.Linear(n_in + n_hid, n_out)

        def forward(self, inp, hidden):
            both = torch.cat((inp, hidden), 1)
            hidden = torch.tanh(self.i2h(both))
            return F.log_softmax(self.i2o(both), dim=1), hidden

        def initHidden(self):
            return torch.zeros(1, self.n_hid)

    torch.manual_seed(3)
    letters, n_cat = 8, 3
    rnn = RNN(letters, 16, n_cat)
    criterion = nn.NLLLoss()
    optimizer = torch.optim.SGD(rnn.parameters(), lr=0.05)

    def random_example():
        c = random.randrange(n_cat)
        ids = [(c * 2 + random.randrange(3)) % letters for _ in range(5)]
        return torch.tensor([c]), F.one_hot(torch.tensor(ids), letters).float()

    def train(category, line):
        hidden = rnn.initHidden()
        optimizer.zero_grad()
        for ch in line:
            output, hidden = rnn(ch.unsqueeze(0), hidden)
        loss = criterion(output, category)
        loss.backward()
        optimizer.step()
        return output, loss.item()

    random.seed(3)
    rnn = RNN(letters, 16, n_cat)
    current_loss, all_losses = 0, []
    for it in range(1, 121):
        category, line = random_example()
        output, l = train(category, line)
        current_loss += l
        if it % 30 == 0:
            all_losses.append(current_loss / 30)
            current_loss = 0
    print(all_losses)
    return rnn


@buggy("broadcast-loss")
def reported_04():
    """The regressor outputs the mean for every row: prediction is (N, 1) and the target (N,), so MSELoss broadcasts to N x N."""
    np.random.seed(4)
    torch.manual_seed(4)
    X = np.random.rand(200, 3).astype(np.float32)
    Y = (3 * X[:, 0] - 2 * X[:, 1] + 0.5).astype(np.float32)
    X_train, Y_train = torch.from_numpy(X), torch.from_numpy(Y)
    model = nn.Sequential(nn.Linear(3, 20), nn.Tanh(), nn.Linear(20, 1))
    loss_fn = torch.nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for t in range(100):
        y_pred = model(X_train)
        loss = loss_fn(y_pred, Y_train)
        if t % 25 == 0:
            print(t, loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@buggy("training-in-eval-mode")
def reported_05():
    """Dropout acted only in the first iterations of each epoch: validate(), called every few iterations, switches to eval and nobody switches back."""
    torch.manual_seed(5)
    x = torch.randn(400, 12)
    y = (x[:, :3].sum(1) > 0).long()
    train_loader = DataLoader(TensorDataset(x[:320], y[:320]), batch_size=16, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[320:], y[320:]), batch_size=40)
    model = nn.Sequential(
        nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.4), nn.Linear(32, 2)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)

    def validate(loader, net):
        net.eval()
        hits = n = 0
        with torch.no_grad():
            for a, b in loader:
                hits += (net(a).argmax(1) == b).sum().item()
                n += len(b)
        return hits / n

    val_step, iters, best = 5, 0, 0.0
    for epoch in range(3):
        model.train()
        for a, b in train_loader:
            iters += 1
            loss = F.cross_entropy(model(a), b)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if iters % val_step == 0:
                best = max(best, validate(val_loader, model))
    print("best", best)
    return model


@buggy("best-state-alias")
def reported_06():
    """The restored 'best' model scored just like the last epoch: state_dict() holds references, so the kept dictionary goes on changing."""
    torch.manual_seed(6)
    x = torch.randn(160, 20)
    y = x[:, :1] * 2 + 0.7 * torch.randn(160, 1)
    tr = DataLoader(TensorDataset(x[:60], y[:60]), batch_size=20, shuffle=True)
    va = (x[60:], y[60:])
    net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 1))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    best_loss = float("inf")
    best_weights = None
    for epoch in range(60):
        net.train()
        for a, b in tr:
            opt.zero_grad()
            F.mse_loss(net(a), b).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            v = F.mse_loss(net(va[0]), va[1]).item()
        if v < best_loss:
            best_loss = v
            best_weights = net.state_dict()
            best_epoch = epoch
    net.load_state_dict(best_weights)
    with torch.no_grad():
        print(
            "best epoch",
            best_epoch,
            best_loss,
            "after reload",
            F.mse_loss(net(va[0]), va[1]).item(),
        )
    return net


@buggy("dropout-always-on")
def reported_07():
    """Validation numbers changed from call to call even after eval(): F.dropout is called without training=self.training."""

    class MLP(nn.Module):
        def __init__(self, d=16, h=32, k=3):
            super().__init__()
            self.a = nn.Linear(d, h)
            self.b = nn.Linear(h, h)
            self.c = nn.Linear(h, k)

        def forward(self, x):
            x = F.dropout(F.relu(self.a(x)), 0.3)
            x = F.dropout(F.relu(self.b(x)), 0.3)
            return self.c(x)

    torch.manual_seed(7)
    x = torch.randn(300, 16)
    y = x[:, :3].argmax(1)
    model = MLP()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

    @torch.no_grad()
    def estimate_loss(xs, ys):
        model.eval()
        out = F.cross_entropy(model(xs), ys).item()
        model.train()
        return out

    for it in range(60):
        if it % 15 == 0:
            print(it, estimate_loss(x[:200], y[:200]), estimate_loss(x[200:], y[200:]))
        ix = torch.randint(200, (32,))
        loss = F.cross_entropy(model(x[ix]), y[ix])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return model


@buggy("extra-backward")
def reported_08():
    """Held-out data seemed to influence training: the shared loss helper calls backward() on validation too, and those gradients go into the next step."""

    class SimpleLossCompute:
        def __init__(self, generator, criterion, opt=None):
            self.generator = generator
            self.criterion = criterion
            self.opt = opt

        def __call__(self, h, y):
            logits = self.generator(h)
            loss = self.criterion(logits, y)
            loss.backward()
            if self.opt is not None:
                self.opt.step()
                self.opt.zero_grad()
            return loss.item()

    def run_epoch(data, body, compute):
        total = 0.0
        for a, b in data:
            total += compute(body(a), b)
        return total / len(data)

    torch.manual_seed(8)
    x = torch.randn(256, 9)
    y = (x[:, 0] * x[:, 1] > 0).long()
    train_data = DataLoader(TensorDataset(x[:192], y[:192]), batch_size=24, shuffle=True)
    val_data = DataLoader(TensorDataset(x[192:], y[192:]), batch_size=32)
    body = nn.Sequential(nn.Linear(9, 32), nn.ReLU())
    generator = nn.Linear(32, 2)
    opt = optim.Adam(list(body.parameters()) + list(generator.parameters()), lr=2e-3)
    crit = nn.CrossEntropyLoss()
    for epoch in range(5):
        body.train()
        tl = run_epoch(train_data, body, SimpleLossCompute(generator, crit, opt))
        body.eval()
        vl = run_epoch(val_data, body, SimpleLossCompute(generator, crit, None))
        print(epoch, round(tl, 3), round(vl, 3))
    return body


@buggy("batch-first-forgotten")
def reported_09():
    """The sequence classifier gave other answers for other batch compositions: data is (batch, time, feature) but the LSTM was made without batch_first=True."""

    class Rnn(nn.Module):
        def __init__(self, in_dim, hidden_dim, n_layer, n_class):
            super(Rnn, self).__init__()
            self.lstm = nn.LSTM(in_dim, hidden_dim, n_layer)
            self.classifier = nn.Linear(hidden_dim, n_class)

        def forward(self, x):
            out, _ = self.lstm(x)
            out = out[:, -1, :]
            return self.classifier(out)

    torch.manual_seed(9)
    x = torch.randn(240, 7, 4)
    y = (x[:, :, 0].sum(1) > 0).long()
    train_loader = DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True)
    model = Rnn(4, 16, 1, 2)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    for epoch in range(5):
        running_acc = 0.0
        for img, label in train_loader:
            out = model(img)
            loss = criterion(out, label)
            running_acc += (out.argmax(1) == label).sum().item()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print("{} acc {:.3f}".format(epoch, running_acc / 240))
    return model


@buggy("kl-on-probabilities")
def reported_10():
    """Distillation loss became negative and the student did not follow: KLDivLoss is fed probabilities where it expects log-probabilities."""
    torch.manual_seed(10)
    teacher = nn.Sequential(nn.Linear(8, 40), nn.ReLU(), nn.Linear(40, 5))
    student = nn.Linear(8, 5)
    teacher.eval()
    x = torch.randn(320, 8)
    kd = nn.KLDivLoss(reduction="batchmean")
    opt = optim.Adam(student.parameters(), lr=1e-2)
    T = 2.0
    for epoch in range(6):
        for xb in x.split(32):
            with torch.no_grad():
                soft = F.softmax(teacher(xb) / T, dim=1)
            s = F.softmax(student(xb) / T, dim=1)
            loss = kd(s, soft) * T * T
            opt.zero_grad()
            loss.backward()
            opt.step()
        print(epoch, loss.item())
    return student


@buggy("graph-kept")
def reported_11():
    """Memory rose with every iteration: the running total adds the loss tensor itself and so keeps each step's graph history."""
    torch.manual_seed(11)
    data = torch.randn(512, 16)
    target = data.mm(torch.randn(16, 1))
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 1))
    criterion = nn.MSELoss(size_average=True)
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    total_loss = 0
    for epoch in range(4):
        for i in range(0, 512, 32):
            inp, tgt = Variable(data[i : i + 32]), Variable(target[i : i + 32])
            optimizer.zero_grad()
            out = model(inp)
            loss = criterion(out, tgt)
            loss.backward()
            optimizer.step()
            total_loss += loss
        print("Epoch %d, avg loss %.4f" % (epoch, float(total_loss) / ((epoch + 1) * 16)))
    return model


@buggy("no-zero-grad")
def reported_12():
    """Loss went down first and then swung up and down wildly: gradients are never zeroed, so every step uses the sum of all past ones."""

    class Trainer:
        def __init__(self, model, loader, lr):
            self.model = model
            self.loader = loader
            self.criterion = nn.CrossEntropyLoss()
            self.optimizer = optim.SGD(self.model.parameters(), lr=lr)
            self.history = []

        def train_one_epoch(self):
            self.model.train()
            total = 0.0
            for xb, yb in self.loader:
                logits = self.model(xb)
                loss = self.criterion(logits, yb)
                loss.backward()
                self.optimizer.step()
                total += loss.item() * xb.size(0)
            return total / len(self.loader.dataset)

        def fit(self, epochs):
            for e in range(epochs):
                self.history.append(self.train_one_epoch())
                print(e, self.history[-1])

    torch.manual_seed(12)
    x = torch.randn(300, 6)
    y = (x[:, 0] - x[:, 1] > 0.2).long()
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    t = Trainer(net, DataLoader(TensorDataset(x, y), batch_size=30, shuffle=True), lr=0.3)
    t.fit(8)
    return net


@buggy("unregistered-layers")
def reported_13():
    """Adding more hidden layers changed nothing and the parameter count was too small: the layers sit in a plain Python list, so they are never registered or trained."""

    class DeepNet(nn.Module):
        def __init__(self, sizes, n_out):
            super().__init__()
            self.hidden = [nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:])]
            self.head = nn.Linear(sizes[-1], n_out)

        def forward(self, x):
            for layer in self.hidden:
                x = torch.relu(layer(x))
            return self.head(x)

    torch.manual_seed(13)
    x = torch.rand(256, 5) * 4 - 2
    y = torch.sin(x.sum(1, keepdim=True))
    net = DeepNet([5, 24, 24], 1)
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for step in range(80):
        opt.zero_grad()
        loss = F.smooth_l1_loss(net(x), y)
        loss.backward()
        opt.step()
    print(sum(p.numel() for p in net.parameters()), loss.item())
    return net


@buggy("layers-cut-off")
def reported_14():
    """D loss goes to zero while samples stay noise forever: the generator step scores the detached fakes, so G never receives a gradient."""
    torch.manual_seed(14)
    nz = 4
    netG = nn.Sequential(nn.Linear(nz, 16), nn.ReLU(), nn.Linear(16, 2))
    netD = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1), nn.Sigmoid())
    criterion = nn.BCELoss()
    optimizerD = optim.Adam(netD.parameters(), lr=1e-2, betas=(0.5, 0.999))
    optimizerG = optim.Adam(netG.parameters(), lr=2e-3, betas=(0.5, 0.999))
    for i in range(60):
        real = torch.randn(32, 2) * 0.3 + torch.tensor([2.0, -1.0])
        ones, zeros = torch.ones(32, 1), torch.zeros(32, 1)
        netD.zero_grad()
        errD_real = criterion(netD(real), ones)
        errD_real.backward()
        noise = torch.randn(32, nz)
        fake = netG(noise).detach()
        errD_fake = criterion(netD(fake), zeros)
        errD_fake.backward()
        optimizerD.step()
        netG.zero_grad()
        errG = criterion(netD(fake), ones)
        errG.backward()
        optimizerG.step()
        if i % 20 == 0:
            print("[%d] D %.3f G %.3f" % (i, (errD_real + errD_fake).item(), errG.item()))
    return netG


@buggy("clip-misplaced")
def reported_15():
    """Clipping seemed to make no difference and the loss still jumped: clip_grad_norm_ runs before backward(), when the gradients are still empty."""
    torch.manual_seed(15)
    seq = torch.cumsum(torch.randn(64, 12, 3), 1)
    tgt = seq.sum(2)[:, -1:] * 3
    gru = nn.GRU(3, 16, batch_first=True)
    fc = nn.Linear(16, 1)
    params = list(gru.parameters()) + list(fc.parameters())
    opt = optim.SGD(params, lr=0.01, momentum=0.5)
    for epoch in range(6):
        for a, b in zip(seq.chunk(4), tgt.chunk(4)):
            opt.zero_grad()
            _, h = gru(a)
            loss = F.mse_loss(fc(h[-1]), b)
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            loss.backward()
            opt.step()
        print(epoch, loss.item())
    return gru


@buggy("labels-misaligned")
def reported_16():
    """Accuracy never left chance level: features and labels are shuffled by two different permutations each epoch and so no longer belong together."""
    np.random.seed(16)
    torch.manual_seed(16)
    features = np.random.randn(300, 8).astype("float32")
    labels = (features[:, 2] > 0).astype("int64")
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
    opt = optim.Adam(net.parameters(), lr=5e-3)
    bs = 30
    for epoch in range(8):
        X = features[np.random.permutation(300)]
        Y = labels[np.random.permutation(300)]
        correct = 0
        for i in range(0, 300, bs):
            xb = torch.from_numpy(X[i : i + bs])
            yb = torch.from_numpy(Y[i : i + bs])
            out = net(xb)
            loss = F.cross_entropy(out, yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            correct += (out.max(1)[1] == yb).sum().item()
        print("epoch", epoch, "acc", correct / 300)
    return net


@buggy("view-swaps-dimensions")
def reported_17():
    """The segmentation maps came out as stripes: the (N, C, H, W) output is flattened by view(-1, C) without first moving the channels to the end."""

    class TinyUNet(nn.Module):
        def __init__(self, n_class):
            super().__init__()
            self.enc = nn.Conv2d(1, 8, 3, padding=1)
            self.mid = nn.Conv2d(8, 8, 3, padding=1)
            self.dec = nn.Conv2d(16, n_class, 1)

        def forward(self, x):
            e = F.relu(self.enc(x))
            m = F.interpolate(F.relu(self.mid(F.max_pool2d(e, 2))), scale_factor=2)
            return self.dec(torch.cat([e, m], 1))

    torch.manual_seed(17)
    n_class = 3
    imgs = torch.randn(32, 1, 8, 8)
    masks = (imgs[:, 0] > -0.4).long() + (imgs[:, 0] > 0.4).long()
    loader = DataLoader(TensorDataset(imgs, masks), batch_size=8, shuffle=True)
    net = TinyUNet(n_class)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(net.parameters(), lr=1e-2)
    for epoch in range(8):
        for img, mask in loader:
            optimizer.zero_grad()
            pred = net(img)
            loss = criterion(pred.view(-1, n_class), mask.view(-1))
            loss.backward()
            optimizer.step()
        print(epoch, loss.item())
    return net


@buggy("softmax-on-multilabel")
def reported_18():
    """A multi-label tagger never predicted more than one tag above 0.5: the scores go through softmax before BCELoss instead of a sigmoid per tag."""

    class Tagger(nn.Module):
        def __init__(self, vocab, dim, tags):
            super().__init__()
            self.emb = nn.EmbeddingBag(vocab, dim)
            self.fc = nn.Linear(dim, tags)

        def forward(self, w):
            return torch.softmax(self.fc(self.emb(w)), dim=1)

    torch.manual_seed(18)
    words = torch.randint(0, 30, (240, 6))
    tags = torch.stack(
        [
            (words < 10).any(1),
            ((words >= 10) & (words < 20)).any(1),
            (words >= 20).any(1),
            (words % 2 == 0).any(1),
        ],
        1,
    ).float()
    loader = DataLoader(TensorDataset(words, tags), batch_size=24, shuffle=True)
    model = Tagger(30, 16, 4)
    criterion = nn.BCELoss()
    optimizer = optim.Adam(model.parameters(), lr=2e-2)
    for epoch in range(6):
        tp = 0
        for w, t in loader:
            p = model(w)
            loss = criterion(p, t)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            tp += ((p > 0.5) == t.bool()).float().mean().item()
        print(epoch, loss.item(), tp / len(loader))
    return model


@buggy("accumulation-cleared")
def reported_19():
    """A larger effective batch gave no smoother training: zero_grad() runs on every micro-batch, so only the last of each group of four is used."""
    torch.manual_seed(19)
    x = torch.randn(256, 10)
    y = (x @ torch.randn(10, 3)).argmax(1)
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 3))
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    accumulation_steps = 4
    for epoch in range(4):
        for i, (inputs, labels) in enumerate(loader):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), labels)
            loss = loss / accumulation_steps
            loss.backward()
            if (i + 1) % accumulation_steps == 0:
                optimizer.step()
        print(epoch, loss.item() * accumulation_steps)
    return model


@buggy("requires-grad-misspelt")
def reported_20():
    """The 'frozen' backbone kept changing: requires_grad = False is set on the child modules, which is a plain attribute there and freezes nothing."""

    class Backbone(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer1 = nn.Sequential(nn.Linear(12, 24), nn.ReLU())
            self.layer2 = nn.Sequential(nn.Linear(24, 24), nn.ReLU())
            self.fc = nn.Linear(24, 10)

        def forward(self, x):
            return self.fc(self.layer2(self.layer1(x)))

    torch.manual_seed(20)
    model = Backbone()
    pretrained = io.BytesIO()
    torch.save(model.state_dict(), pretrained)
    pretrained.seek(0)
    model.load_state_dict(torch.load(pretrained))
    for child in model.children():
        child.requires_grad = False
    model.fc = nn.Linear(24, 2)
    x = torch.randn(128, 12)
    y = (x.sum(1) > 0).long()
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(4):
        for a, b in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(a), b)
            loss.backward()
            optimizer.step()
        print("Epoch {}/{} loss {:.4f}".format(epoch, 3, loss.item()))
    return model


@buggy("scheduler-per-batch")
def reported_21():
    """Learning stopped after the first epoch or so: StepLR, meant for decay every few epochs, is stepped on every batch and lr falls to nearly zero."""
    torch.manual_seed(21)
    x = torch.randn(400, 8)
    y = x[:, :4].argmax(1)
    loader = DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True)
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
    num_epochs = 6
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    exp_lr_scheduler = optim.lr_scheduler.StepLR(opt, step_size=7, gamma=0.1)
    for epoch in range(num_epochs):
        running = 0.0
        for a, b in loader:
            opt.zero_grad()
            loss = F.cross_entropy(net(a), b)
            loss.backward()
            opt.step()
            exp_lr_scheduler.step()
            running += loss.item() * a.size(0)
        print(epoch, running / 400, opt.param_groups[0]["lr"])
    return net


@buggy("weights-not-loaded")
def reported_22():
    """After resuming, the loss started from scratch again: the checkpoint keys carry a 'module.' prefix and strict=False drops every one without a word."""

    def build():
        return nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 1))

    torch.manual_seed(22)
    x = torch.randn(200, 6)
    y = x[:, :1] ** 2 + x[:, 1:2]
    buf = io.BytesIO()

    def run(net, opt, n):
        losses = []
        for _ in range(n):
            opt.zero_grad()
            loss = F.mse_loss(net(x), y)
            loss.backward()
            opt.step()
            losses.append(loss.item())
        return losses

    first = nn.DataParallel(build())
    opt = optim.Adam(first.parameters(), lr=1e-2)
    a = run(first, opt, 60)
    torch.save({"epoch": 60, "state_dict": first.state_dict(), "optimizer": opt.state_dict()}, buf)
    buf.seek(0)
    checkpoint = torch.load(buf)
    model = build()
    model.load_state_dict(checkpoint["state_dict"], strict=False)
    opt = optim.Adam(model.parameters(), lr=1e-2)
    opt.load_state_dict(checkpoint["optimizer"])
    b = run(model, opt, 20)
    print("end of first run", a[-1], "start of second", b[0])
    return model


@buggy("metric-broadcast")
def reported_23():
    """Reported accuracy was far above 100 %: argmax keeps its dimension, so comparing (N, 1) with (N,) counts N x N pairs."""
    torch.manual_seed(23)
    x = torch.randn(240, 7)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    train_loader = DataLoader(TensorDataset(x[:180], y[:180]), batch_size=30, shuffle=True)
    test_loader = DataLoader(TensorDataset(x[180:], y[180:]), batch_size=30)
    model = nn.Sequential(nn.Linear(7, 32), nn.ReLU(), nn.Linear(32, 3), nn.LogSoftmax(dim=1))
    optimizer = optim.Adam(model.parameters(), lr=5e-3)

    def train(epoch):
        model.train()
        for data, target in train_loader:
            optimizer.zero_grad()
            loss = F.nll_loss(model(data), target)
            loss.backward()
            optimizer.step()

    def test():
        model.eval()
        test_loss, correct = 0, 0
        with torch.no_grad():
            for data, target in test_loader:
                output = model(data)
                test_loss += F.nll_loss(output, target, reduction="sum").item()
                pred = output.argmax(dim=1, keepdim=True)
                correct += (pred == target).sum().item()
        n = len(test_loader.dataset)
        print(
            "loss {:.4f} acc {}/{} ({:.0f}%)".format(test_loss / n, correct, n, 100.0 * correct / n)
        )

    for epoch in range(5):
        train(epoch)
        test()
    return model


@buggy("softmax-over-batch")
def reported_24():
    """Training loss stayed odd and single-sample prediction gave always 0: log_softmax is taken over the batch dimension (dim=0), not over classes."""
    torch.manual_seed(24)
    W1 = (torch.randn(10, 32) * 0.3).requires_grad_()
    b1 = torch.zeros(32, requires_grad=True)
    W2 = (torch.randn(32, 4) * 0.2).requires_grad_()
    b2 = torch.zeros(4, requires_grad=True)

    def forward(x):
        h = torch.clamp(x @ W1 + b1, min=0)
        return F.log_softmax(h @ W2 + b2, dim=0)

    x = torch.randn(320, 10)
    y = x[:, :4].argmax(1)
    optimizer = optim.Adam([W1, b1, W2, b2], lr=5e-3)
    for epoch in range(6):
        for xb, yb in zip(x.split(32), y.split(32)):
            loss = F.nll_loss(forward(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(epoch, loss.item())
    return [W1, b1, W2, b2]


@buggy("val-overlaps-train")
def reported_25():
    """Validation looked too good to be true and the real test failed: the validation subset is drawn from rows that are also trained on."""

    class Rows(Dataset):
        def __init__(self, n):
            g = torch.Generator().manual_seed(25)
            self.x = torch.randn(n, 25, generator=g)
            self.y = (self.x[:, 0] + 1.5 * torch.randn(n, generator=g) > 0).long()

        def __len__(self):
            return len(self.x)

        def __getitem__(self, i):
            return self.x[i], self.y[i]

    torch.manual_seed(25)
    dataset = Rows(120)
    _, val_set = random_split(dataset, [90, 30])
    train_loader = DataLoader(dataset, batch_size=20, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=30)
    net = nn.Sequential(nn.Linear(25, 128), nn.ReLU(), nn.Linear(128, 2))
    opt = optim.Adam(net.parameters(), lr=5e-3)
    for epoch in range(12):
        net.train()
        for a, b in train_loader:
            opt.zero_grad()
            F.cross_entropy(net(a), b).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            acc = sum((net(a).argmax(1) == b).sum().item() for a, b in val_loader) / len(val_set)
    print("val acc", acc)
    return net


@buggy("loss-cut-off")
def reported_26():
    """No error any more but the weights do not move: to get past 'does not require grad' the loss was wrapped anew with requires_grad=True, which cuts it off the network."""
    torch.manual_seed(26)
    x = Variable(torch.randn(150, 5))
    y = Variable((x.data[:, 0] > 0).long())
    model = nn.Sequential(nn.Linear(5, 10), nn.Sigmoid(), nn.Linear(10, 2))
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(30):
        optimizer.zero_grad()
        scores = model(x)
        loss = loss_function(scores, y)
        loss = Variable(loss.data, requires_grad=True)
        loss.backward()
        optimizer.step()
        if epoch % 10 == 0:
            print(epoch, loss.item())
    return model


@buggy("targets-out-of-reach")
def reported_27():
    """Predictions were never below zero and often exactly zero: the regressor's output layer is followed by ReLU while the standardised targets are half negative."""

    class Regressor(nn.Module):
        def __init__(self, n_features):
            super(Regressor, self).__init__()
            self.l1 = nn.Linear(n_features, 32)
            self.l2 = nn.Linear(32, 16)
            self.l3 = nn.Linear(16, 1)

        def forward(self, x):
            x = F.relu(self.l1(x))
            x = F.relu(self.l2(x))
            x = F.relu(self.l3(x))
            return x

    torch.manual_seed(27)
    x = torch.randn(256, 6)
    price = 200 + 50 * x[:, :1] - 30 * x[:, 1:2]
    y = (price - price.mean()) / price.std()
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = Regressor(6)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(8):
        for a, b in loader:
            pred = model(a)
            loss = F.mse_loss(pred, b)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(epoch, loss.item())
    return model


@buggy("padding-in-loss")
def reported_28():
    """The tagger boasted a low loss but got real tokens wrong: most positions are padding and the loss counts them as an ordinary class."""

    class SeqTagger(nn.Module):
        def __init__(self, vocab, tags, dim=12):
            super().__init__()
            self.emb = nn.Embedding(vocab, dim, padding_idx=0)
            self.rnn = nn.GRU(dim, 16, batch_first=True)
            self.out = nn.Linear(16, tags)

        def forward(self, t):
            return self.out(self.rnn(self.emb(t))[0])

    torch.manual_seed(28)
    random.seed(28)
    PAD, maxlen = 0, 20
    sents = [torch.randint(1, 20, (random.randint(2, 6),)) for _ in range(120)]
    toks = torch.full((120, maxlen), PAD)
    tags = torch.full((120, maxlen), PAD)
    for i, s in enumerate(sents):
        toks[i, : len(s)] = s
        tags[i, : len(s)] = s % 3 + 1
    model = SeqTagger(20, 4)
    opt = optim.Adam(model.parameters(), lr=1e-2)
    for epoch in range(4):
        for a, b in zip(toks.split(24), tags.split(24)):
            opt.zero_grad()
            logits = model(a)
            loss = F.cross_entropy(logits.reshape(-1, 4), b.reshape(-1))
            loss.backward()
            opt.step()
        print(epoch, loss.item())
    return model


@buggy("grads-cleared-before-step")
def reported_29():
    """The loss printed the same number for ever: zero_grad() stands between backward() and step(), so each update is made from zero gradients."""
    torch.manual_seed(29)
    N, D_in, H, D_out = 64, 20, 16, 3
    x = torch.randn(N, D_in)
    y = torch.randn(N, D_out)
    model = torch.nn.Sequential(
        torch.nn.Linear(D_in, H),
        torch.nn.ReLU(),
        torch.nn.Linear(H, D_out),
    )
    loss_fn = torch.nn.MSELoss(size_average=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for t in range(50):
        y_pred = model(x)
        loss = loss_fn(y_pred, y)
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()
        if t % 10 == 9:
            print(t, loss.item())
    return model


@buggy("target-network-alias")
def reported_30():
    """Q-values drifted and the 'periodic sync' never mattered: the target network is the same object as the policy network, not a copy."""

    class DQN(nn.Module):
        def __init__(self, obs, act):
            super().__init__()
            self.fc1 = nn.Linear(obs, 24)
            self.fc2 = nn.Linear(24, act)

        def forward(self, s):
            return self.fc2(F.relu(self.fc1(s)))

    torch.manual_seed(30)
    random.seed(30)
    policy_net = DQN(4, 2)
    target_net = policy_net
    optimizer = optim.RMSprop(policy_net.parameters(), lr=1e-3)
    memory, gamma = [], 0.95
    state = torch.zeros(4)
    for step in range(120):
        if random.random() < max(0.1, 1 - step / 80):
            action = random.randrange(2)
        else:
            with torch.no_grad():
                action = policy_net(state).argmax().item()
        nxt = 0.9 * state + 0.1 * torch.randn(4) + (0.1 if action else -0.1)
        reward = 1.0 - nxt.abs().mean().item()
        memory.append((state, action, reward, nxt))
        state = nxt
        if len(memory) >= 32:
            s, a, r, n = zip(*random.sample(memory, 32))
            q = policy_net(torch.stack(s)).gather(1, torch.tensor(a).unsqueeze(1)).squeeze(1)
            with torch.no_grad():
                q_next = target_net(torch.stack(n)).max(1)[0]
            loss = F.smooth_l1_loss(q, torch.tensor(r) + gamma * q_next)
            optimizer.zero_grad()
            loss.backward()
            for p in policy_net.parameters():
                p.grad.data.clamp_(-1, 1)
            optimizer.step()
        if step % 20 == 0:
            target_net.load_state_dict(policy_net.state_dict())
    print("loss", loss.item())
    return policy_net
