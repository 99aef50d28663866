// SPDX-License-Identifier: Apache-2.0
// Prints a hash of every output of each algorithm and SIMD target over the case list: print_tokens MAX_VOCAB
// scripts/check_arm64.sh runs it built for two architectures; the hashes must be equal. Needs nothing but the library
// and the case list, so that it is easily built for another machine.
#include <case_batch.h>
#include <cases.h>
#include <tokendraw/tokendraw.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>

namespace {

using tokendraw::cases::Case;
using tokendraw::cases::CaseBatch;
using tokendraw::cases::CaseOutput;

// FNV-1a over the bytes of a value, lowest first.
void mix(uint64_t& hash, uint64_t value) {
  for (int i = 0; i < 8; ++i) hash = (hash ^ (value >> (8 * i) & 0xff)) * 0x100000001b3u;
}

// The hash of tokens, statuses, kept counts and masses over all cases; log-probabilities are not promised bit for bit.
// False: a call failed.
bool hash_cases(TokendrawAlgorithm algorithm, const char* target, const std::vector<Case>& cases, uint64_t& hash) {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.algorithm = algorithm;
  options.cpu_target = target;
  options.threads = 2;
  TokendrawSampler* sampler = nullptr;
  if (tokendraw_create_sampler(&options, &sampler) != TOKENDRAW_OK) return false;
  hash = 0xcbf29ce484222325u;
  bool ok = true;
  for (const Case& c : cases) {
    const CaseBatch arrays(c);
    CaseOutput output;
    const TokendrawBatch batch = arrays.batch(output);
    // The rejection algorithm takes no numbers handed in.
    if (algorithm == TOKENDRAW_ALGORITHM_REJECTION && (batch.random_u64 != nullptr || batch.random_f32 != nullptr))
      continue;
    ok = ok && tokendraw_sample_host(sampler, &batch) == TOKENDRAW_OK;
    for (size_t r = 0; r < output.tokens.size(); ++r) {
      mix(hash, static_cast<uint32_t>(output.tokens[r]));
      mix(hash, output.row_status[r]);
      mix(hash, static_cast<uint64_t>(output.kept[r]));
      mix(hash, output.kept_mass[r]);
    }
  }
  tokendraw_destroy_sampler(sampler);
  return ok;
}

}  // namespace

int main(int argc, char** argv) {
  tokendraw::cases::CaseListOptions list;
  list.quick = true;
  if (argc > 1) list.max_vocab = std::atoi(argv[1]);
  const std::vector<Case> cases = tokendraw::cases::list_cases(list);
  std::fprintf(stderr, "%zu cases; SIMD targets:", cases.size());
  for (const TokendrawAlgorithm algorithm : {TOKENDRAW_ALGORITHM_REFERENCE, TOKENDRAW_ALGORITHM_CANDIDATES,
                                             TOKENDRAW_ALGORITHM_REFINE, TOKENDRAW_ALGORITHM_REJECTION}) {
    std::set<uint64_t> hashes;
    for (int32_t i = 0; tokendraw_get_cpu_target_name(i) != nullptr; ++i) {
      const char* target = tokendraw_get_cpu_target_name(i);
      if (algorithm == TOKENDRAW_ALGORITHM_REFERENCE) std::fprintf(stderr, " %s", target);
      uint64_t hash = 0;
      if (!hash_cases(algorithm, target, cases, hash)) {
        std::fprintf(stderr, "\n%s on %s: %s\n", tokendraw_algorithm_name(algorithm), target,
                     tokendraw_last_error_message());
        return 1;
      }
      hashes.insert(hash);
    }
    // One line an algorithm; more than one hash in it shows that the SIMD targets differ.
    std::printf("%s", tokendraw_algorithm_name(algorithm));
    for (const uint64_t hash : hashes) std::printf(" %016" PRIx64, hash);
    std::printf("\n");
  }
  std::fprintf(stderr, "\n");
  return 0;
}
