#include "graph/observer.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "graph/pass.h"

namespace phonelm {

namespace {

const Model& checked(const Model& model, int first_layer, int num_layers, int context_length) {
  const int most = model.config().num_layers();
  if (first_layer < 0 || num_layers < 0 || num_layers > most - first_layer) {
    throw Error("the model has no layers " + std::to_string(first_layer) + " to " +
                std::to_string(first_layer + num_layers) + "; take some of 0 to " + std::to_string(most));
  }
  if (context_length < 1 || context_length > model.config().context_length) {
    throw Error("context length is " + std::to_string(context_length) + "; this model takes 1 to " +
                std::to_string(model.config().context_length));
  }
  if (std::ranges::any_of(model.layers(), &Layer::by_neuron)) {
    throw Error("the model's FFN is stored neuron by neuron; load it with sparse_ffn=False");
  }
  return model;
}

int num_slots(int context_length) {
  return static_cast<int>(round_up(static_cast<size_t>(context_length), KvCache::kBlock));
}

}  // namespace

Observer::Observer(std::shared_ptr<const Model> model, int first_layer, int num_layers, bool with_head,
                   int context_length)
    : model_(std::move(model)),
      context_length_(context_length),
      cache_(checked(*model_, first_layer, num_layers, context_length).config(), num_slots(context_length),
             KvType::F16),
      rows_(model_->config(), first_layer, num_layers, with_head, model_->scratch().chunk) {}

void Observer::run(std::span<const int32_t> tokens, int position) {
  const int count = static_cast<int>(tokens.size());
  const int most = std::min(model_->scratch().chunk, context_length_ - position);
  if (position < 0 || count < 1 || count > most) {
    throw Error("cannot observe " + std::to_string(count) + " tokens at position " +
                std::to_string(position) + "; take 1 to " + std::to_string(std::max(most, 1)));
  }
  check_tokens(model_->config(), tokens);
  const Segment segment{&cache_, 0, position, count, model_->config().is_long(context_length_)};
  const Plan plan({&segment, 1});
  const int num_threads = model_->threads_for(count);
  PassOptions options{num_threads};
  options.observed = &rows_;
  const Pass pass(model_->graph(), tokens, plan, options);
  model_->threads().run(num_threads, [&](int thread) { pass.observe(thread); });
  num_tokens_ = count;
}

const Rows& Observer::rows(int layer, ProductInput input) const {
  const Rows* found = rows_.of(layer, input);
  if (!found) throw Error("layer " + std::to_string(layer) + " is not observed; name one that is");
  return *found;
}

const Rows& Observer::head_rows() const {
  if (!rows_.of_head()) throw Error("the head's input is not observed; ask for it at the beginning");
  return *rows_.of_head();
}

}  // namespace phonelm
