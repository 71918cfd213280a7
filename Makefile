# Each target works from a bare checkout: it makes .venv and installs the pinned packages first.
# Needs make and Python 3.11+ with venv; PYTHON=... names another interpreter.

PY := .venv/bin/python
JOBS ?= 3
TESTS ?=

.PHONY: help run test check format-check lint types imports fix bench soak campaign mutants fuzz fuzz-tools lock clean distclean runtime dev services

help:
	@echo "make run     start dts here: engine, worker and console (without a terminal: one job, one text page)"
	@echo "make test    run all tests                     TESTS=tests/unit  only these"
	@echo "make check   formatter, linter, types, import directions"
	@echo "make fix     let the formatter and linter mend what they can"
	@echo "make bench   measure; table here, JSON in benchmarks/out/latest.json"
	@echo "make soak    half an hour's even load: is memory flat?  SOAK_ENGINE= SOAK_MINUTES= SOAK_JOBS="
	@echo "make campaign  faults at random under load     CAMPAIGN_ENGINE=embedded|distributed CAMPAIGN_JOBS= CAMPAIGN_FAULTS= CAMPAIGN_SEED="
	@echo "make mutants  break promises on purpose, and see that the tests notice   ARGS='--only lease'"
	@echo "make fuzz    attack the HTTP interface         FUZZ_SECONDS= FUZZ_EXAMPLES= FUZZ_SEED= FUZZ_PARTS=revocation,schema"
	@echo "make services  install the servers that tests start (a stand-in for MongoDB)"
	@echo "make lock    write the pinned sets again       UPGRADE=1  with the newest versions"
	@echo "make clean   remove caches and build output    distclean  the environment too"

runtime:
	@tools/setup.sh runtime

dev:
	@tools/setup.sh dev

# Servers that tests start for themselves; without them the tests that need one are skipped and named.
services:
	@[ -n "$$DTS_TEST_MONGODB_URL" ] || tools/setup.sh services || \
	echo "dts: the test servers could not be installed; tests that need them are skipped" >&2

# schemathesis lives in an environment of its own; without it the tests that need it are skipped and named.
fuzz-tools:
	@tools/setup.sh fuzz || echo "dts: schemathesis could not be installed; tests that need it are skipped" >&2

run: runtime
	@exec .venv/bin/dts run $(ARGS)

test: dev services fuzz-tools
	@JOBS=$(JOBS) tools/test.sh $(TESTS)

check: format-check lint types imports

format-check: dev
	@echo "format"; $(PY) -m ruff format --check --quiet . || \
	{ echo "some files are not formatted: run 'make fix'" >&2; $(PY) -m ruff format --check . ; exit 1; }

lint: dev
	@echo "lint"; $(PY) -m ruff check --quiet .

types: dev
	@echo "types"; $(PY) -m mypy

imports: dev
	@echo "imports"; report=$$(.venv/bin/lint-imports --no-cache --no-logo 2>&1) || \
	{ echo "$$report" >&2; exit 1; }

fix: dev
	@$(PY) -m ruff check --quiet --fix . ; $(PY) -m ruff format --quiet .

# The peers live in an environment of their own; without it they are named as not measured.
bench: dev
	@tools/setup.sh bench && tools/setup.sh sshbench || \
	echo "dts: the peers could not be installed; they are not measured" >&2
	@$(PY) -m benchmarks $(ARGS)

soak: dev services
	@$(PY) -m tools.soak

campaign: dev
	@$(PY) tools/campaign.py $(ARGS)

fuzz: dev services fuzz-tools
	@$(PY) -m tools.fuzz

mutants: dev
	@$(PY) tools/mutants.py $(ARGS)

lock: runtime
	@tools/lock.sh $(PY)

clean:
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	    .import_linter_cache benchmarks/out snapshot_report.html
	@find . -path './.venv*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	@rm -rf .venv .venv-services .venv-bench .venv-sshbench .venv-fuzz
