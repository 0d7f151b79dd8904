# Everything there is to do with this clone. `make` lists it.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

CARGO := cargo
NATIVE := -p keyward-policy -p keyward-filter -p keyward -p keyward-tests -p keyward-bench -p keyward-fuzz
MODULE := -p keyward-filter --target wasm32-wasip1
TOOLS := $(CURDIR)/.tools
say = @printf '\n== %s\n' "$(1)"

# The fuzz targets in earnest: instrumented for libFuzzer by flags that the pinned compiler takes as it is, optimised,
# and in a folder of their own. What they find worth keeping stays there too.
FUZZ_TARGETS ?= authority body configuration delta_xds glob manifests request_head scrub sealing usage
FUZZ_SECONDS ?= 600
FUZZ := CARGO_PROFILE_DEV_OPT_LEVEL=2 CARGO_INCREMENTAL=0 $(TOOLS)/bin/cargo-fuzz
FUZZ_FLAGS := --fuzz-dir fuzz --dev --sanitizer none --features engine --target-dir target/fuzz

.PHONY: help setup build check test test-native test-wasm adversarial adversarial-mitmproxy fuzz fuzz-build mutants bench demo screenshots

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install the pinned tools that tests and demonstration need (cached outside the clone)
	@hack/setup

build: ## build keyward and the filter, and install the Envoy that they run in
	@hack/setup rust envoy
	$(call say,building the filter)
	$(CARGO) build --locked $(MODULE) --profile module
	$(call say,building keyward)
	$(CARGO) build --locked -p keyward
	@cp -f "$${CARGO_TARGET_DIR:-target}/wasm32-wasip1/module/keyward.wasm" "$${CARGO_TARGET_DIR:-target}/debug/keyward.wasm"

check: ## the inner loop: format, lints, tests of the policy, documentation (no tools needed)
	$(call say,format)
	$(CARGO) fmt --all --check
	$(call say,lints: native)
	$(CARGO) clippy --locked $(NATIVE) --all-targets -- -D warnings
	$(call say,lints: the filter in Wasm)
	$(CARGO) clippy --locked $(MODULE) --all-features -- -D warnings
	$(call say,tests of the policy and of the workspace's shape)
	$(CARGO) test --locked -p keyward-policy -q
	$(CARGO) test --locked -p keyward-tests -q --test structure
	$(call say,documentation)
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps $(NATIVE)

test: setup test-native test-wasm ## install what is needed and run every test
	$(call say,done; left out: benchmarks$(,) scale$(,) endurance and fuzzing)

# Most of these tests wait for gateways to start and for limits to bite: more at a time than there are cores.
test-native: ## every native test, with a real Envoy (needs setup)
	$(call say,tests: units$(,) the module under wasmtime$(,) gateways on a real Envoy)
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-4} $(CARGO) test --locked --no-fail-fast $(NATIVE) --features keyward-fuzz/engine

test-wasm: ## the policy's tests in wasm32 (needs setup)
	$(call say,tests of the policy in wasm32)
	PATH="$(TOOLS)/node/bin:$$PATH" \
	CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER="$(TOOLS)/bin/wasm-bindgen-test-runner" \
	$(CARGO) test --locked -p keyward-policy --target wasm32-unknown-unknown

adversarial: ## attack the gateway, print a table (ARGS='D1 D5', ARGS='--proxy URL --ca FILE -- COMMAND')
	@hack/setup rust envoy tinyproxy
	$(call say,attacks on a running gateway)
	$(CARGO) test --locked $(NATIVE) --test adversarial -- $(ARGS)

# Rows fail there, which is what is to be shown: only a run that gave no report is an error.
MITMPROXY := $(CURDIR)/examples/adversarial-mitmproxy
MITMPROXY_REPORT := $(CURDIR)/target/adversarial-mitmproxy

adversarial-mitmproxy: ## attack mitmproxy 11 with an addon that sets a key, and write docs/adversarial-mitmproxy.md
	@hack/setup rust mitmproxy
	$(call say,attacks on mitmproxy)
	@rm -f $(MITMPROXY_REPORT)/adversarial.md
	-$(CARGO) test --locked $(NATIVE) --test adversarial -- $(ARGS) --report $(MITMPROXY_REPORT) \
	  --name 'mitmproxy 11.0.2 with an addon that sets a header' --about $(MITMPROXY)/about.md \
	  --proxy http://127.0.0.1:8080 --ca $(MITMPROXY_REPORT)/confdir/mitmproxy-ca-cert.pem \
	  -- $(TOOLS)/mitmproxy/bin/mitmdump --listen-host 127.0.0.1 --listen-port 8080 \
	  --set confdir=$(MITMPROXY_REPORT)/confdir --set flow_detail=0 --set termlog_verbosity=warn -s $(MITMPROXY)/set_key.py
	@test -e $(MITMPROXY_REPORT)/adversarial.md
	$(if $(ARGS),,@cp $(MITMPROXY_REPORT)/adversarial.md docs/adversarial-mitmproxy.md)

fuzz-build: ## build the fuzz targets and replay their corpora, as `make test` does
	@hack/setup rust c++
	$(call say,building the fuzz targets)
	$(CARGO) test --locked $(NATIVE) --features keyward-fuzz/engine --test corpora

fuzz: ## fuzz every target for FUZZ_SECONDS (600) each, or those of FUZZ_TARGETS
	@hack/setup rust c++ fuzz
	@for target in $(FUZZ_TARGETS); do \
	  printf '\n== fuzzing %s for %s s\n' $$target $(FUZZ_SECONDS); \
	  mkdir -p target/fuzz/corpora/$$target; \
	  $(FUZZ) run $(FUZZ_FLAGS) $$target target/fuzz/corpora/$$target fuzz/corpora/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=20 || exit 1; \
	done

mutants: ## change the policy in every small way and count the changes that its tests notice (hours)
	@hack/setup rust mutants
	$(call say,mutation testing of the policy)
	hack/mutants

demo: ## show the swap: what the agent sent, what the provider got, what the record says
	@hack/setup rust curl envoy
	$(call say,building keyward and a provider to talk to)
	$(CARGO) run --locked -p keyward-tests --no-default-features --bin demo

screenshots: ## take the pictures of docs/inspector.md in a real Chromium
	@hack/setup rust envoy chromium
	$(CARGO) test --locked $(NATIVE) --features keyward-fuzz/engine --test inspector -- --ignored pictures

bench: ## measure what a request costs beside what Envoy does by itself, and hold it to the stated limits
	@hack/setup rust envoy vegeta collector
	$(call say,building the filter$(,) keyward and the benchmarks$(,) optimised)
	$(CARGO) build --locked $(MODULE) --profile module
	$(CARGO) build --locked --release -p keyward -p keyward-bench
	$(call say,measuring: the machine should have nothing else to do)
	"$${CARGO_TARGET_DIR:-target}/release/keyward-bench" all

, := ,
