/* The type Model: an opened file, and its sessions, one for each thread that calls it. */
#include "native.h"

#include <stdlib.h>
#include <string.h>

PyTypeObject *model_type;

static PyObject *status_error(const um_error *error) {
  /* (status, message): the Python side turns them into its own exceptions. */
  PyObject *arguments = Py_BuildValue("(is)", (int)error->status, error->message);
  if (arguments != NULL) PyErr_SetObject(PyExc_RuntimeError, arguments);
  Py_XDECREF(arguments);
  return NULL;
}

/* Model(source, weights, trust, digest): source is a path (str) or the file's bytes, weights a buffer or None. */
static PyObject *model_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
  PyObject *source, *weights;
  int trust;
  const char *digest;
  static char *names[] = {"source", "weights", "trust", "digest", NULL};
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOiz", names, &source, &weights, &trust, &digest)) return NULL;
  ModelObject *self = (ModelObject *)type->tp_alloc(type, 0);
  if (self == NULL) return NULL;
  um_open_options options = {.size = sizeof options, .trust = (um_trust)trust, .digest = digest};
  if (weights != Py_None) {
    if (PyObject_GetBuffer(weights, &self->weights, PyBUF_SIMPLE) != 0) goto fail;
    options.weights = self->weights.buf;
    options.weights_bytes = (size_t)self->weights.len;
  }
  um_error error;
  um_status status;
  if (PyUnicode_Check(source)) {
    PyObject *path;
    if (!PyUnicode_FSConverter(source, &path)) goto fail;
    const char *name = PyBytes_AS_STRING(path);
    Py_BEGIN_ALLOW_THREADS
    status = um_open_file(name, &options, &self->model, &error);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
  } else {
    Py_buffer data;
    if (PyObject_GetBuffer(source, &data, PyBUF_SIMPLE) != 0) goto fail;
    Py_BEGIN_ALLOW_THREADS
    status = um_open_memory(data.buf, (size_t)data.len, &options, &self->model, &error);
    Py_END_ALLOW_THREADS
    if (status == UM_OK && self->weights.obj == NULL) self->weights = data; /* the weights are not copied */
    else PyBuffer_Release(&data);
  }
  if (status != UM_OK) {
    self->model = NULL;
    status_error(&error);
    goto fail;
  }
  return (PyObject *)self;
fail:
  Py_DECREF(self);
  return NULL;
}

static void model_dealloc(ModelObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  for (held_session *held = self->sessions; held != NULL;) {
    held_session *next = held->next;
    um_session_free(held->session);
    free(held);
    held = next;
  }
  um_model_free(self->model);
  if (self->weights.obj != NULL) PyBuffer_Release(&self->weights);
  type->tp_free((PyObject *)self);
  Py_DECREF(type);
}

static int thread_lives(unsigned long thread) {
  for (PyThreadState *state = PyInterpreterState_ThreadHead(PyInterpreterState_Get()); state != NULL;
       state = PyThreadState_Next(state))
    if (state->thread_id == thread) return 1;
  return 0;
}

/* Frees the sessions of threads that have ended. */
static void sweep(ModelObject *model) {
  for (held_session **link = &model->sessions; *link != NULL;) {
    held_session *held = *link;
    if (held->busy || thread_lives(held->thread)) {
      link = &held->next;
    } else {
      *link = held->next;
      um_session_free(held->session);
      free(held);
    }
  }
}

/* The GIL guards the list; the session it hands out is the caller's alone, even while the GIL is released. */
held_session *session_take(ModelObject *model, um_error *error) {
  unsigned long me = PyThread_get_thread_ident();
  for (held_session **link = &model->sessions; *link != NULL; link = &(*link)->next) {
    held_session *held = *link;
    if (held->thread == me && !held->busy) {
      if (link != &model->sessions) { /* to the front: the next call is likely to be this thread's, too */
        *link = held->next;
        held->next = model->sessions;
        model->sessions = held;
      }
      held->busy = 1;
      return held;
    }
  }
  sweep(model);
  held_session *held = malloc(sizeof *held);
  if (held == NULL) {
    error->status = UM_OUT_OF_MEMORY;
    strcpy(error->message, "out of memory");
    return NULL;
  }
  if (um_session_new(model->model, NULL, &held->session, error) != UM_OK) {
    free(held);
    return NULL;
  }
  held->thread = me;
  held->busy = 1;
  held->next = model->sessions;
  model->sessions = held;
  return held;
}

void session_release(held_session *held) { held->busy = 0; }

static PyObject *get_digest(ModelObject *self, void *unused) {
  (void)unused;
  return PyUnicode_FromString(um_model_digest(self->model));
}

static PyObject *get_engine(ModelObject *self, void *unused) {
  (void)unused;
  return PyUnicode_FromString(um_model_engine(self->model));
}

static PyObject *text(const char *string) { return PyUnicode_DecodeUTF8(string, (Py_ssize_t)strlen(string), "replace"); }

/* One signature as (text, arguments, result, input count, output count). */
static PyObject *describe_signature(const um_model *model, size_t m, size_t s) {
  return Py_BuildValue("(NNNnn)", text(um_signature_text(model, m, s)), text(um_arguments_text(model, m, s)),
                       text(um_result_text(model, m, s)), (Py_ssize_t)um_input_count(model, m, s),
                       (Py_ssize_t)um_output_count(model, m, s));
}

/* methods() -> [(name, assumptions, [signature, ...]), ...] */
static PyObject *methods(ModelObject *self, PyObject *unused) {
  (void)unused;
  const um_model *model = self->model;
  PyObject *all = PyList_New(0);
  for (size_t m = 0; all != NULL && m < um_method_count(model); m++) {
    PyObject *signatures = PyList_New(0);
    for (size_t s = 0; signatures != NULL && s < um_signature_count(model, m); s++) {
      PyObject *one = describe_signature(model, m, s);
      if (one == NULL || PyList_Append(signatures, one) != 0) Py_CLEAR(signatures);
      Py_XDECREF(one);
    }
    if (signatures == NULL) Py_CLEAR(all);
    if (all == NULL) break;
    PyObject *method = Py_BuildValue("(NNN)", text(um_method_name(model, m)), text(um_assumptions_text(model, m)), signatures);
    if (method == NULL || PyList_Append(all, method) != 0) Py_CLEAR(all);
    Py_XDECREF(method);
  }
  return all;
}

static PyMethodDef model_methods[] = {
    {"methods", (PyCFunction)methods, METH_NOARGS, "[(name, assumptions, [signature, ...]), ...]"},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef model_getset[] = {
    {"digest", (getter)get_digest, NULL, "sha256:...", NULL},
    {"engine", (getter)get_engine, NULL, "what runs here", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot model_slots[] = {
    {Py_tp_new, model_new},         {Py_tp_dealloc, model_dealloc}, {Py_tp_methods, model_methods},
    {Py_tp_getset, model_getset},   {Py_tp_doc, "An opened file."}, {0, NULL},
};
static PyType_Spec model_spec = {"unmoor.runtime._native.Model", sizeof(ModelObject), 0, Py_TPFLAGS_DEFAULT, model_slots};

int model_init_type(PyObject *module) {
  model_type = (PyTypeObject *)PyType_FromSpec(&model_spec);
  return model_type == NULL ? -1 : PyModule_AddObjectRef(module, "Model", (PyObject *)model_type);
}
