// SPDX-License-Identifier: Apache-2.0
// Device time by replaying graphs, so that launch gaps of the host do not count.
#pragma once

#include <algorithm>
#include <vector>

#include "device_array.h"

namespace tokendraw::bench {

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

}  // namespace tokendraw::bench
