# `make demo` and `make test` work on a bare machine with Python, a C++ compiler and make.
# What differs on Windows: the folder of the virtual environment (VENV_BIN=.venv/Scripts).

PYTHON ?= python3
VENV ?= .venv
VENV_BIN ?= $(VENV)/bin
PYTEST ?=

QUESTIONS := tests/data/demo
DEMO_OUT := demo-out
CHECKPOINT := models/demo-checkpoint/MiMo-Audio-Demo

.PHONY: demo demo-model test lint clean

# A spoken question, the answer in speech, and what both look like.
demo: $(VENV)/installed
	rm -rf $(DEMO_OUT)
	$(VENV_BIN)/python -m mimo_edge.chat --seed 1 --transcribe --output $(DEMO_OUT) \
	  --input $(QUESTIONS)/sum.flac --input $(QUESTIONS)/memory.flac
	$(VENV_BIN)/mimo-edge picture $(QUESTIONS)/sum.flac $(DEMO_OUT)/answer-1.wav \
	  -o $(DEMO_OUT)/spectrograms.png
	@echo "Listen to $(DEMO_OUT)/answer-1.wav and answer-2.wav; look at spectrograms.png there."

# The bundle that ships, from the checkpoint beside it.
demo-model: $(VENV)/installed
	rm -f models/demo/README.md  # a conversion replaces nothing but a bundle's own files
	$(VENV_BIN)/python -m convert --force --recipe default --model $(CHECKPOINT) \
	  --tokenizer $(CHECKPOINT)-Tokenizer --out models/demo
	cp training/MODEL_CARD.md models/demo/README.md

test: $(VENV)/installed
	$(VENV_BIN)/ruff check .
	$(VENV_BIN)/ruff format --check .
	$(VENV_BIN)/mypy
	$(VENV_BIN)/python -m pytest -m "" $(PYTEST)

lint: $(VENV)/installed
	$(VENV_BIN)/ruff check --fix .
	$(VENV_BIN)/ruff format .
	$(VENV_BIN)/mypy

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV_BIN)/python -m pip install --quiet --upgrade pip
	$(VENV_BIN)/python -m pip install --editable ".[test]"
	@touch $@

clean:
	rm -rf $(VENV) $(DEMO_OUT) dist build
