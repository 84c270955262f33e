# What a developer types. `make` alone lists it.
#
# With CI set, Cargo.lock must be in step; on a desk cargo may bring it up to date.

LOCKED := $(if $(CI),--locked)
KAFKA := .ci/kafka/kafka.sh

.PHONY: help test lint check bench

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{ printf "make %-6s %s\n", $$1, $$2 }' Makefile

# The broker starts once all tests have been built. Without one (VELTRIX_TEST_REQUIRE_KAFKA) the tests that need it fail, not skip.
test: ## All tests, against a real Apache Kafka that is fetched, started and stopped for them
	@$(KAFKA) fetch >/dev/null
	cargo test --workspace $(LOCKED) --no-run
	VELTRIX_TEST_REQUIRE_KAFKA=1 $(KAFKA) run -- cargo test --workspace $(LOCKED)

lint: ## Format and clippy, warnings refused
	@cargo fmt --version >/dev/null 2>&1 || { echo "rustfmt is missing; install it with: rustup component add rustfmt"; exit 69; }
	@cargo clippy --version >/dev/null 2>&1 || { echo "clippy is missing; install it with: rustup component add clippy"; exit 69; }
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(LOCKED) -- -D warnings

check: lint test ## Both

bench: ## The benchmarks
	cargo bench -p veltrix-route-table --bench route_table $(LOCKED)
	cargo bench -p veltrix-route-table --bench update $(LOCKED)
	cargo bench -p veltrix-route-table --bench values $(LOCKED)
	cargo bench -p veltrix-engine --bench kafka_calls $(LOCKED)
