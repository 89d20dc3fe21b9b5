// The weights of a layer. What a model's kind of layer lacks is not there: no rows, no data, nullptr.
#pragma once

#include "kernels/kernels.h"

namespace phonelm {

struct Linear : PackedMatrix {
  const float* bias = nullptr;
};

struct Layer {
  const float* attention_norm = nullptr;
  Linear query, key, value, output;
  // Of one head's query and key.
  const float* query_norm = nullptr;
  const float* key_norm = nullptr;
  // Of what attention gives, before it is added to the residual.
  const float* attention_post_norm = nullptr;
  const float* ffn_norm = nullptr;
  Linear gate, up, down;  // no gate in a plain FFN
  const float* ffn_post_norm = nullptr;
  // Instead of down, and of up where there is a gate: a ReLU FFN whose dead neurons are not read at decode.
  NeuronRows up_rows;
  NeuronColumns down_columns;

  bool by_neuron() const { return down_columns.data != nullptr; }
};

}  // namespace phonelm
