# make demo   sets up and runs a real trial through the lakehouse
# make test   sets up and runs the tests
# make chaos  kills and retries everything, KILLS times (200), and compares what survives
# make chaos-feeds  kills those who pull, their systems and the lines between, and the stream service, KILLS times each
# make soak   feeds the reader 20,000 damaged files and goes through HISTORIES (400) random histories
# make bench  does the same task with lakehouse and with what others use, and writes bench/RESULTS.md
# make bench-quick  says whether lakehouse got slower beside bare Polars than bench/results.json has it
# make lint   style, types, import rules, SQL
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: setup demo test chaos chaos-feeds soak bench bench-quick lint lock screenshots clean

setup: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/python -m compileall -q lakehouse assets resources
	@touch $@

demo: setup
	$(BIN)/lakehouse demo

# Groups of tests side by side, as tests/conftest.py makes them: each process has its own PostgreSQL.
test: setup
	$(BIN)/python -m pytest --numprocesses 3 --dist loadgroup --no-loadscope-reorder

KILLS ?= 200
chaos: setup
	$(BIN)/python tests/chaos/run.py --kills $(KILLS)

chaos-feeds: setup
	$(BIN)/python -W ignore tests/chaos/pulled.py --kills $(KILLS)
	$(BIN)/python -W ignore tests/chaos/stream.py --kills $(KILLS)

HISTORIES ?= 400
soak: setup
	$(BIN)/python -m pytest --hypothesis-profile=soak --durations=0 tests/lakehouse/test_fuzz.py
	$(BIN)/python -m pytest --histories $(HISTORIES) tests/lakehouse/test_ingest.py

bench: setup
	$(BIN)/python -W ignore bench/suite.py
	$(BIN)/python -W ignore bench/suite.py --shapes one --rows 10000000 --rounds 0
	$(BIN)/python -W ignore bench/suite.py --warehouse

bench-quick: setup
	$(BIN)/python -W ignore bench/quick.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --disable-progress-bar dbt_project/models dbt_project/tests

# The versions of everything, without the addresses they came from.
lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-header --no-annotate \
		--no-emit-index-url --output-file requirements.lock pyproject.toml

screenshots: setup
	$(BIN)/python docs/screenshots.py

clean:
	rm -rf .venv .lakehouse landing
