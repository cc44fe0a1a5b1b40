/* Graft's C API: the only border of libgraft.so. Everything it exports begins with graft_.
 *
 * Conventions. A function that can fail returns a graft_status*: NULL is success, anything else is
 * freed with graft_status_free. Objects are freed with their own function, which takes NULL too.
 * Strings and arrays that a getter returns live as long as the object. No function throws. Structs
 * that cross the border begin with their size, so they can grow: whoever makes one initialises it
 * with its GRAFT_..._INIT, and fields beyond its size keep their default. The structs of an array
 * have one size.
 * Types are TensorFlow's DataType numbers. */
#ifndef GRAFT_C_API_H_
#define GRAFT_C_API_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define GRAFT_EXPORT __attribute__((visibility("default")))
#else
#define GRAFT_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status ---------------------------------------------------------------------------------- */

typedef enum graft_code {
  GRAFT_OK = 0,
  GRAFT_INVALID_ARGUMENT = 1,
  GRAFT_NOT_FOUND = 2,
  GRAFT_DATA_LOSS = 3,
  GRAFT_UNSUPPORTED = 4,
  GRAFT_FAILED_PRECONDITION = 5,
  GRAFT_RESOURCE_EXHAUSTED = 6,
  GRAFT_IO = 7,
  GRAFT_INTERNAL = 8
} graft_code;

typedef struct graft_status graft_status;
GRAFT_EXPORT graft_code graft_status_code(const graft_status* status);
GRAFT_EXPORT const char* graft_status_message(const graft_status* status);
GRAFT_EXPORT void graft_status_free(graft_status* status);

GRAFT_EXPORT const char* graft_version(void);

/* ---- Log ------------------------------------------------------------------------------------- */

/* level: 0 information, 1 warning, 2 error. `module` is the part of Graft that speaks, by TF-TRT's
 * names: "trt_engine_op". Called from any thread. NULL restores the default, the standard error. */
typedef void (*graft_log_fn)(void* state, int32_t level, const char* module, const char* message);
GRAFT_EXPORT void graft_set_log_sink(graft_log_fn sink, void* state);
/* How much detail a module is to tell, 0 by default: the level that GRAFT_VMODULE, TF_CPP_VMODULE
 * or TF_CPP_MAX_VLOG_LEVEL gives it. */
GRAFT_EXPORT int32_t graft_verbose_level(const char* module);

/* ---- Bytes that the library gives ------------------------------------------------------------ */

typedef struct graft_bytes graft_bytes;
GRAFT_EXPORT const void* graft_bytes_data(const graft_bytes* bytes);
GRAFT_EXPORT size_t graft_bytes_size(const graft_bytes* bytes);
GRAFT_EXPORT void graft_bytes_free(graft_bytes* bytes);

/* ---- Engines --------------------------------------------------------------------------------- */

/* Where memory is. The device is the engine's; for an engine on the CPU both are the same. */
typedef enum graft_space { GRAFT_SPACE_HOST = 0, GRAFT_SPACE_DEVICE = 1 } graft_space;

typedef struct graft_tensor {
  size_t struct_size;
  int32_t dtype; /* 0: no tensor, as it comes; the input takes its default */
  int32_t rank;
  const int64_t* dims;
  const void* data;
  int32_t space; /* graft_space */
} graft_tensor;
#define GRAFT_TENSOR_INIT \
  { sizeof(graft_tensor), 0, 0, NULL, NULL, GRAFT_SPACE_HOST }

/* A constant that lives outside of a plan, in host memory; made by the library, filled in by the
 * caller. The engine calls release(release_state) once when it needs the data no more, which may be
 * as soon as it has packed it. */
typedef struct graft_weight {
  size_t struct_size;
  int32_t dtype;
  int32_t rank;
  const int64_t* dims;
  const void* data;
  void (*release)(void* release_state);
  void* release_state;
} graft_weight;

/* Finds a constant that a plan stores by name and hash only. Fills `weight` and returns 0; anything
 * else: there is none. */
