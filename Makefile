# Thin: every target is a few lines over CMake, pytest and the scripts in tools/, which can be called by themselves.

VENV ?= $(CURDIR)/.venv
export GRAFT_VENV := $(VENV)
PYTHON := $(VENV)/bin/python
JOBS ?= $(shell nproc)
# ccache shares results between clones of this tree wherever they lie.
export CCACHE_BASEDIR ?= $(abspath $(CURDIR)/..)
export CCACHE_NOHASHDIR ?= 1
export TF_CPP_MIN_LOG_LEVEL ?= 2

# $(call build,PRESET[,TARGETS[,OPTIONS]])
build = cmake --preset $(1) -DGRAFT_VENV=$(VENV) $(3) --log-level=WARNING && \
        cmake --build build/$(1) -j$(JOBS) $(if $(2),--target $(2))
# Tests come into build/release with the first target that needs them: until then nothing of theirs is installed or built.
without_tests = $(if $(wildcard build/release/CMakeCache.txt),,-DGRAFT_TESTS=OFF)
link_package = $(PYTHON) tools/link_package.py build/release/python

.DEFAULT_GOAL := help
.PHONY: help
help: ## This text
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

.PHONY: setup setup-tests
setup:
	@tools/setup.sh

setup-tests:
	@tools/setup.sh --tests

.PHONY: build build-all
build: setup ## Build build/release/bin/graft, and the Python package, importable from .venv
	@$(call build,release,product,$(without_tests))
	@$(link_package)

build-all: setup-tests ## Build the tests and benchmarks too
	@$(call build,release,,-DGRAFT_TESTS=ON)
	@$(link_package)

.PHONY: test
test: build-all ## Unit, conformance, end to end, 10 s of each fuzz target; the last line is the sum
	@$(call build,fuzz,fuzzers)
	@$(PYTHON) tools/run_tests.py includes ctest pytest fuzz

.PHONY: test-models
test-models: build-all ## The large models: the ten guide models and every real one
	@$(PYTHON) tools/run_tests.py models

.PHONY: demo
demo: setup ## Transcribe a melody with a real model, in TensorFlow and converted
	@$(call build,release,graft_program graft_python graft_python_files,$(without_tests))
	@$(link_package)
	@$(PYTHON) tools/demo/demo.py

.PHONY: bench
bench: build ## Graft and its peers interleaved on five models: ratios, JSON and a table
	@tools/setup.sh --peers
	@$(PYTHON) bench/bench.py

.PHONY: accuracy
accuracy: build setup-tests ## What each precision costs in accuracy: three networks, 10,000 images
	@$(PYTHON) samples/image_classification/accuracy.py

.PHONY: lint
lint: build-all ## Formatting, include dependencies, clang-tidy on changed files (ALL=1: on all)
	@$(PYTHON) tools/check_includes.py
	@git ls-files '*.cc' '*.h' 'samples/*.c' | xargs -r clang-format-16 --dry-run -Werror
	@$(PYTHON) tools/tidy.py $(if $(ALL),--all)

.PHONY: format
format: ## Format all C++ in place
	@git ls-files '*.cc' '*.h' 'samples/*.c' | xargs -r clang-format-16 -i

.PHONY: asan tsan
asan: setup-tests ## Unit and conformance tests under the address and undefined-behaviour sanitizers
	@$(call build,asan)
	@ASAN_OPTIONS=allocator_may_return_null=1 LSAN_OPTIONS=suppressions=$(CURDIR)/tools/lsan.supp $(PYTHON) tools/run_tests.py --build build/asan ctest

tsan: setup-tests ## Unit tests of the runtime under the thread sanitizer
	@$(call build,tsan)
	@TSAN_OPTIONS="allocator_may_return_null=1 suppressions=$(CURDIR)/tools/tsan.supp" $(PYTHON) tools/run_tests.py --build build/tsan ctest

.PHONY: fuzz
fuzz: setup-tests ## A minute of every fuzz target
	@$(call build,fuzz,fuzzers engine_fuzz)
	@$(PYTHON) tools/run_tests.py --fuzz-seconds 60 --fuzz-seed 0 fuzz

.PHONY: clean
clean: ## Remove build/; the environments stay
	rm -rf build
