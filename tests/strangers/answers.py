"""Answers of many imagined learners: (lesson_stem, exercise_number, "wrong" | "right", mistake, code)."""

ANSWERS = []
_lesson = None


def _lesson_is(stem):
    global _lesson
    _lesson = stem


def W(number, note, code):
    ANSWERS.append((_lesson, number, "wrong", note, code.strip("\n") + "\n"))


def R(number, note, code):
    ANSWERS.append((_lesson, number, "right", note, code.strip("\n") + "\n"))


# ---------------------------------------------------------------- 00
_lesson_is("00_why_a_loop")
W(
    1,
    "rounds down whether or not drop_last is set",
    r"""
def steps_per_epoch(n, batch_size, drop_last):
    return n // batch_size
""",
)
W(
    1,
    "adds one step even if the batches come out even",
    r"""
def steps_per_epoch(n, batch_size, drop_last):
    return n // batch_size if drop_last else n // batch_size + 1
""",
)
W(
    1,
    "swapped the two cases of drop_last",
    r"""
import math
def steps_per_epoch(n, batch_size, drop_last):
    return math.ceil(n / batch_size) if drop_last else math.floor(n / batch_size)
""",
)
W(
    1,
    "uses round, so a short last batch vanishes",
    r"""
def steps_per_epoch(n, batch_size, drop_last):
    if drop_last:
        return n // batch_size
    return round(n / batch_size)
""",
)
W(
    1,
    "drop_last taken to mean one step fewer, always",
    r"""
import math
def steps_per_epoch(n, batch_size, drop_last):
    steps = math.ceil(n / batch_size)
    if drop_last:
        steps -= 1
    return steps
""",
)
W(
    1,
    "hard-coded the numbers 32 and 31 of the text",
    r"""
def steps_per_epoch(n, batch_size, drop_last):
    return 31 if drop_last else 32
""",
)
R(
    1,
    "counts range starts",
    r"""
def steps_per_epoch(n, batch_size, drop_last):
    starts = range(0, n, batch_size)
    return sum(1 for s in starts if not drop_last or s + batch_size <= n)
""",
)
R(
    1,
    "divmod with a boolean added",
    r"""
steps_per_epoch = lambda n, batch_size, drop_last: (
    divmod(n, batch_size)[0] + int(n % batch_size > 0 and not drop_last)
)
""",
)
W(
    2,
    "sign turned round",
    r"""
def output_gradient(y_hat, y):
    return (y - y_hat) / len(y)
""",
)
W(
    2,
    "forgot that the loss is a mean: no division by B",
    r"""
def output_gradient(y_hat, y):
    return y_hat - y
""",
)
W(
    2,
    "divided by the four examples of XOR",
    r"""
def output_gradient(y_hat, y):
    return (y_hat - y) / 4
""",
)
W(
    2,
    "the gradient of squared error through a sigmoid",
    r"""
def output_gradient(y_hat, y):
    return 2 * (y_hat - y) * y_hat * (1 - y_hat) / y.shape[0]
""",
)
W(
    2,
    "took the mean of the gradients over the batch, a number instead of [B, 1]",
    r"""
def output_gradient(y_hat, y):
    return (y_hat - y).mean()
""",
)
R(
    2,
    "row by row, stacked in NumPy",
    r"""
def output_gradient(y_hat, y):
    B = y_hat.shape[0]
    out = np.empty_like(y_hat)
    for row in range(B):
        out[row] = (y_hat[row] - y[row]) * (1.0 / B)
    return out
""",
)
W(
    3,
    "the friend's bug again: p is only rebound",
    r"""
def update(params, grads, lr):
    for p, g in zip(params, grads):
        p = p + -lr * g
    return params
""",
)
W(
    3,
    "puts new arrays into the list, so the given arrays don't move",
    r"""
def update(params, grads, lr):
    for i in range(len(params)):
        params[i] = params[i] - lr * grads[i]
    return params
""",
)
W(
    3,
    "climbs instead of descends",
    r"""
def update(params, grads, lr):
    for p, g in zip(params, grads):
        p += lr * g
    return params
""",
)
W(
    3,
    "updates only the first pair, as the return stands in the loop",
    r"""
def update(params, grads, lr):
    for p, g in zip(params, grads):
        p -= lr * g
        return params
""",
)
R(
    3,
    "NumPy's ufunc with out=",
    r"""
def update(params, grads, lr):
    for weight, slope in zip(params, grads):
        np.subtract(weight, lr * slope, out=weight)
    return params
""",
)
W(
    4,
    "never clears the gradients",
    r"""
def train_in_pytorch(model, loss_fn, optimizer, batches):
    losses = []
    for xb, yb in batches:
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
""",
)
W(
    4,
    "returns after the first batch",
    r"""
def train_in_pytorch(model, loss_fn, optimizer, batches):
    losses = []
    for xb, yb in batches:
        optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        return losses
""",
)
W(
    4,
    "clears between backward and step",
    r"""
def train_in_pytorch(model, loss_fn, optimizer, batches):
    losses = []
    for xb, yb in batches:
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()
        losses.append(loss.item())
    return losses
""",
)
W(
    4,
    "arguments of the loss swapped",
    r"""
def train_in_pytorch(model, loss_fn, optimizer, batches):
    losses = []
    for xb, yb in batches:
        optimizer.zero_grad()
        loss = loss_fn(yb, model(xb))
        loss.backward()
        optimizer.step()
        losses += [loss.item()]
    return losses
""",
)
R(
    4,
    "clears after the step (and once before), inner function",
    r"""
def train_in_pytorch(model, loss_fn, optimizer, batches):
    optimizer.zero_grad()
    def once(pair):
        inputs, wanted = pair
        value = loss_fn(model(inputs), wanted)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(value)
    return [once(pair) for pair in batches]
""",
)
W(
    5,
    "returns the mean accuracy instead of the share of successes",
    r"""
def success_by_width(train_once, widths, seeds):
    return {w: sum(train_once(w, s) for s in seeds) / len(seeds) for w in widths}
""",
)
W(
    5,
    "counts, does not divide",
    r"""
def success_by_width(train_once, widths, seeds):
    return {w: sum(train_once(w, s) >= 0.85 for s in seeds) for w in widths}
""",
)
W(
    5,
    "pairs each width with one seed by zip",
    r"""
def success_by_width(train_once, widths, seeds):
    return {w: float(train_once(w, s) >= 0.85) for w, s in zip(widths, seeds)}
""",
)
R(
    5,
    "NumPy mean of a boolean array",
    r"""
def success_by_width(train_once, widths, seeds):
    table = {}
    for width in widths:
        acc = np.array([train_once(width, seed) for seed in seeds])
        table[width] = float(np.mean(acc >= 0.85))
    return table
""",
)

# ---------------------------------------------------------------- 01
_lesson_is("01_forward")
W(
    1,
    "forgot the biases and rounded up: 135 hidden units are too many",
    r"""
small_model = nn.Sequential(nn.Linear(64, 135), nn.ReLU(), nn.Linear(135, 10))
""",
)
W(
    1,
    "one unit short of the budget",
    r"""
small_model = nn.Sequential(nn.Linear(64, 132), nn.ReLU(), nn.Linear(132, 10))
""",
)
W(
    1,
    "kept the lesson's 128 hidden units",
    r"""
small_model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
""",
)
W(
    1,
    "no ReLU between the layers",
    r"""
small_model = nn.Sequential(nn.Linear(64, 133), nn.Linear(133, 10))
""",
)
W(
    1,
    "a ReLU after the logits as well",
    r"""
small_model = nn.Sequential(nn.Linear(64, 133), nn.ReLU(), nn.Linear(133, 10), nn.ReLU())
""",
)
R(
    1,
    "a module class of its own, width computed",
    r"""
class Small(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.a = nn.Linear(64, width)
        self.act = nn.ReLU()
        self.b = nn.Linear(width, 10)
    def forward(self, x):
        return self.b(self.act(self.a(x)))

small_model = Small((10000 - 10) // (64 + 1 + 10))
""",
)
W(
    2,
    "ReLU after the last layer too",
    r"""
def forward_by_hand(weights, biases, xb):
    for W, b in zip(weights, biases):
        xb = torch.relu(xb @ W.T + b)
    return xb
""",
)
W(
    2,
    "only for two layers",
    r"""
def forward_by_hand(weights, biases, xb):
    h = torch.relu(xb @ weights[0].T + biases[0])
    return h @ weights[1].T + biases[1]
""",
)
W(
    2,
    "forgot to add the biases",
    r"""
def forward_by_hand(weights, biases, xb):
    for W in weights[:-1]:
        xb = (xb @ W.T).clamp(min=0)
    return xb @ weights[-1].T
""",
)
W(
    2,
    "softmax at the end: probabilities, not logits",
    r"""
def forward_by_hand(weights, biases, xb):
    for i, (W, b) in enumerate(zip(weights, biases)):
        xb = xb @ W.T + b
        if i < len(weights) - 1:
            xb = xb.relu()
    return xb.softmax(dim=1)
""",
)
R(
    2,
    "einsum, addition after it",
    r"""
def forward_by_hand(weights, biases, xb):
    h, last = xb, len(weights) - 1
    for k in range(last + 1):
        h = torch.einsum("bi,oi->bo", h, weights[k]) + biases[k]
        h = torch.where(h > 0, h, torch.zeros_like(h)) if k != last else h
    return h
""",
)
W(
    3,
    "hooks are never removed",
    r"""
def record_shapes(model, xb):
    found = []
    for name, layer in model.named_children():
        layer.register_forward_hook(lambda m, i, o, name=name: found.append((name, list(o.shape))))
    model(xb)
    return found
""",
)
W(
    3,
    "closure keeps the last name only",
    r"""
def record_shapes(model, xb):
    found, handles = [], []
    for name, layer in model.named_children():
        handles.append(layer.register_forward_hook(lambda m, i, o: found.append((name, list(o.shape)))))
    try:
        model(xb)
    finally:
        for h in handles:
            h.remove()
    return found
""",
)
W(
    3,
    "runs the children in the order of definition, by hand",
    r"""
def record_shapes(model, xb):
    found = []
    for name, layer in model.named_children():
        xb = layer(xb)
        found.append((name, list(xb.shape)))
    return found
""",
)
W(
    3,
    "removes the hooks only if nothing goes wrong",
    r"""
def record_shapes(model, xb):
    names = {m: n for n, m in model.named_children()}
    found = []
    def hook(m, i, o):
        found.append((names[m], list(o.shape)))
    handles = [m.register_forward_hook(hook) for m in names]
    model(xb)
    for h in handles:
        h.remove()
    return found
""",
)
R(
    3,
    "ExitStack and partial",
    r"""
from contextlib import ExitStack
from functools import partial
def record_shapes(model, xb):
    log = []
    def note(name, module, args, output):
        log.append((name, list(output.shape)))
    with ExitStack() as stack:
        for name, child in model.named_children():
            stack.callback(child.register_forward_hook(partial(note, name)).remove)
        model(xb)
    return log
""",
)
W(
    4,
    "no shift: overflows at 1000",
    r"""
def safe_softmax(logits):
    e = torch.exp(logits)
    return e / e.sum(dim=1, keepdim=True)
""",
)
W(
    4,
    "sums over the batch",
    r"""
def safe_softmax(logits):
    e = torch.exp(logits - logits.amax(dim=1, keepdim=True))
    return e / e.sum(dim=0, keepdim=True)
""",
)
W(
    4,
    "one maximum for the whole batch, so a low row becomes 0/0",
    r"""
def safe_softmax(logits):
    e = (logits - logits.max()).exp()
    return e / e.sum(dim=1, keepdim=True)
""",
)
W(
    4,
    "subtracts in place and spoils the caller's logits",
    r"""
def safe_softmax(logits):
    logits -= logits.amax(dim=1, keepdim=True)
    e = logits.exp()
    return e / e.sum(dim=1, keepdim=True)
""",
)
R(
    4,
    "through logsumexp",
    r"""
def safe_softmax(logits):
    moved = logits - logits.amax(dim=1, keepdim=True)
    return (moved - torch.logsumexp(moved, dim=1)[:, None]).exp()
""",
)
W(
    5,
    "squeeze() drops the batch dimension at B = 1",
    r"""
def repair(images, labels):
    xb = torch.tensor(images).float().flatten(1)
    yb = torch.tensor(labels).squeeze().long()
    return xb, yb
""",
)
W(
    5,
    "left the images in float64",
    r"""
def repair(images, labels):
    xb = torch.from_numpy(images).reshape(len(images), -1)
    return xb, torch.from_numpy(labels)[:, 0].long()
""",
)
W(
    5,
    "permutes the pixels before flattening, so rows mix pictures",
    r"""
def repair(images, labels):
    xb = torch.from_numpy(images).float().permute(1, 2, 0).reshape(len(images), -1)
    return xb, torch.from_numpy(labels).long().flatten()
""",
)
W(
    5,
    "labels stay floats",
    r"""
def repair(images, labels):
    xb = torch.as_tensor(images, dtype=torch.float32).view(-1, 784)
    yb = torch.as_tensor(labels, dtype=torch.float32).view(-1)
    return xb, yb
""",
)
R(
    5,
    "casts in NumPy first",
    r"""
def repair(images, labels):
    flat = images.astype("float32").reshape(images.shape[0], 28 * 28)
    classes = labels.ravel().astype("int64")
    return torch.from_numpy(flat), torch.from_numpy(classes)
""",
)
W(
    6,
    "no memory of visited nodes: a shared leaf comes twice",
    r"""
def leaves(tensor):
    found, todo = [], [tensor.grad_fn]
    while todo:
        node = todo.pop()
        if node is None:
            continue
        if hasattr(node, "variable"):
            found.append(node.variable)
        todo += [n for n, _ in node.next_functions]
    return found
""",
)
W(
    6,
    "returns the nodes, not the tensors",
    r"""
def leaves(tensor):
    seen = set()
    def walk(node):
        if node is None or node in seen:
            return
        seen.add(node)
        for n, _ in node.next_functions:
            walk(n)
    walk(tensor.grad_fn)
    return [n for n in seen if hasattr(n, "variable")]
""",
)
W(
    6,
    "follows only the first branch at each node",
    r"""
def leaves(tensor):
    node, found = tensor.grad_fn, []
    while node is not None:
        if hasattr(node, "variable"):
            found.append(node.variable)
        node = node.next_functions[0][0] if node.next_functions else None
    return found
""",
)
R(
    6,
    "recursive, dictionary keyed by id",
    r"""
def leaves(tensor):
    visited, by_id = set(), {}
    def visit(node):
        if node is None or node in visited:
            return
        visited.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            by_id[id(leaf)] = leaf
        for parent, _ in node.next_functions:
            visit(parent)
    visit(tensor.grad_fn)
    return list(by_id.values())
""",
)

