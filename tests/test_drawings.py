"""Figures as drawings that follow the theme of their page."""

import re
from pathlib import Path
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
from bs4 import BeautifulSoup

from course_utils import plotting
from course_utils.widgets import base
from tools import drawings, rendering


def drawn(ax, name="a"):
    with patch.object(plotting, "FORMATS", ["png", "svg"]):
        picture = plotting.show(ax, "05.moons")
    return drawings.drawing(picture._repr_svg_(), picture.alt, name)


def new_axes():
    with plt.rc_context():
        plotting.use_course_style()
        return plt.subplots()[1]


def test_a_drawing_has_the_pages_colours_and_type_and_says_what_it_shows():
    ax = new_axes()
    ax.plot([0, 1], [1, 0], "o-", label="falling <0.001")
    ax.text(0, 0, "code", family="monospace", color="0.4")
    ax.legend()
    html = drawn(ax)
    svg = BeautifulSoup(html, "html.parser").svg
    assert svg["role"] == "img" and len(svg["aria-label"]) > 20 and svg["width"] == "640"
    assert "falling <0.001" in [text.get_text() for text in svg.select("text")]
    assert not re.search(r"#[0-9a-f]{6}\b", html) and "DejaVu" not in html
    assert {"--blue", "--ink", "--paper", "--mono"} == set(re.findall(r"var\((--\w+)\)", html))


def test_no_two_drawings_of_a_page_share_a_mark_and_every_reference_finds_its_own():
    ax, other = new_axes(), new_axes()
    ax.plot([0, 1], [1, 0], "o")
    other.plot([0, 1], [1, 0], "o")
    both = [drawn(ax, "a"), drawn(other, "b")]
    marks = [set(re.findall(r' id="([^"]+)"', html)) for html in both]
    assert marks[0] and marks[1] and not marks[0] & marks[1]
    for html, own in zip(both, marks, strict=True):
        assert set(re.findall(r'(?:url\(|href=")#([\w-]+)', html)) == own


def test_what_a_page_cannot_draw_in_its_colours_stays_a_picture():
    ax = new_axes()
    ax.plot([0, 1], [1, 0], color="#123456")
    assert drawn(ax) is None
    for draw in (
        lambda ax: ax.imshow(np.eye(3), cmap="gray"),
        lambda ax: ax.pcolormesh(np.eye(9), cmap=plotting.CONFIDENCE),
        lambda ax: ax.plot(np.random.default_rng(0).random((20_000, 2)), ","),
    ):
        ax = new_axes()
        draw(ax)
        assert drawn(ax) is None


def test_figures_and_simulations_have_the_same_colours():
    style = Path(base.__file__).with_name("view.js").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w+)", rule))
        for rule in re.findall(r"\{[^{}]*--sky[^{}]*\}", style)
    )
    css = (rendering.TEMPLATES / "colors.css").read_text(encoding="utf-8")
    for color in drawings._NAMES:
        pair = re.search(rf"--{color}: light-dark\((#\w+), (#\w+)\)", css).groups()
        assert pair == (light[color].lower(), dark[color].lower())
