# Two commands do everything: `make bench` runs the main experiment, `make test` the tests. Each sets itself up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# the same with what large models are read, rounded and scored with
LM := $(VENV)/.lm
# the same with what drives a browser
WEB := $(VENV)/.web
LOCK := requirements/lock.txt
EXTRAS := dev,lm,ray,slurm
# uv resolves without installing; it is in a venv of its own, so that it is no part of what it resolves
UV := build/uv/bin/uv
RESOLVE := $(UV) pip compile --quiet --no-header --no-annotate --python-version 3.11 --all-extras pyproject.toml

.PHONY: help bench test test-slow test-lm test-web browser screenshots test-newest test-oldest pages lock lint format clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

# $(call install,VENV,pip's constraints): an environment with the project in it
define install
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed; set PYTHON=..."'
	$(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet $(2) -e '.[$(EXTRAS)]'
endef

$(STAMP): pyproject.toml $(LOCK)
	$(call install,$(VENV),-c $(LOCK))
	@touch $@

bench: $(STAMP)  ## run the main experiment (experiment=quick) and print its table
	$(BIN)/moatbench sweep +experiment=quick

test: $(STAMP)  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

test-slow: $(STAMP)  ## run the long checks on the mini world
	$(BIN)/python -m pytest -m slow

test-lm: $(LM)  ## run the checks on a real pretrained model (SmolLM2-135M), in few bits, and in lm-eval
	$(BIN)/python -m lm.gguf fetch-smollm2 build
	test -d build/smollm2 || $(BIN)/python -m lm.gguf convert build/SmolLM2-135M-Instruct.Q4_1.gguf build/smollm2
	MOATBENCH_SMOLLM2=$(CURDIR)/build/smollm2 $(BIN)/python -m pytest -m lm

$(LM): $(STAMP)
	$(BIN)/python -m pip install --quiet -c $(LOCK) -e '.[$(EXTRAS),quantize,embed]' 'lm-eval[hf]>=0.4.9'
	@touch $@

test-web: $(WEB) browser  ## run the checks of pages in a real browser (Chromium)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m web

$(WEB): $(STAMP)
	$(BIN)/python -m pip install --quiet -c $(LOCK) -e '.[$(EXTRAS),web]'
	@touch $@

# the browser is the system's own: what playwright would download is built for few systems
browser:
	@test -n "$$MOATBENCH_CHROMIUM" || command -v chromium || command -v chromium-browser || command -v google-chrome \
		|| command -v google-chrome-stable \
		|| { apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium && command -v chromium; } \
		|| { echo 'no Chromium, and apt-get cannot install it here: install one, or name its program in MOATBENCH_CHROMIUM' >&2; \
			exit 1; }

screenshots: $(WEB) browser  ## take the screenshots of docs/images anew
	$(BIN)/python docs/screenshots.py

test-newest:  ## run the tests with the newest versions that pyproject.toml allows, without the lock
	rm -rf build/newest
	$(call install,build/newest)
	OMP_NUM_THREADS=1 build/newest/bin/python -m pytest -n auto --dist worksteal

test-oldest: build/oldest.txt  ## run the tests with the oldest versions that pyproject.toml allows
	rm -rf build/oldest
	$(call install,build/oldest,-c build/oldest.txt)
	OMP_NUM_THREADS=1 build/oldest/bin/python -m pytest -n auto --dist worksteal

# torch alone is taken from the lock: on Linux its older versions are published with CUDA only, some gigabytes of it
build/oldest.txt: pyproject.toml $(LOCK) $(UV)
	grep '^torch==' $(LOCK) > build/torch.txt
	$(RESOLVE) --resolution lowest-direct -c build/torch.txt -o $@

PAGES := quick overview traces decoding curves contracts matched defenses
# of these, those that are there as HTML pages too
VIEWED := overview
# of the page of worst cases: what changes answers or limits them where text is sold, and attacks on text
ATTACKED := none,temperature,antidistillation,permuted,product_of_experts,contrastive,doge,lads,undistillable,undistillable_gain,kgw,adfp,synthid,gumbel,trace_hidden,trace_summary,trace_truncated,trace_every,trace_reordered,trace_confident,trace_rewritten,skeleton_edited,length_matched,paraphrase,anchor_poisoning,random_step_errors,random_errors,honeypot,query_quota,token_bucket
SEARCHED := imitate,clean,answers,prefix,explicit,greedy,resample,rl
# at five points of honest accuracy; what acts on accounts; and on sold probabilities, at an L1 distance of .5
MATCHED := defense=temperature,antidistillation,antidistillation_student,permuted,product_of_experts,doge,kgw \
	defense.temperature.tau=drop:0.05 defense.antidistillation.lam=drop:0.05 defense.antidistillation_student.lam=drop:0.05 \
	defense.permuted.lam=drop:0.05 defense.product_of_experts.gamma=drop:0.05 defense.doge.alpha=drop:0.05 defense.kgw.delta=drop:0.05
TRACES := trace_hidden,trace_summary,trace_truncated
ACCOUNTS := none,lads,suspects_hidden,suspects_antidistillation,suspects_contrastive,suspects_skeleton,behaviour,anthropic_tiers,openai_tiers,proof_of_work,verification
# what looks for suspicious accounts and refuses them; the stack that providers sell; ablations and controls of the first page
DETECTORS := none,prada,seat,hoda,mmd_window,fraudar,linker,louvain,sybilrank
CONTROLS := none,antidistillation_frozen,trace_rewritten_random
SOLD := defense=none,gaussian_noise,gaussian_noise_cached,random_vertex,reverse_sigmoid,mad,mad_argmax,grad_redirection,grad_ones,grad_reverse,modelguard_w,adaptive_misinformation,rounding,top_k,hard_label,stingy,cmi_transform \
	defense.gaussian_noise.sigma=l1:0.5 defense.gaussian_noise_cached.sigma=l1:0.5 defense.random_vertex.epsilon=l1:0.5 \
	defense.reverse_sigmoid.beta=l1:0.5 defense.mad.epsilon=l1:0.5 defense.mad_argmax.epsilon=l1:0.5 \
	defense.grad_redirection.epsilon=l1:0.5 defense.grad_ones.epsilon=l1:0.5 defense.grad_reverse.epsilon=l1:0.5 \
	defense.modelguard_w.epsilon=l1:0.5 defense.adaptive_misinformation.tau=l1:0.5
WORST := worst-case $(addprefix worst-case_,matched traces controls accounts detectors probabilities industry)
pages: $(STAMP)  ## measure the pages of docs/results anew, from a committed tree (hours)
	for name in $(PAGES); do $(BIN)/moatbench sweep +experiment=$$name || exit 1; done
	$(BIN)/python -m experiments.cli.curves +experiment=curves --out results --table experiments/campaign/data/curves.csv
	for name in $(VIEWED); do $(BIN)/moatbench report +experiment=$$name || exit 1; done
	$(BIN)/moatbench validate
	$(BIN)/moatbench validate C1 C2 C4 C11 C12 C13 C14 teacher=mini_worded --name validation_worded
	$(BIN)/moatbench worst-case defense=$(ATTACKED) attack=$(SEARCHED)
	$(BIN)/moatbench worst-case --name worst-case_matched $(MATCHED) attack=$(SEARCHED)
	$(BIN)/moatbench worst-case --name worst-case_traces defense=$(TRACES) attack=imitate,greedy,prefix,invert,expand,alone
	$(BIN)/moatbench worst-case --name worst-case_accounts budget=sybil defense=$(ACCOUNTS) attack=imitate,greedy,clean,sybil,resample
	$(BIN)/moatbench worst-case --name worst-case_detectors budget=sybil defense=$(DETECTORS) attack=imitate,greedy,clean,sybil,resample
	$(BIN)/moatbench worst-case --name worst-case_controls defense=$(CONTROLS) attack=$(SEARCHED)
	$(BIN)/moatbench worst-case --name worst-case_probabilities api=full budget=small $(SOLD) \
		attack=greedy,logprobs,logprobs_average,logprobs_bayes,logprobs_invert
	$(BIN)/moatbench worst-case --name worst-case_industry api=logprobs defense=none,industry attack=$(SEARCHED),logprobs
	$(BIN)/moatbench campaign campaign=aggregate_feb2026 seed=0,1,2,3,4 --name aggregate_feb2026
	$(BIN)/python docs/pages.py $(PAGES) validation validation_worded $(WORST) aggregate_feb2026
	$(BIN)/python docs/generate.py

lock: $(UV)  ## renew requirements/lock.txt: the newest version of everything, for every Python and platform
	(sed -n '/^#/p' $(LOCK); $(RESOLVE) --universal --fork-strategy fewest --upgrade) > build/lock.txt
	mv build/lock.txt $(LOCK)

$(UV):
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip install --quiet uv

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## let ruff format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove results and the virtual environment
	rm -rf $(VENV) results build
