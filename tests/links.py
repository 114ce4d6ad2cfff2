"""The links of the README, the documentation and the lessons."""

import re

import nbformat

from tools.stamp import repository

_FENCED = re.compile(r"```.*?```", flags=re.DOTALL)
_CODE = re.compile(r"```.*?```|`[^`\n]*`", flags=re.DOTALL)
_LINK = re.compile(r"""\]\(([^)\s]+)\)|(?:href|src)=["']([^"']+)["']|<(https?://[^>]+)>""")
_COLAB = re.compile(r"https://colab\.research\.google\.com/github/[^/]+/[^/]+/blob/main/")
_HEADING = re.compile(r"^#+ (.*)$", flags=re.MULTILINE)


def pages(root):
    """path -> Markdown, for every page that people read."""
    found = {
        path: path.read_text(encoding="utf-8")
        for folder in (".", "docs", "data", "benchmarks")
        for path in sorted((root / folder).glob("*.md"))
    }
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        found[path] = "\n\n".join(c.source for c in cells if c.cell_type == "markdown")
    return found


def links(markdown):
    """The targets of all links and images, in order."""
    return [next(filter(None, found)) for found in _LINK.findall(_CODE.sub("", markdown))]


def anchors(markdown):
    """The anchors that GitHub gives to the headings of a page."""
    headings = _HEADING.findall(_FENCED.sub("", markdown))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(root):
    """Links to other pages of the course, on disk or in Colab, that lead nowhere."""
    texts = pages(root)
    broken = []
    for page, markdown in texts.items():
        for target in links(markdown):
            name, _, anchor = target.partition("#")
            if in_colab := _COLAB.match(name):
                path = root / name[in_colab.end() :]
            elif "://" in name:
                continue
            else:
                path = (page.parent / name).resolve() if name else page
            if not path.exists() or (anchor and anchor not in anchors(texts.get(path, ""))):
                broken.append(f"{page.relative_to(root)}: {target}")
    return broken


def external_links(root):
    """The addresses outside the course, published or not."""
    targets = {target for markdown in pages(root).values() for target in links(markdown)}
    own = repository(root) or "nowhere"
    return {t for t in targets if "://" in t and not _COLAB.match(t) and not t.startswith(own)}
