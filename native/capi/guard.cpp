#include "capi/guard.h"

#include <algorithm>
#include <new>
#include <system_error>

#include "gguf/gguf.h"

namespace phonelm::capi {

namespace {

// One line, cut before a character that does not fit whole.
void write_message(phonelm_error* error, const char* text) noexcept {
  if (!error) return;
  size_t size = std::strlen(text);
  if (size >= sizeof(error->message)) {
    size = sizeof(error->message) - 1;
    while (size > 0 && (text[size] & 0xc0) == 0x80) --size;
  }
  std::replace_copy(text, text + size, error->message, '\n', ' ');
  error->message[size] = '\0';
}

}  // namespace

phonelm_status report_exception(phonelm_error* error) noexcept {
  try {
    throw;
  } catch (const Failure& failure) {
    write_message(error, failure.what());
    return failure.status();
  } catch (const Error& refusal) {
    write_message(error, refusal.what());
    return PHONELM_REFUSED;
  } catch (const std::system_error& failure) {
    write_message(error, failure.what());
    return PHONELM_SYSTEM;
  } catch (const std::bad_alloc&) {
    write_message(error, "out of memory; take a smaller model or a shorter context");
    return PHONELM_OUT_OF_MEMORY;
  } catch (const std::exception& fault) {
    write_message(error, fault.what());
    return PHONELM_INTERNAL;
  } catch (...) {
    write_message(error, "unknown fault");
    return PHONELM_INTERNAL;
  }
}

}  // namespace phonelm::capi