# ---------------------------------------------------------------- 02
_lesson_is("02_loss")
W(
    1,
    "log of a plain softmax: inf when the right class lies far below",
    r"""
def cross_entropy(logits, yb):
    e = (logits - logits.amax(dim=1, keepdim=True)).exp()
    p = e / e.sum(dim=1, keepdim=True)
    return -p[torch.arange(len(yb)), yb].log().mean()
""",
)
W(
    1,
    "sum instead of mean",
    r"""
def cross_entropy(logits, yb):
    logp = logits - logits.logsumexp(dim=1, keepdim=True)
    return -logp[torch.arange(len(yb)), yb].sum()
""",
)
W(
    1,
    "forgot the minus",
    r"""
def cross_entropy(logits, yb):
    logp = logits - logits.logsumexp(dim=1, keepdim=True)
    return logp[torch.arange(len(yb)), yb].mean()
""",
)
W(
    1,
    "indexes with [:, yb]: a B x B table is averaged",
    r"""
def cross_entropy(logits, yb):
    logp = logits - logits.logsumexp(dim=1, keepdim=True)
    return -logp[:, yb].mean()
""",
)
W(
    1,
    "returns a number, so backward is impossible",
    r"""
def cross_entropy(logits, yb):
    logp = logits - logits.logsumexp(dim=1, keepdim=True)
    return -logp[torch.arange(len(yb)), yb].mean().item()
""",
)
R(
    1,
    "one-hot mask and einsum",
    r"""
def cross_entropy(logits, yb):
    top = logits.max(dim=1, keepdim=True).values
    shifted = logits - top
    hot = (yb[:, None] == torch.arange(logits.shape[1])).to(logits.dtype)
    picked = torch.einsum("bc,bc->b", shifted, hot)
    return (shifted.exp().sum(1).log() - picked).sum() / len(yb)
""",
)
W(
    2,
    "the answers use logits > 0.5",
    r"""
def decide(logits, targets):
    p = torch.sigmoid(logits)
    answers = (logits > 0.5).float()
    return p, answers, (answers == targets).sum().item()
""",
)
W(
    2,
    "softmax over one column makes every probability 1",
    r"""
def decide(logits, targets):
    p = logits.softmax(dim=1)
    answers = (p > 0.5).float()
    return p, answers, int((answers == targets).sum())
""",
)
W(
    2,
    "share instead of the number of right answers",
    r"""
def decide(logits, targets):
    p = logits.sigmoid()
    answers = (p > 0.5).float()
    return p, answers, (answers == targets).float().mean().item()
""",
)
W(
    2,
    "counts the yes answers, not the right ones",
    r"""
def decide(logits, targets):
    p = logits.sigmoid()
    answers = (p > 0.5).float()
    return p, answers, int(answers.sum())
""",
)
R(
    2,
    "sign of the logits, own sigmoid",
    r"""
def decide(logits, targets):
    prob = 0.5 * (1 + torch.tanh(logits / 2))
    yes = torch.where(logits > 0, 1.0, 0.0)
    right = sum(a == t for a, t in zip(yes.flatten().tolist(), targets.flatten().tolist()))
    return prob, yes, right
""",
)
W(
    3,
    "sigmoid then log: infinite at 100",
    r"""
def bce_with_logits(logits, targets):
    p = torch.sigmoid(logits)
    return -(targets * p.log() + (1 - targets) * (1 - p).log()).mean()
""",
)
W(
    3,
    "clamps the probabilities, so large logits get the wrong loss",
    r"""
def bce_with_logits(logits, targets):
    p = torch.sigmoid(logits).clamp(1e-7, 1 - 1e-7)
    return -(targets * p.log() + (1 - targets) * (1 - p).log()).mean()
""",
)
W(
    3,
    "only the term for yes",
    r"""
def bce_with_logits(logits, targets):
    return (targets * torch.logaddexp(torch.zeros_like(logits), -logits)).mean()
""",
)
W(
    3,
    "targets swapped: sign of the linear term",
    r"""
def bce_with_logits(logits, targets):
    return (logits.clamp(min=0) + logits * targets + torch.log1p(torch.exp(-logits.abs()))).mean()
""",
)
R(
    3,
    "logsumexp of the pair (0, z)",
    r"""
def bce_with_logits(logits, targets):
    pair = torch.cat([torch.zeros_like(logits), logits], dim=1)
    return (torch.logsumexp(pair, dim=1, keepdim=True) - targets * logits).mean()
""",
)
W(
    4,
    "labels of the species as a column [32, 1]",
    r"""
choices = {
    "tomorrow's temperature in degrees": (nn.MSELoss, [32, 1], [32, 1], torch.float32),
    "which of 7 bird species is in the picture": (nn.CrossEntropyLoss, [32, 7], [32, 1], torch.int64),
    "does the customer cancel, one output": (nn.BCEWithLogitsLoss, [32, 1], [32, 1], torch.float32),
    "which of 12 topics an article is about, often several": (nn.BCEWithLogitsLoss, [32, 12], [32, 12], torch.float32),
}
""",
)
W(
    4,
    "several topics taken for one of 12",
    r"""
choices = {
    "tomorrow's temperature in degrees": (nn.MSELoss, [32, 1], [32, 1], torch.float32),
    "which of 7 bird species is in the picture": (nn.CrossEntropyLoss, [32, 7], [32], torch.int64),
    "does the customer cancel, one output": (nn.BCEWithLogitsLoss, [32, 1], [32, 1], torch.float32),
    "which of 12 topics an article is about, often several": (nn.CrossEntropyLoss, [32, 12], [32], torch.int64),
}
""",
)
W(
    4,
    "int64 targets for yes or no",
    r"""
choices = {
    "tomorrow's temperature in degrees": (nn.MSELoss, [32, 1], [32, 1], torch.float32),
    "which of 7 bird species is in the picture": (nn.CrossEntropyLoss, [32, 7], [32], torch.int64),
    "does the customer cancel, one output": (nn.BCEWithLogitsLoss, [32, 1], [32, 1], torch.int64),
    "which of 12 topics an article is about, often several": (nn.BCEWithLogitsLoss, [32, 12], [32, 12], torch.float32),
}
""",
)
W(
    5,
    "squeeze() breaks a batch of one row",
    r"""
def repaired_loss(model, xb, yb):
    return nn.CrossEntropyLoss()(model(xb), yb.squeeze().long())
""",
)
W(
    5,
    "softmax left in",
    r"""
def repaired_loss(model, xb, yb):
    return nn.CrossEntropyLoss()(model(xb).softmax(dim=1), yb[:, 0].long())
""",
)
W(
    5,
    "reshapes the right way but sums over the rows",
    r"""
def repaired_loss(model, xb, yb):
    return nn.CrossEntropyLoss(reduction="sum")(model(xb), yb.flatten().long())
""",
)
R(
    5,
    "functional with gather and log_softmax",
    r"""
def repaired_loss(model, xb, yb):
    logp = torch.log_softmax(model(xb), dim=-1)
    return -logp.gather(1, yb.to(torch.int64)).mean()
""",
)
W(
    6,
    "A called healthy because its accuracy is 1, F called softmax first",
    r"""
diagnoses = {"A": "healthy", "B": "[B, 1] against [B]", "C": "learned only the class shares",
             "D": "inputs not scaled", "E": "one output for cross-entropy", "F": "softmax first"}
""",
)
W(
    6,
    "B and D exchanged: the large first loss taken for unscaled inputs in B",
    r"""
diagnoses = {"A": "softmax first", "B": "inputs not scaled", "C": "learned only the class shares",
             "D": "[B, 1] against [B]", "E": "one output for cross-entropy", "F": "healthy"}
""",
)
R(
    6,
    "dict(zip) over letters",
    r"""
diagnoses = dict(zip("ABCDEF", [NAMES[1], NAMES[2], NAMES[4], NAMES[3], NAMES[5], NAMES[0]]))
""",
)

