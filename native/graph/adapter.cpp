#include "graph/adapter.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "core/error.h"
#include "core/memory.h"
#include "core/printable.h"
#include "graph/adapter_file.h"

namespace phonelm {

namespace {

constexpr size_t kAlignment = 64;
// The kernels prefetch past a panel's end.
constexpr size_t kTailBytes = 8192;
// Of all adapters of a matrix together: far above any in use, and far below where an int overflows.
constexpr uint64_t kMaxRank = 1 << 16;
constexpr const char* kHeadName = "output.weight";

// A tensor's rows in `type`, which is its own or F32.
std::vector<std::byte> rows_as(const TensorInfo& tensor, TensorType type) {
  if (tensor.type == type) return {tensor.data, tensor.data + tensor.num_bytes};
  const auto rows = static_cast<int>(tensor.dims[1]);
  PackedMatrix matrix = packed_layout(tensor.type, rows, static_cast<int>(tensor.dims[0]));
  const Buffer packed(matrix.num_bytes());
  pack_panels(matrix, tensor.data, 0, matrix.num_panels, packed.data());
  matrix.data = packed.data();
  const size_t row_bytes = static_cast<size_t>(matrix.cols) * sizeof(float);
  std::vector<std::byte> out(static_cast<size_t>(rows) * row_bytes);
  for (int row = 0; row < rows; ++row) {
    unpack_row(matrix, row, reinterpret_cast<float*>(out.data() + static_cast<size_t>(row) * row_bytes));
  }
  return out;
}

bool is_float(TensorType type) {
  return type == TensorType::F32 || type == TensorType::F16 || type == TensorType::BF16;
}

}  // namespace

// Checks every tensor first, then gets the memory, then packs.
class AdapterLoader {
 public:
  AdapterLoader(std::shared_ptr<const Model> model, std::span<const AdapterSource> sources)
      : model_(*model), adapters_(new Adapters) {
    adapters_->model_ = std::move(model);
    adapters_->layers_.resize(model_.config().layers.size());
    for (const AdapterSource& source : sources) files_.emplace_back(source, model_.config().architecture);
  }

  std::shared_ptr<Adapters> run() {
    for (const AdapterFile& file : files_) read(file);
    for (auto& [low, parts] : parts_) lay_out(*low, parts);
    place();
    require_room();
    adapters_->weights_ = Buffer(total_bytes_ + kTailBytes, Pages::Huge);
    for (auto& [low, parts] : parts_) pack(*low, parts);
    make_working_memory();
    return std::move(adapters_);
  }

 private:
  // One adapter's part of a matrix's.
  struct Part {
    const TensorInfo* a;
    const TensorInfo* b;
    float scale;
    int first_row;  // of B: some files have the matrices of several products in one
    int num_rows;
    int rank() const { return static_cast<int>(a->dims[1]); }
  };

  // Some rows of a matrix in a file, and the adapters of the product they are for.
  struct Slice {
    LowRank* low;
    int num_rows;
  };

  void read(const AdapterFile& file) {
    std::set<std::string> known;
    for (int index = 0; index < model_.config().num_layers(); ++index) read_layer(file, index, known);
    read_pair(file, kHeadName, {{&adapters_->head_, model_.head().rows}}, known);
    for (const TensorInfo& tensor : file.gguf().tensors()) {
      if (!known.contains(tensor.name)) refuse_unknown(file, tensor.name);
    }
    if (known.empty()) file.refuse("there are no tensors in this adapter");
  }

