// Attention for one block of rows that sit in the lanes of vectors, against a stream of other rows.
//
// Everything is made of three products of small tiles that stay in registers: `multiply` (lanes times stream),
// `gather_up` (weights times stream) and, for gradients, `gather_down` (weights times lanes). No sum runs across lanes
// before the end, so rows of any length c are handled alike.
// Similarities are kept in powers of two: s = log2(e) scale q k^T, and weights are 2^(s - log-sum).
#pragma once

#include <cmath>

#include "blocks.h"

constexpr int ROWS = REGISTERS * 3 / 8;    // of the stream, in one tile of `multiply`
constexpr int DEPTH = REGISTERS * 3 / 8;   // columns in one tile of `gather_up`
constexpr int KEYS = REGISTERS / 4;        // rows in one tile of `gather_down`
constexpr int CHUNK = 128;                 // rows of the stream whose weights are kept at once: 16 KB
constexpr int STREAM = 32;                 // the same in the backward pass, which keeps two of them
constexpr float LOG2E = 1.44269504f;
constexpr float LOWEST = -1e30f;

// Rows of c floats, `stride` apart.
struct Rows {
    const float* data;
    int64_t stride;
    const float* operator[](int64_t row) const { return data + row * stride; }
};

// Initial similarities: for each row of the stream WIDTH floats, in powers of two, and as many of a mask (or
// null), as `Packed` holds them.
struct Bias {
    const float *plane, *mask;
    void begin(int64_t row, Vec& s0, Vec& s1) const {
        s0 = load(plane + row * WIDTH), s1 = load(plane + row * WIDTH + LANES);
        if (mask) s0 += load(mask + row * WIDTH), s1 += load(mask + row * WIDTH + LANES);
    }
};
struct NoBias {
    void begin(int64_t, Vec& s0, Vec& s1) const { s0 = s1 = Vec{}; }
};

// each(row, sum over d of lanes[d] * rows[row][d]) for COUNT rows from `first` on; lanes: c x WIDTH.
template <int COUNT, class Start, class Each>
static inline void multiply_tile(const float* lanes, int c, Rows rows, int64_t first, Start start, Each& each) {
    Vec s[COUNT][2];
    const float* row[COUNT];
    UNROLLED for (int r = 0; r < COUNT; ++r) row[r] = rows[first + r], start.begin(first + r, s[r][0], s[r][1]);
    for (int d = 0; d < c; ++d) {
        const Vec x0 = load(lanes + d * WIDTH), x1 = load(lanes + d * WIDTH + LANES);
        UNROLLED for (int r = 0; r < COUNT; ++r) {
            s[r][0] += x0 * row[r][d];
            s[r][1] += x1 * row[r][d];
        }
    }
    UNROLLED for (int r = 0; r < COUNT; ++r) each(first + r, s[r][0], s[r][1]);
}

template <class Start, class Each>
static inline void multiply(const float* lanes, int c, Rows rows, int64_t first, int count, Start start, Each each) {
    const int64_t end = first + count;
    for (; first + ROWS <= end; first += ROWS) multiply_tile<ROWS>(lanes, c, rows, first, start, each);
    for (; first + 4 <= end; first += 4) multiply_tile<4>(lanes, c, rows, first, start, each);
    for (; first < end; ++first) multiply_tile<1>(lanes, c, rows, first, start, each);
}

// out[d] += sum over rows of weights[row] * rows[first + row][d], for COUNT columns; out: c x WIDTH.
template <int COUNT>
static inline void gather_tile(float* out, const float* weights, Rows rows, int64_t first, int count) {
    Vec sum[COUNT][2];
    UNROLLED for (int d = 0; d < COUNT; ++d) sum[d][0] = load(out + d * WIDTH), sum[d][1] = load(out + d * WIDTH + LANES);
    for (int r = 0; r < count; ++r) {
        const Vec w0 = load(weights + r * WIDTH), w1 = load(weights + r * WIDTH + LANES);
        const float* row = rows[first + r];
        UNROLLED for (int d = 0; d < COUNT; ++d) {
            sum[d][0] += w0 * row[d];
            sum[d][1] += w1 * row[d];
        }
    }
    UNROLLED for (int d = 0; d < COUNT; ++d) store(out + d * WIDTH, sum[d][0]), store(out + d * WIDTH + LANES, sum[d][1]);
}

