#include "capi/handles.h"

#include <atomic>

namespace phonelm::capi {

uintptr_t next_handle() {
  static std::atomic<uintptr_t> last{0};
  return ++last;
}

}  // namespace phonelm::capi
