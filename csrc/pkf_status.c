// SPDX-License-Identifier: Apache-2.0
#include "pkf_status.h"

const char *pkf_status_name(int status) {
#define PKF_NAME(name, code, text)                                                                                     \
    case code: return #name;
    switch (status) {
        PKF_STATUS_TABLE(PKF_NAME)
    default: return "UNKNOWN";
    }
#undef PKF_NAME
}

const char *pkf_status_text(int status) {
#define PKF_TEXT(name, code, text)                                                                                     \
    case code: return text;
    switch (status) {
        PKF_STATUS_TABLE(PKF_TEXT)
    default: return "unknown status";
    }
#undef PKF_TEXT
}
