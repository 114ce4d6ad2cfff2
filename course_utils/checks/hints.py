"""What common errors of Python, NumPy and PyTorch want to say."""

# Words of the message -> what to do.
HINTS = {
    "torch.return_types": "With a dimension, max, min, sort and median give two things, values "
    "and indices: add .values.",
    "Boolean value of Tensor": "`if` needs one answer, and this tensor has many. Whether there is "
    "one at all you ask with `is not None`.",
    "truth value of an array": "`if`, `and` and `or` need one answer, and this array has many. "
    "Combine arrays with & and |, and put brackets around each comparison.",
    "ufunc 'bitwise_and'": "& binds more strongly than == and >=: put brackets around each "
    "comparison.",
    "must be Tensor, not float": "Functions of torch take tensors; for a plain number use `math`.",
    "must be Tensor, not Sequential": "Hand over what the model returns, model(xb), not the model.",
    "only one element tensors can be converted": "`math` and float() take single numbers; for a "
    "whole tensor use torch's function of that name.",
    "can't multiply sequence": "A list doesn't calculate: go through it in a loop, or make it a "
    "tensor.",
    "unsupported operand type(s) for /: 'NoneType'": "What you divide is None: a function that "
    "works in place returns nothing.",
    "mat1 and mat2 shapes": "The last number of the input's shape must be the number of inputs of "
    "the layer.",
    "must match the size of tensor": "These shapes can't be stretched to one another. Print both; "
    "for a matrix product write @ instead of *.",
    "Index tensor must have the same number": "gather wants an index with as many dimensions as "
    "the tensor: yb[:, None].",
    "not implemented for 'Long'": "A loss takes the logits first, then the labels.",
    "class probabilities, got Long": "The loss wants the logits, one for each class: no argmax "
    "before it.",
    "has no attribute 'backward'": "Call backward() on the loss tensor, what loss_fn returned, and "
    "take .item() only afterwards.",
    "does not require grad": "No graph leads from here to the weights: is there a detach(), an "
    "item() or a no_grad() before backward()?",
    "leaf Variable that requires grad": "You change a weight itself. Did you mean its .grad? If "
    "not, do it under torch.no_grad().",
    "context manager protocol": "Parentheses are missing: torch.no_grad().",
    "too many values to unpack": "There are more parts than names on the left. A list of pairs "
    "comes apart with zip(*rows).",
    "Error(s) in loading state_dict": "The names or shapes don't fit: give each object what its "
    "own state_dict() returned.",
}
