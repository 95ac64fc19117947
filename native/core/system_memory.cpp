#include "core/system_memory.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <string>

namespace countenance {

namespace {

constexpr uint64_t kUnknown = std::numeric_limits<uint64_t>::max();

// The file's first number; a limit of "max" counts as unknown.
uint64_t read_number(const char* path) {
  std::ifstream file(path);
  uint64_t value = 0;
  return file >> value ? value : kUnknown;
}

uint64_t machine_available() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  uint64_t kilobytes = 0;
  std::string unit;
  while (file >> key >> kilobytes) {
    if (key == "MemAvailable:") return kilobytes * 1024;
    std::getline(file, unit);
  }
  return kUnknown;
}

// A control group's limit minus its usage; its cached files are released under memory pressure.
uint64_t group_available(const char* limit_path, const char* usage_path, const char* stat_path) {
  const uint64_t limit = read_number(limit_path);
  const uint64_t usage = read_number(usage_path);
  if (limit == kUnknown || usage == kUnknown) return kUnknown;
  uint64_t cached = 0;
  std::ifstream stat(stat_path);
  std::string key;
  uint64_t value = 0;
  while (stat >> key >> value) {
    if (key == "active_file" || key == "inactive_file") cached += value;
  }
  const uint64_t held = usage - std::min(usage, cached);
  return limit - std::min(limit, held);
}

}  // namespace

size_t available_memory() {
  const uint64_t available =
      std::min({machine_available(),
                group_available("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current",
                                "/sys/fs/cgroup/memory.stat"),
                group_available("/sys/fs/cgroup/memory/memory.limit_in_bytes",
                                "/sys/fs/cgroup/memory/memory.usage_in_bytes",
                                "/sys/fs/cgroup/memory/memory.stat")});
  return static_cast<size_t>(std::min<uint64_t>(available, std::numeric_limits<size_t>::max()));
}

}  // namespace countenance
