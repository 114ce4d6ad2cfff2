"""Buggy loops written beside the doctor: forms that the other modules don't have."""

import io

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, Dataset, TensorDataset

from . import buggy


def _points(n=320, seed=0):
    torch.manual_seed(seed)
    X = torch.randn(n, 6)
    return X, (X[:, 0] - X[:, 1] * X[:, 2] > 0).long()


def _loader(batch_size=32):
    return DataLoader(TensorDataset(*_points()), batch_size=batch_size, shuffle=True)


def _net(*extra):
    return nn.Sequential(nn.Linear(6, 32), *extra, nn.ReLU(), nn.Linear(32, 2))


def _fit(net, opt, epochs=4, loader=None):
    for _ in range(epochs):
        for xb, yb in loader or _loader():
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()


@buggy("no-zero-grad")
def zeroed_in_place_once_per_epoch():
    net = _net()
    opt = optim.SGD(net.parameters(), lr=0.01)
    for _ in range(3):
        opt.zero_grad(set_to_none=False)
        for xb, yb in _loader():
            F.cross_entropy(net(xb), yb).backward()
            opt.step()


@buggy("eval-in-train-mode")
def whole_validation_tensor():
    X, y = _points(400)
    net = _net(nn.Dropout(0.3))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(30):
        opt.zero_grad()
        F.cross_entropy(net(X[:320]), y[:320]).backward()
        opt.step()
        with torch.no_grad():
            F.cross_entropy(net(X[320:]), y[320:]).item()


@buggy("training-in-eval-mode")
def full_batch_after_validation():
    X, y = _points(400)
    net = _net(nn.BatchNorm1d(32))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    net.train()
    for _ in range(30):
        opt.zero_grad()
        F.cross_entropy(net(X[:320]), y[:320]).backward()
        opt.step()
        net.eval()
        with torch.no_grad():
            F.cross_entropy(net(X[320:]), y[320:]).item()


@buggy("optimizer-holds-other-params")
def head_replaced_after_the_optimizer():
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    net[-1] = nn.Linear(32, 2)
    _fit(net, opt)


@buggy("best-state-alias")
def shallow_copy_of_the_dict():
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    best = None
    for epoch in range(4):
        _fit(net, opt, epochs=1)
        if epoch == 1:
            best = {name: value.detach() for name, value in net.state_dict().items()}
    net.load_state_dict(best)


@buggy("labels-misaligned")
def two_loaders_that_shuffle_alone():
    X, y = _points()
    inputs = DataLoader(X, batch_size=32, shuffle=True)
    labels = DataLoader(y, batch_size=32, shuffle=True)
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(3):
        for xb, yb in zip(inputs, labels, strict=True):
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()


@buggy("broadcast-loss")
def squeezed_outputs_against_a_column():
    X, _ = _points()
    y = X[:, :1] * 2 - 1
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(20):
        loss = (net(X).squeeze() - y).abs().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()


@buggy("loss-cut-off")
def loss_made_anew():
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for xb, yb in _loader():
        opt.zero_grad()
        loss = torch.tensor(F.cross_entropy(net(xb), yb).item(), requires_grad=True)
        loss.backward()
        opt.step()


@buggy("layers-cut-off")
def numpy_in_the_middle():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(6, 32), nn.Linear(32, 2)

        def forward(self, x):
            hidden = torch.relu(self.first(x)).detach().numpy()
            return self.second(torch.tensor(hidden))

    net = Net()
    _fit(net, optim.Adam(net.parameters(), lr=1e-2))


@buggy("step-never-called")
def optimizer_step_after_return():
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)

    def step(xb, yb):
        opt.zero_grad()
        loss = F.cross_entropy(net(xb), yb)
        loss.backward()
        return loss.item()

    for xb, yb in _loader():
        step(xb, yb)


