// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The `modify_return` backend: the programs of the `lsm` backend, loaded for the functions that call the security
 * hooks. What such programs may not do is left out where MODIFY_RETURN is defined.
 */
#define MODIFY_RETURN
#include "aegis.bpf.c"
