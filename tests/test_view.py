"""What a learner sees of a simulation and does with it: view.js in a real headless Chromium."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from course_utils import widgets
from course_utils.widgets.recording import recorded
from tests import browser
from tests.stage import staged

pytestmark = browser.needs_chromium
expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def all_of_them():
    return [getattr(widgets, name)() for name in widgets.__all__]


@pytest.mark.parametrize(("dark", "width"), [(False, 1000), (True, 390)])
def test_all_simulations_can_be_read_by_everybody_in_light_and_dark(all_of_them, dark, width):
    with staged(*all_of_them, width=width, dark=dark) as (page, errors):
        found = Axe().run(page).response["violations"]
        serious = [rule for rule in found if rule["impact"] in ("serious", "critical")]
        assert not serious, json.dumps(serious, indent=1)[:3000]
        # Nothing is pushed out of sight on a telephone
        page.set_viewport_size({"width": 390, "height": 800})
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert not errors


# How far a colour stands out from the ground of the page, as accessibility guidelines compute it
_CONTRAST = """(line, ground) => {
    document.body.style.background = ground
    const brush = document.createElement("canvas").getContext("2d")
    const light = color => {
        brush.fillStyle = color
        brush.fillRect(0, 0, 1, 1)
        const [r, g, b] = [...brush.getImageData(0, 0, 1, 1).data].map(
            v => (v /= 255) > 0.04045 ? ((v + 0.055) / 1.055) ** 2.4 : v / 12.92)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05
    }
    const below = light(ground), above = light(getComputedStyle(line).stroke)
    return Math.max(above / below, below / above)
}"""


@pytest.mark.parametrize("ground", ["#ffffff", "#111111", "#383838"])  # the last is Colab's
def test_lines_of_equal_loss_are_seen_on_every_ground(ground):
    with staged(widgets.optimizer_race(), dark=ground != "#ffffff") as (page, _):
        lines = page.locator("#optimizer_race path[stroke='var(--line)'][fill=none]").first
        assert lines.evaluate(_CONTRAST, ground) > 1.5


def test_a_simulation_plays_pauses_steps_restarts_and_follows_its_controls():
    dashboard = widgets.training_dashboard()
    with staged(dashboard) as (page, errors):
        cell = page.locator("#training_dashboard")
        status = cell.locator(".said")
        step = cell.get_by_role("button", name="Step")
        place = step.bounding_box()
        cell.get_by_role("button", name="Play").click()
        expect(status).not_to_contain_text("step 100:")
        assert step.bounding_box() == place  # Pause takes no more room than Play
        cell.get_by_role("button", name="Pause").click()
        expect(cell.get_by_role("button", name="Play")).to_be_visible()
        page.wait_for_timeout(150)
        paused = dashboard.steps
        cell.get_by_role("button", name="Step").click()
        expect(status).to_contain_text(f"step {paused + 1}:")
        cell.get_by_role("button", name="Restart").click()
        expect(status).to_contain_text("step 0:")
        cell.get_by_label("learning rate").last.fill("0.5")
        cell.get_by_label("learning rate").last.press("Enter")
        cell.get_by_text("Share these settings").click()
        settings = cell.get_by_label("settings, to copy")
        expect(settings).to_have_value(re.compile("lr=0.5"))
        settings.fill("toaster lr=1")
        settings.press("Enter")
        expect(cell.get_by_role("alert")).to_contain_text("belong to 'toaster'")
        settings.fill("training_dashboard data=xor width=3")
        settings.press("Enter")
        expect(cell.get_by_label("hidden units").last).to_have_value("3")
        expect(cell.locator(".alert")).to_be_empty()
        cell.get_by_role("button", name="Reset to defaults").click()
        expect(cell.get_by_label("data", exact=True)).to_have_value("moons")
        assert dashboard.values == dashboard._defaults()
        assert not errors


def test_on_a_small_projector_each_simulation_is_seen_with_all_that_steers_it():
    shown = [getattr(widgets, name)(present=True) for name in widgets.__all__]
    # As in JupyterLab at 1280 x 720, whose bars leave it this much.
    with staged(*shown, height=720) as (page, errors):
        page.add_style_tag(content="section { width: 1066px }")
        page.wait_for_timeout(300)
        for simulation in shown:
            cell = page.locator(f"#{simulation.name}")
            top = cell.bounding_box()["y"]
            for part in (
                cell.locator(".panels"),
                cell.locator(".tries"),
                cell.locator(".controls > :last-child"),
            ):
                box = part.bounding_box()
                assert box["y"] + box["height"] - top <= 608, simulation.name
            heights = cell.locator(".plot").evaluate_all(
                "all => all.map(plot => plot.clientHeight)"
            )
            assert min(heights) > 100, simulation.name
            cell.get_by_role("button", name="experiment 1", exact=True).click()
            question = cell.locator(".trying > p").first
            expect(question).to_be_visible()
            page.wait_for_timeout(200)
            box, top = question.bounding_box(), cell.bounding_box()["y"]
            assert box["y"] + box["height"] - top <= 608, simulation.name
        assert not errors


def test_an_experiment_sets_the_controls_and_makes_its_steps():
    race = widgets.optimizer_race()
    with staged(race) as (page, errors):
        cell = page.locator("#optimizer_race")
        cell.get_by_role("button", name="experiment 1").click()
        expect(cell.locator(".trying")).to_contain_text("run 200 steps")
        expect(cell.get_by_label("lr of SGD and momentum").last).to_have_value("0.039")
        cell.get_by_role("button", name="Next: 200 steps").click()
        expect(cell.locator(".said")).to_contain_text("Step 200,", timeout=60_000)
        expect(cell.get_by_role("button", name="Play")).to_be_visible()
        expect(cell.get_by_role("button", name=re.compile("Next: lr .* 0.041"))).to_be_enabled()
        cell.get_by_text("Answer").click()
        expect(cell.locator(".trying")).to_contain_text("SGD zigzags all the way in")
        assert not errors


def test_a_verdict_is_a_line_with_a_sign():
    run = widgets.run_gone_wrong()
    with staged(run) as (page, errors):
        cell = page.locator("#run_gone_wrong")
        for layer in (1, 2):
            cell.get_by_label("the layer that grew").select_option(f"layer {layer}")
            right = layer - 1 == run.culprit
            expect(cell.locator(".verdict")).to_contain_text(
                "✓ Right" if right else "✗ Not that one"
            )
        assert not errors


def test_two_frames_are_under_way_while_it_plays_and_none_afterwards():
    with staged(widgets.training_dashboard()) as (page, errors):
        page.get_by_role("button", name="Play").click()
        page.wait_for_function("asked.length > 10")
        page.get_by_role("button", name="Pause").click()
        page.wait_for_timeout(200)
        asked = page.evaluate("asked.length")
        page.wait_for_timeout(200)
        assert page.evaluate("asked.length") == asked
        page.evaluate("models.training_dashboard.close()")
        assert page.evaluate("document.querySelector('section').childElementCount") == 0
        assert not errors


def test_a_recording_plays_without_python():
    recording = recorded(widgets.gradient_explorer())
    with staged() as (page, errors):
        page.evaluate(
            "recording => view.playback(document.querySelector('main'), recording)",
            json.loads(recording),
        )
        said, scrub = page.locator(".said"), page.get_by_label("picture of the experiment")
        expect(said).to_contain_text("Prediction 7, target 7, loss 0.")
        page.get_by_role("button", name="experiment 3").click()
        expect(said).to_contain_text("Gradient of w -0.6", timeout=10_000)
        scrub.focus()
        scrub.press("ArrowLeft")
        expect(said).to_contain_text("Gradient of w 1.2")
        page.get_by_role("button", name="experiment 2").click()  # backwards
        expect(said).to_contain_text("Gradient of w 0, of b -8")
        assert not errors


@pytest.mark.parametrize(
    ("axis", "texts"),
    [
        ({"low": 0, "high": 1}, ["0.0", "0.5", "1.0"]),
        ({"low": -4.5, "high": 2}, ["\u22124", "\u22122", "0", "2"]),
        ({"low": 0.01, "high": 100, "log": True}, ["0.01", "1", "100"]),
        ({"low": 1e-8, "high": 1e4, "log": True}, ["10⁻⁸", "10⁻⁴", "1", "10⁴"]),
        ({"low": 0.1, "high": 1, "log": True}, ["0.1", "0.2", "0.5", "1"]),
        ({"low": 0, "high": 2, "ticks": {"0.5": "left", "1.5": "right"}}, ["left", "right"]),
        ({"low": 0, "high": 1, "ticks": {"0.5": "left", "1.5": "outside"}}, ["left"]),
    ],
)
def test_axes_have_round_ticks(axis, texts, bare_page):
    found = bare_page.evaluate("axis => view.ticks(axis, 160, 52)", axis)
    assert [text for _, text in found] == texts


@pytest.fixture(scope="module")
def bare_page():
    with staged() as (page, _):
        yield page


def test_bytes_are_replaced_and_appended_wherever_they_lie(bare_page):
    found = bare_page.evaluate("""() => {
        const bytes = new Uint8Array([9, 9, 9, 0, 0, 128, 63, 0, 0, 0, 64]).buffer
        const scene = { marks: [] }
        view.apply(scene, [[["marks", 0], "=", {}], [["marks", 0, "x"], "="], [["marks", 0, "x"], "+"]],
            [new DataView(bytes, 3, 4), new DataView(bytes, 7, 4)])
        return [...new Float32Array(scene.marks[0].x.buffer)]
    }""")
    assert found == [1, 2]


def test_the_last_number_of_an_axis_is_not_cut_off():
    explorer = widgets.batch_size_explorer()
    explorer.rows = [0, 102_400]  # as after a long Play
    for run in explorer.runs:
        run.losses = [0.5, 0.5]
    with staged(explorer) as (page, _):
        last = page.locator("svg .tick", has_text="100000")
        expect(last).to_be_visible()
        inside = last.evaluate(
            "node => node.getBoundingClientRect().right <= "
            "node.ownerSVGElement.getBoundingClientRect().right"
        )
        assert inside


def test_a_legend_is_not_repeated_beside_itself(bare_page):
    found = bare_page.evaluate("""() => {
        const panel = (...labels) => ({ marks: labels.map(label => ({ label, color: "blue" })) })
        return view.legends([panel("a", ""), panel("a"), panel("b")]).map(marks => marks.length)
    }""")
    assert found == [1, 0, 1]
