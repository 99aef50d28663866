// SPDX-License-Identifier: Apache-2.0
//
// tokendraw for C++20: header-only, over the C API of tokendraw.h, which is the manual for everything that this header
// only passes on. In one line, with one SamplingParams a row:
//
//   std::vector<int32_t> tokens = tokendraw::Sampler().sample(logits, params);
//
// The three ways to sample, from the shortest to the one that allocates nothing:
//   1. sample(logits, vector of SamplingParams): returns tokens. sample_rows: and all that is known of each draw.
//   2. sample(Batch): every field of TokendrawBatch as spans; the results go to the caller's arrays.
//   3. sample(Batch, workspace, stream): the same with the caller's workspace, and for a GPU the caller's stream.
// RequestColumns turns the requests of 1 into the Batch of 2 and 3.
//
// Errors. Every operation that can fail comes twice: `try_verb(...)` is noexcept and returns a Result, `verb(...)`
// returns the value and throws Error. Compiled with -fno-exceptions, only the first kind exists; memory that runs out
// where this header allocates (said at each function) is then the end of the program, as for the standard library.
//
// Memory. Nothing here owns logits, parameters or outputs: spans and Batch point to the caller's memory, which must
// outlive the call they are passed to. The exceptions are Sampler and RequestColumns.
//
// Threads. As in tokendraw.h: free functions may be called from anywhere; one Sampler may be used by several threads;
// two samplers never share state. Every other object is a plain value.
#ifndef TOKENDRAW_TOKENDRAW_HPP_
#define TOKENDRAW_TOKENDRAW_HPP_

#include <tokendraw/cpp/batch.hpp>
#include <tokendraw/cpp/blocks.hpp>
#include <tokendraw/cpp/choices.hpp>
#include <tokendraw/cpp/devices.hpp>
#include <tokendraw/cpp/requests.hpp>
#include <tokendraw/cpp/result.hpp>
#include <tokendraw/cpp/sampler.hpp>

#endif  // TOKENDRAW_TOKENDRAW_HPP_