@buggy("scheduler-per-batch")
def step_lr_in_the_inner_loop():
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    scheduler = optim.lr_scheduler.StepLR(opt, step_size=3, gamma=0.1)
    for _ in range(4):
        for xb, yb in _loader():
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()
            scheduler.step()


@buggy("clip-misplaced")
def clip_by_value_after_the_step():
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(3):
        for xb, yb in _loader():
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            nn.utils.clip_grad_value_(net.parameters(), 0.5)


@buggy("no-zero-grad")
def weights_moved_by_hand():
    X, y = _points()
    net = _net()
    for _ in range(20):
        F.cross_entropy(net(X), y).backward()
        for p in net.parameters():
            p.data -= 0.01 * p.grad


@buggy("grads-cleared-before-step")
def gradients_zeroed_in_place():
    X, y = _points()
    net = _net()
    opt = optim.SGD(net.parameters(), lr=0.1)
    for _ in range(20):
        F.cross_entropy(net(X), y).backward()
        for p in net.parameters():
            p.grad.zero_()
        opt.step()


@buggy("accumulation-not-averaged")
def slices_accumulated():
    X, y = _points()
    net = _net()
    opt = optim.SGD(net.parameters(), lr=0.01)
    for _ in range(6):
        opt.zero_grad()
        for i in range(0, 320, 80):
            loss = ((net(X[i : i + 80])[:, 0] - y[i : i + 80]) ** 2).mean()
            loss.backward()
        opt.step()


@buggy("params-not-optimized")
def scale_of_its_own():
    X, y = _points()
    net, scale = _net(), nn.Parameter(torch.ones(1))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(10):
        opt.zero_grad()
        F.cross_entropy(net(X) * scale, y).backward()
        opt.step()


@buggy("layers-cut-off")
def encoder_without_a_graph():
    X, y = _points()
    encoder, head = nn.Linear(6, 16), nn.Linear(16, 2)
    opt = optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(10):
        with torch.no_grad():
            hidden = torch.tanh(encoder(X))
        opt.zero_grad()
        F.cross_entropy(head(hidden), y).backward()
        opt.step()


@buggy("loss-cut-off")
def loss_under_no_grad():
    X, y = _points()
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(10):
        with torch.no_grad():
            loss = F.cross_entropy(net(X), y)
        loss.requires_grad_()
        opt.zero_grad()
        loss.backward()
        opt.step()


class _Hidden(nn.Module):
    def __init__(self, out):
        super().__init__()
        self.first, self.out = nn.Linear(6, 16), out

    def forward(self, x):
        x = torch.relu(self.first(x))
        return nn.Linear(16, 2)(x) if self.out is None else x @ self.out


@buggy("unregistered-layers")
def layer_made_in_forward():
    net = _Hidden(None)
    _fit(net, optim.Adam(net.parameters(), lr=1e-2), epochs=1)


@buggy("unregistered-layers")
def weights_that_are_no_parameter():
    net = _Hidden(torch.randn(16, 2, requires_grad=True))
    _fit(net, optim.Adam(net.parameters(), lr=1e-2), epochs=1)


def _train_on(loss_fn, out=2):
    X, y = _points()
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, out))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(5):
        opt.zero_grad()
        loss_fn(net(X), y).backward()
        opt.step()


@buggy("softmax-before-cross-entropy")
def softmax_by_hand():
    _train_on(lambda z, y: F.cross_entropy(z.exp() / z.exp().sum(1, keepdim=True), y))


@buggy("sigmoid-before-bce-with-logits")
def sigmoid_kept_off_zero():
    bce = F.binary_cross_entropy_with_logits
    _train_on(lambda z, y: bce(z.sigmoid().clamp(1e-6, 1 - 1e-6)[:, 0], y.float()), out=1)


@buggy("nll-on-logits")
def nll_by_hand():
    _train_on(lambda z, y: -z[torch.arange(len(y)), y].mean())


@buggy("cross-entropy-one-class")
def rows_taken_for_classes():
    _train_on(lambda z, y: F.cross_entropy(z.squeeze(1), y.float()), out=1)


