"""Show a lesson the package's own code, so that there is one copy of it."""

import inspect
import textwrap


def show_source(function, first=None, last=None):
    """The source of a function, class or module of `course_utils`, coloured where the notebook can.

    `first` and `last` cut an excerpt: from the first line with the text `first` in it to the next
    line with `last`, or to the end.

    Raises TypeError for something without Python source, such as a number or a built-in, and
    ValueError if a line with such a text is not there.
    """
    from IPython.display import Markdown

    try:
        lines = inspect.getsource(function).rstrip().splitlines()
    except (TypeError, OSError) as error:
        raise TypeError(
            "show_source needs a function or class written in Python; got "
            f"{getattr(function, '__name__', f'a {type(function).__name__}')}."
        ) from error
    start = 0 if first is None else _line_with(first, lines, 0)
    end = len(lines) if last is None else _line_with(last, lines, start) + 1
    source = textwrap.dedent("\n".join(lines[start:end]))
    return Markdown(f"```python\n{source}\n```")


def _line_with(text, lines, start):
    for number in range(start, len(lines)):
        if text in lines[number]:
            return number
    raise ValueError(f"No line with {text!r} is there to show.")
