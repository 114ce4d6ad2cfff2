"""What can be known of a loss function: what it compares, and what its mean is a mean over."""

import functools

import torch.nn.functional as F
from torch import nn

_FUNCTIONS = {
    F.cross_entropy: nn.CrossEntropyLoss,
    F.binary_cross_entropy: nn.BCELoss,
    F.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss,
    F.nll_loss: nn.NLLLoss,
    F.kl_div: nn.KLDivLoss,
    F.mse_loss: nn.MSELoss,
    F.l1_loss: nn.L1Loss,
    F.smooth_l1_loss: nn.SmoothL1Loss,
    F.huber_loss: nn.HuberLoss,
    F.poisson_nll_loss: nn.PoissonNLLLoss,
    F.soft_margin_loss: nn.SoftMarginLoss,
    F.hinge_embedding_loss: nn.HingeEmbeddingLoss,
    F.multilabel_soft_margin_loss: nn.MultiLabelSoftMarginLoss,
}
OF_CLASSES = (nn.CrossEntropyLoss, nn.NLLLoss)
OF_LOGARITHMS = (nn.NLLLoss, nn.KLDivLoss)
OF_COUNTS = (nn.PoissonNLLLoss,)
OF_SIGNS = (nn.SoftMarginLoss, nn.HingeEmbeddingLoss)
YES_OR_NO = (nn.BCEWithLogitsLoss, nn.BCELoss, nn.MultiLabelSoftMarginLoss)
OF_WHOLE_NUMBERS = (*OF_COUNTS, *OF_SIGNS, nn.MultiLabelSoftMarginLoss)  # such labels, too
_KNOWN = tuple(_FUNCTIONS.values())


def kind_of(loss_fn):
    """The class in `torch.nn` of the same loss, also for a function; None for one's own losses."""
    if isinstance(loss_fn, functools.partial):
        return kind_of(loss_fn.func)
    if isinstance(loss_fn, nn.Module):
        same = (kind for kind in _KNOWN if isinstance(loss_fn, kind))
        return next((kind for kind in same if type(loss_fn).forward is kind.forward), None)
    return _FUNCTIONS.get(loss_fn) if callable(loss_fn) and hasattr(loss_fn, "__name__") else None


def option(loss_fn, name, default=None):
    """An option of a loss function, such as "reduction", however it was given."""
    if isinstance(loss_fn, functools.partial):
        return loss_fn.keywords.get(name, option(loss_fn.func, name, default))
    return getattr(loss_fn, name, default)


def rows_counted(loss_fn):
    """A function: labels of a batch -> what `loss_fn` divides the sum over the batch by.

    That is the number of rows, except where PyTorch divides by something else: cross-entropy with
    class numbers leaves out the rows labelled `ignore_index` and counts each other one with the
    weight of its class. A mean over batches is right if each counts with this number.
    """
    if kind_of(loss_fn) not in OF_CLASSES:
        return len
    ignored = option(loss_fn, "ignore_index", -100)
    weight = option(loss_fn, "weight")

    def counted(yb):
        if yb.is_floating_point():  # probabilities of the classes
            return len(yb)
        if weight is None and not yb.is_cuda and len(yb) and yb.min().item() > ignored:
            return yb.numel()  # so it is nearly always, and quicker than to count
        kept = yb != ignored
        if weight is not None:
            kept = weight.to(yb.device)[yb.where(kept, 0)] * kept
        count = kept.sum()
        return count if yb.is_cuda else count.item()

    return counted
