/* Memory of dead results, kept by their model for its next ones: fresh pages of a large result cost more than filling it. */
#include <stdlib.h>

#include "native.h"

#define LEAST ((size_t)1 << 20) /* smaller memory comes without fresh pages from malloc */
#define PLACES 2

struct spares {
  int references;         /* the model's, and one of each result that lives */
  int closed;             /* the model is gone */
  spare *places[PLACES];
};

spares *spares_new(void) {
  spares *made = calloc(1, sizeof *made);
  if (made != NULL) made->references = 1;
  return made;
}

static void drop(spares *s) {
  if (__atomic_sub_fetch(&s->references, 1, __ATOMIC_ACQ_REL) > 0) return;
  for (int k = 0; k < PLACES; k++) free(s->places[k]);
  free(s);
}

/* Results may die later, in any thread. What one of them leaves just now goes with the last. */
void spares_close(spares *s) {
  if (s == NULL) return;
  __atomic_store_n(&s->closed, 1, __ATOMIC_RELEASE);
  for (int k = 0; k < PLACES; k++) free(__atomic_exchange_n(&s->places[k], NULL, __ATOMIC_ACQ_REL));
  drop(s);
}

void *spare_take(spares *s, size_t bytes) {
  spare *taken = NULL;
  int kept = s != NULL && bytes >= LEAST;
  for (int k = 0; kept && taken == NULL && k < PLACES; k++) {
    taken = __atomic_exchange_n(&s->places[k], NULL, __ATOMIC_ACQ_REL);
    if (taken != NULL && (taken->bytes < bytes || taken->bytes / 2 > bytes)) {
      free(taken); /* of other sizes than today's */
      taken = NULL;
    }
  }
  if (taken == NULL) {
    taken = malloc(sizeof *taken + bytes);
    if (taken == NULL) return NULL;
    taken->bytes = bytes;
    taken->owner = kept ? s : NULL;
  }
  if (kept) __atomic_add_fetch(&s->references, 1, __ATOMIC_RELAXED);
  return taken + 1;
}

void spare_give(void *memory) {
  spare *given = (spare *)memory - 1;
  spares *s = given->owner;
  if (s == NULL) {
    free(given);
    return;
  }
  for (int k = 0; given != NULL && k < PLACES && !__atomic_load_n(&s->closed, __ATOMIC_ACQUIRE); k++) {
    spare *none = NULL;
    if (__atomic_compare_exchange_n(&s->places[k], &none, given, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) given = NULL;
  }
  free(given);
  drop(s);
}
