// SPDX-License-Identifier: Apache-2.0
// A request's token does not depend on the company it is in. Forty requests, each with its own parameters and seed, are
// sampled one by one, all together, in reverse order, and in batches of seven beside a row that is broken; with one
// thread and with three; from float and from bfloat16 logits of the same values. Every request draws one and the same
// token all eight times.

#include <algorithm>
#include <bit>
#include <cstdio>
#include <limits>
#include <tokendraw/tokendraw.hpp>
#include <vector>

namespace {

constexpr int kRequests = 40;
constexpr int32_t kVocab = 5000;

struct Request {
  tokendraw::SamplingParams params;
  std::vector<float> logits;
};

// Logits between -8 and 8 with steps of 1/8, so that bfloat16 holds them exactly; any formula would do.
std::vector<float> make_logits(uint32_t seed) {
  std::vector<float> logits(kVocab);
  uint32_t state = seed * 2654435761u + 1;
  for (float& logit : logits) {
    state = state * 1664525u + 1013904223u;
    logit = static_cast<float>(static_cast<int32_t>(state >> 25) - 64) / 8.0f;
  }
  return logits;
}

std::vector<Request> make_requests() {
  std::vector<Request> requests;
  for (int i = 0; i < kRequests; ++i) {
    tokendraw::SamplingParams params;
    params.temperature = 0.25f * static_cast<float>(i % 8);  // every eighth is greedy
    params.top_k = i % 3 == 0 ? 0 : 10 * i;
    params.top_p = i % 4 == 0 ? 1.0f : 0.9f;
    params.min_p = i % 5 == 0 ? 0.02f : 0.0f;
    params.seed = 1000003u * static_cast<uint64_t>(i);
    params.offset = static_cast<uint64_t>(i) * 3;
    requests.push_back({params, make_logits(static_cast<uint32_t>(i))});
  }
  return requests;
}

enum class Storage { kFloat, kBfloat16 };

// The tokens of the requests named by `members`, drawn as one batch.
std::vector<int32_t> sample(tokendraw::Sampler& sampler, const std::vector<Request>& requests,
                            const std::vector<int>& members, Storage storage) {
  std::vector<tokendraw::SamplingParams> params;
  std::vector<float> logits;
  for (const int member : members) {
    params.push_back(requests[member].params);
    logits.insert(logits.end(), requests[member].logits.begin(), requests[member].logits.end());
  }
  if (storage == Storage::kFloat) return sampler.sample(logits, params);
  std::vector<tokendraw::Bf16> halves;
  for (const float logit : logits) halves.push_back({static_cast<uint16_t>(std::bit_cast<uint32_t>(logit) >> 16)});
  return sampler.sample(halves, params);
}

// The tokens of all requests, drawn in the given order in batches of the given size.
std::vector<int32_t> sample_in_batches(tokendraw::Sampler& sampler, const std::vector<Request>& requests,
                                       const std::vector<int>& order, size_t batch_size, Storage storage) {
  std::vector<int32_t> tokens(requests.size());
  for (size_t begin = 0; begin < order.size(); begin += batch_size) {
    const size_t end = std::min(order.size(), begin + batch_size);
    const std::vector<int> members(order.begin() + begin, order.begin() + end);
    const std::vector<int32_t> drawn = sample(sampler, requests, members, storage);
    for (size_t i = 0; i < members.size(); ++i) tokens[members[i]] = drawn[i];
  }
  return tokens;
}

}  // namespace

int main() {
  std::vector<Request> requests = make_requests();
  std::vector<int> forward;
  for (int i = 0; i < kRequests; ++i) forward.push_back(i);
  std::vector<int> backward(forward.rbegin(), forward.rend());

  // A neighbour in every batch of seven whose logits are NaN, and one whose temperature is not allowed.
  std::vector<int> beside_broken;
  requests.push_back({{}, std::vector<float>(kVocab, std::numeric_limits<float>::quiet_NaN())});
  requests.push_back({{.temperature = -1.0f}, make_logits(99)});
  for (int i = 0; i < kRequests; ++i) {
    if (i % 5 == 0) beside_broken.insert(beside_broken.end(), {kRequests, kRequests + 1});
    beside_broken.push_back(i);
  }

  tokendraw::Sampler one_thread({.threads = 1});
  tokendraw::Sampler three_threads({.threads = 3});
  const std::vector<int32_t> alone = sample_in_batches(one_thread, requests, forward, 1, Storage::kFloat);
  int differences = 0;
  const auto compare = [&](const char* what, const std::vector<int32_t>& tokens) {
    int equal = 0;
    for (int i = 0; i < kRequests; ++i) equal += tokens[i] == alone[i] && alone[i] >= 0;
    std::printf("%-42s %d of %d tokens equal\n", what, equal, kRequests);
    differences += kRequests - equal;
  };
  compare("together", sample_in_batches(one_thread, requests, forward, kRequests, Storage::kFloat));
  compare("together, three threads", sample_in_batches(three_threads, requests, forward, kRequests, Storage::kFloat));
  compare("in reverse order", sample_in_batches(one_thread, requests, backward, kRequests, Storage::kFloat));
  compare("in sevens beside broken rows", sample_in_batches(one_thread, requests, beside_broken, 7, Storage::kFloat));
  compare("in sevens beside broken rows, three threads",
          sample_in_batches(three_threads, requests, beside_broken, 7, Storage::kFloat));
  compare("from bfloat16", sample_in_batches(one_thread, requests, forward, kRequests, Storage::kBfloat16));
  compare("from bfloat16, alone", sample_in_batches(one_thread, requests, forward, 1, Storage::kBfloat16));
  return differences == 0 ? 0 : 1;
}
