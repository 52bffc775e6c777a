# SPDX-License-Identifier: Apache-2.0
"""Kafka's control messages: the primitive types, one module per message, and the table of versions (``api``).

Nothing here knows about sockets, threads or time. Records themselves are encoded in C.
"""
