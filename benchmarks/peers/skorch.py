"""skorch: a `NeuralNetClassifier`, which keeps this very history by itself."""

from skorch import NeuralNetClassifier
from skorch.helper import predefined_split


def fit(task):
    options = task.optimizer.defaults
    net = NeuralNetClassifier(
        task.model,
        criterion=task.loss_fn,
        optimizer=type(task.optimizer),
        optimizer__momentum=options["momentum"],
        lr=options["lr"],
        max_epochs=task.epochs,
        batch_size=task.train_loader.batch_size,
        iterator_train__sampler=task.train_loader.sampler,
        iterator_valid__batch_size=task.val_loader.batch_size,
        train_split=predefined_split(task.val_loader.dataset),
        device="cpu",
        verbose=0,
    )
    net.fit(task.train_loader.dataset, y=None)
    task.model = net.module_
    columns = {"train_loss": "train_loss", "val_loss": "valid_loss", "val_acc": "valid_acc"}
    return {name: net.history[:, column] for name, column in columns.items()}