# ---------------------------------------------------------------- 03
_lesson_is("03_backward")
W(
    1,
    "sign slip: y - target = 4.5",
    r"""
by_hand = {"w": 36, "b": 9}
""",
)
W(
    1,
    "forgot the factor 2 of the square",
    r"""
by_hand = {"w": -18.0, "b": -4.5}
""",
)
W(
    1,
    "kept the x of the lesson's example",
    r"""
by_hand = {"w": -27.0, "b": -9.0}
""",
)
W(
    1,
    "exchanged w and b",
    r"""
by_hand = {"w": -9, "b": -36}
""",
)
R(
    1,
    "lets autograd-free arithmetic do it",
    r"""
w, b, x, target = -1, 0.5, 4, 1
slope = 2 * (w * x + b - target)
by_hand = {"w": slope * x, "b": slope}
""",
)
W(
    2,
    "one-sided difference, yet divided by 2 eps",
    r"""
def numerical_gradient(f, x, eps=1e-5):
    g = torch.zeros_like(x)
    base = float(f(x))
    for i in range(x.numel()):
        y = x.clone()
        y.view(-1)[i] += eps
        g.view(-1)[i] = (float(f(y)) - base) / (2 * eps)
    return g
""",
)
W(
    2,
    "nudges all entries at once",
    r"""
def numerical_gradient(f, x, eps=1e-5):
    return torch.full_like(x, (float(f(x + eps)) - float(f(x - eps))) / (2 * eps))
""",
)
W(
    2,
    "adds and takes away again, so x is rounded",
    r"""
def numerical_gradient(f, x, eps=1e-5):
    g = torch.zeros_like(x)
    xs, gs = x.view(-1), g.view(-1)
    for i in range(len(xs)):
        xs[i] += eps
        up = float(f(x))
        xs[i] -= 2 * eps
        down = float(f(x))
        xs[i] += eps
        gs[i] = (up - down) / (2 * eps)
    return g
""",
)
W(
    2,
    "divides by eps instead of 2 eps",
    r"""
def numerical_gradient(f, x, eps=1e-5):
    out = []
    for i in range(x.numel()):
        d = torch.zeros_like(x)
        d.view(-1)[i] = eps
        out.append((float(f(x + d)) - float(f(x - d))) / eps)
    return torch.tensor(out, dtype=x.dtype).reshape(x.shape)
""",
)
W(
    2,
    "only for vectors: loops over the first dimension",
    r"""
def numerical_gradient(f, x, eps=1e-5):
    g = torch.zeros_like(x)
    for i in range(len(x)):
        up, down = x.clone(), x.clone()
        up[i] += eps
        down[i] -= eps
        g[i] = (float(f(up)) - float(f(down))) / (2 * eps)
    return g
""",
)
R(
    2,
    "rows of a scaled identity matrix",
    r"""
def numerical_gradient(f, x, eps=1e-5):
    n = x.numel()
    nudges = (torch.eye(n, dtype=x.dtype) * eps).reshape(n, *x.shape)
    with torch.no_grad():
        slopes = [(float(f(x + d)) - float(f(x - d))) / (2 * eps) for d in nudges]
    return torch.tensor(slopes, dtype=x.dtype).reshape_as(x)
""",
)
W(
    3,
    "thinks that e cancels in the gradient as well",
    r"""
gradients = {"a": "nonzero", "b": "None", "c": "None", "d": "zero", "e": "zero"}
""",
)
W(
    3,
    "thinks .item() keeps the graph",
    r"""
gradients = {"a": "nonzero", "b": "nonzero", "c": "None", "d": "zero", "e": "nonzero"}
""",
)
W(
    3,
    "takes a dead ReLU for an unreached parameter, and no_grad for zero",
    r"""
gradients = {"a": "nonzero", "b": "None", "c": "zero", "d": "None", "e": "nonzero"}
""",
)
W(
    3,
    "writes the objects None and 0 instead of the strings",
    r"""
gradients = {"a": "nonzero", "b": None, "c": None, "d": 0, "e": "nonzero"}
""",
)
R(
    3,
    "runs it and reads it off",
    r"""
a, b, c, d, e = (nn.Parameter(torch.randn(3)) for _ in range(5))
x = torch.randn(3)
with torch.no_grad():
    shift = c * x
_loss = (torch.relu(a * x) * torch.tensor(b.sum().item()) + shift
         + torch.relu(-(d**2) - 1) + e - e.detach()).sum() + a.sum()
_loss.backward()
def _kind(p):
    return "None" if p.grad is None else ("nonzero" if p.grad.any() else "zero")
gradients = {"a": "nonzero", **{k: _kind(p) for k, p in dict(b=b, c=c, d=d, e=e).items()}}
""",
)
W(
    4,
    "divides by the number of pieces, though they differ in length",
    r"""
def accumulate(model, pieces, loss_fn):
    model.zero_grad()
    total = 0.0
    for xb, yb in pieces:
        loss = loss_fn(model(xb), yb) / len(pieces)
        loss.backward()
        total += loss.item()
    return total
""",
)
W(
    4,
    "gradients from before are not cleared",
    r"""
def accumulate(model, pieces, loss_fn):
    n = sum(len(xb) for xb, _ in pieces)
    total = 0.0
    for xb, yb in pieces:
        loss = loss_fn(model(xb), yb) * (len(xb) / n)
        loss.backward()
        total += loss.item()
    return total
""",
)
W(
    4,
    "clears inside the loop, so only the last piece is left",
    r"""
def accumulate(model, pieces, loss_fn):
    n = sum(len(xb) for xb, _ in pieces)
    total = 0.0
    for xb, yb in pieces:
        model.zero_grad()
        loss = loss_fn(model(xb), yb) * len(xb) / n
        loss.backward()
        total += loss.item()
    return total
""",
)
W(
    4,
    "weights the gradients, returns the plain mean of the piece losses",
    r"""
def accumulate(model, pieces, loss_fn):
    model.zero_grad()
    n = sum(len(xb) for xb, _ in pieces)
    losses = []
    for xb, yb in pieces:
        loss = loss_fn(model(xb), yb)
        (loss * len(xb) / n).backward()
        losses.append(loss.item())
    return sum(losses) / len(losses)
""",
)
R(
    4,
    "sums first and divides the gradients at the end",
    r"""
def accumulate(model, pieces, loss_fn):
    for p in model.parameters():
        p.grad = None
    rows, summed = 0, 0.0
    for xb, yb in pieces:
        value = loss_fn(model(xb), yb) * len(yb)
        value.backward()
        rows += len(yb)
        summed += value.item()
    for p in model.parameters():
        if p.grad is not None:
            p.grad /= rows
    return summed / rows
""",
)
W(
    5,
    "divides by B only, not by all B * out entries",
    r"""
def layer_gradients(x, W, b, target):
    d = 2 * (x @ W.T + b - target) / len(x)
    return d.T @ x, d.sum(dim=0)
""",
)
W(
    5,
    "bias gradient summed over the wrong dimension",
    r"""
def layer_gradients(x, W, b, target):
    d = 2 * (x @ W.T + b - target) / target.numel()
    return d.T @ x, d.sum(dim=1)
""",
)
W(
    5,
    "gradient of W transposed",
    r"""
def layer_gradients(x, W, b, target):
    d = 2 * (x @ W.T + b - target) / target.numel()
    return x.T @ d, d.sum(dim=0)
""",
)
W(
    5,
    "forgot the bias in the forward pass",
    r"""
def layer_gradients(x, W, b, target):
    d = 2 * (x @ W.T - target) / target.numel()
    return d.T @ x, d.sum(0)
""",
)
R(
    5,
    "einsum over outer products",
    r"""
def layer_gradients(x, W, b, target):
    err = torch.einsum("bi,oi->bo", x, W) + b - target
    scale = 2.0 / err.numel()
    gW = torch.einsum("bo,bi->boi", err, x).sum(dim=0) * scale
    gb = torch.ones(len(x), dtype=err.dtype) @ err * scale
    return gW, gb
""",
)

# ---------------------------------------------------------------- 04
_lesson_is("04_step")
_SGD = """
class SGD:
    def __init__(self, parameters, lr):
        self.parameters, self.lr = list(parameters), lr

"""
W(
    1,
    "rebinds the name instead of moving the tensor",
    _SGD
    + """
    def step(self):
        with torch.no_grad():
            for p in self.parameters:
                if p.grad is not None:
                    p = p - self.lr * p.grad
""",
)
W(
    1,
    "replaces the tensors in its own list; the model keeps the old ones",
    _SGD
    + """
    def step(self):
        with torch.no_grad():
            for i, p in enumerate(self.parameters):
                if p.grad is not None:
                    self.parameters[i] = p - self.lr * p.grad
""",
)
W(
    1,
    "clears the gradients as well",
    _SGD
    + """
    @torch.no_grad()
    def step(self):
        for p in self.parameters:
            if p.grad is not None:
                p -= self.lr * p.grad
                p.grad = None
""",
)
W(
    1,
    "stops at the first parameter without a gradient",
    _SGD
    + """
    @torch.no_grad()
    def step(self):
        for p in self.parameters:
            if p.grad is None:
                return
            p -= self.lr * p.grad
""",
)
R(
    1,
    "copy_ into the pairs that have gradients",
    _SGD
    + """
    def step(self):
        pairs = [(p, p.grad) for p in self.parameters if p.grad is not None]
        with torch.no_grad():
            for tensor, slope in pairs:
                tensor.copy_(tensor - slope * self.lr)
""",
)
_ADAM = """
class Adam:
    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        self.parameters = list(parameters)
        self.lr, self.betas, self.eps = lr, betas, eps
        self.t = 0
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]

"""
W(
    2,
    "no bias correction",
    _ADAM
    + """
    @torch.no_grad()
    def step(self):
        b1, b2 = self.betas
        for p, m, v in zip(self.parameters, self.m, self.v):
            if p.grad is None:
                continue
            m.mul_(b1).add_(p.grad, alpha=1 - b1)
            v.mul_(b2).add_(p.grad**2, alpha=1 - b2)
            p -= self.lr * m / (v.sqrt() + self.eps)
""",
)
W(
    2,
    "counts t once for each parameter",
    _ADAM
    + """
    @torch.no_grad()
    def step(self):
        b1, b2 = self.betas
        for p, m, v in zip(self.parameters, self.m, self.v):
            if p.grad is None:
                continue
            self.t += 1
            m.mul_(b1).add_(p.grad, alpha=1 - b1)
            v.mul_(b2).add_(p.grad**2, alpha=1 - b2)
            mh, vh = m / (1 - b1**self.t), v / (1 - b2**self.t)
            p -= self.lr * mh / (vh.sqrt() + self.eps)
""",
)
W(
    2,
    "the second mean takes the gradient, not its square",
    _ADAM
    + """
    @torch.no_grad()
    def step(self):
        self.t += 1
        b1, b2 = self.betas
        for p, m, v in zip(self.parameters, self.m, self.v):
            if p.grad is None:
                continue
            m.mul_(b1).add_((1 - b1) * p.grad)
            v.mul_(b2).add_((1 - b2) * p.grad.abs())
            p -= self.lr * (m / (1 - b1**self.t)) / ((v / (1 - b2**self.t)).sqrt() + self.eps)
""",
)
W(
    2,
    "stores the corrected means back into m and v",
    _ADAM
    + """
    @torch.no_grad()
    def step(self):
        self.t += 1
        b1, b2 = self.betas
        for i, p in enumerate(self.parameters):
            if p.grad is None:
                continue
            self.m[i] = (b1 * self.m[i] + (1 - b1) * p.grad) / (1 - b1**self.t)
            self.v[i] = (b2 * self.v[i] + (1 - b2) * p.grad**2) / (1 - b2**self.t)
            p -= self.lr * self.m[i] / (self.v[i].sqrt() + self.eps)
""",
)
R(
    2,
    "lerp_ and addcdiv_",
    _ADAM
    + """
    @torch.no_grad()
    def step(self):
        self.t += 1
        beta1, beta2 = self.betas
        for i, p in enumerate(self.parameters):
            g = p.grad
            if g is None:
                continue
            self.m[i].lerp_(g, 1 - beta1)
            self.v[i].mul_(beta2).addcmul_(g, g, value=1 - beta2)
            denominator = (self.v[i] / (1 - beta2**self.t)).sqrt() + self.eps
            p.addcdiv_(self.m[i], denominator, value=-self.lr / (1 - beta1**self.t))
""",
)
W(
    3,
    "subtracts the share itself, not the share of the weight",
    r"""
def decay(parameters, lr, weight_decay):
    with torch.no_grad():
        for p in parameters:
            if p.grad is not None:
                p -= lr * weight_decay
""",
)
W(
    3,
    "adds the decay to the gradient: L2, not AdamW",
    r"""
def decay(parameters, lr, weight_decay):
    with torch.no_grad():
        for p in parameters:
            if p.grad is not None:
                p.grad += weight_decay * p
""",
)
W(
    3,
    "also shrinks parameters without gradients",
    r"""
@torch.no_grad()
def decay(parameters, lr, weight_decay):
    for p in parameters:
        p.mul_(1 - lr * weight_decay)
""",
)
W(
    3,
    "decays by weight_decay without the rate",
    r"""
@torch.no_grad()
def decay(parameters, lr, weight_decay):
    for p in parameters:
        if p.grad is not None:
            p *= 1 - weight_decay
""",
)
R(
    3,
    "filter and lambda",
    r"""
def decay(parameters, lr, weight_decay):
    keep = 1.0 - lr * weight_decay
    with torch.no_grad():
        for p in filter(lambda q: q.grad is not None, parameters):
            p.mul_(keep)
""",
)
W(
    4,
    "mean instead of median",
    r"""
def pick_lr(lrs, losses):
    clean = torch.where(losses.isfinite(), losses, torch.tensor(float("inf")))
    return float(lrs[clean.mean(dim=0).argmin()])
""",
)
W(
    4,
    "nanmedian: dead runs are left out",
    r"""
def pick_lr(lrs, losses):
    return float(lrs[losses.nanmedian(dim=0).values.argmin()])
""",
)
W(
    4,
    "median over the rates instead of the seeds",
    r"""
def pick_lr(lrs, losses):
    clean = losses.nan_to_num(nan=float("inf"), posinf=float("inf"))
    return float(lrs[clean.median(dim=1).values.argmin()])
""",
)
W(
    4,
    "writes inf into the caller's losses",
    r"""
def pick_lr(lrs, losses):
    losses[losses.isnan()] = float("inf")
    return float(lrs[losses.median(dim=0).values.argmin()])
""",
)
W(
    4,
    "returns the index of the rate",
    r"""
def pick_lr(lrs, losses):
    clean = losses.nan_to_num(nan=float("inf"), posinf=float("inf"))
    return clean.median(dim=0).values.argmin().item()
""",
)
R(
    4,
    "pure Python, sorted columns",
    r"""
def pick_lr(lrs, losses):
    best = None
    for j in range(len(lrs)):
        column = [float(v) for v in losses[:, j]]
        column = sorted(v if v == v else float("inf") for v in column)
        middle = column[(len(column) - 1) // 2]
        if best is None or middle < best[0]:
            best = (middle, float(lrs[j]))
    return best[1]
""",
)
W(
    5,
    "looks at the first group only",
    r"""
def orphans(model, optimizer):
    held = {id(p) for p in optimizer.param_groups[0]["params"]}
    return [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in held]
""",
)
W(
    5,
    "frozen parameters are listed too",
    r"""
def orphans(model, optimizer):
    held = {id(p) for g in optimizer.param_groups for p in g["params"]}
    return [n for n, p in model.named_parameters() if id(p) not in held]
""",
)
W(
    5,
    "lists those that are held",
    r"""
def orphans(model, optimizer):
    held = {id(p) for g in optimizer.param_groups for p in g["params"]}
    return [n for n, p in model.named_parameters() if p.requires_grad and id(p) in held]
""",
)
W(
    5,
    "compares by values, so an equal copy counts as held",
    r"""
def orphans(model, optimizer):
    held = [p for g in optimizer.param_groups for p in g["params"]]
    return [n for n, p in model.named_parameters()
            if p.requires_grad and not any(p.shape == q.shape and torch.equal(p, q) for q in held)]
""",
)
R(
    5,
    "any(... is ...) in a plain loop",
    r"""
def orphans(model, optimizer):
    names = []
    for name, parameter in model.named_parameters():
        found = any(parameter is q for group in optimizer.param_groups for q in group["params"])
        if parameter.requires_grad and not found:
            names.append(name)
    return names
""",
)
W(
    6,
    "sorts by the name 'weight', so norm weights are decayed",
    r"""
def decay_groups(model, weight_decay):
    trainable = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [p for n, p in trainable if n.endswith("weight")], "weight_decay": weight_decay},
        {"params": [p for n, p in trainable if not n.endswith("weight")], "weight_decay": 0.0},
    ]
""",
)
W(
    6,
    "forgot to leave out frozen parameters",
    r"""
def decay_groups(model, weight_decay):
    ps = list(model.parameters())
    return [{"params": [p for p in ps if p.dim() >= 2], "weight_decay": weight_decay},
            {"params": [p for p in ps if p.dim() < 2], "weight_decay": 0.0}]
""",
)
W(
    6,
    "exactly two dimensions: convolutions go to the second group",
    r"""
def decay_groups(model, weight_decay):
    ps = [p for p in model.parameters() if p.requires_grad]
    return [{"params": [p for p in ps if p.dim() == 2], "weight_decay": weight_decay},
            {"params": [p for p in ps if p.dim() != 2], "weight_decay": 0.0}]
""",
)
R(
    6,
    "fills two lists by a boolean index",
    r"""
def decay_groups(model, weight_decay):
    split = ([], [])
    for p in model.parameters():
        if p.requires_grad:
            split[len(p.shape) < 2].append(p)
    return [dict(params=split[0], weight_decay=weight_decay), dict(params=split[1], weight_decay=0)]
""",
)

