"""What failed, in words that help: a forward, or a step that was already under way."""

import math
import textwrap
import traceback

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler


class Unusable(ValueError):
    """Something that failed in the middle of a pass, in words that help."""


def in_short(error):
    """The type of an error and the start of what it says; that of a worker's says it last."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    told_by_worker = any(line.startswith("Original Traceback") for line in lines)
    said = lines[-1] if told_by_worker else f"{type(error).__name__}: {lines[0]}"
    return textwrap.shorten(said, 200, placeholder=" …")


def of_forward(name, model, xb, error):
    """The exception to raise for `error`, with which `model(xb)` failed on the batch of that name."""
    weight = next(model.parameters(), None)
    if weight is not None and xb.dtype != weight.dtype and "dtype" in str(error):
        convert = f"X.to({weight.dtype})" if weight.dtype != torch.float32 else "X.float()"
        if xb.is_complex():
            convert = "torch.view_as_real(X).flatten(1), which keeps both parts"
        return TypeError(
            f"{name} gives inputs of {xb.dtype}, but the model's weights are {weight.dtype}. "
            f"Convert the inputs with {convert}."
        )
    for frame, _ in traceback.walk_tb(error.__traceback__):
        layer, x = frame.f_locals.get("self"), frame.f_locals.get("input")
        if not isinstance(x, torch.Tensor):
            continue
        if isinstance(layer, nn.Linear) and x.shape[-1] != layer.in_features:
            return ValueError(
                f"{name} gives inputs of shape {list(xb.shape)}, and the layer "
                f"nn.Linear({layer.in_features}, {layer.out_features}) of the model gets "
                f"{list(x.shape)}: {x.shape[-1]} features instead of {layer.in_features}. "
                f"{_width_advice(x, layer, x is xb)}"
            )
        if isinstance(layer, nn.modules.conv._ConvNd) and (advice := _channel_advice(x, layer)):
            return ValueError(
                f"{name} gives inputs of shape {list(xb.shape)}, and the layer nn.{type(layer).__name__}("
                f"{layer.in_channels}, {layer.out_channels}, …) of the model gets {list(x.shape)}, and "
                f"needs {layer.in_channels} channel{'s' * (layer.in_channels > 1)} in the second place. "
                f"{advice}"
            )
        if isinstance(layer, nn.Embedding) and x.is_floating_point():
            return TypeError(
                f"{name} gives inputs of {xb.dtype}, and the layer nn.Embedding({layer.num_embeddings}, "
                f"{layer.embedding_dim}) of the model gets {x.dtype}, and needs whole numbers. Convert "
                f"them with {'X' if x is xb else 'x'}.long()."
            )
        if isinstance(layer, nn.Embedding) and isinstance(error, IndexError):
            return ValueError(
                f"{name} gives inputs of shape {list(xb.shape)}, and the layer "
                f"nn.Embedding({layer.num_embeddings}, {layer.embedding_dim}) of the model, which knows "
                f"the numbers from 0 to {layer.num_embeddings - 1}, gets some from {x.min()} to "
                f"{x.max()}. Number the entries from 0, or give the layer more of them."
            )
    return ValueError(
        f"{name} gives inputs of shape {list(xb.shape)} and {xb.dtype}, and the model fails on "
        f"them ({in_short(error)}). To see the line, run it alone: model(xb)."
    )


def _width_advice(x, layer, is_data):
    if x.ndim > 2 and math.prod(x.shape[1:]) == layer.in_features:
        return "Put nn.Flatten() in front of it."
    if is_data and x.ndim == 1 and layer.in_features == 1:
        return "Give the inputs a second dimension: X[:, None]."
    if is_data:
        return "Change the data or the model's input width."
    return f"Make it nn.Linear({x.shape[-1]}, {layer.out_features})."


def _channel_advice(x, layer):
    """What to do about inputs of a convolution that has its channels elsewhere; None if it has not."""
    along = len(layer.kernel_size)
    if x.ndim == along + 1:
        return "Give the inputs a dimension for it: X[:, None]." if layer.in_channels == 1 else None
    if x.ndim != along + 2 or x.shape[1] == layer.in_channels:
        return None
    if x.shape[-1] == layer.in_channels:
        return "Bring them there: X.movedim(-1, 1)."
    return "Change the data or the layer."


_ADVICE = {  # a word of PyTorch's message -> what to do
    "inplace operation": "The model or loss_fn changes a tensor in place that backward still needs: "
    "write x = x + 1 instead of x += 1 or x.add_(1), and leave inplace=True out.",
    "second time": "Something is used again whose gradients were taken already, such as a hidden state of "
    "the model from the batch before, or data that were computed with gradients: cut it off by .detach(). "
    "backward itself is called by train, and not in model or loss_fn.",
    "does not require grad": "Are gradients switched off, as a callback does by "
    "torch.set_grad_enabled(False)? Write with torch.no_grad(): around what needs none.",
    "Found dtype Double but expected Float": "Are the labels of torch.float64, as NumPy gives them? Convert "
    "them with y.float().",
    "leaf Variable": "Write @torch.no_grad() above its step.",
}


def of_step(name, error):
    """Words for what neither the batch nor the forward pass explains, by the place where it failed."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    calls = {(frame.f_code.co_name, frame.f_code.co_filename) for frame in frames}
    if any("_functorch" in file for _, file in calls):
        return (
            f"{name} can't go through many copies of the model at once ({in_short(error)}). model and "
            "loss_fn must be made of tensor operations alone: no .item(), no .numpy(), no if on values, "
            "no changes in place. Or train the models one by one, with train."
        )
    advice = (text for word, text in _ADVICE.items() if word in str(error))
    if ("backward", torch.autograd.__file__) in calls:
        own = "Look at the hooks and at the autograd functions of your own in model and loss_fn."
        return f"loss.backward() fails on {name} ({in_short(error)}). {next(advice, own)}"
    if any(function == "clip_grad_norm_" for function, _ in calls):
        return f"max_grad_norm can't shorten the gradients of {name} ({in_short(error)})."
    callers = [frame.f_locals.get("self") for frame in frames]
    if any(isinstance(caller, LRScheduler) for caller in callers):
        return f"scheduler can't make its step after {name} ({in_short(error)})."
    if any(isinstance(caller, torch.optim.Optimizer) for caller in callers):
        other = next(advice, "Choose another one.")
        return f"optimizer can't make a step after {name} ({in_short(error)}). {other}"
    return f"{name} can't be used ({in_short(error)})."
