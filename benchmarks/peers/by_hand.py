"""The loop as lesson 05 writes it, with nothing but PyTorch."""

import torch


def fit(task):
    model, loss_fn, optimizer = task.model, task.loss_fn, task.optimizer
    history = {"train_loss": [], "val_loss": [], "val_acc": []}
    for _ in range(task.epochs):
        model.train()
        total, n = 0.0, 0
        for xb, yb in task.train_loader:
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(xb)
            n += len(xb)
        history["train_loss"].append(total / n)

        model.eval()
        total, correct, n = 0.0, 0, 0
        with torch.no_grad():
            for xb, yb in task.val_loader:
                logits = model(xb)
                total += loss_fn(logits, yb).item() * len(xb)
                correct += (logits.argmax(dim=1) == yb).sum().item()
                n += len(xb)
        history["val_loss"].append(total / n)
        history["val_acc"].append(correct / n)
    return history
