// Small linear algebra: factors of matrices and what is solved with them. A row is a matrix, its elements row by row.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "builtin/builtin.h"
#include "unmoor.h"

namespace um {

namespace {

constexpr int kSweeps = 60;  // of Jacobi's rotations: some ten do, unless there is a NaN

template <class T>
T Dot(const T* a, const T* b, int64_t n) {
  double sum = 0;  // of float32 in float64: one rounding at the end
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return static_cast<T>(sum);
}

template <class T>
void Subtract(T* a, const T* b, T factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) a[i] -= factor * b[i];
}

template <class T>
void Swap(T* a, T* b, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const T kept = a[i];
    a[i] = b[i];
    b[i] = kept;
  }
}

// The factors of a matrix whose rows are exchanged, the largest element first; a column of zeros stays as it is.
template <class T>
void Lu(void* const* buffers, const int64_t* ints, int64_t begin, int64_t end) {
  const int64_t n = ints[1];
  for (int64_t row = begin; row < end; ++row) {
    T* const lu = static_cast<T*>(buffers[1]) + row * n * n;
    int64_t* const pivots = static_cast<int64_t*>(buffers[2]) + row * n;
    memcpy(lu, static_cast<const T*>(buffers[0]) + row * n * n, static_cast<size_t>(n * n) * sizeof(T));
    for (int64_t j = 0; j < n; ++j) {
      int64_t best = j;
      for (int64_t i = j + 1; i < n; ++i) {
        if (fabs(static_cast<double>(lu[i * n + j])) > fabs(static_cast<double>(lu[best * n + j]))) best = i;
      }
      pivots[j] = best;
      if (best != j) Swap(lu + j * n, lu + best * n, n);
      const T pivot = lu[j * n + j];
      if (pivot == T{0}) continue;
      for (int64_t i = j + 1; i < n; ++i) {
        lu[i * n + j] /= pivot;
        Subtract(lu + i * n + j + 1, lu + j * n + j + 1, lu[i * n + j], n - j - 1);
      }
    }
  }
}

// x := the solution of a triangular system with x as right side.
template <class T>
void Solve(const T* a, T* x, int64_t n, int64_t k, bool upper, bool unit) {
  for (int64_t step = 0; step < n; ++step) {
    const int64_t i = upper ? n - 1 - step : step;
    for (int64_t j = upper ? i + 1 : 0; j < (upper ? n : i); ++j) Subtract(x + i * k, x + j * k, a[i * n + j], k);
    if (unit) continue;
    for (int64_t q = 0; q < k; ++q) x[i * k + q] /= a[i * n + i];
  }
}

template <class T>
void LuSolve(void* const* buffers, const int64_t* ints, int64_t begin, int64_t end) {
  const int64_t n = ints[1], k = ints[2];
  for (int64_t row = begin; row < end; ++row) {
    const T* const lu = static_cast<const T*>(buffers[0]) + row * n * n;
    const int64_t* const pivots = static_cast<const int64_t*>(buffers[1]) + row * n;
    T* const x = static_cast<T*>(buffers[3]) + row * n * k;
    memcpy(x, static_cast<const T*>(buffers[2]) + row * n * k, static_cast<size_t>(n * k) * sizeof(T));
    for (int64_t j = 0; j < n; ++j) {
      const int64_t other = pivots[j];  // data: a place outside exchanges nothing
      if (other > j && other < n) Swap(x + j * k, x + other * k, k);
    }
    Solve(lu, x, n, k, false, true);
    Solve(lu, x, n, k, true, false);
  }
}

template <class T>
void Triangular(void* const* buffers, const int64_t* ints, int64_t begin, int64_t end) {
  const int64_t n = ints[1], k = ints[2];
  for (int64_t row = begin; row < end; ++row) {
    T* const x = static_cast<T*>(buffers[2]) + row * n * k;
    memcpy(x, static_cast<const T*>(buffers[1]) + row * n * k, static_cast<size_t>(n * k) * sizeof(T));
    Solve(static_cast<const T*>(buffers[0]) + row * n * n, x, n, k, ints[3] != 0, ints[4] != 0);
  }
}

