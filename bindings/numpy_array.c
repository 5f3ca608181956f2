/* NumPy arrays in through the buffer protocol, and out through a cached numpy.empty: no NumPy header.
   bfloat16, which NumPy has not, is uint16 words, which nothing else is. */
#include <string.h>

#include "native.h"

static PyTypeObject *array_type;
static PyObject *empty;
static PyObject *dtypes[UM_F64 + 1]; /* NULL where NumPy has none */

int numpy_ready(void) {
  static const char *names[] = {NULL,    "bool",  "uint8",   "int8", "int16",   "int32",
                                "int64", "float16", "uint16", "float32", "float64"};
  if (empty != NULL) return 1;
  PyObject *numpy = PyImport_ImportModule("numpy");
  if (numpy == NULL) return 0;
  PyObject *make_dtype = PyObject_GetAttrString(numpy, "dtype");
  for (int code = 1; make_dtype != NULL && code <= UM_F64; code++)
    if (names[code] != NULL && dtypes[code] == NULL && !(dtypes[code] = PyObject_CallFunction(make_dtype, "s", names[code])))
      Py_CLEAR(make_dtype);
  if (make_dtype != NULL && (array_type = (PyTypeObject *)PyObject_GetAttrString(numpy, "ndarray")) != NULL)
    empty = PyObject_GetAttrString(numpy, "empty");
  Py_XDECREF(make_dtype);
  Py_DECREF(numpy);
  return empty != NULL;
}

/* The element type of a buffer in the machine's own byte order; 0 for any other. */
static um_dtype dtype_of(const char *format, Py_ssize_t size) {
  if (format == NULL || (format[0] == '@' && ++format == NULL) || format[0] == 0 || format[1] != 0) return 0;
  switch (format[0]) {
    case '?': return UM_BOOL;
    case 'B': return UM_U8;
    case 'b': return UM_I8;
    case 'h': return UM_I16;
    case 'i': case 'l': case 'q': return size == 8 ? UM_I64 : size == 4 ? UM_I32 : 0;
    case 'e': return UM_F16;
    case 'H': return UM_BF16; /* NumPy has no bfloat16: its words */
    case 'f': return UM_F32;
    case 'd': return UM_F64;
    default: return 0;
  }
}

reading numpy_read(PyObject *object, um_tensor *out, Py_buffer *view, int64_t *strides) {
  if (!numpy_ready()) {
    PyErr_Clear();
    return READ_NOT_MINE;
  }
  if (Py_TYPE(object) != array_type) return READ_NOT_MINE;
  if (PyObject_GetBuffer(object, view, PyBUF_STRIDES | PyBUF_FORMAT) != 0) {
    PyErr_Clear();
    return READ_REFUSED;
  }
  um_dtype dtype = dtype_of(view->format, view->itemsize);
  int good = dtype != 0 && view->ndim <= UM_MAX_RANK && (uintptr_t)view->buf % (size_t)view->itemsize == 0;
  for (int axis = 0; good && axis < view->ndim; axis++) {
    good = view->strides[axis] >= 0 && view->strides[axis] % view->itemsize == 0;
    strides[axis] = view->strides[axis] / view->itemsize;
  }
  if (!good) {
    PyBuffer_Release(view);
    return READ_REFUSED;
  }
  _Static_assert(sizeof(Py_ssize_t) == sizeof(int64_t), "a buffer's shape is read as it is");
  out->data = view->buf;
  out->shape = (const int64_t *)view->shape;
  out->strides = strides;
  out->rank = view->ndim;
  out->dtype = dtype;
  out->bytes = span_bytes(out);
  return READ_OK;
}

PyObject *numpy_make(um_tensor *out) {
  if (!numpy_ready()) return NULL;
  if (dtypes[out->dtype] == NULL) return PyErr_Format(PyExc_TypeError, "NumPy has no %s", um_dtype_name(out->dtype));
  PyObject *shape = PyTuple_New(out->rank);
  for (int axis = 0; shape != NULL && axis < out->rank; axis++) {
    PyObject *size = PyLong_FromLongLong(out->shape[axis]);
    if (size == NULL) Py_CLEAR(shape);
    else PyTuple_SET_ITEM(shape, axis, size);
  }
  if (shape == NULL) return NULL;
  PyObject *arguments[] = {shape, dtypes[out->dtype]};
  PyObject *array = PyObject_Vectorcall(empty, arguments, 2, NULL);
  Py_DECREF(shape);
  Py_buffer view;
  if (array == NULL || PyObject_GetBuffer(array, &view, PyBUF_WRITABLE) != 0) {
    Py_XDECREF(array);
    return NULL;
  }
  out->data = view.buf; /* stays where it is: nobody else knows the array yet */
  PyBuffer_Release(&view);
  return array;
}

size_t span_bytes(const um_tensor *tensor) {
  int64_t last = 0;
  for (int axis = 0; axis < tensor->rank; axis++) {
    if (tensor->shape[axis] == 0) return 0;
    last += (tensor->shape[axis] - 1) * tensor->strides[axis];
  }
  return (size_t)(last + 1) * um_dtype_size(tensor->dtype);
}