static inline void gather_up(float* out, int c, const float* weights, Rows rows, int64_t first, int count) {
    int d = 0;
    for (; d + DEPTH <= c; d += DEPTH) gather_tile<DEPTH>(out + d * WIDTH, weights, {rows.data + d, rows.stride}, first, count);
    for (; d + 4 <= c; d += 4) gather_tile<4>(out + d * WIDTH, weights, {rows.data + d, rows.stride}, first, count);
    for (; d < c; ++d) gather_tile<1>(out + d * WIDTH, weights, {rows.data + d, rows.stride}, first, count);
}

struct Nothing {
    static constexpr bool wanted = false;
};
// For each lane the stream's row that is most similar to it; the first one on a tie.
struct BestRow {
    static constexpr bool wanted = true;
};
// For each row of the stream the lane that is most similar to it, over all blocks seen so far.
struct BestLane {
    static constexpr bool wanted = true;
    float* similarity;
    int64_t* index;
    int64_t first_lane;
    int lanes;  // that exist
};

// The attention of one block of queries, over the rows of a stream that it has met so far.
struct Attending {
    Vec highest[2], sum[2];
    IntVec nearest[2];
    float* out;  // c x WIDTH

    void begin(float* result, int c) {
        for (int half = 0; half < 2; ++half) highest[half] = spread(LOWEST), sum[half] = Vec{}, nearest[half] = IntVec{};
        out = result;
        std::fill_n(out, c * WIDTH, 0.0f);
    }

    // Takes in `rows` rows of the stream, at most CHUNK, from `first` on. q: c x WIDTH, times log2(e) scale.
    template <class Start, class RowChoice, class LaneChoice>
    inline void meet(const float* q, int c, Rows k, Rows v, int64_t first, int rows, Start start, RowChoice,
                     LaneChoice lane_choice) {
        alignas(64) float weights[CHUNK * WIDTH];
        const Vec before[2] = {highest[0], highest[1]};
        Vec top[2] = {highest[0], highest[1]};
        IntVec chosen[2] = {nearest[0], nearest[1]}, lane_numbers;
        for (int i = 0; i < LANES; ++i) lane_numbers[i] = i;
        Vec absent[2] = {};  // keeps lanes that do not exist from being chosen
        if constexpr (LaneChoice::wanted)
            for (int i = lane_choice.lanes; i < WIDTH; ++i) absent[i / LANES][i % LANES] = LOWEST;
        multiply(q, c, k, first, rows, start, [&](int64_t row, Vec s0, Vec s1) {
            if constexpr (RowChoice::wanted) {
                const IntVec here = int32_t(row) - IntVec{};
                chosen[0] = s0 > top[0] ? here : chosen[0];
                chosen[1] = s1 > top[1] ? here : chosen[1];
            }
            if constexpr (LaneChoice::wanted) {
                const Vec a0 = s0 + absent[0], a1 = s1 + absent[1];
                const Vec best = spread(lane_choice.similarity[row]);
                if (any((a0 > best) | (a1 > best))) {
                    const float most = largest(larger(a0, a1));
                    const IntVec at = a0 == most ? lane_numbers : a1 == most ? lane_numbers + LANES : lane_numbers + WIDTH;
                    lane_choice.similarity[row] = most;
                    lane_choice.index[row] = lane_choice.first_lane + smallest(at);
                }
            }
            top[0] = larger(s0, top[0]);
            top[1] = larger(s1, top[1]);
            float* to = weights + (row - first) * WIDTH;
            store(to, s0), store(to + LANES, s1);
        });
        for (int half = 0; half < 2; ++half) {
            highest[half] = top[half], nearest[half] = chosen[half];
            const Vec shrink = exp2(before[half] - highest[half]);
            Vec total = sum[half] * shrink;
            for (int r = 0; r < rows; ++r) {
                float* at = weights + r * WIDTH + half * LANES;
                const Vec weight = exp2(load(at) - highest[half]);
                total += weight;
                store(at, weight);
            }
            sum[half] = total;
            if (first)
                for (int d = 0; d < c; ++d) {
                    float* at = out + d * WIDTH + half * LANES;
                    store(at, load(at) * shrink);
                }
        }
        gather_up(out, c, weights, v, first, rows);
    }

    // out[lane] = softmax(s) v and logsum[lane] = log2(sum of 2^s), over all rows that were met.
    void end(int c, float* logsum) const {
        for (int half = 0; half < 2; ++half) {
            const Vec share = 1.0f / sum[half];
            for (int i = half * LANES; i < c * WIDTH; i += WIDTH) store(out + i, load(out + i) * share);
        }
        for (int i = 0; i < WIDTH; ++i)
            logsum[i] = highest[i / LANES][i % LANES] + std::log2(sum[i / LANES][i % LANES]);
    }
};