// L of a = L L^T, from the lower triangle; where a is not positive definite, the rest is zeros and `failed` says where.
template <class T>
void Cholesky(void* const* buffers, const int64_t* ints, int64_t begin, int64_t end) {
  const int64_t n = ints[1];
  for (int64_t row = begin; row < end; ++row) {
    const T* const a = static_cast<const T*>(buffers[0]) + row * n * n;
    T* const l = static_cast<T*>(buffers[1]) + row * n * n;
    int64_t* const failed = static_cast<int64_t*>(buffers[2]) + row;
    *failed = 0;
    memset(l, 0, static_cast<size_t>(n * n) * sizeof(T));
    for (int64_t i = 0; i < n && *failed == 0; ++i) {
      for (int64_t j = 0; j <= i; ++j) {
        double left = static_cast<double>(a[i * n + j]);
        for (int64_t p = 0; p < j; ++p) left -= static_cast<double>(l[i * n + p]) * static_cast<double>(l[j * n + p]);
        if (j < i) {
          l[i * n + j] = static_cast<T>(left / static_cast<double>(l[j * n + j]));
        } else if (left > 0) {
          l[i * n + i] = static_cast<T>(sqrt(left));
        } else {
          *failed = i + 1;
        }
      }
    }
  }
}

// One reflection, whose vector has a leading 1 that is not stored, of a column behind its first `j` elements.
template <class T>
void Reflect(const T* v, T tau, T* column, int64_t j, int64_t m) {
  const T by = tau * (column[j] + Dot(v + j + 1, column + j + 1, m - j - 1));
  column[j] -= by;
  Subtract(column + j + 1, v + j + 1, by, m - j - 1);
}

// q with c columns, and r with c rows, of a = q r by Householder's reflections, as LAPACK signs them.
template <class T>
void Qr(void* const* buffers, const int64_t* ints, int64_t begin, int64_t end) {
  const int64_t m = ints[1], n = ints[2], c = ints[3], least = m < n ? m : n;
  for (int64_t row = begin; row < end; ++row) {
    const T* const a = static_cast<const T*>(buffers[0]) + row * m * n;
    T* const q = static_cast<T*>(buffers[1]) + row * m * c;
    T* const r = static_cast<T*>(buffers[2]) + row * c * n;
    T* const work = static_cast<T*>(buffers[3]) + row * m * n;  // column by column
    T* const column = static_cast<T*>(buffers[4]) + row * m;
    T* const taus = static_cast<T*>(buffers[5]) + row * n;
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) work[j * m + i] = a[i * n + j];
    }
    for (int64_t j = 0; j < least; ++j) {
      T* const v = work + j * m;
      double square = 0;
      for (int64_t i = j + 1; i < m; ++i) square += static_cast<double>(v[i]) * static_cast<double>(v[i]);
      taus[j] = 0;
      if (square == 0) continue;
      const double alpha = static_cast<double>(v[j]);
      const double beta = -copysign(sqrt(alpha * alpha + square), alpha);
      taus[j] = static_cast<T>((beta - alpha) / beta);
      for (int64_t i = j + 1; i < m; ++i) v[i] = static_cast<T>(static_cast<double>(v[i]) / (alpha - beta));
      v[j] = static_cast<T>(beta);
      for (int64_t k = j + 1; k < n; ++k) Reflect(v, taus[j], work + k * m, j, m);
    }
    for (int64_t i = 0; i < c; ++i) {
      for (int64_t j = 0; j < n; ++j) r[i * n + j] = i <= j && i < m ? work[j * m + i] : T{0};
    }
    for (int64_t k = 0; k < c; ++k) {
      for (int64_t i = 0; i < m; ++i) column[i] = i == k ? T{1} : T{0};
      for (int64_t j = least; j-- > 0;) Reflect(work + j * m, taus[j], column, j, m);
      for (int64_t i = 0; i < m; ++i) q[i * c + k] = column[i];
    }
  }
}

// The rotation that makes two vectors orthogonal, of their squares and product; false where they are.
bool Rotation(double a, double b, double product, double least, double* cosine, double* sine) {
  if (!(fabs(product) > least * sqrt(a * b))) return false;
  const double zeta = (b - a) / (2 * product);
  const double tangent = copysign(1.0, zeta) / (fabs(zeta) + sqrt(1 + zeta * zeta));
  *cosine = 1 / sqrt(1 + tangent * tangent);
  *sine = *cosine * tangent;
  return true;
}

void Rotate(double* x, double* y, double cosine, double sine, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const double kept = x[i];
    x[i] = cosine * kept - sine * y[i];
    y[i] = sine * kept + cosine * y[i];
  }
}

