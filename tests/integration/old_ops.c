/* A library for a version of taskd_op.h that does not exist. */
#include "worker/runner/taskd_op.h"

TASKD_OP_FUNCTION uint32_t taskd_op_abi_version(void);
TASKD_OP_FUNCTION uint32_t taskd_op_abi_version(void) { return 999; }
TASKD_OP_FUNCTION int noop(taskd_op* op) { return op == NULL; }
