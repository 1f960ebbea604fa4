#include <cstring>

#include "attention.h"

// Attention within groups of tokens. qkv: tokens x 3C, queries, keys and values side by side, each heads x c;
// members: groups x size, the tokens of each group; out: tokens x C.
struct Groups {
    const int64_t* members;
    int64_t tokens, groups, size, heads, c;
    // The last group of each image begins with tokens that belong to another group and keep the result from there.
    int64_t per_image, fillers;
    // Added to the similarities: heads x size x size (or null), and one of the masks (each size x size, symmetric)
    // unless it is number 0.
    const float* bias;
    int64_t masks;
    const float* mask;
    const int64_t* mask_of_group;

    bool valid() const {
        return within(members, groups * size, tokens) && (!mask || within(mask_of_group, groups, masks));
    }
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
};

// Planes of size x size (rows: what sits in the lanes, columns: the stream) cut into blocks of WIDTH rows, each of them
// size x WIDTH, so that they are read one after another.
struct Packed {
    int64_t planes, size;
    float* values;

    Packed(Scratch& scratch, int64_t planes, int64_t size)
        : planes(planes), size(size), values(scratch.take(planes * plane())) {}
    int64_t plane() const { return blocks(size) * size * WIDTH; }
    float* block(int64_t plane_number, int64_t first) const { return values + plane_number * plane() + first * size; }
    // In powers of two.
    void fill(const float* from, int64_t threads) const {
        in_parallel(threads, planes * blocks(size), [&](int64_t task, int) {
            const int64_t number = task / blocks(size), first = task % blocks(size) * WIDTH;
            into_lanes(block(number, first), size, block_rows(size, first), LOG2E,
                       [&](int i) { return from + (number * size + first + i) * size; });
        });
    }
};

// The bias and the masks of all groups.
struct Biases {
    const Groups& g;
    Packed bias, masks;

    Biases(const Groups& g, Scratch& scratch)
        : g(g), bias(scratch, g.bias ? g.heads : 0, g.size), masks(scratch, g.mask ? g.masks : 0, g.size) {}
    void fill(int64_t threads) const { bias.fill(g.bias, threads), masks.fill(g.mask, threads); }
    // Initial similarities of `head` in `group`, for the block from `first` on.
    Bias of(int64_t group, int64_t head, int64_t first) const {
        const int64_t mask = g.mask ? g.mask_of_group[group] : 0;
        return {bias.block(head, first), mask ? masks.block(mask, first) : nullptr};
    }
};

namespace {
struct Buffers {
    float *k, *v, *lanes, *result;
    Buffers(const Groups& g, Scratch& scratch) {
        k = scratch.take(g.size * g.c), v = scratch.take(g.size * g.c);
        lanes = scratch.take(g.c * WIDTH), result = scratch.take(g.c * WIDTH);
    }
};
}  // namespace

extern "C" int64_t attend_groups(const float* qkv, const Groups* of, float scale, float* out, float* logsum,
                                 float* memory, int64_t threads) {
    const Groups& g = *of;
    const int64_t c = g.c, width = g.heads * c;
    Scratch scratch{memory};
    const Biases biases(g, scratch);
    const Copies<Buffers, Groups> buffers(g, threads, scratch);
    if (!memory) return scratch.used;
    if (!g.valid()) return BAD_INDEX;

    biases.fill(threads);
    const auto attend_group = [&](const Buffers& b, int64_t group, int64_t head) {
        const int64_t* members = g.members + group * g.size;
        const float* tokens = qkv + head * c;
        float sums[WIDTH];
        g.gather(b.k, tokens + width, 3 * width, group);
        g.gather(b.v, tokens + 2 * width, 3 * width, group);
        for (int64_t first = 0; first < g.size; first += WIDTH) {
            const int count = block_rows(g.size, first);
            into_lanes(b.lanes, c, count, scale * LOG2E, [&](int i) { return tokens + members[first + i] * 3 * width; });
            const auto attend = [&](auto start) {
                attend_block(b.lanes, c, {b.k, c}, {b.v, c}, g.size, start, b.result, sums);
            };
            g.bias ? attend(biases.of(group, head, first)) : attend(NoBias{});
            std::copy_n(sums, count, logsum + (group * g.heads + head) * g.size + first);
            from_lanes(b.result, c, g.first_own(group, first, count), count, 1.0f,
                       [&](int i) { return out + members[first + i] * width + head * c; });
        }
    };
    // What is large stays in the cache: with a bias the bias of a head, else the tokens of a group.
    if (g.bias)
        in_parallel(threads, g.heads * g.groups, [&](int64_t task, int thread) {
            attend_group(buffers.of(thread), task % g.groups, task / g.groups);
        });
    else
        in_parallel(threads, g.groups, [&](int64_t group, int thread) {
            for (int64_t head = 0; head < g.heads; ++head) attend_group(buffers.of(thread), group, head);
        });
    return DONE;
}

namespace {
struct BackwardBuffers {
    float *q, *k, *v, *out, *to_out;  // size x c
    QueryBlocks blocks;
    StreamMemory stream;
    BackwardBuffers(const Groups& g, Scratch& scratch) : blocks(g.size, g.c, scratch), stream(g.c, scratch) {
        for (float** rows : {&q, &k, &v, &out, &to_out}) *rows = scratch.take(g.size * g.c);
    }
};
}  // namespace

