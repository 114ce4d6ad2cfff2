"""The web pages that `make site` makes: complete, quiet, and open to everybody."""

import re
from itertools import pairwise

import nbformat
import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import expect

from tests import browser, lessons, pages
from tools import executed, rendering, site, stamp


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A site of the lessons as they are stored, and of the sample, which has outputs."""
    notebooks = {lesson: lessons.read(lesson) for lesson in lessons.LESSONS}
    notebooks |= {"98_sample": pages.sample(), "99_other": pages.other()}
    folder = tmp_path_factory.mktemp("site")
    site.build(notebooks, folder)
    return folder


@pytest.fixture(scope="module")
def soups(folder):
    return {
        path.name: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in sorted(folder.glob("*.html"))
    }


# What a page holds


def test_code_formulas_tables_and_folded_answers_are_in_the_page(soups):
    text = soups["98_sample.html"].select_one("main")
    assert [code.get_text() for code in text.select(".highlight")][1] == pages.CODE
    assert {formula["display"] for formula in text.select("math")} == {"inline", "block"}
    assert [head.get_text() for head in text.select("th[scope=col]")][:2] == [
        "line",
        "what it does",
    ]
    folded = {details.summary.get_text(): details.get_text() for details in text.select("details")}
    assert "return 2 * x" in folded["Solution"] and "Right." in folded["Answers"]
    assert "course_utils 1" in folded["Setup"]
    assert "def train_step(" in text.get_text()


def test_an_exercise_says_what_it_is_on_a_page_and_its_check_is_left_to_jupyter(soups):
    text = soups["98_sample.html"].select_one("main")
    exercise = text.select_one(".exercise")
    assert "return ..." in exercise.get_text() and "In Jupyter a check" in exercise.get_text()
    assert "Not attempted yet" not in text.get_text() and "check.sample" not in text.get_text()


def test_a_simulation_shows_its_first_picture_and_has_its_recording_beside_the_page(soups, folder):
    figure = soups["98_sample.html"].select_one("main figure")
    assert figure.img["alt"].startswith("Prediction 7, target 5")
    assert "Jupyter" in figure.figcaption.get_text()
    assert (folder / "recordings" / f"{figure['data-recording']}.js").stat().st_size < 600_000


def test_no_formula_is_left_as_tex(folder):
    formulas = 0
    for path in folder.glob("*.html"):
        html = path.read_text(encoding="utf-8")
        text = re.sub(r"<(pre|code|script)\b.*?</\1>", "", html, flags=re.DOTALL)
        assert not re.search(r"\$[^$\n]+\$|\\frac", text), path.name
        formulas += text.count("<math ")
    assert formulas > 50


def test_a_function_in_a_formula_stands_apart_and_a_sign_is_no_subtraction():
    formula = rendering.mathml(r"L = -y \log p", "inline")
    assert '<mo form="prefix">&#x02212;</mo>' in formula
    assert re.search(r"<mi>y</mi><mspace[^>]*><mi>log</mi><mspace[^>]*><mi>p</mi>", formula)


def test_links_and_pictures_lead_somewhere(soups, folder):
    address = stamp.repository(stamp.ROOT)
    for name, soup in soups.items():
        # The icon, which is none; and of a published course the repository, and the lesson in Colab.
        outside = {
            "data:,",
            address,
            address and stamp.colab_link(address, name.removesuffix(".html")),
        }
        for tag in soup.select("[href], [src]"):
            target = tag.get("href") or tag.get("src")
            if target in outside:
                continue
            file, _, place = target.partition("#")
            assert (folder / file).is_file() if file else place, f"{target} in {name}"
            if place:
                assert soups[file or name].find(id=place), f"{target} in {name}"
    assert soups["98_sample.html"].select_one('main a[href="99_other.html#second-section"]')


def test_pages_lead_to_the_lesson_before_and_the_next_and_the_front_page_to_all(soups):
    names = [name for name in soups if name != "index.html"]
    for before, after in pairwise(names):
        assert soups[before].select_one("a[rel=next]")["href"] == after
        assert soups[after].select_one("a[rel=prev]")["href"] == before
    front = soups["index.html"]
    assert [link["href"] for link in front.select(".lessons a")] == names
    assert len(front.select(".loop a")) == 7
    assert "5 minutes; 10 more for the deeper parts" in front.select(".lessons li")[-1].get_text()


def test_headings_nest_and_pictures_and_columns_are_named(soups):
    for name, soup in soups.items():
        levels = [int(heading.name[1]) for heading in soup.select("h1, h2, h3, h4, h5, h6")]
        assert levels.count(1) == 1 and levels[0] == 1, name
        assert all(b <= a + 1 for a, b in pairwise(levels)), name
        assert all(len(image.get("alt", "")) > 20 for image in soup.select("img")), name
        assert all(table.select("th[scope=col]") for table in soup.select("table")), name
    assert len(soups["98_sample.html"].select("img")) == 1
    assert len(soups["98_sample.html"].select_one(".picture > svg")["aria-label"]) > 20


# How a page behaves


@browser.needs_chromium
def test_pages_ask_nothing_of_the_network_and_never_scroll_sideways(folder):
    with browser.chromium() as chromium:
        page = chromium.new_page()
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        for name in ("index", "98_sample", "01_forward", "03_backward"):
            page.goto((folder / f"{name}.html").as_uri())
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            for width in (390, 1280, 1920):
                page.set_viewport_size({"width": width, "height": 900})
                too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                assert too_wide <= 0, f"{name} at {width}"
    assert len(asked) > 8 and all(url.startswith(("file:", "data:")) for url in asked)
    assert not errors


@browser.needs_chromium
def test_a_simulation_plays_its_experiments_on_a_page(folder):
    with browser.chromium() as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((folder / "98_sample.html").as_uri())
        figure = page.locator("figure.simulation")
        figure.scroll_into_view_if_needed()
        said = figure.locator(".said")
        expect(said).to_contain_text("loss")
        before = said.inner_text()
        figure.get_by_role("button", name="2").click()
        expect(said).not_to_have_text(before)
        expect(figure.locator("img")).to_have_count(0)
        assert not errors


@browser.needs_chromium
def test_search_finds_sections_of_all_lessons_and_the_theme_can_be_switched(folder):
    with browser.chromium() as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.goto((folder / "index.html").as_uri())
        page.keyboard.press("/")
        page.keyboard.type("first section sigmoid nowhere")
        expect(page.get_by_text("Nothing found.")).to_be_visible()
        page.get_by_role("searchbox").fill("first SECTION")
        hit = page.get_by_role("link", name="First section")
        expect(hit).to_contain_text("98 · A sample")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_url("**/98_sample.html#first-section")

        ground = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(ground)
        page.get_by_role("button", name="Dark").click()
        assert page.evaluate(ground) != light
        page.get_by_role("button", name="Light").click()
        assert page.evaluate(ground) == light


@browser.needs_chromium
def test_the_list_of_lessons_is_beside_the_text_or_in_a_drawer_and_shows_where_one_is(folder):
    with browser.chromium() as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.goto((folder / "98_sample.html").as_uri())
        contents = page.get_by_role("navigation", name="Lessons and sections")
        expect(contents.get_by_role("link", name="05 · The full loop")).to_be_visible()
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(contents.locator("[aria-current=true]")).to_have_text("Recap")

        page.set_viewport_size({"width": 390, "height": 800})
        expect(contents.get_by_role("link", name="05 · The full loop")).to_be_hidden()
        contents.get_by_text("Lessons and sections").click()
        contents.get_by_role("link", name="First section").click()
        expect(contents.get_by_role("link", name="First section")).to_be_hidden()


@browser.needs_chromium
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_serious(folder, scheme, width):
    with browser.chromium() as chromium:
        page = chromium.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
        for name in ("index", "98_sample"):
            page.goto((folder / f"{name}.html").as_uri())
            assert not browser.serious(page)


@browser.needs_chromium
def test_axe_finds_nothing_serious_in_a_lesson_as_it_ran(tmp_path):
    notebook = executed.execute(lessons.read("03_backward"), "03_backward")
    site.build({"03_backward": notebook}, tmp_path)
    with browser.chromium() as chromium:
        page = chromium.new_page(viewport={"width": 390, "height": 900})
        # Contrast takes long on a whole lesson; the sample has every colour that a lesson has.
        rules = {"color-contrast": {"enabled": False}}
        page.goto((tmp_path / "03_backward.html").as_uri())
        assert not browser.serious(page, rules=rules)
        assert page.locator("main .picture > svg").count() == 4  # all its figures


@browser.needs_chromium
def test_axe_would_find_grey_on_white_and_a_picture_without_words(tmp_path):
    path = tmp_path / "page.html"
    path.write_text('<p style="color: #bbb">pale</p><img src="data:,">')
    with browser.chromium() as chromium:
        page = chromium.new_page()
        page.goto(path.as_uri())
        found = browser.serious(page)
    assert {"color-contrast", "image-alt", "html-has-lang"} <= {rule for rule, _ in found}


# Execution


def test_a_lesson_is_executed_again_only_when_it_or_the_package_has_changed(tmp_path, monkeypatch):
    runs = []
    monkeypatch.setattr(executed, "ROOT", tmp_path)
    monkeypatch.setattr(executed, "execute", lambda notebook, name: runs.append(name) or notebook)
    for folder in ("notebooks", "course_utils", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "constraints.txt").touch()
    nbformat.write(pages.other(), tmp_path / "notebooks" / "99_other.ipynb")

    assert list(executed.lessons()) == ["99_other"] and runs == ["99_other"]
    executed.lessons()
    assert len(runs) == 1
    assert list(executed.lessons(["99_other"])) == ["99_other"] and len(runs) == 1
    with pytest.raises(SystemExit, match="no lesson '98_sample'; there are 99_other"):
        executed.lessons(["98_sample"])
    (tmp_path / "course_utils" / "training.py").write_text("changed")
    executed.lessons()
    assert len(runs) == 2 and len(list((tmp_path / ".executed").iterdir())) == 1


def test_a_cell_that_fails_ends_the_program_with_its_error():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    with pytest.raises(SystemExit, match=r"99_other did not run[\s\S]*ZeroDivisionError"):
        executed.execute(notebook, "99_other")
