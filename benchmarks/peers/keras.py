"""Keras on its torch backend: the same layers, optimizer and loss in Keras, on PyTorch's loaders."""

import os

os.environ["KERAS_BACKEND"] = "torch"
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # everyone trains on the CPU

import keras
import torch


def fit(task):
    linear = [layer for layer in task.model if isinstance(layer, torch.nn.Linear)]
    model = keras.Sequential(
        [
            keras.Input((linear[0].in_features,)),
            keras.layers.Dense(linear[0].out_features, activation="relu"),
            keras.layers.Dense(linear[1].out_features),
        ]
    )
    with torch.no_grad():
        model.set_weights([w.numpy() for layer in linear for w in (layer.weight.T, layer.bias)])
    options = task.optimizer.defaults
    model.compile(
        optimizer=keras.optimizers.SGD(options["lr"], momentum=options["momentum"]),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    # Keras looks at some batches first, so the order of the rows is started again after that.
    restart = keras.callbacks.LambdaCallback(
        on_train_begin=lambda _: task.train_loader.sampler.restart()
    )
    history = model.fit(
        task.train_loader,
        validation_data=task.val_loader,
        epochs=task.epochs,
        shuffle=False,  # the loader shuffles
        callbacks=[restart],
        verbose=0,
    ).history
    weights = iter(model.get_weights())
    with torch.no_grad():
        for layer in linear:
            layer.weight.copy_(torch.from_numpy(next(weights)).T)
            layer.bias.copy_(torch.from_numpy(next(weights)))
    return {
        "train_loss": history["loss"],
        "val_loss": history["val_loss"],
        "val_acc": history["val_accuracy"],
    }
