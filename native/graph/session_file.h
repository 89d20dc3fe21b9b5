// Sessions in files: tokens, logits, keys and values as they lie in memory, so that a restored session goes
// on bit for bit.
//
// Little-endian: a header (session_file.cpp) with its own checksum, int32 tokens, float32 logits where there
// are some, the sinks' unrotated keys, the keys and values of each layer and head in whole blocks, and a
// checksum of all. A file is read as one that anybody may have changed: nothing is allocated before its size
// is what its header says, and nothing comes of it before the checksum is right.
#pragma once

#include <memory>
#include <string>

#include "graph/session.h"

namespace phonelm {

// Written to a temporary name beside `path`, then renamed. Throws FileError (no such folder, disk full), and
// leaves no part of a file behind.
void save_session(const Session& session, const std::string& path);

// `context_length` 0 is that of the saved session. Throws FileError for a file that is not there or not
// readable; Error for one that is no session, cut short, damaged, of another model or other adapters, and for
// a context that is too short for its tokens, too long for the model or too large for the memory left.
std::unique_ptr<Session> restore_session(std::shared_ptr<const Model> model, const std::string& path,
                                         int context_length = 0,
                                         std::shared_ptr<Adapters> adapters = nullptr);

// Tells models apart by their metadata, tensor table, file size, the first 4 KiB of every tensor, and their
// adapters.
uint64_t fingerprint_of(const Model& model, const Adapters* adapters);

}  // namespace phonelm
