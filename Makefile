# `make demo` and `make test` work on a bare machine with Python, a C++ compiler and make.
# What differs on Windows: the folder of the virtual environment (VENV_BIN=.venv/Scripts).

PYTHON ?= python3
VENV ?= .venv
VENV_BIN ?= $(VENV)/bin
PYTEST ?=

# GCC before 12.4 and 13.3 miscompiles `_tile_loadconfig` (its inline assembly declares 8 of the 64
# bytes that it reads), so that llama.cpp's kernels for Intel's AMX die of an illegal instruction.
# The compiler that builds llama.cpp is asked itself; other compilers and processors get nothing.
AMX_FAULT := defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11 \
  && (__GNUC__ * 100 + __GNUC_MINOR__ < 1204 || (__GNUC__ == 13 && __GNUC_MINOR__ < 3))
WITHOUT_AMX := $(shell printf '\043if %s\nwithout\n\043endif\n' '$(AMX_FAULT)' \
  | $(CXX) -E -P -x c++ - 2>/dev/null | grep -q without \
  && echo -mno-amx-tile -mno-amx-int8 -mno-amx-bf16)

QUESTIONS := tests/data/demo
DEMO_OUT := demo-out
CHECKPOINT := models/demo-checkpoint/MiMo-Audio-Demo

.PHONY: demo demo-model test vulkan test-vulkan portable test-portable clients wheelhouse lint clean

# A spoken question, the answer in speech, and what both look like.
demo: $(VENV)/installed
	rm -rf $(DEMO_OUT)
	$(VENV_BIN)/python -m mimo_edge.chat --seed 1 --transcribe --output $(DEMO_OUT) \
	  --input $(QUESTIONS)/sum.flac --input $(QUESTIONS)/memory.flac
	$(VENV_BIN)/mimo-edge picture $(QUESTIONS)/sum.flac $(DEMO_OUT)/answer-1.wav \
	  -o $(DEMO_OUT)/spectrograms.png
	@echo "Listen to $(DEMO_OUT)/answer-1.wav and answer-2.wav; look at spectrograms.png there."
	@echo "Talk: source $(VENV_BIN)/activate, then mimo-edge chat (or $(VENV_BIN)/mimo-edge chat)."

# The bundle that ships, from the checkpoint beside it.
demo-model: $(VENV)/installed
	rm -f models/demo/README.md  # a conversion replaces nothing but a bundle's own files
	$(VENV_BIN)/python -m convert --force --recipe default --model $(CHECKPOINT) \
	  --tokenizer $(CHECKPOINT)-Tokenizer --out models/demo
	cp training/MODEL_CARD.md models/demo/README.md

# Two processes share the tests, a file at a time, but for those whose devices there are only once, or
# which listen to sound while it plays: a second test beside them would make it falter.
ALONE := microphone or browser or vulkan
test: $(VENV)/installed
	$(VENV_BIN)/ruff check .
	$(VENV_BIN)/ruff format --check .
	$(VENV_BIN)/mypy
	$(VENV_BIN)/python -m pytest -m "not ($(ALONE))" --numprocesses 2 --dist loadfile $(PYTEST); \
	  status=$$?; $(VENV_BIN)/python -m pytest -m "$(ALONE)" $(PYTEST) && exit $$status

# Environments with another llama.cpp: one built for Vulkan, and the one of a wheelhouse, which runs on
# every processor. The wheels stay in the user's cache. WITHIN=SECONDS: build only if it takes less.
vulkan: .venv-vulkan/installed
portable: .venv-portable/installed
.venv-%/installed: pyproject.toml deploy/%.py deploy/llama_builds.py deploy/wheelhouse.py
	$(PYTHON) -m deploy.$* --venv .venv-$* $(if $(WITHOUT_AMX),--without-amx) \
	  $(if $(WITHIN),--within $(WITHIN))
	@touch $@

# The tests that need a Vulkan device. llama.cpp uses a software one (Mesa's) only if it is told to.
test-vulkan: vulkan
	GGML_VK_VISIBLE_DEVICES=$${GGML_VK_VISIBLE_DEVICES:-0} \
	  .venv-vulkan/bin/python -m pytest -m vulkan tests/vulkan $(PYTEST)

# What people without a compiler get computes the same numbers, says the same words and installs.
test-portable: portable
	.venv-portable/bin/python -m pytest -m "not ($(ALONE))" tests/stages/llama tests/golden \
	  tests/demo/test_demo.py tests/demo/test_patch_gguf.py tests/deploy $(PYTEST)

# Published clients that the tests run against the server; without them those tests are skipped.
CLIENTS := tests/server/clients
clients: .clients/installed
.clients/installed: $(CLIENTS)/package.json $(CLIENTS)/requirements.txt
	mkdir -p .clients
	cp $(CLIENTS)/package.json .clients/
	cd .clients && npm install --silent --no-audit --no-fund
	$(PYTHON) -m venv .clients/venv
	.clients/venv/bin/python -m pip install --quiet -r $(CLIENTS)/requirements.txt
	@touch $@

# Every wheel that machines of this platform need, for a start without compiler and network. For
# GPUs: `CMAKE_ARGS=-DGGML_VULKAN=ON make wheelhouse`; PYTHONS="3.11 3.12" for these alone.
WHEELHOUSE ?= wheelhouse
wheelhouse:
	$(PYTHON) -m deploy.wheelhouse --out $(WHEELHOUSE) $(if $(WITHOUT_AMX),--without-amx) \
	  $(if $(PYTHONS),--pythons "$(PYTHONS)") $(if $(ONLY),--only $(ONLY))

lint: $(VENV)/installed
	$(VENV_BIN)/ruff check --fix .
	$(VENV_BIN)/ruff format .
	$(VENV_BIN)/mypy

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV_BIN)/python -m pip install --quiet --upgrade pip
	CFLAGS="$(CFLAGS) $(WITHOUT_AMX)" CXXFLAGS="$(CXXFLAGS) $(WITHOUT_AMX)" \
	  $(VENV_BIN)/python -m pip install --editable ".[test]"
# A llama.cpp that pip kept from another build may not be for this processor: then build it again.
	$(VENV_BIN)/python -m mimo_edge.stages.llama.native_probe || \
	  CFLAGS="$(CFLAGS) $(WITHOUT_AMX)" CXXFLAGS="$(CXXFLAGS) $(WITHOUT_AMX)" \
	  $(VENV_BIN)/python -m pip install --force-reinstall --no-deps --no-cache-dir \
	  "$$($(VENV_BIN)/python -m pip freeze | grep -i '^llama.cpp.python==')"
	$(VENV_BIN)/python -m mimo_edge.stages.llama.native_probe
	@touch $@

clean:
	rm -rf $(VENV) .venv-vulkan .venv-portable .clients $(DEMO_OUT) dist build
