// Compiled without -fsanitize=thread, like fiber.cpp.
#include "block.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <random>
#include <sstream>
#include <vector>

#include "async_copies.h"
#include "fiber.h"
#include "warpgroup.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace emulator {

Indices current;

namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kMaxThreads = 1024;
constexpr size_t kMaxSharedBytes = 163 * 1024;  // a block's limit on compute capability 8.0
constexpr uint8_t kNaNByte = 0xFF;

enum class State : uint8_t { Ready, AtBarrier, AtWarp, Done };

const char* name_of(State state) {
  switch (state) {
    case State::Ready:
      return "runs";
    case State::AtBarrier:
      return "waits at __syncthreads";
    case State::AtWarp:
      return "waits at a warp operation";
    case State::Done:
      return "has exited";
  }
  return "?";
}

struct Thread {
  Fiber fiber;
  uint3 index{};
  unsigned number = 0;
  State state = State::Ready;
  Site site;              // where it waits
  void* order = nullptr;  // ThreadSanitizer: what to acquire after waking
  AsyncCopies copies;
  bool unfenced = false;
  WarpgroupThread warpgroup;
};

// Lanes of a warp that wait for each other at one operation.
struct Meeting {
  unsigned warp;
  uint32_t mask;
  uint32_t arrived;
  Combine combine;
  Site site;
  void* lanes[kWarp];
  void* order;  // ThreadSanitizer: a release by each lane, an acquire by each
};

bool same(const Site& a, const Site& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         std::strcmp(a.file_name(), b.file_name()) == 0;
}

std::string text(const Site& site) {
  std::ostringstream out;
  out << site.file_name() << ':' << site.line();
  return out.str();
}

// The running launch; one at a time.
struct Machine {
  std::vector<Thread> threads;
  std::vector<Meeting> meetings;
  std::vector<unsigned> turns;
  Thread* running = nullptr;
  const Launch* launch = nullptr;
  const std::function<void()>* body = nullptr;
  unsigned count = 0;     // threads of the block
  unsigned live = 0;      // those that have not exited
  unsigned waiting = 0;   // those at the barrier
  unsigned unfenced = 0;  // those with copies that wgmma does not see
  int votes = 0;
  Votes result{};
  std::exception_ptr failure;
  unsigned char* shared = nullptr;
  uint64_t block_number = 0;  // over all launches
  Order order = Order::Forward;
  std::mt19937 random{1};
  // ThreadSanitizer's ordering objects. Consecutive operations use different ones: a fast thread's
  // next arrival must not order itself before a slow thread's wake-up, or races hide.
  char order_objects[1024];
  unsigned next_order = 0;
  void* block_order = nullptr;
};
Machine machine;

void* new_order_object() { return &machine.order_objects[machine.next_order++ % 1024]; }

// "threads 0-15 wait at __syncthreads (file:12), threads 16-31 have exited"
std::string describe_threads() {
  std::ostringstream out;
  int runs = 0;
  for (unsigned i = 0; i < machine.count;) {
    const Thread& first = machine.threads[i];
    unsigned end = i + 1;
    while (end < machine.count && machine.threads[end].state == first.state &&
           (first.state == State::Ready || first.state == State::Done ||
            same(machine.threads[end].site, first.site))) {
      ++end;
    }
    if (++runs > 8) return out.str() + ", ...";
    out << (i ? ", " : "") << "thread " << i;
    if (end - i > 1) out << " to " << end - 1;
    out << ' ' << name_of(first.state);
    if (first.state == State::AtBarrier || first.state == State::AtWarp) {
      out << " (" << text(first.site) << ')';
    }
    i = end;
  }
  return out.str();
}

std::string describe(const std::string& what) {
  std::ostringstream out;
  out << "kernel " << machine.launch->name << ", block (" << current.block.x << ", "
      << current.block.y << ", " << current.block.z << "): " << what;
  return out.str();
}

void thread_main() {
  Thread& self = *machine.running;
  try {
    (*machine.body)();
    if (!self.copies.empty()) fail("a thread exits with cp.async copies that it never waited for");
    if (!self.warpgroup.products.empty())
      fail("a thread exits with wgmma that it never waited for");
  } catch (...) {
    machine.failure = std::current_exception();
  }
  machine.running->state = State::Done;
}

void resume(Thread& thread) {
  machine.running = &thread;
  current.thread = thread.index;
  current.lane = thread.number % kWarp;
  thread.fiber.resume();
}

void wait(Thread& self, State state, Site site) {
  self.state = state;
  self.site = site;
  Fiber::yield();
  if (self.order) tsan_acquire(self.order);
}

