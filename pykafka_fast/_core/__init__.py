# SPDX-License-Identifier: Apache-2.0
"""The compiled doors to the C library in csrc/, one module per noun."""
