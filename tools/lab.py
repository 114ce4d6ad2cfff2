"""Open the lessons in JupyterLab, as copies that belong to the learner: `make lab`.

Arguments go to JupyterLab: `make lab LAB_ARGS="--no-browser --port 8899"`.
"""

import os
import signal
import subprocess
import sys

from tools.desk import ROOT, Desk, Unusable


def lab_command(work, arguments):
    """The command that serves `work` with this Python's JupyterLab and opens the start page."""
    command = [
        sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={work}",
        "--ServerApp.jpserver_extensions={'tools.start_extension': True}",
        "--LabApp.default_url=/start",
        f"--LabApp.app_settings_dir={ROOT / 'tools' / 'lab_settings'}", *arguments,
    ]  # fmt: skip
    # Jupyter refuses to run as root, the usual user of a container, unless told that it is meant.
    if hasattr(os, "geteuid") and os.geteuid() == 0 and "--allow-root" not in arguments:
        command.append("--allow-root")
    return command


def serve(work, arguments):
    """Run JupyterLab on the learner's folder until it ends; returns its exit status."""
    try:
        desk = Desk(ROOT / "notebooks", work)
        for name in desk.tidy():
            print(f"new in {work.name}: {name}")
    except Unusable as problem:
        return str(problem)
    print(f"Your lessons are in {work.name}/. To start one afresh, delete it there.", flush=True)
    environment = os.environ | {"COURSE_PROGRESS": str(desk.passed)}
    server = subprocess.Popen(lab_command(work, arguments), env=environment, cwd=ROOT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches JupyterLab, which asks and stops
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    return server.wait()


def main():
    sys.exit(serve(ROOT / "my_work", sys.argv[1:]))


if __name__ == "__main__":
    main()
