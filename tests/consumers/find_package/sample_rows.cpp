// SPDX-License-Identifier: Apache-2.0
// A program of another project that uses the C++ API of an installed tokendraw.
#include <cstdint>
#include <cstdio>
#include <tokendraw/tokendraw.hpp>
#include <vector>

int main() {
  // Two rows of four logits. At this temperature the weights are the powers 2^logit: shares 1/2, 1/4, 1/8, 1/8. The
  // random numbers stand for 0.5, where the second largest begins, and for 0.
  const std::vector<float> logits = {0.0f, -1.0f, -2.0f, -2.0f, -2.0f, -1.0f, 0.0f, -2.0f};
  const std::vector<uint64_t> random = {uint64_t{1} << 63, 0};
  std::vector<int32_t> tokens(2, -1);
  tokendraw::Sampler sampler = tokendraw::Sampler::try_create().value();
  const auto result = sampler.try_sample(
      {.logits = logits, .temperature = 1.44269502162933349609375f, .random_u64 = random, .tokens = tokens});
  if (!result) {
    std::fprintf(stderr, "%s: %s\n", result.error().status_name(), result.error().what());
    return 2;
  }
  std::printf("tokens %d %d\n", tokens[0], tokens[1]);
  return tokens[0] == 1 && tokens[1] == 0 ? 0 : 1;
}
