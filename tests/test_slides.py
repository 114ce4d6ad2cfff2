"""The decks that `make slides` makes."""

import json
from base64 import b64encode
from contextlib import contextmanager
from io import BytesIO

import matplotlib.pyplot as plt
import pytest
from bs4 import BeautifulSoup
from nbformat import v4
from playwright.sync_api import expect

from course_utils import widgets
from course_utils.widgets.scene import changes
from tests import browser, pages
from tests.stage import as_text
from tools import rendering, slides


@pytest.fixture(scope="module")
def deck():
    return slides.deck(pages.sample())


def _text(html):
    return BeautifulSoup(html, "html.parser").get_text()


def test_a_section_begins_at_each_heading_and_goes_downwards(deck):
    assert [section["title"] for section in deck] == [
        "98 · A sample", "First section", "Quiz", "Recap",
    ]  # fmt: skip
    first = [_text(slide) for slide in deck[1]["slides"]]
    assert first[0].startswith("First section") and "Exercise 1" in first[-3]


def test_setup_checks_hints_and_solutions_are_left_out_and_the_stub_stays(deck):
    text = "".join(_text(slide) for section in deck for slide in section["slides"])
    assert "return ..." in text
    for absent in ("course_utils 1", "Not attempted", "Times two", "2 * x", "check.sample"):
        assert absent not in text


def test_predictions_output_and_answers_come_with_the_next_key(deck):
    shown_later = [
        _text(str(fragment))
        for section in deck
        for slide in section["slides"]
        for fragment in BeautifulSoup(slide, "html.parser").select(".fragment")
    ]
    assert "What comes out?" in shown_later[0]
    assert "too long for a phone" in shown_later[1]
    answers = [text for text in shown_later if "Right." in text]
    assert len(answers) == len(deck[2]["slides"]) - 1 and answers[0].strip()[:2] in (
        "A.",
        "B.",
        "C.",
        "D.",
    )


def test_an_output_that_no_slide_could_show_is_left_to_the_notebook():
    cell = v4.new_code_cell("train", outputs=[v4.new_output("stream", text="line\n" * 60)])
    (section,) = slides.deck(v4.new_notebook(cells=[_begin(), cell]))
    text = "".join(map(_text, section["slides"]))
    assert "look at it in the notebook" in text and "line" not in text


def test_no_slide_has_many_words_and_no_text_is_lost():
    sentence = "A sentence of exactly ten words is what stands here. "
    items = "".join(f"- item {i}, {sentence}\n" for i in range(9))
    source = f"## Section\n\n{sentence * 9}\n\n{sentence * 3}\n\n{items}"
    (section,) = slides.deck(v4.new_notebook(cells=[v4.new_markdown_cell(source)]))
    words = [len(_text(slide).split()) for slide in section["slides"]]
    assert max(words) <= 70 and len(words) <= 6
    assert sum(words) == 1 + 120 + 9 * 12


def test_a_few_words_more_are_no_slide_of_their_own():
    sentence = "A sentence of exactly ten words is what stands here. "
    (section,) = slides.deck(
        v4.new_notebook(cells=[v4.new_markdown_cell("## S\n\n" + sentence * 6)])
    )
    assert len(section["slides"]) == 1


def test_what_ends_in_a_colon_stays_with_what_it_announces():
    table = "| a | b |\n|---|---|\n" + "| one | two |\n" * 14
    for announced in (table, "- item\n" * 9):
        source = f"## Section\n\n{'word ' * 50}.\n\nHere they are, in a row:\n\n{announced}"
        (section,) = slides.deck(v4.new_notebook(cells=[v4.new_markdown_cell(source)]))
        (slide,) = (_text(slide) for slide in section["slides"] if "Here they are" in slide)
        assert announced.split()[1] in slide and "word" not in slide


def test_a_prediction_stands_below_its_question_if_both_fit():
    def kinds(words):
        cell = v4.new_markdown_cell(
            "## Section\n\n" + "word " * words + "\n\n> **Predict.** Which?"
        )
        return [kind for kind, *_ in slides.pieces(v4.new_notebook(cells=[cell]))]

    assert kinds(58) == ["slide", "fragment"]
    assert kinds(90) == ["slide", "subslide"]


