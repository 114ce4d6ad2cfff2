"""The moving picture of the README: the training dashboard, recorded, as an animated PNG.

`make picture` writes docs/dashboard.png. It needs a Chromium.
"""

import json
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tools import recordings

ROOT = Path(__file__).parents[1]
SHOWS = "widgets.training_dashboard()"
EXPERIMENT = 1
PICTURES = 30  # of the experiment
WIDTH, HEIGHT = 860, 600
COLORS = 64  # few enough for a small file
MILLISECONDS = 140  # a picture stays; the last one longer

_PAGE = "<!doctype html><body style='margin: 8px; background: #fff'><div></div></body>"
_CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")


def pictures(recording):
    """Pictures of the experiment, as the web page shows them."""
    chapter = recording["chapters"][EXPERIMENT - 1]
    span = chapter["end"] - chapter["start"]
    with sync_playwright() as playwright:
        path = next(filter(lambda place: Path(place).exists(), _CHROMIUM))
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_content(_PAGE)
        page.add_script_tag(content=recordings.player())
        page.evaluate("recording => playback(document.querySelector('div'), recording)", recording)
        slider = page.get_by_role("slider")
        for number in range(PICTURES):
            place = chapter["start"] + round(span * number / (PICTURES - 1))
            slider.evaluate(
                "(it, place) => { it.value = place; it.dispatchEvent(new Event('input')) }", place
            )
            page.evaluate("new Promise(requestAnimationFrame)")
            yield Image.open(BytesIO(page.screenshot())).convert("RGB")
        browser.close()


def main():
    shown = list(pictures(json.loads(recordings.recording(SHOWS))))
    palette = shown[-1].quantize(COLORS)
    few = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in shown]
    durations = [MILLISECONDS] * (len(few) - 1) + [2500]
    path = ROOT / "docs" / "dashboard.png"
    few[0].save(path, save_all=True, append_images=few[1:], duration=durations, loop=0)
    print(f"{path}  ({path.stat().st_size / 1e3:.0f} KB)")


if __name__ == "__main__":
    main()
