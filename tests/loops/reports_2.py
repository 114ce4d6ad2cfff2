"""More bugs that people reported in public, in other forms than theirs, each beside loops that look
alike and are right."""

import copy

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from . import buggy, correct
from .reports import _batches, _net, _rows, _step

# Accumulation --------------------------------------------------------------------------------


def _slices(per_row):
    """Four slices for each step; with `per_row` their gradients are added up by hand."""
    X, y = _rows()
    net = _net()
    opt = optim.Adam(net.parameters(), 1e-2)
    for rows in (torch.arange(320).split(80)) * 3:
        total = [torch.zeros_like(p) for p in net.parameters()]
        for part in rows.split(20):
            opt.zero_grad()
            (F.cross_entropy(net(X[part]), y[part]) / 4).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            if per_row:
                for t, p in zip(total, net.parameters(), strict=True):
                    t += p.grad
        if per_row:
            for t, p in zip(total, net.parameters(), strict=True):
                p.grad = t
        opt.step()


@buggy("accumulation-cleared")
def slices_cleared_one_by_one():
    _slices(per_row=False)


@correct
def clipped_slices_added_by_hand():
    _slices(per_row=True)


def _rehearsed(clear):
    """Training, then a look at other data that calls backward to measure its gradient."""
    net = _net()
    opt = optim.SGD(net.parameters(), 0.1)
    for _ in range(4):
        for xb, yb in _batches():
            F.cross_entropy(net(xb), yb).backward()
            opt.step()
            opt.zero_grad()
        for xb, yb in _batches(96):
            F.cross_entropy(net(xb), yb).backward()
        if clear:
            opt.zero_grad()


@buggy("extra-backward")
def gradients_of_other_data_left():
    _rehearsed(clear=False)


@correct
def gradients_of_other_data_cleared():
    _rehearsed(clear=True)


@correct
def memory_walked_through_for_every_step():
    net = _net()
    opt = optim.SGD(net.parameters(), 0.1)
    memory = DataLoader(TensorDataset(*_rows(40, seed=1)), 20)
    for _ in range(2):
        for xb, yb in _batches():
            opt.zero_grad()
            for old, labels in memory:
                (F.cross_entropy(net(old), labels) / len(memory)).backward()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()


# Weights that are loaded ---------------------------------------------------------------------


def _resumed(rename):
    first, X = _net(), _rows()
    _train(first, *X)
    state = {f"model.{name}": value.clone() for name, value in first.state_dict().items()}
    second = _net()
    if rename:
        state = {name.removeprefix("model."): value for name, value in state.items()}
    second.load_state_dict(state, strict=False)
    _train(second, *X)


def _train(net, X, y, steps=12):
    opt = optim.Adam(net.parameters(), 1e-2)
    for _ in range(steps):
        _step(opt, F.cross_entropy(net(X), y))


@buggy("weights-not-loaded")
def names_with_a_prefix():
    _resumed(rename=False)


@correct
def names_without_the_prefix():
    _resumed(rename=True)


@correct
def body_loaded_and_head_new():
    X, y = _rows()
    state = _net(outputs=5).state_dict()
    net = _net()
    net.load_state_dict({name: v for name, v in state.items() if name[0] == "0"}, strict=False)
    _train(net, X, y)


def _synced(target):
    """Values of states under a target network that is synchronised again and again."""
    X, _ = _rows()
    net = _net(outputs=1)
    old = target(net)
    opt = optim.Adam(net.parameters(), 1e-2)
    for i, rows in enumerate(torch.randint(320, (30, 32))):
        if i % 5 == 0:
            old.load_state_dict(net.state_dict())
        with torch.no_grad():
            goal = X[rows, :1] + 0.9 * old(X[rows] + 0.1)
        _step(opt, F.smooth_l1_loss(net(X[rows]), goal))


@buggy("target-network-alias")
def target_that_is_the_network():
    _synced(lambda net: net)


@correct
def target_that_is_a_copy():
    _synced(copy.deepcopy)


@correct
def weights_loaded_into_themselves_once():
    X, y = _rows()
    net = _net()
    _train(net, X, y)
    net.load_state_dict(net.state_dict())
    _train(net, X, y)


# Losses --------------------------------------------------------------------------------------


