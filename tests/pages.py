"""A small lesson with everything that a lesson can hold, for the tests of pages and slides."""

from base64 import b64encode
from unittest.mock import patch

import matplotlib.pyplot as plt
import pandas as pd
from IPython.core.formatters import DisplayFormatter
from nbformat import v4

from course_utils import plotting, quiz, show_source, train_step, widgets

OPENING = """\
# 98 · A sample

**A promise with `code`, in one sentence.**

*5 minutes; 10 more for the deeper parts · builds on nothing*

When you are done you can

- read this page (exercise 1)
"""
SECTION = """\
## First section

Read [lesson 99](99_other.ipynb#second-section) for $p = 1 / (1 + e^{-z})$, or:

$$\\frac{\\partial\\,\\text{loss}}{\\partial w} = 2 \\, (y - \\text{target}) \\cdot x$$

| line | what it does |
|---|---|
| `loss.backward()` | adds to `.grad` |

> **Predict.** What comes out?
"""
EXERCISE = (
    "### Exercise 1 · Double it\n\n*easy · 5 minutes · practises times two*\n\nReturn it twice."
)
FOLDED = """\
<details><summary>Hint</summary>

Times two.

</details>

<details><summary>Solution</summary>

```python
def double(x):
    return 2 * x
```

</details>
"""
CODE = """\
@torch.no_grad()  # a comment
class Example(nn.Module):
    \"\"\"What it is.\"\"\"

    def run(self, x=1, rate=3e-4):
        return None if x in (1, 2.5) else f"{x:.2f} done\\n"
"""


def code(source, *shown, tags=()):
    """A code cell that has run: text is printed, any other object is its result."""
    outputs = []
    for thing in shown:
        if isinstance(thing, str):
            outputs.append(v4.new_output("stream", text=thing))
        else:
            data, _ = DisplayFormatter().format(thing)
            outputs.append(v4.new_output("execute_result", data=_encoded(data)))
    return v4.new_code_cell(source, outputs=outputs, metadata={"tags": list(tags)})


def _encoded(data):
    """Pictures as text, as they stand in a notebook."""
    return {
        kind: b64encode(value).decode() if isinstance(value, bytes) else value
        for kind, value in data.items()
    }


def sample():
    _, ax = plt.subplots()
    ax.plot([0, 1], [1, 0], plotting.BLUE)
    with patch.object(plotting, "FORMATS", ["png", "svg"]):  # as executed.py has it
        figure = plotting.show(ax, "05.moons")
    table = pd.DataFrame({f"a rather long name {i}": [1.5, 2.5] for i in range(9)})
    return v4.new_notebook(
        cells=[
            v4.new_markdown_cell(OPENING),
            code("import course_utils", "course_utils 1\n", tags=["setup"]),
            v4.new_markdown_cell(SECTION),
            code(CODE, "a line that is too long for a phone: " + "0123456789" * 8),
            code("plotting.show(ax)", figure),
            code("table", table),
            code("show_source(train_step)", show_source(train_step)),
            v4.new_markdown_cell(EXERCISE),
            code("def double(x):\n    return ...", tags=["exercise"]),
            code("check.sample.double(double)", "○ Not attempted yet."),
            v4.new_markdown_cell(FOLDED),
            v4.new_markdown_cell("### Try it · Gradient explorer\n\nMove the sliders."),
            code("widgets.gradient_explorer()", widgets.gradient_explorer()),
            v4.new_markdown_cell("## Quiz"),
            code('quiz("05_full_loop")', quiz("05_full_loop")),
            v4.new_markdown_cell("## Recap\n\n- All is said.\n\n**Next: 99 · Another.**"),
        ]
    )


def other():
    """A second lesson, which `sample` links to."""
    opening = OPENING.replace("98 · A sample", "99 · Another")
    return v4.new_notebook(
        cells=[v4.new_markdown_cell(opening), v4.new_markdown_cell("## Second section\n\nText.")]
    )
