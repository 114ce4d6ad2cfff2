"""The lessons as web pages that need no kernel and no network: `make site` writes them to site/."""

import json
import re
import shutil
import tomllib
from base64 import b64decode
from html import escape
from pathlib import Path

from bs4 import BeautifulSoup

from tools import executed, recordings, rendering

ROOT = Path(__file__).parents[1]

# Under an exercise, in place of the check, which a page can't run.
_TO_DO = (
    '<p class="todo">Yours to write. In Jupyter a check tells you what you mixed up; here a hint '
    "and the solution are folded away below.</p>"
)


def build(notebooks, folder):
    """Write index.html, a page for each of the notebooks (name -> executed) and their pictures."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    for file in ("colors.css", "style.css", "site.js"):
        shutil.copy(rendering.TEMPLATES / file, folder)
    texts = []  # what the search looks through
    (folder / "simulations.js").write_text(recordings.player(), encoding="utf-8")
    quiz = recordings.as_script("quiz.js", "enhance")
    (folder / "quiz.js").write_text(quiz, encoding="utf-8")
    lessons = [summary(name, notebook) for name, notebook in notebooks.items()]
    for number, (name, notebook) in enumerate(notebooks.items()):
        soup = BeautifulSoup(body(notebook.cells[1:]), "html.parser")
        sections = name_sections(soup)
        move_pictures(soup, folder, name)
        add_recordings(soup, folder, name)
        texts += section_texts(soup, lessons[number])
        page = rendering.fill(
            "lesson.html",
            lesson=lessons[number],
            lessons=lessons,
            before=lessons[number - 1] if number > 0 else None,
            after=lessons[number + 1] if number + 1 < len(lessons) else None,
            opening=body(notebook.cells[:1]),
            sections=sections,
            text=str(soup),
        )
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    script = f"window.searchTexts = {json.dumps(texts, ensure_ascii=False)};\n"
    (folder / "search.js").write_text(script, encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    index = rendering.fill(
        "index.html",
        intro=rendering.markdown((ROOT / "README.md").read_text(encoding="utf-8").split("\n\n")[1]),
        lessons=lessons,
        repository=project.get("urls", {}).get("Repository"),
    )
    (folder / "index.html").write_text(index, encoding="utf-8")


def summary(name, notebook):
    """What the first cell of a lesson says about it."""
    title, promise, minutes = rendering.opening(notebook.cells[0].source)
    number, title = title.split(" · ", 1)
    return {
        "name": name, "number": number, "title": title, "promise": promise, "minutes": minutes,
    }  # fmt: skip


def body(cells):
    """Executed cells as HTML."""
    parts = []
    for cell in cells:
        if cell.cell_type == "markdown":
            parts.append(rendering.markdown(cell.source))
        elif cell.cell_type == "code" and not cell.source.startswith("check."):
            tags = cell.metadata.get("tags", [])
            outputs = "".join(map(rendering.output, cell.outputs))
            html = rendering.code(cell.source)
            if cell.source.startswith("widgets."):
                shows = f'<figure data-shows="{escape(cell.source)}" class="simulation">'
                outputs = outputs.replace('<figure class="simulation">', shows)
            html += f'<div class="output">{outputs}</div>' if outputs else ""
            if "setup" in tags:
                html = f"<details><summary>Setup</summary>{html}</details>"
            if "exercise" in tags:
                html += _TO_DO
            kind = "cell exercise" if "exercise" in tags else "cell"
            parts.append(f'<div class="{kind}">{html}</div>')
    return "\n".join(parts)


def name_sections(soup):
    """Give every heading an address; returns (address, text) of the sections."""
    seen = set()
    for heading in soup.select("h2, h3, h4"):
        name = re.sub(r"\W+", "-", heading.get_text().lower()).strip("-")
        while name in seen:
            name += "-again"
        seen.add(name)
        heading["id"] = name
    return [(heading["id"], heading.decode_contents()) for heading in soup.select("h2")]


def section_texts(soup, lesson):
    """(address, lesson, heading, text) of each section, without what is folded away."""
    whole = f"{lesson['number']} · {lesson['title']}"
    found = []
    for node in soup.find_all(["h2", "h3", "p", "li", "td", "th", "pre"]):
        if node.name in ("h2", "h3"):
            address = f"{lesson['name']}.html#{node['id']}"
            found.append([address, whole, node.get_text(), ""])
        elif found and not node.find_parent(["details", "li", "td"]):
            words = node.get_text("" if node.name == "pre" else " ").split()
            found[-1][3] += " ".join(words) + " "
    return found


def move_pictures(soup, folder, name):
    """Pictures out of the page into files, which are fetched only when they come into sight; round
    them and drawings the frame in which they scroll on a phone."""
    for number, image in enumerate(soup.select("img[src^='data:image/webp']"), 1):
        file = f"images/{name}-{number}.webp"
        (folder / file).write_bytes(b64decode(image["src"].partition(",")[2]))
        image["src"] = file
        image["loading"] = "lazy"
    for image in soup.select("img[loading], svg[role]"):
        # At seven tenths of its size the labels of a figure can still be read.
        readable = f"--readable: {round(0.7 * int(image['width']))}px"
        image.wrap(soup.new_tag("div", attrs={"class": "picture", "style": readable}))


def add_recordings(soup, folder, name):
    """The experiments of each simulation as a file, which is fetched when it comes into sight."""
    for number, figure in enumerate(soup.select("figure[data-shows]"), 1):
        file = folder / "recordings" / f"{name}-{number}.js"
        file.parent.mkdir(exist_ok=True)
        text = recordings.recording(figure["data-shows"])
        # A script, and no JSON, since a page in a folder may not fetch files.
        file.write_text(
            f"(window.recordings ??= {{}})['{file.stem}'] = {text};\n", encoding="utf-8"
        )
        figure["data-recording"] = file.stem
        del figure["data-shows"]
        caption = soup.new_tag("figcaption")
        caption.string = "Recorded: choose what to try. In Jupyter you operate it yourself."
        figure.append(caption)


def main():
    folder = ROOT / "site"
    build(executed.lessons(), folder)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder / 'index.html'}  ({size / 1e6:.1f} MB in all)")


if __name__ == "__main__":
    main()
