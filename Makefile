# `make demo` and `make test` do everything on a bare Debian or Ubuntu machine with a Rust toolchain and a C compiler.
#
# Everything is built into one directory outside the checkout, so that RocksDB, which takes 15 to 25 minutes on two
# cores, is compiled once for all of them. Set CARGO_TARGET_DIR to put it elsewhere.

export CARGO_TARGET_DIR ?= $(HOME)/.cache/kiwi-raft/target
PYTHON_ENV ?= $(HOME)/.cache/kiwi-raft/python
NODE_ENV_DIR ?= $(HOME)/.cache/kiwi-raft/node

DEMO ?= --nodes 3 --port 6400
BENCH ?=
PROVE ?=
FUZZ ?= 60
FUZZ_TARGETS = request batch append snapshot rdb

.PHONY: help demo build test unit lint proof prove fuzz bench deny python node deps-build deps-test deps-bench

help:
	@echo 'make demo    a cluster of three nodes on this machine (DEMO="--nodes 5 --port 7000";'
	@echo '             on Kiwis: DEMO="--backend kiwi --kiwi-bin PATH")'
	@echo 'make test    format, lints, documentation, all tests'
	@echo 'make prove   histories of clients under faults, for an hour (PROVE="--help")'
	@echo 'make fuzz    any bytes for what takes bytes from outside, a minute each (FUZZ=3600)'
	@echo 'make bench   the benchmark beside Redis, etcd and Kiwi (BENCH="--help", KIWI_BIN=PATH)'
	@echo 'make build   the binary: $$CARGO_TARGET_DIR/release/raft-proxy'
	@echo 'make deny    licences and advisories of the dependencies (needs cargo-deny)'

deps-build:
	@scripts/install-deps.sh build

deps-test:
	@scripts/install-deps.sh test

deps-bench:
	@scripts/install-deps.sh bench

build: deps-build
	cargo build --release --locked --package raft-proxy

demo: build
	@$(CARGO_TARGET_DIR)/release/raft-proxy demo $(DEMO)

# redis-py for the tour of the commands.
python: deps-test
	@test -x $(PYTHON_ENV)/bin/python || python3 -m venv $(PYTHON_ENV)
	@$(PYTHON_ENV)/bin/python -c 'import redis' 2>/dev/null || $(PYTHON_ENV)/bin/pip install --quiet 'redis>=5,<8'

# ioredis for the test of cluster clients, where there is a node to run it. Without, that test says that it was not run.
node:
	@if command -v npm >/dev/null && ! test -d $(NODE_ENV_DIR)/node_modules/ioredis; then \
	  mkdir -p $(NODE_ENV_DIR) && npm install --prefix $(NODE_ENV_DIR) --silent --no-audit --no-fund 'ioredis@5' \
	    || echo 'ioredis cannot be installed: its test will not be run' >&2; \
	fi

lint: deps-build
	cargo fmt --all --check
	cargo clippy --profile bench --locked --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --profile bench --locked --workspace --no-deps --document-private-items

# The tests start the product's own binary, with its assertions and openraft's on. `make build` makes it anew without.
unit: python node
	PYTHON=$(PYTHON_ENV)/bin/python NODE_PATH=$(NODE_ENV_DIR)/node_modules cargo test --profile bench --locked --workspace

test: lint unit

# LARGE_FIELDS=1000000 ENGINES=embedded tries it out; with KIWI_BIN it goes through a real Kiwi too.
proof: deps-test
	cargo test --profile bench --locked --workspace --test large --test large_values --test endurance --test hung_leader -- --ignored --nocapture

# Leaves seed, journal, histories and logs in a directory, and says how to run it again. As root it can do more.
prove: deps-test
	cargo build --profile bench --locked --package raft-proxy --package tests --bin raft-proxy --bin kiwi-stand-in --bin prove
	$(CARGO_TARGET_DIR)/release/prove $(PROVE)

# The crates of this repository are compiled once more, with counters; RocksDB is not. What was found is in the directory
# that is named, for FUZZ seconds for each target, and is there the next time.
fuzz: deps-build
	cargo build --profile bench --locked --package fuzz --bin fuzz-seeds
	RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/scripts/fuzz-rustc cargo build --profile bench --locked --package fuzz \
	  --features fuzzer $(foreach target,$(FUZZ_TARGETS),--bin fuzz-$(target))
	@for target in $(FUZZ_TARGETS); do \
	  corpus=$(CARGO_TARGET_DIR)/fuzz/$$target; \
	  $(CARGO_TARGET_DIR)/release/fuzz-seeds $$target $$corpus && echo "$$target: $$corpus" && \
	  $(CARGO_TARGET_DIR)/release/fuzz-$$target -max_total_time=$(FUZZ) -rss_limit_mb=2048 -artifact_prefix=$$corpus- $$corpus \
	    || exit 1; \
	done

bench: build deps-bench
	cargo build --release --locked --package tests --bin bench --bin kiwi-stand-in
	RAFT_PROXY_BIN=$(CARGO_TARGET_DIR)/release/raft-proxy $(CARGO_TARGET_DIR)/release/bench $(BENCH)

deny:
	cargo deny check
