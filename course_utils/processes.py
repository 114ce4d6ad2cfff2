"""Start a script on several processes from a notebook, as `torchrun` does in a terminal."""

import os
import re
import runpy
import subprocess
import sys
import traceback
from pathlib import Path

_SECONDS = 120


def torchrun(script, processes=2):
    """Run the file `script` on several processes, in its folder, and print what they say, sorted.

    In a terminal: `torchrun --standalone --nproc-per-node=2 meet.py`.

    Raises RuntimeError with the error of the process that failed first, TimeoutError after two
    minutes, and leaves no process behind.
    """
    script = Path(script).resolve()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", "-m", "course_utils.processes", str(script)]
    package = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    variables = os.environ | {"PYTHONPATH": path}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=script.parent, env=variables, **pipes) as job:
        try:
            said, complaints = job.communicate(timeout=_SECONDS)
        except BaseException as error:  # the stop button included
            job.terminate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise TimeoutError(
                    f"{script.name} was still running after {_SECONDS} s, and was ended. Does one "
                    "process wait for something that another never sends?"
                ) from None
            raise
    if said:
        print(*sorted(said.splitlines()), sep="\n")
    if job.returncode != 0:
        raise RuntimeError(_what_failed(complaints))


def _what_failed(complaints):
    """The traceback of the process that failed first, out of what all and the launcher wrote."""
    errors = re.findall(r"^\[process (\d+)\] (.*)$", complaints, flags=re.MULTILINE)
    if errors:
        first = errors[0][0]
        lines = [line for number, line in errors if number == first]
        return "\n".join([f"process {first} failed:", *lines])
    root_cause = complaints.rpartition("Root Cause")[2]  # the others were ended by the launcher
    killed = re.search(r"rank +: (\d+).*?\n +exitcode +: (-?\d+)", root_cause)
    if killed:
        return f"process {killed[1]} ended without an error of Python's, exit code {killed[2]}"
    return complaints[-2000:]


def _run(script):
    """Run the script in this process; an error goes out in one piece, marked with the process."""
    # Whole lines: the launcher starts Python with -u, so print would write a line and its end apart,
    # and another process could break in; a longer buffer is lost when the process is ended.
    sys.stdout.reconfigure(line_buffering=True, write_through=False)
    try:
        runpy.run_path(script, run_name="__main__")
    except Exception as error:
        own = error.__traceback__
        while own is not None and own.tb_frame.f_code.co_filename != script:
            own = own.tb_next  # leave out how the script was started
        text = "".join(traceback.format_exception(error.with_traceback(own or error.__traceback__)))
        marked = [f"[process {os.environ['RANK']}] {line}\n" for line in text.splitlines()]
        sys.stderr.write("".join(marked))
        sys.stderr.flush()
        os._exit(1)  # at once: tidying up might wait for the others
    # At once here, too: threads of FSDP that are still alive end Python with SIGABRT, now and then.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    _run(sys.argv[1])
