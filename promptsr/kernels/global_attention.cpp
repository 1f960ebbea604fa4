// Attention of all tokens of an image on all others. Floats have 32 bits, arrays are contiguous; every function says
// their shapes. Results do not depend on the number of threads.
#include <omp.h>

#include <cstring>
#include <vector>

#include "attention.h"

// softmax(scale q k^T) v of every image. q, out: images x n x c; k, v: images x m x c; logsum: images x n.
// nearest_row (images x n): the most similar row of k for each row of q. nearest_lane (images x m): the most similar
// row of q for each row of k. Either may be null.
extern "C" void attend_all(const float* q, const float* k, const float* v, int64_t images, int64_t n, int64_t m,
                           int64_t c, float scale, float* out, float* logsum, int64_t* nearest_row,
                           int64_t* nearest_lane, int64_t threads) {
    const int64_t per_image = blocks(n);
    // Each thread keeps the best lanes of its own blocks.
    std::vector<float> similarity(nearest_lane ? threads * images * m : 0, LOWEST);
    std::vector<int64_t> index(similarity.size());
#pragma omp parallel num_threads(threads)
    {
        const int64_t thread = omp_get_thread_num();
        std::vector<float> buffer(2 * c * WIDTH);
        float *lanes = buffer.data(), *result = lanes + c * WIDTH;
        float sums[WIDTH];
        int64_t choice[WIDTH];
#pragma omp for schedule(static)
        for (int64_t task = 0; task < images * per_image; ++task) {
            const int64_t image = task / per_image, first = task % per_image * WIDTH;
            const int count = block_rows(n, first);
            const float* rows = q + (image * n + first) * c;
            into_lanes(lanes, c, count, scale * LOG2E, [&](int i) { return rows + i * c; });
            const Rows keys{k + image * m * c, c}, values{v + image * m * c, c};
            if (nearest_lane) {
                const int64_t at = (thread * images + image) * m;
                attend_block(lanes, c, keys, values, m, NoBias{}, result, sums, Nothing{},
                             BestLane{&similarity[at], &index[at], first, count});
            } else if (nearest_row) {
                attend_block(lanes, c, keys, values, m, NoBias{}, result, sums, BestRow{choice}, Nothing{});
            } else {
                attend_block(lanes, c, keys, values, m, NoBias{}, result, sums, Nothing{}, Nothing{});
            }
            const int64_t row = image * n + first;
            from_lanes(result, c, 0, count, 1.0f, [&](int i) { return out + (row + i) * c; });
            std::copy_n(sums, count, logsum + row);
            if (nearest_row) std::copy_n(choice, count, nearest_row + row);
        }
        // Blocks go to threads in order, so on a tie the first thread's lane is the first one.
        if (nearest_lane) {
#pragma omp for schedule(static)
            for (int64_t row = 0; row < images * m; ++row) {
                int64_t best = row;
                for (int64_t other = row + images * m; other < int64_t(index.size()); other += images * m)
                    if (similarity[other] > similarity[best]) best = other;
                nearest_lane[row] = index[best];
            }
        }
    }
}

// The gradients to_q, to_k, to_v of `attend_all`, from that of `out`.
extern "C" void attend_all_backward(const float* q, const float* k, const float* v, const float* out,
                                    const float* logsum, const float* to_out, int64_t images, int64_t n, int64_t m,
                                    int64_t c, float scale, float* to_q, float* to_k, float* to_v, int64_t threads) {
    std::vector<float> delta(images * n);
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> buffer(4 * c * WIDTH);
        float *a = buffer.data(), *b = a + c * WIDTH, *to_a = b + c * WIDTH, *to_b = to_a + c * WIDTH;
        float sums[WIDTH], deltas[WIDTH];
#pragma omp for schedule(static)
        for (int64_t row = 0; row < images * n; ++row) delta[row] = inner(out + row * c, to_out + row * c, c);

#pragma omp for schedule(static)
        for (int64_t task = 0; task < images * blocks(n); ++task) {
            const int64_t image = task / blocks(n), first = task % blocks(n) * WIDTH;
            const int count = block_rows(n, first);
            const int64_t row = image * n + first;
            into_lanes(a, c, count, scale * LOG2E, [&](int i) { return q + (row + i) * c; });
            into_lanes(b, c, count, 1.0f, [&](int i) { return to_out + (row + i) * c; });
            into_lanes(sums, 1, count, 1.0f, [&](int i) { return &logsum[row + i]; });
            into_lanes(deltas, 1, count, 1.0f, [&](int i) { return &delta[row + i]; });
            std::memset(to_a, 0, c * WIDTH * sizeof(float));
            attend_block_backward<false>(a, b, c, {k + image * m * c, c}, {v + image * m * c, c}, m, NoBias{}, sums,
                                         deltas, to_a, nullptr, nullptr);
            from_lanes(to_a, c, 0, count, scale, [&](int i) { return to_q + (row + i) * c; });
        }
#pragma omp for schedule(static)
        for (int64_t task = 0; task < images * blocks(m); ++task) {
            const int64_t image = task / blocks(m), first = task % blocks(m) * WIDTH;
            const int count = block_rows(m, first);
            const int64_t row = image * m + first;
            into_lanes(a, c, count, scale * LOG2E, [&](int i) { return k + (row + i) * c; });
            into_lanes(b, c, count, 1.0f, [&](int i) { return v + (row + i) * c; });
            std::memset(to_a, 0, 2 * c * WIDTH * sizeof(float));
            attend_block_backward<true>(a, b, c, {q + image * n * c, c}, {to_out + image * n * c, c}, n, NoBias{},
                                        logsum + image * n, delta.data() + image * n, to_a, to_b, nullptr);
            from_lanes(to_a, c, 0, count, scale, [&](int i) { return to_k + (row + i) * c; });
            from_lanes(to_b, c, 0, count, 1.0f, [&](int i) { return to_v + (row + i) * c; });
        }
    }
}
