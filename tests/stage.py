"""Simulations in a bare page of a real Chromium: view.js as it is, and Python behind it.

What Jupyter does between the two is done here by a fake model, so that a test needs no JupyterLab.
"""

from base64 import b64encode
from contextlib import contextmanager
from pathlib import Path

from course_utils.widgets import base
from course_utils.widgets.scene import changes
from course_utils.widgets.view import packed
from tests.browser import chromium

VIEW = Path(base.__file__).with_name("view.js").read_text(encoding="utf-8")
# What a front end gives to an anywidget; `asked` counts what it has asked for.
_MODEL = """async ({ source, names }) => {
    const view = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })))
    const bytes = text => new DataView(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer)
    window.view = view
    window.asked = []
    window.models = {}
    for (const [name, [items, parts]] of Object.entries(names)) {
        const scene = {}
        view.apply(scene, items, parts.map(bytes))
        let heard = () => {}
        const model = {
            get: () => scene,
            on: (_, listener) => { heard = listener },
            send: async question => {
                window.asked.push(question.do)
                const [message, parts] = await window.answer(name, question)
                heard(message, parts.map(bytes))
            },
        }
        const el = document.body.appendChild(document.createElement("section"))
        el.id = name
        view.default.initialize({ model })
        window.models[name] = { el, close: view.default.render({ model, el }) }
    }
}"""


def as_text(news):
    items, parts = packed(news)
    return [items, [b64encode(part).decode() for part in parts]]


@contextmanager
def staged(*simulations, width=1280, height=900, dark=False):
    """(a page that shows the simulations, each in the element with its name as id; its errors)"""
    by_name = {simulation.name: simulation for simulation in simulations}

    def answer(name, question):
        simulation = by_name[name]
        refused = simulation.do(question["do"], **question.get("with", {}))
        items, parts = as_text(simulation.news())
        return [{"re": question["id"], "refused": refused, "changes": items}, parts]

    with chromium() as started:
        page = started.new_page(viewport={"width": width, "height": height})
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.set_content(
            f"<!doctype html><html lang=en><title>Simulations</title><body style='background: "
            f"{'#111; color: #eee' if dark else 'white; color: black'}'><main></main>"
        )
        page.expose_function("answer", answer)
        names = {name: as_text(changes(None, s.tree())) for name, s in by_name.items()}
        page.evaluate(_MODEL, {"source": VIEW, "names": names})
        yield page, errors
        page.close()
