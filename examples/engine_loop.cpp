// SPDX-License-Identifier: Apache-2.0
// How an inference engine uses tokendraw: requests come and go, every step draws one token for each that is running.
//
// What to see here:
// - A request owns its seed, its offset (the tokens it has drawn) and its history. Nothing else decides its tokens:
//   after the loop, each request is run again all alone and must write the same text.
// - RequestColumns, the workspace and the output arrays are kept from step to step: once they are as large as the
//   largest step needs, sampling allocates nothing.
// - Errors are results here; sample_tokens.cpp shows exceptions.
//
// The "model" knows which word followed which in a short text.

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <map>
#include <sstream>
#include <string>
#include <tokendraw/tokendraw.hpp>
#include <vector>

namespace {

constexpr const char* kText =
    "the model reads a text and gives every token a logit . the sampler turns the logits into a token . the token "
    "joins the text and the model reads it again . a low temperature gives the likely token more weight and a high "
    "temperature gives every token a chance . top k keeps the k heaviest tokens . top p keeps the heaviest tokens "
    "until "
    "they hold a share of the weight . the seed belongs to the request and the offset counts the tokens that the "
    "request has drawn . the same seed gives the same token in every batch and on every machine .";

class BigramModel {
 public:
  BigramModel() {
    std::istringstream text(kText);
    std::vector<int32_t> ids;
    for (std::string word; text >> word; ids.push_back(id_of_[word])) {
      if (id_of_.emplace(word, static_cast<int32_t>(words_.size())).second) words_.push_back(word);
    }
    logits_.assign(words_.size() * words_.size(), 0.0f);
    for (size_t i = 1; i < ids.size(); ++i) logits_[index(ids[i - 1], ids[i])] += 40.0f;
    for (float& logit : logits_) logit = std::log(1.0f + logit);
  }

  int32_t vocab() const { return static_cast<int32_t>(words_.size()); }
  int32_t id(const std::string& word) const { return id_of_.at(word); }
  const std::string& word(int32_t id) const { return words_[id]; }
  // Appends the logits of the word after `last`.
  void append_logits(int32_t last, std::vector<float>& logits) const {
    logits.insert(logits.end(), logits_.begin() + index(last, 0), logits_.begin() + index(last + 1, 0));
  }

 private:
  std::ptrdiff_t index(int32_t last, int32_t next) const { return static_cast<std::ptrdiff_t>(last) * vocab() + next; }

  std::map<std::string, int32_t> id_of_;
  std::vector<std::string> words_;
  std::vector<float> logits_;
};

struct Request {
  int arrival_step;
  size_t max_tokens;
  tokendraw::SamplingParams params;
  std::vector<int32_t> tokens = {};
  std::vector<int32_t> history_ids = {};  // each id once, with the number of times it was drawn
  std::vector<int32_t> history_counts = {};
  bool done = false;
};

void add_to_history(Request& request, int32_t token) {
  for (size_t i = 0; i < request.history_ids.size(); ++i) {
    if (request.history_ids[i] == token) {
      ++request.history_counts[i];
      return;
    }
  }
  request.history_ids.push_back(token);
  request.history_counts.push_back(1);
}

class Engine {
 public:
  // The workspace and the arrays of its batches are host memory, so the CPU it is.
  explicit Engine(const BigramModel& model)
      : model_(model), sampler_(tokendraw::Sampler::try_create({.backend = tokendraw::Backend::kCpu})) {}

  // Runs until every request has ended. False after an error, which it has printed.
  bool run(std::vector<Request>& requests) {
    if (!sampler_) return report(sampler_.error());
    for (int step = 0;; ++step) {
      running_.clear();
      bool waiting = false;
      for (Request& request : requests) {
        if (!request.done && request.arrival_step <= step) running_.push_back(&request);
        waiting = waiting || request.arrival_step > step;
      }
      if (running_.empty() && !waiting) return true;
      if (!run_step()) return false;
    }
  }

 private:
  bool run_step() {
    logits_.clear();
    params_.clear();
    for (Request* request : running_) {
      model_.append_logits(request->tokens.empty() ? model_.id(".") : request->tokens.back(), logits_);
      request->params.offset = request->tokens.size();
      request->params.history_ids = request->history_ids;
      request->params.history_counts = request->history_counts;
      params_.push_back(request->params);
    }
    tokens_.resize(running_.size());
    row_status_.resize(running_.size());
    if (const auto assigned = columns_.try_assign(params_); !assigned) return report(assigned.error());
    tokendraw::Batch batch = columns_.batch();
    batch.logits = logits_;
    batch.tokens = tokens_;
    batch.row_status = row_status_;

    const auto bytes = sampler_->try_workspace_bytes(batch);
    if (!bytes) return report(bytes.error());
    if (workspace_.size() < *bytes) workspace_.resize(*bytes);
    if (const auto sampled = sampler_->try_sample(batch, workspace_); !sampled) return report(sampled.error());

    for (size_t i = 0; i < running_.size(); ++i) take(*running_[i], tokens_[i], row_status_[i]);
    return true;
  }

  void take(Request& request, int32_t token, uint32_t row_status) {
    if (token < 0) {  // this request ends, the others go on
      std::fprintf(stderr, "a request has no token: %s\n", tokendraw::row_status_names(row_status).c_str());
      request.done = true;
      return;
    }
    request.tokens.push_back(token);
    add_to_history(request, token);
    request.done = model_.word(token) == "." || request.tokens.size() == request.max_tokens;
  }

  static bool report(const tokendraw::Error& error) {
    std::fprintf(stderr, "%s: %s\n", error.status_name(), error.what());
    return false;
  }

  const BigramModel& model_;
  tokendraw::Result<tokendraw::Sampler> sampler_;
  std::vector<Request*> running_;
  std::vector<float> logits_;
  std::vector<tokendraw::SamplingParams> params_;
  tokendraw::RequestColumns columns_;
  std::vector<std::byte> workspace_;
  std::vector<int32_t> tokens_;
  std::vector<uint32_t> row_status_;
};

std::vector<Request> make_requests() {
  return {
      {.arrival_step = 0, .max_tokens = 24, .params = {.temperature = 0.0f, .frequency_penalty = 1.0f}},
      {.arrival_step = 0, .max_tokens = 24, .params = {.temperature = 0.7f, .top_k = 8, .seed = 1}},
      {.arrival_step = 2, .max_tokens = 12, .params = {.temperature = 1.2f, .min_p = 0.05f, .seed = 2}},
      {.arrival_step = 5, .max_tokens = 24, .params = {.top_p = 0.8f, .seed = 3, .repetition_penalty = 1.3f}},
      {.arrival_step = 5, .max_tokens = 24, .params = {.top_p = 0.8f, .seed = 4, .presence_penalty = 1.5f}},
  };
}

}  // namespace

int main() {
  const BigramModel model;
  Engine engine(model);
  std::vector<Request> together = make_requests();
  if (!engine.run(together)) return 1;

  bool same = true;
  for (size_t i = 0; i < together.size(); ++i) {
    std::string text;
    for (const int32_t token : together[i].tokens) text += " " + model.word(token);
    std::printf("%zu:%s\n", i, text.c_str());

    std::vector<Request> alone = {make_requests()[i]};
    if (!engine.run(alone)) return 1;
    same = same && !alone[0].tokens.empty() && alone[0].tokens == together[i].tokens;
  }
  std::puts(same ? "every request writes the same text alone" : "a request wrote another text alone");
  return same ? 0 : 1;
}
