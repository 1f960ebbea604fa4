// Layers that treat every token alike: layer norm, linear layers, GELU, in one pass over the tokens.
#include <omp.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "vectors.h"

constexpr int TILE = REGISTERS / 4;  // tokens in one tile of registers
constexpr int BLOCK = 8 * TILE;      // tokens that go through a layer together, so that its weights stay in the cache
constexpr int PANEL = 3;             // vectors of results in one tile

// y = weight x + bias; weight: out x in, bias: out, or null.
struct Linear {
    const float *weight, *bias;
    int64_t in, out;
};

// Layer norm over the channels of a token, then times weight plus bias; nothing at all if these are null.
struct Norm {
    const float *weight, *bias;
    double epsilon;
};

// One thread's copy of a linear layer, so that results sit in the lanes: panels of in x PANEL vectors (the last one
// may have fewer). Columns beyond `out` are 0.
struct Columns {
    int in, out, vectors;
    std::vector<float> weight, bias;

    explicit Columns(const Linear& layer)
        : in(layer.in), out(layer.out), vectors((out + LANES - 1) / LANES), weight(in * vectors * LANES),
          bias(vectors * LANES) {
        for (int o = 0; o < out; ++o) {
            const int first = o / LANES / PANEL * PANEL, width = panel(first) * LANES;
            float* to = &weight[first * LANES * in + o - first * LANES];
            for (int i = 0; i < in; ++i) to[i * width] = layer.weight[o * in + i];
            if (layer.bias) bias[o] = layer.bias[o];
        }
    }
    // Vectors in the panel that begins with vector `first`.
    int panel(int first) const { return vectors - first < PANEL ? vectors - first : PANEL; }
};

// each(token, first column, result) for one panel of VECTORS and TILE tokens, from `token` on; x: BLOCK x in.
template <int VECTORS, class Each>
static inline void multiply_tile(const float* x, const Columns& layer, int token, int vector, Each& each) {
    Vec sum[TILE][VECTORS];
    UNROLLED for (int t = 0; t < TILE; ++t)
        UNROLLED for (int v = 0; v < VECTORS; ++v) sum[t][v] = load(&layer.bias[(vector + v) * LANES]);
    const float *weight = &layer.weight[vector * LANES * layer.in], *from = x + token * layer.in;
    for (int i = 0; i < layer.in; ++i, weight += VECTORS * LANES) {
        Vec row[VECTORS];
        UNROLLED for (int v = 0; v < VECTORS; ++v) row[v] = load(weight + v * LANES);
        UNROLLED for (int t = 0; t < TILE; ++t)
            UNROLLED for (int v = 0; v < VECTORS; ++v) sum[t][v] += from[t * layer.in + i] * row[v];
    }
    UNROLLED for (int t = 0; t < TILE; ++t)
        UNROLLED for (int v = 0; v < VECTORS; ++v) each(token + t, (vector + v) * LANES, sum[t][v]);
}

// The same for all panels and the first `count` tokens (or some more) of a block.
template <class Each>
static inline void multiply(const float* x, const Columns& layer, int count, Each each) {
    static_assert(PANEL == 3, "one case for each size of a panel");
    for (int vector = 0; vector < layer.vectors; vector += PANEL)
        for (int token = 0; token < count; token += TILE) switch (layer.panel(vector)) {
                case 1: multiply_tile<1>(x, layer, token, vector, each); break;
                case 2: multiply_tile<2>(x, layer, token, vector, each); break;
                default: multiply_tile<3>(x, layer, token, vector, each);
            }
}

// Stores the lanes that lie before `end`.
static inline void store_columns(float* to, int column, int end, Vec x) {
    if (column + LANES <= end)
        store(to + column, x);
    else
        for (int i = 0; column + i < end; ++i) to[column + i] = x[i];
}

// Sum of each(x[i]); `each` takes vectors and floats.
template <class Each>
static inline float sum_up(const float* x, int count, Each each) {
    Vec sums{};
    int i = 0;
    for (; i + LANES <= count; i += LANES) sums += each(load(x + i));
    float sum = across(sums, [](Vec a, Vec b) { return a + b; });
    for (; i < count; ++i) sum += each(x[i]);
    return sum;
}

static inline void normalise(float* __restrict to, const float* __restrict x, int c, const Norm& norm) {
    const float *__restrict weight = norm.weight, *__restrict bias = norm.bias;
    const float mean = sum_up(x, c, [](auto value) { return value; }) / c;
    const float variance = sum_up(x, c, [mean](auto value) { return (value - mean) * (value - mean); }) / c;
    const float share = 1.0f / std::sqrt(variance + float(norm.epsilon));
    for (int i = 0; i < c; ++i) to[i] = (x[i] - mean) * share * weight[i] + bias[i];
}

// x Phi(x) with the error function of Abramowitz and Stegun, 7.1.26: off by less than 2e-7 |x|.
static inline Vec gelu(Vec x) {
    const Vec z = larger(x, -x) * 0.707106781f;
    const Vec t = 1.0f / (z * 0.3275911f + 1.0f);
    Vec p = t * 1.061405429f - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const Vec tail = p * t * exp2(z * z * -1.44269504f) * 0.5f;  // Phi(-|x|)
    return x * (x > 0.0f ? 1.0f - tail : tail);
}

// `count` tokens after the norm: count x c.
static inline void take(float* to, const float* x, int count, int c, const Norm& norm) {
    if (!norm.weight)
        std::memcpy(to, x, count * c * sizeof(float));
    else
        for (int t = 0; t < count; ++t) normalise(to + t * c, x + t * c, c, norm);
}

static inline int block_tokens(int64_t tokens, int64_t first) { return tokens - first < BLOCK ? int(tokens - first) : BLOCK; }

// layer(norm(x)). x: tokens x in; out: tokens x out.
extern "C" void linear(const float* x, int64_t tokens, const Norm* norm, const Linear* layer, float* out,
                       int64_t threads) {
#pragma omp parallel num_threads(threads)
    {
        const Columns columns(*layer);
        std::vector<float> block(BLOCK * columns.in);
#pragma omp for schedule(static)
        for (int64_t first = 0; first < tokens; first += BLOCK) {
            const int count = block_tokens(tokens, first);
            float* to = out + first * columns.out;
            take(block.data(), x + first * columns.in, count, columns.in, *norm);
            multiply(block.data(), columns, count, [&](int token, int column, Vec sum) {
                if (token < count) store_columns(to + token * columns.out, column, columns.out, sum);
            });
        }
    }
}

// x + second(gelu(first(norm(x)))). x, out: tokens x c.
extern "C" void feed_forward(const float* x, int64_t tokens, const Norm* norm, const Linear* first_layer,
                             const Linear* second_layer, float* out, int64_t threads) {
#pragma omp parallel num_threads(threads)
    {
        const Columns one(*first_layer), two(*second_layer);
        const int c = one.in;
        std::vector<float> block(BLOCK * c), hidden(BLOCK * one.out);
#pragma omp for schedule(static)
        for (int64_t first = 0; first < tokens; first += BLOCK) {
            const int count = block_tokens(tokens, first);
            const float* from = x + first * c;
            float* to = out + first * c;
            take(block.data(), from, count, c, *norm);
            multiply(block.data(), one, count, [&](int token, int column, Vec sum) {
                store_columns(&hidden[token * one.out], column, one.out, gelu(sum));
            });
            multiply(hidden.data(), two, count, [&](int token, int column, Vec sum) {
                if (token < count) store_columns(to + token * c, column, c, sum);
            });
            for (int i = 0; i < count * c; ++i) to[i] += from[i];
        }
    }
}
