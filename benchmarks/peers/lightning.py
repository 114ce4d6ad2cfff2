"""Lightning: a `LightningModule` and a `Trainer`; logger, progress bar and checkpoints off."""

import logging
import warnings

import lightning as L

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")  # about workers


class Classifier(L.LightningModule):
    def __init__(self, task):
        super().__init__()
        self.model, self.loss_fn, self.optimizer = task.model, task.loss_fn, task.optimizer
        self.history = {"train_loss": [], "val_loss": [], "val_acc": []}

    def training_step(self, batch):
        xb, yb = batch
        loss = self.loss_fn(self.model(xb), yb)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch):
        xb, yb = batch
        logits = self.model(xb)
        self.log("val_loss", self.loss_fn(logits, yb))
        self.log("val_acc", (logits.argmax(dim=1) == yb).float().mean())

    def on_train_epoch_end(self):
        for name, values in self.history.items():
            values.append(self.trainer.callback_metrics[name].item())

    def configure_optimizers(self):
        return self.optimizer


def fit(task):
    module = Classifier(task)
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=task.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, task.train_loader, task.val_loader)
    return module.history
