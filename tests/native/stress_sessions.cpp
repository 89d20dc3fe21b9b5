// Random sessions from two threads of one model: stress_sessions MODEL FILE STEPS. Built with sanitizers by
// test_session_soak.py. Exits 1 where a session goes on differently from its fork or its saved self.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "core/error.h"
#include "graph/batch.h"
#include "graph/session_file.h"
#include "sampling/sampler.h"

namespace phonelm {
namespace {

class Stress {
 public:
  Stress(std::shared_ptr<const Model> model, std::string path, unsigned seed)
      : model_(std::move(model)), path_(std::move(path)), random_(seed) {}

  bool run(int num_steps) {
    for (int i = 0; i < num_steps && right_; ++i) {
      try {
        step();
      } catch (const Error&) {  // a full context, a place that has slid out, a wrong call
        ++num_refused_;
      }
    }
    std::printf("%d steps, %d refused\n", num_steps, num_refused_);
    return right_;
  }

 private:
  int below(int end) { return static_cast<int>(random_() % static_cast<unsigned>(end)); }

  Session& some() { return *sessions_[static_cast<size_t>(below(static_cast<int>(sessions_.size())))]; }

  std::vector<int32_t> tokens(int most) {
    std::vector<int32_t> out(static_cast<size_t>(1 + below(most)));
    for (int32_t& token : out) token = below(250);
    return out;
  }

  void open() {
    SessionOptions options{40 + below(57), below(2) ? KvType::F16 : KvType::Q8_0, {}};
    if (below(2)) options.num_sinks = below(9);
    sessions_.push_back(std::make_unique<Session>(model_, options));
    if (sessions_.size() > 6) sessions_.erase(sessions_.begin() + below(6));
  }

  void step() {
    if (sessions_.empty()) return open();
    switch (below(9)) {
      case 0:
        return open();
      case 1:
        return some().prefill(tokens(40));
      case 2:
        return some().prefill(tokens(1));
      case 3:
        return some().truncate(below(some().position() + 2) - 1);
      case 4:
        return some().prefill(std::vector<int32_t>{below(2) ? -1 : 100000});
      case 5:
        return batch();
      case 6:
        return save();
      case 7:
        return fork();
      default:
        return decode();
    }
  }

  void batch() {
    std::vector<Session*> all;
    std::vector<std::vector<int32_t>> runs;
    const bool alone = below(2);
    for (const auto& session : sessions_) {
      all.push_back(session.get());
      runs.push_back(tokens(alone ? 1 : 20));
    }
    evaluate_batch(all, runs);
  }

  void save() {
    Session& session = some();
    save_session(session, path_);
    go_on(session, *restore_session(model_, path_));
  }

  void fork() {
    Session& session = some();
    go_on(session, *session.fork(session.position(), session.context_length()));
  }

  void go_on(Session& one, Session& other) {
    const std::vector<int32_t> next = tokens(10);
    one.prefill(next);
    other.prefill(next);
    right_ = right_ && one.tokens() == other.tokens() &&
             std::equal(one.logits().begin(), one.logits().end(), other.logits().begin());
  }

  void decode() {
    Session& session = some();
    Sampler sampler({1.0f, 0, 1.0f, 0.0f, random_()});
    for (int i = 0; i < 10 && session.logits_are_current(); ++i) {
      const int32_t token = sampler.sample(session.logits());
      session.prefill({&token, 1});
    }
  }

  std::shared_ptr<const Model> model_;
  std::string path_;
  std::mt19937 random_;
  std::vector<std::unique_ptr<Session>> sessions_;
  int num_refused_ = 0;
  bool right_ = true;
};

}  // namespace
}  // namespace phonelm

int main(int, char** arguments) {
  using namespace phonelm;
  LoadOptions options;
  options.num_threads = 2;
  const std::shared_ptr<const Model> model = Model::load(arguments[1], options);
  const std::string path = arguments[2];
  const int num_steps = std::atoi(arguments[3]);
  bool right[2] = {};
  std::thread other([&] { right[1] = Stress(model, path + "1", 1).run(num_steps); });
  right[0] = Stress(model, path + "2", 2).run(num_steps);
  other.join();
  return right[0] && right[1] ? 0 : 1;
}
