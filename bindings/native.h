/* What the files of the extension share: the two types, and the two ways to read and make tensors. */
#ifndef UNMOOR_BINDINGS_NATIVE_H
#define UNMOOR_BINDINGS_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <unmoor.h>

#include "dlpack.h"

/* Calls of at most so many inputs and outputs allocate nothing for them. */
#define FEW 8

/* -- memory of results (spare.c) -------------------------------------------------------------------------- */
typedef struct spares spares;
typedef struct spare {
  spares *owner; /* NULL where the memory is not kept */
  size_t bytes;
} spare;

spares *spares_new(void);
void spares_close(spares *s);
/* Memory as malloc gives it, from a result that died where one of about that size did. No lock, any thread. */
void *spare_take(spares *s, size_t bytes);
void spare_give(void *memory);

/* -- sessions (model.c) ---------------------------------------------------------------------------------- */
typedef struct held_session {
  um_session *session;
  unsigned long thread;
  int busy; /* inside a call: a call that is nested in it, through a finalizer say, takes a session of its own */
  struct held_session *next;
} held_session;

typedef struct {
  PyObject_HEAD um_model *model;
  Py_buffer weights; /* weights.obj is NULL where the file holds them */
  Py_ssize_t threads; /* that a call may use; the sessions share them */
  held_session *sessions;
  spares *spares;
  PyThread_type_lock lock; /* of a model with state, whose one session all threads share; else NULL */
} ModelObject;

extern PyTypeObject *model_type;
int model_init_type(PyObject *module);
/* A session for the calling thread, marked busy; NULL with the status and message in `error`. */
held_session *session_take(ModelObject *model, um_error *error);
void session_release(ModelObject *model, held_session *held);

/* -- tensors --------------------------------------------------------------------------------------------- */
typedef enum reading {
  READ_OK,
  READ_NOT_MINE, /* another kind of object */
  READ_REFUSED   /* a tensor that the fast path does not take: the slow path copies it or says what is wrong */
} reading;

/* Fills in everything an input needs. The memory belongs to `object`. */
reading torch_read(PyObject *object, um_tensor *out);
/* The same; `view` is held until the call has ended. `strides` has room for UM_MAX_RANK. */
reading numpy_read(PyObject *object, um_tensor *out, Py_buffer *view, int64_t *strides);
/* New tensors of an output's dtype and shape; they set its data. NULL with an exception set. */
PyObject *torch_make(um_tensor *out, spares *spares);
PyObject *numpy_make(um_tensor *out);
/* Whether torch is loaded; finds its exchange API where that has not happened. */
int torch_ready(void);
int numpy_ready(void);
/* The bytes from the first to the last element of a strided tensor. */
size_t span_bytes(const um_tensor *tensor);

/* -- calls (function.c) ---------------------------------------------------------------------------------- */
int function_init_type(PyObject *module);

#endif
