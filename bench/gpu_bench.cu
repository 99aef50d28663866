// SPDX-License-Identifier: Apache-2.0
// Device time per call beside the time of reading the logits once, in the same run. Every call is a node of a graph
// that is replayed, so that launch gaps of the host do not count; inputs rotate through memory several times the size
// of the L2 cache (`cold`) or stay the same (`hot`). Parameters and seeds lie in arrays, one value a row.
//
// Writes CSV: one line a cell. See docs/performance.md.
#include <cuda_runtime.h>
#include <row_kinds.h>
#include <tokendraw/tokendraw.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "bench_filters.h"
#include "bench_samplers.h"
#include "one_read.cuh"

namespace tokendraw::bench {
namespace {

void check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  std::fprintf(stderr, "gpu_bench: %s: %s\n", what, cudaGetErrorString(code));
  std::exit(1);
}
void check(TokendrawStatus status, const char* what) {
  if (status == TOKENDRAW_OK) return;
  std::fprintf(stderr, "gpu_bench: %s: %s: %s\n", what, tokendraw_status_name(status), tokendraw_last_error_message());
  std::exit(1);
}

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) { check(cudaMalloc(&data_, count * sizeof(T)), "cudaMalloc"); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { (void)cudaFree(data_); }
  T* get() const { return static_cast<T*>(data_); }
  void fill(const std::vector<T>& values) {
    check(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
  }

 private:
  void* data_ = nullptr;
};

constexpr int32_t kMaxBatch = 2048;
constexpr size_t kPoolBytes = size_t{2400} << 20;
constexpr size_t kRotationBytes = size_t{320} << 20;  // more than five times the L2 of an H200
constexpr int kDistinctRows = 48;

// Logits of one kind, dtype and vocabulary, filling a pool of device memory.
class Pool {
 public:
  Pool() : memory_(kPoolBytes) {}

  // Rows are packed; vocab * element size is a multiple of 16.
  void fill(const std::vector<std::byte>& rows, size_t row_bytes) {
    row_bytes_ = row_bytes;
    rows_ = kPoolBytes / row_bytes;
    const size_t given = rows.size() / row_bytes;
    check(cudaMemcpy(memory_.get(), rows.data(), given * row_bytes, cudaMemcpyHostToDevice), "cudaMemcpy");
    for (size_t done = given; done < rows_;) {
      const size_t more = std::min(done, rows_ - done);
      check(cudaMemcpy(memory_.get() + done * row_bytes, memory_.get(), more * row_bytes, cudaMemcpyDeviceToDevice),
            "cudaMemcpy");
      done += more;
    }
  }

  // The number of batches to rotate through.
  int sets(int batch) const {
    const size_t fit = rows_ / static_cast<size_t>(batch);
    const size_t batch_bytes = row_bytes_ * static_cast<size_t>(batch);
    const size_t wanted = std::max<size_t>(2, (kRotationBytes + batch_bytes - 1) / batch_bytes);
    return static_cast<int>(std::min(fit, wanted));
  }
  const std::byte* set(int batch, int i) const {
    return memory_.get() + static_cast<size_t>(i) * static_cast<size_t>(batch) * row_bytes_;
  }
  size_t row_bytes() const { return row_bytes_; }

 private:
  DeviceArray<std::byte> memory_;
  size_t row_bytes_ = 0;
  size_t rows_ = 0;
};

// Microseconds of one of the calls that enqueue(i) makes, i = 0, 1, ..., by replaying a graph of `calls` of them.
template <typename Enqueue>
double graph_us(cudaStream_t stream, int calls, int replays, const Enqueue& enqueue) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  for (int i = 0; i < calls; ++i) enqueue(i);
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  check(cudaGraphLaunch(executable, stream), "cudaGraphLaunch");
  std::vector<double> times;
  for (int r = 0; r < replays; ++r) {
    check(cudaEventRecord(begin, stream), "cudaEventRecord");
    check(cudaGraphLaunch(executable, stream), "cudaGraphLaunch");
    check(cudaEventRecord(end, stream), "cudaEventRecord");
    check(cudaEventSynchronize(end), "cudaEventSynchronize");
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin, end), "cudaEventElapsedTime");
    times.push_back(1e3 * static_cast<double>(ms) / calls);
  }
  (void)cudaEventDestroy(begin);
  (void)cudaEventDestroy(end);
  (void)cudaGraphExecDestroy(executable);
  (void)cudaGraphDestroy(graph);
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

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
    const size_t element = dtype == TOKENDRAW_DTYPE_F32 ? 4 : 2;
    const size_t row_bytes = static_cast<size_t>(vocab) * element;
    if (row_bytes % 16 != 0) {
      std::fprintf(stderr, "gpu_bench: rows of %zu bytes are no whole number of 16 bytes\n", row_bytes);
      std::exit(1);
    }
    pool_.fill(make_rows(vocab, dtype, kind, row_bytes), row_bytes);
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

  std::vector<std::byte> make_rows(int vocab, TokendrawDtype dtype, const std::string& kind, size_t row_bytes) const {
    if (kind == "real") return read_real(vocab, dtype, row_bytes);
    std::vector<std::byte> rows(row_bytes * kDistinctRows);
    const auto found = cases::find_row_kind(kind);
    if (!found) {
      std::fprintf(stderr, "gpu_bench: no data named %s\n", kind.c_str());
      std::exit(1);
    }
    for (size_t r = 0; r < kDistinctRows; ++r) cases::generate_row(*found, vocab, dtype, r + 1, &rows[r * row_bytes]);
    return rows;
  }

  // The shipped rows are bf16 behind a .npy header, which ends at the first newline.
  std::vector<std::byte> read_real(int vocab, TokendrawDtype dtype, size_t row_bytes) const {
    std::ifstream file(options_.logits, std::ios::binary);
    std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const auto newline = std::find(bytes.begin(), bytes.end(), '\n');
    if (newline == bytes.end()) {
      std::fprintf(stderr, "gpu_bench: cannot read %s\n", options_.logits.c_str());
      std::exit(1);
    }
    const auto* values = reinterpret_cast<const unsigned char*>(&*newline + 1);
    const size_t count = static_cast<size_t>(bytes.end() - newline - 1) / 2;
    const size_t rows = count / static_cast<size_t>(vocab);
    std::vector<std::byte> out(rows * row_bytes);
    for (size_t i = 0; i < rows * static_cast<size_t>(vocab); ++i) {
      const uint32_t bits = static_cast<uint32_t>(values[2 * i]) | static_cast<uint32_t>(values[2 * i + 1]) << 8;
      if (dtype == TOKENDRAW_DTYPE_BF16) {
        const auto stored = static_cast<uint16_t>(bits);
        std::memcpy(&out[2 * i], &stored, 2);
      } else {
        const uint32_t stored = bits << 16;
        std::memcpy(&out[4 * i], &stored, 4);
      }
    }
    return out;
  }

  int calls(int batch) const {
    const int sets = pool_.sets(batch);
    return std::max(batch >= 256 ? 4 : 16, std::min(sets, 64));
  }
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
  app.add_option("--algorithm", options.algorithms, "auto, candidates, refine, rejection: each beside the others");
  CLI11_PARSE(app, argc, argv);
  tokendraw::bench::Bench(options).run();
  return 0;
}
