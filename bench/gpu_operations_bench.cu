// SPDX-License-Identifier: Apache-2.0
// Device time of the building blocks (docs/blocks.md) beside the time of reading their input and writing their output
// once, in the same run. As in gpu_bench.cu every call is a node of a graph, and inputs and outputs rotate through
// memory several times the size of the L2 cache. Parameters and seeds lie in arrays, one value a row.
//
// Writes CSV: one line a cell. See docs/performance.md.
#include <cuda_runtime.h>
#include <tokendraw/tokendraw.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "bench_rows.h"
#include "bench_samplers.h"
#include "device_array.h"
#include "graph_time.h"
#include "one_move.cuh"
#include "one_read.cuh"
#include "row_pool.h"

namespace tokendraw::bench {
namespace {

constexpr int kVocab = 128256;
constexpr int32_t kMaxBatch = 1024;
constexpr size_t kOutputBytes = size_t{1100} << 20;

struct Options {
  std::string out = "gpu_operations_bench.csv";
  std::string logits;
  bool quick = false;
  std::vector<int> batches = {1, 4, 16, 64, 256, 512};
  std::vector<std::string> data = {"real", "normal1"};
  std::vector<std::string> operations;
};

// What an operation moves once.
enum class Moves { kF32ToF32, kBf16ToF32, kBf16ToBf16, kReadF32, kWriteU32 };

struct SoftmaxCell {
  const char* name;
  TokendrawDtype dtype, output_dtype;
  int32_t log;
  Moves moves;
};
constexpr SoftmaxCell kSoftmaxCells[] = {
    {"softmax", TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_F32, 0, Moves::kF32ToF32},
    {"softmax bf16-f32", TOKENDRAW_DTYPE_BF16, TOKENDRAW_DTYPE_F32, 0, Moves::kBf16ToF32},
    {"softmax bf16-bf16", TOKENDRAW_DTYPE_BF16, TOKENDRAW_DTYPE_BF16, 0, Moves::kBf16ToBf16},
    {"log-softmax", TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_F32, 1, Moves::kF32ToF32},
};

struct FilterCell {
  const char* name;
  TokendrawForm form;
  bool masking, writes, draws;
  int32_t top_k;
  float top_p, min_p;
};
constexpr TokendrawForm kLogits = TOKENDRAW_FORM_LOGITS;
constexpr TokendrawForm kProbabilities = TOKENDRAW_FORM_PROBABILITIES;
constexpr FilterCell kFilterCells[] = {
    {"mask top-k", kLogits, true, true, false, 50, 1.0f, 0.0f},
    {"top-k", kLogits, false, true, false, 50, 1.0f, 0.0f},
    {"top-p", kLogits, false, true, false, 0, 0.9f, 0.0f},
    {"min-p", kLogits, false, true, false, 0, 1.0f, 0.05f},
    {"top-k+top-p", kLogits, false, true, false, 50, 0.9f, 0.0f},
    {"top-k+top-p, draw", kLogits, false, true, true, 50, 0.9f, 0.0f},
    {"top-p, draw", kLogits, false, true, true, 0, 0.9f, 0.0f},
    {"P: top-k", kProbabilities, false, true, false, 50, 1.0f, 0.0f},
    {"P: top-p", kProbabilities, false, true, false, 0, 0.9f, 0.0f},
    {"P: min-p", kProbabilities, false, true, false, 0, 1.0f, 0.05f},
    {"P: top-k+top-p", kProbabilities, false, true, false, 50, 0.9f, 0.0f},
    {"P: draw alone", kProbabilities, false, false, true, 0, 1.0f, 0.0f},
    {"P: top-k+top-p, draw alone", kProbabilities, false, false, true, 50, 0.9f, 0.0f},
};

struct RandomCell {
  const char* name;
  TokendrawGenerator generator;
  TokendrawRandomKind kind;
};
constexpr RandomCell kRandomCells[] = {
    {"philox u32", TOKENDRAW_GENERATOR_PHILOX, TOKENDRAW_RANDOM_U32},
    {"philox float", TOKENDRAW_GENERATOR_PHILOX, TOKENDRAW_RANDOM_F32},
    {"xorwow u32", TOKENDRAW_GENERATOR_XORWOW, TOKENDRAW_RANDOM_U32},
    {"xorwow float", TOKENDRAW_GENERATOR_XORWOW, TOKENDRAW_RANDOM_F32},
};

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options),
        sampler_(make_sampler("auto").sampler),
        output_(kOutputBytes),
        seed_(kMaxBatch),
        top_k_(kMaxBatch),
        temperature_(kMaxBatch),
        top_p_(kMaxBatch),
        min_p_(kMaxBatch),
        tokens_(kMaxBatch),
        maxima_(kMaxBatch) {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
    check(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, 0), "cudaDeviceGetAttribute");
    std::vector<uint64_t> seeds(kMaxBatch);
    for (size_t r = 0; r < seeds.size(); ++r) seeds[r] = 0x9E3779B97F4A7C15u * (r + 1);
    seed_.fill(seeds);
    temperature_.fill(std::vector<float>(kMaxBatch, 1.0f));
    file_ = std::fopen(options.out.c_str(), "w");
    if (file_ == nullptr) {
      std::perror(options.out.c_str());
      std::exit(1);
    }
    std::fprintf(file_, "vocab,data,operation,batch,cold_us,move_us,ratio\n");
  }

  void run() {
    for (const std::string& kind : options_.data) {
      if (kind == "real" && options_.logits.empty()) continue;
      const std::vector<std::byte> rows = make_rows(kVocab, TOKENDRAW_DTYPE_F32, kind, options_.logits);
      f32_.fill(rows, kRowBytes);
      bf16_.fill(make_rows(kVocab, TOKENDRAW_DTYPE_BF16, kind, options_.logits), kRowBytes / 2);
      probabilities_.fill(softmax_of(rows), kRowBytes);
      for (const int batch : options_.batches) run_batch(kind, batch);
    }
    for (const int batch : options_.batches) {
      for (const RandomCell& cell : kRandomCells) run_random(cell, batch);
    }
    std::fclose(file_);
  }

 private:
  static constexpr size_t kRowBytes = size_t{4} * kVocab;

  std::vector<std::byte> softmax_of(const std::vector<std::byte>& rows) const {
    std::vector<std::byte> made(rows.size());
    TokendrawSoftmax s;
    tokendraw_init_softmax(&s);
    s.input = rows.data();
    s.vocab = kVocab;
    s.rows = static_cast<int64_t>(rows.size() / kRowBytes);
    s.output = made.data();
    check(tokendraw_compute_softmax_host(sampler_, &s), "tokendraw_compute_softmax_host");
    return made;
  }

  // The i-th of the outputs that take turns.
  void* output(size_t batch_bytes, int i) const {
    const size_t fit = kOutputBytes / batch_bytes;
    return output_.get() + static_cast<size_t>(i) % fit * batch_bytes;
  }
  int replays() const { return options_.quick ? 3 : 5; }
  bool is_wanted(const std::string& name) const {
    return options_.operations.empty() ||
           std::find(options_.operations.begin(), options_.operations.end(), name) != options_.operations.end();
  }

  template <int kReads, int kWrites>
  double best_move_us(const Pool& pool, int batch) {
    const auto elements = static_cast<int64_t>(batch) * kVocab;
    const int64_t steps = kReads > 0 ? static_cast<int64_t>(pool.row_bytes()) * batch / 16 : elements / 4;
    const auto written = static_cast<size_t>(steps) * 16 * kWrites;
    double best = 1e30;
    for (const int blocks : {1, 2, 4, 8, 16}) {
      const auto grid = std::min<int64_t>(int64_t{blocks} * multiprocessors_, (steps + 511) / 512);
      best = std::min(best, graph_us(stream_, pool.calls(batch), replays(), [&](int i) {
                        one_move<kReads, kWrites><<<static_cast<unsigned>(grid), 512, 0, stream_>>>(
                            reinterpret_cast<const uint4*>(pool.set(batch, i % pool.sets(batch))),
                            static_cast<uint4*>(output(written, i)), steps);
                      }));
    }
    return best;
  }
  double best_read_us(int batch) {
    double best = 1e30;
    for (const int splits : {1, 2, 4, 8, 16, 32}) {
      if (splits > 1 && splits * batch > 16 * multiprocessors_) continue;
      best = std::min(best, graph_us(stream_, f32_.calls(batch), replays(), [&](int i) {
                        const auto* rows = reinterpret_cast<const uint4*>(f32_.set(batch, i % f32_.sets(batch)));
                        one_read<<<dim3(splits, batch), 512, 0, stream_>>>(rows, kRowBytes / 16, maxima_.get());
                      }));
    }
    return best;
  }
  double move_us(Moves moves, int batch) {
    switch (moves) {
      case Moves::kF32ToF32:
        return best_move_us<1, 1>(f32_, batch);
      case Moves::kBf16ToF32:
        return best_move_us<1, 2>(bf16_, batch);
      case Moves::kBf16ToBf16:
        return best_move_us<1, 1>(bf16_, batch);
      case Moves::kReadF32:
        return best_read_us(batch);
      case Moves::kWriteU32:
        break;
    }
    return best_move_us<0, 1>(f32_, batch);
  }

  void report(const std::string& kind, const char* name, int batch, double us, double floor_us) {
    std::fprintf(file_, "%d,%s,\"%s\",%d,%.2f,%.2f,%.2f\n", kVocab, kind.c_str(), name, batch, us, floor_us,
                 us / floor_us);
    std::printf("%-8s %-28s %4d  %9.2f us  %8.2f moved once  %6.2fx\n", kind.c_str(), name, batch, us, floor_us,
                us / floor_us);
    std::fflush(stdout);
  }

  void run_batch(const std::string& kind, int batch) {
    double floors[5];
    for (const Moves moves : {Moves::kF32ToF32, Moves::kBf16ToF32, Moves::kBf16ToBf16, Moves::kReadF32}) {
      floors[static_cast<int>(moves)] = move_us(moves, batch);
    }
    for (const SoftmaxCell& cell : kSoftmaxCells) {
      if (is_wanted(cell.name)) run_softmax(kind, cell, batch, floors[static_cast<int>(cell.moves)]);
    }
    for (const FilterCell& cell : kFilterCells) {
      const Moves moves = cell.writes ? Moves::kF32ToF32 : Moves::kReadF32;
      if (is_wanted(cell.name)) run_filter(kind, cell, batch, floors[static_cast<int>(moves)]);
    }
    if (is_wanted("prefix sum")) run_prefix_sum(kind, batch, floors[static_cast<int>(Moves::kF32ToF32)]);
  }

  void run_softmax(const std::string& kind, const SoftmaxCell& cell, int batch, double floor_us) {
    const Pool& pool = cell.dtype == TOKENDRAW_DTYPE_F32 ? f32_ : bf16_;
    TokendrawSoftmax s;
    tokendraw_init_softmax(&s);
    s.dtype = cell.dtype;
    s.output_dtype = cell.output_dtype;
    s.memory = TOKENDRAW_MEMORY_DEVICE;
    s.vocab = kVocab;
    s.rows = batch;
    s.temperature_per_row = temperature_.get();
    s.log = cell.log;
    const size_t bytes = row_bytes_of(kVocab, cell.output_dtype) * static_cast<size_t>(batch);
    const double us = graph_us(stream_, pool.calls(batch), replays(), [&](int i) {
      s.input = pool.set(batch, i % pool.sets(batch));
      s.output = output(bytes, i);
      check(tokendraw_compute_softmax(sampler_, &s, stream_), "tokendraw_compute_softmax");
    });
    report(kind, cell.name, batch, us, floor_us);
  }

  void run_filter(const std::string& kind, const FilterCell& cell, int batch, double floor_us) {
    const Pool& pool = cell.form == kLogits ? f32_ : probabilities_;
    top_k_.fill(std::vector<int32_t>(kMaxBatch, cell.top_k));
    top_p_.fill(std::vector<float>(kMaxBatch, cell.top_p));
    min_p_.fill(std::vector<float>(kMaxBatch, cell.min_p));
    TokendrawFilter f;
    tokendraw_init_filter(&f);
    f.form = cell.form;
    f.memory = TOKENDRAW_MEMORY_DEVICE;
    f.vocab = kVocab;
    f.rows = batch;
    f.masking = cell.masking ? 1 : 0;
    if (cell.form == kLogits) f.temperature_per_row = temperature_.get();
    f.top_k_per_row = top_k_.get();
    f.top_p_per_row = top_p_.get();
    f.min_p_per_row = min_p_.get();
    if (cell.draws) {
      f.seed_per_row = seed_.get();
      f.tokens = tokens_.get();
    }
    const double us = graph_us(stream_, pool.calls(batch), replays(), [&](int i) {
      f.input = pool.set(batch, i % pool.sets(batch));
      if (cell.writes) f.output = static_cast<float*>(output(kRowBytes * static_cast<size_t>(batch), i));
      check(tokendraw_apply_filter(sampler_, &f, stream_), "tokendraw_apply_filter");
    });
    report(kind, cell.name, batch, us, floor_us);
  }

  void run_prefix_sum(const std::string& kind, int batch, double floor_us) {
    TokendrawPrefixSum s;
    tokendraw_init_prefix_sum(&s);
    s.memory = TOKENDRAW_MEMORY_DEVICE;
    s.vocab = kVocab;
    s.rows = batch;
    const double us = graph_us(stream_, probabilities_.calls(batch), replays(), [&](int i) {
      s.input = probabilities_.set(batch, i % probabilities_.sets(batch));
      s.output = output(kRowBytes * static_cast<size_t>(batch), i);
      check(tokendraw_compute_prefix_sum(sampler_, &s, stream_), "tokendraw_compute_prefix_sum");
    });
    report(kind, "prefix sum", batch, us, floor_us);
  }

  void run_random(const RandomCell& cell, int batch) {
    if (!is_wanted(cell.name)) return;
    TokendrawRandom r;
    tokendraw_init_random(&r);
    r.generator = cell.generator;
    r.kind = cell.kind;
    r.memory = TOKENDRAW_MEMORY_DEVICE;
    r.rows = batch;
    r.count = kVocab;
    r.seed_per_row = seed_.get();
    const double floor_us = move_us(Moves::kWriteU32, batch);
    const double us = graph_us(stream_, f32_.calls(batch), replays(), [&](int i) {
      r.output = output(kRowBytes * static_cast<size_t>(batch), i);
      check(tokendraw_fill_random(sampler_, &r, stream_), "tokendraw_fill_random");
    });
    report("-", cell.name, batch, us, floor_us);
  }

  Options options_;
  TokendrawSampler* sampler_;
  std::FILE* file_ = nullptr;
  cudaStream_t stream_ = nullptr;
  int multiprocessors_ = 132;
  Pool f32_, bf16_, probabilities_;
  DeviceArray<std::byte> output_;
  DeviceArray<uint64_t> seed_;
  DeviceArray<int32_t> top_k_;
  DeviceArray<float> temperature_, top_p_, min_p_;
  DeviceArray<int32_t> tokens_, maxima_;
};

}  // namespace
}  // namespace tokendraw::bench

int main(int argc, char** argv) {
  tokendraw::bench::Options options;
  CLI::App app{"Device time of tokendraw's building blocks beside one read and one write"};
  app.add_option("--out", options.out, "CSV file to write");
  app.add_option("--logits", options.logits, "The shipped real logits (.npy, bf16, vocab 128256)");
  app.add_flag("--quick", options.quick, "Fewer repetitions");
  app.add_option("--batch", options.batches, "Batch sizes, at most 1024");
  app.add_option("--data", options.data, "real, or a kind of row");
  app.add_option("--operation", options.operations, "softmax, top-k, \"P: top-p\", \"philox u32\", ...");
  CLI11_PARSE(app, argc, argv);
  tokendraw::bench::Bench(options).run();
  return 0;
}
