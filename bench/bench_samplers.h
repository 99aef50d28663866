// SPDX-License-Identifier: Apache-2.0
// The samplers that a bench compares: one for each algorithm named, with "@" and the way that blocks work on a row
// where that is not to be chosen by shape: "auto", "rejection", "auto@block".
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <vector>

namespace tokendraw::bench {

struct NamedSampler {
  std::string algorithm;      // as it was named
  TokendrawSampler* sampler;  // lives as long as the program
};

// Sets an option to the one of these values that has the name; false if none has.
template <typename Value>
bool choose(const std::string& name, std::initializer_list<Value> values, const char* (*name_of)(Value),
            Value* option) {
  for (const Value value : values) {
    if (name != name_of(value)) continue;
    *option = value;
    return true;
  }
  return false;
}

// On the first CUDA device. Ends the program where there is none, or no algorithm or way of that name.
inline NamedSampler make_sampler(const std::string& name) {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = TOKENDRAW_BACKEND_CUDA;
  options.on_gpu_failure = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;
  const size_t at = name.find('@');
  const bool known = choose(name.substr(0, at),
                            {TOKENDRAW_ALGORITHM_AUTO, TOKENDRAW_ALGORITHM_CANDIDATES, TOKENDRAW_ALGORITHM_REFINE,
                             TOKENDRAW_ALGORITHM_REJECTION},
                            tokendraw_algorithm_name, &options.algorithm) &&
                     choose(at == std::string::npos ? "auto" : name.substr(at + 1),
                            {TOKENDRAW_GPU_WAY_AUTO, TOKENDRAW_GPU_WAY_BLOCK, TOKENDRAW_GPU_WAY_SMALL_BLOCK,
                             TOKENDRAW_GPU_WAY_SPLIT, TOKENDRAW_GPU_WAY_CLUSTER},
                            tokendraw_gpu_way_name, &options.gpu_way);
  TokendrawSampler* sampler = nullptr;
  if (!known || tokendraw_create_sampler(&options, &sampler) != TOKENDRAW_OK) {
    std::fprintf(stderr, "gpu_bench: sampler %s: %s\n", name.c_str(),
                 known ? tokendraw_last_error_message() : "there is none of that name");
    std::exit(1);
  }
  return {name, sampler};
}

}  // namespace tokendraw::bench
