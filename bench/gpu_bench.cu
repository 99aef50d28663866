// SPDX-License-Identifier: Apache-2.0
// Device time per call beside the time of reading the logits once, in the same run. Every call is a node of a graph
// that is replayed, so that launch gaps of the host do not count; inputs rotate through memory several times the size
// of the L2 cache (`cold`) or stay the same (`hot`). Parameters and seeds lie in arrays, one value a row.
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

#include "bench_filters.h"
#include "bench_rows.h"
#include "bench_samplers.h"
#include "device_array.h"
#include "graph_time.h"
#include "one_read.cuh"
#include "row_pool.h"

namespace tokendraw::bench {
namespace {

constexpr int32_t kMaxBatch = 2048;

struct Options {
  std::string out = "gpu_bench.csv";
  std::string logits;
  bool quick = false;
  std::vector<int> batches = {1, 4, 16, 64, 256, 512, 2048};
  std::vector<int> vocabs = {128256, 32000, 151936, 262144};
  std::vector<std::string> dtypes = {"f32", "bf16"};
  std::vector<std::string> data;
  std::vector<std::string> filters;
  std::vector<std::string> algorithms = {"auto"};
};

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options),
        seed_(kMaxBatch),
        offset_(kMaxBatch),
        top_k_(kMaxBatch),
        temperature_(kMaxBatch),
        top_p_(kMaxBatch),
        min_p_(kMaxBatch),
        tokens_(kMaxBatch),
        maxima_(kMaxBatch),
        rounds_(kMaxBatch),
        logprob_(kMaxBatch) {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
    size_t free_before = 0;
    size_t total = 0;
    check(cudaMemGetInfo(&free_before, &total), "cudaMemGetInfo");
    for (const std::string& name : options.algorithms) samplers_.push_back(make_sampler(name));
    size_t free_after = 0;
    check(cudaMemGetInfo(&free_after, &total), "cudaMemGetInfo");
    sampler_bytes_ = free_before - free_after;
    std::vector<uint64_t> seeds(kMaxBatch);
    for (size_t r = 0; r < seeds.size(); ++r) seeds[r] = 0x9E3779B97F4A7C15u * (r + 1);
    seed_.fill(seeds);
    offset_.fill(std::vector<uint64_t>(kMaxBatch, 7));
    file_ = std::fopen(options.out.c_str(), "w");
    if (file_ == nullptr) {
      std::perror(options.out.c_str());
      std::exit(1);
    }
    std::fprintf(file_,
                 "vocab,dtype,data,filter,batch,cold_us,hot_us,one_read_us,ratio,workspace_bytes,row_maximum_us,"
                 "algorithm,mean_rounds\n");
  }

  void run() {
    for (const int vocab : options_.vocabs) {
      for (const std::string& dtype : options_.dtypes) {
        std::vector<std::string> kinds = options_.data;
        if (kinds.empty()) kinds = {"real", "normal1", "normal5", "two-valued"};
        for (const std::string& kind : kinds) {
          if (kind == "real" && (vocab != 128256 || options_.logits.empty())) continue;
          run_data(vocab, dtype, kind);
        }
      }
    }
    std::printf("%zu sampler(s): %zu bytes of device memory\n", samplers_.size(), sampler_bytes_);
    std::fclose(file_);
  }

