/* The part of the DLPack 1.3 ABI that reads and makes tensors without calling Python.
 *
 * Written from the DLPack specification (https://dmlc.github.io/dlpack/latest/c_api.html). torch.Tensor, among others,
 * offers it as the capsule `__dlpack_c_exchange_api__`. */
#ifndef UNMOOR_BINDINGS_DLPACK_H
#define UNMOOR_BINDINGS_DLPACK_H

#include <stdint.h>

#define DLPACK_CAPSULE_NAME "dlpack_exchange_api"
enum { DLPACK_MAJOR = 1, DLPACK_MINOR = 3 };
enum { DLPACK_CPU = 1 };
enum { DLPACK_INT = 0, DLPACK_UINT = 1, DLPACK_FLOAT = 2, DLPACK_BFLOAT = 4, DLPACK_BOOL = 6 };

typedef struct dlpack_version {
  uint32_t major;
  uint32_t minor;
} dlpack_version;

typedef struct dlpack_tensor {
  void *data;
  int32_t device_type;
  int32_t device_id;
  int32_t rank;
  uint8_t type_code;
  uint8_t type_bits;
  uint16_t type_lanes;
  int64_t *shape;
  int64_t *strides; /* in elements */
  uint64_t byte_offset;
} dlpack_tensor;

typedef struct dlpack_managed {
  dlpack_version version;
  void *context;
  void (*deleter)(struct dlpack_managed *);
  uint64_t flags;
  dlpack_tensor tensor;
} dlpack_managed;

/* The functions return 0, or -1 with a Python exception set. They need the GIL. */
typedef struct dlpack_exchange_api {
  dlpack_version version;
  struct dlpack_exchange_api *previous;
  int (*allocate)(dlpack_tensor *prototype, dlpack_managed **out, void *context,
                  void (*set_error)(void *context, const char *kind, const char *message));
  int (*managed_from_object)(void *object, dlpack_managed **out);
  int (*object_from_managed)(dlpack_managed *managed, void **out);
  int (*tensor_from_object)(void *object, dlpack_tensor *out); /* borrowed: lives as long as the object */
  int (*current_stream)(int32_t device_type, int32_t device_id, void **out);
} dlpack_exchange_api;

#endif
