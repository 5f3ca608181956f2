/* The type Function: a method of a file as a callable. Flat calls of tensors run here; the rest goes to `slow`. */
#include "native.h"

#include <stddef.h>
#include <string.h>
#include <structmember.h>

/* A run of at least this many operations or bytes (some 50 us) lets other Python threads run meanwhile. */
#define LONG_FLOPS 1000000
#define LONG_BYTES 500000

/* Statuses that `slow` gets: the fast path did not try; the sizes break an assumption of the trace, which another program
 * for them may not do. */
enum { NOT_RUN = -1, NOT_PREPARED = -2 };
enum { AS_INPUTS = 0, AS_TORCH = 1, AS_NUMPY = 2 };
enum { RETURNS_TUPLE = 0, RETURNS_TENSOR = 1, RETURNS_STRUCTURE = 2 };

typedef struct {
  PyObject_HEAD vectorcallfunc vectorcall;
  ModelObject *model;
  Py_ssize_t method;
  PyObject *slow;    /* slow(args: tuple, kwargs: dict, status: int, message: str) -> the call's result */
  PyObject *rebuild; /* rebuild(outputs: tuple) -> the call's result, for RETURNS_STRUCTURE */
  int flat;          /* the method takes its tensors as plain positional arguments */
  int returns;
  int outputs_as;
  Py_ssize_t output_count;
  PyObject *changed; /* a byte for each input: 1 where the call writes into it */
} FunctionObject;

typedef struct {
  um_tensor inputs[FEW], outputs[FEW];
  Py_buffer views[FEW];
  int64_t strides[FEW][UM_MAX_RANK];
  PyObject *made[FEW];
} few;

/* One call's arrays: in `few` on the stack, or allocated where there are more tensors. */
typedef struct {
  um_tensor *inputs, *outputs;
  Py_buffer *views;
  int64_t (*strides)[UM_MAX_RANK];
  PyObject **made;
  Py_ssize_t view_count, made_count, output_count;
  int any_torch, prepared;
  void *allocated;
  um_error error;
} call;

static int begin(call *c, few *room, Py_ssize_t input_count, Py_ssize_t output_count) {
  c->view_count = c->made_count = c->any_torch = 0;
  c->output_count = output_count;
  c->allocated = NULL;
  c->error.status = UM_OK;
  if (input_count <= FEW && output_count <= FEW) {
    c->inputs = room->inputs, c->outputs = room->outputs, c->views = room->views;
    c->strides = room->strides, c->made = room->made;
    return 0;
  }
  size_t n = (size_t)input_count, m = (size_t)output_count;
  size_t bytes = n * (sizeof *c->inputs + sizeof *c->views + sizeof *c->strides) + m * (sizeof *c->outputs + sizeof *c->made);
  char *memory = c->allocated = PyMem_Malloc(bytes);
  if (memory == NULL) {
    PyErr_NoMemory();
    return -1;
  }
  c->inputs = (um_tensor *)memory;
  c->outputs = c->inputs + n;
  c->views = (Py_buffer *)(c->outputs + m);
  c->strides = (int64_t(*)[UM_MAX_RANK])(c->views + n);
  c->made = (PyObject **)(c->strides + n);
  return 0;
}

static void end(call *c) {
  while (c->view_count > 0) PyBuffer_Release(&c->views[--c->view_count]);
  PyMem_Free(c->allocated);
}

/* Reads the arguments; 0 where one of them is not for the fast path. */
static int read_inputs(const FunctionObject *self, call *c, PyObject *const *arguments, Py_ssize_t count) {
  const char *changed = PyBytes_AS_STRING(self->changed);
  Py_ssize_t known = PyBytes_GET_SIZE(self->changed);
  for (Py_ssize_t i = 0; i < count; i++) {
    reading how = torch_read(arguments[i], &c->inputs[i]);
    if (how == READ_OK) {
      c->any_torch = 1;
      continue;
    }
    if (how == READ_NOT_MINE) how = numpy_read(arguments[i], &c->inputs[i], &c->views[c->view_count], c->strides[i]);
    if (how != READ_OK) return 0;
    if (c->views[c->view_count++].readonly && i < known && changed[i]) return 0;
  }
  return 1;
}

/* Does the call find the sizes of an output? They are then not known before it has run. */
static int is_found(const um_tensor *out) {
  for (int32_t axis = 0; axis < out->rank; axis++)
    if (out->shape[axis] < 0) return 1;
  return 0;
}

static int make_outputs(const FunctionObject *self, call *c) {
  int torch = self->outputs_as == AS_TORCH || (self->outputs_as == AS_INPUTS && c->any_torch);
  if (torch && !torch_ready()) {
    PyErr_SetString(PyExc_ImportError, "outputs were asked for as torch tensors, and torch is not imported");
    return -1;
  }
  for (; c->made_count < c->output_count; c->made_count++) {
    um_tensor *out = &c->outputs[c->made_count];
    if (is_found(out)) {
      out->data = NULL, c->made[c->made_count] = NULL;
      continue;
    }
    PyObject *object = torch ? torch_make(out, self->model->spares) : numpy_make(out);
    if (object == NULL) return -1;
    c->made[c->made_count] = object;
  }
  return 0;
}