def _labels(answer, several):
    """Labels of each row by their signs, several or just one; BCELoss on `answer`."""
    X, y = _rows()
    labels = (X[:, :3] > 0).float() if several else F.one_hot(y, 3).float()
    net = _net(outputs=3)
    opt = optim.Adam(net.parameters(), 1e-2)
    for rows in torch.arange(320).split(32) * 2:
        _step(opt, F.binary_cross_entropy(answer(net(X[rows])), labels[rows]))


@buggy("softmax-on-multilabel")
def softmax_by_hand_for_several_labels():
    _labels(lambda z: z.exp() / z.exp().sum(1, keepdim=True), several=True)


@correct
def softmax_for_one_label_a_row():
    _labels(lambda z: torch.softmax(z, 1), several=False)


@correct
def sigmoid_for_several_labels():
    _labels(torch.sigmoid, several=True)


class _Last(nn.Module):
    """The last output of a GRU, as it is or through a linear layer."""

    def __init__(self, head):
        super().__init__()
        self.gru = nn.GRU(3, 4 if head else 2, batch_first=True)
        self.head = nn.Linear(4, 2) if head else nn.Identity()

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])


def _classified(net, shape=(6,)):
    X, y = _rows()
    opt = optim.Adam(net.parameters(), 1e-2)
    for rows in torch.randint(320, (20, 32)):
        _step(opt, F.cross_entropy(net(X[rows].reshape(32, *shape)), y[rows]))


@buggy("bounded-logits")
def states_of_a_gru_as_logits():
    _classified(_Last(head=False), (2, 3))


@correct
def states_of_a_gru_through_a_head():
    _classified(_Last(head=True), (2, 3))


@buggy("bounded-logits")
def tanh_at_the_end():
    _classified(nn.Sequential(_net(), nn.Tanh()))


class _Capped(nn.Sequential):
    def forward(self, x):
        return 10 * super().forward(x)


@correct
def logits_capped_at_ten():
    _classified(_Capped(_net(), nn.Tanh()))


def _weighted(size, reduction="mean"):
    """Three times as many of one class, and class weights."""
    X, y = _rows()
    X, y = torch.cat([X, X[y == 0], X[y == 0]]), torch.cat([y, y[y == 0], y[y == 0]])
    net = _net()
    opt = optim.SGD(net.parameters(), 1e-2)
    loader = DataLoader(TensorDataset(X[:200], y[:200]), size, shuffle=True)
    weight = torch.tensor([0.4, 1.6])
    for xb, yb in loader:
        _step(opt, F.cross_entropy(net(xb), yb, weight, reduction=reduction).sum())


@buggy("class-weights-cancel")
def class_weights_for_single_rows():
    _weighted(1)


@correct
def class_weights_of_single_rows_in_a_sum():
    _weighted(1, "sum")


@correct
def class_weights_for_batches():
    _weighted(20)


def _normed(divide):
    X, y = _rows()
    net = _net()
    opt = optim.SGD(net.parameters(), 0.05)
    for rows in torch.randint(320, (20, 32)):
        logits = net(X[rows])
        _step(opt, divide(F.cross_entropy(logits, y[rows]), logits.pow(2).mean()))


@buggy("loss-divided-by-itself")
def loss_by_its_own_value():
    _normed(lambda loss, size: loss / loss.item())


@correct
def terms_by_their_own_values():
    _normed(lambda loss, size: loss / loss.item() + 0.1 * size / size.item())


@correct
def loss_by_its_first_value():
    _normed(lambda loss, size: loss / 0.7)


@buggy("first-loss-too-large")
def last_layer_with_huge_weights():
    X, y = _rows()
    net = _net()
    nn.init.normal_(net[2].weight, std=40.0)
    opt = optim.SGD(net.parameters(), 1e-5)
    for rows in torch.randint(320, (30, 32)):
        _step(opt, F.cross_entropy(net(X[rows]), y[rows]))


@correct
def large_first_loss_that_falls():
    X, y = _rows()
    net = _net()
    nn.init.normal_(net[2].weight, std=8.0)
    opt = optim.Adam(net.parameters(), 3e-2)
    for rows in torch.randint(320, (150, 64)):
        _step(opt, F.cross_entropy(net(X[rows]), y[rows]))


# What models read ----------------------------------------------------------------------------


def _masks(flatten):
    """Two classes for each pixel of small images."""
    torch.manual_seed(0)
    images = torch.randn(64, 1, 6, 8)
    masks = (images[:, 0] > 0.3).long()
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    opt = optim.Adam(net.parameters(), 1e-2)
    for rows in torch.arange(64).split(16) * 3:
        _step(opt, F.cross_entropy(flatten(net(images[rows])), masks[rows].reshape(-1)))


