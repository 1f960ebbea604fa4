// Layers that treat every token alike: layer norm, linear layers, GELU, in one pass over the tokens, and their
// gradients. Results do not depend on the threads.
#include <cmath>
#include <cstring>

#include "blocks.h"

constexpr int TILE = REGISTERS / 4;  // tokens, or results, in one tile of registers
constexpr int BLOCK = 8 * TILE;      // tokens that go through a layer together, so that its weights stay in the cache
constexpr int PANEL = 3;             // vectors in one tile

// y = weight x + bias; weight: out x in, bias: out, or null. All zeros: no layer.
struct Linear {
    const float *weight, *bias;
    int64_t in, out;
};
// Layer norm over the channels of a token, then times weight plus bias; nothing at all if these are null.
struct Norm {
    const float *weight, *bias;
    double epsilon;
};
// Where the gradients of either go; null: they are not wanted.
struct Gradients {
    float *weight, *bias;
};

static inline int padded(int64_t columns) { return int(columns + LANES - 1) / LANES * LANES; }

static inline int block_tokens(int64_t tokens, int64_t first) { return tokens - first < BLOCK ? int(tokens - first) : BLOCK; }

// A matrix so that its results sit in the lanes: panels of in x PANEL vectors (the last one may have fewer). Columns
// beyond `out` are 0.
struct Columns {
    int in, out, vectors;
    float *weight, *bias;

    // Of y = weight x + bias, or of y = transposed weight x.
    Columns(const Linear& layer, bool transposed, Scratch& scratch)
        : in(transposed ? layer.out : layer.in), out(transposed ? layer.in : layer.out),
          vectors(padded(out) / LANES), weight(scratch.take(in * vectors * LANES)), bias(scratch.take(vectors * LANES)) {
        if (!weight) return;
        std::fill_n(weight, in * vectors * LANES, 0.0f), std::fill_n(bias, vectors * LANES, 0.0f);
        for (int o = 0; o < out; ++o) {
            const int first = o / LANES / PANEL * PANEL, width = panel(first) * LANES;
            float* to = weight + first * LANES * in + o - first * LANES;
            for (int i = 0; i < in; ++i) to[i * width] = layer.weight[transposed ? i * out + o : o * in + i];
            if (layer.bias && !transposed) bias[o] = layer.bias[o];
        }
    }
    // Vectors in the panel that begins with vector `first`.
    int panel(int first) const { return vectors - first < PANEL ? vectors - first : PANEL; }
};

// each(token, first column, result) for one panel of VECTORS and TILE tokens, from `token` on; x: BLOCK x stride. Inlined
// into the gradients of a feed-forward network, its sums would leave the registers: a fifth slower.
template <int VECTORS, class Each>
OUTLINED void multiply_tile(const float* x, int stride, const Columns& layer, int token, int vector, Each& each) {
    Vec sum[TILE][VECTORS];
    UNROLLED for (int t = 0; t < TILE; ++t)
        UNROLLED for (int v = 0; v < VECTORS; ++v) sum[t][v] = load(layer.bias + (vector + v) * LANES);
    const float *weight = layer.weight + vector * LANES * layer.in, *from = x + token * stride;
    for (int i = 0; i < layer.in; ++i, weight += VECTORS * LANES) {
        Vec row[VECTORS];
        UNROLLED for (int v = 0; v < VECTORS; ++v) row[v] = load(weight + v * LANES);
        UNROLLED for (int t = 0; t < TILE; ++t)
            UNROLLED for (int v = 0; v < VECTORS; ++v) sum[t][v] += from[t * stride + i] * row[v];
    }
    UNROLLED for (int t = 0; t < TILE; ++t)
        UNROLLED for (int v = 0; v < VECTORS; ++v) each(token + t, (vector + v) * LANES, sum[t][v]);
}

