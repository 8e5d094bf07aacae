# Each target makes its own environment first; nothing but Python 3.11+ and pip is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RESULTS ?= results

.PHONY: bench test smoke speed check setup fetch clean

bench: fetch          ## a first leaderboard: the quick tier, half an hour on 2 cores; BASELINE=FOLDER: not worse than that
	$(BIN)/pytest bench/ --benchmark-only --tier quick --results $(RESULTS) $(if $(BASELINE),--baseline $(BASELINE))

smoke: fetch          ## the same path in minutes, on a handful of texts
	$(BIN)/pytest bench/ --benchmark-only --tier smoke --results results/smoke

speed: fetch          ## our training, attacks and explanations beside Trainer, stock TextAttack and Captum
	$(BIN)/python -m bench.speed.fine_tuning
	$(BIN)/python -m bench.speed.attacking
	$(BIN)/python -m bench.speed.explaining

test: fetch           ## all tests
	$(BIN)/pytest -q

check: setup          ## lint, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_architecture.py

fetch: setup          ## pinned models and data, verified by sha256
	$(BIN)/temper fetch

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $(READY)

clean:                ## removes the environment and caches, keeps results
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