def test_what_is_read_aloud_stands_below_what_was_printed():
    def shown(code_lines, reading):
        printed = [v4.new_output("stream", text="loss 0.5\n" * 5)]
        code = v4.new_code_cell("\n".join(["run()"] * code_lines), outputs=printed)
        cells = [_begin(), code, v4.new_markdown_cell(reading)]
        (section,) = slides.deck(v4.new_notebook(cells=cells))
        return section["slides"][1:]

    (together,) = shown(3, "It is a half.")
    assert together.count("loss 0.5") == 5 and "half" in together.split("fragment")[-1]
    code, again = shown(15, "It is a half.")
    for slide in code, again:
        assert slide.count("loss 0.5") == 5
    assert "run()" not in again and "half" in again
    *_, alone = shown(3, "- an item\n\n" * 15)
    assert "loss" not in alone
    code, question = shown(3, "It is a half.\n\n> **Predict.** Always?")
    assert "half" not in code and "Always?" in question


def test_long_code_is_cut_at_blank_lines_and_every_line_of_it_is_shown():
    blocks = ["def a():\n" + "    run()\n" * 14, "def b():\n" + "    run()\n" * 9, "a()\nb()"]
    cell = v4.new_code_cell("\n\n".join(blocks), outputs=[v4.new_output("stream", text="done\n")])
    (section,) = slides.deck(v4.new_notebook(cells=[_begin(), cell]))
    first, second = map(_text, section["slides"][1:])
    assert first.strip() == blocks[0].strip()
    assert second.split() == (blocks[1] + blocks[2] + "\ndone").split()


def test_what_a_lesson_was_verified_with_is_not_shown():
    opening = "# 98 · A sample\n\n**A promise.**\n\n*5 minutes*\n\n*Last verified with torch 2 on 1 May 2026*"
    (title,) = slides.deck(v4.new_notebook(cells=[v4.new_markdown_cell(opening)]))
    assert "verified" not in title["slides"][0] and "5 minutes" in title["slides"][0]


def test_a_figure_stands_alone_or_below_little_text_and_only_short_code_before_it():
    def shown(code, printed=0):
        image = v4.new_output(
            "display_data", data={"text/html": "<img src='data:,' alt='a'>", "text/plain": ""}
        )
        text = v4.new_output("stream", text="line\n" * printed)
        cell = v4.new_code_cell(code, outputs=[text, image] if printed else [image])
        (section,) = slides.deck(v4.new_notebook(cells=[_begin(), cell]))
        return section["slides"][1:]

    code, figure = shown("work()\n" * 3 + "plot()")
    assert "plot" in code and "<img" not in code and "<img" in figure
    for source in ("plot()", "plot()\n" * 15):  # says nothing but how to draw; too long
        (figure,) = shown(source)
        assert "plot" not in figure and "<img" in figure
    (figure,) = shown("plot()", printed=3)
    assert "line" in figure and "<img" in figure
    text, figure = shown("plot()", printed=4)
    assert "line" in text and "line" not in figure and "<img" in figure
    code, figure = shown("work()\n" * 3 + "plot()", printed=4)
    assert code.index("plot") < code.index('class="fragment"') < code.index("line")
    assert "line" not in figure and "<img" in figure


def test_what_a_simulation_asks_itself_is_not_asked_again():
    cells = [
        _begin(),
        v4.new_markdown_cell("**What to try**, each time from the defaults:\n\n1. A"),
    ]
    (section,) = slides.deck(v4.new_notebook(cells=cells))
    assert len(section["slides"]) == 1


def test_a_progress_bar_which_would_stand_at_zero_is_not_shown():
    data = {rendering.SIMULATION: {}, "text/plain": "training:   0%|"}
    shown = [v4.new_output("display_data", data=data), v4.new_output("stream", text="done\n")]
    (section,) = slides.deck(
        v4.new_notebook(cells=[_begin(), v4.new_code_cell("t()", outputs=shown)])
    )
    text = _text(section["slides"][1])
    assert "done" in text and "training" not in text


def _begin():
    return v4.new_markdown_cell("## Section")


def test_deeper_parts_stand_at_the_end_of_their_section():
    def cell(source, *tags):
        return v4.new_markdown_cell(source, metadata={"tags": list(tags)})

    notebook = v4.new_notebook(
        cells=[
            cell("## One\n\ncore"),
            cell("### A · *deeper*\n\nwaits\n\n> **Predict.** What?", "deeper"),
            cell("### B\n\nmore core"),
            cell("## Two · *deeper*\n\nwaits\n\n> **Predict.** Why?", "deeper"),
        ]
    )
    one, two = slides.deck(notebook)
    assert [_text(slide).split()[0] for slide in one["slides"]] == ["One", "B", "A"]
    assert len(two["slides"]) == 1 and 'class="fragment"' in two["slides"][0]


