// Stands in for libFuzzer where there is none: replays the corpus, then random changes of it for some
// seconds.
//   HARNESS [-seconds=N] [-seed=N] FILE_OR_FOLDER...
// A finding ends the process; the input that made it is in ./finding.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Input = std::vector<uint8_t>;
using Clock = std::chrono::steady_clock;

Input read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Input(std::istreambuf_iterator<char>(file), {});
}

void collect(const std::filesystem::path& path, std::vector<Input>& inputs) {
  if (!std::filesystem::is_directory(path)) {
    inputs.push_back(read(path));
    return;
  }
  for (const auto& entry : std::filesystem::directory_iterator(path)) inputs.push_back(read(entry.path()));
}

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  Input mutated(const std::vector<Input>& corpus) {
    Input input = pick(corpus);
    for (size_t i = 0, times = 1 + below(4); i < times; ++i) change(input, corpus);
    return input;
  }

 private:
  size_t below(size_t end) { return end == 0 ? 0 : random_() % end; }
  const Input& pick(const std::vector<Input>& corpus) { return corpus[below(corpus.size())]; }

  void change(Input& input, const std::vector<Input>& corpus) {
    const size_t at = below(input.size() + 1);
    const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
    switch (below(5)) {
      case 0:
        if (at < input.size()) input[at] ^= static_cast<uint8_t>(1u << below(8));
        return;
      case 1:
        return put_number(input, at);
      case 2:
        input.insert(place, 1 + below(16), static_cast<uint8_t>(below(256)));
        return;
      case 3:
        input.erase(place, place + static_cast<std::ptrdiff_t>(std::min(below(32), input.size() - at)));
        return;
      default:
        return splice(input, at, pick(corpus));
    }
  }

  void put_number(Input& input, size_t at) {
    constexpr uint64_t kNumbers[] = {0,          1,          0x7F,         0xFF,      0xFFFF,
                                     0x7FFFFFFF, 0xFFFFFFFF, ~uint64_t{0}, 1ull << 63};
    const uint64_t number = kNumbers[below(std::size(kNumbers))];
    const size_t width = size_t{1} << below(4);
    if (at + width <= input.size()) std::memcpy(input.data() + at, &number, width);
  }

  void splice(Input& input, size_t at, const Input& other) {
    const size_t from = below(other.size());
    const size_t length = std::min(below(256), other.size() - from);
    for (size_t i = 0; i < length && at + i < input.size(); ++i) input[at + i] = other[from + i];
  }

  std::mt19937_64 random_;
};

void run(const Input& input) {
  std::ofstream("finding", std::ios::binary)
      .write(reinterpret_cast<const char*>(input.data()), static_cast<std::streamsize>(input.size()));
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 10;
  uint64_t seed = 1;
  std::vector<Input> corpus;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with("-seconds=")) {
      seconds = std::atof(argv[i] + std::strlen("-seconds="));
    } else if (argument.starts_with("-seed=")) {
      seed = std::strtoull(argv[i] + std::strlen("-seed="), nullptr, 10);
    } else {
      collect(argv[i], corpus);
    }
  }
  for (const Input& input : corpus) run(input);
  if (corpus.empty()) corpus.emplace_back();
  Mutator mutator(seed);
  size_t num_runs = 0;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  for (; Clock::now() < end; ++num_runs) run(mutator.mutated(corpus));
  std::filesystem::remove("finding");
  std::printf("%zu inputs of the corpus and %zu changed ones (seed %llu): nothing found\n", corpus.size(),
              num_runs, static_cast<unsigned long long>(seed));
}