// The same for all panels and the first `count` tokens (or some more) of a block.
template <class Each>
static inline void multiply(const float* x, int stride, const Columns& layer, int count, Each each) {
    static_assert(PANEL == 3, "one case for each size of a panel");
    for (int vector = 0; vector < layer.vectors; vector += PANEL)
        for (int token = 0; token < count; token += TILE) switch (layer.panel(vector)) {
                case 1: multiply_tile<1>(x, stride, layer, token, vector, each); break;
                case 2: multiply_tile<2>(x, stride, layer, token, vector, each); break;
                default: multiply_tile<3>(x, stride, layer, token, vector, each);
            }
}

// What a part of the tokens adds to the gradients of a linear layer, or of a norm with its weight as a single row:
// out x padded(in), and padded(biases).
struct WeightSum {
    int in, out, biases;
    float *weight, *bias;
    WeightSum(int64_t in, int64_t out, int64_t biases, Scratch& scratch)
        : in(in), out(out), biases(biases), weight(scratch.take(out * padded(in))), bias(scratch.take(padded(biases))) {}
    WeightSum(const Linear& layer, Scratch& scratch) : WeightSum(layer.in, layer.out, layer.out, scratch) {}
    void clear() const { std::fill_n(weight, out * padded(in), 0.0f), std::fill_n(bias, padded(biases), 0.0f); }

    // Adds those of a linear layer. y: count x padded(out), the gradient of the results; x: count x padded(in).
    void add(const float* y, const float* x, int count) const {
        const int columns = padded(in), rows = padded(out);
        for (int v = 0; v < columns;) {
            const int left = (columns - v) / LANES;
            for (int o = 0; o < out; o += TILE)
                if (out - o < TILE)
                    for (int one = o; one < out; ++one) left >= 3 ? tile<1, 3>(y, x, count, one, v) : tile<1, 1>(y, x, count, one, v);
                else
                    left >= 3 ? tile<TILE, 3>(y, x, count, o, v) : tile<TILE, 1>(y, x, count, o, v);
            v += left >= 3 ? 3 * LANES : LANES;
        }
        for (int o = 0; o < rows; o += LANES) {
            Vec sum = load(bias + o);
            for (int t = 0; t < count; ++t) sum += load(y + t * rows + o);
            store(bias + o, sum);
        }
    }

   private:
    template <int COUNT, int VECTORS>
    void tile(const float* y, const float* x, int count, int o, int v) const {
        const int columns = padded(in), rows = padded(out);
        Vec sum[COUNT][VECTORS];
        UNROLLED for (int r = 0; r < COUNT; ++r)
            UNROLLED for (int i = 0; i < VECTORS; ++i) sum[r][i] = load(weight + (o + r) * columns + v + i * LANES);
        for (int t = 0; t < count; ++t) {
            Vec row[VECTORS];
            UNROLLED for (int i = 0; i < VECTORS; ++i) row[i] = load(x + t * columns + v + i * LANES);
            UNROLLED for (int r = 0; r < COUNT; ++r)
                UNROLLED for (int i = 0; i < VECTORS; ++i) sum[r][i] += y[t * rows + o + r] * row[i];
        }
        UNROLLED for (int r = 0; r < COUNT; ++r)
            UNROLLED for (int i = 0; i < VECTORS; ++i) store(weight + (o + r) * columns + v + i * LANES, sum[r][i]);
    }
};

// Stores the lanes that lie before `end`.
static inline void store_columns(float* to, int column, int end, Vec x) {
    if (column + LANES <= end)
        store(to + column, x);
    else
        for (int i = 0; column + i < end; ++i) to[column + i] = x[i];
}

// Sum of each(i) over whole vectors, from padded rows.
template <class Each>
static inline float sum_up(int columns, Each each) {
    Vec sums{};
    for (int i = 0; i < columns; i += LANES) sums += each(i);
    return across(sums, [](Vec a, Vec b) { return a + b; });
}

