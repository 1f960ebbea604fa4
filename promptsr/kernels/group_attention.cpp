#include <omp.h>

#include <cstring>
#include <vector>

#include "attention.h"

// Attention within groups of tokens. qkv: tokens x 3C, queries, keys and values side by side, each heads x c;
// members: groups x size, the tokens of each group; out: tokens x C.
struct Groups {
    const int64_t* members;
    int64_t groups, size, heads, c;
    // The last group of each image begins with tokens that belong to another group and keep the result from there.
    int64_t per_image, fillers;
    // Added to the similarities: heads x size x size, and one of the masks (each size x size) unless it is number 0.
    const float* bias;
    const float* masks;
    const int64_t* mask_of_group;

    int64_t first_own(int64_t group) const { return overlaps(group) ? fillers : 0; }
    Bias bias_of(const float* planes, int64_t group, int64_t head, int64_t first) const {
        if (!planes) return {};
        const int64_t plane = size * size, mask = mask_of_group ? mask_of_group[group] : 0;
        return {planes + head * plane + first, mask ? masks + mask * plane + first : nullptr, size,
                block_rows(size, first)};
    }
    bool overlaps(int64_t group) const { return fillers && (group + 1) % per_image == 0; }
    // size x c from those c columns of a table of tokens that begin at `columns`.
    void gather(float* rows, const float* columns, int64_t width, int64_t group) const {
        for (int64_t j = 0; j < size; ++j)
            std::memcpy(rows + j * c, columns + members[group * size + j] * width, c * sizeof(float));
    }
    // One after the other: with a bias all groups of a head (its bias stays in the cache), else all heads of a group.
    void task(int64_t number, int64_t& group, int64_t& head) const {
        group = bias ? number % groups : number / heads;
        head = bias ? number / groups : number % heads;
    }
};

extern "C" void attend_groups(const float* qkv, const Groups* of, float scale, float* out, float* logsum,
                              int64_t threads) {
    const Groups& g = *of;
    const int64_t c = g.c, width = g.heads * c;
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> buffer(2 * g.size * c + 2 * c * WIDTH);
        float *k = buffer.data(), *v = k + g.size * c, *lanes = v + g.size * c, *result = lanes + c * WIDTH;
        float sums[WIDTH];
#pragma omp for schedule(static)
        for (int64_t task = 0; task < g.groups * g.heads; ++task) {
            int64_t group, head;
            g.task(task, group, head);
            const int64_t* members = g.members + group * g.size;
            const float* tokens = qkv + head * c;
            g.gather(k, tokens + width, 3 * width, group);
            g.gather(v, tokens + 2 * width, 3 * width, group);
            for (int64_t first = 0; first < g.size; first += WIDTH) {
                const int count = block_rows(g.size, first);
                into_lanes(lanes, c, count, scale * LOG2E, [&](int i) { return tokens + members[first + i] * 3 * width; });
                attend_block(lanes, c, {k, c}, {v, c}, g.size, g.bias_of(g.bias, group, head, first), result, sums,
                             Nothing{}, Nothing{});
                for (int i = 0; i < count; ++i) {
                    logsum[(group * g.heads + head) * g.size + first + i] = sums[i];
                    if (first + i < g.first_own(group)) continue;
                    from_lanes(result, c, i, 1.0f, out + members[first + i] * width + head * c);
                }
            }
        }
    }
}