def test_metadata_of_a_cell_goes_before_the_rule():
    def cell(source, kind=None):
        metadata = {"slideshow": {"slide_type": kind}} if kind else {}
        return v4.new_markdown_cell(source, metadata=metadata)

    notebook = v4.new_notebook(
        cells=[
            cell("# Title"),
            cell("not shown", "skip"),
            cell("more of the title", "-"),
            cell("a section without a heading", "slide"),
            cell("for the speaker", "notes"),
            cell("later", "fragment"),
        ]
    )
    title, section = slides.deck(notebook)
    assert [_text(slide).split() for slide in title["slides"]] == [
        ["Title", "more", "of", "the", "title"]
    ]
    (slide,) = section["slides"]
    assert "not shown" not in slide
    assert 'class="notes"' in slide and '<div class="fragment"><p>later' in slide


@contextmanager
def presented(notebook, folder, **options):
    """In a `with` block: a page of Chromium that shows the notebook's slides."""
    slides.write(notebook, folder / "98_sample.html")
    with browser.chromium() as chromium:
        page = chromium.new_page(**options)
        page.goto((folder / "98_sample.html").as_uri())
        page.wait_for_function("Reveal.isReady()")
        yield page


@browser.needs_chromium
def test_a_deck_is_one_quiet_file_whose_slides_fit_the_screen(tmp_path):
    slides.write(pages.sample(), tmp_path / "98_sample.html")
    assert len(list(tmp_path.iterdir())) == 1
    with browser.chromium() as chromium:
        page = chromium.new_page(viewport={"width": 1920, "height": 1080})
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((tmp_path / "98_sample.html").as_uri())
        page.wait_for_function("Reveal.isReady()")
        for _ in range(page.evaluate("Reveal.getTotalSlides()")):
            left = page.evaluate(
                """() => {
                    const box = Reveal.getCurrentSlide().querySelector('.fit');
                    return [box.scrollHeight - box.clientHeight, box.scrollWidth - box.clientWidth];
                }"""
            )
            assert max(left) <= 0
            smallest = page.evaluate(
                """() => Math.min(...[...Reveal.getCurrentSlide().querySelectorAll('.fit *')]
                    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
                    .filter(e => e.offsetWidth && !e.closest('math'))
                    .map(e => parseFloat(getComputedStyle(e).fontSize)))"""
            )
            assert smallest >= 24, "that is 16 px on a screen of 1280"
            slide = page.evaluate("JSON.stringify(Reveal.getIndices())")
            while page.evaluate("JSON.stringify(Reveal.getIndices())")[:14] == slide[:14]:
                if page.evaluate("Reveal.isLastSlide() && !Reveal.availableFragments().next"):
                    break
                page.keyboard.press("Space")
        assert page.evaluate("Reveal.isLastSlide()")
    assert not errors
    assert all(url.startswith(("file:", "data:")) for url in asked)


@browser.needs_chromium
def test_a_simulation_plays_on_its_slide_and_keeps_the_keys_that_are_its_own(tmp_path):
    with presented(pages.sample(), tmp_path, viewport={"width": 1280, "height": 720}) as page:
        simulation = page.locator(".simulation")
        for _ in range(40):
            if page.evaluate("!!Reveal.getCurrentSlide().querySelector('.simulation')"):
                break
            page.keyboard.press("Space")
        said = simulation.locator(".said")
        before = said.inner_text()
        here = page.evaluate("JSON.stringify(Reveal.getIndices())")
        simulation.get_by_role("button", name="2").click()
        expect(said).not_to_have_text(before)
        simulation.get_by_role("slider").press("ArrowRight")
        assert page.evaluate("JSON.stringify(Reveal.getIndices())") == here


@browser.needs_chromium
def test_every_simulation_fits_its_slide_with_each_of_its_questions(tmp_path, monkeypatch):
    def first_picture(source, present):
        simulation = eval(source)
        simulation.present = present
        frames, chapters = [], []
        for at, tried in enumerate(simulation.experiments):
            frames.append([[], []])
            words = {"question": tried.question, "answer": tried.answer}
            chapters.append({"start": at, "end": at, "looks": [], **words})
        first = as_text(changes(None, simulation.tree()))
        return json.dumps({"first": first, "frames": frames, "chapters": chapters})

    monkeypatch.setattr(slides.recordings, "recording", first_picture)
    still = {rendering.SIMULATION: {}, "image/png": "", "text/html": "", "text/plain": ""}
    shown = [v4.new_output("display_data", data=still)]
    cells = [v4.new_code_cell(f"widgets.{name}()", outputs=shown) for name in widgets.__all__]
    opening = v4.new_markdown_cell("# 98 · A sample\n\n## Section")
    with presented(
        v4.new_notebook(cells=[opening, *cells]), tmp_path, viewport={"width": 1280, "height": 720}
    ) as page:
        for at, name in enumerate(widgets.__all__, 1):
            page.evaluate(f"Reveal.slide(1, {at})")
            slide = page.locator("section.present section.present")
            for experiment in slide.locator(".tries button").all():
                experiment.click()
                left = slide.locator(".fit").evaluate("box => box.scrollHeight - box.clientHeight")
                assert left <= 0, f"{name}, experiment {experiment.inner_text()}"
            heights = slide.locator(".plot").evaluate_all("plots => plots.map(p => p.offsetHeight)")
            assert min(heights) >= 220, f"{name} is flat: {heights}"


