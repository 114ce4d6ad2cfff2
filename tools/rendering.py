"""Cells and their outputs as HTML, for the web pages and the slides; nothing is left to a CDN."""

import re
import zlib
from base64 import b64decode, b64encode
from html import escape
from io import BytesIO
from pathlib import Path

from bs4 import BeautifulSoup
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from latex2mathml.converter import convert
from nbconvert.filters import strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from PIL import Image
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from tools import drawings
from tools.stamp import local_links

TEMPLATES = Path(__file__).parent / "templates"
SIMULATION = "application/vnd.jupyter.widget-view+json"


def fill(template, **values):
    """A file of templates/ with the values filled in; one that is missing is an error."""
    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(loader=loader, undefined=StrictUndefined, autoescape=True)
    return environment.get_template(template).render(**values)


def markdown(source):
    return _tidy(MarkdownWithMath(renderer=_Renderer(escape=False)).render(local_links(source)))


def code(source):
    return highlight(source, get_lexer_by_name("ipython3"), HtmlFormatter())


def output(shown):
    """One output of a code cell: a figure as a drawing, where that can be; of all else what the
    notebook itself would prefer to show without a kernel."""
    if shown.output_type == "stream":
        return f"<pre>{escape(strip_ansi(shown.text.rstrip()))}</pre>"
    if shown.output_type == "error":
        return f"<pre>{escape(strip_ansi(chr(10).join(shown.traceback)))}</pre>"
    if svg := shown.data.get("image/svg+xml"):
        alt = BeautifulSoup(shown.data["text/html"], "html.parser").img["alt"]
        if drawn := drawings.drawing(svg, alt, f"d{zlib.crc32(svg.encode()):x}"):
            return drawn
    if "text/html" in shown.data:
        html = _tidy(shown.data["text/html"])
        if SIMULATION in shown.data and "image/png" in shown.data:
            html = f'<figure class="simulation">{html}</figure>'
        return html
    if "text/markdown" in shown.data:
        return markdown(shown.data["text/markdown"])
    if SIMULATION in shown.data:  # a progress bar: without a kernel it would stand still at 0 %
        return ""
    return f"<pre>{escape(shown.data['text/plain'])}</pre>"


def opening(source):
    """(title, promise as HTML, minutes) that the first cell of a lesson names."""
    title = re.match(r"# (.+)", source)[1]
    promise = re.search(r"^\*\*(.+)\*\*$", source, flags=re.MULTILINE)[1]
    minutes = re.search(r"^\*(\d+ minutes.*?)(?: · .*)?\*$", source, flags=re.MULTILINE)[1]
    return title, markdown(promise), minutes


class _Renderer(IPythonRenderer):
    """Jupyter's Markdown, with formulas as MathML and links to lessons as links to their pages."""

    def inline_math(self, body):
        return mathml(body, "inline")

    def block_math(self, body):
        return mathml(body, "block")

    def heading(self, text, level, **attrs):
        return f"<h{level}>{text}</h{level}>\n"

    def link(self, text, url, title=None):
        return super().link(text, re.sub(r"^(\d\d_\w+)\.ipynb(?=$|#)", r"\1.html", url), title)


def mathml(formula, display):
    """A TeX formula as MathML, which browsers show by themselves."""
    html = convert(formula, display=display)
    # What TeX knows and the converter leaves out: a sign after "=" is no subtraction, and a
    # function such as log stands a little apart from its neighbours.
    html = re.sub(r"(<mo>&#x0003D;</mo>)<mo>", r'\1<mo form="prefix">', html)
    thin = '<mspace width="0.167em" />'
    html = re.sub(r"(?<=</mi>|</mn>)(<mi>[a-z]{2,}</mi>)", rf"{thin}\1", html)
    return re.sub(r"(<mi>[a-z]{2,}</mi>)(?=<m[^o])", rf"\1{thin}", html)


def _tidy(html):
    """Tables that scroll by themselves and name their columns, pictures that are small and sized."""
    soup = BeautifulSoup(html, "html.parser")
    for style in soup.select("style"):
        style.decompose()
    for table in soup.select("table"):
        del table["border"]
        for heading in table.select("thead th"):
            heading["scope"] = "col"
        for heading in table.select("tbody th"):
            heading["scope"] = "row"
        # A corner without a name is no heading.
        for corner in table.select("th"):
            if not corner.get_text(strip=True):
                corner.name = "td"
                del corner["scope"]
        table.wrap(soup.new_tag("div", attrs={"class": "scroll"}))
    for image in soup.select("img[src^='data:image/png']"):
        _shrink(image)
    return str(soup)


def _shrink(image):
    """The same picture as lossless WebP, less than half as large, with its size in the page."""
    png = Image.open(BytesIO(b64decode(image["src"].partition(",")[2])))
    webp = BytesIO()
    png.save(webp, "WEBP", lossless=True)
    image["src"] = f"data:image/webp;base64,{b64encode(webp.getvalue()).decode()}"
    image["width"], image["height"] = map(str, png.size)
    del image["style"]
