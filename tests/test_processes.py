import warnings

import pytest
import torch.profiler

from course_utils import killed_run, profiling
from course_utils.processes import torchrun

FAILS = """
import os, pathlib, sys, time
rank = int(os.environ["RANK"])
print(f"process {rank} is here, and in its own line: {not sys.stdout.write_through}")
def divide(a, b):
    return a / b
spoken = pathlib.Path(__file__).with_suffix(".spoken")
if rank == 1:
    while not spoken.exists():
        time.sleep(0.01)
    divide(1, 0)
spoken.touch()
time.sleep(60)
"""


def test_what_processes_say_is_printed_and_the_error_of_the_one_that_failed_is_raised(
    tmp_path, capsys
):
    script = tmp_path / "fails.py"
    script.write_text(FAILS)
    with pytest.raises(RuntimeError) as caught:
        torchrun(script)
    lines = str(caught.value).splitlines()
    assert lines[0] == "process 1 failed:"
    assert lines[1].startswith("Traceback") and "fails.py" in lines[2]
    assert "divide(1, 0)" in str(caught.value) and lines[-1].startswith("ZeroDivisionError")
    assert "elastic" not in str(caught.value) and "runpy" not in str(caught.value)
    said = capsys.readouterr().out.splitlines()
    assert said == [f"process {rank} is here, and in its own line: True" for rank in range(2)]


def test_of_killed_processes_the_first_is_named_and_not_one_that_the_launcher_ended(tmp_path):
    script = tmp_path / "dies.py"
    script.write_text(
        "import os, time\nos.abort() if os.environ['RANK'] == '1' else time.sleep(60)"
    )
    with pytest.raises(RuntimeError, match=r"process 1 ended without .*, exit code -6"):
        torchrun(script)


def test_what_breaks_while_python_tidies_up_fails_no_process_that_is_through(tmp_path, capsys):
    script = tmp_path / "through.py"
    script.write_text("import atexit, os\natexit.register(os.abort)\nprint('through')")
    torchrun(script)
    assert capsys.readouterr().out.splitlines() == ["through", "through"]


def steps():
    for _ in range(5):
        with torch.profiler.record_function("long"):
            sum(range(200_000))
        with torch.profiler.record_function("short"):
            pass


def test_the_shares_of_the_parts_of_a_step(capfd, recwarn):
    long, short = profiling.shares_of_time(steps, ("long", "short"))
    assert long > 0.9 and long + short == pytest.approx(1)
    assert capfd.readouterr().err == "" and not recwarn.list
    with pytest.raises(ValueError, match="No step came to"):
        profiling.shares_of_time(steps, ("forward",))


def test_what_a_build_of_the_profiler_warns_of_is_not_shown(recwarn):
    with profiling._quiet():
        warnings.warn("Profiler clears events at the end of each cycle.", stacklevel=1)
    assert not recwarn.list


def test_a_run_that_is_killed_leaves_a_file_from_which_it_ends_as_if_nothing_had_been(tmp_path):
    assert killed_run.start_and_kill(tmp_path / "run.pt", epoch=3) != 0
    resumed, history = killed_run.run(tmp_path / "run.pt")
    undisturbed, expected = killed_run.run()
    assert history["train_loss"] == expected["train_loss"] and history.epochs == 60
    for mine, theirs in zip(resumed.parameters(), undisturbed.parameters(), strict=True):
        assert torch.equal(mine, theirs)
