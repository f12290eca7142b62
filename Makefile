# Two commands do everything on a fresh machine: `make demo` and `make test`. Python 3.11 or newer is all they need.

PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= dev
JOBS ?= 2
KILLS ?= 1000
BIN := $(VENV)/bin
DEMO ?= clairgen-demo
CLASSROOM ?= clairgen-classroom
PAPER ?= clairgen-paper
VLLM ?= .venv-vllm
HARNESS ?= .venv-harness
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo classroom paper test test-fast test-times check docs picture prices coverage fuzz fuzz-service kill-trial kill-trial-training bench bench-batch bench-training gpu architectures lint types floors format lock package classroom-models vllm harness clean

demo: $(VENV)/.installed-data,local  ## the paper's four data sets from small language models on this machine
	$(BIN)/clairgen demo $(DEMO)

classroom: $(VENV)/.installed-data,local,report,train  ## pairs, an objective, training on them, and what it gained on test questions
	$(BIN)/clairgen demo $(CLASSROOM) --questions 1300 --train

paper: $(VENV)/.installed-local,report,train  ## the paper's Table 2 in miniature, 252 trainings of a small model; resumable (under two hours on two cores)
	$(BIN)/clairgen experiment paper --out $(PAPER) --jobs 2

test: $(VENV)/.installed-$(EXTRAS)  ## all tests, in two processes; JOBS=0 runs them in one, JOBS=auto in one for each core
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadfile

test-fast: $(VENV)/.installed-$(EXTRAS)  ## the tests of the inner loop: no process, browser or training, nothing slow
	$(BIN)/pytest -m 'not slow' --hypothesis-profile few

test-times: $(VENV)/.installed-$(EXTRAS)  ## all tests, and what they cost in processor seconds
	$(BIN)/pytest -p tests.processor_times

docs: $(VENV)/.installed-docs  ## the documentation as a site in build/docs; a broken link or any other warning is an error
	$(BIN)/python -m docs.generator build
	cd build && $(abspath $(BIN))/zensical build --clean --strict

picture: $(VENV)/.installed-data,local  ## the picture of a pair in the README, from a run of `make demo`
	$(BIN)/python -m docs.generator.picture $(DEMO)/run 350dad29 docs/images/pair.svg

prices: build/prices/.installed  ## data/further_prices.json, from what the package genai-prices knows; data/prices.yaml wins over it
	build/prices/bin/python docs/generator/further_prices.py data/further_prices.json

check: lint types floors docs test  ## all that a commit must pass

coverage: $(VENV)/.installed-$(EXTRAS)  ## the tests, and which lines and branches they go through (also in coverage.xml)
	$(BIN)/pytest --cov --cov-report=term --cov-report=xml

fuzz: $(VENV)/.installed-dev  ## 20,000 answers in all servers' dialects, mixed, and parsers and filters on long texts (a few minutes)
	FUZZ_ANSWERS=20000 FUZZ_TEXT_LENGTH=100000 $(BIN)/python -m pytest -q tests/pipeline/test_dialects.py tests/test_linear.py

fuzz-service: $(VENV)/.installed-dev build/schemathesis/.installed  ## schemathesis over the HTTP API: no server error, no hang, answers as described (a minute)
	$(BIN)/python -m tests.service.fuzz $(abspath build/schemathesis/bin/st)

kill-trial: $(VENV)/.installed-dev  ## kill -9, KILLS times, over all that writes a run: nothing is lost, nothing paid for twice (an hour)
	$(BIN)/python -m tests.durability --kills $(KILLS)

kill-trial-training: $(VENV)/.installed-dev,train  ## 200 kills of small training runs at any moment: each ends with the weights of one that was left alone
	TRAINING_KILLS=100 $(BIN)/python -m pytest -q tests/training/test_kills.py

bench: $(VENV)/.installed-$(EXTRAS) build/peers/.installed  ## asks a second beside other clients, limits, latencies (a quarter of an hour)
	$(BIN)/python -m tests.bench.rate --peers build/peers
	$(BIN)/python -m tests.bench.latency
	$(BIN)/python -m tests.bench.rate_limit

bench-batch: $(VENV)/.installed-$(EXTRAS) build/peers/.installed  ## batches at a provider that fails, beside other clients: answers kept and paid for twice (half an hour)
	$(BIN)/python -m tests.bench.batch_peers --peers build/peers

bench-training: $(VENV)/.installed-dev,train  ## steps a second and memory of training beside TRL's own, losses beside the equations (a quarter of an hour)
	$(BIN)/python -m tests.bench.objectives
	$(BIN)/python -m tests.bench.training
	$(BIN)/python -m tests.bench.training --prompt 470

gpu: $(VENV)/.installed-dev,train  ## on a CUDA card: the shared forward beside TRL's, values, gradients, time and memory (six minutes)
	$(BIN)/python -m tests.gpu

