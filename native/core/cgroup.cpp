#include "core/cgroup.h"

#include <fstream>
#include <sstream>

namespace phonelm {

namespace {

bool contains(const std::string& comma_list, const std::string& word) {
  std::istringstream list(comma_list);
  for (std::string item; std::getline(list, item, ',');) {
    if (item == word) return true;
  }
  return false;
}

}  // namespace

std::vector<std::filesystem::path> cgroup_folders(const std::string& controller, const std::string& root) {
  std::vector<std::filesystem::path> folders;
  // Inside a container the path may be the one outside, of which only the mount point is to be seen: hence
  // every group up to there.
  const auto add = [&](const std::string& mount, std::filesystem::path group) {
    for (group = group.relative_path();; group = group.parent_path()) {
      folders.push_back(std::filesystem::path(mount) / group);
      if (group.empty()) return;
    }
  };
  // Lines "number:controllers:path", without controllers in version 2.
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string mount = root + "/sys/fs/cgroup/";
    const std::string group = line.substr(second + 1);
    if (controllers.empty()) {
      add(mount, group);
      add(mount + "unified", group);
    } else if (contains(controllers, controller)) {
      add(mount + controller, group);
    }
  }
  return folders;
}

}  // namespace phonelm