// A norm with padded weights: what lies beyond the channels stays 0.
struct PaddedNorm {
    int c;
    float epsilon, *weight, *bias, *exists;  // exists: 1 where there is a channel
    PaddedNorm(const Norm& norm, int64_t c, Scratch& scratch)
        : c(c), epsilon(norm.epsilon), weight(nullptr), bias(nullptr), exists(nullptr) {
        if (!norm.weight) return;
        weight = scratch.take(padded(c)), bias = scratch.take(padded(c)), exists = scratch.take(padded(c));
        if (!weight) return;
        for (int i = 0; i < padded(c); ++i) {
            weight[i] = i < c ? norm.weight[i] : 0.0f;
            bias[i] = i < c ? norm.bias[i] : 0.0f;
            exists[i] = i < c ? 1.0f : 0.0f;
        }
    }
    // The normalised token before weight and bias, padded; returns the factor that it was multiplied with. x: padded.
    float normalise(float* to, const float* x) const {
        const float mean = sum_up(padded(c), [&](int i) { return load(x + i); }) / c;
        const auto centred = [&](int i) { return (load(x + i) - mean) * load(exists + i); };
        const float variance = sum_up(padded(c), [&](int i) { return centred(i) * centred(i); }) / c;
        const float share = 1.0f / std::sqrt(variance + epsilon);
        for (int i = 0; i < padded(c); i += LANES) store(to + i, centred(i) * share);
        return share;
    }
    void apply(float* to, const float* normalised) const {
        for (int i = 0; i < padded(c); i += LANES) store(to + i, load(normalised + i) * load(weight + i) + load(bias + i));
    }
};

// The gradient of a token before the norm, from that of the norm's result (both padded; `to` may be the same).
// `sum` takes the gradients of the norm's weights.
static inline void differentiate_norm(float* to, const float* to_result, const float* normalised, float share,
                                      const PaddedNorm& norm, const WeightSum* sum) {
    const int columns = padded(norm.c);
    if (sum)
        for (int i = 0; i < columns; i += LANES) {
            store(sum->weight + i, load(sum->weight + i) + load(to_result + i) * load(normalised + i));
            store(sum->bias + i, load(sum->bias + i) + load(to_result + i));
        }
    const auto scaled = [&](int i) { return load(to_result + i) * load(norm.weight + i); };
    const float mean = sum_up(columns, scaled) / norm.c;
    const float along = sum_up(columns, [&](int i) { return scaled(i) * load(normalised + i); }) / norm.c;
    for (int i = 0; i < columns; i += LANES) store(to + i, (scaled(i) - mean - load(normalised + i) * along) * share);
}

// x Phi(x) with the error function of Abramowitz and Stegun, 7.1.26 (off by less than 2e-7 |x|), and its derivative
// Phi(x) + x phi(x).
struct Gelu {
    Vec value, slope;
    explicit Gelu(Vec x) {
        const Vec z = larger(x, -x) * 0.707106781f;
        const Vec t = 1.0f / (z * 0.3275911f + 1.0f);
        Vec p = t * 1.061405429f - 1.453152027f;
        p = p * t + 1.421413741f;
        p = p * t - 0.284496736f;
        p = p * t + 0.254829592f;
        const Vec bell = exp2(z * z * -1.44269504f);
        const Vec tail = p * t * bell * 0.5f;  // Phi(-|x|)
        const Vec share = x > 0.0f ? 1.0f - tail : tail;
        value = x * share;
        slope = share + x * bell * 0.398942280f;
    }
};

// Rows of c floats, padded with zeros to whole vectors.
static inline void pad(float* to, const float* x, int count, int c) {
    if (c == padded(c)) {
        std::memcpy(to, x, count * c * sizeof(float));
        return;
    }
    for (int t = 0; t < count; ++t) {
        std::memcpy(to + t * padded(c), x + t * c, c * sizeof(float));
        std::fill(to + t * padded(c) + c, to + (t + 1) * padded(c), 0.0f);
    }
}

// `count` tokens after the norm, padded. `normalised` (and `shares`) keep what the gradient needs, or are null.
static inline void take(float* to, const float* x, int count, int c, const PaddedNorm& norm, float* normalised = nullptr,
                        float* shares = nullptr) {
    const int columns = padded(c);
    pad(to, x, count, c);
    if (!norm.weight) return;
    for (int t = 0; t < count; ++t) {
        float* kept = normalised ? normalised + t * columns : to + t * columns;
        const float share = norm.normalise(kept, to + t * columns);
        if (shares) shares[t] = share;
        norm.apply(to + t * columns, kept);
    }
}