architectures: $(VENV)/.installed-dev,train  ## which causal models of transformers the shared forward agrees with or refuses (ten minutes)
	$(BIN)/python -m tests.training.forward.architectures

build/peers/.installed:
	$(PYTHON) -m venv build/peers/curator
	build/peers/curator/bin/pip install --quiet 'bespokelabs-curator==0.1.31'
	$(PYTHON) -m venv build/peers/distilabel
	build/peers/distilabel/bin/pip install --quiet 'distilabel[openai]==1.5.3' requests
	$(PYTHON) -m venv build/peers/inspect
	build/peers/inspect/bin/pip install --quiet 'inspect-ai==0.3.285' 'openai==3.57.0'
	touch '$@'

build/prices/.installed:
	$(PYTHON) -m venv build/prices
	build/prices/bin/pip install --quiet 'genai-prices>=0.2.3,<0.3'
	touch '$@'

build/schemathesis/.installed:
	$(PYTHON) -m venv build/schemathesis
	build/schemathesis/bin/pip install --quiet 'schemathesis>=4.32,<5'
	touch '$@'

lint: $(VENV)/.installed-$(EXTRAS)
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(VENV)/.installed-$(EXTRAS)
	@if $(BIN)/python -c 'import torch' 2>/dev/null; then MYPYPATH=train $(BIN)/mypy clairgen tests train/clairgen_train train/classroom_models; \
	else MYPYPATH=train $(BIN)/mypy clairgen tests --exclude '^tests/(training/|bench/(objectives|training))' && \
	echo 'train/ and the tests and benchmarks of training are not checked: torch is not installed (EXTRAS=dev,train)'; fi

floors: $(VENV)/.installed-$(EXTRAS)
	$(BIN)/lint-imports

format: $(VENV)/.installed-$(EXTRAS)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

package:  ## the sdist and the wheel in dist/, checked; the wheel is installed by itself and makes a plan
	rm -rf dist build/package
	$(PYTHON) -m venv build/package/tools
	$(PYTHON) -m venv build/package/installed
	build/package/tools/bin/pip install --quiet 'build>=1.3,<2' 'twine>=6.2,<8'
	build/package/tools/bin/python -m build --outdir dist
	build/package/tools/bin/twine check --strict dist/*
	build/package/installed/bin/pip install --quiet --constraint lock/requirements.txt dist/*.whl
	cd build/package && installed/bin/clairgen --help >/dev/null && \
	installed/bin/clairgen generate ../../data/examples/classroom.yaml --run run --limit 5 --dry-run

classroom-models: $(VENV)/.installed-dev,classroom  ## train the classroom's models anew from their seeds (about an hour on two cores)
	PYTHONPATH=train $(BIN)/python -m classroom_models

vllm: $(VENV)/.installed-dev $(VLLM)/.installed  ## clairgen against a real vLLM on this CPU (Linux, 4 GB of disk, ten minutes)
	$(BIN)/python -m tests.real.vllm --python $(VLLM)/bin/python

harness: $(VENV)/.installed-dev $(HARNESS)/.installed  ## clairgen evaluate harness with the real lm_eval and Inspect (five minutes)
	$(BIN)/python -m tests.real.harness --python $(HARNESS)/bin/python

lock: $(VENV)/.installed-dev  ## pin the newest versions that the bounds in pyproject.toml allow
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
		--no-emit-index-url --no-annotate --no-header --constraint lock/cpu.txt --output-file lock/requirements.txt

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-%: $(VENV)/bin/python pyproject.toml lock/requirements.txt
	$(BIN)/pip install --quiet --no-compile --constraint lock/requirements.txt --editable '.[$*]'
	touch '$@'

# The builds of torchvision, torchaudio and torchcodec that vLLM brings along are for CUDA, and it fails where it finds them.
$(VLLM)/.installed: lock/vllm.txt
	$(PYTHON) -m venv $(VLLM)
	@$(VLLM)/bin/pip install --quiet --requirement lock/vllm.txt || { echo 'vLLM cannot be installed, for the reason above: it' \
		'needs Linux, 4 GB of disk, and the builds of torch for CPUs, whose index you name in PIP_EXTRA_INDEX_URL.' >&2; exit 1; }
	$(VLLM)/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch '$@'

$(HARNESS)/.installed:
	$(PYTHON) -m venv $(HARNESS)
	$(HARNESS)/bin/pip install --quiet 'lm_eval[api]>=0.4.13,<0.5' 'inspect-ai>=0.3.285,<0.4' openai
	touch '$@'

clean:
	rm -rf $(VENV) $(VLLM) $(HARNESS) $(DEMO) $(CLASSROOM) $(PAPER) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* coverage.xml
