# Everything sets itself up: an environment in build/env, made once, with what the target needs.
# PIP_ARGS passes options to pip, for instance an index with CPU builds of torch (see README.md).

PYTHON ?= python3
PIP_ARGS ?=
NOTEBOOKS ?= notebooks
JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)

ENV := build/env
PY := $(ENV)/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check -q $(PIP_ARGS) -c constraints.txt
BASE := $(ENV)/.installed
DEV := $(ENV)/.installed-dev
BENCH := $(ENV)/.installed-bench

.PHONY: figures test bounds notebooks lab bench lint readme clean help

help:
	@echo "figures    simulate what is missing, draw every figure, judge every claim, write build/gallery/index.html"
	@echo "test       run the tests"
	@echo "bounds     fuzz every bound with a million instances, prove what has a certificate"
	@echo "notebooks  execute every notebook"
	@echo "lab        open the notebooks in JupyterLab"
	@echo "bench      time our functions against the naive form and against peers"
	@echo "lint       ruff, pyright, import-linter"
	@echo "readme     rewrite the README's table of papers"
	@echo "clean      remove results, gallery and caches, but not the environment"

figures: $(BASE)
	$(PY) -m paper_figures --jobs $(JOBS)

test: $(DEV)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) -q

bounds: $(BASE)
	$(PY) -m theory.fuzz
	$(PY) -m theory.proved_inequalities

notebooks: $(DEV)
	OMP_NUM_THREADS=1 MPLBACKEND=agg $(PY) -m pytest --nbmake --nbmake-timeout=120 -n $(JOBS) -q $(NOTEBOOKS)

lab: $(DEV)
	$(PY) -m jupyterlab --notebook-dir=notebooks

bench: $(BENCH)
	OMP_NUM_THREADS=1 $(PY) -m pytest tests/benchmarks --benchmark-only --benchmark-columns=median,iqr,rounds -q

lint: $(DEV)
	$(ENV)/bin/ruff check .
	$(ENV)/bin/ruff format --check .
	$(ENV)/bin/lint-imports
	$(ENV)/bin/pyright

readme: $(BASE)
	$(PY) -m simulations readme

clean:
	rm -rf build/results build/gallery build/trained .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find theory neural simulations paper_figures tests notebooks -name __pycache__ -prune -exec rm -rf {} +

$(PY):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Lemmata needs Python 3.11 or later")'
	$(PYTHON) -m venv $(ENV)

$(BASE): $(PY) pyproject.toml constraints.txt
	$(PIP) -e .
	touch $@

$(DEV): $(BASE)
	$(PIP) -e '.[test,dev]'
	touch $@

$(BENCH): $(DEV)
	$(PIP) -e '.[bench]'
	touch $@
