/* SPDX-License-Identifier: Apache-2.0
 * A program of another project: C99, the C header, no build system (scripts/check_consumers.sh). */
#include <stdio.h>
#include <tokendraw/tokendraw.h>

int main(void) {
  /* At this temperature the weights are the powers 2^logit: shares 1/2, 1/4, 1/8, 1/8. The random number 2^63 stands
   * for 0.5, which is where token 1 begins. */
  const float logits[4] = {0.0f, -1.0f, -2.0f, -2.0f};
  const uint64_t random = (uint64_t)1 << 63;
  int32_t token = -1;
  int64_t kept = 0;
  uint64_t kept_mass = 0;
  TokendrawSampler* sampler = NULL;
  TokendrawBatch batch;
  TokendrawStatus status = tokendraw_create_sampler(NULL, &sampler);

  if (status == TOKENDRAW_OK) {
    tokendraw_init_batch(&batch);
    batch.logits = logits;
    batch.vocab = 4;
    batch.rows = 1;
    batch.temperature = 1.44269502162933349609375f;
    batch.random_u64 = &random;
    batch.tokens = &token;
    batch.kept = &kept;
    batch.kept_mass = &kept_mass;
    status = tokendraw_sample_host(sampler, &batch);
  }
  if (status != TOKENDRAW_OK)
    fprintf(stderr, "%s: %s\n", tokendraw_status_name(status), tokendraw_last_error_message());
  tokendraw_destroy_sampler(sampler);
  printf("tokendraw %s: token %d, kept %d\n", tokendraw_version_string(), (int)token, (int)kept);
  return token == 1 && kept == 4 && kept_mass == (uint64_t)1 << 43 ? 0 : 1;
}
