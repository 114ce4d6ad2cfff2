"""The experiments of a simulation as JSON, which `playback` in view.js plays without a kernel."""

import json
from base64 import b64encode

from .scene import changes
from .view import packed


def recorded(simulation):
    """The JSON text of all its experiments, each operated as the lesson says.

    `first` is the whole scene before them, `frames` what changes from one picture to the next, and
    `chapters` are the experiments: `start` and `end`, the numbers of their frames, `looks`, those
    at which a move was finished, and the words.
    """
    frames, chapters = [], []
    first = _as_text(list(changes(None, simulation.tree())))
    for number, experiment in enumerate(simulation.experiments, 1):
        steps = sum(move for move in experiment.moves if isinstance(move, int))
        start, looks = len(frames), []
        for _ in simulation.tried(number, stride=max(1, -(-steps // simulation.frames))):
            if not simulation.left:
                looks.append(len(frames))
            frames.append(_as_text(simulation.news()))
        words = {"question": experiment.question, "answer": experiment.answer}
        chapters.append({"start": start, "end": len(frames) - 1, "looks": looks, **words})
    whole = {"first": first, "frames": frames, "chapters": chapters}
    return json.dumps(whole, separators=(",", ":"), allow_nan=False)


def _as_text(news):
    items, parts = packed(news)
    return [items, [b64encode(part).decode() for part in parts]]