// All of it for `count` rows.
template <class Start>
static inline void attend_block(const float* q, int c, Rows k, Rows v, int64_t count, Start start, float* out, float* logsum) {
    Attending state;
    state.begin(out, c);
    for (int64_t first = 0; first < count; first += CHUNK)
        state.meet(q, c, k, v, first, count - first < CHUNK ? int(count - first) : CHUNK, start, Nothing{}, Nothing{});
    state.end(c, logsum);
}

// Sums over four lanes at a time, which leave the sum over all lanes of a block to the end: c x 4 floats a row, filled
// up with zeros to whole vectors.
static inline int quads(int c) { return (4 * c + LANES - 1) / LANES * LANES; }

// Rows of c floats as `gather_down` wants them: WIDTH / 4 groups of quads(c) floats, in which the four rows of a group
// lie side by side; `lanes` holds the same as c x WIDTH.
static inline void into_quads(float* to, const float* lanes, int c) {
    for (int i = 0; i < WIDTH; i += 4, to += quads(c)) {
        for (int d = 0; d < c; ++d) store_quad(to + 4 * d, load_quad(lanes + d * WIDTH + i));
        for (int d = 4 * c; d < quads(c); ++d) to[d] = 0.0f;
    }
}

// out[row] += weights[row] * block, in quads, for COUNT rows and VECTORS vectors of their quads(c) floats.
template <int COUNT, int VECTORS>
static inline void gather_down_tile(float* out, const float* weights, const float* block, int stride) {
    Vec sum[COUNT][VECTORS];
    UNROLLED for (int r = 0; r < COUNT; ++r)
        UNROLLED for (int v = 0; v < VECTORS; ++v) sum[r][v] = load(out + r * stride + v * LANES);
    for (int i = 0; i < WIDTH; i += 4, block += stride) {
        Vec x[VECTORS];
        UNROLLED for (int v = 0; v < VECTORS; ++v) x[v] = load(block + v * LANES);
        UNROLLED for (int r = 0; r < COUNT; ++r) {
            const Vec weight = repeat(weights + r * WIDTH + i);
            UNROLLED for (int v = 0; v < VECTORS; ++v) sum[r][v] += weight * x[v];
        }
    }
    UNROLLED for (int r = 0; r < COUNT; ++r)
        UNROLLED for (int v = 0; v < VECTORS; ++v) store(out + r * stride + v * LANES, sum[r][v]);
}

// out[row] += sum over lanes of weights[row][lane] * (row of c floats in that lane), in quads, for `rows` rows.
// weights: rows x WIDTH; block: from `into_quads`; out: rows x quads(c).
static inline void gather_down(float* out, int c, const float* weights, const float* block, int rows) {
    const int stride = quads(c);
    const auto gather = [&](auto vectors, int at) {
        constexpr int V = decltype(vectors)::value;
        int r = 0;
        for (; r + KEYS <= rows; r += KEYS)
            gather_down_tile<KEYS, V>(out + r * stride + at, weights + r * WIDTH, block + at, stride);
        for (; r < rows; ++r) gather_down_tile<1, V>(out + r * stride + at, weights + r * WIDTH, block + at, stride);
    };
    int at = 0;
    for (; at + 3 * LANES <= stride; at += 3 * LANES) gather(std::integral_constant<int, 3>{}, at);
    for (; at < stride; at += LANES) gather(std::integral_constant<int, 1>{}, at);
}

// to[d] = or += factor * sum of quads[d].
static inline void sum_quads(float* to, const float* row, int c, float factor, bool add) {
    int d = 0;
    for (; d + 4 <= c; d += 4) {
        Quad x[4] = {load_quad(row + 4 * d), load_quad(row + 4 * d + 4), load_quad(row + 4 * d + 8), load_quad(row + 4 * d + 12)};
        transpose(x);
        const Quad sum = ((x[0] + x[1]) + (x[2] + x[3])) * factor;
        store_quad(to + d, add ? load_quad(to + d) + sum : sum);
    }
    for (; d < c; ++d) {
        const Quad x = load_quad(row + 4 * d);
        const float sum = ((x[0] + x[1]) + (x[2] + x[3])) * factor;
        to[d] = add ? to[d] + sum : sum;
    }
}

