# Livemask: `make demo` runs the main job, `make test` the tests, `make run` serves your own webcam.
# Each target first sets up what it needs: Python packages in .venv, and for check and test also Node's
# TypeScript and a Chromium. A second call does nothing that is already done.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
# TORCH=cpu | cuda; without it cuda where an NVIDIA driver answers, else cpu.
TORCH  ?= $(shell nvidia-smi >/dev/null 2>&1 && echo cuda || echo cpu)
CPU_WHEELS := https://download.pytorch.org/whl/cpu
CHECKED := engine stream signaling tests

CLIP ?=
BOX  ?=
POINT ?=
ARGS ?=
# That share the tests; with 0 they run in pytest's own, slower, and nothing has to share the cores.
PROCESSES ?= 2

.PHONY: help setup setup-test test check format demo clicks bench soak run lock clean

help:
	@echo "make demo    the built-in clip through a real WebRTC session -> demo/out.mp4, sheet.png, report.json"
	@echo "make run     serve your own webcam; prints the address (ARGS=\"--model sam2.1-small\")"
	@echo "make test    all tests (ARGS=\"tests/engine -k parity\")"
	@echo "make check   format, lint, types of Python and JavaScript"
	@echo "make clicks  100 clicks in a real browser at 0 and 200 ms: is the frame used the frame clicked?"
	@echo "make bench   the numbers of docs/benchmarks.md"
	@echo "make soak    50 visits and 100,000 frames: does the server grow? (ARGS=\"--cycles 10 --soak-frames 5000\")"
	@echo "make setup, setup-test, format, lock, clean"

setup: $(VENV)/.done

# torch first, for sam2 is built against it; then sam2 without its CUDA extension and without an isolated
# build (which would fetch a second torch); then everything else, pinned.
$(VENV)/.done: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Livemask needs Python 3.11 to 3.13; $(PYTHON) is $$($(PYTHON) --version). Try make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "python3 -m venv failed; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(PIP) --version >/dev/null || $(BIN)/python -m ensurepip
	@index=""; if [ "$(TORCH)" = cpu ]; then \
	  if $(BIN)/python -c 'import urllib.request as u; u.urlopen("$(CPU_WHEELS)/torch/", timeout=10)' 2>/dev/null; \
	  then index="--extra-index-url $(CPU_WHEELS)"; \
	  else echo "$(CPU_WHEELS) does not answer: taking torch from the default index (larger)"; fi; fi; \
	set -ex; \
	$(PIP) install -q -c constraints.txt setuptools wheel; \
	$(PIP) install -q -c constraints.txt $$index torch==2.13.0 torchvision==0.28.0; \
	SAM2_BUILD_CUDA=0 $(PIP) install -q -c constraints.txt --no-build-isolation sam2==1.1.0; \
	$(PIP) install -q -c constraints.txt --no-build-isolation -e .
	@touch $@

# What only tests and checks need; pip learned to read dependency groups in 25.1.
$(VENV)/.dev: $(VENV)/.done
	@set -ex; $(PIP) install -q pip==26.3; $(PIP) install -q -c constraints.txt --group dev
	@touch $@

# Chromium for the browser tests, Node for the types of the page's JavaScript: from the system, because pip
# has neither. Does nothing when they are there; where it cannot install them it says so and goes on.
setup-test: $(VENV)/.dev
	@.ci/system-packages

# TypeScript for the checks, fal's stock client and a bundler for the tests.
node_modules/.done: package-lock.json | setup-test
	npm ci --silent --no-audit --no-fund && touch $@ || echo "npm ci failed: what needs it will say so" >&2

test: setup-test node_modules/.done
	$(BIN)/python -m pytest -q -n $(PROCESSES) --dist loadgroup --no-loadscope-reorder $(ARGS)

check: setup-test node_modules/.done
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/mypy
	node_modules/.bin/tsc -p web/tsconfig.json

format: $(VENV)/.dev
	$(BIN)/ruff check --fix $(CHECKED)
	$(BIN)/ruff format $(CHECKED)

demo: setup
	$(BIN)/livemask demo $(if $(CLIP),--clip "$(CLIP)") $(if $(BOX),--box "$(BOX)") $(if $(POINT),--point "$(POINT)") $(ARGS)

run: setup
	$(BIN)/livemask serve $(ARGS)

clicks: setup-test
	LIVEMASK_CLICKS=$(or $(CLICKS),100) $(BIN)/python -m pytest -q tests/web/test_exact.py $(ARGS)

# transformers is only measured against, so only this target installs it.
bench: setup
	@$(BIN)/python -c 'import importlib.util as u, sys; sys.exit(u.find_spec("transformers") is None)' || \
	  $(PIP) install -q -c constraints.txt "$$(sed -n 's/^ *"\(transformers==.*\)",/\1/p' pyproject.toml)"
	$(BIN)/livemask bench $(ARGS)

# Not among the tests: an hour of camera takes its time even when it is run as fast as the engine goes.
soak: setup
	$(BIN)/livemask bench soak $(ARGS)

# Resolve pyproject.toml afresh in an empty environment and pin what came out.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install -q -U "pip>=25.1" wheel "$$(sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml)"
	build/lock/bin/python -m pip install -q torch==2.13.0 torchvision==0.28.0
	SAM2_BUILD_CUDA=0 build/lock/bin/python -m pip install -q --no-build-isolation sam2==1.1.0
	build/lock/bin/python -m pip install -q --group dev --no-build-isolation .
	@{ sed -n '/^#/p' constraints.txt; build/lock/bin/python -m pip freeze --all \
	  | grep -vE '^(livemask|pip|nvidia-|cuda-|triton)' | sed -E 's/\+[a-z0-9.]+$$//'; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf build dist demo .pytest_cache .mypy_cache .ruff_cache *.egg-info
	find engine stream signaling tests -name __pycache__ -type d -prune -exec rm -rf {} +
