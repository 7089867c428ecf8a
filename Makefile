# make app     install what is missing, start the app, print its address
# make test    install what is missing, check the code, run every test
# make check   format, lint, types, import rules, dead links
# make format  let ruff format the code

PYTHON ?= python3
PORT ?= 8501
BIN := .venv/bin
CODE := app.py pages spatialnet tests benchmarks
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: app test check format chromium clean

app: .venv/.installed
	@$(BIN)/python -c "import socket; socket.socket().bind(('127.0.0.1', $(PORT)))" 2>/dev/null || \
		{ echo "Port $(PORT) is in use. Stop what runs there, or choose another: make app PORT=8502"; exit 1; }
	@echo "SpatialNet: http://127.0.0.1:$(PORT)   (Ctrl+C stops it; running jobs go on)"
	@$(BIN)/streamlit run app.py --server.port $(PORT)

test: check chromium
	$(BIN)/pytest -q

check: .venv/.installed-dev
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/test_house.py

format: .venv/.installed-dev
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

# The stamps make a second start take seconds: pip runs only when a requirements file changed.
.venv/.installed: requirements.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing what the app needs (some gigabytes the first time, for torch)..."
	@$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

.venv/.installed-dev: requirements-dev.txt .venv/.installed
	@echo "Installing what the tests need..."
	@$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@

chromium:
	@sh tests/browser/install_chromium.sh

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

# New pictures for the README, taken by the browser tests.
.PHONY: screenshots
screenshots: .venv/.installed-dev chromium
	@mkdir -p docs/screenshots
	SPATIALNET_SCREENSHOTS=$(CURDIR)/docs/screenshots $(BIN)/pytest -q tests/browser/test_loop.py tests/browser/test_import.py
