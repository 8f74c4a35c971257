# The developer's verbs. The forge's workflow runs test, test-server and test-slow; nothing but pip uses the network.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO_INSTALLED := $(VENV)/.demo-installed
SITE_INSTALLED := $(VENV)/.site-installed
# The constraints pin torch too; pip without them may fetch another build of it.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --quiet --constraint constraints.txt

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false
# Many tests start a Python of their own, which would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help venv demo test units test-slow test-server test-eval lint types contracts portable format docs outputs site site-test dist smoke benchmark clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

venv: $(INSTALLED) ## set up the development environment in .venv

# Stamps depend on the files that decide what is installed. The development set-up serves the demo too, not vice versa.
$(INSTALLED): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) for development; the first time takes a few minutes."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --editable '.[dev]'
	@touch $(INSTALLED) $(DEMO_INSTALLED)

$(DEMO_INSTALLED): pyproject.toml constraints.txt
	@echo "Setting up $(VENV); the first time takes a few minutes."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --editable '.[torch]'
	@touch $(DEMO_INSTALLED)

demo: $(DEMO_INSTALLED) ## mark the bundled model, copy the mark, prove it
	@$(BIN)/insignia demo

test: lint contracts ## everything that must hold but what the next three targets try
	@$(MAKE) --no-print-directory --jobs=2 types units

# Two workers with one thread each: more threads than cores make small models slower, not faster. A worker takes a whole file, so
# that what the file trains is trained once, and the longest files come first (tests/conftest.py).
units: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: $(INSTALLED) ## tests of more than ten seconds, and more cases of some others
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m slow

test-server: $(INSTALLED) ## ask real servers of a marked model, started here
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m server

# Apart from .venv: with the libraries of these extras installed, transformers' Trainer takes half as long again to import.
test-eval: ## lm-evaluation-harness and trackers, in .venv-eval
	@$(PYTHON) -m venv .venv-eval
	@.venv-eval/bin/python -m pip install --quiet --quiet --constraint constraints.txt --editable '.[dev,eval,track]'
	OMP_NUM_THREADS=1 .venv-eval/bin/python -m pytest tests/integration/test_lm_eval.py tests/integration/test_trackers.py

lint: $(INSTALLED) ## ruff's rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) ## mypy, strict
	$(BIN)/mypy

contracts: $(INSTALLED) ## the import layers
	$(BIN)/lint-imports

portable: $(INSTALLED) ## mypy, as if on Windows and on macOS
	$(BIN)/mypy --platform win32
	$(BIN)/mypy --platform darwin

format: $(INSTALLED) ## rewrite the code in ruff's format, with its safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED) ## write anew what scripts make of the docs: reference pages and pictures
	@for script in docs/generate_*.py docs/draw_*.py; do $(BIN)/python $$script; done

outputs: $(INSTALLED) ## run the commands of the docs and write what they print; takes ten minutes
	OMP_NUM_THREADS=1 $(BIN)/python docs/make_outputs.py

$(SITE_INSTALLED): $(INSTALLED)
	@$(PIP_INSTALL) --editable '.[site]'
	@touch $(SITE_INSTALLED)

site: $(SITE_INSTALLED) ## build the site in build/site; a link that leads nowhere stops it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

site-test: site ## open the site in a browser, wide and narrow, and search it
	$(BIN)/python -m pytest tests/integration/test_site.py

# Tools and trial environments are new each time: what is in .venv must not help.
dist: ## build the sdist and the wheel in dist/, and check them
	rm -rf dist build/dist && $(PYTHON) -m venv build/dist
	build/dist/bin/python -m pip install --quiet --quiet build twine
	build/dist/bin/python -m build .
	build/dist/bin/python -m twine check --strict dist/*
	test $$(wc -c < $$(ls dist/*.whl)) -lt 8000000 # bytes

smoke: dist ## install the wheel and the sdist in clean environments and try them
	rm -rf build/smoke && $(PYTHON) -m venv build/smoke/core && $(PYTHON) -m venv build/smoke/all
	build/smoke/core/bin/python -m pip install --quiet --quiet dist/*.whl
	build/smoke/core/bin/python tools/smoke_test.py
	build/smoke/all/bin/python -m pip install --quiet --quiet --constraint constraints.txt "$$(ls dist/*.tar.gz)[torch,gguf,report,timestamp]"
	build/smoke/all/bin/python tools/smoke_test.py --expect torch gguf report timestamp

benchmark: ## list the benchmarks; each is run by its own name
	@for script in benchmarks/*.py; do \
		if [ -f "$$script" ]; then printf '%s\t%s\n' "$$script" "$$(sed -n '1s/^"""//; 1s/"""$$//; 1p' "$$script")"; fi; \
	done | expand -t 40
	@echo "Run one with: $(BIN)/python benchmarks/NAME.py"

clean: ## remove what the tools left; the environment stays
	rm -rf build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests docs benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
