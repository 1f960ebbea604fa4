// Rows of c floats into the lanes of a block and back.
#pragma once

#include <algorithm>

#include "threads.h"
#include "vectors.h"

constexpr int WIDTH = 2 * LANES;  // rows in one block

// Before a function of many loops that is called rarely: inlined everywhere it takes the compiler ten times as long.
#define OUTLINED __attribute__((noinline)) static

// Four by four floats, rows and columns exchanged.
static inline void transpose(Quad x[4]) {
    const Quad a = pick<0, 4, 1, 5>(x[0], x[1]), b = pick<0, 4, 1, 5>(x[2], x[3]);
    const Quad c = pick<2, 6, 3, 7>(x[0], x[1]), d = pick<2, 6, 3, 7>(x[2], x[3]);
    x[0] = pick<0, 1, 4, 5>(a, b), x[1] = pick<2, 3, 6, 7>(a, b);
    x[2] = pick<0, 1, 4, 5>(c, d), x[3] = pick<2, 3, 6, 7>(c, d);
}

// c x WIDTH from up to WIDTH rows of c floats; lanes beyond `count` are 0.
template <class Row>
OUTLINED void into_lanes(float* lanes, int c, int count, float factor, Row row) {
    for (int i = 0; i < WIDTH; i += 4) {
        int d = 0;
        if (i + 4 <= count)
            for (; d + 4 <= c; d += 4) {
                Quad x[4] = {load_quad(row(i) + d), load_quad(row(i + 1) + d), load_quad(row(i + 2) + d),
                             load_quad(row(i + 3) + d)};
                transpose(x);
                for (int k = 0; k < 4; ++k) store_quad(lanes + (d + k) * WIDTH + i, x[k] * factor);
            }
        for (; d < c; ++d)
            for (int k = i; k < i + 4; ++k) lanes[d * WIDTH + k] = k < count ? row(k)[d] * factor : 0.0f;
    }
}

// The rows of the lanes from `first` to `end`.
template <class Row>
OUTLINED void from_lanes(const float* lanes, int c, int first, int end, float factor, Row row) {
    for (int i = first; i < end;) {
        const int rows = i % 4 == 0 && i + 4 <= end ? 4 : 1;
        int d = 0;
        if (rows == 4)
            for (; d + 4 <= c; d += 4) {
                Quad x[4];
                for (int k = 0; k < 4; ++k) x[k] = load_quad(lanes + (d + k) * WIDTH + i) * factor;
                transpose(x);
                for (int k = 0; k < 4; ++k) store_quad(row(i + k) + d, x[k]);
            }
        for (int k = i; k < i + rows; ++k)
            for (int rest = d; rest < c; ++rest) row(k)[rest] = lanes[rest * WIDTH + k] * factor;
        i += rows;
    }
}

static inline void copy_row(float* to, const float* from, int c) {
    int d = 0;
    for (; d + 4 <= c; d += 4) store_quad(to + d, load_quad(from + d));
    for (; d < c; ++d) to[d] = from[d];
}

static inline float inner(const float* a, const float* b, int c) {
    Quad sums{};
    int d = 0;
    for (; d + 4 <= c; d += 4) sums += load_quad(a + d) * load_quad(b + d);
    float sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (; d < c; ++d) sum += a[d] * b[d];
    return sum;
}

// to[i] = the sum of from[i] over `parts` parts that lie `stride` apart, one after the other.
static inline void sum_parts(float* to, const float* from, int64_t parts, int64_t stride, int64_t count) {
    for (int64_t part = 0; part < parts; ++part, from += stride)
        for (int64_t i = 0; i < count; ++i) to[i] = (part ? to[i] : 0.0f) + from[i];
}

// Hands out parts of memory that the caller provides. Without memory it only counts: every kernel called with none
// returns the number of floats that it needs, and does nothing.
struct Scratch {
    float* begin = nullptr;
    int64_t used = 0;
    float* take(int64_t floats) {
        float* part = begin ? begin + used : nullptr;
        used += (floats + 15) / 16 * 16;  // whole cache lines
        return part;
    }
};

// As many sets of buffers as there are threads, or parts of the work. `Buffers` takes its parts of memory when it is
// made from a shape and a Scratch.
template <class Buffers, class Shape>
struct Copies {
    const Shape& shape;
    int64_t each;
    float* begin;
    Copies(const Shape& shape, int64_t count, Scratch& scratch) : shape(shape) {
        Scratch counted{};
        Buffers(shape, counted);
        each = counted.used;
        begin = scratch.take(count * each);
    }
    Buffers of(int64_t number) const {
        Scratch scratch{begin + number * each};
        return Buffers(shape, scratch);
    }
};

constexpr int64_t DONE = 0, BAD_INDEX = -1;  // what kernels return when called with memory

// Whether all numbers lie in [0, end).
static inline bool within(const int64_t* numbers, int64_t count, int64_t end) {
    uint64_t largest = 0;
    for (int64_t i = 0; i < count; ++i) largest = std::max(largest, uint64_t(numbers[i]));
    return count == 0 || largest < uint64_t(end);
}

static inline int block_rows(int64_t rows, int64_t first) { return rows - first < WIDTH ? int(rows - first) : WIDTH; }

static inline int64_t blocks(int64_t rows) { return (rows + WIDTH - 1) / WIDTH; }