// a = u diag(s) v^T by Jacobi's rotations of a's columns, in float64; s descending, columns of u that belong to 0 are 0.
template <class T>
void Svd(void* const* buffers, const int64_t* ints, int64_t begin, int64_t end) {
  const int64_t m = ints[1], n = ints[2];
  for (int64_t row = begin; row < end; ++row) {
    const T* const a = static_cast<const T*>(buffers[0]) + row * m * n;
    T* const u = static_cast<T*>(buffers[1]) + row * m * n;
    T* const s = static_cast<T*>(buffers[2]) + row * n;
    T* const v = static_cast<T*>(buffers[3]) + row * n * n;
    double* const columns = static_cast<double*>(buffers[4]) + row * m * n;
    double* const turned = static_cast<double*>(buffers[5]) + row * n * n;
    double* const sizes = static_cast<double*>(buffers[6]) + row * n;
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t i = 0; i < m; ++i) columns[j * m + i] = static_cast<double>(a[i * n + j]);
      for (int64_t i = 0; i < n; ++i) turned[j * n + i] = i == j ? 1 : 0;
    }
    bool again = true;
    for (int sweep = 0; again && sweep < kSweeps; ++sweep) {
      again = false;
      for (int64_t p = 0; p < n; ++p) {
        for (int64_t q = p + 1; q < n; ++q) {
          double *x = columns + p * m, *y = columns + q * m, cosine, sine;
          if (!Rotation(Dot(x, x, m), Dot(y, y, m), Dot(x, y, m), 1e-16, &cosine, &sine)) continue;
          again = true;
          Rotate(x, y, cosine, sine, m);
          Rotate(turned + p * n, turned + q * n, cosine, sine, n);
        }
      }
    }
    for (int64_t j = 0; j < n; ++j) sizes[j] = sqrt(Dot(columns + j * m, columns + j * m, m));
    for (int64_t k = 0; k < n; ++k) {
      int64_t best = 0;
      for (int64_t j = 1; j < n; ++j) {
        if (sizes[j] > sizes[best] || sizes[best] < 0) best = j;
      }
      const double size = sizes[best];
      sizes[best] = -1;
      s[k] = static_cast<T>(size);
      for (int64_t i = 0; i < m; ++i) u[i * n + k] = static_cast<T>(size > 0 ? columns[best * m + i] / size : 0);
      for (int64_t i = 0; i < n; ++i) v[i * n + k] = static_cast<T>(turned[best * n + i]);
    }
  }
}

// The eigenvalues of a symmetric matrix, ascending, by Jacobi's rotations in float64; its lower triangle is read.
template <class T>
void Eigenvalues(void* const* buffers, const int64_t* ints, int64_t begin, int64_t end) {
  const int64_t n = ints[1];
  for (int64_t row = begin; row < end; ++row) {
    const T* const given = static_cast<const T*>(buffers[0]) + row * n * n;
    T* const values = static_cast<T*>(buffers[1]) + row * n;
    double* const a = static_cast<double*>(buffers[2]) + row * n * n;
    double norm = 0;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        a[i * n + j] = static_cast<double>(i >= j ? given[i * n + j] : given[j * n + i]);
        norm += a[i * n + j] * a[i * n + j];
      }
    }
    const double least = 1e-17 * sqrt(norm);
    bool again = true;
    for (int sweep = 0; again && sweep < kSweeps; ++sweep) {
      again = false;
      for (int64_t p = 0; p < n; ++p) {
        for (int64_t q = p + 1; q < n; ++q) {
          const double product = a[p * n + q];
          if (!(fabs(product) > least)) continue;
          again = true;
          const double zeta = (a[q * n + q] - a[p * n + p]) / (2 * product);
          const double tangent = copysign(1.0, zeta) / (fabs(zeta) + sqrt(1 + zeta * zeta));
          const double cosine = 1 / sqrt(1 + tangent * tangent), sine = cosine * tangent;
          Rotate(a + p * n, a + q * n, cosine, sine, n);
          for (int64_t i = 0; i < n; ++i) {
            const double kept = a[i * n + p];
            a[i * n + p] = cosine * kept - sine * a[i * n + q];
            a[i * n + q] = sine * kept + cosine * a[i * n + q];
          }
        }
      }
    }
    for (int64_t k = 0; k < n; ++k) {  // in order, by insertion
      const T value = static_cast<T>(a[k * n + k]);
      int64_t at = k;
      for (; at > 0 && values[at - 1] > value; --at) values[at] = values[at - 1];
      values[at] = value;
    }
  }
}

}  // namespace

RowFunction LinearFunction(format::Builtin builtin, uint32_t dtype) {
  const bool wide = dtype == UM_F64;
  switch (builtin) {
    case format::Builtin::kLu:
      return wide ? Lu<double> : Lu<float>;
    case format::Builtin::kLuSolve:
      return wide ? LuSolve<double> : LuSolve<float>;
    case format::Builtin::kTriangularSolve:
      return wide ? Triangular<double> : Triangular<float>;
    case format::Builtin::kCholesky:
      return wide ? Cholesky<double> : Cholesky<float>;
    case format::Builtin::kQr:
      return wide ? Qr<double> : Qr<float>;
    case format::Builtin::kSvd:
      return wide ? Svd<double> : Svd<float>;
    case format::Builtin::kEigenvalues:
      return wide ? Eigenvalues<double> : Eigenvalues<float>;
    default:
      return nullptr;
  }
}

}  // namespace um
