# What a developer types. `make` alone lists it.
#
# With CI set, Cargo.lock must be in step; on a desk cargo may bring it up to date.

LOCKED := $(if $(CI),--locked)
KAFKA := .ci/kafka/kafka.sh

.PHONY: help test test-arm lint check bench

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{ printf "make %-8s %s\n", $$1, $$2 }' Makefile

# The broker starts once all tests have been built. Without one (VELTRIX_TEST_REQUIRE_KAFKA) the tests that need it fail, not skip.
test: ## All tests, against a real Apache Kafka that is fetched, started and stopped for them
	@$(KAFKA) fetch >/dev/null
	cargo test --workspace $(LOCKED) --no-run
	VELTRIX_TEST_REQUIRE_KAFKA=1 $(KAFKA) run -- cargo test --workspace $(LOCKED)

# Debian's names; the instructions that ARM processors have for reading payloads are tested nowhere else.
test-arm: ## What reads payloads and values, tested on an emulated ARM processor
	@command -v qemu-aarch64-static >/dev/null && command -v aarch64-linux-gnu-gcc >/dev/null || { \
		echo "an emulator or a linker is missing; install both with: apt-get install qemu-user-static gcc-aarch64-linux-gnu"; exit 69; }
	@rustc --print target-libdir --target aarch64-unknown-linux-gnu | xargs test -d || { \
		echo "Rust's libraries for ARM are missing; install them with: rustup target add aarch64-unknown-linux-gnu"; exit 69; }
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu" \
	cargo test -p veltrix-route-table $(LOCKED) --target aarch64-unknown-linux-gnu --lib -- json:: value::

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