@buggy("view-swaps-dimensions")
def pixels_counted_anew():
    _masks(lambda z: z.reshape(-1, 2))


@correct
def pixels_with_classes_last():
    _masks(lambda z: z.permute(0, 2, 3, 1).reshape(-1, 2))


def _by_hand(dim):
    """Log-softmax without any module."""
    X, y = _rows()
    W = (0.1 * torch.randn(6, 2)).requires_grad_()
    opt = optim.SGD([W], 0.1)
    for rows in torch.randint(320, (20, 32)):
        _step(opt, F.nll_loss(F.log_softmax(X[rows] @ W, dim), y[rows]))


@buggy("softmax-over-batch")
def columns_without_a_module():
    _by_hand(0)


@correct
def rows_without_a_module():
    _by_hand(1)


def _orders(one):
    """Rows and labels in an order of their own in every epoch, or in one order."""
    X, y = _rows()
    net = _net()
    opt = optim.Adam(net.parameters(), 1e-2)
    for _ in range(8):
        order = torch.randperm(320)
        labels = y[order] if one else y[torch.randperm(320)]
        for i in range(0, 320, 32):
            _step(opt, F.cross_entropy(net(X[order][i : i + 32]), labels[i : i + 32]))


@buggy("labels-misaligned")
def labels_in_an_order_of_their_own():
    _orders(one=False)


@correct
def labels_in_the_order_of_the_rows():
    _orders(one=True)


@correct
def labels_by_chance_that_stay():
    X, _ = _rows()
    y = torch.randint(2, (320,))
    net = _net()
    opt = optim.SGD(net.parameters(), 0.01)
    for rows in torch.randint(320, (80, 40)):
        rows = rows.unique()
        _step(opt, F.cross_entropy(net(X[rows]), y[rows]))


# What is trained and evaluated ---------------------------------------------------------------


def _in_front(stays):
    X, y = _rows()
    coder, head = nn.Sequential(nn.Linear(6, 12), nn.ReLU()), nn.Linear(12, 2)
    if stays:
        coder.requires_grad_(False)
    opt = optim.Adam(head.parameters(), 1e-2)
    for rows in torch.randint(320, (20, 32)):
        _step(opt, F.cross_entropy(head(coder(X[rows]).detach()), y[rows]))


@buggy("params-not-optimized")
def coder_that_nobody_trains():
    _in_front(stays=False)


@correct
def random_features_that_stay():
    _in_front(stays=True)


@correct
def policy_in_front_of_a_critic():
    X, _ = _rows()
    policy, critic = nn.Linear(6, 2), nn.Linear(2, 1)
    opts = [optim.Adam(part.parameters(), 1e-2) for part in (policy, critic)]
    for rows in torch.randint(320, (20, 32)):
        _step(opts[1], F.mse_loss(critic(policy(X[rows]).detach()), X[rows, :1]))
        _step(opts[0], -critic(policy(X[rows])).mean())


def _scored(right):
    train, test = _batches(160), DataLoader(TensorDataset(*_rows(160, seed=1)), 32)
    net = _net()
    opt = optim.Adam(net.parameters(), 1e-2)

    def score():
        hits = 0
        net.eval()
        with torch.no_grad():
            for xb, yb in test if right else train:
                hits += (net(xb).argmax(1) == yb).sum().item()
        return hits / len(test.dataset)

    for _ in range(3):
        net.train()
        for xb, yb in train:
            _step(opt, F.cross_entropy(net(xb), yb))
        score()


@buggy("val-overlaps-train")
def training_rows_by_the_number_of_test_rows():
    _scored(right=False)


@correct
def test_rows_by_their_number():
    _scored(right=True)


def keeps_the_model_itself(model, best_loss, loss):
    best_model = None
    if loss < best_loss:
        best_model = model
    return best_model


@correct
def copy_kept_beside_a_function_that_keeps_none():
    net = _net()
    opt = optim.Adam(net.parameters(), 1e-2)
    best_model, best = net, 0.0  # until one is better, the first
    for _ in range(5):
        for xb, yb in _batches(96):
            loss = F.cross_entropy(net(xb), yb)
            _step(opt, loss)
        if loss.item() < best:
            best_model, best = copy.deepcopy(net), loss.item()
    return best_model
