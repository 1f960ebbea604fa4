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
    // Added to the similarities: heads x size x size (or null), and one of the masks (each size x size, symmetric)
    // unless it is number 0.
    const float* bias;
    int64_t masks;
    const float* mask;
    const int64_t* mask_of_group;

    bool overlaps(int64_t group) const { return fillers && (group + 1) % per_image == 0; }
    // The first of `count` members from `first` on that does not only fill up the group.
    int first_own(int64_t group, int64_t first, int count) const {
        return overlaps(group) ? int(std::clamp<int64_t>(fillers - first, 0, count)) : 0;
    }
    // size x c from those c columns of a table of tokens that begin at `columns`.
    void gather(float* rows, const float* columns, int64_t width, int64_t group) const {
        for (int64_t j = 0; j < size; ++j)
            copy_row(rows + j * c, columns + members[group * size + j] * width, c);
    }
    // One after the other: with a bias all groups of a head (its bias stays in the cache), else all heads of a group.
    void task(int64_t number, int64_t& group, int64_t& head) const {
        group = bias ? number % groups : number / heads;
        head = bias ? number / groups : number % heads;
    }
};

// Planes of size x size (rows: what sits in the lanes, columns: the stream) cut into blocks of WIDTH rows, each of them
// size x WIDTH, in powers of two, so that they are read one after another.
struct Packed {
    int64_t size, per_plane;
    std::vector<float> values;

    Packed(int64_t planes, int64_t size) : size(size), per_plane(blocks(size)), values(planes * per_plane * size * WIDTH) {}
    float* block(int64_t plane, int64_t first) { return &values[(plane * per_plane + first / WIDTH) * size * WIDTH]; }
    // To be called by all threads of a team.
    void fill(const float* planes) {
#pragma omp for schedule(static)
        for (int64_t task = 0; task < int64_t(values.size()) / (size * WIDTH); ++task) {
            const int64_t plane = task / per_plane, first = task % per_plane * WIDTH;
            into_lanes(block(plane, first), size, block_rows(size, first), LOG2E,
                       [&](int i) { return planes + (plane * size + first + i) * size; });
        }
    }
};

// What similarities of `head` in `group` begin with, for the block from `first` on.
static Bias bias_of(const Groups& g, Packed& bias, Packed& masks, int64_t group, int64_t head, int64_t first) {
    const int64_t mask = g.mask ? g.mask_of_group[group] : 0;
    return {bias.block(head, first), mask ? masks.block(mask, first) : nullptr};
}

extern "C" void attend_groups(const float* qkv, const Groups* of, float scale, float* out, float* logsum,
                              int64_t threads) {
    const Groups& g = *of;
    const int64_t c = g.c, width = g.heads * c;
    Packed bias(g.bias ? g.heads : 0, g.size), masks(g.mask ? g.masks : 0, g.size);
#pragma omp parallel num_threads(threads)
    {
        bias.fill(g.bias);
        masks.fill(g.mask);
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
                const auto attend = [&](auto start) {
                    attend_block(lanes, c, {k, c}, {v, c}, g.size, start, result, sums, Nothing{}, Nothing{});
                };
                g.bias ? attend(bias_of(g, bias, masks, group, head, first)) : attend(NoBias{});
                std::copy_n(sums, count, logsum + (group * g.heads + head) * g.size + first);
                from_lanes(result, c, g.first_own(group, first, count), count, 1.0f,
                           [&](int i) { return out + members[first + i] * width + head * c; });
            }
        }
    }
}