typedef int32_t (*graft_find_weight_fn)(void* state, const char* name, graft_weight* weight);
/* The constant number `index` of those that there are, for when none has the name: TensorFlow
 * merges equal constants and renames them. Anything but 0 ends the list. */
typedef int32_t (*graft_weight_at_fn)(void* state, int32_t index, graft_weight* weight);

typedef struct graft_engine_options {
  size_t struct_size;
  int32_t map_file; /* 0: the file is copied, for files that others may write to */
  int32_t check_all_weights;
  graft_find_weight_fn find_weight;
  graft_weight_at_fn weight_at; /* NULL: by name alone */
  void* find_weight_state;
  int32_t threads; /* that pack weights while loading; 0: one for each processor */
  int32_t device;  /* which one of the plan's kind, from 0 */
  /* "cpu", "cuda:1": the plan must be for it, and `device` does not count. NULL: any kind. */
  const char* device_name;
  /* Not 0: a plan that was tuned on another machine, or for a kind of card, is tuned for this one
   * first, as `graft plan tune` does; the default timing cache remembers what was measured. */
  int32_t tune;
} graft_engine_options;
#define GRAFT_ENGINE_OPTIONS_INIT \
  { sizeof(graft_engine_options), 1, 0, NULL, NULL, NULL, 0, 0, NULL, 0 }

/* An engine is shared by threads; equal plans loaded in one process for one device are one engine.
 */
typedef struct graft_engine graft_engine;
GRAFT_EXPORT graft_status* graft_engine_load(const char* path, const graft_engine_options* options,
                                             graft_engine** engine);
/* The bytes are copied. */
GRAFT_EXPORT graft_status* graft_engine_from_bytes(const void* data, size_t size,
                                                   const graft_engine_options* options,
                                                   graft_engine** engine);
/* The bytes stay as and where they are until the process ends: a part of a mapped file. */
GRAFT_EXPORT graft_status* graft_engine_from_mapped_bytes(const void* data, size_t size,
                                                          const graft_engine_options* options,
                                                          graft_engine** engine);
GRAFT_EXPORT void graft_engine_free(graft_engine* engine);

/* dims holds -1 where the dimension is not fixed. */
typedef struct graft_binding {
  const char* name;         /* the model's */
  const char* binding_name; /* "TensorRTInputPH_0" */
  int32_t dtype;
  int32_t rank;
  const int64_t* dims;
} graft_binding;
GRAFT_EXPORT int32_t graft_engine_input_count(const graft_engine* engine);
GRAFT_EXPORT int32_t graft_engine_output_count(const graft_engine* engine);
GRAFT_EXPORT const graft_binding* graft_engine_input(const graft_engine* engine, int32_t index);
GRAFT_EXPORT const graft_binding* graft_engine_output(const graft_engine* engine, int32_t index);
/* Not 0: the input has a value of its own that it takes when none is fed. */
GRAFT_EXPORT int32_t graft_engine_input_has_default(const graft_engine* engine, int32_t index);
/* Position by either name; -1: there is none. */
GRAFT_EXPORT int32_t graft_engine_find_input(const graft_engine* engine, const char* name);
GRAFT_EXPORT int32_t graft_engine_find_output(const graft_engine* engine, const char* name);
GRAFT_EXPORT const char* graft_engine_backend(const graft_engine* engine);
/* Which one of its kind it runs on, from 0. */
GRAFT_EXPORT int32_t graft_engine_device(const graft_engine* engine);
/* graft_space: where it reads inputs and writes outputs without copies. */
GRAFT_EXPORT int32_t graft_engine_space(const graft_engine* engine);

/* How many engines live in this process. */
GRAFT_EXPORT int32_t graft_engine_registry_size(void);

/* ---- The device of an engine ----------------------------------------------------------------- */

/* Memory and streams, for callers without the vendor's library. A stream is the device's own
 * (CUDA: a CUstream, of whoever made it); what is queued on it happens in order. On the CPU
 * streams are NULL and everything happens within the call. A failure of work that was queued on
 * the stream before may be the status of any of these. */

/* For work queued after the call; what is freed may be used by work queued before. */
GRAFT_EXPORT graft_status* graft_device_allocate(const graft_engine* engine, size_t bytes,
                                                 void* stream, void** memory);
