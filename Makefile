# make lab   open the lessons in JupyterLab        make test   run everything that CI runs
# make site  write the lessons as web pages        make slides write them as slides;
#                                                       ONLY=05_full_loop writes one
# make setup build the environment alone           make stamp  write what all lessons share into them
# make text LESSON=05   a lesson as text, to edit; make notebook LESSON=05 puts it back
# make publish REPO=owner/name   put the repository's address everywhere; commit and push after it
# make verified   run all tests, the lessons on more numeric backends too, and note torch's version
#                 and today's date in every lesson
# make bench measure, and write benchmarks/README.md; ONLY=loader measures one section
# make bench-check   measure again, and fail if something of the course became slower
#
# Each command works on a machine that has Python 3.11 or newer and nothing else.

PYTHON ?= python3
LAB_ARGS ?=
CONSTRAINTS ?= constraints.txt
ONLY ?=
LESSON ?=
PY := .venv/bin/python
PIP = $(PY) -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)
BENCH_PY := .venv-bench/bin/python
.PHONY: lab test site slides setup browser stamp picture text notebook publish verified bench bench-check bench-setup

lab: setup
	@$(PY) -m tools.lab $(LAB_ARGS)

test: setup browser
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m pytest -n 2 --dist worksteal --durations=10

site: setup
	@$(PY) -m tools.site

slides: setup
	@$(PY) -m tools.slides $(ONLY)

stamp: setup
	@$(PY) -m tools.stamp

picture: setup
	@$(PY) -m tools.moving_picture

text: setup
	@$(PY) -m tools.text "$(LESSON)"

notebook: setup
	@$(PY) -m tools.text --back "$(LESSON)"

publish: setup
	@$(PY) -m tools.stamp --repository="$(REPO)"

verified: test
	@$(PY) -m pytest -n 2 --dist worksteal -m everywhere
	@$(PY) -m tools.stamp --verified

# The browser tests need a Chromium; without one they are skipped, except in CI, where they fail.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	command -v google-chrome >/dev/null || { \
	[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		echo "Installing chromium for the browser tests ..." && \
		apt-get update -qq && apt-get install -qq -y chromium >/dev/null; } || \
	echo "There is no chromium, so the browser tests are skipped. Install it to run them."

# .venv/complete is written last and holds what was installed, so an interrupted or outdated
# environment is never taken for a finished one; nor is one whose Python went away, or whose folder
# was moved, which the second line notices: there the package is found no more, or somewhere else.
FOUND := import importlib.util, os, sys; spec = importlib.util.find_spec("course_utils"); \
	sys.exit(not spec or spec.origin != os.path.realpath("course_utils/__init__.py"))
setup:
	@{ cat pyproject.toml $(CONSTRAINTS) | cmp -s - .venv/complete && \
	$(PY) -I -c '$(FOUND)' 2>/dev/null; } || { \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "This course needs Python 3.11 or newer. Install it, then run: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }; \
	rm -f .venv/complete; \
	echo "Setting up .venv, once. It takes a few minutes, most of them for step 2."; \
	echo "1 of 3: an environment for $$($(PYTHON) --version)"; \
	{ $(PY) -c '' 2>/dev/null || rm -rf .venv; } && \
	$(PYTHON) -m venv .venv && \
	echo "2 of 3: torch, some 200 MB" && \
	$(PIP) torch && \
	echo "3 of 3: JupyterLab, the other packages, and the course itself" && \
	$(PIP) -e '.[dev]' && \
	cat pyproject.toml $(CONSTRAINTS) > .venv/complete || { \
		echo "The set-up did not finish. Look at the message above (is there a network connection?), then run the same command again."; exit 1; }; }

bench: bench-setup
	@$(BENCH_PY) -m benchmarks $(ONLY)

bench-check: bench-setup
	@$(BENCH_PY) -m benchmarks --check $(ONLY)

# The libraries that the course is compared with have an environment of their own: no test sees them.
# torch comes first, in the version that constraints.txt pins, and the others take what is there.
# torchvision comes with fastai; where it doesn't fit this torch, it is better away than broken.
bench-setup:
	@cat pyproject.toml constraints.txt benchmarks/requirements.txt | cmp -s - .venv-bench/complete || { \
	echo "Setting up .venv-bench (once; several minutes) ..."; \
	rm -f .venv-bench/complete; \
	$(PYTHON) -m venv .venv-bench && \
	$(BENCH_PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' && \
	for peer in $$(grep -v '^#' benchmarks/requirements.txt); do \
		$(BENCH_PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt $$peer || \
			echo "$$peer could not be installed; the tables will say so."; \
	done && \
	{ $(BENCH_PY) -c 'import torchvision' 2>/dev/null || \
		$(BENCH_PY) -m pip uninstall --quiet --yes torchvision; } && \
	cat pyproject.toml constraints.txt benchmarks/requirements.txt > .venv-bench/complete || { \
		echo "The set-up did not finish. Look at the message above, then run the same command again."; exit 1; }; }
