"""Ignite: a trainer and an evaluator, with its metrics and an event handler."""

from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.metrics import Accuracy, Loss


def fit(task):
    trainer = create_supervised_trainer(
        task.model,
        task.optimizer,
        task.loss_fn,
        output_transform=lambda x, y, y_pred, loss: (y_pred.detach(), y),
    )
    Loss(task.loss_fn).attach(trainer, "loss")
    evaluator = create_supervised_evaluator(
        task.model, metrics={"loss": Loss(task.loss_fn), "accuracy": Accuracy()}
    )
    history = {"train_loss": [], "val_loss": [], "val_acc": []}

    @trainer.on(Events.EPOCH_COMPLETED)
    def validate():
        metrics = evaluator.run(task.val_loader).metrics
        history["train_loss"].append(trainer.state.metrics["loss"])
        history["val_loss"].append(metrics["loss"])
        history["val_acc"].append(metrics["accuracy"])

    trainer.run(task.train_loader, max_epochs=task.epochs)
    return history
