# Each target sets up .venv by itself. Needs: python3.11 or newer, a C and a C++17 compiler, make.
PYTHON ?= python3
VENV := .venv
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)
export PYTHONPATH := $(abspath src)

.PHONY: demo test lint native op format clean

demo: $(VENV)/built
	$(BIN)/python examples/demo/demo.py

test: lint native $(VENV)/built
	$(BIN)/python -m pytest

lint: $(VENV)/installed
	$(BIN)/ruff format --check src tests tools examples
	$(BIN)/ruff check src tests tools examples
	$(BIN)/mypy src/unmoor
	$(BIN)/lint-imports

native: $(VENV)/installed
	cmake --preset asan && cmake --build --preset asan && ctest --preset asan

op: $(VENV)/built
	$(BIN)/python -m pytest tests/differential/test_ops.py -k "$(OP)"

format: $(VENV)/installed
	$(BIN)/ruff check --fix src tests tools examples
	$(BIN)/ruff format src tests tools examples

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --group dev
	touch $@

$(VENV)/built: $(VENV)/installed $(shell find native bindings CMakeLists.txt -type f)
	$(BIN)/python tools/develop.py
	touch $@

clean:
	rm -rf $(VENV) build
