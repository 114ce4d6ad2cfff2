"""The lessons as slides, one file each that needs nothing else: `make slides` fills slides/.

The slides follow from the shape of a lesson. A `##` heading begins a section, which goes downwards,
its deeper parts last, so that whoever turns to the next section leaves them out. There is a slide at
each `###`: headings, predictions, code, and what is read aloud, each on a slide of at most about 60
words, cut between paragraphs, items or sentences, and of at most 22 lines of code, cut at a blank
line; what the code prints comes with the next press of a key. What is asked or said next shares the
slide if there is room, so that a prediction has its question in sight and a reading what was printed;
where code leaves no room for the reading, what it printed is shown once more. A figure stands before
the words about it, alone or below three printed lines; the code that draws it is shown if it is short
and does more than that. Simulations play their recorded experiments, and ask their questions themselves. Setup,
checks, hints, solutions and output that is too long for a slide are left to the notebook. A cell that
has `slideshow` metadata of its own is shown as that says.
"""

import re
import sys
import textwrap
from pathlib import Path

from bs4 import BeautifulSoup

from tools import executed, recordings, rendering, stamp

ROOT = Path(__file__).parents[1]
WORDS = 60  # on a slide
FEW_WORDS = 20  # which are too few for a slide of their own
ASKED_WORDS = 85  # on a slide, with the prediction at its end
LINES = 22  # of code and output that can be read from the back of a room, on one slide
FEW_LINES = range(4, 13)  # of code, which may stand before its figure; fewer only draw it
READ_LINES = 18  # of code and output, with the words about it, of which a line takes as much as 1.5
_CUTS = re.compile(r"^(?=#{2,3} |> \*\*Predict|When you are done)", flags=re.MULTILINE)

_TOO_LONG = "<p>Too long for a slide: look at it in the notebook.</p>"


def deck(notebook):
    """Sections: each a title, which its slides go on showing, and its slides as HTML."""
    sections = []  # (title, slides of the core, deeper ones)
    for kind, html, deeper in pieces(notebook):
        if kind == "skip":
            continue
        if kind == "slide" or not sections:
            heading = BeautifulSoup(html, "html.parser").find(["h1", "h2", "h3"])
            sections.append((heading.decode_contents() if heading else "", [], []))
        slides = sections[-1][1 + deeper]
        if kind in ("slide", "subslide") or not slides:
            slides.append(html)
        elif kind == "fragment":
            slides[-1] += f'<div class="fragment">{html}</div>'
        elif kind == "notes":
            slides[-1] += f'<aside class="notes">{html}</aside>'
        else:
            slides[-1] += html
    return [{"title": title, "slides": core + deeper} for title, core, deeper in sections]


def write(notebook, path):
    """The deck of an executed notebook, as one file."""
    title = re.match(r"# (.+)", notebook.cells[0].source)[1]
    html = rendering.fill(
        "slides.html",
        title=title,
        sections=deck(notebook),
        style="".join(map(_file, ("reveal/reveal.css", "colors.css", "slides.css"))),
        reveal=_file("reveal/reveal.js"),
        player=recordings.player(),
    )
    path.write_text(html, encoding="utf-8")


def _file(name):
    return (rendering.TEMPLATES / name).read_text(encoding="utf-8")


def pieces(notebook):
    """(slide type, HTML, whether it is deeper) of everything that is shown, in order."""
    previous, begun, printed = [], False, None
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        wanted = cell.metadata.get("slideshow", {}).get("slide_type")
        begun = begun or bool(wanted) or re.search(r"^## ", cell.source, flags=re.MULTILINE)
        if cell.source.startswith("**What to try**"):  # the simulation before it asks this, too
            shown = []
        elif cell.cell_type == "markdown":
            shown = list(_text(cell.source, printed))
        elif "exercise" in tags:
            shown = [("-", rendering.code(cell.source))]
        elif "exercise" in previous or not begun:  # a check; the setup and the imports
            shown = []
        else:
            shown = list(_code(cell))
        shown = [(wanted, "".join(html for _, html in shown))] if wanted else shown
        yield from ((kind, html, "deeper" in tags) for kind, html in shown)
        previous, printed = tags, _printed(cell) if shown and not wanted else None


def _text(source, printed):
    """A Markdown cell, cut where something new begins, without what is folded away.

    `printed` is what _printed() gives for the cell before it.
    """
    source = re.sub(r"[ \t]*<details>.*?</details>\n*", "", source, flags=re.DOTALL)
    source = stamp.VERIFIED.sub("", source)
    before = ""
    texts = list(filter(str.strip, _short(_CUTS.split(source))))
    if printed and not re.match("#|>", texts[0]) and not "".join(texts[1:2]).startswith(">"):
        yield from _reading(texts.pop(0), *printed)
    for text in texts:
        kind = "slide" if re.match(r"##? ", text) else "subslide"
        if before and text.startswith(">") and _words(before + text) <= ASKED_WORDS:
            kind = "fragment"  # a prediction, with its question still in sight
        elif re.fullmatch(r"## .*\s*", before):  # nothing but a heading
            kind = "-"
        yield kind, rendering.markdown(text)
        before = text


