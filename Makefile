# Each target sets up .venv by itself. Needs: Python 3.11 or newer with venv, a C and a C++17 compiler, make.
PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)
export PYTHONPATH := $(abspath src)

.PHONY: demo test bench long lint native op format clean

demo: $(VENV)/built $(VENV)-clean/installed
	$(BIN)/python examples/demo/demo.py build/demo --clean-python $(abspath $(VENV)-clean/bin/python) \
		--um $(abspath src/unmoor/native/bin/um) --library $(abspath src/unmoor/native/lib)

test: lint native $(VENV)/built
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

# Peers are measured where they are installed: .venv/bin/pip install --group peers. Some only: make bench WORKLOADS="softmax"
bench: $(VENV)/built
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/compare.py $(WORKLOADS)
	OMP_NUM_THREADS=2 $(BIN)/python benchmarks/compare.py --threads 2 $(WORKLOADS)
	$(BIN)/python benchmarks/table.py
	$(BIN)/python benchmarks/native.py
	$(BIN)/python benchmarks/resident.py
	$(BIN)/python benchmarks/scaling.py

# What takes too long for every commit: data races in the native runtime, all of torch's op database, on top of everything else.
long: test
	$(BIN)/python tools/random_programs.py
	$(BIN)/python tools/op_db_coverage.py
	cmake --preset tsan && cmake --build --preset tsan && ctest --preset tsan

lint: $(VENV)/installed
	$(BIN)/ruff format --check src tests tools examples benchmarks
	$(BIN)/ruff check src tests tools examples benchmarks
	$(BIN)/mypy src/unmoor
	$(BIN)/lint-imports

native: $(VENV)/installed
	cmake --preset release && cmake --build --preset release && ctest --preset release
	cmake --preset asan && cmake --build --preset asan && ctest --preset asan

op: $(VENV)/built
	$(BIN)/python -m pytest tests/differential/test_ops.py -k "$(OP)"

format: $(VENV)/installed
	$(BIN)/ruff check --fix src tests tools examples benchmarks
	$(BIN)/ruff format src tests tools examples benchmarks

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --group dev
	touch $@

$(VENV)/built: $(VENV)/installed $(shell find native bindings CMakeLists.txt -type f)
	$(BIN)/python tools/develop.py
	touch $@

# An interpreter that has NumPy and Unmoor, and neither torch nor llvmlite.
$(VENV)-clean/installed: $(VENV)/installed
	$(PYTHON) -m venv $(VENV)-clean
	$(VENV)-clean/bin/pip install --quiet "numpy>=1.26"
	echo $(abspath src) > $$($(VENV)-clean/bin/python -c "import site; print(site.getsitepackages()[0])")/unmoor.pth
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-clean build
