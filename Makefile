# `make demo` and `make test` do everything on a bare Debian or Ubuntu machine with a Rust toolchain and a C compiler.
#
# Everything is built into one directory outside the checkout, so that RocksDB, which takes 15 to 25 minutes on two
# cores, is compiled once for all of them. Set CARGO_TARGET_DIR to put it elsewhere.

export CARGO_TARGET_DIR ?= $(HOME)/.cache/kiwi-raft/target
PYTHON_ENV ?= $(HOME)/.cache/kiwi-raft/python

DEMO ?= --nodes 3 --port 6400
BENCH ?=

.PHONY: help demo build test unit lint bench deny python deps-build deps-test deps-bench

help:
	@echo 'make demo    a cluster of three nodes on this machine (DEMO="--nodes 5 --port 7000";'
	@echo '             on Kiwis: DEMO="--backend kiwi --kiwi-bin PATH")'
	@echo 'make test    format, lints, documentation, all tests'
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

lint: deps-build
	cargo fmt --all --check
	cargo clippy --profile bench --locked --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --profile bench --locked --workspace --no-deps --document-private-items

# The tests start the product's own binary, with its assertions and openraft's on. `make build` makes it anew without.
unit: python
	PYTHON=$(PYTHON_ENV)/bin/python cargo test --profile bench --locked --workspace

test: lint unit

bench: build deps-bench
	cargo build --release --locked --package tests --bin bench --bin kiwi-stand-in
	RAFT_PROXY_BIN=$(CARGO_TARGET_DIR)/release/raft-proxy $(CARGO_TARGET_DIR)/release/bench $(BENCH)

deny:
	cargo deny check
