"""One module for each way to train: `fit(task)` trains `task.model` and returns its history.

The history holds `train_loss`, `val_loss` and `val_acc`, a number for each epoch: the mean loss
over the samples, each taken just before the step it caused, and the two of the validation data
after the epoch.
"""
