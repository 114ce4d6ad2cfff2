"""Poutyne: its `Model` with `fit_generator`, progress off. Its accuracy is in per cent."""

from poutyne import Model


def fit(task):
    model = Model(task.model, task.optimizer, task.loss_fn, batch_metrics=["accuracy"])
    epochs = model.fit_generator(
        task.train_loader, task.val_loader, epochs=task.epochs, verbose=False
    )
    return {
        "train_loss": [epoch["loss"] for epoch in epochs],
        "val_loss": [epoch["val_loss"] for epoch in epochs],
        "val_acc": [epoch["val_acc"] / 100 for epoch in epochs],
    }
