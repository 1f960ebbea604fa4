// Rows of c floats into the lanes of a block and back.
#pragma once

#include "vectors.h"

constexpr int WIDTH = 2 * LANES;  // rows in one block

// c x WIDTH from up to WIDTH rows of c floats; lanes beyond `count` are 0.
template <class Row>
static inline void into_lanes(float* lanes, int c, int count, float factor, Row row) {
    for (int i = 0; i < WIDTH; ++i) {
        const float* from = i < count ? row(i) : nullptr;
        for (int d = 0; d < c; ++d) lanes[d * WIDTH + i] = from ? from[d] * factor : 0.0f;
    }
}

static inline void from_lanes(const float* lanes, int c, int lane, float factor, float* to, bool add = false) {
    for (int d = 0; d < c; ++d) to[d] = lanes[d * WIDTH + lane] * factor + (add ? to[d] : 0.0f);
}

static inline float inner(const float* a, const float* b, int c) {
    float sum = 0.0f;
    for (int d = 0; d < c; ++d) sum += a[d] * b[d];
    return sum;
}

static inline int block_rows(int64_t rows, int64_t first) { return rows - first < WIDTH ? int(rows - first) : WIDTH; }

static inline int64_t blocks(int64_t rows) { return (rows + WIDTH - 1) / WIDTH; }
