# SPDX-License-Identifier: Apache-2.0
"""The package's version, which brokers are told too (KIP-511)."""

__version__ = "0.1.0"
