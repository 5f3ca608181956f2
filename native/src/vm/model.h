// An opened file, ready to be run: what um_model is. Immutable once it is made, and shared by its sessions.
#pragma once

#include "archive/archive.h"
#include "code/code.h"
#include "program/tables.h"

struct um_model {
  um_model() : tables(archive) {}  // empty, until the archive is opened

  void Hold() { __atomic_fetch_add(&references, 1, __ATOMIC_RELAXED); }
  // True where this was the last reference.
  bool Drop() { return __atomic_fetch_sub(&references, 1, __ATOMIC_ACQ_REL) == 1; }

  um::Archive archive;
  um::Tables tables;
  um::Code code;
  char digest[um::kDigestText] = "";
  uint32_t references = 1;
};
