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

/* Model(source, weights, trust, digest, threads, huge): source is a path (str) or the file's bytes, weights a buffer or
 * None; huge: are weights of the file copied into huge pages? */
static PyObject *model_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
  PyObject *source, *weights;
  int trust, huge;
  const char *digest;
  Py_ssize_t threads;
  static char *names[] = {"source", "weights", "trust", "digest", "threads", "huge", NULL};
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOiznp", names, &source, &weights, &trust, &digest, &threads,
                                   &huge))
    return NULL;
  ModelObject *self = (ModelObject *)type->tp_alloc(type, 0);
  if (self == NULL) return NULL;
  self->threads = threads;
  if ((self->spares = spares_new()) == NULL) {
    PyErr_NoMemory();
    goto fail;
  }
  um_open_options options = {.size = sizeof options, .trust = (um_trust)trust, .digest = digest,
                             .weights_in = huge ? UM_WEIGHTS_HUGE : UM_WEIGHTS_MAPPED};
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
  if (um_state_count(self->model) > 0 && (self->lock = PyThread_allocate_lock()) == NULL) {
    PyErr_NoMemory();
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
  spares_close(self->spares);
  if (self->lock != NULL) PyThread_free_lock(self->lock);
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

/* A session that shares the threads of the model's others. */
static um_status new_session(const ModelObject *model, um_session **session, um_error *error) {
  um_session_options options = {.size = sizeof options, .threads = (size_t)model->threads};
  if (model->sessions != NULL) options.share = model->sessions->session;
  return um_session_new(model->model, &options, session, error);
}

/* The one session of a model with state, once no other thread is in it. */
static held_session *shared_session(ModelObject *model, um_error *error) {
  if (PyThread_acquire_lock(model->lock, NOWAIT_LOCK) == PY_LOCK_FAILURE) {
    held_session *held = model->sessions;
    if (held != NULL && held->busy && held->thread == PyThread_get_thread_ident()) {
      error->status = UM_WRONG_ARGUMENT;
      strcpy(error->message, "a model with state was called inside its own call");
      return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    PyThread_acquire_lock(model->lock, WAIT_LOCK);
    Py_END_ALLOW_THREADS
  }
  held_session *held = model->sessions;
  if (held == NULL) {
    held = malloc(sizeof *held);
    if (held == NULL || new_session(model, &held->session, error) != UM_OK) {
      if (held == NULL) error->status = UM_OUT_OF_MEMORY, strcpy(error->message, "out of memory");
      free(held);
      PyThread_release_lock(model->lock);
      return NULL;
    }
    held->next = NULL;
    model->sessions = held;
  }
  held->thread = PyThread_get_thread_ident();
  held->busy = 1;
  return held;
}

/* The GIL guards the list; the session it hands out is the caller's alone, even while the GIL is released. */
held_session *session_take(ModelObject *model, um_error *error) {
  if (model->lock != NULL) return shared_session(model, error);
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
  if (new_session(model, &held->session, error) != UM_OK) {
    free(held);
    return NULL;
  }
  held->thread = me;
  held->busy = 1;
  held->next = model->sessions;
  model->sessions = held;
  return held;
}

void session_release(ModelObject *model, held_session *held) {
  held->busy = 0;
  if (model->lock != NULL) PyThread_release_lock(model->lock);
}

/* -- state ------------------------------------------------------------------------------------------------ */
/* states() -> [(name, array), ...]: copies, as NumPy arrays. */
static PyObject *states(ModelObject *self, PyObject *unused) {
  (void)unused;
  um_error error;
  PyObject *all = PyList_New(0);
  size_t count = um_state_count(self->model);
  if (all == NULL || count == 0) return all;
  held_session *held = session_take(self, &error);
  if (held == NULL) {
    Py_DECREF(all);
    return status_error(&error);
  }
  for (size_t k = 0; all != NULL && k < count; k++) {
    um_tensor tensor, copy;
    PyObject *array = NULL;
    if (um_session_state(held->session, k, &tensor, NULL) == UM_OK) {
      copy = tensor;
      array = numpy_make(&copy);
      if (array != NULL && tensor.bytes > 0) memcpy(copy.data, tensor.data, tensor.bytes);
    }
    PyObject *pair = array == NULL ? NULL : Py_BuildValue("(sN)", um_state_name(self->model, k), array);
    if (pair == NULL || PyList_Append(all, pair) != 0) Py_CLEAR(all);
    Py_XDECREF(pair);
  }
  session_release(self, held);
  return all;
}

/* set_state(number, array): copies a NumPy array into a state. */
static PyObject *set_state(ModelObject *self, PyObject *arguments) {
  Py_ssize_t number;
  PyObject *array;
  if (!PyArg_ParseTuple(arguments, "nO", &number, &array)) return NULL;
  um_error error;
  um_tensor value;
  Py_buffer view;
  int64_t strides[UM_MAX_RANK];
  if (numpy_read(array, &value, &view, strides) != READ_OK) {
    PyErr_SetString(PyExc_TypeError, "a state is set to a NumPy array");
    return NULL;
  }
  held_session *held = session_take(self, &error);
  um_status status = held == NULL ? error.status : um_session_set_state(held->session, (size_t)number, &value, &error);
  if (held != NULL) session_release(self, held);
  PyBuffer_Release(&view);
  if (status != UM_OK) return status_error(&error);
  Py_RETURN_NONE;
}

static PyObject *reset_state(ModelObject *self, PyObject *unused) {
  (void)unused;
  if (um_state_count(self->model) == 0) Py_RETURN_NONE;
  um_error error;
  held_session *held = session_take(self, &error);
  if (held == NULL) return status_error(&error);
  um_status status = um_session_reset_state(held->session, &error);
  session_release(self, held);
  if (status != UM_OK) return status_error(&error);
  Py_RETURN_NONE;
}

/* verify() -> the number of examples, all of which gave what the file expects. */
static PyObject *verify(ModelObject *self, PyObject *unused) {
  (void)unused;
  um_error error;
  um_session_options options = {.size = sizeof options, .threads = (size_t)self->threads};
  um_status status;
  Py_BEGIN_ALLOW_THREADS
  status = um_verify(self->model, &options, &error);
  Py_END_ALLOW_THREADS
  return status != UM_OK ? status_error(&error) : PyLong_FromSize_t(um_example_count(self->model));
}

static PyObject *get_digest(ModelObject *self, void *unused) {
  (void)unused;
  return PyUnicode_FromString(um_model_digest(self->model));
}

static PyObject *get_engine(ModelObject *self, void *unused) {
  (void)unused;
  return PyUnicode_FromString(um_model_engine(self->model));
}

static PyObject *text(const char *string) { return PyUnicode_DecodeUTF8(string, (Py_ssize_t)strlen(string), "replace"); }

/* One signature as (text, arguments, result, input count, output count, a byte for each input: is it changed). */
static PyObject *describe_signature(const um_model *model, size_t m, size_t s) {
  Py_ssize_t inputs = (Py_ssize_t)um_input_count(model, m, s);
  PyObject *changed = PyBytes_FromStringAndSize(NULL, inputs);
  for (Py_ssize_t k = 0; changed != NULL && k < inputs; k++)
    PyBytes_AS_STRING(changed)[k] = (char)um_input_is_changed(model, m, s, (size_t)k);
  return Py_BuildValue("(NNNnnN)", text(um_signature_text(model, m, s)), text(um_arguments_text(model, m, s)),
                       text(um_result_text(model, m, s)), inputs,
                       (Py_ssize_t)um_output_count(model, m, s), changed);
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
    {"states", (PyCFunction)states, METH_NOARGS, "[(name, array), ...]"},
    {"set_state", (PyCFunction)set_state, METH_VARARGS, "Sets the state of that number."},
    {"verify", (PyCFunction)verify, METH_NOARGS, "Runs the examples; how many there are."},
    {"reset_state", (PyCFunction)reset_state, METH_NOARGS, "Every state as before the first call."},
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
