/* SPDX-License-Identifier: Apache-2.0
 * What tests ask of the emulated devices: schedules, failures, deferred work, captured graphs. Every function may be
 * called from any thread; work runs one kernel at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SIMT_API __attribute__((visibility("default")))

/* What Error::code can be. */
enum SimtError {
  SIMT_SUCCESS = 0,
  SIMT_INVALID_VALUE = 1,
  SIMT_OUT_OF_MEMORY = 2,
  SIMT_NO_DRIVER = 3,
  SIMT_NO_DEVICE = 4,
  SIMT_INVALID_DEVICE = 5,
  SIMT_INVALID_STREAM = 6,
  SIMT_LAUNCH_FAILURE = 7,     /* a launch was refused; the device goes on */
  SIMT_KERNEL_FAILURE = 8,     /* a kernel went wrong: every later call on its device fails (simt_last_report) */
  SIMT_DEVICE_LOST = 9,        /* the same, without a kernel to blame */
  SIMT_CAPTURE_FORBIDDEN = 10, /* not while a stream is being captured */
  SIMT_SHAPE_REFUSED = 11      /* a launch whose clusters the device cannot place */
};

/* Where a failure can be planted. */
enum SimtCall {
  SIMT_CALL_COUNT_DEVICES = 0,
  SIMT_CALL_READ_DEVICE = 1,
  SIMT_CALL_USE_DEVICE = 2,
  SIMT_CALL_ALLOCATE = 3, /* pinned memory too */
  SIMT_CALL_CREATE_STREAM = 4,
  SIMT_CALL_COPY = 5,
  SIMT_CALL_FILL = 6,
  SIMT_CALL_LAUNCH = 7,
  SIMT_CALL_EXECUTE = 8, /* a kernel that runs: launch succeeds, a later call reports the failure */
  SIMT_CALL_SYNCHRONIZE = 9
};
#define SIMT_CALLS 10

/* Everything below back to what it is at first, planted failures and lost devices forgotten, waiting work dropped.
 * Memory and streams stay. */
SIMT_API void simt_reset(void);

/* The order of everything follows from this number; at first TOKENDRAW_SIMT_SEED of the environment, or 1. */
SIMT_API void simt_set_seed(uint64_t seed);
/* How many blocks (clusters) run at once; 1: strictly one after the other; 0, as at first: 1 to 3 by the seed. */
SIMT_API void simt_set_resident_blocks(uint32_t blocks);
/* How often lanes may be left while none ends or passes a barrier, before the kernel is given up. */
SIMT_API void simt_set_step_limit(uint64_t steps);
/* Not 0: work waits for a synchronisation or, by the seed, until some later call; destinations of copies to the host
 * hold garbage until then. At first 0: work is done when it is asked for. */
SIMT_API void simt_set_deferred(int deferred);
SIMT_API void simt_set_multiprocessors(int32_t multiprocessors); /* at first 4 */
SIMT_API void simt_set_cluster_blocks(int32_t blocks);           /* the most of a cluster; 1: none; at first 16 */
/* The most keys that kernels list where they would list more, so that short rows take the ways of long ones; 0: as many
 * as there is room for. At first TOKENDRAW_SIMT_LIST_LIMIT of the environment, or 0. */
SIMT_API void simt_set_list_limit(uint32_t keys);
SIMT_API void simt_set_memory_bytes(uint64_t bytes); /* of each device; at first 1 GiB */
/* How many of the two devices there are; -1: there is no driver. */
SIMT_API void simt_set_devices(int devices);

/* The call after the next `after` ones of this kind fails with `code` (enum SimtError), once; but SIMT_DEVICE_LOST and
 * SIMT_KERNEL_FAILURE stay, on its device, until simt_reset. */
SIMT_API void simt_fail_next(int call, uint32_t after, int code);

/* What went wrong last in a kernel or with a pointer; "" if nothing since simt_reset. Valid until the thread's next
 * call. */
SIMT_API const char* simt_last_report(void);

SIMT_API uint64_t simt_count_launches(void);    /* kernels run since the program began */
SIMT_API uint64_t simt_count_switches(void);    /* between lanes */
SIMT_API uint64_t simt_count_allocations(void); /* pieces of device and pinned memory that are alive */
SIMT_API uint64_t simt_count_calls(int call);   /* calls of a kind since simt_reset, failed ones included */

/* Graphs. Between begin and end the stream's work is recorded and not done. simt_end_capture returns NULL where
 * something forbidden was tried. Streams are those of the platform; NULL is the default stream, which cannot be
 * captured. */
SIMT_API int simt_begin_capture(void* stream);
SIMT_API void* simt_end_capture(void* stream);
SIMT_API int simt_replay(void* graph, void* stream);
SIMT_API void simt_destroy_graph(void* graph);

/* The platform's functions for programs that do not include it; they return Error::code. Device 0 has warps of 32
 * lanes, device 1 of 64. */
SIMT_API int simt_use_device(int device);
SIMT_API int simt_allocate(void** memory, size_t bytes);
SIMT_API int simt_release(void* memory);
/* kind: 0 from host to device, 1 from device to host, 2 from device to device */
SIMT_API int simt_copy(void* to, const void* from, size_t bytes, int kind, void* stream);
SIMT_API int simt_create_stream(void** stream);
SIMT_API int simt_destroy_stream(void* stream);
SIMT_API int simt_synchronize(void* stream);

#ifdef __cplusplus
}
#endif
