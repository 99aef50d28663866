// SPDX-License-Identifier: Apache-2.0
// Stands between the program and the library (by LD_PRELOAD) and spoils what the library answers, as TOKENDRAW_FAULT
// says, so that the tests can see `tokendraw check` fail.
#include <dlfcn.h>
#include <tokendraw/tokendraw.h>

#include <cstdlib>
#include <string>

extern "C" TOKENDRAW_API TokendrawStatus tokendraw_sample_host(TokendrawSampler* sampler, const TokendrawBatch* batch) {
  using Sample = TokendrawStatus (*)(TokendrawSampler*, const TokendrawBatch*);
  static const auto real = reinterpret_cast<Sample>(dlsym(RTLD_NEXT, "tokendraw_sample_host"));
  const TokendrawStatus status = real(sampler, batch);
  const char* variable = std::getenv("TOKENDRAW_FAULT");
  const std::string fault = variable != nullptr ? variable : "";
  TokendrawSamplerInfo info{};
  info.struct_size = sizeof info;
  tokendraw_get_sampler_info(sampler, &info);
  const bool refine_two_threads = info.algorithm == TOKENDRAW_ALGORITHM_REFINE && info.threads == 2;
  const bool rejection = info.algorithm == TOKENDRAW_ALGORITHM_REJECTION;
  const bool reference = info.algorithm == TOKENDRAW_ALGORITHM_REFERENCE;
  const int64_t last = batch->rows - 1;
  if (fault == "token" && refine_two_threads) batch->tokens[last] ^= 1;
  if (fault == "mass" && refine_two_threads) batch->kept_mass[last] += 1;
  if (fault == "status" && refine_two_threads) batch->row_status[last] ^= TOKENDRAW_ROW_BAD_ID;
  if (fault == "logprob" && refine_two_threads) batch->logprob[last] -= 1e-5f;
  if (fault == "logprob-everywhere" && batch->logprob != nullptr) batch->logprob[0] -= 1e-5f;
  if (fault == "tokens-alone" && batch->logprob == nullptr) batch->tokens[last] ^= 1;
  if (fault == "rejection-target" && rejection && info.target[0] == 'S') batch->tokens[last] ^= 1;
  if (fault == "rejection-kept" && rejection) batch->kept[last] += 1;
  if (fault == "rejection-rounds" && rejection) batch->rounds[last] += 65;
  if (fault == "rounds" && refine_two_threads) batch->rounds[last] = 1;
  if (fault == "kept-set" && (reference || info.algorithm == TOKENDRAW_ALGORITHM_AUTO)) batch->kept[0] = 1;
  if (fault == "place" && batch->rows == 24 && batch->stream_per_row != nullptr && batch->seed_per_row == nullptr) {
    batch->tokens[0] ^= 1;  // the batch in reverse order
  }
  // One draw in twenty is another's token: a bias that no agreement shows.
  for (int64_t r = 20; fault == "bias" && r < batch->rows; r += 20) batch->tokens[r] = batch->tokens[0];
  if (fault == "outside" && batch->rows > 1000) batch->tokens[last] = batch->vocab - 1;
  return status;
}
