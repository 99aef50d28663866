// SPDX-License-Identifier: Apache-2.0
// As transfer.h, for the arrays of a building block.
#pragma once

#include "backend/transfer.h"
#include "request/operation.h"

namespace tokendraw::backend {

struct OperationPlacement {
  request::Operation operation;  // as given, but with its arrays in the block
  Placement arrays;              // for copy_inputs and copy_outputs
};

// Lays out all arrays in `block`, which lies in `memory`; without a block (nullptr), arrays.bytes tells how large it
// must be and the rest means nothing. Rows that lie apart are brought together, so that no copy touches what is between
// them; an output in place of the input stays there. Reads no array.
OperationPlacement lay_out(const request::Operation& operation, request::Memory memory, void* block);

}  // namespace tokendraw::backend
