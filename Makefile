# Everything runs in a private .venv; a machine with Python 3.11 or newer, git and make is enough.
# TORCH_INDEX names another index for torch, for example the CPU-only one that PyTorch's install page shows.
FITS = import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
PIP_TORCH = $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX),)
VENV = .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed

.PHONY: demo test lint bench weights lab parity clean

demo: $(STAMP)
	$(BIN)/explorer demo

test: $(STAMP)
	$(BIN)/python -m tests.browser.install
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)
	$(BIN)/python -m tests.benchmarks all

weights: $(STAMP)
	$(BIN)/python -m explorer.pipeline.shipped

lab: $(STAMP)
	$(BIN)/jupyter lab notebooks

# Published packages beside our modules, in an environment of their own. AstroPT's package is AGPL: it is run, never read.
PARITY = .venv-parity
parity: $(STAMP)
	test -x $(PARITY)/bin/python || $(BIN)/python -m venv $(PARITY)
	$(PARITY)/bin/python -m pip install --quiet --constraint constraints.txt $(PIP_TORCH) torch
	$(PARITY)/bin/python -m pip install --quiet --constraint constraints.txt pytest safetensors polymathic-aion==0.0.2
	$(PARITY)/bin/python -m pip install --quiet --no-deps astropt==2.0.9 loralib
	$(PARITY)/bin/python -m pytest -p no:cacheprovider tests/parity

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.13 is needed: make PYTHON=/path/to/python3"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_TORCH) torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) $(PARITY) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
