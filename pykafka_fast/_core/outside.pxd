# SPDX-License-Identifier: Apache-2.0

cdef void complain() noexcept
cdef void wake_loop(loop, list futures) noexcept
cdef void unraisable(error) noexcept
