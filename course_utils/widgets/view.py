"""A simulation in the browser: one anywidget, which draws scenes and holds the controls."""

from importlib import metadata
from pathlib import Path

import traitlets
from IPython import get_ipython

_OLDEST = "0.9.21"  # Colab's; what is older was not tried
_INSTALL = (
    "This picture stands still: to operate the simulation, run <code>%pip install --upgrade "
    "anywidget</code> in a cell, restart the kernel, reload the page and run this cell again."
)


def _numbers(version):
    return [int(part) for part in version.split(".")[:3] if part.isdigit()]


try:
    import anywidget
except ImportError as error:
    raise ImportError(_INSTALL) from error
if _numbers(metadata.version("anywidget")) < _numbers(_OLDEST):
    raise ImportError(_INSTALL)


def this_cell():
    """Something that tells the running cell from the others, or None where it can't be known."""
    kernel = getattr(get_ipython(), "kernel", None)
    given = kernel.get_parent().get("metadata", {}) if kernel is not None else {}
    return given.get("cellId") or given.get("colab", {}).get("cell_id")


class View(anywidget.AnyWidget):
    """Answers what view.js asks, with what has changed.

    The trait is written by nobody: it is made anew whenever the whole state is asked for, that is
    when a page opens. All the rest goes by messages, which are quicker, and the same in ipywidgets
    7 and 8.
    """

    # As text: given a path, anywidget watches the file and never lets go of its instances.
    _esm = Path(__file__).with_name("view.js").read_text(encoding="utf-8")
    scene = traitlets.Any().tag(sync=True, to_json=lambda _, view: view.simulation.tree())

    def __init__(self, simulation):
        self.simulation = simulation
        super().__init__()
        self.on_msg(self._on_message)

    def _on_message(self, _, content, buffers):
        refused = self.simulation.do(content["do"], **content.get("with", {}))
        self.tell(content["id"], refused)

    def tell(self, answer_to=None, refused=""):
        content, buffers = packed(self.simulation.news())
        self.send({"re": answer_to, "refused": refused, "changes": content}, buffers)

    def close(self):
        self.layout.close()
        super().close()


def packed(news):
    """(what fits into JSON, the bytes): an item without a value has the next of the buffers."""
    news = list(news)
    parts = [value for _, _, value in news if isinstance(value, bytes)]
    return [[path, op] + [value] * (type(value) is not bytes) for path, op, value in news], parts
