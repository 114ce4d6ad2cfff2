"""Correct training loops in many styles: there is nothing to find in them."""

import copy
import itertools
import math
import random

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import (
    load_iris,
    make_moons,
)
from sklearn.model_selection import train_test_split
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.optim import AdamW
from torch.optim.lr_scheduler import (
    LambdaLR,
)
from torch.utils.data import (
    DataLoader,
    TensorDataset,
    random_split,
)

from tests.loops import correct


@correct
def tutorial_fashion_style():
    torch.manual_seed(0)
    centers = torch.randn(4, 1, 8, 8)
    y_all = torch.randint(0, 4, (320,))
    x_all = centers[y_all] + 0.8 * torch.randn(320, 1, 8, 8)
    training_data = TensorDataset(x_all[:256], y_all[:256])
    test_data = TensorDataset(x_all[256:], y_all[256:])
    train_dataloader = DataLoader(training_data, batch_size=32, shuffle=True)
    test_dataloader = DataLoader(test_data, batch_size=32)

    class NeuralNetwork(nn.Module):
        def __init__(self):
            super().__init__()
            self.flatten = nn.Flatten()
            self.linear_relu_stack = nn.Sequential(
                nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4)
            )

        def forward(self, x):
            x = self.flatten(x)
            return self.linear_relu_stack(x)

    model = NeuralNetwork()
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=5e-2)

    def train(dataloader, model, loss_fn, optimizer):
        size = len(dataloader.dataset)
        model.train()
        for batch, (X, y) in enumerate(dataloader):
            pred = model(X)
            loss = loss_fn(pred, y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if batch % 4 == 0:
                loss, current = loss.item(), (batch + 1) * len(X)
                print(f"loss: {loss:>7f}  [{current:>5d}/{size:>5d}]")

    def test(dataloader, model, loss_fn):
        size = len(dataloader.dataset)
        num_batches = len(dataloader)
        model.eval()
        test_loss, correct = 0, 0
        with torch.no_grad():
            for X, y in dataloader:
                pred = model(X)
                test_loss += loss_fn(pred, y).item()
                correct += (pred.argmax(1) == y).type(torch.float).sum().item()
        test_loss /= num_batches
        correct /= size
        print(f"Test Error: \n Accuracy: {(100 * correct):>0.1f}%, Avg loss: {test_loss:>8f} \n")

    for t in range(6):
        print(f"Epoch {t + 1}\n-------------------------------")
        train(train_dataloader, model, loss_fn, optimizer)
        test(test_dataloader, model, loss_fn)
    print("Done!")


@correct
def trainer_class_regression():
    torch.manual_seed(0)
    X = torch.randn(300, 5)
    y = X @ torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0]) + 0.3 + 0.1 * torch.randn(300)

    class Trainer:
        def __init__(self, model, train_dl, val_dl, lr=1e-2, epochs=10):
            self.model = model
            self.train_dl, self.val_dl = train_dl, val_dl
            self.opt = torch.optim.Adam(model.parameters(), lr=lr)
            self.epochs = epochs
            self.history = {"train": [], "val": []}

        def _step(self, xb, yb):
            return F.mse_loss(self.model(xb).squeeze(-1), yb)

        def fit(self):
            for _ in range(self.epochs):
                self.history["train"].append(self.train_epoch())
                self.history["val"].append(self.validate())
            return self.history

        def train_epoch(self):
            self.model.train()
            total = n = 0
            for xb, yb in self.train_dl:
                loss = self._step(xb, yb)
                self.opt.zero_grad()
                loss.backward()
                self.opt.step()
                total += loss.item() * len(xb)
                n += len(xb)
            return total / n

        @torch.no_grad()
        def validate(self):
            self.model.eval()
            total = n = 0
            for xb, yb in self.val_dl:
                total += self._step(xb, yb).item() * len(xb)
                n += len(xb)
            return total / n

    ds = TensorDataset(X, y)
    tr, va = random_split(ds, [240, 60])
    model = nn.Sequential(nn.Linear(5, 32), nn.Tanh(), nn.Linear(32, 1))
    trainer = Trainer(model, DataLoader(tr, 32, shuffle=True), DataLoader(va, 60))
    history = trainer.fit()
    print(history["val"][-1])


@correct
def hand_batched_tensors():
    torch.manual_seed(3)
    X = torch.randn(256, 10)
    W = torch.randn(10, 3)
    Y = (X @ W).argmax(dim=1)
    model = nn.Linear(10, 3)
    opt = optim.SGD(model.parameters(), lr=0.5)
    bs = 32
    for epoch in range(15):
        perm = torch.randperm(X.size(0))
        correct_count = 0
        for i in range(0, X.size(0), bs):
            idx = perm[i : i + bs]
            out = model(X[idx])
            loss = F.cross_entropy(out, Y[idx])
            opt.zero_grad()
            loss.backward()
            opt.step()
            correct_count += (out.detach().max(1)[1] == Y[idx]).sum().item()
        if epoch % 5 == 0:
            print(epoch, loss.item(), correct_count / len(X))