  void read_layer(const AdapterFile& file, int index, std::set<std::string>& known) {
    const ModelConfig& config = model_.config();
    const LayerShape& shape = config.layer(index);
    const int width = shape.attention.width();
    const int kv_width = shape.attention.kv_width();
    const int intermediate = shape.ffn.intermediate_size;
    LayerAdapters& layer = adapters_->layers_[static_cast<size_t>(index)];
    const std::string block = "blk." + std::to_string(index) + ".";
    const auto pair = [&](const char* name, const std::vector<Slice>& slices) {
      read_pair(file, block + name + ".weight", slices, known);
    };
    pair("attn_qkv", {{&layer.query, width}, {&layer.key, kv_width}, {&layer.value, kv_width}});
    pair("attn_q", {{&layer.query, width}});
    pair("attn_k", {{&layer.key, kv_width}});
    pair("attn_v", {{&layer.value, kv_width}});
    pair("attn_output", {{&layer.output, config.hidden_size}});
    pair("ffn_gate", {{&layer.gate, intermediate}});
    // Without a gate of its own, up holds both.
    const bool stacked = shape.ffn.gated && !model_.file().find_tensor(block + "ffn_gate.weight");
    pair("ffn_up", stacked ? std::vector<Slice>{{&layer.gate, intermediate}, {&layer.up, intermediate}}
                           : std::vector<Slice>{{&layer.up, intermediate}});
    pair("ffn_down", {{&layer.down, config.hidden_size}});
  }

  void read_pair(const AdapterFile& file, const std::string& name, const std::vector<Slice>& slices,
                 std::set<std::string>& known) {
    const TensorInfo* a = file.gguf().find_tensor(name + ".lora_a");
    const TensorInfo* b = file.gguf().find_tensor(name + ".lora_b");
    const TensorInfo* base = base_of(name);
    if (!base || (!a && !b)) return;
    if (!a || !b)
      file.refuse("tensor " + (a ? a : b)->name + " is there without its " + (a ? "lora_b" : "lora_a"));
    check(file, *a, a->dims[0] == base->dims[0], *base);
    check(file, *b, b->dims[1] == base->dims[1], *base);
    if (a->dims[1] != b->dims[0] || a->dims[1] > kMaxRank) {
      file.refuse("tensor " + a->name + " has shape " + shape_of(*a) + " and " + b->name + " " +
                  shape_of(*b) + ", which do not have one rank up to " + std::to_string(kMaxRank));
    }
    const int rank = static_cast<int>(a->dims[1]);
    int first_row = 0;
    for (const Slice& slice : slices) {
      parts_[slice.low].push_back({a, b, file.scale_for(rank), first_row, slice.num_rows});
      first_row += slice.num_rows;
    }
    known.insert({a->name, b->name});
  }

  // The head may be the embedding itself.
  const TensorInfo* base_of(const std::string& name) const {
    const TensorInfo* base = model_.file().find_tensor(name);
    return base || name != kHeadName ? base : model_.file().find_tensor("token_embd.weight");
  }

  static void check(const AdapterFile& file, const TensorInfo& tensor, bool fits, const TensorInfo& base) {
    if (fits && tensor.dims[2] == 1 && tensor.dims[3] == 1) return;
    file.refuse("tensor " + tensor.name + " has shape " + shape_of(tensor) + ", but the model's " +
                base.name + " is " + shape_of(base));
  }

  [[noreturn]] void refuse_unknown(const AdapterFile& file, const std::string& name) const {
    if (!name.ends_with(".lora_a") && !name.ends_with(".lora_b")) {
      file.refuse("tensor " + quoted(name) + " is no part of a LoRA adapter");
    }
    const std::string base = name.substr(0, name.size() - std::string_view(".lora_a").size());
    file.refuse("tensor " + quoted(name) + " adapts " + quoted(base) + ", which " +
                (model_.file().find_tensor(base) ? "is not one of the matrices that adapters change here"
                                                 : "the model does not have"));
  }

  void lay_out(LowRank& low, const std::vector<Part>& parts) {
    uint64_t rank = 0;
    for (const Part& part : parts) rank += part.a->dims[1];
    if (rank > kMaxRank) {
      throw Error("the adapters of " + parts[0].a->name + " have a rank of " + std::to_string(rank) +
                  " together, more than " + std::to_string(kMaxRank) + "; take fewer adapters");
    }
    low.a = packed_layout(common_type(parts, &Part::a), static_cast<int>(rank),
                          static_cast<int>(parts[0].a->dims[0]));
    low.b = packed_layout(common_type(parts, &Part::b), parts[0].num_rows, static_cast<int>(rank));
    for (const size_t num_bytes : {size_t{rank} * sizeof(float), low.a.num_bytes(), low.b.num_bytes()}) {
      total_bytes_ += round_up(num_bytes, kAlignment);
    }
  }

