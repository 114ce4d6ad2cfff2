"""What the error messages of PyTorch, NumPy and Python mean to a beginner.

The doctor adds it to the exception as a note, a check to its feedback.
"""

import re

# A pattern in the message, what it means, what to change.
_EXPLANATIONS = (
    (
        r"mat1 and mat2 must have the same dtype|expected m1 and m2 to have the same dtype"
        r"|expected scalar type (?!Long)\w+ but found|Input type .* and (weight|bias) type .* should be"
        r"|must have the same dtype",
        "The data and the weights have different types. PyTorch's weights are float32; NumPy's numbers "
        "are mostly float64 or int64.",
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
        r"Dimension out of range \(expected",
        "`dim` names a dimension that this tensor does not have.",
        "print its shape just before this line; dim=0 is the first number of it, dim=-1 the last",
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
        r"[Ee]xpected floating point type for target with class probabilities",
        "Logits and labels have the same shape, so that the labels are read as probabilities. Logits "
        "have a number for each class.",
        "hand over the logits as they come from the model, with no argmax before the loss",
    ),
    (
        r"not implemented for 'Long'",
        "A loss takes the logits first, then the labels; here whole numbers stand in their place.",
        "loss = loss_fn(logits, yb)",
    ),
    (
        r"expected scalar type Long|expected target dtype to be Long|nll_loss\w*\" not implemented for '(Int|Float|Double|Short)'",
        "The labels have the wrong type: CrossEntropyLoss takes class numbers of type int64.",
        "yb = yb.long()",
    ),
    (
        r"bitwise_xor|operand type\(s\) for \^",
        "In Python ^ is no power: it compares bits, and these numbers have none to compare.",
        "write x**2",
    ),
    (
        r"result type Float can't be cast to the desired output type Long"
        r"|Found dtype Long but expected Float",
        "The labels are whole numbers, but this loss compares numbers with numbers.",
        "yb = yb.float()",
    ),
    (
        r"Target size \(torch.Size\(\[(\d+)(, 1)?\]\)\) must be .* \(torch.Size\(\[\1, (?!1\])\d+\]\)\)",
        "The model has several outputs in each row, and this loss asks yes or no for every one.",
        "where one class of several is right: nn.CrossEntropyLoss()(logits, yb.long().flatten())",
    ),
    (
        r"Target size .* must be (the )?same (as|size)|Using a target size",
        "Outputs and labels have different shapes, most often [N, 1] against [N].",
        "loss = loss_fn(logits.squeeze(1), yb)",
    ),
    (
        r"all elements of target should be between 0 and 1",
        "BCELoss takes probabilities, then labels from 0 to 1; some labels lie outside, such as -1 "
        "for no, or the two arguments are in the wrong order.",
        "number the two classes 0 and 1: yb = (yb > 0).float(); and always loss_fn(pred, yb)",
    ),
    (
        r"all elements of input should be between 0 and 1",
        "BCELoss takes probabilities; these are raw logits, or NaN from an earlier step.",
        "nn.BCEWithLogitsLoss() for raw logits, which applies the sigmoid itself",
    ),
    (
        r"element 0 of tensors does not require grad",
        "The loss has no graph: on its way from the weights to the loss there was a detach(), "
        ".item(), argmax, a new torch.tensor(…), or no_grad().",
        "compute the loss from the model's output itself: loss = loss_fn(model(xb), yb)",
    ),
    (
        r"Trying to backward through the graph a second time",
        "Backward went through this graph already, and what it had kept is freed. Either "
        "backward is called twice on the same loss, or something of an earlier batch is still "
        "in use, such as the hidden state of a recurrent network.",
        "make a new forward for each backward; cut what is carried over: hidden = hidden.detach()",
    ),
    (
        # A weight: a leaf, or its transpose. What the forward has computed names its operation.
        r"modified by an inplace operation: \[[\w.]+ \[[\d, ]*\]\]"
        r"(, which is output \d of (AsStrided|T|Transpose)\w*,)? is at",
        "optimizer.step() has changed weights that this backward still needs: it goes back into an "
        "earlier step, kept alive by retain_graph, as with a hidden state that is carried over; or "
        "step() stands before backward().",
        "cut what is carried over, hidden = hidden.detach(), and leave retain_graph out; keep the "
        "order forward, backward, step",
    ),
    (
        r"modified by an inplace operation",
        "A tensor that backward needs was changed after the forward, by an operation such as "
        "x += 1 or by optimizer.step() before backward(). With retain_graph=True it is often what "
        "is carried over from the batch before, such as the hidden state of a recurrent network.",
        "write x = x + 1, and keep the order forward, backward, step; cut what is carried over: "
        "hidden = hidden.detach(), then retain_graph isn't needed",
    ),
    (
        r"optimizer got an empty parameter list",
        "The model has no parameters that PyTorch knows of: layers in a plain list or dict are "
        "not registered.",
        "self.layers = nn.ModuleList([...])",
    ),
    (
        r"Expected more than 1 value per channel when training",
        "BatchNorm can't train on a batch with a single row; most often it is the last batch.",
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
        r"operands could not be broadcast together",
        "Two arrays of different shapes meet, and NumPy lines shapes up from the right.",
        "print both shapes just before this line; a mean for each column has axis=0",
    ),
    (
        r"nested_tensorlist\[0\]\.empty",
        "There is no gradient to clip yet.",
        "loss.backward() first, then clip_grad_value_, then optimizer.step()",
    ),
    (r"CUDA out of memory", "The GPU's memory is full.", "use a smaller batch_size"),
    (
        r"torch\.return_types",
        "With a dimension, max, min, sort and median give two things, values and indices.",
        "add .values, or .indices",
    ),
    (
        r"Boolean value of Tensor",
        "`if` needs one answer, and this tensor has many.",
        "reduce it first, with .any() or .all(); whether there is one at all you ask with "
        "`is not None`",
    ),
    (
        r"truth value of an array",
        "`if`, `and` and `or` need one answer, and this array has many.",
        "combine arrays with & and |, and put brackets around each comparison",
    ),
    (
        r"ufunc 'bitwise_and'",
        "& binds more strongly than == and >=.",
        "put brackets around each comparison",
    ),
    (
        r"must be Tensor, not float",
        "Functions of torch take tensors.",
        "for a plain number use `math`",
    ),
    (
        r"must be Tensor, not Sequential|'Sequential' object has no attribute 'size'",
        "The model itself stands where its output belongs.",
        "hand over what the model returns, model(xb)",
    ),
    (
        r"must be Tensor, not (tuple|list|DataLoader)|DataLoader' object is not subscriptable"
        r"|object cannot be interpreted as an integer",
        "Batches come one after the other, each as a pair of inputs and labels.",
        "for xb, yb in train_loader:",
    ),
    (
        r"only one element tensors can be converted",
        "`math` and float() take single numbers.",
        "for a whole tensor use torch's function of that name",
    ),
    (
        r"'int' object is not iterable",
        "`for` goes through a list, not through a number.",
        "for i in range(n)",
    ),
    (
        r"'float' object is not iterable",
        "A list takes in a single number by append, not by +=.",
        "losses.append(loss.item())",
    ),
    (
        r"'numpy\.ndarray' object has no attribute|unexpected keyword argument '(start_)?dim'",
        "A NumPy array lacks this; if a tensor has it, make one first.",
        "torch.tensor(array)",
    ),
    (
        r"expected np\.ndarray \(got Tensor\)",
        "torch.from_numpy takes an array, and this is a tensor already.",
        "leave torch.from_numpy out",
    ),
    (
        r"can't multiply sequence",
        "A list doesn't calculate.",
        "go through it in a loop, or make it a tensor",
    ),
    (
        r"unsupported operand type\(s\) for \S+ 'NoneType'",
        "What you calculate with is None: a function that works in place returns nothing.",
        "call it on a line of its own, and calculate with what it has changed",
    ),
    (
        r"Index tensor must have the same number",
        "gather wants an index with as many dimensions as the tensor.",
        "yb[:, None]",
    ),
    (
        r"has no attribute 'backward'",
        "backward() belongs to the loss tensor, which loss_fn returned; a number has none.",
        "call loss.backward() first, and take .item() afterwards",
    ),
    (r"context manager protocol", "Parentheses are missing.", "with torch.no_grad():"),
    (
        r"builtin_function_or_method",
        "A function stands where its result belongs: parentheses are missing.",
        "call it, as in yb.long() or loss.item()",
    ),
    (
        r"'Tensor' object is not callable",
        "A tensor is called like a function, as optimizer.step(loss) does, too.",
        "optimizer.step() takes no loss: it reads the gradients that backward() left",
    ),
    (
        r"name '(float|int)\d+' is not defined",
        "The types of numbers belong to torch.",
        "torch.float32, torch.int64",
    ),
    (
        r"too many values to unpack",
        "There are more parts than names on the left.",
        "go through a list of pairs with `for xb, yb in pairs:`; zip(*pairs) takes it apart",
    ),
    (
        r"Error\(s\) in loading state_dict",
        "The names or shapes don't fit this object.",
        "give each object what its own state_dict() returned",
    ),
)


def known(error):
    """(meaning, fix) of an exception, or None for one that isn't known."""
    message = str(error)
    for pattern, meaning, fix in _EXPLANATIONS:
        if re.search(pattern, message, re.DOTALL):
            return meaning.replace("{devices}", _devices(message)), fix


def explanation(error):
    """Meaning and fix of an exception that left a loop, as a note; None for one that isn't known."""
    if found := known(error):
        meaning, fix = found
        return f"\nLoop doctor: {meaning}\n  fix: {fix}"


def _devices(message):
    """The devices that the message names, as "one is on cuda:0, another on cpu"."""
    names = re.findall(r"\b(?:cpu|meta|(?:cuda|mps|xpu)(?::\d+)?)\b", message)
    first, *others = dict.fromkeys(names) or ["one"]
    if not others:
        return f"one of them is on {first}, another is not" if names else "these are not"
    return f"one is on {first}, another on {' and '.join(others)}"
