# make demo     three calls through the program, on any Debian 12 machine
# make bench    speed; ROWS=200000 for a shorter look at how it grows
# make test     every real part installed and started, all tests (CI runs this)
.PHONY: demo test test-all bench chaos lint lab clean

PYTHON = .venv/bin/python
ROWS = 5000000
# Four processes whatever the cores: tests wait much and compute little. What fills a core by itself shares one process
# (tests/conftest.py). AT_ONCE= runs one after another.
AT_ONCE = -n 4

demo:
	@scripts/bootstrap.sh run
	@.venv/bin/itgrix-bx demo

test: lint
	@$(PYTHON) -m pytest -q $(AT_ONCE)

# Every real call on both databases, and every way a call can go on every shape of telephone system, once more while our
# server stops.
test-all: lint
	@ITGRIX_BX_TEST_ALL=1 $(PYTHON) -m pytest -q $(AT_ONCE)

lint:
	@scripts/bootstrap.sh test
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet . || { echo "run .venv/bin/ruff format ."; exit 1; }
	@.venv/bin/mypy agi bx24client sql itgrix_bx bench fastagi_server.py

# Every figure, each under the command that gives it; hours at these lengths. A sweep alone, shorter:
# python -m bench.capacity sweep --seconds 60 --rates 20 60 120 --latency quick
BENCH_SECONDS = 180
BENCH_RESULTS = build/bench

bench:
	@scripts/bootstrap.sh bench
	@mkdir -p $(BENCH_RESULTS)
	@$(PYTHON) -m bench.agi_engine
	@$(PYTHON) -m bench.inbound_hook
	@$(PYTHON) -m bench.ami_events
	@$(PYTHON) -m bench.requests_per_call --clients product go-like php-like
	@$(PYTHON) -m bench.waits
	@$(PYTHON) -m bench.routing_delay
	@$(PYTHON) -m bench.capacity sweep --seconds $(BENCH_SECONDS) --json $(BENCH_RESULTS)/capacity.jsonl
	@$(PYTHON) -m bench.capacity sweep --seconds $(BENCH_SECONDS) --clients product --cold-shares 0 0.5
	@$(PYTHON) -m bench.plot $(BENCH_RESULTS)/capacity.jsonl $(BENCH_RESULTS)/capacity.png
	@$(PYTHON) -m bench.capacity operating --seconds $(BENCH_SECONDS)
	@$(PYTHON) -m bench.capacity blocked --seconds 60
	@$(PYTHON) -m bench.growth --rows $(ROWS)

# 10,000 calls on SQLite and as many on MariaDB while everything fails at random: about half an hour. It may be
# repeated, and shortened: make chaos SEED=7 CALLS=1000. EVERYTHING=1 switches on whatever there is besides: a budget
# that all processes share, callers answered from memory, recordings converted and fetched by the portal.
chaos:
	@scripts/bootstrap.sh test
	@$(PYTHON) -m tests.chaos.run $(if $(SEED),--seed $(SEED)) $(if $(CALLS),--calls $(CALLS)) \
		$(if $(EVERYTHING),--everything)

# An Asterisk, a MariaDB and an emulated portal with everything wired, until Ctrl-C.
lab:
	@scripts/bootstrap.sh test
	@$(PYTHON) -m tests.real.lab

clean:
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
