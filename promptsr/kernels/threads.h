// Threads that share the tasks of a job. A thread that the machine is not giving time to is not waited for unless it
// has begun a task, so that a busy machine costs a kernel no more than its share.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <thread>

class Team {
   public:
    using Work = void (*)(const void* context, int64_t task, int thread);

    // work(context, task, thread) for every task in [0, tasks), with thread in [0, threads); tasks begin in order.
    void run(int threads, int64_t tasks, Work work, const void* context) {
        const int helpers = int(std::min<int64_t>(threads, tasks)) - 1;
        std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
        if (helpers < 1 || !turn.owns_lock() || !engage(helpers)) {  // alone, also while others use the helpers
            for (int64_t task = 0; task < tasks; ++task) work(context, task, 0);
            return;
        }
        work_ = work, context_ = context, tasks_ = tasks, helpers_ = helpers, next_ = 0;
        state_ = ((state_.load() >> JOB_BIT) + 1) << JOB_BIT | OPEN;
        if (sleepers_ > 0) {
            std::lock_guard<std::mutex> lock(sleep_);
            wake_.notify_all();
        }
        take_tasks(0);
        state_ &= ~OPEN;
        const auto done = [&] { return (state_.load() & ACTIVE) == 0; };
        if (!spin(done, FOR_HELPERS)) {
            std::unique_lock<std::mutex> lock(sleep_);
            waiting_ = true;
            done_.wait(lock, done);
            waiting_ = false;
        }
    }

    // That of this process: a fork begins with none of its parent's threads.
    static Team& here() {
        static const bool registered = [] {
            team_ = new Team;
            pthread_atfork(nullptr, nullptr, [] { team_ = new Team; });
            return true;
        }();
        (void)registered;
        return *team_;
    }

   private:
    // The number of a job, whether it may still be joined, and how many helpers are in it
    static constexpr uint64_t ACTIVE = 0xffff, OPEN = 0x10000;
    static constexpr int JOB_BIT = 17;
    // How long a thread looks out before it sleeps: a helper for the next job, a caller for the last helper, which may
    // be waiting for this very core. Waking a thread takes up to 0.3 ms on virtual machines, but a longer look-out is of
    // no use to us and harms others (benchmarks/against.py).
    static constexpr std::chrono::microseconds FOR_A_JOB{100}, FOR_HELPERS{50};

    inline static Team* team_ = nullptr;  // never deleted: helpers may be waiting when the process ends

    std::mutex turn_, sleep_;
    std::condition_variable wake_, done_;
    std::atomic<uint64_t> state_{0};
    std::atomic<int64_t> next_{0};
    std::atomic<int> sleepers_{0};
    std::atomic<bool> waiting_{false};
    Work work_ = nullptr;
    const void* context_ = nullptr;
    int64_t tasks_ = 0;
    int helpers_ = 0, hired_ = 0;

    // Whether there are helpers; without memory for a thread there may be fewer than asked for.
    bool engage(int helpers) {
        try {
            for (; hired_ < helpers; ++hired_) std::thread([this, number = hired_ + 1] { help(number); }).detach();
        } catch (const std::system_error&) {
        }
        return hired_ > 0;
    }

    void take_tasks(int thread) {
        for (int64_t task; (task = next_++) < tasks_;) work_(context_, task, thread);
    }

    void help(int number) {
        for (uint64_t seen = 0;;) {
            const auto called = [&] {
                const uint64_t state = state_;
                return state >> JOB_BIT != seen && state & OPEN;
            };
            if (!spin(called, FOR_A_JOB)) {
                std::unique_lock<std::mutex> lock(sleep_);
                ++sleepers_;
                wake_.wait(lock, called);
                --sleepers_;
            }
            uint64_t state = state_;
            if (!(state & OPEN) || !state_.compare_exchange_strong(state, state + 1)) continue;
            seen = state >> JOB_BIT;
            if (number <= helpers_) take_tasks(number);
            if ((--state_ & ACTIVE) == 0 && waiting_) {
                std::lock_guard<std::mutex> lock(sleep_);
                done_.notify_one();
            }
        }
    }

    template <class Condition>
    static bool spin(Condition condition, std::chrono::microseconds patience) {
        const auto end = std::chrono::steady_clock::now() + patience;
        do {
            for (int i = 0; i < 64; ++i)
                if (condition()) return true;
            std::this_thread::yield();
        } while (std::chrono::steady_clock::now() < end);
        return condition();
    }
};

// work(task, thread) for every task, by up to `threads` threads; returns when all are done.
template <class Work>
void in_parallel(int64_t threads, int64_t tasks, const Work& work) {
    Team::here().run(int(threads), tasks, [](const void* context, int64_t task, int thread) {
        (*static_cast<const Work*>(context))(task, thread);
    }, &work);
}
