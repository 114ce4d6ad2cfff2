"""Lightning Fabric: a loop of one's own, with model, optimizer and loaders set up by Fabric."""

import torch
from lightning.fabric import Fabric


def fit(task):
    fabric = Fabric(accelerator="cpu", devices=1)
    model, optimizer = fabric.setup(task.model, task.optimizer)
    train_loader, val_loader = fabric.setup_dataloaders(task.train_loader, task.val_loader)
    history = {"train_loss": [], "val_loss": [], "val_acc": []}
    for _ in range(task.epochs):
        model.train()
        total, n = 0.0, 0
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = task.loss_fn(model(xb), yb)
            fabric.backward(loss)
            optimizer.step()
            total += loss.item() * len(xb)
            n += len(xb)
        history["train_loss"].append(total / n)

        model.eval()
        total, correct, n = 0.0, 0, 0
        with torch.no_grad():
            for xb, yb in val_loader:
                logits = model(xb)
                total += task.loss_fn(logits, yb).item() * len(xb)
                correct += (logits.argmax(dim=1) == yb).sum().item()
                n += len(xb)
        history["val_loss"].append(total / n)
        history["val_acc"].append(correct / n)
    return history