@buggy("broadcast-loss")
def log_loss_by_hand():
    def loss_fn(z, y):
        p = z.sigmoid()
        return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()

    _train_on(loss_fn, out=1)


@buggy("eval-builds-graph")
def validation_tensor_with_graph():
    X, y = _points(400)
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(4):
        _fit(net, opt, epochs=1)
        net.eval()
        F.cross_entropy(net(X[320:]), y[320:]).item()
        net.train()


@buggy("metric-not-normalised")
def training_loss_over_rows():
    net, loader = _net(), _loader()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(3):
        total = 0.0
        for xb, yb in loader:
            opt.zero_grad()
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            total += loss.item()
        print(total / len(loader.dataset))


@buggy("sorted-batches")
def sorted_slices_of_two_classes():
    X, y = _points()
    order = y.argsort()
    X, y = X[order], y[order].float()
    net = nn.Linear(6, 1)
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(4):
        for i in range(0, 320, 32):
            opt.zero_grad()
            logits = net(X[i : i + 32]).squeeze(1)
            F.binary_cross_entropy_with_logits(logits, y[i : i + 32]).backward()
            opt.step()


@buggy("best-state-alias")
def alias_in_a_checkpoint():
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for epoch in range(3):
        _fit(net, opt, epochs=1)
        if epoch == 1:
            best = {"epoch": epoch, "model": net.state_dict()}
    torch.save(best, io.BytesIO())


@buggy("eval-in-train-mode")
def dropout_on_while_a_tensor_is_evaluated():
    X, y = _points()
    net = _net(nn.Dropout(0.3))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(4):
        for part in torch.randperm(256).split(32):
            opt.zero_grad()
            F.cross_entropy(net(X[part]), y[part]).backward()
            opt.step()
        with torch.no_grad():
            print((net(X[256:]).argmax(1) == y[256:]).float().mean())


@buggy("eval-in-train-mode")
def neither_eval_nor_no_grad():
    X, y = _points()
    net = _net(nn.Dropout(0.3))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(40):
        opt.zero_grad()
        F.cross_entropy(net(X[:256]), y[:256]).backward()
        opt.step()
        print(F.cross_entropy(net(X[256:]), y[256:]).item())


@buggy("eval-in-train-mode")
def neither_of_them_beside_batches():
    X, y = _points()
    net = _net(nn.Dropout(0.3))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(6):
        for part in torch.randperm(256).split(32):
            opt.zero_grad()
            F.cross_entropy(net(X[part]), y[part]).backward()
            opt.step()
        print((net(X[256:]).argmax(1) == y[256:]).float().mean().item())


@buggy("val-scaled-differently")
def raw_tensor_beside_a_scaled_loader():
    X, y = _points()
    X = 30 + 12 * X
    mean, std = X[:256].mean(0), X[:256].std(0)
    loader = DataLoader(TensorDataset((X[:256] - mean) / std, y[:256]), batch_size=32, shuffle=True)
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(4):
        _fit(net, opt, epochs=1, loader=loader)
        net.eval()
        with torch.no_grad():
            print(F.cross_entropy(net(X[256:]), y[256:]).item())
        net.train()


@buggy("val-overlaps-train")
def validation_tensor_of_rows_drawn_twice():
    X, y = _points()
    loader = DataLoader(TensorDataset(X[:256], y[:256]), batch_size=32, shuffle=True)
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(4):
        _fit(net, opt, epochs=1, loader=loader)
        net.eval()
        with torch.no_grad():
            print((net(X[200:]).argmax(1) == y[200:]).float().mean())
        net.train()


@buggy("metric-not-normalised")
def helper_that_returns_a_batch_mean():
    def accuracy(logits, labels):
        return (logits.argmax(1) == labels).float().mean().item()

    X, y = _points(160, seed=1)
    loader = DataLoader(TensorDataset(X, y), batch_size=50)
    net = _net()
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(3):
        _fit(net, opt, epochs=1)
        accuracies = []
        with torch.no_grad():
            for xb, yb in loader:
                accuracies.append(accuracy(net(xb), yb))
        print(sum(accuracies) / len(accuracies))