void release_barrier() {
  if (machine.live != machine.count) {
    throw Failure(
        describe("__syncthreads after threads of the block have exited: " + describe_threads()));
  }
  for (unsigned i = 1; i < machine.count; ++i) {
    if (!same(machine.threads[i].site, machine.threads[0].site)) {
      throw Failure(
          describe("divergent barrier, the threads of a block meet at different "
                   "__syncthreads: " +
                   describe_threads()));
    }
  }
  const int count = static_cast<int>(machine.count);
  machine.result = {machine.votes > 0, machine.votes == count, machine.votes};
  machine.votes = 0;
  machine.waiting = 0;
  machine.block_order = new_order_object();
  for (unsigned i = 0; i < machine.count; ++i) machine.threads[i].state = State::Ready;
}

void shuffle_turns() {
  if (machine.order == Order::Random) {
    std::shuffle(machine.turns.begin(), machine.turns.end(), machine.random);
  }
}

// Also when the block fails: what its threads did so far happened before whatever comes next.
struct OrderBeforeScheduler {
  ~OrderBeforeScheduler() {
    for (unsigned i = 0; i < machine.count; ++i) machine.threads[i].fiber.order_before_scheduler();
  }
};

// Runs the ready threads among some consecutive turns, each until it waits. Returns whether any
// ran.
bool run_turns(unsigned begin, unsigned end) {
  bool progress = false;
  for (unsigned turn = begin; turn < end; ++turn) {
    Thread& t = machine.threads[machine.turns[turn]];
    if (t.state != State::Ready) continue;
    progress = true;
    resume(t);
    if (machine.failure) std::rethrow_exception(machine.failure);
    if (t.state == State::Done) --machine.live;
  }
  return progress;
}

// Runs all threads to the next barrier. In random order they switch at every warp operation;
// otherwise a warp gets as far ahead of the others as it can.
bool run_to_barrier() {
  if (machine.order == Order::Random) return run_turns(0, machine.count);
  bool progress = false;
  for (unsigned first = 0; first < machine.count; first += kWarp) {
    while (run_turns(first, std::min(first + kWarp, machine.count))) progress = true;
  }
  return progress;
}

void run_block() {
  ++machine.block_number;
  machine.live = machine.count;
  machine.waiting = 0;
  machine.unfenced = 0;
  machine.votes = 0;
  machine.meetings.clear();
  machine.failure = nullptr;
  machine.block_order = new_order_object();
  if (machine.launch->shared_bytes) {
    std::memset(machine.shared, kNaNByte, machine.launch->shared_bytes);
  }
  for (unsigned i = 0; i < machine.count; ++i) {
    Thread& t = machine.threads[i];
    t.state = State::Ready;
    t.order = nullptr;
    t.copies.clear();
    t.unfenced = false;
    t.warpgroup = {};
    t.fiber.start(&thread_main);
    t.fiber.order_after_scheduler();
  }
  const OrderBeforeScheduler ordered;
  shuffle_turns();
  while (machine.live) {
    const bool progress = run_to_barrier();
    if (machine.waiting && machine.waiting == machine.live) {
      release_barrier();
      shuffle_turns();
    } else if (!progress && machine.live) {
      throw Failure(describe("deadlock: " + describe_threads()));
    }
  }
}

class SharedMemory {
 public:
  explicit SharedMemory(size_t bytes) : padding_(rounded(bytes) - bytes) {
    if (bytes)
      memory_ = static_cast<unsigned char*>(std::aligned_alloc(kAlignment, rounded(bytes)));
#if defined(__SANITIZE_ADDRESS__)
    if (bytes) __asan_poison_memory_region(memory_ + bytes, padding_);
    end_ = memory_ + bytes;
#endif
    machine.shared = memory_;
  }
  ~SharedMemory() {
#if defined(__SANITIZE_ADDRESS__)
    if (memory_) __asan_unpoison_memory_region(end_, padding_);
#endif
    std::free(memory_);
    machine.shared = nullptr;
  }

 private:
  static constexpr size_t kAlignment = 1024;
  static size_t rounded(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }
  unsigned char* memory_ = nullptr;
  [[maybe_unused]] unsigned char* end_ = nullptr;
  [[maybe_unused]] size_t padding_;
};

}  // namespace

void set_order(Order order) {
  machine.order = order;
  machine.random.seed(1);
}

bool valid(const Launch& l) {
  const size_t threads = size_t{l.block.x} * l.block.y * l.block.z;
  return threads >= 1 && threads <= kMaxThreads && l.block.z <= 64 && l.grid.x >= 1 &&
         l.grid.x <= 0x7FFFFFFFu && l.grid.y >= 1 && l.grid.y <= 65535 && l.grid.z >= 1 &&
         l.grid.z <= 65535 && l.shared_bytes <= kMaxSharedBytes;
}

