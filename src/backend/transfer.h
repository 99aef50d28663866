// SPDX-License-Identifier: Apache-2.0
// Moves the arrays of a request between host and device. There is one list of a request's arrays, in transfer.cpp, for
// both directions: sample_host takes host arrays to the device and brings the outputs back, the fallback to the CPU the
// other way round.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/open_device.h"
#include "request/request.h"

namespace tokendraw::backend {

// The logits alone, everything else, or both.
enum class Parts : uint8_t { kLogits = 1, kParams = 2, kAll = 3 };

// One array of a request and its place in a block of memory elsewhere.
struct Array {
  const void* source;  // an input: where it is given
  void* target;        // an output: where it is wanted
  void* placed;        // in the block
  // Pieces of `piece_bytes`: a row each where only parts of the array are needed, else all of it as one.
  int64_t pieces;
  size_t piece_bytes;
  size_t pitch;         // bytes from piece to piece as given
  size_t placed_pitch;  // and in the block
};

struct Placement {
  static constexpr int32_t kMostArrays = 28;
  request::Request request;  // as given, but with these arrays in the block
  Array arrays[kMostArrays];
  int32_t count;
  size_t bytes;            // of the block
  request::Memory memory;  // where the block lies
};

// Lays out the arrays in `block`, which lies in `memory`; without a block (nullptr), `bytes` tells how large it must be
// and the rest means nothing. Rows that lie far apart are brought together, others stay as they are, with what lies
// between them. Reads no array.
Placement lay_out(const request::Request& request, Parts parts, request::Memory memory, void* block);

// Enqueue the copies of the inputs into the block, and of the outputs from the block to where they are wanted.
Failure copy_inputs(const OpenDevice& device, const Placement& placement, void* stream);
Failure copy_outputs(const OpenDevice& device, const Placement& placement, void* stream);

}  // namespace tokendraw::backend
