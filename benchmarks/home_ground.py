"""Bugs that the pages of other tools show or list as what they find, each as a small loop.

All that their pages name is here, once, except what ends in an error message, what is advice
(Adam or AdamW, a seed, shapes that suit a graphics card), what needs several processes or a GPU,
what has no repair of a line or two (a plateau, overfitting, noisy gradients), and what only its
author can tell from an intention (which layers were to stay frozen).

A comment `#:` holds what the repaired twin has instead of the line it ends, nothing at all, or on a
line of its own what the twin has besides. A docstring tells whose page it is from and, where
the doctor has any, the names under which it would be right.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
X = torch.randn(320, 6)
Y = (X[:, 0] - X[:, 1] * X[:, 2] > 0).long()


def fit(model, optimizer, loss_fn=F.cross_entropy, data=(X, Y), epochs=3, batch_size=32):
    for _ in range(epochs):
        for xb, yb in DataLoader(TensorDataset(*data), batch_size=batch_size, shuffle=True):
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()


def network(width=16):
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 2))


# How the model is put together -------------------------------------------------------------------


def head_replaced_after_the_optimizer_was_built():
    """torchtest2: optimizer-holds-other-params params-not-optimized"""
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)  #: model[2] = nn.Linear(16, 2)
    model[2] = nn.Linear(16, 2)  #: optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    fit(model, optimizer)


def adapter_added_after_the_optimizer_was_built():
    """guardtower: optimizer-holds-other-params params-not-optimized"""

    class Adapted(nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base = base.requires_grad_(False)
            self.lora_A, self.lora_B = nn.Linear(6, 2, bias=False), nn.Linear(2, 2, bias=False)
            nn.init.zeros_(self.lora_B.weight)

        def forward(self, x):
            return self.base(x) + self.lora_B(self.lora_A(x))

    base = network()
    optimizer = torch.optim.Adam(base.parameters(), lr=1e-2)  #:
    model = Adapted(base)
    #: optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    fit(model, optimizer)


def layer_defined_and_never_used():
    """torchtest2, torch-audit, guardtower: layers-cut-off"""

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(6, 16), nn.ReLU())
            self.norm = nn.LayerNorm(16)
            self.head = nn.Linear(16, 2)

        def forward(self, x):
            return self.head(self.encoder(x))  #: return self.head(self.norm(self.encoder(x)))

    model = Classifier()
    fit(model, torch.optim.Adam(model.parameters(), lr=1e-2))


def graph_cut_by_data():
    """torchtest2: layers-cut-off"""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.head = nn.Linear(6, 16), nn.Linear(16, 2)

        def forward(self, x):
            features = self.backbone(x).data  #: features = self.backbone(x)
            return self.head(F.relu(features))

    model = Net()
    fit(model, torch.optim.Adam(model.parameters(), lr=1e-2))


def attention_along_the_batch():
    """torchtest2: batch-first-forgotten"""

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            first = False  #: first = True
            self.attn = nn.MultiheadAttention(8, 2, batch_first=first)
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            h, _ = self.attn(x, x, x)
            return self.head(h.mean(1))

    data = torch.randn(320, 5, 8)
    model = Encoder()
    fit(model, torch.optim.Adam(model.parameters(), lr=1e-2), data=(data, Y))


def half_of_the_input_ignored():
    """torchtest2"""

    class TwoTower(nn.Module):
        def __init__(self):
            super().__init__()
            self.user, self.item = nn.Linear(3, 8), nn.Linear(3, 8)

        def forward(self, x):
            u, i = x[:, :3], x[:, 3:]
            u, i = self.user(u), self.item(u)  #: u, i = self.user(u), self.item(i)
            return (u * i).sum(-1)

    model = TwoTower()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    fit(model, optimizer, F.binary_cross_entropy_with_logits, (X, Y.float()))


def mask_of_the_padding_ignored():
    """torchtest2"""

    class TextClassifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb, self.head = nn.Embedding(50, 16, padding_idx=0), nn.Linear(16, 2)

        def forward(self, ids, mask):
            h = self.emb(ids)
            h = h.mean(1)  #: h = (h * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            return self.head(h)

    ids = torch.randint(1, 50, (320, 12))
    ids[::2, 5:] = 0
    model = TextClassifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for ib, yb in DataLoader(TensorDataset(ids, Y), batch_size=32, shuffle=True):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(ib, (ib > 0).float()), yb)
        loss.backward()
        optimizer.step()


def input_overwritten():
    """guardtower: input-scale"""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(6, 16), nn.Linear(16, 2)

        def forward(self, x):
            h = torch.ones_like(x)  #: h = x
            return self.head(F.relu(self.body(h)))

    model = Net()
    fit(model, torch.optim.Adam(model.parameters(), lr=1e-2))


def one_batchnorm_in_two_places():
    """torch-audit: layers-shared"""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.head = nn.Linear(6, 16), nn.Linear(16, 16), nn.Linear(16, 2)
            self.norm = nn.BatchNorm1d(16)
            #: self.norm2 = nn.BatchNorm1d(16)

        def forward(self, x):
            h = F.relu(self.norm(self.one(x)))
            h = F.relu(self.norm(self.two(h)))  #: h = F.relu(self.norm2(self.two(h)))
            return self.head(h)

    model = Net()
    fit(model, torch.optim.Adam(model.parameters(), lr=1e-2))


def dropout_that_stays_on():
    """torchtest2: dropout-always-on"""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(6, 32), nn.Linear(32, 2)

        def forward(self, x):
            h = F.relu(self.fc1(x))
            return self.fc2(F.dropout(h, 0.2))  #: return self.fc2(F.dropout(h, 0.2, self.training))

    model = Net()
    fit(model, torch.optim.Adam(model.parameters(), lr=1e-2), data=(X[:256], Y[:256]))
    model.eval()
    with torch.no_grad():
        for xb, yb in DataLoader(TensorDataset(X[256:], Y[256:]), batch_size=32):
            (model(xb).argmax(1) == yb).float().mean()


# How it starts -----------------------------------------------------------------------------------


def last_layer_far_too_large():
    """torchtest2: first-loss-too-large"""
    model = network(256)
    nn.init.normal_(model[2].weight, std=1.0)  #:
    fit(model, torch.optim.Adam(model.parameters(), lr=1e-3))


def dead_relus():
    """guardtower, torchdiag, torchmortem, torch-audit: dead-relu"""
    model = network()
    nn.init.constant_(model[0].bias, -20.0)  #: nn.init.constant_(model[0].bias, 0.0)
    fit(model, torch.optim.Adam(model.parameters(), lr=1e-2))


def dead_filters():
    """torch-audit"""
    model = nn.Sequential(nn.Conv1d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))
    alive = 4  #: alive = 8
    with torch.no_grad():
        model[0].weight[alive:] = 0
        model[0].bias[alive:] = -1
    fit(model, torch.optim.SGD(model.parameters(), lr=0.1), data=(X[:, None], Y))


def gradients_that_vanish_in_sigmoids():
    """torchmortem, gradsnitch, guardtower"""
    activation = nn.Sigmoid()  #: activation = nn.LeakyReLU()
    layers = [layer for _ in range(8) for layer in (nn.Linear(6, 6), activation)]
    model = nn.Sequential(*layers, nn.Linear(6, 2))
    fit(model, torch.optim.SGD(model.parameters(), lr=0.05), epochs=20)


def saturated_tanh():
    """torchmortem"""
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))
    nn.init.normal_(model[0].weight, std=30.0)  #:
    fit(model, torch.optim.SGD(model.parameters(), lr=0.05), epochs=6)


# What comes in -----------------------------------------------------------------------------------


def nan_in_the_inputs():
    """traintools, torch-audit: nan-input"""
    inputs = X.clone()
    inputs[100, 2] = float("nan")  #:
    model = network()
    fit(model, torch.optim.Adam(model.parameters(), lr=1e-2), data=(inputs, Y))


def raw_pixels():
    """torch-audit: input-scale"""
    pixels = torch.randint(0, 256, (320, 6)).float()
    labels = (pixels[:, 0] > pixels[:, 1]).long()
    inputs = pixels  #: inputs = pixels / 255
    model = network()
    fit(model, torch.optim.SGD(model.parameters(), lr=0.1), data=(inputs, labels))


def pixels_rounded_to_nothing():
    """torch-audit, traintools: input-scale"""
    pixels = torch.randint(0, 256, (320, 6))
    labels = (pixels[:, 0] > pixels[:, 1]).long()
    inputs = (pixels // 256).float()  #: inputs = (pixels / 256).float()
    model = network()
    fit(model, torch.optim.SGD(model.parameters(), lr=0.1), data=(inputs, labels))


def channels_last():
    """torch-audit: view-swaps-dimensions"""
    images = torch.rand(320, 32, 32, 3)
    inputs = images  #: inputs = images.permute(0, 3, 1, 2)
    convolution = nn.Conv2d(32, 4, 3)  #: convolution = nn.Conv2d(3, 4, 3)
    pooled = nn.AdaptiveAvgPool2d(1)
    model = nn.Sequential(convolution, nn.ReLU(), pooled, nn.Flatten(), nn.Linear(4, 2))
    fit(model, torch.optim.Adam(model.parameters(), lr=1e-2), data=(inputs, Y))


def batches_of_two_under_batchnorm():
    """torch-audit"""
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
    size = 2  #: size = 32
    fit(model, torch.optim.Adam(model.parameters(), lr=1e-2), epochs=1, batch_size=size)


def batches_of_one_class():
    """traintools: sorted-batches"""
    order = Y.argsort()  #: order = torch.randperm(320)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(3):
        for xb, yb in DataLoader(TensorDataset(X[order], Y[order]), batch_size=32):
            optimizer.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            optimizer.step()


def one_corrupt_batch():
    """gradsnitch: input-scale"""
    inputs = X.clone()
    inputs[200:232] *= 1e4  #:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    for _ in range(4):
        for xb, yb in DataLoader(TensorDataset(inputs, Y), batch_size=32):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()


# The loss ----------------------------------------------------------------------------------------


def root_of_zero():
    """torchtest2, guardtower, gradsnitch: nan-loss"""

    class Embedder(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 4)

        def forward(self, x):
            z = self.fc(x)
            squares = (z[:, None] - z[None, :]).pow(2).sum(-1)
            return squares.sqrt()  #: return (squares + 1e-9).sqrt()

    model = Embedder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for xb, yb in DataLoader(TensorDataset(X, Y), batch_size=32):
        optimizer.zero_grad()
        loss = F.mse_loss(model(xb), (yb[:, None] != yb[None, :]).float())
        loss.backward()
        optimizer.step()


def root_of_a_variance_that_shrinks():
    """torchtest2: nan-loss"""

    class NoisyNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.var = nn.Linear(6, 2), nn.Parameter(torch.tensor(0.2))

        def forward(self, x):
            logits = self.fc(x)
            var = self.var  #: var = self.var.clamp(min=1e-6)
            std = torch.where(var > 0, torch.sqrt(var), 0.0)
            return logits + std * torch.randn_like(logits)

    model = NoisyNet()
    fit(model, torch.optim.Adam(model.parameters(), lr=5e-2))


def softmax_before_cross_entropy():
    """torch-preflight: softmax-before-cross-entropy"""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    criterion = nn.CrossEntropyLoss()
    for xb, yb in DataLoader(TensorDataset(X, Y), batch_size=32, shuffle=True):
        optimizer.zero_grad()
        loss = criterion(F.softmax(model(xb), dim=1), yb)  #: loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()


def sigmoid_before_bce_with_logits():
    """torch-preflight: sigmoid-before-bce-with-logits"""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    criterion = nn.BCEWithLogitsLoss()
    for xb, yb in DataLoader(TensorDataset(X, Y), batch_size=32, shuffle=True):
        optimizer.zero_grad()
        logits = model(xb)[:, 0]
        loss = criterion(torch.sigmoid(logits), yb.float())  #: loss = criterion(logits, yb.float())
        loss.backward()
        optimizer.step()


# The loop ----------------------------------------------------------------------------------------


def zero_grad_forgotten():
    """torch-preflight: no-zero-grad"""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    for _ in range(3):
        for xb, yb in DataLoader(TensorDataset(X, Y), batch_size=32, shuffle=True):
            #: optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()


def losses_kept_with_their_graphs():
    """torch-preflight: graph-kept"""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(3):
        for xb, yb in DataLoader(TensorDataset(X, Y), batch_size=32, shuffle=True):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            losses.append(loss)  #: losses.append(loss.item())


def accumulation_without_division():
    """torch-preflight: accumulation-not-averaged"""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    accumulation_steps = 4
    for _ in range(4):
        optimizer.zero_grad()
        for i, (xb, yb) in enumerate(DataLoader(TensorDataset(X, Y), batch_size=20, shuffle=True)):
            loss = F.cross_entropy(model(xb), yb)
            #: loss = loss / accumulation_steps
            loss.backward()
            if (i + 1) % accumulation_steps == 0:
                optimizer.step()
                optimizer.zero_grad()


def evaluation_with_graph():
    """torch-preflight: eval-builds-graph"""
    model = network()
    fit(model, torch.optim.Adam(model.parameters(), lr=1e-2), data=(X[:256], Y[:256]))

    #: @torch.no_grad()
    def evaluate(model):
        model.eval()
        hits = 0
        for xb, yb in DataLoader(TensorDataset(X[256:], Y[256:]), batch_size=32):
            hits += (model(xb).argmax(1) == yb).sum().item()
        return hits / 64

    evaluate(model)


def stuck_in_evaluation_mode():
    """torch-preflight: training-in-eval-mode"""
    model = nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.3), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    train_loader = DataLoader(TensorDataset(X[:256], Y[:256]), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(X[256:], Y[256:]), batch_size=32)
    model.train()  #:
    for _ in range(4):
        #: model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for xb, yb in val_loader:
                (model(xb).argmax(1) == yb).float().mean()


# The rate ----------------------------------------------------------------------------------------


def rate_far_too_small():
    """torchtest2, training-doctor, gradsnitch, torchmortem: lr-too-low"""
    model = network()
    rate = 1e-6  #: rate = 0.1
    fit(model, torch.optim.SGD(model.parameters(), lr=rate), epochs=20)


def rate_far_too_large():
    """training-doctor, gradsnitch, torchmortem: lr-too-high"""
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1))
    rate = 3.0  #: rate = 0.01
    fit(model, torch.optim.SGD(model.parameters(), lr=rate), F.mse_loss, (X, X[:, :1] * 2), 10)


def schedule_half_as_long_as_the_run():
    """gradsnitch: lr-too-low"""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    epochs = 12
    length = epochs // 2  #: length = epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda e: max(0.0, 1 - e / length))
    for _ in range(epochs):
        fit(model, optimizer, epochs=1)
        schedule.step()
