"""Simulations as a learner meets them: JupyterLab in a real headless Chromium."""

import re
import sys

import nbformat
from playwright.sync_api import expect

from tests import browser, lessons

pytestmark = browser.needs_chromium


def notebook_of(*lines):
    cells = [nbformat.v4.new_code_cell(line) for line in lines]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def test_simulations_play_pause_step_restart_and_follow_their_sliders(tmp_path):
    notebook = notebook_of(
        "from course_utils import widgets",
        "widgets.training_dashboard()",
        "widgets.gradient_explorer()",
        "widgets.optimizer_race(present=True)",
    )
    with browser.opened(notebook, tmp_path) as (page, errors):
        dashboard, gradients, race = (page.locator(".jp-CodeCell").nth(i) for i in (1, 2, 3))
        for cell in (dashboard, race):
            said = cell.locator(".said")
            shown = said.inner_text()
            cell.get_by_role("button", name="Play").click()
            expect(said).not_to_have_text(shown, timeout=20_000)
            cell.get_by_role("button", name="Pause").click()
            page.wait_for_timeout(1000)
            paused = said.inner_text()
            page.wait_for_timeout(500)
            assert said.inner_text() == paused
            cell.get_by_role("button", name="Step").click()
            expect(said).not_to_have_text(paused)
            cell.get_by_role("button", name="Restart").click()
            expect(said).to_contain_text(re.compile(r"step 0\b", re.IGNORECASE))

        said = gradients.locator(".said")
        slider = gradients.get_by_label("weight w").first
        slider.focus()
        slider.press("ArrowRight")
        expect(said).to_contain_text("Gradient of w 13.8")
        field = gradients.get_by_label("target").last
        field.fill("7.3")
        field.press("Enter")
        expect(said).to_contain_text("loss 0. Gradient of w 0")
        assert page.locator("[role=alert]:not(:empty)").count() == 0

        # On a small projector the picture and what steers it are seen together.
        page.set_viewport_size({"width": 1280, "height": 720})
        race.locator(".jp-Cell-outputWrapper").evaluate("cell => cell.scrollIntoView()")
        expect(race.locator(".panels")).to_be_in_viewport(ratio=1)
        expect(race.locator(".controls")).to_be_in_viewport(ratio=1)
        assert not errors


def test_a_lesson_runs_in_jupyterlab_from_top_to_bottom(tmp_path):
    notebook = lessons.read("03_backward")
    with browser.opened(notebook, tmp_path) as (page, errors):
        outputs = page.locator(".jp-OutputArea-output")
        problems = page.locator(
            "[data-mime-type='application/vnd.jupyter.error'], "
            "[data-mime-type='application/vnd.jupyter.stderr'], [role=alert]:not(:empty)"
        )
        assert problems.all_inner_texts() == []
        unsolved = outputs.filter(has_text="Not attempted yet.")
        assert unsolved.count() == len(lessons.exercises(notebook))
        pictures = page.locator(".jp-OutputArea-output img")
        assert pictures.count() > 0
        assert pictures.evaluate_all("all => all.every(img => img.complete && img.naturalWidth)")
        for theme in ("Light", "Dark"):
            change = (
                "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
            )
            page.evaluate(change, f"JupyterLab {theme}")
            page.wait_for_selector(f"[data-jp-theme-name='JupyterLab {theme}']", state="attached")
            assert not browser.serious(page, ".jp-OutputArea-output")
        assert not errors


def make_lab(work):
    """The command behind `make lab`, with another folder for the learner's work."""
    serve = "import pathlib, sys; from tools.lab import serve; "
    serve += "serve(pathlib.Path(sys.argv[1]), sys.argv[2:])"
    return [sys.executable, "-c", serve, str(work)]


def test_a_notebook_opened_again_shows_the_last_picture_and_says_how_to_go_on(tmp_path):
    notebook = notebook_of("from course_utils import widgets", "widgets.gradient_explorer()")
    with browser.opened(notebook, tmp_path, command=make_lab(tmp_path)) as (page, errors):
        said = page.locator(".said")
        page.get_by_label("target").last.fill("7.3")
        page.get_by_label("target").last.press("Enter")
        expect(said).to_contain_text("target 7.3")
        page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
        page.reload()
        expect(said).to_contain_text("target 7.3", timeout=60_000)
        page.get_by_label("weight w").last.fill("1")
        page.get_by_label("weight w").last.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("run this cell again", timeout=20_000)
        assert not errors


def test_make_lab_opens_on_a_start_page_that_shows_by_itself_what_is_solved(tmp_path):
    work = tmp_path / "my_work"
    with (
        browser.lab(tmp_path, make_lab(work)) as address,
        browser.chromium_page() as (page, errors),
    ):
        page.goto(f"{address}/start?token=test")
        lesson = page.get_by_role("listitem").filter(has_text="The full loop")
        expect(lesson).to_contain_text(re.compile(r"0 of \d exercises"), timeout=60_000)
        expect(page.get_by_role("link", name="Begin with 00")).to_be_visible()

        (work / ".course" / "passed" / "full_loop.one_step").touch()
        expect(lesson).to_contain_text(re.compile(r"1 of \d exercises"), timeout=20_000)
        expect(page.get_by_role("link", name="Continue with 00")).to_be_visible()

        with page.expect_popup() as opened:
            lesson.get_by_role("link").click()
        expect(opened.value).to_have_title(re.compile("05_full_loop"), timeout=60_000)
        assert not errors