# ---------------------------------------------------------------- 05
_lesson_is("05_full_loop")
W(
    1,
    "returns the loss tensor",
    r"""
def one_step(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    optimizer.step()
    return loss
""",
)
W(
    1,
    "computes the loss anew after the step and returns that",
    r"""
def one_step(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss_fn(model(xb), yb).backward()
    optimizer.step()
    return loss_fn(model(xb), yb).item()
""",
)
W(
    1,
    "step before backward",
    r"""
def one_step(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    optimizer.step()
    loss.backward()
    return loss.item()
""",
)
W(
    1,
    "multiplies the returned loss by the batch size",
    r"""
def one_step(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    optimizer.step()
    return loss.item() * len(xb)
""",
)
R(
    1,
    "clears by hand just before backward",
    r"""
def one_step(model, xb, yb, loss_fn, optimizer):
    prediction = model(xb)
    cost = loss_fn(prediction, yb)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(cost)
    optimizer.step()
    return float(cost.detach())
""",
)
W(
    2,
    "checks only the first parameter",
    r"""
def gradients_are_fresh(model, xb, yb, loss_fn):
    p = next(model.parameters())
    g, = torch.autograd.grad(loss_fn(model(xb), yb), [p])
    return torch.allclose(p.grad, g)
""",
)
W(
    2,
    "calls backward, so .grad is doubled before comparing",
    r"""
def gradients_are_fresh(model, xb, yb, loss_fn):
    before = [p.grad.clone() for p in model.parameters()]
    loss_fn(model(xb), yb).backward()
    return all(torch.allclose(a, p.grad) for a, p in zip(before, model.parameters()))
""",
)
W(
    2,
    "clears the gradients it is meant to judge",
    r"""
def gradients_are_fresh(model, xb, yb, loss_fn):
    before = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    loss_fn(model(xb), yb).backward()
    ok = all(torch.allclose(a, p.grad, atol=1e-6) for a, p in zip(before, model.parameters()))
    model.zero_grad()
    return ok
""",
)
W(
    2,
    "any instead of all",
    r"""
def gradients_are_fresh(model, xb, yb, loss_fn):
    ps = list(model.parameters())
    gs = torch.autograd.grad(loss_fn(model(xb), yb), ps)
    return any(torch.allclose(p.grad, g, atol=1e-6) for p, g in zip(ps, gs))
""",
)
R(
    2,
    "a deep copy of the model, None allowed",
    r"""
import copy
def gradients_are_fresh(model, xb, yb, loss_fn):
    twin = copy.deepcopy(model)
    for q in twin.parameters():
        q.grad = None
    loss_fn(twin(xb), yb).backward()
    for p, q in zip(model.parameters(), twin.parameters()):
        if p.grad is None and q.grad is None:
            continue
        if p.grad is None or q.grad is None:
            return False
        if not torch.allclose(p.grad, q.grad, rtol=1e-4, atol=1e-6):
            return False
    return True
""",
)
W(
    3,
    "argmax over the batch",
    r"""
def count_correct(logits, yb):
    return int((logits.argmax(dim=0)[: len(yb)] == yb[: logits.shape[1]]).sum())
""",
)
W(
    3,
    "share instead of count",
    r"""
def count_correct(logits, yb):
    return (logits.argmax(dim=1) == yb).float().mean().item()
""",
)
W(
    3,
    "threshold on the second column: right only for two classes",
    r"""
def count_correct(logits, yb):
    return int(((logits[:, 1] > logits[:, 0]).long() == yb).sum())
""",
)
R(
    3,
    "plain Python",
    r"""
def count_correct(logits, yb):
    n = 0
    for row, label in zip(logits.tolist(), yb.tolist()):
        n += row.index(max(row)) == label
    return int(n)
""",
)
W(
    4,
    "mean of the batch means",
    r"""
def evaluate_by_hand(model, loader, loss_fn):
    model.eval()
    losses, accs = [], []
    with torch.no_grad():
        for xb, yb in loader:
            out = model(xb)
            losses.append(loss_fn(out, yb).item())
            accs.append((out.argmax(1) == yb).float().mean().item())
    model.train()
    return sum(losses) / len(losses), sum(accs) / len(accs)
""",
)
W(
    4,
    "leaves the model in eval mode",
    r"""
def evaluate_by_hand(model, loader, loss_fn):
    model.eval()
    total, right, rows = 0.0, 0, 0
    with torch.no_grad():
        for xb, yb in loader:
            out = model(xb)
            total += loss_fn(out, yb).item() * len(xb)
            right += (out.argmax(1) == yb).sum().item()
            rows += len(xb)
    return total / rows, right / rows
""",
)
W(
    4,
    "takes no_grad for the evaluation mode: dropout stays on",
    r"""
@torch.no_grad()
def evaluate_by_hand(model, loader, loss_fn):
    total, right, rows = 0.0, 0, 0
    for xb, yb in loader:
        out = model(xb)
        total += loss_fn(out, yb).item() * len(xb)
        right += (out.argmax(1) == yb).sum().item()
        rows += len(xb)
    model.train()
    return total / rows, right / rows
""",
)
W(
    4,
    "evaluates with gradients being recorded",
    r"""
def evaluate_by_hand(model, loader, loss_fn):
    model.eval()
    total, right, rows = 0.0, 0, 0
    for xb, yb in loader:
        out = model(xb)
        total += loss_fn(out, yb).item() * len(xb)
        right += (out.argmax(1) == yb).sum().item()
        rows += len(xb)
    model.train()
    return total / rows, right / rows
""",
)
R(
    4,
    "collects triples, then sums columns",
    r"""
def evaluate_by_hand(model, loader, loss_fn):
    model.eval()
    try:
        with torch.inference_mode():
            rows = [(len(y), loss_fn(o := model(x), y).item(), int((o.max(1).indices == y).sum()))
                    for x, y in loader]
    finally:
        model.train()
    n = sum(r[0] for r in rows)
    return sum(k * l for k, l, _ in rows) / n, sum(c for _, _, c in rows) / n
""",
)
W(
    5,
    "model.train() only once, before the loop, after an eval() of its own",
    r"""
def train_and_validate(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    history = []
    model.train()
    for _ in range(epochs):
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        history.append(evaluate(model, val_loader, loss_fn)[0])
    return history
""",
)
W(
    5,
    "appends the pair that evaluate returns",
    r"""
def train_and_validate(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    history = []
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
        history.append(evaluate(model, val_loader, loss_fn))
    return history
""",
)
W(
    5,
    "returns the training losses",
    r"""
def train_and_validate(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    history = []
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
        history.append(loss.item())
    return history
""",
)
W(
    5,
    "validates only once, after all epochs",
    r"""
def train_and_validate(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    return [evaluate(model, val_loader, loss_fn)[0]]
""",
)
W(
    5,
    "zero_grad once per epoch",
    r"""
def train_and_validate(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    history = []
    for _ in range(epochs):
        model.train()
        optimizer.zero_grad()
        for xb, yb in train_loader:
            loss_fn(model(xb), yb).backward()
            optimizer.step()
        history.append(evaluate(model, val_loader, loss_fn)[0])
    return history
""",
)
R(
    5,
    "an inner generator of epochs, turned into a list",
    r"""
def train_and_validate(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    def run_epochs():
        for _ in range(epochs):
            model.train(True)
            for inputs, targets in train_loader:
                optimizer.zero_grad()
                outputs = model(inputs)
                objective = loss_fn(outputs, targets)
                objective.backward()
                optimizer.step()
            val_loss, *_rest = evaluate(model, val_loader, loss_fn)
            yield float(val_loss)
    return list(run_epochs())
""",
)
_STOP = """
class EarlyStopping:
    def __init__(self, patience):
        self.patience = patience
        self.best_loss = float("inf")
        self.best_weights = None
        self.epochs_without_improvement = 0

"""
W(
    6,
    "keeps a reference to the weights, not a copy",
    "import copy"
    + _STOP
    + """
    def should_stop(self, val_loss, model):
        if val_loss < self.best_loss:
            self.best_loss = val_loss
            self.best_weights = model.state_dict()
            self.epochs_without_improvement = 0
        else:
            self.epochs_without_improvement += 1
        return self.epochs_without_improvement >= self.patience

    def restore(self, model):
        model.load_state_dict(self.best_weights)
""",
)
W(
    6,
    "does not reset the count at an improvement",
    "import copy"
    + _STOP
    + """
    def should_stop(self, val_loss, model):
        if val_loss < self.best_loss:
            self.best_loss = val_loss
            self.best_weights = copy.deepcopy(model.state_dict())
        else:
            self.epochs_without_improvement += 1
        return self.epochs_without_improvement >= self.patience

    def restore(self, model):
        model.load_state_dict(self.best_weights)
""",
)
W(
    6,
    "off by one: stops one epoch late",
    "import copy"
    + _STOP
    + """
    def should_stop(self, val_loss, model):
        if val_loss < self.best_loss:
            self.best_loss = val_loss
            self.best_weights = copy.deepcopy(model.state_dict())
            self.epochs_without_improvement = 0
        else:
            self.epochs_without_improvement += 1
        return self.epochs_without_improvement > self.patience

    def restore(self, model):
        model.load_state_dict(self.best_weights)
""",
)
W(
    6,
    "compares with the epoch before instead of the best",
    "import copy"
    + _STOP
    + """
    def should_stop(self, val_loss, model):
        if val_loss < self.best_loss:
            self.best_weights = copy.deepcopy(model.state_dict())
            self.epochs_without_improvement = 0
        else:
            self.epochs_without_improvement += 1
        self.best_loss = val_loss
        return self.epochs_without_improvement >= self.patience

    def restore(self, model):
        model.load_state_dict(self.best_weights)
""",
)
R(
    6,
    "clones tensor by tensor, early return",
    _STOP.replace("self.epochs_without_improvement = 0", "self.epochs_without_improvement = 0")
    + """
    def should_stop(self, val_loss, model):
        if val_loss < self.best_loss:
            self.best_loss, self.epochs_without_improvement = float(val_loss), 0
            self.best_weights = {k: v.detach().clone() for k, v in model.state_dict().items()}
            return False
        self.epochs_without_improvement += 1
        return bool(self.epochs_without_improvement >= self.patience)

    def restore(self, model):
        if self.best_weights is not None:
            model.load_state_dict(self.best_weights)
""",
)

