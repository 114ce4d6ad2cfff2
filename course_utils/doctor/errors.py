"""What PyTorch's own error messages mean to a beginner, added to them as a note."""

import re

# A pattern in the message, what it means, what to change.
_EXPLANATIONS = (
    (
        r"mat1 and mat2 must have the same dtype|expected m1 and m2 to have the same dtype"
        r"|expected scalar type \w+ but found|Input type .* and (weight|bias) type .* should be"
        r"|must have the same dtype",
        "The data and the weights have different types. NumPy's numbers are float64, PyTorch's "
        "weights float32.",
        "convert the data where it is made: X = torch.tensor(X, dtype=torch.float32)",
    ),
    (
        r"Expected all tensors to be on the same device|is not on the expected device|Expected object of device type",
        "Tensors that meet in one operation must be on the same device: {devices}.",
        "move both: model.to(device) once, and xb, yb = xb.to(device), yb.to(device) in the loop",
    ),
    (
        r"mat1 and mat2 shapes cannot be multiplied|size mismatch, got input",
        "A Linear layer got rows of another length than its in_features. In the message, the "
        "first shape is the data's, the second the layer's (in_features x out_features).",
        "make in_features the number of columns; flatten images first with nn.Flatten()",
    ),
    (
        r"[Ee]xpected \w*\d?D? ?\(?.*\bchannels?, but got|expected input.* to have \d+ channels",
        "A convolution got another number of channels than its in_channels.",
        "images are [N, channels, height, width]: move the channels with x.permute(0, 3, 1, 2), "
        "or change in_channels",
    ),
    (
        r"[Tt]arget \S+ is out of bounds",
        "A label is not one of the classes: with C outputs, labels must be 0 to C - 1.",
        "number the classes from 0 (y = y - y.min()), or give the last layer more outputs",
    ),
    (
        r"0D or 1D target tensor expected, multi-target not supported",
        "CrossEntropyLoss takes class numbers of shape [N], not [N, 1].",
        "loss = loss_fn(logits, yb.squeeze(1))",
    ),
    (
        r"expected scalar type Long|expected target dtype to be Long|not implemented for '(Int|Float|Double|Short)'"
        r"|Expected floating point type for target with class probabilities",
        "The labels have the wrong type: CrossEntropyLoss takes class numbers of type int64.",
        "yb = yb.long()",
    ),
    (
        r"result type Float can't be cast to the desired output type Long"
        r"|Found dtype Long but expected Float",
        "The labels are whole numbers, but this loss compares numbers with numbers.",
        "yb = yb.float()",
    ),
    (
        r"Target size .* must be (the )?same (as|size)|Using a target size",
        "Outputs and labels have different shapes, most often [N, 1] against [N].",
        "loss = loss_fn(logits.squeeze(1), yb)",
    ),
    (
        r"all elements of (input|target) should be between 0 and 1",
        "BCELoss works on probabilities; these are raw logits.",
        "use nn.BCEWithLogitsLoss(), which applies the sigmoid itself",
    ),
    (
        r"element 0 of tensors does not require grad",
        "The loss has no graph: on its way from the weights to the loss there was a detach(), "
        ".item(), .numpy(), a new torch.tensor(…), or no_grad().",
        "compute the loss from the model's output itself: loss = loss_fn(model(xb), yb)",
    ),
    (
        r"Trying to backward through the graph a second time",
        "Backward went through this graph already, and a graph can be used only once. Either "
        "backward is called twice on the same loss, or something of an earlier batch is still "
        "in use, such as the hidden state of a recurrent network.",
        "make a new forward for each backward; cut what is carried over: hidden = hidden.detach()",
    ),
    (
        r"modified by an inplace operation",
        "A tensor that backward needs was changed after the forward, by an operation such as "
        "x += 1 or by optimizer.step() before backward().",
        "write x = x + 1, and keep the order forward, backward, step",
    ),
    (
        r"optimizer got an empty parameter list",
        "The model has no parameters that PyTorch knows of: layers in a plain list or dict are "
        "not registered.",
        "self.layers = nn.ModuleList([...])",
    ),
    (
        r"Expected more than 1 value per channel when training",
        "BatchNorm can't train on a batch with a single row, and the last batch is one.",
        "DataLoader(..., drop_last=True)",
    ),
    (
        r"grad can be implicitly created only for scalar outputs",
        "The loss is not a single number: its reduction is 'none', or the mean is missing.",
        "loss.mean().backward()",
    ),
    (
        r"Can't call numpy\(\) on Tensor that requires grad",
        "This tensor still carries its graph, which NumPy doesn't know.",
        "values = tensor.detach().numpy()",
    ),
    (
        r"a leaf Variable that requires grad is being used in an in-place operation",
        "A weight is changed while autograd records.",
        "with torch.no_grad(): w -= lr * w.grad",
    ),
    (
        r"size of tensor a .* must match the size of tensor b",
        "Two tensors of different shapes meet where shapes must be equal.",
        "print both shapes just before this line, then reshape one of them",
    ),
    (
        r"nested_tensorlist\[0\]\.empty",
        "There is no gradient to clip yet.",
        "loss.backward() first, then clip_grad_value_, then optimizer.step()",
    ),
    (r"CUDA out of memory", "The GPU's memory is full.", "use a smaller batch_size"),
)


def explanation(error):
    """Meaning and fix of an exception that left a loop, or None for one that isn't known."""
    message = str(error)
    for pattern, meaning, fix in _EXPLANATIONS:
        if re.search(pattern, message):
            meaning = meaning.replace("{devices}", _devices(message))
            return f"\nLoop doctor: {meaning}\n  fix: {fix}"


def _devices(message):
    """The devices that the message names, as "one is on cuda:0, another on cpu"."""
    names = re.findall(r"\b(?:cpu|meta|(?:cuda|mps|xpu)(?::\d+)?)\b", message)
    first, *others = dict.fromkeys(names) or ["one"]
    if not others:
        return f"one of them is on {first}, another is not" if names else "these are not"
    return f"one is on {first}, another on {' and '.join(others)}"
