// The weights of a layer. What a model's kind of layer lacks is not there: no rows, no
// data, a norm without weights.
#pragma once

#include "kernels/kernels.h"

namespace phonelm {

struct Linear : PackedMatrix {
  const float* bias = nullptr;
};

struct Layer {
  Norm attention_norm;
  Linear query, key, value, output;
  // Of one head's query and key.
  Norm query_norm, key_norm;
  // Of what attention gives, before it is added to the residual.
  Norm attention_post_norm;
  Norm ffn_norm;
  Linear gate, up, down;  // no gate in a plain FFN
  Norm ffn_post_norm;
  // Instead of down, and of up where there is a gate: a ReLU FFN whose dead neurons are not read at decode.
  NeuronRows up_rows;
  NeuronColumns down_columns;

  bool by_neuron() const { return down_columns.data != nullptr; }
};

}  // namespace phonelm
