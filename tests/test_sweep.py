from functools import partial

import pytest
import torch
from torch import nn

from course_utils import evaluate, mlp, moons, sweep_learning_rates, train

X, y = moons(96, seed=0)
BATCHES = [(X[i : i + 32], y[i : i + 32]) for i in (0, 32, 64)]
LOSS = nn.CrossEntropyLoss()
LRS = [0.001, 0.03, 0.5]
FIXED = mlp(2, 8, 2)


class Lengthless:
    """A loader without a length, whose second batch has labels that are no classes."""

    def __iter__(self):
        return iter([(X, y), (X, y + 5)])


class UnitLength(torch.optim.SGD):
    """Proportional to the learning rate, but copies in one tensor would share one length."""

    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(group["lr"] * parameter.grad / parameter.grad.norm())


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        outputs = self.layer(x)
        return outputs / outputs.abs().max().item()


class WithCentre(Scaled):
    def forward(self, logits, labels):
        return LOSS(self.layer(logits), labels)


class Filling(Scaled):
    def forward(self, x):
        outputs = torch.zeros(len(x), 2)
        outputs += self.layer(x)
        return outputs


def one_by_one(optimizer, seeds, schedule=lambda done: 1.0, judged_on=BATCHES):
    losses = []
    for seed in seeds:
        for lr in LRS:
            torch.manual_seed(seed)
            model = mlp(2, 8, 2)
            own = optimizer(model.parameters(), lr=lr)
            for step, (xb, yb) in enumerate(BATCHES * 5):
                own.param_groups[0]["lr"] = lr * schedule(step / 15)
                own.zero_grad()
                LOSS(model(xb), yb).backward()
                own.step()
            losses.append(evaluate(model, judged_on, LOSS)[0])
    return torch.tensor(losses).view(len(seeds), len(LRS))


@pytest.mark.parametrize(
    "optimizer",
    [
        torch.optim.SGD,
        partial(torch.optim.SGD, momentum=0.9, nesterov=True, weight_decay=0.01),
        torch.optim.Adam,
        torch.optim.RMSprop,
        torch.optim.Adagrad,
        torch.optim.NAdam,
        partial(torch.optim.AdamW, weight_decay=0.1),
    ],
)
def test_a_sweep_ends_where_training_one_by_one_ends(optimizer):
    seeds = (0, 7)
    losses = sweep_learning_rates(partial(mlp, 2, 8, 2), LRS, BATCHES, LOSS, optimizer, 5, seeds)
    assert losses.shape == (2, 3)
    torch.testing.assert_close(losses, one_by_one(optimizer, seeds), rtol=1e-3, atol=1e-5)


def test_frozen_layers_stay_as_they_are():
    def half_frozen():
        model = mlp(2, 8, 2)
        model[0].requires_grad_(False)
        return model

    losses = sweep_learning_rates(half_frozen, [0.5], BATCHES, LOSS, torch.optim.SGD, 5)
    torch.manual_seed(0)
    model = half_frozen()
    optimizer = torch.optim.SGD(model[-1].parameters(), lr=0.5)
    for _ in range(5):
        for xb, yb in BATCHES:
            optimizer.zero_grad()
            LOSS(model(xb), yb).backward()
            optimizer.step()
    assert losses.item() == pytest.approx(evaluate(model, BATCHES, LOSS)[0], rel=1e-4)


def test_a_schedule_and_other_rows_to_judge_by():
    momentum, others = partial(torch.optim.SGD, momentum=0.9), [moons(50, seed=1)]
    options = {"schedule": lambda done: 1 - done, "val_loader": others}
    losses = sweep_learning_rates(
        partial(mlp, 2, 8, 2), LRS, BATCHES, LOSS, momentum, 5, (0, 7), **options
    )
    expected = one_by_one(momentum, (0, 7), lambda done: 1 - done, others)
    torch.testing.assert_close(losses, expected, rtol=1e-3, atol=1e-5)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.recurrent, self.layer = nn.GRU(1, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(self.recurrent(x[:, :, None])[0][:, -1])


def test_a_recurrent_model_can_be_swept():
    losses = sweep_learning_rates(Recurrent, [0.5], BATCHES, LOSS, torch.optim.SGD, 5)
    torch.manual_seed(0)
    model = Recurrent()
    history = train(
        model,
        BATCHES,
        BATCHES,
        LOSS,
        torch.optim.SGD(model.parameters(), lr=0.5),
        5,
        progress=False,
    )
    assert losses.item() == pytest.approx(history["val_loss"][-1], rel=1e-4)


def test_a_model_of_doubles_ends_where_one_of_floats_does():
    doubles = [(xb.double(), yb) for xb, yb in BATCHES]
    losses = [
        sweep_learning_rates(make_model, LRS, batches, LOSS, torch.optim.Adam, 5)
        for make_model, batches in (
            (partial(mlp, 2, 8, 2), BATCHES),
            (lambda: mlp(2, 8, 2).double(), doubles),
        )
    ]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)


def test_dropout_is_on_in_training_and_off_in_the_final_loss():
    def sweep(dropout, epochs):
        make_model = partial(mlp, 2, 8, 2, dropout=dropout)
        return sweep_learning_rates(make_model, LRS, BATCHES, LOSS, torch.optim.SGD, epochs)

    assert torch.equal(sweep(0.5, 0), sweep(0.0, 0))
    assert not torch.allclose(sweep(0.5, 5), sweep(0.0, 5))


