# Everything runs from .venv, which is made on first use and refreshed when pyproject.toml or constraints.txt change.
# The first of these that runs and is new enough makes it; `make install PYTHON=...` names another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.11 python3 python; do $$p -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed
TORCH := $(shell grep -E '^torch(vision)?==' constraints.txt)
WORKERS ?= 2
PYTEST_ARGS ?=

.PHONY: help install app test check lint format lab notebooks pictures walk fuzz architecture space anchors maps quality paper bench soak lock clean
.DEFAULT_GOAL := help
# The tests start hundreds of processes: where this is set, each of them would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  TORCH_INDEX_URL=... takes torch from that package index; PYTEST_ARGS='-k name' goes to pytest."

# torch goes first, so that the rest finds its exact version there and fetches no other build; torchvision (which only
# spandrel wants) comes with it, so that both are of one build.
install:  ## make .venv and install the pinned versions
	@$(or $(PYTHON),false) -c '$(NEW_ENOUGH)' || \
	  { echo "promptsr needs Python 3.11 or newer: install it, or name it as in: make install PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(TORCH) $(if $(TORCH_INDEX_URL),--index-url '$(TORCH_INDEX_URL)')
	$(BIN)/python -m pip install -c constraints.txt -e '.[all,dev,mcp,notebooks,peers,onnx]'
	@touch $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory install

app: $(INSTALLED)  ## open the workbench in the browser
	$(BIN)/promptsr app

lint: $(INSTALLED)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A file's tests stay on one worker, so that what is costly to set up is set up once; tests/conftest.py orders the files.
test: lint  ## lint, then every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: lint  ## lint, and the tests that take little time: for the inner loop
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m 'not slow' $(PYTEST_ARGS)

# New inputs every time, where the tests take the same few. What fails is kept in outputs/fuzz.
fuzz: $(INSTALLED)  ## damaged files, odd settings and requests, for FUZZ_MINUTES (10) each
	FUZZ_MINUTES=$(or $(FUZZ_MINUTES),10) $(BIN)/python -m pytest -q -n 1 -rP -p no:logging -k new_inputs tests/fuzz/test_targets.py
	FUZZ_MINUTES=$(or $(FUZZ_MINUTES),10) $(BIN)/python -m pytest -q -s --timeout 0 tests/workbench/server/test_fuzzed_endpoints.py

format: $(INSTALLED)  ## let ruff mend layout and simple findings
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lab: $(INSTALLED)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab

# The .py files are what is edited; the .ipynb files beside them hold the same cells with the outputs of a full run.
notebooks: $(INSTALLED)  ## run the notebooks in full and keep their outputs
	$(BIN)/jupytext --to ipynb notebooks/*.py
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False notebooks/*.ipynb

pictures: $(INSTALLED)  ## take the pictures of the README anew
	$(BIN)/python -m docs.pictures

walk: $(INSTALLED)  ## walk through the workbench as somebody new: pictures of every step in outputs/walk
	$(BIN)/python -m docs.walk

architecture: $(INSTALLED)  ## draw docs/architecture.md anew from the imports
	$(BIN)/python -m docs.imports

space: $(INSTALLED)  ## write a folder that runs as a Gradio Space or by its Dockerfile: outputs/space
	$(BIN)/python -m tools.space $(or $(SPACE),outputs/space)

anchors: $(INSTALLED)  ## make the study that the tab Anchors opens with anew, after other weights were bundled
	$(BIN)/python -m tools.first_study

maps: $(INSTALLED)  ## make the maps that the tab Attribution opens with anew, after other weights were bundled
	$(BIN)/python -m tools.first_maps

quality: $(INSTALLED)  ## measure the bundled weights: make quality BENCH=path/to/bench
	$(BIN)/python benchmarks/quality.py $(BENCH)

paper: $(INSTALLED)  ## go through the paper claim by claim: outputs/paper/paper.html; PAPER='--bench data/' adds options
	$(BIN)/python -m analysis paper --out outputs/paper $(PAPER)

# Nothing else may run on the machine meanwhile. The speed goes first, while the load is low.
bench: $(INSTALLED)  ## measure speed, training and memory beside other networks: benchmarks/results
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/operations.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/against.py

soak: $(INSTALLED)  ## 20 users of the workbench at once, for ten minutes: benchmarks/results/soak.md
	$(BIN)/python benchmarks/soak.py --minutes 10 --users 20 --seed 0

# CUDA libraries come with torch's own pin, and the local part of a version (+cpu) differs between machines.
lock: $(INSTALLED)  ## pin in constraints.txt what .venv holds now
	grep '^#' constraints.txt > constraints.new
	$(BIN)/python -m pip freeze --all --exclude-editable --exclude pip | \
	  grep -E '^[A-Za-z0-9._-]+==' | grep -vE '^(nvidia|cuda|triton)' | sed 's/+.*//' >> constraints.new
	mv constraints.new constraints.txt

clean:  ## remove caches and build leftovers (not .venv)
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