# ---------------------------------------------------------------- 06
_lesson_is("06_dataloader")
W(
    1,
    "rounded the steps down",
    r"""
answers = {"steps in one epoch": 26, "rows in the last batch": 4,
           "steps in 30 epochs with drop_last": 780, "weight of a row in the last batch": 24}
""",
)
W(
    1,
    "drop_last ignored over 30 epochs",
    r"""
answers = {"steps in one epoch": 27, "rows in the last batch": 4,
           "steps in 30 epochs with drop_last": 27 * 30, "weight of a row in the last batch": 24}
""",
)
W(
    1,
    "weight upside down",
    r"""
answers = {"steps in one epoch": 27, "rows in the last batch": 4,
           "steps in 30 epochs with drop_last": 780, "weight of a row in the last batch": 4 / 96}
""",
)
W(
    1,
    "rows that are missing in the last batch, not those in it",
    r"""
answers = {"steps in one epoch": 27, "rows in the last batch": 92,
           "steps in 30 epochs with drop_last": 780, "weight of a row in the last batch": 24}
""",
)
R(
    1,
    "computed from the numbers",
    r"""
_full, _rest = divmod(2500, 96)
answers = {
    "steps in one epoch": _full + bool(_rest),
    "rows in the last batch": _rest,
    "steps in 30 epochs with drop_last": 30 * _full,
    "weight of a row in the last batch": 96 / _rest,
}
""",
)
_WIN = """
class Windows(Dataset):
    def __init__(self, series, width):
        self.series, self.width = series, width

"""
W(
    2,
    "one window too many: the last has no target",
    _WIN
    + """
    def __len__(self):
        return len(self.series) - self.width + 1

    def __getitem__(self, i):
        return self.series[i : i + self.width], self.series[i + self.width]
""",
)
W(
    2,
    "target is the last value of the window",
    _WIN
    + """
    def __len__(self):
        return len(self.series) - self.width

    def __getitem__(self, i):
        return self.series[i : i + self.width], self.series[i + self.width - 1]
""",
)
W(
    2,
    "windows do not overlap",
    _WIN
    + """
    def __len__(self):
        return (len(self.series) - 1) // self.width

    def __getitem__(self, i):
        s = i * self.width
        return self.series[s : s + self.width], self.series[s + self.width]
""",
)
W(
    2,
    "target has shape [1]",
    _WIN
    + """
    def __len__(self):
        return len(self.series) - self.width

    def __getitem__(self, i):
        end = i + self.width
        return self.series[i:end], self.series[end : end + 1]
""",
)
R(
    2,
    "unfold in the constructor",
    r"""
class Windows(Dataset):
    def __init__(self, series, width):
        self.table = series.unfold(0, width + 1, 1)

    def __len__(self):
        return self.table.shape[0]

    def __getitem__(self, i):
        row = self.table[i]
        return row[:-1], row[-1]
""",
)
_MINI = """
class MiniLoader:
    def __init__(self, X, y, batch_size, generator, drop_last=False):
        self.X, self.y = X, y
        self.batch_size, self.generator, self.drop_last = batch_size, generator, drop_last

    def __len__(self):
        n, b = len(self.X), self.batch_size
        return n // b if self.drop_last else -(-n // b)

"""
W(
    3,
    "only the permutation is drawn: other batches than DataLoader",
    _MINI
    + """
    def __iter__(self):
        order = torch.randperm(len(self.X), generator=self.generator)
        for i in range(len(self)):
            rows = order[i * self.batch_size : (i + 1) * self.batch_size]
            yield self.X[rows], self.y[rows]
""",
)
W(
    3,
    "the third draw forgotten, so the second epoch differs",
    _MINI
    + """
    def __iter__(self):
        torch.empty((), dtype=torch.int64).random_(generator=self.generator)
        order = torch.randperm(len(self.X), generator=self.generator)
        for i in range(len(self)):
            rows = order[i * self.batch_size : (i + 1) * self.batch_size]
            yield self.X[rows], self.y[rows]
""",
)
W(
    3,
    "y is not shuffled along",
    _MINI
    + """
    def __iter__(self):
        torch.empty((), dtype=torch.int64).random_(generator=self.generator)
        order = torch.randperm(len(self.X), generator=self.generator)
        for i in range(len(self)):
            part = slice(i * self.batch_size, (i + 1) * self.batch_size)
            yield self.X[order[part]], self.y[part]
        torch.randperm(len(self.X), generator=self.generator)
""",
)
R(
    3,
    "order.split",
    _MINI
    + """
    def __iter__(self):
        g, n = self.generator, self.X.size(0)
        torch.empty((), dtype=torch.int64).random_(generator=g)
        for rows in torch.randperm(n, generator=g).split(self.batch_size):
            if self.drop_last and len(rows) < self.batch_size:
                break
            yield self.X.index_select(0, rows), self.y.index_select(0, rows)
        torch.randperm(n, generator=g)
""",
)
W(
    4,
    "mask from values != 0: real zeros are masked",
    r"""
def pad_collate(rows):
    values = nn.utils.rnn.pad_sequence([v for v, _ in rows], batch_first=True)
    return values, values != 0, torch.tensor([int(l) for _, l in rows])
""",
)
W(
    4,
    "batch_first forgotten: [L, B]",
    r"""
def pad_collate(rows):
    seqs = [v for v, _ in rows]
    padded = nn.utils.rnn.pad_sequence(seqs)
    mask = nn.utils.rnn.pad_sequence([torch.ones(len(v), dtype=torch.bool) for v in seqs])
    return padded, mask, torch.tensor([int(l) for _, l in rows])
""",
)
W(
    4,
    "mask the wrong way round: True where padded",
    r"""
def pad_collate(rows):
    lengths = torch.tensor([len(v) for v, _ in rows])
    padded = torch.zeros(len(rows), int(lengths.max()))
    for i, (v, _) in enumerate(rows):
        padded[i, : len(v)] = v
    mask = torch.arange(padded.shape[1]) >= lengths[:, None]
    return padded, mask, torch.tensor([int(l) for _, l in rows])
""",
)
W(
    4,
    "pads to a fixed length of 10",
    r"""
def pad_collate(rows):
    padded, mask = torch.zeros(len(rows), 10), torch.zeros(len(rows), 10, dtype=torch.bool)
    for i, (v, _) in enumerate(rows):
        n = min(len(v), 10)
        padded[i, :n] = v[:n]
        mask[i, :n] = True
    return padded, mask, torch.tensor([int(l) for _, l in rows])
""",
)
R(
    4,
    "list padding in pure Python",
    r"""
def pad_collate(rows):
    longest = max(len(v) for v, _ in rows)
    padded = torch.tensor([v.tolist() + [0.0] * (longest - len(v)) for v, _ in rows])
    mask = torch.tensor([[True] * len(v) + [False] * (longest - len(v)) for v, _ in rows])
    return padded, mask, torch.tensor([int(label) for _, label in rows], dtype=torch.int64)
""",
)
W(
    5,
    "the share itself as weight, class sizes forgotten",
    r"""
def sample_weights(y, shares):
    return torch.as_tensor(shares)[y]
""",
)
W(
    5,
    "divides by the share instead of multiplying",
    r"""
def sample_weights(y, shares):
    counts = torch.bincount(y, minlength=len(shares))
    return 1 / (torch.as_tensor(shares) * counts)[y]
""",
)
W(
    5,
    "one weight for each class, not for each row",
    r"""
def sample_weights(y, shares):
    counts = torch.bincount(y, minlength=len(shares))
    return torch.as_tensor(shares) / counts
""",
)
W(
    5,
    "equal shares whatever is asked",
    r"""
def sample_weights(y, shares):
    return 1.0 / torch.bincount(y).float()[y]
""",
)
R(
    5,
    "a list comprehension with Counter",
    r"""
from collections import Counter
def sample_weights(y, shares):
    labels = y.tolist()
    counts = Counter(labels)
    return torch.tensor([float(shares[c]) / counts[c] for c in labels], dtype=torch.float64)
""",
)
W(
    6,
    "splits by group but scales with all rows",
    r"""
def clean_split(X, y, group, seed):
    X = (X - X.mean(dim=0)) / X.std(dim=0)
    groups = group.unique()
    order = groups[torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed))]
    val = torch.isin(group, order[: len(groups) // 5])
    return X[~val], y[~val], X[val], y[val]
""",
)
W(
    6,
    "numbers groups 0..max, gaps are drawn too",
    r"""
def clean_split(X, y, group, seed):
    n = int(group.max()) + 1
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    val = torch.isin(group, order[: n // 5])
    mean, std = X[~val].mean(0), X[~val].std(0)
    return (X[~val] - mean) / std, y[~val], (X[val] - mean) / std, y[val]
""",
)
W(
    6,
    "still splits by row, only the scaling is repaired",
    r"""
def clean_split(X, y, group, seed):
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(seed))
    t, v = order[len(X) // 5 :], order[: len(X) // 5]
    mean, std = X[t].mean(0), X[t].std(0)
    return (X[t] - mean) / std, y[t], (X[v] - mean) / std, y[v]
""",
)
W(
    6,
    "seed not used: another split every time",
    r"""
def clean_split(X, y, group, seed):
    groups = group.unique()
    order = groups[torch.randperm(len(groups))]
    val = torch.isin(group, order[: len(groups) // 5])
    mean, std = X[~val].mean(0), X[~val].std(0)
    return (X[~val] - mean) / std, y[~val], (X[val] - mean) / std, y[val]
""",
)
W(
    6,
    "takes the first groups, not random ones, and scales each part by itself",
    r"""
def clean_split(X, y, group, seed):
    groups = group.unique()
    val = torch.isin(group, groups[: len(groups) // 5])
    def scale(A):
        return (A - A.mean(0)) / A.std(0)
    return scale(X[~val]), y[~val], scale(X[val]), y[val]
""",
)
R(
    6,
    "random.Random over a sorted list of groups",
    r"""
import random
def clean_split(X, y, group, seed):
    names = sorted(set(group.tolist()))
    chosen = set(random.Random(seed).sample(names, len(names) // 5))
    held = torch.tensor([g in chosen for g in group.tolist()])
    rest = torch.logical_not(held)
    centre, spread = X[rest].mean(dim=0), X[rest].std(dim=0)
    return (X[rest] - centre) / spread, y[rest], (X[held] - centre) / spread, y[held]
""",
)

# ---------------------------------------------------------------- 07
_lesson_is("07_schedulers")
W(
    1,
    "the climb begins at 0 instead of a tenth",
    r"""
def warmup_cosine(step, peak, warmup, total):
    if step < warmup:
        return peak * step / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))
""",
)
W(
    1,
    "the cosine runs over total instead of what is left",
    r"""
def warmup_cosine(step, peak, warmup, total):
    if step < warmup:
        return peak * (0.1 + 0.9 * step / warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * step / total))
""",
)
W(
    1,
    "off by one: reaches the peak at step warmup - 1",
    r"""
def warmup_cosine(step, peak, warmup, total):
    if step < warmup:
        return peak * (0.1 + 0.9 * (step + 1) / warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))
""",
)
W(
    1,
    "a quarter cosine",
    r"""
def warmup_cosine(step, peak, warmup, total):
    if step < warmup:
        return peak * (0.1 + 0.9 * step / warmup)
    return peak * math.cos(0.5 * math.pi * (step - warmup) / (total - warmup))
""",
)
R(
    1,
    "sine squared, linear interpolation",
    r"""
def warmup_cosine(step, peak, warmup, total):
    low = peak / 10
    if step <= warmup and warmup > 0:
        return low + (peak - low) * step / warmup
    left = (total - step) / (total - warmup)
    return peak * math.sin(math.pi / 2 * left) ** 2
""",
)
W(
    2,
    "all cosines and cycles once an epoch",
    r"""
clock = {"StepLR": "epoch", "CosineAnnealingLR": "epoch", "OneCycleLR": "batch",
         "LinearLR": "epoch", "ReduceLROnPlateau": "epoch"}
""",
)
W(
    2,
    "everything per batch",
    r"""
clock = dict.fromkeys(["StepLR", "CosineAnnealingLR", "OneCycleLR", "LinearLR", "ReduceLROnPlateau"], "batch")
""",
)
W(
    2,
    "StepLR per batch, as the optimizer steps per batch",
    r"""
clock = {"StepLR": "batch", "CosineAnnealingLR": "batch", "OneCycleLR": "batch",
         "LinearLR": "batch", "ReduceLROnPlateau": "epoch"}
""",
)
R(
    2,
    "computed from the horizon of each",
    r"""
_built_for = {"StepLR": 5, "CosineAnnealingLR": 200, "OneCycleLR": 200, "LinearLR": 30, "ReduceLROnPlateau": 3}
clock = {name: "batch" if number > 20 else "epoch" for name, number in _built_for.items()}
""",
)
_CK = """
import copy
class Checkpoint:
    def __init__(self, model, optimizer, scheduler):
        self.model = model
        self.optimizer = optimizer
        self.scheduler = scheduler

"""
W(
    3,
    "state dicts without a copy: training on changes them",
    _CK
    + """
    def state_dict(self):
        return {"m": self.model.state_dict(), "o": self.optimizer.state_dict(),
                "s": self.scheduler.state_dict(), "r": torch.get_rng_state()}

    def load_state_dict(self, state):
        self.model.load_state_dict(state["m"])
        self.optimizer.load_state_dict(state["o"])
        self.scheduler.load_state_dict(state["s"])
        torch.set_rng_state(state["r"])
""",
)
W(
    3,
    "random state forgotten",
    _CK
    + """
    def state_dict(self):
        return copy.deepcopy({"m": self.model.state_dict(), "o": self.optimizer.state_dict(),
                              "s": self.scheduler.state_dict()})

    def load_state_dict(self, state):
        self.model.load_state_dict(state["m"])
        self.optimizer.load_state_dict(state["o"])
        self.scheduler.load_state_dict(state["s"])
""",
)
W(
    3,
    "saves the initial seed instead of the state of the generator",
    _CK
    + """
    def state_dict(self):
        return copy.deepcopy({"m": self.model.state_dict(), "o": self.optimizer.state_dict(),
                              "s": self.scheduler.state_dict(), "seed": torch.initial_seed()})

    def load_state_dict(self, state):
        self.model.load_state_dict(state["m"])
        self.optimizer.load_state_dict(state["o"])
        self.scheduler.load_state_dict(state["s"])
        torch.manual_seed(state["seed"])
""",
)
W(
    3,
    "optimizer state is saved but not loaded",
    _CK
    + """
    def state_dict(self):
        return copy.deepcopy({"m": self.model.state_dict(), "o": self.optimizer.state_dict(),
                              "s": self.scheduler.state_dict(), "r": torch.get_rng_state()})

    def load_state_dict(self, state):
        self.model.load_state_dict(state["m"])
        self.scheduler.load_state_dict(state["s"])
        torch.set_rng_state(state["r"])
""",
)
R(
    3,
    "getattr over the parts' names",
    _CK
    + """
    PARTS = ("model", "optimizer", "scheduler")

    def state_dict(self):
        state = {part: copy.deepcopy(getattr(self, part).state_dict()) for part in self.PARTS}
        state["rng"] = torch.random.get_rng_state().clone()
        return state

    def load_state_dict(self, state):
        for part in self.PARTS:
            getattr(self, part).load_state_dict(copy.deepcopy(state[part]))
        torch.random.set_rng_state(state["rng"])
""",
)
W(
    4,
    "each parameter clipped by itself",
    r"""
def clip(parameters, max_norm):
    total = 0.0
    for p in parameters:
        if p.grad is not None:
            n = p.grad.norm().item()
            total += n**2
            if n > max_norm:
                p.grad *= max_norm / n
    return total**0.5
""",
)
W(
    4,
    "parameters is a generator: the second loop finds nothing",
    r"""
def clip(parameters, max_norm):
    total = sum((p.grad**2).sum().item() for p in parameters if p.grad is not None) ** 0.5
    if total > max_norm:
        for p in parameters:
            if p.grad is not None:
                p.grad.mul_(max_norm / total)
    return total
""",
)
W(
    4,
    "scales up short gradients as well",
    r"""
def clip(parameters, max_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    total = torch.cat([g.flatten() for g in grads]).norm().item()
    for g in grads:
        g.mul_(max_norm / total)
    return total
""",
)
W(
    4,
    "sum of norms instead of the root of the sum of squares",
    r"""
def clip(parameters, max_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    total = sum(g.norm().item() for g in grads)
    if total > max_norm:
        for g in grads:
            g.mul_(max_norm / total)
    return total
""",
)
R(
    4,
    "math.hypot over the norms",
    r"""
def clip(parameters, max_norm):
    slopes = [p.grad for p in list(parameters) if p.grad is not None]
    length = math.hypot(*(g.norm().item() for g in slopes))
    factor = 1.0 if length <= max_norm else max_norm / length
    if factor < 1:
        for g in slopes:
            g *= factor
    return length
""",
)
W(
    5,
    "looks at the largest value only",
    r"""
def smallest_scale(gradient):
    scale = 1
    while gradient.any() and (gradient.abs().max() * scale).half() == 0:
        scale *= 2
    return scale
""",
)
W(
    5,
    "starts at 2",
    r"""
def smallest_scale(gradient):
    values = gradient[gradient != 0]
    scale = 2
    while ((values * scale).half() == 0).any():
        scale *= 2
    return scale
""",
)
W(
    5,
    "wants all values normal in float16 (above 6e-5), not just alive",
    r"""
def smallest_scale(gradient):
    values = gradient[gradient != 0].abs()
    scale = 1
    while len(values) and (values.min() * scale) < torch.finfo(torch.float16).tiny:
        scale *= 2
    return scale
""",
)
W(
    5,
    "answers with the scaler's 65536",
    r"""
def smallest_scale(gradient):
    return 65536
""",
)
R(
    5,
    "next() over itertools.count, count of non-zeros",
    r"""
import itertools
def smallest_scale(gradient):
    alive = torch.count_nonzero(gradient)
    return next(2**k for k in itertools.count()
                if torch.count_nonzero((gradient * 2.0**k).half()) == alive)
""",
)
W(
    6,
    "clips without unscaling",
    r"""
def amp_step(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    scaler.scale(loss).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()
""",
)
W(
    6,
    "no update of the scale",
    r"""
def amp_step(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.step(optimizer)
    return loss.item()
""",
)
W(
    6,
    "returns the scaled loss",
    r"""
def amp_step(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    optimizer.zero_grad()
    loss = scaler.scale(loss_fn(model(xb), yb))
    loss.backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()
""",
)
W(
    6,
    "unscales after clipping",
    r"""
def amp_step(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    scaler.scale(loss).backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()
""",
)
R(
    6,
    "clears at the end as well",
    r"""
def amp_step(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    optimizer.zero_grad(set_to_none=True)
    value = loss_fn(model(xb), yb)
    scaled = scaler.scale(value)
    scaled.backward()
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(list(model.parameters()), max_norm)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return float(value.detach())
""",
)
W(
    7,
    "schedule once an epoch",
    r"""
order = {"each epoch": "train batches schedule validate best save",
         "each batch": "zero forward backward unscale clip step update"}
""",
)
W(
    7,
    "saves before best",
    r"""
order = {"each epoch": "train batches validate save best",
         "each batch": "zero forward backward unscale clip step update schedule"}
""",
)
W(
    7,
    "clip before unscale",
    r"""
order = {"each epoch": "train batches validate best save",
         "each batch": "zero forward backward clip unscale step update schedule"}
""",
)
W(
    7,
    "validates before the batches, with train in front of the wrong piece",
    r"""
order = {"each epoch": "validate best train batches save",
         "each batch": "forward backward unscale clip step zero update"}
""",
)
R(
    7,
    "zero after the forward pass, schedule before update",
    r"""
order = {"each epoch": " ".join(["train", "batches", "validate", "best", "save"]),
         "each batch": " ".join(["forward", "zero", "backward", "unscale", "clip", "step", "schedule", "update"])}
""",
)

