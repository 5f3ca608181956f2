// Fourier transforms of any length: Stockham's algorithm for small prime factors, Bluestein's convolution for others.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "builtin/builtin.h"
#include "unmoor.h"

namespace um {

namespace {

constexpr int64_t kLargestFactor = 31;  // FFT_LARGEST_FACTOR and FFT_SPREAD of src/unmoor/ir/builtin.py
constexpr int64_t kSpread = 7;
constexpr double kPi = 3.14159265358979323846;

// Complex numbers, their parts apart.
template <class T>
struct Pair {
  T* re;
  T* im;
  Pair operator+(int64_t by) const { return {re + by, im + by}; }
};

// The factors of a length, fours first: few stages, and few of them with short inner loops.
struct Factors {
  int64_t of[64];
  int count = 0;
  explicit Factors(int64_t n) {
    while (n % 4 == 0) Take(&n, 4);
    for (int64_t f = 2; f * f <= n; ++f) {
      while (n % f == 0) Take(&n, f);
    }
    if (n > 1) Take(&n, n);
  }
  int64_t Largest() const {
    int64_t most = 1;
    for (int k = 0; k < count; ++k) most = of[k] > most ? of[k] : most;
    return most;
  }

 private:
  void Take(int64_t* n, int64_t f) {
    of[count++] = f;
    *n /= f;
  }
};

// One stage: `left` numbers remain to be transformed at a distance of `s`, of roots that are `step` apart.
template <class T>
struct Stage {
  Pair<const T> x;
  Pair<T> y;
  Pair<const T> roots;
  int64_t left;
  int64_t s;
  int64_t step;

  void Run(int64_t radix) const {
    if (radix == 2) return Two();
    if (radix == 3) return Three();
    if (radix == 4) return Four();
    Any(radix);
  }

  void Two() const {
    const int64_t m = left / 2;
    for (int64_t p = 0; p < m; ++p) {
      const T wr = roots.re[p * step], wi = roots.im[p * step];
      const T *ar = x.re + s * p, *ai = x.im + s * p, *br = ar + s * m, *bi = ai + s * m;
      T *yr = y.re + s * 2 * p, *yi = y.im + s * 2 * p;
      for (int64_t q = 0; q < s; ++q) {
        const T dr = ar[q] - br[q], di = ai[q] - bi[q];
        yr[q] = ar[q] + br[q];
        yi[q] = ai[q] + bi[q];
        yr[q + s] = dr * wr - di * wi;
        yi[q + s] = dr * wi + di * wr;
      }
    }
  }

  void Three() const {
    const int64_t m = left / 3;
    const T half = static_cast<T>(-0.5), root = static_cast<T>(-0.86602540378443864676);
    for (int64_t p = 0; p < m; ++p) {
      const T w1r = roots.re[p * step], w1i = roots.im[p * step];
      const T w2r = roots.re[2 * p * step], w2i = roots.im[2 * p * step];
      const T *ar = x.re + s * p, *ai = x.im + s * p;
      const T *br = ar + s * m, *bi = ai + s * m, *cr = br + s * m, *ci = bi + s * m;
      T *yr = y.re + s * 3 * p, *yi = y.im + s * 3 * p;
      for (int64_t q = 0; q < s; ++q) {
        const T sr = br[q] + cr[q], si = bi[q] + ci[q], dr = root * (br[q] - cr[q]), di = root * (bi[q] - ci[q]);
        const T er = ar[q] + half * sr, ei = ai[q] + half * si;
        const T ur = er - di, ui = ei + dr, vr = er + di, vi = ei - dr;
        yr[q] = ar[q] + sr;
        yi[q] = ai[q] + si;
        yr[q + s] = ur * w1r - ui * w1i;
        yi[q + s] = ur * w1i + ui * w1r;
        yr[q + 2 * s] = vr * w2r - vi * w2i;
        yi[q + 2 * s] = vr * w2i + vi * w2r;
      }
    }
  }

  void Four() const {
    const int64_t m = left / 4;
    for (int64_t p = 0; p < m; ++p) {
      const T w1r = roots.re[p * step], w1i = roots.im[p * step];
      const T w2r = roots.re[2 * p * step], w2i = roots.im[2 * p * step];
      const T w3r = roots.re[3 * p * step], w3i = roots.im[3 * p * step];
      const T *ar = x.re + s * p, *ai = x.im + s * p, *br = ar + s * m, *bi = ai + s * m;
      const T *cr = br + s * m, *ci = bi + s * m, *dr = cr + s * m, *di = ci + s * m;
      T *yr = y.re + s * 4 * p, *yi = y.im + s * 4 * p;
      for (int64_t q = 0; q < s; ++q) {
        const T pr = ar[q] + cr[q], pi = ai[q] + ci[q], mr = ar[q] - cr[q], mi = ai[q] - ci[q];
        const T rr = br[q] + dr[q], ri = bi[q] + di[q];
        const T jr = di[q] - bi[q], ji = br[q] - dr[q];  // i (b - d)
        const T ur = mr - jr, ui = mi - ji, vr = pr - rr, vi = pi - ri, tr = mr + jr, ti = mi + ji;
        yr[q] = pr + rr;
        yi[q] = pi + ri;
        yr[q + s] = ur * w1r - ui * w1i;
        yi[q + s] = ur * w1i + ui * w1r;
        yr[q + 2 * s] = vr * w2r - vi * w2i;
        yi[q + 2 * s] = vr * w2i + vi * w2r;
        yr[q + 3 * s] = tr * w3r - ti * w3i;
        yi[q + 3 * s] = tr * w3i + ti * w3r;
      }
    }
  }