// One block of queries in the lanes, and where its gradients go. Here p = 2^(s - logsum) and ds = p (do v^T - delta)
// with delta = sum of do * out.
struct BlockBackward {
    float *q, *to_out;            // c x WIDTH, q times log2(e) scale
    float *q_quads, *out_quads;   // the same in quads, q without its factor
    const float *logsum, *delta;  // WIDTH
    float* to_q;                  // c x WIDTH: sum of ds k, the gradient of q over the scale
    float* to_bias;               // ds is added there, laid out as a plane of Bias; or null
};

// Memory for several blocks of queries.
struct QueryBlocks {
    int c;
    float *logsum, *delta, *q, *to_out, *q_quads, *out_quads, *to_q;
    QueryBlocks(int64_t queries, int c, Scratch& scratch) : c(c) {
        const int64_t lanes = blocks(queries) * WIDTH;
        for (float** values : {&logsum, &delta}) *values = scratch.take(lanes);
        for (float** rows : {&q, &to_out, &to_q}) *rows = scratch.take(lanes * c);
        for (float** rows : {&q_quads, &out_quads}) *rows = scratch.take(lanes / 4 * quads(c));
    }
    // The block that begins with query `first`; to_bias: see BlockBackward.
    BlockBackward at(int64_t first, float* to_bias = nullptr) const {
        const int64_t lane = first * c, quad = first / 4 * quads(c);
        return {q + lane, to_out + lane, q_quads + quad, out_quads + quad, logsum + first, delta + first, to_q + lane, to_bias};
    }
};

// Memory for a block's products with STREAM rows of the stream.
struct StreamMemory {
    float *weights, *slopes;  // STREAM x WIDTH
    float *to_k, *to_v;       // STREAM x quads(c): sums of ds q, the gradient of k over the scale, and of p do
    StreamMemory(int c, Scratch& scratch) {
        weights = scratch.take(STREAM * WIDTH), slopes = scratch.take(STREAM * WIDTH);
        to_k = scratch.take(STREAM * quads(c)), to_v = scratch.take(STREAM * quads(c));
    }
    void clear(int rows, int c) const {
        std::fill_n(to_k, rows * quads(c), 0.0f), std::fill_n(to_v, rows * quads(c), 0.0f);
    }
};

template <class Row, class OutRow>
static inline void prepare_block(const BlockBackward& block, int c, int count, float scale, Row q, OutRow to_out) {
    into_lanes(block.q, c, count, 1.0f, q);
    into_lanes(block.to_out, c, count, 1.0f, to_out);
    into_quads(block.q_quads, block.q, c);
    into_quads(block.out_quads, block.to_out, c);
    for (int i = 0; i < c * WIDTH; i += LANES) store(block.q + i, load(block.q + i) * (scale * LOG2E));
    std::fill_n(block.to_q, c * WIDTH, 0.0f);
}

// Adds to the gradients of a block, and to those of `rows` rows of the stream from `first` on; every product is made
// once.
template <class Start>
static inline void attend_block_backward(const BlockBackward& block, int c, Rows k, Rows v, int64_t first, int rows,
                                         Start start, const StreamMemory& memory) {
    const Vec l0 = load(block.logsum), l1 = load(block.logsum + LANES);
    multiply(block.q, c, k, first, rows, start, [&](int64_t row, Vec s0, Vec s1) {
        float* to = memory.weights + (row - first) * WIDTH;
        store(to, exp2(s0 - l0)), store(to + LANES, exp2(s1 - l1));
    });
    const Vec e0 = load(block.delta), e1 = load(block.delta + LANES);
    multiply(block.to_out, c, v, first, rows, NoBias{}, [&](int64_t row, Vec d0, Vec d1) {
        const float* weight = memory.weights + (row - first) * WIDTH;
        float* to = memory.slopes + (row - first) * WIDTH;
        store(to, load(weight) * (d0 - e0)), store(to + LANES, load(weight + LANES) * (d1 - e1));
    });
    if (block.to_bias)
        for (int i = 0; i < rows * WIDTH; i += LANES) {
            float* at = block.to_bias + first * WIDTH + i;
            store(at, load(at) + load(memory.slopes + i));
        }
    gather_up(block.to_q, c, memory.slopes, k, first, rows);
    gather_down(memory.to_v, c, memory.weights, block.out_quads, rows);
    gather_down(memory.to_k, c, memory.slopes, block.q_quads, rows);
}
