// SPDX-License-Identifier: Apache-2.0
// The shortest use from C++: two requests with parameters and a seed of their own. The README shows this program.

#include <cstdio>
#include <tokendraw/tokendraw.hpp>
#include <vector>

int main() {
  const std::vector<float> logits = {1.0f, 3.0f, 2.0f, 0.5f, -1.0f,  // request 0
                                     0.0f, 1.0f, 4.0f, 1.0f, 3.5f};  // request 1
  const std::vector<tokendraw::SamplingParams> requests = {
      {.temperature = 0.8f, .top_k = 3, .top_p = 0.9f, .seed = 42},
      {.min_p = 0.05f, .seed = 1234, .offset = 2},  // its third token
  };
  tokendraw::Sampler sampler;
  const std::vector<int32_t> tokens = sampler.sample(logits, requests);
  std::printf("tokens of the requests: %d %d\n", tokens[0], tokens[1]);
}
