/* torch tensors in and out, through the DLPack exchange API: no torch header, no torch library to link. */
#include <stdlib.h>
#include <string.h>

#include "native.h"

static const dlpack_exchange_api *api;
static PyTypeObject *tensor_type, *parameter_type;
static PyObject *is_grad_enabled, *dispatch_modes;
static PyObject *name_requires_grad, *name_is_neg;

static PyObject *attribute_of(PyObject *module, const char *path) {
  PyObject *object = Py_NewRef(module);
  char part[64];
  while (object != NULL && *path) {
    size_t length = strcspn(path, ".");
    memcpy(part, path, length);
    part[length] = 0;
    path += length + (path[length] == '.');
    PyObject *next = PyObject_GetAttrString(object, part);
    Py_DECREF(object);
    object = next;
  }
  return object;
}

/* Looks torch up without importing it. A torch that lacks what we need is left to the slow path. */
static int find_torch(void) {
  PyObject *modules = PyImport_GetModuleDict();
  PyObject *torch = PyDict_GetItemString(modules, "torch");
  if (torch == NULL) return 0;
  PyObject *tensor = attribute_of(torch, "Tensor"), *parameter = attribute_of(torch, "nn.Parameter");
  PyObject *enabled = attribute_of(torch, "_C.is_grad_enabled");
  PyObject *modes = attribute_of(torch, "_C._len_torch_dispatch_stack");
  PyObject *capsule = tensor ? PyObject_GetAttrString(tensor, "__dlpack_c_exchange_api__") : NULL;
  const dlpack_exchange_api *found = capsule ? PyCapsule_GetPointer(capsule, DLPACK_CAPSULE_NAME) : NULL;
  Py_XDECREF(capsule);
  int good = found != NULL && found->version.major == DLPACK_MAJOR && found->version.minor >= DLPACK_MINOR &&
             parameter != NULL && enabled != NULL && modes != NULL && PyType_Check(tensor) && PyType_Check(parameter);
  PyErr_Clear();
  if (!good) {
    Py_XDECREF(tensor);
    Py_XDECREF(parameter);
    Py_XDECREF(enabled);
    Py_XDECREF(modes);
    return 0;
  }
  name_requires_grad = PyUnicode_InternFromString("requires_grad");
  name_is_neg = PyUnicode_InternFromString("is_neg");
  tensor_type = (PyTypeObject *)tensor;
  parameter_type = (PyTypeObject *)parameter;
  is_grad_enabled = enabled;
  dispatch_modes = modes;
  api = found;
  return 1;
}

int torch_ready(void) { return api != NULL || find_torch(); }

static um_dtype dtype_of(const dlpack_tensor *t) {
  if (t->type_lanes != 1) return 0;
  switch (t->type_code << 8 | t->type_bits) {
    case DLPACK_BOOL << 8 | 8: return UM_BOOL;
    case DLPACK_UINT << 8 | 8: return UM_U8;
    case DLPACK_INT << 8 | 8: return UM_I8;
    case DLPACK_INT << 8 | 16: return UM_I16;
    case DLPACK_INT << 8 | 32: return UM_I32;
    case DLPACK_INT << 8 | 64: return UM_I64;
    case DLPACK_FLOAT << 8 | 16: return UM_F16;
    case DLPACK_BFLOAT << 8 | 16: return UM_BF16;
    case DLPACK_FLOAT << 8 | 32: return UM_F32;
    case DLPACK_FLOAT << 8 | 64: return UM_F64;
    default: return 0;
  }
}

/* Whether the expression is true; an error counts as true, so that the slow path looks at it. */
static int is_true(PyObject *result) {
  int truth = result == Py_False ? 0 : result == Py_True ? 1 : result == NULL ? -1 : PyObject_IsTrue(result);
  Py_XDECREF(result);
  PyErr_Clear();
  return truth != 0;
}

reading torch_read(PyObject *object, um_tensor *out) {
  PyTypeObject *type = Py_TYPE(object);
  if (api == NULL && (strcmp(type->tp_name, "Tensor") != 0 && strcmp(type->tp_name, "Parameter") != 0)) return READ_NOT_MINE;
  if (!torch_ready() || (type != tensor_type && type != parameter_type)) return READ_NOT_MINE;
  if (is_true(PyObject_GetAttr(object, name_requires_grad)) && is_true(PyObject_CallNoArgs(is_grad_enabled)))
    return READ_REFUSED;
  /* A tensor may be a lazy negative of its memory, which DLPack does not say. */
  if (is_true(PyObject_CallMethodNoArgs(object, name_is_neg))) return READ_REFUSED;
  /* Under a dispatch mode somebody watches torch's ops: a call here would pass unseen. */
  if (is_true(PyObject_CallNoArgs(dispatch_modes))) return READ_REFUSED;
  dlpack_tensor t;
  if (api->tensor_from_object(object, &t) != 0) {
    PyErr_Clear();
    return READ_REFUSED;
  }
  um_dtype dtype = dtype_of(&t);
  if (dtype == 0 || t.device_type != DLPACK_CPU || t.rank > UM_MAX_RANK) return READ_REFUSED;
  out->data = (char *)t.data + t.byte_offset;
  out->shape = t.shape;
  out->strides = t.strides;
  out->rank = t.rank;
  out->dtype = dtype;
  out->bytes = span_bytes(out);
  return READ_OK;
}

/* An output's header and memory in one block. */
typedef struct {
  dlpack_managed managed;
  int64_t shape[UM_MAX_RANK];
  int64_t strides[UM_MAX_RANK];
} block;

static void free_block(dlpack_managed *managed) { spare_give(managed); }

/* Memory of our own costs 0.33 us with the tensor around it; torch.empty costs 0.75 us. */
PyObject *torch_make(um_tensor *out, spares *spares) {
  static const uint8_t codes[] = {0, DLPACK_BOOL, DLPACK_UINT, DLPACK_INT, DLPACK_INT, DLPACK_INT, DLPACK_INT,
                                  DLPACK_FLOAT, DLPACK_BFLOAT, DLPACK_FLOAT, DLPACK_FLOAT};
  block *b = spare_take(spares, sizeof(block) + 64 + out->bytes);
  if (b == NULL) return PyErr_NoMemory();
  memset(&b->managed, 0, sizeof b->managed);
  b->managed.version = (dlpack_version){DLPACK_MAJOR, DLPACK_MINOR};
  b->managed.deleter = free_block;
  dlpack_tensor *t = &b->managed.tensor;
  t->data = (void *)(((uintptr_t)(b + 1) + 63) & ~(uintptr_t)63);
  t->device_type = DLPACK_CPU;
  t->rank = out->rank;
  t->type_code = codes[out->dtype];
  t->type_bits = (uint8_t)(8 * um_dtype_size(out->dtype));
  t->type_lanes = 1;
  t->shape = b->shape;
  t->strides = b->strides;
  int64_t stride = 1;
  for (int axis = out->rank; axis-- > 0;) {
    b->shape[axis] = out->shape[axis];
    b->strides[axis] = stride;
    stride *= out->shape[axis] > 1 ? out->shape[axis] : 1;
  }
  out->data = t->data;
  void *object = NULL;
  if (api->object_from_managed(&b->managed, &object) != 0) {
    spare_give(b);
    return NULL;
  }
  return object;
}
