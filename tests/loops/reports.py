"""Bugs that people reported in public, in other forms than theirs, each beside loops that look alike
and are right."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from . import buggy, correct


def _rows(n=320, columns=6, seed=0):
    torch.manual_seed(seed)
    X = torch.randn(n, columns)
    return X, (X[:, 0] - X[:, 1] * X[:, 2] > 0).long()


def _batches(n=320, size=32, **kwargs):
    return DataLoader(TensorDataset(*_rows(n)), size, shuffle=True, **kwargs)


def _net(inputs=6, outputs=2):
    return nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, outputs))


def _step(opt, loss):
    opt.zero_grad()
    loss.backward()
    opt.step()


# What no gradient reaches --------------------------------------------------------------------


class _Overwritten(nn.Module):
    """The second line forgets the first: conv1 runs for nothing."""

    def __init__(self, right):
        super().__init__()
        self.first, self.second, self.out = nn.Linear(6, 6), nn.Linear(6, 16), nn.Linear(16, 2)
        self.right = right

    def forward(self, x):
        h = torch.relu(self.first(x))
        h = torch.relu(self.second(h if self.right else x))
        return self.out(h)


def _overwritten(right):
    net = _Overwritten(right)
    opt = optim.AdamW(net.parameters(), 1e-2)
    for xb, yb in _batches():
        _step(opt, F.cross_entropy(net(xb), yb))


@buggy("layers-cut-off")
def layer_whose_output_is_overwritten():
    _overwritten(False)


@correct
def layer_whose_output_is_used():
    _overwritten(True)


def _autoencoder(cut):
    X, _ = _rows()
    coder, decoder = nn.Linear(6, 3), nn.Linear(3, 6)
    opts = [optim.SGD(part.parameters(), 0.1) for part in (coder, decoder)]
    for rows in torch.arange(320).split(20) * 2:
        code = torch.tanh(coder(X[rows]))
        if cut:
            code = torch.from_numpy(code.detach().numpy())
        for opt in opts:
            opt.zero_grad()
        F.mse_loss(decoder(code), X[rows]).backward()
        for opt in opts:
            opt.step()


@buggy("layers-cut-off")
def coder_through_numpy_with_an_optimizer_of_its_own():
    _autoencoder(True)


@correct
def coder_and_decoder_with_two_optimizers():
    _autoencoder(False)


class _TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.main, self.other = nn.Linear(6, 16), nn.Linear(16, 2), nn.Linear(16, 1)

    def forward(self, x):
        h = torch.relu(self.body(x))
        return self.main(h), self.other(h)


@correct
def second_head_that_nobody_asks_for():
    net = _TwoHeads()
    opt = optim.Adam(net.parameters(), 1e-2)
    for xb, yb in _batches():
        logits, _ = net(xb)
        _step(opt, F.cross_entropy(logits, yb))


@correct
def head_that_joins_later():
    net = _TwoHeads()
    opt = optim.Adam(net.parameters(), 1e-2)
    for epoch in range(3):
        for xb, yb in _batches():
            logits, value = net(xb)
            loss = F.cross_entropy(logits, yb)
            if epoch == 2:
                loss = loss + F.mse_loss(value.squeeze(1), xb[:, 0])
            _step(opt, loss)


def _dice(hard):
    X = torch.rand(200, 1, 6, 6)
    masks = (X > 0.6).float()
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
    opt = optim.Adam(net.parameters(), 1e-2)
    for xb, yb in DataLoader(TensorDataset(X, masks), 20):
        logits = net(xb)
        p = logits.sigmoid()
        p = p.round() if hard else p
        dice = 1 - 2 * (p * yb).sum() / (p.sum() + yb.sum() + 1)
        _step(opt, F.binary_cross_entropy_with_logits(logits, yb) + dice)


@buggy("loss-term-cut-off")
def dice_of_rounded_answers():
    _dice(True)


@correct
def dice_of_probabilities():
    _dice(False)


def _penalty(data):
    net = _net()
    opt = optim.SGD(net.parameters(), 0.1)
    for xb, yb in _batches():
        loss = F.cross_entropy(net(xb), yb)
        penalty = sum(((p.data if data else p) ** 2).sum() for p in net.parameters())
        _step(opt, loss + 1e-3 * penalty)


@buggy("loss-term-cut-off")
def penalty_of_data():
    _penalty(True)


@correct
def penalty_of_the_weights():
    _penalty(False)


@buggy("loss-term-cut-off")
def consistency_with_a_detached_answer():
    net = _net()
    opt = optim.Adam(net.parameters(), 1e-2)
    for xb, yb in _batches():
        logits = net(xb)
        with torch.no_grad():
            noisy = net(xb + 0.1 * torch.randn_like(xb))
        smooth = F.mse_loss(noisy, logits.detach())
        _step(opt, F.cross_entropy(logits, yb) + 0.5 * smooth)


@correct
def consistency_with_a_frozen_answer():
    net = _net()
    opt = optim.Adam(net.parameters(), 1e-2)
    for xb, yb in _batches():
        with torch.no_grad():
            noisy = net(xb + 0.1 * torch.randn_like(xb))
        logits = net(xb)
        _step(opt, F.cross_entropy(logits, yb) + 0.5 * F.mse_loss(logits, noisy))


def _conditional_gan(detached):
    torch.manual_seed(0)
    X = torch.randn(512, 2)
    G, D = _net(4, 2), _net(4, 1)
    opt_g, opt_d = (optim.Adam(net.parameters(), 1e-3) for net in (G, D))
    for (x,) in DataLoader(TensorDataset(X), 32, shuffle=True):
        fake = G(torch.cat([x, torch.randn_like(x)], 1))
        loss_d = D(torch.cat([x, fake.detach()], 1)).mean() - D(torch.cat([x, x**2], 1)).mean()
        _step(opt_d, loss_d)
        judged = fake.detach() if detached else fake
        loss_g = F.l1_loss(fake, x**2) - 0.1 * D(torch.cat([x, judged], 1)).mean()
        _step(opt_g, loss_g)


@buggy("term-trains-another-model")
def adversarial_term_on_detached_pairs():
    _conditional_gan(True)


@correct
def adversarial_term_and_l1():
    _conditional_gan(False)


# What loss functions are given ---------------------------------------------------------------


def _distil(student):
    X, _ = _rows()
    net, teacher = _net(outputs=4), _net(outputs=4)
    opt = optim.Adam(net.parameters(), 1e-2)
    for rows in torch.arange(320).split(32):
        with torch.no_grad():
            soft = (teacher(X[rows]) / 2).softmax(1)
        _step(opt, F.kl_div(student(net(X[rows]) / 2), soft, reduction="batchmean"))


@buggy("kl-on-probabilities")
def kl_of_raw_scores():
    _distil(lambda scores: scores)


@correct
def kl_of_log_softmax():
    _distil(lambda scores: scores.log_softmax(1))


def _binary(swapped):
    X, y = _rows()
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid())
    opt = optim.SGD(net.parameters(), 1e-4)
    loss_fn = nn.BCELoss()
    labels = 0.05 + 0.9 * y.float().unsqueeze(1)
    for rows in torch.arange(320).split(32):
        p = net(X[rows])
        _step(opt, loss_fn(labels[rows], p) if swapped else loss_fn(p, labels[rows]))


@buggy("loss-arguments-swapped")
def labels_first():
    _binary(True)


@correct
def probabilities_first():
    _binary(False)


def _tags(loss_fn):
    X, _ = _rows()
    tags = (X[:, :4] > 0).float()
    net = _net(outputs=4)
    opt = optim.Adam(net.parameters(), 1e-2)
    for xb, tb in DataLoader(TensorDataset(X, tags), 32):
        _step(opt, loss_fn(net(xb), tb))


@buggy("cross-entropy-on-multi-hot")
def several_tags_in_cross_entropy():
    _tags(F.cross_entropy)


@correct
def shares_of_tags_in_cross_entropy():
    _tags(lambda logits, t: F.cross_entropy(logits, (t + 0.1) / (t + 0.1).sum(1, keepdim=True)))


def _ages(convert):
    X, _ = _rows()
    ages = 30 + 10 * X[:, :1] + 3.5 * torch.randn(320, 1)
    net = _net(outputs=1)
    opt = optim.Adam(net.parameters(), 1e-2)
    for xb, yb in DataLoader(TensorDataset(X, ages), 32, shuffle=True):
        _step(opt, F.l1_loss(net(xb), convert(yb)))


@buggy("targets-made-whole")
def ages_as_int():
    _ages(lambda y: y.int())


@correct
def ages_in_tens():
    _ages(lambda y: y / 10)


def _bounded(activation, low):
    X, _ = _rows()
    y = X[:, :1] * 2 + low
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1), activation)
    opt = optim.Adam(net.parameters(), 1e-2)
    for rows in torch.arange(320).split(32) * 2:
        _step(opt, ((net(X[rows]) - y[rows]) ** 2).mean())


@buggy("targets-out-of-reach")
def tanh_for_large_targets():
    _bounded(nn.Tanh(), 0)


@buggy("targets-out-of-reach")
def sigmoid_by_hand_for_prices():
    _bounded(nn.Sigmoid(), 5)


@correct
def relu_for_counts():
    _bounded(nn.ReLU(), 20)


def _per_row(divide):
    X, y = _rows()
    net = _net()
    opt = optim.SGD(net.parameters(), 0.1)
    for rows in torch.arange(320).split(32) * 2:
        loss = F.cross_entropy(net(X[rows]), y[rows], reduction="mean" if divide else "sum")
        _step(opt, loss / len(rows))


@buggy("loss-averaged-twice")
def mean_over_rows_again():
    _per_row(True)


@correct
def sum_over_rows():
    _per_row(False)


@correct
def as_many_micro_batches_as_rows():
    X, y = _rows()
    net = _net()
    opt = optim.SGD(net.parameters(), 0.1)
    for i, rows in enumerate(torch.arange(320).split(8)):
        (F.cross_entropy(net(X[rows]), y[rows]) / 8).backward()
        if (i + 1) % 8 == 0:
            opt.step()
            opt.zero_grad()


def _flags(answer):
    X, _ = _rows()
    flags = (X[:, :3] > 0).float()
    net = _net(outputs=3)
    opt = optim.Adam(net.parameters(), 1e-2)
    for _ in range(3):
        net.train()
        for xb, fb in DataLoader(TensorDataset(X[:240], flags[:240]), 24, shuffle=True):
            _step(opt, nn.BCEWithLogitsLoss()(net(xb), fb))
        net.eval()
        with torch.no_grad():
            p = answer(net(X[240:]))
            ((p > 0.5).float() == flags[240:]).float().mean()


@buggy("activation-unlike-loss")
def softmax_for_flags():
    _flags(nn.Softmax(dim=1))


@correct
def sigmoid_for_flags():
    _flags(nn.Sigmoid())


def _values(target_net, detach):
    torch.manual_seed(0)
    net = _net(3, 2)
    other = net if target_net == "same" else copy.deepcopy(net).requires_grad_(False)
    opt = optim.Adam(net.parameters(), 1e-3)
    for _ in range(20):
        state, after, reward = torch.rand(32, 3), torch.rand(32, 3), torch.rand(32)
        q = net(state).gather(1, torch.randint(2, (32, 1))).squeeze(1)
        target = reward + 0.9 * other(after).amax(1)
        _step(opt, F.smooth_l1_loss(q, target.detach() if detach else target))


@buggy("td-target-not-detached")
def q_learning_with_a_moving_target():
    _values("same", False)


@correct
def q_learning_with_one_network():
    _values("same", True)


@correct
def q_learning_with_a_frozen_copy():
    _values("copy", False)


@correct
def two_views_of_one_row():
    X, _ = _rows()
    net = _net(outputs=8)
    opt = optim.Adam(net.parameters(), 1e-3)
    for rows in torch.arange(320).split(32):
        one, two = net(X[rows]), net(X[rows] + 0.1 * torch.randn(32, 6))
        spread = torch.relu(1 - one.std(0)).mean()
        _step(opt, F.mse_loss(one, two) + spread)


# How a model is put together -----------------------------------------------------------------


def _stack(layers):
    net = nn.Sequential(nn.Linear(6, 8), *layers, nn.Linear(8, 2))
    opt = optim.Adam(net.parameters(), 1e-2)
    for xb, yb in _batches():
        _step(opt, F.cross_entropy(net(xb), yb))


@buggy("layers-shared")
def one_block_three_times():
    _stack([nn.Sequential(nn.Linear(8, 8), nn.Tanh())] * 3)


@correct
def one_activation_three_times():
    act = nn.ReLU()
    _stack([nn.Linear(8, 8), act, nn.Linear(8, 8), act])


def _frozen(freeze):
    net = _net()
    freeze(net[0])
    opt = optim.SGD([p for p in net.parameters() if p.requires_grad], 0.1)
    for xb, yb in _batches():
        _step(opt, F.cross_entropy(net(xb), yb))


@buggy("requires-grad-misspelt")
def require_grad_without_s():
    def freeze(layer):
        for p in layer.parameters():
            p.require_grad = False

    _frozen(freeze)


@correct
def requires_grad_as_it_is():
    _frozen(lambda layer: layer.requires_grad_(False))


class _Channels(nn.Module):
    def __init__(self, move):
        super().__init__()
        self.move, self.conv, self.out = move, nn.Conv1d(3, 8, 3), nn.Linear(8, 2)

    def forward(self, x):
        return self.out(self.conv(self.move(x)).relu().mean(2))


def _series(net, **kwargs):
    torch.manual_seed(0)
    X = torch.randn(200, 12, 3)
    y = (X[:, :, 0].mean(1) > 0).long()
    opt = optim.Adam(net.parameters(), 1e-2)
    for xb, yb in DataLoader(TensorDataset(X, y), 20, shuffle=True):
        _step(opt, F.cross_entropy(net(xb), yb))


@buggy("view-swaps-dimensions")
def channels_by_reshape():
    _series(_Channels(lambda x: x.reshape(-1, 3, 12)))


@correct
def channels_by_transpose():
    _series(_Channels(lambda x: x.transpose(1, 2)))


class _Reader(nn.Module):
    def __init__(self, rnn, turn=False):
        super().__init__()
        self.rnn, self.out, self.turn = rnn, nn.Linear(8, 2), turn

    def forward(self, x):
        if self.turn:
            return self.out(self.rnn(x.transpose(0, 1))[0][-1])
        return self.out(self.rnn(x)[0][:, -1])


@buggy("batch-first-forgotten")
def gru_along_the_batch():
    _series(_Reader(nn.GRU(3, 8)))


@correct
def gru_with_time_first():
    _series(_Reader(nn.GRU(3, 8), turn=True))


class _Attention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.score, self.out, self.dim = nn.Linear(3, 1), nn.Linear(3, 2), dim

    def forward(self, x):
        weights = torch.softmax(self.score(x), self.dim)
        return self.out((weights * x).sum(1))


@buggy("softmax-over-batch")
def attention_over_the_batch():
    _series(_Attention(0))


@buggy("softmax-over-one")
def attention_over_one_score():
    _series(_Attention(-1))


@correct
def attention_over_time():
    _series(_Attention(1))


@buggy("softmax-over-batch")
def log_softmax_of_columns():
    net = nn.Sequential(_net(outputs=3), nn.LogSoftmax(dim=0))
    X, _ = _rows()
    opt = optim.Adam(net.parameters(), 1e-2)
    for xb, yb in DataLoader(TensorDataset(X, X[:, :3].argmax(1)), 32, shuffle=True):
        _step(opt, F.nll_loss(net(xb), yb))


def _probe(sleep):
    body = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 8))
    body.requires_grad_(False)
    net = nn.Sequential(body, nn.Linear(8, 2))
    opt = optim.Adam(net[1].parameters(), 1e-2)
    for _ in range(2):
        net.train()
        if sleep:
            body.eval()
        for xb, yb in _batches():
            _step(opt, F.cross_entropy(net(xb), yb))


@buggy("frozen-batchnorm-updates")
def probe_of_a_body_in_training_mode():
    _probe(False)


@correct
def probe_of_a_body_in_evaluation_mode():
    _probe(True)


# Sequences of tokens -------------------------------------------------------------------------


def _texts(n=200, length=20):
    torch.manual_seed(0)
    lengths = torch.randint(3, 9, (n,))
    tokens = torch.randint(1, 12, (n, length)) * (torch.arange(length) < lengths[:, None])
    return tokens, lengths


class _Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.rnn = nn.Embedding(12, 8, padding_idx=0), nn.GRU(8, 16, batch_first=True)
        self.out = nn.Linear(16, 12)

    def forward(self, tokens):
        return self.out(self.rnn(self.embed(tokens))[0])


def _tagging(loss_fn, target):
    tokens, _ = _texts()
    net = _Tagger()
    opt = optim.Adam(net.parameters(), 1e-2)
    for rows in torch.arange(200).split(20):
        logits = net(tokens[rows])
        _step(opt, loss_fn(logits.reshape(-1, 12), target(tokens[rows]).reshape(-1)))


def _next_word(tokens):
    return (tokens * 5 + 3) % 12 * (tokens > 0)


@buggy("padding-in-loss")
def tags_of_padding():
    _tagging(nn.CrossEntropyLoss(), _next_word)


@correct
def tags_without_padding():
    _tagging(nn.CrossEntropyLoss(ignore_index=0), _next_word)


def _language_model(shift):
    torch.manual_seed(0)
    text = torch.randint(12, (200, 16))
    net = _Tagger()
    opt = optim.Adam(net.parameters(), 1e-2)
    for rows in torch.arange(200).split(20):
        x, y = (text[rows, :-1], text[rows, 1:]) if shift else (text[rows], text[rows])
        _step(opt, F.cross_entropy(net(x).transpose(1, 2), y))


@buggy("labels-not-shifted")
def text_that_is_its_own_answer():
    _language_model(False)


@correct
def text_and_its_next_tokens():
    _language_model(True)


class _Classifier(nn.Module):
    def __init__(self, last):
        super().__init__()
        self.embed, self.rnn = nn.Embedding(12, 8, padding_idx=0), nn.LSTM(8, 16, batch_first=True)
        self.out, self.last = nn.Linear(16, 2), last

    def forward(self, tokens, lengths):
        out, (state, _) = self.rnn(self.embed(tokens))
        if self.last == "state":
            return self.out(state[-1])
        return self.out(out[torch.arange(len(out)), lengths - 1])


def _classify(last):
    tokens, lengths = _texts()
    net = _Classifier(last)
    opt = optim.Adam(net.parameters(), 1e-2)
    data = TensorDataset(tokens, lengths, (tokens[:, 0] > 6).long())
    for tb, nb, yb in DataLoader(data, 20, shuffle=True):
        _step(opt, F.cross_entropy(net(tb, nb), yb))


@buggy("last-step-is-padding")
def state_after_the_padding():
    _classify("state")


@correct
def output_at_the_last_word():
    _classify("word")


# Steps ---------------------------------------------------------------------------------------


def _accumulate(clear, epochs=3):
    net = _net()
    opt = optim.SGD(net.parameters(), 0.05)
    count = 0
    for _ in range(epochs):
        if clear == "epoch":
            opt.zero_grad()
        for i, (xb, yb) in enumerate(_batches(352)):
            if clear == "batch":
                opt.zero_grad()
            (F.cross_entropy(net(xb), yb) / 4).backward()
            count += 1
            if (count if clear == "run" else i + 1) % 4 == 0:
                opt.step()
                if clear != "batch":
                    opt.zero_grad()


@buggy("accumulation-leftover")
def last_batches_wait_for_the_next_epoch():
    _accumulate("")


@buggy("accumulation-cleared")
def cleared_for_every_micro_batch():
    _accumulate("batch")


@correct
def groups_that_count_through_the_epochs():
    _accumulate("run")


@correct
def last_batches_dropped():
    _accumulate("epoch")


def _epochs(make, share):
    net = _net()
    opt = make(net.parameters())
    for _ in range(5):
        opt = opt if share else make(net.parameters())
        for xb, yb in _batches():
            _step(opt, F.cross_entropy(net(xb), yb))


@buggy("optimizer-made-anew")
def momentum_forgotten_in_every_epoch():
    _epochs(lambda weights: optim.SGD(weights, 0.05, momentum=0.9), False)


@correct
def plain_sgd_made_anew():
    _epochs(lambda weights: optim.SGD(weights, 0.05), False)


def _critic(clear_first):
    torch.manual_seed(0)
    X = torch.randn(640, 2) + 2
    G, D = _net(2, 2), _net(2, 1)
    opt_g, opt_d = (optim.RMSprop(net.parameters(), 1e-3) for net in (G, D))
    for rows in torch.arange(640).split(32):
        opt_g.zero_grad()
        (-D(G(torch.randn(32, 2))).mean()).backward()
        opt_g.step()
        if clear_first:
            opt_d.zero_grad()
        (D(G(torch.randn(32, 2)).detach()).mean() - D(X[rows]).mean()).backward()
        opt_d.step()
        if not clear_first:
            opt_d.zero_grad()


@buggy("no-zero-grad")
def critic_with_the_generators_gradients():
    _critic(False)


@correct
def critic_cleared_first():
    _critic(True)


@buggy("graph-kept")
def state_carried_over_with_its_graph():
    torch.manual_seed(0)
    cell, out = nn.GRUCell(3, 8), nn.Linear(8, 1)
    h = torch.zeros(4, 8)
    weights = [*cell.parameters(), *out.parameters()]
    for _ in range(20):
        x = torch.randn(4, 3)
        h = cell(x, h)
        F.mse_loss(out(h), x[:, :1]).backward(retain_graph=True)
        for p in weights:
            p.data -= 0.01 * p.grad
            p.grad = None


def _actor_critic(detach):
    torch.manual_seed(0)
    actor, critic = _net(4, 3), _net(4, 1)
    opts = [optim.Adam(net.parameters(), 1e-3) for net in (actor, critic)]
    for _ in range(30):
        state = torch.randn(32, 4)
        logp = actor(state).log_softmax(1)
        action = torch.distributions.Categorical(logits=logp.detach()).sample()
        value = critic(state).squeeze(1)
        advantage = state[:, 0] * (action - 1) - value
        chosen = logp.gather(1, action[:, None]).squeeze(1)
        policy = -(chosen * (advantage.detach() if detach else advantage)).mean()
        for opt in opts:
            opt.zero_grad()
        (policy + advantage.pow(2).mean()).backward()
        for opt in opts:
            opt.step()


@buggy("value-not-detached")
def advantage_that_trains_the_critic():
    _actor_critic(False)


@correct
def advantage_without_its_graph():
    _actor_critic(True)


# Modes and data ------------------------------------------------------------------------------


@buggy("eval-in-train-mode")
def validation_without_eval_and_no_grad():
    X, y = _rows(400)
    net = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
    opt = optim.Adam(net.parameters(), 1e-2)
    val_loader = DataLoader(TensorDataset(X[320:], y[320:]), 20)
    for _ in range(3):
        for xb, yb in _batches():
            _step(opt, F.cross_entropy(net(xb), yb))
        hits = 0
        for xb, yb in val_loader:
            hits += (net(xb).argmax(1) == yb).sum().item()


@buggy("training-in-eval-mode")
def train_between_forward_and_step():
    net = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 2))
    opt = optim.Adam(net.parameters(), 1e-2)
    net.eval()
    for xb, yb in _batches():
        loss = F.cross_entropy(net(xb), yb)
        net.train()
        _step(opt, loss)
        net.eval()


@buggy("symmetric-init")
def nearly_equal_weights():
    X, _ = _rows()
    net = _net(outputs=1)
    for p in net.parameters():
        nn.init.constant_(p, 0.05)
        p.data += 1e-7 * torch.randn_like(p)
    opt = optim.Adam(net.parameters(), 1e-2)
    for rows in torch.arange(320).split(32) * 2:
        _step(opt, F.mse_loss(net(X[rows]), X[rows, :1]))


def _pixels(scale):
    torch.manual_seed(0)
    X = torch.randint(256, (200, 1, 6, 6)).float() * scale
    y = (X.mean((1, 2, 3)) > X.mean()).long()
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.ReLU(), nn.Linear(16, 2))
    opt = optim.SGD(net.parameters(), 0.1)
    for xb, yb in DataLoader(TensorDataset(X, y), 20, shuffle=True):
        _step(opt, F.cross_entropy(net(xb), yb))


@buggy("input-scale")
def pixels_divided_twice():
    _pixels(255**-2)


@correct
def pixels_divided_once():
    _pixels(1 / 255)


def _folds(build_inside):
    X, y = _rows(100)
    folds = list(torch.arange(100).split(25))
    net = _net()
    for k in range(4):
        net = _net() if build_inside else net
        opt = optim.Adam(net.parameters(), 1e-2)
        rest = torch.cat(folds[:k] + folds[k + 1 :])
        for xb, yb in DataLoader(TensorDataset(X[rest], y[rest]), 25, shuffle=True):
            _step(opt, F.cross_entropy(net(xb), yb))
        with torch.no_grad():
            for xb, yb in DataLoader(TensorDataset(X[folds[k]], y[folds[k]]), 25):
                (net(xb).argmax(1) == yb).float().mean()


@buggy("val-overlaps-train")
def one_model_for_all_folds():
    _folds(False)


@correct
def one_model_for_each_fold():
    _folds(True)


def _first_batch(stale):
    net, loader = _net(), _batches()
    opt = optim.Adam(net.parameters(), 1e-2)
    x, y = next(iter(loader))
    for _ in range(2):
        for xb, yb in loader:
            _step(opt, F.cross_entropy(net(x if stale else xb), y if stale else yb))


@buggy("batch-not-used")
def one_batch_from_before_the_loop():
    _first_batch(True)


@correct
def the_batch_of_the_loop():
    _first_batch(False)


# What is reported and kept -------------------------------------------------------------------


def _val_loader():
    X, y = _rows(100, seed=1)
    return DataLoader(TensorDataset(X, y), 20)


def _fit(net, opt, loader):
    net.train()
    for xb, yb in loader:
        _step(opt, F.cross_entropy(net(xb), yb))
        return None


@buggy("return-in-the-loop")
def return_after_one_batch():
    net = _net()
    opt = optim.Adam(net.parameters(), 1e-2)
    loader = _batches()
    for _ in range(4):
        _fit(net, opt, loader)


@correct
def one_batch_to_overfit():
    net = _net()
    opt = optim.Adam(net.parameters(), 1e-2)
    loader = _batches()
    for _ in range(20):
        for xb, yb in loader:
            _step(opt, F.cross_entropy(net(xb), yb))
            break


def _validated(evaluate, epochs=4):
    net, loader = _net(), _batches()
    opt = optim.Adam(net.parameters(), 1e-2)
    results = []
    for _ in range(epochs):
        net.train()
        for xb, yb in loader:
            _step(opt, F.cross_entropy(net(xb), yb))
        net.eval()
        with torch.no_grad():
            results.append(evaluate(net))
    return results


@buggy("last-batch-only")
def validation_loss_of_the_last_batch():
    val_loader = _val_loader()

    def evaluate(net):
        for xb, yb in val_loader:
            loss = F.cross_entropy(net(xb), yb)
        return loss.item()

    _validated(evaluate)


@correct
def validation_loss_of_all_batches():
    val_loader = _val_loader()

    def evaluate(net):
        losses = []
        for xb, yb in val_loader:
            loss = F.cross_entropy(net(xb), yb)
            losses.append(loss.item())
        loss = np.mean(losses)
        return loss

    _validated(evaluate)


@buggy("sum-never-reset")
def correct_answers_of_all_epochs():
    net, loader = _net(), _batches()
    opt = optim.Adam(net.parameters(), 1e-2)
    correct_so_far = 0
    for _ in range(3):
        for xb, yb in loader:
            logits = net(xb)
            _step(opt, F.cross_entropy(logits, yb))
            correct_so_far += (logits.argmax(1) == yb).sum().item()
        print(correct_so_far / len(loader.dataset))


@correct
def running_mean_of_all_epochs():
    net, loader = _net(), _batches()
    opt = optim.Adam(net.parameters(), 1e-2)
    total, seen = 0.0, 0
    for _ in range(3):
        for xb, yb in loader:
            loss = F.cross_entropy(net(xb), yb)
            _step(opt, loss)
            total += loss.item() * len(xb)
            seen += len(xb)
        print(total / seen)


def _plateau(metric, mode):
    net, loader, val_loader = _net(), _batches(), _val_loader()
    opt = optim.Adam(net.parameters(), 3e-3)
    schedule = optim.lr_scheduler.ReduceLROnPlateau(opt, mode=mode, patience=2)
    for _ in range(8):
        net.train()
        for xb, yb in loader:
            _step(opt, F.cross_entropy(net(xb), yb))
        net.eval()
        hits, total = 0, 0.0
        with torch.no_grad():
            for xb, yb in val_loader:
                logits = net(xb)
                hits += (logits.argmax(1) == yb).sum().item()
                total += F.cross_entropy(logits, yb, reduction="sum").item()
        val_loss, rate = total / 100, hits / 100
        if metric == "loss":
            schedule.step(val_loss)
        else:
            schedule.step(rate if metric == "right" else 1 - rate)


@buggy("plateau-upside-down")
def plateau_of_the_accuracy():
    _plateau("right", "min")


@buggy("plateau-upside-down")
def plateau_of_the_loss_as_max():
    _plateau("loss", "max")


@correct
def plateau_of_the_error_rate():
    _plateau("wrong", "min")


@correct
def plateau_of_the_loss():
    _plateau("loss", "min")


def _accuracies(net):
    """The accuracy after each epoch."""
    loader, val_loader = _batches(), _val_loader()
    opt = optim.Adam(net.parameters(), 3e-3)
    for _ in range(8):
        for xb, yb in loader:
            _step(opt, F.cross_entropy(net(xb), yb))
        with torch.no_grad():
            yield sum((net(xb).argmax(1) == yb).sum().item() for xb, yb in val_loader) / 100


@buggy("best-is-worst")
def lowest_accuracy_kept():
    net, lowest = _net(), float("inf")
    for accuracy in _accuracies(net):
        if accuracy < lowest:
            lowest = accuracy
            copy.deepcopy(net.state_dict())


@buggy("best-state-alias")
def best_model_that_goes_on_training():
    net, loader, val_loader = _net(), _batches(), _val_loader()
    opt = optim.Adam(net.parameters(), 3e-3)
    best, best_net = 0, None
    for _ in range(8):
        for xb, yb in loader:
            _step(opt, F.cross_entropy(net(xb), yb))
        with torch.no_grad():
            hits = sum((net(xb).argmax(1) == yb).sum().item() for xb, yb in val_loader)
        if hits > best:
            best, best_net = hits, net
    return best_net


@correct
def best_model_copied():
    net, best, best_net = _net(), 0.0, None
    for accuracy in _accuracies(net):
        if accuracy > best:
            best, best_net = accuracy, copy.deepcopy(net)
    return best_net


def _collect(shuffle):
    X, y = _rows(100, seed=1)
    loader = DataLoader(TensorDataset(X, y), 20, shuffle=shuffle)

    def evaluate(net):
        answers = []
        for xb, _ in loader:
            answers.append(net(xb).argmax(1).numpy())
        return (np.concatenate(answers) == y.numpy()).mean()

    _validated(evaluate)


@buggy("predictions-in-other-order")
def answers_from_a_shuffled_loader():
    _collect(True)


@correct
def answers_from_a_loader_in_order():
    _collect(False)


@buggy("metric-not-normalised")
def one_batch_too_many():
    val_loader = _val_loader()

    def evaluate(net):
        total = 0.0
        for xb, yb in val_loader:
            total += F.cross_entropy(net(xb), yb).item()
        return total / (len(val_loader) + 1)

    _validated(evaluate)
