"""How long a learner waits for a simulation, in JupyterLab in a headless Chromium

1. From a key press on a slider to new pixels. One picture, drawn twice in the same notebook: by the
   simulations' view, and by `interact` with `plt.show()`. Both are moved in turn, each time from
   rest. The clock starts with the browser's key event and stops after the frame in which the
   decoded new image is painted.
2. Frames per second of the training dashboard while it trains.
3. From a click on Pause to the last new picture.
"""

import os
import tempfile
from pathlib import Path

import ipywidgets
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import torch

from benchmarks import Row, Table, ratios
from course_utils import mlp, moons
from course_utils.plotting import BLUE, CONFIDENCE, VERMILLION
from course_utils.widgets.base import Simulation
from course_utils.widgets.controls import Slider
from course_utils.widgets.scene import Axis, Heat, Line, Panel, Points, Scene

ROUNDS, MOVES, WARM_UP = 5, 20, 5  # a ratio compares the medians of a round
SECONDS, PAUSES = 10, 20

READING = """\
The aims were 90 ms from slider to pixels in 95 of 100 moves and a third of what `interact` takes \
there, 18 frames a second in training, and 100 ms from Pause to standstill in 95 of 100 clicks. All \
are met on a machine that does nothing else; on a busy one the times are several times as long, and \
the ratio stays. What remains of a simulation's time is mostly the browser's.
"""
NOTEBOOK = [
    "from benchmarks.widgets_in_browser import ReferencePicture, with_interact",
    "ReferencePicture()",
    "with_interact()",
    "from course_utils import widgets; widgets.training_dashboard(data='spiral')",
]
# Notes when keys and mouse buttons went down, and when each new picture in the cell was painted: that
# of `interact` is an image, that of a simulation lies in a shadow tree.
WATCH = """cell => {
    const seen = {down: 0, frames: []};
    const note = event => { seen.down = event.timeStamp; };
    cell.addEventListener('keydown', note, true);
    cell.addEventListener('mousedown', note, true);
    const inside = node => node.shadowRoot?.querySelector('.said');
    const said = [...cell.querySelectorAll('*')].map(inside).find(Boolean);
    let due = false;
    const painted = () => {
        if (due) return;
        due = true;
        requestAnimationFrame(() => {
            const channel = new MessageChannel();  // its message comes after the frame is painted
            channel.port1.onmessage = () => { due = false; seen.frames.push(performance.now()); };
            channel.port2.postMessage(0);
        });
    };
    let source = cell.querySelector('.jp-OutputArea img')?.src;
    new MutationObserver(() => {
        if (said) return painted();
        const image = cell.querySelector('.jp-OutputArea img');
        if (!image || image.src === source) return;
        source = image.src;
        image.decode().catch(() => {}).then(painted);
    }).observe(said ?? cell, {
        subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ['src'],
    });
    cell.seen = seen;
}"""
IDLE = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status == 'idle'"


class Picture:
    """A 100x100 map of a small network, 200 points, a loss curve of 200 points."""

    def __init__(self):
        self.X, self.y = moons(200, seed=0)
        torch.manual_seed(0)
        self.model = mlp(2, 32, 2)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.05)
        for _ in range(30):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(self.model(self.X), self.y).backward()
            optimizer.step()
        x, y = torch.linspace(-1.5, 2.5, 100), torch.linspace(-1, 1.5, 100)
        self.grid = torch.cartesian_prod(y, x).flip(1)
        self.xs = np.linspace(0, 3, 200)

    @torch.no_grad()
    def numbers(self, sharpness):
        """The map and the curve: logits times `sharpness`, losses up to three times as sharp."""
        ground = (sharpness * self.model(self.grid)).softmax(dim=1)[:, 1].reshape(100, 100)
        right, wrong = self.model(self.X).gather(1, torch.stack([self.y, 1 - self.y], 1)).T
        scales = sharpness * torch.tensor(self.xs)[:, None]
        losses = torch.nn.functional.softplus(scales * (wrong - right)).mean(dim=1)
        return ground.numpy(), losses.numpy()

    def draw(self, map_ax, loss_ax, ground, losses):
        image = map_ax.imshow(
            ground, origin="lower", aspect="auto", cmap=CONFIDENCE, vmin=0, vmax=1,
            extent=[-1.5, 2.5, -1, 1.5],
        )  # fmt: skip
        points = [
            map_ax.plot(*self.X[self.y == c].T.numpy(), marker, ms=6, mec="white", color=color)[0]
            for c, marker, color in ((0, "o", BLUE), (1, "^", VERMILLION))
        ]
        (curve,) = loss_ax.plot(self.xs, losses)
        loss_ax.set(xlabel="times sharper", ylabel="loss", ylim=(0, 0.8))
        return image, points, curve


