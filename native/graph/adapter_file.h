// A GGUF file that holds a LoRA adapter: its header, checked, and the refusal of what is wrong with it.
#pragma once

#include <memory>
#include <string>

#include "gguf/gguf.h"

namespace phonelm {

// "columns x rows", as GGUF counts.
std::string shape_of(const TensorInfo& tensor);

struct AdapterSource {
  std::string path;
  // What the adapter's own alpha / rank is multiplied with. An alpha of 0 stands for the rank, as in
  // llama.cpp.
  float scale;
};

class AdapterFile {
 public:
  // Throws as `Adapters::load` does.
  AdapterFile(const AdapterSource& source, const std::string& architecture);

  const GgufFile& gguf() const { return *file_; }
  // What B (A x) of a rank is multiplied with.
  float scale_for(int rank) const;
  [[noreturn]] void refuse(const std::string& what) const;

 private:
  void require(const char* key, const std::string& expected, const char* otherwise) const;

  std::shared_ptr<GgufFile> file_;
  double scale_;
  double alpha_ = 0.0;
};

}  // namespace phonelm
