# `make book` and `make test` do all their own set-up: Python >= 3.11, make and a C compiler suffice.
# Everything lives in .venv, which is rebuilt when pyproject.toml or constraints.txt change.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PORT ?= 8000
PYTEST := $(BIN)/python -m pytest
# Two workers where there are two cores for their threads (one each unless OMP_NUM_THREADS says more):
# with four threads on two cores a product of small matrices waits for its other half's turn.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1); threads=$${OMP_NUM_THREADS%%,*}; \
	[ "$$n" -ge $$((2 * $${threads:-1})) ] && echo 2 || echo 0)

.PHONY: help setup book serve test test-all faults lint format check-book publish notebooks slides pdf data bench results clean
.DEFAULT_GOAL := help

help:
	@echo "make book        execute every chapter, build the book strictly, say where index.html is"
	@echo "make test        the test suite (minutes); make test-all adds the slow tests"
	@echo "make faults      kills, damage and hostile arguments by the thousand, and what came of them"
	@echo "make serve       serve the built book on http://localhost:$(PORT)"
	@echo "make check-book  open every built page in headless Chromium"
	@echo "make publish     commit the built book to the branch gh-pages"
	@echo "make notebooks   the chapters as .ipynb, for students and instructors"
	@echo "make slides      an hour's slides from figures and captions of the built book"
	@echo "make pdf         the built book as one PDF, printed by headless Chromium"
	@echo "make data        download the retina recording and verify it"
	@echo "make results     the long sweeps whose results the book quotes (hours)"
	@echo "make bench       the benchmarks"
	@echo "make lint        ruff; make format rewrites"
	@echo "make clean       remove what was built (not .venv)"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none was found"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[book,dev]'
	@touch $@

book: $(READY)
	$(BIN)/python scripts/build_book.py

serve: book
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

test: $(READY)
	$(PYTEST) -n $(WORKERS) --dist loadfile

test-all: $(READY)
	$(PYTEST) -n $(WORKERS) --dist loadfile -m 'not book'

# Every row anew; with `ROWS='--fault killed'` some.
faults: $(READY)
	PYTHONPATH=book/results $(BIN)/python tests/faults/campaign.py --again $(ROWS)

check-book: $(READY)
	@test -f _build/html/index.html || $(MAKE) book
	$(PYTEST) -n $(WORKERS) -m book tests/book

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The built pages and the notebooks that Colab opens, as one commit on the branch gh-pages.
publish: book
	@touch _build/html/.nojekyll
	@cd _build/html && export GIT_DIR="$(CURDIR)/.git" GIT_WORK_TREE=. GIT_INDEX_FILE="$(CURDIR)/_build/.index" \
		&& rm -f "$$GIT_INDEX_FILE" && git add --all --force . \
		&& git branch --force gh-pages "$$(git commit-tree -m 'The built book' "$$(git write-tree)")"
	@echo "branch gh-pages holds the book; publish it with: git push --force origin gh-pages"

notebooks: $(READY)
	$(BIN)/python scripts/make_notebooks.py

slides: $(READY)
	@test -f _build/html/index.html || $(MAKE) book
	$(BIN)/python scripts/make_slides.py

pdf: $(READY)
	@test -f _build/html/index.html || $(MAKE) book
	$(BIN)/python scripts/make_pdf.py

data: $(READY)
	$(BIN)/python -m mfvae.data.retina

results: $(READY)
	@for script in book/results/[!_]*.py; do \
		[ -e "$$script" ] || continue; echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

# The peers live in an environment of their own; the benchmarks start them there.
.venv-bench/.ready: benchmarks/requirements.txt
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	@touch $@

bench: $(READY) .venv-bench/.ready
	@for script in benchmarks/bench_*.py; do \
		echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

clean:
	rm -rf _build notebooks .cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
