/* Runs a plan whose inputs and outputs are f32, once, and prints its outputs.
 *
 *   lib=$PWD/build/release/python/graft      (in an installed wheel: the folder of the package)
 *   cc samples/c/run_plan.c -I include -L $lib -lgraft -Wl,-rpath,$lib -o run_plan
 *   ./run_plan model.plan input.f32 …
 *
 * Each file holds an input's elements, in the order of the engine's inputs. A dimension that the
 * plan leaves open is found from the file's size if it is the first, and is 1 otherwise. */
#include <stdio.h>
#include <stdlib.h>

#include "graft/c_api.h"

enum { kFloat = 1, kMost = 16 };

/* One output's elements; the engine asks for them when it knows how many there are. */
typedef struct {
  float* data;
  size_t bytes;
} Output;

static void Allocate(void* state, const graft_output_request* request,
                     graft_output_memory* memory) {
  Output* output = (Output*)state + request->output;
  if (request->dtype != kFloat) return; /* no memory: the run ends with a status */
  output->bytes = request->bytes;
  memory->data = output->data = malloc(request->bytes ? request->bytes : 1);
}

static void Check(graft_status* status) {
  if (status == NULL) return;
  fprintf(stderr, "run_plan: %s\n", graft_status_message(status));
  exit(1);
}

static float* ReadAll(const char* path, long* count) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) exit((perror(path), 1));
  fseek(file, 0, SEEK_END);
  *count = ftell(file) / (long)sizeof(float);
  rewind(file);
  float* data = malloc((size_t)*count * sizeof(float) + 1);
  if (data == NULL || fread(data, sizeof(float), (size_t)*count, file) != (size_t)*count)
    exit((perror(path), 1));
  fclose(file);
  return data;
}

int main(int argc, char** argv) {
  graft_engine* engine = NULL;
  graft_context* context = NULL;
  graft_tensor inputs[kMost];
  int64_t dims[kMost][kMost];
  Output outputs[kMost] = {{NULL, 0}};
  if (argc < 2) return fprintf(stderr, "usage: run_plan PLAN INPUT.f32 ...\n"), 2;
  const graft_engine_options options = GRAFT_ENGINE_OPTIONS_INIT;
  Check(graft_engine_load(argv[1], &options, &engine));
  const int count = graft_engine_input_count(engine);
  if (count != argc - 2 || count > kMost || graft_engine_output_count(engine) > kMost)
    return fprintf(stderr, "run_plan: the plan has %d inputs\n", count), 2;

  for (int i = 0; i < count; ++i) {
    const graft_binding* binding = graft_engine_input(engine, i);
    long elements, known = 1;
    if (binding->dtype != kFloat || binding->rank > kMost)
      return fprintf(stderr, "run_plan: %s is no f32 tensor\n", binding->name), 2;
    inputs[i] = (graft_tensor)GRAFT_TENSOR_INIT;
    inputs[i].dtype = kFloat;
    inputs[i].rank = binding->rank;
    inputs[i].dims = dims[i];
    inputs[i].data = ReadAll(argv[2 + i], &elements);
    for (int k = 0; k < binding->rank; ++k) {
      dims[i][k] = binding->dims[k] < 0 ? 1 : binding->dims[k];
      known *= dims[i][k];
    }
    if (binding->rank > 0 && binding->dims[0] < 0)
      dims[i][0] = elements / known, known *= dims[i][0];
    if (known != elements)
      return fprintf(stderr, "run_plan: %s holds %ld elements, not %ld\n", argv[2 + i], elements,
                     known),
             2;
  }

  const graft_context_options context_options = GRAFT_CONTEXT_OPTIONS_INIT;
  Check(graft_context_create(engine, &context_options, &context));
  Check(graft_context_run(context, inputs, count, Allocate, outputs));
  for (int o = 0; o < graft_engine_output_count(engine); ++o) {
    printf("%s", graft_engine_output(engine, o)->name);
    for (size_t k = 0; k < outputs[o].bytes / sizeof(float); ++k)
      printf(" %.9g", outputs[o].data[k]);
    printf("\n");
    free(outputs[o].data);
  }
  for (int i = 0; i < count; ++i) free((void*)inputs[i].data);
  graft_context_free(context);
  graft_engine_free(engine);
  return 0;
}
