# make lab · make test · make coverage · make bench · make notebooks · make site · make picture · make clean
# Everything lives in .venv; the stamps in it make a second call start at once.
PYTHON ?= python3
BIN    := .venv/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
ROOT   := $(if $(filter 0,$(shell id -u)),--allow-root)# JupyterLab refuses to run as root unless told
LAB_ARGS ?=
PYTEST_ARGS ?=
# The limit of a notebook cell ends a hang; a slow machine must only be slow.
# In the order of the files: else those with the fewest tests, the slow browser tests, come last.
PARALLEL  := -n logical --maxprocesses=4 --dist=loadfile --no-loadscope-reorder
UNITS     := tests flatmtl_lite --doctest-modules
NOTEBOOKS := notebooks --nbval-lax --nbval-current-env --nbval-cell-timeout=1200

.PHONY: lab lint test coverage bench notebooks site picture clean

lab: .venv/.lab  ## open the first notebook in JupyterLab (loopback only, token kept)
	$(BIN)/python -m jupyterlab --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb \
	    --ServerApp.root_dir=. --ServerApp.ip=127.0.0.1 $(ROOT) $(LAB_ARGS)

lint: .venv/.test  ## style, spelling and types
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

test: lint  ## lint, then unit tests, doctests and every notebook in one pytest run
	FLATMTL_FAST=1 $(BIN)/python -m pytest $(UNITS) $(NOTEBOOKS) $(PARALLEL) $(PYTEST_ARGS)

# Notebooks run by themselves: nbval kills their kernels, and a killed process reports nothing.
coverage: lint  ## the same, and which lines the tests reach, also in processes that they start
	$(BIN)/coverage erase
	FLATMTL_FAST=1 $(BIN)/coverage run -m pytest $(UNITS) $(PARALLEL) $(PYTEST_ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	FLATMTL_FAST=1 $(BIN)/python -m pytest $(NOTEBOOKS) $(PARALLEL) $(PYTEST_ARGS)

bench: .venv/.test  ## side-by-side timings, as ratios
	$(BIN)/python -m benchmarks.steps
	$(BIN)/python -m benchmarks.aggregators
	$(BIN)/python -m benchmarks.stage
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python benchmarks/rooms.py
	$(BIN)/python -m benchmarks.scenes

notebooks: .venv/.test  ## execute both editions again, as they are committed
	$(BIN)/python -m flatmtl_lite.lab.publish.build notebooks

site: .venv/.test  ## course, guides and API pages in out/site: no kernel, no network
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs out/site

picture: .venv/.test  ## the moving picture of the README, from the real instrument
	$(BIN)/python docs/moving_picture.py docs/images/rho.gif

clean:  ## results in out/ are yours and stay
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage .coverage.* build dist *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

# torch first and alone: asked for together with others, pip may choose another build of it.
# A venv without pip (python3-venv missing at the first try) is made again.
.venv/.torch: constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
	$(PIP) torch && touch $@

.venv/.lab: .venv/.torch pyproject.toml constraints.txt
	$(PIP) -e ".[lab,runs]" && touch $@

.venv/.test: .venv/.torch pyproject.toml constraints.txt
	$(PIP) -e ".[dev]" && touch .venv/.lab $@