def test_a_run_that_blows_up_says_so_and_spares_the_others():
    batches = [(X * 100, X[:, :1] * 100)]
    make_model = partial(nn.Linear, 2, 1)
    lrs = [1e-6, 10.0]
    losses = sweep_learning_rates(make_model, lrs, batches, nn.MSELoss(), torch.optim.SGD, 100)
    assert losses.isfinite().tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lrs": []}, "list of learning rates above 0"),
        ({"lrs": [0.1, 0.0]}, "list of learning rates above 0"),
        ({"seeds": []}, "at least one seed"),
        ({"epochs": -3}, "at least 0; got -3"),
        ({"epochs": 1.5}, "at least 0; got 1.5"),
        ({"train_loader": []}, "train_loader is empty"),
        ({"train_loader": iter(BATCHES)}, "only once"),
        ({"train_loader": [(X, y + 5)]}, "labels from 5 to 6"),
        ({"train_loader": [(X[:, :1], y)]}, "1 features instead of 2"),
        ({"make_model": lambda: mlp(2, 8, 2).requires_grad_(False)}, "trainable parameter"),
        ({"make_model": lambda: None}, "must return a model"),
        ({"make_model": lambda: FIXED, "seeds": (0, 1)}, "a new model each time"),
        (
            {"make_model": lambda: mlp(2, 8 + torch.randint(9, ()).item(), 2), "seeds": range(5)},
            "same layers",
        ),
        ({"lrs": [0.1, float("nan")]}, "list of learning rates above 0"),
        ({"seeds": None}, "a list of seeds"),
        ({"seeds": [2**70]}, "whole numbers"),
        ({"schedule": 0.5}, "schedule must be a function"),
        ({"schedule": lambda done: None}, "return a number"),
        (
            {"schedule": lambda done: float("nan") if done > 0.5 else 1.0},
            r"schedule\(0.666667\) is nan",
        ),
        ({"make_model": lambda: 1 / 0}, r"make_model\(\) can't make a model \(ZeroDivisionError"),
        ({"make_model": lambda width: mlp(2, width, 2)}, "called without arguments"),
        ({"loss_fn": WithCentre()}, "loss_fn has parameters of its own"),
        ({"schedule": lambda done: 1 / done}, "ZeroDivisionError"),
        ({"make_model": Scaled}, r"many copies of the model at once .* no \.item\(\)"),
        ({"make_model": Filling}, "many copies of the model at once .* no changes in place"),
        ({"schedule": lambda done: -1.0}, "numbers of at least 0"),
        ({"schedule": lambda done: 1.0, "train_loader": Lengthless()}, "must have a length"),
        ({"train_loader": Lengthless()}, "batch 2 of train_loader has labels from 5 to 6"),
        ({"val_loader": Lengthless()}, "batch 2 of val_loader has labels from 5 to 6"),
        ({"optimizer": torch.optim.Adafactor}, "not proportional to the learning rate"),
        ({"optimizer": torch.optim.ASGD}, "not proportional to the learning rate"),
        ({"optimizer": torch.optim.LBFGS}, "LBFGS.step"),
        ({"optimizer": torch.optim.SparseAdam}, "dense gradients"),
        ({"optimizer": partial(torch.optim.SGD, maximize=True)}, "maximize=True"),
        (
            {"optimizer": lambda parameters, lr: torch.optim.SGD(parameters, lr=0.1)},
            "not proportional",
        ),
        ({"optimizer": lambda parameters, lr: None}, "many copies at once"),
        ({"optimizer": UnitLength}, "depends on other weights"),
        ({"make_model": lambda: nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))}, "buffers"),
    ],
)
def test_what_cannot_work_is_said_at_once(change, says):
    arguments = {
        "make_model": partial(mlp, 2, 8, 2),
        "lrs": LRS,
        "train_loader": BATCHES,
        "loss_fn": LOSS,
        "optimizer": torch.optim.SGD,
        "epochs": 1,
    }
    with pytest.raises((ValueError, TypeError), match=says):
        sweep_learning_rates(**arguments | change)


def test_the_final_loss_counts_rows_as_the_loss_does_and_val_loader_is_examined():
    torch.manual_seed(0)
    X, y = torch.randn(9, 3), torch.arange(9) % 2
    loss_fn = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 9.0]))

    def swept(**loaders):
        return sweep_learning_rates(
            lambda: nn.Linear(3, 2), [0.1, 0.2], loss_fn=loss_fn, optimizer=torch.optim.SGD,
            epochs=1, **{"train_loader": [(X, y)], **loaders},
        )  # fmt: skip

    by_four = [(X[i : i + 4], y[i : i + 4]) for i in range(0, 9, 4)]
    torch.testing.assert_close(swept(val_loader=by_four), swept(val_loader=[(X, y)]))
    with pytest.raises((TypeError, ValueError), match="val_loader"):
        swept(val_loader=[])
    with pytest.raises(TypeError, match="whole numbers"):
        sweep_learning_rates(
            lambda: nn.Linear(3, 2), [0.1], [(X, y)], loss_fn, torch.optim.SGD, 1, seeds=["a"]
        )
