# SPDX-License-Identifier: Apache-2.0
# The short way in; CMake (CMakePresets.json) does the work. Packages are installed where they are missing.
PREFIX ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# A compiler cache shortens rebuilds; nothing depends on it.
CACHE := $(if $(shell command -v ccache 2>/dev/null),-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
QUIET := --log-level=WARNING
# make install CUDA=1: with the CUDA backend, which takes nvcc 12.8 or newer and minutes of compiling.
RELEASE := $(if $(filter-out 0 OFF off no,$(CUDA)),release-cuda,release)
# HIP=1: with the HIP backend, which takes clang-19, the HIP runtime and minutes of compiling.
HIP_ON := $(filter-out 0 OFF off no,$(HIP))
MAKEFLAGS += --no-print-directory

.PHONY: help demo test build install hip format ci clean

help:
	@echo "make demo     install what is missing, build, sample real logits"
	@echo "make test     install what is missing, build, run every test"
	@echo "make install  build the library and the command line, install to PREFIX ($(PREFIX));"
	@echo "              with CUDA=1 the CUDA backend too (needs nvcc 12.8 or newer), with HIP=1 the HIP backend"
	@echo "make hip      install what is missing, build the HIP backend for every AMD GPU, look at its kernels"
	@echo "make format   lay out the sources by clang-format 14"
	@echo "make ci       everything that continuous integration runs"
	@echo "make clean    remove build/"

demo: build
	@echo
	@scripts/demo.sh build/$(RELEASE)

test:
	@scripts/bootstrap.sh test
	@cmake --preset cpu $(CACHE) $(QUIET)
	@cmake --build --preset cpu --parallel $(JOBS)
	@ctest --preset cpu --parallel $(JOBS)
	@scripts/say_left_out.sh build/cpu

build:
	@scripts/bootstrap.sh demo
	@$(if $(HIP_ON),scripts/bootstrap.sh hip)
	@cmake --preset $(RELEASE) $(CACHE) $(QUIET) -DTOKENDRAW_HIP=$(if $(HIP_ON),ON,OFF)
	@cmake --build --preset $(RELEASE) --parallel $(JOBS)

install: build
	@cmake --install build/$(RELEASE) --prefix $(PREFIX)

hip:
	@JOBS=$(JOBS) scripts/ci_stage.sh hip

format:
	@scripts/bootstrap.sh ci
	@scripts/check_format.sh --fix

ci:
	@.ci/run

clean:
	rm -rf build
