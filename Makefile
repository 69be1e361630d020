# Everything is made from python3 (3.11, 3.12 or 3.13) and the package index; nothing else is assumed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow check format lock setup clean

# The same verbs that a user types; each continues where it was stopped, and says so when there is nothing left to do.
DEMO := runs/demo
demo: $(READY)  ## Tokenizers, codes, transformer, feedback, evaluation; writes runs/demo/report.html.
	@$(BIN)/ugf prepare clipart $(DEMO)/data/clipart
	@$(BIN)/ugf prepare shapes:3000 $(DEMO)/data/shapes
	@$(BIN)/ugf train --config=experiments/demo.py --workdir=$(DEMO)/tokenizer
	@$(BIN)/ugf prepare shapes:3000 $(DEMO)/data/coded --tokenize=$(DEMO)/tokenizer --drop_pixels
	@$(BIN)/ugf train --config=experiments/demo_unified.py --workdir=$(DEMO)/unified
	@$(BIN)/ugf export $(DEMO)/unified $(DEMO)/model --tokenizer=$(DEMO)/tokenizer
	@$(BIN)/ugf rate --prompts=shapes:train:100 --samples=6 --pairs=8 --error_rate=0.1 --nodetails --output=$(DEMO)/rated
	@$(BIN)/ugf train --config=experiments/small_reward.py:$(DEMO)/rated --workdir=$(DEMO)/reward \
	  --config.steps=40 --config.data.auxiliary=0
	@$(BIN)/ugf train --config=experiments/small_rlhf.py:,$(DEMO)/reward --workdir=$(DEMO)/ppo \
	  --config.steps=12 --config.evaluation.limit=16
	@$(BIN)/ugf export $(DEMO)/ppo $(DEMO)/improved
	@$(BIN)/ugf evaluate --workdir=$(DEMO)/tokenizer --model=$(DEMO)/model --feedback=$(DEMO)/ppo --improved=$(DEMO)/improved \
	  --data=$(DEMO)/data/shapes/test --limit=56 --tasks=reconstruction,generation,understanding,retrieval,policy \
	  --beside=shipped --output=$(DEMO)/evaluation --report=$(DEMO)/report.html

test: $(READY) check  ## Lint, types and the whole quick test suite.
	@$(BIN)/python -m pytest -n 2 -q -m "not slow" tests

test-slow: $(READY)  ## Random kills, many devices, several processes, whole corpora.
	@$(BIN)/python -m pytest -q -m slow tests

check: $(READY)
	@$(BIN)/ruff check -q . && $(BIN)/ruff format -q --check . && $(BIN)/mypy -p ugf_jax

format: $(READY)
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

setup: $(READY)  ## Only make the environment.

# One lock for every platform and Python; needs uv.
lock:
	uv pip compile --universal --python-version 3.11 --extra dev pyproject.toml -o requirements.txt --no-header -q

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	  "UGF-JAX needs Python 3.11, 3.12 or 3.13; %s is %d.%d. Try: make PYTHON=python3.12 ..." % (sys.executable, *v))'
	@echo "Making $(VENV) from requirements.txt ..."
	@rm -rf $(VENV)
	@if command -v uv >/dev/null; then \
	  uv venv -q --python "$$(command -v $(PYTHON))" $(VENV) && \
	  uv pip install -q -p $(VENV) -r requirements.txt && uv pip install -q -p $(VENV) --no-deps -e . ; \
	else \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt && \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e . ; \
	fi
	@touch $(READY)

clean:
	rm -rf $(VENV) runs build *.egg-info
