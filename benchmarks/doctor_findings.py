"""What the loop doctor and other tools find

Twins: a small loop with a silent bug, and the same loop repaired. Each tool is used on both as its \
own page says, with what it needs handed over at the place where its page has it; the loops know \
nothing of it. All lines count that are a warning or worse.

- *bugs named*: on the buggy twin it says something that it does not say on the repaired one, and \
the words name the cause or the very place of the bug. Which words do was read once and is written \
down in [doctor_findings.py](doctor_findings.py); the doctor has to give the bug's own name.
- *something else said*: it says something on the buggy twin only, but that does not lead to the bug.
- *repaired twins flagged*: it says anything at all there.
- *failed*: it could not be used on one of the twins.

The first twins are from [tests/loops](../tests/loops/reports.py): every loop in `reports.py` and \
`reports_2.py` that is one call of a helper, with the next correct loop that calls the same helper, \
as long as both train just one module, since that is what most tools ask for. The doctor was \
repaired on these and the others never saw them, so this table shows what can be named, not who is \
better. The second twins are the other tools' home ground, [bugs that their pages show or \
list](home_ground.py), written from those pages by one who knew what the doctor names. When it \
first met them, on 30 November 2026, it named 20 of 34 and flagged no repaired twin. It has learnt \
four things since: a layer that is never used, blank data, a weight that is NaN behind a finite loss, and a \
schedule that is over long before the run is.

Two hints are left out for all: torch-audit's on what suits a graphics card, and torch-preflight's \
notes. torcheck needs a torch below 2.0, TrainCheck recorded runs that were correct, preflight-ml a \
file with the data alone; they are not here. torch-audit looks at every step.
"""

import ast
import inspect
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import Row, Table, finders, home_ground
from tests import loops
from tests.loops import reports, reports_2

READING = """\
The doctor names all of the first bugs because it was repaired on them: that is what it must not \
lose again, and no comparison. How it did on loops of others before it was repaired on them stands \
[with those loops](../tests/loops/strangers/README.md). On the home ground of the others it names more \
than any one of them and flags no repaired twin, as guardtower and torch-preflight flag none, and \
it is the only one of those that watch a run to which nothing has to be handed.

Others are better at this:

- torchtest2 changes inputs and looks whether the answers change. So it sees features and masks that \
a model ignores, and rows that leak into each other in whatever way; a doctor that changes nothing \
sees that only in the forms it knows. Most of what torchtest2 flags beside is one warning, that a \
small model does not learn a batch by heart.
- torch-audit sees images with the channels last, dead filters, one BatchNorm in two places, and \
batches too small for it. The doctor leaves that alone: encoders share layers on purpose, small \
batches are often forced, and small images have no telling shape.
- gradsnitch and torch-audit see one bad batch among good ones, torchmortem layers that gradients \
hardly reach, and saturated ones. Where good loops end and such a bug begins is a threshold: \
gradsnitch and torchmortem also flag many repaired twins, torchmortem mostly for units that are idle.
- torch-preflight needs no run at all: it finds in a moment what the doctor finds when the line is \
reached.
"""


class Loop(NamedTuple):
    name: str
    bugs: set[str]  # the names that the doctor may give
    run: Callable
    source: str | None  # where the twin has a text of its own


# Twins -------------------------------------------------------------------------------------------


def helper(run):
    """The function that a loop consists of calling."""
    function = ast.parse(inspect.getsource(run)).body[0]
    match function.body:
        case [ast.Expr(value=ast.Call(func=ast.Name(id=name)))]:
            return name


def reported():
    """Buggy loops that only call a helper, each with the next correct loop that calls it too."""
    for module in (reports, reports_2):
        waiting = defaultdict(list)
        for loop in loops.LOOPS:
            name = helper(loop.run) if loop.run.__module__ == module.__name__ else None
            if name and loop.bug:
                waiting[name].append(loop)
            elif name:
                for buggy in waiting.pop(name, []):
                    yield [
                        Loop(buggy.run.__name__, {buggy.bug}, twin.run, None)
                        for twin in (buggy, loop)
                    ]


def of_one_module(twins):
    return all(len(finders.Modules(twin.run).modules) == 1 for twin in twins)


def shown(folder):
    """The loops of home_ground.py and their repaired twins, each in a file of its own."""
    header = inspect.getsource(home_ground).split("\n# ")[0]
    for name, function in vars(home_ground).items():
        if inspect.isfunction(function) and function.__doc__:
            bugs = set(function.__doc__.partition(":")[2].split())
            text = inspect.getsource(function)
            buggy = re.sub(r" *#:.*", "", text)
            repaired = re.sub(r"^( *)\S.*#: ?|#: ", r"\1", text, flags=re.M)
            yield [
                loop_in(folder / f"{name}_{twin}.py", f"{header}\n\n{body}", name, bugs)
                for twin, body in (("buggy", buggy), ("repaired", repaired))
            ]


def loop_in(file, text, name, bugs):
    file.write_text(text)
    space = {"__name__": file.stem}
    exec(compile(text, file, "exec"), space)
    return Loop(name, bugs, space[name], text)


# Counting ----------------------------------------------------------------------------------------

