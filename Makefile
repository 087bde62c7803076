# make train   set up, then train SAC on Pendulum-v1        make format   rewrite the sources in the project's format
# make check   set up, then format, lint, types, tests      make lock     new requirements.lock     make clean
# make docs    build the documentation site in build/site      make tables  rewrite the tables in docs/ from the code
# make dist    build wheel and source distribution into dist/, and try each in an empty environment (minutes)
# make benchmark  measure the speed beside other libraries, and draw it (hours; Ctrl-C, then again: it continues)
# make lessons execute the lessons whose notebooks are out of date (Ctrl-C, then again: it continues)
# Set-up is .venv, with the exact versions of requirements.lock; it is done again when these or pyproject.toml change.

PYTHON ?= $(shell for p in python3.11 python3; do $$p -c '' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
READY := .venv/.ready
DOCS := .venv/.docs
PEERS := build/peers
RECENT := 'import sys; sys.exit(sys.version_info < (3, 11))'
define REQUIRE_PYTHON
$(or $(PYTHON),false) -c $(RECENT) 2>/dev/null || { echo 'error: no Python 3.11 or newer - this project needs one -' \
  'install it, or name it: make PYTHON=/path/to/python3.11' >&2; exit 2; }
endef
# Without its bytecode each of the many processes that tests start would compile PyTorch's modules again.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

# Tests compile with -O0, which comes last and so overrides -O3: it takes about half of the time. Kept out of the
# user's cache.
LIGHT := TORCHINDUCTOR_CPP_ENABLE_FLOATING_POINT_CONTRACT_FLAG='off -O0' TORCHINDUCTOR_CACHE_DIR='$(CURDIR)/.venv/compiled'

.PHONY: train check format docs tables dist lessons benchmark peers lock clean
.DEFAULT_GOAL := check

train: $(READY)
	@$(BIN)/footlight train sac Pendulum-v1

check: $(READY)
	@echo '== format (make format repairs it)' && $(BIN)/ruff format --check --quiet .
	@echo '== lint' && $(BIN)/ruff check --quiet .
	@echo '== types' && $(BIN)/mypy
	@echo '== tests' && $(LIGHT) $(BIN)/python -m pytest -n 2 --dist worksteal

format: $(READY)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

tables: $(READY)
	@$(BIN)/python docs/tables.py

dist: $(READY)
	@$(BIN)/python .ci/dist.py

# What the site needs is installed beside the rest, when it is built for the first time.
docs: tables $(DOCS)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo 'open build/site/index.html'

$(DOCS): requirements-docs.lock $(READY)
	@echo "set-up: installing the $$(grep -c == requirements-docs.lock) packages of requirements-docs.lock"
	@$(PIP) install -qq --no-compile --no-deps -r requirements-docs.lock
	@touch $@

lessons: $(READY)
	@$(BIN)/python -c 'import ipykernel, jupytext, nbclient' 2>/dev/null || \
	  $(PIP) install -qq --no-build-isolation -e '.[lessons]'
	@$(BIN)/python lessons/execute.py

# make benchmark ROWS='sac-64 ppo-8' OPTIONS='--rounds 5': some rows, printed only. Whole, it is written to
# benchmarks/results.
benchmark: $(READY) $(PEERS)/.ready
	@$(BIN)/python benchmarks/speed.py $(ROWS) --peer-python $(PEERS)/bin/python $(OPTIONS) \
	  $(if $(ROWS)$(OPTIONS),,--output benchmarks/results/speed.txt)

peers: $(PEERS)/.ready

$(PEERS)/.ready: benchmarks/peers.lock
	@$(REQUIRE_PYTHON)
	@echo "set-up: the $$(grep -c == benchmarks/peers.lock) packages of benchmarks/peers.lock, in $(PEERS) (minutes)"
	@$(PYTHON) -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check install -qq --no-compile -r benchmarks/peers.lock
	@touch $@

# Dependencies stay on: where torch comes as a CUDA build, pip adds the packages that the lock leaves out.
$(READY): requirements.lock pyproject.toml
	@$(BIN)/python -c $(RECENT) 2>/dev/null || { $(REQUIRE_PYTHON); echo 'set-up: making .venv with $(PYTHON)'; \
	  $(PYTHON) -m venv --clear .venv || { rm -rf .venv; echo 'error: no virtual environment - $(PYTHON) comes without' \
	    'a working venv module - install it (Debian, Ubuntu: apt install python3-venv)' >&2; exit 2; }; }
	@echo "set-up: installing the $$(grep -c == requirements.lock) packages of requirements.lock (minutes the first time)"
	@$(PIP) install -qq --no-compile -r requirements.lock
	@$(PIP) install -qq --no-deps --no-build-isolation -e .
	@touch $@

# In an environment of its own, so that the lock holds what pyproject.toml asks for and nothing else.
lock:
	@$(REQUIRE_PYTHON)
	@echo 'lock: resolving pyproject.toml in build/lock (minutes)'
	@$(PYTHON) -m venv --clear build/lock
	@build/lock/bin/python -m pip install -qq --disable-pip-version-check -e '.[dev]'
	@build/lock/bin/python -m pip freeze --all --exclude pip --exclude-editable > build/lock/versions
	@{ echo '# Exact versions of everything used in development. Written by `make lock` from pyproject.toml; not by hand.'; \
	  grep -ivE '^(nvidia-|cuda-|triton)' build/lock/versions | sed 's/+.*//'; } > requirements.lock
	@build/lock/bin/python -m pip install -qq --disable-pip-version-check -c requirements.lock -e '.[docs]'
	@build/lock/bin/python -m pip freeze --all --exclude pip --exclude-editable > build/lock/versions
	@{ echo '# Exact versions of what `make docs` needs besides requirements.lock. Written by `make lock`; not by hand.'; \
	  sed 's/+.*//' build/lock/versions | grep -ivE '^(nvidia-|cuda-|triton)' | grep -vxFf requirements.lock; } \
	  > requirements-docs.lock
	@rm -rf build/lock

clean:
	@rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
