"""fastai: a `Learner` on ordinary PyTorch loaders, as in its guide to migrating."""

from fastai.basics import Callback, DataLoaders, Learner, OptimWrapper, accuracy


class MeanTrainLoss(Callback):
    """The mean over the epoch; fastai's own `train_loss` is a moving average."""

    def before_fit(self):
        self.means = []

    def before_train(self):
        self.total, self.n = 0.0, 0

    def after_batch(self):
        if self.training:
            self.total += self.loss.item() * len(self.y)
            self.n += len(self.y)

    def after_train(self):
        self.means.append(self.total / self.n)


def fit(task):
    train_loss = MeanTrainLoss()
    learner = Learner(
        DataLoaders(task.train_loader, task.val_loader, device="cpu"),
        task.model,
        loss_func=task.loss_fn,
        opt_func=lambda parameters, **_: OptimWrapper(opt=task.optimizer),
        metrics=accuracy,
        cbs=train_loss,
    )
    with learner.no_logging():  # no progress bar either: `basics` comes without
        learner.fit(task.epochs, lr=task.optimizer.param_groups[0]["lr"])
    rows = learner.recorder.values  # moving train loss, validation loss, accuracy
    return {
        "train_loss": train_loss.means,
        "val_loss": [row[1] for row in rows],
        "val_acc": [row[2] for row in rows],
    }
