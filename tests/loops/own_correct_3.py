"""Correct loops that the doctor once accused: older spellings, wrappers, other orders."""

import warnings

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from . import correct


def _points(n=300, classes=3):
    torch.manual_seed(0)
    X = torch.randn(n, 6)
    return X, X[:, :classes].argmax(1)


def _net(outputs=3, *last):
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, outputs), *last)


def _loaders(X, y):
    train = DataLoader(TensorDataset(X[:200], y[:200]), 20, shuffle=True)
    return train, DataLoader(TensorDataset(X[200:], y[200:]), 20)


def _trained_and_scored(net, loss_fn, score):
    """Three epochs; `score(output, labels)` is added up over the validation rows."""
    train, val = _loaders(*_points())
    opt = optim.SGD(net.parameters(), lr=0.3)
    for _ in range(3):
        net.train()
        for xb, yb in train:
            opt.zero_grad()
            loss_fn(net(xb), yb).backward()
            opt.step()
        net.eval()
        total = 0
        with torch.no_grad():
            for xb, yb in val:
                total += score(net(xb), yb).item()
        total /= len(val.dataset)
        print(total)


@correct
def sum_of_losses_by_size_average():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _trained_and_scored(
            _net(3, nn.LogSoftmax(1)), F.nll_loss, lambda out, y: F.nll_loss(out, y, size_average=False)
        )  # fmt: skip


@correct
def argmax_along_an_axis():
    _trained_and_scored(_net(), F.cross_entropy, lambda out, y: (out.argmax(axis=1) == y).sum())


@correct
def max_along_an_axis():
    _trained_and_scored(
        _net(), F.cross_entropy, lambda out, y: (torch.max(out, axis=-1)[1] == y).sum()
    )


@correct
def one_row_at_a_time_and_one_answer():
    X, y = _points()
    net = _net()
    opt = optim.Adam(net.parameters(), lr=0.01)
    for _ in range(60):
        i = torch.randint(200, (20,))
        opt.zero_grad()
        F.cross_entropy(net(X[i]), y[i]).backward()
        opt.step()
    right = 0
    with torch.no_grad():
        for row, label in zip(X[200:], y[200:], strict=True):
            right += int(net(row.unsqueeze(0)).argmax() == label)
    print(right)


class _Handing(optim.Optimizer):
    """Hands everything on to the optimizer inside, as wrappers of training libraries do."""

    def __init__(self, inner):
        self.inner = inner

    param_groups = property(lambda self: self.inner.param_groups)
    state = property(lambda self: self.inner.state)
    defaults = property(lambda self: self.inner.defaults)

    def zero_grad(self, set_to_none=True):
        self.inner.zero_grad(set_to_none)

    def step(self, closure=None):
        return self.inner.step(closure)


class _Copying(_Handing):
    """The same with groups of its own, whose rate it hands on before each step."""

    def __init__(self, inner):
        super().__init__(inner)
        self.groups = [dict(group) for group in inner.param_groups]

    param_groups = property(lambda self: self.groups)

    def step(self, closure=None):
        for group, inner in zip(self.groups, self.inner.param_groups, strict=True):
            inner["lr"] = group["lr"]
        return super().step(closure)


def _scheduled(wrapper):
    train, _ = _loaders(*_points())
    net = _net()
    opt = wrapper(optim.SGD(net.parameters(), lr=0.5))
    schedule = optim.lr_scheduler.LambdaLR(opt, lambda n: 1 - n / 31)
    for _ in range(3):
        for xb, yb in train:
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()
            schedule.step()


@correct
def a_schedule_for_a_wrapper_of_the_optimizer():
    _scheduled(_Handing)


@correct
def a_schedule_for_a_wrapper_with_its_own_groups():
    _scheduled(_Copying)


def _line_by_hand(clear):
    torch.manual_seed(0)
    X = torch.randn(300, 4)
    y = X @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]])
    loader = DataLoader(TensorDataset(X, y), 30, shuffle=True)
    w = torch.zeros(4, 1, requires_grad=True)
    for _ in range(4):
        for xb, yb in loader:
            ((xb @ w - yb) ** 2).mean().backward()
            with torch.no_grad():
                w[:] -= 0.1 * w.grad
            clear(w)


