/* SPDX-License-Identifier: Apache-2.0
 * A program of another project that builds tokendraw as a part of itself. */
#include <stdio.h>
#include <tokendraw/tokendraw.h>

int main(void) {
  /* bfloat16 bit patterns of 3, 2, 1; the mask forbids the largest. */
  const uint16_t logits[3] = {0x4040, 0x4000, 0x3f80};
  const uint32_t mask = 6;
  int32_t token = -1;
  TokendrawSampler* sampler = NULL;
  TokendrawBatch batch;

  if (tokendraw_create_sampler(NULL, &sampler) != TOKENDRAW_OK) return 2;
  tokendraw_init_batch(&batch);
  batch.logits = logits;
  batch.dtype = TOKENDRAW_DTYPE_BF16;
  batch.vocab = 3;
  batch.rows = 1;
  batch.top_k = 1;
  batch.mask = &mask;
  batch.tokens = &token;
  if (tokendraw_sample_host(sampler, &batch) != TOKENDRAW_OK) return 3;
  tokendraw_destroy_sampler(sampler);
  printf("token %d\n", (int)token);
  return token == 1 ? 0 : 1;
}
