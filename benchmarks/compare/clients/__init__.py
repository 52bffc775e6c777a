# SPDX-License-Identifier: Apache-2.0
"""One adapter per client: a bare loop around its send call, its way of flushing, its way of reporting errors."""
