# `make demo` and `make test` set up all they need from any python3 >= 3.10.
# TORCH is installed first and alone, so that nothing else decides which build you get:
#   make test TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"

TORCH ?= torch==2.13.0
VENV ?= .venv
BUILD ?= build
SLUG ?= lingbot-world-fast-taehv-window15-sink3

PY := $(VENV)/bin/python
DEMO := $(BUILD)/demo
DEMO_SLUG := lingbot-world-fast-taehv-window15-sink3
CORE := $(shell find lingbot_core -name '*.py')

.PHONY: help venv demo test test-comfy browser lint bench clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    a video from a tiny random checkpoint, on the CPU ($(DEMO)/outputs)"
	@echo "make test    the tests"
	@echo "make test-comfy  the tests against a real ComfyUI (COMFYUI_PATH, ~/comfy/ComfyUI, or the one around this folder)"
	@echo "make lint    ruff check, ruff format, pyright"
	@echo "make bench   speed and memory of SLUG=$(SLUG), random weights, needs a GPU; ARGS=\"--help\" lists options"
	@echo "make venv    only the environment in $(VENV), development tools included"
	@echo "make clean   remove $(BUILD); the environment stays"

venv: $(VENV)/.dev

$(VENV)/.python:
	@for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do \
	  if $$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then \
	    echo "$$($$python --version) -> $(VENV)"; $$python -m venv $(VENV) && touch $@ && exit 0; \
	  fi; \
	done; \
	echo "No Python 3.10 or newer with its venv module on PATH. Install one (on Debian and Ubuntu:" \
	  "python3 and python3-venv) and run make again." >&2; exit 1

$(VENV)/.torch: $(VENV)/.python
	$(PY) -m pip install --quiet --disable-pip-version-check $(TORCH)
	@touch $@

$(VENV)/.run: $(VENV)/.torch pyproject.toml
	$(PY) -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(DEMO)/outputs/$(DEMO_SLUG).mp4
	@echo "Video, stats and contact sheet are in $(DEMO)/outputs. The weights are random, so the picture is noise."

$(DEMO)/checkpoint/.made: $(VENV)/.run $(wildcard lingbot_core/make_checkpoint*.py lingbot_core/tiny_tokenizer.py)
	rm -rf $(DEMO)/checkpoint
	$(VENV)/bin/lingbot-world make-checkpoint --out $(DEMO)/checkpoint --size tiny
	@touch $@

$(DEMO)/outputs/$(DEMO_SLUG).mp4: $(DEMO)/checkpoint/.made $(wildcard assets/demo/*) $(CORE)
	$(VENV)/bin/lingbot-world generate $(DEMO_SLUG) --device cpu --checkpoint-root $(DEMO)/checkpoint \
	  --image-path assets/demo/image.jpg --pose-path assets/demo/poses.npy \
	  --intrinsic-path assets/demo/intrinsics.npy --prompt-path assets/demo/prompt.txt \
	  --total-blocks 3 --output-dir $(DEMO)/outputs --contact-sheet
	@touch $@

# Two files of tests at a time, because many wait for other processes; one where there is a GPU, whose memory some measure.
JOBS ?= $(if $(shell command -v nvidia-smi),0,2)
PYTEST := $(PY) -m pytest -n $(JOBS) --dist loadfile

test: venv browser
	$(PYTEST) $(ARGS)

test-comfy: venv browser
	$(PYTEST) -rs tests/comfy $(ARGS)

# The browser tests need a ComfyUI, node, a Chromium and playwright-core. The last is fetched where only it is missing;
# where that fails, for want of npm or a network, they are skipped and say so (pytest -rs).
browser: venv
	@if $(PY) -m tests.comfy.browser; then \
	  npm install --silent --no-audit --no-fund --fetch-retries=1 --fetch-retry-mintimeout=1000 \
	    --fetch-timeout=30000 --prefix $(BUILD) playwright-core >/dev/null 2>&1 || true; fi

lint: venv
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright --pythonpath $(PY)

bench: $(VENV)/.run
	$(VENV)/bin/lingbot-world bench $(SLUG) $(ARGS)

clean:
	rm -rf $(BUILD)