@correct
def accumulation_summed_over_tokens():
    # the number of samples of the whole group divides the summed loss; the last group is shorter
    torch.manual_seed(1)
    X = torch.randn(220, 4)
    y = (0.7 * X[:, :2].sum(1, keepdim=True)).sin()
    model = nn.Sequential(nn.Linear(4, 48), nn.GELU(), nn.Linear(48, 1))
    opt = torch.optim.AdamW(model.parameters(), lr=1e-2)
    loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)
    for _ in range(12):
        it = iter(loader)
        while True:
            group = list(itertools.islice(it, 4))
            if not group:
                break
            n = sum(len(xb) for xb, _ in group)
            for xb, yb in group:
                loss = F.mse_loss(model(xb), yb, reduction="sum") / n
                loss.backward()
            opt.step()
            opt.zero_grad(set_to_none=True)


@correct
def lbfgs_full_batch():
    torch.manual_seed(0)
    x = torch.linspace(-3, 3, 100).unsqueeze(1)
    y = torch.sin(2 * x)
    net = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1))
    opt = optim.LBFGS(net.parameters(), lr=0.5, max_iter=10)
    criterion = nn.MSELoss()

    def closure():
        opt.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        return loss

    for step in range(8):
        loss = opt.step(closure)
        print(step, loss.item())


@correct
def dcgan_tutorial_style():
    torch.manual_seed(0)
    real_data = torch.randn(256, 2) * 0.3 + torch.tensor([2.0, -1.0])
    loader = DataLoader(TensorDataset(real_data), batch_size=32, shuffle=True)
    nz = 4
    netG = nn.Sequential(nn.Linear(nz, 16), nn.ReLU(), nn.Linear(16, 2))
    netD = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1), nn.Sigmoid())
    criterion = nn.BCELoss()
    optimizerD = optim.Adam(netD.parameters(), lr=2e-3, betas=(0.5, 0.999))
    optimizerG = optim.Adam(netG.parameters(), lr=2e-3, betas=(0.5, 0.999))
    for epoch in range(8):
        for (data,) in loader:
            netD.zero_grad()
            b_size = data.size(0)
            label = torch.full((b_size,), 1.0)
            output = netD(data).view(-1)
            errD_real = criterion(output, label)
            errD_real.backward()
            noise = torch.randn(b_size, nz)
            fake = netG(noise)
            label.fill_(0.0)
            output = netD(fake.detach()).view(-1)
            errD_fake = criterion(output, label)
            errD_fake.backward()
            optimizerD.step()
            netG.zero_grad()
            label.fill_(1.0)
            output = netD(fake).view(-1)
            errG = criterion(output, label)
            errG.backward()
            optimizerG.step()
        print(epoch, (errD_real + errD_fake).item(), errG.item())


@correct
def actor_critic_two_optimizers():
    torch.manual_seed(0)
    actor = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2))
    critic = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    actor_opt = optim.Adam(actor.parameters(), lr=1e-2)
    critic_opt = optim.Adam(critic.parameters(), lr=1e-2)
    returns = []
    for _ in range(60):
        state = torch.randn(32, 3)
        dist = torch.distributions.Categorical(logits=actor(state))
        action = dist.sample()
        reward = (action == (state[:, 0] > 0).long()).float()
        value = critic(state).squeeze(-1)
        advantage = reward - value
        actor_loss = -(dist.log_prob(action) * advantage.detach()).mean()
        critic_loss = advantage.pow(2).mean()
        actor_opt.zero_grad()
        actor_loss.backward()
        actor_opt.step()
        critic_opt.zero_grad()
        critic_loss.backward()
        critic_opt.step()
        returns.append(reward.mean().item())
    assert np.mean(returns[-10:]) > np.mean(returns[:10])


@correct
def autocast_bf16_cpu():
    torch.manual_seed(0)
    X = torch.randn(256, 16)
    y = (X[:, :8].sum(1) > X[:, 8:].sum(1)).long()
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 2))
    opt = torch.optim.Adam(model.parameters(), lr=5e-3)
    loss_fn = nn.CrossEntropyLoss()
    for _epoch in range(5):
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True):
            opt.zero_grad()
            with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
                out = model(xb)
                loss = loss_fn(out, yb)
            loss.backward()
            opt.step()