namespace {
struct Block {
    float* rows;
    Block(const int64_t& columns, Scratch& scratch) : rows(scratch.take(BLOCK * padded(columns))) {}
};
}  // namespace

// first(norm(x)) + rest, or second(gelu(first(norm(x)))) + rest where there is a second layer. x: tokens x in; rest (or
// null), out: tokens x out.
extern "C" int64_t token_layers(const float* x, int64_t tokens, const Norm* of_norm, const Linear* first_layer,
                                const Linear* second_layer, const float* rest, float* out, float* memory,
                                int64_t threads) {
    Scratch scratch{memory};
    const Columns one(*first_layer, false, scratch), two(*second_layer, false, scratch);
    const PaddedNorm norm(*of_norm, one.in, scratch);
    const Copies<Block, int64_t> inputs(first_layer->in, threads, scratch), middles(second_layer->in, threads, scratch);
    if (!memory) return scratch.used;

    constexpr int64_t STEP = 4 * BLOCK;  // tokens of a task
    const auto forward = [&](auto deep, const Columns& last) {
        const int width = last.out, middle = padded(two.in);
        in_parallel(threads, (tokens + STEP - 1) / STEP, [&](int64_t task, int thread) {
            float *block = inputs.of(thread).rows, *hidden = middles.of(thread).rows;
            const int64_t end = std::min(tokens, (task + 1) * STEP);
            for (int64_t first = task * STEP; first < end; first += BLOCK) {
                const int count = block_tokens(tokens, first);
                float* to = out + first * width;
                take(block, x + first * one.in, count, one.in, norm);
                if constexpr (decltype(deep)::value)
                    multiply(block, padded(one.in), one, count, [&](int token, int column, Vec sum) {
                        store(hidden + token * middle + column, Gelu(sum).value);
                    });
                multiply(deep ? hidden : block, padded(last.in), last, count, [&](int token, int column, Vec sum) {
                    if (token < count) store_columns(to + token * width, column, width, sum);
                });
                if (rest)
                    for (int i = 0; i < count * width; ++i) to[i] += rest[first * width + i];
            }
        });
    };
    second_layer->weight ? forward(std::true_type{}, two) : forward(std::false_type{}, one);
    return DONE;
}

// Gradients of weights are added up in parts of the tokens, and the parts at the end: no sum depends on the threads.
static inline int64_t token_parts(int64_t tokens) { return std::clamp<int64_t>(tokens / (4 * BLOCK), 1, 16); }

// Where part number `part` begins; whole blocks.
static inline int64_t part_begin(int64_t part, int64_t parts, int64_t tokens) {
    return part == parts ? tokens : (tokens + BLOCK - 1) / BLOCK * part / parts * BLOCK;
}

// The gradients from the sums of all parts, which lie `stride` apart.
static inline void add_parts(const Gradients& to, const WeightSum& sum, int64_t parts, int64_t stride) {
    for (int r = 0; to.weight && r < sum.out; ++r)
        sum_parts(to.weight + r * sum.in, sum.weight + r * padded(sum.in), parts, stride, sum.in);
    if (to.bias) sum_parts(to.bias, sum.bias, parts, stride, sum.biases);
}

namespace {
struct Layers {
    const Norm& norm;
    const Linear &first, &second;
    bool deep() const { return second.weight; }
    int64_t out() const { return deep() ? second.out : first.out; }
};
struct Sums {
    WeightSum norm, first, second;
    Sums(const Layers& of, Scratch& scratch)
        : norm(of.first.in, 1, of.first.in, scratch), first(of.first, scratch), second(of.second, scratch) {}
    void clear() const { norm.clear(), first.clear(), second.clear(); }
};
struct BackwardBuffers {
    float *into, *normalised, *to_into;  // BLOCK x padded(in)
    float *hidden, *slope, *to_hidden;   // BLOCK x padded(hidden), if there is a second layer
    float *to_out, *shares;              // BLOCK x padded(out); BLOCK
    BackwardBuffers(const Layers& of, Scratch& scratch) {
        for (float** rows : {&into, &normalised, &to_into}) *rows = scratch.take(BLOCK * padded(of.first.in));
        for (float** rows : {&hidden, &slope, &to_hidden}) *rows = scratch.take(BLOCK * padded(of.second.in));
        to_out = scratch.take(BLOCK * padded(of.out())), shares = scratch.take(BLOCK);
    }
};
}  // namespace

