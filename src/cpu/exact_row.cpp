// SPDX-License-Identifier: Apache-2.0
#include "cpu/exact_row.h"

#include <vector>

#include "cpu/reference.h"

namespace tokendraw::cpu {

RowResult exact_row(const RowInputs& inputs, const ExactRowOptions& options, const ChunkKernels&, const RowScratch&) {
  std::vector<float> x(static_cast<size_t>(inputs.vocab));
  std::vector<uint64_t> keys(x.size()), weights(x.size());
  return reference_row(inputs, options.wants_logprob, {x.data(), keys.data(), weights.data()});
}

}  // namespace tokendraw::cpu
