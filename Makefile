# Everything sets itself up: `make demo` and `make test` work on a fresh clone with nothing but Python 3.11-3.13 and make.
#
#   PYTHON=python3.12          the interpreter that makes .venv
#   TORCH=torch==2.11.0        another torch than the locked one
#   TORCH_INDEX=https://download.pytorch.org/whl/cpu
#                              where torch's wheel comes from; PyPI's Linux wheels bring gigabytes of CUDA along,
#                              PyTorch's own index has CPU-only ones
#   NANOGPT=../nanoGPT         a checkout of nanoGPT, for `make bench` to measure beside
#   PROSE=../texts             a folder of .txt files, for `make bench` to tokenize beside code
#   SENTENCES=../sentences.txt a file of sentences, one a line, for `make bench` to pack

PYTHON ?= python3
TORCH ?= $(shell grep '^torch==' constraints.txt)
TORCH_INDEX ?=
BIN := .venv/bin

.PHONY: setup test demo bench

setup: .venv/ready

# torch goes before the rest and alone: a range would take the newest build, whatever its size.
.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("tezgah needs Python 3.11 to 3.13; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	grep -v '^torch==' constraints.txt > .venv/constraints.txt
	$(BIN)/pip install --quiet -c .venv/constraints.txt 'setuptools>=77'
	$(BIN)/pip install --quiet --no-deps $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'
	$(BIN)/pip install --quiet -c .venv/constraints.txt --no-build-isolation -e '.[dev]'
	touch $@

test: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest -n auto --dist worksteal

demo: setup
	$(BIN)/tezgah run recipes/stdlib-code.toml --run runs/stdlib-code
	$(BIN)/tezgah generate runs/stdlib-code "def area_of_rectangle(" "class Stack:" \
		--until block --max-new-tokens 120 --temperature 0.4 --top-p 0.95 --seed 1

bench: setup
	$(BIN)/pytest -m slow
	rm -rf runs/bench
	$(BIN)/python benchmarks/training_step.py $(if $(NANOGPT),--nanogpt '$(NANOGPT)')
	$(BIN)/python benchmarks/masked_step.py $(if $(SENTENCES),--sentences '$(SENTENCES)')
	$(BIN)/python benchmarks/tokenizer_training.py $(if $(PROSE),--prose '$(PROSE)',--kinds code) \
		--megabytes 10 100 --folder runs/bench/corpora
	$(BIN)/python benchmarks/tokenizer_training.py $(if $(PROSE),--prose '$(PROSE)',--kinds code) \
		--megabytes 1000 --rounds 3 --name tokenizer_training-1gb --folder runs/bench/corpora
	$(BIN)/python benchmarks/tokenizer_encoding.py $(if $(PROSE),--prose '$(PROSE)',--kinds code) --folder runs/bench/corpora
	$(BIN)/python benchmarks/resume.py --folder runs/bench/resume
	$(BIN)/python benchmarks/checkpoint_pause.py
	$(BIN)/python benchmarks/demo.py --run runs/bench/stdlib-code
	$(BIN)/python benchmarks/two_sizes.py --folder runs/bench/two-sizes
	$(BIN)/tezgah run recipes/gpt2-shape.toml --run runs/bench/gpt2-shape --train.steps 200
	$(BIN)/python benchmarks/parity.py runs/bench/stdlib-code runs/bench/gpt2-shape
