// SPDX-License-Identifier: Apache-2.0
#include "bench_measure.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <vector>

#include "case_random.h"
#include "cli_error.h"
#include "one_read.h"
#include "sort_baseline.h"

namespace tokendraw::cli {
namespace {

constexpr int64_t kLeastPasses = 7;

enum class Clock { kThreadCpu, kWall };

double now_us(Clock clock) {
  timespec time{};
  clock_gettime(clock == Clock::kThreadCpu ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

template <typename Work>
double time_us(Clock clock, Work&& work) {
  const double start = now_us(clock);
  work();
  return now_us(clock) - start;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Results go here, so that no compiler leaves the work out.
volatile double kept_result = 0.0;

void keep_result(double value) { kept_result = kept_result + value; }

// Repeats a call over the rows, `rows_per_call` at a time, with a workspace of its own.
class DrawLoop {
 public:
  DrawLoop(const BenchRows& rows, const BenchFilter& filter, const SamplerChoice& choice, int64_t rows_per_call)
      : rows_(rows),
        rows_per_call_(std::min(rows_per_call, rows.rows())),
        sampler_(make_sampler(choice)),
        tokens_(static_cast<size_t>(rows_per_call_)) {
    tokendraw_init_batch(&batch_);
    batch_.logits = rows.row(0);
    batch_.dtype = rows.dtype();
    batch_.vocab = rows.vocab();
    batch_.rows = rows_per_call_;
    batch_.temperature = filter.setting.temperature;
    batch_.top_k = filter.setting.top_k;
    batch_.top_p = filter.setting.top_p;
    batch_.min_p = filter.setting.min_p;
    batch_.top_p_base = filter.base;
    batch_.tokens = tokens_.data();
    size_t bytes = 0;
    require_ok(tokendraw_get_workspace_bytes(sampler_.get(), &batch_, &bytes), "sizing the workspace");
    workspace_.resize(bytes);
  }

  int64_t calls() const { return rows_.rows() / rows_per_call_; }
  int64_t rows_done() const { return calls() * rows_per_call_; }

  void sweep() {
    ++batch_.offset;
    for (int64_t call = 0; call < calls(); ++call) {
      batch_.logits = rows_.row(call * rows_per_call_);
      require_ok(tokendraw_sample(sampler_.get(), &batch_, workspace_.data(), workspace_.size(), nullptr), "sampling");
    }
    keep_result(tokens_[0]);
  }

 private:
  const BenchRows& rows_;
  int64_t rows_per_call_;
  SamplerHandle sampler_;
  TokendrawBatch batch_;
  std::vector<int32_t> tokens_;
  std::vector<std::byte> workspace_;
};

void read_sweep(const BenchRows& rows) {
  float sum = 0.0f;
  for (int64_t r = 0; r < rows.rows(); ++r) sum += one_read_max(rows.row(r), rows.vocab(), rows.dtype());
  keep_result(static_cast<double>(sum));
}

// Microseconds of a call in a burst of calls. The second thread of a sampler sleeps between calls that are some time
// apart, and some systems take a millisecond to wake it; so calls go before that are not counted.
double burst_us(DrawLoop& loop) {
  constexpr double kBeforeUs = 3e3;
  constexpr double kCountedUs = 6e3;
  for (const double end = now_us(Clock::kWall) + kBeforeUs; now_us(Clock::kWall) < end;) loop.sweep();
  int64_t sweeps = 0;
  const double begin = now_us(Clock::kWall);
  double now = begin;
  for (; now < begin + kCountedUs; now = now_us(Clock::kWall)) {
    loop.sweep();
    ++sweeps;
  }
  return (now - begin) / static_cast<double>(sweeps * loop.calls());
}

}  // namespace

BenchCell measure_cell(const BenchRows& rows, const BenchFilter& filter, const SamplerChoice& sampler, double seconds) {
  const Clock clock = sampler.threads == 1 ? Clock::kThreadCpu : Clock::kWall;
  DrawLoop loop(rows, filter, sampler, rows.rows());
  SortBaseline baseline;
  std::vector<double> draws, reads, usual, ratios;
  const auto n = static_cast<double>(rows.rows());
  const double end = now_us(Clock::kWall) + seconds * 1e6;
  read_sweep(rows);
  loop.sweep();
  for (int64_t pass = 0; pass < kLeastPasses || now_us(Clock::kWall) < end; ++pass) {
    for (int repeat = 0; repeat < 3; ++repeat) {
      const double read = time_us(clock, [&] { read_sweep(rows); }) / n;
      const double draw = time_us(clock, [&] { loop.sweep(); }) / n;
      reads.push_back(read);
      draws.push_back(draw);
      ratios.push_back(draw / read);
    }
    // Sorting takes as long as hundreds of reads: one row a pass, another each time.
    const std::byte* row = rows.row(pass % rows.rows());
    const double u = cases::hash_unit(1, static_cast<uint64_t>(pass));
    usual.push_back(time_us(
        clock, [&] { keep_result(baseline.sample(row, rows.vocab(), rows.dtype(), filter.setting, filter.base, u)); }));
  }
  BenchCell cell;
  cell.draw_us = median(draws);
  cell.one_read_us = median(reads);
  cell.usual_us = median(usual);
  cell.ratio_to_read = median(ratios);
  cell.faster_than_usual = cell.usual_us / cell.draw_us;
  cell.passes = static_cast<int64_t>(usual.size());
  return cell;
}

BenchScaling measure_scaling(const BenchRows& rows, const BenchFilter& filter, const SamplerChoice& sampler,
                             int64_t rows_per_call, double seconds) {
  SamplerChoice choice = sampler;
  choice.threads = 1;
  DrawLoop one(rows, filter, choice, rows_per_call);
  choice.threads = 2;
  DrawLoop two(rows, filter, choice, rows_per_call);
  std::vector<double> one_us, two_us, ratios;
  const double end = now_us(Clock::kWall) + seconds * 1e6;
  while (static_cast<int64_t>(ratios.size()) < kLeastPasses || now_us(Clock::kWall) < end) {
    one_us.push_back(burst_us(one));
    two_us.push_back(burst_us(two));
    ratios.push_back(one_us.back() / two_us.back());
  }
  return {median(one_us), median(two_us), median(ratios), static_cast<int64_t>(ratios.size())};
}

}  // namespace tokendraw::cli
