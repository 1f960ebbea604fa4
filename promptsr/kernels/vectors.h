// Vectors of floats as wide as the machine's registers, by the vector extensions of GCC and Clang.
#pragma once

#include <cstdint>
#include <utility>

#if defined(__AVX__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16, REGISTERS = 32;
#elif defined(__AVX__)
constexpr int LANES = 8, REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int LANES = 4, REGISTERS = 32;
#else
constexpr int LANES = 4, REGISTERS = 16;
#endif

// Before a loop over registers: left rolled, its array would live in memory.
#define UNROLLED _Pragma("GCC unroll 32")

typedef float Vec __attribute__((vector_size(4 * LANES)));
typedef int32_t IntVec __attribute__((vector_size(4 * LANES)));
typedef Vec LooseVec __attribute__((aligned(4)));  // at any address

typedef float Quad __attribute__((vector_size(16)));
typedef Quad LooseQuad __attribute__((aligned(4)));

static inline Quad load_quad(const float* from) { return *reinterpret_cast<const LooseQuad*>(from); }
static inline void store_quad(float* to, Quad x) { *reinterpret_cast<LooseQuad*>(to) = x; }
static inline Vec load(const float* from) { return *reinterpret_cast<const LooseVec*>(from); }
static inline void store(float* to, Vec x) { *reinterpret_cast<LooseVec*>(to) = x; }
static inline Vec spread(float x) { return x - Vec{}; }
static inline Vec larger(Vec a, Vec b) { return a < b ? b : a; }  // a where it is NaN

// The values AT of those of a and then b. (GCC 11 has another name for it.)
template <int... AT, class V>
static inline V pick(V a, V b) {
#if defined(__clang__) || __GNUC__ >= 12
    return __builtin_shufflevector(a, b, AT...);
#else
    typedef int32_t Places __attribute__((vector_size(sizeof(V))));
    return __builtin_shuffle(a, b, Places{AT...});
#endif
}

// Four floats, over and over. Compilers do not find the broadcast from memory by themselves, which costs no arithmetic.
static inline Vec repeat(const float* from) {
#if defined(__AVX512F__)
    return _mm512_broadcast_f32x4(_mm_loadu_ps(from));
#elif defined(__AVX__)
    return _mm256_broadcast_ps(reinterpret_cast<const __m128*>(from));
#else
    return load_quad(from);
#endif
}

template <int BY, class V, int... LANE>
static inline V rotate(V x, std::integer_sequence<int, LANE...>) {
    return pick<((LANE + BY) % LANES)...>(x, x);
}

// choose(x, y) over all lanes.
template <class V, class Choose>
static inline auto across(V x, Choose choose) {
    constexpr auto lanes = std::make_integer_sequence<int, LANES>{};
    if constexpr (LANES > 8) x = choose(x, rotate<8>(x, lanes));
    if constexpr (LANES > 4) x = choose(x, rotate<4>(x, lanes));
    x = choose(x, rotate<2>(x, lanes));
    return choose(x, rotate<1>(x, lanes))[0];
}

static inline float largest(Vec x) {
    return across(x, [](Vec a, Vec b) { return larger(a, b); });
}

static inline int32_t smallest(IntVec x) {
    return across(x, [](IntVec a, IntVec b) { return a < b ? a : b; });
}

// Whether a comparison is true in any lane.
static inline bool any(IntVec mask) {
#if defined(__AVX512F__)
    const __m512i bits = reinterpret_cast<__m512i>(mask);
    return _mm512_test_epi32_mask(bits, bits) != 0;
#elif defined(__AVX__)
    return _mm256_movemask_ps(reinterpret_cast<__m256>(mask)) != 0;
#else
    return smallest(mask) != 0;
#endif
}

// 2^x for x <= 0, to a relative error of 2e-7; at least 2^-64, which no sum of weights notices: smaller ones would make
// products subnormal, and those cost some processors a hundred times as long. NaN for NaN.
static inline Vec exp2(Vec x) {
    x = larger(x, spread(-64.0f));
    const Vec shifted = x + 12582912.0f;  // 1.5 * 2^23: the nearest integer lands in the lowest bits
    const Vec f = x - (shifted - 12582912.0f);  // in [-1/2, 1/2]
    // The polynomial of degree 5 with 2^0 = 1 and the smallest relative error (9e-8)
    Vec p = f * 0.00132647271f + 0.00967151286f;
    p = p * f + 0.0555073375f;
    p = p * f + 0.240222421f;
    p = p * f + 0.693146978f;
    p = p * f + 1.0f;
    return reinterpret_cast<Vec>(reinterpret_cast<IntVec>(p) + (reinterpret_cast<IntVec>(shifted) << 23));
}
