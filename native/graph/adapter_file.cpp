#include "graph/adapter_file.h"

#include <cmath>

#include "core/error.h"
#include "core/printable.h"

namespace phonelm {

std::string shape_of(const TensorInfo& tensor) {
  return std::to_string(tensor.dims[0]) + " x " + std::to_string(tensor.dims[1]);
}

AdapterFile::AdapterFile(const AdapterSource& source, const std::string& architecture)
    : file_(GgufFile::open(source.path)), scale_(source.scale) {
  require("general.type", "adapter", "this is not an adapter");
  require("adapter.type", "lora", "this is not a LoRA adapter");
  require("general.architecture", architecture, "the adapter is for another architecture");
  if (file_->metadata().contains("adapter.alora.invocation_tokens")) {
    refuse("adapter.alora.invocation_tokens asks for a start in mid-text, which is not supported");
  }
  const auto alpha = file_->get_float("adapter.lora.alpha");
  if (!alpha) refuse("adapter.lora.alpha is missing");
  if (!std::isfinite(*alpha)) refuse("adapter.lora.alpha is not a finite number");
  if (!std::isfinite(scale_)) refuse("the scale asked for is not a finite number");
  alpha_ = *alpha;
}

float AdapterFile::scale_for(int rank) const {
  const auto scale = static_cast<float>((alpha_ == 0.0 ? 1.0 : alpha_ / rank) * scale_);
  if (!std::isfinite(scale)) refuse("adapter.lora.alpha times the scale asked for is too large");
  return scale;
}

void AdapterFile::refuse(const std::string& what) const {
  throw Error(printable(file_->path()) + ": " + what + "; take an adapter that was made for this model");
}

void AdapterFile::require(const char* key, const std::string& expected, const char* otherwise) const {
  const std::string* value = file_->get_string(key);
  if (value && *value == expected) return;
  refuse(std::string(otherwise) + " (" + key + " is " + (value ? quoted(*value) : "missing") + ", not " +
         quoted(expected) + ")");
}

}  // namespace phonelm