// The gradients of first(norm(x)), or of x + second(gelu(first(norm(x)))), from that of its result: to_x (tokens x in),
// and where they are wanted those of the weights (all or none). What lies between the layers is made again.
extern "C" int64_t token_layers_backward(const float* x, int64_t tokens, const Norm* of_norm, const Linear* first_layer,
                                         const Linear* second_layer, const float* to_out, float* to_x,
                                         const Gradients* to_norm, const Gradients* to_first,
                                         const Gradients* to_second, float* memory, int64_t threads) {
    const Layers layers{*of_norm, *first_layer, *second_layer};
    const bool weights = to_first->weight;
    const int64_t parts = token_parts(tokens);
    Scratch scratch{memory};
    // The first layer again; none where it is the last.
    const Columns again(layers.deep() ? layers.first : layers.second, false, scratch);
    const Columns one_back(layers.first, true, scratch), two_back(layers.second, true, scratch);
    const PaddedNorm norm(layers.norm, layers.first.in, scratch);
    const Copies<Sums, Layers> sums(layers, weights ? parts : 0, scratch);
    const Copies<BackwardBuffers, Layers> buffers(layers, threads, scratch);
    if (!memory) return scratch.used;

    const int c = one_back.out, columns = padded(c), middle = padded(again.out), out = layers.out();
    const auto differentiate = [&](auto deep, int64_t first, int count, const BackwardBuffers& b, const Sums* sum) {
        pad(b.to_out, to_out + first * out, count, out);
        if (sum || norm.weight || deep) take(b.into, x + first * c, count, c, norm, b.normalised, b.shares);
        const float* const to_result = deep ? b.to_hidden : b.to_out;  // of the first layer
        if constexpr (decltype(deep)::value) {
            multiply(b.into, columns, again, count, [&](int token, int column, Vec value) {
                const Gelu gelu(value);
                store(b.hidden + token * middle + column, gelu.value);
                store(b.slope + token * middle + column, gelu.slope);
            });
            if (sum) sum->second.add(b.to_out, b.hidden, count);
            multiply(b.to_out, padded(out), two_back, count, [&](int token, int column, Vec value) {
                const int at = token * middle + column;
                store(b.to_hidden + at, value * load(b.slope + at));
            });
        }
        if (sum) sum->first.add(to_result, b.into, count);
        multiply(to_result, padded(one_back.in), one_back, count, [&](int token, int column, Vec value) {
            store(b.to_into + token * columns + column, value);
        });
        for (int t = 0; t < count; ++t) {
            float* at = b.to_into + t * columns;
            if (norm.weight)
                differentiate_norm(at, at, b.normalised + t * columns, b.shares[t], norm, sum ? &sum->norm : nullptr);
            copy_row(to_x + (first + t) * c, at, c);
        }
        if constexpr (decltype(deep)::value)
            for (int t = 0; t < count; ++t)
                for (int i = 0; i < c; ++i) to_x[(first + t) * c + i] += b.to_out[t * columns + i];
    };
    const auto backward = [&](auto deep) {
        in_parallel(threads, parts, [&](int64_t part, int thread) {
            const BackwardBuffers mine = buffers.of(thread);
            const Sums sum = sums.of(part);
            if (weights) sum.clear();
            const int64_t end = part_begin(part + 1, parts, tokens);
            for (int64_t first = part_begin(part, parts, tokens); first < end; first += BLOCK)
                differentiate(deep, first, block_tokens(tokens, first), mine, weights ? &sum : nullptr);
        });
    };
    layers.deep() ? backward(std::true_type{}) : backward(std::false_type{});
    if (weights) {
        const Sums all = sums.of(0);
        add_parts(*to_norm, all.norm, parts, sums.each);
        add_parts(*to_first, all.first, parts, sums.each);
        add_parts(*to_second, all.second, parts, sums.each);
    }
    return DONE;
}
