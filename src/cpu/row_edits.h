// SPDX-License-Identifier: Apache-2.0
// The lists of a row (sparse bias, history) turned into edits: the effective logit of every listed id, found by bit
// set. One step an entry, no sorting, whatever the lists' length.
#pragma once

#include <cstdint>

#include "cpu/row_inputs.h"
#include "cpu/workspace.h"

namespace tokendraw::cpu {

// A stored logit after NaN, mask and dense bias: the steps that need no list. Sets `nan` if it was NaN.
float logit_before_lists(const RowInputs& inputs, int32_t id, bool& nan);

class RowEdits {
 public:
  // Clears the bit sets, whatever the workspace held, and fills them. `scratch` may be empty if the row has no lists.
  RowEdits(const RowInputs& inputs, const EditScratch& scratch);

  bool any() const { return any_; }
  bool bad_id() const { return bad_id_; }

  // Writes the edited logits among ids [first, first + n) into x, where x[0] belongs to id `first`, a multiple of 64.
  void apply(float* x, int32_t first, int32_t n) const;

 private:
  bool usable(int32_t id, uint64_t* seen);
  void add_bias(const RowInputs& inputs);
  void add_penalties(const RowInputs& inputs);

  EditScratch scratch_;
  int32_t vocab_;
  bool any_ = false;
  bool bad_id_ = false;
};

}  // namespace tokendraw::cpu
