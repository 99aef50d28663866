// SPDX-License-Identifier: Apache-2.0
// A row's inputs and result (request/row_inputs.h) as the CPU engine names them, and its reader of single logits.
#pragma once

#include "request/row_inputs.h"

namespace tokendraw::cpu {

using request::ListSlice;
using request::log_probability;
using request::logprob_scale;
using request::read_row_inputs;
using request::row_without_token;
using request::RowInputs;
using request::RowResult;
using request::write_row_result;

// The logit of an id as it is stored, as a float.
inline float stored_logit(const RowInputs& inputs, int32_t id) {
  switch (inputs.dtype) {
    case request::Dtype::kF32:
      return static_cast<const float*>(inputs.logits)[id];
    case request::Dtype::kF16:
      return draw::f16_to_float(static_cast<const uint16_t*>(inputs.logits)[id]);
    case request::Dtype::kBf16:
      break;
  }
  return draw::bf16_to_float(static_cast<const uint16_t*>(inputs.logits)[id]);
}

}  // namespace tokendraw::cpu
