"""Show a lesson the package's own code, so that there is one copy of it."""

import inspect
import textwrap


def show_source(function):
    """The source of a function or class of `course_utils`, coloured where the notebook can.

    Raises TypeError for something without Python source, such as a number or a built-in.
    """
    from IPython.display import Markdown

    try:
        source = textwrap.dedent(inspect.getsource(function)).rstrip()
    except (TypeError, OSError) as error:
        raise TypeError(
            "show_source needs a function or class written in Python; got "
            f"{getattr(function, '__name__', f'a {type(function).__name__}')}."
        ) from error
    return Markdown(f"```python\n{source}\n```")