void run(const Launch& launch, const std::function<void()>& body) {
  if (machine.launch) throw Failure("a kernel was launched while another one runs");
  machine.launch = &launch;
  machine.body = &body;
  struct Reset {
    ~Reset() { machine.launch = nullptr; }
  } reset;
  const dim3 b = launch.block;
  machine.count = b.x * b.y * b.z;
  while (machine.threads.size() < machine.count) machine.threads.emplace_back();
  machine.meetings.reserve(kMaxThreads);
  machine.turns.resize(machine.count);
  for (unsigned i = 0; i < machine.count; ++i) {
    machine.threads[i].number = i;
    machine.threads[i].index = {i % b.x, i / b.x % b.y, i / b.x / b.y};
    machine.turns[i] = machine.order == Order::Reverse ? machine.count - 1 - i : i;
  }
  const SharedMemory shared(launch.shared_bytes);
  current.block_dim = launch.block;
  current.grid_dim = launch.grid;
  const dim3 g = launch.grid;
  std::vector<uint64_t> blocks(size_t{g.x} * g.y * g.z);
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = i;
  if (machine.order == Order::Reverse) std::reverse(blocks.begin(), blocks.end());
  if (machine.order == Order::Random) std::shuffle(blocks.begin(), blocks.end(), machine.random);
  for (uint64_t i : blocks) {
    current.block = {static_cast<unsigned>(i % g.x), static_cast<unsigned>(i / g.x % g.y),
                     static_cast<unsigned>(i / g.x / g.y)};
    run_block();
  }
}

void fail(const std::string& what, Site site) {
  std::ostringstream out;
  out << what << " (thread " << machine.running->number << ", " << text(site) << ')';
  throw Failure(describe(out.str()));
}

Votes block_barrier(bool predicate, Site site) {
  Thread& self = *machine.running;
  ++machine.waiting;
  machine.votes += predicate;
  self.order = machine.block_order;
  tsan_release(self.order);
  wait(self, State::AtBarrier, site);
  return machine.result;
}

namespace {

Meeting& meeting_of(unsigned warp, uint32_t mask, Combine combine, const Site& site) {
  const TsanBlindfold unseen;
  auto& meetings = machine.meetings;
  for (Meeting& m : meetings) {
    if (m.warp == warp && m.mask == mask && m.combine == combine && same(m.site, site)) return m;
  }
  return meetings.emplace_back(Meeting{warp, mask, 0, combine, site, {}, new_order_object()});
}

// True for the last lane, which does the operation and wakes the others.
bool arrive(Meeting& meeting, unsigned lane, void* argument) {
  const TsanBlindfold unseen;
  meeting.arrived |= 1u << lane;
  meeting.lanes[lane] = argument;
  if (meeting.arrived != meeting.mask) return false;
  meeting.combine(meeting.lanes);
  for (unsigned l = 0; l < kWarp; ++l) {
    if (meeting.mask >> l & 1) machine.threads[meeting.warp * kWarp + l].state = State::Ready;
  }
  meeting = machine.meetings.back();
  machine.meetings.pop_back();
  return true;
}

}  // namespace

void warp_collective(uint32_t mask, void* argument, Combine combine, bool orders_memory,
                     Site site) {
  Thread& self = *machine.running;
  const unsigned lane = self.number % kWarp;
  const unsigned warp = self.number / kWarp;
  if (!(mask >> lane & 1)) fail("a lane calls a warp operation whose mask does not name it", site);
  for (unsigned l = 0; l < kWarp; ++l) {
    if (!(mask >> l & 1)) continue;
    const unsigned number = warp * kWarp + l;
    if (number >= machine.count) fail("a mask names lanes beyond the block", site);
    if (machine.threads[number].state == State::Done) fail("a mask names an exited lane", site);
  }
  Meeting& meeting = meeting_of(warp, mask, combine, site);
  self.order = orders_memory ? meeting.order : nullptr;
  if (self.order) tsan_release(self.order);
  if (!arrive(meeting, lane, argument)) {
    wait(self, State::AtWarp, site);
  } else if (self.order) {
    tsan_acquire(self.order);
  }
}

unsigned char* dynamic_shared() { return machine.shared; }

void enter_static_shared(void* variable, size_t bytes, uint64_t& last_block) {
  if (last_block == machine.block_number) return;
  last_block = machine.block_number;
  const TsanBlindfold unseen;
  std::memset(variable, kNaNByte, bytes);
}

void async_copy_issue(void* to, const void* from, unsigned bytes) {
  const TsanBlindfold unseen;
  machine.running->copies.issue(to, from, bytes);
}

void async_copy_commit() { machine.running->copies.commit(); }

void async_copy_wait(int groups_in_flight, CopyFunction copy) {
  Thread& self = *machine.running;
  const bool copied = self.copies.finish(groups_in_flight, copy);
  const TsanBlindfold unseen;
  if (copied && !self.unfenced) {
    self.unfenced = true;
    ++machine.unfenced;
  }
  self.copies.drop_finished(groups_in_flight);
}

bool unfenced_copies() { return machine.unfenced > 0; }

void fence_copies() {
  Thread& self = *machine.running;
  if (self.unfenced) --machine.unfenced;
  self.unfenced = false;
}

WarpgroupThread& warpgroup_thread() { return machine.running->warpgroup; }

}  // namespace emulator
