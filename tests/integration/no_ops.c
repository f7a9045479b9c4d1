/* A library that knows nothing of taskd_op.h. */
int noop(void);
int noop(void) { return 0; }