// The gradients of `attend_groups` from that of `out`: to_qkv (tokens x 3C), and to_bias (heads x size x size, laid
// out as `bias`; null without one). bias_by_query: the bias with rows and columns exchanged, and so the masks.
extern "C" void attend_groups_backward(const float* qkv, const Groups* of, const float* bias_by_query, float scale,
                                       const float* out, const float* logsum, const float* to_out, float* to_qkv,
                                       float* to_bias, int64_t threads) {
    const Groups& g = *of;
    const int64_t c = g.c, width = g.heads * c, rows = g.size * c, biases = to_bias ? g.heads * g.size * g.size : 0;
    std::vector<float> bias_by_thread(threads * biases);
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> buffer(5 * rows + g.size + 4 * c * WIDTH);
        float *q = buffer.data(), *k = q + rows, *v = k + rows, *o = v + rows, *to_o = o + rows, *delta = to_o + rows;
        float *a = delta + g.size, *b = a + c * WIDTH, *to_a = b + c * WIDTH, *to_b = to_a + c * WIDTH;
        float sums[WIDTH], deltas[WIDTH];
        float* my_bias = to_bias ? &bias_by_thread[omp_get_thread_num() * biases] : nullptr;
        // Groups that overlap others come last, and add to the gradients of the tokens that they share.
        for (const bool overlapping : {false, true}) {
#pragma omp for schedule(static)
            for (int64_t task = 0; task < g.groups * g.heads; ++task) {
                int64_t group, head;
                g.task(task, group, head);
                if (g.overlaps(group) != overlapping) continue;
                const int64_t* members = g.members + group * g.size;
                const float* tokens = qkv + head * c;
                const float* sum = logsum + (group * g.heads + head) * g.size;
                float* to_tokens = to_qkv + head * c;
                const int64_t own = g.first_own(group);
                g.gather(q, tokens, 3 * width, group);
                g.gather(k, tokens + width, 3 * width, group);
                g.gather(v, tokens + 2 * width, 3 * width, group);
                g.gather(o, out + head * c, width, group);
                g.gather(to_o, to_out + head * c, width, group);
                std::memset(to_o, 0, own * c * sizeof(float));
                for (int64_t i = 0; i < g.size; ++i) delta[i] = inner(o + i * c, to_o + i * c, c);

                for (int64_t first = 0; first < g.size; first += WIDTH) {
                    const int count = block_rows(g.size, first);
                    into_lanes(a, c, count, scale * LOG2E, [&](int i) { return q + (first + i) * c; });
                    into_lanes(b, c, count, 1.0f, [&](int i) { return to_o + (first + i) * c; });
                    into_lanes(sums, 1, count, 1.0f, [&](int i) { return sum + first + i; });
                    into_lanes(deltas, 1, count, 1.0f, [&](int i) { return delta + first + i; });
                    std::memset(to_a, 0, c * WIDTH * sizeof(float));
                    attend_block_backward<false>(a, b, c, {k, c}, {v, c}, g.size, g.bias_of(g.bias, group, head, first),
                                                 sums, deltas, to_a, nullptr,
                                                 my_bias ? my_bias + head * g.size * g.size + first : nullptr);
                    for (int i = 0; i < count; ++i)
                        if (first + i >= own)
                            from_lanes(to_a, c, i, scale, to_tokens + members[first + i] * 3 * width);
                }
                for (int64_t first = 0; first < g.size; first += WIDTH) {
                    const int count = block_rows(g.size, first);
                    into_lanes(a, c, count, scale * LOG2E, [&](int i) { return k + (first + i) * c; });
                    into_lanes(b, c, count, 1.0f, [&](int i) { return v + (first + i) * c; });
                    std::memset(to_a, 0, 2 * c * WIDTH * sizeof(float));
                    attend_block_backward<true>(a, b, c, {q, c}, {to_o, c}, g.size,
                                                g.bias_of(bias_by_query, group, head, first), sum, delta, to_a, to_b,
                                                nullptr);
                    for (int i = 0; i < count; ++i) {
                        float* token = to_tokens + members[first + i] * 3 * width;
                        from_lanes(to_a, c, i, scale, token + width, first + i < own);
                        from_lanes(to_b, c, i, 1.0f, token + 2 * width, first + i < own);
                    }
                }
            }
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < biases; ++i) {
            float total = 0.0f;
            for (int64_t thread = 0; thread < threads; ++thread) total += bias_by_thread[thread * biases + i];
            to_bias[i] = total;
        }
    }
}
