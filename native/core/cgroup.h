// Control groups of Linux: what a container or a service may use.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace phonelm {

// The folders in which the limits of this process for a controller ("memory", "cpu") may lie: its own group's
// and those of the groups around it, in the hierarchies of version 1 and 2. Some may not exist. `root` stands
// for "/" in tests.
std::vector<std::filesystem::path> cgroup_folders(const std::string& controller, const std::string& root);

}  // namespace phonelm
