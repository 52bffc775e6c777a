// SPDX-License-Identifier: Apache-2.0
// Every way the C library can say no. Includes nothing; everybody may include it.
//
// Functions return pkf_status: 0 is success, negative is a refusal, and results travel through pointers.
// The table below is the only place where a refusal is declared; Python's table of exception classes
// (pykafka_fast/_core/status.pyx) has a row for each, and a test compares the two.
#ifndef PKF_STATUS_H
#define PKF_STATUS_H

#define PKF_MUST_USE __attribute__((warn_unused_result))

#define PKF_STATUS_TABLE(ROW)                                                                                          \
    ROW(OK, 0, "success")                                                                                              \
    ROW(E_NOMEM, -1, "the system has no memory left")                                                                  \
    ROW(E_TOO_LARGE, -2, "larger than the limit that applies")                                                         \
    ROW(E_EXHAUSTED, -3, "no memory left in the pool, or others wait for it")                                          \
    ROW(E_TIMEOUT, -4, "the time allowed has run out")                                                                 \
    ROW(E_CLOSED, -5, "closed")                                                                                        \
    ROW(E_MALFORMED, -6, "bytes that break the protocol")                                                              \
    ROW(E_PARTIAL, -7, "more bytes are needed")                                                                        \
    ROW(E_INVALID, -8, "an argument out of its range")                                                                 \
    ROW(E_BUSY, -9, "the lock is held by another thread")                                                              \
    ROW(E_SYSTEM, -10, "a system call failed")                                                                         \
    ROW(E_UNSUPPORTED, -11, "the broker is too old for it")                                                            \
    ROW(NEED_METADATA, -20, "the topic's partitions are not known, or the partition is beyond those known")            \
    ROW(NEED_SLAB, -21, "a slab must be acquired before the record can be appended")                                   \
    ROW(NEED_BUDGET, -22, "too many callbacks wait to be delivered")

#define PKF_STATUS_ENUM(name, code, text) PKF_##name = (code),
typedef enum pkf_status { PKF_STATUS_TABLE(PKF_STATUS_ENUM) } pkf_status;
#undef PKF_STATUS_ENUM

// The name without its prefix ("E_NOMEM"), or "UNKNOWN". Static storage.
const char *pkf_status_name(int status);

// What it means in plain words. Static storage.
const char *pkf_status_text(int status);

#endif
