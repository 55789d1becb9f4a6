# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
SHARED ?= ../shared

.PHONY: setup demo test check bench bench-full measure base-weights clean

setup: .venv/.ready

# torch first and by its exact version: a range would take the newest build with gigabytes of CUDA where none is wanted.
.venv/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: setup
	$(BIN)/rendernoise online scenes/room/scene.xml --camera scenes/room/camera.json --frames 1-12 --out out/demo --overwrite
	@echo
	@echo "denoised frames:  out/demo/denoised/scene.0001.exr ...   (noisy.R/G/B and error.Y are in the same files)"
	@echo "to look at:       out/demo/preview/scene.0001.png ..."
	@echo "weights to reuse: out/demo/weights.safetensors"

test: setup
	$(BIN)/python -m pytest -q -n logical --maxprocesses 4 --dist loadfile --durations=10

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# The standing benchmark: every method on our scenes (and on those in SHARED), half an hour on 2 cores; goes on where it
# was interrupted. Writes out/bench/index.html and docs/benchmarks.md.
bench: setup
	$(BIN)/python tools/benchmark.py --shared $(SHARED)

# The same with `online` at every sample count: about an hour.
bench-full: setup
	$(BIN)/python tools/benchmark.py --full --shared $(SHARED)

# The other figures of docs/denoiser.md: losses, targets, overhead, memory; and speed.
measure: setup
	$(BIN)/python tools/measure.py all --shared $(SHARED) --out out/measure
	$(BIN)/python tools/speed.py --out out/speed

# The base weights in rendernoise/weights: about an hour of rendering and an hour of training on 2 cores; goes on where it stopped.
base-weights: setup
	$(BIN)/python tools/base_renders.py --scenes 0-143,400-465,600-621 --out out/base/views
	$(BIN)/python tools/train_base.py --renders out/base/views --out out/base/kernel_pyramid --resume
	$(BIN)/python tools/train_base.py --renders out/base/views --out out/base/fast --network fast --steps 10000 --resume
	cp out/base/kernel_pyramid/weights.safetensors rendernoise/weights/kernel_pyramid.safetensors
	cp out/base/fast/weights.safetensors rendernoise/weights/fast.safetensors

clean:
	rm -rf .venv out build dist *.egg-info
