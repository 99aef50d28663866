// SPDX-License-Identifier: Apache-2.0
// Times the library, one read and the usual way on the same rows in turn, so that whatever else the machine does falls
// on all three.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstdint>

#include "bench_data.h"
#include "filter_settings.h"
#include "sampler_options.h"

namespace tokendraw::cli {

struct BenchFilter {
  const char* name;
  cases::FilterSetting setting;
  TokendrawTopPBase base;
};

// Medians over the passes.
struct BenchCell {
  double draw_us = 0.0;        // a row
  double one_read_us = 0.0;    // a row
  double usual_us = 0.0;       // a row
  double ratio_to_read = 0.0;  // of each pass's draw to the read just before it
  double faster_than_usual = 0.0;
  int64_t passes = 0;
};

// CPU time of this thread if `sampler` has one thread, else wall time. Takes about `seconds`, and at least 7 passes.
BenchCell measure_cell(const BenchRows& rows, const BenchFilter& filter, const SamplerChoice& sampler, double seconds);

struct BenchScaling {
  double one_thread_us = 0.0;   // a call
  double two_threads_us = 0.0;  // a call
  double speedup = 0.0;         // median of each pass's ratio
  int64_t passes = 0;
};

// Wall time of calls of `rows_per_call` rows, with one thread and with two in turn.
BenchScaling measure_scaling(const BenchRows& rows, const BenchFilter& filter, const SamplerChoice& sampler,
                             int64_t rows_per_call, double seconds);

}  // namespace tokendraw::cli
