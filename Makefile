# `make demo` and `make test` are all that a fresh machine needs; each installs what is missing first.
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: help prepare build demo test test-quick test-home-assistant test-reference-client test-page test-prometheus soak bench lint doc check-samples reference deb deb-arm64 deb-armhf image rpm msrv deny mutants fuzz keep-corpus clean

help:
	@echo 'make demo [-- --for 30s]  simulated cloud, heater, broker and the real bridge, no account needed'
	@echo 'make test                 every test (installs mosquitto if it is missing)'
	@echo 'make test-quick           those that are over within a minute: no outages, no simulated weeks'
	@echo 'make test-home-assistant  a real Home Assistant judges discovery and dashboard (root; installs 1.3 GB below target/)'
	@echo 'make test-reference-client  nwp500-python uses the simulated cloud (Python 3.14, or root and 200 MB below target/)'
	@echo 'make test-page            a headless Chromium uses the page of the HTTP server (Chromium, Node.js and two npm packages)'
	@echo 'make test-prometheus      a real Prometheus judges metrics, alert rules and dashboard (unpacks Debian'"'"'s package below target/)'
	@echo 'make soak HOURS=8         hours of random faults (default 1), with a table of recoveries and a verdict'
	@echo 'make bench                times and allocations of each step, and the bridge beside mosquitto and a paho forwarder'
	@echo 'make build                the release binary, target/release/navien2mqtt'
	@echo 'make lint doc             formatting, clippy (the fuzz targets too), documentation'
	@echo 'make msrv                 compiles everything with the oldest Rust that Cargo.toml allows'
	@echo 'make deny                 licences, sources, versions and advisories of the dependencies (cargo-deny)'
	@echo 'make check-samples        every sample configuration through `navien2mqtt check`'
	@echo 'make deb                  a Debian package of this machine'"'"'s architecture, in target/debian/'
	@echo 'make deb-arm64 deb-armhf  the same for these, from a Debian 12 below target/ (root; 1.5 GB)'
	@echo 'make rpm                  an RPM package of this machine'"'"'s architecture, in target/rpm/ (rpmbuild)'
	@echo 'make image                a container image of this machine'"'"'s architecture, in target/image/ (buildah)'
	@echo 'make reference            man pages and shell completions anew, after a change of the command line or its documentation'
	@echo 'make mutants              which seeded faults the quick tests miss (cargo-mutants); PLACES="heater home" for others'
	@echo 'make fuzz                 every fuzz target for a minute'
	@echo 'make keep-corpus          adds the inputs that fuzzing found worth keeping to fuzz/seeds'

prepare:
	@scripts/prepare

# A released program tells nothing of the machine that built it.
no_build_paths := --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo --remap-path-prefix=$(CURDIR)=/navien2mqtt

build: prepare
	RUSTFLAGS='$(no_build_paths) $(RUSTFLAGS)' cargo build --release --locked
	scripts/check-binary $(or $(CARGO_TARGET_DIR),target)/$(if $(CARGO_BUILD_TARGET),$(CARGO_BUILD_TARGET)/)release/navien2mqtt

# `make demo -- --for 30s`: the words behind `demo` are arguments of the demo, not targets.
ifeq (demo,$(firstword $(MAKECMDGOALS)))
demo_arguments := $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
ifneq (,$(demo_arguments))
.PHONY: $(demo_arguments)
$(demo_arguments): ; @:
endif
endif
demo: prepare
	@# Not quiet while it compiles: that takes minutes.
	@cargo run --locked --features simulator -- demo $(demo_arguments)

test:
	@scripts/prepare test
	scripts/test

test-quick:
	@scripts/prepare test
	scripts/test quick

test-home-assistant:
	@scripts/prepare soak
	cargo build --locked --features simulator
	scripts/home-assistant/run

test-reference-client: prepare
	cargo build --locked --features simulator
	scripts/reference-client

test-page:
	@scripts/prepare soak
	cargo build --locked --features simulator
	scripts/try-page

test-prometheus:
	@scripts/prepare prometheus
	cargo build --locked --features simulator
	scripts/try-prometheus

HOURS ?= 1
SEED ?=
soak:
	@scripts/prepare soak
	cargo build --release --locked --features simulator
	scripts/soak --hours $(HOURS) $(if $(SEED),--seed $(SEED))

bench:
	@scripts/prepare test
	cargo bench --locked --features simulator --bench core --bench bridges

lint:
	cargo fmt --check
	cargo clippy --locked --all-features --all-targets -- -D warnings
	cargo clippy --locked -- -D warnings
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	# Clippy links nothing, so the fuzzing engine, and clang for it, are not needed.
	CUSTOM_LIBFUZZER_PATH=not/linked cargo clippy --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --all-features

check-samples: prepare
	cargo build --locked --quiet
	for sample in config/*.toml config/examples/*.toml; do \
	    NAVIEN_PASSWORD=sample BROKER_PASSWORD=sample target/debug/navien2mqtt check --config $$sample || exit 1; \
	done

MSRV := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
msrv:
	cargo +$(MSRV) check --locked --all-features --all-targets --target-dir target/msrv

deny:
	@scripts/deny

PLACES ?=
mutants: prepare
	@scripts/mutants $(PLACES)

reference: prepare
	UPDATE_DOCS=1 cargo test --locked --quiet --test reference

deb: prepare
	scripts/deb

deb-arm64 deb-armhf: deb-%:
	scripts/deb-foreign $*

rpm: prepare
	scripts/rpm

image: prepare
	scripts/image

fuzz: prepare
	fuzz/run

keep-corpus: prepare
	fuzz/run --keep

clean:
	cargo clean