# The twins on which the words of a finding name the cause or the very place of the bug, as read.
POINTS = {
    "torchtest2": {
        "optimizer_coverage FAIL": "head_replaced_after_the_optimizer_was_built "
        "adapter_added_after_the_optimizer_was_built",
        "gradient_flow FAIL": "layer_defined_and_never_used graph_cut_by_data "
        "layer_whose_output_is_overwritten",
        "gradient_flow WARN": "dead_relus attention_over_one_score",
        "params_change WARN": "gradients_that_vanish_in_sigmoids",
        "batch_independence FAIL": "attention_along_the_batch gru_along_the_batch "
        "attention_over_the_batch",
        "input_dependency FAIL": "half_of_the_input_ignored mask_of_the_padding_ignored "
        "input_overwritten state_after_the_padding",
        "eval_determinism WARN": "dropout_that_stays_on",
        "gradient_magnitude FAIL": "root_of_zero",
        "overfit_batch FAIL": "rate_far_too_large rate_far_too_small root_of_a_variance_that_shrinks",
    },
    "guardtower": {
        "OPT-001": "head_replaced_after_the_optimizer_was_built "
        "adapter_added_after_the_optimizer_was_built",
        "GRAD-001": "layer_defined_and_never_used graph_cut_by_data "
        "layer_whose_output_is_overwritten",
        "INPUT-001": "mask_of_the_padding_ignored input_overwritten",
        "dead_relu": "dead_relus",
        "nonfinite": "root_of_zero",
        "grad_connectivity": "attention_over_one_score",
    },
    "torchdiag": {
        "None gradients:": "layer_defined_and_never_used graph_cut_by_data "
        "layer_whose_output_is_overwritten",
        "neurons dead": "dead_relus dead_filters",
        "gradient max — vanishing": "gradients_that_vanish_in_sigmoids",
        "No parameters changed — model is not learning": "adapter_added_after_the_optimizer_was_built",
    },
    "torch-audit": {
        "TA100": "root_of_zero root_of_a_variance_that_shrinks",
        "TA102": "rate_far_too_large",
        "TA105": "dead_relus",
        "TA301": "raw_pixels one_corrupt_batch",
        "TA302": "pixels_rounded_to_nothing",
        "TA303": "channels_last",
        "TA304": "batches_of_two_under_batchnorm",
        "TA405": "dead_filters",
        "TA500": "layer_defined_and_never_used",
        "TA501": "one_batchnorm_in_two_places",
    },
    "torchmortem": {
        "Gradient stalling": "layer_defined_and_never_used graph_cut_by_data "
        "gradients_that_vanish_in_sigmoids layer_whose_output_is_overwritten "
        "attention_over_one_score state_after_the_padding",
        "Dead units": "dead_relus",
        "Stagnant weight norms": "head_replaced_after_the_optimizer_was_built",
        "Activation saturation": "saturated_tanh last_layer_far_too_large",
        "Update ratio too low": "rate_far_too_small",
        "Exploding gradients detected": "rate_far_too_large",
    },
    "gradsnitch": {
        "GS001": "rate_far_too_large nan_in_the_inputs",
        "GS003": "one_corrupt_batch",
        "GS008": "rate_far_too_small",
        "GS010": "schedule_half_as_long_as_the_run",
    },
    "training-doctor": {
        "Learning rate may be too low": "rate_far_too_small schedule_half_as_long_as_the_run",
    },
    "traintools": {
        "inputs has non-finite values": "nan_in_the_inputs",
        "inputs is nearly constant": "pixels_rounded_to_nothing",
        "dominant class covers of the batch": "batches_of_one_class",
        "has non-finite gradients": "root_of_zero",
        "var has non-finite gradients": "root_of_a_variance_that_shrinks",
        "gradient appears vanished": "dead_relus",
        "global update/weight ratio is tiny": "schedule_half_as_long_as_the_run",
    },
    "torch-preflight": {
        "TG001": "losses_kept_with_their_graphs",
        "TG002": "evaluation_with_graph",
        "TG003": "zero_grad_forgotten",
        "TG005": "softmax_before_cross_entropy",
        "TG006": "sigmoid_before_bce_with_logits",
        "TG011": "stuck_in_evaluation_mode",
        "TG014": "accumulation_without_division",
    },
}


def kinds(finder, twin):
    finders.seed()
    with finders.silence():
        return {kind for kind, _ in finder.find(twin)}


def points_at(name, kind, twin):
    """Whether a finding of this kind names the bug of the twin."""
    if name == "`LoopDoctor`":
        return kind in twin.bugs
    return twin.name in POINTS.get(name, {}).get(kind, "").split()


def row(name, finder, pairs):
    named = beside = flagged = unusable = 0
    for buggy, repaired in pairs:
        try:
            found, anyway = kinds(finder, buggy), kinds(finder, repaired)
        except Exception:  # whatever a tool raises, its user has no finding
            unusable += 1
            continue
        only = found - anyway
        hit = any(points_at(name, kind, buggy) for kind in only)
        named, beside, flagged = (
            named + hit,
            beside + bool(only and not hit),
            flagged + bool(anyway),
        )
    cells = (f"{named} of {len(pairs)}", str(beside), str(flagged), str(unusable))
    return Row(name, cells=cells, ours=name == "`LoopDoctor`")


COLUMNS = ("bugs named", "something else said", "repaired twins flagged", "failed")


def table(title, pairs, left_out):
    rows = []
    for name, finder in finders.FINDERS.items():
        if name in left_out:
            continue
        try:
            rows.append(row(name, finder, pairs))
        except ImportError as error:
            left_out[name] = str(error)
    return Table(title, rows, COLUMNS, left_out=left_out)


def measure():
    with finders.silence():
        pairs = [twins for twins in reported() if of_one_module(twins)]
    yield table(
        f"{len(pairs)} bugs that people reported, retold",
        pairs,
        {"torch-preflight": "It reads programs, and these twins share their text."},
    )
    with tempfile.TemporaryDirectory() as folder:
        pairs = list(shown(Path(folder)))
        yield table(f"{len(pairs)} bugs from the pages of the other tools", pairs, {})
    needs = [Row(name, cells=(finder.needs,)) for name, finder in finders.FINDERS.items()]
    yield Table("What each asks of its user", needs, ("to add, and to hand over",))