// The gradients of `attend_groups` from that of `out`: to_qkv (tokens x 3C), and to_bias (heads x size x size; null
// without a bias). bias_by_key: the bias with rows and columns exchanged.
extern "C" void attend_groups_backward(const float* qkv, const Groups* of, const float* bias_by_key, float scale,
                                       const float* out, const float* logsum, const float* to_out, float* to_qkv,
                                       float* to_bias, int64_t threads) {
    const Groups& g = *of;
    const int64_t c = g.c, width = g.heads * c, rows = g.size * c, planes = g.bias ? g.heads : 0;
    Packed bias(planes, g.size), by_key(planes, g.size), masks(g.mask ? g.masks : 0, g.size);
    std::vector<Packed> bias_by_thread(threads, Packed(planes, g.size));
#pragma omp parallel num_threads(threads)
    {
        bias.fill(g.bias);
        by_key.fill(bias_by_key);
        masks.fill(g.mask);
        std::vector<float> buffer(5 * rows + g.size + 4 * c * WIDTH);
        float *q = buffer.data(), *k = q + rows, *v = k + rows, *o = v + rows, *to_o = o + rows, *delta = to_o + rows;
        float *a = delta + g.size, *b = a + c * WIDTH, *to_a = b + c * WIDTH, *to_b = to_a + c * WIDTH;
        float sums[WIDTH], deltas[WIDTH];
        Packed& my_bias = bias_by_thread[omp_get_thread_num()];
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
                g.gather(q, tokens, 3 * width, group);
                g.gather(k, tokens + width, 3 * width, group);
                g.gather(v, tokens + 2 * width, 3 * width, group);
                g.gather(o, out + head * c, width, group);
                g.gather(to_o, to_out + head * c, width, group);
                if (overlapping) std::memset(to_o, 0, g.fillers * c * sizeof(float));
                for (int64_t i = 0; i < g.size; ++i) delta[i] = inner(o + i * c, to_o + i * c, c);

                for (int64_t first = 0; first < g.size; first += WIDTH) {
                    const int count = block_rows(g.size, first);
                    into_lanes(a, c, count, scale * LOG2E, [&](int i) { return q + (first + i) * c; });
                    into_lanes(b, c, count, 1.0f, [&](int i) { return to_o + (first + i) * c; });
                    into_lanes(sums, 1, count, 1.0f, [&](int i) { return sum + first + i; });
                    into_lanes(deltas, 1, count, 1.0f, [&](int i) { return delta + first + i; });
                    std::memset(to_a, 0, c * WIDTH * sizeof(float));
                    const auto differentiate = [&](auto start, float* to_plane) {
                        attend_block_backward<false>(a, b, c, {k, c}, {v, c}, g.size, start, sums, deltas, to_a,
                                                     nullptr, to_plane);
                    };
                    if (g.bias)
                        differentiate(bias_of(g, bias, masks, group, head, first), my_bias.block(head, first));
                    else
                        differentiate(NoBias{}, nullptr);
                    from_lanes(to_a, c, g.first_own(group, first, count), count, scale,
                               [&](int i) { return to_tokens + members[first + i] * 3 * width; });
                }
                for (int64_t first = 0; first < g.size; first += WIDTH) {
                    const int count = block_rows(g.size, first);
                    into_lanes(a, c, count, scale * LOG2E, [&](int i) { return k + (first + i) * c; });
                    into_lanes(b, c, count, 1.0f, [&](int i) { return v + (first + i) * c; });
                    std::memset(to_a, 0, 2 * c * WIDTH * sizeof(float));
                    const auto differentiate = [&](auto start) {
                        attend_block_backward<true>(a, b, c, {q, c}, {to_o, c}, g.size, start, sum, delta, to_a, to_b,
                                                    nullptr);
                    };
                    g.bias ? differentiate(bias_of(g, by_key, masks, group, head, first)) : differentiate(NoBias{});
                    const auto key = [&](int i) { return to_tokens + members[first + i] * 3 * width + width; };
                    const auto value = [&](int i) { return key(i) + width; };
                    const int shared = g.first_own(group, first, count);
                    for (const bool add : {true, false}) {
                        const int begin = add ? 0 : shared, end = add ? shared : count;
                        from_lanes(to_a, c, begin, end, scale, key, add);
                        from_lanes(to_b, c, begin, end, 1.0f, value, add);
                    }
                }
            }
        }
#pragma omp for schedule(static)
        for (int64_t task = 0; task < planes * bias.per_plane; ++task) {
            const int64_t head = task / bias.per_plane, first = task % bias.per_plane * WIDTH;
            float* sum = bias_by_thread[0].block(head, first);
            for (int64_t thread = 1; thread < threads; ++thread) {
                const float* part = bias_by_thread[thread].block(head, first);
                for (int64_t i = 0; i < g.size * WIDTH; ++i) sum[i] += part[i];
            }
            from_lanes(sum, g.size, 0, block_rows(g.size, first), 1.0f,
                       [&](int i) { return to_bias + (head * g.size + first + i) * g.size; });
        }
    }
}