@correct
def grad_scaler_unscale_clip():
    torch.manual_seed(0)
    X = torch.randn(256, 10)
    y = X[:, :3].sum(1, keepdim=True) + 0.1 * torch.randn(256, 1)
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    for _ in range(6):
        for inputs, target in loader:
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                output = model(inputs)
            loss = F.mse_loss(output.float(), target)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
            scaler.step(optimizer)
            scaler.update()


@correct
def manual_ema_evaluated():
    torch.manual_seed(5)
    X, y = make_moons(300, noise=0.15, random_state=1)
    X = torch.tensor(X, dtype=torch.float32)
    y = torch.tensor(y)
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
    ema = copy.deepcopy(model)
    for p in ema.parameters():
        p.requires_grad_(False)
    opt = optim.Adam(model.parameters(), lr=1e-2)
    train_ds = TensorDataset(X[:240], y[:240])
    for _ in range(8):
        model.train()
        for xb, yb in DataLoader(train_ds, batch_size=24, shuffle=True):
            loss = F.cross_entropy(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            with torch.no_grad():
                for pe, pm in zip(ema.parameters(), model.parameters(), strict=True):
                    pe.mul_(0.95).add_(pm, alpha=0.05)
        ema.eval()
        with torch.no_grad():
            acc = (ema(X[240:]).argmax(1) == y[240:]).float().mean().item()
        print("ema accuracy", acc)


@correct
def optimizer_in_backward_hooks():
    torch.manual_seed(0)
    X = torch.randn(256, 8)
    y = (X[:, 0] > X[:, 1]).long()
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer_dict = {p: torch.optim.Adam([p], lr=5e-3) for p in model.parameters()}

    def optimizer_hook(parameter):
        optimizer_dict[parameter].step()
        optimizer_dict[parameter].zero_grad()

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(optimizer_hook)

    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    for _ in range(8):
        for xb, yb in loader:
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()


@correct
def sharpness_aware_minimization():
    torch.manual_seed(0)
    X = torch.randn(192, 6)
    y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).long()
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))
    base = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    rho = 0.05
    for _ in range(8):
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True):
            base.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            with torch.no_grad():
                norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm() + 1e-12
                eps = [p.grad * (rho / norm) for p in model.parameters()]
                for p, e in zip(model.parameters(), eps, strict=True):
                    p.add_(e)
            base.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            with torch.no_grad():
                for p, e in zip(model.parameters(), eps, strict=True):
                    p.sub_(e)
            base.step()


@correct
def vae_mlp():
    torch.manual_seed(0)
    proto = torch.bernoulli(torch.full((4, 16), 0.5))
    X = proto[torch.randint(0, 4, (256,))]
    X = torch.where(torch.rand_like(X) < 0.05, 1 - X, X)

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(16, 32)
            self.fc21 = nn.Linear(32, 3)
            self.fc22 = nn.Linear(32, 3)
            self.fc3 = nn.Linear(3, 32)
            self.fc4 = nn.Linear(32, 16)

        def reparameterize(self, mu, logvar):
            std = torch.exp(0.5 * logvar)
            return mu + torch.randn_like(std) * std

        def forward(self, x):
            h = F.relu(self.fc1(x))
            mu, logvar = self.fc21(h), self.fc22(h)
            z = self.reparameterize(mu, logvar)
            return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar

    model = VAE()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(12):
        train_loss = 0
        for (data,) in DataLoader(TensorDataset(X), batch_size=32, shuffle=True):
            optimizer.zero_grad()
            recon, mu, logvar = model(data)
            bce = F.binary_cross_entropy(recon, data, reduction="sum")
            kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
            loss = bce + kld
            loss.backward()
            train_loss += loss.item()
            optimizer.step()
        print(f"====> Epoch: {epoch} Average loss: {train_loss / len(X):.4f}")


@correct
def early_stopping_deepcopy():
    torch.manual_seed(0)
    data = load_iris()
    X_tr, X_va, y_tr, y_va = train_test_split(
        data.data, data.target, test_size=0.3, random_state=0, stratify=data.target
    )
    mean, std = X_tr.mean(0), X_tr.std(0)
    X_tr = torch.tensor((X_tr - mean) / std, dtype=torch.float32)
    X_va = torch.tensor((X_va - mean) / std, dtype=torch.float32)
    y_tr, y_va = torch.tensor(y_tr), torch.tensor(y_va)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
    opt = optim.Adam(model.parameters(), lr=0.02)
    loss_fn = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X_tr, y_tr), batch_size=21, shuffle=True)
    best, best_state, patience, bad = float("inf"), None, 5, 0
    for _epoch in range(30):
        model.train()
        for xb, yb in loader:
            opt.zero_grad()
            loss_fn(model(xb), yb).backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            val = loss_fn(model(X_va), y_va).item()
        if val < best - 1e-3:
            best, best_state, bad = val, copy.deepcopy(model.state_dict()), 0
        else:
            bad += 1
            if bad >= patience:
                break
    model.load_state_dict(best_state)