GRAFT_EXPORT graft_status* graft_device_free(const graft_engine* engine, void* memory,
                                             void* stream);
/* Spaces: graft_space. Host memory stays as it is until the copy is done. */
GRAFT_EXPORT graft_status* graft_device_copy(const graft_engine* engine, void* target,
                                             int32_t target_space, const void* source,
                                             int32_t source_space, size_t bytes, void* stream);
/* Work queued on the stream after this waits for what is on the other one now. */
GRAFT_EXPORT graft_status* graft_stream_wait(const graft_engine* engine, void* stream, void* other);
/* Returns when all work of the stream is done. */
GRAFT_EXPORT graft_status* graft_stream_synchronize(const graft_engine* engine, void* stream);

/* ---- Contexts -------------------------------------------------------------------------------- */

/* Runs closure(argument) once on some thread, sooner or later; before returning only when the pool
 * has no free thread. */
typedef void (*graft_schedule_fn)(void* state, void (*closure)(void*), void* argument);

typedef struct graft_context_options {
  size_t struct_size;
  int32_t threads; /* of Graft's own pool, the caller's included; 0: one for each processor */
  graft_schedule_fn schedule; /* not NULL: work goes to this pool, `threads` at a time */
  void* schedule_state;
  /* Both or none. The memory that a context works in: on the engine's device, 64-byte aligned, in
   * order with the stream (NULL on the CPU): it may be used by work queued after it was given, and
   * is given back after the work queued before. NULL: there is none. */
  void* (*allocate)(void* allocator_state, size_t bytes, void* stream);
  void (*deallocate)(void* allocator_state, void* memory, void* stream);
  void* allocator_state;
  int32_t memory_per_run; /* not 0: all of it is given back at the end of every run */
} graft_context_options;
#define GRAFT_CONTEXT_OPTIONS_INIT \
  { sizeof(graft_context_options), 0, NULL, NULL, NULL, NULL, NULL, 0 }

/* One caller's execution state; not for two threads at a time. Keeps its engine alive. */
typedef struct graft_context graft_context;
GRAFT_EXPORT graft_status* graft_context_create(const graft_engine* engine,
                                                const graft_context_options* options,
                                                graft_context** context);
GRAFT_EXPORT void graft_context_free(graft_context* context);

/* An output whose dimensions are known now. Made by the library. */
typedef struct graft_output_request {
  size_t struct_size;
  int32_t output;
  int32_t dtype;
  const int64_t* dims;
  int32_t rank;
  int32_t space; /* graft_space where the engine writes it without a copy */
  size_t bytes;
} graft_output_request;
/* The caller's memory for it. Made by the library, filled in by the caller. */
typedef struct graft_output_memory {
  size_t struct_size;
  void* data;    /* NULL, as it comes: there is none */
  int32_t space; /* graft_space; it comes as host */
} graft_output_memory;
typedef void (*graft_allocate_output_fn)(void* state, const graft_output_request* request,
                                         graft_output_memory* memory);
/* Inputs in the engine's order, all of them; one with the dtype 0 takes its default. Each output is
 * allocated once, when its dimensions are known: before the first step runs, or later where they
 * depend on the data. What is not in the space that the engine works in is copied. The outputs are
 * there when it returns. */
GRAFT_EXPORT graft_status* graft_context_run(graft_context* context, const graft_tensor* inputs,
                                             int32_t input_count, graft_allocate_output_fn allocate,
                                             void* state);
/* As graft_context_run, but returns when the work is queued on the caller's stream (CUDA: a
 * CUstream; NULL: one of the context's own). Inputs and outputs belong to the run until the stream
 * has done the work; what is freed of context and engine meanwhile waits. The stream outlives the
 * work. An engine whose shapes depend on data waits inside. A failure of queued work is the status
 * of a later call of this context. On the CPU the work is done when it returns. */
GRAFT_EXPORT graft_status* graft_context_enqueue(graft_context* context, const graft_tensor* inputs,
                                                 int32_t input_count,
                                                 graft_allocate_output_fn allocate, void* state,
                                                 void* stream);

