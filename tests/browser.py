"""A real headless Chromium, and JupyterLab in it, for tests that look at lessons as a learner does."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"),
    reason="no chromium found; install it to run the browser tests",
)
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
_JUPYTER_FOLDERS = (
    "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR",
    "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR",
)  # fmt: skip
_ALL_EXECUTED = """() => {
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')];
    return prompts.length > 0 && prompts.every(p => /\\[\\d+\\]/.test(p.textContent));
}"""


@contextmanager
def lab(folder, command=None):
    """The address of a JupyterLab that serves `folder` and shares nothing with the user's own.

    `command` starts it; arguments for JupyterLab are added.
    """
    if command is None:
        command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    home = Path(folder) / ".jupyter-home"
    environment = os.environ | {name: str(home / name) for name in _JUPYTER_FOLDERS}
    # Every cell in the page at once, or those out of sight would not be there to look at.
    settings = home / "JUPYTERLAB_SETTINGS_DIR/@jupyterlab/notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    news = home / "JUPYTERLAB_SETTINGS_DIR/@jupyterlab/apputils-extension"
    news.mkdir(parents=True)
    (news / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    log = open(home / "log", "w+")  # noqa: SIM115
    server = subprocess.Popen(
        [
            *command, "--no-browser", "--allow-root", f"--port={_free_port()}",
            "--IdentityProvider.token=test", "--LabApp.expose_app_in_browser=True",
        ],
        env=environment, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        yield _address(server, home / "log")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
        log.close()


def _free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _address(server, log, seconds=180):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", log.read_text())
        if found:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{found.group(1)}/api?token=test")
                return f"http://127.0.0.1:{found.group(1)}"
            except urllib.error.URLError:
                pass
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


_started = []


@contextmanager
def chromium():
    """A running Chromium; inside another one's `with` the same, since Playwright can't start twice."""
    if _started:
        yield _started[0]
        return
    with sync_playwright() as playwright:
        _started.append(playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS))
        try:
            yield _started[0]
        finally:
            _started.pop().close()


@contextmanager
def chromium_page(width=1280, height=900):
    """(a page of a headless Chromium, the list of its errors)."""
    with chromium() as started:
        page = started.new_page(viewport={"width": width, "height": height})
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page, errors
        page.close()


@contextmanager
def opened(notebook, folder, width=1280, height=900, command=None):
    """(the page, errors of its console) with the notebook open and every cell executed.

    `command` as in `lab`; it serves `folder`.
    """
    nbformat.write(notebook, Path(folder) / "lesson.ipynb")
    with lab(folder, command) as address, chromium_page(width, height) as (page, errors):
        page.goto(f"{address}/doc/tree/lesson.ipynb?reset&token=test")
        page.wait_for_function(
            "n => window.jupyterapp && document.querySelectorAll('.jp-Cell').length >= n",
            arg=len(notebook.cells),
            timeout=60_000,
        )
        page.wait_for_function(
            "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status == 'idle'",
            timeout=60_000,
        )
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_function(_ALL_EXECUTED, timeout=240_000)
        yield page, errors


def serious(page, within=None, **options):
    """(rule, HTML) of all that axe finds on the page, unfolded, and thinks serious; `within`: only
    in the parts that this selector finds."""
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.wait_for_timeout(100)  # until the page has noticed
    context = {"include": [[within]]} if within else None
    found = Axe().run(page, context, {"resultTypes": ["violations"], **options})
    return [
        (violation["id"], node["html"])
        for violation in found.response["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