@correct
def lstm_text_classification_padded():
    torch.manual_seed(0)
    rng = random.Random(0)
    samples = []
    for _ in range(120):
        label = rng.randint(0, 1)
        words = [rng.randint(2, 19) for _ in range(rng.randint(4, 10))]
        words[rng.randrange(len(words))] = 20 if label else 21
        samples.append((torch.tensor(words), label))

    def collate(batch):
        xs, ys = zip(*batch, strict=True)
        lengths = torch.tensor([len(x) for x in xs])
        return pad_sequence(xs, batch_first=True), lengths, torch.tensor(ys)

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(22, 12, padding_idx=0)
            self.lstm = nn.LSTM(12, 24, batch_first=True)
            self.fc = nn.Linear(24, 2)

        def forward(self, x, lengths):
            packed = pack_padded_sequence(
                self.embedding(x), lengths, batch_first=True, enforce_sorted=False
            )
            _, (h, _) = self.lstm(packed)
            return self.fc(h[-1])

    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    loader = DataLoader(samples, batch_size=20, shuffle=True, collate_fn=collate)
    for epoch in range(10):
        hits = seen = 0
        for x, lengths, y in loader:
            optimizer.zero_grad()
            out = model(x, lengths)
            loss = F.cross_entropy(out, y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            hits += (out.argmax(1) == y).sum().item()
            seen += y.numel()
        print(epoch, hits / seen)


@correct
def unet_like_segmentation():
    torch.manual_seed(0)
    n, s = 48, 12
    masks = torch.zeros(n, 1, s, s)
    for i in range(n):
        r, c = torch.randint(0, s - 5, (2,)).tolist()
        masks[i, 0, r : r + 5, c : c + 5] = 1
    images = masks + 0.4 * torch.randn(n, 1, s, s)

    class TinyUNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.Conv2d(1, 8, 3, padding=1)
            self.mid = nn.Conv2d(8, 8, 3, padding=1)
            self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
            self.out = nn.Conv2d(16, 1, 1)

        def forward(self, x):
            d = F.relu(self.down(x))
            m = F.relu(self.mid(F.max_pool2d(d, 2)))
            return self.out(torch.cat([self.up(m), d], dim=1))

    def dice_loss(logits, target):
        p = logits.sigmoid()
        inter = (p * target).sum(dim=(1, 2, 3))
        return (1 - (2 * inter + 1) / ((p + target).sum(dim=(1, 2, 3)) + 1)).mean()

    net = TinyUNet()
    opt = torch.optim.Adam(net.parameters(), lr=1e-2)
    train_dl = DataLoader(TensorDataset(images[:40], masks[:40]), batch_size=8, shuffle=True)
    for _ in range(7):
        net.train()
        for img, msk in train_dl:
            logits = net(img)
            loss = F.binary_cross_entropy_with_logits(logits, msk) + dice_loss(logits, msk)
            opt.zero_grad()
            loss.backward()
            opt.step()
        net.eval()
        with torch.inference_mode():
            pred = (net(images[40:]) > 0).float()
            inter = (pred * masks[40:]).sum()
            union = ((pred + masks[40:]) > 0).sum()
            print("IoU", (inter / union).item())


@correct
def autoencoder_mse():
    torch.manual_seed(0)
    Z = torch.randn(300, 2)
    X = torch.tanh(Z @ torch.randn(2, 12)) + 0.05 * torch.randn(300, 12)
    encoder = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 2))
    decoder = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 12))
    params = list(encoder.parameters()) + list(decoder.parameters())
    optimizer = torch.optim.Adam(params, lr=1e-2)
    losses = []
    for _ in range(15):
        for (xb,) in DataLoader(TensorDataset(X), batch_size=50, shuffle=True):
            rec = decoder(encoder(xb))
            loss = nn.MSELoss()(rec, xb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    print(np.mean(losses[-6:]))


@correct
def warmup_lambda_per_batch():
    torch.manual_seed(0)
    X = torch.randn(320, 8)
    y = (X[:, :4].sum(1) > 0).long() + (X[:, 4] > 1).long()
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)
    epochs = 8
    total = epochs * len(loader)
    warmup = total // 10

    def lr_lambda(step):
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

    opt = AdamW(model.parameters(), lr=1e-2)
    sched = LambdaLR(opt, lr_lambda)
    for _ in range(epochs):
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
            sched.step()
