#include "backend/cuda_loader.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>
#include <string_view>

#include "backend/cuda_plugin.h"

namespace countenance {

namespace {

constexpr const char* kFileName = "countenance_cuda.so";

struct Loaded {
  const CudaPlugin* plugin = nullptr;
  std::string path{};
  std::string reason{};  // why there is none
  bool nothing_there = false;
};

std::mutex packaged_mutex;
std::string packaged;  // set_cuda_plugin
std::string packaged_problem;

// The folder of the addon, or of whatever program this code is linked into.
std::string own_folder() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&cuda_info), &info) || !info.dli_fname) return ".";
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

// The path is empty if no plugin is installed; the reason is not empty if it must not be used.
Loaded find() {
  const char* other = std::getenv("COUNTENANCE_CUDA_PLUGIN");
  if (other && *other) return {.path = other};
  const std::string beside = own_folder() + '/' + kFileName;
  if (access(beside.c_str(), F_OK) == 0) return {.path = beside};
  std::lock_guard lock(packaged_mutex);
  return {.path = packaged, .reason = packaged_problem};
}

Loaded load() {
  Loaded loaded = find();
  if (!loaded.reason.empty()) return loaded;
  if (loaded.path.empty()) {
    loaded.reason = std::string("the CUDA plugin ") + kFileName + " is not installed";
    loaded.nothing_there = true;
    return loaded;
  }
  // Never closed: its threads and the driver's may outlive us.
  void* library = dlopen(loaded.path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    loaded.reason = std::string("the CUDA plugin cannot be opened: ") + dlerror();
    return loaded;
  }
  const auto entry = reinterpret_cast<CudaPluginFunction>(dlsym(library, kCudaPluginSymbol));
  const CudaPlugin* plugin = entry ? entry() : nullptr;
  if (!plugin) {
    loaded.reason = loaded.path + " is not a countenance plugin";
  } else if (std::string_view(plugin->abi) != kCudaAbi) {
    loaded.reason = loaded.path +
                    " was built from other sources or with another C++ library than this addon (" +
                    plugin->abi + " instead of " + kCudaAbi + ")";
  } else {
    loaded.plugin = plugin;
  }
  return loaded;
}

const Loaded& loaded() {
  static const Loaded once = load();
  return once;
}

}  // namespace

CudaInfo cuda_info() {
  const Loaded& from = loaded();
  CudaInfo info;
  info.reason = from.reason;
  info.nothing_there = from.nothing_there;
  if (!from.plugin) return info;
  info.plugin = from.path;
  CudaStatus status{};
  from.plugin->status(&status);
  info.reason = status.reason;
  info.driver_version = status.driver_version;
  info.runtime_version = status.runtime_version;
  info.nothing_there = status.nothing_there != 0;
  for (int i = 0; i < status.devices; ++i) {
    CudaDevice device{};
    char reason[512] = "";
    if (from.plugin->device(i, &device, reason) != 0) {
      info.reason = reason;
      continue;
    }
    info.devices.push_back({i, device.name, device.major, device.minor, device.total_bytes});
  }
  return info;
}

void set_cuda_plugin(std::string path, std::string problem) {
  std::lock_guard lock(packaged_mutex);
  packaged = std::move(path);
  packaged_problem = std::move(problem);
}

std::unique_ptr<Backend> make_cuda_backend(int device) {
  const Loaded& from = loaded();
  if (!from.plugin) fail(code::kDeviceUnavailable, from.reason);
  const char* error = code::kInternal;
  char reason[512] = "";
  std::unique_ptr<Backend> backend(from.plugin->create(device, &error, reason));
  if (!backend) fail(error, reason);
  return backend;
}

}  // namespace countenance
