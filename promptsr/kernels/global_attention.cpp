// Attention of all tokens of an image on all others. Floats have 32 bits, arrays are contiguous; every function says
// their shapes, and returns how much memory it needs if it is given none. Results do not depend on the threads.
#include <cstring>

#include "attention.h"

namespace {
struct Shape {
    int64_t images, n, m, c;
};
// Blocks of queries that meet each chunk of keys together, so that it comes from the cache
constexpr int64_t TOGETHER = 8;
struct Buffers {
    float *lanes, *result;
    Buffers(const Shape& of, Scratch& scratch)
        : lanes(scratch.take(TOGETHER * of.c * WIDTH)), result(scratch.take(TOGETHER * of.c * WIDTH)) {}
};
}  // namespace

// softmax(scale q k^T) v of every image. q, out: images x n x c; k, v: images x m x c; logsum: images x n.
// nearest_row (images x n): the most similar row of k for each row of q. nearest_lane (images x m): the most similar
// row of q for each row of k. Either may be null.
extern "C" int64_t attend_all(const float* q, const float* k, const float* v, int64_t images, int64_t n, int64_t m,
                              int64_t c, float scale, float* out, float* logsum, int64_t* nearest_row,
                              int64_t* nearest_lane, float* memory, int64_t threads) {
    const Shape of{images, n, m, c};
    Scratch scratch{memory};
    // Each thread keeps the best lanes of its own blocks.
    const int64_t keys_of_all = images * m, kept = nearest_lane ? threads * keys_of_all : 0;
    float* similarity = scratch.take(kept);
    int64_t* index = reinterpret_cast<int64_t*>(scratch.take(2 * kept));
    const Copies<Buffers, Shape> buffers(of, threads, scratch);
    if (!memory) return scratch.used;

    std::fill_n(similarity, kept, LOWEST), std::fill_n(index, kept, 0);
    const int64_t together = std::clamp<int64_t>(images * blocks(n) / (4 * threads), 1, TOGETHER);
    const int64_t per_image = (blocks(n) + together - 1) / together;
    in_parallel(threads, images * per_image, [&](int64_t task, int thread) {
        const Buffers b = buffers.of(thread);
        const int64_t image = task / per_image, first_block = task % per_image * together;
        const int count = int(std::min(together, blocks(n) - first_block));
        const Rows keys{k + image * m * c, c}, values{v + image * m * c, c};
        Attending states[TOGETHER];
        for (int i = 0; i < count; ++i) {
            const int64_t first = (first_block + i) * WIDTH;
            into_lanes(b.lanes + i * c * WIDTH, c, block_rows(n, first), scale * LOG2E,
                       [&](int j) { return q + (image * n + first + j) * c; });
            states[i].begin(b.result + i * c * WIDTH, c);
        }
        for (int64_t key = 0; key < m; key += CHUNK) {
            const int rows = int(std::min<int64_t>(CHUNK, m - key));
            for (int i = 0; i < count; ++i) {
                const int64_t first = (first_block + i) * WIDTH;
                const auto meet = [&](auto row_choice, auto lane_choice) {
                    states[i].meet(b.lanes + i * c * WIDTH, c, keys, values, key, rows, NoBias{}, row_choice, lane_choice);
                };
                if (nearest_lane)
                    meet(Nothing{}, BestLane{similarity + thread * keys_of_all + image * m,
                                             index + thread * keys_of_all + image * m, first, block_rows(n, first)});
                else if (nearest_row)
                    meet(BestRow{}, Nothing{});
                else
                    meet(Nothing{}, Nothing{});
            }
        }
        for (int i = 0; i < count; ++i) {
            const int64_t first = (first_block + i) * WIDTH, row = image * n + first;
            const int lanes = block_rows(n, first);
            float sums[WIDTH];
            states[i].end(c, sums);
            std::copy_n(sums, lanes, logsum + row);
            from_lanes(states[i].out, c, 0, lanes, 1.0f, [&](int j) { return out + (row + j) * c; });
            if (nearest_row)
                for (int j = 0; j < lanes; ++j) nearest_row[row + j] = states[i].nearest[j / LANES][j % LANES];
        }
    });
    // A thread meets its blocks in order, so its own lane is the first one on a tie.
    if (nearest_lane)
        for (int64_t row = 0; row < keys_of_all; ++row) {
            int64_t best = row;
            for (int64_t other = row + keys_of_all; other < kept; other += keys_of_all)
                if (similarity[other] > similarity[best] ||
                    (similarity[other] == similarity[best] && index[other] < index[best]))
                    best = other;
            nearest_lane[row] = index[best];
        }
    return DONE;
}