 private:
  void run_data(int vocab, const std::string& dtype_name, const std::string& kind) {
    const TokendrawDtype dtype = dtype_name == "f32"   ? TOKENDRAW_DTYPE_F32
                                 : dtype_name == "f16" ? TOKENDRAW_DTYPE_F16
                                                       : TOKENDRAW_DTYPE_BF16;
    const size_t row_bytes = row_bytes_of(vocab, dtype);
    if (row_bytes % 16 != 0) {
      std::fprintf(stderr, "gpu_bench: rows of %zu bytes are no whole number of 16 bytes\n", row_bytes);
      std::exit(1);
    }
    pool_.fill(make_rows(vocab, dtype, kind, options_.logits), row_bytes);
    for (const int batch : options_.batches) {
      const Floor floor = {one_read_us(batch), row_maximum_us(batch)};
      for (const Filter& filter : kFilters) {
        if (!options_.filters.empty() &&
            std::find(options_.filters.begin(), options_.filters.end(), filter.name) == options_.filters.end()) {
          continue;
        }
        for (const NamedSampler& sampler : samplers_) {
          run_cell(sampler, vocab, dtype, dtype_name, kind, filter, batch, floor);
        }
      }
    }
  }

  int calls(int batch) const { return pool_.calls(batch); }
  int replays() const { return options_.quick ? 3 : 5; }

