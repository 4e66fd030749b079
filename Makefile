# Paths are relative throughout: make cannot hold a folder name with a space in a list.
# Every command first sets up what is missing. To use an environment of your own (conda,
# Binder), name its Python and nothing is set up: make test PY=python

PY = .venv/bin/python
ONE = $(if $(NOTEBOOK),--notebook $(NOTEBOOK))

.PHONY: help setup course check test new lab render site wheel measure bench calibrate parity mutate lint format lock clean distclean

help: ## list these commands
	@echo 'make course and make test are all a newcomer needs. The commands:'
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## make .venv and install Graphviz (the other commands do this too)
ifeq ($(PY),.venv/bin/python)
	@sh setup.sh $(if $(filter setup,$(MAKECMDGOALS)),--say)
endif

course: setup ## execute what changed and build the pages in _build/html
	$(PY) -m publish.render --into _build/executed
	$(PY) -m publish.pages.build --notebooks _build/executed

# Of one notebook, its own style is checked with its other rules.
check: $(if $(NOTEBOOK),setup,lint) ## check in a minute what needs no fit; or one notebook, its run too: NOTEBOOK=12a
	$(PY) $(if $(NOTEBOOK),-m publish.one $(NOTEBOOK),-m pytest -n 2 --dist loadfile -m "not compiles and not browser and not notebook")

# First the notebooks, then the tests, which read these runs.
test: lint ## run everything that checks (one notebook alone: NOTEBOOK=12a)
	$(PY) -m pytest tests --nbmake -n 2 $(ONE)
	$(PY) -m pytest -n 2 --dist loadfile $(ONE)

new: setup ## write the skeleton of a notebook: NAME=15-Some_Title
	$(PY) -m publish.new $(NAME)

lab: setup ## open JupyterLab on the notebooks
	$(PY) -m publish.lab

render: setup ## execute the notebooks and replace notebooks/*.ipynb (one: NOTEBOOK=12a)
	$(PY) -m publish.format --check
	$(PY) -m publish.render $(NOTEBOOK)

site: setup ## build the pages in _build/html from the stored outputs
	$(PY) -m publish.pages.build --notebooks notebooks

measure: setup ## say how long each notebook is to read and to run (pages: after make site)
	$(PY) -m publish.measure $(NOTEBOOK)

wheel: setup ## build in _build/wheel what makes a notebook run in any folder
	rm -rf _build/wheel
	$(PY) -m pip wheel . --quiet --no-deps --no-index --no-build-isolation --wheel-dir _build/wheel

bench: setup ## compare samplers: 20 minutes, or 3 with QUICK=1
	$(PY) -m benchmarks.run $(if $(filter-out 0,$(QUICK)),--quick)

calibrate: setup ## calibrate the models of all lectures on simulated data: 20 minutes
	$(PY) -m studies.model_calibration

parity: setup ## renew the page that puts our numbers beside others' (after make course)
	$(PY) -m tests.parity $(NOTEBOOK)

mutate: setup ## say which mistakes in rethinking no test notices, in hours (MODULE=gate: one)
	$(PY) -m tests.mutate $(MODULE)

lint: setup ## check style and format of the code, in notebooks too
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m publish.format --check

format: setup ## put code in order, in the sources of notebooks too
	$(PY) -m ruff format --extend-exclude '*.ipynb' .
	$(PY) -m publish.format

lock: setup ## renew requirements.lock (to the newest: LOCK_OPTIONS=--upgrade)
	mkdir -p _build
	cp requirements.lock _build/requirements.lock
	$(PY) -m uv pip compile pyproject.toml --group dev $(LOCK_OPTIONS) --output-file _build/requirements.lock \
		--universal --python-version 3.12 --generate-hashes --only-binary :all: --no-config \
		--no-annotate --custom-compile-command 'make lock' --quiet
	mv -f _build/requirements.lock requirements.lock

# A folder with .git or pyvenv.cfg in it is another checkout or environment, and not ours to clean.
clean: ## delete what was built and cached, but not .venv
	rm -rf _build .pytest_cache .ruff_cache .hypothesis .jupyter_cache build
	find . ! -path . -type d \( -exec test -e {}/.git \; -o -exec test -e {}/pyvenv.cfg \; -o \
		-name .venv -o -name .git \) -prune -o \
		\( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +

distclean: clean ## clean, and delete .venv too
	@if [ ! -L .venv ] && [ -f .venv/.course-setup ]; then rm -rf .venv; \
	elif [ -L .venv ] || [ -e .venv ]; then \
		echo '.venv was not made by make setup and is left alone: delete it yourself.'; fi