/* Outputs whose sizes the call has found, which lie in the session's memory, as tensors of their own. */
static int copy_found(const FunctionObject *self, call *c) {
  int torch = self->outputs_as == AS_TORCH || (self->outputs_as == AS_INPUTS && c->any_torch);
  for (Py_ssize_t i = 0; i < c->output_count; i++) {
    if (c->made[i] != NULL) continue;
    um_tensor made = c->outputs[i];
    if ((c->made[i] = torch ? torch_make(&made, self->model->spares) : numpy_make(&made)) == NULL) return -1;
    if (c->outputs[i].bytes > 0) memcpy(made.data, c->outputs[i].data, c->outputs[i].bytes);
  }
  return 0;
}

static um_status execute(um_session *session, call *c) {
  int64_t arena, flops, traffic;
  size_t count = (size_t)c->output_count;
  um_status status = um_session_cost(session, &arena, &flops, &traffic);
  if (status == UM_OK && flops < LONG_FLOPS && traffic < LONG_BYTES)
    return um_execute(session, c->outputs, count, &c->error);
  Py_BEGIN_ALLOW_THREADS
  status = um_execute(session, c->outputs, count, &c->error);
  Py_END_ALLOW_THREADS
  return status;
}

/* 1: outputs are made. 0: `error` says why not. -1: a Python exception is set. */
static int run(const FunctionObject *self, call *c, Py_ssize_t input_count) {
  held_session *held = session_take(self->model, &c->error);
  if (held == NULL) return 0;
  int done = 0;
  memset(c->outputs, 0, sizeof *c->outputs * (size_t)c->output_count);
  c->prepared = um_prepare(held->session, (size_t)self->method, c->inputs, (size_t)input_count, c->outputs,
                           (size_t)c->output_count, &c->error) == UM_OK;
  if (c->prepared)
    done = make_outputs(self, c) != 0 ? -1 : execute(held->session, c) == UM_OK;
  if (done == 1 && copy_found(self, c) != 0) done = -1;
  session_release(self->model, held);
  if (done != 1)
    while (c->made_count > 0) Py_XDECREF(c->made[--c->made_count]);
  return done;
}

static PyObject *outputs_as_tuple(const call *c) {
  PyObject *tuple = PyTuple_New(c->output_count);
  for (Py_ssize_t i = 0; i < c->output_count; i++) {
    if (tuple != NULL) PyTuple_SET_ITEM(tuple, i, c->made[i]);
    else Py_DECREF(c->made[i]);
  }
  return tuple;
}

static PyObject *returned(const FunctionObject *self, const call *c) {
  if (self->returns == RETURNS_TENSOR) return c->made[0];
  PyObject *tuple = outputs_as_tuple(c);
  if (tuple == NULL || self->returns == RETURNS_TUPLE) return tuple;
  PyObject *result = PyObject_CallOneArg(self->rebuild, tuple);
  Py_DECREF(tuple);
  return result;
}

static PyObject *call_slow(FunctionObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names,
                           int status, const char *message) {
  PyObject *args = PyTuple_New(count), *kwargs = PyDict_New(), *result = NULL;
  if (args != NULL && kwargs != NULL) {
    for (Py_ssize_t i = 0; i < count; i++) PyTuple_SET_ITEM(args, i, Py_NewRef(arguments[i]));
    Py_ssize_t i = 0, named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    while (i < named && PyDict_SetItem(kwargs, PyTuple_GET_ITEM(names, i), arguments[count + i]) == 0) i++;
    PyObject *text = PyUnicode_DecodeUTF8(message, (Py_ssize_t)strlen(message), "replace");
    if (i == named && text != NULL) result = PyObject_CallFunction(self->slow, "OOiO", args, kwargs, status, text);
    Py_XDECREF(text);
  }
  Py_XDECREF(args);
  Py_XDECREF(kwargs);
  return result;
}

/* Runs a call of plain tensors. As `run`; where it is 0, `status` is NOT_RUN or what the runtime said. */
static int run_flat(FunctionObject *self, call *c, PyObject *const *arguments, Py_ssize_t count, int *status) {
  *status = NOT_RUN;
  if (!read_inputs(self, c, arguments, count)) return 0;
  int done = run(self, c, count);
  *status = c->error.status == UM_NOT_TRACED && !c->prepared ? NOT_PREPARED : (int)c->error.status;
  return done;
}