@browser.needs_chromium
def test_a_table_with_many_columns_is_not_cut_off(tmp_path):
    row = "".join(f"<td>column_number_{i}</td>" for i in range(8))
    data = {"text/html": f"<table><tr>{row}</tr></table>", "text/plain": ""}
    cell = v4.new_code_cell("table.head()", outputs=[v4.new_output("display_data", data=data)])
    opening = v4.new_markdown_cell("# 98 · A sample\n\n## Section\n\nText.")
    with presented(
        v4.new_notebook(cells=[opening, cell]), tmp_path, viewport={"width": 1920, "height": 1080}
    ) as page:
        page.evaluate("Reveal.slide(1, 1); Reveal.nextFragment()")
        table = page.locator("section.present section.present table")
        box = table.bounding_box()
        assert box["x"] + box["width"] <= 1920 - 120
        assert table.evaluate("table => parseFloat(getComputedStyle(table).fontSize)") >= 18


@browser.needs_chromium
def test_slides_are_light_until_the_key_d_is_pressed(tmp_path):
    with presented(pages.sample(), tmp_path, color_scheme="dark") as page:
        ground = "getComputedStyle(document.querySelector('.reveal-viewport')).backgroundColor"
        light = page.evaluate(ground)
        page.keyboard.press("d")
        dark = page.evaluate(ground)
        page.keyboard.press("d")
        assert (light, dark) == ("rgb(253, 252, 250)", "rgb(21, 24, 27)")
        assert page.evaluate(ground) == light


@browser.needs_chromium
def test_a_slide_with_a_fragment_is_set_no_smaller_than_it_must(tmp_path):
    printed = v4.new_output("stream", text="line\n" * 10)
    cell = v4.new_code_cell("run()\n" * 10, outputs=[printed])
    opening = v4.new_markdown_cell("# 98 · A sample\n\n## Section\n\nText.")
    with presented(
        v4.new_notebook(cells=[opening, cell]), tmp_path, viewport={"width": 1920, "height": 1080}
    ) as page:
        page.evaluate("Reveal.slide(1, 1)")
        size = "Reveal.getCurrentSlide().querySelector('.fit').style.fontSize"
        first = page.evaluate(size)
        page.wait_for_timeout(500)
        page.evaluate("fit(Reveal.getCurrentSlide())")
        assert page.evaluate(size) == first != "42px"


@browser.needs_chromium
def test_a_picture_keeps_its_shape_and_fills_the_slide(tmp_path):
    drawn = BytesIO()
    plt.figure(figsize=(5, 4)).savefig(drawn, format="png")
    image = f'<img src="data:image/png;base64,{b64encode(drawn.getvalue()).decode()}" width="300">'
    shown = v4.new_output("display_data", data={"text/html": image, "text/plain": ""})
    cells = [v4.new_markdown_cell("# 98 · A sample\n\n## Section"), v4.new_code_cell("p()")]
    cells[1].outputs = [shown]
    slides.write(v4.new_notebook(cells=cells), tmp_path / "98_sample.html")
    with browser.chromium_page(1920, 1080) as (page, errors):
        page.goto((tmp_path / "98_sample.html").as_uri())
        page.wait_for_function("Reveal.isReady()")
        page.evaluate("Reveal.slide(1, 2)")
        box = page.locator("section.present img").bounding_box()
        assert box["height"] > 700 and box["width"] / box["height"] == pytest.approx(
            5 / 4, abs=0.02
        )
        assert not errors


@browser.needs_chromium
def test_axe_finds_nothing_serious_on_any_slide(tmp_path):
    path = tmp_path / "deck.html"
    slides.write(pages.sample(), path)
    with browser.chromium() as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 720})
        page.goto(path.as_uri())
        page.wait_for_function("window.Reveal?.isReady()")
        for _ in range(page.evaluate("Reveal.getTotalSlides()")):
            page.evaluate("while (Reveal.availableFragments().next) Reveal.nextFragment()")
            assert not browser.serious(page)
            page.evaluate("Reveal.next()")
        assert page.evaluate("Reveal.isLastSlide()")
