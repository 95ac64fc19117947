#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <string>

// Runs the blocks of a kernel launch one after another, the threads of a block as fibers.
// The kernels' side of it is in include/; tests use Order and Failure.

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint3 {
  unsigned x, y, z;
};

namespace emulator {

// What a kernel did wrong: a divergent barrier, a deadlock, a misaligned access, ...
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The order in which threads take turns between two synchronisations, and blocks in a launch. A
// correct kernel gives the same bits in any.
enum class Order { Forward, Reverse, Random };
void set_order(Order order);

using Site = std::source_location;

struct Launch {
  const char* name;
  dim3 grid;
  dim3 block;
  size_t shared_bytes;  // dynamic shared memory
};

// True when a device of compute capability 8.0 accepts the launch.
bool valid(const Launch& launch);

// Runs body once for each thread. Throws Failure, after which the launch's results are undefined.
void run(const Launch& launch, const std::function<void()>& body);

// ---- For code of a running kernel ----

struct Indices {
  uint3 thread;
  uint3 block;
  dim3 block_dim;
  dim3 grid_dim;
  unsigned lane;
};
extern Indices current;  // of the running thread

// Ends the launch with a Failure that names what, the kernel, the block, the thread and the site.
[[noreturn]] void fail(const std::string& what, Site site = Site::current());

struct Votes {
  int any, all, count;
};
// Waits for all threads of the block; counts the predicates.
Votes block_barrier(bool predicate, Site site);

// Waits for the lanes of `mask`; the last one calls combine(lanes, context), where lanes[l] is what
// lane l passed as `argument`, null outside of the mask. A lane that waits elsewhere does not
// count. orders_memory: only __syncwarp makes a lane's writes visible to the others; a shuffle does
// not.
using Combine = void (*)(void* const* lanes);
void warp_collective(uint32_t mask, void* argument, Combine combine, bool orders_memory, Site site);

unsigned char* dynamic_shared();
// Fills a static __shared__ variable with NaN on its first use in a block. last_block belongs to
// the variable.
void enter_static_shared(void* variable, size_t bytes, uint64_t& last_block);

// cp.async. The destination holds NaN from the issue to the wait and the data after it; `copy` runs
// in the waiting thread.
using CopyFunction = void (*)(void* to, const void* from, unsigned bytes);
void async_copy_issue(void* to, const void* from, unsigned bytes);  // from null: zeros
void async_copy_commit();
void async_copy_wait(int groups_in_flight, CopyFunction copy);
// wgmma sees the data of such a copy once the thread that waited for it has called fence_copies.
// unfenced_copies() says whether a thread of the block has not called it yet.
bool unfenced_copies();
void fence_copies();

}  // namespace emulator
