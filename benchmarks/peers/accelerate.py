"""Hugging Face Accelerate: a loop of one's own, with everything prepared by an `Accelerator`."""

import torch
from accelerate import Accelerator


def fit(task):
    accelerator = Accelerator(cpu=True)
    model, optimizer, train_loader, val_loader = accelerator.prepare(
        task.model, task.optimizer, task.train_loader, task.val_loader
    )
    history = {"train_loss": [], "val_loss": [], "val_acc": []}
    for _ in range(task.epochs):
        model.train()
        total, n = 0.0, 0
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = task.loss_fn(model(xb), yb)
            accelerator.backward(loss)
            optimizer.step()
            total += loss.item() * len(xb)
            n += len(xb)
        history["train_loss"].append(total / n)

        model.eval()
        total, correct, n = 0.0, 0, 0
        with torch.no_grad():
            for xb, yb in val_loader:
                logits, yb = accelerator.gather_for_metrics((model(xb), yb))
                total += task.loss_fn(logits, yb).item() * len(xb)
                correct += (logits.argmax(dim=1) == yb).sum().item()
                n += len(xb)
        history["val_loss"].append(total / n)
        history["val_acc"].append(correct / n)
    return history