class ReferencePicture(Simulation):
    name = "reference_picture"
    controls = {"sharpness": Slider("sharpness", 0.1, 3.0, 0.5, step=0.01, live=True)}  # noqa: RUF012
    size = (10.0, 4.2)

    def reset(self):
        self.picture = Picture()

    def scene(self):
        picture = self.picture
        ground, losses = picture.numbers(self.values["sharpness"])
        marks = [Heat(ground, (-1.5, 2.5), (-1, 1.5))]
        for c, marker, color in ((0, "o", "blue"), (1, "^", "vermillion")):
            marks.append(Points(*picture.X[picture.y == c].T.numpy(), color, marker))
        curve = Line(picture.xs, losses)
        return Scene(
            [
                Panel(marks, Axis(-1.5, 2.5), Axis(-1, 1.5), "answers"),
                Panel([curve], Axis(0, 3, "times sharper"), Axis(0, 0.8), "loss"),
            ],
            f"Sharpness {self.values['sharpness']:.2f}, last loss {losses[-1]:.3f}.",
        )


def with_interact():
    """The same picture as it is usually made."""
    picture = Picture()

    def show(sharpness):
        _, axes = plt.subplots(1, 2, figsize=ReferencePicture.size, layout="constrained")
        picture.draw(*axes, *picture.numbers(sharpness))
        plt.show()

    slider = ipywidgets.FloatSlider(min=0.1, max=3.0, step=0.01, value=0.5)
    ipywidgets.interact(show, sharpness=slider)


def moved(page, cell):
    """Milliseconds from one key press on the cell's slider to new pixels."""
    page.wait_for_function(IDLE)
    page.wait_for_timeout(150)
    before = cell.evaluate("cell => cell.seen.frames.length")
    cell.locator("input[type=range], .noUi-handle").first.press("ArrowRight")
    page.wait_for_function(
        "([cell, n]) => cell.seen.frames.length > n", arg=[cell.element_handle(), before]
    )
    return cell.evaluate("(cell, n) => cell.seen.frames[n] - cell.seen.down", before)


def frames_per_second(page, cell):
    cell.get_by_role("button", name="Play").click()
    page.wait_for_timeout(2000)
    frames = "cell => [cell.seen.frames.length, performance.now()]"
    n, start = cell.evaluate(frames)
    page.wait_for_timeout(1000 * SECONDS)
    m, end = cell.evaluate(frames)
    cell.get_by_role("button", name="Pause").click()
    return 1000 * (m - n) / (end - start)


def paused(page, cell):
    """Milliseconds from the mouse button on Pause to the last new picture."""
    before = cell.evaluate("cell => cell.seen.frames.length")
    cell.get_by_role("button", name="Play").click()
    page.wait_for_function(
        "([cell, n]) => cell.seen.frames.length > n + 10", arg=[cell.element_handle(), before]
    )
    cell.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(1000)
    return cell.evaluate("cell => Math.max(0, cell.seen.frames.at(-1) - cell.seen.down)")


def in_the_browser():
    """(our moves, those of `interact`, the pauses, all in milliseconds; frames per second)"""
    from tests import browser  # here, since the notebook's kernel imports this module, too

    root = str(Path(__file__).parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    cells = [nbformat.v4.new_code_cell(line) for line in NOTEBOOK]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    with (
        tempfile.TemporaryDirectory() as folder,
        browser.opened(notebook, folder) as (page, errors),
    ):
        ours, interact, dashboard = (page.locator(".jp-CodeCell").nth(i) for i in (1, 2, 3))
        for cell in (ours, interact, dashboard):
            cell.locator(".said, .jp-OutputArea img").first.wait_for()
            cell.evaluate(WATCH)
        moves = [
            (moved(page, ours), moved(page, interact)) for _ in range(WARM_UP + ROUNDS * MOVES)
        ]
        rate = frames_per_second(page, dashboard)
        pauses = [paused(page, dashboard) for _ in range(PAUSES)]
        assert not errors, errors
    mine, theirs = zip(*moves[WARM_UP:], strict=True)
    return mine, theirs, pauses, rate


def spread(times):
    return tuple(f"{time:.0f} ms" for time in (*np.percentile(times, [50, 95]), max(times)))


def measure():
    mine, theirs, pauses, rate = in_the_browser()
    columns = ("median", "95th percentile", "longest")
    medians = [[np.median(times[i::ROUNDS]) for i in range(ROUNDS)] for times in (mine, theirs)]
    yield Table(
        f"From a key press on a slider to new pixels, {ROUNDS * MOVES} times each",
        [
            Row("`interact` and `plt.show()`", ratios(medians[1], medians[1]), spread(theirs)),
            Row("a simulation", ratios(*medians), spread(mine), ours=True),
        ],
        columns,
        "`interact` and `plt.show()`",
    )
    yield Table(
        f"From a click on Pause to the last new picture, {PAUSES} times",
        [Row("training dashboard", cells=spread(pauses))],
        columns,
    )
    yield Table(
        f"While it trains, over {SECONDS} seconds",
        [Row("training dashboard", cells=(f"{rate:.1f}",))],
        ("frames a second",),
    )
