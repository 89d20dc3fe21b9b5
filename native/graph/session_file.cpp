#include "graph/session_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/printable.h"

namespace phonelm {

static_assert(std::endian::native == std::endian::little, "session files are little-endian");

namespace {

constexpr std::array<char, 8> kMagic{'P', 'L', 'M', 'S', 'E', 'S', 'S', '\n'};
constexpr uint32_t kVersion = 1;
constexpr size_t kHashedTensorBytes = 4096;

// Every byte of it is a field's.
struct Header {
  std::array<char, 8> magic = kMagic;
  uint32_t version = kVersion;
  uint32_t kv_type = 0;
  uint64_t model = 0;
  // Of the model; of its first layer.
  int32_t num_layers = 0;
  int32_t num_kv_heads = 0;
  int32_t head_dim = 0;
  int32_t vocab_size = 0;
  int32_t context_length = 0;
  int32_t num_sinks = -1;  // below 0: the context stops
  int32_t num_tokens = 0;
  int32_t num_dropped = 0;
  uint32_t has_logits = 0;
  uint32_t reserved = 0;
  uint64_t checksum = 0;  // of the fields before

  void set_shape(const ModelConfig& config) {
    num_layers = config.num_layers();
    num_kv_heads = config.layers[0].attention.num_kv_heads;
    head_dim = config.layers[0].attention.head_dim;
    vocab_size = config.vocab_size;
  }
  bool has_shape_of(const ModelConfig& config) const {
    Header other;
    other.set_shape(config);
    return num_layers == other.num_layers && num_kv_heads == other.num_kv_heads &&
           head_dim == other.head_dim && vocab_size == other.vocab_size;
  }
  uint64_t sum() const {
    Checksum sum;
    sum.add(std::as_bytes(std::span(this, 1)).first(offsetof(Header, checksum)));
    return sum.value();
  }
};
static_assert(sizeof(Header) == 72 && std::is_trivially_copyable_v<Header>);

template <typename T>
std::span<std::byte> bytes_of(T* data, size_t count) {
  return {reinterpret_cast<std::byte*>(data), count * sizeof(T)};
}

}  // namespace

// What saving and restoring share: the pieces of a session in the file's order.
class SessionFile {
 public:
  SessionFile(Session& session, bool has_logits) : session_(session), has_logits_(has_logits) {}

  static Header header_of(const Session& session) {
    const ModelConfig& config = session.model().config();
    Header header;
    header.kv_type = static_cast<uint32_t>(session.options_.kv_type);
    header.model = fingerprint_of(session.model(), session.adapters().get());
    header.set_shape(config);
    header.context_length = session.context_length();
    header.num_sinks = session.options_.num_sinks.value_or(-1);
    header.num_tokens = session.position();
    header.num_dropped = session.num_dropped_;
    header.has_logits = session.logits_are_current();
    header.checksum = header.sum();
    return header;
  }

  // Room for the tokens to come.
  void prepare(const Header& header) {
    session_.tokens_.resize(static_cast<size_t>(header.num_tokens));
    session_.num_dropped_ = header.num_dropped;
  }
  void finish() {
    session_.append({});
    if (has_logits_) session_.note_logits();
  }

  template <typename Visit>
  void for_each_piece(Visit&& visit) {
    visit(bytes_of(session_.tokens_.data(), session_.tokens_.size()));
    const auto vocab = static_cast<size_t>(session_.model().config().vocab_size);
    if (has_logits_) visit(bytes_of(session_.logits_.row(0), vocab));
    visit(session_.cache_.sink_keys());
    session_.cache_.for_each_run(session_.num_cached(), visit);
  }

 private:
  Session& session_;
  const bool has_logits_;
};

namespace {

// Reads and checks a file against a model, part by part.
class Restorer {
 public:
  Restorer(std::shared_ptr<const Model> model, const std::string& path, std::shared_ptr<Adapters> adapters)
      : model_(std::move(model)), adapters_(std::move(adapters)), name_(printable(path)), file_(path) {}

