// SPDX-License-Identifier: Apache-2.0
// The yardstick of `tokendraw bench`: the least work that looks at every logit of a row.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstdint>

namespace tokendraw::cli {

// The largest of `count` finite logits, count >= 1, read once with the widest vectors of this processor. It is meant to
// be as fast as the memory gives the row out; NaN is not looked for.
float one_read_max(const void* logits, int64_t count, TokendrawDtype dtype);

// The SIMD target that it uses.
const char* one_read_target();

}  // namespace tokendraw::cli