  static TensorType common_type(const std::vector<Part>& parts, const TensorInfo* Part::* tensor) {
    const TensorType first = (parts[0].*tensor)->type;
    for (const Part& part : parts) {
      if ((part.*tensor)->type != first) return TensorType::F32;
    }
    return is_float(first) ? first : TensorType::F32;
  }

  // Products that read the same input lie side by side.
  void place() {
    for (LayerAdapters& layer : adapters_->layers_) {
      place({&layer.query, &layer.key, &layer.value});
      place({&layer.output});
      place({&layer.gate, &layer.up});
      place({&layer.down});
    }
    place({&adapters_->head_});
    const auto num_rows = static_cast<size_t>(model_.scratch().chunk + model_.threads().num_threads());
    adapters_->working_bytes_ = num_rows * static_cast<size_t>(width_) * sizeof(float);
  }

  void place(std::initializer_list<LowRank*> readers) {
    int width = 0;
    for (LowRank* low : readers) {
      low->place = width;
      width += low->a.padded_rows();
    }
    width_ = std::max(width_, width);
  }

  void require_room() const {
    require_memory("a set of adapters",
                   {{"weights", total_bytes_ + kTailBytes}, {"buffers", adapters_->working_bytes_}},
                   available_memory(), "take fewer or smaller adapters, or a smaller model");
  }

  void pack(LowRank& low, const std::vector<Part>& parts) {
    auto* scales = reinterpret_cast<float*>(take(static_cast<size_t>(low.rank()) * sizeof(float)));
    low.scales = scales;
    std::vector<std::byte> a;
    std::vector<std::byte> b(static_cast<size_t>(low.b.rows) * row_bytes(low.b));
    size_t column = 0;
    for (const Part& part : parts) {
      scales = std::fill_n(scales, part.rank(), part.scale);
      const std::vector<std::byte> rows = rows_as(*part.a, low.a.type);
      a.insert(a.end(), rows.begin(), rows.end());
      const std::vector<std::byte> columns = rows_as(*part.b, low.b.type);
      const size_t width = columns.size() / static_cast<size_t>(part.b->dims[1]);
      const std::byte* source = columns.data() + static_cast<size_t>(part.first_row) * width;
      for (size_t row = 0; row < static_cast<size_t>(part.num_rows); ++row) {
        std::memcpy(b.data() + row * row_bytes(low.b) + column, source + row * width, width);
      }
      column += width;
    }
    pack_matrix(low.a, a);
    pack_matrix(low.b, b);
  }

  static size_t row_bytes(const PackedMatrix& matrix) {
    return static_cast<size_t>(matrix.cols) * tensor_type_block_bytes(matrix.type);
  }

  void pack_matrix(PackedMatrix& matrix, const std::vector<std::byte>& rows) {
    std::byte* target = take(matrix.num_bytes());
    pack_panels(matrix, rows.data(), 0, matrix.num_panels, target);
    matrix.data = target;
  }

  std::byte* take(size_t num_bytes) {
    std::byte* memory = adapters_->weights_.data() + used_bytes_;
    used_bytes_ += round_up(num_bytes, kAlignment);
    return memory;
  }

  void make_working_memory() {
    adapters_->shared_products_ = std::make_unique<Rows>(model_.scratch().chunk, width_);
    for (int thread = 0; thread < model_.threads().num_threads(); ++thread) {
      adapters_->own_products_.emplace_back(1, width_);
    }
  }

  const Model& model_;
  std::shared_ptr<Adapters> adapters_;
  std::vector<AdapterFile> files_;
  std::map<LowRank*, std::vector<Part>> parts_;
  size_t total_bytes_ = 0;
  size_t used_bytes_ = 0;
  int width_ = 0;
};

std::shared_ptr<Adapters> Adapters::load(std::shared_ptr<const Model> model,
                                         std::span<const AdapterSource> sources) {
  return AdapterLoader(std::move(model), sources).run();
}

void check_adapters(const Model& model, const Adapters* adapters) {
  if (adapters && &adapters->model() != &model) {
    throw Error("these adapters were loaded for another model; load them for this one");
  }
}

}  // namespace phonelm
