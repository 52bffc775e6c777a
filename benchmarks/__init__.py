# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: micro/ (each door of the core), path/ (the whole producer), compare/ (beside other clients)."""