  double one_read_us(int batch) {
    double best = 1e30;
    const auto vectors = static_cast<int64_t>(pool_.row_bytes() / 16);
    int multiprocessors = 132;
    check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0), "cudaDeviceGetAttribute");
    const int sets = pool_.sets(batch);
    for (const int splits : {1, 2, 4, 8, 16, 32}) {
      if (splits > 1 && splits * batch > 16 * multiprocessors) continue;
      best = std::min(best, graph_us(stream_, calls(batch), replays(), [&](int i) {
                        const auto* logits = reinterpret_cast<const uint4*>(pool_.set(batch, i % sets));
                        one_read<<<dim3(splits, batch), 512, 0, stream_>>>(logits, vectors, maxima_.get());
                      }));
    }
    return best;
  }

  // The yardsticks of a batch.
  struct Floor {
    double one_read_us;
    double row_maximum_us;
  };

  // 0 where the device has no clusters.
  double row_maximum_us(int batch) {
    int major = 0;
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "cudaDeviceGetAttribute");
    if (major < 9) return 0;
    const auto vectors = static_cast<int64_t>(pool_.row_bytes() / 16);
    const int sets = pool_.sets(batch);
    return graph_us(stream_, calls(batch), replays(), [&](int i) {
      const auto* logits = reinterpret_cast<const uint4*>(pool_.set(batch, i % sets));
      row_maximum<<<dim3(kRowMaximumBlocks, batch), 512, 0, stream_>>>(logits, vectors, maxima_.get());
    });
  }

  // Over the rows of all sets, in calls that are not measured; 0 of algorithms without rounds.
  double mean_rounds(const NamedSampler& sampler, TokendrawBatch b, void* workspace, size_t bytes) {
    const auto batch = static_cast<int>(b.rows);
    const int sets = pool_.sets(batch);
    b.rounds = rounds_.get();
    std::vector<int32_t> rounds(static_cast<size_t>(b.rows));
    double sum = 0;
    for (int set = 0; set < sets; ++set) {
      b.logits = pool_.set(batch, set);
      check(tokendraw_sample(sampler.sampler, &b, workspace, bytes, stream_), "tokendraw_sample");
      check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
      check(cudaMemcpy(rounds.data(), rounds_.get(), rounds.size() * sizeof(int32_t), cudaMemcpyDeviceToHost),
            "cudaMemcpy");
      for (const int32_t r : rounds) sum += r;
    }
    return sum / (static_cast<double>(sets) * batch);
  }

  void run_cell(const NamedSampler& sampler, int vocab, TokendrawDtype dtype, const std::string& dtype_name,
                const std::string& kind, const Filter& filter, int batch, const Floor& floor) {
    temperature_.fill(std::vector<float>(kMaxBatch, filter.temperature));
    top_k_.fill(std::vector<int32_t>(kMaxBatch, filter.top_k));
    top_p_.fill(std::vector<float>(kMaxBatch, filter.top_p));
    min_p_.fill(std::vector<float>(kMaxBatch, filter.min_p));
    TokendrawBatch b;
    tokendraw_init_batch(&b);
    b.logits = pool_.set(batch, 0);
    b.dtype = dtype;
    b.logits_memory = TOKENDRAW_MEMORY_DEVICE;
    b.params_memory = TOKENDRAW_MEMORY_DEVICE;
    b.vocab = vocab;
    b.rows = batch;
    b.temperature_per_row = temperature_.get();
    b.top_k_per_row = top_k_.get();
    b.top_p_per_row = top_p_.get();
    b.min_p_per_row = min_p_.get();
    b.top_p_base = filter.base;
    b.seed_per_row = seed_.get();
    b.offset_per_row = offset_.get();
    b.tokens = tokens_.get();
    if (filter.logprob) b.logprob = logprob_.get();
    size_t bytes = 0;
    check(tokendraw_get_workspace_bytes(sampler.sampler, &b, &bytes), "tokendraw_get_workspace_bytes");
    DeviceArray<std::byte> workspace(std::max<size_t>(bytes, 1));
    const int sets = pool_.sets(batch);
    const auto enqueue = [&](int set) {
      b.logits = pool_.set(batch, set);
      check(tokendraw_sample(sampler.sampler, &b, workspace.get(), bytes, stream_), "tokendraw_sample");
    };
    const double cold = graph_us(stream_, calls(batch), replays(), [&](int i) { enqueue(i % sets); });
    const double hot = graph_us(stream_, calls(batch), replays(), [&](int) { enqueue(0); });
    const double rounds = mean_rounds(sampler, b, workspace.get(), bytes);
    std::fprintf(file_, "%d,%s,%s,%s,%d,%.2f,%.2f,%.2f,%.2f,%zu,%.2f,%s,%.3f\n", vocab, dtype_name.c_str(),
                 kind.c_str(), filter.name, batch, cold, hot, floor.one_read_us, cold / floor.one_read_us, bytes,
                 floor.row_maximum_us, sampler.algorithm.c_str(), rounds);
    std::printf("%6d %-4s %-10s %-13s %-10s %4d  %8.2f us cold  %8.2f hot  %8.2f one read  %5.2fx  %.2f rounds\n",
                vocab, dtype_name.c_str(), kind.c_str(), filter.name, sampler.algorithm.c_str(), batch, cold, hot,
                floor.one_read_us, cold / floor.one_read_us, rounds);
    std::fflush(stdout);
  }

  Options options_;
  std::FILE* file_ = nullptr;
  cudaStream_t stream_ = nullptr;
  std::vector<NamedSampler> samplers_;
  size_t sampler_bytes_ = 0;
  Pool pool_;
  DeviceArray<uint64_t> seed_, offset_;
  DeviceArray<int32_t> top_k_;
  DeviceArray<float> temperature_, top_p_, min_p_;
  DeviceArray<int32_t> tokens_, maxima_, rounds_;
  DeviceArray<float> logprob_;
};

}  // namespace
}  // namespace tokendraw::bench

int main(int argc, char** argv) {
  tokendraw::bench::Options options;
  CLI::App app{"Device time of tokendraw beside one read of the logits"};
  app.add_option("--out", options.out, "CSV file to write");
  app.add_option("--logits", options.logits, "The shipped real logits (.npy, bf16, vocab 128256)");
  app.add_flag("--quick", options.quick, "Fewer repetitions");
  app.add_option("--batch", options.batches, "Batch sizes, at most 2048");
  app.add_option("--vocab", options.vocabs, "Vocabularies");
  app.add_option("--dtype", options.dtypes, "f32, f16, bf16");
  app.add_option("--data", options.data, "real, or a kind of row");
  app.add_option("--filter", options.filters, "greedy, top-k, ...");
  app.add_option("--algorithm", options.algorithms,
                 "auto, candidates, refine, rejection: each beside the others; @ and a way (auto@block) for that way");
  CLI11_PARSE(app, argc, argv);
  tokendraw::bench::Bench(options).run();
  return 0;
}
