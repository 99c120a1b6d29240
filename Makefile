# seedbed: `make help` says what there is.
ifeq ($(origin CC),default)
CC = gcc
endif
ifeq ($(origin CXX),default)
CXX = $(if $(findstring clang,$(CC)),clang++,g++)
endif
# Tests read what a make of theirs prints.
MAKEFLAGS += --no-print-directory
BUILD ?= build
# Where the programs go; another compiler or sanitizer gets a folder of its own.
PROGRAMS ?= .
OPT = -O3 -g
WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla
# Exact arithmetic: no contraction, no reassociation. -fno-math-errno and -fno-trapping-math only let loops vectorize.
EXACT = -ffp-contract=off -fno-math-errno -fno-trapping-math
# The commit, and -dirty behind it if a file of the repository was changed or a source was added.
GIT := $(shell c=$$(git rev-parse --short=12 HEAD 2>/dev/null) || { echo unknown; exit; }; \
    [ -z "$$(git status --porcelain -uno; git ls-files -o --exclude-standard '*.[ch]' '*.cu' '*.cuh' '*.def')" ] || c=$$c-dirty; echo $$c)
KERNELS_SHA256 := $(shell for f in $(sort base/rng.h base/scalar.h $(wildcard kernels/*.c kernels/*.h kernels/*.cu kernels/*.cuh kernels/*.def)); do echo $$f; cat $$f; done | \
    sha256sum | cut -d ' ' -f 1)
DATA_SHA256 := $(shell cat base/base.c $(sort $(wildcard data/*.[ch] data/*.def)) | sha256sum | cut -d ' ' -f 1)
CFLAGS = -std=gnu11 $(OPT) $(WARN) $(EXACT) -fopenmp $(SANITIZE)
INCLUDE_base = -Ibase
INCLUDE_kernels = -Ibase -Ikernels
INCLUDE_model = -Ibase -Ikernels -Imodel
INCLUDE_data = -Ibase -Idata
INCLUDE_eval = -Ibase -Idata -Ieval
INCLUDE_train = -Ibase -Ikernels -Imodel -Idata -Ieval -Itrain
INCLUDE_tools = $(INCLUDE_train)
INCLUDE_test = $(INCLUDE_train) -Itest -Itest/cudasim
LDLIBS = $(CUDART) -ljansson -lxxhash -lcrypto -ldl -lm $(if $(CUDART),-lrt -lpthread) $(SANITIZE_SIM)

# A build of the kernels is all sources of one kind compiled under one name: the .c for each instruction set, chosen at run
# time; the .cu for the emulator of test/cudasim, and for CUDA where nvcc and its static runtime are (NVCC= for none).
COMPILE_scalar = $(CC) $(CFLAGS)
ifeq ($(shell uname -m),x86_64)
COMPILE_avx2 = $(CC) $(CFLAGS) -mavx2 -mfma
COMPILE_avx512 = $(CC) $(CFLAGS) -mavx512f -mavx512dq -mavx512vl -mavx512bw -mfma -mprefer-vector-width=512
SIMDS = scalar avx2 avx512
else
SIMDS = scalar
endif
NVCC := $(firstword $(shell command -v nvcc) $(wildcard /usr/local/cuda/bin/nvcc))
CUDAFLAGS = -std=c++17 -O3 -fmad=false -prec-div=true -prec-sqrt=true -ftz=false -Werror all-warnings -Xptxas -warn-spills,-warn-lmem-usage \
    -Xcompiler -Wall,-Wextra,-fno-exceptions,-fno-rtti,-fno-threadsafe-statics
# machine code for these devices and those of the same major version, PTX of the last one for newer devices
GPUS = 80 90
COMPILE_cuda = $(NVCC) $(CUDAFLAGS) $(foreach g,$(GPUS),-gencode arch=compute_$(g),code=sm_$(g)) \
    -gencode arch=compute_$(lastword $(GPUS)),code=compute_$(lastword $(GPUS))
# cuRAND's device generator for the host: its headers are enough for test_curand
CUDA_INCLUDE = $(if $(NVCC),$(dir $(NVCC))../include)
CURAND = $(if $(wildcard $(CUDA_INCLUDE)/curand_kernel.h),$(BUILD)/test/curand_device.o)
# The runtime is linked statically: the programs start where no CUDA is.
CUDART = $(if $(NVCC),$(firstword $(wildcard $(foreach d,lib64 lib targets/$(shell uname -m)-linux/lib,$(dir $(NVCC))../$(d)/libcudart_static.a))))
CUDA = $(if $(CUDART),$(patsubst kernels/%.cu,$(BUILD)/kernels/%.cuda.o,$(wildcard kernels/*.cu)) $(BUILD)/kernels/table.cuda.o)
# wgmma is for sm_90a alone, which nvcc knows from 12.0 on.
WGMMA = $(if $(CUDART),$(shell $(NVCC) -arch=sm_90a -dryrun -c -x cu /dev/null >/dev/null 2>&1 && echo $(BUILD)/test/tensor_core_wgmma.cuda.o))
$(BUILD)/test/tensor_core_wgmma.cuda.o: private COMPILE_cuda = $(NVCC) $(CUDAFLAGS) -gencode arch=compute_90a,code=sm_90a
# test/ptx runs the PTX of these devices, which it takes out of the objects.
COMPILE_ptx = $(NVCC) $(CUDAFLAGS) -no-compress $(foreach g,$(GPUS),-gencode arch=compute_$(g),code=compute_$(g))
PTX = $(if $(NVCC),$(patsubst %,$(BUILD)/kernels/%.ptx.o,$(filter-out device_cuda,$(CU)) table))
# No C++ library: the programs are linked as C.
COMPILE_sim = $(CXX) -std=c++17 $(OPT_SIM) -Wall -Wextra -Wno-unused-function -Wno-unknown-pragmas $(EXACT) -fno-exceptions -fno-rtti \
    -fno-threadsafe-statics $(SANITIZE_SIM) -fsanitize=alignment -fsanitize-recover=alignment -Itest/cudasim -I$(BUILD)/sim
OPT_SIM = -O2 -g
SANITIZE_SIM = $(SANITIZE)
CU = $(filter-out peak,$(patsubst kernels/%.cu,%,$(wildcard kernels/*.cu)))
EMULATOR = $(patsubst test/cudasim/%.cc,$(BUILD)/cudasim/%.o,$(wildcard test/cudasim/*.cc))
SIM = $(foreach k,$(CU) table,$(BUILD)/kernels/$(k).sim.o) $(EMULATOR)
KERNELS = gemm gemm_pack gemm_tile matmul attention block_tile block_pairs block_amx block_gemm matmul_block attention_block norm rope elementwise embedding lora loss optimizer hash table

objects = $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(1)/*.c))
BASE = $(call objects,base)
KERNEL_OBJECTS = $(foreach k,amx backend cublas device openblas peak rounding rounding_losses rounding_products threads watch,$(BUILD)/kernels/$(k).o) \
    $(foreach s,$(SIMDS),$(foreach k,$(KERNELS),$(BUILD)/kernels/$(k).$(s).o)) $(SIM) $(CUDA)
MODEL = $(call objects,model)
DATA = $(call objects,data)
TRAIN = $(filter-out $(BUILD)/train/main.o,$(call objects,train))
EVAL = $(filter-out $(patsubst %,$(BUILD)/eval/%.o,consistency tracediff check),$(call objects,eval))
ALL = $(TRAIN) $(MODEL) $(DATA) $(EVAL) $(KERNEL_OBJECTS) $(BASE)
TESTS = $(patsubst test/%.c,$(BUILD)/%,$(wildcard test/test_*.c)) $(BUILD)/make_llama $(BUILD)/make_roberta $(BUILD)/rehash $(BUILD)/probe
# Test ops without a model: after an edit of a kernel only its builds are compiled again.
TEST_OPS = $(patsubst test/%.c,$(BUILD)/test/%.o,test/check.c test/guarded.c test/harness.c test/rounding_check.c test/tensor_core.c $(wildcard test/op_*.c test/reference*.c)) \
    $(KERNEL_OBJECTS) $(BASE)

# scalar.h and rng.h in every build, for test_ops
WORDS = $(BUILD)/test/words_compare.o $(foreach s,$(SIMDS) sim $(if $(CUDART),cuda),$(BUILD)/test/words.$(s).o)

# make K=norm is make ops K=norm
.DEFAULT_GOAL := $(if $(K),ops,all)
all: report $(patsubst %,$(PROGRAMS)/%,train_gpt consistency tracediff check merge) $(BUILD)/bench $(BUILD)/bench_peer $(BUILD)/bench_tokenizer $(BUILD)/digests $(CUDA)

# test/cublas_stub.c waits for the emulator
FOR_STUB = -Wl,--export-dynamic-symbol=_Z21cudaStreamSynchronizeP11CUstream_st
$(PROGRAMS)/train_gpt: $(BUILD)/train/main.o $(ALL)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS) $(FOR_STUB)
$(PROGRAMS)/consistency $(PROGRAMS)/tracediff $(PROGRAMS)/check: $(PROGRAMS)/%: $(BUILD)/eval/%.o $(EVAL) $(DATA) $(BASE)
	$(CC) $(CFLAGS) -o $@ $^ -ljansson -lxxhash -lcrypto -lm
$(PROGRAMS)/merge: $(BUILD)/tools/merge.o $(ALL)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/bench $(BUILD)/bench_peer: $(BUILD)/%: $(BUILD)/tools/%.o $(BUILD)/tools/steps.o $(ALL)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/digests: $(BUILD)/tools/digests.o $(EVAL) $(DATA) $(BASE)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/make_preds: $(BUILD)/tools/make_preds.o $(EVAL) $(DATA) $(BASE)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/bench_tokenizer: $(BUILD)/tools/bench_tokenizer.o $(DATA) $(BASE)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/coverage: $(BUILD)/tools/coverage.o $(EVAL) $(DATA) $(BASE)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/unicode_tables: $(BUILD)/tools/unicode_tables.o $(BASE)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/test_ops: $(patsubst %,$(BUILD)/test/%.o,test_ops builds ops_perf) $(WORDS) $(TEST_OPS)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS) $(FOR_STUB)
$(BUILD)/probe: $(patsubst %,$(BUILD)/test/%.o,probe probe_contract probe_products probe_attention sum_tree) $(KERNEL_OBJECTS) $(BASE)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS) $(FOR_STUB)
$(BUILD)/test_ptx: $(patsubst test/%.c,$(BUILD)/%.o,$(wildcard test/ptx/*.c)) $(filter-out $(CUDA),$(TEST_OPS)) $(PTX)
	$(CC) $(CFLAGS) -o $@ $^ $(filter-out $(CUDART),$(LDLIBS))
$(BUILD)/test_cudasim: $(BUILD)/test/test_cudasim.o $(BUILD)/test/check.o $(BUILD)/cudasim/trials.o $(EMULATOR) $(BASE)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/test_golden: $(patsubst test/%.c,$(BUILD)/test/%.o,$(wildcard test/golden_*.c))
$(BUILD)/test_stats $(BUILD)/test_groups $(BUILD)/test_pairs $(BUILD)/test_inference $(BUILD)/test_paired $(BUILD)/test_planning: $(BUILD)/test/made_groups.o
$(BUILD)/test_sum_tree: $(BUILD)/test/sum_tree.o
$(BUILD)/test_tensor_cores: $(BUILD)/test/tensor_core.o $(BUILD)/test/tensor_core.sim.o $(if $(CUDART),$(BUILD)/test/tensor_core.cuda.o) $(WGMMA)
$(BUILD)/test_curand: $(CURAND)
$(filter-out $(BUILD)/test_ops $(BUILD)/test_cudasim $(BUILD)/probe,$(TESTS)): $(BUILD)/%: $(BUILD)/test/%.o $(BUILD)/test/check.o $(BUILD)/test/rig.o $(ALL)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)

define kernel_rule
$(BUILD)/kernels/%.$(1).o: kernels/%.$(2) $(3) | $(BUILD)/kernels
	$$(COMPILE_$(1)) $$(INCLUDE_kernels) -DBUILD=$(1) -MMD -MP -c $$< -o $$@
$(BUILD)/test/%.$(1).o: test/%.$(2) $(3) | $(BUILD)/test
	$$(COMPILE_$(1)) $$(INCLUDE_kernels) -Itest -DBUILD=$(1) -MMD -MP -c $$< -o $$@
endef
$(foreach s,$(SIMDS),$(eval $(call kernel_rule,$(s),c)))
$(foreach s,cuda ptx,$(eval $(call kernel_rule,$(s),cu,$(BUILD)/nvcc)))
# Another NVCC, CUDAFLAGS or GPUS compiles again what nvcc compiles.
$(BUILD)/nvcc: FORCE | $(BUILD)/kernels
	@echo '$(COMPILE_cuda)' | cmp -s - $@ || echo '$(COMPILE_cuda)' > $@

# The emulator's build: CUDA to C++, then as above; its table holds NULL for what no .cu has.
$(BUILD)/sim/%: kernels/% test/cudasim/cudasim.sed | $(BUILD)/sim
	{ echo '#line 1 "$<"'; sed -zE -f test/cudasim/cudasim.sed $<; } > $@
.SECONDARY: $(patsubst kernels/%,$(BUILD)/sim/%,$(wildcard kernels/*.cu kernels/*.cuh)) $(patsubst test/%,$(BUILD)/sim/%,$(wildcard test/*.cu))
$(BUILD)/kernels/%.sim.o: $(BUILD)/sim/%.cu $(patsubst kernels/%,$(BUILD)/sim/%,$(wildcard kernels/*.cuh)) | $(BUILD)/kernels
	$(COMPILE_sim) $(INCLUDE_kernels) -DBUILD=sim -MMD -MP -x c++ -c $< -o $@
$(foreach s,sim cuda ptx,$(BUILD)/kernels/table.$(s).o): $(BUILD)/kernels/table.%.o: kernels/table.c | $(BUILD)/kernels
	$(CC) $(CFLAGS) $(INCLUDE_kernels) -DBUILD=$* -DPARTIAL_BUILD -MMD -MP -c $< -o $@
$(BUILD)/sim/trials.cu: test/cudasim/trials.cu test/cudasim/cudasim.sed | $(BUILD)/sim
	{ echo '#line 1 "$<"'; sed -zE -f test/cudasim/cudasim.sed $<; } > $@
$(BUILD)/sim/%.cu: test/%.cu test/cudasim/cudasim.sed | $(BUILD)/sim
	{ echo '#line 1 "$<"'; sed -zE -f test/cudasim/cudasim.sed $<; } > $@
$(BUILD)/test/%.sim.o: $(BUILD)/sim/%.cu $(BUILD)/sim/cuda.cuh | $(BUILD)/test
	$(COMPILE_sim) $(INCLUDE_kernels) -Itest -DBUILD=sim -MMD -MP -x c++ -c $< -o $@
$(BUILD)/cudasim/trials.o: $(BUILD)/sim/trials.cu | $(BUILD)/cudasim
	$(COMPILE_sim) -MMD -MP -x c++ -c $< -o $@
$(BUILD)/ptx/%.o: test/ptx/%.c | $(BUILD)/ptx
	$(CC) $(CFLAGS) $(INCLUDE_test) -Itest/ptx -I$(CUDA_INCLUDE) -MMD -MP -c $< -o $@
# ThreadSanitizer is to see kernels, not what runs them
$(EMULATOR): override SANITIZE_SIM := $(if $(findstring thread,$(SANITIZE_SIM)),-DCUDASIM_TSAN,$(SANITIZE_SIM))
$(BUILD)/cudasim/%.o: test/cudasim/%.cc | $(BUILD)/cudasim
	$(COMPILE_sim) -Ibase -MMD -MP -c $< -o $@

$(BUILD)/%.o: %.c | $(addprefix $(BUILD)/,base kernels model data train eval tools test)
	$(CC) $(CFLAGS) $(INCLUDE_$(firstword $(subst /, ,$*))) -MMD -MP -c $< -o $@

$(BUILD)/test/curand_device.o: test/curand_device.cc | $(BUILD)/test
	g++ -std=c++17 -O2 -I$(CUDA_INCLUDE) -c $< -o $@

# Commit and kernels' digest stand in every prediction file; only this object depends on them.
$(BUILD)/base/version.o: CFLAGS += -DGIT_COMMIT='"$(GIT)"' -DKERNELS_SHA256='"$(KERNELS_SHA256)"' -DDATA_SHA256='"$(DATA_SHA256)"'
$(BUILD)/version: FORCE | $(BUILD)/base
	@echo $(GIT) $(KERNELS_SHA256) $(DATA_SHA256) | cmp -s - $@ || echo $(GIT) $(KERNELS_SHA256) $(DATA_SHA256) > $@
$(BUILD)/base/version.o: $(BUILD)/version

$(addprefix $(BUILD)/,base kernels model data train eval tools test sim cudasim ptx):
	@mkdir -p $@

report:
	@echo "compiler  $$($(CC) --version | head -n 1)"
	@echo "kernels   $(SIMDS), chosen at run time"
	@echo "emulator  $$($(CXX) --version | head -n 1): kernels/*.cu for --device sim"
	@echo "cuda      $(if $(NVCC),$(NVCC)$(if $(CUDART),: kernels/*.cu for sm_$(subst $() , sm_,$(GPUS)),: libcudart_static.a is not there; no CUDA),not found (optional))"
	@for h in jansson:libjansson-dev xxhash:libxxhash-dev openssl/sha:libssl-dev stb/stb_ds:libstb-dev; do \
	    echo "#include <$${h%%:*}.h>" | $(CC) -E - >/dev/null 2>&1 || \
	    { echo "missing   $${h%%:*}.h: install it with: make deps (Debian package $${h##*:})"; exit 1; }; done
	@ldconfig -p 2>/dev/null | grep -q libopenblas.so.0 && echo "openblas  found: --kernel matmul_forward=openblas" || \
	    echo "openblas  not found (optional; Debian package libopenblas0)"

help:
	@echo "make            build ./train_gpt, ./consistency, ./tracediff, ./check and ./merge"
	@echo "make deps       install what the build and the tests need (Debian packages)"
	@echo "make test       run every test; ends with: N passed, N failed"
	@echo "make K=norm     build and test the ops of kernels/norm.c and norm.cu, or one op (MODE=perf: measure them)"
	@echo "make test-long  the same, then break the code in small ways, each of which a test must find"
	@echo "make machine-code  check what nvcc makes of the CUDA kernels; write docs/KERNELS.md's table of them"
	@echo "make verify     train the demonstration, a decoder, adapters and lm; compare with docs/digests"
	@echo "make verify-update  write docs/digests anew, after an op's definition changed"
	@echo "make bench      measure this machine: training steps as a share of its peak, statistics, consistency"
	@echo "make bench-peer  steps and products beside PyTorch, in turn, where it is (PYTHON=python3; ROWS, TURNS, SECONDS: tools/peer.py)"
	@echo "make roofline   write docs/KERNELS.md's table of what a step's ops cost"
	@echo "make bench-large  one LoRA step of a model of 3.2 billion parameters (6.4 GB on disk, 7.5 GB of memory)"
	@echo "make coverage   simulate how often the intervals of consistency hold the true value"
	@echo "make asan       run the tests under AddressSanitizer (also: make ubsan, make tsan)"
	@echo "make races      run CUDA's kernels in the emulator under ThreadSanitizer (K=norm: those of one file, or one op)"
	@echo "make fuzz       feed every reader with damaged files (clang's libFuzzer; FUZZ_SECONDS=20 for each of test/fuzz_*.c)"
	@echo "make tidy       clang-tidy; make format: clang-format; make unicode: make data/unicode_tables.c again"
	@echo "make clean      remove what was built"
	@echo "Variables: CC=clang, CXX=clang++, BUILD=folder, NVCC=nvcc (empty: no CUDA)"

PACKAGES = gcc g++ make libc6-dev libgomp1 libjansson-dev libxxhash-dev libssl-dev libstb-dev bats
deps:
	@missing=$$(dpkg-query -W -f '$${Status} $${Package}\n' $(PACKAGES) 2>/dev/null | grep -c '^install ok installed' || true); \
	if [ "$$missing" = "$(words $(PACKAGES))" ]; then echo "deps: all installed"; else \
	    sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; $$sudo apt-get update -qq; \
	    $$sudo apt-get install -y -qq --no-install-recommends $(PACKAGES); fi

# K: an op or a file of kernels/
ops: $(BUILD)/test_ops
	@$(BUILD)/test_ops $(if $(K),--only $(K)) $(if $(MODE),--mode $(MODE))

test: all $(TESTS) $(if $(NVCC),$(BUILD)/test_ptx)
	@BUILD=$(BUILD) PROGRAMS=$(PROGRAMS) CC=$(CC) NVCC=$(NVCC) test/run.sh

# test/mutants.txt: each mutant is built and tested in a copy of the tree
test-long: test
	@$(MAKE) races
	@BUILD=$(BUILD) PROGRAMS=$(PROGRAMS) $(BUILD)/test_injections 200
	@test/course.sh
	@PROGRAMS=$(PROGRAMS) test/study_kills.sh
	@BUILD=$(BUILD) PROGRAMS=$(PROGRAMS) test/kills.sh
	@BUILD=$(BUILD) PROGRAMS=$(PROGRAMS) CC=$(CC) test/every_call.sh
	@CC=$(CC) test/mutants.sh

machine-code:
	@NVCC=$(NVCC) CUDAFLAGS='$(CUDAFLAGS)' INCLUDE_kernels='$(INCLUDE_kernels)' tools/machine_code.sh

verify: $(PROGRAMS)/train_gpt $(BUILD)/digests $(BUILD)/make_llama $(BUILD)/make_roberta
	@BUILD=$(BUILD) PROGRAMS=$(PROGRAMS) test/verify.sh

verify-update: $(PROGRAMS)/train_gpt $(BUILD)/digests $(BUILD)/make_llama $(BUILD)/make_roberta
	@BUILD=$(BUILD) PROGRAMS=$(PROGRAMS) test/verify.sh --update

bench: $(BUILD)/bench $(BUILD)/make_preds $(PROGRAMS)/consistency
	@$(BUILD)/bench
	@BUILD=$(BUILD) PROGRAMS=$(PROGRAMS) tools/bench_consistency.sh

# ROWS="mrpc cola": these alone; a row begins no turn after SECONDS
PYTHON = python3
TURNS = 5
SECONDS = 40
bench-peer: $(BUILD)/bench_peer $(BUILD)/make_llama
	@BUILD=$(BUILD) $(PYTHON) tools/peer.py --turns $(TURNS) --seconds $(SECONDS) $(ROWS)

# 6.4 GB of random weights, once
build/llama-3b-random/config.json: | $(BUILD)/make_llama
	@$(BUILD)/make_llama build/llama-3b-random 3B

roofline: $(BUILD)/bench
	@$(BUILD)/bench roofline | tools/fill_table.sh docs/KERNELS.md roofline

bench-large: $(BUILD)/bench build/llama-3b-random/config.json
	@$(BUILD)/bench large 0 build/llama-3b-random

coverage: $(BUILD)/coverage
	@$(BUILD)/coverage

# without CUDA, whose runtime no sanitizer sees; leaks are looked for too; OpenMP's own thread pool is not ours. Below -O2 gcc
# writes no vzeroupper: after a kernel of AVX-512 all other code would be many times slower.
asan:
	$(MAKE) NVCC= BUILD=build-asan PROGRAMS=build-asan SANITIZE="-fsanitize=address -fno-omit-frame-pointer" OPT="-O2 -g" OPT_SIM="-O1 -g" test
ubsan:
	$(MAKE) NVCC= BUILD=build-ubsan PROGRAMS=build-ubsan SANITIZE="-fsanitize=undefined -fno-sanitize-recover=all" OPT="-O2 -g" test
tsan:
	$(MAKE) NVCC= BUILD=build-tsan PROGRAMS=build-tsan CC=clang SANITIZE="-fsanitize=thread" OPT="-O1 -g" all build-tsan/test_ops
	TSAN_OPTIONS="ignore_noninstrumented_modules=1" build-tsan/test_ops --mode races
	TSAN_OPTIONS="ignore_noninstrumented_modules=1" build-tsan/train_gpt --task rte --data builtin --model tiny --max-train 32 --max-eval 8 --batch 8 \
	    --epochs 5 --select best --epoch-preds --save-every 3steps --resume never --trace build-tsan/trace --quiet --preds build-tsan/preds --save build-tsan/model
# The threads of CUDA's kernels, in the emulator: ThreadSanitizer sees nothing else. A program of its own ends at once, not a
# second later.
races: export TSAN_OPTIONS = atexit_sleep_ms=0
races:
	$(MAKE) NVCC= BUILD=build-races PROGRAMS=build-races SANITIZE_SIM=-fsanitize=thread OPT_SIM="-O1 -g" build-races/test_cudasim build-races/test_ops
	build-races/test_cudasim
	build-races/test_ops --device sim --mode races $(if $(K),--only $(K))

# libFuzzer comes with clang; FUZZ_SECONDS=3600 for a long one, FUZZERS=fuzz_data for one of them. The kernels read no files:
# they are not instrumented, but those of $(BUILD).
FUZZ_SECONDS = 20
FUZZERS = $(patsubst test/%.c,%,$(wildcard test/fuzz_*.c))
fuzz: $(PROGRAMS)/train_gpt $(BUILD)/make_llama $(BUILD)/make_roberta
	@+$(MAKE) -s BUILD=build-fuzz KERNEL_OBJECTS='$(KERNEL_OBJECTS)' CC=clang OPT='-O1 -gline-tables-only' SANITIZE='$(FUZZ_SANITIZE)' \
	    $(addprefix build-fuzz/,$(FUZZERS))
	@BUILD=$(BUILD) PROGRAMS=$(PROGRAMS) test/fuzz.sh $(FUZZ_SECONDS) $(FUZZERS)
FUZZ_SANITIZE = -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
$(addprefix $(BUILD)/,$(FUZZERS)): $(BUILD)/%: $(BUILD)/test/%.o $(BUILD)/test/fuzz.o $(ALL)
	$(CC) $(CFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS) $(FOR_STUB)

unicode: $(BUILD)/unicode_tables
	$(BUILD)/unicode_tables ../shared/goldens/tokenizers/unicode > data/unicode_tables.c.new
	mv data/unicode_tables.c.new data/unicode_tables.c

SOURCES = $(wildcard base/*.[ch] kernels/*.[ch] kernels/*.cu model/*.[ch] data/*.[ch] train/*.[ch] eval/*.[ch] tools/*.[ch] test/*.[ch])
tidy:
	clang-tidy --quiet --checks='-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,-clang-analyzer-security.FloatLoopCounter' $(filter %.c,$(filter-out kernels/% data/unicode_tables.c,$(SOURCES))) -- -std=gnu11 $(INCLUDE_test)
format:
	clang-format -i $(filter-out data/unicode_tables.c data/unicode_cased.c,$(SOURCES))

clean:
	rm -rf build build-fuzz build-asan build-ubsan build-tsan build-races train_gpt consistency tracediff check merge

FORCE:
.PHONY: all report help deps ops test machine-code verify verify-update bench bench-peer roofline bench-large coverage fuzz asan ubsan tsan races unicode tidy format clean FORCE
.DELETE_ON_ERROR:
-include $(wildcard $(BUILD)/*/*.d)
