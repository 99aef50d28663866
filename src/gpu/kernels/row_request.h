// SPDX-License-Identifier: Apache-2.0
// A row of the request: what is read of it before its token is drawn, and what is written after.
#pragma once

#include "gpu/kernels/arguments.h"
#include "gpu/platform/platform.h"
#include "request/row_inputs.h"

namespace tokendraw::gpu {

TOKENDRAW_DEVICE_CALL bool read_inputs(const Arguments& a, int64_t row, request::RowInputs* inputs) {
  return request::read_row_inputs(a.request, row, inputs);
}

// The same in two steps, the second for the random number.
TOKENDRAW_DEVICE_CALL bool read_params(const Arguments& a, int64_t row, request::RowInputs* inputs) {
  return request::use_row_params(a.request, row, request::raw_row_params(a.request, row), inputs);
}
TOKENDRAW_DEVICE_CALL bool read_random(const Arguments& a, int64_t row, request::RowInputs* inputs) {
  return request::use_row_random(a.request, request::raw_row_random(a.request, row), inputs);
}

TOKENDRAW_DEVICE void write_result(const Arguments& a, int64_t row, const request::RowResult& result) {
  if (platform::thread_index() == 0) request::write_row_result(a.request, row, result);
}

template <typename Row>
TOKENDRAW_DEVICE uint32_t list_status(const Arguments& a, int64_t row) {
  return Row::shared().inputs.has_lists() ? a.lists.row_status[row] : 0;
}

}  // namespace tokendraw::gpu