def _reading(text, output, code_lines, output_lines):
    """What is read aloud below what was printed."""
    rows = sum(max(1, len(textwrap.wrap(row, 66))) for row in text.strip().split("\n"))
    html, lines = rendering.markdown(text), output_lines + 1.5 * rows
    if code_lines + lines <= READ_LINES:
        yield "fragment", html
    else:
        yield "subslide", (output if lines <= READ_LINES else "") + html


def _printed(cell):
    """(HTML, lines of code above it, its own lines) of a code cell that only printed something."""
    outputs = cell.get("outputs", [])
    if outputs and all(output.output_type == "stream" for output in outputs):
        lines = sum(output.text.count("\n") for output in outputs)
        if lines <= LINES:
            code_lines = _leaves(cell.source)[-1].count("\n") + 1
            together = code_lines + lines < LINES  # as _code() has it
            return "".join(map(rendering.output, outputs)), code_lines * together, lines
    return None


def _short(texts):
    """The texts, cut between paragraphs, items or sentences wherever a slide would be too full."""
    for text in texts:
        slides = [""]
        for part in _parts(text):
            full = slides[-1].strip() and _words(slides[-1] + part) > WORDS
            # A heading stays with its text.
            if full and not re.fullmatch(r"#{1,3} .*\s*", slides[-1]):
                slides.append("")
            slides[-1] += part
        if len(slides) > 1 and _words(slides[-1]) <= FEW_WORDS:
            slides[-2:] = ["".join(slides[-2:])]
        yield from slides


def _parts(text):
    """Paragraphs and items, and the sentences of those that alone would fill a slide.

    What ends in a colon stays with what it announces.
    """
    for part in re.split(r"(?<=[^:]\n)(?=\n)|(?<=\n)(?<!:\n\n)(?=[-*] |\d+\. )", text):
        if _words(part) <= WORDS or re.search(r"^```|^\||^\$\$", part.strip(), flags=re.MULTILINE):
            yield part
        else:
            yield from re.split(r"(?<=[.?!] )(?=[A-Z`*])", part)


def _words(text):
    return len(re.sub(r"\]\([^)]*\)", "]", text).split())


def _code(cell):
    """A code cell: code, then output, together where both fit."""
    whole = "".join(map(rendering.output, cell.outputs))
    if 'class="quiz"' in whole:
        yield from _quiz(whole)
        return
    *before, source = _leaves(cell.source)
    outputs, code = "", rendering.code(source)
    shown = lines = source.count("\n") + 1
    for output in cell.outputs:
        length = (output.get("text") or _as_text(output.data)).count("\n")
        too_long = length > LINES
        outputs += _TOO_LONG if too_long else rendering.output(output)
        shown += 1 if too_long else length + 1
    if cell.source.startswith("widgets."):  # what it shows says more than its line of code
        text = recordings.recording(cell.source, present=True).replace("</", "<\\/")
        data = f'<script type="application/json">{text}</script></figure>'
        yield "subslide", outputs.replace("</figure>", data)
    elif figure := re.search(r"<img|<svg", outputs):
        if code_shown := not before and lines in FEW_LINES:
            yield "subslide", code
        if shown - lines > 5:  # more than three lines above it
            printed = "fragment" if code_shown and shown <= LINES else "subslide"
            yield printed, outputs[: figure.start()]
            outputs = outputs[figure.start() :]
        yield "subslide", outputs
    else:
        for leaf in before:
            yield "subslide", rendering.code(leaf)
        yield "subslide", code
        if outputs:
            yield "fragment" if shown <= LINES else "subslide", outputs


def _leaves(source):
    """Code, cut at blank lines wherever a slide would be too full."""
    leaves = [""]
    for block in re.split(r"(?<=\n\n)(?=[^\n])", source):
        if leaves[-1] and (leaves[-1] + block.rstrip()).count("\n") >= LINES:
            leaves.append("")
        leaves[-1] += block
    return [leaf.rstrip() for leaf in leaves]


def _as_text(data):
    return data.get("text/markdown", data["text/plain"])


def _quiz(html):
    """A slide for each question; the next key shows the right answer and why."""
    questions = BeautifulSoup(html, "html.parser").select(".quiz > li")
    for number, question in enumerate(questions, 1):
        answers = question.details.extract().select("li")
        yield "subslide", f"<p>Question {number}</p>{question.decode_contents()}"
        for letter, answer in zip("ABCDEFGH", answers, strict=False):
            if answer.b:
                yield (
                    "fragment",
                    f"<blockquote><p>{letter}. {answer.decode_contents()}</p></blockquote>",
                )


def main():
    folder = ROOT / "slides"
    folder.mkdir(exist_ok=True)
    for name, notebook in executed.lessons(sys.argv[1:]).items():
        write(notebook, folder / f"{name}.html")
        print(folder / f"{name}.html")


if __name__ == "__main__":
    main()