@correct
def gradient_zeroed_through_data():
    _line_by_hand(lambda w: w.grad.data.zero_())


@correct
def gradient_zeroed_by_numpy():
    _line_by_hand(lambda w: w.grad.numpy().fill(0))


def _cleared_each_step(clear):
    X, y = _points()
    net = _net()
    opt = optim.Adam(net.parameters(), lr=0.01)
    for _ in range(40):
        i = torch.randint(200, (20,))
        F.cross_entropy(net(X[i]), y[i]).backward()
        opt.step()
        clear([p for p in net.parameters() if p.grad is not None])


@correct
def gradients_zeroed_through_data_under_an_optimizer():
    _cleared_each_step(lambda params: [p.grad.data.zero_() for p in params])


@correct
def gradients_zeroed_all_at_once():
    _cleared_each_step(lambda params: torch._foreach_zero_([p.grad for p in params]))


@correct
def gradients_detached_and_zeroed():
    _cleared_each_step(lambda params: [p.grad.detach_().zero_() for p in params])


@correct
def gradients_replaced_by_zeros():
    def clear(params):
        for p in params:
            p.grad = torch.zeros_like(p)

    _cleared_each_step(clear)


@correct
def two_models_side_by_side():
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 20).unsqueeze(1)
    y = x + 0.3 * torch.randn(20, 1)
    plain = nn.Sequential(nn.Linear(1, 50), nn.ReLU(), nn.Linear(50, 1))
    dropped = nn.Sequential(nn.Linear(1, 50), nn.Dropout(0.5), nn.ReLU(), nn.Linear(50, 1))
    opts = [optim.Adam(net.parameters(), lr=0.01) for net in (plain, dropped)]
    for _ in range(100):
        losses = [F.mse_loss(net(x), y) for net in (plain, dropped)]
        for opt in opts:
            opt.zero_grad()
        for loss in losses:
            loss.backward()
        for opt in opts:
            opt.step()


@correct
def a_model_that_is_only_shown():
    X, y = _points()
    shown = _net()
    F.cross_entropy(shown(X[:20]), y[:20]).backward()
    print("norm before clipping", nn.utils.clip_grad_norm_(shown.parameters(), 0.1))
    net = _net()
    opt = optim.Adam(net.parameters(), lr=0.01)
    for _ in range(60):
        i = torch.randint(200, (20,))
        opt.zero_grad()
        F.cross_entropy(net(X[i]), y[i]).backward()
        opt.step()


class _Forecast(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 16, batch_first=True)
        self.out = nn.Linear(16, 1)

    def forward(self, x):
        return self.out(self.lstm(x.unsqueeze(-1))[0][:, -1])


def _rising_series(lr, by_hand=False):
    torch.manual_seed(0)
    t = torch.arange(600.0)
    s = (t / 200 + 1) * (1 + 0.3 * torch.sin(t / 6))
    s = (s - s.min()) / (s.max() - s.min())
    X, y = s.unfold(0, 8, 1)[:-1], s[8:].unsqueeze(1)
    net = _Forecast()
    opt = optim.Adam(net.parameters(), lr=lr)
    loader = DataLoader(TensorDataset(X, y), batch_size=32)
    for _ in range(3):
        for xb, yb in zip(X.split(32), y.split(32), strict=True) if by_hand else loader:
            opt.zero_grad()
            F.mse_loss(net(xb), yb).backward()
            opt.step()


@correct
def rising_series_in_order():
    _rising_series(0.001)


@correct
def rising_series_in_order_with_short_steps():
    _rising_series(0.0001)


@correct
def rising_series_in_slices():
    _rising_series(0.001, by_hand=True)


@correct
def a_batch_without_a_number_is_skipped():
    X, y = _points()
    net = _net()
    opt = optim.Adam(net.parameters(), lr=0.01)
    for step in range(40):
        i = torch.randint(200, (20,))
        opt.zero_grad()
        loss = F.cross_entropy(net(X[i]), y[i]) * (float("inf") if step == 5 else 1)
        loss.backward()
        if torch.isfinite(loss):
            opt.step()