// The gradients of `attend_groups` from that of `out`: to_qkv (tokens x 3C), and to_bias (heads x size x size; null
// without a bias).
extern "C" int64_t attend_groups_backward(const float* qkv, const Groups* of, float scale, const float* out,
                                          const float* logsum, const float* to_out, float* to_qkv, float* to_bias,
                                          float* memory, int64_t threads) {
    const Groups& g = *of;
    const int64_t c = g.c, width = g.heads * c;
    Scratch scratch{memory};
    const Biases biases(g, scratch);
    // The groups of a part add their gradients of the bias up one after the other, and the parts are added in the end:
    // the sum does not depend on the threads.
    const int64_t parts = std::clamp<int64_t>(g.groups / 8, 1, 16);
    const Packed sums(scratch, g.bias ? parts * g.heads : 0, g.size);
    const Copies<BackwardBuffers, Groups> buffers(g, threads, scratch);
    if (!memory) return scratch.used;
    if (!g.valid()) return BAD_INDEX;

    const auto differentiate = [&](const BackwardBuffers& b, int64_t group, int64_t head, float* to_plane) {
        const int64_t* members = g.members + group * g.size;
        const float* tokens = qkv + head * c;
        float* to_tokens = to_qkv + head * c;
        g.gather(b.q, tokens, 3 * width, group);
        g.gather(b.k, tokens + width, 3 * width, group);
        g.gather(b.v, tokens + 2 * width, 3 * width, group);
        g.gather(b.out, out + head * c, width, group);
        g.gather(b.to_out, to_out + head * c, width, group);
        if (g.overlaps(group)) std::memset(b.to_out, 0, g.fillers * c * sizeof(float));
        std::copy_n(logsum + (group * g.heads + head) * g.size, g.size, b.blocks.logsum);
        for (int64_t i = 0; i < g.size; ++i) b.blocks.delta[i] = inner(b.out + i * c, b.to_out + i * c, c);
        for (int64_t i = g.size; i < blocks(g.size) * WIDTH; ++i) b.blocks.logsum[i] = b.blocks.delta[i] = 0.0f;

        const auto block_at = [&](int64_t first) {
            return b.blocks.at(first, to_plane ? to_plane + first * g.size : nullptr);
        };
        for (int64_t first = 0; first < g.size; first += WIDTH)
            prepare_block(block_at(first), c, block_rows(g.size, first), scale,
                          [&](int i) { return b.q + (first + i) * c; },
                          [&](int i) { return b.to_out + (first + i) * c; });
        for (int64_t key = 0; key < g.size; key += STREAM) {
            const int rows = int(std::min<int64_t>(STREAM, g.size - key));
            b.stream.clear(rows, c);
            for (int64_t first = 0; first < g.size; first += WIDTH) {
                const auto go = [&](auto start) {
                    attend_block_backward(block_at(first), c, {b.k, c}, {b.v, c}, key, rows, start, b.stream);
                };
                g.bias ? go(biases.of(group, head, first)) : go(NoBias{});
            }
            const int shared = g.first_own(group, key, rows);
            for (int i = 0; i < rows; ++i) {
                float* to = to_tokens + members[key + i] * 3 * width + width;
                sum_quads(to, b.stream.to_k + i * quads(c), c, scale, i < shared);
                sum_quads(to + width, b.stream.to_v + i * quads(c), c, 1.0f, i < shared);
            }
        }
        for (int64_t first = 0; first < g.size; first += WIDTH) {
            const int count = block_rows(g.size, first);
            from_lanes(b.blocks.to_q + first * c, c, g.first_own(group, first, count), count, scale,
                       [&](int i) { return to_tokens + members[first + i] * 3 * width; });
        }
    };

    biases.fill(threads);
    // Groups that overlap others come last, and add to the gradients of the tokens that they share.
    for (const bool overlapping : {false, true}) {
        if (overlapping && !g.fillers) continue;
        if (g.bias)
            in_parallel(threads, parts * g.heads, [&](int64_t task, int thread) {
                const int64_t part = task / g.heads, head = task % g.heads;
                float* to_plane = sums.block(task, 0);
                if (!overlapping) std::memset(to_plane, 0, sums.plane() * sizeof(float));
                for (int64_t group = part * g.groups / parts; group < (part + 1) * g.groups / parts; ++group)
                    if (g.overlaps(group) == overlapping) differentiate(buffers.of(thread), group, head, to_plane);
            });
        else
            in_parallel(threads, g.groups, [&](int64_t group, int thread) {
                for (int64_t head = 0; head < g.heads && g.overlaps(group) == overlapping; ++head)
                    differentiate(buffers.of(thread), group, head, nullptr);
            });
    }
    if (g.bias)
        in_parallel(threads, g.heads * blocks(g.size), [&](int64_t task, int) {
            const int64_t head = task / blocks(g.size), first = task % blocks(g.size) * WIDTH;
            float* sum = sums.block(head, first);
            for (int64_t part = 1; part < parts; ++part) {
                const float* more = sums.block(part * g.heads + head, first);
                for (int64_t i = 0; i < g.size * WIDTH; ++i) sum[i] += more[i];
            }
            from_lanes(sum, g.size, 0, block_rows(g.size, first), 1.0f,
                       [&](int i) { return to_bias + (head * g.size + first + i) * g.size; });
        });
    return DONE;
}
