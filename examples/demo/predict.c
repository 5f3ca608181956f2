/* A prediction from C: open the file, make a session, run. Usage: predict FILE DIGEST. */
#include <stdio.h>
#include <unmoor.h>

static int fail(const um_error *error) {
  fprintf(stderr, "%s\n", error->message);
  return 1;
}

int main(int argc, char **argv) {
  um_model *model;
  um_session *session;
  um_error error;
  if (argc != 3) return 2;

  um_open_options trusted = {.size = sizeof trusted, .trust = UM_TRUST_DIGEST, .digest = argv[2]};
  if (um_open_file(argv[1], &trusted, &model, &error)) return fail(&error);
  if (um_session_new(model, NULL, &session, &error)) return fail(&error);

  float x[3] = {1, 1, 1}, y[1];
  int64_t shape[1] = {3};
  um_tensor input = {.data = x, .bytes = sizeof x, .shape = shape, .rank = 1, .dtype = UM_F32};
  um_tensor output = {.data = y, .bytes = sizeof y};
  if (um_run(session, 0, &input, 1, &output, 1, &error)) return fail(&error);
  printf("%.9g\n", y[0]);

  um_session_free(session);
  um_model_free(model);
  return 0;
}
