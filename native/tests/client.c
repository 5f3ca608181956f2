/* The public header in C99, as a stranger would use it: a file name is given, its first method is run on three ones. */
#include <stdio.h>
#include <unmoor.h>

int main(int count, char **words) {
  um_model *model = NULL;
  um_session *session = NULL;
  um_error error;
  um_open_options options = {sizeof(um_open_options), UM_TRUST_YES, NULL, NULL, 0, UM_WEIGHTS_MAPPED};
  float x[3] = {1.0f, 1.0f, 1.0f};
  int64_t shape[1] = {3};
  um_tensor input = {0}, output = {0};
  size_t k;
  if (count != 2) return 2;
  input.data = x;
  input.bytes = sizeof x;
  input.shape = shape;
  input.rank = 1;
  input.dtype = UM_F32;
  if (um_open_file(words[1], &options, &model, &error) != UM_OK ||
      um_session_new(model, NULL, &session, &error) != UM_OK ||
      um_run(session, 0, &input, 1, &output, 1, &error) != UM_OK) {
    fprintf(stderr, "%s: %s\n", um_status_name(error.status), error.message);
    um_model_free(model);
    return 1;
  }
  for (k = 0; k < output.bytes / sizeof(float); ++k) printf("%g\n", (double)((const float *)output.data)[k]);
  um_session_free(session);
  um_model_free(model);
  return 0;
}
