"""Simulations in classic Notebook with Colab's versions of ipywidgets and anywidget.

`make verified` runs it: it installs an environment of its own (tests/classic.txt).
"""

import re
import subprocess
import sysconfig
import venv

import nbformat
import pytest
from playwright.sync_api import expect

from tests import browser
from tests.lessons import ROOT

expect.set_options(timeout=60_000)
pytestmark = [browser.needs_chromium, pytest.mark.everywhere]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python with the pinned packages, and this one's behind them."""
    folder = tmp_path_factory.mktemp("classic")
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    install = [python, "-m", "pip", "install", "--quiet", "-r", ROOT / "tests" / "classic.txt"]
    subprocess.run(install, check=True)
    site = sysconfig.get_path("purelib", "venv", {"base": str(folder)})
    behind = f"{ROOT}\n{sysconfig.get_path('purelib')}\n"
    (folder.joinpath(site) / "zz_course.pth").write_text(behind)
    return python


def test_play_step_sliders_and_verdicts_work_in_classic_notebook(python, tmp_path):
    lines = [
        "from course_utils import widgets",
        "widgets.training_dashboard()",
        "widgets.run_gone_wrong()",
        "widgets.run_gone_wrong(seed=1)",
    ]
    cells = [nbformat.v4.new_code_cell(line) for line in lines]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "lesson.ipynb")
    command = [
        str(python),
        "-m",
        "notebook",
        f"--notebook-dir={tmp_path}",
        "--NotebookApp.token=test",
    ]
    with browser.lab(tmp_path, command) as address, browser.chromium_page() as (page, errors):
        page.goto(f"{address}/notebooks/lesson.ipynb?token=test")
        page.wait_for_function("window.Jupyter?.notebook?.kernel?.is_connected()", timeout=60_000)
        # As a learner would, one after the other: version 7 of ipywidgets loses what is shown while
        # it still asks the kernel for older widgets.
        page.evaluate("Jupyter.notebook.execute_cells([0])")
        page.wait_for_function(
            "Number(Jupyter.notebook.get_cell(0).input_prompt_number) > 0", timeout=120_000
        )
        page.wait_for_timeout(3000)
        page.evaluate("Jupyter.notebook.execute_cells([1, 2, 3])")
        dashboard, run, other = (page.locator(".code_cell").nth(i) for i in (1, 2, 3))
        said = dashboard.locator(".said")
        expect(other.locator(".said")).to_be_visible(timeout=120_000)
        expect(said).to_contain_text("step 100:")
        dashboard.get_by_role("button", name="Play").click()
        expect(said).not_to_contain_text("step 100:")
        dashboard.get_by_role("button", name="Pause").click()
        page.wait_for_timeout(1000)
        paused = said.inner_text()
        dashboard.get_by_role("button", name="Step").click()
        expect(said).not_to_have_text(paused)

        slider = run.get_by_label("look at step").first
        slider.focus()
        slider.press("ArrowRight")
        expect(run.locator(".said")).to_contain_text("Step 41:")
        run.get_by_label("the layer that grew").select_option("layer 1")
        expect(run.locator(".verdict")).to_contain_text(re.compile("✓ Right: layer 1"))
        # The front end doesn't name its cells, and still the second has not replaced the first.
        other.get_by_label("the layer that grew").select_option("layer 1")
        expect(other.locator(".verdict")).to_contain_text("✗ Not that one")
        assert not errors
