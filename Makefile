# What there is to do with a checkout. Rust, Node.js (20 or newer) with npm, and make are all that
# has to be there; the rest is installed on the way, tools from npm into folders of this checkout.

PORT ?= 5555
INSTANCES ?= 3
FUZZ_INPUTS ?= 10000000
FUZZ_SECONDS ?= 60

.PHONY: help run test lint bench fuzz fmt clean setup-run setup-test
.DEFAULT_GOAL := help

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while read -r name what; do printf '  make %-6s %s\n' "$$name" "$$what"; done

run: setup-run ## Serve the demo on http://localhost:5555 with three workers
	cargo build --release --package maitred
	@echo "Open http://localhost:$(PORT) (Ctrl-C stops it)"
	@PATH="$(CURDIR)/examples/node_modules/.bin:$$PATH" PORT=$(PORT) \
		exec target/release/maitred run examples/bun-serve/server.ts -i $(INSTANCES)

test: setup-test lint ## Check and test everything, as this user and (if root) as an ordinary one
	cargo test --workspace --no-fail-fast
	scripts/test-as-user.sh

lint:
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	@! grep -n 'https\?://' examples/package-lock.json tests/tools/package-lock.json || \
		{ echo "error: a lock file holds download addresses; see the .npmrc beside it"; exit 1; }

bench: setup-test ## Measure maitred beside SO_REUSEPORT, Node's cluster, nginx, HAProxy and pm2 (about 50 minutes)
	cargo build --release --workspace
	@mkdir -p bench/results
	target/release/maitred-bench throughput --out bench/results/throughput.json
	target/release/maitred-bench manager --out bench/results/manager.json
	target/release/maitred-bench manager --many --out bench/results/manager-many.json
	target/release/maitred-bench cost --out bench/results/cost.json
	target/release/maitred-bench requests --out bench/results/requests.json
	target/release/maitred-bench slow --out bench/results/slow.json
	target/release/maitred-bench tail --out bench/results/tail.json --svg bench/results/tail.svg

fuzz: ## Try what is read of strangers on ten million random inputs, then with cargo-fuzz if it is there
	cargo run --release --manifest-path fuzz/Cargo.toml --bin random_inputs -- $(FUZZ_INPUTS)
	@if cargo +nightly fuzz --version >/dev/null 2>&1; then \
		for target in heads requests responses bodies proxy_protocol; do \
			cargo +nightly fuzz run --features libfuzzer $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; \
		done; \
	else \
		echo "cargo-fuzz or a nightly toolchain is not there, so nothing guided the inputs:"; \
		echo "    rustup toolchain install nightly; cargo install cargo-fuzz"; \
	fi

fmt: ## Format the code
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

clean: ## Remove what was built and installed in this checkout
	cargo clean
	cargo clean --manifest-path fuzz/Cargo.toml
	rm -rf examples/node_modules tests/tools/node_modules

setup-run:
	@scripts/setup-npm.sh examples bun

setup-test:
	@scripts/setup-npm.sh tests/tools bun deno playwright-core
	@scripts/setup-debian.sh chromium nginx haproxy musl-gcc gcc python3 curl openssl h2load systemd-analyze
