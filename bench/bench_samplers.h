// SPDX-License-Identifier: Apache-2.0
// The samplers that a bench compares: one for each algorithm named.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace tokendraw::bench {

struct NamedSampler {
  std::string algorithm;
  TokendrawSampler* sampler;  // lives as long as the program
};

// On the first CUDA device. Ends the program where there is none, or no algorithm of that name.
inline NamedSampler make_sampler(const std::string& algorithm) {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = TOKENDRAW_BACKEND_CUDA;
  options.on_gpu_failure = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;
  bool known = algorithm == "auto";
  for (const auto one : {TOKENDRAW_ALGORITHM_CANDIDATES, TOKENDRAW_ALGORITHM_REFINE, TOKENDRAW_ALGORITHM_REJECTION}) {
    if (algorithm != tokendraw_algorithm_name(one)) continue;
    options.algorithm = one;
    known = true;
  }
  TokendrawSampler* sampler = nullptr;
  if (!known || tokendraw_create_sampler(&options, &sampler) != TOKENDRAW_OK) {
    std::fprintf(stderr, "gpu_bench: algorithm %s: %s\n", algorithm.c_str(),
                 known ? tokendraw_last_error_message() : "there is none of that name");
    std::exit(1);
  }
  return {algorithm, sampler};
}

}  // namespace tokendraw::bench