namespace {
// Queries and keys of an image are cut into parts; a task takes one of queries and one of keys. What several tasks add
// to is written down for each, and summed in the end.
struct Parts {
    int64_t images, n, m, c, query_parts, key_parts;
    // At least 512 rows, so that little is summed, and at most 32 parts.
    static int64_t count(int64_t rows) { return std::clamp<int64_t>(rows / 512, 1, 32); }
    // The first row of a part; whole blocks.
    static int64_t begin(int64_t part, int64_t parts, int64_t rows) {
        return part == parts ? rows : part * blocks(rows) / parts * WIDTH;
    }
    int64_t most_queries() const { return (blocks(n) + query_parts - 1) / query_parts * WIDTH; }
};

struct BackwardBuffers {
    QueryBlocks blocks;  // of all queries of a part
    StreamMemory stream;
    BackwardBuffers(const Parts& of, Scratch& scratch) : blocks(of.most_queries(), of.c, scratch), stream(of.c, scratch) {}
};
}  // namespace

// The gradients to_q, to_k, to_v of `attend_all`, from that of `out`.
extern "C" int64_t attend_all_backward(const float* q, const float* k, const float* v, const float* out,
                                       const float* logsum, const float* to_out, int64_t images, int64_t n, int64_t m,
                                       int64_t c, float scale, float* to_q, float* to_k, float* to_v, float* memory,
                                       int64_t threads) {
    const Parts of{images, n, m, c, Parts::count(n), Parts::count(m)};
    Scratch scratch{memory};
    // What a part adds to the gradients; the results themselves where there is one part only.
    const auto partial = [&](float* result, int64_t parts, int64_t rows) {
        return parts == 1 ? result : scratch.take(parts * images * rows * c);
    };
    float* some_q = partial(to_q, of.key_parts, n);
    float* some_k = partial(to_k, of.query_parts, m);
    float* some_v = partial(to_v, of.query_parts, m);
    const Copies<BackwardBuffers, Parts> buffers(of, threads, scratch);
    if (!memory) return scratch.used;

    in_parallel(threads, images * of.query_parts * of.key_parts, [&](int64_t task, int thread) {
        const BackwardBuffers b = buffers.of(thread);
        const int64_t image = task % images, query_part = task / images % of.query_parts;
        const int64_t key_part = task / images / of.query_parts;
        const int64_t first = Parts::begin(query_part, of.query_parts, n);
        const int64_t queries = Parts::begin(query_part + 1, of.query_parts, n) - first;
        const int64_t first_key = Parts::begin(key_part, of.key_parts, m);
        const int64_t keys = Parts::begin(key_part + 1, of.key_parts, m) - first_key;
        const int64_t row = image * n + first, key_row = image * m + first_key;
        for (int64_t i = 0; i < blocks(queries) * WIDTH; ++i) {
            b.blocks.logsum[i] = i < queries ? logsum[row + i] : 0.0f;
            b.blocks.delta[i] = i < queries ? inner(out + (row + i) * c, to_out + (row + i) * c, c) : 0.0f;
        }
        for (int64_t i = 0; i < queries; i += WIDTH)
            prepare_block(b.blocks.at(i), c, block_rows(queries, i), scale,
                          [&](int j) { return q + (row + i + j) * c; },
                          [&](int j) { return to_out + (row + i + j) * c; });
        for (int64_t key = 0; key < keys; key += STREAM) {
            const int rows = int(std::min<int64_t>(STREAM, keys - key));
            b.stream.clear(rows, c);
            for (int64_t i = 0; i < queries; i += WIDTH)
                attend_block_backward(b.blocks.at(i), c, {k + key_row * c, c}, {v + key_row * c, c}, key, rows,
                                      NoBias{}, b.stream);
            const int64_t at = (query_part * images * m + key_row + key) * c;
            for (int i = 0; i < rows; ++i) {
                sum_quads(some_k + at + i * c, b.stream.to_k + i * quads(c), c, scale, false);
                sum_quads(some_v + at + i * c, b.stream.to_v + i * quads(c), c, 1.0f, false);
            }
        }
        float* to = some_q + (key_part * images * n + row) * c;
        for (int64_t i = 0; i < queries; i += WIDTH)
            from_lanes(b.blocks.to_q + i * c, c, 0, block_rows(queries, i), scale, [&](int j) { return to + (i + j) * c; });
    });
    const auto sum_up = [&](float* to, const float* some, int64_t parts, int64_t rows) {
        if (parts > 1) sum_parts(to, some, parts, images * rows * c, images * rows * c);
    };
    sum_up(to_q, some_q, of.key_parts, n);
    sum_up(to_k, some_k, of.query_parts, m);
    sum_up(to_v, some_v, of.query_parts, m);
    return DONE;
}
