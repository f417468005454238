# `make demo` and `make test` are all that a fresh machine needs; each installs what is missing first.
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: help prepare build demo test test-home-assistant soak lint doc check-samples reference deb fuzz clean

help:
	@echo 'make demo [-- --for 30s]  simulated cloud, heater, broker and the real bridge, no account needed'
	@echo 'make test                 every test (installs mosquitto if it is missing)'
	@echo 'make test-home-assistant  a real Home Assistant judges the discovery (root; installs 1.3 GB below target/)'
	@echo 'make soak HOURS=8         hours of random faults (default 1), with a table of recoveries and a verdict'
	@echo 'make build                the release binary, target/release/navien2mqtt'
	@echo 'make lint doc             formatting, clippy, documentation'
	@echo 'make check-samples        every sample configuration through `navien2mqtt check`'
	@echo 'make deb                  a Debian package of this machine'"'"'s architecture, in target/debian/'
	@echo 'make reference            man pages and shell completions anew, after a change of the command line or its documentation'
	@echo 'make fuzz                 every fuzz target for a minute'

prepare:
	@scripts/prepare

build: prepare
	cargo build --release --locked

# `make demo -- --for 30s`: the words behind `demo` are arguments of the demo, not targets.
ifeq (demo,$(firstword $(MAKECMDGOALS)))
demo_arguments := $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
ifneq (,$(demo_arguments))
.PHONY: $(demo_arguments)
$(demo_arguments): ; @:
endif
endif
demo: prepare
	@cargo run --quiet --locked --features simulator -- demo $(demo_arguments)

test:
	@scripts/prepare test
	cargo test --locked --all-features

test-home-assistant:
	@scripts/prepare soak
	cargo build --locked --features simulator
	scripts/home-assistant/run

HOURS ?= 1
SEED ?=
soak:
	@scripts/prepare soak
	cargo build --release --locked --features simulator
	scripts/soak --hours $(HOURS) $(if $(SEED),--seed $(SEED))

lint:
	cargo fmt --check
	cargo clippy --locked --all-features --all-targets -- -D warnings
	cargo clippy --locked -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --all-features

check-samples: prepare
	cargo build --locked --quiet
	for sample in config/*.toml config/examples/*.toml; do \
	    NAVIEN_PASSWORD=sample BROKER_PASSWORD=sample target/debug/navien2mqtt check --config $$sample || exit 1; \
	done

reference: prepare
	UPDATE_DOCS=1 cargo test --locked --quiet --test reference

deb: prepare
	scripts/deb

fuzz: prepare
	fuzz/run

clean:
	cargo clean
