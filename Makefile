# `make demo` and `make test` work on a bare machine with Python, a C++ compiler and make.
# What differs on Windows: the folder of the virtual environment (VENV_BIN=.venv/Scripts).

PYTHON ?= python3
VENV ?= .venv
VENV_BIN ?= $(VENV)/bin
PYTEST ?=

GOLDEN := tests/data/golden
DEMO_OUT := demo-out

.PHONY: demo test lint clean

demo: $(VENV)/installed
	$(VENV_BIN)/python -m convert --force --recipe default \
	  --model $(GOLDEN)/checkpoint/MiMo-Audio-7B-Instruct \
	  --tokenizer $(GOLDEN)/checkpoint/MiMo-Audio-Tokenizer \
	  --out models/tiny
	$(VENV_BIN)/python -m mimo_edge.chat --model models/tiny --seed 2 \
	  --temperature 1 --max-new-tokens 200 \
	  --input $(GOLDEN)/audio/question.wav --input $(GOLDEN)/audio/short.wav \
	  --output $(DEMO_OUT)
	@echo
	@echo "The answers and transcript.jsonl are in $(DEMO_OUT)/. The tiny model has random"
	@echo "weights: it answers with noise. README.md says how to convert the real one."

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
	$(VENV_BIN)/python -m pip install --editable ".[convert,test]"
	@touch $@

clean:
	rm -rf $(VENV) $(DEMO_OUT) models/tiny dist build
