// SPDX-License-Identifier: Apache-2.0
// A building block's call (softmax, ...) after validation: defaults resolved, every host-visible argument known to be
// good. Like a Request it is immutable and trivially copyable, so that a GPU backend can hand it to a kernel.
#pragma once

#include "request/request.h"

namespace tokendraw::request {

enum class OperationKind : int32_t { kSoftmax = 0, kPrefixSum = 1, kFillRandom = 2, kFilter = 3 };
enum class Number : int32_t { kF32 = 0, kU64 = 1 };
enum class Generator : int32_t { kPhilox = 0, kXorwow = 1 };
enum class RandomKind : int32_t { kU32 = 0, kU64 = 1, kF32 = 2, kF32Positive = 3 };

// Rows of Operation::columns elements, `stride` elements apart.
struct Matrix {
  void* data;  // an input's is only read
  int64_t stride;
  int32_t element_bytes;
};

struct Softmax {
  Dtype dtype;         // of the input
  Dtype output_dtype;  // of the output
  bool log;
  RowValue<float> temperature;
};

struct PrefixSum {
  Number number;
  bool exclusive;
};

struct RandomFill {
  Generator generator;
  RandomKind kind;
  bool subsequence_is_row;
  RowValue<uint64_t> seed;
  RowValue<uint64_t> subsequence;
  RowValue<uint64_t> offset;
};

struct Filter {
  Dtype dtype;
  bool of_probabilities;
  bool mask;
  bool stream_is_row;
  draw::TopPBase top_p_base;
  int32_t invalid_token;
  RowValue<float> temperature;
  RowValue<int32_t> top_k;
  RowValue<float> top_p;
  RowValue<float> min_p;
  RowValue<uint64_t> seed;
  RowValue<uint32_t> stream;
  RowValue<uint64_t> offset;
  const uint64_t* random_u64;
  int32_t* tokens;
  int64_t* kept;
  uint64_t* kept_mass;
};

struct Operation {
  OperationKind kind;
  Memory memory;  // of every array
  int64_t rows;
  int64_t columns;
  Matrix input;  // of nothing for random numbers
  Matrix output;
  uint32_t* row_status;  // nullptr: not wanted
  union {
    Softmax softmax;
    PrefixSum prefix_sum;
    RandomFill random;
    Filter filter;
  };
};

// Where row `row` of a matrix begins.
TOKENDRAW_HD unsigned char* row_of(const Matrix& matrix, int64_t row) {
  return static_cast<unsigned char*>(matrix.data) + row * matrix.stride * matrix.element_bytes;
}

// One array of an operation; none where `data` is nullptr.
struct OperationArray {
  void* field;  // of the operation: where the array's pointer stands
  void* data;
  bool is_output;
  int64_t rows;
  int64_t columns;
  int64_t stride;
  int32_t element_bytes;
};

struct OperationArrays {
  static constexpr int32_t kMost = 16;
  OperationArray array[kMost];
  int32_t count = 0;
  const OperationArray* begin() const { return array; }
  const OperationArray* end() const { return array + count; }
};

// The one list of an operation's arrays, inputs first. It points into *operation.
OperationArrays list_arrays(Operation* operation);

// Set struct_size and every field's "not given" or "off".
void set_defaults(TokendrawSoftmax* softmax);
void set_defaults(TokendrawPrefixSum* sum);
void set_defaults(TokendrawRandom* random);
void set_defaults(TokendrawFilter* filter);

// Fill *operation from the public struct, or say which argument is wrong. Read no array. Thread-safe.
Refusal make_operation(const TokendrawSoftmax* softmax, Operation* operation);
Refusal make_operation(const TokendrawPrefixSum* sum, Operation* operation);
Refusal make_operation(const TokendrawRandom* random, Operation* operation);
Refusal make_operation(const TokendrawFilter* filter, Operation* operation);

}  // namespace tokendraw::request
