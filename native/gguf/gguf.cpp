#include "gguf/gguf.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>

#include "core/buffer.h"
#include "gguf/cursor.h"
#include "gguf/metadata.h"
#include "gguf/tensors.h"

namespace phonelm {
namespace {

constexpr const char* kAlignmentKey = "general.alignment";
constexpr size_t kDefaultAlignment = 32;

// Closes the descriptor; a map outlives it.
class Descriptor {
 public:
  // O_NONBLOCK: a named pipe is refused below instead of waited for.
  explicit Descriptor(const std::string& path)
      : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (number_ < 0) throw FileError(errno, path);
  }
  ~Descriptor() { ::close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

// Magic and version, before anything else is trusted.
void read_preamble(Cursor& cursor) {
  constexpr std::string_view kMagic = "GGUF";
  if (cursor.remaining() == 0) cursor.refuse("the file is empty; get it again");
  const std::string_view magic = cursor.peek(kMagic.size());
  if (magic != kMagic) {
    cursor.refuse("not a GGUF file (it begins with " + quoted(magic) +
                  "); give a .gguf file, or quantize the checkpoint to one");
  }
  cursor.read<std::array<char, kMagic.size()>>("the magic");
  const auto version = cursor.read<uint32_t>("the version");
  if ((version & 0xFFFF) == 0 && version != 0) {
    cursor.refuse("big-endian GGUF is not supported; convert it with gguf-convert-endian");
  }
  if (version != 2 && version != 3) {
    cursor.refuse("GGUF version " + std::to_string(version) +
                  " is not supported (2 and 3 are); convert the model again");
  }
}

size_t checked_alignment(const GgufFile& file, const Cursor& cursor) {
  constexpr int64_t kMaxAlignment = 1 << 20;
  const int64_t alignment = file.get_int(kAlignmentKey).value_or(kDefaultAlignment);
  if (alignment < 1 || alignment > kMaxAlignment || !std::has_single_bit(static_cast<uint64_t>(alignment))) {
    cursor.fail(std::string(kAlignmentKey) + " is " + std::to_string(alignment) +
                ", not a power of two up to 2^20");
  }
  return static_cast<size_t>(alignment);
}

}  // namespace

std::shared_ptr<GgufFile> GgufFile::open(const std::string& path) {
  std::shared_ptr<GgufFile> file(new GgufFile(path));
  file->map();
  file->parse();
  return file;
}

GgufFile::~GgufFile() {
  if (map_ != nullptr) ::munmap(const_cast<std::byte*>(map_), size_);
}

void GgufFile::map() {
  const Descriptor descriptor(path_);
  struct stat status{};
  if (::fstat(descriptor.number(), &status) != 0) throw FileError(errno, path_);
  if (S_ISDIR(status.st_mode)) {
    throw Error(printable(path_) + ": is a folder, not a GGUF file; give the .gguf file in it");
  }
  if (!S_ISREG(status.st_mode))
    throw Error(printable(path_) + ": is not a regular file; copy it to one first");
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;  // an empty map is an error of its own; parse() says what is wrong
  void* map = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor.number(), 0);
  if (map == MAP_FAILED) throw FileError(errno, path_);
  map_ = static_cast<const std::byte*>(map);
}

void GgufFile::parse() {
  Cursor cursor(map_, size_, path_);
  read_preamble(cursor);
  const auto claimed_tensors = cursor.read<uint64_t>("the number of tensors");
  const size_t num_keys = cursor.read_count(kMinMetadataBytes, "the number of metadata keys");
  if (claimed_tensors > cursor.remaining() / kMinTensorBytes) {
    cursor.fail("the number of tensors (" + std::to_string(claimed_tensors) +
                ") is more than the file holds");
  }

  metadata_.reserve(num_keys);
  for (size_t i = 0; i < num_keys; ++i) {
    std::string key = cursor.read_string("the name of a metadata key");
    if (key.empty()) cursor.fail("a metadata key has no name");
    MetaValue value = read_meta_value(cursor, key);
    const auto [place, is_new] = metadata_.try_emplace(std::move(key), std::move(value));
    if (!is_new) cursor.fail("metadata key " + quoted(place->first) + " is there twice");
  }

  tensors_.reserve(static_cast<size_t>(claimed_tensors));
  for (size_t i = 0; i < claimed_tensors; ++i) {
    tensors_.push_back(read_tensor_info(cursor));
    const auto [place, is_new] = tensor_index_.try_emplace(tensors_.back().name, i);
    if (!is_new) cursor.fail("tensor " + quoted(place->first) + " is there twice");
  }

  const size_t alignment = checked_alignment(*this, cursor);
  const size_t data_begin = std::min((cursor.position() + alignment - 1) / alignment * alignment, size_);
  place_tensors(tensors_, {map_ + data_begin, size_ - data_begin}, data_begin, alignment, cursor);
}

template <class T>
const T* GgufFile::get(std::string_view key, const char* kind) const {
  const auto place = metadata_.find(std::string(key));
  if (place == metadata_.end()) return nullptr;
  const T* value = std::get_if<T>(&place->second);
  if (value == nullptr) {
    throw Error(printable(path_) + ": metadata key " + quoted(key) + " is not " + kind +
                "; convert the model again");
  }
  return value;
}

std::optional<int64_t> GgufFile::get_int(std::string_view key) const {
  const auto* value = get<int64_t>(key, "an integer (below 2^63)");
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<double> GgufFile::get_float(std::string_view key) const {
  const auto* value = get<double>(key, "a floating-point number");
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<bool> GgufFile::get_bool(std::string_view key) const {
  const auto* value = get<bool>(key, "a boolean");
  return value == nullptr ? std::nullopt : std::optional(*value);
}

const std::string* GgufFile::get_string(std::string_view key) const {
  return get<std::string>(key, "a string");
}

const std::vector<std::string>* GgufFile::get_strings(std::string_view key) const {
  return get<std::vector<std::string>>(key, "an array of strings");
}

const std::vector<int64_t>* GgufFile::get_ints(std::string_view key) const {
  return get<std::vector<int64_t>>(key, "an array of integers");
}

const std::vector<double>* GgufFile::get_floats(std::string_view key) const {
  return get<std::vector<double>>(key, "an array of floating-point numbers");
}

const TensorInfo* GgufFile::find_tensor(std::string_view name) const {
  const auto place = tensor_index_.find(std::string(name));
  return place == tensor_index_.end() ? nullptr : &tensors_[place->second];
}

void GgufFile::release_pages_up_to(const TensorInfo& tensor) const {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t end = round_up(tensor.offset + tensor.num_bytes, page);
  ::madvise(const_cast<std::byte*>(map_), end, MADV_DONTNEED);
}

}  // namespace phonelm