  // Any other factor, by the definition.
  void Any(int64_t radix) const {
    const int64_t m = left / radix, whole = left * step;
    for (int64_t p = 0; p < m; ++p) {
      for (int64_t j = 0; j < radix; ++j) {
        T* const yr = y.re + s * (radix * p + j);
        T* const yi = y.im + s * (radix * p + j);
        // The root of the stage times that of the factor: exp(-2 pi i (j p / left + i j / radix)).
        int64_t root = j * p * step;
        const int64_t by = j * (whole / radix);
        for (int64_t i = 0; i < radix; ++i) {
          const T wr = roots.re[root], wi = roots.im[root];
          const T *ar = x.re + s * (p + i * m), *ai = x.im + s * (p + i * m);
          if (i == 0) {
            for (int64_t q = 0; q < s; ++q) {
              yr[q] = ar[q] * wr - ai[q] * wi;
              yi[q] = ar[q] * wi + ai[q] * wr;
            }
          } else {
            for (int64_t q = 0; q < s; ++q) {
              yr[q] += ar[q] * wr - ai[q] * wi;
              yi[q] += ar[q] * wi + ai[q] * wr;
            }
          }
          root += by;
          if (root >= whole) root -= whole;
        }
      }
    }
  }
};

// The stages of a length, of `inner` transforms side by side: from `in` by turns into `a` and `b`, in the end into `a`.
template <class T>
void Transform(const Factors& factors, int64_t n, int64_t inner, Pair<const T> in, Pair<T> a, Pair<T> b,
               Pair<const T> roots) {
  if (factors.count == 0) {
    memcpy(a.re, in.re, static_cast<size_t>(n * inner) * sizeof(T));
    memcpy(a.im, in.im, static_cast<size_t>(n * inner) * sizeof(T));
    return;
  }
  Stage<T> stage = {in, a, roots, n, inner, 1};
  for (int k = 0; k < factors.count; ++k) {
    stage.y = (factors.count - 1 - k) % 2 == 0 ? a : b;
    stage.Run(factors.of[k]);
    stage.x = {stage.y.re, stage.y.im};
    stage.left /= factors.of[k];
    stage.s *= factors.of[k];
    stage.step *= factors.of[k];
  }
}

// The same of numbers that may be written over; gives where they are then.
template <class T>
Pair<T> TransformHere(const Factors& factors, int64_t n, Pair<T> u, Pair<T> v, Pair<const T> roots) {
  if (factors.count == 0) return u;
  const Pair<T> end = factors.count % 2 == 0 ? u : v, other = factors.count % 2 == 0 ? v : u;
  Transform<T>(factors, n, 1, {u.re, u.im}, end, other, roots);
  return end;
}

// Where the parts of a plan lie; those of a convolution only where there is one.
template <class T>
struct Plan {
  int64_t m;  // the length that is transformed
  bool chirped;
  Pair<T> roots, chirp, over;
  Plan(T* plan, int64_t n, int64_t spread) {
    m = n;
    chirped = spread >= kSpread && Factors(n).Largest() > kLargestFactor;
    if (chirped) {
      for (m = 2; m < 2 * n - 1; m *= 2) {
        if (m / 2 * 3 >= 2 * n - 1) {
          m = m / 2 * 3;
          break;
        }
      }
    }
    roots = {plan, plan + m};
    chirp = roots + 2 * m;
    chirp.im = chirp.re + n;
    over = {chirp.im + n, chirp.im + n + m};
  }
};

// cos and -sin of a turn's k-th of n parts, from an eighth of the turn: as exact as the library's.
template <class T>
void WriteRoots(Pair<T> roots, int64_t n) {
  for (int64_t k = 0; k < n; ++k) {
    const int64_t quarters = 4 * k / n, rest = 4 * k - quarters * n;
    const bool far = 2 * rest > n;
    const double angle = kPi / 2 * static_cast<double>(far ? n - rest : rest) / static_cast<double>(n);
    const double c = far ? sin(angle) : cos(angle), s = far ? cos(angle) : sin(angle);
    const double re[] = {c, -s, -c, s}, im[] = {-s, -c, s, c};
    roots.re[k] = static_cast<T>(re[quarters]);
    roots.im[k] = static_cast<T>(im[quarters]);
  }
}

template <class T>
void WritePlan(void* const* buffers, const int64_t* ints, int64_t begin, int64_t end) {
  if (begin >= end) return;
  const int64_t n = ints[1], spread = ints[2];
  T* const start = static_cast<T*>(buffers[0]);
  T* const work = static_cast<T*>(buffers[1]);
  const Plan<T> plan(start, n, spread);
  memset(start, 0, static_cast<size_t>(2 * n * spread) * sizeof(T));
  WriteRoots(plan.roots, plan.m);
  if (!plan.chirped) return;
  const int64_t m = plan.m;
  const Pair<T> u = {work, work + m}, v = {work + 2 * m, work + 3 * m};
  memset(work, 0, static_cast<size_t>(2 * m) * sizeof(T));
  int64_t square = 0;  // k * k modulo 2 n
  for (int64_t k = 0; k < n; ++k) {
    const double angle = kPi * static_cast<double>(square) / static_cast<double>(n);
    const T c = static_cast<T>(cos(angle)), s = static_cast<T>(sin(angle));
    plan.chirp.re[k] = c;
    plan.chirp.im[k] = -s;
    u.re[k] = c;
    u.im[k] = s;
    if (k > 0) {
      u.re[m - k] = c;
      u.im[m - k] = s;
    }
    square = (square + 2 * k + 1) % (2 * n);
  }
  const Pair<T> made = TransformHere<T>(Factors(m), m, u, v, {plan.roots.re, plan.roots.im});
  for (int64_t k = 0; k < m; ++k) {
    plan.over.re[k] = made.re[k] / static_cast<T>(m);
    plan.over.im[k] = made.im[k] / static_cast<T>(m);
  }
}

// One column by Bluestein: j k = (j^2 + k^2 - (k - j)^2) / 2 makes the transform a convolution with the chirp.
template <class T>
void Convolve(const Plan<const T>& plan, const Factors& factors, int64_t n, int64_t inner, Pair<const T> in,
              Pair<T> out, T* work) {
  const int64_t m = plan.m;
  const Pair<T> u = {work, work + m}, v = {work + 2 * m, work + 3 * m};
  for (int64_t k = 0; k < n; ++k) {
    const T ar = in.re[k * inner], ai = in.im[k * inner], cr = plan.chirp.re[k], ci = plan.chirp.im[k];
    u.re[k] = ar * cr - ai * ci;
    u.im[k] = ar * ci + ai * cr;
  }
  for (int64_t k = n; k < m; ++k) u.re[k] = u.im[k] = 0;
  const Pair<T> a = TransformHere<T>(factors, m, u, v, plan.roots);
  for (int64_t k = 0; k < m; ++k) {
    const T ar = a.re[k], ai = a.im[k], br = plan.over.re[k], bi = plan.over.im[k];
    a.re[k] = ar * br - ai * bi;
    a.im[k] = ar * bi + ai * br;
  }
  const Pair<T> other = a.re == u.re ? v : u;
  const Pair<T> made = TransformHere<T>(factors, m, {a.im, a.re}, {other.im, other.re}, plan.roots);
  for (int64_t k = 0; k < n; ++k) {  // the parts are still exchanged: that was an inverse transform
    const T ar = made.im[k], ai = made.re[k], cr = plan.chirp.re[k], ci = plan.chirp.im[k];
    out.re[k * inner] = ar * cr - ai * ci;
    out.im[k * inner] = ar * ci + ai * cr;
  }
}

template <class T>
void Fft(void* const* buffers, const int64_t* ints, int64_t begin, int64_t end) {
  const int64_t strands = ints[0], rows = ints[1], n = ints[2], inner = ints[3], spread = ints[4];
  if (inner == 0) return;
  const Plan<const T> plan(static_cast<const T*>(buffers[2]), n, spread);
  const Factors factors(plan.m);
  const int64_t block = n * inner;
  for (int64_t strand = begin; strand < end; ++strand) {
    T* const work = static_cast<T*>(buffers[5]) + strand * 2 * block * spread;
    for (int64_t row = strand * rows / strands; row < (strand + 1) * rows / strands; ++row) {
      const Pair<const T> in = {static_cast<const T*>(buffers[0]) + row * block,
                                static_cast<const T*>(buffers[1]) + row * block};
      const Pair<T> out = {static_cast<T*>(buffers[3]) + row * block, static_cast<T*>(buffers[4]) + row * block};
      if (!plan.chirped) {
        Transform<T>(factors, n, inner, in, out, {work, work + block}, plan.roots);
        continue;
      }
      for (int64_t q = 0; q < inner; ++q) Convolve<T>(plan, factors, n, inner, in + q, out + q, work);
    }
  }
}

}  // namespace

RowFunction FftPlanFunction(uint32_t dtype) { return dtype == UM_F64 ? WritePlan<double> : WritePlan<float>; }

RowFunction FftFunction(uint32_t dtype) { return dtype == UM_F64 ? Fft<double> : Fft<float>; }

}  // namespace um
