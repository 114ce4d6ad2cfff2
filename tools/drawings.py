"""Matplotlib's SVG as a part of a page, in the page's own type and colours, light or dark."""

import gzip
import re
from xml.etree import ElementTree

from course_utils import plotting

_LIMIT = 60_000  # bytes, compressed; what is larger has thousands of parts and is better a picture
_NAMES = ("blue", "vermillion", "green", "purple", "sky")  # in plotting.py and in colors.css
_PALETTE = {getattr(plotting, name.upper()).lower(): f"var(--{name})" for name in _NAMES}
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


def drawing(svg, alt, name):
    """`svg` as an element for a page, or None where a picture does better: where it holds a
    picture, is too large, or has colours of which the page knows no dark shade.

    `alt` says what there is to see; `name` tells this drawing's parts from those of others.
    """
    colors = {color: _themed(color) for color in re.findall(r"#[0-9a-f]{6}(?=[;\"])", svg)}
    if "<image" in svg or None in colors.values():
        return None
    for color, themed in colors.items():
        svg = svg.replace(color, themed)
    svg = re.sub(r"font-family: [^;\"]*Mono[^;\"]*", "font-family: var(--mono)", svg)
    svg = re.sub(r"font-family: '[^;\"]*;? ?", "", svg)
    used = set(re.findall(r'(?:url\(|href=")#(\w+)', svg))
    root = ElementTree.fromstring(re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg))
    root.remove(root.find(f"{_SVG}metadata"))
    root.remove(root.find(f"{_SVG}defs"))  # a style for all of the page
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.attrib = {
            key.removeprefix(_XLINK): re.sub(r"\d+\.\d{3,}", _rounded, value.replace("\n", ""))
            for key, value in element.items()
        }
        element.text, element.tail = (element.text or "").strip(), None
        if (mark := element.attrib.pop("id", None)) in used:
            element.set("id", f"{name}-{mark}")
    width = round(float(root.get("viewBox").split()[2]) * 100 / 72)
    root.attrib = {
        "role": "img", "aria-label": alt, "viewBox": root.get("viewBox"), "width": str(width),
        "preserveAspectRatio": "xMinYMin",
    }  # fmt: skip
    html = ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)
    return html if len(gzip.compress(html.encode())) < _LIMIT else None


def _rounded(number):
    return f"{float(number[0]):.2f}"


def _themed(color):
    """The page's shade of a colour of the palette or of a grey; None for any other."""
    red, green, blue = bytes.fromhex(color[1:])
    if red == green == blue:
        return f"color-mix(in srgb, var(--ink) {100 - red / 2.55:.0f}%, var(--paper))"
    return _PALETTE.get(color)