# ---------------------------------------------------------------- 08
_lesson_is("08_ipo_case_study")
W(
    1,
    "log instead of log1p: minus infinity at zeros",
    r"""
def make_features(table):
    return np.log(table[FEATURES].to_numpy())
""",
)
W(
    1,
    "all numeric columns but the label: the gain leaks in",
    r"""
def make_features(table):
    return np.log1p(table.select_dtypes("number").drop(columns="listing_gain").to_numpy())
""",
)
W(
    1,
    "only the subscription columns",
    r"""
def make_features(table):
    return np.log1p(table[[c for c in table if c.startswith("subscription")]])
""",
)
W(
    1,
    "already standardised",
    r"""
def make_features(table):
    X = np.log1p(table[FEATURES].to_numpy())
    return (X - X.mean(axis=0)) / X.std(axis=0)
""",
)
W(
    1,
    "changes the caller's table",
    r"""
def make_features(table):
    table[FEATURES] = np.log1p(table[FEATURES])
    return table[FEATURES]
""",
)
R(
    1,
    "apply column by column, a DataFrame",
    r"""
def make_features(table):
    return pd.DataFrame({name: np.log(1 + table[name].astype(float)) for name in FEATURES})
""",
)
W(
    2,
    "each part by its own mean and deviation",
    r"""
def standardise(X_train, X_test):
    f = lambda A: (A - A.mean(axis=0)) / A.std(axis=0)
    return f(X_train), f(X_test)
""",
)
W(
    2,
    "one mean for all columns",
    r"""
def standardise(X_train, X_test):
    m, s = X_train.mean(), X_train.std()
    return (X_train - m) / s, (X_test - m) / s
""",
)
W(
    2,
    "means over the rows: axis=1",
    r"""
def standardise(X_train, X_test):
    scale = lambda A: (A - A.mean(axis=1, keepdims=True)) / A.std(axis=1, keepdims=True)
    return scale(X_train), scale(X_test)
""",
)
W(
    2,
    "measured on both parts together",
    r"""
def standardise(X_train, X_test):
    both = np.vstack([X_train, X_test])
    m, s = both.mean(axis=0), both.std(axis=0)
    return (X_train - m) / s, (X_test - m) / s
""",
)
W(
    2,
    "divides by the variance",
    r"""
def standardise(X_train, X_test):
    m, v = X_train.mean(axis=0), X_train.var(axis=0)
    return (X_train - m) / v, (X_test - m) / v
""",
)
W(
    2,
    "the training arrays are overwritten before the test part is scaled",
    r"""
def standardise(X_train, X_test):
    X_train -= X_train.mean(axis=0)
    X_train /= X_train.std(axis=0)
    return X_train, (X_test - X_train.mean(axis=0)) / X_train.std(axis=0)
""",
)
R(
    2,
    "root of the mean square by einsum",
    r"""
def standardise(X_train, X_test):
    n = len(X_train)
    centre = np.ones(n) @ X_train / n
    moved = X_train - centre
    spread = np.sqrt(np.einsum("nf,nf->f", moved, moved) / n)
    return moved / spread, (X_test - centre) / spread
""",
)
W(
    3,
    "draws without replacement: all resamples equal",
    r"""
def bootstrap_auc(y, score):
    rng = np.random.default_rng(0)
    aucs = []
    for _ in range(1000):
        rows = rng.permutation(len(y))
        aucs.append(roc_auc_score(y[rows], score[rows]))
    return tuple(np.percentile(aucs, [2.5, 97.5]))
""",
)
W(
    3,
    "resamples y and score independently",
    r"""
def bootstrap_auc(y, score):
    rng = np.random.default_rng(0)
    aucs = []
    while len(aucs) < 1000:
        a, b = rng.integers(len(y), size=len(y)), rng.integers(len(y), size=len(y))
        if len(set(y[a])) == 2:
            aucs.append(roc_auc_score(y[a], score[b]))
    return tuple(np.percentile(aucs, [2.5, 97.5]))
""",
)
W(
    3,
    "5th and 95th percentile: a 90 % interval",
    r"""
def bootstrap_auc(y, score):
    rng = np.random.default_rng(0)
    aucs = []
    while len(aucs) < 1000:
        r = rng.integers(len(y), size=len(y))
        if 0 < y[r].sum() < len(r):
            aucs.append(roc_auc_score(y[r], score[r]))
    low, high = np.percentile(aucs, [5, 95])
    return low, high
""",
)
W(
    3,
    "the standard error of the mean of the bootstraps",
    r"""
def bootstrap_auc(y, score):
    rng = np.random.default_rng(1)
    aucs = []
    while len(aucs) < 1000:
        r = rng.integers(len(y), size=len(y))
        if 0 < y[r].sum() < len(r):
            aucs.append(roc_auc_score(y[r], score[r]))
    m, se = np.mean(aucs), np.std(aucs) / np.sqrt(1000)
    return m - 1.96 * se, m + 1.96 * se
""",
)
R(
    3,
    "sorted list, np.random.choice, one-class resamples drawn again",
    r"""
def bootstrap_auc(y, score):
    y, score = np.asarray(y), np.asarray(score)
    state = np.random.RandomState(11)
    def one():
        while True:
            pick = state.choice(len(y), len(y), replace=True)
            if len(np.unique(y[pick])) > 1:
                return roc_auc_score(y[pick], score[pick])
    values = sorted(one() for _ in range(1000))
    return float(values[25]), float(values[974])
""",
)
W(
    4,
    "multiplies the percentage",
    r"""
def true_gain(recorded_pct, factor):
    return recorded_pct * factor
""",
)
W(
    4,
    "returns the ratio, not the percentage",
    r"""
def true_gain(recorded_pct, factor):
    return (1 + recorded_pct / 100) * factor
""",
)
W(
    4,
    "divides by the factor instead of multiplying",
    r"""
def true_gain(recorded_pct, factor):
    return ((1 + recorded_pct / 100) / factor - 1) * 100
""",
)
W(
    4,
    "IRCTC's factor of five for all",
    r"""
def true_gain(recorded_pct, factor):
    return (1 + recorded_pct / 100) * 5 * 100 - 100
""",
)
W(
    4,
    "if-statement: works for numbers, not for columns",
    r"""
def true_gain(recorded_pct, factor):
    if factor == 1:
        return recorded_pct
    return float((100 + recorded_pct) * factor - 100)
""",
)
R(
    4,
    "expanded algebra",
    r"""
true_gain = lambda recorded_pct, factor: recorded_pct * factor + 100 * (factor - 1)
""",
)
W(
    5,
    "strictly above the threshold",
    r"""
def precision_recall(y, probability, threshold):
    pred = probability > threshold
    tp = (pred & (y == 1)).sum()
    precision = float(tp / pred.sum()) if pred.any() else float("nan")
    return precision, float(tp / (y == 1).sum())
""",
)
W(
    5,
    "precision and recall exchanged",
    r"""
def precision_recall(y, probability, threshold):
    pred = probability >= threshold
    tp = float((pred & (y == 1)).sum())
    recall = tp / (y == 1).sum()
    precision = tp / pred.sum() if pred.any() else float("nan")
    return float(recall), float(precision)
""",
)
W(
    5,
    "0 instead of nan if nothing is predicted",
    r"""
def precision_recall(y, probability, threshold):
    pred = probability >= threshold
    tp = float((pred & (y == 1)).sum())
    return float(tp / max(pred.sum(), 1)), float(tp / (y == 1).sum())
""",
)
W(
    5,
    "accuracy in place of precision",
    r"""
def precision_recall(y, probability, threshold):
    pred = (probability >= threshold).astype(int)
    if pred.sum() == 0:
        return float("nan"), 0.0
    return float((pred == y).mean()), float(pred[y == 1].mean())
""",
)
W(
    5,
    "ignores the threshold given: 0.5",
    r"""
def precision_recall(y, probability, threshold=0.5):
    pred = np.round(probability).astype(bool)
    tp = float((pred & (y == 1)).sum())
    return (tp / float(pred.sum()) if pred.any() else float("nan")), tp / float((y == 1).sum())
""",
)
R(
    5,
    "pure Python counting",
    r"""
def precision_recall(y, probability, threshold):
    hits = misses = false_alarms = 0
    for truth, p in zip(y, probability):
        if p >= threshold and truth == 1:
            hits += 1
        elif p >= threshold:
            false_alarms += 1
        elif truth == 1:
            misses += 1
    picked = hits + false_alarms
    return (hits / picked if picked else float("nan")), hits / (hits + misses)
""",
)

