"""A script under the doctor: `python -m course_utils.doctor train.py its arguments`."""

import argparse
import dataclasses
import difflib
import io
import json
import os
import sys
import threading
import types
from pathlib import Path

from . import LoopDoctor
from .findings import ERROR, WARNING
from .story import as_text, stories


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m course_utils.doctor",
        description="Run a training script, unchanged, under the loop doctor. The report comes at "
        "the end, on stderr; the exit status is the script's.",
    )
    parser.add_argument("--json", metavar="FILE", help="write the findings to FILE, too")
    parser.add_argument(
        "--fail-on",
        choices=[ERROR, WARNING],
        help="exit with status 1 if the script ends well and a finding is that grave",
    )
    parser.add_argument("--explain", metavar="ID", help="tell the story of a bug, and run nothing")
    parser.add_argument("script", nargs="?")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the script's own")
    options = parser.parse_args(arguments)
    if options.explain:
        known = stories()
        if options.explain not in known:
            near = difflib.get_close_matches(options.explain, known) or sorted(known)
            parser.error(f"no bug is called {options.explain!r}; there is {', '.join(near)}")
    elif not options.script:
        parser.error("which script? python -m course_utils.doctor train.py its arguments")
    elif not Path(options.script).is_file():
        parser.error(f"there is no file {options.script!r}")
    return options


def run(script, arguments):
    """Run the file as `python script arguments` would, in a `__main__` of its own."""
    path = os.path.abspath(script)
    main = types.ModuleType("__main__")
    main.__file__, main.__builtins__ = path, __builtins__
    # Kept for good, so that what the script leaves behind (threads, atexit) finds its names.
    sys.modules["__main__"] = main
    sys.argv[:] = [script, *arguments]
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(script))
    with io.open_code(path) as file:
        code = compile(file.read(), path, "exec")
    exec(code, main.__dict__)
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()  # as Python does before it ends


def show(error):
    """Print an exception as Python does, without the frames of this module."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    sys.excepthook(type(error), error.with_traceback(traceback), traceback)
    sys.excepthook = lambda *_: None  # it has been said; Python still sets the exit status


def main():
    options = parse(sys.argv[1:])
    if options.explain:
        print(as_text(options.explain, *stories()[options.explain]))
        return
    doctor = LoopDoctor(verbose=False)
    ended = None
    try:
        with doctor:
            run(options.script, options.arguments)
    except SystemExit as error:
        ended = error
        if not (error.code is None or isinstance(error.code, int)):
            print(error.code, file=sys.stderr)
            ended = SystemExit(1)
    except BaseException as error:
        ended = error
        show(error)
    sys.stdout.flush()
    print(f"\n{doctor}", file=sys.stderr)
    if options.json:
        report = {
            "findings": [dataclasses.asdict(finding) for finding in doctor.findings],
            "watched": doctor.watched,
            "unchecked": doctor.unchecked,
        }
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if ended is not None and not (isinstance(ended, SystemExit) and not ended.code):
        raise ended
    grave = {ERROR: {ERROR}, WARNING: {ERROR, WARNING}}.get(options.fail_on, set())
    if any(finding.severity in grave for finding in doctor.findings):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
