import os
import signal

# One torch thread for each process, kernels included: two processes with two threads each on two
# cores slow each other down many times over. It must be set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests that are run in a terminal of `make lab` must not count as the learner's progress.
os.environ.pop("COURSE_PROGRESS", None)

import matplotlib

matplotlib.use("Agg")

# A shell starts what runs in its background deaf to Ctrl-C, which some tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)