static PyObject *function_call(PyObject *object, PyObject *const *arguments, size_t nargs, PyObject *names) {
  FunctionObject *self = (FunctionObject *)object;
  Py_ssize_t count = PyVectorcall_NARGS(nargs);
  if (!self->flat || (names != NULL && PyTuple_GET_SIZE(names) > 0))
    return call_slow(self, arguments, count, names, NOT_RUN, "");
  few room;
  call c;
  int status;
  if (begin(&c, &room, count, self->output_count) != 0) return NULL;
  int done = run_flat(self, &c, arguments, count, &status);
  PyObject *result = done == 1 ? returned(self, &c) : NULL;
  end(&c);
  return done != 0 ? result : call_slow(self, arguments, count, NULL, status, status == NOT_RUN ? "" : c.error.message);
}

/* run(*tensors) -> (status, what): 0 and the result, or a status and its message; -1 where one is no tensor for us. */
static PyObject *function_run(FunctionObject *self, PyObject *const *arguments, Py_ssize_t count) {
  few room;
  call c;
  int status;
  if (begin(&c, &room, count, self->output_count) != 0) return NULL;
  int done = run_flat(self, &c, arguments, count, &status);
  PyObject *result = done == 1 ? returned(self, &c) : NULL;
  end(&c);
  if (done == 1) return result == NULL ? NULL : Py_BuildValue("(iN)", 0, result);
  return done < 0 ? NULL : Py_BuildValue("(is)", status, status == NOT_RUN ? "" : c.error.message);
}

/* bind(model, method, slow, rebuild, flat, returns, outputs_as, output_count, changed): called once, before the first call. */
static PyObject *function_bind(FunctionObject *self, PyObject *arguments) {
  PyObject *model, *slow, *rebuild, *changed;
  Py_ssize_t method, output_count;
  int flat, returns, outputs_as;
  if (!PyArg_ParseTuple(arguments, "O!nOOpiinS", model_type, &model, &method, &slow, &rebuild, &flat, &returns,
                        &outputs_as, &output_count, &changed))
    return NULL;
  if (output_count < 0 || (returns == RETURNS_TENSOR && output_count != 1)) {
    PyErr_SetString(PyExc_ValueError, "a method that returns a bare tensor has one output");
    return NULL;
  }
  Py_XSETREF(self->model, (ModelObject *)Py_NewRef(model));
  Py_XSETREF(self->slow, Py_NewRef(slow));
  Py_XSETREF(self->rebuild, Py_NewRef(rebuild));
  Py_XSETREF(self->changed, Py_NewRef(changed));
  self->method = method;
  self->flat = flat;
  self->returns = returns;
  self->outputs_as = outputs_as;
  self->output_count = output_count;
  self->vectorcall = function_call;
  Py_RETURN_NONE;
}

static PyObject *unbound(PyObject *object, PyObject *const *arguments, size_t nargs, PyObject *names) {
  (void)object, (void)arguments, (void)nargs, (void)names;
  PyErr_SetString(PyExc_TypeError, "bind() has not been called");
  return NULL;
}

static PyObject *function_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
  (void)arguments, (void)keywords;
  FunctionObject *self = (FunctionObject *)type->tp_alloc(type, 0);
  if (self != NULL) self->vectorcall = unbound;
  return (PyObject *)self;
}

static int function_traverse(FunctionObject *self, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(self->model);
  Py_VISIT(self->slow);
  Py_VISIT(self->rebuild);
  return 0;
}

static int function_clear(FunctionObject *self) {
  self->vectorcall = unbound;
  Py_CLEAR(self->slow);
  Py_CLEAR(self->rebuild);
  Py_CLEAR(self->changed);
  return 0;
}

static void function_dealloc(FunctionObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  function_clear(self);
  Py_CLEAR(self->model);
  type->tp_free((PyObject *)self);
  Py_DECREF(type);
}

static PyMethodDef function_methods[] = {
    {"bind", (PyCFunction)function_bind, METH_VARARGS, "Says what to call and how."},
    {"run", (PyCFunction)(void (*)(void))function_run, METH_FASTCALL, "Runs flat tensors: (status, result or message)."},
    {NULL, NULL, 0, NULL},
};
static PyMemberDef function_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(FunctionObject, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};
static PyType_Slot function_slots[] = {
    {Py_tp_new, function_new},
    {Py_tp_dealloc, function_dealloc},
    {Py_tp_traverse, function_traverse},
    {Py_tp_clear, function_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_methods, function_methods},
    {Py_tp_members, function_members},
    {Py_tp_doc, "A method of a file, callable."},
    {0, NULL},
};
static PyType_Spec function_spec = {
    "unmoor.runtime._native.Function", sizeof(FunctionObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL, function_slots};

int function_init_type(PyObject *module) {
  PyObject *type = PyType_FromSpec(&function_spec);
  int failed = type == NULL ? -1 : PyModule_AddObjectRef(module, "Function", type);
  Py_XDECREF(type);
  return failed;
}
