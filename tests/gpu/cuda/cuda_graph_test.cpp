// SPDX-License-Identifier: Apache-2.0
// Case21: a captured graph, launched again and again. It reads the arrays anew, so that offsets, seeds and logits that
// change in device memory count; capture is in global mode, which refuses allocations and waiting.
#include <cstring>

#include "advance_offsets.h"
#include "cuda_fixture.h"
#include "support/case_rows.h"
#include "support/random_rows.h"

namespace tokendraw::test {
namespace {

constexpr size_t kReplays = 100;

class Graph {
 public:
  // Captures what enqueue() puts on the stream.
  template <typename Enqueue>
  Graph(cudaStream_t stream, const Enqueue& enqueue) {
    succeeded(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    enqueue();
    succeeded(cudaStreamEndCapture(stream, &graph_));
    succeeded(cudaGraphInstantiate(&launchable_, graph_, 0));
  }
  ~Graph() {
    if (launchable_ != nullptr) (void)cudaGraphExecDestroy(launchable_);
    if (graph_ != nullptr) (void)cudaGraphDestroy(graph_);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void launch(cudaStream_t stream) const { succeeded(cudaGraphLaunch(launchable_, stream)); }
  std::vector<cudaGraphNodeType> node_types() const {
    size_t count = 0;
    succeeded(cudaGraphGetNodes(graph_, nullptr, &count));
    std::vector<cudaGraphNode_t> nodes(count);
    succeeded(cudaGraphGetNodes(graph_, nodes.data(), &count));
    std::vector<cudaGraphNodeType> types(count);
    for (size_t i = 0; i < count; ++i) succeeded(cudaGraphNodeGetType(nodes[i], &types[i]));
    return types;
  }

 private:
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t launchable_ = nullptr;
};

struct Shape {
  const char* name;
  size_t rows;
  int32_t vocab;
  TokendrawDtype dtype;
  RowInputs inputs;
};

// Rows split over blocks and not, with lists and without: what a plan distinguishes.
const std::vector<Shape>& shapes() {
  static const std::vector<Shape> list = {
      {"OneRow", 1, 128256, TOKENDRAW_DTYPE_F32, {}},
      {"FewRows", 7, 50257, TOKENDRAW_DTYPE_BF16, {}},
      {"ManyRows", 300, 3000, TOKENDRAW_DTYPE_F16, {}},
      {"FewRowsWithLists", 5, 32001, TOKENDRAW_DTYPE_F32, {.mask = true, .sparse_bias = true, .history = true}},
      {"ManyRowsWithLists", 200, 1000, TOKENDRAW_DTYPE_F32, {.sparse_bias = true, .history = true}},
      {"ManyRowsWithBias", 150, 2000, TOKENDRAW_DTYPE_F32, {.mask = true, .dense_bias = true}},
  };
  return list;
}

BatchSpec make_batch(const Shape& shape) {
  TestRandom random(21);
  BatchSpec spec;
  spec.dtype = shape.dtype;
  const size_t sources = shape.rows < 8 ? shape.rows : 8;
  for (size_t r = 0; r < sources; ++r) {
    spec.logits.push_back(make_logits(cases::RowKind::kNormal1, shape.vocab, shape.dtype, random));
  }
  for (size_t r = 0; r < shape.rows; ++r) {
    spec.rows.push_back(filtered(1.0f, r % 3 == 0 ? 0 : 60, r % 3 == 1 ? 0.95f : 1.0f));
    spec.rows.back().seed = random.bits();
    spec.rows.back().offset = random.below(100);
    add_row_inputs(spec.rows.back(), shape.vocab, shape.inputs, random);
    spec.row_index.push_back(static_cast<int32_t>(r % sources));
  }
  return spec;
}

BatchSpec steps_later(BatchSpec spec, uint64_t steps) {
  for (RowSpec& row : spec.rows) row.offset += steps;
  return spec;
}

// The offsets of a batch in device memory, which only the test may write.
uint64_t* offsets_of(const CudaBatch& on_device) { return const_cast<uint64_t*>(on_device.batch.offset_per_row); }

class CudaGraph : public CudaTest, public testing::WithParamInterface<Shape> {
 protected:
  static void sample(TokendrawSampler* sampler, const CudaBatch& on_device, cudaStream_t stream) {
    ASSERT_EQ(tokendraw_sample(sampler, &on_device.batch, on_device.workspace, on_device.workspace_bytes, stream),
              TOKENDRAW_OK)
        << tokendraw_last_error_message();
  }
  static std::vector<int32_t> tokens_of(const std::vector<RowResult>& results) {
    std::vector<int32_t> tokens;
    for (const RowResult& result : results) tokens.push_back(result.token);
    return tokens;
  }
};

// The whole loop in the graph: sample, keep the tokens, advance the offsets.
TEST_P(CudaGraph, OffsetsAdvancedInTheGraph) {
  const BatchSpec spec = make_batch(GetParam());
  const Stream stream;
  for (const auto algorithm : kGpuAlgorithms) {
    TokendrawSampler* sampler = sampler_for(on_cuda(algorithm));
    PackedBatch packed(spec);
    CudaBatch on_device(sampler, packed.batch);
    on_device.upload(stream.get());
    const DeviceArray<int32_t> log(kReplays * spec.rows.size());
    const DeviceArray<uint32_t> step(std::vector<uint32_t>{0});
    const Graph graph(stream.get(), [&] {
      sample(sampler, on_device, stream.get());
      succeeded(log_tokens_and_advance(on_device.batch.tokens, spec.rows.size(), log.get(), step.get(),
                                       offsets_of(on_device), stream.get()));
    });
    for (size_t i = 0; i < kReplays; ++i) graph.launch(stream.get());
    stream.synchronize();
    const std::vector<int32_t> logged = log.read();
    for (size_t i = 0; i < kReplays; ++i) {
      const std::vector<int32_t> expected = tokens_of(run(measure(), steps_later(spec, i)));
      const auto first = logged.begin() + static_cast<std::ptrdiff_t>(i * expected.size());
      ASSERT_EQ(expected, std::vector<int32_t>(first, first + static_cast<std::ptrdiff_t>(expected.size())))
          << tokendraw_algorithm_name(algorithm) << ", launch " << i;
    }
  }
}

// The same with copies between launches, and all outputs looked at.
TEST_P(CudaGraph, OffsetsSeedsAndLogitsCopiedBetweenLaunches) {
  BatchSpec spec = make_batch(GetParam());
  const Stream stream;
  TokendrawSampler* sampler = sampler_for(on_cuda());
  PackedBatch packed(spec);
  CudaBatch on_device(sampler, packed.batch);
  on_device.upload(stream.get());
  const Graph graph(stream.get(), [&] { sample(sampler, on_device, stream.get()); });
  TestRandom random(2121);
  for (size_t i = 0; i < 20; ++i) {
    for (RowSpec& row : spec.rows) {
      row.offset += 1;
      if (i % 3 == 1) row.seed = random.bits();
    }
    if (i % 5 == 4) {
      for (std::vector<float>& logits : spec.logits) {
        logits = make_logits(cases::RowKind::kNormal5, spec.vocab(), spec.dtype, random);
      }
    }
    // A batch of the same shape lies in memory in the same way.
    PackedBatch changed(spec);
    ASSERT_EQ(changed.batch.row_stride, packed.batch.row_stride);
    const size_t element = spec.dtype == TOKENDRAW_DTYPE_F32 ? 4 : 2;
    const size_t logits_bytes = spec.logits.size() * static_cast<size_t>(changed.batch.row_stride) * element;
    succeeded(cudaMemcpyAsync(const_cast<void*>(on_device.batch.logits), changed.batch.logits, logits_bytes,
                              cudaMemcpyHostToDevice, stream.get()));
    succeeded(cudaMemcpyAsync(offsets_of(on_device), changed.batch.offset_per_row, spec.rows.size() * sizeof(uint64_t),
                              cudaMemcpyHostToDevice, stream.get()));
    succeeded(cudaMemcpyAsync(const_cast<uint64_t*>(on_device.batch.seed_per_row), changed.batch.seed_per_row,
                              spec.rows.size() * sizeof(uint64_t), cudaMemcpyHostToDevice, stream.get()));
    graph.launch(stream.get());
    std::vector<RowResult> results(spec.rows.size());
    const auto fetch = [&](const auto* from, auto RowResult::*field) {
      std::vector<std::remove_cvref_t<decltype(*from)>> values(results.size());
      succeeded(
          cudaMemcpyAsync(values.data(), from, values.size() * sizeof values[0], cudaMemcpyDeviceToHost, stream.get()));
      stream.synchronize();
      for (size_t r = 0; r < values.size(); ++r) results[r].*field = values[r];
    };
    fetch(on_device.batch.tokens, &RowResult::token);
    fetch(on_device.batch.row_status, &RowResult::status);
    fetch(on_device.batch.kept, &RowResult::kept);
    fetch(on_device.batch.kept_mass, &RowResult::kept_mass);
    fetch(on_device.batch.logprob, &RowResult::logprob);
    ASSERT_EQ(difference(run(measure(), spec), results), "") << "launch " << i;
  }
}

// Nothing but kernels and fills, as many as the plan says: no copy, no host function, no memory node.
TEST_P(CudaGraph, HoldsWhatThePlanSays) {
  const BatchSpec spec = make_batch(GetParam());
  const Stream stream;
  TokendrawSampler* sampler = sampler_for(on_cuda());
  PackedBatch packed(spec);
  CudaBatch on_device(sampler, packed.batch);
  on_device.upload(stream.get());
  const Graph graph(stream.get(), [&] { sample(sampler, on_device, stream.get()); });
  const std::vector<cudaGraphNodeType> types = graph.node_types();
  for (const cudaGraphNodeType type : types) {
    EXPECT_TRUE(type == cudaGraphNodeTypeKernel || type == cudaGraphNodeTypeMemset) << type;
  }
  EXPECT_EQ(std::to_string(types.size()), plan_value(sampler, on_device.batch, "launches"));
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaGraph, testing::ValuesIn(shapes()),
                         [](const testing::TestParamInfo<Shape>& info) { return std::string(info.param.name); });

using CudaCapture = CudaTest;

// A capture that something else has spoilt: the call reports it, and neither answers on the CPU nor breaks the sampler.
TEST_F(CudaCapture, SpoiltCaptureIsReported) {
  const Shape shape = shapes()[1];
  const BatchSpec spec = make_batch(shape);
  const Stream stream;
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = TOKENDRAW_BACKEND_CUDA;  // with the CPU to stand in
  TokendrawSampler* created = nullptr;
  ASSERT_EQ(tokendraw_create_sampler(&options, &created), TOKENDRAW_OK) << tokendraw_last_error_message();
  const SamplerPointer sampler(created);
  PackedBatch packed(spec);
  CudaBatch on_device(sampler.get(), packed.batch);
  on_device.upload(stream.get());
  succeeded(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeGlobal));
  EXPECT_NE(cudaStreamSynchronize(stream.get()), cudaSuccess);  // not allowed while capturing: the capture is void
  EXPECT_EQ(
      tokendraw_sample(sampler.get(), &on_device.batch, on_device.workspace, on_device.workspace_bytes, stream.get()),
      TOKENDRAW_ERROR_BACKEND_FAILED);
  EXPECT_NE(std::strstr(tokendraw_last_error_message(), "captured"), nullptr) << tokendraw_last_error_message();
  cudaGraph_t graph = nullptr;
  EXPECT_NE(cudaStreamEndCapture(stream.get(), &graph), cudaSuccess);
  (void)cudaGetLastError();
  EXPECT_EQ(difference(run(measure(), spec), run_on_device(sampler.get(), packed)), "");
}

}  // namespace
}  // namespace tokendraw::test
