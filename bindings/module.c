/* The extension module unmoor.runtime._native. */
#include "native.h"

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_native", .m_doc = "The native runtime.", .m_size = -1};

PyMODINIT_FUNC PyInit__native(void) {
  PyObject *module = PyModule_Create(&definition);
  if (module != NULL && (model_init_type(module) != 0 || function_init_type(module) != 0)) Py_CLEAR(module);
  return module;
}