# ---------------------------------------------------------------- 09
_lesson_is("09_debugging_clinic")
W(
    1,
    "repairs the order, leaves the softmax",
    r"""
def healthy_epoch(model, optimizer, loader):
    model.train()
    total = 0.0
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(xb).softmax(dim=1), yb)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(xb)
    return total / len(loader.dataset)
""",
)
W(
    1,
    "still divides by the number of batches",
    r"""
def healthy_epoch(model, optimizer, loader):
    model.train()
    total = 0.0
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(xb)
    return total / len(loader)
""",
)
W(
    1,
    "swapped the wrong pair: step, then backward",
    r"""
def healthy_epoch(model, optimizer, loader):
    model.train()
    total = 0.0
    for xb, yb in loader:
        loss = loss_fn(model(xb), yb)
        optimizer.zero_grad()
        optimizer.step()
        loss.backward()
        total += loss.item() * len(xb)
    return total / len(loader.dataset)
""",
)
W(
    1,
    "hard-codes 800 rows and keeps the graph in the sum",
    r"""
def healthy_epoch(model, optimizer, loader):
    model.train()
    total = 0.0
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        total = total + loss * len(xb)
    return total / 800
""",
)
W(
    1,
    "forgot that the total belongs to one epoch: a global sum",
    r"""
running = {"total": 0.0}
def healthy_epoch(model, optimizer, loader):
    model.train()
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        running["total"] += loss.item() * len(xb)
    return running["total"] / len(loader.dataset)
""",
)
R(
    1,
    "lists of losses and rows, clears after the step",
    r"""
def healthy_epoch(model, optimizer, loader):
    optimizer.zero_grad()
    model.train()
    values, rows = [], []
    for inputs, classes in loader:
        value = loss_fn(model(inputs), classes)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        values.append(value.item())
        rows.append(len(classes))
    return sum(v * r for v, r in zip(values, rows)) / sum(rows)
""",
)
W(
    2,
    "the optimizer is still built before the new layer",
    r"""
def finetune(model, loader, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    model[-1] = nn.Linear(16, 3)
    model.train()
    for _ in range(epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        scheduler.step()
    return model
""",
)
W(
    2,
    "clips after the step",
    r"""
def finetune(model, loader, epochs):
    model[-1] = nn.Linear(16, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    model.train()
    for _ in range(epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scheduler.step()
    return model
""",
)
W(
    2,
    "schedule per batch over all batches, though once an epoch was planned",
    r"""
def finetune(model, loader, epochs):
    model[-1] = nn.Linear(16, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * len(loader))
    model.train()
    for _ in range(epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
    return model
""",
)
W(
    2,
    "trains the new layer only",
    r"""
def finetune(model, loader, epochs):
    model[-1] = nn.Linear(16, 3)
    optimizer = torch.optim.SGD(model[-1].parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    model.train()
    for _ in range(epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        scheduler.step()
    return model
""",
)
W(
    2,
    "momentum dropped and nothing returned",
    r"""
def finetune(model, loader, epochs):
    model[-1] = nn.Linear(16, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    model.train()
    for _ in range(epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        scheduler.step()
""",
)
R(
    2,
    "while loop, zero_grad between forward and backward",
    r"""
def finetune(model, loader, epochs):
    model[-1] = nn.Linear(in_features=16, out_features=3)
    weights = list(model.parameters())
    sgd = torch.optim.SGD(weights, momentum=0.9, lr=0.1)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, epochs)
    done = 0
    while done < epochs:
        model.train()
        for inputs, classes in loader:
            value = loss_fn(model(inputs), classes)
            sgd.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(weights, max_norm=1.0)
            sgd.step()
        cosine.step()
        done += 1
    return model
""",
)
W(
    3,
    "eval() added, train() left outside the loop: epochs after the first train in eval mode",
    r"""
def fit(model, optimizer, train_loader, val_loader, epochs):
    accuracies = []
    model.train()
    for _ in range(epochs):
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
        model.eval()
        correct = 0
        with torch.no_grad():
            for xb, yb in val_loader:
                correct += (model(xb).argmax(dim=1) == yb).sum().item()
        accuracies.append(correct / len(val_loader.dataset))
    return accuracies
""",
)
W(
    3,
    "still a mean of batch means",
    r"""
def fit(model, optimizer, train_loader, val_loader, epochs):
    accuracies = []
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            a = [(model(xb).argmax(1) == yb).float().mean().item() for xb, yb in val_loader]
        accuracies.append(sum(a) / len(a))
    return accuracies
""",
)
W(
    3,
    "the count is not reset between epochs",
    r"""
def fit(model, optimizer, train_loader, val_loader, epochs):
    accuracies, correct = [], 0
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for xb, yb in val_loader:
                correct += (model(xb).argmax(dim=1) == yb).sum().item()
        accuracies.append(correct / len(val_loader.dataset))
    return accuracies
""",
)
W(
    3,
    "no_grad only, no eval(): BatchNorm and dropout stay in training mode",
    r"""
def fit(model, optimizer, train_loader, val_loader, epochs):
    accuracies = []
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
        with torch.no_grad():
            n = sum(int((model(xb).argmax(1) == yb).sum()) for xb, yb in val_loader)
        accuracies.append(n / len(val_loader.dataset))
    return accuracies
""",
)
W(
    3,
    "measures accuracy on the training data",
    r"""
def fit(model, optimizer, train_loader, val_loader, epochs):
    accuracies = []
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            n = sum(int((model(xb).argmax(1) == yb).sum()) for xb, yb in train_loader)
        accuracies.append(n / len(train_loader.dataset))
    return accuracies
""",
)
R(
    3,
    "predictions concatenated, inference_mode",
    r"""
def fit(model, optimizer, train_loader, val_loader, epochs):
    def validate():
        model.eval()
        with torch.inference_mode():
            pairs = [(model(x).max(dim=1).indices, t) for x, t in val_loader]
        guesses, truth = (torch.cat(column) for column in zip(*pairs))
        return int((guesses == truth).sum()) / truth.numel()

    history = []
    for _ in range(epochs):
        model.train()
        for x, t in train_loader:
            value = loss_fn(model(x), t)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        history.append(validate())
    return history
""",
)
_REG = """
import copy
def regression(model, optimizer, train_loader, val_loader, epochs):
    losses, lowest = [], float("inf")
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = (({PRED} - yb) ** 2).mean()
            loss.backward()
            optimizer.step()
            losses.append({KEEP})
        model.eval()
        with torch.no_grad():
            val_loss = sum(((model(xb).squeeze(1) - yb) ** 2).sum().item() for xb, yb in val_loader)
        if val_loss {CMP} lowest:
            lowest, best_weights = val_loss, {COPY}
    model.load_state_dict(best_weights)
    return losses
"""


def _reg(
    pred="model(xb).squeeze(1)",
    keep="loss.item()",
    cmp="<",
    copied="copy.deepcopy(model.state_dict())",
):
    return (
        _REG.replace("{PRED}", pred)
        .replace("{KEEP}", keep)
        .replace("{CMP}", cmp)
        .replace("{COPY}", copied)
    )


W(4, "broadcast left as it was", _reg(pred="model(xb)"))
W(4, "alias of the weights: restores the last epoch", _reg(copied="model.state_dict()"))
W(4, "a shallow copy of the dict shares the tensors", _reg(copied="dict(model.state_dict())"))
W(4, "keeps tensors with their graph", _reg(keep="loss"))
W(4, "keeps the worst epoch", _reg(cmp=">").replace('float("inf")', '-float("inf")'))
R(
    4,
    "unsqueezes the target, clones the weights",
    r"""
def regression(model, optimizer, train_loader, val_loader, epochs):
    history, best = [], (float("inf"), None)
    for _ in range(epochs):
        model.train()
        for x, t in train_loader:
            value = (model(x) - t.unsqueeze(1)).square().mean()
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            history.append(float(value.detach()))
        model.eval()
        squares = 0.0
        with torch.no_grad():
            for x, t in val_loader:
                squares += (model(x)[:, 0] - t).square().sum().item()
        if squares < best[0]:
            best = squares, {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(best[1])
    return history
""",
)
W(
    5,
    "takes accumulation in loop 2 for a missing zero_grad",
    r"""
diagnoses = {1: "scheduler-per-batch", 2: "no-zero-grad", 3: "no-zero-grad", 4: "sigmoid-before-bce-with-logits",
             5: "optimizer-holds-other-params", 6: "healthy", 7: "sorted-batches", 8: "eval-in-train-mode",
             9: "broadcast-loss", 10: "layers-cut-off"}
""",
)
W(
    5,
    "takes frozen features in loop 6 for parameters forgotten by the optimizer",
    r"""
diagnoses = {1: "scheduler-per-batch", 2: "healthy", 3: "no-zero-grad", 4: "sigmoid-before-bce-with-logits",
             5: "optimizer-holds-other-params", 6: "params-not-optimized", 7: "sorted-batches",
             8: "eval-in-train-mode", 9: "broadcast-loss", 10: "layers-cut-off"}
""",
)
W(
    5,
    "loop 4: blames the mode, loop 8 called healthy",
    r"""
diagnoses = {1: "scheduler-per-batch", 2: "healthy", 3: "no-zero-grad", 4: "eval-in-train-mode",
             5: "optimizer-holds-other-params", 6: "healthy", 7: "sorted-batches", 8: "healthy",
             9: "broadcast-loss", 10: "layers-cut-off"}
""",
)
W(
    5,
    "loop 1 put down to too low a rate, loop 10 to unregistered layers",
    r"""
diagnoses = {1: "lr-too-low", 2: "healthy", 3: "no-zero-grad", 4: "sigmoid-before-bce-with-logits",
             5: "optimizer-holds-other-params", 6: "healthy", 7: "sorted-batches", 8: "eval-in-train-mode",
             9: "broadcast-loss", 10: "unregistered-layers"}
""",
)
R(
    5,
    "starts from healthy and writes in what is ill",
    r"""
diagnoses = dict.fromkeys(range(1, 11), "healthy")
diagnoses.update({
    10: "layers-cut-off", 9: "broadcast-loss", 8: "eval-in-train-mode", 7: "sorted-batches",
    5: "optimizer-holds-other-params", 4: "sigmoid-before-bce-with-logits", 3: "no-zero-grad",
    1: "scheduler-per-batch",
})
""",
)

