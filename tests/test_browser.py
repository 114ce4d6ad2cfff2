"""Simulations as a learner meets them: JupyterLab in a real headless Chromium."""

import re

import nbformat
from playwright.sync_api import expect

from tests import browser

pytestmark = browser.needs_chromium
_STATUS = "[role=status], [aria-live=off]"


def notebook_of(*lines):
    cells = [nbformat.v4.new_code_cell(line) for line in lines]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def test_simulations_play_pause_step_reset_and_follow_their_sliders(tmp_path):
    notebook = notebook_of(
        "from course_utils import widgets",
        "widgets.training_dashboard()",
        "widgets.gradient_explorer()",
        "widgets.optimizer_race(present=True)",
    )
    with browser.opened(notebook, tmp_path) as (page, errors):
        dashboard, gradients, race = (page.locator(".jp-CodeCell").nth(i) for i in (1, 2, 3))
        for cell in (dashboard, race):
            status = cell.locator(_STATUS).first
            shown = status.inner_text()
            cell.get_by_role("button", name="Play").click()
            expect(status).not_to_have_text(shown, timeout=20_000)
            cell.get_by_role("button", name="Pause").click()
            page.wait_for_timeout(1000)
            paused = status.inner_text()
            page.wait_for_timeout(500)
            assert status.inner_text() == paused
            cell.get_by_role("button", name="Step").click()
            expect(status).not_to_have_text(paused)
            cell.get_by_role("button", name="Reset").click()
            expect(status).to_contain_text(re.compile(r"step 0\b", re.IGNORECASE))

        status = gradients.locator(_STATUS).first
        picture = gradients.locator("img").first
        source = picture.get_attribute("src")
        handle = gradients.locator(".noUi-handle").first
        handle.focus()
        handle.press("ArrowRight")
        expect(status).to_contain_text("Gradient of w 13.8")
        expect(picture).not_to_have_attribute("src", source)
        assert picture.evaluate("img => img.complete && img.naturalWidth") > 500
        field = gradients.get_by_label("target")
        field.fill("7.3")
        field.press("Enter")
        expect(status).to_contain_text("loss 0. Gradient of w 0")
        assert page.locator("[role=alert]:not(:empty)").count() == 0
        assert not errors