@buggy("metric-broadcast")
def helper_that_returns_a_numpy_column():
    def predict(net, X):
        with torch.no_grad():
            return net(X).numpy()

    X, _ = _points()
    truth = X[:, 0].numpy()
    net = nn.Linear(6, 1)
    opt = optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(4):
        opt.zero_grad()
        F.mse_loss(net(X), X[:, :1]).backward()
        opt.step()
        predicted = predict(net, X)
        print(((predicted - truth) ** 2).mean())


@buggy("lr-too-high")
def far_too_long_steps_that_end_at_chance():
    torch.manual_seed(0)
    net = _net()
    opt = optim.Adam(net.parameters(), lr=3)
    _fit(net, opt, epochs=8)


def _line_with(loss_fn, batches=30):
    torch.manual_seed(0)
    X = torch.rand(64, 3)
    y = X.sum(1, keepdim=True)
    net = nn.Linear(3, 1)
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(batches):
        opt.zero_grad()
        loss_fn(net(X), y).backward()
        opt.step()


@buggy("nan-loss")
def logarithm_of_negative_outputs():
    _line_with(lambda out, y: (torch.log(out - 5) - torch.log(y)).pow(2).mean())


@buggy("nan-loss")
def root_of_a_difference_that_is_zero():
    _line_with(
        lambda out, y: torch.sqrt((out - out.detach()).pow(2)).mean() + (out - y).pow(2).mean()
    )


class _Forgetful(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(6, 16), nn.LayerNorm(16), nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.body(x).relu())


@buggy("layers-cut-off")
def layer_that_forward_forgets():
    net = _Forgetful()
    _fit(net, optim.Adam(net.parameters(), lr=1e-2))


@buggy("input-scale")
def pixels_divided_as_whole_numbers():
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (320, 6))
    labels = (pixels[:, 0] > pixels[:, 1]).long()
    loader = DataLoader(TensorDataset((pixels // 256).float(), labels), 32, shuffle=True)
    net = _net()
    _fit(net, optim.Adam(net.parameters(), lr=1e-2), loader=loader)


class _Noisy(nn.Module):
    """The root of a variance that becomes negative, behind torch.where."""

    def __init__(self):
        super().__init__()
        self.out, self.var = nn.Linear(6, 2), nn.Parameter(torch.tensor(0.2))

    def forward(self, x):
        out = self.out(x)
        return out + torch.where(self.var > 0, self.var.sqrt(), 0.0) * torch.randn_like(out)


@buggy("nan-loss")
def nan_that_the_loss_does_not_show():
    torch.manual_seed(0)
    net = _Noisy()
    _fit(net, optim.Adam(net.parameters(), lr=5e-2))


@buggy("lr-too-low")
def schedule_that_ends_in_the_middle():
    net = _net()
    opt = optim.AdamW(net.parameters(), lr=1e-2)
    schedule = optim.lr_scheduler.LinearLR(opt, 1.0, 0.0, total_iters=4)
    for _ in range(8):
        _fit(net, opt, epochs=1)
        schedule.step()


class Shaken(Dataset):
    """Rows with noise from a generator of its own, of which each worker gets a copy."""

    def __init__(self):
        self.X, self.y = _points()
        self.rng = np.random.default_rng(0)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.X[i] + 0.1 * torch.from_numpy(self.rng.normal(size=6)).float(), self.y[i]


@buggy("same-augmentation")
def noise_that_workers_repeat():
    net = _net()
    loader = DataLoader(Shaken(), 32, shuffle=True, num_workers=1)
    _fit(net, optim.Adam(net.parameters(), lr=1e-2), epochs=2, loader=loader)
