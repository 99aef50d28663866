/* SPDX-License-Identifier: Apache-2.0
 * A program of another project that asks pkg-config for its flags (scripts/check_consumers.sh). */
#include <stdio.h>
#include <tokendraw/tokendraw.h>

int main(void) {
  const float logits[5] = {0.5f, 2.0f, -1.0f, 2.0f, 1.5f};
  int32_t token = -1;
  TokendrawSampler* sampler = NULL;
  TokendrawBatch batch;

  if (tokendraw_create_sampler(NULL, &sampler) != TOKENDRAW_OK) return 2;
  tokendraw_init_batch(&batch);
  batch.logits = logits;
  batch.vocab = 5;
  batch.rows = 1;
  batch.temperature = 0.0f; /* the largest logit, and of equal ones the smallest id */
  batch.tokens = &token;
  if (tokendraw_sample_host(sampler, &batch) != TOKENDRAW_OK) return 3;
  tokendraw_destroy_sampler(sampler);
  printf("token %d\n", (int)token);
  return token == 1 ? 0 : 1;
}