/* What of a run is under way. A step is named as its node, and its detail is the tactic; a copy as
 * the input or output. Parts lie within one another. */
typedef enum graft_part {
  GRAFT_PART_RUN = 0,
  GRAFT_PART_STAGE = 1,
  GRAFT_PART_STEP = 2,
  GRAFT_PART_COPY = 3
} graft_part;
/* Called by the thread that runs the context. `end` is of the part that began last. */
typedef struct graft_observer {
  size_t struct_size;
  void* state;
  void (*begin)(void* state, int32_t part, const char* name, const char* detail);
  void (*end)(void* state);
} graft_observer;
/* Tells of the runs that follow until it is called again; NULL: nobody is told. A run that is
 * observed waits for the device after each step. */
GRAFT_EXPORT void graft_context_observe(graft_context* context, const graft_observer* observer);

/* ---- Conversion ------------------------------------------------------------------------------ */

/* Converts a frozen GraphDef. `options_json` holds the options of `graft convert` by their long
 * names. Gives the converted GraphDef and the JSON report. */
GRAFT_EXPORT graft_status* graft_convert_graph_def(const void* graph_def, size_t size,
                                                   const char* options_json,
                                                   graft_bytes** converted, graft_bytes** report);

/* Does what `graft convert PATH --output OUTPUT` does: a model's files in, a SavedModel (or a
 * frozen graph, if OUTPUT ends with .pb) out. Gives the JSON report. */
GRAFT_EXPORT graft_status* graft_convert_model(const char* path, const char* output,
                                               const char* options_json, graft_bytes** report);

/* Builds the plan of a native segment, a serialised FunctionDef. `arguments` give dtype and dims of
 * each of its arguments (no data): the engine is tuned for these and takes any dimensions, but
 * those that the option `input-shapes` says ([[-1, 4], null]). Options as in
 * graft_convert_graph_def. The plan refers to larger constants of the function by name
 * (graft_engine_options::find_weight), unless `embed-weights` is true. */
GRAFT_EXPORT graft_status* graft_build_segment(const void* function_def, size_t size,
                                               const graft_tensor* arguments,
                                               int32_t argument_count, const char* options_json,
                                               graft_bytes** plan);

/* For a process that ends: every graft_build_segment, running or later, fails before it times
 * another step. */
GRAFT_EXPORT void graft_stop_building_segments(void);

/* Finds the ranges that INT8 needs in a native segment: runs it in floats over batches of its
 * arguments. Arguments and options as in graft_build_segment. */
typedef struct graft_calibrator graft_calibrator;
GRAFT_EXPORT graft_status* graft_calibrator_create(const void* function_def, size_t size,
                                                   const graft_tensor* arguments,
                                                   int32_t argument_count, const char* options_json,
                                                   graft_calibrator** calibrator);
GRAFT_EXPORT void graft_calibrator_free(graft_calibrator* calibrator);
/* One batch, of any shapes, in host memory. Not for two threads at a time. */
GRAFT_EXPORT graft_status* graft_calibrator_add(graft_calibrator* calibrator,
                                                const graft_tensor* arguments,
                                                int32_t argument_count);
/* The calibration table's text. `name`: "entropy" (also ""), "percentile", "minmax" or "mse". */
GRAFT_EXPORT graft_status* graft_calibrator_finish(const graft_calibrator* calibrator,
                                                   const char* name, graft_bytes** table);
/* The same with a choice of precisions in it: the engine that is built with this table computes on
 * integers what it may without missing a goal, and where that is faster. Compares engines on
 * batches that the calibrator has kept, by its option "keep-batches": how many at most; -1: all.
 * The options are those that the engine will be built with, and "least-sqnr" (decibels of the
 * outputs; 28), or "labels" (classes of the samples of all batches), "max-drop" (points of top-1)
 * and "scores" (the output's number). report: JSON, "precision" in docs/report.md. */
GRAFT_EXPORT graft_status* graft_calibrator_choose(const graft_calibrator* calibrator,
                                                   const char* name, const char* options_json,
                                                   graft_bytes** table, graft_bytes** report);

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_C_API_H_ */
