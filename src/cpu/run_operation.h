// SPDX-License-Identifier: Apache-2.0
// The building blocks on the CPU: rows shared among the engine's threads, a chunk of a row at a time, no memory but the
// stack.
#pragma once

#include "cpu/engine.h"
#include "request/operation.h"

namespace tokendraw::cpu {

// Whether the call uses more than the calling thread: such calls on one engine must wait for one another.
bool shares_threads(const Engine& engine, const request::Operation& operation);

// Precondition: the arrays lie in host memory.
void run_operation(Engine* engine, const request::Operation& operation);

}  // namespace tokendraw::cpu