# ---------------------------------------------------------------- 10
_lesson_is("10_beyond_one_device")
W(
    1,
    "plain average, rows ignored",
    r"""
def average_gradients(shares):
    return [sum(gs) / len(shares) for gs in zip(*(g for g, _ in shares))]
""",
)
W(
    1,
    "weights by rows but divides by the number of processes",
    r"""
def average_gradients(shares):
    out = [torch.zeros_like(g) for g in shares[0][0]]
    for grads, rows in shares:
        for o, g in zip(out, grads):
            o += g * rows
    return [o / len(shares) for o in out]
""",
)
W(
    1,
    "adds in place into the first process's gradients",
    r"""
def average_gradients(shares):
    total = sum(rows for _, rows in shares)
    out = shares[0][0]
    for o in out:
        o *= shares[0][1] / total
    for grads, rows in shares[1:]:
        for o, g in zip(out, grads):
            o += g * (rows / total)
    return out
""",
)
W(
    1,
    "only the first two processes",
    r"""
def average_gradients(shares):
    (ga, na), (gb, nb) = shares[0], shares[1]
    return [(a * na + b * nb) / (na + nb) for a, b in zip(ga, gb)]
""",
)
W(
    1,
    "sums the weighted gradients of the first parameter only",
    r"""
def average_gradients(shares):
    total = sum(n for _, n in shares)
    return [sum(g[0] * n for g, n in shares) / total]
""",
)
R(
    1,
    "tensordot over stacked gradients",
    r"""
def average_gradients(shares):
    rows = torch.tensor([float(n) for _, n in shares])
    share = rows / rows.sum()
    columns = zip(*[grads for grads, _ in shares])
    return [torch.tensordot(share.to(c[0].dtype), torch.stack(list(c)), dims=1) for c in columns]
""",
)
R(
    1,
    "starts with zeros, in pure Python loops",
    r"""
def average_gradients(shares):
    everything = sum(n for _, n in shares)
    result = []
    for k in range(len(shares[0][0])):
        acc = 0
        for grads, n in shares:
            acc = acc + grads[k] * n
        result.append(acc / everything)
    return result
""",
)
_ST = """
def step_together(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
"""
W(
    2,
    "sum, not average",
    _ST
    + """
    loss.backward()
    for p in model.parameters():
        all_reduce(p.grad)
    optimizer.step()
    return loss.detach()
""",
)
W(
    2,
    "exchanges after the step",
    _ST
    + """
    loss.backward()
    optimizer.step()
    for p in model.parameters():
        all_reduce(p.grad)
        p.grad /= world_size
    return loss.detach()
""",
)
W(
    2,
    "reduces the loss instead of the gradients",
    _ST
    + """
    all_reduce(loss.detach())
    loss = loss / world_size
    loss.backward()
    optimizer.step()
    return loss.detach()
""",
)
W(
    2,
    "takes all_reduce's return value, and assumes two processes",
    _ST
    + """
    loss.backward()
    for p in model.parameters():
        p.grad = all_reduce(p.grad) / 2
    optimizer.step()
    return loss.detach()
""",
)
W(
    2,
    "averages the weights before the step",
    _ST
    + """
    loss.backward()
    with torch.no_grad():
        for p in model.parameters():
            all_reduce(p.data)
            p.data /= world_size
    optimizer.step()
    return loss.detach()
""",
)
W(
    2,
    "reduces a copy of the gradient",
    _ST
    + """
    loss.backward()
    for p in model.parameters():
        g = p.grad.clone()
        all_reduce(g)
        g /= world_size
    optimizer.step()
    return loss.detach()
""",
)
R(
    2,
    "scales the loss by 1 / world_size, then sums the gradients",
    r"""
def step_together(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    optimizer.zero_grad()
    own = loss_fn(model(xb), yb)
    own.backward()
    for weight in model.parameters():
        weight.grad.div_(world_size)
        all_reduce(weight.grad)
    optimizer.step()
    return own.detach()
""",
)
W(
    3,
    "each process seeds with its rank: overlaps and gaps",
    r"""
def my_rows(n, rank, world_size, epoch, seed=0):
    g = torch.Generator().manual_seed(seed + epoch + rank)
    order = torch.randperm(n, generator=g).tolist()
    order += order[: -n % world_size]
    return order[rank::world_size]
""",
)
W(
    3,
    "no padding: some get a row fewer",
    r"""
def my_rows(n, rank, world_size, epoch, seed=0):
    g = torch.Generator().manual_seed(seed + epoch)
    return torch.randperm(n, generator=g).tolist()[rank::world_size]
""",
)
W(
    3,
    "epoch is not used",
    r"""
def my_rows(n, rank, world_size, epoch, seed=0):
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()
    order += order[: -n % world_size]
    return order[rank::world_size]
""",
)
W(
    3,
    "drops the rows that are left over",
    r"""
def my_rows(n, rank, world_size, epoch, seed=0):
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    per = n // world_size
    return order[rank * per : (rank + 1) * per]
""",
)
W(
    3,
    "pads by a whole world_size when it comes out even",
    r"""
def my_rows(n, rank, world_size, epoch, seed=0):
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    order += order[: world_size - n % world_size]
    return order[rank::world_size]
""",
)
R(
    3,
    "random.Random and contiguous blocks, wrapped round by modulo",
    r"""
import random
def my_rows(n, rank, world_size, epoch, seed=0):
    order = list(range(n))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    per = (n + world_size - 1) // world_size
    return [order[k % n] for k in range(rank * per, rank * per + per)]
""",
)
W(
    4,
    "suspects the seed by rank instead of the missing sampler",
    r"""
wrong_lines = {3, 15, 18}
""",
)
W(
    4,
    "suspects the optimizer built before DDP",
    r"""
wrong_lines = {5, 7, 15}
""",
)
W(
    4,
    "takes print on rank 0 for wrong",
    r"""
wrong_lines = {7, 17, 18}
""",
)
R(
    4,
    "a set made from a comprehension",
    r"""
_why = {7: "no sampler", 15: "collective on one rank", 18: "both write"}
wrong_lines = {line for line in _why}
""",
)
W(
    5,
    "steps counted over all rows and one process's batch",
    r"""
plan = {"combined_batch": 512, "rows_per_process": 1251, "steps": 157, "drawn_twice": 2}
""",
)
W(
    5,
    "rows per process rounded down",
    r"""
plan = {"combined_batch": 512, "rows_per_process": 1250, "steps": 20, "drawn_twice": 6}
""",
)
W(
    5,
    "steps rounded down as with drop_last; batch of one process",
    r"""
plan = {"combined_batch": 64, "rows_per_process": 1251, "steps": 19, "drawn_twice": 2}
""",
)
W(
    5,
    "drawn_twice is the remainder 10006 mod 8",
    r"""
plan = {"combined_batch": 8 * 64, "rows_per_process": 1251, "steps": 20, "drawn_twice": 10006 % 8}
""",
)
R(
    5,
    "ceil by negative floor division",
    r"""
_rows = -(-10006 // 8)
plan = dict(combined_batch=64 * 8, rows_per_process=_rows, steps=-(-_rows // 64), drawn_twice=-10006 % 8)
""",
)

# ---------------------------------------------------------------- more right ones
_lesson_is("00_why_a_loop")
R(
    2,
    "divides both before subtracting, with NumPy names",
    r"""
def output_gradient(y_hat, y):
    rows = len(y_hat)
    return np.divide(y_hat, rows) - np.divide(y, rows)
""",
)
R(
    3,
    "slice assignment through index",
    r"""
def update(params, grads, lr):
    for i, g in enumerate(grads):
        params[i][...] = params[i] - lr * g
    return params
""",
)
_lesson_is("01_forward")
R(
    2,
    "folds with reduce",
    r"""
from functools import reduce
def forward_by_hand(weights, biases, xb):
    pairs = list(zip(weights, biases))
    linear = lambda h, wb: torch.addmm(wb[1], h, wb[0].t())
    hidden = reduce(lambda h, wb: linear(h, wb).clamp_min(0), pairs[:-1], xb)
    return linear(hidden, pairs[-1])
""",
)
R(
    4,
    "row by row",
    r"""
def safe_softmax(logits):
    rows = []
    for row in logits:
        e = torch.exp(row - max(row.tolist()))
        rows.append(e / e.sum())
    return torch.stack(rows)
""",
)
_lesson_is("02_loss")
R(
    3,
    "softplus by sign flip: logaddexp of 0 and -z or z",
    r"""
def bce_with_logits(logits, targets):
    zero = torch.zeros((), dtype=logits.dtype)
    yes, no = torch.logaddexp(zero, -logits), torch.logaddexp(zero, logits)
    return torch.lerp(no, yes, targets).sum() / logits.numel()
""",
)
R(
    4,
    "names for the shapes, tuples unpacked",
    r"""
_B, _one, _f = 32, [32, 1], torch.float32
choices = dict(zip(
    ["tomorrow's temperature in degrees", "which of 7 bird species is in the picture",
     "does the customer cancel, one output", "which of 12 topics an article is about, often several"],
    [(nn.MSELoss, _one, _one, _f), (nn.CrossEntropyLoss, [_B, 7], [_B], torch.long),
     (nn.BCEWithLogitsLoss, _one, _one, _f), (nn.BCEWithLogitsLoss, [_B, 12], [_B, 12], _f)],
))
""",
)
_lesson_is("03_backward")
R(
    4,
    "autograd.grad, gradients written by hand",
    r"""
def accumulate(model, pieces, loss_fn):
    ps = [p for p in model.parameters() if p.requires_grad]
    n = sum(len(y) for _, y in pieces)
    sums, mean = [torch.zeros_like(p) for p in ps], 0.0
    for x, y in pieces:
        loss = loss_fn(model(x), y)
        share = len(y) / n
        for s, g in zip(sums, torch.autograd.grad(loss, ps)):
            s.add_(g, alpha=share)
        mean += share * loss.item()
    for p, s in zip(ps, sums):
        p.grad = s
    return mean
""",
)
R(
    5,
    "loops over the rows",
    r"""
def layer_gradients(x, W, b, target):
    gW, gb = torch.zeros_like(W), torch.zeros_like(b)
    count = target.shape[0] * target.shape[1]
    for row, wanted in zip(x, target):
        delta = (W @ row + b - wanted) * 2 / count
        gW += torch.outer(delta, row)
        gb += delta
    return gW, gb
""",
)
_lesson_is("04_step")
R(
    1,
    "assigns through .data",
    r"""
class SGD:
    def __init__(self, parameters, lr):
        self.weights, self.rate = tuple(parameters), lr

    def step(self):
        for w in self.weights:
            if w.grad is None:
                continue
            w.data.add_(w.grad, alpha=-self.rate)
""",
)
R(
    6,
    "filter with lambdas",
    r"""
def decay_groups(model, weight_decay):
    trained = list(filter(lambda p: p.requires_grad, model.parameters()))
    matrices = [p for p in trained if p.ndim > 1]
    ids = set(map(id, matrices))
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": [p for p in trained if id(p) not in ids], "weight_decay": 0.0},
    ]
""",
)
_lesson_is("05_full_loop")
R(
    3,
    "gathers the largest index by sort",
    r"""
def count_correct(logits, yb):
    order = logits.argsort(dim=1, descending=True)
    return torch.count_nonzero(order[:, 0] == yb).item()
""",
)
R(
    2,
    "one long vector of each",
    r"""
def gradients_are_fresh(model, xb, yb, loss_fn):
    ps = [p for p in model.parameters() if p.requires_grad]
    if any(p.grad is None for p in ps):
        return False
    fresh = torch.autograd.grad(loss_fn(model(xb), yb), ps)
    flat = lambda ts: torch.cat([t.reshape(-1) for t in ts])
    return bool(torch.allclose(flat([p.grad for p in ps]), flat(fresh), rtol=1e-4, atol=1e-7))
""",
)
_lesson_is("06_dataloader")
R(
    5,
    "a loop over the classes, shares as array",
    r"""
def sample_weights(y, shares):
    weights = torch.zeros(len(y))
    for c in range(len(shares)):
        here = y == c
        if here.any():
            weights[here] = float(shares[c]) / here.sum()
    return weights
""",
)
R(
    2,
    "stack and explicit length",
    r"""
class Windows(Dataset):
    def __init__(self, series, width):
        self.series, self.width = series, width

    def __len__(self):
        return max(0, self.series.shape[0] - self.width)

    def __getitem__(self, i):
        if not 0 <= i < len(self):
            raise IndexError(i)
        return torch.stack([self.series[i + k] for k in range(self.width)]), self.series[i + self.width].clone()
""",
)
_lesson_is("07_schedulers")
R(
    4,
    "one flat vector, generator kept in a list",
    r"""
def clip(parameters, max_norm):
    having = [p for p in parameters if p.grad is not None]
    if not having:
        return 0.0
    whole = torch.cat([p.grad.reshape(-1) for p in having])
    before = whole.pow(2).sum().sqrt().item()
    for p in having:
        p.grad.mul_(min(1.0, max_norm / before) if before else 1.0)
    return before
""",
)
R(
    5,
    "bisects nothing: goes from the smallest value with frexp",
    r"""
def smallest_scale(gradient):
    alive = gradient[gradient != 0].abs()
    if alive.numel() == 0:
        return 1
    exponent = 0
    while float((alive.min() * 2**exponent).half()) == 0.0:
        exponent += 1
    return 2**exponent
""",
)
_lesson_is("08_ipo_case_study")
R(
    5,
    "scikit-learn's precision_score and recall_score",
    r"""
from sklearn.metrics import precision_score, recall_score
def precision_recall(y, probability, threshold):
    picked = (np.asarray(probability) >= threshold).astype(int)
    precision = float(precision_score(y, picked)) if picked.sum() else float("nan")
    return precision, float(recall_score(y, picked))
""",
)
R(
    2,
    "transposed columns in a list",
    r"""
def standardise(X_train, X_test):
    left, right = [], []
    for a, b in zip(X_train.T, X_test.T):
        mean = sum(a) / len(a)
        sd = (sum((v - mean) ** 2 for v in a) / len(a)) ** 0.5
        left.append((a - mean) / sd)
        right.append((b - mean) / sd)
    return np.stack(left, axis=1), np.stack(right, axis=1)
""",
)
R(
    4,
    "from prices",
    r"""
def true_gain(recorded_pct, factor):
    recorded_price = 100.0 + recorded_pct
    undivided = recorded_price * factor
    return undivided - 100.0
""",
)
_lesson_is("09_debugging_clinic")
R(
    4,
    "best weights in memory as a model copy",
    r"""
import copy
def regression(model, optimizer, train_loader, val_loader, epochs):
    losses, lowest, best = [], math.inf, None
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            loss = nn.functional.mse_loss(model(xb).flatten(), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            errors = torch.cat([(model(xb).flatten() - yb) ** 2 for xb, yb in val_loader])
        if errors.mean().item() < lowest:
            lowest, best = errors.mean().item(), copy.deepcopy(model)
    model.load_state_dict(best.state_dict())
    return losses
""",
)
R(
    1,
    "counts rows itself",
    r"""
def healthy_epoch(model, optimizer, loader):
    seen, summed = 0, 0.0
    model.train(True)
    for batch in loader:
        features, classes = batch
        logits = model(features)
        loss = loss_fn(logits, classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        summed += float(loss.detach()) * classes.shape[0]
        seen += classes.shape[0]
    return summed / seen
""",
)
R(
    5,
    "a list turned into a dictionary",
    r"""
_found = ["scheduler-per-batch", "healthy", "no-zero-grad", "sigmoid-before-bce-with-logits",
          "optimizer-holds-other-params", "healthy", "sorted-batches", "eval-in-train-mode",
          "broadcast-loss", "layers-cut-off"]
diagnoses = {number: name for number, name in enumerate(_found, start=1)}
""",
)
_lesson_is("10_beyond_one_device")
R(
    3,
    "NumPy's generator and a resized order",
    r"""
import numpy as np
def my_rows(n, rank, world_size, epoch, seed=0):
    order = np.random.default_rng([seed, epoch]).permutation(n)
    per = -(-n // world_size)
    return np.resize(order, per * world_size).reshape(per, world_size)[:, rank].tolist()
""",
)
R(
    4,
    "set() of a list",
    r"""
wrong_lines = set([18, 15, 7])
""",
)