  std::unique_ptr<Session> run(int context_length) {
    read_header();
    check_fields();
    if (context_length == 0) context_length = header_.context_length;
    check_context(context_length);
    check_rope(context_length);
    SessionOptions options{context_length, static_cast<KvType>(header_.kv_type), {}};
    if (header_.num_sinks >= 0) options.num_sinks = header_.num_sinks;
    check_size();
    auto session = std::make_unique<Session>(model_, options, adapters_);
    SessionFile pieces(*session, header_.has_logits != 0);
    pieces.prepare(header_);
    read_pieces(pieces);
    check_tokens(model_->config(), session->tokens());
    pieces.finish();
    return session;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const { throw Error(name_ + ": " + what); }

  void read_header() {
    const bool is_whole = file_.read(bytes_of(&header_, 1));
    if (!is_whole || header_.magic != kMagic) {
      refuse("not a session file; give one that a session was saved to");
    }
    if (header_.version != kVersion) {
      refuse("session format " + std::to_string(header_.version) + " is not known (" +
             std::to_string(kVersion) + " is); save it with this version of phonelm");
    }
    if (header_.checksum != header_.sum()) refuse_damaged();
    sum_.add(bytes_of(&header_, 1));
  }

  [[noreturn]] void refuse_damaged() const {
    refuse("the session is damaged (its checksum differs); save it again");
  }

  void check_fields() const {
    const ModelConfig& config = model_->config();
    if (!header_.has_shape_of(config) || header_.model != fingerprint_of(*model_, adapters_.get())) {
      refuse("the session belongs to another model or other adapters; load those that it was saved from");
    }
    const int num_sinks = std::max(header_.num_sinks, 0);
    const bool makes_sense =
        header_.kv_type <= static_cast<uint32_t>(KvType::Q8_0) && header_.context_length >= 1 &&
        header_.num_tokens >= 0 && header_.num_dropped >= 0 && header_.has_logits <= 1 &&
        header_.num_dropped % KvCache::kBlock == 0 && num_cached() >= 0 &&
        num_cached() <= header_.context_length &&
        (header_.num_dropped == 0 || (header_.num_sinks >= 0 && num_cached() >= num_sinks)) &&
        num_sinks <= header_.context_length && header_.context_length <= config.context_length;
    if (!makes_sense) refuse_damaged();
  }

  int num_cached() const { return header_.num_tokens - header_.num_dropped; }

  void check_context(int context_length) const {
    if (context_length >= num_cached()) return;
    refuse("the session holds " + std::to_string(num_cached()) + " tokens and the context is " +
           std::to_string(context_length) + "; take a longer one");
  }

  // Some models rotate keys differently for long contexts.
  void check_rope(int context_length) const {
    const ModelConfig& config = model_->config();
    if (config.is_long(context_length) == config.is_long(header_.context_length)) return;
    refuse("the keys of this model are rotated for a context of " + std::to_string(header_.context_length) +
           ", which " + std::to_string(context_length) + " does not fit; take the former");
  }

  void check_size() const {
    const ModelConfig& config = model_->config();
    const auto type = static_cast<KvType>(header_.kv_type);
    const auto size = [](int32_t count) { return static_cast<size_t>(count); };
    const size_t logits = header_.has_logits ? size(config.vocab_size) : 0;
    const size_t sinks_bytes = KvCache::sinks_bytes_for(config, std::max(header_.num_sinks, 0));
    const size_t expected = sizeof(Header) + 4 * (size(header_.num_tokens) + logits) + sinks_bytes +
                            KvCache::bytes_for(config, num_cached(), type) + sizeof(uint64_t);
    if (file_.size_bytes() == expected) return;
    refuse("the session has " + std::to_string(file_.size_bytes()) + " bytes instead of " +
           std::to_string(expected) + ": it was cut or added to; save it again");
  }

  void read_pieces(SessionFile& pieces) {
    pieces.for_each_piece([&](std::span<std::byte> piece) {
      if (!file_.read(piece)) refuse_damaged();
      sum_.add(piece);
    });
    uint64_t checksum = 0;
    if (!file_.read(bytes_of(&checksum, 1)) || checksum != sum_.value()) refuse_damaged();
  }

  std::shared_ptr<const Model> model_;
  std::shared_ptr<Adapters> adapters_;
  std::string name_;
  FileReader file_;
  Header header_;
  Checksum sum_;
};

}  // namespace

uint64_t fingerprint_of(const Model& model, const Adapters* adapters) {
  Checksum sum;
  sum.add(model.file().header());
  for (const TensorInfo& tensor : model.file().tensors()) {
    sum.add({tensor.data, std::min(tensor.num_bytes, kHashedTensorBytes)});
  }
  const size_t file_bytes = model.file().size_bytes();
  sum.add(std::as_bytes(std::span(&file_bytes, 1)));
  if (adapters) sum.add(adapters->weights());
  return sum.value();
}

void save_session(const Session& session, const std::string& path) {
  Header header = SessionFile::header_of(session);
  FileWriter file(path);
  Checksum sum;
  const auto write = [&](std::span<std::byte> piece) {
    file.write(piece);
    sum.add(piece);
  };
  write(bytes_of(&header, 1));
  // The pieces are only read here.
  SessionFile(const_cast<Session&>(session), header.has_logits != 0).for_each_piece(write);
  uint64_t checksum = sum.value();
  file.write(bytes_of(&checksum, 1));
  file.commit();
}

std::unique_ptr<Session> restore_session(std::shared_ptr<const Model> model, const std::string& path,
                                         int context_length, std::shared_ptr<Adapters> adapters) {
  return Restorer(std::move(model), path, std::move(adapters)).run(context_length);
}

}  // namespace phonelm
